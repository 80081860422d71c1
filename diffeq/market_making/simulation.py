"""Markets quoted by a policy, in the steps of the 2008 paper: fills, inventory, profit.

At each step of length dt the bid is filled with probability min(1, Lambda(delta_b) dt), the ask
independently, one unit each; then a fill moves the mid by ∓eps and s by drift dt ± sigma sqrt(dt).
(With 1 − exp(−Lambda dt) in place of min(1, Lambda dt) mean profit differs by a tenth: this is the
published scheme.) Exact moments of the same scheme: :mod:`diffeq.market_making.moments`.

Depths and chances are tables over (t, q), made once. A step of a path draws one word of random
bits: 31 of them say which sides are filled (none, bid, ask or both, with the chances of independent
sides to 2^−31), one the sign of the mid's move. They are drawn step by step, chunk by chunk, so
that they stay in cache; a path does not depend on how many there are.

Reference: Avellaneda & Stoikov (2008), section 3.3.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import poison
from diffeq.market_making.controls import Controls, checked_controls, limited
from diffeq.market_making.model import Params, Problem, in_domain
from diffeq.market_making.moments import Side, checked, fills, sound
from diffeq.market_making.sides import Intensities, by_side

CHUNK = 16_384
"""Paths drawn together."""


class Paths(NamedTuple):
    """P markets of N steps; entry 0 is the start, n what holds after step n."""

    times: jax.Array
    """Shape (N + 1,)."""
    mid: jax.Array
    """S, in price units, shape (P, N + 1)."""
    inventory: jax.Array
    """q, int32, shape (P, N + 1)."""
    profit: jax.Array
    """X + q S less its start, marked to market, in money, shape (P, N + 1)."""
    delta_b: jax.Array
    """Depth of the bid in the step, price units; +inf where there was none, shape (P, N)."""
    delta_a: jax.Array
    """The same of the ask."""
    bid_fill: jax.Array
    """bool: the bid was filled in the step, shape (P, N)."""
    ask_fill: jax.Array
    """bool: the ask was, shape (P, N)."""
    bid_chance: jax.Array
    """Probability with which the bid would be filled: the model's forecast, shape (P, N)."""
    ask_chance: jax.Array
    """The same of the ask."""

    @property
    def bid(self) -> jax.Array:
        """Bid price quoted in each step, −inf where there was none, shape (P, N)."""
        return self.mid[..., :-1] - self.delta_b

    @property
    def ask(self) -> jax.Array:
        """Ask price quoted in each step, +inf where there was none, shape (P, N)."""
        return self.mid[..., :-1] + self.delta_a

    @property
    def cash(self) -> jax.Array:
        """X_t − X_0, in money, shape (P, N + 1)."""
        worth = self.inventory * self.mid
        return self.profit - (worth - worth[..., :1])


def simulate(
    key: jax.Array,
    params: Params,
    policy: Any,
    *,
    times: Any,
    num_paths: int,
    initial_inventory: int = 0,
    initial_mid: Any = 100.0,
    controls: Controls | None = None,
    intensity: Intensities | None = None,
    forecast: Intensities | None = None,
) -> Paths:
    """Quote a policy on simulated markets.

    Args:
      key: random key.
      params: scalars; sigma, A, k, drift and eps enter: the market, not what the policy believes.
      policy: anything with ``delta_b`` and ``delta_a``, shape (m, 2Q + 1): a Solution, or Depths
        (:mod:`.approximations` makes them of formulas and of your own function); the rows of
        t_1..t_{m−1} are quoted, each for one step.
      times: increasing, the last one the horizon, shape (m,), m = N + 1.
      num_paths: P, static; the first paths are the same for every P.
      initial_inventory: q_0, within the grid.
      initial_mid: S_0, price units.
      controls: :class:`Controls`.
      intensity: the market's Lambda(depth), or (bid, ask); A and k then do not enter. Default: the
        exponential.
      forecast: the Lambda, or (bid, ask), by which fills are foreseen. Default: the market's.

    Returns:
      :class:`Paths`; NaN prices and profits where a traced parameter or control is outside its
      domain or the rate at a quoted depth is no number ≥ 0.

    Raises:
      ValueError, TypeError: shapes that differ, or a concrete argument out of domain.

    Reference: Avellaneda & Stoikov (2008), section 3.3.
    """
    p, t, depths, q_0 = checked(policy, params, times, initial_inventory)
    num_paths = validate.count("num_paths", num_paths)
    start = validate.array("initial_mid", initial_mid)
    if np.shape(start) != ():
        raise ValueError(f"initial_mid: expected a scalar, got shape {np.shape(start)}")
    validate.finite("initial_mid", start)
    start = jnp.asarray(start, p.sigma.dtype)
    market = by_side(intensity, p)
    foreseen = market if forecast is None else by_side(forecast, p)
    limits = checked_controls(controls, p.sigma.dtype)
    return _simulate(key, p, t, depths, market, foreseen, limits, start, q_0, num_paths)


