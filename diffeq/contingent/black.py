"""Black's option price and its inverse, the implied volatility, to the accuracy of the price.

Both live in the coordinates in which the inversion is well conditioned. Of the option and its twin
by put–call parity take the one out of the money, and write with x = −|log(F/K)|, s = σ√T

    b(x, s) = e^{x/2} Φ(h + t) − e^{−x/2} Φ(h − t),   h = x/s,  t = s/2,

its undiscounted price over √(FK). It rises in s from 0 to e^{x/2}. The volatility is found from
log b in the lower half of this range and from log(e^{x/2} − b) in the upper: both are concave in
log s, both sums of positive terms, and one rounding of the price moves s by a few of its own.

Reference: Black (1976), Journal of Financial Economics 3, 167–179; Jäckel (2015), Wilmott 75,
40–53, for the coordinates.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import log_ndtr

from diffeq import validate
from diffeq.check import Info, poison
from solvers import implicit, quadrature

__all__ = [
    "ImpliedVolatility",
    "black",
    "implied_volatility",
]

_LOG_SQRT_2PI = math.log(2 * math.pi) / 2
_NUM_NEWTON = 9  # settles |log(F/K)| ≤ 140, all prices between the smallest float and the bound


class ImpliedVolatility(NamedTuple):
    """Implied volatilities, entry by entry."""

    volatility: jax.Array
    """per √unit of ``time``; NaN where the price does not determine one."""
    accuracy: jax.Array
    """Relative error of the volatility that one rounding of the price makes, eps·price/(vega·σ)."""
    info: Info
    """converged: the price is beyond rounding inside the no-arbitrage bounds, and was inverted."""


def black(
    forward: Any, strike: Any, volatility: Any, time: Any, is_call: Any, *, discount: Any = 1.0
) -> jax.Array:
    """Black's price, entry by entry; arguments broadcast.

    Args:
      forward: F > 0, price for delivery at expiry; the interest rate enters here and in
        ``discount``.
      strike: K > 0.
      volatility: σ > 0, per √unit of time.
      time: T > 0, to expiry.
      is_call: bool, True for a call, False for a put.
      discount: price now of one unit paid at expiry, > 0.

    Returns:
      The price. Relative accuracy holds far out of the money, down to the smallest float, below
      which it is 0. Differentiable in every number; a traced one out of its domain gives NaN.

    Raises:
      TypeError, ValueError: a concrete argument that is no real number, or not positive.

    >>> round(float(black(100.0, 100.0, 0.2, 1.0, True)), 4)
    7.9656
    """
    args = numbers(
        positive=("forward", "strike", "volatility", "time", "discount"),
        forward=forward, strike=strike, volatility=volatility, time=time, discount=discount,
    )  # fmt: skip
    result: jax.Array = _black(*args, _flags(is_call))
    return result


def implied_volatility(
    price: Any, forward: Any, strike: Any, time: Any, is_call: Any, *, discount: Any = 1.0
) -> ImpliedVolatility:
    """The volatility at which Black's price is ``price``, entry by entry; arguments broadcast.

    Args:
      price: any real numbers. Where one is on, beyond, or within a rounding of a no-arbitrage bound
        (discounted intrinsic value and discounted forward or strike), below the smallest normal
        float, or NaN, the volatility is NaN and flagged, not raised.
      forward, strike, time, is_call, discount: as in :func:`black`.

    Returns:
      :class:`ImpliedVolatility`. From a price out of the money the volatility is right to a few
      roundings. From one far in the money it can only be as right as ``accuracy`` says: of the
      price's digits only those beyond the intrinsic value speak. Likewise near the upper bound.
      Derivatives are those of the implicit function, of every order.

    Raises:
      TypeError, ValueError: a concrete argument that is no real number, or (but price) not
        positive.

    >>> iv = implied_volatility(7.9656, 100.0, 100.0, 1.0, True)
    >>> round(float(iv.volatility), 5)
    0.2
    """
    args = numbers(
        positive=("forward", "strike", "time", "discount"),
        price=price, forward=forward, strike=strike, time=time, discount=discount,
    )  # fmt: skip
    volatility, accuracy, converged, residual = _implied_volatility(*args, _flags(is_call))
    return ImpliedVolatility(volatility, accuracy, Info(converged, residual))


# The normalised price b(x, s) of the option out of the money


def log_price(x: jax.Array, s: jax.Array) -> jax.Array:
    """log b = −(h² + t²)/2 + log ∫_0^∞ 2 sinh(tv) e^{hv − v²/2} dv/√(2π), h = x/s, t = s/2.

    From Φ(z)/φ(z) = ∫_0^∞ e^{zv − v²/2} dv. The integrand is positive, so nothing cancels; 64 nodes
    give 1e-15 relative wherever h + t ≤ 0.7, in the lower half of b's range.
    """
    h, t = x / s, s / 2
    v, weights = (jnp.asarray(a, s.dtype) / (1 + jnp.abs(h + t)) for a in (_NODES, _WEIGHTS))
    integrand = jnp.exp((h + t) * v - v * v / 2) * -jnp.expm1(-2 * t * v)
    return -(h * h + t * t) / 2 - _LOG_SQRT_2PI + jnp.log(jnp.sum(weights * integrand))


def log_complement(x: jax.Array, s: jax.Array) -> jax.Array:
    """log(e^{x/2} − b) = log(e^{x/2} Φ(−h − t) + e^{−x/2} Φ(h − t))."""
    h, t = x / s, s / 2
    upper, lower = log_ndtr(jnp.stack([-h - t, h - t]))
    return jnp.logaddexp(x / 2 + upper, -x / 2 + lower)


def log_vega(x: jax.Array, s: jax.Array) -> jax.Array:
    """log ∂b/∂s = −(h² + t²)/2 − log √(2π)."""
    return -((x / s) ** 2 + s * s / 4) / 2 - _LOG_SQRT_2PI


def _exponential_rule() -> tuple[Any, Any]:
    """∫_0^∞ f(v) dv for f decaying like e^{−v}: v = exp(u − e^{−u}) and the trapezoid rule in u.

    Reference: Takahasi & Mori (1974), Publ. RIMS 9, 721–741.
    """
    u, weights = quadrature.trapezoid(-2.9, 3.7, 64)
    v = np.exp(u - np.exp(-u))
    return v, weights * v * (1 + np.exp(-u))


_NODES, _WEIGHTS = _exponential_rule()


# Black's price


def _log_moneyness(forward: jax.Array, strike: jax.Array) -> jax.Array:
    """log(F/K), relative accuracy near the money too."""
    near = jnp.abs(forward - strike) <= strike / 2
    ratio = jnp.where(near, (forward - strike) / strike, 0)
    return jnp.where(near, jnp.log1p(ratio), jnp.log(forward) - jnp.log(strike))


def _call_is_out(forward: jax.Array, strike: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Whether the call is the one out of the money, and x = log(F/K) or its negative."""
    call_is_out = forward <= strike
    x = _log_moneyness(forward, strike)
    return call_is_out, jnp.where(call_is_out, x, -x)


