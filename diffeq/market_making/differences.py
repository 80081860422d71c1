"""A table of values by its differences, such that a value's neighbours stay near it.

theta(i, j), shape (n, m), becomes y of the same shape:

    y(i, j) = theta(i, j+1) − theta(i, j),   j < m − 1     within a row
    y(i, m−1) = theta(i+1, m−1) − theta(i, m−1), i < n − 1     from row to row, in the last column
    y(n−1, m−1) = theta(n−1, m−1)

Quotes are differences, and theta's common growth would drown them. A difference between rows i and
i+1 in any column follows from rows i and i+1 of y: what couples neighbours in theta couples
neighbouring rows of y, and is block tridiagonal (:func:`solvers.implicit.block_tridiagonal`).
"""

import jax
import jax.numpy as jnp


def differences(theta: jax.Array) -> jax.Array:
    """y of theta, both (n, m)."""
    down = jnp.concatenate([jnp.diff(theta[:, -1]), theta[-1:, -1]])
    return jnp.concatenate([jnp.diff(theta, axis=1), down[:, None]], axis=1)


def across(y: jax.Array) -> jax.Array:
    """theta(i, j+1) − theta(i, j), shape (n, m−1)."""
    return y[:, :-1]


def down(y: jax.Array) -> jax.Array:
    """theta(i+1, j) − theta(i, j), shape (n−1, m)."""
    return y[:-1, -1:] - _to_the_last(jnp.diff(across(y), axis=0))


def values(y: jax.Array) -> jax.Array:
    """theta of y, both (n, m)."""
    last = y[-1, -1] - _to_the_last(y[None, :-1, -1])[0]
    return last[:, None] - _to_the_last(across(y))


def _to_the_last(steps: jax.Array) -> jax.Array:
    """The sum of steps from each column to the last, (…, m−1) → (…, m)."""
    sums = jnp.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
    return jnp.pad(sums, ((0, 0), (0, 1)))
