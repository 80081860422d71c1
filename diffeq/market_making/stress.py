"""A policy in markets it does not expect: what breaks, and whether the fill alarm notices.

The policy is what it is; the market has other parameters than those it believes in. For each
scenario the exact moments (:mod:`~.moments`), and simulated markets in which fills are counted
against the believed forecast p = min(1, A exp(−k delta) dt) at the depths quoted,

    z = (N − Σp)/sqrt(Σ p(1−p)),

for each side: N − Σp is a martingale if the belief is right, z then close to a standard normal. The
alarm is |z| > 3 on either side. It hears of fills alone: a more volatile market with the same fills
is seen in the ratio of realised to believed volatility beside it.

Reference: Hall & Heyde (1980), Martingale Limit Theory and Its Application, theorem 3.2, for z.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info
from diffeq.market_making.model import Params, Problem, validated
from diffeq.market_making.moments import Statistics, checked, statistics
from diffeq.market_making.simulation import simulate


class Stress(NamedTuple):
    """S scenarios, arrays of shape (S,); print it for a table."""

    names: tuple[str, ...]
    """Of the scenarios."""
    statistics: Statistics
    """Exact moments, every field with a leading axis S."""
    at_limit: jax.Array
    """P(|q_T| = Q), exactly: stuck at the edge of the grid."""
    low_profit: jax.Array
    """The profit, in money, that 1 % of the simulated markets fall short of."""
    z_bid: jax.Array
    """Bid fills against the believed forecast, in standard errors: mean over simulated markets."""
    z_ask: jax.Array
    """The same of the ask."""
    alarm: jax.Array
    """Share of the simulated markets in which |z| > 3 on either side."""
    volatility: jax.Array
    """Realised volatility over the believed one, pooled over the simulated markets."""
    info: Info
    """Whether the scenario's parameters lie in their domain; |Σ P(q_T) − 1|."""

    def __str__(self) -> str:
        return _table(self)


def scenarios(believed: Params) -> dict[str, Params]:
    """The usual ones: as believed, volatility × 10, arrivals collapse, one-way flow.

    Arrivals collapse to a tenth on both sides; in one-way flow (everybody sells) bids are hit as
    believed and asks lifted a twentieth as often.
    """
    p = validated(believed, "penalty")
    return {
        "as believed": believed,
        "volatility × 10": believed._replace(sigma=10 * p.sigma),
        "arrivals / 10": believed._replace(A=jnp.stack([p.A_b, p.A_a]) / 10),
        "one-way flow": believed._replace(A=jnp.stack([p.A_b, p.A_a / 20])),
    }


def stress(
    key: jax.Array,
    policy: Any,
    believed: Params,
    *,
    times: Any,
    markets: Mapping[str, Params] | None = None,
    num_paths: int = 1000,
    initial_inventory: int = 0,
) -> Stress:
    """Run a policy in several markets.

    Args:
      key: random key.
      policy: anything with ``delta_b`` and ``delta_a``, shape (m, 2Q + 1) (a Solution, Depths).
      believed: the parameters whose A, k and sigma forecast fills and moves.
      times: increasing, the last one the horizon, shape (m,).
      markets: name → the market's parameters; default :func:`scenarios` of ``believed``.
      num_paths: P, simulated markets in each scenario, static.
      initial_inventory: q_0, static.

    Returns:
      :class:`Stress`, the scenarios in the order given.

    Raises:
      ValueError, TypeError: no scenario, shapes that differ, or an argument out of domain.

    Reference: see the module.
    """
    p, t, depths, q_0 = checked(policy, believed, times, initial_inventory)
    num_paths = validate.count("num_paths", num_paths)
    markets = scenarios(believed) if markets is None else markets
    if not markets:
        raise ValueError("markets: expected at least one scenario, got none")
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *(_dense(m, t.dtype) for m in markets.values()))
    return Stress(tuple(markets), *_stress(key, depths, stacked, p, t, num_paths, q_0))


