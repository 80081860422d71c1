"""LOBSTER message and orderbook files (no header), https://lobsterdata.com.

Message: time (s after midnight), type, order id, size, price × 10 000, direction of the *limit*
order. Orderbook, the state after the message in the same row: ask, ask size, bid, bid size, level
by level, ±9999999999 where a level is empty.
"""

import os

import numpy as np

from diffeq.empirical.bad_rows import (
    AUCTION,
    CROSSED,
    HALT,
    NOT_UNDERSTOOD,
    PRICE,
    SIZE,
    Ledger,
    Policy,
    require_policy,
)
from diffeq.empirical.readers import records, tables
from diffeq.empirical.readers.records import BookEvents, Floats, Stream, Tape

PRICE_SCALE = 10_000.0
EMPTY = 9_999_999_999.0
EXECUTIONS = (4, 5)  # visible, hidden
CROSS, HALTED = 6, 7

_MESSAGE = ("time", "type", "order_id", "size", "price", "direction")
_STATED = {name: f"{name}, column {place}" for place, name in enumerate(_MESSAGE, 1)}
_STATED |= {"time": "time [s since midnight], column 1", "price": "price / 10000, column 5"}


def events(
    messages: str | os.PathLike[str],
    orderbook: str | os.PathLike[str],
    *,
    bad_rows: Policy = "error",
) -> BookEvents:
    """Read every message and the book after it, all levels in the file.

    A bad row in either file takes out the row of both. Bad rows: as in `generic.tape`, and cross
    (auction) trades, type 6, and halt messages, type 7: a file with those needs
    ``bad_rows="drop"``. Only the halt's own message is taken out, not what follows it.

    Args:
        messages: Message file (CSV, gzipped or not).
        orderbook: Orderbook file of the same day, row by row.
        bad_rows: "error" or "drop", as in `generic.tape`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: As `generic.tape`; or the files have different numbers of rows; or the
            orderbook's columns are not four a level.
        ImportError: pandas or pyarrow is not installed.
    """
    require_policy(bad_rows)
    table, book, book_columns = _open_pair(messages, orderbook)
    ledger, book_ledger = tables.account(table), tables.account(book)
    time_ns = tables.nanoseconds(table, ledger, "time", "s", "midnight")
    message = _check_messages(table, ledger)
    depth = _check_book(book, book_ledger, book_columns)
    ledger.filter(f"bad row of {book.name}", ~book_ledger.standing)
    book_ledger.filter(f"row left out of {table.name}", ~ledger.standing)
    report = ledger.close(bad_rows, _STATED)
    levels = {"levels": f"{len(book_columns) // 4}, prices / 10000"}
    book_report = book_ledger.close(bad_rows, levels)
    kept = ledger.standing
    return BookEvents(
        time=records.seconds_after(time_ns[kept], None),
        type=message["type"][kept].astype(np.int8),
        order_id=tables.integers(table, "order_id")[kept],  # a float would round the long ones
        size=message["size"][kept],
        price=message["price"][kept] / PRICE_SCALE,
        direction=message["direction"][kept].astype(np.int8),
        **{side: values[kept] for side, values in depth.items()},
        reports=(report, book_report),
    )


def tape(
    messages: str | os.PathLike[str],
    orderbook: str | os.PathLike[str],
    *,
    bad_rows: Policy = "error",
) -> Tape:
    """Read executions (types 4 and 5) as trades and the first level as quotes.

    The aggressor's sign is minus the direction of the limit order executed. Events that leave a
    side of the book empty give no quote; they are counted as filtered. Arguments and errors as in
    `events`.
    """
    read = events(messages, orderbook, bad_rows=bad_rows)
    report, book_report = read.reports
    traded = np.isin(read.type, EXECUTIONS)
    two_sided = np.isfinite(read.ask[:, 0]) & np.isfinite(read.bid[:, 0])
    if not two_sided.any():
        raise ValueError(f"{book_report.file}: one side of the book is empty in every row")
    locked = int(np.count_nonzero(read.ask[two_sided, 0] == read.bid[two_sided, 0]))
    time_ns = np.rint(read.time * 1e9).astype(np.int64)
    trades = (read.price[traded], read.size[traded], (-read.direction[traded]).astype(np.int8))
    sides = (read.bid, read.bid_size, read.ask, read.ask_size)
    report = report._replace(
        kept=int(traded.sum()),
        filtered=report.filtered | _nonzero("not an execution", ~traded),
        columns=report.columns | {"sign": "−direction"},
    )
    book_report = book_report._replace(
        kept=int(two_sided.sum()),
        filtered=book_report.filtered | _nonzero("an empty side of the book", ~two_sided),
        counted={"locked quotes (bid equals ask)": locked} if locked else {},
    )
    quotes = tuple(side[two_sided, 0] for side in sides)
    return records.tape(
        Stream(time_ns[traded], False, trades, report),
        Stream(time_ns[two_sided], False, quotes, book_report),
    )


