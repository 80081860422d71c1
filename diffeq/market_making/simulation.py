"""Markets quoted by a policy, in the steps of the 2008 paper: fills, inventory, cash, drawdown.

At each step of length dt the bid is filled with probability min(1, Lambda(delta_b) dt), the ask
independently, one unit each; then a fill moves the mid by ∓eps and s by drift dt ± sigma sqrt(dt).
(With 1 − exp(−Lambda dt) in place of min(1, Lambda dt) mean profit differs by a tenth: this is the
published scheme.) Exact moments of the same scheme: :mod:`diffeq.market_making.moments`.

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
from diffeq.market_making.model import Params, Problem, in_domain
from diffeq.market_making.moments import checked, fills

CHUNK = 16_384
"""Paths drawn together."""


class Controls(NamedTuple):
    """What a risk manager imposes on any policy; the defaults impose nothing."""

    limit: Any = np.inf
    """A side is not quoted that would take |q| beyond this."""
    least_spread: Any = 0.0
    """Depths are widened alike, where their sum is below this, in price units."""
    stop_loss: Any = np.inf
    """No more quotes once marked-to-market profit has fallen to −stop_loss, in money."""


class Paths(NamedTuple):
    """P markets of N steps; entry 0 is the start, n what holds after step n."""

    mid: jax.Array
    """S, in price units, shape (P, N + 1)."""
    inventory: jax.Array
    """q, int32, shape (P, N + 1)."""
    profit: jax.Array
    """X + q S less its start, marked to market, in money, shape (P, N + 1)."""
    bid_fill: jax.Array
    """bool: the bid was filled in the step, shape (P, N)."""
    ask_fill: jax.Array
    """bool: the ask was, shape (P, N)."""
    bid_chance: jax.Array
    """Probability with which the bid would be filled: the model's forecast, shape (P, N)."""
    ask_chance: jax.Array
    """The same of the ask."""


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
) -> Paths:
    """Quote a policy on simulated markets.

    Args:
      key: random key.
      params: scalars; sigma, A, k, drift and eps enter: the market, not what the policy believes.
      policy: anything with ``delta_b`` and ``delta_a``, shape (m, 2Q + 1) (a Solution, Depths); the
        rows of t_1..t_{m−1} are quoted, each for one step.
      times: increasing, the last one the horizon, shape (m,), m = N + 1.
      num_paths: P, static; the first paths are the same for every P.
      initial_inventory: q_0, within the grid.
      initial_mid: S_0, price units.
      controls: :class:`Controls`.

    Returns:
      :class:`Paths`; NaN prices and profits where a traced parameter is outside its domain.

    Raises:
      ValueError, TypeError: shapes that differ, or a concrete argument out of domain.

    Reference: Avellaneda & Stoikov (2008), section 3.3.
    """
    p, t, depths, q_0 = checked(policy, params, times, initial_inventory)
    num_paths = validate.count("num_paths", num_paths)
    limits = Controls() if controls is None else controls
    for name, value in zip(Controls._fields, limits, strict=True):
        if not isinstance(value, jax.core.Tracer) and not float(value) >= 0:
            raise ValueError(f"Controls.{name}: expected a number ≥ 0, got {value}")
    start = jnp.asarray(initial_mid, p.sigma.dtype)
    limits = Controls(*(jnp.asarray(x, p.sigma.dtype) for x in limits))
    return _simulate(key, p, t, depths, q_0, start, limits, num_paths)


@partial(jax.jit, static_argnums=(4, 7))
def _simulate(
    key: jax.Array,
    p: Problem,
    times: jax.Array,
    depths: tuple[jax.Array, jax.Array],
    q_0: int,
    mid: jax.Array,
    controls: Controls,
    num_paths: int,
) -> Paths:
    def chunk(i: Any, size: int) -> Paths:
        step, start = market(jax.random.fold_in(key, i), p, times, depths, q_0, size, controls)
        _, (state, done) = lax.scan(step, start, jnp.arange(times.size - 1))
        path = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]).T, start, state)
        return Paths(mid + path.moved, path.inventory, path.profit, *(x.T for x in done))

    whole, rest = divmod(num_paths, CHUNK)
    parts = []
    if whole:
        stacked = lax.map(lambda i: chunk(i, CHUNK), jnp.arange(whole))
        parts.append(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), stacked))
    if rest:
        parts.append(chunk(whole, rest))
    paths = jax.tree.map(lambda *x: jnp.concatenate(x) if len(x) > 1 else x[0], *parts)
    good = in_domain(p) & jnp.all(jnp.diff(times) > 0)
    money = poison((paths.mid, paths.profit), good, (p, times))
    return paths._replace(mid=money[0], profit=money[1])


class State(NamedTuple):
    """Of each path; profit and moves, not levels: no digits go to S_0."""

    moved: jax.Array
    """S − S_0."""
    inventory: jax.Array
    profit: jax.Array
    """Marked to market."""


class Done(NamedTuple):
    """What happened in a step."""

    bid_fill: jax.Array
    ask_fill: jax.Array
    bid_chance: jax.Array
    ask_chance: jax.Array


def market(
    key: jax.Array,
    p: Problem,
    times: jax.Array,
    depths: tuple[jax.Array, jax.Array],
    q_0: int,
    size: int,
    controls: Controls,
) -> tuple[Any, State]:
    """A function of (state, n) that plays step n of a chunk of paths, and their first state."""
    dt, dtype = jnp.diff(times), times.dtype
    Q = depths[0].shape[1] // 2

    def quoted(q: jax.Array, n: jax.Array, profit: jax.Array) -> tuple[jax.Array, jax.Array]:
        b, a = (table[n].at[q + Q].get(mode="promise_in_bounds") for table in depths)
        widened = jnp.maximum(controls.least_spread - (b + a), 0) / 2
        stopped = profit <= -controls.stop_loss
        b = jnp.where(stopped | (q + 1 > controls.limit), jnp.inf, b + widened)
        return b, jnp.where(stopped | (q - 1 < -controls.limit), jnp.inf, a + widened)

    def step(s: State, n: jax.Array) -> tuple[State, tuple[State, Done]]:
        b, a = quoted(s.inventory, n, s.profit)
        bid, ask = fills(b, p.A_b, p.k_b, dt[n]), fills(a, p.A_a, p.k_a, dt[n])
        draws = jax.random.split(jax.random.fold_in(key, n), 3)  # (3, size) would mix paths
        u = [jax.random.uniform(k, (size,), dtype) for k in draws]
        bought, sold = u[0] < bid.chance, u[1] < ask.chance
        q = s.inventory + bought.astype(np.int32) - sold.astype(np.int32)
        sign = jnp.where(u[2] < 0.5, -1.0, 1.0).astype(dtype)
        pressed = p.eps * (sold.astype(dtype) - bought.astype(dtype))
        move = pressed + p.drift * dt[n] + sign * p.sigma * jnp.sqrt(dt[n])
        earned = jnp.where(bought, bid.depth, 0) + jnp.where(sold, ask.depth, 0)
        state = State(s.moved + move, q, s.profit + earned + q * move)
        return state, (state, Done(bought, sold, bid.chance, ask.chance))

    zero = jnp.zeros(size, dtype)
    return step, State(zero, jnp.full(size, q_0, np.int32), zero)
