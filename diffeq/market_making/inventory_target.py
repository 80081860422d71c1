"""The preference that keeps inventory where one wants it.

gamma (or phi) at which the optimal policy gives q_T the target standard deviation, by the exact law
of inventory (:mod:`.moments`). More aversion, less inventory; but a drift that takes inventory to
its limit keeps it there, and aversion first frees it: of two roots the greater is meant.

Reference: Guéant (2017), Applied Mathematical Finance 24, section 2, for the trade-off.
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
from diffeq.market_making.inverse import bounds_of, with_preference
from diffeq.market_making.model import Params, Problem, horizon, same_sides, validated
from diffeq.market_making.moments import statistics
from solvers import implicit

_PARTS = 16
"""Of the range searched: a rise and fall of inventory within one of them may be missed."""


class Targeted(NamedTuple):
    """The preference that meets a target; scalars."""

    value: jax.Array
    """gamma or phi."""
    sd_inventory: jax.Array
    """The standard deviation of q_T it gives."""
    info: Info
    """Whether it meets the target; |log(sd/target)|."""


def from_inventory(
    sd_inventory: Any,
    params: Params,
    *,
    times: Any,
    max_inventory: int,
    objective: str = "cara",
    between: tuple[float, float] | None = None,
) -> Targeted:
    """gamma (or phi) at which the optimal policy keeps the standard deviation of q_T at a target.

    Args:
      sd_inventory: the target, > 0, in lots, scalar.
      params: the rest, k a number; the parameter that is sought is ignored.
      times: quoting times, the last one the horizon, shape (m,).
      max_inventory, objective, between: as in :func:`from_quotes`.

    Returns:
      :class:`Targeted`, differentiable in the target and the parameters. NaN, ``info.converged``
      False where no value between the bounds is found to meet the target.

    Raises:
      ValueError, TypeError: a concrete argument out of domain, or two k's.

    Reference: see the module.
    """
    p = validated(params, objective)
    same_sides("k", params.k, exponential.TWO_KS)
    target = validate.array("sd_inventory", sd_inventory)
    if np.ndim(target) != 0:
        raise ValueError(f"sd_inventory: expected a scalar, got shape {np.shape(target)}")
    validate.positive("sd_inventory", target)
    Q, dtype = validate.count("max_inventory", max_inventory), p.sigma.dtype
    t, bounds = horizon(times, dtype), bounds_of(between, p, objective)
    return _from_inventory(jnp.asarray(target, dtype), p, t, bounds, Q, objective)


def _log_sd(u: jax.Array, p: Problem, times: jax.Array, Q: int, objective: str) -> jax.Array:
    believed = with_preference(u, p, objective)
    policy = exponential.solve(believed, max_inventory=Q, times=times, objective=objective)
    return jnp.log(statistics(policy, believed, times=times).sd_inventory)


@partial(jax.jit, static_argnums=(4, 5))
def _from_inventory(
    target: jax.Array, p: Problem, times: jax.Array, bounds: jax.Array, Q: int, objective: str
) -> Targeted:
    def excess(u: jax.Array, given: tuple[jax.Array, Problem]) -> jax.Array:
        target, p = given
        return _log_sd(u, p, lax.stop_gradient(times), Q, objective) - jnp.log(target)

    least, greatest = lax.stop_gradient((bounds[0], bounds[1]))
    frozen = lax.stop_gradient((target, p))

    def closer(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        below = jnp.maximum(high - (greatest - least) / _PARTS, least)
        middle = jnp.where(low == -jnp.inf, below, (low + high) / 2)
        above = excess(middle, frozen) > 0  # more inventory than wanted: more risk aversion
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    # steps down to a low end, then halves, in one loop, for the solution is then compiled once; a
    # target out of reach shows at the end
    many = _PARTS + (48 if target.dtype.itemsize == 8 else 24)
    low, high = lax.fori_loop(0, many, closer, (jnp.full_like(least, -jnp.inf), greatest))
    low = jnp.where(low == -jnp.inf, high, low)
    u = implicit.attach(excess, (low + high) / 2, (target, p))
    off = jnp.abs(excess(lax.stop_gradient(u), frozen))
    ok = off < float(jnp.finfo(u.dtype).eps) ** 0.6
    # at the root the standard deviation is the target, in value and in every derivative
    value, sd = poison((jnp.exp(u), target), ok, (target, p))
    return Targeted(value, sd, Info(ok, off))
