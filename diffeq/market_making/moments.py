"""What a policy earns, exactly: no simulation.

A policy that is a function of (t, q) makes inventory a Markov chain on the grid, and the mean and
variance of its profit obey recursions on it. In the scheme of the 2008 paper's tables each step of
length dt fills the bid with probability min(1, Lambda(delta_b) dt) and, independently, the ask
likewise; then s moves by ±sigma sqrt(dt). With i, j the fills, q' = q + i − j and g = i delta_b +
j delta_a (to which drift and adverse selection add q' (mu dt + (j − i) eps)),

    m_n(q) = Σ P (g + m_{n+1}(q')),
    V_n(q) = Σ P [sigma² dt q'² + (g + m_{n+1}(q') − m_n(q))² + V_{n+1}(q')],

mean and variance of x + q s − (value now) from step n on; nothing is subtracted that nearly cancels
(E[X²] − E[X]² would be). The law of q_n runs forwards with the same probabilities.

Reference: Avellaneda & Stoikov (2008), section 3.3, for the scheme.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.market_making.model import Params, Problem, horizon, in_domain, inventories, validated
from diffeq.market_making.sides import Intensities, by_side


class Statistics(NamedTuple):
    """Exact moments of a policy from inventory q_0 on, over N steps; n = 2Q + 1 inventories."""

    mean_profit: jax.Array
    """E[X_T + q_T S_T − X_0 − q_0 S_0], in money, scalar."""
    sd_profit: jax.Array
    """Its standard deviation."""
    bid_fills: jax.Array
    """Expected number of bid fills."""
    ask_fills: jax.Array
    """Expected number of ask fills."""
    spread: jax.Array
    """Expected quoted spread, averaged over the time at which both sides are quoted; else NaN."""
    mean_inventory: jax.Array
    """E[q_T]."""
    sd_inventory: jax.Array
    """Standard deviation of q_T."""
    inventory: jax.Array
    """P(q_T = q), q = −Q..Q, shape (n,)."""
    mean_from: jax.Array
    """Mean profit from each inventory at time 0, shape (n,)."""
    sd_from: jax.Array
    """Standard deviation of profit from each inventory at time 0, shape (n,)."""
    info: Info
    """Whether parameters and fill rates are as they must be; |Σ P(q_T) − 1|."""


class Side(NamedTuple):
    """One side's fills and what they earn, shape (m, n)."""

    chance: jax.Array
    """P(fill in the step), or fills per time; 0 where nothing is quoted."""
    depth: jax.Array
    """Depth, price units; 0 where nothing is quoted."""


def statistics(
    policy: Any,
    params: Params,
    *,
    times: Any,
    initial_inventory: int = 0,
    intensity: Intensities | None = None,
) -> Statistics:
    """Exact moments of a policy's profit, fills and inventory, in the steps of the 2008 tables.

    Args:
      policy: anything with ``delta_b`` and ``delta_a``, shape (m, 2Q + 1): a Solution, or Depths.
        The rows of times t_1..t_{m−1} are quoted, each for one step; the last is not; and neither
        is, whatever it says, the side that would leave the grid.
      params: scalars; sigma, A, k, drift and eps enter: the market, not what the policy believes.
      times: increasing, the last one the horizon, shape (m,).
      initial_inventory: q_0, static.
      intensity: the market's Lambda(depth), or (bid, ask) (:mod:`.intensities`, or functions); A
        and k then do not enter. Default: the exponential.

    Returns:
      :class:`Statistics`, differentiable in the depths, in params and in the intensity. Where a
      parameter is out of domain, or the rate at a quoted depth is no number ≥ 0, all is NaN and
      ``info.converged`` False.

    Raises:
      ValueError, TypeError: shapes that differ, or a concrete argument out of domain.

    Reference: see the module.
    """
    p, t, depths, q_0 = checked(policy, params, times, initial_inventory)
    return _statistics(depths, by_side(intensity, p), p, t, q_0)


def checked(
    policy: Any, params: Params, times: Any, initial_inventory: Any
) -> tuple[Problem, jax.Array, tuple[jax.Array, jax.Array], int]:
    """Parameters, times, the policy's two tables and q_0, validated against each other.

    Raises:
      ValueError, TypeError: tables of another shape than the times say, or a q_0 off the grid.
    """
    p = validated(params, "penalty")
    t = horizon(times, p.sigma.dtype)
    if not (hasattr(policy, "delta_b") and hasattr(policy, "delta_a")):
        raise TypeError(f"policy: expected tables delta_b and delta_a, got {policy!r}")
    b, a = (validate.array(name, getattr(policy, name)) for name in ("delta_b", "delta_a"))
    n = int(np.shape(b)[-1]) if np.ndim(b) else 0
    for name, x in (("delta_b", b), ("delta_a", a)):
        if np.shape(x) != (t.size, n) or n % 2 == 0:
            raise ValueError(
                f"policy.{name}: expected shape ({t.size}, 2Q + 1) for these times, got "
                f"{np.shape(x)}; batch with jax.vmap"
            )
    Q = n // 2
    if not isinstance(initial_inventory, int | np.integer) or abs(int(initial_inventory)) > Q:
        raise ValueError(
            f"initial_inventory: expected an int in −{Q}..{Q}, the grid, got {initial_inventory!r}"
        )
    # whatever a policy says there, no quote on the side that would leave the grid
    b = jnp.asarray(b, p.sigma.dtype).at[:, -1].set(jnp.inf)
    a = jnp.asarray(a, p.sigma.dtype).at[:, 0].set(jnp.inf)
    return p, t, (b, a), int(initial_inventory)


