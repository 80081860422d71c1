"""Stiff initial value problems: against eigenvectors, scipy's Radau IIA, and closed forms."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from solvers import implicit
from solvers.ode import stiff

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
ACCURACY = 2e-9 if EPS < 1e-10 else 2e-3
TIMES = np.array([0.0, 1e-6, 0.01, 0.5, 3.0])


def diffuse(y: jax.Array, rates: jax.Array, _: Any) -> tuple[jax.Array, Any]:
    """Exchange between neighbours at rates that may differ by many powers of ten."""
    flow = rates * jnp.diff(y)
    none = jnp.zeros(1, y.dtype)
    return jnp.concatenate([flow, none]) - jnp.concatenate([none, flow]), ()


@pytest.mark.parametrize("rates", [np.ones(7), 10.0 ** np.arange(7), 1e6 * np.ones(7)])
def test_linear_exchange_against_its_eigenvectors(rates: np.ndarray) -> None:
    """Six powers of ten of stiffness, from time 0 and from 1e-6 on; the sum is kept."""
    L = np.diag(-np.append(rates, 0) - np.append(0, rates)) + np.diag(rates, 1) + np.diag(rates, -1)
    values, vectors = np.linalg.eigh(L)
    values[-1] = 0  # the sum is kept: not left to eigh, whose error is a rounding of the largest
    y_0 = np.linspace(0, 1, 8) ** 2
    expected = (vectors * np.exp(np.outer(TIMES, values))[:, None]) @ (vectors.T @ y_0)
    found = exchanged(jnp.asarray(y_0), jnp.asarray(TIMES), jnp.asarray(rates))
    assert bool(found.reached)
    np.testing.assert_allclose(found.y, expected, atol=ACCURACY)
    np.testing.assert_allclose(found.y.sum(axis=1), y_0.sum(), rtol=1e4 * EPS)
    truth = np.abs(np.asarray(found.y) - expected)
    assert truth.max() <= max(float(found.error), 1e3 * EPS), "the estimate is no understatement"


@jax.jit
def exchanged(y: jax.Array, times: jax.Array, rates: jax.Array) -> Any:
    return stiff(
        diffuse,
        y,
        times,
        rates,
        first_step=0.05 / jnp.max(rates),
        scale=jnp.ones(()),
        tangent_solve=implicit.tridiagonal,
    )


def robertson(y: jax.Array, k: jax.Array, _: Any) -> tuple[jax.Array, Any]:
    """Three reactions of rates .04, 1e4 and 3e7 (Robertson 1966)."""
    a, b, c = k[0] * y[0], k[1] * y[1] * y[2], k[2] * y[1] ** 2
    return jnp.stack([b - a, a - b - c, c]), ()


RATES = np.array([0.04, 1e4, 3e7])


@jax.jit
def reacted(k: jax.Array, times: jax.Array) -> Any:
    start, scale = jnp.asarray([1.0, 0, 0], k.dtype), jnp.asarray([1.0, 1e-4, 1.0], k.dtype)
    return stiff(robertson, start, times, k, first_step=1e-6, scale=scale)


@pytest.mark.float64
def test_robertsons_reactions() -> None:
    """Nonlinear, stiff over eleven powers of ten: against scipy's Radau IIA, and published digits.

    Digits at t = 40: Hindmarsh (1983), ODEPACK, the example of LSODE.
    """
    times = np.array([0.4, 40.0, 4e4])
    found = reacted(jnp.asarray(RATES), jnp.asarray(times))
    assert bool(found.reached)
    np.testing.assert_allclose(found.y[1], [7.158e-1, 9.186e-6, 2.842e-1], rtol=2e-4)
    rival = integrate.solve_ivp(
        lambda t, y: np.asarray(robertson(y, RATES, None)[0]),
        (0, 4e4),
        [1.0, 0, 0],
        method="Radau",
        t_eval=times,
        rtol=1e-11,
        atol=1e-16,
    )
    np.testing.assert_allclose(found.y, rival.y.T, rtol=1e-8)


@pytest.mark.float64
def test_derivatives_three_ways() -> None:
    """In rates and times: forward = reverse, differences, and the slope in time is the equation."""
    times = np.array([0.4, 40.0])

    def y(x: Any) -> jax.Array:
        return reacted(RATES * x[:3], times * x[3:]).y

    run = jax.jit(y)
    x = np.ones(5)
    forward, reverse = helpers.forward_and_reverse(y, x)
    helpers.assert_close_by_norm(forward, reverse, 1e-11)
    helpers.assert_close_by_norm(forward, helpers.differences(run, x, 1e-2), 1e-6)
    slope = np.asarray(robertson(np.asarray(run(x))[1], RATES, None)[0]) * times[1]
    np.testing.assert_allclose(forward[1, :, 4], slope, rtol=1e-6)
    assert np.all(forward[0, :, 4] == 0)


@pytest.mark.float64
def test_second_derivatives() -> None:
    """Of y = 1/(1/y_0 − k t), in k and y_0, forwards and backwards, against the closed form."""

    def found(x: jax.Array) -> jax.Array:
        rate = lambda y, k, _: (k * y * y, ())  # noqa: E731
        return stiff(rate, x[1:], jnp.asarray([0.5]), x[0], first_step=0.01, scale=1.0).y[0, 0]

    x = jnp.asarray([0.4, 1.2])
    expected = jax.hessian(lambda x: 1 / (1 / x[1] - 0.5 * x[0]))(x)
    for first in (jax.jacfwd, jax.jacrev):
        for then in (jax.jacfwd, jax.jacrev):
            helpers.assert_close(jax.jit(then(first(found)))(x), expected, 1e-8, f"{first} {then}")


def test_a_solution_that_ends_is_flagged() -> None:
    """y' = y² has y = 1/(1 − t): good before t = 1, NaN at and after; lanes do not meet."""

    def run(y_0: jax.Array) -> Any:
        times = jnp.asarray([0.5, 0.9, 1.5])
        rate = lambda y, p, _: (y * y, ())  # noqa: E731
        return stiff(rate, y_0[None], times, (), first_step=0.01, scale=1.0)

    lanes = np.array([1.0, 0.5, 0.0, np.nan])
    compiled = jax.jit(jax.vmap(run))
    found = compiled(jnp.asarray(lanes))
    assert found.reached.tolist() == [False, True, True, False]
    for lane in (0, 1, 2):
        t = np.array([0.5, 0.9, 1.5])
        kept = lanes[lane] * t < 1
        exact = lanes[lane] / (1 - lanes[lane] * t)
        np.testing.assert_allclose(found.y[lane, kept, 0], exact[kept], rtol=20 * ACCURACY)
        assert np.isnan(found.y[lane, ~kept]).all()
    among_good = compiled(jnp.asarray([0.25, *lanes[1:3], 0.25]))
    helpers.assert_same_bits(among_good.y[1:3], found.y[1:3])
