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
from jax.scipy.special import gammaincc, xlogy

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
    """Whether an estimate exists and k > 0; the residual of the equation of k."""


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
    x = (depth - low) / unit  # in [0, 1], where the equation of k · unit is solved
    mean = jnp.sum(fills * x) / jnp.where(N > 0, N, 1)

    def excess(kappa: jax.Array, data: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        x, exposure, mean = data
        return jax.nn.softmax(jnp.log(exposure) - kappa * x) @ x - mean

    # the mean depth under exp(−kappa x) is within e^−|kappa| of an end
    bound = -2 * float(np.log(jnp.finfo(x.dtype).eps)) / jnp.maximum(_gap(x), 1e-3)
    kappa, info = root.bracketed(excess, -bound, bound, (x, exposure, mean))
    k = kappa / unit
    weight = jax.nn.softmax(jnp.log(exposure) - kappa * x)
    center = weight @ x
    variance = weight @ (x - center) ** 2
    # Σ tau e^(−k delta), delta itself: relative to the nearest depth first
    A = N / jnp.sum(exposure * jnp.exp(-kappa * x)) * jnp.exp(k * low)
    at_zero = low / unit + center  # exposure-weighted mean depth, in units
    var_kappa = 1 / (N * variance)
    var_log_A = 1 / N + at_zero**2 * var_kappa
    expected = N * weight
    deviance = 2 * jnp.sum(xlogy(fills, fills / expected) - (fills - expected))
    freedom = depth.shape[0] - 2
    p_value = gammaincc(freedom / 2, deviance / 2) if freedom > 0 else jnp.full_like(k, jnp.nan)
    estimates = (
        A,
        k,
        A * jnp.sqrt(var_log_A),
        jnp.sqrt(var_kappa) / unit,
        at_zero * jnp.sqrt(var_kappa / var_log_A),
        deviance,
    )
    inside = (N > 0) & (mean > 0) & (mean < 1) & jnp.all(exposure > 0) & (unit > 0)
    ok = info.converged & inside & (k > 0)
    found = poison(estimates, info.converged & inside, (depth, exposure, fills))
    fit = Fit(depth, fills / exposure, expected / exposure, expected)
    return Arrivals(*found, p_value, fit, Info(ok, info.residual))


def _gap(x: jax.Array) -> jax.Array:
    """The smaller distance of an end of [0, 1] to the nearest other depth."""
    inner = jnp.where(x > 0, x, jnp.inf), jnp.where(x < 1, 1 - x, jnp.inf)
    return jnp.minimum(jnp.min(inner[0]), jnp.min(inner[1]))


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
    duration = validate.array("duration", duration)
    for name, x, ndim in (
        ("depth", depth, 1),
        ("duration", duration, 0),
        ("least_depth", least_depth, 0),
    ):
        if np.ndim(x) != ndim or np.size(x) == 0:
            wanted = "shape (N,), N ≥ 1" if ndim else "a scalar"
            raise ValueError(f"{name}: expected {wanted}, got {np.shape(x)}; batch with jax.vmap")
        validate.finite(name, x)
    validate.positive("duration", duration)
    dtype = jnp.result_type(float, depth)
    if tick is not None:
        tick = validate.array("tick", tick)
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
    deviance = 2 * jnp.sum(xlogy(seen, seen / expected) - (seen - expected))
    correlation = least * se_k / sd_log_A
    good = deeper & (duration > 0) & jnp.all(past >= 0)
    estimates = (A, k, A * sd_log_A, se_k, correlation, deviance, gammaincc(4.0, deviance / 2))
    found = poison(estimates, good, (past, duration, least))
    depths = least + ends
    fit = Fit(depths, reached / duration, A * jnp.exp(-k * depths), expected)
    return Arrivals(*found, fit, Info(good, jnp.zeros_like(A)))
