"""Roots of equations: scalar in a bracket, vector by damped Newton; each with its derivative.

Every lane of a batch does the same fixed number of steps, so one hard lane neither slows nor
poisons the others. A solver never raises on numerics: it returns ``(x, RootInfo)`` and says, lane
by lane, whether and why it failed. The derivative is implicit (:mod:`solvers.implicit`).
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from solvers import implicit


class Status(IntEnum):
    """Why a lane stopped; the values of ``RootInfo.status``."""

    CONVERGED = 0
    BAD_BRACKET = 1  # no sign change between the ends, or the ends are not ordered or not finite
    NOT_FINITE = 2  # the residual (or Jacobian) was NaN or infinite
    NOT_CONVERGED = 3  # the steps ran out, or the sign changes at a jump or pole
    SINGULAR = 4  # a root, but a multiple one: its derivative does not exist


class RootInfo(NamedTuple):
    """What a solver reports beside the root, per lane."""

    converged: jax.Array
    """bool: small last step and small residual, recomputed at the root."""
    residual: jax.Array
    """|residual| at the root over its scale; the largest entry for a vector."""
    step: jax.Array
    """Width of the last bracket, or length of the last step, relative to |x|."""
    status: jax.Array
    """int32, a :class:`Status`."""


def bracketed(
    residual: Callable[[jax.Array, Any], jax.Array],
    low: jax.typing.ArrayLike,
    high: jax.typing.ArrayLike,
    params: Any,
    *,
    num_steps: int | None = None,
    residual_tolerance: float | None = None,
) -> tuple[jax.Array, RootInfo]:
    """Root of a scalar ``residual(x, params)`` between ``low`` and ``high``, with derivative.

    Chandrupatla's method: inverse quadratic interpolation where it is safe, bisection where not.
    A root at either end is found. Scalars in, scalars out: batch with ``jax.vmap``.

    Args:
      residual: continuous in x, of opposite signs (or zero) at the two ends.
      low: lower end, scalar.
      high: upper end, scalar.
      params: pytree; the root is differentiable in every leaf. The bracket carries no derivative.
      num_steps: steps done by every lane; default 64 in float64, 40 in float32.
      residual_tolerance: |residual| accepted, relative to its larger end value; default
        eps^(2/3). It tells a root from a jump or a pole.

    Returns:
      ``(x, info)``. On failure x is the best point seen and ``info.status`` says why; nothing is
      raised, and nothing is poisoned here.

    Reference: Chandrupatla (1997), Advances in Engineering Software 28, 145–149.

    >>> x, info = bracketed(lambda x, a: x * x - a, 0.0, 2.0, 2.0)
    >>> bool(info.converged)
    True
    """
    frozen = jax.tree.map(lax.stop_gradient, params)
    dtype = jnp.result_type(float, low, high)
    a, b = (lax.stop_gradient(jnp.asarray(end, dtype)) for end in (low, high))
    if a.shape or b.shape:
        raise ValueError(
            f"low, high: expected scalars, got shapes {a.shape}, {b.shape}; use jax.vmap"
        )
    eps = float(jnp.finfo(dtype).eps)
    num_steps = num_steps or (64 if eps < 1e-10 else 40)
    tolerance = eps ** (2 / 3) if residual_tolerance is None else residual_tolerance

    def f(x: jax.Array) -> jax.Array:
        return jnp.asarray(residual(x, frozen), dtype)

    f_a, f_b = f(a), f(b)
    end_scale = jnp.maximum(jnp.abs(f_a), jnp.abs(f_b))
    finite = jnp.isfinite(f_a) & jnp.isfinite(f_b)
    proper = jnp.isfinite(a) & jnp.isfinite(b) & (a <= b) & (jnp.sign(f_a) * jnp.sign(f_b) <= 0)

    bracket = _Bracket(x=b, f=f_b, other=a, f_other=f_a, third=a, f_third=f_a, t=a * 0 + 0.5)
    bracket = lax.fori_loop(0, num_steps, lambda _, s: _chandrupatla(f, s), bracket)

    best_is_x = jnp.abs(bracket.f) <= jnp.abs(bracket.f_other)
    x = jnp.where(best_is_x, bracket.x, bracket.other)
    f_x = f(x)
    width = jnp.where(f_x == 0, 0.0, jnp.abs(bracket.x - bracket.other))
    step = width / jnp.maximum(jnp.abs(x), jnp.finfo(dtype).tiny)
    size = jnp.abs(f_x) / jnp.where(end_scale > 0, end_scale, 1)
    narrow = width <= 8 * eps * jnp.maximum(jnp.abs(x), 0.01 * jnp.abs(b - a))
    small = narrow & (size <= tolerance)
    slope = jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
    # a multiple root: the slope is nothing beside the bracket's, nor beside that just around x
    near = eps**0.2 * jnp.maximum(jnp.abs(x), 0.01 * jnp.abs(b - a))
    around = jnp.abs(f(x + near) - f(x - near)) / (2 * near)
    flat = jnp.abs(slope) * jnp.abs(b - a) <= jnp.sqrt(eps) * end_scale
    singular = (slope == 0) | (flat & (jnp.abs(slope) <= 0.1 * around))
    status = jnp.select(
        [~finite | ~jnp.isfinite(f_x), ~proper, ~small, singular],
        [Status.NOT_FINITE, Status.BAD_BRACKET, Status.NOT_CONVERGED, Status.SINGULAR],
        Status.CONVERGED,
    ).astype(jnp.int32)
    info = RootInfo(status == Status.CONVERGED, size, step, status)
    return implicit.attach(residual, x, params), info


class _Bracket(NamedTuple):
    x: jax.Array  # newest point; the root lies between it and `other`
    f: jax.Array
    other: jax.Array
    f_other: jax.Array
    third: jax.Array  # the point dropped last, for the quadratic
    f_third: jax.Array
    t: jax.Array  # where between x and other to look next


def _chandrupatla(f: Callable[[jax.Array], jax.Array], s: _Bracket) -> _Bracket:
    """One step; a lane whose residual is zero, or whose bracket cannot shrink, stands still."""
    x_new = s.x + s.t * (s.other - s.x)
    f_new = f(x_new)
    same = jnp.sign(f_new) == jnp.sign(s.f)
    other, f_other = jnp.where(same, s.other, s.x), jnp.where(same, s.f_other, s.f)
    third, f_third = jnp.where(same, s.x, s.other), jnp.where(same, s.f, s.f_other)

    # Chandrupatla's test: inverse quadratic interpolation is monotone between the points
    xi = (x_new - other) / (third - other)
    phi = (f_new - f_other) / (f_third - f_other)
    safe = (1 - jnp.sqrt(1 - xi) < phi) & (phi < jnp.sqrt(xi))
    quadratic = f_new / (f_other - f_new) * f_third / (f_other - f_third) + (
        (third - x_new) / (other - x_new)
    ) * (f_new / (f_third - f_new)) * (f_other / (f_third - f_other))
    t = jnp.where(safe & jnp.isfinite(quadratic), quadratic, 0.5)
    # never closer to an end than one rounding error, so that both sides of the root are seen
    eps = jnp.finfo(x_new.dtype).eps
    width = jnp.abs(other - x_new)
    margin = jnp.where(width > 0, eps * jnp.abs(x_new) / jnp.where(width > 0, width, 1), 0.5)
    t = jnp.clip(t, jnp.minimum(margin, 0.5), jnp.maximum(1 - margin, 0.5))
    moved = _Bracket(x_new, f_new, other, f_other, third, f_third, t)
    done = (s.f == 0) | ((x_new == s.x) | (x_new == s.other))
    return jax.tree.map(lambda old, new: jnp.where(done, old, new), s, moved)


def newton(
    residual: Callable[[jax.Array, Any], jax.Array],
    guess: jax.typing.ArrayLike,
    params: Any,
    *,
    num_steps: int = 30,
    num_halvings: int = 12,
    tolerance: float | None = None,
) -> tuple[jax.Array, RootInfo]:
    """Root of a vector ``residual(x, params)`` by damped Newton steps, with derivative.

    Each step solves J d = −F and takes the longest of d, d/2, d/4, … that lowers ‖F‖² by the
    Armijo rule; a lane for which none does, or which has converged, stands still.

    Args:
      residual: maps x of shape (n,) to (n,); scale its rows to comparable size.
      guess: starting point, shape (n,) or scalar.
      params: pytree; the root is differentiable in every leaf. The guess carries no derivative.
      num_steps: Newton steps done by every lane.
      num_halvings: trial lengths per step, evaluated together.
      tolerance: largest |residual| and relative last step accepted; default 100 eps for the
        residual relative to its rows' size ``max|J||x|``, and sqrt(eps) for the step.

    Returns:
      ``(x, info)``; on failure x is the best point reached and ``info.status`` says why.

    Reference: Nocedal & Wright (2006), Numerical Optimization, section 11.2.
    """
    frozen = jax.tree.map(lax.stop_gradient, params)
    x = lax.stop_gradient(jnp.asarray(guess))
    x = x.astype(jnp.result_type(float, x))
    if x.ndim > 1:
        raise ValueError(f"guess: expected shape (n,) or (), got {x.shape}; use jax.vmap")
    scalar, x = x.ndim == 0, jnp.atleast_1d(x)
    eps = float(jnp.finfo(x.dtype).eps)

    def f(x: jax.Array) -> jax.Array:
        return jnp.atleast_1d(residual(x[0] if scalar else x, frozen))

    lengths = 0.5 ** jnp.arange(num_halvings, dtype=x.dtype)

    def direction(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        f_x, jacobian = f(x), jax.jacfwd(f)(x)
        return f_x, -jnp.linalg.solve(jacobian, f_x)

    def step(_: jax.Array, x: jax.Array) -> jax.Array:
        f_x, d = direction(x)
        trials = x[None] + lengths[:, None] * d[None]
        merits = jnp.sum(jax.vmap(f)(trials) ** 2, axis=1)
        merit = jnp.sum(f_x**2)
        accepted = merits <= (1 - 2e-4 * lengths) * merit
        best = jnp.where(jnp.any(accepted), jnp.argmax(accepted), 0)
        improves = jnp.any(accepted) & jnp.all(jnp.isfinite(d))
        return jnp.where(improves, trials[best], x)

    x = lax.fori_loop(0, num_steps, step, x)
    f_x, d = direction(x)
    jacobian = jax.jacfwd(f)(x)
    rows = jnp.abs(jacobian) @ jnp.abs(x)
    scale = jnp.maximum(rows, jnp.abs(f_x))
    size = jnp.max(jnp.abs(f_x) / jnp.where(scale > 0, scale, 1))
    relative_step = jnp.max(jnp.abs(d)) / jnp.maximum(jnp.max(jnp.abs(x)), jnp.finfo(x.dtype).tiny)
    finite = jnp.all(jnp.isfinite(f_x)) & jnp.all(jnp.isfinite(jacobian))
    small = size <= (100 * eps if tolerance is None else tolerance)
    # at an exact zero the step is 0, or 0/0 where the Jacobian is singular
    settled = relative_step <= (eps**0.5 if tolerance is None else tolerance)
    at_zero = jnp.all(f_x == 0)
    status = jnp.select(
        [~finite, at_zero & ~jnp.all(jnp.isfinite(d)), ~(small & settled)],
        [Status.NOT_FINITE, Status.SINGULAR, Status.NOT_CONVERGED],
        Status.CONVERGED,
    ).astype(jnp.int32)
    info = RootInfo(status == Status.CONVERGED, size, relative_step, status)
    return implicit.attach(residual, x[0] if scalar else x, params), info
