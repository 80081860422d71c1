"""Chebyshev interpolation on [−1, 1]: a smooth function by its values at n nodes.

The error falls like rho^−n for a function analytic within the ellipse of foci ±1 and half-axes that
sum to rho.

Reference: Trefethen (2013), Approximation Theory and Approximation Practice, chapters 3 and 8.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def nodes(count: int) -> np.ndarray[Any, Any]:
    """The zeros of T_n, from just below 1 down to just above −1; shape (n,)."""
    return np.cos(_angles(count))


def transform(count: int) -> np.ndarray[Any, Any]:
    """The matrix from values at the nodes to coefficients of T_0..T_{n−1}; shape (n, n)."""
    k = np.arange(count)
    # k times the angle, reduced to a turn in integers: the cosine keeps every digit
    turns = k[:, None] * (2 * k[None] + 1) % (4 * count)
    return np.cos(np.pi / (2 * count) * turns) * np.where(k, 2, 1)[:, None] / count


def basis(x: jax.Array, count: int) -> jax.Array:
    """T_0..T_{n−1} at points of [−1, 1], shape (*x.shape, n), by their recurrence.

    Polynomials in x, so that every derivative is finite, at the ends too.

    >>> [float(y) for y in basis(jnp.asarray(0.5), 4)]
    [1.0, 0.5, -0.5, -1.0]
    """

    def step(last: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, jax.Array]:
        T, before = last
        return (2 * x * T - before, T), T

    one = jnp.ones_like(x)
    _, rows = lax.scan(step, (one, x), None, length=count)  # T_{−1} = T_1 = x
    return jnp.moveaxis(rows, 0, -1)


def _angles(count: int) -> np.ndarray[Any, Any]:
    return np.pi / (2 * count) * (2 * np.arange(count) + 1)
