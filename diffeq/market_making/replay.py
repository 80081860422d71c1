"""A policy on a recorded tape: what its quotes would have met, queues aside.

At each quoting time t_n the bid is posted at mid − delta_b(t_n, q), the ask at mid + delta_a(t_n,
q), the mid that of the last quote strictly before t_n; both stand to t_{n+1}. The fill rule is
queue-naive: the bid is filled, once, one lot, at its own price, if in (t_n, t_{n+1}] a market order
that sells prints strictly below it (trades through it; or, by option, at it or below), the ask
alike. Orders ahead in the queue, the size traded, our own effect on the market, and a better price
for a quote posted through the market are left out. A fill turns inventory over at t_{n+1}, not
before.

What orders reached is measured from the mid at t_n: reach_b = mid − lowest price sold at. So a bid
is filled iff reach_b > delta_b, and the record (:func:`record`) is made once for every policy.
Nothing in entry n of a result depends on what comes after t_n.

Reference: the trade-through rule is the usual one of tape backtests, e.g. Cartea, Jaimungal &
Penalva (2015), section 8.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.empirical import market_orders
from diffeq.empirical.readers.records import Floats, Tape
from diffeq.market_making.model import Params, in_domain
from diffeq.market_making.moments import checked

_ON_GRID = 1e-6
"""Closer than this to the grid, in ticks, is on it."""


class Record(NamedTuple):
    """A tape cut at N + 1 quoting times: all that a replay needs of it, float64 on the host."""

    times: Floats
    """t_0 < … < t_N, seconds after the tape's origin, shape (N + 1,)."""
    mid: Floats
    """Mid of the last quote strictly before each, price units, shape (N + 1,)."""
    reach_b: Floats
    """How far below the mid at t_n market orders sold in (t_n, t_{n+1}], price units, shape (N,);
    −inf where none did."""
    reach_a: Floats
    """How far above it they bought."""
    unsigned: int
    """Trades left out: nobody knows whose they were."""


class Replay(NamedTuple):
    """N intervals on the tape; entry 0 is the start, n what holds at t_n."""

    times: jax.Array
    """t_n − t_0, seconds, shape (N + 1,)."""
    mid: jax.Array
    """S, price units, shape (N + 1,)."""
    inventory: jax.Array
    """q in lots, int32, shape (N + 1,)."""
    profit: jax.Array
    """X + q S less its start, marked to the mid, in money, shape (N + 1,)."""
    cash: jax.Array
    """X, 0 at the start, in money, shape (N + 1,)."""
    bid_depth: jax.Array
    """Depth at which the bid stood, price units, shape (N,); +inf where none did."""
    ask_depth: jax.Array
    """The same of the ask."""
    bid_fill: jax.Array
    """bool: the bid was filled in the interval, shape (N,)."""
    ask_fill: jax.Array
    """bool: the ask was."""
    bid_chance: jax.Array
    """The forecast 1 − exp(−A exp(−k delta_b) dt) of such a fill, shape (N,)."""
    ask_chance: jax.Array
    """The same of the ask."""
    info: Info
    """Whether parameters and depths were in their domain; |cash + q S − profit| over their size."""


def record(tape: Tape, times: Any, *, sign: Any = None) -> Record:
    """Cut a tape at the quoting times.

    Args:
      tape: trades and quotes.
      times: t_0 < … < t_N, in seconds after the tape's origin, shape (N + 1,), N ≥ 1.
      sign: of each trade, in {−1, 0, 1}; default the venue's, else Lee–Ready's, which looks at
        strictly earlier quotes and prices alone.

    Returns:
      :class:`Record`.

    Raises:
      ValueError: no trades, no quotes, crossed quotes, times not increasing or before the first
        quote.

    Reference: see the module.
    """
    times = np.asarray(validate.array("times", times), np.float64)
    if times.ndim != 1 or times.size < 2 or not (np.diff(times) > 0).all():
        raise ValueError("times: expected strictly increasing times, shape (N + 1,), N ≥ 1")
    mid = market_orders.mids(tape, times)
    orders = market_orders.market_orders(tape, sign=sign, quoting_times=times)
    n = np.searchsorted(times, orders.time, side="left") - 1
    reach = np.full((2, times.size - 1), -np.inf)
    np.maximum.at(reach, ((orders.sign > 0).astype(int), n), orders.depth)
    return Record(times, mid, reach[0], reach[1], orders.unsigned)


