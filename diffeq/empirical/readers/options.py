"""Tables of option quotes: one row a contract, or a contract and time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from diffeq.empirical.bad_rows import (
    CROSSED,
    DUPLICATE,
    NEGATIVE,
    NOT_UNDERSTOOD,
    PRICE,
    Ledger,
    Policy,
    require_policy,
)
from diffeq.empirical.readers import generic, headers, records, tables
from diffeq.empirical.readers.records import Floats, OptionChain

_TYPE_WORDS = {"call": 1, "c": 1, "put": -1, "p": -1}


class ChainLayout(NamedTuple):
    """How a table of option quotes is laid out."""

    expiry: str = "expiry"
    "column of the expiry date: YYYYMMDD or ISO 8601"
    type: str = "type"
    "column of the type: call or put, c or p"
    strike: str = "strike"
    "column of the strike"
    bid: str = "bid"
    "column of the bid"
    ask: str = "ask"
    "column of the ask"
    bid_size: str | None = "bid_size"
    "column of the size at the bid, or None"
    ask_size: str | None = "ask_size"
    "column of the size at the ask, or None"
    time: str | None = None
    "column of the time, in any order, or None: one snapshot"
    time_unit: tables.TimeUnit = "s"
    "unit of the time"
    clock: tables.Clock = "midnight"
    "whether the time counts from 1970, UTC, or from midnight"
    price_scale: float = 1.0
    "price = column / price_scale"
    strike_scale: float = 1.0
    "strike = column / strike_scale"


LEAN_EQUITY = ChainLayout(
    strike="strike_dc",
    bid="bid_close_dc",
    ask="ask_close_dc",
    time="last_quote_time_ms",
    time_unit="ms",
    price_scale=10_000.0,
    strike_scale=10_000.0,
)
"""Lean's minute bars of equity options, closes: prices and strikes × 10 000."""

LEAN_FUTURE = LEAN_EQUITY._replace(
    bid="bid_close_pts", ask="ask_close_pts", time="time_ms", price_scale=1.0
)
"""Lean's minute bars of options on futures, closes: strikes × 10 000, prices in index points."""


def chain(
    source: tables.TableSource,
    layout: ChainLayout | None = None,
    *,
    keep_one_sided: bool = False,
    bad_rows: Policy = "error",
) -> OptionChain:
    """Read a table of option quotes.

    A blank or zero bid or ask means nobody quotes that side: such rows are filtered. Size 0 is
    legal, counted. Bad rows: not a number, a date or type not understood, strike not positive,
    negative price or size, crossed, a contract twice at one time.

    Args:
        source: CSV (gzipped or not) or Parquet file, or a DataFrame.
        layout: Column map; default LEAN_EQUITY or LEAN_FUTURE if it fits, else `ChainLayout()`.
        keep_one_sided: Keep contracts with a blank side, NaN.
        bad_rows: "error" or "drop", as in `generic.tape`.

    Raises:
        FileNotFoundError, ValueError, ImportError: As `generic.tape`.
    """
    require_policy(bad_rows)
    layout = layout or _recognised(tables.columns(source))
    layout = headers.as_spelled(source, layout, ChainLayout._fields[:8])
    table = tables.load(source, [name for name in layout[:8] if name is not None])
    ledger = tables.account(table)
    time_ns, expiry = _times(table, ledger, layout), _dates(table, ledger, layout.expiry)
    is_call = tables.categories(table, ledger, layout.type, _TYPE_WORDS) > 0
    strike = generic.positive(table, ledger, layout.strike, layout.strike_scale, PRICE)
    bid, ask = (_side(table, ledger, name, layout.price_scale) for name in (layout.bid, layout.ask))
    bid_size, ask_size = (_size(table, ledger, name) for name in (layout.bid_size, layout.ask_size))
    ledger.bad(DUPLICATE, _repeated(time_ns, expiry, is_call, strike), [layout.strike])
    ledger.bad(CROSSED, bid > ask, [layout.bid, layout.ask])
    one_sided = ledger.note if keep_one_sided else ledger.filter
    one_sided("a side without a price", np.isnan(bid + ask))
    _note_sides(ledger, bid, bid_size, ask, ask_size)
    report, kept = ledger.close(bad_rows, _stated(layout)), ledger.standing
    time, origin = _on_clock(time_ns[kept], layout)
    return OptionChain(
        time=time,
        expiry=expiry[kept],
        strike=strike[kept],
        is_call=is_call[kept],
        bid=bid[kept],
        bid_size=bid_size[kept],
        ask=ask[kept],
        ask_size=ask_size[kept],
        origin=origin,
        report=report,
    )


