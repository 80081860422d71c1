"""A market that switches between observed regimes, each with its own parameters.

Regime i turns into j at rate g_ij. With tau = T − t to go, theta^i(0, q) = −phi_T^i q² and the
Hamilton–Jacobi–Bellman rate of regime i alone (:mod:`.hjb`) in brackets,

    theta^i_tau(q) = [−c^i q² + drift^i q + H_b^i + H_a^i] + Σ_j g_ij U(theta^j(q) − theta^i(q))

U(d) = (1 − exp(−gamma d))/gamma for "cara", d for "penalty". The jumps couple the regimes: nothing
linearises this, even where k is the same in all. It is integrated on the grid, with a table of
differences (:mod:`.differences`) for state: row q holds theta^{i+1}(q) − theta^i(q), and
theta^R(q+1) − theta^R(q).

Reference: Cartea, Jaimungal & Penalva (2015), chapter 10, for the problem in one regime; the term
of the jumps is the generator of a Markov chain applied to exp(−gamma theta).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.market_making import coupled, hjb
from diffeq.market_making.differences import across, differences, down, values
from diffeq.market_making.intensities import expm1_over
from diffeq.market_making.model import Params, Problem, in_domain, inventories, validated
from diffeq.market_making.sides import Intensities
from diffeq.market_making.stacks import entry, has_axis, intensity_of, stacked


class Solution(NamedTuple):
    """Value and optimal depths over regimes (R), times (m) and inventories −Q..Q (n)."""

    theta: jax.Array
    """theta(regime, t, q): value beyond cash and marked inventory, in money, shape (R, m, n)."""
    delta_b: jax.Array
    """Depth of the bid below the mid, price units, shape (R, m, n); +inf at q = Q: no quote."""
    delta_a: jax.Array
    """Depth of the ask above the mid, price units, shape (R, m, n); +inf at q = −Q."""
    info: Info
    """Whether it converged; the estimated error of theta's differences over the inverse hazard."""


def solve(
    params: Params,
    *,
    generator: Any,
    max_inventory: int,
    times: Any,
    objective: str = "cara",
    intensity: Intensities | None = None,
    depth_floor: Any = None,
) -> Solution:
    """Value and optimal quotes in each regime.

    Args:
      params: as :class:`~.model.Params`; a first axis, (R,), is the regimes' (sides that differ
        are then (R, 2)). gamma is the market maker's own, the same in all. All differentiable.
      generator: g_ij ≥ 0, i ≠ j, jumps per time; each row sums to 0; shape (R, R); differentiable.
      max_inventory: Q ≥ 1, static.
      times: t_1 < … < t_m = T, shape (m,).
      objective: ``"cara"`` or ``"penalty"``, static.
      intensity: as for :func:`.hjb.solve`: Lambda(depth) or (bid, ask). The fields of a NamedTuple
        may have a first axis (R,), a table's before their own; a function is the same in all
        regimes.
      depth_floor: lowest depth quoted, price units, in all regimes.

    Returns:
      :class:`Solution`, shape (R, m, 2Q + 1). Time grows with Q R³, memory with Q R² and with the
      times. Where the estimated error exceeds 1e-7 (float32: 1e-2), a best depth does not exist, or
      a parameter lies outside its domain, all is NaN and ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete argument out of domain, or of another number of regimes.

    Reference: see the module.

    >>> found = solve(Params(sigma=(1.0, 3.0)), generator=[[-2.0, 2.0], [5.0, -5.0]],
    ...               max_inventory=2, times=[0.0, 0.5])
    >>> calm, wild = found.delta_b[:, 0, 3]  # long one unit: the bid is lower where it is wild
    >>> bool(calm < wild)
    True
    """
    if not isinstance(params, Params):
        raise TypeError(f"params: expected market_making.Params, got {type(params).__name__}")
    g = _checked_generator(generator)
    Q, R = validate.count("max_inventory", max_inventory), g.shape[0]
    if has_axis(params.gamma):
        raise ValueError("Params.gamma: expected a scalar, the same in all regimes")
    problems, systems = [], []
    for i in range(R):
        fields = zip(Params._fields, params, strict=True)
        here = Params(*(entry(x, f"Params.{name}", i, R) for name, x in fields))
        rates = intensity_of(intensity, i, R)
        system, t = hjb.system(here, times, objective, rates, depth_floor)
        problems.append(validated(here, objective))
        systems.append(system)
    market = Market(stacked(systems), jnp.asarray(g, t.dtype))
    return _solve(stacked(problems), market, t, Q)


