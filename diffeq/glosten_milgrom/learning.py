"""How fast the market learns V, exactly: no simulation.

After n buys net of sales the log-odds are those of the prior plus n steps, so beliefs live on the
integers. Under V_H net buys rise by one with probability (1+alpha)/2 and else fall by one; under
V_L the other way round. Two dynamic programs over net buys follow: the law of the first time at
which the belief in the truth reaches a threshold, and expected beliefs and spreads trade by trade.

Reference: Glosten & Milgrom (1985), Proposition 4; the mean first-passage time is Wald's identity.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import odds
from diffeq.glosten_milgrom.binary_quotes import spread_at
from diffeq.glosten_milgrom.binary_value import (
    BUY,
    SELL,
    Params,
    in_domain,
    validated,
)

TRUTHS = ("V_H", "V_L")


class FirstPassage(NamedTuple):
    """The law of the first trade after which the belief in the truth is at the threshold."""

    probability: jax.Array
    """P(it is trade t), t = 0..num_trades, shape (num_trades + 1,); t = 0 is the prior itself."""
    not_reached: jax.Array
    """P(not within num_trades), scalar."""
    mean: jax.Array
    """Expected number of trades without any limit, scalar: k/alpha from the start; inf if never."""
    net_orders: jax.Array
    """k, the orders towards the truth, net of the others, that reach it, scalar; inf if never."""
    info: Info
    """Whether parameters and threshold lie in their domain; |total probability − 1|."""


class Expected(NamedTuple):
    """Expected beliefs and spreads, trade by trade."""

    belief_if_high: jax.Array
    """E[mu after t trades | V = V_H], t = 0..num_trades, shape (num_trades + 1,)."""
    belief_if_low: jax.Array
    """The same given V = V_L; weighted by mu_0 the two average to mu_0: mu is a martingale."""
    spread: jax.Array
    """E[spread quoted at trade t], t = 1..num_trades, in price units, shape (num_trades,)."""
    spread_if_high: jax.Array
    """E[spread | V = V_H]."""
    spread_if_low: jax.Array
    """E[spread | V = V_L]."""
    info: Info
    """Whether the parameters lie in their domain; the largest failure of the martingale."""


def log_odds_path(orders: Any, params: Params) -> jax.Array:
    """Log-odds before the first order and after each; see :func:`~.binary_value.update`.

    Args:
      orders: +1 for a buy, −1 for a sale, shape (T,).
      params: scalars.

    Returns:
      Shape (T + 1,), exact: net buys are counted, not summed as floats. At alpha = 1 the belief
      returns to the prior where buys and sales balance, a history that is impossible there.

    Raises:
      ValueError: an order that is neither +1 nor −1, or not of one dimension.

    Reference: Glosten & Milgrom (1985).
    """
    params, orders = validated(params), validate.codes("orders", orders, (SELL, BUY))
    if orders is None or np.ndim(orders) != 1:
        raise ValueError(f"orders: expected shape (T,), got {np.shape(orders)}; batch by jax.vmap")
    return _log_odds_path(jnp.asarray(orders), params)


@jax.jit
def _log_odds_path(orders: jax.Array, params: Params) -> jax.Array:
    known = jnp.all((orders == BUY) | (orders == SELL))
    net_buys = jnp.cumsum(orders, dtype=np.int32)
    path = odds.after(
        odds.log_odds_of(params.mu_0),
        jnp.pad(net_buys, (1, 0)),
        odds.step_of(params.alpha),
    )
    return poison(path, in_domain(params) & known, params)


def first_passage(
    params: Params, *, threshold: Any = 0.9, num_trades: int, truth: str = "V_H"
) -> FirstPassage:
    """When the belief in the truth first reaches a threshold, given that truth.

    A belief that equals the threshold has reached it: orders are counted, so that at alpha = .5
    two net buys take 1/2 to 9/10 exactly, whatever the rounding of their floats.

    Args:
      params: scalars; differentiable in all of them wherever ``net_orders`` does not jump.
      threshold: belief in the truth, in (0, 1], scalar.
      num_trades: trades for which the law is wanted, static; the mean needs no such limit.
      truth: ``"V_H"`` or ``"V_L"``, static.

    Returns:
      :class:`FirstPassage`.

    Raises:
      ValueError, TypeError: a concrete argument out of domain.

    Reference: the gambler's ruin, Feller (1968), volume 1, chapter XIV.

    >>> law = first_passage(Params(mu_0=0.5, alpha=0.3), threshold=0.9, num_trades=50)
    >>> round(float(law.mean), 4), int(law.net_orders)  # 40/3
    (13.3333, 4)
    """
    params = validated(params)
    num_trades = validate.count("num_trades", num_trades, minimum=0)
    sign = 1 if validate.option("truth", truth, TRUTHS) == "V_H" else -1
    validate.unit_interval("threshold", validate.array("threshold", threshold))
    if np.shape(threshold) != ():
        raise ValueError(f"threshold: expected a scalar, got {np.shape(threshold)}; use jax.vmap")
    if not isinstance(threshold, jax.core.Tracer) and not threshold > 0:
        raise ValueError(f"threshold: expected a belief in (0, 1], got {threshold}")
    threshold = jnp.asarray(threshold, params.alpha.dtype)
    return _first_passage(params, threshold, num_trades, sign)


@partial(jax.jit, static_argnums=(2, 3))
def _first_passage(
    params: Params, threshold: jax.Array, num_trades: int, sign: int
) -> FirstPassage:
    alpha, k = params.alpha, net_orders_to(threshold, sign, params)
    n = jnp.arange(-num_trades, num_trades + 1).astype(alpha.dtype)  # net orders for the truth

    def trade(law: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        law = _one_order(law, (1 + alpha) / 2)
        return jnp.where(n >= k, 0, law), jnp.sum(jnp.where(n >= k, law, 0))

    start = (n == 0) & (k > 0)
    law, reached = lax.scan(trade, start.astype(alpha.dtype), None, length=num_trades)
    probability = jnp.concatenate([(k <= 0).astype(alpha.dtype)[None], reached])
    not_reached = jnp.sum(law)
    # Wald: from n, (k − n)/alpha trades are still expected
    possible = (alpha > 0) & jnp.isfinite(k)
    still = jnp.where(possible, k, 0) - n
    remaining = jnp.sum(law * (num_trades + still / jnp.where(alpha > 0, alpha, 1)))
    early = jnp.sum(probability * np.arange(num_trades + 1).astype(alpha.dtype))
    mean = early + jnp.where(possible | (k <= 0), remaining, jnp.inf)
    ok = in_domain(params) & (threshold > 0) & (threshold <= 1)
    fields = poison((probability, not_reached, mean, k), ok, (params, threshold))
    return FirstPassage(*fields, Info(ok, jnp.abs(jnp.sum(probability) + not_reached - 1)))


def net_orders_to(threshold: jax.Array, sign: int, params: Params) -> jax.Array:
    """Orders towards the truth (V_H for sign +1), net of contrary ones, after which the belief in
    it is at the threshold: a count in floating point, 0 if the prior is, inf if never.

    The logs may miss an equality by their rounding, which counts as equality.
    """
    alpha, eps = params.alpha, float(jnp.finfo(params.alpha.dtype).eps)
    prior, step = sign * odds.log_odds_of(params.mu_0), odds.step_of(alpha)
    alpha, prior, step, threshold = map(lax.stop_gradient, (alpha, prior, step, threshold))
    distance = odds.log_odds_of(threshold) - prior
    orders = jnp.where((step > 0) & jnp.isfinite(step), distance / step, jnp.inf)
    # d log-odds = d mu/(mu(1−mu)) and, an order's, 2 d alpha/(1−alpha²): numbers are given rounded,
    # below 1 to eps/4, and perhaps computed; and the logs are, here
    given = 1 / (1 - threshold) + 1 / (1 - lax.stop_gradient(params.mu_0))
    given += 2 * orders * alpha / (1 - alpha)
    rounding = eps * (given / 2 + 8 * (jnp.abs(prior) + orders * step))
    slack = jnp.where(jnp.isfinite(rounding), rounding, 0)
    count = jnp.ceil(orders - slack / jnp.where((step > 0) & jnp.isfinite(step), step, 1))
    count = jnp.where(jnp.isinf(step) & jnp.isfinite(prior), 1, jnp.maximum(count, 1))
    # a prior of 1 is at every threshold; one of 0 reaches none
    return jnp.where((distance <= slack) | jnp.isposinf(prior), 0, count)


def expected(params: Params, *, num_trades: int) -> Expected:
    """Expected beliefs and spreads after each of ``num_trades`` trades, exactly.

    Args:
      params: scalars; every leaf is differentiable.
      num_trades: T, static; the cost is T².

    Returns:
      :class:`Expected`, arrays of shape (T + 1,) and (T,).

    Raises:
      ValueError, TypeError: a concrete argument out of domain.

    Reference: Glosten & Milgrom (1985), Proposition 4.

    >>> round(float(expected(Params(), num_trades=2).spread[0]), 12)
    6.0
    """
    return _expected(validated(params), validate.count("num_trades", num_trades))


@partial(jax.jit, static_argnums=1)
def _expected(params: Params, num_trades: int) -> Expected:
    alpha, mu_0 = params.alpha, params.mu_0
    n = jnp.arange(-num_trades, num_trades + 1)
    high, low = _likelihoods(n, alpha)
    at = odds.odds_given(odds.of_prior(mu_0), high, low)
    mu, spread = odds.chances(at)[0], spread_at(at, params)

    def trade(laws: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, Any]:
        now = [(law @ mu, law @ spread) for law in laws]
        high, low = laws
        return (_one_order(high, (1 + alpha) / 2), _one_order(low, (1 - alpha) / 2)), now

    start = (n == 0).astype(alpha.dtype)
    (high, low), by_truth = lax.scan(trade, (start, start), None, length=num_trades)
    (belief_high, spread_high), (belief_low, spread_low) = by_truth
    belief_high = jnp.append(belief_high, high @ mu)
    belief_low = jnp.append(belief_low, low @ mu)
    public = mu_0 * spread_high + (1 - mu_0) * spread_low
    drift = jnp.max(jnp.abs(mu_0 * belief_high + (1 - mu_0) * belief_low - mu_0))
    fields = belief_high, belief_low, public, spread_high, spread_low
    ok = in_domain(params)
    return Expected(*poison(fields, ok, params), Info(ok, drift))


def _likelihoods(net_buys: jax.Array, alpha: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of the net buys under V_H and under V_L, over the larger: smooth at alpha = 1 too."""
    less = lax.pow(jnp.broadcast_to((1 - alpha) / (1 + alpha), net_buys.shape), jnp.abs(net_buys))
    return jnp.where(net_buys < 0, less, 1), jnp.where(net_buys > 0, less, 1)


def _one_order(law: jax.Array, up: jax.Array) -> jax.Array:
    """The law over consecutive integers after one order that is +1 with probability ``up``."""
    zero = jnp.zeros_like(law[:1])
    return up * jnp.concatenate([zero, law[:-1]]) + (1 - up) * jnp.concatenate([law[1:], zero])
