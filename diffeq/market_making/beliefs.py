"""What the day so far says of A, k and sigma: rolling, or Bayesian with the past discounted.

The day is cut into blocks of equal numbers of quoting intervals. At the start of block w what is
believed comes from the blocks before it, block j with a weight: 1 for the last few ("rolling"), or
2^(−age/half-life) ("discounted", with a prior that counts like so many seconds of its own market).

In an interval of length dt the deepest of the orders that sell reaches R below our mid. Where
orders that reach depth delta are Poisson with rate A e^(−k delta), P(R ≤ delta) = exp(−A dt
e^(−k delta)), which is what a fill is forecast by. With R' = max(R, d_min), and N intervals of R >
d_min,

    log L = N log(A k) − k Σ_{R > d_min} R − A Σ dt e^(−k R')                          (weights too)

so that given k a Gamma(a, b) prior of A is conjugate: A | k, data ~ Gamma(a + N, b + Σ dt
e^(−k R')). Discounting a and b from block to block is the power-steady model. k, common to both
sides, maximises the likelihood in which A has been maximised, a concave function: its slope is
N/k − ΣR + Σ_sides N_s R̄_s(k), R̄_s the mean of R' under weights e^(−k R'). Errors are from the
curvature, N/k² + Σ N_s Var_s(R'). sigma² is the sum of the blocks' realised variances of mids at
the quoting times over their lengths: a mid bounces little.

Orders come in bursts: one deepest order for each interval, as here, forecasts fills; the number of
orders would not.

Reference: Ibrahim & Chen (2000), Statistical Science 15, 46–60, for discounted priors; Harvey &
Fernandes (1989), J. Business & Economic Statistics 7, 407–417, for discounted Gamma–Poisson counts.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info
from diffeq.empirical.readers.records import Floats
from diffeq.market_making.model import Params, validated
from diffeq.market_making.replay import Record


class Beliefs(NamedTuple):
    """What is believed in each of W blocks, from the blocks before alone; arrays of shape (W,)."""

    start: Floats
    """When the block starts, seconds after the tape's origin."""
    A: Floats
    """Fills per second at depth 0, (bid, ask), shape (W, 2)."""
    k: Floats
    """Decay with depth, 1/price, both sides."""
    sigma: Floats
    """Volatility, price units per √second."""
    se_A: Floats
    """Standard error (spread of the posterior) of A, shape (W, 2)."""
    se_k: Floats
    """Of k."""
    se_sigma: Floats
    """Of sigma."""
    info: Info
    """Whether there is an estimate (orders on either side, prices that moved): where there is none
    nothing is quoted; |slope of the likelihood| over N/k."""


class _Prior(NamedTuple):
    """A | k ~ Gamma(A_0 s, s), k ~ Gamma(n, n/k_0), n = ΣA_0 s; sigma as from s seconds of it."""

    A: Floats
    k: float
    sigma: float
    seconds: float


