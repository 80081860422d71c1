"""The optimum: by :mod:`.exponential` where that is exact, by :mod:`.hjb` elsewhere.

Reference: Guéant, Lehalle & Fernandez-Tapia (2013); Guéant (2017).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.market_making import exponential, hjb
from diffeq.market_making.model import Params, Solution, inventories
from diffeq.market_making.sides import Intensities


def solve(
    params: Params,
    *,
    max_inventory: int,
    times: Any,
    objective: str = "cara",
    intensity: Intensities | None = None,
    depth_floor: Any = None,
) -> Solution:
    """Value and optimal quotes of the market maker, at each time and inventory.

    With exponential fills of one k and no floor under the depths the problem is linear and solved
    exactly (:func:`.exponential.solve`); else on the grid (:func:`.hjb.solve`). Which of the two is
    decided by the arguments' presence and shape, not by traced values: a traced pair of k's goes to
    the grid.

    Args:
      params: as :class:`~.model.Params`; every leaf is differentiable. Batch with ``jax.vmap``.
      max_inventory: Q ≥ 1, static.
      times: t_1 < … < t_m = T at which the solution is wanted, shape (m,).
      objective: ``"cara"`` or ``"penalty"``, static.
      intensity: Lambda(depth), or (bid, ask); see :func:`.hjb.solve`. Default: A exp(−k depth).
      depth_floor: lowest depth quoted, price units. Default: none, depths may be negative.

    Returns:
      :class:`~.model.Solution`, shape (m, 2Q + 1). A lane that fails is NaN in every value and
      derivative, ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete argument out of domain, or an intensity that is not
        decreasing.

    Reference: Avellaneda & Stoikov (2008), section 2; Guéant, Lehalle & Fernandez-Tapia (2013);
    Guéant (2017).

    >>> found = solve(Params(), max_inventory=20, times=[0.0, 1.0])
    >>> round(float(found.delta_b[0, 20]), 3)
    0.672
    """
    shape: Any = dict(max_inventory=max_inventory, times=times, objective=objective)
    # what is no Params is refused there
    linear = not isinstance(params, Params) or _one_k(params.k)
    if intensity is None and depth_floor is None and linear:
        return exponential.solve(params, **shape)
    return hjb.solve(params, intensity=intensity, depth_floor=depth_floor, **shape)


def _one_k(k: Any) -> bool:
    """Whether both sides are known to share k."""
    sides = k if isinstance(k, tuple | list) else (k,)
    if any(isinstance(side, jax.core.Tracer) for side in sides):
        return len(sides) == 1 and sides[0].ndim == 0
    return np.ndim(k) == 0 or (np.size(k) > 0 and bool(np.ptp(np.asarray(k)) == 0))


class Residual(NamedTuple):
    """How far a solution is from its equations, each over its largest term; scale-free."""

    equation: jax.Array
    """The Hamilton–Jacobi–Bellman equation at the times before T, shape (m−1, 2Q + 1)."""
    bid: jax.Array
    """First-order condition of the bid at q < Q, shape (m, 2Q)."""
    ask: jax.Array
    """First-order condition of the ask at q > −Q, shape (m, 2Q)."""
    terminal: jax.Array
    """theta(T, q) = −phi_T q², shape (2Q + 1,)."""


def residual(
    params: Params,
    *,
    max_inventory: int,
    times: Any,
    objective: str = "cara",
    intensity: Intensities | None = None,
    depth_floor: Any = None,
) -> Residual:
    """The equations at :func:`solve`'s solution; theta's slope in time is its derivative in T.

    Args:
      params, max_inventory, times, objective, intensity, depth_floor: as for :func:`solve`.

    Returns:
      :class:`Residual`.

    Raises:
      ValueError, TypeError: as :func:`solve`.

    Reference: Guéant (2017), section 2.
    """
    shape: Any = dict(max_inventory=max_inventory, objective=objective)
    shape |= dict(intensity=intensity, depth_floor=depth_floor)
    system, t = hjb.system(params, times, objective, intensity, depth_floor)
    last = jnp.zeros_like(t).at[-1].set(1)
    found, theta_tau = jax.jvp(lambda t: _fields(solve(params, times=t, **shape)), (t,), (last,))
    theta, delta_b, delta_a = found
    return _residual(theta, theta_tau[0], delta_b[:, :-1], delta_a[:, 1:], system, params.phi_T)


def _fields(found: Solution) -> tuple[jax.Array, jax.Array, jax.Array]:
    return found[:3]


@jax.jit
def _residual(
    theta: jax.Array,
    theta_tau: jax.Array,
    delta_b: jax.Array,
    delta_a: jax.Array,
    system: hjb.System,
    phi_T: jax.Array,
) -> Residual:
    q = inventories(theta.shape[1] // 2, theta.dtype)
    bid, ask = jax.vmap(lambda u: hjb.best(u, system))(jnp.diff(theta, axis=1))
    up, down = (jnp.pad(x.gain, ((0, 0), edge)) for x, edge in ((bid, (0, 1)), (ask, (1, 0))))
    terms = jnp.stack(
        [
            up,
            down,
            *jnp.broadcast_arrays(theta_tau, (system.drift * q)[None], (system.risk * q**2)[None]),
        ]
    )
    gap = theta_tau - up - down - (system.drift * q - system.risk * q**2)[None]
    u = jnp.diff(theta, axis=1)
    margin_b = delta_b + u - ((q[:-1] + 1) * system.eps)[None]
    margin_a = delta_a - u + (q[:-1] * system.eps)[None]
    owed = phi_T * q**2
    size = jnp.max(jnp.abs(terms), axis=0)
    return Residual(
        (jnp.abs(gap) / jnp.where(size == 0, 1, size))[:-1],
        jnp.abs(margin_b / bid.margin - 1),
        jnp.abs(margin_a / ask.margin - 1),
        jnp.abs(theta[-1] + owed) / jnp.where(owed > 0, owed, 1),
    )
