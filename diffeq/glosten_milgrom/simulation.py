"""Simulated markets: who came, what they did, what they earned.

One uniform number a trade: below alpha the trader is informed; of the rest one half buys. Numbers
are drawn trade by trade inside the scan, from keys folded with the number of the trade and of a
chunk of paths, so that they stay in cache, memory is bounded, and a path does not depend on how
many paths there are (with JAX's default random numbers).

A record keeps who came and what they did, two bytes a trade; quotes, prices, beliefs and profits
follow from net buys and are computed when asked for. ``simulate_summary`` keeps no paths at all.

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, 71–100.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import poison
from diffeq.glosten_milgrom import odds
from diffeq.glosten_milgrom.binary_quotes import quotes_at, spread_at, value_at
from diffeq.glosten_milgrom.binary_value import (
    BUY,
    SELL,
    Params,
    in_domain,
    validated,
)

CHUNK = 65_536
"""Paths drawn together: their state stays in a core's cache, their work outweighs its overhead."""
VALUES = ("drawn", "V_H", "V_L")


class Paths(NamedTuple):
    """P simulated days of T trades. Arrays (P, T) unless said otherwise; entry t−1 is trade t.

    Kept are the orders and who sent them; all else is computed from them when asked for.
    """

    high: jax.Array
    """bool: V = V_H, shape (P,)."""
    order: jax.Array
    """int8: +1 a buy, −1 a sale."""
    informed: jax.Array
    """bool: the trader knew V."""
    params: Params
    """The parameters they were drawn with; scalars."""

    @property
    def value(self) -> jax.Array:
        """V, in price units, shape (P,)."""
        return jnp.where(unbatched(self).high, self.params.V_H, self.params.V_L)

    @property
    def net_buys(self) -> jax.Array:
        """int32: buys net of sales before each trade and after the last, shape (P, T + 1)."""
        total = jnp.cumsum(unbatched(self).order, axis=1, dtype=np.int32)
        return jnp.pad(total, ((0, 0), (1, 0)))

    @property
    def log_odds_before(self) -> jax.Array:
        """Log-odds of the belief at which the trade was quoted."""
        return _along(_log_odds, self, False)

    @property
    def log_odds_after(self) -> jax.Array:
        """Log-odds of the belief after the trade."""
        return _along(_log_odds, self, True)

    @property
    def belief_before(self) -> jax.Array:
        """mu before the trade."""
        return _along(_belief, self, False)

    @property
    def belief_after(self) -> jax.Array:
        """mu after the trade."""
        return _along(_belief, self, True)

    @property
    def expected_value(self) -> jax.Array:
        """E[V] before the trade, in price units."""
        return _along(_value, self, False)

    @property
    def bid(self) -> jax.Array:
        """Bid, in price units."""
        return _along(_bid, self, False)

    @property
    def ask(self) -> jax.Array:
        """Ask, in price units."""
        return _along(_ask, self, False)

    @property
    def spread(self) -> jax.Array:
        """ask − bid, without its cancellation."""
        return _along(_spread, self, False)

    @property
    def price(self) -> jax.Array:
        """What was paid, the ask of a buy and the bid of a sale: E[V] after the trade."""
        return _along(_value, self, True)

    @property
    def profit(self) -> jax.Array:
        """Profit of the trader, order·(V − price), in money; the market maker's is its negative."""
        return _profit(self)


def unbatched(paths: Paths) -> Paths:
    """The paths; raises unless they are of one market, of shape (P, T)."""
    if not isinstance(paths, Paths):
        raise TypeError(f"paths: expected the Paths of simulate(), got {type(paths).__name__}")
    if paths.order.ndim != 2:
        raise ValueError(
            f"paths: expected orders of shape (P, T), got {paths.order.shape}; use jax.vmap for a "
            "batch of them, as in jax.vmap(lambda paths: paths.ask)(batch)"
        )
    return paths


@partial(jax.jit, static_argnums=(0, 2))
def _along(of: Any, paths: Paths, after: bool) -> jax.Array:
    """A function of (log-odds, params) along the paths, by a table over all net buys."""
    num_trades = unbatched(paths).order.shape[1]
    table = of(log_odds_by_net_buys(num_trades, paths.params), paths.params)
    net_buys = jnp.cumsum(paths.order, axis=1, dtype=np.int32)
    before = net_buys if after else net_buys - paths.order
    return table.at[before + num_trades].get(mode="promise_in_bounds", wrap_negative_indices=False)


