"""What cannot be learnt from the data is named, and never given a standard error."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.calibrate import Fixed, Interval, Positive, Real, Simplex, UnitInterval, calibrate

X64 = jax.config.jax_enable_x64
SAMPLE = np.random.default_rng(7).normal(0.5, 3.0, 400)


class Three(NamedTuple):
    a: float = 1.0
    b: float = 2.0
    mu: float = 0.0


POSITIVE = {"a": Positive(), "b": Positive()}


def scale_loss(combination):
    """Normal likelihood whose scale is a combination of the parameters."""

    def loss(p, x):
        s = combination(p)
        return jnp.sum(0.5 * ((x - p.mu) / s) ** 2 + jnp.log(s))

    return loss


def power_loss(p, data):
    """The powers are data, so that one program serves all of them."""
    x, powers = data
    return scale_loss(lambda p: p.a ** powers[0] * p.b ** powers[1])(p, x)


@pytest.mark.parametrize(
    ("powers", "identified", "direction"),
    [
        ((1.0, 1.0), "a · b", "a up 1 % with b down 1 %"),
        ((1.0, -1.0), "a / b", "a up 1 % with b up 1 %"),
        ((2.0, 1.0), "a^2 · b", "a up 1 % with b down 2 %"),
        ((0.5, -1.0), "a / b^2", "a up 2 % with b up 1 %"),
    ],
)
def test_products_of_powers(powers, identified, direction):
    data = (SAMPLE, np.array(powers))
    fit = calibrate(power_loss, Three(), data, domains=POSITIVE)
    known = fit.identification
    assert fit.converged and known.is_minimum and known.rank == 2
    assert known.not_identified == (direction,)
    assert known.identified == (identified, "mu")
    assert known.identified_parameters == ("mu",)
    assert np.isnan(fit.standard_errors.a) and np.isnan(fit.standard_errors.b)
    # mu is as well known as if the scale had one parameter.
    expected = SAMPLE.std() / np.sqrt(len(SAMPLE))
    np.testing.assert_allclose(fit.standard_errors.mu, expected, rtol=1e-6 if X64 else 1e-3)
    assert np.isnan(fit.covariance[0]).all() and np.isnan(fit.covariance[:, 1]).all()
    assert f"not identified: {direction} leaves the fit unchanged" in str(fit)
    assert f"identified: {identified}, mu" in str(known)


def test_fixing_one_identifies_the_other():
    loss = scale_loss(lambda p: p.a * p.b)
    fit = calibrate(loss, Three(), SAMPLE, domains=POSITIVE | {"b": Fixed()})
    assert fit.identification.not_identified == () and fit.params.b == 2.0
    np.testing.assert_allclose(fit.params.a, SAMPLE.std() / 2, rtol=1e-4)


class Kyle(NamedTuple):
    sigma_v: float = 2.0
    sigma_u: float = 5.0
    p_0: float = 100.0


def one_auction(params, data):
    flow, change = data
    return change - params.sigma_v / (2 * params.sigma_u) * flow


def test_kyle_impact_identifies_the_ratio_only():
    rng = np.random.default_rng(8)
    flow = rng.normal(size=200)
    change = 0.3 * flow + 0.1 * rng.normal(size=200)
    fit = calibrate(
        one_auction,
        Kyle(),
        (flow, change),
        domains={"sigma_v": Positive(), "sigma_u": Positive(), "p_0": Real(100.0)},
        loss_is="residuals",
    )
    known = fit.identification
    assert known.not_identified == ("sigma_v up 1 % with sigma_u up 1 %", "p_0 up 1")
    assert known.identified == ("sigma_v / sigma_u",) and known.rank == 1
    assert np.isnan(fit.standard_errors).all()
    impact = fit.params.sigma_v / (2 * fit.params.sigma_u)
    np.testing.assert_allclose(impact, flow @ change / (flow @ flow), rtol=1e-6 if X64 else 1e-3)


def sum_of_two(params, x):
    return x - params["a"] - params["b"]


def test_linear_parameters_combine_as_sums():
    fit = calibrate(sum_of_two, {"a": 1.0, "b": 2.0}, SAMPLE, loss_is="residuals")
    assert fit.identification.identified == ("a + b",)
    assert fit.identification.not_identified == ("a up 0.01 with b down 0.01",)
    scaled = calibrate(
        sum_of_two, {"a": 1.0, "b": 2.0}, SAMPLE, loss_is="residuals", domains={"a": Real(100.0)}
    )
    assert scaled.identification.identified == ("a + b",)


def mixed(params, x):
    return x - jnp.log(params["a"]) - 2 * params["m"]


def test_mixed_domains():
    fit = calibrate(
        mixed, {"a": 1.0, "m": 0.0}, SAMPLE, loss_is="residuals", domains={"a": Positive()}
    )
    assert fit.identification.identified == ("log(a) + 2 m",)


def test_curved_valley_of_a_likelihood():
    # a + b is identified; in logs the valley bends, so the Hessian is only flat at the optimum.
    fit = calibrate(scale_loss(lambda p: p.a + p.b), Three(), SAMPLE, domains=POSITIVE)
    known = fit.identification
    assert known.rank == 2 and len(known.not_identified) == 1
    a, b = fit.params.a, fit.params.b
    direction = known.flat_directions[0]
    np.testing.assert_allclose(direction[0] * a + direction[1] * b, 0, atol=1e-3 * (a + b))


def test_nothing_is_identified():
    fit = calibrate(
        lambda p, x: jnp.sum(x**2) + 0 * p["a"], {"a": 1.0}, SAMPLE, domains={"a": Positive()}
    )
    assert fit.identification.rank == 0
    assert str(fit.identification) == (
        "not identified: a up 1 % leaves the fit unchanged; identified: nothing"
    )


def test_saddle_is_not_a_minimum():
    fit = calibrate(lambda p, _: p["x"] ** 2 - p["y"] ** 2 + 1, {"x": 1.0, "y": 0.0}, None)
    assert not fit.identification.is_minimum and "not a minimum" in str(fit)
    assert not fit.converged and fit.reason == "stationary, but no minimum: start elsewhere"
    assert np.isnan(fit.standard_errors["y"]) and np.isfinite(fit.standard_errors["x"])


@pytest.mark.float64  # float32 cannot hold the two scales
def test_badly_scaled_is_not_unidentified():
    X = np.random.default_rng(9).normal(size=(100, 2)) * [1e-5, 1e4]
    y = X @ [2.0, 3.0] + np.random.default_rng(10).normal(size=100) * 1e-5
    domains = {"b": Real(1e5), "c": Real(1e-4)}
    fit = calibrate(
        lambda p, data: data[1] - data[0] @ jnp.stack([p["b"], p["c"]]),
        {"b": 0.0, "c": 0.0},
        (X, y),
        loss_is="residuals",
        domains=domains,
    )
    assert fit.identification.rank == 2
    oracle = np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose([fit.params["b"], fit.params["c"]], oracle, rtol=1e-5)
    s2 = np.sum((y - X @ oracle) ** 2) / 98
    np.testing.assert_allclose(fit.covariance, s2 * np.linalg.inv(X.T @ X), rtol=1e-5)


def coin(params, heads):
    alpha = params["alpha"]
    return -jnp.sum(heads * jnp.log(alpha) + (1 - heads) * jnp.log1p(-alpha)) + (
        jnp.sum(0.5 * (params["mu"] - heads) ** 2)
    )


@pytest.mark.parametrize("domain", [UnitInterval(), Interval(0.0, 0.4)], ids=repr)
def test_boundary_solution_is_reported(domain):
    heads = np.zeros(50) if domain == UnitInterval() else np.ones(50)
    fit = calibrate(coin, {"alpha": 0.3, "mu": 0.0}, heads, domains={"alpha": domain})
    assert fit.converged
    assert fit.identification.at_edge == ("alpha",) and "at edge" in str(fit)
    assert np.isnan(fit.standard_errors["alpha"])
    np.testing.assert_allclose(fit.standard_errors["mu"], 1 / np.sqrt(50), rtol=1e-3)


def test_simplex_share_at_the_edge():
    counts = np.array([30.0, 0.0, 70.0])
    fit = calibrate(
        lambda p, n: -jnp.sum(n * jnp.log(p["w"])),
        {"w": np.full(3, 1 / 3)},
        counts,
        domains={"w": Simplex()},
    )
    assert fit.identification.at_edge == ("w[1]",)
    np.testing.assert_allclose(fit.params["w"], [0.3, 0.0, 0.7], atol=1e-2)
    expected = np.sqrt(0.3 * 0.7 / 100)
    np.testing.assert_allclose(fit.standard_errors["w"], [expected, np.nan, expected], rtol=2e-2)


def test_as_many_parameters_as_residuals_leaves_no_error():
    fit = calibrate(lambda p, y: y - p["m"], {"m": np.zeros(2)}, np.array([1.0, 2.0]),
                    loss_is="residuals")  # fmt: skip
    assert fit.identification.rank == 2 and np.isnan(fit.standard_errors["m"]).all()
