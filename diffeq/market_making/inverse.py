"""The risk aversion behind observed quotes: gamma (or phi) that makes the model's quotes theirs.

With r_i = observed depth − optimal depth(t_i, q_i; gamma), both sides together, the estimate
minimises Σ r_i² over u = log gamma: a root of the score

    Σ r_i ∂r_i/∂u = 0,

found by Gauss–Newton steps from the best of a grid, its derivatives through the exact solution
(:mod:`~.exponential`). The level of the spread speaks through c = log(1 + gamma/k)/gamma, the slope
of quotes in inventory through gamma sigma². Where quotes scatter independently, with one variance
s², the standard error is gamma s (Σ (∂r_i/∂u)²)^(−1/2). The estimate is an implicit function of
quotes and parameters, and differentiable in them as such.

Reference: Seber & Wild (2003), Nonlinear Regression, sections 2.1 and 14.2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.market_making import exponential
from diffeq.market_making.model import Params, Problem, same_sides, validated
from solvers import implicit

_GRID, _STEPS = 17, 25


class Implied(NamedTuple):
    """The estimate; scalars."""

    value: jax.Array
    """gamma ("cara"), in 1/money, or phi ("penalty"), in money per time and unit²."""
    se: jax.Array
    """Its standard error, if quotes scatter independently with one variance."""
    residual_sd: jax.Array
    """s: how far quotes lie from the model's, price units."""
    info: Info
    """Whether a minimum was found inside the bounds; |score|/‖∂r/∂u‖ over ‖r‖ (and over what the
    quotes' own rounding makes of it): the cosine of the angle between r and its slopes."""


def from_quotes(
    inventory: Any,
    time: Any,
    delta_b: Any,
    delta_a: Any,
    params: Params,
    *,
    horizon: Any,
    max_inventory: int,
    objective: str = "cara",
    between: tuple[float, float] | None = None,
) -> Implied:
    """gamma (or phi) by least squares of observed on optimal depths.

    Args:
      inventory: q_i at the time of the quote, in lots, shape (I,), within −Q..Q; concrete.
      time: t_i < T, shape (I,), concrete.
      delta_b: depths of the bids below the mid, price units, shape (I,); NaN or inf: not quoted.
      delta_a: of the asks above the mid.
      params: all that is known, k a number; the parameter that is estimated is ignored.
      horizon: T, a number, concrete.
      max_inventory: Q, static.
      objective: ``"cara"`` estimates gamma, ``"penalty"`` phi; static.
      between: bounds of the search; default 1e-5 k to 10 k for gamma, 1e-8 A/k to A/k for phi.

    Returns:
      :class:`Implied`, differentiable in quotes and parameters. NaN, ``info.converged`` False where
      no minimum lies inside the bounds: quotes that the model cannot tell apart, or prefers at 0.

    Raises:
      ValueError, TypeError: shapes that differ, inventories off the grid, times past the horizon,
        fewer than two depths, two k's, or a concrete argument out of domain.

    Reference: Seber & Wild (2003), section 2.1.
    """
    p = validated(params, objective)
    same_sides("k", params.k, exponential.TWO_KS)
    Q, dtype = validate.count("max_inventory", max_inventory), p.sigma.dtype
    rows, q, times = _places(inventory, time, horizon, Q)
    depths = [validate.array(name, x) for name, x in (("delta_b", delta_b), ("delta_a", delta_a))]
    for name, x in zip(("delta_b", "delta_a"), depths, strict=True):
        if np.shape(x) != q.shape:
            raise ValueError(f"{name}: expected shape {q.shape}, got {np.shape(x)}")
    seen = jnp.stack([jnp.asarray(x, dtype) for x in depths], axis=1)
    possible = np.stack([q < Q, q > -Q], axis=1)
    if not isinstance(seen, jax.core.Tracer):
        if (np.isfinite(seen) & possible).sum() < 2:
            raise ValueError("delta_b, delta_a: expected at least two depths, got fewer")
    bounds = bounds_of(between, p, objective)
    quoted = jnp.asarray(possible) & jnp.isfinite(seen)
    places = _Places(jnp.asarray(rows), jnp.asarray(q + Q), quoted)
    return _from_quotes(seen, p, jnp.asarray(times, dtype), places, bounds, Q, objective)


