"""Insiders' parameters: recovered where the data identify them, and said where they do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from diffeq import holden
from diffeq.empirical import impact, insiders, signing, simulated

TRUTH = holden.Params(sigma_v=2.5, sigma_u=5.0, num_insiders=2.7)
N = 8


@pytest.fixture(scope="module")
def solution():
    return holden.solve(TRUTH, num_auctions=N)


def test_an_impact_path_gives_the_shape_and_the_ratio(solution):
    fit = insiders.calibrate_impact_path(solution.lambda_)
    assert fit.converged
    np.testing.assert_allclose(fit.params.num_insiders, 2.7, rtol=1e-3)
    np.testing.assert_allclose(fit.params.sigma_v / fit.params.sigma_u, 0.5, rtol=1e-3)
    assert fit.identification.identified_parameters == ("num_insiders",)
    assert "sigma_v / sigma_u" in fit.identification.identified
    assert np.isnan(fit.standard_errors.sigma_v) and np.isnan(fit.standard_errors.sigma_u)
    # the same of a path with noise, in any unit: a flat valley is rounded, not an end to run to
    for unit, noise in ((1.0, 0.01), (1e-8, 0.003), (1e10, 0.01), (1e20, 0.01)):
        path = np.asarray(solution.lambda_, float) * (1 + noise * np.cos(np.arange(N))) * unit
        fit = insiders.calibrate_impact_path(path)
        assert fit.converged and fit.identification.at_edge == ()
        assert fit.identification.identified_parameters == ("num_insiders",)


@pytest.mark.float64
def test_one_auction_identifies_one_combination(solution):
    """log lambda = log(sigma_v/sigma_u) + log(sqrt(M)/(M+1)): one number for three unknowns."""
    fit = insiders.calibrate_impact_path(np.asarray(solution.lambda_)[:1])
    assert fit.identification.rank == 1
    assert fit.identification.identified_parameters == ()
    M = fit.params.num_insiders
    level = fit.params.sigma_v / fit.params.sigma_u * np.sqrt(M) / (M + 1)
    np.testing.assert_allclose(level, solution.lambda_[0], rtol=1e-8)
    flat = fit.identification.flat_directions
    gradient = np.array([1.0, -1.0, 0.5 - M / (M + 1)])  # of log lambda in log parameters
    assert np.abs(flat @ gradient).max() < 1e-5


def test_an_error_variance_path_says_nothing_of_noise(solution):
    fit = insiders.calibrate_error_variance_path(solution.Sigma)
    np.testing.assert_allclose(fit.params.sigma_v, 2.5, rtol=1e-3)
    np.testing.assert_allclose(fit.params.num_insiders, 2.7, rtol=1e-3)
    assert np.isnan(fit.standard_errors.sigma_u)
    assert any("sigma_u" in words for words in fit.identification.not_identified)


def test_known_errors_make_the_standard_errors(solution):
    """With Kyle given, the level's error is that of a weighted mean: independent algebra."""
    kyle = holden.solve(TRUTH._replace(num_insiders=1.0), num_auctions=N)
    errors = 0.05 * np.asarray(kyle.lambda_) * np.linspace(1, 2, N)
    fit = insiders.calibrate_impact_path(kyle.lambda_, standard_errors=errors, num_insiders=1.0)
    assert fit.identification.rank == 1 and fit.names == ("sigma_v", "sigma_u")
    np.testing.assert_allclose(fit.params.sigma_v / fit.params.sigma_u, 0.5, rtol=1e-3)


def test_the_likelihood_is_scipys(solution):
    """Against an implementation of its own: scipy's normal densities, r_n from Sigma's drop."""
    key = np.random.default_rng(1)
    y, dp = key.normal(size=(3, N)), key.normal(size=(3, N))
    params = insiders.TapeParams(2.5, 5.0, 2.7, 0.8)
    data = insiders._tape(dp, y, None)
    ours = np.asarray(insiders.tape_log_loss(jax.tree.map(jnp.asarray, params), data))
    lambda_ = np.asarray(solution.lambda_, float)
    beta, Sigma = np.asarray(solution.beta, float), np.asarray(solution.Sigma, float)
    before = np.concatenate([[2.5**2], Sigma[:-1]])
    # the flow's own moments: M beta dt e_{n−1} + u_n
    variance = (2.7 * beta / N) ** 2 * before + 25.0 / N
    theirs = -scipy.stats.norm.logpdf(y, scale=np.sqrt(variance))
    theirs -= scipy.stats.norm.logpdf(dp, loc=lambda_ * y, scale=0.8 / np.sqrt(N))
    np.testing.assert_allclose(ours.reshape(3, N), theirs, rtol=2e-4)


