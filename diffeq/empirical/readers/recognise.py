"""Tell a tape's layout from its first line."""

from __future__ import annotations

import os
from typing import Any, Literal, get_args

from diffeq.empirical.bad_rows import Policy, require_policy
from diffeq.empirical.readers import binance, generic, headers, lean, lobster, tables
from diffeq.empirical.readers.records import Tape

Layout = Literal["binance", "lean", "lobster", "generic"]


def layout(source: tables.TableSource) -> Layout:
    """The layout of a table of trades or quotes, by its column names.

    "generic" is a table with columns time, price and size, or time, bid and ask, in any capitals.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is empty or unreadable, or no layout fits (the message lists its
            columns and what would fit).
        ImportError: pandas or pyarrow is not installed.
    """
    header = tables.columns(source)
    if lean.is_layout(header):
        return "lean"
    plain = headers.plain(header)
    if {"time", "price", "size"} <= plain or {"time", "bid", "ask"} <= plain:
        return "generic"
    if binance.is_layout(header):
        return "binance"
    if lobster.is_layout(header):
        return "lobster"
    raise ValueError(
        f"{tables.name(source)}: no known layout has the columns {', '.join(map(repr, header))}. "
        "Known: Binance (T, p, q, m; b, B, a, A), Lean (time_ms, price_dc, ...), LOBSTER (six "
        "numbers, no header), or time, price, size and time, bid, ask; for others state the "
        "columns to readers.generic.tape" + tables.separator_hint(header)
    )


def tape(
    trades: tables.TableSource | None = None,
    quotes: tables.TableSource | None = None,
    *,
    layout: Layout | Literal["auto"] = "auto",
    bad_rows: Policy = "error",
    **options: Any,
) -> Tape:
    """Read a tape whose layout is told from the first line of its trades (or quotes).

    Args:
        trades: Table of trades; for LOBSTER the message file.
        quotes: Table of quotes; for LOBSTER the orderbook file, and needed.
        layout: "binance", "lean", "lobster", "generic", or "auto".
        bad_rows: "error" raises on the first bad row, "drop" leaves bad rows out and counts them.
        **options: Passed to the layout's own `tape` (`hours` for Lean, `time` for Binance, ...).

    Raises:
        FileNotFoundError: No such file.
        ValueError: As the layout's own `tape`, and as `layout`.
        ImportError: pandas or pyarrow is not installed.
    """
    require_policy(bad_rows)
    source = quotes if trades is None else trades
    if source is None:
        raise ValueError("nothing to read: give trades, quotes or both")
    if layout not in (*get_args(Layout), "auto"):
        raise ValueError(f"layout must be 'auto' or one of {get_args(Layout)}, got {layout!r}")
    found = _layout(source) if layout == "auto" else layout
    if found == "lobster":
        if not (isinstance(trades, str | os.PathLike) and isinstance(quotes, str | os.PathLike)):
            raise ValueError("LOBSTER needs two files: trades=message file, quotes=orderbook file")
        return lobster.tape(trades, quotes, bad_rows=bad_rows, **options)
    if found == "binance":
        return binance.tape(trades, quotes, bad_rows=bad_rows, **options)
    if found == "lean":
        return lean.tape(trades, quotes, bad_rows=bad_rows, **options)
    return generic.tape(trades, quotes, bad_rows=bad_rows, **options)


_layout = layout  # `tape` has an argument of this name