@jax.jit
@jnp.vectorize
def _black(
    forward: jax.Array,
    strike: jax.Array,
    volatility: jax.Array,
    time: jax.Array,
    discount: jax.Array,
    is_call: jax.Array,
) -> jax.Array:
    call_is_out, x = _call_is_out(forward, strike)
    s = volatility * jnp.sqrt(time)
    low = x / s + s / 2 <= 0.67
    from_above = x / 2 + jnp.log1p(
        -jnp.exp(jnp.where(low, 2 * x - 1, log_complement(x, s)) - x / 2)
    )
    b = jnp.exp(jnp.where(low, log_price(x, s), from_above))
    out_of_the_money = b * jnp.sqrt(forward) * jnp.sqrt(strike)
    price = discount * (out_of_the_money + _parity(forward, strike, is_call, call_is_out))
    domain = [(0 < p) & (p < jnp.inf) for p in (forward, strike, volatility, time, discount)]
    ok = jnp.all(jnp.stack(domain))
    return poison(price, ok, (forward, strike, volatility, time, discount))


def _parity(
    forward: jax.Array, strike: jax.Array, is_call: jax.Array, call_is_out: jax.Array
) -> jax.Array:
    """What the option is worth beyond its out-of-the-money twin: ±(F − K), or 0 if it is that."""
    intrinsic = jnp.where(is_call, forward - strike, strike - forward)
    return jnp.where(is_call == call_is_out, 0, intrinsic)


# Its inverse


