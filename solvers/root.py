"""Roots of equations: scalar in a bracket, vector by damped Newton; each with its derivative.

Every lane of a batch does the same fixed number of steps, so one hard lane neither slows nor
poisons the others. A solver never raises on numerics: it returns ``(x, RootInfo)`` and says, lane
by lane, whether and why it failed. The derivative is implicit (:mod:`solvers.implicit`).
"""

import math
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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
    """|residual| at the root over its scale: the larger end value of a bracket, or the size of its
    row, the largest entry for a vector."""
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
    A root at either end is found. Scalars in, scalars out: batch with ``jax.vmap``. The search runs
    in units of the larger end, so the ends may be as large or small as the dtype holds. A root is
    held to rounding of itself or of a hundredth of the bracket, whichever is larger; where the
    residual at a far end dwarfs all near the root, a bracket of 10⁵ roots may make it SINGULAR.

    Args:
      residual: continuous in x, of opposite signs (or zero) at the two ends.
      low: lower end, scalar.
      high: upper end, scalar.
      params: pytree; the root is differentiable in every leaf. The bracket carries no derivative.
      num_steps: steps done by every lane, at least 1; default 64 in float64, 40 in float32.
      residual_tolerance: |residual| accepted, relative to its values eps^0.2 |x| from the root, |x|
        counting at least a hundredth of the bracket; default eps^0.5. It tells a root from a jump
        or a pole: a jump that small, which might be rounding, passes. So does a larger residual if
        neighbouring floats straddle zero and the slope explains the difference of their residuals.

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
    if num_steps is None:
        num_steps = 64 if eps < 1e-10 else 40
    _check_count("num_steps", num_steps)
    tolerance = eps**0.5 if residual_tolerance is None else residual_tolerance

    unit = _unit(a, b)
    a, b = a / unit, b / unit

    def f(x: jax.Array, params: Any = frozen) -> jax.Array:
        return jnp.asarray(residual(unit * x, params), dtype)

    f_a, f_b = f(a), f(b)
    ends = _Bracket(x=b, f=f_b, other=a, f_other=f_a, third=a, f_third=f_a)

    def step(_: jax.Array, state: tuple[_Bracket, jax.Array, jax.Array]) -> Any:
        # a value is used in the step after its own: there it is one number, while within its step
        # it may be computed more than once, and rounded otherwise
        bracket = _narrowed(*state)
        x_new = _inside(bracket)
        return bracket, x_new, f(x_new)

    last = _narrowed(*lax.fori_loop(0, num_steps, step, (ends, b, f_b)))
    x = jnp.where(jnp.abs(last.f) <= jnp.abs(last.f_other), last.x, last.other)
    # the derivative too in this unit: in x itself a second derivative could leave the range
    return unit * implicit.attach(f, x, params), _judged(f, x, ends, last, tolerance)


def _unit(a: jax.Array, b: jax.Array) -> jax.Array:
    """A power of two, so that dividing is exact, near the larger |end|; the smaller survives it."""
    info = jnp.finfo(a.dtype)
    small, large = jnp.minimum(jnp.abs(a), jnp.abs(b)), jnp.maximum(jnp.abs(a), jnp.abs(b))
    unit = jnp.minimum(large, jnp.where(small > 0, small / info.tiny, large)) / 2
    unit = lax.reduce_precision(unit, exponent_bits=info.nexp, mantissa_bits=0)
    return jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)


class _Bracket(NamedTuple):
    x: jax.Array  # newest point; the root lies between it and `other`
    f: jax.Array
    other: jax.Array
    f_other: jax.Array
    third: jax.Array  # the point dropped last, for the quadratic
    f_third: jax.Array


def _narrowed(s: _Bracket, x_new: jax.Array, f_new: jax.Array) -> _Bracket:
    """With a new point; one with a zero, or that cannot shrink, stands still."""
    same = jnp.sign(f_new) == jnp.sign(s.f)
    other, f_other = jnp.where(same, s.other, s.x), jnp.where(same, s.f_other, s.f)
    third, f_third = jnp.where(same, s.x, s.other), jnp.where(same, s.f, s.f_other)
    moved = _Bracket(x_new, f_new, other, f_other, third, f_third)
    done = (s.f == 0) | ((x_new == s.x) | (x_new == s.other))
    return jax.tree.map(lambda old, new: jnp.where(done, old, new), s, moved)