def is_layout(header: list[str]) -> bool:
    """Whether a file whose first line is this is a LOBSTER message file."""

    def is_number(text: str) -> bool:
        try:
            float(text)
        except ValueError:
            return False
        return True

    return len(header) == len(_MESSAGE) and all(map(is_number, header))


def _open_pair(
    messages: str | os.PathLike[str], orderbook: str | os.PathLike[str]
) -> tuple[tables.Table, tables.Table, list[str]]:
    """Both files, and the names of the orderbook's columns."""
    table = tables.load(messages, _MESSAGE, header=False)
    book_columns = _book_columns(orderbook)
    book = tables.load(orderbook, book_columns, header=False)
    if table.num_rows != book.num_rows:
        raise ValueError(
            f"{table.name} has {table.num_rows} rows and {book.name} has {book.num_rows}: "
            "they must match row by row"
        )
    return table, book, book_columns


def _book_columns(orderbook: str | os.PathLike[str]) -> list[str]:
    width = len(tables.columns(orderbook))
    if width % 4:
        raise ValueError(
            f"{os.fspath(orderbook)} has {width} columns; an orderbook file has four a level: "
            "ask, ask size, bid, bid size"
        )
    sides = ("ask", "ask_size", "bid", "bid_size")
    return [f"{side}_{level}" for level in range(1, width // 4 + 1) for side in sides]


def _check_messages(table: tables.Table, ledger: Ledger) -> dict[str, Floats]:
    """The message's numbers in file units, with its bad rows entered."""
    found = {name: tables.numbers(table, ledger, name) for name in _MESSAGE[1:]}
    ledger.bad(NOT_UNDERSTOOD, ~np.isin(found["type"], range(1, HALTED + 1)), ["type"])
    ledger.bad(NOT_UNDERSTOOD, np.abs(found["order_id"]) >= 2.0**63, ["order_id"])
    ledger.bad(HALT, found["type"] == HALTED, ["type"])
    ledger.bad(AUCTION, found["type"] == CROSS, ["type"])
    ledger.bad(NOT_UNDERSTOOD, np.abs(found["direction"]) != 1, ["direction"])
    ledger.bad(PRICE, found["price"] <= 0, ["price"])
    ledger.bad(SIZE, found["size"] <= 0, ["size"])
    return {name: np.nan_to_num(values, posinf=0, neginf=0) for name, values in found.items()}


def _check_book(book: tables.Table, ledger: Ledger, columns: list[str]) -> dict[str, Floats]:
    """The book's sides, each of shape (n, levels), with its bad rows entered."""
    found = {name: tables.numbers(book, ledger, name) for name in columns}
    for name, values in found.items():
        if "size" in name:
            price = found[name.replace("size_", "")]
            ledger.bad(SIZE, (np.abs(price) != EMPTY) & (values <= 0), [name])
            found[name] = np.where(np.abs(price) == EMPTY, 0.0, values)
        else:
            ledger.bad(PRICE, (np.abs(values) != EMPTY) & (values <= 0), [name])
    for name in columns:
        if "size" not in name:
            values = found[name]
            found[name] = np.where(np.abs(values) == EMPTY, np.nan, values / PRICE_SCALE)
    ledger.bad(CROSSED, found["bid_1"] > found["ask_1"], ["bid_1", "ask_1"])
    return {
        side: np.stack([found[name] for name in columns if name.rpartition("_")[0] == side], axis=1)
        for side in ("ask", "ask_size", "bid", "bid_size")
    }


def _nonzero(reason: str, mask: np.ndarray) -> dict[str, int]:
    count = int(np.count_nonzero(mask))
    return {reason: count} if count else {}
