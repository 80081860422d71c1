"""A tape, read or simulated, signed and cut into days of auctions: what the tour calibrates to."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from diffeq import holden
from diffeq.empirical import impact, insiders, readers, signing, simulated
from diffeq.empirical.readers.records import Quotes, Tape

TRUTH = insiders.TapeParams(sigma_v=2.5, sigma_u=5000.0, num_insiders=2.0, sigma_e=0.5)
"""The market behind the simulated tape."""
NUM_DAYS = 40
"""Days of the simulated tape."""
STEPS = 5
"""Subintervals of an auction, for the regression that shows lambda_n."""


class Sample(NamedTuple):
    """A tape cut into D days of N auctions, and each auction into steps."""

    price_change: np.ndarray[Any, Any]
    """(D, N, steps)"""
    flow: np.ndarray[Any, Any]
    """(D, N, steps)"""
    hour: np.ndarray[Any, Any]
    """Middle of each auction of the first day, in hours after midnight, (N,)."""
    source: str
    """What was read, in words."""
    signing: str
    """How trades were signed, and how well if that is known."""


def simulate(num_auctions: int) -> Sample:
    """A tape of the market `TRUTH`, each day of it a day of auctions."""
    params = holden.Params(TRUTH.sigma_v, TRUTH.sigma_u, TRUTH.num_insiders)
    tape = simulated.tape(
        jax.random.key(7),
        params,
        num_auctions=num_auctions,
        num_days=NUM_DAYS,
        sigma_e=TRUTH.sigma_e,
    )
    opens = [simulated.OPEN + 86_400.0 * day for day in range(NUM_DAYS)]
    days = [(start, start + simulated.HOURS) for start in opens]
    source = f"a simulated tape: {NUM_DAYS} days of {num_auctions} auctions"
    return _cut(tape, days, num_auctions, source, has_quotes=True)


def read(
    trades: Path, quotes: Path | None, num_auctions: int, bad_rows: Literal["error", "drop"]
) -> Sample:
    """A recorded tape as one day of auctions; without quotes the mid is the last trade's price."""
    tape = readers.tape(trades, quotes, bad_rows=bad_rows)
    source = "; ".join(str(report).splitlines()[0] for report in tape.reports)
    if not tape.quotes.time.size:
        tape, source = _mids_from_trades(tape), source + "; no quotes, the mid is the last price"
    days = [(max(tape.quotes.time[0], tape.trades.time[0]), tape.quotes.time[-1])]
    return _cut(tape, days, num_auctions, source, has_quotes=quotes is not None)


def _cut(
    tape: Tape,
    days: list[tuple[float, float]],
    num_auctions: int,
    source: str,
    *,
    has_quotes: bool,
) -> Sample:
    """Sign the trades, and cut each day, from and to these seconds, into auctions and steps."""
    sign, how = _signs(tape, has_quotes=has_quotes)
    cuts = [
        impact.intervals(tape, sign, num_intervals=num_auctions * STEPS, start=a, end=b)
        for a, b in days
    ]
    shape = (len(cuts), num_auctions, STEPS)
    change = np.stack([cut.mid_change for cut in cuts]).reshape(shape)
    flow = np.stack([cut.signed_flow for cut in cuts]).reshape(shape)
    middle = cuts[0].start.reshape(num_auctions, STEPS).mean(axis=1) + cuts[0].width / 2
    return Sample(change, flow, middle / 3600, source, how)


def _mids_from_trades(tape: Tape) -> Tape:
    """Quotes that follow the trades: without a quotes file the last price stands for the mid."""
    time, price = tape.trades.time, tape.trades.price
    nothing = np.full(time.size, np.nan)
    return tape._replace(quotes=Quotes(time, price, nothing, price, nothing))


def _signs(tape: Tape, *, has_quotes: bool) -> tuple[Any, str]:
    """The venue's flag where there is one, then Lee–Ready, then the tick rule; and how it did."""
    flag = tape.trades.sign
    if not np.any(flag != 0):
        if has_quotes:
            return signing.lee_ready(tape.trades, tape.quotes), "Lee–Ready (the file has no flag)"
        return signing.tick_rule(tape.trades.price), "the tick rule (no flag, no quotes)"
    if not has_quotes:
        return flag, "the venue's own flag"
    accuracy = signing.accuracy(signing.lee_ready(tape.trades, tape.quotes), flag)
    return flag, f"the venue's own flag (Lee–Ready agrees on {accuracy.agreement:.2%} of trades)"