@jax.jit
@jnp.vectorize
def _implied_volatility(
    price: jax.Array,
    forward: jax.Array,
    strike: jax.Array,
    time: jax.Array,
    discount: jax.Array,
    is_call: jax.Array,
) -> tuple[jax.Array, ...]:
    eps, tiny = jnp.finfo(price.dtype).eps, jnp.finfo(price.dtype).tiny
    call_is_out, x = _call_is_out(forward, strike)
    unit = jnp.sqrt(forward) * jnp.sqrt(strike)
    value = price / discount
    time_value = value - _parity(forward, strike, is_call, call_is_out)
    upper_bound = jnp.where(is_call, forward, strike)
    b, complement = time_value / unit, (upper_bound - value) / unit

    domain = [(0 < p) & (p < jnp.inf) for p in (forward, strike, time, discount)]
    determined = (time_value > 2 * eps * value) & (upper_bound - value > 2 * eps * upper_bound)
    inside = determined & (price >= tiny) & (b >= tiny) & jnp.all(jnp.stack(domain))
    low = b <= complement
    log_target = jnp.log(jnp.where(inside, jnp.where(low, b, complement), 0.5))

    s, residual, step = _invert(jnp.where(inside, x, 0), log_target, low)
    ok = inside & (residual <= 1000 * eps) & (step <= eps**0.5)
    volatility = s / jnp.sqrt(time)
    accuracy = eps * value / unit / (jnp.exp(log_vega(x, s)) * s)
    params = (price, forward, strike, time, discount)
    volatility, accuracy = poison((volatility, accuracy), ok, params)
    return volatility, accuracy, ok, residual


def _invert(
    x: jax.Array, log_target: jax.Array, low: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """s of log b(x, s) = log_target (``low``), or of log(e^{x/2} − b(x, s)) = log_target.

    Newton in log s. The logs are concave in log s and the start lies where they are below the
    target: every tangent's root then stays on that side, and the steps climb to it monotonely.
    """

    def excess(s: jax.Array, params: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, log_target = params
        return jnp.where(low, log_price(x, s), log_complement(x, s)) - log_target

    frozen = lax.stop_gradient((x, log_target))

    def newton(_: int, last: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        s = last[0] * jnp.exp(-last[2])
        f = excess(s, frozen)
        slope = jnp.where(low, s, -s) * jnp.exp(log_vega(frozen[0], s) - (f + frozen[1]))
        return s, f, f / slope

    start = jnp.where(low, _below(*frozen), _above(frozen[1]))
    s, f, step = lax.fori_loop(0, _NUM_NEWTON + 1, newton, (start, 0 * start, 0 * start))
    residual = jnp.abs(f) / (1 + jnp.abs(frozen[1]))
    return implicit.attach(excess, s, (x, log_target)), residual, jnp.abs(step)


def _below(x: jax.Array, log_b: jax.Array) -> jax.Array:
    """A lower bound of s: b = ∫_0^s vega ≤ s φ(x/s), and s ≤ s_1, where Φ(h + t) = 3/4."""
    s_1 = 0.6745 + jnp.sqrt(0.455 - 2 * x)
    log_ratio = jnp.log(s_1) - log_b - _LOG_SQRT_2PI
    return jnp.maximum(jnp.exp(log_b + _LOG_SQRT_2PI), -x / jnp.sqrt(2 * log_ratio))


def _above(log_complement: jax.Array) -> jax.Array:
    """An upper bound of s: e^{x/2} − b = ∫_s^∞ vega ≤ 2Φ(−s/2) ≤ e^{−s²/8}."""
    return jnp.sqrt(-8 * log_complement)


# Arguments


def numbers(*, positive: tuple[str, ...], **values: Any) -> list[jax.Array]:
    """Named arrays of real numbers in one dtype; ``positive`` ones checked where concrete."""
    arrays = {name: validate.array(name, value) for name, value in values.items()}
    for name in positive:
        validate.positive(name, arrays[name])
    dtype = jnp.result_type(float, *(v for v in values.values() if hasattr(v, "dtype")))
    return [jnp.asarray(value, dtype) for value in arrays.values()]


def _flags(is_call: Any) -> jax.Array:
    flags = is_call if hasattr(is_call, "dtype") else np.asarray(is_call)
    if flags.dtype != jnp.bool_:
        raise TypeError(f"is_call: expected True or False, got {is_call!r}")
    return jnp.asarray(flags)