@pytest.mark.float64
def test_a_simulated_tape_is_recovered_within_its_errors():
    """40 days through signing, intervals and likelihood; then the regression's lambda_n."""
    tape = simulated.tape(
        jax.random.key(3), TRUTH, num_auctions=N, num_days=40, sigma_e=0.5, trades_per_auction=5
    )
    sign = signing.lee_ready(tape.trades, tape.quotes)
    assert np.array_equal(sign, tape.trades.sign)
    days = [simulated.OPEN + 86_400.0 * day for day in range(40)]
    cuts = [
        impact.intervals(tape, sign, num_intervals=N, start=day, end=day + simulated.HOURS)
        for day in days
    ]
    change = np.stack([cut.mid_change for cut in cuts])
    flow = np.stack([cut.signed_flow for cut in cuts])
    fit = insiders.calibrate_tape(change, flow)
    truth = insiders.TapeParams(2.5, 5.0, 2.7, 0.5)
    for name in truth._fields:
        error = getattr(fit.standard_errors, name)
        assert 0 < error < 0.2 * getattr(truth, name)
        assert abs(getattr(fit.params, name) - getattr(truth, name)) < 4 * error
    lambda_ = holden.solve(TRUTH, num_auctions=N).lambda_
    for n in range(N):
        line = impact.regress(change[:, n], flow[:, n], lags=0)
        assert abs(float(line.lambda_ - lambda_[n])) < 4 * float(line.lambda_error)


def test_the_units_of_a_tape_do_not_matter(solution):
    """Prices of 1e-8 and flows of 1e12: their squares leave float32's range."""
    key = np.random.default_rng(5)
    y = key.normal(size=(40, N))
    dp = np.asarray(solution.lambda_, float) * y + 0.1 * key.normal(size=y.shape)
    fits = [
        insiders.calibrate_tape(dp * p, y * q)
        for p, q in ((1.0, 1.0), (2.0**-27, 2.0**40), (2.0**40, 2.0**-27))
    ]
    for fit, (p, q) in zip(fits[1:], ((2.0**-27, 2.0**40), (2.0**40, 2.0**-27)), strict=True):
        assert fit.converged
        units = np.array([p, q, 1.0, p])
        for found, wanted in ((fit.params, fits[0].params), (fit[1], fits[0][1])):
            np.testing.assert_allclose(np.array(found) / units, wanted, rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: insiders.calibrate_impact_path([1.0, -1.0]), r"impact\[1\]: expected a positive"),
        (lambda: insiders.calibrate_impact_path([]), "impact: expected shape"),
        (lambda: insiders.calibrate_impact_path([1.0, np.nan]), "impact: expected finite"),
        (lambda: insiders.calibrate_impact_path([1.0], num_insiders=-1.0), "num_insiders: exp"),
        (
            lambda: insiders.calibrate_impact_path([1.0], standard_errors=[0.0]),
            "standard_errors: expected",
        ),
        (lambda: insiders.calibrate_error_variance_path([0.0]), r"Sigma\[0\]: expected a pos"),
        (lambda: insiders.calibrate_tape([1.0, 2.0], [1.0]), "price_change, signed_flow: exp"),
        (lambda: insiders.calibrate_tape([1.0], [0.0]), "signed_flow: expected values that vary"),
        (lambda: insiders.calibrate_tape([np.inf], [1.0]), "price_change: expected finite"),
    ],
)
def test_bad_data_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("rest", [0.0, 0.3])
def test_flow_that_explains_every_price_change_leaves_no_maximum(solution, rest):
    """Then the loss falls by n log 10 with each power of ten of sigma_e; one other move ends it."""
    y = np.random.default_rng(2).normal(size=(3, N))
    dp = np.asarray(solution.lambda_) * y
    dp[0, 0] += rest
    tape = insiders._tape(dp, y, None)

    def loss(sigma_e):
        params = insiders.TapeParams(*TRUTH[:3], sigma_e)
        return float(jnp.sum(insiders.tape_log_loss(jax.tree.map(jnp.asarray, params), tape)))

    falls = -np.diff([loss(10.0**-k) for k in range(1, 4)])
    if rest:
        assert falls[-1] < 0
    else:
        np.testing.assert_allclose(falls, y.size * np.log(10), rtol=1e-3)


@pytest.mark.float64
def test_a_fit_without_a_maximum_does_not_converge():
    """One price change, which the level of impact fits exactly."""
    fit = insiders.calibrate_tape([1.0], [1.0], num_starts=1)
    assert not fit.converged and fit.params.sigma_e < 1e-6


@pytest.mark.parametrize("values", ["a", ["a", "b"], [1.0, 1j], [True, False]], ids=str)
def test_what_is_no_path_of_numbers_is_named(values):
    """Text, complex numbers and flags are refused by the argument's name."""
    with pytest.raises(TypeError, match="impact"):
        insiders.calibrate_impact_path(values)
    with pytest.raises(TypeError, match="price_change"):
        insiders.calibrate_tape(values, [1.0, 2.0])
