"""AlgoSeek equity ticks as QuantConnect's Lean stores them, with a header line.

Trades: time_ms (since midnight, exchange time), price_dc (price × 10 000), volume, exchange,
sale_condition_hex (bit flags), suspicious. Quotes: national best bid and offer, one side a row
(the other side 0): each side is carried forward, then the last row of a millisecond counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from diffeq.empirical.bad_rows import (
    CROSSED,
    NEGATIVE,
    NOT_UNDERSTOOD,
    PRICE,
    SIZE,
    Ledger,
    Mask,
    Policy,
    require_policy,
)
from diffeq.empirical.readers import generic, records, tables
from diffeq.empirical.readers.records import Floats, Nanoseconds, Stream, Tape

Hours = Literal["regular", "all"] | tuple[float, float]

REGULAR_HOURS = (34_200.0, 57_600.0)  # 9:30 to 16:00, seconds after midnight
SALE_CONDITIONS = {
    "auction": 0x40 | 0x80,  # opening and closing prints
    "extended_hours": 0x2000,
    "derivatively_priced": 0x200,
}
LEAVE_OUT = (*SALE_CONDITIONS, "suspicious")
PRICE_SCALE = 10_000.0


def tape(
    trades: tables.TableSource | None = None,
    quotes: tables.TableSource | None = None,
    *,
    hours: Hours = "regular",
    leave_out: Sequence[str] = LEAVE_OUT,
    bad_rows: Policy = "error",
) -> Tape:
    """Read one day of trades, of quotes, or both; time is seconds after midnight, exchange time.

    What is filtered is counted in the report as filtered, by reason; rows merged into the last
    quote of their millisecond count as filtered too. Quotes are checked for crossing after the
    merge. A consolidated tape does cross now and then (IBM, 2013-10-08: 16 of 48 258 quotes):
    such a file needs ``bad_rows="drop"``.

    Args:
        trades: Table of trades.
        quotes: Table of one-sided quotes.
        hours: "regular" (9:30 ≤ time < 16:00), "all", or (start, end) in seconds after midnight.
            Of the quotes before the start the last one is kept: it prevails at the start.
        leave_out: Which of "auction" (opening and closing prints), "extended_hours",
            "derivatively_priced" (by sale condition) and "suspicious" (flagged by AlgoSeek) to
            filter out; those not named are kept and counted.
        bad_rows: "error" or "drop", as in `generic.tape`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: As `generic.tape`; or a wrong `hours` or `leave_out`.
        ImportError: pandas or pyarrow is not installed.
    """
    require_policy(bad_rows)
    span = _span(hours)
    for name in leave_out:
        if name not in LEAVE_OUT:
            raise ValueError(f"leave_out names must be among {LEAVE_OUT}, got {name!r}")
    return records.tape(
        None if trades is None else _trades(trades, span, leave_out, bad_rows),
        None if quotes is None else _quotes(quotes, span, leave_out, bad_rows),
    )


def is_layout(header: list[str]) -> bool:
    """Whether a table with these columns is one of Lean's tick files."""
    return "time_ms" in header and ("price_dc" in header or "bid_price_dc" in header)


def _span(hours: Hours) -> tuple[int, int]:
    """Hours as nanoseconds after midnight [start, end)."""
    if hours == "regular":
        hours = REGULAR_HOURS
    elif hours == "all":
        hours = (-np.inf, np.inf)
    if isinstance(hours, str) or len(hours) != 2 or not hours[0] < hours[1]:
        raise ValueError(f"hours must be 'regular', 'all' or (start, end) seconds, got {hours!r}")
    start, end = (int(np.clip(edge * 1e9, -(2.0**62), 2.0**62)) for edge in hours)
    return start, end


def _trades(
    source: tables.TableSource,
    span: tuple[int, int],
    leave_out: Sequence[str],
    bad_rows: Policy,
) -> Stream:
    condition_column = "sale_condition_hex"
    wanted = ["time_ms", "price_dc", "volume", condition_column]
    table = tables.load(source, wanted, optional=["suspicious"], text=[condition_column])
    ledger = tables.account(table)
    time_ns = tables.nanoseconds(table, ledger, "time_ms", "ms", "midnight")
    ledger.filter("outside hours", (time_ns < span[0]) | (time_ns >= span[1]))
    condition = _flags(table, ledger, condition_column)
    for name, bits in SALE_CONDITIONS.items():
        _leave_or_note(ledger, name, (condition & bits) != 0, leave_out)
    _suspicious(table, ledger, leave_out)
    price = generic.positive(table, ledger, "price_dc", PRICE_SCALE, PRICE)
    size = generic.positive(table, ledger, "volume", 1.0, SIZE)
    columns = {"time": "time_ms [ms since midnight]", "price": "price_dc / 10000", "size": "volume"}
    report = ledger.close(bad_rows, columns | {"sign": "not recorded"})
    kept = ledger.standing
    sign = np.zeros(report.kept, dtype=np.int8)
    return Stream(time_ns[kept], False, (price[kept], size[kept], sign), report)


