"""How likely an order sequence is: what buys and sales tell about alpha and mu_0.

V is drawn once for the whole sequence (a day), so orders are independent only given V; of B buys
and S sales in any order

    L(B, S) = mu_0 p^B q^S + (1−mu_0) q^B p^S,    p = (1+alpha)/2,  q = (1−alpha)/2:

only the counts matter. mu_0 is not identified by one day, which is one draw of V: it takes many.
alpha is the probability of informed trading (PIN) of this market, where news arrives every day.

Reference: Glosten & Milgrom (1985); Easley, Kiefer, O'Hara & Paperman (1996), Journal of Finance
51, where numbers of trades are random too.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import poison
from diffeq.glosten_milgrom.binary_value import BUY, SELL, Params, in_domain, validated
from diffeq.glosten_milgrom.odds import log_rest


def log_likelihood(params: Params, buys: Any, sells: Any) -> jax.Array:
    """Log of L(B, S) for each day, overflow-free for any number of trades.

    Args:
      params: scalars; V_L and V_H do not enter. Differentiable, at alpha = 0 and 1 and mu_0 = 0
        and 1 too wherever the day is possible there.
      buys: B ≥ 0, any shape.
      sells: S ≥ 0, any shape; they broadcast.

    Returns:
      Of the broadcast shape; −inf for a day that is impossible. The probability of one particular
      sequence: that of the counts is larger by the binomial coefficient. NaN where a traced count
      is negative or fractional.

    Raises:
      ValueError, TypeError: a parameter outside its domain; a negative or fractional count.

    Reference: Glosten & Milgrom (1985).

    >>> round(float(jax.numpy.exp(log_likelihood(Params(alpha=0.0), 2, 1))), 12)
    0.125
    """
    params = validated(params)
    buys, sells = validate.counts("buys", buys), validate.counts("sells", sells)
    dtype = params.alpha.dtype
    return _log_likelihood(params, jnp.asarray(buys, dtype), jnp.asarray(sells, dtype))


@jax.jit
def _log_likelihood(params: Params, buys: jax.Array, sells: jax.Array) -> jax.Array:
    alpha, mu_0 = params.alpha, params.mu_0
    pairs, net = jnp.minimum(buys, sells), jnp.abs(buys - sells)
    # p^max q^min (w + (1−w) (q/p)^net), w the prior of the value the majority of orders speaks for
    w = jnp.where(buys >= sells, mu_0, 1 - mu_0)
    ratio = (1 - alpha) / (1 + alpha) * jnp.ones_like(net)
    # at alpha = 1 the slope of ratio^1 would be 0^0, and its curvature 0/0
    power = jnp.where(net > 1, lax.pow(ratio, jnp.maximum(net, 2)), jnp.where(net > 0, ratio, 1))
    mixed = w + (1 - w) * power
    # far below 1 by logs: reciprocals of the square would leave the floating range
    far = (mixed < float(jnp.finfo(alpha.dtype).tiny) ** 0.25) & (alpha < 1) | (mixed == 0)
    log_power = jnp.where(far, net * (_log_q(alpha, far) - jnp.log1p(alpha)), 0)
    log_mixed = jnp.where(
        far, _log_mixed(jnp.where(far, w, 0.5), log_power), jnp.log(jnp.where(far, 1, mixed))
    )
    log_p = log_rest((1 - alpha) / 2)
    log_q = _log_q(alpha, pairs > 0) - math.log(2)
    majority, minority = jnp.maximum(buys, sells) * log_p, pairs * log_q
    possible = (pairs >= 0) & (buys == jnp.floor(buys)) & (sells == jnp.floor(sells))
    return poison(majority + minority + log_mixed, in_domain(params) & possible, params)


@jax.custom_jvp
def _log_mixed(w: jax.Array, log_power: jax.Array) -> jax.Array:
    """log(w + (1−w) power), however small both are.

    The slope in w at w = 0, (1 − power)/power, ends within the floating range.
    """
    return jnp.logaddexp(jnp.log(w), log_rest(w) + log_power)


@_log_mixed.defjvp
def _log_mixed_jvp(primals: Any, tangents: Any) -> Any:
    (w, log_power), (more, move) = primals, tangents
    at = _log_mixed(w, log_power)
    most = 0.9 * float(np.log(jnp.finfo(at.dtype).max))
    share = (1 - w) * jnp.exp(jnp.where(at > -jnp.inf, log_power - at, 0))
    return at, share * move - jnp.expm1(log_power) * jnp.exp(jnp.minimum(-at, most)) * more


def _log_q(alpha: jax.Array, needed: jax.Array) -> jax.Array:
    """log(1 − alpha), and 0 where it is not needed: 0·(−inf) has no place in value or slope."""
    return log_rest(jnp.where(needed, alpha, 0.0))


def count_orders(orders: Any) -> tuple[jax.Array, jax.Array]:
    """(buys, sells) of order sequences, the last axis being the trades of a day.

    Args:
      orders: +1 for a buy, −1 for a sale, 0 for padding, shape (..., T). A traced order of another
        code counts as padding.

    Returns:
      Two integer arrays of shape (...).

    Raises:
      ValueError: another code, or a scalar.
    """
    orders = jnp.asarray(validate.codes("orders", orders, (SELL, 0, BUY)))
    if orders.ndim == 0:
        raise ValueError("orders: expected shape (..., T), got a scalar")
    return tuple(jnp.sum(orders == code, axis=-1, dtype=np.int32) for code in (BUY, SELL))  # type: ignore[return-value]
