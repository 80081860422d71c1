"""A tape with known parameters: trades and quotes of a Holden–Subrahmanyam market.

What an estimator is tried on before it sees real records, and what the tour uses when it is given
no file: the true signs, lambda_n and parameters are known.
"""

import jax
import numpy as np

from diffeq import holden
from diffeq.check import check
from diffeq.empirical.readers.records import Quotes, Tape, Trades

OPEN = 9.5 * 3600.0
"""Start of each day's trading, seconds after midnight."""
HOURS = 6.5 * 3600.0
"""Length of the trading day in seconds."""
_DAY = 86_400.0


def tape(
    key: jax.Array,
    params: holden.Params,
    *,
    num_auctions: int,
    num_days: int,
    sigma_e: float = 0.0,
    trades_per_auction: int = 20,
    half_spread: float = 0.01,
) -> Tape:
    """Simulate days of N auctions, each auction broken into trades.

    The flow of an auction arrives in ``trades_per_auction`` trades of random size, which add up to
    it; each moves the mid by lambda_n times its signed size, plus a share of the noise sigma_e, and
    trades half a spread from the mid before it. Every day draws a new value around the last price.

    Args:
      key: a JAX random key.
      params: the market; p_0 is the first mid.
      num_auctions: N per day.
      num_days: D ≥ 1.
      sigma_e: standard deviation over a day of mid moves unrelated to flow, in price units.
      trades_per_auction: ≥ 1.
      half_spread: in price units.

    Returns:
      A :class:`diffeq.empirical.readers.Tape` with true signs; D·N·trades_per_auction trades, and
      one quote more each day.
    """
    solution = check(holden.solve(params, num_auctions=num_auctions))
    key_paths, key_split, key_noise = jax.random.split(key, 3)
    paths = holden.simulate(key_paths, params, solution, num_paths=num_days)
    orders = np.asarray(paths.insider_orders) * float(params.num_insiders)
    flow = orders + np.asarray(paths.noise_orders)  # (D, N)

    shape = (num_days, num_auctions, trades_per_auction)
    scatter = np.array(jax.random.normal(key_split, shape), float)
    scatter -= scatter.mean(axis=2, keepdims=True)
    typical = float(params.sigma_u) / np.sqrt(num_auctions * trades_per_auction)
    signed = flow[..., None] / trades_per_auction + typical * scatter
    noise = np.array(jax.random.normal(key_noise, shape), float)
    noise *= sigma_e / np.sqrt(num_auctions * trades_per_auction)
    moves = np.asarray(solution.lambda_)[None, :, None] * signed + noise

    per_day = num_auctions * trades_per_auction
    mid = float(params.p_0) + np.concatenate([[0.0], np.cumsum(moves.ravel())])
    signed = signed.ravel()
    sign = np.where(signed >= 0, 1, -1).astype(np.int8)
    day = _DAY * np.repeat(np.arange(num_days), per_day)
    within = HOURS * (np.tile(np.arange(per_day), num_days) + 0.5) / per_day
    time = day + OPEN + within
    trades = Trades(time, mid[:-1] + half_spread * sign, np.abs(signed), sign)
    return Tape(trades, _quotes(mid, time, num_days, half_spread), None, ())


def _quotes(mid: np.ndarray, time: np.ndarray, num_days: int, half_spread: float) -> Quotes:
    """One quote at each open and one at each trade's own time, after it."""
    per_day = time.size // num_days
    openings = OPEN + _DAY * np.arange(num_days)
    times = np.concatenate([openings[:, None], time.reshape(num_days, per_day)], axis=1)
    after = mid[1:].reshape(num_days, per_day)
    mids = np.concatenate([mid[:-1:per_day, None], after], axis=1)
    times, mids = times.ravel(), mids.ravel()
    nothing = np.full(times.size, np.nan)
    return Quotes(times, mids - half_spread, nothing, mids + half_spread, nothing)
