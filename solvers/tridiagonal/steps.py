"""A tridiagonal matrix, the logarithms of a positive vector, and what both series share: steps."""

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


MOST = 1e6
"""Largest (Lam + off-diagonals) t of an interval: some three million products. Beyond, NaN."""


class Steps(NamedTuple):
    """An interval in equal steps, as many for all lanes."""

    h: jax.Array  # (...); NaN where there would be far too many: such a lane ends no later
    number: jax.Array


def steps_of(rate: jax.Array, length: jax.Array, budget: float) -> Steps:
    """Steps of rate · h at most ``budget``."""
    size = lax.stop_gradient(rate * length)
    feasible = size <= MOST
    number = jnp.ceil(jnp.max(jnp.where(feasible, size, 0), initial=0) / budget)
    number = jnp.maximum(1.0, number)
    return Steps(jnp.where(feasible, length / number, jnp.nan), number.astype(int))


def rates(matrix: Tridiagonal) -> tuple[jax.Array, jax.Array]:
    """Lam, and the largest row sum of M + Lam I, near enough; shape (...)."""
    Lam = lax.stop_gradient(jnp.max(-matrix.diagonal, axis=-1))
    most = Lam + jnp.max(matrix.diagonal, axis=-1)
    return Lam, most + jnp.max(matrix.upper, axis=-1) + jnp.max(matrix.lower, axis=-1)


def intervals(times: jax.Array) -> jax.Array:
    """Their lengths, the first from 0, in front."""
    return jnp.moveaxis(jnp.diff(times, prepend=jnp.zeros_like(times[..., :1])), -1, 0)


def added(level: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A sum and what its roundings have left out, with x: hundreds of them would all be alike."""
    x = x + level[1]
    total = level[0] + x
    return total, x - (total - level[0])
