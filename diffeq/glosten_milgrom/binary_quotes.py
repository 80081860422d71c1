"""The equations of :mod:`~diffeq.glosten_milgrom.binary_value`, on arrays of one dtype.

The belief is of any shape; of the parameters V_L, V_H and alpha enter.
Nothing is validated or poisoned here.

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, 71–100.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq.glosten_milgrom import odds
from diffeq.glosten_milgrom.odds import Odds

BUY, SELL = 1, -1
"""Order codes."""


class Quotes(NamedTuple):
    """The two prices, each of the shape of the log-odds."""

    bid: jax.Array
    """E[V | the next order is a sale], in price units."""
    ask: jax.Array
    """E[V | the next order is a purchase], in price units."""


class Residual(NamedTuple):
    """|lhs − rhs| over the largest term of each condition, of the shape of the log-odds."""

    ask: jax.Array
    """E[V | buy] = ask: zero profit on a sale by the market maker"""
    bid: jax.Array
    """E[V | sell] = bid"""
    martingale: jax.Array
    """E[mu' | mu] = mu, for the less likely of the two values; the quotes never use it"""


def quotes_at(at: Odds, params: Any) -> Quotes:
    """Bid and ask: E[V | sell] and E[V | buy]."""
    alpha = params.alpha
    values = params.V_L, params.V_H
    bid = odds.mean(at, 1 - alpha, 1 + alpha, *values)
    ask = odds.mean(at, 1 + alpha, 1 - alpha, *values)
    return Quotes(bid, ask)


def value_at(at: Odds, params: Any) -> jax.Array:
    """E[V]."""
    one = jnp.ones_like(params.alpha)
    return odds.mean(at, one, one, params.V_L, params.V_H)


def spread_at(at: Odds, params: Any) -> jax.Array:
    """ask − bid, by the odds of the rarer value: 4 alpha e/D, D = (1+e)² − alpha²(1−e)²."""
    e, alpha = at.rarer, params.alpha
    D = ((1 + alpha) + (1 - alpha) * e) * ((1 - alpha) + (1 + alpha) * e)
    none = D == 0  # alpha = 1 and certainty
    share = jnp.where(none, 0, odds.over(4 * alpha * e, jnp.where(none, 1, D)))
    return (params.V_H - params.V_L) * share


def residual_at(quotes: Quotes, log_odds: jax.Array, params: Any) -> Residual:
    """Zero profit on each side and the martingale, from joint probabilities of order and value."""
    alpha, mu, rest = params.alpha, jax.nn.sigmoid(log_odds), jax.nn.sigmoid(-log_odds)

    def unfair(price: jax.Array, if_high: jax.Array, if_low: jax.Array) -> jax.Array:
        """|E[V | event] − price| over the largest of its terms, by joint probabilities."""
        high, low = mu * if_high, rest * if_low
        possible = high + low > 0
        high, low = jnp.where(possible, high, mu), jnp.where(possible, low, rest)
        terms = jnp.stack([high * params.V_H, low * params.V_L, -(high + low) * price])
        scale = jnp.max(jnp.abs(terms), axis=0)
        return jnp.abs(jnp.sum(terms, axis=0)) / jnp.where(scale > 0, scale, 1)

    rarer, sign = jnp.minimum(mu, rest), jnp.where(log_odds >= 0, -1, 1)
    size, expected = odds.step_of(alpha), jnp.zeros_like(mu)
    for order in (BUY, SELL):
        chance = (mu * (1 + order * alpha) + rest * (1 - order * alpha)) / 2
        then = odds.after(log_odds, jnp.array(order), size)
        expected += chance * jax.nn.sigmoid(sign * then)
    return Residual(
        ask=unfair(quotes.ask, 1 + alpha, 1 - alpha),
        bid=unfair(quotes.bid, 1 - alpha, 1 + alpha),
        martingale=jnp.abs(expected - rarer) / jnp.where(rarer > 0, rarer, 1),
    )
