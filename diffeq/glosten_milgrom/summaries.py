"""What simulated days add up to: who earns what, how fast the market learns, with standard errors.

Paths are independent, the trades of one path are not: every standard error is over paths. A path
is summed in the scan that draws it; chunks of paths are then merged by count, mean and sum of
squared deviations, so that a million days take the memory of one chunk.

Reference: Chan, Golub & LeVeque (1983), The American Statistician 37, for the merging.
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
from diffeq.glosten_milgrom.binary_value import (
    Params,
    in_domain,
    spread_at,
    validated,
    value_at,
)
from diffeq.glosten_milgrom.learning import net_orders_to
from diffeq.glosten_milgrom.simulation import (
    CHUNK,
    VALUES,
    Paths,
    centred,
    drawn,
    log_odds_by_net_buys,
    unbatched,
)

THRESHOLDS = (0.9, 0.99)


class Estimate(NamedTuple):
    """A mean over paths."""

    mean: jax.Array
    """The sample mean."""
    standard_error: jax.Array
    """Its standard error; NaN for a single path."""


class Summary(NamedTuple):
    """Means over paths of T trades; money per path, so divide by T for a trade's average."""

    informed_profit: Estimate
    """Profit of all informed traders of a path, in money."""
    uninformed_profit: Estimate
    """Profit of all uninformed traders of a path, in money."""
    dealer_profit: Estimate
    """Profit of the market maker on a path; 0 in expectation."""
    half_spread: Estimate
    """Half-spreads paid by the uninformed of a path: what they lose in expectation."""
    uninformed_surprise: Estimate
    """Profit of the uninformed plus half-spreads paid; 0 in expectation."""
    belief: Estimate
    """mu after the last trade; mu_0 in expectation, where V is drawn."""
    imbalance: Estimate
    """Orders towards the truth, net, over T: alpha in expectation."""
    informed_share: Estimate
    """Share of informed traders; alpha in expectation."""
    spread: Estimate
    """Spread quoted at trade t, shape (T,) each, in price units."""
    thresholds: jax.Array
    """Beliefs in the truth whose first passage is recorded, shape (J,)."""
    first_passage: jax.Array
    """Share of paths on which trade t is the first to reach each, t = 0..T, shape (J, T + 1)."""
    not_reached: jax.Array
    """Share of paths that never reach each within T trades, shape (J,)."""
    trades_to_reach: Estimate
    """Trades it took on the paths that reach each, shape (J,); NaN if none does."""
    num_paths: jax.Array
    """P."""

    def __str__(self) -> str:
        """A table, of one market; of a batch, or while traced, the fields."""
        if isinstance(self.num_paths, jax.core.Tracer) or np.ndim(self.num_paths):
            return repr(self)
        rows = [f"{int(self.num_paths):,} paths of {self.spread.mean.shape[0]} trades; per path:"]
        for name in Summary._fields[:8]:
            estimate = getattr(self, name)
            rows.append(f"  {name:<20} {estimate.mean:>12.5g} ± {estimate.standard_error:.2g}")
        for j, threshold in enumerate(self.thresholds):
            trades = self.trades_to_reach.mean[j]
            rows.append(
                f"  belief in the truth at {threshold:g}: after {trades:.4g} trades, "
                f"not reached on {100 * self.not_reached[j]:.3g}% of paths"
            )
        first, last = self.spread.mean[0], self.spread.mean[-1]
        rows.append(f"  spread falls from {first:.4g} to {last:.4g}")
        return "\n".join(rows)


class _Moments(NamedTuple):
    number: jax.Array
    mean: jax.Array
    squares: jax.Array  # sum of squared deviations from the mean


class _Sums(NamedTuple):
    """All that a chunk leaves behind."""

    paths: _Moments  # of the first eight fields of Summary, (8,)
    spread: _Moments  # (T,)
    reached: jax.Array  # paths that reach a threshold at t = 0..T, (T + 1, J)


def simulate_summary(
    key: jax.Array,
    params: Params,
    *,
    num_trades: int,
    num_paths: int,
    value: str = "drawn",
    thresholds: Any = THRESHOLDS,
) -> Summary:
    """The summary of :func:`~.simulation.simulate`'s paths, without ever storing one.

    Args:
      key, params, num_trades, num_paths, value: as there; the same paths are drawn.
      thresholds: beliefs in the truth, in (0, 1], whose first passage is wanted, shape (J,).

    Returns:
      :class:`Summary`; scalars and arrays of shape (T,), (J,), (J, T + 1). NaN where a traced
      parameter is outside its domain.

    Raises:
      ValueError, TypeError: a concrete argument out of domain.

    Reference: Chan, Golub & LeVeque (1983) for the merging of chunks.
    """
    params, num_trades = validated(params), validate.count("num_trades", num_trades)
    num_paths = validate.count("num_paths", num_paths)
    value = validate.option("value", value, VALUES)
    wanted = _thresholds(thresholds, params)
    sums = _simulated(key, params, wanted, num_trades, num_paths, value)
    return _summary(sums, wanted, params, num_paths)


