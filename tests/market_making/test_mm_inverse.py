"""Risk aversion from quotes and from inventory: recovered, with errors that cover."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from diffeq.market_making import exponential
from diffeq.market_making.inventory_target import from_inventory
from diffeq.market_making.inverse import from_quotes
from diffeq.market_making.model import Params

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
Q, T = 3, 1.0
PARAMS = Params(A=10.0, k=1.5, sigma=2.0, gamma=0.137, phi_T=0.02)
TIMES = np.array([0.0, 0.4, 0.8])
TIME, INVENTORY = (x.ravel() for x in np.meshgrid(TIMES, np.arange(-Q, Q + 1), indexing="ij"))
GRID = np.append(TIMES, T)


def quotes(params: Params, objective: str = "cara") -> np.ndarray:
    """The model's depths at TIME and INVENTORY, bid and ask, shape (2, 21); inf at the edges."""
    found = exponential.solve(params, max_inventory=Q, times=GRID, objective=objective)
    return np.stack([np.asarray(x, float)[:-1].ravel() for x in (found.delta_b, found.delta_a)])


def implied(depths: Any, params: Params, objective: str = "cara", **more: Any) -> Any:
    return from_quotes(
        INVENTORY, TIME, depths[0], depths[1], params,
        horizon=T, max_inventory=Q, objective=objective, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def many() -> Any:
    """Lanes in one program: 0 noiseless, 1 without gamma's trace, 2 nothing quoted, then noise."""
    rng, true = np.random.default_rng(0), quotes(PARAMS)
    free = quotes(PARAMS._replace(gamma=0.0))
    noisy = true[None] + 0.02 * rng.standard_normal((400, *true.shape))
    depths = np.concatenate([true[None], free[None], np.full_like(true, np.nan)[None], noisy])
    return depths, jax.jit(jax.vmap(lambda d: implied(d, PARAMS)))(jnp.asarray(depths))


def test_gamma_is_recovered_from_noiseless_quotes(many: Any) -> None:
    _, found = many
    assert abs(float(found.value[0]) / 0.137 - 1) <= max(1e-9, 1e3 * EPS)
    assert bool(found.info.converged[0]) and float(found.residual_sd[0]) <= 1e2 * EPS


def test_what_quotes_do_not_tell_is_flagged(many: Any) -> None:
    """gamma = 0: no minimum inside the bounds; no quotes: nothing."""
    _, found = many
    assert not found.info.converged[1:3].any()
    assert np.isnan(found.value[1:3]).all() and np.isnan(found.se[1:3]).all()


def test_errors_cover(many: Any) -> None:
    """400 sets of quotes with noise: 95 % within 1.96 errors, no bias, s² the noise's variance."""
    _, found = many
    value, error = np.asarray(found.value[3:], float), np.asarray(found.se[3:], float)
    assert bool(found.info.converged[3:].all())
    covered = np.mean(np.abs(value - 0.137) <= 1.96 * error)
    assert abs(covered - 0.95) <= 4 * np.sqrt(0.95 * 0.05 / 400)
    helpers.assert_mean(value, 0.137, "gamma")
    helpers.assert_mean(np.asarray(found.residual_sd[3:]) ** 2, 0.02**2, "variance of quotes")


@pytest.mark.float64
def test_the_estimate_is_the_least_squares_one(many: Any) -> None:
    """scipy's bounded search over gamma, and its error from slopes by differences."""
    depths, found = many
    inside = np.isfinite(depths[3])
    solved = jax.jit(lambda g: quotes_of(g))

    def residuals(gamma: float) -> np.ndarray:
        return depths[3][inside] - np.asarray(solved(gamma))[inside]

    best = optimize.minimize_scalar(
        lambda g: np.sum(residuals(g) ** 2), bounds=(0.05, 0.3), method="bounded",
        options=dict(xatol=1e-12),
    ).x  # fmt: skip
    np.testing.assert_allclose(found.value[3], best, rtol=1e-6)
    slope = (residuals(best + 1e-5) - residuals(best - 1e-5)) / 2e-5
    s2 = np.sum(residuals(best) ** 2) / (inside.sum() - 1)
    np.testing.assert_allclose(found.se[3], np.sqrt(s2 / np.sum(slope**2)), rtol=1e-6)


def quotes_of(gamma: Any) -> jax.Array:
    found = exponential.solve(PARAMS._replace(gamma=gamma), max_inventory=Q, times=GRID)
    return jnp.stack([x[:-1].ravel() for x in (found.delta_b, found.delta_a)])


@pytest.mark.float64
def test_phi_from_quotes_and_its_derivatives() -> None:
    """phi = .3 recovered; slopes in the quotes and in k, forward, reverse and by differences."""
    params = PARAMS._replace(gamma=0.0, phi=0.3)
    depths = quotes(params, "penalty")
    depths[np.isinf(depths)] = np.nan  # not quoted, in other words

    def estimate(x: jax.Array) -> jax.Array:
        moved = jnp.asarray(depths).at[:, 3:5].add(x[1:].reshape(2, 2))
        return implied(moved, params._replace(k=x[0]), "penalty").value[None]

    compiled = jax.jit(helpers.jacobians(estimate))
    value, _, _ = compiled(jnp.array([1.5, 0.0, 0.0, 0.0, 0.0]))
    assert abs(float(value[0]) / 0.3 - 1) <= 1e-9
    x = np.array([1.5, 0.05, -0.03, 0.02, 0.04])
    helpers.assert_derivatives(compiled, x, modes=1e-10, steps=1e-6)


@pytest.mark.float64
def test_gamma_from_a_target_inventory() -> None:
    """The sd of q_T is the target; the derivative is one over the sd's own, by differences."""
    times = np.linspace(0, 1, 11)

    def preference(x: jax.Array) -> jax.Array:
        params = PARAMS._replace(sigma=x[1], drift=x[2])
        found = from_inventory(x[0], params, times=times, max_inventory=Q)
        return jnp.stack([found.value, found.sd_inventory, found.info.converged.astype(float)])

    compiled = jax.jit(helpers.jacobians(preference))
    one = jax.jit(
        lambda *x: exponential.solve(
            PARAMS._replace(gamma=x[0], drift=x[1]), max_inventory=Q, times=times
        )[1:3]
    )

    def sd(gamma: float, drift: float = 0.0) -> float:
        """By the law of q_n, forwards, in the scheme of the published tables."""
        b, a = (np.minimum(1, np.exp(-1.5 * np.asarray(x))) for x in one(gamma, drift))  # A dt = 1
        law = np.eye(2 * Q + 1)[Q]
        for n in range(10):
            up, down = law * b[n] * (1 - a[n]), law * a[n] * (1 - b[n])
            law = law - up - down + np.roll(up, 1) + np.roll(down, -1)
        q = np.arange(-Q, Q + 1)
        return float(np.sqrt(law @ q**2 - (law @ q) ** 2))

    x = np.array([sd(0.5), 2.0, 0.0])
    value, slopes = helpers.assert_derivatives(compiled, x, modes=1e-10, steps=1e-6)
    np.testing.assert_allclose(value, [0.5, x[0], 1], rtol=1e-9)
    np.testing.assert_allclose(slopes[0, 0], 2e-4 / (sd(0.5001) - sd(0.4999)), rtol=1e-5)
    np.testing.assert_allclose(slopes[1], [1, 0, 0], atol=1e-9)
    out_of_reach, forward, _ = compiled(jnp.array([5.0, 2.0, 0.0]))
    assert np.isnan(out_of_reach[:2]).all() and out_of_reach[2] == 0
    assert np.isnan(forward[0]).all()
    # a drift keeps inventory at its limit, aversion frees it: of two roots the greater
    x = np.array([sd(2.0, 5.0), 2.0, 5.0])
    assert sd(0.01, 5.0) < sd(2.0, 5.0) < sd(0.5, 5.0)
    np.testing.assert_allclose(compiled(jnp.asarray(x))[0][0], 2.0, rtol=1e-9)


FINE = quotes(PARAMS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: implied(FINE[:, :3], PARAMS), "delta_b: expected shape"),
        (lambda: implied(np.full_like(FINE, np.nan), PARAMS), "at least two depths"),
        (lambda: implied(FINE, PARAMS._replace(sigma=-1.0)), "Params.sigma"),
        (lambda: implied(FINE, PARAMS._replace(k=(1.5, 1.4))), "Params.k: .*same on both sides"),
        (lambda: implied(FINE, PARAMS, between=(1.0, 0.5)), "between: expected"),
        (lambda: implied(FINE, PARAMS, between=(0.0, 0.5)), "between"),
        (
            lambda: from_quotes([4], [0.0], [1.0], [1.0], PARAMS, horizon=T, max_inventory=Q),
            r"inventory\[0\]",
        ),
        (
            lambda: from_quotes([0], [1.0], [1.0], [1.0], PARAMS, horizon=T, max_inventory=Q),
            "time: expected times before",
        ),
        (
            lambda: from_quotes([], [], [], [], PARAMS, horizon=T, max_inventory=Q),
            "inventory, time",
        ),
        (lambda: from_inventory(0.0, PARAMS, times=GRID, max_inventory=Q), "sd_inventory"),
        (
            lambda: from_inventory(1.0, PARAMS._replace(k=(2, 3)), times=GRID, max_inventory=Q),
            "Params.k",
        ),
        (lambda: from_inventory([1.0, 2.0], PARAMS, times=GRID, max_inventory=Q), "sd_inventory"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