def replay(
    policy: Any,
    record: Record,
    params: Params,
    *,
    lot: float = 1.0,
    initial_inventory: int = 0,
    at_the_quote: bool = False,
    tick: float | None = None,
) -> Replay:
    """Quote a policy on a recorded tape.

    Args:
      policy: anything with ``delta_b`` and ``delta_a``, shape (N + 1, 2Q + 1) (a Solution, Depths):
        rows n < N are quoted, at t_n; inventory in lots. Batch with ``jax.vmap``.
      record: of :func:`record`.
      params: what the policy believes; its A and k, per second, forecast the fills.
      lot: units of the asset in a lot, > 0: scales profit and cash alone.
      initial_inventory: q_0 in lots, within the grid.
      at_the_quote: a print at our own price fills us too: as if we were first in the queue.
      tick: price grid; bids are then rounded down to it, asks up. Default: any price.

    Returns:
      :class:`Replay`; NaN in money where a traced parameter, or a depth, is not in its domain.

    Raises:
      ValueError, TypeError: shapes that differ, or a concrete argument out of domain.

    Reference: see the module.
    """
    if not isinstance(record, Record):
        raise TypeError(f"record: expected the Record of record(), got {type(record).__name__}")
    p, _, depths, q_0 = checked(policy, params, record.times, initial_inventory)
    N, dtype = record.times.size - 1, p.sigma.dtype
    rates = [jnp.broadcast_to(jnp.stack(x), (N, 2)) for x in ((p.A_b, p.A_a), (p.k_b, p.k_a))]
    validate.positive("lot", validate.array("lot", lot))
    played = play(depths, rates[0], rates[1], record, lot, q_0, at_the_quote, tick)
    money = played.mid, played.profit, played.cash
    mid, profit, cash = poison(money, in_domain(p), p)
    info = Info(played.info.converged & in_domain(p), played.info.residual)
    return played._replace(mid=mid.astype(dtype), profit=profit, cash=cash, info=info)


def play(
    depths: tuple[jax.Array, jax.Array],
    A: jax.Array,
    k: jax.Array,
    record: Record,
    lot: Any,
    initial_inventory: int,
    at_the_quote: bool,
    tick: float | None,
) -> Replay:
    """Replay with forecasts of each interval's own: A and k of shape (N, 2), bid and ask."""
    dtype = depths[0].dtype
    down = up = np.zeros(record.mid.size - 1)  # from the mid to the grid, either way
    if tick is not None:
        validate.positive("tick", validate.array("tick", tick))
        at = record.mid[:-1] / tick
        at = np.where(np.abs(at - np.round(at)) < _ON_GRID, np.round(at), at)
        down, up = (at - np.floor(at)) * tick, (np.ceil(at) - at) * tick
    tape = _Intervals(
        *(
            jnp.asarray(x, dtype)
            for x in (
                np.diff(record.times),
                np.diff(record.mid),
                record.mid[:-1],
                record.reach_b,
                record.reach_a,
                down,
                up,
            )
        )
    )
    step = jnp.asarray(0.0 if tick is None else tick, dtype)
    lot = jnp.asarray(lot, dtype)
    q_0, touch = jnp.asarray(initial_inventory, np.int32), jnp.asarray(at_the_quote)
    done = _play(depths, A.astype(dtype), k.astype(dtype), tape, step, lot, q_0, touch)
    times = jnp.asarray(record.times - record.times[0], dtype)
    return done._replace(times=times, mid=jnp.asarray(record.mid, dtype))


