"""Any table of trades or quotes, by a stated column map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from diffeq.empirical.bad_rows import CROSSED, PRICE, SIZE, Ledger, Policy, require_policy
from diffeq.empirical.readers import headers, records, tables
from diffeq.empirical.readers.records import Floats, Stream, Tape

SIGN_WORDS: Mapping[str, int] = {
    "1": 1, "+1": 1, "b": 1, "buy": 1, "buyer": 1, "bid": 1,
    "-1": -1, "s": -1, "sell": -1, "seller": -1, "ask": -1,
    "0": 0, "unknown": 0,
}  # fmt: skip

TRADE_COLUMNS = ("time", "price", "size", "sign")
QUOTE_COLUMNS = ("time", "bid", "bid_size", "ask", "ask_size")


class TradeLayout(NamedTuple):
    """How a table of trades is laid out: their column names, units and words."""

    time: str = "time"
    "column of the time; it must not go backwards"
    price: str = "price"
    "column of the price"
    size: str = "size"
    "column of the number of units traded"
    sign: str | None = None
    "column of the aggressor's side, or None: the file does not say"
    time_unit: tables.TimeUnit = "s"
    "unit of the time column; 'datetime' for dates and ISO 8601 text"
    clock: tables.ClockOrAuto = "auto"
    "whether the time counts from 1970, UTC, or from midnight, exchange time; auto: by its size"
    price_scale: float = 1.0
    "price = column / price_scale (10 000 where prices are in ten-thousandths)"
    size_scale: float = 1.0
    "size = column / size_scale"
    sign_words: Mapping[str, int] = SIGN_WORDS
    "what the sign column's words mean, lower case: +1 bought, −1 sold, 0 unknown"


class QuoteLayout(NamedTuple):
    """How a table of best bids and asks is laid out."""

    time: str = "time"
    "column of the time; it must not go backwards"
    bid: str = "bid"
    "column of the best bid"
    ask: str = "ask"
    "column of the best ask"
    bid_size: str | None = "bid_size"
    "column of the size at the bid, or None: not recorded (sizes come back NaN)"
    ask_size: str | None = "ask_size"
    "column of the size at the ask, or None"
    time_unit: tables.TimeUnit = "s"
    "as in TradeLayout"
    clock: tables.ClockOrAuto = "auto"
    "as in TradeLayout"
    price_scale: float = 1.0
    "as in TradeLayout"
    size_scale: float = 1.0
    "as in TradeLayout"


def tape(
    trades: tables.TableSource | None = None,
    quotes: tables.TableSource | None = None,
    *,
    trade_layout: TradeLayout | None = None,
    quote_layout: QuoteLayout | None = None,
    bad_rows: Policy = "error",
) -> Tape:
    """Read trades, quotes or both from CSV (gzipped or not), Parquet or DataFrames.

    The map used is stated in each report. Bad rows: a cell that is not a number, a sign that is
    not understood, a price or size zero or negative, a crossed quote, a time that goes backwards.
    Locked quotes (bid = ask) are legal and counted. A column is found as named, else by the one
    name that differs in capitals or spaces around it only.

    Args:
        trades: Table of trades.
        quotes: Table of quotes.
        trade_layout: Column map of the trades; by default columns named time, price and size, and
            sign if there is one.
        quote_layout: Column map of the quotes; by default columns named time, bid, ask, bid_size
            and ask_size.
        bad_rows: "error" raises on the first bad row, "drop" leaves bad rows out and counts them.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Bad rows under "error"; an empty or unreadable file; a missing or ambiguous
            column; a wrong option; a time unit or clock that cannot be right.
        ImportError: pandas or pyarrow is not installed.
    """
    require_policy(bad_rows)
    trade_stream = quote_stream = None
    if trades is not None:
        if trade_layout is None:
            there = headers.plain(tables.columns(trades))
            trade_layout = TradeLayout(sign="sign" if "sign" in there else None)
        trade_layout = headers.as_spelled(trades, trade_layout, TRADE_COLUMNS)
        trade_stream = trade_stream_of(trades, trade_layout, bad_rows)
    if quotes is not None:
        if quote_layout is None:
            there = headers.plain(tables.columns(quotes))
            quote_layout = QuoteLayout(
                bid_size="bid_size" if "bid_size" in there else None,
                ask_size="ask_size" if "ask_size" in there else None,
            )
        quote_layout = headers.as_spelled(quotes, quote_layout, QUOTE_COLUMNS)
        quote_stream = quote_stream_of(quotes, quote_layout, bad_rows)
    return records.tape(trade_stream, quote_stream)


def trade_stream_of(source: tables.TableSource, layout: TradeLayout, bad_rows: Policy) -> Stream:
    """Read a table of trades; other layouts' readers build on it."""
    wanted = [layout.time, layout.price, layout.size]
    if layout.sign is not None:
        wanted.append(layout.sign)
    table = tables.load(source, wanted)
    ledger = tables.account(table)
    clock = tables.clock_of(table, layout.time, layout.time_unit, layout.clock)
    layout = layout._replace(clock=clock)
    time_ns = tables.nanoseconds(table, ledger, layout.time, layout.time_unit, clock)
    price = positive(table, ledger, layout.price, layout.price_scale, PRICE)
    size = positive(table, ledger, layout.size, layout.size_scale, SIZE)
    sign = np.zeros(table.num_rows, dtype=np.int8)
    if layout.sign is not None:
        sign = tables.categories(table, ledger, layout.sign, layout.sign_words)
    report = ledger.close(bad_rows, _stated(layout, TRADE_COLUMNS))
    kept = ledger.standing
    fields = (price[kept], size[kept], sign[kept])
    return Stream(time_ns[kept], clock == "epoch", fields, report)


