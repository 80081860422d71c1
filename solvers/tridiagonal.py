"""The exponential of a tridiagonal matrix with non-negative off-diagonals, to the last component.

w(t) = exp(tM) w(0), w(0) > 0, has positive components that may span hundreds of orders of
magnitude. Eigenvectors, Padé and other rational approximations err by a rounding of the largest
component, which is wrong in every digit of the small ones. Here every term is positive, so nothing
cancels and each component is right to its own last digits:

    exp(hM) w = exp(−h Lam) Σ_j (h (M + Lam I))^j w / j!,    Lam = max_q(−M_qq)

over steps h small enough for the series to stay in range. A component is kept as mantissa and
exponent; within a step it is scaled by 2^D_q, D the smallest envelope of the exponents that is not
so steep as to let the rescaled terms outgrow those of the step itself.

Reference: the uniformisation of Grassmann (1977), Computers & Operations Research 4, 47–53.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Tridiagonal(NamedTuple):
    """A matrix M of order n with M_{q,q±1} ≥ 0; leading axes are a batch."""

    diagonal: jax.Array
    """M_qq, any sign, shape (..., n)."""
    upper: jax.Array
    """M_{q,q+1} ≥ 0, shape (..., n−1)."""
    lower: jax.Array
    """M_{q+1,q} ≥ 0, shape (..., n−1)."""


class LogVector(NamedTuple):
    """A positive vector at m times, as logarithms."""

    shape: jax.Array
    """log w_q − level, at most log 2; shape (..., m, n). Differences need no more."""
    level: jax.Array
    """shape (..., m)."""
    truncation: jax.Array
    """Bound on what the series leave out, relative to the smallest component; shape (...)."""


def log_exponential(matrix: Tridiagonal, log_start: jax.Array, times: jax.Array) -> LogVector:
    """log of exp(tM) exp(log_start) at each of ``times``, every component to its own last digits.

    Args:
      matrix: M, of order n ≥ 2.
      log_start: log w(0), finite, shape (..., n).
      times: t ≥ 0, not decreasing, shape (..., m).

    Returns:
      :class:`LogVector`; NaN where an entry is, or where :data:`MOST` is passed. The work is some 3
      (Lam + off-diagonals) t + 50 products with M over each interval, the same for all lanes of a
      batch: keep unlike ones apart. Forward mode differentiates it in everything, to every order; a
      reverse mode is for the caller to build from columns, who knows the few parameters behind M.

    Reference: Grassmann (1977), Computers & Operations Research 4; see the module.

    >>> M = Tridiagonal(jnp.zeros(2), jnp.ones(1), jnp.ones(1))  # exp(tM) (1, 1) = e^t (1, 1)
    >>> w = log_exponential(M, jnp.zeros(2), jnp.ones(1))
    >>> round(float(w.shape[0, 0] + w.level[0]), 6)
    1.0
    """
    exponent = jnp.floor(log_start / _LOG2)
    zero = log_start[..., 0] * 0
    start = _normalised(_Scaled(jnp.exp(log_start - exponent * _LOG2), exponent, zero, zero))
    lengths = jnp.diff(times, prepend=jnp.zeros_like(times[..., :1]))

    def interval(w: _Scaled, length: jax.Array) -> tuple[_Scaled, tuple[jax.Array, jax.Array]]:
        w = _advanced(matrix, w, length)
        return w, (jnp.log(w.mantissa) + w.exponent * _LOG2, w.level)

    end, (shape, level) = lax.scan(interval, start, jnp.moveaxis(lengths, -1, 0))
    return LogVector(jnp.moveaxis(shape, 0, -2), jnp.moveaxis(level, 0, -1), end.truncation)


_LOG2 = 0.6931471805599453
_POWER = 4
"""Terms added at a time, by the powers of the step up to this one."""
MOST = 1e6
"""Largest (Lam + off-diagonals) t of an interval: some three million products. Beyond, NaN."""
_BUDGET = {8: 128.0, 4: 32.0}
"""Largest h (Lam + off-diagonals) of one step, by the bytes of a number: e^x must stay in range."""


class _Scaled(NamedTuple):
    """w = mantissa · 2^exponent · e^level; the largest exponent is 0."""

    mantissa: jax.Array
    exponent: jax.Array  # whole numbers
    level: jax.Array
    truncation: jax.Array


def _normalised(w: _Scaled) -> _Scaled:
    """Mantissas in [1, 2), the largest exponent 0."""
    shift = lax.stop_gradient(jnp.floor(jnp.log2(w.mantissa)))
    exponent = w.exponent + shift
    top = jnp.max(exponent, axis=-1, keepdims=True)
    return w._replace(
        mantissa=w.mantissa * jnp.exp2(-shift),
        exponent=exponent - top,
        level=w.level + top[..., 0] * _LOG2,
    )


def _advanced(matrix: Tridiagonal, w: _Scaled, length: jax.Array) -> _Scaled:
    """w after that length of time, in equal steps, as many for all lanes; NaN if far too many."""
    Lam = lax.stop_gradient(jnp.max(-matrix.diagonal, axis=-1))
    rate = Lam + jnp.max(matrix.upper, axis=-1) + jnp.max(matrix.lower, axis=-1)
    size = lax.stop_gradient(rate * length)
    feasible = size <= MOST
    budget = _BUDGET[w.mantissa.dtype.itemsize]
    count = jnp.maximum(1.0, jnp.ceil(jnp.max(jnp.where(feasible, size, 0)) / budget))
    h = jnp.where(feasible, length / count, jnp.nan)[..., None]  # a NaN lane ends no later
    step = Tridiagonal((matrix.diagonal + Lam[..., None]) * h, matrix.upper * h, matrix.lower * h)
    shift = Lam * h[..., 0]  # step by step: the sum of all would leave the level few digits

    def advance(_: jax.Array, w: _Scaled) -> _Scaled:
        w = _one_step(step, w)
        return w._replace(level=w.level - shift)

    return lax.fori_loop(0, count.astype(int), advance, w)


def _one_step(step: Tridiagonal, w: _Scaled) -> _Scaled:
    """Σ_j step^j w/j! by Horner's rule, :data:`_POWER` terms at a time, all scaled by 2^D."""
    D = _envelope(step, w.exponent)
    rise = jnp.diff(D, axis=-1)
    none = jnp.zeros_like(D[..., :1])
    upper, lower = _rescaled(step.upper, rise), _rescaled(step.lower, -rise)
    B = [jnp.concatenate([none, lower], -1), step.diagonal, jnp.concatenate([upper, none], -1)]
    start = w.mantissa * jnp.exp2(w.exponent - D)
    powers, terms = [B], [start]
    for _ in range(_POWER - 1):
        powers.append(_product(B, powers[-1]))
        terms.append(_applied(B, terms[-1]))

    size = lax.stop_gradient(jnp.max(sum(B), axis=-1))
    count = _number_of_terms(size)

    def horner(i: jax.Array, s: jax.Array) -> jax.Array:
        j = (count // _POWER - 1 - i) * _POWER  # s holds the terms from j + _POWER on, times j!
        total, share = terms[0], jnp.ones((), s.dtype)
        for p in range(1, _POWER):
            share = share / (j + p)
            total = total + share * terms[p]
        return total + share / (j + _POWER) * _applied(powers[-1], s)

    total = lax.fori_loop(0, count // _POWER, horner, jnp.zeros_like(start))
    smallest = jnp.min(total, axis=-1)
    left_out = lax.stop_gradient(jnp.exp(_log_tail(size, count)) / smallest)
    truncation = jnp.maximum(w.truncation, left_out)
    return _normalised(_Scaled(total, D, w.level, truncation))


def _number_of_terms(size: jax.Array) -> jax.Array:
    """m with size^m/m! ≤ exp(−margin), all lanes': (m/e)^m e^… by Stirling and y log y ≥ y − 1."""
    margin = -math.log(1e-5 * float(jnp.finfo(size.dtype).eps))
    most = jnp.max(jnp.where(jnp.isfinite(size), size, 0))
    groups = jnp.ceil((math.e * most + margin) / _POWER)
    return groups.astype(int) * _POWER


def _log_tail(size: jax.Array, count: jax.Array) -> jax.Array:
    """log of a bound on Σ_{j≥count} size^j w/j!, w < 2 and size < count/2."""
    m = count.astype(size.dtype)
    return m * jnp.log(size) - lax.lgamma(m + 1) + math.log(4)


def _product(a: list[jax.Array], b: list[jax.Array]) -> list[jax.Array]:
    """The diagonals of the product of two band matrices, lowest first."""
    half = len(a) // 2
    out: list[jax.Array | float] = [0.0] * (len(a) + len(b) - 1)
    for i, left in enumerate(a):
        for k, right in enumerate(b):
            out[i + k] = out[i + k] + left * _shifted(right, i - half)
    return [jnp.asarray(x) for x in out]


def _applied(band: list[jax.Array], x: jax.Array) -> jax.Array:
    """A band matrix, by its diagonals, times a vector."""
    half, n = len(band) // 2, x.shape[-1]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)])
    return sum((d * padded[..., i : i + n] for i, d in enumerate(band)), jnp.zeros((), x.dtype))


def _shifted(x: jax.Array, by: int) -> jax.Array:
    """x_{q+by}, 0 beyond the ends."""
    n, pad = x.shape[-1], abs(by)
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(pad, pad)])[..., pad + by : pad + by + n]


