"""Simulated days summed up as they are drawn, for :mod:`~diffeq.glosten_milgrom.summaries`.

A path is summed in the scan that draws it; chunks of paths are then merged by count, mean and sum
of squared deviations, so that a million days take the memory of one chunk. What depends on the
belief is read off tables by net buys.

Reference: Chan, Golub & LeVeque (1983), The American Statistician 37, for the merging.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq.glosten_milgrom import odds
from diffeq.glosten_milgrom.binary_quotes import spread_at, value_at
from diffeq.glosten_milgrom.binary_value import Params
from diffeq.glosten_milgrom.learning import net_orders_to
from diffeq.glosten_milgrom.simulation import CHUNK, Paths, centred, drawn, log_odds_by_net_buys


class Moments(NamedTuple):
    """Of independent paths, any shape."""

    number: jax.Array
    """How many."""
    mean: jax.Array
    """Their mean."""
    squares: jax.Array
    """Sum of squared deviations from it."""


class Sums(NamedTuple):
    """All that a chunk leaves behind."""

    paths: Moments
    """Of the first eight fields of :class:`~.summaries.Summary`, shape (8,)."""
    spread: Moments
    """Of the spread at each trade, shape (T,)."""
    reached: jax.Array
    """Paths that reach each threshold at t = 0..T, shape (T + 1, J)."""


@partial(jax.jit, static_argnums=(3, 4, 5))
def simulated(
    key: jax.Array,
    params: Params,
    thresholds: jax.Array,
    num_trades: int,
    num_paths: int,
    value: str,
) -> Sums:
    """Of paths drawn chunk by chunk, none of them kept."""
    params = centred(params)
    tables = _tables(params, thresholds, num_trades)

    def chunk(i: Any, size: int) -> Sums:
        return _played(*drawn(key, i, size, params, value), tables, params, num_trades)

    whole, rest = divmod(num_paths, CHUNK)
    sums = chunk(whole, rest) if rest else chunk(0, CHUNK)
    return lax.fori_loop(0 if rest else 1, whole, lambda i, s: _merged(s, chunk(i, CHUNK)), sums)


@jax.jit
def recorded(paths: Paths, thresholds: jax.Array) -> Sums:
    """Of the paths of a record."""
    order, informed = paths.order.T, paths.informed.T
    num_trades, params = order.shape[0], centred(paths.params)
    tables = _tables(params, thresholds, num_trades)
    return _played(paths.high, lambda t: (order[t], informed[t]), tables, params, num_trades)


class _Tables(NamedTuple):
    """By net buys −(T+1), …, T+1."""

    log_odds: jax.Array
    value: jax.Array  # E[V] less the middle of V_L and V_H: the price of the order that led there
    spread: jax.Array
    needed: jax.Array  # orders, net, that reach a threshold under V_H and V_L, (2, J)


def _tables(params: Params, thresholds: jax.Array, num_trades: int) -> _Tables:
    log_odds = log_odds_by_net_buys(num_trades + 1, params)
    at = odds.of(log_odds)
    needed = jnp.stack([net_orders_to(thresholds, sign, params) for sign in (1, -1)])
    needed = jnp.minimum(needed, num_trades + 1).astype(np.int32)  # inf included
    return _Tables(log_odds, value_at(at, params), spread_at(at, params), needed)


class _State(NamedTuple):
    """Of each path, so far."""

    net_buys: jax.Array
    needed: jax.Array  # trades until each threshold, so far as seen, (J, paths)
    informed: jax.Array  # number of informed traders
    informed_profit: jax.Array
    uninformed_profit: jax.Array
    spread_paid: jax.Array  # by the uninformed


def _played(high: jax.Array, draw: Any, tables: _Tables, params: Params, num_trades: int) -> Sums:
    """Sums of a chunk of paths, their V and a function that gives the t-th trade of all."""
    dtype, size = params.alpha.dtype, high.shape[0]
    V, truth = jnp.where(high, params.V_H, params.V_L), jnp.where(high, 1, -1).astype(np.int32)
    distance = jnp.where(high[None], tables.needed[0][:, None], tables.needed[1][:, None])

    def trade(s: _State, t: jax.Array) -> tuple[_State, Any]:
        order, informed = draw(t - 1)
        spread = _at(s.net_buys, tables.spread)
        net_buys = s.net_buys + order
        profit = order * (V - _at(net_buys, tables.value))
        short = (s.needed == t) & ((truth * net_buys)[None] < distance)
        s = _State(
            net_buys,
            s.needed + short.astype(np.int32),
            s.informed + informed,
            s.informed_profit + jnp.where(informed, profit, 0),
            s.uninformed_profit + jnp.where(informed, 0, profit),
            s.spread_paid + jnp.where(informed, 0, spread),
        )
        apart = spread - spread[0]  # no cancellation where all are alike
        return s, (spread[0], jnp.sum(apart), jnp.sum(apart**2))

    zero, none = jnp.zeros(size, dtype), jnp.zeros(size, np.int32)
    first_needed = (distance > 0).astype(np.int32)
    end, (first, apart, squares) = lax.scan(
        trade,
        _State(none, first_needed, none, zero, zero, zero),
        jnp.arange(1, num_trades + 1, dtype=np.int32),
    )
    number = jnp.asarray(size, dtype)
    spread = Moments(number, first + apart / number, squares - apart**2 / number)
    counts = partial(jnp.bincount, length=num_trades + 2)
    reached = jax.vmap(counts)(end.needed).astype(np.int32)[:, :-1].T
    return Sums(_moments(_by_path(end, truth, tables, num_trades)), spread, reached)


def _by_path(s: _State, truth: jax.Array, tables: _Tables, num_trades: int) -> jax.Array:
    """The first eight fields of Summary for each path, shape (8, paths)."""
    dtype, half_spread = s.spread_paid.dtype, s.spread_paid / 2
    return jnp.stack(
        [
            s.informed_profit,
            s.uninformed_profit,
            -(s.informed_profit + s.uninformed_profit),
            half_spread,
            s.uninformed_profit + half_spread,
            odds.probability(_at(s.net_buys, tables.log_odds)),
            (truth * s.net_buys).astype(dtype) / num_trades,
            s.informed.astype(dtype) / num_trades,
        ]
    )


def _at(net_buys: jax.Array, table: jax.Array) -> jax.Array:
    """The entries of a table at net buys, which never leave it."""
    index = net_buys + table.shape[0] // 2
    return table.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _moments(sample: jax.Array) -> Moments:
    """Of each row."""
    mean = jnp.mean(sample, axis=1)
    squares = jnp.sum((sample - mean[:, None]) ** 2, axis=1)
    return Moments(jnp.asarray(sample.shape[1], sample.dtype), mean, squares)


def _merged(a: Sums, b: Sums) -> Sums:
    def merge(a: Moments, b: Moments) -> Moments:
        number, apart = a.number + b.number, b.mean - a.mean
        share = b.number / number
        squares = a.squares + b.squares + apart**2 * a.number * share
        return Moments(number, a.mean + share * apart, squares)

    return Sums(merge(a.paths, b.paths), merge(a.spread, b.spread), a.reached + b.reached)
