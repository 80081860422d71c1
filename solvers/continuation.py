"""Continuation: a root of an easy problem, followed while the problem is deformed into a hard one.

The problem is residual(x, t) = 0, easy at t = 0 and the one wanted at t = 1. Newton's method
corrects at each t, a secant predicts the next; the step in t grows while corrections are quick and
is halved when one fails. One pass of the loop is one Newton step, so the lanes of a batch go each
at their own pace, though all wait for the last.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

MAX_CORRECTIONS = 12
QUICK = 4
GROWTH = 1.6
SMALLEST = 1e-5


class PathInfo(NamedTuple):
    """What :func:`follow` reports beside the root, per lane."""

    converged: jax.Array
    """bool: t = 1 was reached, with a small last step."""
    t: jax.Array
    """How far the path was followed."""
    num_steps: jax.Array
    """Newton steps done."""


class _Path(NamedTuple):
    x: jax.Array  # the iterate at t
    t: jax.Array
    x_done: jax.Array  # the last accepted point
    t_done: jax.Array
    slope: jax.Array  # of the secant through the last two
    dt: jax.Array
    tries: jax.Array  # Newton steps at this t
    total: jax.Array
    stop: jax.Array
    converged: jax.Array


def follow(
    residual: Callable[[jax.Array, jax.Array], jax.Array],
    start: jax.Array,
    *,
    acceptable: Callable[[jax.Array, jax.Array], jax.Array] = lambda x, t: jnp.array(True),
    first_step: float = 0.2,
    max_step: float = 1.0,
    max_jump: float = 1.0,
    max_total: int = 400,
    tolerance: float | None = None,
) -> tuple[jax.Array, PathInfo]:
    """The root of residual(x, 1), reached from a guess of the root of residual(x, 0).

    Args:
      residual: maps x of shape (n,) and scalar t in [0, 1] to (n,).
      start: guess of the root at t = 0, shape (n,).
      acceptable: whether a root (x, t) is on the wanted branch; one that is not halves the step.
      first_step: in t.
      max_step: longest Newton step, in the largest |entry|.
      max_jump: farthest that consecutive roots may lie apart, in the largest |entry|.
      max_total: Newton steps in all.
      tolerance: largest |entry| of the last Newton step; default eps^0.5.

    Returns:
      ``(x, info)``. Without derivative: call it on ``stop_gradient`` values and attach the
      derivative to the finished root (:mod:`solvers.implicit`).

    Reference: Allgower & Georg (2003), Introduction to Numerical Continuation Methods, chapter 2.
    """
    eps = float(jnp.finfo(start.dtype).eps)
    accuracy = eps**0.5 if tolerance is None else tolerance
    one = jnp.ones((), start.dtype)

    def newton(p: _Path) -> _Path:
        d = -jnp.linalg.solve(jax.jacfwd(residual)(p.x, p.t), residual(p.x, p.t))
        size = jnp.max(jnp.abs(d))
        x = p.x + d * jnp.minimum(1, max_step / jnp.maximum(size, max_step))
        tries = p.tries + 1
        small = size <= accuracy
        near = (jnp.max(jnp.abs(x - p.x_done)) < max_jump) | (p.t == 0)
        accepted = small & near & acceptable(x, p.t)
        failed = ~accepted & (small | ~jnp.isfinite(size) | (tries >= MAX_CORRECTIONS))
        p = p._replace(x=x, tries=tries, total=p.total + 1)
        return _choose(accepted, _advanced(p), _choose(failed, _retreated(p), p))

    def _advanced(p: _Path) -> _Path:
        done = p.t >= 1
        moved = p.t - p.t_done
        slope = jnp.where(moved > 0, (p.x - p.x_done) / jnp.where(moved > 0, moved, 1), p.slope)
        dt = jnp.where((p.tries <= QUICK) & (moved > 0), GROWTH * p.dt, p.dt)
        t = jnp.minimum(p.t + dt, one)
        x = jnp.where(done, p.x, p.x + slope * (t - p.t))
        return _Path(x, t, p.x, p.t, slope, dt, 0 * p.tries, p.total, done, done)

    def _retreated(p: _Path) -> _Path:
        dt = jnp.minimum(p.dt, p.t - p.t_done) / 2
        t = p.t_done + dt
        x = p.x_done + p.slope * dt
        return p._replace(x=x, t=t, dt=dt, tries=0 * p.tries, stop=dt < SMALLEST)

    zero = 0 * one
    first = _Path(
        x=start, t=zero, x_done=start, t_done=zero, slope=jnp.zeros_like(start),
        dt=first_step * one, tries=jnp.array(0), total=jnp.array(0),
        stop=jnp.array(False), converged=jnp.array(False),
    )  # fmt: skip
    last = lax.while_loop(lambda p: ~p.stop & (p.total < max_total), newton, first)
    return last.x, PathInfo(last.converged, last.t_done, last.total)


def _choose(condition: jax.Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
