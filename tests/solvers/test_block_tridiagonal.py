"""Block tridiagonal systems: against numpy's dense solution, forwards and transposed."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import implicit, ode

EPS = float(jnp.finfo(jnp.result_type(float)).eps)


def system(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """A matrix (n, m, n, m) with nothing beyond neighbouring rows, no diagonal block regular alone.

    Row sums are dominated by entries off the diagonal within a block: rows must be exchanged there.
    """
    rng = np.random.default_rng(10 * n + m)
    matrix = rng.normal(size=(n, m, n, m)) * 0.3 / m
    i = np.arange(n)
    matrix *= (abs(i[:, None] - i[None]) <= 1)[:, None, :, None]
    for row in range(n):
        matrix[row, :, row] += 3 * np.roll(np.eye(m), 1, axis=0) if m > 1 else 3
    return matrix, rng.normal(size=(n, m))


@pytest.mark.parametrize(("n", "m"), [(1, 3), (2, 2), (3, 1), (7, 4)])
def test_it_is_the_dense_solution(n: int, m: int) -> None:
    """Any blocks, one row, one column; linear in the right-hand side, so transposable."""
    matrix, b = system(n, m)
    square = matrix.reshape(n * m, n * m)

    @jax.jit
    def both(matrix: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        apply = lambda x: jnp.tensordot(matrix, x, 2)  # noqa: E731
        solve = lambda b: implicit.block_tridiagonal(apply, b)  # noqa: E731
        return solve(b), jax.linear_transpose(solve, b)(b)[0]

    x, back = both(jnp.asarray(matrix, float), jnp.asarray(b, float))
    helpers.assert_close_by_norm(x, np.linalg.solve(square, b.ravel()).reshape(n, m), 50 * EPS)
    expected = np.linalg.solve(square.T, b.ravel()).reshape(n, m)
    helpers.assert_close_by_norm(back, expected, 50 * EPS)


def test_probes_show_row_sums() -> None:
    """Σ |A v| over the probes is Σ |a| along each row; the first step is .05 over the largest."""
    matrix, b = system(7, 4)
    start = jnp.asarray(b, float)
    probes = implicit.block_probes(start)
    matrix = jnp.asarray(matrix, float)
    seen = jax.vmap(jax.vmap(lambda v: jnp.tensordot(matrix, v, 2)))(probes)
    sums = np.abs(np.asarray(matrix)).sum((2, 3))
    np.testing.assert_allclose(np.abs(seen).sum((0, 1)), sums, rtol=20 * EPS)
    rate = lambda y, a, _: (jnp.tensordot(a, y, 2), ())  # noqa: E731
    scale = jnp.full(b.shape, 2.0).at[-1, -1].set(jnp.inf)
    h = ode.first_step(rate, start, matrix, scale=scale, hint=(), probes=probes)
    size = sums + np.abs(rate(start, matrix, ())[0]) / 2
    np.testing.assert_allclose(h, 0.05 / np.delete(size.ravel(), -1).max(), rtol=20 * EPS)