@jax.jit
def _profit(paths: Paths) -> jax.Array:
    paths = paths._replace(params=centred(paths.params))
    return paths.order * (paths.value[:, None] - paths.price)


def _log_odds(at: jax.Array, params: Params) -> jax.Array:
    return at


def _belief(at: jax.Array, params: Params) -> jax.Array:
    return odds.probability(at)


def _value(at: jax.Array, params: Params) -> jax.Array:
    return value_at(odds.of(at), params)


def _bid(at: jax.Array, params: Params) -> jax.Array:
    return quotes_at(odds.of(at), params).bid


def _ask(at: jax.Array, params: Params) -> jax.Array:
    return quotes_at(odds.of(at), params).ask


def _spread(at: jax.Array, params: Params) -> jax.Array:
    return spread_at(odds.of(at), params)


def simulate(
    key: jax.Array,
    params: Params,
    *,
    num_trades: int,
    num_paths: int = 1,
    value: str = "drawn",
) -> Paths:
    """Draw V, and ``num_trades`` traders, ``num_paths`` times.

    Args:
      key: random key.
      params: scalars.
      num_trades: T, static.
      num_paths: P, static; the first paths are the same for every P.
      value: ``"drawn"`` from mu_0, or ``"V_H"`` or ``"V_L"`` for every path, static.

    Returns:
      :class:`Paths`, shapes (P, T) and (P,): two bytes a trade, and its quotes, beliefs and profits
      on request. Where a traced parameter is outside its domain its ``params`` are NaN, and with
      them all that is computed from them.

    Raises:
      ValueError, TypeError: a concrete argument out of domain.

    Reference: Glosten & Milgrom (1985).

    >>> paths = simulate(jax.random.key(0), Params(), num_trades=200, num_paths=4)
    >>> paths.ask.shape
    (4, 200)
    """
    params, num_trades = validated(params), validate.count("num_trades", num_trades)
    num_paths = validate.count("num_paths", num_paths)
    return _simulate(key, params, num_trades, num_paths, validate.option("value", value, VALUES))


@partial(jax.jit, static_argnums=(2, 3, 4))
def _simulate(key: jax.Array, params: Params, num_trades: int, num_paths: int, value: str) -> Paths:
    def chunk(start: Any, size: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        high, draw = drawn(key, start, size, params, value)
        zero = jnp.zeros((), np.int32)
        _, (order, informed) = lax.scan(
            lambda t, _: (t + 1, draw(t)), zero, None, length=num_trades
        )
        return high, order.T, informed.T

    whole = max(num_paths // CHUNK, 0)
    parts = []
    if whole:
        stacked = lax.map(lambda i: chunk(i, CHUNK), jnp.arange(whole))
        parts.append(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), stacked))
    if num_paths % CHUNK:
        parts.append(chunk(whole, num_paths % CHUNK))
    paths = jax.tree.map(lambda *x: jnp.concatenate(x) if len(x) > 1 else x[0], *parts)
    return Paths._make((*paths, poison(params, in_domain(params), params)))


def drawn(
    key: jax.Array, chunk: Any, size: int, params: Params, value: str
) -> tuple[jax.Array, Any]:
    """V of each path of a chunk, and a function that draws the t-th trade of all, t = 0, 1, …

    It gives (order int8, informed), shape (size,) each.
    """
    key_V, key_trades = jax.random.split(jax.random.fold_in(key, chunk))
    dtype, alpha = params.alpha.dtype, params.alpha
    mu_0 = {"drawn": params.mu_0, "V_H": 1.0, "V_L": 0.0}[value]
    high = jax.random.uniform(key_V, (size,), dtype) < mu_0

    def trade(t: jax.Array) -> tuple[jax.Array, jax.Array]:
        u = jax.random.uniform(jax.random.fold_in(key_trades, t), (size,), dtype)
        # under V_H: informed buy, uninformed buy, uninformed sell; under V_L the mirror image
        buys = (u < (1 + alpha) / 2) == high
        return jnp.where(buys, BUY, SELL).astype(np.int8), u < alpha

    return high, trade


def centred(params: Params) -> Params:
    """The same market with prices from the middle of V_L and V_H: profits lose no digits to it."""
    half = (params.V_H - params.V_L) / 2
    return params._replace(V_L=-half, V_H=half)


def log_odds_by_net_buys(num_trades: int, params: Params) -> jax.Array:
    """Log-odds after −T, …, T buys net of sales, shape (2T + 1,)."""
    n = jnp.arange(-num_trades, num_trades + 1)
    return odds.after(odds.log_odds_of(params.mu_0), n, odds.step_of(params.alpha))