def rates(depth: jax.Array, intensity: Any) -> Side:
    """Fills per time at a table of depths, and depths without infinities; no quote, no fill."""
    quoted = depth != jnp.inf  # NaN is no absence of a quote: it must show
    finite = jnp.where(quoted, depth, 0.0)
    rate = jax.vmap(intensity)(finite.ravel()).reshape(depth.shape)
    return Side(jnp.where(quoted, rate, 0.0), finite)


def quoted(depths: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Where both sides are, in the rows that are quoted, shape (m − 1, n); filled ever or never."""
    return (depths[0][:-1] != jnp.inf) & (depths[1][:-1] != jnp.inf)


def fills(depth: jax.Array, intensity: Any, dt: jax.Array) -> Side:
    """min(1, Lambda(delta) dt) at depths of shape (m, n), in steps dt of shape (m,)."""
    side = rates(depth, intensity)
    return side._replace(chance=jnp.minimum(1.0, side.chance * dt[:, None]))


def sound(*sides: Side) -> jax.Array:
    """Whether every fill rate, or chance, is a number ≥ 0 and every depth quoted is finite."""
    good = [jnp.isfinite(side.depth) & (side.chance >= 0) for side in sides]
    return jnp.all(jnp.stack(good))


@partial(jax.jit, static_argnums=4)
def _statistics(
    depths: tuple[jax.Array, jax.Array], by: tuple[Any, Any], p: Problem, times: jax.Array, q_0: int
) -> Statistics:
    n, dt = depths[0].shape[1], jnp.diff(times)
    Q, q = n // 2, inventories(n // 2, dt.dtype)
    bid, ask = (fills(depth[:-1], side, dt) for depth, side in zip(depths, by, strict=True))
    both = jnp.where(quoted(depths), dt[:, None], 0)

    def earlier(
        later: tuple[jax.Array, jax.Array], row: tuple[Side, Side, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        (m, V), (bid, ask, dt) = later, row
        cases = []
        for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
            chance = _case(bid.chance, i) * _case(ask.chance, j)
            to = i - j
            move = p.drift * dt + (j - i) * p.eps  # of the mid, in the mean
            gain = i * bid.depth + j * ask.depth + move * (q + to) + _moved(m, to)
            cases.append((chance, gain, p.sigma**2 * dt * (q + to) ** 2 + _moved(V, to)))
        mean = sum((chance * gain for chance, gain, _ in cases), jnp.zeros_like(m))
        variance = sum(
            (chance * ((gain - mean) ** 2 + risk) for chance, gain, risk in cases),
            jnp.zeros_like(V),
        )
        return (mean, variance), None

    def onwards(law: jax.Array, row: tuple[Side, Side, jax.Array]) -> tuple[jax.Array, Any]:
        bid, ask, both = row
        sums = (
            law @ bid.chance,
            law @ ask.chance,
            law @ (both * (bid.depth + ask.depth)),
            law @ both,
        )
        up, down = law * bid.chance * (1 - ask.chance), law * ask.chance * (1 - bid.chance)
        law = law - up - down + jnp.roll(up, 1) + jnp.roll(down, -1)  # none leaves the grid
        return law, sums

    zero = jnp.zeros(n, dt.dtype)
    (mean, variance), _ = lax.scan(earlier, (zero, zero), (bid, ask, dt), reverse=True)
    start = (jnp.arange(-Q, Q + 1) == q_0).astype(dt.dtype)
    law, sums = lax.scan(onwards, start, (bid, ask, both))
    bids, asks, spreads, over = (jnp.sum(x) for x in sums)
    mean_q = law @ q
    sd_q = root(law @ (q - mean_q) ** 2)
    at = q_0 + Q
    sd = root(variance)
    spread = average(spreads, over)
    fields = mean[at], sd[at], bids, asks, spread, mean_q, sd_q, law, mean, sd
    ok = in_domain(p) & jnp.all(dt > 0) & sound(bid, ask)
    return Statistics(
        *poison(fields, ok, (p, by, bid.depth, ask.depth)), Info(ok, jnp.abs(jnp.sum(law) - 1))
    )


def root(x: jax.Array) -> jax.Array:
    """√x; at 0, where nothing is at risk, with derivative 0 instead of ∞ · 0."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


def average(total: jax.Array, over: jax.Array) -> jax.Array:
    """total/over; NaN, and of no derivative, over nothing."""
    return jnp.where(over > 0, total / jnp.where(over > 0, over, 1.0), jnp.nan)


def _case(chance: jax.Array, filled: int) -> jax.Array:
    return chance if filled else 1 - chance


def _moved(x: jax.Array, to: int) -> jax.Array:
    """x at inventory q + to; what would leave the grid has no chance, and its value is kept."""
    return {-1: jnp.concatenate([x[:1], x[:-1]]), 0: x, 1: jnp.concatenate([x[1:], x[-1:]])}[to]
