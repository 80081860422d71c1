"""Many trades under arriving information: the filter, its likelihood, simulation, average spread.

The model of one trade is :mod:`~diffeq.glosten_milgrom.news`. Beliefs depend on the whole order of
buys and sales, not only on their number; the spread expected at each trade is nevertheless exact
(:mod:`~diffeq.glosten_milgrom.news_spread`).

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, 71–100; Hamilton (1989),
Econometrica 57, 357–384 (the filter).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import poison
from diffeq.glosten_milgrom import news, odds
from diffeq.glosten_milgrom.binary_value import BUY, SELL
from diffeq.glosten_milgrom.news import Params
from diffeq.glosten_milgrom.news_spread import ExpectedSpread, expected_spread
from diffeq.glosten_milgrom.redraw import chance_of, onwards

__all__ = [
    "ExpectedSpread",
    "Paths",
    "expected_spread",
    "log_likelihood",
    "log_odds_path",
    "simulate",
]


class Paths(NamedTuple):
    """P simulated days of T trades, arrays (P, T); entry t−1 is trade t."""

    value: jax.Array
    """V in force at the trade, in price units."""
    order: jax.Array
    """int8: +1 a buy, −1 a sale."""
    informed: jax.Array
    """bool: the trader knew V."""
    bid: jax.Array
    """Bid, in price units."""
    ask: jax.Array
    """Ask, in price units."""
    log_odds_after: jax.Array
    """Log-odds of mu, the belief after the trade."""

    @property
    def price(self) -> jax.Array:
        """What was paid: the ask of a buy, the bid of a sale."""
        return jnp.where(self.order == BUY, self.ask, self.bid)

    @property
    def profit(self) -> jax.Array:
        """Profit of the trader, order·(V − price), in money; the market maker's is its negative."""
        return self.order * (self.value - self.price)


def log_odds_path(orders: Any, params: Params) -> jax.Array:
    """The filter: log-odds of mu before the first order and after each, shape (T + 1,).

    Args:
      orders: +1 for a buy, −1 for a sale, shape (T,); batch with ``jax.vmap``.
      params: scalars.

    Raises:
      ValueError, TypeError: orders of another code or shape; a parameter out of domain.

    Reference: Hamilton (1989).

    >>> round(float(odds.belief(log_odds_path([1, 1, -1, 1, 1], Params())[-1])), 10)
    0.8398580287
    """
    params = news.validated(params)
    return _log_odds_path(_sequence(orders), params)


def log_likelihood(orders: Any, params: Params) -> jax.Array:
    """log P(orders), scalar: the sum of log P(order | orders before it).

    Args:
      orders: +1 for a buy, −1 for a sale, shape (T,); batch with ``jax.vmap``.
      params: scalars; the values V_L and V_H do not enter. Differentiable in mu_0, alpha and nu.

    Returns:
      Scalar; −inf for a sequence that cannot occur (alpha = 1, nu = 0, then a buy and a sale).

    Raises:
      ValueError, TypeError: orders of another code or shape; a parameter out of domain.

    Reference: Hamilton (1994), Time Series Analysis, equation (22.4.7).
    """
    params = news.validated(params)
    return _log_likelihood(_sequence(orders), params)


def simulate(key: jax.Array, params: Params, *, num_trades: int, num_paths: int = 1) -> Paths:
    """Draw V, redraw it at random times, and trade, ``num_paths`` times.

    Args:
      key: random key.
      params: scalars.
      num_trades: T, static.
      num_paths: P, static.

    Returns:
      :class:`Paths`, arrays (P, T). Where a traced parameter is outside its domain, values, quotes
      and beliefs are NaN.

    Raises:
      ValueError, TypeError: a concrete argument out of domain.

    Reference: steps 1 to 5 of :mod:`~diffeq.glosten_milgrom.news`.

    >>> simulate(jax.random.key(0), Params(), num_trades=200, num_paths=4).ask.shape
    (4, 200)
    """
    params = news.validated(params)
    num_trades = validate.count("num_trades", num_trades)
    return _simulate(key, params, num_trades, validate.count("num_paths", num_paths))


def _sequence(orders: Any) -> jax.Array:
    orders = validate.codes("orders", orders, (SELL, BUY))
    if orders is None or np.ndim(orders) != 1:
        raise ValueError(f"orders: expected shape (T,), got {np.shape(orders)}; batch by jax.vmap")
    return jnp.asarray(orders)


def _before(orders: jax.Array, params: Params) -> jax.Array:
    """Log-odds of mu⁻ before each order, shape (T,); NaN if an order is of another code."""
    known = jnp.all((orders == BUY) | (orders == SELL))
    start = news.before_at(odds.log_odds_of(params.mu_0), params)
    codes = orders.astype(start.dtype)

    def trade(at: jax.Array, order: jax.Array) -> tuple[jax.Array, jax.Array]:
        return onwards(at, order, params.alpha, params.nu, params.mu_0), at

    return jnp.where(known, lax.scan(trade, start, codes)[1], jnp.nan)


def _path(orders: jax.Array, params: Params) -> jax.Array:
    before = _before(orders, params)
    after = odds.bayes(before, orders.astype(before.dtype), params.alpha)
    return jnp.concatenate([odds.log_odds_of(params.mu_0)[None], after])


def _log_chance(orders: jax.Array, params: Params) -> jax.Array:
    before = _before(orders, params)
    chance = chance_of(orders.astype(before.dtype), before, params.alpha)
    return jnp.sum(odds.log_ratio(chance, jnp.ones_like(chance)))


@partial(jax.jit, static_argnums=(2, 3))
def _simulate(key: jax.Array, params: Params, num_trades: int, num_paths: int) -> Paths:
    params = poison(params, news.in_domain(params), params)
    alpha, nu, mu_0 = params.alpha, params.nu, params.mu_0
    key_V, key_trades = jax.random.split(key)

    def uniform(key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, (num_paths,), alpha.dtype)

    def trade(
        state: tuple[jax.Array, jax.Array], t: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, ...]]:
        high, at = state
        redraw, u = map(uniform, jax.random.split(jax.random.fold_in(key_trades, t)))
        high = jnp.where(redraw < nu, redraw < nu * mu_0, high)
        # under V_H: informed buy, uninformed buy, uninformed sale; under V_L the mirror image
        order = jnp.where((u < (1 + alpha) / 2) == high, BUY, SELL).astype(np.int8)
        bid, ask = news.quotes_at(at, params)
        at = news.update_at(at, order, params)
        value = jnp.where(high, params.V_H, params.V_L)
        return (high, at), (value, order, u < alpha, bid, ask, at)

    start = uniform(key_V) < mu_0, jnp.full((num_paths,), odds.log_odds_of(mu_0))
    records = lax.scan(trade, start, jnp.arange(num_trades))[1]
    return Paths(*(record.T for record in records))


def _poisoned(of: Any) -> Any:
    """The function, its last argument params, jitted; NaN where they are outside their domain."""
    return jax.jit(lambda *args: poison(of(*args), news.in_domain(args[-1]), args[-1]))


_log_odds_path, _log_likelihood = map(_poisoned, (_path, _log_chance))