class _Intervals(NamedTuple):
    """Each of shape (N,)."""

    dt: jax.Array
    move: jax.Array
    mid: jax.Array
    reach_b: jax.Array
    reach_a: jax.Array
    down: jax.Array
    up: jax.Array


@jax.jit
def _play(
    depths: tuple[jax.Array, jax.Array],
    A: jax.Array,
    k: jax.Array,
    tape: _Intervals,
    tick: jax.Array,
    lot: jax.Array,
    q_0: jax.Array,
    at_the_quote: jax.Array,
) -> Replay:
    Q, dtype = depths[0].shape[1] // 2, tape.dt.dtype
    none = jnp.full((1,), jnp.inf, dtype)

    def step(state: Any, row: Any) -> Any:
        q, profit, cash = state
        b, a, A, k, now = row
        b, a = jnp.concatenate([b[:-1], none]), jnp.concatenate([none, a[1:]])
        b, a = (x.at[q + Q].get(mode="promise_in_bounds") for x in (b, a))
        b, a = on_grid(b, now.down, tick), on_grid(a, now.up, tick)
        bought = reached(now.reach_b, b, tick, at_the_quote)
        sold = reached(now.reach_a, a, tick, at_the_quote)
        chance = -jnp.expm1(-A * jnp.exp(-k * jnp.stack([b, a])) * now.dt)  # 0 at +inf
        q = q + bought.astype(np.int32) - sold.astype(np.int32)
        earned = jnp.where(bought, b, 0) + jnp.where(sold, a, 0)
        profit = profit + lot * (earned + q * now.move)
        paid = jnp.where(sold, now.mid + a, 0) - jnp.where(bought, now.mid - b, 0)
        cash = cash + lot * paid
        return (q, profit, cash), (q, profit, cash, b, a, bought, sold, chance[0], chance[1])

    zero = jnp.zeros((), dtype)
    start = (q_0, zero, zero)
    rows = (depths[0][:-1], depths[1][:-1], A, k, tape)
    _, path = lax.scan(step, start, rows)
    q, profit, cash = (jnp.concatenate([s[None], x]) for s, x in zip(start, path[:3], strict=True))
    mid = jnp.append(tape.mid, tape.mid[-1] + tape.move[-1])
    size = lot * (jnp.max(jnp.abs(mid)) * (1 + jnp.max(jnp.abs(q)))) + jnp.max(jnp.abs(cash))
    books = jnp.max(jnp.abs(cash + lot * (q * mid - q_0 * mid[0]) - profit)) / size
    ok = jnp.all((depths[0][:-1] > -jnp.inf) & (depths[1][:-1] > -jnp.inf))  # NaN is not
    quoted = jax.tree.map(lambda x: jnp.where(jnp.isinf(x), 0, x), depths)  # inf − inf is NaN
    profit, cash = poison((profit, cash), ok, quoted)
    bid, ask, bought, sold, p_b, p_a = path[3:]
    return Replay(tape.dt, mid, q, profit, cash, bid, ask, bought, sold, p_b, p_a, Info(ok, books))


def on_grid(depth: jax.Array, offset: jax.Array, tick: jax.Array) -> jax.Array:
    """The least depth offset + j tick at or beyond ``depth``: passive rounding; none if 0."""
    unit = jnp.where(tick > 0, tick, 1)
    steps = (depth - offset) / unit
    rounding = _ON_GRID + 1e2 * float(jnp.finfo(depth.dtype).eps) * jnp.abs(steps)
    whole = jnp.ceil(jnp.where(jnp.isinf(depth), 0, steps - rounding))
    return jnp.where((tick > 0) & ~jnp.isinf(depth), offset + whole * unit, depth)


def reached(
    reach: jax.Array, depth: jax.Array, tick: jax.Array, at_the_quote: jax.Array
) -> jax.Array:
    """Whether an order went beyond a quote (or to it); on a grid, clear of roundings."""
    slack = 1e-3 * tick
    at = (reach >= depth - slack) & jnp.isfinite(depth)
    return jnp.where(at_the_quote, at, reach > depth + slack)