def beliefs(
    record: Record,
    *,
    every: int,
    window: int | None = None,
    half_life: float | None = None,
    prior: Params | None = None,
    prior_seconds: float | None = None,
    least_depth: float = 0.0,
) -> Beliefs:
    """(A, k, sigma) for each block of ``every`` intervals, from those before it.

    Args:
      record: of :func:`~.replay.record`; its N intervals a multiple of ``every``.
      every: intervals in a block.
      window: rolling: the last so many blocks count.
      half_life: discounted: in blocks. Give this with ``prior`` and ``prior_seconds``, or
        ``window``.
      prior: its A, k (the same on both sides) and sigma, in seconds and price units.
      prior_seconds: weight of the prior: as if seen for so long.
      least_depth: d_min, price units: intervals in which no order went deeper count as without.

    Returns:
      :class:`Beliefs` of blocks number window, window + 1, …; with ``half_life`` of all.

    Raises:
      ValueError, TypeError: a block length that does not divide N, neither or both of window and
        half_life, a window as long as the record, or an argument out of domain.

    Reference: see the module.
    """
    every, N = validate.count("every", every), record.times.size - 1
    if N % every:
        raise ValueError(f"every: expected a divisor of the number of intervals {N}, got {every}")
    validate.finite("least_depth", validate.array("least_depth", least_depth))
    weight = _weights(N // every, window, half_life)
    ahead = _checked_prior(prior, prior_seconds) if half_life is not None else None
    dt, move = (np.diff(x).reshape(-1, every) for x in (record.times, record.mid))
    reach = np.stack([record.reach_b, record.reach_a]).reshape(2, -1, every)
    first = N // every - len(weight)
    rows = []
    for w, own in enumerate(weight):
        used = np.flatnonzero(own)
        faded = ahead
        if ahead is not None and half_life is not None:
            faded = ahead._replace(seconds=ahead.seconds * 0.5 ** (w / half_life))
        weights = np.repeat(own[used], every)
        length = dt[used].ravel()
        rates = _rates(reach[:, used].reshape(2, -1), length, weights, least_depth, faded)
        risk = _sigma(move[used].ravel(), length, weights, faded, float(dt[0, 0]))
        rows.append((*rates, *risk))
    A, k, se_A, se_k, slope, sigma, se_sigma = (np.stack(x) for x in zip(*rows, strict=True))
    ok = np.isfinite(A).all(axis=1) & np.isfinite(k) & (sigma > 0) & (slope < 1e-8)
    start = record.times[first * every : -1 : every]
    return Beliefs(
        start, A, k, sigma, se_A, se_k, se_sigma, Info(jnp.asarray(ok), jnp.asarray(slope))
    )


def _rates(
    reach: Floats, dt: Floats, weight: Floats, least: float, prior: _Prior | None
) -> tuple[Any, ...]:
    """A (2,), k, their errors, and how exactly the slope of the likelihood is 0."""
    beyond = reach > least
    N, total = beyond @ weight, float(np.where(beyond, reach, 0.0) @ weight @ np.ones(2))
    at_least = np.maximum(reach, least)
    # exposures are in units of e^(−k nearest), in which they stay in range
    nearest = at_least.min(axis=1, initial=np.inf)
    a, b, n = N, 0.0, float(N.sum())
    if prior is not None:
        counts = prior.A * prior.seconds
        a, b, n = N + counts, prior.seconds, n + counts.sum()
        nearest = np.minimum(nearest, 0.0)
        total += counts.sum() / prior.k
    if not (a > 0).all() or not total - N.sum() * least > 0:
        nothing = np.full(2, np.nan)
        return nothing, np.nan, nothing, np.nan, np.inf

    def profile(k: float) -> tuple[Any, ...]:
        """Slope in k, less curvature, and each side's exposure, mean and variance of R'."""
        share = weight * dt * np.exp(-k * (at_least - nearest[:, None]))
        exposure = share.sum(axis=1) + b * np.exp(k * nearest)
        mean = (share * at_least).sum(axis=1) / exposure
        variance = (share * at_least**2).sum(axis=1) / exposure - mean**2
        slope = n / k - total + a @ mean
        return slope, n / k**2 + a @ np.maximum(variance, 0), exposure, mean

    k, slope = _decreasing_root(profile, n / (total - N.sum() * least))
    _, information, exposure, mean = profile(k)
    with np.errstate(over="ignore"):  # no rate, then
        A = a / exposure * np.exp(k * nearest)
    se_log_A = np.sqrt(1 / a + mean**2 / information)
    return A, k, A * se_log_A, 1 / np.sqrt(information), slope * k / n


def _decreasing_root(profile: Any, k: float) -> tuple[float, float]:
    """Where the decreasing slope of a concave function of k > 0 is zero; Newton in log k."""
    low, high = -np.inf, np.inf
    u = float(np.log(k))
    for _ in range(100):
        slope, information = profile(float(np.exp(u)))[:2]
        low, high = (u, high) if slope > 0 else (low, u)
        step = float(np.clip(slope / (information * np.exp(u)), -1, 1))
        if abs(step) < 1e-13:
            break
        u = u + step if low < u + step < high else (low + high) / 2
    return float(np.exp(u)), abs(float(slope))


def _sigma(
    move: Floats, dt: Floats, weight: Floats, prior: _Prior | None, step: float
) -> tuple[float, float]:
    """sqrt(V/seconds) and its error; the prior as so many normal returns, one a quoting time."""
    V, seconds = float(weight @ move**2), float(weight @ dt)
    variance = float(weight**2 @ move**4) / 1.5
    if prior is not None:
        own = prior.sigma**2 * prior.seconds
        V, seconds = V + own, seconds + prior.seconds
        variance += 2 * own * prior.sigma**2 * step
    sigma = float(np.sqrt(V / seconds))
    return sigma, float(np.sqrt(variance)) / (2 * sigma * seconds) if sigma > 0 else 0.0


def _weights(J: int, window: int | None, half_life: float | None) -> Floats:
    """Of block j < J in what is believed in block w, shape (W, J)."""
    if (window is None) == (half_life is None):
        raise ValueError("window, half_life: expected one of them, got neither or both")
    age = np.arange(J)[:, None] - np.arange(J)[None]  # ≥ 1: past
    if window is not None:
        window = validate.count("window", window)
        if window >= J:
            raise ValueError(f"window: expected fewer than the record's {J} blocks, got {window}")
        return ((age >= 1) & (age <= window)).astype(np.float64)[window:]
    validate.positive("half_life", validate.array("half_life", half_life))
    return np.where(age >= 1, 0.5 ** (np.maximum(age - 1, 0) / (half_life or 1.0)), 0.0)


def _checked_prior(prior: Params | None, seconds: float | None) -> _Prior:
    if prior is None or seconds is None:
        raise ValueError("prior, prior_seconds: expected both with half_life; block 0 has no past")
    validate.positive("prior_seconds", validate.array("prior_seconds", seconds))
    p = validated(prior, "penalty")
    if float(p.k_b) != float(p.k_a):
        raise ValueError(f"Params.k: expected the same on both sides, got {p.k_b} and {p.k_a}")
    A = np.array([float(p.A_b), float(p.A_a)])
    if not (A > 0).all():
        raise ValueError(f"Params.A: expected a prior rate > 0 on both sides, got {A}")
    return _Prior(A, float(p.k_b), float(p.sigma), float(seconds))