def quote_stream_of(source: tables.TableSource, layout: QuoteLayout, bad_rows: Policy) -> Stream:
    """Read a table of two-sided quotes; other layouts' readers build on it."""
    sizes = [name for name in (layout.bid_size, layout.ask_size) if name is not None]
    table = tables.load(source, [layout.time, layout.bid, layout.ask, *sizes])
    ledger = tables.account(table)
    clock = tables.clock_of(table, layout.time, layout.time_unit, layout.clock)
    layout = layout._replace(clock=clock)
    time_ns = tables.nanoseconds(table, ledger, layout.time, layout.time_unit, clock)
    bid = positive(table, ledger, layout.bid, layout.price_scale, PRICE)
    ask = positive(table, ledger, layout.ask, layout.price_scale, PRICE)

    def size_of(column: str | None) -> Floats:
        if column is None:
            return np.full(table.num_rows, np.nan)
        return positive(table, ledger, column, layout.size_scale, SIZE)

    bid_size, ask_size = size_of(layout.bid_size), size_of(layout.ask_size)
    ledger.bad(CROSSED, bid > ask, [layout.bid, layout.ask])
    ledger.note("locked quotes (bid equals ask)", bid == ask)
    report = ledger.close(bad_rows, _stated(layout, QUOTE_COLUMNS))
    kept = ledger.standing
    fields = (bid[kept], bid_size[kept], ask[kept], ask_size[kept])
    return Stream(time_ns[kept], clock == "epoch", fields, report)


def positive(table: tables.Table, ledger: Ledger, column: str, scale: float, kind: str) -> Floats:
    """A column divided by `scale`, shape (n,); what is not a number > 0 is entered as bad."""
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"the scale of column {column!r} must be positive, got {scale}")
    values = tables.numbers(table, ledger, column)
    ledger.bad(kind, values <= 0, [column])
    return values / scale


def _stated(layout: TradeLayout | QuoteLayout, fields: tuple[str, ...]) -> dict[str, str]:
    """The column map in words."""
    stated: dict[str, str] = {}
    for field in fields:
        column = getattr(layout, field)
        if column is None:
            stated[field] = "not recorded"
        elif field == "time":
            since = "1970 UTC" if layout.clock == "epoch" else "midnight"
            stated[field] = f"{column} [{layout.time_unit} since {since}]"
        elif field == "sign":
            stated[field] = column
        else:
            scale = layout.size_scale if field.endswith("size") else layout.price_scale
            stated[field] = column if scale == 1 else f"{column} / {scale:g}"
    return stated
