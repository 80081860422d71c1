"""Price impact: Kyle's lambda as the slope of mid changes on signed order flow.

    m_k − m_{k−1} = intercept + lambda q_k + e_k,    q_k = Σ sign × size over interval k

(Kyle 1985, eq. 2.5 in differences; Hasbrouck 2007, ch. 9). Errors are serially correlated and
heteroskedastic at intraday frequency, so standard errors are Newey & West's (1987).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

from diffeq import validate
from diffeq.empirical.readers.records import Floats, Signs, Tape

DAY = 86_400.0


class Intervals(NamedTuple):
    """Mid changes and order flow over n equal intervals, each array of shape (n,).

    Interval k is (start_k, start_k + width]; a mid at an edge is that of the last quote at or
    before it, so a quote stamped with a trade's own time moves the mid after the trade.
    """

    start: Floats
    "seconds after the tape's origin"
    width: float
    "seconds"
    mid_change: Floats
    "price units"
    signed_flow: Floats
    "size units, Σ sign × size"
    volume: Floats
    "size units, Σ size, unsigned trades included"
    num_trades: npt.NDArray[np.int64]
    "trades in the interval"
    trades_outside: int
    "trades before the first interval or after the last"


class Regression(NamedTuple):
    """The least-squares line with Newey–West errors; scalars, or one entry a bucket."""

    lambda_: jax.Array
    "price impact, price units per unit of signed flow"
    intercept: jax.Array
    "price units per interval"
    lambda_error: jax.Array
    "standard error of lambda_"
    intercept_error: jax.Array
    "standard error of the intercept"
    t: jax.Array
    "lambda_ / lambda_error"
    r_squared: jax.Array
    "1 − Σ e² / Σ (y − ȳ)²"
    num_intervals: jax.Array
    "observations used"
    lags: jax.Array
    "autocovariances in the errors"


class TimeOfDay(NamedTuple):
    """One regression for each part of the day, fields of shape (num_buckets,)."""

    start: Floats
    "start of the bucket, seconds after midnight on the tape's clock"
    width: float
    "seconds"
    regression: Regression
    "NaN where a bucket has fewer than 3 intervals or flow that does not vary"


def intervals(
    tape: Tape,
    sign: Signs,
    *,
    interval_s: float | None = None,
    num_intervals: int | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Intervals:
    """Cut a tape into equal intervals.

    Args:
        tape: Trades and quotes.
        sign: Signs of the trades, shape (num_trades,), in {−1, 0, 1}.
        interval_s: Width in seconds; the edges are its multiples within [start, end].
        num_intervals: Number of intervals between start and end; give this or `interval_s`.
        start: Seconds after the tape's origin; default and least value the first quote.
        end: Seconds after the tape's origin; default the last quote.

    Raises:
        ValueError: No trades or no quotes; `sign` of a wrong shape or value; neither or both of
            `interval_s` and `num_intervals`; fewer than one whole interval in [start, end].
    """
    sign = _checked_sign(tape, sign)
    trades, quotes = tape.trades, tape.quotes
    first, last = _span(quotes.time, start, end)
    edges = _edges(first, last, interval_s, num_intervals)
    latest = np.searchsorted(quotes.time, edges, side="right") - 1
    mid = (quotes.bid[latest] + quotes.ask[latest]) / 2
    # interval of each trade: −1 before the first edge (or on it), n after the last
    place = np.searchsorted(edges, trades.time, side="left") - 1
    n = edges.size - 1
    inside = (place >= 0) & (place < n)
    place, size = place[inside], np.asarray(trades.size[inside], np.float64)

    def total(amount: Floats) -> Floats:
        return np.bincount(place, weights=amount, minlength=n).astype(np.float64)

    return Intervals(
        start=edges[:-1],
        width=(edges[-1] - edges[0]) / n,
        mid_change=np.diff(mid),
        signed_flow=total(sign[inside] * size),
        volume=total(size),
        num_trades=np.bincount(place, minlength=n),
        trades_outside=int(np.count_nonzero(~inside)),
    )


def _checked_sign(tape: Tape, sign: Signs) -> Signs:
    if not tape.trades.time.size or not tape.quotes.time.size:
        raise ValueError("price impact needs a tape with both trades and quotes")
    sign, expected = np.asarray(sign), tape.trades.time.shape
    if sign.shape != expected:
        raise ValueError(f"sign: expected the trades' shape {expected}, got {sign.shape}")
    if not np.isin(sign, (-1, 0, 1)).all():
        raise ValueError("sign: expected −1, 0 and 1 only")
    return sign


def _span(quote_time: Floats, start: float | None, end: float | None) -> tuple[float, float]:
    """First and last second the intervals may cover."""
    first = float(quote_time[0]) if start is None else start
    last = float(quote_time[-1]) if end is None else end
    if not quote_time[0] <= first < last < np.inf:
        raise ValueError(
            f"start and end: expected first quote ({quote_time[0]}) ≤ start < end, got "
            f"start={first}, end={last}"
        )
    return first, last


def _edges(first: float, last: float, width: float | None, count: int | None) -> Floats:
    """Edges of the intervals, shape (n + 1,)."""
    if (width is None) == (count is None):
        raise ValueError("give one of interval_s and num_intervals")
    if count is not None:
        edges = np.linspace(first, last, validate.count("num_intervals", count) + 1)
    else:
        assert width is not None
        if not 0 < width < np.inf:
            raise ValueError(f"interval_s must be positive, got {width}")
        near = 4 * np.finfo(np.float64).eps  # 0.6 / 0.2 < 3
        least, most = np.ceil(first / width * (1 - near)), np.floor(last / width * (1 + near))
        edges = np.arange(least, most + 1) * width
        if edges.size < 2:
            raise ValueError(f"no whole interval of {width} s lies between {first} s and {last} s")
    # on the records' own nanoseconds, as 3 · 0.3 < 0.9: a trade at 0.9 s belongs before that edge
    edges = np.rint(edges * 1e9) / 1e9
    for end in (first, last):
        edges[np.abs(edges - end) < 1e-9] = end
    return edges


def default_lags(num_observations: int) -> int:
    """floor(4 (n/100)^{2/9}), the usual rule for Bartlett weights (Newey & West 1994)."""
    return int(np.floor(4 * (num_observations / 100) ** (2 / 9)))


def regress(
    mid_change: ArrayLike, signed_flow: ArrayLike, *, lags: int | None = None
) -> Regression:
    """Regress mid changes on signed flow; Newey–West standard errors.

    With y the mid change, x the flow, e the residual, the error of lambda is that of the mean of
    psi_t = (x_t − x̄) e_t / Σ (x − x̄)², of the intercept that of e_t / n − x̄ psi_t:
    variance = n/(n−2) Σ_{|l| ≤ L} (1 − |l|/(L+1)) Σ_t psi_t psi_{t−l} (Newey & West 1987, with
    the small-sample factor n/(n−2)). lags = 0 gives White's errors with the same factor (HC1).

    Pure JAX: differentiable, and may be vmapped over resampled intervals; under a transformation a
    regressor that does not vary gives NaN instead of raising.

    Args:
        mid_change: Shape (n,), n ≥ 3.
        signed_flow: Shape (n,).
        lags: L, 0 ≤ L < n; default `default_lags(n)`.

    Raises:
        ValueError: Shapes that differ or are not (n,), fewer than 3 intervals, NaN or infinite
            values, flow that does not vary, mids that never move, or lags out of range.
        TypeError: Lags that are no int.
    """
    y, x = jnp.asarray(mid_change), jnp.asarray(signed_flow)
    dtype = jnp.result_type(float, y, x)
    y, x = y.astype(dtype), x.astype(dtype)
    if y.ndim != 1 or y.shape != x.shape:
        raise ValueError(
            f"mid_change and signed_flow must have one shape (n,), got {y.shape} and {x.shape}; "
            "for a batch use jax.vmap"
        )
    n = y.size
    if n < 3:
        raise ValueError(f"a line and its errors need at least 3 intervals, got {n}")
    _check_varies("mid_change", y, "the mid never moves")
    _check_varies("signed_flow", x, "the flow does not vary")
    lags = default_lags(n) if lags is None else _checked_lags(lags, n)
    fit: Regression = _fit(y, x, np.ones(n, dtype=bool), np.asarray(lags), max_lags=lags)
    return fit


def by_time_of_day(
    cut: Intervals, *, bucket_s: float = 1_800.0, lags: int | None = None
) -> TimeOfDay:
    """One regression for each bucket of the day that holds an interval.

    An interval belongs to the bucket its start lies in, days pooled. Autocovariances pair
    intervals l apart on the tape when both lie in the bucket.

    Args:
        cut: From `intervals`.
        bucket_s: Width of a bucket in seconds, at least the intervals' width.
        lags: As in `regress`; default by each bucket's number of intervals.

    Raises:
        ValueError: A bucket narrower than an interval, or lags out of range.
    """
    if not cut.width <= bucket_s <= DAY:
        raise ValueError(f"bucket_s must be between {cut.width} (an interval) and {DAY} s")
    n = cut.start.size
    if lags is not None:
        _checked_lags(lags, n)
    bucket = np.floor((cut.start % DAY) / bucket_s).astype(np.int64)
    present, counts = np.unique(bucket, return_counts=True)
    each = np.array([default_lags(int(c)) if lags is None else lags for c in counts])
    fit = jax.vmap(functools.partial(_fit, max_lags=int(each.max())), in_axes=(None, None, 0, 0))
    used = bucket == present[:, None]
    fitted: Regression = fit(cut.mid_change, cut.signed_flow, used, each)
    return TimeOfDay(present.astype(np.float64) * bucket_s, bucket_s, fitted)


def _checked_lags(lags: int, n: int) -> int:
    if validate.count("lags", lags, minimum=0) >= n:
        raise ValueError(f"lags: expected between 0 and n − 1 = {n - 1}, got {lags}")
    return int(lags)


def _check_varies(name: str, values: jax.Array, complaint: str) -> None:
    """Raise unless concrete values are finite and not all the same; traced ones pass."""
    if isinstance(values, jax.core.Tracer):
        return
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has NaN or infinite values")
    if np.ptp(np.asarray(values)) == 0:
        raise ValueError(f"{name} is {values[0]} in all {values.size} intervals: {complaint}")


@functools.partial(jax.jit, static_argnames="max_lags")
def _fit(
    y: jax.Array, x: jax.Array, used: jax.Array, lags: jax.Array, *, max_lags: int
) -> Regression:
    """The regression over the rows `used`; NaN for fewer than 3 rows or flow without variance."""
    n = jnp.sum(used).astype(y.dtype)
    (x_mean, x_dev), (y_mean, y_dev) = (_centred(z, used, n) for z in (x, y))
    x_unit, y_unit = _unit(x_dev), _unit(y_dev)
    x_dev, y_dev = x_dev / x_unit, y_dev / y_unit  # squares of 1e20 would leave float32's range
    x_squares, y_squares = jnp.sum(x_dev**2), jnp.sum(y_dev**2)
    slope = jnp.where(n >= 3, jnp.sum(x_dev * y_dev) / x_squares, jnp.nan)
    residual = y_dev - slope * x_dev  # 0 on rows not used
    slope_scores = x_dev * residual / x_squares
    intercept_scores = jnp.where(used, residual / n - x_mean / x_unit * slope_scores, 0)
    correction = n / (n - 2)
    slope_error, intercept_error = (
        jnp.sqrt(correction * _bartlett(scores, lags, max_lags))
        for scores in (slope_scores, intercept_scores)
    )
    lambda_ = slope * (y_unit / x_unit)
    return Regression(
        lambda_=lambda_,
        intercept=y_mean - lambda_ * x_mean,
        lambda_error=slope_error * (y_unit / x_unit),
        intercept_error=intercept_error * y_unit,
        t=slope / slope_error,
        r_squared=1 - jnp.sum(residual**2) / y_squares,
        num_intervals=jnp.sum(used),
        lags=lags,
    )


def _unit(deviation: jax.Array) -> jax.Array:
    """A power of two, so that dividing is exact, near the largest deviation; 1 if all are zero."""
    dtype = jnp.finfo(deviation.dtype)
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(deviation)))
    unit = jax.lax.reduce_precision(largest, exponent_bits=dtype.nexp, mantissa_bits=0)
    return jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)


def _centred(z: jax.Array, used: jax.Array, n: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and deviations over the rows `used`, 0 elsewhere; twice, as the mean is rounded."""
    mean = jnp.sum(jnp.where(used, z, 0)) / n
    deviation = jnp.where(used, z - mean, 0)
    rest = jnp.sum(deviation) / n
    return mean + rest, jnp.where(used, deviation - rest, 0)


def _bartlett(scores: jax.Array, lags: jax.Array, max_lags: int) -> jax.Array:
    """Σ_{|l| ≤ L} (1 − |l|/(L+1)) Σ_t s_t s_{t−l} of a series of shape (n,)."""
    padded = jnp.concatenate([jnp.zeros(max_lags, scores.dtype), scores])

    def add(total: jax.Array, lag: jax.Array) -> tuple[jax.Array, None]:
        earlier = jax.lax.dynamic_slice(padded, (max_lags - lag,), scores.shape)
        weight = jnp.maximum(0, 1 - lag / (lags + 1)) * jnp.where(lag == 0, 1, 2)
        return total + weight.astype(total.dtype) * jnp.vdot(scores, earlier), None

    total, _ = jax.lax.scan(add, jnp.zeros((), scores.dtype), jnp.arange(max_lags + 1))
    return total