def _note_sides(
    ledger: Ledger, bid: Floats, bid_size: Floats, ask: Floats, ask_size: Floats
) -> None:
    """Count what is legal but worth knowing."""
    ledger.note("locked quotes (bid equals ask)", bid == ask)
    ledger.note("a side of size 0 (price carried over)", (bid_size == 0) | (ask_size == 0))


def _recognised(header: list[str]) -> ChainLayout:
    for layout in (LEAN_EQUITY, LEAN_FUTURE):
        if {layout.bid, layout.ask, layout.strike} <= set(header):
            return layout
    return ChainLayout()


def _times(table: tables.Table, ledger: Ledger, layout: ChainLayout) -> records.Nanoseconds:
    if layout.time is None:
        return np.zeros(table.num_rows, dtype=np.int64)
    return tables.nanoseconds(
        table, ledger, layout.time, layout.time_unit, layout.clock, ordered=False
    )


def _on_clock(time_ns: records.Nanoseconds, layout: ChainLayout) -> tuple[Floats, records.Origin]:
    """Seconds after the origin, and the origin; NaN for a table without times."""
    if layout.time is None:
        return np.full(time_ns.size, np.nan), None
    origin = records.origin_of(time_ns, layout.clock == "epoch")
    return records.seconds_after(time_ns, origin), origin


def _dates(table: tables.Table, ledger: Ledger, column: str) -> npt.NDArray[np.datetime64]:
    """Dates, shape (n,), from YYYYMMDD numbers or ISO 8601 text; NaT where not understood."""
    pd = tables.pandas()
    codes, words = pd.factorize(table.frame[column])
    text = pd.Series([str(word).strip().removesuffix(".0") for word in words], dtype="object")
    text = text.where(text.str.len() >= 8)  # "2016-02" names no day
    days = pd.to_datetime(text, errors="coerce", format="ISO8601").to_numpy("datetime64[D]")
    dates: npt.NDArray[np.datetime64] = np.append(days, np.datetime64("NaT", "D"))[codes]
    ledger.bad(NOT_UNDERSTOOD, np.isnat(dates), [column])
    return dates


def _side(table: tables.Table, ledger: Ledger, column: str, scale: float) -> Floats:
    """Prices, NaN where nobody quotes."""
    values = tables.numbers(table, ledger, column, blank_is_bad=False)
    ledger.bad(NEGATIVE, values < 0, [column])
    return np.where(values == 0, np.nan, values / scale)


def _size(table: tables.Table, ledger: Ledger, column: str | None) -> Floats:
    if column is None:
        return np.full(table.num_rows, np.nan)
    values = tables.numbers(table, ledger, column)
    ledger.bad(NEGATIVE, values < 0, [column])
    return values


def _repeated(*keys: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Rows whose keys all equal those of an earlier row."""
    frame = tables.pandas().DataFrame(dict(enumerate(keys)))
    repeated: npt.NDArray[np.bool_] = frame.duplicated().to_numpy()
    return repeated


def _stated(layout: ChainLayout) -> dict[str, str]:
    stated = {
        field: getattr(layout, field) or "not recorded"
        for field in ("expiry", "type", "strike", "bid", "bid_size", "ask", "ask_size", "time")
    }
    for field, scale in (
        ("strike", layout.strike_scale),
        ("bid", layout.price_scale),
        ("ask", layout.price_scale),
    ):
        stated[field] += "" if scale == 1 else f" / {scale:g}"
    if layout.time is not None:
        stated["time"] += f" [{layout.time_unit} since {layout.clock}]"
    return stated
