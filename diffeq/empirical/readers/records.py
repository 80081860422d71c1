"""The records every reader returns: named tuples of numpy arrays of one length.

Time is float64 seconds after an `origin`: the midnight (UTC) before the first record where the
file states the date, midnight of the unstated day (origin None, exchange's local time) where it
only states the time of day. So near the origin a tick of a millisecond, microsecond or nanosecond
survives exactly (equal ticks stay equal, distinct ones distinct, up to 52 days from the origin),
which a strictly-earlier join needs; seconds since 1970 in float64 would blur 240 ns together.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from diffeq.empirical.bad_rows import Report

Floats = npt.NDArray[np.float64]
Nanoseconds = npt.NDArray[np.int64]
Signs = npt.NDArray[np.int8]
Origin = np.datetime64 | None

DAY_NS = 86_400 * 10**9


class Trades(NamedTuple):
    """Trades in time order, each array of shape (n,)."""

    time: Floats
    "seconds after the tape's origin, non-decreasing"
    price: Floats
    "price units, > 0"
    size: Floats
    "units traded, > 0"
    sign: Signs
    "the venue's word on the aggressor: +1 bought, −1 sold, 0 the venue does not say"


class Quotes(NamedTuple):
    """Best bid and ask in time order, each array of shape (n,); sizes NaN where not recorded."""

    time: Floats
    "seconds after the tape's origin, non-decreasing"
    bid: Floats
    "price units, > 0"
    bid_size: Floats
    "units"
    ask: Floats
    "price units, ≥ bid (equal: a locked quote)"
    ask_size: Floats
    "units"


class Tape(NamedTuple):
    """Trades and quotes on one clock; a side that was not read has length 0."""

    trades: Trades
    "the trades"
    quotes: Quotes
    "the quotes"
    origin: Origin
    "time 0: midnight UTC as datetime64[ns], or None: midnight, exchange time, of an unstated day"
    reports: tuple[Report, ...]
    "one account per file read, trades first"


class BookEvents(NamedTuple):
    """Order-book messages and the book after each one: n events, L levels."""

    time: Floats
    "seconds after midnight, exchange time, shape (n,)"
    type: Signs
    "1 new order, 2 partial cancel, 3 delete, 4 visible and 5 hidden execution, shape (n,)"
    order_id: npt.NDArray[np.int64]
    "shape (n,)"
    size: Floats
    "units, shape (n,)"
    price: Floats
    "price units, shape (n,)"
    direction: Signs
    "side of the limit order: +1 buy, −1 sell; an execution's aggressor is the other side; (n,)"
    ask: Floats
    "asks after the event, best first, NaN where a level is empty, shape (n, L)"
    ask_size: Floats
    "units, 0 where a level is empty, shape (n, L)"
    bid: Floats
    "bids after the event, best first, NaN where a level is empty, shape (n, L)"
    bid_size: Floats
    "units, 0 where a level is empty, shape (n, L)"
    reports: tuple[Report, ...]
    "account of the message file and of the orderbook file"


class OptionChain(NamedTuple):
    """Option quotes in file order, each array of shape (n,); blank sides NaN, where kept."""

    time: Floats
    "seconds after midnight, or after `origin`; NaN where the table states no time"
    expiry: npt.NDArray[np.datetime64]
    "datetime64[D]"
    strike: Floats
    "price units, > 0"
    is_call: npt.NDArray[np.bool_]
    "True for a call, False for a put"
    bid: Floats
    "price units"
    bid_size: Floats
    "contracts; 0: nobody quoted this side in the row's time bar, the price is carried over"
    ask: Floats
    "price units"
    ask_size: Floats
    "contracts, as bid_size"
    origin: Origin
    "time 0 as in Tape"
    report: Report
    "account of the file"


class Stream(NamedTuple):
    """One file's records before they are put on the tape's clock: integer times, float columns."""

    time_ns: Nanoseconds
    "nanoseconds after 1970 (dated) or after midnight"
    dated: bool
    "whether time_ns counts from 1970"
    columns: tuple[npt.NDArray[np.floating] | Signs, ...]
    "the record's other fields in order"
    report: Report
    "account of the file"


def origin_of(time_ns: Nanoseconds, dated: bool) -> Origin:
    """Midnight UTC before the first time (datetime64[ns]) when dated, else None."""
    return np.datetime64(int(time_ns.min()) // DAY_NS * DAY_NS, "ns") if dated else None


def seconds_after(time_ns: Nanoseconds, origin: Origin) -> Floats:
    """Float64 seconds after the origin; rounds once, from the exact integer difference."""
    start = 0 if origin is None else int(origin.astype(np.int64))
    return (time_ns - start) / 1e9


def tape(trades: Stream | None, quotes: Stream | None) -> Tape:
    """Put trades and quotes on one clock whose origin serves both.

    Raises:
        ValueError: Neither is given, or one is dated and the other states only the time of day.
    """
    streams = [stream for stream in (trades, quotes) if stream is not None]
    if not streams:
        raise ValueError("nothing to read: give trades, quotes or both")
    if len({stream.dated for stream in streams}) > 1:
        raise ValueError(
            "trades and quotes are on different clocks: "
            + ", ".join(
                f"{stream.report.file} {'is dated' if stream.dated else 'states only time of day'}"
                for stream in streams
            )
        )
    every_time = np.concatenate([stream.time_ns for stream in streams])
    origin = origin_of(every_time, streams[0].dated)

    def fields(stream: Stream | None, count: int) -> tuple[npt.NDArray[np.floating] | Signs, ...]:
        if stream is None:
            return (np.empty(0),) * count
        return (seconds_after(stream.time_ns, origin), *stream.columns)

    time, price, size, sign = fields(trades, 4)
    return Tape(
        Trades(
            np.asarray(time, np.float64),
            np.asarray(price, np.float64),
            np.asarray(size, np.float64),
            np.asarray(sign, np.int8),
        ),
        Quotes(*(np.asarray(x, np.float64) for x in fields(quotes, 5))),
        origin,
        tuple(stream.report for stream in streams),
    )
