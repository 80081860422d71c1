"""The exponential for components of any size: mantissa and exponent each.

Within a step each is scaled by 2^D_q, D the smallest envelope of the exponents that is not so steep
as to let the rescaled terms outgrow those of the step itself.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from solvers.tridiagonal.steps import LogVector, Tridiagonal, added, intervals, rates, steps_of

_LOG2 = 0.6931471805599453
_BUDGET = {8: 128.0, 4: 32.0}
"""Largest rate · h of one step, by the bytes of a number."""
_STEEPEST = {8: 64.0, 4: 16.0}
"""Largest rescaled off-diagonal of a step, by the bytes of a number. Above 1, for at a distance of
d a step leaves (h M)^d/d!, less than (h M)^d; below the budget, for the terms grow to e^this."""


def by_exponents(matrix: Tridiagonal, log_start: jax.Array, times: jax.Array) -> LogVector:
    """The exponential, whatever the sizes of its components."""
    exponent = jnp.floor(log_start / _LOG2)
    zero = log_start[..., 0] * 0
    mantissa = jnp.exp(log_start - exponent * _LOG2)
    start = _normalised(_Scaled(mantissa, exponent, (zero, zero), zero))

    def interval(w: _Scaled, length: jax.Array) -> tuple[_Scaled, tuple[jax.Array, jax.Array]]:
        w = _advanced(matrix, w, length)
        return w, (jnp.log(w.mantissa) + w.exponent * _LOG2, w.level[0])

    end, (shape, level) = lax.scan(interval, start, intervals(times))
    return LogVector(jnp.moveaxis(shape, 0, -2), jnp.moveaxis(level, 0, -1), end.truncation)


class _Scaled(NamedTuple):
    """w = mantissa · 2^exponent · e^level; the largest exponent is 0."""

    mantissa: jax.Array
    exponent: jax.Array  # whole numbers
    level: tuple[jax.Array, jax.Array]  # and what its roundings left out
    truncation: jax.Array


def _normalised(w: _Scaled) -> _Scaled:
    """Mantissas in [1, 2), the largest exponent 0."""
    shift = lax.stop_gradient(jnp.floor(jnp.log2(w.mantissa)))
    exponent = w.exponent + shift
    top = jnp.max(exponent, axis=-1, keepdims=True)
    return w._replace(
        mantissa=w.mantissa * jnp.exp2(-shift),
        exponent=exponent - top,
        level=added(w.level, top[..., 0] * _LOG2),
    )


def _advanced(matrix: Tridiagonal, w: _Scaled, length: jax.Array) -> _Scaled:
    """w after that length of time."""
    Lam, rate = rates(matrix)
    steps = steps_of(rate, length, _BUDGET[w.mantissa.dtype.itemsize])
    h = steps.h[..., None]
    step = Tridiagonal((matrix.diagonal + Lam[..., None]) * h, matrix.upper * h, matrix.lower * h)

    def advance(_: jax.Array, w: _Scaled) -> _Scaled:
        w = _one_step(step, w)
        return w._replace(level=added(w.level, -Lam * steps.h))

    return lax.fori_loop(0, steps.number, advance, w)


def _one_step(step: Tridiagonal, w: _Scaled) -> _Scaled:
    """Σ_j step^j w/j!, all scaled by 2^D."""
    D = _envelope(step, w.exponent)
    rise = jnp.diff(D, axis=-1)
    none = jnp.zeros_like(D[..., :1])
    upper, lower = _rescaled(step.upper, rise), _rescaled(step.lower, -rise)
    lower, upper = jnp.concatenate([none, lower], -1), jnp.concatenate([upper, none], -1)
    start = w.mantissa * jnp.exp2(w.exponent - D)
    size = lax.stop_gradient(jnp.max(lower + step.diagonal + upper, axis=-1))
    margin = -math.log(1e-5 * float(jnp.finfo(size.dtype).eps))
    # (x e/m)^m ≤ exp(−margin) at m = e x + margin, for y log y ≥ y − 1
    m = jnp.ceil(math.e * jnp.max(jnp.where(jnp.isfinite(size), size, 0), initial=0) + margin)

    def horner(i: jax.Array, s: jax.Array) -> jax.Array:
        below = jnp.concatenate([none, s[..., :-1]], axis=-1)
        above = jnp.concatenate([s[..., 1:], none], axis=-1)
        return start + (lower * below + step.diagonal * s + upper * above) / (m - i)

    total = lax.fori_loop(0, m.astype(int), horner, start)
    # the components, below 2 at the start, are some 1 or more: those near an edge of the envelope
    left_out = 4 * jnp.exp(m * (1 + jnp.log(size / m))) / lax.stop_gradient(jnp.min(total, axis=-1))
    return _normalised(_Scaled(total, D, w.level, jnp.maximum(w.truncation, left_out)))


def _rescaled(carried: jax.Array, bits: jax.Array) -> jax.Array:
    """carried · 2^bits, at most twice _STEEPEST; of nothing a derivative is left, kept in range."""
    most = float(jnp.finfo(carried.dtype).maxexp - 24)
    return carried * jnp.exp2(jnp.where(carried > 0, bits, jnp.minimum(bits, most)))


def _envelope(step: Tridiagonal, exponent: jax.Array) -> jax.Array:
    """The smallest D ≥ exponent that falls from one q to the next by no more than a step carries.

    Whole numbers; beyond it terms from a neighbour would outgrow those that are already there. To
    lose ``far`` bits is to reach nobody: so does what carries nothing.
    """
    step = lax.stop_gradient(step)
    none = jnp.zeros_like(exponent[..., :1])
    most = math.log2(_STEEPEST[exponent.dtype.itemsize])
    far = 1 + jnp.max(exponent, axis=-1, keepdims=True) - jnp.min(exponent, axis=-1, keepdims=True)

    def bits(carried: jax.Array) -> jax.Array:
        lost = jnp.where(carried > 0, most - jnp.log2(jnp.where(carried > 0, carried, 1)), far)
        return jnp.concatenate([none, jnp.cumsum(jnp.clip(lost, 0, far), axis=-1)], axis=-1)

    axis = exponent.ndim - 1
    to_right, to_left = bits(step.lower), bits(step.upper)
    from_left = lax.cummax(exponent + to_right, axis=axis) - to_right
    from_right = lax.cummax(exponent - to_left, axis=axis, reverse=True) + to_left
    return jnp.floor(jnp.maximum(from_left, from_right))
