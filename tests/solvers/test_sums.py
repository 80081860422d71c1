"""Cumulative sums against exact ones, and their derivatives."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from solvers import sums


def test_ten_thousand_terms_cost_no_digits() -> None:
    """Against math.fsum; added up plainly they cost a hundred roundings and more."""
    x = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (10_000, 2)))
    exact = [[math.fsum(x[:n, i].tolist()) for i in range(2)] for n in (1, 100, 10_000)]
    eps = float(jnp.finfo(x.dtype).eps)
    found = jax.jit(sums.cumulative)(x)[np.array([0, 99, 9_999])]
    np.testing.assert_allclose(found, exact, rtol=2 * eps)


def test_the_derivative_is_the_sum_of_derivatives() -> None:
    """In both modes, of second order, and batched."""

    def total(x: jax.Array) -> jax.Array:
        return jnp.sum(sums.cumulative(x**2) * np.arange(1.0, 4.0))

    x = jnp.asarray([0.3, -2.0, 5.0])
    weight = np.array([6.0, 5.0, 3.0])  # of x_n² in the total
    for derivative in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(derivative(total)(x), 2 * weight * np.asarray(x), rtol=1e-6)
    np.testing.assert_allclose(jax.hessian(total)(x), np.diag(2 * weight), rtol=1e-6)
    lanes = np.stack([x, 2 * x])
    slopes = jax.vmap(jax.grad(total))(jnp.asarray(lanes))
    np.testing.assert_allclose(slopes, 2 * weight * lanes, rtol=1e-6)


def test_of_nothing_is_nothing() -> None:
    """No terms, no sums; nor derivatives."""
    assert sums.cumulative(jnp.zeros((0, 3))).shape == (0, 3)
    assert jax.jacrev(sums.cumulative)(jnp.zeros(0)).shape == (0, 0)