def _dense(params: Params, dtype: Any) -> Params:
    """Every leaf an array, A and k with both sides."""
    p = validated(params, "penalty")._asdict()
    for name in ("A", "k"):
        p[name] = jnp.stack([p.pop(f"{name}_b"), p.pop(f"{name}_a")])
    return Params(**{name: x.astype(dtype) for name, x in p.items()})


class _Tables(NamedTuple):
    delta_b: jax.Array
    delta_a: jax.Array


@partial(jax.jit, static_argnums=(5, 6))
def _stress(
    key: jax.Array,
    depths: tuple[jax.Array, jax.Array],
    markets: Params,
    believed: Problem,
    times: jax.Array,
    num_paths: int,
    q_0: int,
) -> tuple[Any, ...]:
    policy, dt = _Tables(*depths), jnp.diff(times)
    Q, n = depths[0].shape[1] // 2, jnp.arange(dt.size)

    def one(market: Params) -> tuple[Any, ...]:
        exact = statistics(policy, market, times=times, initial_inventory=q_0)
        paths = simulate(
            key,
            market,
            policy,
            times=times,
            num_paths=num_paths,
            initial_inventory=q_0,
            initial_mid=0.0,  # moves keep their digits
        )
        at = n[None], paths.inventory[:, :-1] + Q
        z_b = surprise(paths.bid_fill, depths[0][at], believed.A_b, believed.k_b, dt)
        z_a = surprise(paths.ask_fill, depths[1][at], believed.A_a, believed.k_a, dt)
        loud = (jnp.abs(z_b) > 3) | (jnp.abs(z_a) > 3)
        moved = jnp.mean(jnp.sum(jnp.diff(paths.mid, axis=1) ** 2, axis=1)) / jnp.sum(dt)
        return (
            exact,
            exact.inventory[0] + exact.inventory[-1],
            jnp.quantile(paths.profit[:, -1], 0.01),
            jnp.mean(z_b),
            jnp.mean(z_a),
            jnp.mean(loud.astype(dt.dtype)),
            jnp.sqrt(moved) / believed.sigma,
            exact.info,
        )

    return jax.vmap(one)(markets)


def surprise(
    fill: jax.Array, depth: jax.Array, A: jax.Array, k: jax.Array, dt: jax.Array
) -> jax.Array:
    """z = (N − Σp)/sqrt(Σ p(1−p)) of each path; 0 where nothing was in doubt and nothing off.

    Fills and depths of shape (P, N), dt of shape (N,).
    """
    p = jnp.minimum(1.0, A * jnp.exp(-k * depth) * dt[None])  # 0 at +inf: no quote
    excess, variance = jnp.sum(fill - p, axis=1), jnp.sum(p * (1 - p), axis=1)
    certain = jnp.where(excess == 0, 0.0, jnp.sign(excess) * jnp.inf)
    return jnp.where(variance > 0, excess / jnp.sqrt(jnp.where(variance > 0, variance, 1)), certain)


def _table(found: Stress) -> str:
    """One line a scenario."""
    exact = found.statistics
    columns = {
        "profit": exact.mean_profit,
        "sd": exact.sd_profit,
        "1 % below": found.low_profit,
        "E q_T": exact.mean_inventory,
        "sd q_T": exact.sd_inventory,
        "at limit": found.at_limit,
        "bid fills": exact.bid_fills,
        "ask fills": exact.ask_fills,
        "z bid": found.z_bid,
        "z ask": found.z_ask,
        "alarm": found.alarm,
        "volatility": found.volatility,
    }
    width = max(map(len, (*found.names, "scenario")))
    lines = [f"{'scenario':<{width}}" + "".join(f"  {name:>10}" for name in columns)]
    for i, name in enumerate(found.names):
        cells = (float(np.asarray(x)[i]) for x in columns.values())
        lines.append(f"{name:<{width}}" + "".join(f"  {x:>10.4g}" for x in cells))
    return "\n".join(lines)
