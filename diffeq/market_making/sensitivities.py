"""How quotes and profit respond to every parameter, by automatic differentiation.

Quotes are the optimum at the first of the times; profit is the exact mean and standard deviation
of what quoting the optimum earns, in the steps of :mod:`.moments`. A parameter moves the market and
the market maker's view of it together, so profit responds through both. Forward mode: one pass for
each parameter, of exact derivatives (the roots' by the implicit function theorem).

Reference: Griewank & Walther (2008), Evaluating Derivatives, chapter 3, for forward mode.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info
from diffeq.market_making import optimum
from diffeq.market_making.model import Params, Solution, horizon, validated
from diffeq.market_making.moments import statistics

QUANTITIES = ("delta_b", "delta_a", "spread", "mean_profit", "sd_profit")


class Sensitivity(NamedTuple):
    """Values and slopes; R = 5 quantities by C parameters."""

    quantities: tuple[str, ...]
    """Names of the rows: bid and ask depth, their sum, mean and sd of profit."""
    parameters: tuple[str, ...]
    """Names of the columns; of a pair (bid, ask), each side's own."""
    value: jax.Array
    """Of the quantities, in price units (three) and money (two), shape (R,)."""
    at: jax.Array
    """Values of the parameters, shape (C,)."""
    slope: jax.Array
    """∂quantity/∂parameter, shape (R, C)."""
    elasticity: jax.Array
    """slope · parameter/quantity: per cent per per cent, shape (R, C); 0 where a parameter is 0,
    else not finite where a quantity is."""
    info: Info
    """Of the optimum and the moments together."""

    def __str__(self) -> str:
        """A table, elasticities in brackets; of a batch, or while traced, the fields."""
        if isinstance(self.value, jax.core.Tracer) or np.ndim(self.value) != 1:
            return repr(tuple(self))
        heads = [f"{'':<10}{'':>12}" + "".join(f"{name:>20}" for name in self.quantities)]
        heads.append(f"{'':<10}{'value':>12}" + "".join(f"{x:>20.5g}" for x in self.value))
        for j, name in enumerate(self.parameters):
            cells = zip(self.slope[:, j], self.elasticity[:, j], strict=True)
            row = "".join(f"{f'{slope:.4g} ({share:+.3f})':>20}" for slope, share in cells)
            heads.append(f"{name:<10}{self.at[j]:>12.5g}{row}")
        return "\n".join(heads)


def sensitivity(
    params: Params,
    *,
    max_inventory: int,
    times: Any,
    objective: str = "cara",
    inventory: int = 0,
    solve: Callable[..., Solution] = optimum.solve,
) -> Sensitivity:
    """Derivatives of optimal quotes and of what they earn with respect to every parameter.

    Args:
      params: scalars, and pairs for A and k. A parameter of the other objective (phi, gamma) has
        no column.
      max_inventory: Q ≥ 1, static.
      times: increasing, the last one the horizon, shape (m,), m ≥ 2.
      objective: ``"cara"`` or ``"penalty"``, static.
      inventory: q at which quotes are taken and from which profit runs, |q| < Q, static.
      solve: the solver, static: that of :mod:`.optimum` (two k's go to the grid), :mod:`.hjb` or
        :mod:`.bellman`.

    Returns:
      :class:`Sensitivity`; NaN where the optimum fails.

    Raises:
      ValueError, TypeError: a concrete argument out of domain.

    Reference: see the module.

    >>> found = sensitivity(Params(), max_inventory=10, times=[0.0, 0.5, 1.0])
    >>> found.parameters
    ('sigma', 'A', 'k', 'gamma', 'phi_T', 'drift', 'eps')
    """
    dtype = validated(params, objective).sigma.dtype
    Q, t = validate.count("max_inventory", max_inventory), horizon(times, dtype)
    if t.size < 2:
        raise ValueError(f"times: expected at least two, the last one the horizon, got {t.size}")
    if not isinstance(inventory, int | np.integer) or abs(inventory) >= Q:
        raise ValueError(
            f"inventory: expected an int in −{Q - 1}..{Q - 1}, both sides quoted, got {inventory!r}"
        )
    other = "phi" if objective == "cara" else "gamma"
    moving = Params._make(
        None if name == other else jnp.asarray(validate.array(name, x), dtype)
        for name, x in zip(Params._fields, params, strict=True)
    )
    names = tuple(name for field, x in moving._asdict().items() for name in _names(field, x))
    found = _sensitivity(moving, t, Q, objective, int(inventory), solve)
    return Sensitivity(QUANTITIES, names, *found)


def _names(field: str, value: Any) -> list[str]:
    if value is None:
        return []
    return [f"{field} {side}" for side in ("bid", "ask")] if np.ndim(value) else [field]


@partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _sensitivity(
    params: Params, times: jax.Array, Q: int, objective: str, q: int, solve: Any
) -> tuple[Any, ...]:
    leaves, tree = jax.tree.flatten(params)
    cuts = np.cumsum([leaf.size for leaf in leaves])[:-1]
    at = jnp.concatenate([leaf.reshape(-1) for leaf in leaves])

    def quantities(at: jax.Array) -> tuple[jax.Array, tuple[jax.Array, Info]]:
        parts = zip(jnp.split(at, cuts), leaves, strict=True)
        p: Params = jax.tree.unflatten(tree, [x.reshape(leaf.shape) for x, leaf in parts])
        p = Params._make(0.0 if x is None else x for x in p)  # what the objective does not know
        policy = solve(p, max_inventory=Q, times=times, objective=objective)
        earned = statistics(policy, p, times=times, initial_inventory=q)
        b, a = policy.delta_b[0, q + Q], policy.delta_a[0, q + Q]
        value = jnp.stack([b, a, b + a, earned.mean_profit, earned.sd_profit])
        ok = policy.info.converged & earned.info.converged
        return value, (value, Info(ok, jnp.maximum(policy.info.residual, earned.info.residual)))

    slope, (value, info) = jax.jacfwd(quantities, has_aux=True)(at)
    elasticity = slope * jnp.where(at[None] == 0, 0, at[None] / value[:, None])
    return value, at, slope, elasticity, info