def _rescaled(carried: jax.Array, bits: jax.Array) -> jax.Array:
    """carried · 2^bits, at most twice _STEEPEST; where nothing is carried 2^bits may be inf."""
    return jnp.where(carried > 0, carried * jnp.exp2(jnp.where(carried > 0, bits, 0)), 0 * carried)


def _envelope(step: Tridiagonal, exponent: jax.Array) -> jax.Array:
    """The smallest D ≥ exponent that falls from one q to the next by no more than a step carries.

    Whole numbers; beyond it terms from a neighbour would outgrow those that are already there.
    """
    step = lax.stop_gradient(step)
    none = jnp.zeros_like(exponent[..., :1])
    most = math.log2(_STEEPEST[exponent.dtype.itemsize])

    def bits(carried: jax.Array) -> jax.Array:
        lost = jnp.where(carried > 0, most - jnp.log2(jnp.where(carried > 0, carried, 1)), _FAR)
        return jnp.concatenate([none, jnp.cumsum(jnp.clip(lost, 0, _FAR), axis=-1)], axis=-1)

    axis = exponent.ndim - 1
    to_right, to_left = bits(step.lower), bits(step.upper)
    from_left = lax.cummax(exponent + to_right, axis=axis) - to_right
    from_right = lax.cummax(exponent - to_left, axis=axis, reverse=True) + to_left
    return jnp.floor(jnp.maximum(from_left, from_right))


_STEEPEST = {8: 64.0, 4: 16.0}
"""Largest rescaled off-diagonal of a step, by the bytes of a number. Above 1, for at a distance of
d a step leaves (h M)^d/d!, less than (h M)^d; below the budget, for the terms grow to e^this."""
_FAR = 1e4
"""Bits a neighbour is taken to lose at most: what carries nothing reaches nobody."""
