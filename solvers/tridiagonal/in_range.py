"""The exponential where a floating number can hold the components beside each other."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from solvers.tridiagonal.steps import LogVector, Tridiagonal, added, intervals, rates, steps_of

_POWER = 3
"""Terms added at a time, by powers of the matrix."""
_ROOM = {8: 1e-246, 4: 1e-30}
"""Smallest component beside the largest, by the bytes of a number: what underflows is nothing."""
_REACH = {8: 300.0, 4: 60.0}
"""Largest rate · h of one step, by the bytes of a number: e^x must stay in range."""


def in_range(
    matrix: Tridiagonal, log_start: jax.Array, times: jax.Array
) -> tuple[LogVector, jax.Array]:
    """The exponential, and per lane whether its components stayed in range.

    Components come first here and lanes last: neighbours are then whole rows.
    """
    Lam, rate = rates(matrix)
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
        steps = steps_of(rate, length, _REACH[log_start.dtype.itemsize])

        def advance(_: Any, state: Any) -> Any:
            w, level, fits, truncation = state
            w, left_out = _summed(band, power, steps.h, w, fits)
            size = lax.stop_gradient(jnp.max(w, axis=0))
            w = w / size[None]  # the powers of size in derivatives of w / max w may be out of range
            top = jnp.max(w, axis=0)
            w = w / top[None]
            # step by step: each is small
            level = added(level, jnp.log(size) + jnp.log(top) - Lam * steps.h)
            fits &= ~(lax.stop_gradient(jnp.min(w, axis=0)) < lowest) & (left_out < 1)
            return w, level, fits, jnp.maximum(truncation, left_out)

        state = lax.fori_loop(0, steps.number, advance, state)
        return state, (jnp.log(state[0]), state[1][0])

    level = jnp.max(log_w, axis=0)
    w = jnp.exp(log_w - level[None])
    zero = jnp.zeros_like(level)
    state = w, (level, zero), ~(jnp.min(w, axis=0) < lowest), zero
    state, (shape, level) = lax.scan(interval, state, intervals(times))
    shape = jnp.moveaxis(jnp.moveaxis(shape, 1, -1), 0, -2)
    return LogVector(shape, jnp.moveaxis(level, 0, -1), state[3]), state[2]


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
