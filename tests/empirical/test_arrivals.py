"""Fill rates by depth: against scipy's optimiser, closed forms, and coverage in simulation."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from diffeq.empirical.arrivals import from_exposures, from_trade_through

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
# one shape of each kind throughout: six depths, 200 orders; a new shape would compile anew


def log_likelihood(log_A: float, k: float, depth: Any, exposure: Any, fills: Any) -> float:
    return float(np.sum(fills * (log_A - k * depth) - np.exp(log_A - k * depth) * exposure))


@pytest.mark.float64
@pytest.mark.parametrize("seed", range(4))
def test_exposures_maximise_the_likelihood(seed: int) -> None:
    """Estimate by scipy's Nelder–Mead, errors by the information matrix, fit by scipy's chi2."""
    rng = np.random.default_rng(seed)
    depth, exposure = np.sort(rng.uniform(-0.5, 3, 6)), rng.uniform(5, 60, 6)
    fills = rng.poisson(4 * np.exp(-1.2 * depth) * exposure)
    got = from_exposures(depth, exposure, fills)
    best = optimize.minimize(
        lambda x: -log_likelihood(*x, depth, exposure, fills),
        [1.0, 1.0],
        method="Nelder-Mead",
        options=dict(xatol=1e-10, fatol=1e-12, maxiter=5000),
    )
    np.testing.assert_allclose([np.log(got.A), got.k], best.x, rtol=1e-6)
    mean = float(got.A) * np.exp(-float(got.k) * depth) * exposure
    design = np.stack([np.ones(6), -depth])
    covariance = np.linalg.inv((design * mean) @ design.T)
    np.testing.assert_allclose(got.se_k, np.sqrt(covariance[1, 1]), rtol=1e-9)
    np.testing.assert_allclose(got.se_A / got.A, np.sqrt(covariance[0, 0]), rtol=1e-9)
    np.testing.assert_allclose(
        got.correlation, covariance[0, 1] / np.sqrt(np.prod(np.diag(covariance))), rtol=1e-9
    )
    np.testing.assert_allclose(got.fit.expected, mean, rtol=1e-10)
    ratio = np.where(fills > 0, fills / mean, 1)
    deviance = 2 * np.sum(fills * np.log(ratio) - (fills - mean))
    np.testing.assert_allclose(got.deviance, deviance, rtol=1e-9)
    np.testing.assert_allclose(got.p_value, stats.chi2.sf(deviance, 4), rtol=1e-9)
    assert bool(got.info.converged)


def test_units() -> None:
    """Another unit of price or time rescales A and k; a shift of depths turns up in A alone."""
    depth, exposure = np.array([0.1, 0.4, 1.0, 1.1, 1.7, 2.0]), np.array([9.0, 9, 20, 3, 7, 11])
    fills = [30, 17, 12, 2, 3, 1]
    one = from_exposures(depth, exposure, fills)
    other = from_exposures(100 * depth, exposure / 60, fills)
    np.testing.assert_allclose(other.k, one.k / 100, rtol=1e2 * EPS)
    np.testing.assert_allclose(other.A, one.A * 60, rtol=1e2 * EPS)
    shifted = from_exposures(depth - 0.1, exposure, fills)
    np.testing.assert_allclose(shifted.k, one.k, rtol=1e2 * EPS)
    np.testing.assert_allclose(shifted.A, one.A * np.exp(-0.1 * one.k), rtol=1e2 * EPS)


def test_what_cannot_be_estimated_is_flagged() -> None:
    """No fills, or all at one end: NaN; fills that rise with depth: a value, flagged."""
    depth, exposure = np.arange(6.0), np.full(6, 10.0)
    for fills in ([0] * 6, [5, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 5]):
        found = from_exposures(depth, exposure, fills)
        assert not bool(found.info.converged) and np.isnan(found.k)
    rising = from_exposures(depth, exposure, [1, 2, 2, 3, 5, 9])
    assert not bool(rising.info.converged) and float(rising.k) < 0
    flat = from_trade_through(np.ones(200), 5.0, least_depth=1.0)
    assert not bool(flat.info.converged) and np.isnan(flat.k)
    # A beyond the floating range
    assert not bool(from_exposures(1e6 + depth, exposure, [9, 5, 2, 2, 1, 1]).info.converged)


def test_bad_lanes_are_nan_throughout_and_good_ones_untouched() -> None:
    """In every field and derivative, the test of fit among them; traced values are not refused."""
    depth, exposure = np.arange(6.0), np.full(6, 10.0)
    fills = np.array([[9.0, 5, 2, 2, 1, 1], [0.0] * 6, [9.0, 5, -2, 2, 1, 1], [9.0, 5, 2, 2, 1, 1]])
    tau = np.stack([exposure, exposure, exposure, exposure * np.inf])

    def estimate(fills: Any, tau: Any) -> tuple[Any, Any]:
        found, pull = jax.vjp(lambda n: from_exposures(depth, tau, n)[:-1], fills)
        return (found, pull(jax.tree.map(jnp.ones_like, found))), from_exposures(
            depth, tau, fills
        ).info.converged

    lanes, converged = jax.jit(jax.vmap(estimate))(fills, tau)
    assert converged.tolist() == [True, False, False, False]
    for leaf in jax.tree.leaves(lanes):
        assert np.isfinite(leaf[0]).all() and np.isnan(leaf[1:]).all()

    ticks = jax.jit(jax.vmap(lambda tick: from_trade_through(depth, 5.0, tick=tick)))
    found = ticks(jnp.asarray([1.0, 0.0, -3.0, jnp.inf]))
    assert found.info.converged.tolist() == [True, False, False, False]
    for leaf in jax.tree.leaves(found[:-1]):
        assert np.isfinite(leaf[0]).all() and np.isnan(leaf[1:]).all()
    helpers.assert_close(found.k[0], np.log1p(1 / 2.5), 10 * EPS)


def test_depths_that_nearly_tie() -> None:
    """Fills 10 to 1 at depths 1e-6 apart: k = log(10)/1e-6, whatever stands far away unfilled."""
    depth, fills = np.array([0.0, 1e-6, 1, 2, 3, 4]), np.array([10, 1, 0, 0, 0, 0])
    k = np.log(10) / 1e-6
    near = from_exposures(depth, np.ones(6), fills)
    assert bool(near.info.converged) and float(near.p_value) > 0.999
    helpers.assert_close(near.k, k, 1e2 * EPS)
    mirrored = from_exposures(-depth[::-1], np.ones(6), fills[::-1])  # flagged: it rises
    helpers.assert_close(mirrored.k, -k, 1e2 * EPS)
    assert not bool(mirrored.info.converged)


def test_a_perfect_fit_has_no_deviance() -> None:
    """Fills halved by each unit of depth, millions of them: n log(n/e) − (n − e) is rounding."""
    found = from_exposures(np.arange(6.0), np.full(6, 9.0), 100_000 * 2 ** np.arange(5, -1, -1))
    helpers.assert_close(found.k, np.log(2), 1e2 * EPS)
    assert 0 <= float(found.deviance) < 1e-3 and float(found.p_value) > 0.999


def test_trade_through_closed_forms() -> None:
    """Continuous and on ticks; the naive form is 17 % off at k tick = .3."""
    depth = np.repeat([0.3, 0.5, 1.3, 0.9], 50)
    found = from_trade_through(depth, 8.0, least_depth=0.3)
    np.testing.assert_allclose(found.k, 1 / 0.45, rtol=1e2 * EPS)
    np.testing.assert_allclose(found.A, 25 * np.exp(0.3 / 0.45), rtol=1e2 * EPS)
    np.testing.assert_allclose(found.se_k, 1 / 0.45 / np.sqrt(200), rtol=1e2 * EPS)
    # a geometric sample, k tick = .3, by its quantiles; its mean 1/(e^.3 − 1) to 4 %
    steps = np.floor(-np.log1p(-(np.arange(200) + 0.5) / 200) / 0.3)
    mean = steps.mean()
    assert abs(mean * np.expm1(0.3) - 1) < 0.04
    ticks = from_trade_through(0.01 * steps, 1.0, tick=0.01)
    np.testing.assert_allclose(ticks.k * 0.01, np.log(1 + 1 / mean), rtol=1e3 * EPS)
    naive = from_trade_through(0.01 * steps, 1.0)
    assert 0.15 < float(naive.k / ticks.k) - 1 < 0.19
    np.testing.assert_allclose(float(ticks.fit.expected.sum()), steps.size, rtol=1e3 * EPS)
    seen = ticks.fit.observed - np.append(ticks.fit.observed[1:], 0)
    np.testing.assert_allclose(seen, [np.sum(steps == j) for j in range(9)] + [np.sum(steps > 8)])


@pytest.mark.float64
def test_errors_cover_and_the_test_has_its_size() -> None:
    """300 simulated records of each kind: two errors cover 95 %, p below .05 in 5 %."""
    rng, k, A = np.random.default_rng(1), 1.5, 140.0
    depth, exposure = np.linspace(0.2, 2.0, 6), np.full(6, 0.5)
    fills = rng.poisson(A * np.exp(-k * depth) * exposure, (300, 6))
    past = rng.exponential(1 / k, (300, 200))
    steps = 0.1 * (rng.geometric(-np.expm1(-k * 0.1), (300, 200)) - 1)
    allowed = 4 * np.sqrt(0.95 * 0.05 / 300)
    for found in (
        [from_exposures(depth, exposure, n) for n in fills],
        [from_trade_through(d, 200 / A) for d in past],
        [from_trade_through(d, 200 / A, tick=0.1) for d in steps],
    ):
        covered = np.mean([abs(x.k - k) <= 1.96 * x.se_k for x in found])
        assert abs(covered - 0.95) <= allowed
        assert abs(np.mean([x.p_value < 0.05 for x in found]) - 0.05) <= allowed
    found = [from_exposures(depth, exposure, n) for n in fills]
    assert abs(np.mean([abs(x.A - A) <= 1.96 * x.se_A for x in found]) - 0.95) <= allowed
    wrong = A / (1 + depth) ** 3 * exposure  # a power law fails the test
    refused = from_exposures(depth, 100 * exposure, rng.poisson(100 * wrong))
    assert float(refused.p_value) < 1e-3


@pytest.mark.float64
def test_the_estimate_is_differentiable_in_the_data() -> None:
    """k and A against differences, in exposures and fills."""

    def estimate(x: Any) -> jax.Array:
        found = from_exposures(np.array([0.0, 0.5, 1.5]), x[:3], x[3:])
        return jnp.stack([found.A, found.k])

    x = np.array([10.0, 12.0, 30.0, 20.0, 14.0, 11.0])
    forward, reverse = helpers.forward_and_reverse(estimate, x)
    helpers.assert_close_by_norm(forward, reverse, 1e-12)
    step = lambda y: jax.vmap(estimate)(jnp.asarray(y)[None])[0]  # noqa: E731, traced: real counts
    helpers.assert_close_by_norm(forward, helpers.differences(step, x), 1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_exposures([0.0, 1.0], [1.0, 0.0], [1, 1]), r"exposure\[1\]"),
        (lambda: from_exposures([0.0, 1.0], [1.0, 1.0], [1, -1]), r"fills\[1\]"),
        (lambda: from_exposures([0.0, 1.0], [1.0, 1.0], [1, 0.5]), r"fills\[1\]"),
        (lambda: from_exposures([0.0, 1.0], [1.0, 1.0], [1]), "fills: expected shape"),
        (lambda: from_exposures([1.0, 1.0], [1.0, 1.0], [1, 2]), "two different depths"),
        (lambda: from_trade_through([], 1.0), "depth"),
        (lambda: from_trade_through([1.0], -1.0), "duration"),
        (lambda: from_trade_through([1.0, 0.2], 1.0, least_depth=0.5), r"depth\[1\]"),
        (lambda: from_trade_through([0.5, 0.75], 1.0, tick=0.5), r"depth\[1\]"),
        (lambda: from_trade_through([0.5, 1.0], 1.0, tick=[0.5, 0.5]), "tick: expected a scalar"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
