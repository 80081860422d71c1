"""Any intensity, on the inventory grid: the Hamilton–Jacobi–Bellman system as it stands.

With tau = T − t to go, p what a fill costs in value, and theta(0, q) = −phi_T q²,

    theta_tau(q) = −c q² + drift q + H_b(p_b(q)) 1{q<Q} + H_a(p_a(q)) 1{q>−Q}
    p_b = theta(q) − theta(q+1) + (q+1) eps,     p_a = theta(q) − theta(q−1) − (q−1) eps

c = gamma sigma²/2 for "cara", phi for "penalty"; H(p) = max_delta Lambda(delta)(1 − exp(−gamma
(delta − p)))/gamma (:mod:`.intensities`). Stiff near T: a terminal penalty makes fills at a rate
Lambda(p) that may exceed A by e^(k phi_T (2Q+1)); the integrator (:mod:`solvers.ode`) resolves
that layer. Each of its implicit steps by Newton's method is Howard's policy iteration.

Reference: Guéant (2017), Applied Mathematical Finance 24, section 2; Howard (1960).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.market_making.intensities import Best, best_depth, expm1_over
from diffeq.market_making.model import (
    Params,
    Problem,
    Solution,
    horizon,
    in_domain,
    inventories,
    validated,
)
from diffeq.market_making.sides import Intensities, by_side, check_sides, on_both
from solvers import implicit, ode


def solve(
    params: Params,
    *,
    max_inventory: int,
    times: Any,
    objective: str = "cara",
    intensity: Intensities | None = None,
    depth_floor: Any = None,
) -> Solution:
    """Value and optimal quotes for any intensity.

    Args:
      params: as :class:`~.model.Params`; A and k, which may differ by side, are those of the
        exponential and do not enter where an ``intensity`` is given. Every leaf is differentiable.
      max_inventory: Q ≥ 1, static.
      times: t_1 < … < t_m = T, shape (m,).
      objective: ``"cara"`` or ``"penalty"``, static.
      intensity: Lambda(depth), positive, decreasing, differentiable twice, with Lambda Lambda'' < 2
        Lambda'²; or (bid, ask). A NamedTuple of :mod:`.intensities`, whose fields are
        differentiable; or a function. Default: the exponential.
      depth_floor: lowest depth quoted, price units. It bounds fill rates, and the stiffness.

    Returns:
      :class:`~.model.Solution`, shape (m, 2Q + 1). ``info.residual`` is the estimated error of
      theta's differences, in units of the inverse hazard of depth (1/k); it is far above the error.
      Where it exceeds 1e-7 (float32: 1e-2), where no best depth exists, or where a parameter lies
      outside its domain, all is NaN and ``info.converged`` False. A terminal penalty with phi_T k
      (2Q + 1) of some hundred ends there: the exact solution (:mod:`.exponential`) takes any.

    Raises:
      ValueError, TypeError: a concrete argument out of domain; an intensity that is not decreasing,
        or falls so slowly that no depth is best (a power law with a ≤ 1 at gamma = 0).

    Reference: Guéant (2017), Applied Mathematical Finance 24, section 2.

    >>> found = solve(Params(A=10.0, phi_T=0.01), max_inventory=10, times=[0.0, 1.0],
    ...               objective="penalty")
    >>> round(float(found.delta_b[0, 10]), 4)
    0.6749
    """
    equation, t = system(params, times, objective, intensity, depth_floor)
    Q = validate.count("max_inventory", max_inventory)
    return _solve(validated(params, objective), equation, t, Q)


def system(
    params: Params,
    times: Any,
    objective: str,
    intensity: Intensities | None,
    depth_floor: Any,
) -> tuple["System", jax.Array]:
    """The equation of these arguments of :func:`solve`, and the times; all validated."""
    p = validated(params, objective)
    dtype = p.sigma.dtype
    bid, ask = by_side(intensity, p)
    floor = validate.array("depth_floor", depth_floor)
    if floor is not None:
        validate.finite("depth_floor", floor)
        floor = jnp.asarray(floor, dtype)
    gamma = p.gamma if objective == "cara" else jnp.zeros_like(p.gamma)
    if intensity is not None:
        check_sides((bid, ask), gamma)
    risk = gamma * p.sigma**2 / 2 if objective == "cara" else p.phi
    return System(bid, ask, gamma, risk, p.drift, p.eps, floor), horizon(times, dtype)


class System(NamedTuple):
    """What the equation depends on."""

    bid: Any
    ask: Any
    gamma: jax.Array
    risk: jax.Array
    """c: gamma sigma²/2, or phi."""
    drift: jax.Array
    eps: jax.Array
    floor: Any


# The state is u(q) = theta(q+1) − theta(q), q = −Q..Q−1: quotes are differences, and theta's common
# growth would drown them. Its row q involves neighbours only; theta(0), which moves with them but
# moves none, is the last component.


def best(u: jax.Array, system: System, near: Any = (None, None)) -> tuple[Best, Best]:
    """The best bid from q = −Q..Q−1 and the best ask from q = 1−Q..Q, shape (2Q,)."""
    q = jnp.arange(u.shape[0]).astype(u.dtype) - u.shape[0] // 2  # −Q..Q−1
    p_b, p_a = -u + (q + 1) * system.eps, u - q * system.eps

    def against(side: Any, p: jax.Array, near: Any) -> Best:
        return best_depth(side, p, system.gamma, depth_floor=system.floor, near=near)

    def along(side: Any, p: jax.Array, near: Any) -> Best:
        return jax.vmap(partial(against, side))(p, near)

    bid, ask = on_both(along, (system.bid, p_b, near[0]), (system.ask, p_a, near[1]))
    return bid, ask


def rate(y: jax.Array, system: System, near: Any) -> tuple[jax.Array, Any]:
    """u_tau and theta_tau(0), and the margins with which they were found."""
    bid, ask = best(y[:-1], system, near)
    theta_tau = _theta_tau(bid, ask, system)
    return jnp.append(jnp.diff(theta_tau), theta_tau[y.shape[0] // 2]), (bid.margin, ask.margin)


def _tangent_solve(jacobian_map: implicit.LinearMap, b: jax.Array) -> jax.Array:
    """As :func:`implicit.tridiagonal` in u; then theta(0), 1 on the diagonal of its row."""
    u = implicit.tridiagonal(lambda u: jacobian_map(jnp.append(u, 0))[:-1], b[:-1])
    return jnp.append(u, b[-1] - jacobian_map(jnp.append(u, 0))[-1])


def _theta_tau(bid: Best, ask: Best, system: System) -> jax.Array:
    none = jnp.zeros_like(bid.gain[:1])
    q = inventories(bid.gain.shape[0] // 2, none.dtype)
    earned = jnp.concatenate([bid.gain, none]) + jnp.concatenate([none, ask.gain])
    return system.drift * q - system.risk * q**2 + earned


@partial(jax.jit, static_argnums=3)
def _solve(p: Problem, system: System, times: jax.Array, Q: int) -> Solution:
    dtype = times.dtype
    q = inventories(Q, dtype)
    start = jnp.append(jnp.diff(-p.phi_T * q**2), 0)
    first_step, near, m = _start(start, system)
    found = ode.stiff(
        rate,
        start,
        times[-1] - times[::-1],
        system,
        first_step=first_step,
        scale=jnp.full_like(start, m).at[-1].set(jnp.inf),
        tangent_solve=_tangent_solve,
        hint=near,
    )
    u, middle = found.y[::-1, :-1], found.y[::-1, -1:]
    theta = jnp.concatenate([jnp.zeros_like(u[:, :1]), jnp.cumsum(u, axis=1)], axis=1)
    theta = theta - theta[:, Q : Q + 1] + middle
    bids, asks = jax.vmap(lambda u: best(u, system))(u)
    up = bids.margin - u + ((q[:-1] + 1) * p.eps)[None]
    down = asks.margin + u - (q[:-1] * p.eps)[None]
    eps = float(jnp.finfo(dtype).eps)
    condition = jnp.maximum(jnp.max(bids.residual), jnp.max(asks.residual))
    ok = (
        in_domain(p)
        & jnp.all(jnp.diff(times) > 0)
        & jnp.all(jnp.isfinite(theta))
        & found.reached
        & (found.error <= TOLERANCE[dtype.itemsize])
        & (condition <= 1e3 * eps)
    )
    theta, up, down = poison((theta, up, down), ok, (p, system, times))
    edge = jnp.full((times.shape[0], 1), jnp.inf, dtype)
    fields = theta, jnp.concatenate([up, edge], 1), jnp.concatenate([edge, down], 1)
    return Solution(*fields, Info(ok, found.error))


TOLERANCE = {8: 1e-7, 4: 1e-2}
"""Largest estimated error of theta's differences over the inverse hazard, by a number's bytes."""


def _start(y: jax.Array, system: System) -> tuple[jax.Array, Any, jax.Array]:
    """A time below every time scale at T, the margins there, and the least inverse hazard."""
    u, system = lax.stop_gradient((y[:-1], system))
    bid, ask = best(u, system)
    f = jnp.diff(_theta_tau(bid, ask, system))
    m = jnp.minimum(jnp.min(bid.margin), jnp.min(ask.margin))
    # −H'(p) = Lambda(delta*) exp(−gamma x), from H(p); a row of the Jacobian has each side's twice
    slopes = [jnp.max(x.gain / x.margin / expm1_over(system.gamma * x.margin)) for x in (bid, ask)]
    fastest = 2 * (slopes[0] + slopes[1])
    return 0.05 / (fastest + jnp.max(jnp.abs(f)) / m), (bid.margin, ask.margin), m
