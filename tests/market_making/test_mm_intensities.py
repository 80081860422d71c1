"""The best depth for any fill rate: against brute force, the closed form, and its own envelope."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from diffeq.market_making.intensities import Exponential, Logistic, PowerLaw, best_depth

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
RATES = {
    "exponential": Exponential(140.0, 1.5),
    "power law": PowerLaw(60.0, 0.8, 2.5),
    "logistic": Logistic(100.0, 2.0, 0.4),
}


def batch(rate: Any, p: Any, gamma: Any) -> Any:
    rate, p, gamma = jax.tree.map(lambda x: jnp.asarray(x, float), (rate, p, gamma))
    return jax.jit(jax.vmap(lambda p, gamma: best_depth(rate, p, gamma)))(p, gamma)


P, GAMMA = (x.ravel() for x in np.meshgrid([-0.6, 0.0, 0.7, 4.0, 30.0], [0.0, 1e-9, 0.1, 2.0]))


@pytest.mark.parametrize("name", RATES)
def test_the_first_order_condition_holds(name: str) -> None:
    """Residual of the root at rounding, margins positive, depths rise with p."""
    found = batch(RATES[name], P, GAMMA)
    assert float(jnp.max(found.residual)) <= 100 * EPS
    assert np.all(np.asarray(found.margin) > 0)
    for gamma in np.unique(GAMMA):
        here = gamma == GAMMA
        assert np.all(np.diff(P[here] + np.asarray(found.margin)[here]) > 0)
        assert np.all(np.diff(np.asarray(found.gain)[here]) < 0)


@pytest.mark.float64
@pytest.mark.parametrize("name", RATES)
def test_against_brute_force(name: str) -> None:
    """scipy's bounded maximiser of the definition finds no better depth, and the same gain."""
    rate = RATES[name]
    found = batch(rate, P, GAMMA)
    for i, (p, gamma) in enumerate(zip(P, GAMMA, strict=True)):

        def gain(x: float, p: float = p, gamma: float = gamma) -> float:
            earned = -np.expm1(-gamma * x) / gamma if gamma else x
            return float(rate(p + x)) * earned

        x = float(found.margin[i])
        best = optimize.minimize_scalar(
            lambda x: -gain(x), bounds=(x / 3, 3 * x), method="bounded", options=dict(xatol=1e-10)
        )
        np.testing.assert_allclose(found.gain[i], -best.fun, rtol=1e-12)
        np.testing.assert_allclose(x, best.x, rtol=1e-5)
        assert gain(x / 10) < float(found.gain[i]) > gain(10 * x)


def test_the_exponential_is_its_closed_form() -> None:
    """x = log1p(gamma/k)/gamma, 1/k without risk aversion, whatever p."""
    found = batch(RATES["exponential"], P, GAMMA)
    x = np.where(GAMMA > 0, np.log1p(GAMMA / 1.5) / np.where(GAMMA > 0, GAMMA, 1), 1 / 1.5)
    np.testing.assert_allclose(found.margin, x, rtol=50 * EPS)


@pytest.mark.float64
@pytest.mark.parametrize("name", RATES)
def test_derivatives(name: str) -> None:
    """H' = −Lambda (1 + …) by the envelope; margins by differences; forward = reverse; twice."""
    rate = RATES[name]

    def both(y: Any) -> jax.Array:
        found = best_depth(type(rate)(*y[2:]), y[0], y[1])
        return jnp.stack([found.margin, found.gain])

    y = np.array([0.3, 0.2, *rate])
    run = jax.jit(both)
    forward, reverse = helpers.forward_and_reverse(both, y)
    helpers.assert_close_by_norm(forward, reverse, 1e-12)
    helpers.assert_close_by_norm(forward, helpers.differences(run, y), 1e-9)
    x, H = np.asarray(run(y))
    envelope = -float(rate(0.3 + x)) * np.exp(-0.2 * x)  # the derivative at a fixed depth
    np.testing.assert_allclose(forward[1, 0], envelope, rtol=1e-12)
    curvature = np.asarray(jax.jit(jax.jacfwd(jax.jacrev(both)))(y))
    helpers.assert_close_by_norm(curvature, np.swapaxes(curvature, 1, 2), 1e-11)


def test_where_no_depth_is_best_it_shows() -> None:
    """A power law of exponent 1/2 without risk aversion: deeper is always better."""
    found = batch(PowerLaw(60.0, 0.8, 0.5), np.array([0.5]), np.array([0.0]))
    assert not float(found.residual[0]) <= 1e-3
    kept = batch(PowerLaw(60.0, 0.8, 0.5), np.array([0.5]), np.array([0.3]))
    assert float(kept.residual[0]) <= 100 * EPS
