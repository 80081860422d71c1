"""The price of an option out of the money in units of its own, and its inverse, with derivatives.

Over the lower of forward and strike, undiscounted, and with x = −|log(F/K)| ≤ 0, s = σ√T > 0

    q(x, s) = Φ(d_1) − e^{−x} Φ(d_2),   d_1 = x/s + s/2,   d_2 = x/s − s/2.

It rises in s from 0 to 1. The inversion is well conditioned in log q in the lower half of this
range and in log(1 − q) in the upper: both are concave in log s, both sums of positive terms, and
one rounding of the price moves s by a few of its own. Either way round the derivatives are those of

    dq = φ(d_1) (ds + M(d_2) dx),   M = Φ/φ, Mills' ratio.

Reference: Black (1976), Journal of Financial Economics 3, 167–179; Jäckel (2015), Wilmott 75,
40–53, for the coordinates.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from solvers import quadrature

_LOG_SQRT_2PI = math.log(2 * math.pi) / 2
_FARTHEST = 1e18  # of |x/s| and s/2; its square is a float32 still
_NUM_STEPS = 5  # settle |log(F/K)| ≤ 1000, all prices between the smallest float and the bound


@jax.custom_jvp
def price(x: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """q and 1 − q, each to its own digits."""
    low = _arguments(x, s)[0] <= 0.67  # about q ≤ 1/2
    part = density(x, s) * _over_density(x, s, low)
    return jnp.where(low, part, 1 - part), jnp.where(low, 1 - part, part)


@price.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[Any, Any]:
    (x, s), (dx, ds) = primals, tangents
    dq = density(x, s) * (ds + _mills(_arguments(x, s)[1]) * dx)
    return price(*primals), (dq, -dq)


def density(x: jax.Array, s: jax.Array) -> jax.Array:
    """∂q/∂s = φ(d_1)."""
    return jnp.exp(_log_density(_arguments(x, s)[0]))


def _arguments(x: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """d_1 and d_2."""
    h, t = _h_and_t(x, s)
    return h + t, h - t


def _h_and_t(x: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """x/s and s/2, kept where their squares are numbers."""
    return jnp.maximum(x / s, -_FARTHEST), jnp.minimum(s / 2, _FARTHEST)


def _log_density(z: jax.Array) -> jax.Array:
    return -z * z / 2 - _LOG_SQRT_2PI


def _over_density(x: jax.Array, s: jax.Array, low: jax.Array) -> jax.Array:
    """q/φ(d_1) = M(d_1) − M(d_2) if ``low``, else (1 − q)/φ(d_1) = M(−d_1) + M(d_2).

    As integrals of e^{zv − v²/2} (1 ∓ e^{gv}), which are positive: nothing cancels. For z ≤ 0.7,
    that is, on the right half of q's range; on the other finite, and wrong.
    """
    h, t = _h_and_t(x, s)
    z, g = jnp.where(low, h + t, -h - t), 2 * jnp.where(low, -t, h)
    v, weights = _rule(z)
    less = -jnp.expm1(g * v)
    return jnp.sum(weights * jnp.exp(z * v - v * v / 2) * jnp.where(low, less, 2 - less))


def _mills(z: jax.Array) -> jax.Array:
    """M(z) = Φ(z)/φ(z) = ∫_0^∞ e^{zv − v²/2} dv, for z ≤ 0.7."""
    v, weights = _rule(z)
    return jnp.sum(weights * jnp.exp(z * v - v * v / 2))


def _rule(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Nodes and weights of ∫_0^∞ dv for what decays like e^{−|z|v − v²/2}; 1e-15 relative."""
    scale = 1 + lax.stop_gradient(jnp.abs(z))
    return jnp.asarray(_NODES, z.dtype) / scale, jnp.asarray(_WEIGHTS, z.dtype) / scale


def _exponential_rule() -> tuple[Any, Any]:
    """∫_0^∞ f(v) dv for f decaying like e^{−v}: v = exp(u − e^{−u}) and the trapezoid rule in u.

    Reference: Takahasi & Mori (1974), Publ. RIMS 9, 721–741.
    """
    u, weights = quadrature.trapezoid(-3.6, 3.7, 66)
    v = np.exp(u - np.exp(-u))
    return v, weights * v * (1 + np.exp(-u))


_NODES, _WEIGHTS = _exponential_rule()


# Its inverse


@jax.custom_jvp
def inverse(x: jax.Array, q: jax.Array, rest: jax.Array) -> tuple[jax.Array, ...]:
    """s of q(x, s) = q, 1 − q given to its own digits as ``rest``; the residual; the last step.

    Halley's method in log s on log q or log(1 − q), each step at most twice Newton's. Both are
    concave in log s and the start lies where they are below the target: Newton's steps alone would
    climb to it monotonely, in nine.
    """
    low = q <= rest
    log_target = jnp.log(jnp.where(low, q, rest))

    def halley(_: int, last: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        s = last[0] * jnp.exp(-last[2])
        d_1, d_2 = _arguments(x, s)
        ratio = _over_density(x, s, low)
        excess = _log_density(d_1) + jnp.log(ratio) - log_target
        slope = jnp.where(low, s, -s) / ratio
        step = excess / slope
        bend = step * (1 + d_1 * d_2 - slope) / 2  # half the second derivative over the first
        return s, excess, step / (1 - jnp.clip(bend, -1, 0.5))

    start = jnp.where(low, _below(x, log_target + x / 2), _above(log_target + x / 2))
    s, excess, step = lax.fori_loop(0, _NUM_STEPS + 1, halley, (start, 0 * start, 0 * start))
    return s, jnp.abs(excess) / (1 + jnp.abs(log_target)), jnp.abs(step)


@inverse.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[Any, Any]:
    (x, q, rest), (dx, dq, d_rest) = primals, tangents
    s, residual, step = inverse(x, q, rest)
    d_1, d_2 = _arguments(x, s)
    dq = jnp.where(q <= rest, dq, -d_rest)  # of the one that has the digits
    ds = dq * jnp.exp(-_log_density(d_1)) - _mills(d_2) * dx
    return (s, residual, step), (ds, jnp.zeros_like(s), jnp.zeros_like(s))


def _below(x: jax.Array, log_b: jax.Array) -> jax.Array:
    """A lower bound of s: b = e^{x/2} q = ∫_0^s vega ≤ s φ(x/s), and s ≤ s_1, where Φ(d_1) = ¾."""
    s_1 = 0.6745 + jnp.sqrt(0.455 - 2 * x)
    log_ratio = jnp.log(s_1) - log_b - _LOG_SQRT_2PI
    return jnp.maximum(jnp.exp(log_b + _LOG_SQRT_2PI), -x / jnp.sqrt(2 * log_ratio))


def _above(log_rest: jax.Array) -> jax.Array:
    """An upper bound of s: e^{x/2} − b = ∫_s^∞ vega ≤ 2Φ(−s/2) ≤ e^{−s²/8}."""
    return jnp.sqrt(-8 * log_rest)
