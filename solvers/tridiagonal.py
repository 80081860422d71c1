"""The exponential of a tridiagonal matrix with non-negative off-diagonals, to the last component.

w(t) = exp(tM) w(0), w(0) > 0, has positive components that may span hundreds of orders of
magnitude. Eigenvectors, Padé and other rational approximations err by a rounding of the largest
component, which is wrong in every digit of the small ones. Here every term is positive, so nothing
cancels and each component is right to its own last digits:

    exp(hM) w = exp(−h Lam) Σ_j (h (M + Lam I))^j w / j!,    Lam = max_q(−M_qq)

over steps h small enough for the series to stay in range, summed by Horner's rule. Where components
leave the floating range, each is kept as mantissa and exponent; within a step it is scaled by
2^D_q, D the smallest envelope of the exponents that is not so steep as to let the rescaled terms
outgrow those of the step itself.

Reference: uniformisation: Grassmann (1977), Computers & Operations Research 4, 47–53. Horner's rule
in powers of a matrix: Paterson & Stockmeyer (1973), SIAM Journal on Computing 2, 60–66.
"""

import math
from typing import Any, NamedTuple

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
    plain, fits = _in_range(matrix, log_start, times)
    result: LogVector = lax.cond(
        jnp.all(fits), lambda *_: plain, _by_exponents, matrix, log_start, times
    )
    return result


_LOG2 = 0.6931471805599453
MOST = 1e6
"""Largest (Lam + off-diagonals) t of an interval: some three million products. Beyond, NaN."""


class _Steps(NamedTuple):
    """An interval in equal steps, as many for all lanes."""

    h: jax.Array  # (...); NaN where there would be far too many: such a lane ends no later
    number: jax.Array


def _steps(rate: jax.Array, length: jax.Array, budget: float) -> _Steps:
    """Steps of rate · h at most ``budget``."""
    size = lax.stop_gradient(rate * length)
    feasible = size <= MOST
    number = jnp.ceil(jnp.max(jnp.where(feasible, size, 0), initial=0) / budget)
    number = jnp.maximum(1.0, number)
    return _Steps(jnp.where(feasible, length / number, jnp.nan), number.astype(int))


def _rates(matrix: Tridiagonal) -> tuple[jax.Array, jax.Array]:
    """Lam, and the largest row sum of M + Lam I, near enough; shape (...)."""
    Lam = lax.stop_gradient(jnp.max(-matrix.diagonal, axis=-1))
    most = Lam + jnp.max(matrix.diagonal, axis=-1)
    return Lam, most + jnp.max(matrix.upper, axis=-1) + jnp.max(matrix.lower, axis=-1)


# Components that a floating number can hold beside each other

_POWER = 3
"""Terms added at a time, by powers of the matrix."""
_ROOM = {8: 1e-246, 4: 1e-30}
"""Smallest component beside the largest, by the bytes of a number: what underflows is nothing."""
_REACH = {8: 300.0, 4: 60.0}
"""Largest rate · h of one step, by the bytes of a number: e^x must stay in range."""