def _places(
    inventory: Any, time: Any, horizon: Any, Q: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Row of each quote, its inventory, and the different times with the horizon."""
    q, t = (np.asarray(validate.array(n, x)) for n, x in (("inventory", inventory), ("time", time)))
    if q.ndim != 1 or q.size == 0 or t.shape != q.shape:
        raise ValueError(
            f"inventory, time: expected the same shape (I,), I ≥ 1, got {q.shape} and {t.shape}"
        )
    validate.codes("inventory", q, tuple(range(-Q, Q + 1)))
    validate.finite("time", t)
    T = float(horizon)
    if not (t < T).all():
        raise ValueError(f"time: expected times before the horizon {T}, got {t.max()}")
    times, rows = np.unique(t, return_inverse=True)
    return rows, q.astype(np.int32), np.append(times, T) - times[0]


def bounds_of(between: Any, p: Problem, objective: str) -> jax.Array:
    """Logs of the least and the greatest value searched, shape (2,)."""
    if between is not None:
        validate.positive("between", validate.array("between", between))
        if len(between) != 2 or not between[0] < between[1]:
            raise ValueError(f"between: expected (low, high), low < high, got {between}")
        return jnp.log(jnp.asarray(between, p.sigma.dtype))
    if objective == "cara":
        return jnp.log(jnp.stack([1e-5 * p.k_b, 10 * p.k_b]))
    scale = jnp.sqrt(p.A_b * p.A_a) / p.k_b
    return jnp.log(jnp.stack([1e-8 * scale, scale]))


class _Places(NamedTuple):
    """Where in the tables each quote is, (I,), and whether it counts, (I, 2)."""

    row: jax.Array
    column: jax.Array
    counts: jax.Array


def with_preference(u: jax.Array, p: Problem, objective: str) -> Params:
    """The parameters with exp(u) for the preference that is sought."""
    A = jnp.stack([p.A_b, p.A_a])
    own = {"gamma" if objective == "cara" else "phi": jnp.exp(u)}
    rest = Params(p.sigma, A, p.k_b, p.gamma, 0.0, p.phi_T, p.drift, p.eps)
    return rest._replace(**own)


class _Data(NamedTuple):
    """What a fit is made of."""

    observed: jax.Array
    p: Problem
    times: jax.Array
    places: _Places


def _residuals(u: jax.Array, data: _Data, Q: int, objective: str) -> jax.Array:
    """Observed less optimal depths, 0 where none was seen, shape (I, 2)."""
    row, column, counts = data.places
    found = exponential.solve(
        with_preference(u, data.p, objective),
        max_inventory=Q,
        times=data.times,
        objective=objective,
    )
    model = jnp.stack([found.delta_b[row, column], found.delta_a[row, column]], axis=1)
    return jnp.where(counts, data.observed - jnp.where(counts, model, 0), 0)


def _slopes(u: jax.Array, data: _Data, Q: int, objective: str) -> tuple[jax.Array, jax.Array]:
    """r and ∂r/∂u."""
    return jax.jvp(lambda u: _residuals(u, data, Q, objective), (u,), (jnp.ones_like(u),))


def _score(u: jax.Array, data: _Data, Q: int, objective: str) -> jax.Array:
    r, J = _slopes(u, data, Q, objective)
    return jnp.sum(r * J)


@partial(jax.jit, static_argnums=(5, 6))
def _from_quotes(
    seen: jax.Array,
    p: Problem,
    times: jax.Array,
    places: _Places,
    bounds: jax.Array,
    Q: int,
    objective: str,
) -> Implied:
    low, high = lax.stop_gradient(bounds)
    data = _Data(jnp.where(places.counts, seen, 0), p, times, places)
    frozen = lax.stop_gradient(data)
    u = _least_squares(lambda u: _slopes(u, frozen, Q, objective), low, high)
    u = implicit.attach(lambda u, data: _score(u, data, Q, objective), u, data)
    r, J = _slopes(u, data, Q, objective)
    n = jnp.sum(places.counts)
    variance, information = jnp.sum(r * r) / jnp.maximum(n - 1, 1), jnp.sum(J * J)
    eps = float(jnp.finfo(u.dtype).eps)
    rounding = 1e2 * eps * jnp.sqrt(jnp.sum(data.observed**2))
    size = jnp.sqrt(jnp.sum(r * r)) + rounding / eps**0.25
    off = jnp.abs(jnp.sum(r * J)) / jnp.sqrt(information) / size
    # ∂r/∂u that is all rounding says nothing: gamma too small to be seen
    told = jnp.sqrt(information) > rounding
    inside = (u > low) & (u < high)
    ok = (off < eps**0.25) & told & inside & (n >= 2)
    value, s = jnp.exp(u), jnp.sqrt(variance)
    fields = poison((value, value * s / jnp.sqrt(information), s), ok, (data.observed, p))
    return Implied(*fields, lax.stop_gradient(Info(ok, off)))


def _least_squares(slopes: Any, low: jax.Array, high: jax.Array) -> jax.Array:
    """The best point of a grid, then u ← u − r·J/J·J from there.

    No step is longer than the grid's, and one that does not lower ‖r‖² is taken back and halved
    twice. One loop for both: the solution is compiled once.
    """
    grid = jnp.linspace(low, high, _GRID + 2)[1:-1]
    reach = (high - low) / (_GRID + 1)

    def step(i: jax.Array, state: Any) -> Any:
        kept, new = state
        r, J = slopes(new)
        loss = jnp.sum(r * r)
        good = loss <= kept[1] * (1 + 1e-10)  # equal to rounding: go on to the end
        taken = (new, jnp.minimum(loss, kept[1]), jnp.sum(r * J) / jnp.sum(J * J), 2 * kept[3])
        left = (*kept[:3], kept[3] / 4)
        u, best, move, damp = jax.tree.map(lambda a, b: jnp.where(good, a, b), taken, left)
        damp = jnp.where(i < _GRID, 1, jnp.minimum(damp, 1))
        onwards = jnp.clip(u - damp * jnp.clip(move, -reach, reach), low, high)
        searched = grid.at[jnp.minimum(i + 1, _GRID - 1)].get()
        return (u, best, move, damp), jnp.where(i + 1 < _GRID, searched, onwards)

    zero = jnp.zeros_like(low)
    first = ((grid[0], zero + jnp.inf, zero, zero + 1), grid[0])
    u: jax.Array = lax.fori_loop(0, _GRID + _STEPS, step, first)[0][0]
    return u