@partial(jax.jit, static_argnums=(8, 9))
def _simulate(
    key: jax.Array,
    p: Problem,
    times: jax.Array,
    depths: tuple[jax.Array, jax.Array],
    market: tuple[Any, Any],
    foreseen: tuple[Any, Any],
    controls: Controls,
    mid: jax.Array,
    q_0: int,
    num_paths: int,
) -> Paths:
    tables, good = tabled(p, times, depths, market, foreseen, controls)

    def chunk(i: Any, size: int) -> tuple[State, Done]:
        def step(state: State, n: jax.Array) -> tuple[State, tuple[State, Done]]:
            word = drawn(jax.random.fold_in(key, i), n, size)
            state, done = played(state, n, word, tables, p, controls.stop_loss)
            return state, (state, done)

        start = started(size, q_0, times.dtype)
        _, (state, done) = lax.scan(step, start, jnp.arange(times.size - 1))
        path = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]).T, start, state)
        return path, Done(*(x.T for x in done))

    whole, rest = divmod(num_paths, CHUNK)
    parts = []
    if whole:
        stacked = lax.map(lambda i: chunk(i, CHUNK), jnp.arange(whole))
        parts.append(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), stacked))
    if rest:
        parts.append(chunk(whole, rest))
    path, done = jax.tree.map(lambda *x: jnp.concatenate(x) if len(x) > 1 else x[0], *parts)
    moved, profit = poison((path.moved, path.profit), good, (p, times))
    return Paths(times, mid + moved, path.inventory, profit, *done)


class Tables(NamedTuple):
    """What a policy does at (t_n, q), n < N, shape (N, 2Q + 1)."""

    dt: jax.Array
    """Shape (N,)."""
    delta_b: jax.Array
    delta_a: jax.Array
    both: jax.Array
    """The market's chance that both sides are filled, in units of 2^−31, uint32."""
    bid: jax.Array
    """Chance that the bid is."""
    either: jax.Array
    """Chance that one is, or both."""
    chance_b: jax.Array
    """The forecast."""
    chance_a: jax.Array


def tabled(
    p: Problem,
    times: jax.Array,
    depths: tuple[jax.Array, jax.Array],
    market: tuple[Any, Any],
    foreseen: tuple[Any, Any],
    controls: Controls,
) -> tuple[Tables, jax.Array]:
    """The tables of a policy under controls, and whether they and the parameters are sound."""
    dt = jnp.diff(times)
    quoted = limited(depths[0][:-1], depths[1][:-1], controls)

    def filled(by: tuple[Any, Any]) -> list[Side]:
        return [fills(depth, side, dt) for depth, side in zip(quoted, by, strict=True)]

    true, forecast = filled(market), filled(foreseen)
    p_b, p_a = (side.chance for side in true)
    thresholds = p_b * p_a, p_b, p_b + p_a * (1 - p_b)
    bits = [jnp.round(p * 2.0**31).astype(np.uint32) for p in thresholds]
    good = in_domain(p) & jnp.all(dt > 0) & sound(*true, *forecast)
    return Tables(dt, *quoted, *bits, *(side.chance for side in forecast)), good


class State(NamedTuple):
    """Of each path; profit and moves, not levels: no digits go to S_0."""

    moved: jax.Array
    """S − S_0."""
    inventory: jax.Array
    profit: jax.Array
    """Marked to market."""
    stopped: jax.Array
    """bool: the stop loss was hit."""


class Done(NamedTuple):
    """What happened in a step; the last six fields of :class:`Paths`."""

    delta_b: jax.Array
    delta_a: jax.Array
    bid_fill: jax.Array
    ask_fill: jax.Array
    bid_chance: jax.Array
    ask_chance: jax.Array


def started(size: int, q_0: int, dtype: Any) -> State:
    """The state of ``size`` paths before the first step."""
    zero = jnp.zeros(size, dtype)
    return State(zero, jnp.full(size, q_0, np.int32), zero, jnp.zeros(size, bool))


def drawn(key: jax.Array, n: jax.Array, size: int) -> jax.Array:
    """A word of random bits for step n of each path."""
    return jax.random.bits(jax.random.fold_in(key, n), (size,), np.uint32)


def played(
    s: State,
    n: jax.Array,
    word: jax.Array,
    tables: Tables,
    p: Problem,
    stop_loss: jax.Array,
) -> tuple[State, Done]:
    """Step n of a chunk of paths."""
    Q = tables.delta_b.shape[1] // 2
    b, a, both, bid, either, chance_b, chance_a = (
        table[n].at[s.inventory + Q].get(mode="promise_in_bounds") for table in tables[1:]
    )
    on = ~s.stopped & (s.profit > -stop_loss)
    u = word >> 1
    bought, sold = on & (u < bid), on & ((u < both) | ((u >= bid) & (u < either)))
    q = s.inventory + bought.astype(np.int32) - sold.astype(np.int32)
    dt, dtype = tables.dt[n], b.dtype
    swing = p.sigma * jnp.sqrt(dt)
    pressed = p.eps * (sold.astype(dtype) - bought.astype(dtype))
    move = pressed + p.drift * dt + jnp.where((word & 1) == 0, -swing, swing)
    earned = jnp.where(bought, b, 0) + jnp.where(sold, a, 0)
    state = State(s.moved + move, q, s.profit + earned + q * move, ~on)
    b, a = jnp.where(on, b, jnp.inf), jnp.where(on, a, jnp.inf)
    chance_b, chance_a = jnp.where(on, chance_b, 0), jnp.where(on, chance_a, 0)
    return state, Done(b, a, bought, sold, chance_b, chance_a)