def _in_range(
    matrix: Tridiagonal, log_start: jax.Array, times: jax.Array
) -> tuple[LogVector, jax.Array]:
    """The exponential, and per lane whether its components stayed in range.

    Components come first here and lanes last: neighbours are then whole rows.
    """
    Lam, rate = _rates(matrix)
    lower, diagonal, upper, log_w = (
        jnp.moveaxis(x, -1, 0) for x in (matrix.lower, matrix.diagonal, matrix.upper, log_start)
    )
    none = jnp.zeros_like(log_w[:1])
    band = [
        jnp.concatenate([none, lower]),
        diagonal + Lam[None],
        jnp.concatenate([upper, none]),
    ]
    power = band
    for _ in range(_POWER - 1):
        power = _product(band, power)
    lowest = jnp.full_like(Lam, _ROOM[log_start.dtype.itemsize])

    def interval(state: Any, length: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        steps = _steps(rate, length, _REACH[log_start.dtype.itemsize])

        def advance(_: Any, state: Any) -> Any:
            w, level, fits, truncation = state
            w, left_out = _summed(band, power, steps.h, w, fits)
            size = lax.stop_gradient(jnp.max(w, axis=0))
            w = w / size[None]  # the powers of size in derivatives of w / max w may be out of range
            top = jnp.max(w, axis=0)
            w = w / top[None]
            # step by step: each is small
            level = _added(level, jnp.log(size) + jnp.log(top) - Lam * steps.h)
            fits &= ~(lax.stop_gradient(jnp.min(w, axis=0)) < lowest) & (left_out < 1)
            return w, level, fits, jnp.maximum(truncation, left_out)

        state = lax.fori_loop(0, steps.number, advance, state)
        return state, (jnp.log(state[0]), state[1][0])

    level = jnp.max(log_w, axis=0)
    w = jnp.exp(log_w - level[None])
    zero = jnp.zeros_like(level)
    state = w, (level, zero), ~(jnp.min(w, axis=0) < lowest), zero
    state, (shape, level) = lax.scan(interval, state, _intervals(times))
    shape = jnp.moveaxis(jnp.moveaxis(shape, 1, -1), 0, -2)
    return LogVector(shape, jnp.moveaxis(level, 0, -1), state[3]), state[2]


def _added(level: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A sum and what its roundings have left out, with x: hundreds of them would all be alike."""
    x = x + level[1]
    total = level[0] + x
    return total, x - (total - level[0])


def _intervals(times: jax.Array) -> jax.Array:
    """Their lengths, the first from 0, in front."""
    return jnp.moveaxis(jnp.diff(times, prepend=jnp.zeros_like(times[..., :1])), -1, 0)


def _summed(
    band: list[jax.Array], power: list[jax.Array], h: jax.Array, w: jax.Array, fits: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Σ_j (h B)^j w/j! by Horner's rule, and what it leaves out, relative to any component."""
    terms, h = [w], h[None]
    for _ in range(_POWER - 1):
        terms.append(_applied(band, terms[-1]))
    growth = lax.stop_gradient(terms[1] / w * h)
    m, left_out = _number_of_terms(jnp.min(growth, axis=0), jnp.max(growth, axis=0), fits)

    def horner(i: jax.Array, s: jax.Array) -> jax.Array:
        j = m - (i + 1) * _POWER  # s holds the terms from j + _POWER on, times j!
        total, share = terms[0], jnp.ones_like(h)
        for p in range(1, _POWER):
            share = share * h / (j + p)
            total = total + share * terms[p]
        return total + (share * h / (j + _POWER)) * _applied(power, s)

    return lax.fori_loop(0, m // _POWER, horner, jnp.zeros_like(w)), left_out


def _number_of_terms(
    least: jax.Array, most: jax.Array, fits: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """m, all lanes', and each lane's bound on what Σ_{j<m} B^j w/j! leaves out, relatively.

    With least · w ≤ B w ≤ most · w, the sum is at least e^least w and the rest at most Σ_{j≥m}
    most^j/j! w; m! ≥ (m/e)^m. The rest is small where m (log(m/most) − 1) + least is a margin: a
    convex equation, solved by Newton's method from above. 0 if a lane is out of range anyway. A
    lane of NaN is in range: it must not make the others go another way.
    """
    margin = -math.log(1e-5 * float(jnp.finfo(most.dtype).eps))
    possible = jnp.all(fits & ~(most >= 5 * _REACH[most.dtype.itemsize]))
    good = possible & jnp.isfinite(most)
    x, low = jnp.where(good, jnp.maximum(most, 1), 1), jnp.where(good, least, 0)
    m = math.e * x + margin
    for _ in range(3):
        m = m - (m * (jnp.log(m / x) - 1) + low - margin) / jnp.log(m / x)
    left_out = jnp.exp(m * (1 - jnp.log(m / x)) - low)  # more terms, for others' sake, leave less
    m = jnp.ceil(jnp.max(m, initial=0) / _POWER) * _POWER
    return jnp.where(possible, m, 0).astype(int), jnp.where(possible, left_out, 1)


def _product(a: list[jax.Array], b: list[jax.Array]) -> list[jax.Array]:
    """The diagonals of the product of two band matrices, lowest first."""
    half = len(a) // 2
    out: list[Any] = [0.0] * (len(a) + len(b) - 1)
    for i, left in enumerate(a):
        for k, right in enumerate(b):
            out[i + k] = out[i + k] + left * _shifted(right, i - half)
    return out


def _applied(band: list[jax.Array], x: jax.Array) -> jax.Array:
    """A band matrix, by its diagonals, times a vector; along the first axis."""
    half, n = len(band) // 2, x.shape[0]
    padded = jnp.pad(x, [(half, half)] + [(0, 0)] * (x.ndim - 1))
    terms = (d * padded[i : i + n] for i, d in enumerate(band))
    return sum(terms, jnp.zeros((), x.dtype))


def _shifted(x: jax.Array, by: int) -> jax.Array:
    """x_{q+by}, 0 beyond the ends; along the first axis."""
    n, pad = x.shape[0], abs(by)
    return jnp.pad(x, [(pad, pad)] + [(0, 0)] * (x.ndim - 1))[pad + by : pad + by + n]


# Components of any size: mantissa and exponent each

_BUDGET = {8: 128.0, 4: 32.0}
"""Largest rate · h of one step, by the bytes of a number."""


def _by_exponents(matrix: Tridiagonal, log_start: jax.Array, times: jax.Array) -> LogVector:
    exponent = jnp.floor(log_start / _LOG2)
    zero = log_start[..., 0] * 0
    mantissa = jnp.exp(log_start - exponent * _LOG2)
    start = _normalised(_Scaled(mantissa, exponent, (zero, zero), zero))

    def interval(w: _Scaled, length: jax.Array) -> tuple[_Scaled, tuple[jax.Array, jax.Array]]:
        w = _advanced(matrix, w, length)
        return w, (jnp.log(w.mantissa) + w.exponent * _LOG2, w.level[0])

    end, (shape, level) = lax.scan(interval, start, _intervals(times))
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
        level=_added(w.level, top[..., 0] * _LOG2),
    )


def _advanced(matrix: Tridiagonal, w: _Scaled, length: jax.Array) -> _Scaled:
    """w after that length of time."""
    Lam, rate = _rates(matrix)
    steps = _steps(rate, length, _BUDGET[w.mantissa.dtype.itemsize])
    h = steps.h[..., None]
    step = Tridiagonal((matrix.diagonal + Lam[..., None]) * h, matrix.upper * h, matrix.lower * h)

    def advance(_: jax.Array, w: _Scaled) -> _Scaled:
        w = _one_step(step, w)
        return w._replace(level=_added(w.level, -Lam * steps.h))

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


_STEEPEST = {8: 64.0, 4: 16.0}
"""Largest rescaled off-diagonal of a step, by the bytes of a number. Above 1, for at a distance of
d a step leaves (h M)^d/d!, less than (h M)^d; below the budget, for the terms grow to e^this."""
