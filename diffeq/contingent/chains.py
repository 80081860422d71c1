"""Option quotes in any form a calibration may be given, as the smile of one expiry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diffeq.empirical import smile as smiles
from diffeq.empirical.bad_rows import Policy, Report
from diffeq.empirical.readers import options, tables
from diffeq.empirical.readers.records import OptionChain

if TYPE_CHECKING:
    from diffeq.empirical.smile import Smile


def smile_of(
    chain: Smile | OptionChain | tables.TableSource,
    expiry: Any,
    as_of: Any,
    discount: float | None,
    bad_rows: Policy = "error",
) -> Smile:
    """The smile of one expiry, from what :func:`diffeq.contingent.calibrate_smile` takes."""
    if isinstance(chain, smiles.Smile):
        if expiry is not None or as_of is not None or discount is not None:
            raise ValueError("expiry, as_of, discount: a Smile has its own; give quotes instead")
        return chain
    mids = False
    if not isinstance(chain, OptionChain):
        chain, mids = _read(chain, bad_rows)
    if expiry is None:
        has = np.unique(chain.expiry)
        if has.size != 1:
            raise ValueError(f"expiry: expected one of {', '.join(map(str, has))}, got None")
        expiry = has[0]
    smile = smiles.smile(chain, expiry, as_of=as_of, discount=discount)
    smile = smile._replace(report=_joined(chain.report, smile.report))
    if not mids:
        return smile
    unknown, n = np.full_like(smile.volatility, np.nan), len(smile.strike)
    return smile._replace(bid_volatility=unknown, ask_volatility=unknown, weights=np.full(n, 1 / n))


def _joined(reading: Report, choosing: Report) -> Report:
    """The account of every row of the file: left out by the reader, then by the smile."""
    filtered = dict(reading.filtered)
    for reason, count in choosing.filtered.items():
        filtered[reason] = filtered.get(reason, 0) + count
    return choosing._replace(
        columns={**reading.columns, **choosing.columns},
        rows_read=reading.rows_read,
        filtered=filtered,
        bad=reading.bad,
        first_bad=reading.first_bad,
    )


def _read(table: tables.TableSource, bad_rows: Policy) -> tuple[OptionChain, bool]:
    """The quotes of a table, and whether it has mids only."""
    header = tables.columns(table)
    layout = options.ChainLayout(bid_size=None, ask_size=None)
    if "mid" in header and not {"bid", "ask"} <= set(header):
        frame = tables.load(table, ["expiry", "type", "strike", "mid"]).frame
        mid = np.asarray(frame["mid"], float)
        if not (mid > 0).all():
            row = int(np.argmin(mid > 0))
            raise ValueError(f"mid: expected positive numbers, got {mid[row]} in row {row}")
        near = 1e-6 * mid.min()  # a spread for form's sake, the same for all
        frame = frame.assign(bid=mid - near, ask=mid + near)
        return options.chain(frame, layout, bad_rows=bad_rows), True
    if {"bid", "ask", "strike"} <= set(header) and "bid_size" not in header:
        return options.chain(table, layout, bad_rows=bad_rows), False
    return options.chain(table, bad_rows=bad_rows), False
