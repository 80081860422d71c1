"""Coupled inventory grids, two assets' or several regimes', from T back to every time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from diffeq.market_making import hjb
from solvers import implicit, ode


def integrate(
    rate: Callable[..., Any], best: Callable[..., Any], start: jax.Array, times: Any, market: Any
) -> ode.Trajectory:
    """theta's :func:`~.differences.differences` at ``times``, last first.

    Args:
      rate: (differences, market, margins) to their slope in time to go.
      best: of the same, the best bid and ask everywhere.
      start: the differences at T.
      times: increasing, the last being T.
      market: what the equations are made of.
    """
    bid, ask = best(*lax.stop_gradient((start, market)), (None, None))
    near = bid.margin, ask.margin
    # an error counts against the smallest margin; the last entry is a level, not a difference
    scale = jnp.full_like(start, jnp.minimum(*map(jnp.min, near))).at[-1, -1].set(jnp.inf)
    probes = implicit.block_probes(start)
    return ode.stiff(
        rate,
        start,
        times[-1] - times[::-1],
        market,
        first_step=ode.first_step(rate, start, market, scale=scale, hint=near, probes=probes),
        scale=scale,
        tangent_solve=implicit.block_tridiagonal,
        hint=near,
    )


def accurate(
    found: ode.Trajectory, theta: jax.Array, condition: jax.Array, times: Any
) -> jax.Array:
    """Whether the integrator reached t = 0 in its tolerance, with depths that are optimal."""
    return (
        jnp.all(jnp.diff(times) > 0)
        & jnp.all(jnp.isfinite(theta))
        & found.reached
        & (found.error <= hjb.TOLERANCE[times.dtype.itemsize])
        & (jnp.max(condition) <= 1e3 * float(jnp.finfo(times.dtype).eps))
    )