def _inside(s: _Bracket) -> jax.Array:
    """Where to look next: Chandrupatla's test says if inverse interpolation is monotone there."""
    x, f, other, f_other, third, f_third = s
    xi = (x - other) / (third - other)
    phi = (f - f_other) / (f_third - f_other)
    safe = (1 - jnp.sqrt(1 - xi) < phi) & (phi < jnp.sqrt(xi))
    quadratic = f / (f_other - f) * f_third / (f_other - f_third) + ((third - x) / (other - x)) * (
        f / (f_third - f)
    ) * (f_other / (f_third - f_other))
    t = jnp.where(safe & jnp.isfinite(quadratic), quadratic, 0.5)
    # never closer to an end than one rounding error, so that both sides of the root are seen
    eps = jnp.finfo(x.dtype).eps
    width = jnp.abs(other - x)
    margin = jnp.where(width > 0, eps * jnp.abs(x) / jnp.where(width > 0, width, 1), 0.5)
    t = jnp.clip(t, jnp.minimum(margin, 0.5), jnp.maximum(1 - margin, 0.5))
    return x + t * (other - x)


def _judged(
    f: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    ends: _Bracket,
    last: _Bracket,
    tolerance: float,
) -> RootInfo:
    """Whether x, to which the search from ``ends`` has come, is a root, and a simple one."""
    eps = float(jnp.finfo(x.dtype).eps)
    a, f_a, b, f_b = ends.other, ends.f_other, ends.x, ends.f
    finite = jnp.isfinite(f_a) & jnp.isfinite(f_b)
    proper = jnp.isfinite(a) & jnp.isfinite(b) & (a <= b) & (jnp.sign(f_a) * jnp.sign(f_b) <= 0)

    f_x, slope = jax.jvp(f, (x,), (jnp.ones_like(x),))
    # a zero seen in the loop counts: compiled apart from it, f_x may be a rounding off
    hit = (f_x == 0) | (last.f == 0) | (last.f_other == 0)
    width = jnp.where(hit, 0.0, jnp.abs(last.x - last.other))
    length = jnp.maximum(jnp.abs(x), 0.01 * jnp.abs(b - a))
    narrow = width <= 8 * eps * length

    # small beside the values around the root: those at the ends may be huge and excuse a jump
    left, right = jnp.maximum(x - eps**0.2 * length, a), jnp.minimum(x + eps**0.2 * length, b)
    f_left, f_right = f(left), f(right)
    small = jnp.abs(f_x) <= tolerance * jnp.fmax(jnp.abs(f_left), jnp.abs(f_right))
    # or the slope explains the values at the last two points; at a pole its sign is wrong
    rise = (last.f_other - last.f) / (slope * (last.other - last.x))
    small |= (0 < rise) & (rise <= 8)

    # a multiple root: the slope is nothing beside the bracket's, nor beside that just around x
    end_scale = jnp.maximum(jnp.abs(f_a), jnp.abs(f_b))
    flat = jnp.abs(slope) * jnp.abs(b - a) <= eps**0.5 * end_scale
    around = jnp.abs(f_right - f_left) / (right - left)
    size = jnp.abs(f_x) / jnp.where(end_scale > 0, end_scale, 1)
    # where f is that flat, its values around may be no more than rounding: here the ends count too
    multiple = (small | (size <= eps ** (2 / 3))) & (
        (slope == 0) | (flat & (jnp.abs(slope) <= 0.1 * around))
    )
    status = jnp.select(
        [~finite | ~jnp.isfinite(f_x), ~proper, narrow & multiple, ~(narrow & small)],
        [Status.NOT_FINITE, Status.BAD_BRACKET, Status.SINGULAR, Status.NOT_CONVERGED],
        Status.CONVERGED,
    ).astype(jnp.int32)
    step = width / jnp.maximum(jnp.abs(x), jnp.finfo(x.dtype).tiny)
    return RootInfo(status == Status.CONVERGED, size, step, status)


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
      num_steps: Newton steps done by every lane, at least 1.
      num_halvings: trial lengths per step, at least 1, evaluated together.
      tolerance: largest |residual| and relative last step accepted; default 100 eps for the
        residual relative to its rows' size ``max|J||x|``, and sqrt(eps) for the step.

    Returns:
      ``(x, info)``; on failure x is the best point reached and ``info.status`` says why. A root
      where the Jacobian loses rank, where Newton only creeps, is SINGULAR.

    Reference: Nocedal & Wright (2006), Numerical Optimization, section 11.2.
    """
    _check_count("num_steps", num_steps)
    _check_count("num_halvings", num_halvings)
    frozen = jax.tree.map(lax.stop_gradient, params)
    x = lax.stop_gradient(jnp.asarray(guess))
    x = x.astype(jnp.result_type(float, x))
    if x.ndim > 1 or not x.size:
        raise ValueError(f"guess: expected shape (n,), n ≥ 1, or (), got {x.shape}; use jax.vmap")
    scalar, x = x.ndim == 0, jnp.atleast_1d(x)

    def f(x: jax.Array) -> jax.Array:
        return jnp.atleast_1d(residual(x[0] if scalar else x, frozen))

    lengths = 0.5 ** jnp.arange(num_halvings, dtype=x.dtype)

    def direction(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        f_x, jacobian = f(x), jax.jacfwd(f)(x)
        return f_x, jacobian, -jnp.linalg.solve(jacobian, f_x)

    def step(_: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x, moved = state
        f_x, _, d = direction(x)
        trials = x[None] + lengths[:, None] * d[None]
        merits = jnp.sum(jax.vmap(f)(trials) ** 2, axis=1)
        merit = jnp.sum(f_x**2)
        accepted = merits <= (1 - 2e-4 * lengths) * merit
        best = jnp.where(jnp.any(accepted), jnp.argmax(accepted), 0)
        improves = jnp.any(accepted) & jnp.all(jnp.isfinite(d))
        x_new = jnp.where(improves, trials[best], x)
        return x_new, jnp.where(jnp.any(x_new != x), jnp.abs(x_new - x), moved)

    start = x
    x, moved = lax.fori_loop(0, num_steps, step, (start, jnp.zeros_like(start)))
    info = _settled(f, x, start, moved, direction(x), tolerance)
    return implicit.attach(residual, x[0] if scalar else x, params), info


def _settled(
    f: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    start: jax.Array,
    moved: jax.Array,
    newton: tuple[jax.Array, jax.Array, jax.Array],
    tolerance: float | None,
) -> RootInfo:
    """Whether x, reached from ``start`` by a last move ``moved``, is a root, and a simple one.

    ``newton`` is the residual at x, its Jacobian, and the step it would take next.
    """
    f_x, jacobian, d = newton
    eps = float(jnp.finfo(x.dtype).eps)
    rows = jnp.abs(jacobian) @ jnp.abs(x)
    scale = jnp.maximum(rows, jnp.abs(f_x))
    size = jnp.max(jnp.abs(f_x) / jnp.where(scale > 0, scale, 1))
    relative_step = jnp.max(jnp.abs(d)) / jnp.maximum(jnp.max(jnp.abs(x)), jnp.finfo(x.dtype).tiny)
    finite = jnp.all(jnp.isfinite(f_x)) & jnp.all(jnp.isfinite(jacobian))
    accuracy = 100 * eps if tolerance is None else tolerance
    settled = relative_step <= (eps**0.5 if tolerance is None else tolerance)
    # near a multiple root at 0 neither F nor the step is small beside x: measure F by its start
    vanishes = jnp.all(jnp.abs(f_x) <= accuracy * jnp.maximum(rows, jnp.abs(f(start))))
    # far enough to see a multiple root from: at 0, beyond the last move, which is as long as its
    # error there, and near beside the whole way
    reach = eps**0.2 * jnp.maximum(jnp.abs(x), jnp.minimum(moved / eps**0.4, jnp.abs(x - start)))
    status = jnp.select(
        [~finite, vanishes & _loses_rank(f, x, reach), ~((size <= accuracy) & settled)],
        [Status.NOT_FINITE, Status.SINGULAR, Status.NOT_CONVERGED],
        Status.CONVERGED,
    ).astype(jnp.int32)
    return RootInfo(status == Status.CONVERGED, size, relative_step, status)


def _loses_rank(f: Callable[[jax.Array], jax.Array], x: jax.Array, reach: jax.Array) -> jax.Array:
    """Whether f's Jacobian is singular at x, whatever the units of f and x.

    Either it is so at x to rounding; or x is near a multiple root, and its determinant nothing
    beside those on both sides. Rounding leaves x a distance eps^(1/m) off a root of multiplicity m;
    with ``reach`` eps^0.2 the determinants are clear of that for m = 2, 3, 4.
    """
    eps = float(jnp.finfo(x.dtype).eps)
    offset = reach * jnp.cos(jnp.arange(x.size, dtype=x.dtype))  # along no special line
    jacobians = jax.vmap(jax.jacfwd(f))(jnp.stack([x, x - offset, x + offset]))
    here, left, right = jnp.linalg.slogdet(jacobians)[1]
    multiple = jnp.fmin(left, right) - here > -0.15 * math.log(eps)  # NaN: outside the domain

    size = jnp.abs(jacobians[0])
    columns = jnp.max(size, axis=0, keepdims=True)
    size = size / jnp.where(columns > 0, columns, 1)
    rows = jnp.sum(size, axis=1, keepdims=True)
    balanced = jacobians[0] / jnp.where(columns > 0, columns, 1) / jnp.where(rows > 0, rows, 1)
    return multiple | ~(jnp.linalg.cond(balanced, p=1) < 0.1 / eps)


def _check_count(name: str, count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise TypeError(f"{name}: expected an int, got {type(count).__name__}")
    if count < 1:
        raise ValueError(f"{name}: expected at least 1, got {count}")