def summary(paths: Paths, *, thresholds: Any = THRESHOLDS) -> Summary:
    """The summary of recorded paths; see :func:`simulate_summary`.

    Reference: Glosten & Milgrom (1985): Propositions 1, 2 and 4 are what it checks.
    """
    wanted = _thresholds(thresholds, unbatched(paths).params)
    sums = _recorded(paths, wanted)
    return _summary(sums, wanted, paths.params, int(paths.high.shape[0]))


def _thresholds(thresholds: Any, params: Params) -> jax.Array:
    thresholds = validate.array("thresholds", thresholds)
    validate.unit_interval("thresholds", thresholds)
    if np.ndim(thresholds) != 1:
        raise ValueError(f"thresholds: expected shape (J,), got {np.shape(thresholds)}")
    if not isinstance(thresholds, jax.core.Tracer) and not (np.asarray(thresholds) > 0).all():
        raise ValueError(f"thresholds: expected beliefs in (0, 1], got {thresholds}")
    return jnp.asarray(thresholds, params.alpha.dtype)


@partial(jax.jit, static_argnums=(3, 4, 5))
def _simulated(
    key: jax.Array,
    params: Params,
    thresholds: jax.Array,
    num_trades: int,
    num_paths: int,
    value: str,
) -> _Sums:
    params = centred(params)
    tables = _tables(params, thresholds, num_trades)

    def chunk(i: Any, size: int) -> _Sums:
        return _played(*drawn(key, i, size, params, value), tables, params, num_trades)

    whole, rest = divmod(num_paths, CHUNK)
    sums = chunk(whole, rest) if rest else chunk(0, CHUNK)
    return lax.fori_loop(0 if rest else 1, whole, lambda i, s: _merged(s, chunk(i, CHUNK)), sums)


@jax.jit
def _recorded(paths: Paths, thresholds: jax.Array) -> _Sums:
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
    at = log_odds_by_net_buys(num_trades + 1, params)
    needed = jnp.stack([net_orders_to(thresholds, sign, params) for sign in (1, -1)])
    needed = jnp.minimum(needed, num_trades + 1).astype(np.int32)  # inf included
    return _Tables(at, value_at(at, params), spread_at(at, params), needed)


class _State(NamedTuple):
    """Of each path, so far."""

    net_buys: jax.Array
    needed: jax.Array  # trades until each threshold, so far as seen, (J, paths)
    informed: jax.Array  # number of informed traders
    informed_profit: jax.Array
    uninformed_profit: jax.Array
    spread_paid: jax.Array  # by the uninformed


def _played(high: jax.Array, draw: Any, tables: _Tables, params: Params, num_trades: int) -> _Sums:
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
    spread = _Moments(number, first + apart / number, squares - apart**2 / number)
    counts = partial(jnp.bincount, length=num_trades + 2)
    reached = jax.vmap(counts)(end.needed).astype(np.int32)[:, :-1].T
    return _Sums(_moments(_by_path(end, truth, tables, num_trades)), spread, reached)


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


def _moments(sample: jax.Array) -> _Moments:
    """Of each row."""
    mean = jnp.mean(sample, axis=1)
    squares = jnp.sum((sample - mean[:, None]) ** 2, axis=1)
    return _Moments(jnp.asarray(sample.shape[1], sample.dtype), mean, squares)


def _merged(a: _Sums, b: _Sums) -> _Sums:
    def merge(a: _Moments, b: _Moments) -> _Moments:
        number, apart = a.number + b.number, b.mean - a.mean
        share = b.number / number
        squares = a.squares + b.squares + apart**2 * a.number * share
        return _Moments(number, a.mean + share * apart, squares)

    return _Sums(merge(a.paths, b.paths), merge(a.spread, b.spread), a.reached + b.reached)


@partial(jax.jit, static_argnums=3)
def _summary(sums: _Sums, thresholds: jax.Array, params: Params, num_paths: int) -> Summary:
    def estimate(m: _Moments) -> Estimate:
        return Estimate(m.mean, jnp.sqrt(m.squares / (m.number - 1) / m.number))

    first = sums.reached.T.astype(thresholds.dtype)
    t = jnp.arange(first.shape[1]).astype(first.dtype)[None]
    number = jnp.sum(first, axis=1)
    mean = jnp.sum(first * t, axis=1) / number
    squares = jnp.sum(first * (t - mean[:, None]) ** 2, axis=1)
    paths = estimate(sums.paths)
    rows = [Estimate(paths.mean[i], paths.standard_error[i]) for i in range(paths.mean.shape[0])]
    fields = (
        *rows,
        estimate(sums.spread),
        thresholds,
        first / num_paths,
        (num_paths - number) / num_paths,
        estimate(_Moments(number, mean, squares)),
    )
    fields = poison(fields, in_domain(params), params)
    return Summary._make((*fields, jnp.asarray(num_paths)))
