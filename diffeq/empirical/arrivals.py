"""How often a quote at depth delta is filled: A exp(−k delta), by maximum likelihood.

Two kinds of records, each with its own estimator and standard errors:

* exposures: a quote stood tau_i at depth delta_i and was filled n_i times,

      log L = Σ n_i (log A − k delta_i) − A e^(−k delta_i) tau_i;

  k solves Σ delta tau e^(−k delta)/Σ tau e^(−k delta) = mean filled depth, and A = N/Σ tau
  e^(−k delta);
* trade-through depths: D_j, the largest depth that the j-th market order reached, all at least
  d_min: k = 1/(mean D − d_min), A = (N/T) e^(k d_min); on a grid of ticks log1p(1/mean J)/tick.

Counts of orders by depth reached are nested, so that a regression of log counts on depth is neither
the likelihood estimate nor are its standard errors right. Do one side of the book at a time.

Units: depths in price units, durations in units of time; A comes in fills per time, k in 1/price.

Reference: Avellaneda & Stoikov (2008), section 2.4, for the form; the estimators are textbook
exponential-family ones, Cox & Hinkley (1974), Theoretical Statistics, section 9.2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaincc

from diffeq import validate
from diffeq.check import Info, poison
from solvers import root

__all__ = ["Arrivals", "Fit", "from_exposures", "from_trade_through"]


class Fit(NamedTuple):
    """Observed against fitted, depth by depth."""

    depth: jax.Array
    """delta_i, price units, shape (I,)."""
    observed: jax.Array
    """n_i/tau_i, fills per time."""
    fitted: jax.Array
    """A e^(−k delta_i), fills per time."""
    expected: jax.Array
    """A e^(−k delta_i) tau_i, fills."""


class Arrivals(NamedTuple):
    """The estimates; scalars unless said otherwise."""

    A: jax.Array
    """Fills per unit of time at depth 0."""
    k: jax.Array
    """Decay with depth, 1/price; not positive if fills do not fall with depth, and flagged."""
    se_A: jax.Array
    """Standard error of A."""
    se_k: jax.Array
    """Standard error of k."""
    correlation: jax.Array
    """Of the estimates of A and k."""
    deviance: jax.Array
    """2 Σ [n log(n/expected) − (n − expected)] by depth: chi-squared if the form is right."""
    p_value: jax.Array
    """P(a deviance as large, if the form is right), I − 2 degrees of freedom; needs some five
    expected fills at each depth. NaN for fewer than three depths."""
    fit: Fit
    """Depth by depth."""
    info: Info
    """Whether an estimate exists, k > 0, and A is within range; residual of the equation of k."""


def from_exposures(depth: Any, exposure: Any, fills: Any) -> Arrivals:
    """A and k from quotes that stood at several depths.

    Args:
      depth: delta_i, price units, any sign, shape (I,), I ≥ 2.
      exposure: tau_i > 0, how long a quote stood at that depth, in units of time, shape (I,).
      fills: n_i ≥ 0, how often it was filled, shape (I,).

    Returns:
      :class:`Arrivals`. An estimate exists iff the mean filled depth lies strictly inside the range
      of the exposed depths: no fills, or all at the nearest or farthest depth, are flagged, NaN.

    Raises:
      ValueError, TypeError: shapes that differ, a duration that is not positive, a count that is no
        count, depths that are all the same.

    Reference: Cox & Hinkley (1974), section 9.2.

    >>> found = from_exposures([0.0, 1.0], [100.0, 100.0], [200, 100])
    >>> round(float(found.A), 6), round(float(found.k), 6)  # 2 a unit of time, halved by depth 1
    (2.0, 0.693147)
    """
    arrays = {"depth": depth, "exposure": exposure, "fills": fills}
    arrays = {name: validate.array(name, x) for name, x in arrays.items()}
    shape = np.shape(arrays["depth"])
    for name, x in arrays.items():
        if np.ndim(x) != 1 or np.shape(x) != shape or shape[0] < 2:
            raise ValueError(
                f"{name}: expected shape (I,), I ≥ 2, the same for depth, exposure and fills, got "
                f"{np.shape(x)}; batch with jax.vmap"
            )
    validate.finite("depth", arrays["depth"])
    validate.positive("exposure", arrays["exposure"])
    validate.counts("fills", arrays["fills"])
    if not isinstance(arrays["depth"], jax.core.Tracer) and np.ptp(arrays["depth"]) == 0:
        raise ValueError("depth: expected at least two different depths, got one")
    dtype = jnp.result_type(float, *arrays.values())
    return _from_exposures(*(jnp.asarray(x, dtype) for x in arrays.values()))


@jax.jit
def _from_exposures(depth: jax.Array, exposure: jax.Array, fills: jax.Array) -> Arrivals:
    N = jnp.sum(fills)
    low, high = jnp.min(depth), jnp.max(depth)
    unit = high - low
    # depths from the end nearer to the fills, so that a mean near it keeps its digits
    far = jnp.sum(fills * (depth - low)) > jnp.sum(fills * (high - depth))
    end, side = jnp.where(far, high, low), jnp.where(far, -1.0, 1.0).astype(depth.dtype)
    # in [0, 1], where the equation of kappa = side k unit is solved; and from the other end
    x, rest = (jnp.abs(depth - at) / unit for at in (end, jnp.where(far, low, high)))
    mean = jnp.sum(fills * x) / jnp.where(N > 0, N, 1)
    bracket = _bound(rest, exposure, 1 - mean), _bound(x, exposure, mean)
    kappa, info = root.bracketed(_excess, -bracket[0], bracket[1], (x, exposure, mean))
    k = side * kappa / unit
    weight = jax.nn.softmax(jnp.log(exposure) - kappa * x)
    center = weight @ x
    variance = weight @ (x - center) ** 2
    # Σ tau e^(−k delta), delta itself: relative to that end first
    A = N / jnp.sum(exposure * jnp.exp(-kappa * x)) * jnp.exp(k * end)
    at_zero = end / unit + side * center  # exposure-weighted mean depth, in units
    var_kappa = 1 / (N * variance)
    var_log_A = 1 / N + at_zero**2 * var_kappa
    expected = N * weight
    deviance = _deviance(fills, expected)
    freedom = depth.shape[0] - 2
    p_value = gammaincc(freedom / 2, deviance / 2) if freedom > 0 else jnp.full_like(k, jnp.nan)
    estimates = (
        A,
        k,
        A * jnp.sqrt(var_log_A),
        jnp.sqrt(var_kappa) / unit,
        at_zero * jnp.sqrt(var_kappa / var_log_A),
        deviance,
        p_value,
        Fit(depth, fills / exposure, expected / exposure, expected),
    )
    inside = (mean > 0) & (mean < 1) & (unit > 0)
    proper = jnp.all((exposure > 0) & jnp.isfinite(exposure) & (fills >= 0))
    good = info.converged & inside & proper
    found = poison(estimates, good, (depth, exposure, fills))
    return Arrivals(*found, Info(good & (k > 0) & jnp.isfinite(A), info.residual))


def _excess(kappa: jax.Array, data: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
    """Mean of x under exposure e^(−kappa x), less the mean filled depth."""
    x, exposure, mean = data
    return jax.nn.softmax(jnp.log(exposure) - kappa * x) @ x - mean


def _bound(x: jax.Array, exposure: jax.Array, mean: jax.Array) -> jax.Array:
    """A kappa at which the mean of x in [0, 1] under exposure e^(−kappa x) is at most ``mean``.

    With g the least x > 0 it is at most (T/T_0) g e^(−kappa g) for kappa g ≥ 1, T_0 and T the
    exposures at x = 0 and beyond.
    """
    beyond = x > 0
    g = jnp.min(jnp.where(beyond, x, 1))
    T_0, T = jnp.sum(jnp.where(beyond, 0, exposure)), jnp.sum(jnp.where(beyond, exposure, 0))
    return (1 + jnp.maximum(jnp.log(T) - jnp.log(T_0) + jnp.log(g) - jnp.log(mean), 0)) / g


def _deviance(seen: jax.Array, expected: jax.Array) -> jax.Array:
    """2 Σ [n log(n/expected) − (n − expected)], n log written so that near fits keep digits."""
    some = seen > 0
    n = jnp.where(some, seen, 1)
    d = jnp.where(some, (expected - n) / n, 0)
    log = jnp.where(jnp.abs(d) < 0.5, jnp.log1p(d), jnp.log(jnp.where(some, expected / n, 1)))
    total = 2 * jnp.sum(jnp.where(some, n * (d - log), expected))
    return jnp.maximum(total, 0)  # rounding of a perfect fit


def from_trade_through(
    depth: Any, duration: Any, *, least_depth: Any = 0.0, tick: Any = None
) -> Arrivals:
    """A and k from the depths that market orders reached, on one side of the book.

    Args:
      depth: D_j ≥ least_depth, the largest depth reached by each order, price units, shape (N,).
      duration: T > 0, how long the record is, in units of time, scalar.
      least_depth: d_min, below which orders were not recorded, price units.
      tick: price grid, > 0; where given, depths are d_min + J tick and the discrete estimator is
        used (the continuous one is 17 % off at k tick = .3).

    Returns:
      :class:`Arrivals`: A e^(−k delta) is the rate of orders that reach delta. ``fit`` holds the
      lower ends of ten classes of depth, the rates at which they were reached, and the orders
      expected within; ``deviance`` compares these with what was seen. The classes are equally
      likely by the fit, or J = 0, …, 8 and more. NaN and flagged where no order went deeper than
      ``least_depth``.

    Raises:
      ValueError, TypeError: no orders, a depth below ``least_depth`` or off the grid of ticks.

    Reference: the exponential and geometric likelihoods, Cox & Hinkley (1974).

    >>> found = from_trade_through([0.5, 1.0, 1.5], 10.0)
    >>> round(float(found.k), 12), round(float(found.A), 12)
    (1.0, 0.3)
    """
    depth, least_depth = validate.array("depth", depth), validate.array("least_depth", least_depth)
    duration, tick = validate.array("duration", duration), validate.array("tick", tick)
    for name, x, ndim in (
        ("depth", depth, 1),
        ("duration", duration, 0),
        ("least_depth", least_depth, 0),
        ("tick", 1.0 if tick is None else tick, 0),
    ):
        if np.ndim(x) != ndim or np.size(x) == 0:
            wanted = "shape (N,), N ≥ 1" if ndim else "a scalar"
            raise ValueError(f"{name}: expected {wanted}, got {np.shape(x)}; batch with jax.vmap")
        validate.finite(name, x)
    validate.positive("duration", duration)
    dtype = jnp.result_type(float, depth)
    if tick is not None:
        validate.positive("tick", tick)
    concrete = not any(isinstance(x, jax.core.Tracer) for x in (depth, least_depth, tick))
    if concrete:
        _check_depths(np.asarray(depth, float), float(least_depth), tick, dtype)
    past = jnp.asarray(depth, dtype) - jnp.asarray(least_depth, dtype)
    duration, least = jnp.asarray(duration, dtype), jnp.asarray(least_depth, dtype)
    return _from_trade_through(
        past, duration, least, None if tick is None else jnp.asarray(tick, dtype)
    )


def _check_depths(depth: Any, least_depth: float, tick: Any, dtype: Any) -> None:
    """Every depth at or beyond the least, and on the grid of ticks if there is one."""
    if (depth < least_depth).any():
        at = int(np.argmax(depth < least_depth))
        raise ValueError(f"depth[{at}]: expected at least {least_depth}, got {depth[at]:.12g}")
    if tick is None:
        return
    steps = (depth - least_depth) / float(tick)
    loose = 1e3 * float(jnp.finfo(dtype).eps) * (1 + np.abs(depth).max() / float(tick))
    off = np.abs(steps - np.round(steps)) > max(loose, 1e-6)
    if off.any():
        at = int(np.argmax(off))
        raise ValueError(
            f"depth[{at}]: expected {least_depth} plus a whole number of ticks of {float(tick)}, "
            f"got {depth[at]:.12g}"
        )


@jax.jit
def _from_trade_through(
    past: jax.Array, duration: jax.Array, least: jax.Array, tick: jax.Array | None
) -> Arrivals:
    N, mean = past.shape[0], jnp.mean(past)
    deeper = mean > 0
    mean = jnp.where(deeper, mean, 1)
    classes = np.arange(10)
    if tick is None:
        k, se_k = 1 / mean, 1 / (mean * np.sqrt(N))
        ends = -jnp.log1p(-jnp.asarray(classes / 10, past.dtype)) * mean
        share = jnp.full(10, 0.1, past.dtype)
    else:
        J = mean / tick
        k, se_k = jnp.log1p(1 / J) / tick, 1 / (tick * jnp.sqrt(N * J * (1 + J)))
        ends = jnp.asarray(classes, past.dtype) * tick
        share = jnp.exp(-k * ends) * jnp.append(jnp.full(9, -jnp.expm1(-k * tick)), 1.0)
        past = past + tick / 4  # clear of the ends of the classes, whatever the roundings
    reached = jnp.sum((past[:, None] >= ends[None]).astype(past.dtype), axis=0)
    seen, expected = reached - jnp.append(reached[1:], 0.0), N * share
    A = N / duration * jnp.exp(k * least)
    sd_log_A = jnp.sqrt(1 / N + (least * se_k) ** 2)
    deviance = _deviance(seen, expected)
    correlation = least * se_k / sd_log_A
    step = jnp.ones_like(least) if tick is None else tick
    finite = jnp.isfinite(mean) & jnp.isfinite(duration) & jnp.isfinite(least) & jnp.isfinite(step)
    good = deeper & finite & (duration > 0) & (step > 0) & jnp.all(past >= 0)
    fit = Fit(least + ends, reached / duration, N / duration * jnp.exp(-k * ends), expected)
    p_value = gammaincc(4.0, deviance / 2)
    estimates = (A, k, A * sd_log_A, se_k, correlation, deviance, p_value, fit)
    found = poison(estimates, good, (past, duration, least, step))
    return Arrivals(*found, Info(good & jnp.isfinite(A), jnp.zeros_like(A)))
