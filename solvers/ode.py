"""Stiff initial value problems y' = f(y): implicit Euler steps, extrapolated to step length zero.

A step of length h is made J times over, in n = 1, 2, …, J implicit Euler steps of length h/n. The
error of each result is a series in 1/n; the weights that cancel its first J − 1 terms leave

    y(t + h) ≈ Σ_n w_n y^(n),      w_n = Π_{m≠n} n/(n − m)

of order J, in which stiff components die as they do in implicit Euler. The result without n = 1 is
the error estimate, which governs h. A step that errs by more than the tolerance is tried again with
a shorter one; the tries are fixed in number, so that the whole can be differentiated backwards.

Each implicit Euler step is a root, found by Newton's method on frozen parameters, with its
derivative attached: the solution is differentiable, forwards and backwards, to every order.

Reference: Deuflhard, Hairer & Zugck (1987), Numerische Mathematik 51, 501–516; Hairer & Wanner
(1996), Solving Ordinary Differential Equations II, section IV.9.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap

from solvers import implicit

Rate = Callable[[jax.Array, Any, Any], tuple[jax.Array, Any]]

COLUMNS = {8: 9, 4: 4}
"""J, by the bytes of a number: the weights, which multiply every rounding, grow as 3^J."""
TOLERANCE = {8: 1e-10, 4: 3e-4}
"""Largest estimated error of a step, in units of ``scale``, by the bytes of a number."""
_NEWTON = 12
"""Newton steps for an implicit Euler step at most; a step that needs more is too long."""
_GROWTH = 4.0


class Trajectory(NamedTuple):
    """A solution at the times wanted."""

    y: jax.Array
    """y(t_i), shape (m, *y.shape); NaN where it was not reached."""
    error: jax.Array
    """Sum over steps of the estimated error, the largest over components, in units of ``scale``."""
    reached: jax.Array
    """Whether t_m was: within the number of steps, and without an overflow."""
    steps: jax.Array
    """Steps tried, of ``num_steps`` + m."""


def stiff(
    rate: Rate,
    start: jax.Array,
    times: jax.Array,
    params: Any,
    *,
    first_step: jax.Array,
    scale: jax.Array,
    num_steps: int = 250,
    tangent_solve: implicit.TangentSolve = implicit.dense,
    hint: Any = (),
) -> Trajectory:
    """Solve y' = f(y, params) from y(0) = ``start``.

    Args:
      rate: ``rate(y, params, hint)`` → (f, hint'): the hint is whatever f is found faster with (the
        start of an inner iteration); it must not change f, and carries no derivative.
      start: y(0), any shape.
      times: 0 ≤ t_1 ≤ … ≤ t_m, at which y is wanted, shape (m,); differentiable.
      params: pytree; the solution is differentiable in every leaf, and in ``start``.
      first_step: a time, > 0, below every time scale of f near the start; scalar.
      scale: what an error counts against, as y or scalar; inf for a component that does not.
      num_steps: steps to try, besides m to hit the times wanted; static.
      tangent_solve: solves with I − h ∂f/∂y, as for :func:`solvers.implicit.attach`.
      hint: the first hint.

    Returns:
      :class:`Trajectory`. Judge ``error`` and ``reached``; nothing is poisoned here. A step is
      J(J+1)/2 implicit Euler steps, J = 9 in float64 and 4 in float32.

    Reference: Hairer & Wanner (1996), section IV.9.

    >>> found = stiff(lambda y, k, _: (-k * y, ()), jnp.ones(1), jnp.ones(1), 1.0,
    ...               first_step=0.1, scale=1.0)
    >>> round(float(found.y[0, 0]), 5)  # 1/e
    0.36788
    """
    times = jnp.asarray(times, start.dtype)
    tolerance = TOLERANCE[start.dtype.itemsize]
    # from the recorded y of a step everything inside it can be had again
    attempt = jax.checkpoint(partial(_extrapolated, rate, tangent_solve, scale))

    def step(s: _State) -> _State:
        left = times.at[s.wanted].get(mode="clip") - s.t
        hits = s.h >= lax.stop_gradient(left)
        h = jnp.where(hits, left, s.h)
        y, hint, error, solved = attempt(s.y, h, params, s.hint)
        error = jnp.max(lax.stop_gradient(error) / scale)
        good = solved & (error <= tolerance)
        factor = 0.8 * (tolerance / jnp.maximum(error, 0.01 * tolerance)) ** (1 / _columns(y))
        factor = jnp.where(good, jnp.clip(factor, 0.5, _GROWTH), jnp.clip(factor, 0.1, 0.5))
        factor = jnp.where(solved & (error >= 0), factor, 0.1)
        suggested = lax.stop_gradient(h) * factor
        done = _State(
            s.t + h,
            y,
            jnp.where(hits, jnp.maximum(s.h, suggested), suggested),
            hint,
            s.wanted + hits.astype(s.wanted.dtype),
            s.error + error,
        )
        again = s._replace(h=suggested)
        return jax.tree.map(partial(jnp.where, good), done, again)

    def unless_done(s: _State, _: None) -> tuple[_State, tuple[jax.Array, ...]]:
        going = (s.wanted < times.shape[0]) & (s.h > 0)  # NaN is not
        new = lax.cond(_any_lane(going), step, lambda s: s, s)
        s = jax.tree.map(partial(jnp.where, going), new, s)
        return s, (going, s.wanted, s.y)

    zero = jnp.zeros((), start.dtype)
    first = jnp.asarray(lax.stop_gradient(first_step), start.dtype)
    state = _State(zero, start, first, hint, jnp.zeros((), int), zero)
    state, (tried, passed, y) = lax.scan(unless_done, state, length=num_steps + times.shape[0])
    index = jnp.arange(times.shape[0])
    position = jnp.sum(passed[None] <= index[:, None], axis=1)  # the first step that passed each
    reached = index < state.wanted
    there = reached.reshape(-1, *[1] * start.ndim)
    wanted = jnp.where(there, y.at[position].get(mode="clip"), jnp.nan)
    return Trajectory(wanted, state.error, reached[-1], jnp.sum(tried))


def first_step(
    rate: Rate, start: jax.Array, params: Any, *, scale: jax.Array, hint: Any, probes: jax.Array
) -> jax.Array:
    """A time below every time scale of f at ``start``: .05 over |f| and the norm of its Jacobian.

    Args:
      rate, start, params, scale, hint: as for :func:`stiff`; the finite entries of ``scale`` equal.
      probes: directions, along leading axes, whose images under the Jacobian have sizes that sum to
        those of its rows (:func:`solvers.implicit.block_probes`).

    Returns:
      A time > 0, scalar, without derivative; inf where nothing moves.
    """
    start, params = lax.stop_gradient((start, params))
    f, slope, _ = jax.linearize(lambda y: rate(y, params, hint), start, has_aux=True)
    directions = probes.reshape(-1, *start.shape)
    rows = jnp.sum(jnp.abs(jax.vmap(slope)(directions)), axis=0) + jnp.abs(f) / scale
    return 0.05 / jnp.max(jnp.where(jnp.isfinite(scale), rows, 0))


@custom_vmap
def _any_lane(going: jax.Array) -> jax.Array:
    """Whether it holds in any lane of a batch: one answer for all, on which they can branch."""
    return going


@_any_lane.def_vmap
def _of_all(_: int, __: list[bool], going: jax.Array) -> tuple[jax.Array, bool]:
    return _any_lane(jnp.any(going)), False


class _State(NamedTuple):
    t: jax.Array
    y: jax.Array
    h: jax.Array
    hint: Any
    wanted: jax.Array  # index of the time to hit next
    error: jax.Array


def _weights(fewest: int, most: int) -> np.ndarray:
    """What makes Σ w_n y^(n), n = fewest..most, free of 1/n, 1/n², …: polynomials in 1/n at 0."""
    numbers = range(fewest, most + 1)
    return np.array([math.prod(n / (n - m) for m in numbers if m != n) for n in numbers])


class _Schedule(NamedTuple):
    """Implicit Euler steps of all columns, two columns to a lane: shape (J, lanes)."""

    share: np.ndarray  # of h; 0: nothing left to do
    restart: np.ndarray  # the next column begins here
    ends: tuple[tuple[int, int], ...]  # step and lane that end the column n = 1..J


def _schedule(columns: int) -> _Schedule:
    """Column J alone, J−1 before 1, J−2 before 2, …: all lanes J steps long."""
    lanes = [(columns,)] + [
        (n, columns - n) if 2 * n != columns else (n,)
        for n in range(columns - 1, (columns - 1) // 2, -1)
    ]
    share, restart = np.zeros((columns, len(lanes))), np.zeros((columns, len(lanes)), bool)
    ends = {}
    for lane, parts in enumerate(lanes):
        at = 0
        for n in parts:
            share[at : at + n, lane] = 1 / n
            restart[at, lane] = True
            at += n
            ends[n] = (at - 1, lane)
    return _Schedule(share, restart, tuple(ends[n] for n in range(1, columns + 1)))


def _extrapolated(
    rate: Rate,
    solve: implicit.TangentSolve,
    scale: jax.Array,
    y: jax.Array,
    h: jax.Array,
    params: Any,
    hint: Any,
) -> tuple[jax.Array, Any, jax.Array, jax.Array]:
    """y(t + h), the hint, the error estimate, whether Newton converged."""
    columns = _columns(y)
    schedule = _schedule(columns)
    lanes = schedule.share.shape[1]

    def euler(d: jax.Array, h: jax.Array, hint: Any) -> tuple[jax.Array, Any, jax.Array]:
        return _euler(rate, solve, scale, y, d, h, params, hint)

    def advance(state: tuple[jax.Array, Any], row: tuple[jax.Array, jax.Array]) -> Any:
        d, hints = state
        share, restart = row
        d = jnp.where(restart.reshape(-1, *[1] * y.ndim), 0, d)
        d, hints, solved = jax.vmap(euler)(d, share * h, hints)
        return (d, hints), (d, jnp.all(solved))

    start = jnp.zeros((lanes, *y.shape), y.dtype)
    hints = jax.tree.map(lambda x: jnp.broadcast_to(x, (lanes, *jnp.shape(x))), hint)
    rows = jnp.asarray(schedule.share, y.dtype), jnp.asarray(schedule.restart)
    (_, hints), (d, solved) = lax.scan(advance, (start, hints), rows)
    d = d[tuple(np.transpose(schedule.ends))]
    weights, fewer = _weights(1, columns), np.append(0, _weights(2, columns))
    move, error = (
        jnp.sum(w.astype(y.dtype).reshape(-1, *[1] * y.ndim) * d, axis=0)
        for w in (weights, weights - fewer)
    )
    hint = jax.tree.map(lambda x: x[0], hints)
    return y + move, hint, jnp.abs(error), jnp.all(solved)


def _euler(
    rate: Rate,
    solve: implicit.TangentSolve,
    scale: jax.Array,
    y: jax.Array,
    d: jax.Array,
    h: jax.Array,
    params: Any,
    hint: Any,
) -> tuple[jax.Array, Any, jax.Array]:
    """The move z = d + h f(y + z): one implicit Euler step further, from the move d since y."""
    frozen = lax.stop_gradient((y, d, h, params, hint))
    small = 0.01 * float(jnp.finfo(y.dtype).eps) ** 0.5  # quadratic: the next would be a rounding

    def newton(state: tuple[Any, ...]) -> tuple[Any, ...]:
        count, z, hint, _ = state
        y, d, h, params, _ = frozen
        f, slope, hint = jax.linearize(lambda z: rate(y + z, params, hint), z, has_aux=True)
        correction = solve(lambda v: v - h * slope(v), d + h * f - z)
        return count + 1, z + correction, hint, jnp.max(jnp.abs(correction) / scale)

    def going(state: tuple[Any, ...]) -> jax.Array:
        count, z, _, size = state
        return (count < _NEWTON) & (size > small)

    first = (0, frozen[1], frozen[4], jnp.asarray(jnp.inf, y.dtype) + 0 * d.ravel()[0])
    _, z, hint, size = lax.while_loop(going, newton, lax.stop_gradient(first))
    hint = lax.stop_gradient(hint)

    def gap(z: jax.Array, at: Any) -> jax.Array:
        y, d, h, params = at
        return z - d - h * rate(y + z, params, hint)[0]

    return implicit.attach(gap, z, (y, d, h, params), tangent_solve=solve), hint, size <= small


def _columns(x: jax.Array) -> int:
    return COLUMNS[x.dtype.itemsize]
