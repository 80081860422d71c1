"""Simulated markets of :mod:`~diffeq.glosten_milgrom.continuous_value`, trader by trader.

V is drawn from the prior, and each trader's kind and, if he is uninformed, his side beforehand;
then the market runs: quotes at the belief, an order or none, Bayes. Nothing is validated or
poisoned here.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq.glosten_milgrom import atoms
from diffeq.glosten_milgrom.atoms import BUY, NONE, SELL


class Paths(NamedTuple):
    """Simulated markets; P paths, T traders, n atoms."""

    value: jax.Array
    """The asset's value V, shape (P,), in price units."""
    order: jax.Array
    """+1, −1, or 0 for none, shape (P, T), int."""
    informed: jax.Array
    """Whether the trader knew V, shape (P, T), bool."""
    bid: jax.Array
    """Bid before the order, shape (P, T), in price units."""
    ask: jax.Array
    """Ask before the order, shape (P, T), in price units."""
    profit: jax.Array
    """The trader's order · (V − price), shape (P, T); the market maker earns minus it."""
    mean: jax.Array
    """E[V] before the first order and after each, shape (P, T+1), in price units."""
    variance: jax.Array
    """Var(V) likewise, shape (P, T+1), in price units squared."""
    log_probabilities: jax.Array
    """The last belief, shape (P, n)."""


def path(
    key: jax.Array,
    values: jax.Array,
    probabilities: jax.Array,
    alpha: jax.Array,
    num_trades: int,
) -> Paths:
    """One path: V from the prior, then trader by trader; fields without the axis of paths."""
    key_value, key_informed, key_side = jax.random.split(key, 3)
    prior = jnp.log(probabilities)
    index = jax.random.categorical(key_value, prior)
    informed = jax.random.uniform(key_informed, (num_trades,), prior.dtype) < alpha
    side = jnp.where(jax.random.bernoulli(key_side, 0.5, (num_trades,)), BUY, SELL)

    def trade(state: jax.Array, draws: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, Any]:
        knows, side = draws
        belief, at = jax.nn.softmax(state), atoms.quotes_by_logs(state, values, alpha)
        best = jnp.where(index > at.ask_index, BUY, jnp.where(index < at.bid_index, SELL, NONE))
        order = jnp.where(knows, best, side)
        state = atoms.after(state, order, at, alpha)
        profit = atoms.profit(index, order, at, values, belief, alpha)
        then = atoms.moments(values, jax.nn.softmax(state))
        return state, (order, at.bid, at.ask, profit, *then)

    last, (orders, bid, ask, profit, *then) = lax.scan(trade, prior, (informed, side))
    first = atoms.moments(values, probabilities)
    mean, variance = (jnp.append(x, xs) for x, xs in zip(first, then, strict=True))
    return Paths(values[index], orders, informed, bid, ask, profit, mean, variance, last)
