"""The calibration engine against closed forms, numpy and scipy."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
import scipy.special

from diffeq.calibrate import (
    Fixed,
    Interval,
    Positive,
    Real,
    Simplex,
    UnitInterval,
    calibrate,
    calibrate_many,
    descent,
)

X64 = jax.config.jax_enable_x64
TOLERANCE = 1e-8 if X64 else 2e-3
KEY = jax.random.key(3)


def draws(seed):
    return np.random.default_rng(seed)


class Normal(NamedTuple):
    mu: float = 0.0
    sigma: float = 1.0


def normal_terms(params, x):
    return 0.5 * ((x - params.mu) / params.sigma) ** 2 + jnp.log(params.sigma)


def normal_loss(params, x):
    return jnp.sum(normal_terms(params, x))


SIGMA = {"sigma": Positive()}
SAMPLE = draws(0).normal(2.0, 3.0, 1000)


def test_normal_likelihood_closed_form():
    fit = calibrate(normal_loss, Normal(), SAMPLE, domains=SIGMA)
    n, mu, sigma = len(SAMPLE), SAMPLE.mean(), SAMPLE.std()
    assert fit.converged and fit.reason == "gradient norm below tolerance"
    np.testing.assert_allclose(fit.params, (mu, sigma), rtol=TOLERANCE)
    expected = (sigma / np.sqrt(n), sigma / np.sqrt(2 * n))
    np.testing.assert_allclose(fit.standard_errors, expected, rtol=TOLERANCE)
    np.testing.assert_allclose(fit.covariance, np.diag(expected) ** 2, atol=TOLERANCE * 1e-2)
    np.testing.assert_allclose(fit.correlation, np.eye(2), atol=10 * TOLERANCE)
    assert fit.names == ("mu", "sigma")
    assert fit.identification.rank == 2 and fit.identification.is_minimum
    assert fit.trace[-1] == np.float64(fit.loss) and len(fit.trace) == fit.starts.evaluations[0]
    assert (np.diff(fit.trace) <= 1e-6 * abs(fit.loss)).all()


def decay_misfit(params, data):
    return params.mu * jnp.exp(-params.sigma * data[0]) - data[1]


def test_the_units_of_residuals_do_not_matter():
    """In float32, where squares of residuals, or of their gradient, are 0 or infinite."""
    t = np.linspace(0, 3, 40, dtype=np.float32)
    y = np.float32(2 * np.exp(-0.7 * t) + 0.05 * np.cos(40 * t))
    domains = {"mu": Positive(), "sigma": Positive()}
    (mu, sigma), covariance = scipy.optimize.curve_fit(
        lambda t, mu, sigma: mu * np.exp(-sigma * t), t.astype(float), y, (1.0, 1.0)
    )
    squares = float(np.sum((mu * np.exp(-sigma * t) - y) ** 2))
    unit = np.float32([1, 1e-12, 1e-18, 1e-25, 1e12, 1e25, np.nan])
    data = np.tile(t, (7, 1)), y * unit[:, None]
    starts = Normal(np.where(unit > 0, unit, 1), np.ones(7, np.float32))
    *fits, no_data = calibrate_many(
        decay_misfit, starts, data, domains=domains, loss_is="residuals"
    )
    for fit, u in zip(fits, unit, strict=False):
        assert fit.converged and fit.params.sigma.dtype == np.float32, u
        np.testing.assert_allclose(np.array(fit.params) / (u, 1), (mu, sigma), rtol=2e-4)
        errors = np.array(fit.standard_errors, float) / (u, 1)
        np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=2e-3)
        found = np.array([fit.loss, fit.trace[-1]]) / float(u) ** 2
        np.testing.assert_allclose(found, squares, rtol=1e-3)
    assert not no_data.converged and no_data.identification.identified_parameters == ()


def poisson_terms(params, data):
    rate = params.mu + params.sigma * data[0]
    return jnp.exp(rate) - data[1] * rate


def test_much_data_does_not_excuse_a_parameter_of_which_little_is_known():
    """In float32 its gradient is small beside the loss when it is a standard error away."""
    few = np.float32(np.arange(100_000) < 50)
    count = np.float32(draws(0).poisson(np.exp(3 + 0.5 * few)))
    fit = calibrate(poisson_terms, Normal(np.float32(2.5), np.float32(0)), (few, count))
    others, those = (count[few == group].mean(dtype=float) for group in (0, 1))
    error = 1 / np.sqrt(count[few == 1].sum(dtype=float))
    assert fit.converged and abs(fit.params.sigma - np.log(those / others)) < 0.05 * error
    np.testing.assert_allclose(fit.standard_errors.sigma, error, rtol=0.01)


def test_normal_sandwich_closed_form():
    x = draws(1).standard_t(6, 1000)
    fit = calibrate(normal_terms, Normal(), x, domains=SIGMA, errors="robust")
    mu, sigma = x.mean(), x.std()
    fourth = ((x - mu) ** 4).mean()
    # The sandwich of the normal likelihood: Var of the sample mean and of the sample deviation.
    expected = (sigma / np.sqrt(len(x)), np.sqrt((fourth - sigma**4) / len(x)) / (2 * sigma))
    np.testing.assert_allclose(fit.standard_errors, expected, rtol=10 * TOLERANCE)


class Logit(NamedTuple):
    slope: np.ndarray


def logit_loss(params, data):
    X, y = data
    z = X @ params.slope
    return jnp.sum(jnp.logaddexp(0.0, z) - y * z)


def logit_data():
    rng = draws(2)
    X = np.column_stack([np.ones(500), rng.normal(size=(500, 2))])
    y = (rng.uniform(size=500) < scipy.special.expit(X @ [0.3, -1.0, 0.7])).astype(float)
    return X, y


def test_logistic_regression_against_scipy():
    X, y = logit_data()

    def loss(b):
        return np.sum(np.logaddexp(0, X @ b) - y * (X @ b))

    def score(b):
        return X.T @ (scipy.special.expit(X @ b) - y)

    oracle = scipy.optimize.minimize(loss, np.zeros(3), jac=score, options={"gtol": 1e-9})
    p = scipy.special.expit(X @ oracle.x)
    covariance = np.linalg.inv((X * (p * (1 - p))[:, None]).T @ X)
    fit = calibrate(logit_loss, Logit(np.zeros(3)), (X, y))
    np.testing.assert_allclose(fit.params.slope, oracle.x, atol=max(TOLERANCE, 1e-7))
    np.testing.assert_allclose(fit.covariance, covariance, rtol=max(TOLERANCE, 1e-6), atol=1e-5)
    assert fit.names == ("slope[0]", "slope[1]", "slope[2]")
    assert fit.standard_errors.slope.shape == (3,)


def poisson_loss(params, counts):
    return jnp.sum(params["rate"] - counts * jnp.log(params["rate"]))


def test_poisson_closed_form():
    counts = draws(3).poisson(4.2, 300).astype(float)
    fit = calibrate(poisson_loss, {"rate": 1.0}, counts, domains={"rate": Positive()})
    np.testing.assert_allclose(fit.params["rate"], counts.mean(), rtol=TOLERANCE)
    expected = np.sqrt(counts.mean() / 300)
    np.testing.assert_allclose(fit.standard_errors["rate"], expected, rtol=TOLERANCE)


def multinomial_loss(params, counts):
    return -jnp.sum(counts * jnp.log(params["share"]))


def test_multinomial_on_the_simplex():
    counts = np.array([30.0, 50.0, 120.0])
    n, share = counts.sum(), counts / counts.sum()
    start = {"share": np.full(3, 1 / 3)}
    fit = calibrate(multinomial_loss, start, counts, domains={"share": Simplex()})
    np.testing.assert_allclose(fit.params["share"], share, rtol=TOLERANCE)
    covariance = (np.diag(share) - np.outer(share, share)) / n
    np.testing.assert_allclose(fit.covariance, covariance, rtol=10 * TOLERANCE, atol=1e-9)


class Line(NamedTuple):
    level: float = 0.0
    slope: float = 0.0


def line_residuals(params, data):
    x, y, weight = data
    return jnp.sqrt(weight) * (y - params.level - params.slope * x)


def line_data():
    rng = draws(4)
    x, weight = rng.normal(size=120), rng.uniform(0.5, 2.0, 120)
    return x, 1.5 - 0.4 * x + rng.normal(size=120) * np.abs(x), weight


@pytest.mark.parametrize("errors", ["classical", "robust"])
def test_weighted_least_squares_closed_form(errors):
    x, y, weight = line_data()
    X, z = np.sqrt(weight)[:, None] * np.column_stack([np.ones(120), x]), np.sqrt(weight) * y
    b = np.linalg.lstsq(X, z, rcond=None)[0]
    r, inverse = z - X @ b, np.linalg.inv(X.T @ X)
    meat = sum(r_i**2 * np.outer(x_i, x_i) for r_i, x_i in zip(r, X, strict=True))
    covariance = {
        "classical": r @ r / 118 * inverse,
        "robust": inverse @ meat @ inverse * 120 / 118,
    }[errors]
    fit = calibrate(line_residuals, Line(), (x, y, weight), loss_is="residuals", errors=errors)
    np.testing.assert_allclose(fit.params, b, rtol=TOLERANCE)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=10 * TOLERANCE)
    np.testing.assert_allclose(fit.loss, r @ r, rtol=TOLERANCE)


def rosenbrock(params, data):
    return {"a": 10 * (params["y"] - params["x"] ** 2), "b": 1 - params["x"]}


@pytest.mark.parametrize("errors", ["classical", "robust"])
def test_padding_is_no_observation(errors):
    """Data sets of unequal length, padded: the standard errors of each are those of it alone."""
    x, y, weight = line_data()
    known = np.arange(120) < np.array([[120], [30]])
    start = Line(*(np.zeros(2) for _ in Line._fields))
    data = tuple(np.broadcast_to(z, (2, 120)) for z in (x, y)) + (weight * known,)
    search = dict(loss_is="residuals", errors=errors)
    fits = calibrate_many(line_residuals, start, data, **search)
    for fit, n in zip(fits, (120, 30), strict=True):
        alone = calibrate(line_residuals, Line(), (x[:n], y[:n], weight[:n]), **search)
        np.testing.assert_allclose(fit.params, alone.params, rtol=TOLERANCE)
        np.testing.assert_allclose(fit.covariance, alone.covariance, rtol=10 * TOLERANCE)


def test_rosenbrock_perfect_fit():
    fit = calibrate(rosenbrock, {"x": -1.2, "y": 1.0}, None, loss_is="residuals")
    assert fit.converged
    np.testing.assert_allclose([fit.params["x"], fit.params["y"]], 1, rtol=TOLERANCE)
    assert len(fit.trace) < 100


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_units_of_the_loss_do_not_matter(unit):
    x, y, weight = line_data()
    data = (x, y, weight * unit)
    fit = calibrate(line_residuals, Line(), data, loss_is="residuals")
    plain = calibrate(line_residuals, Line(), (x, y, weight), loss_is="residuals")
    assert fit.converged
    np.testing.assert_allclose(fit.params, plain.params, rtol=TOLERANCE)
    np.testing.assert_allclose(fit.standard_errors, plain.standard_errors, rtol=10 * TOLERANCE)


def price_loss(params, x):
    return jnp.sum((x - params["p"]) ** 2) / 2e-12


@pytest.mark.float64  # a spread of 1e-8 of the level is below float32
def test_units_of_a_parameter_by_scale():
    x = 100 + 1e-6 * draws(5).normal(size=50)
    fit = calibrate(price_loss, {"p": 100.0}, x, domains={"p": Real(1e-6)})
    np.testing.assert_allclose(fit.params["p"], x.mean(), atol=1e-12)
    np.testing.assert_allclose(fit.standard_errors["p"], 1e-6 / np.sqrt(50), rtol=1e-6)


def walled(params, data):
    # NaN for x <= 1; the optimum 1.0001 lies just inside.
    return (jnp.sqrt(params["x"] - 1) - 0.01) ** 2 + 1.0


def test_nan_region_next_to_the_optimum():
    fit = calibrate(walled, {"x": 3.0}, None, loss_is="criterion")
    assert fit.converged, fit.reason
    np.testing.assert_allclose(fit.params["x"], 1.0001, atol=1e-7 if X64 else 1e-4)
    assert np.isnan(fit.standard_errors["x"]) and np.isnan(fit.covariance).all()


def half_dead(params, data):
    x = params["x"]
    return jnp.where(x > 0, (x - 2) ** 2 + 1, jnp.nan)


def test_bad_starts_do_not_kill_good_ones():
    fit = calibrate(
        half_dead, {"x": -1.0}, None, loss_is="criterion", num_starts=8, key=KEY, spread=2.0
    )
    assert fit.converged
    np.testing.assert_allclose(fit.params["x"], 2.0, rtol=TOLERANCE)
    assert fit.starts.reasons[0] == "loss is not finite" and not fit.starts.converged[0]
    assert fit.starts.loss[0] == np.inf and 0 < fit.starts.converged.sum() < 8
    assert fit.starts.params["x"].shape == (8,) and fit.starts.params["x"][0] == -1.0


def test_no_finite_start_is_an_error_that_names_the_values():
    with pytest.raises(ValueError, match=r"none at 8 \(params0: x=-1.0\)"):
        calibrate(
            half_dead, {"x": -1.0}, None, loss_is="criterion", num_starts=8, key=KEY, spread=0.01
        )
    with pytest.raises(ValueError, match=r"none at 1 \(params0: mu=0.0, sigma=1.0\)"):
        calibrate(normal_loss, Normal(), np.append(SAMPLE[1:], np.nan), domains=SIGMA)


def wavy(params, data):
    x = params["x"]
    return 0.05 * x**2 - jnp.cos(3 * x) + 2


def test_many_starts_find_the_global_minimum():
    fit = calibrate(wavy, {"x": 8.0}, None, loss_is="criterion", num_starts=32, key=KEY, spread=6.0)
    np.testing.assert_allclose(fit.params["x"], 0.0, atol=1e-5 if X64 else 1e-2)
    assert fit.params["x"].dtype == jnp.result_type(float)
    local = fit.starts.params["x"][0]  # from params0 itself
    assert fit.starts.converged[0] and abs(local) > 1
    assert fit.loss == fit.starts.loss.min() and len(set(np.round(fit.starts.loss, 3))) > 1


def test_frozen_lanes_are_bit_identical():
    def objective(u, data, key):
        return jnp.sum(data * (u[1:] - u[:-1] ** 2) ** 2) + jnp.sum((1 - u) ** 2) + 1

    rule = descent.Rule()
    points = jnp.array([[1.0, 1.0], [-1.9, 2.0]])
    lanes = jax.vmap(partial(descent.first_lane, rule=rule))(points)
    run = jax.jit(lambda lanes: descent.run_block(objective, rule, lanes, 100.0, KEY, 1e-6, 9, 9))
    lanes, _ = run(lanes)
    assert lanes.status[0] == descent.GRADIENT and lanes.status[1] == descent.RUNNING
    later, trace = run(lanes)
    for before, after in zip(jax.tree.leaves(lanes), jax.tree.leaves(later), strict=True):
        np.testing.assert_array_equal(before[0], after[0])
    assert np.isnan(trace[:, 0]).all() and np.isfinite(trace[:, 1]).all()
    assert later.evaluations[1] == 18 and later.loss[1] < lanes.loss[1]


def test_one_trace_for_two_calls_and_blocks():
    traces = []

    def loss(params, x):
        traces.append(1)
        return normal_loss(params, x)

    options = {"domains": SIGMA, "num_starts": 4, "key": KEY, "block_steps": 3}
    calibrate(loss, Normal(), SAMPLE, **options)
    first = len(traces)
    fit = calibrate(loss, Normal(0.5, 2.0), SAMPLE + 1, **options, max_steps=200)
    assert len(traces) == first
    np.testing.assert_allclose(fit.params.mu, SAMPLE.mean() + 1, rtol=TOLERANCE)


def test_result_does_not_depend_on_the_block_length():
    fits = [calibrate(normal_loss, Normal(), SAMPLE, domains=SIGMA, block_steps=k) for k in (1, 50)]
    np.testing.assert_allclose(fits[0].params, fits[1].params, rtol=1e-6)
    assert len(fits[0].trace) == len(fits[1].trace)


def test_step_limit():
    fit = calibrate(rosenbrock, {"x": -1.2, "y": 1.0}, None, loss_is="residuals", max_steps=7)
    assert not fit.converged and fit.reason == "step limit reached" and len(fit.trace) == 7
    assert "NOT converged: step limit reached" in str(fit)


def wrong_gradient(params, data):
    x = params["x"]
    lie = jax.lax.stop_gradient(x**2 + 2 * x) - x + jax.lax.stop_gradient(x)
    return lie + 1


def test_line_search_failure_is_said():
    fit = calibrate(wrong_gradient, {"x": 3.0}, None, loss_is="criterion")
    assert fit.reason == "line search could not improve the loss" and not fit.converged


def test_rounding_floor_is_an_optimum():
    def loss(params, x):
        return normal_loss(params, x) + 1e3

    fit = calibrate(loss, Normal(), SAMPLE, domains=SIGMA, tolerance=1e-30)
    assert fit.converged and fit.reason in (
        "loss cannot be lowered within rounding error",
        "gradient norm below tolerance",
    )
    np.testing.assert_allclose(fit.params, (SAMPLE.mean(), SAMPLE.std()), rtol=10 * TOLERANCE)


ADAM = optax.adam(0.05)
LBFGS = optax.lbfgs()


@pytest.mark.parametrize("optimizer", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_any_optax_optimizer(optimizer):
    fit = calibrate(normal_loss, Normal(), SAMPLE, domains=SIGMA, optimizer=optimizer,
                    tolerance=1e-5, max_steps=2000)  # fmt: skip
    assert fit.converged, fit.reason
    np.testing.assert_allclose(fit.params, (SAMPLE.mean(), SAMPLE.std()), rtol=1e-3)


def subsampled(params, x, key):
    rows = jax.random.choice(key, x, (100,))
    return normal_loss(params, rows) * (len(x) / 100)


DECAYING = optax.adam(optax.exponential_decay(0.1, 300, 0.1))


def test_stochastic_loss_with_adam():
    fit = calibrate(
        subsampled, Normal(), SAMPLE, domains=SIGMA, optimizer=DECAYING, stochastic=True,
        key=KEY, max_steps=900,
    )  # fmt: skip
    assert fit.reason == "step limit reached"
    # 5 standard errors of a batch of 100, averaged over the last ~300 steps.
    np.testing.assert_allclose(fit.params, (SAMPLE.mean(), SAMPLE.std()), atol=0.25)


@pytest.mark.parametrize(
    ("dtype", "num_starts"),
    [(np.float32, 3), pytest.param(np.float64, 1, marks=pytest.mark.float64)],
)
def test_dtype_follows_params0(dtype, num_starts):
    start = Normal(dtype(0), dtype(1))
    fit = calibrate(normal_loss, start, SAMPLE, domains=SIGMA, num_starts=num_starts, key=KEY)
    assert fit.converged and fit.params.mu.dtype == dtype
    assert fit.standard_errors.sigma.dtype == dtype
    rtol = 1e-3 if dtype == np.float32 else 1e-8
    np.testing.assert_allclose(fit.params, (SAMPLE.mean(), SAMPLE.std()), rtol=rtol)
    np.testing.assert_allclose(fit.standard_errors.mu, SAMPLE.std() / np.sqrt(1000), rtol=rtol)


def test_coverage_of_many_data_sets():
    sets, n = 200, 150
    x = draws(6).normal(1.0, 2.0, (sets, n))
    start = Normal(np.zeros(sets), np.ones(sets))
    fits = calibrate_many(normal_loss, start, x, domains=SIGMA, num_starts=2, key=KEY)
    assert len(fits) == sets and all(fit.converged for fit in fits)
    estimates = np.array([fit.params for fit in fits])
    np.testing.assert_allclose(estimates, np.stack([x.mean(1), x.std(1)], 1), rtol=20 * TOLERANCE)
    errors = np.array([fit.standard_errors for fit in fits])
    covered = (np.abs(estimates - [1.0, 2.0]) < 1.96 * errors).mean(0)
    # 4 binomial standard errors around 95 %.
    assert (np.abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / sets)).all()


def test_many_agrees_with_one_and_flags_the_bad():
    x = np.stack([SAMPLE, SAMPLE * 2 + 1, np.full_like(SAMPLE, np.nan)])
    start = Normal(np.array([0.0, 1.0, 0.0]), np.ones(3))
    fits = calibrate_many(normal_terms, start, x, domains=SIGMA, errors="robust")
    one = calibrate(normal_terms, Normal(1.0, 1.0), x[1], domains=SIGMA, errors="robust")
    np.testing.assert_allclose(fits[1].params, one.params, rtol=TOLERANCE)
    np.testing.assert_allclose(fits[1].covariance, one.covariance, rtol=10 * TOLERANCE, atol=1e-5)
    assert fits[1].starts.loss.shape == (1,) and str(fits[1])
    assert not fits[2].converged and fits[2].reason == "loss is not finite"
    assert np.isnan(fits[2].standard_errors).all() and fits[0].converged


def test_progress_bar(capsys):
    calibrate(normal_loss, Normal(), SAMPLE, domains=SIGMA, progress=True)
    assert "calibrate" in capsys.readouterr().err


def test_table():
    fit = calibrate(
        normal_loss, Normal(), SAMPLE, domains=SIGMA | {"mu": Fixed()}, num_starts=2, key=KEY
    )
    lines = str(fit).splitlines()
    assert lines[1].split() == ["mu", "0", "held", "fixed"]
    assert lines[2].split()[0] == "sigma" and lines[2].endswith("yes")
    assert "2 of 2 starts converged" in lines[3] and lines[4] == "identified: all parameters"
    assert fit.standard_errors.mu == 0 and fit.params.mu == 0 and fit.names == ("sigma",)
    root = np.sqrt(np.mean(SAMPLE**2))
    np.testing.assert_allclose(fit.params.sigma, root, rtol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_starts": 0}, ValueError, "num_starts: expected a whole number >= 1, got 0"),
        ({"num_starts": 2}, ValueError, "key: expected"),
        ({"num_starts": 2, "key": 0}, TypeError, "key: expected jax.random.key.seed., got 0"),
        ({"max_steps": 1.5}, ValueError, "max_steps"),
        ({"block_steps": 0}, ValueError, "block_steps"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"spread": np.nan}, ValueError, "spread"),
        ({"loss_is": "likelihood"}, ValueError, "loss_is: expected one of negative"),
        ({"errors": "white"}, ValueError, "errors: expected one of"),
        ({"errors": "robust"}, ValueError, "one number"),
        ({"optimizer": "adam"}, TypeError, "optimizer"),
        ({"stochastic": True, "key": KEY}, ValueError, "optimizer"),
        ({"domains": {"s": Positive()}}, ValueError, "expected names among mu, sigma, got 's'"),
        ({"domains": {"sigma": Interval(2.0, 3.0)}}, ValueError, "sigma: expected a value inside"),
        ({"domains": {"mu": UnitInterval()}}, ValueError, "mu: expected a value inside"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        calibrate(normal_loss, Normal(), SAMPLE, **options)


def test_bad_input():
    with pytest.raises(ValueError, match="sigma: expected .* got nan"):
        calibrate(normal_loss, Normal(0.0, np.nan), SAMPLE, domains=SIGMA)
    with pytest.raises(TypeError, match="data: expected arrays of numbers, got 'tape.csv'"):
        calibrate(normal_loss, Normal(), "tape.csv")
    with pytest.raises(TypeError, match="loss: expected a function"):
        calibrate(3.0, Normal(), SAMPLE)
    with pytest.raises(ValueError, match="expected a scalar for 'criterion', got 1000"):
        calibrate(normal_terms, Normal(), SAMPLE, loss_is="criterion")
    with pytest.raises(TypeError, match="loss: expected an array of floats"):
        calibrate(lambda params, x: None, Normal(), SAMPLE)
    with pytest.raises(TypeError, match="got tracers.*outside"):
        jax.jit(lambda mu: calibrate(normal_loss, Normal(mu), SAMPLE).params.mu)(0.0)
    with pytest.raises(ValueError, match="one leading axis"):
        calibrate_many(normal_loss, Normal(np.zeros(2), np.ones(3)), SAMPLE)
    with pytest.raises(ValueError, match="sigma"):
        calibrate_many(
            normal_loss, Normal(np.zeros(2), np.array([1.0, -1.0])), SAMPLE.reshape(2, -1),
            domains=SIGMA,
        )  # fmt: skip


@pytest.mark.float64
def test_a_wild_start_does_not_excuse_a_poor_end():
    """From s = 1e-12 the loss falls by 26 decades: only the optimum counts as converged."""
    fit = calibrate(normal_loss, Normal(0.0, 1e-12), SAMPLE, domains=SIGMA)
    assert fit.converged and fit.reason == "gradient norm below tolerance"
    sigma = SAMPLE.std()
    np.testing.assert_allclose(fit.params, (SAMPLE.mean(), sigma), rtol=1e-8)
    np.testing.assert_allclose(fit.standard_errors.sigma, sigma / np.sqrt(2000), rtol=1e-6)
