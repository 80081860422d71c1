"""Black's option price and its inverse, the implied volatility, to the accuracy of the price.

Of the option and its twin by put–call parity the one out of the money is priced and inverted
(:mod:`diffeq.contingent.out_of_the_money`), where no digit is lost.

Reference: Black (1976), Journal of Financial Economics 3, 167–179; Jäckel (2015), Wilmott 75,
40–53, for the coordinates.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.contingent import out_of_the_money

__all__ = [
    "ImpliedVolatility",
    "black",
    "implied_volatility",
]


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


# The price


class _Option(NamedTuple):
    """An option in the units of the one out of the money at its strike."""

    lower: jax.Array  # the lower of F and K
    x: jax.Array
    intrinsic: jax.Array  # value less lower · q: 0, or ±(F − K)
    bound: jax.Array  # value plus lower · (1 − q): F of a call, K of a put


def _option(forward: jax.Array, strike: jax.Array, is_call: jax.Array) -> _Option:
    call_is_out = forward <= strike
    lower = jnp.where(call_is_out, forward, strike)
    log = _log_ratio(forward, strike)
    gain = jnp.where(is_call, forward - strike, strike - forward)
    return _Option(
        lower,
        jnp.where(call_is_out, log, -log),
        jnp.where(is_call == call_is_out, 0, gain),
        jnp.where(is_call, forward, strike),
    )


@jax.custom_jvp
def _log_ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """log(a/b) to a rounding, near 1 (where a − b is exact) and where a/b leaves the range too."""
    excess, ratio = (a - b) / b, a / b
    near = jnp.abs(excess) <= 0.25  # XLA's log1p is off by 100 roundings about −0.4
    tame = (ratio > 1e-30) & (ratio < 1e30)
    away = jnp.log(jnp.where(tame, ratio, jnp.sqrt(a) / jnp.sqrt(b)))
    return jnp.where(near, jnp.log1p(excess), jnp.where(tame, away, 2 * away))


@_log_ratio.defjvp
def _(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[Any, Any]:
    (a, b), (da, db) = primals, tangents
    return _log_ratio(a, b), da / a - db / b


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
    lower, x, intrinsic, bound = _option(forward, strike, is_call)
    q, rest = out_of_the_money.price(x, volatility * jnp.sqrt(time))
    price = discount * jnp.where(q < rest, intrinsic + lower * q, bound - lower * rest)
    params = (forward, strike, volatility, time, discount)
    return poison(price, _positive(params), params)


def _positive(params: tuple[jax.Array, ...]) -> jax.Array:
    return jnp.all(jnp.stack([(0 < p) & (p < jnp.inf) for p in params]))


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
    lower, x, intrinsic, bound = _option(forward, strike, is_call)
    value = price / discount
    above, below = value - intrinsic, bound - value
    determined = (above > 2 * eps * value) & (below > 2 * eps * bound)
    inside = determined & (price >= tiny) & (above / lower >= tiny)
    inside &= _positive((forward, strike, time, discount))

    x, q, rest = (
        jnp.where(inside, a, b) for a, b in ((x, 0), (above / lower, 0.5), (below / lower, 0.5))
    )
    s, residual, step = out_of_the_money.inverse(x, q, rest)
    ok = inside & (residual <= 1000 * eps) & (step <= eps**0.5)
    accuracy = eps * value / lower / (s * out_of_the_money.density(x, s))
    params = (price, forward, strike, time, discount)
    volatility, accuracy = poison((s / jnp.sqrt(time), accuracy), ok, params)
    return volatility, accuracy, ok, residual


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