def _quotes(
    source: tables.TableSource,
    span: tuple[int, int],
    leave_out: Sequence[str],
    bad_rows: Policy,
) -> Stream:
    sides = ("bid_price_dc", "bid_size", "ask_price_dc", "ask_size")
    table = tables.load(source, ["time_ms", *sides], optional=["suspicious"])
    ledger = tables.account(table)
    time_ns = tables.nanoseconds(table, ledger, "time_ms", "ms", "midnight")
    raw = {name: tables.numbers(table, ledger, name) for name in sides}
    for name in sides:
        ledger.bad(NEGATIVE, raw[name] < 0, [name])
    for side in ("bid", "ask"):
        price_name, size_name = f"{side}_price_dc", f"{side}_size"
        ledger.bad(SIZE, (raw[price_name] > 0) & (raw[size_name] == 0), [size_name])
    neither = (raw["bid_price_dc"] == 0) & (raw["ask_price_dc"] == 0)
    ledger.bad(PRICE, neither, ["bid_price_dc", "ask_price_dc"])
    _suspicious(table, ledger, leave_out)

    bid_row = _last_quoted(ledger.standing & (raw["bid_price_dc"] > 0))
    ask_row = _last_quoted(ledger.standing & (raw["ask_price_dc"] > 0))
    bid, bid_size = raw["bid_price_dc"][bid_row] / PRICE_SCALE, raw["bid_size"][bid_row]
    ask, ask_size = raw["ask_price_dc"][ask_row] / PRICE_SCALE, raw["ask_size"][ask_row]
    ledger.filter("merged into a later row of the same millisecond", _superseded(ledger, time_ns))
    ledger.filter("before both sides were quoted", (bid_row < 0) | (ask_row < 0))
    ledger.filter("outside hours", _outside(ledger, time_ns, span))
    ledger.bad(CROSSED, bid > ask, ["bid_price_dc", "ask_price_dc"], [bid, ask])
    ledger.note("locked quotes (bid equals ask)", bid == ask)
    columns = {"time": "time_ms [ms since midnight]"} | {
        "bid": "bid_price_dc / 10000, carried forward", "bid_size": "bid_size",
        "ask": "ask_price_dc / 10000, carried forward", "ask_size": "ask_size",
    }  # fmt: skip
    report = ledger.close(bad_rows, columns)
    kept = ledger.standing
    fields: tuple[Floats, ...] = (bid[kept], bid_size[kept], ask[kept], ask_size[kept])
    return Stream(time_ns[kept], False, fields, report)


def _flags(table: tables.Table, ledger: Ledger, column: str) -> npt.NDArray[np.int64]:
    """Hexadecimal bit flags as integers, shape (n,)."""
    codes, words = tables.pandas().factorize(table.frame[column])

    def parse(word: str) -> int:
        try:
            bits = int(word, 16)
        except ValueError:
            return -1
        return bits if bits < 2**63 else -1

    known = [parse(str(word)) for word in words]
    flags: npt.NDArray[np.int64] = np.array([*known, -1], dtype=np.int64)[codes]  # blank: code −1
    ledger.bad(NOT_UNDERSTOOD, flags < 0, [column])
    return flags


def _leave_or_note(ledger: Ledger, name: str, mask: Mask, leave_out: Sequence[str]) -> None:
    (ledger.filter if name in leave_out else ledger.note)(name.replace("_", " "), mask)


def _suspicious(table: tables.Table, ledger: Ledger, leave_out: Sequence[str]) -> None:
    if "suspicious" in table.frame.columns:
        flagged = tables.numbers(table, ledger, "suspicious") != 0
        _leave_or_note(ledger, "suspicious", flagged, leave_out)


def _last_quoted(quoted: Mask) -> npt.NDArray[np.intp]:
    """For each row the last row at or before it where `quoted`, or −1."""
    return np.maximum.accumulate(np.where(quoted, np.arange(quoted.size), -1))


def _superseded(ledger: Ledger, time_ns: Nanoseconds) -> Mask:
    """Standing rows followed by a standing row of the same time."""
    rows = np.flatnonzero(ledger.standing)
    mask = np.zeros(ledger.standing.size, dtype=bool)
    mask[rows[:-1]] = time_ns[rows[1:]] == time_ns[rows[:-1]]
    return mask


def _outside(ledger: Ledger, time_ns: Nanoseconds, span: tuple[int, int]) -> Mask:
    """Rows outside [start, end), but for the last standing one before the start."""
    before = time_ns < span[0]
    outside = before | (time_ns >= span[1])
    earlier = np.flatnonzero(before & ledger.standing)
    outside[earlier[-1:]] = False
    return outside