def _checked_generator(generator: Any) -> Any:
    g = validate.array("generator", generator)
    if g is None or g.ndim != 2 or g.shape[0] != g.shape[1] or g.size == 0:
        shape = None if g is None else g.shape
        raise ValueError(f"generator: expected shape (R, R), one row per regime, got {shape}")
    validate.finite("generator", g)
    if not isinstance(g, jax.core.Tracer):
        concrete = np.asarray(g)
        validate.not_negative("generator", concrete * (1 - np.eye(len(concrete))))
        rows = np.flatnonzero(~np.asarray(_is_generator(concrete, np)))
        if rows.size:
            raise ValueError(
                f"generator[{rows[0]}]: expected jump rates off the diagonal and minus their sum "
                f"on it, got row {concrete[rows[0]]}"
            )
    return g


def _is_generator(g: Any, numpy: Any = jnp) -> Any:
    """Whether each row is ≥ 0 off the diagonal and sums to 0, as precisely as its dtype can."""
    dtype = g.dtype if np.issubdtype(g.dtype, np.floating) else np.float64
    off = g * (1 - np.eye(g.shape[0], dtype=dtype))
    near = numpy.abs(g.sum(axis=1)) <= validate.sum_tolerance(dtype) * numpy.abs(g).sum(axis=1)
    return near & (off >= 0).all(axis=1)


class Market(NamedTuple):
    """What the equation depends on."""

    systems: hjb.System
    """Of each regime, along a first axis."""
    generator: jax.Array


def jumps(y: jax.Array, market: Market) -> jax.Array:
    """Σ_j g_ij U(theta^j − theta^i), shape (n, R)."""
    theta = jnp.pad(jnp.cumsum(across(y), axis=1), ((0, 0), (1, 0)))  # less the first regime's
    d = theta[:, None, :] - theta[:, :, None]
    worth = d * expm1_over(-market.systems.gamma[:1, None, None] * d)
    return jnp.sum(market.generator[None] * worth, axis=2)


def best(y: jax.Array, market: Market, near: Any) -> Any:
    """The best bid and ask of each regime as :func:`.hjb.best`, shape (R, 2Q)."""
    return jax.vmap(hjb.best, in_axes=(1, 0, 0))(down(y), market.systems, near)


def rate(y: jax.Array, market: Market, near: Any) -> tuple[jax.Array, Any]:
    """y_tau, and the margins with which it was found."""
    q = inventories(y.shape[0] // 2, y.dtype)[:, None]
    bid, ask = best(y, market, near)
    earned = jnp.pad(bid.gain.T, ((0, 1), (0, 0))) + jnp.pad(ask.gain.T, ((1, 0), (0, 0)))
    own = market.systems.drift[None] * q - market.systems.risk[None] * q**2 + earned
    return differences(own + jumps(y, market)), (bid.margin, ask.margin)


@partial(jax.jit, static_argnums=3)
def _solve(p: Problem, market: Market, times: jax.Array, Q: int) -> Solution:
    dtype = times.dtype
    q = inventories(Q, dtype)
    start = differences(-p.phi_T[None] * q[:, None] ** 2)
    found = coupled.integrate(rate, best, start, times, market)
    y = found.y[::-1]
    theta = jnp.moveaxis(jax.vmap(values)(y), 2, 0)
    delta_b, delta_a, condition = jax.vmap(partial(_quotes, market), out_axes=(1, 1, 0))(y)
    ok = (
        jnp.all(jax.vmap(in_domain)(p))
        & jnp.all(_is_generator(market.generator))
        & coupled.accurate(found, theta, condition, times)
    )
    theta, bids, asks = poison((theta, delta_b, delta_a), ok, (p, market, times))
    edge = jnp.full((*bids.shape[:2], 1), jnp.inf, dtype)
    bids, asks = jnp.concatenate([bids, edge], 2), jnp.concatenate([edge, asks], 2)
    return Solution(theta, bids, asks, Info(ok, found.error))


def _quotes(market: Market, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Bids from −Q..Q−1 and asks from 1−Q..Q, shape (R, 2Q), and the conditions' residual."""
    bid, ask = best(y, market, (None, None))
    u, q = down(y).T, inventories(y.shape[0] // 2, y.dtype)[:-1]
    eps = market.systems.eps[:, None]
    delta_b, delta_a = bid.margin - u + (q + 1)[None] * eps, ask.margin + u - q[None] * eps
    return delta_b, delta_a, jnp.maximum(jnp.max(bid.residual), jnp.max(ask.residual))
