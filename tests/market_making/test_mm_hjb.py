"""The grid solver: against the exact solution, and against an ODE solved and maximised by scipy."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from diffeq.market_making import exponential, hjb, optimum
from diffeq.market_making.intensities import Exponential, Logistic, PowerLaw
from diffeq.market_making.model import Params

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
CLOSE = 1e-8 if EPS < 1e-10 else 1e-3
TIMES = np.array([0.0, 0.6, 1.0])
POWER, LOGISTIC = PowerLaw(60.0, 0.8, 2.5), Logistic(100.0, 2.0, 0.4)


def assert_same(found: Any, exact: Any, k: float, tolerance: float = CLOSE) -> None:
    """log w = k theta, and both depths, to an absolute tolerance."""
    size = 1 + 100 * EPS / tolerance * float(np.abs(exact.theta).max())
    np.testing.assert_allclose(found.theta, exact.theta, atol=tolerance / k * size)
    np.testing.assert_allclose(found.delta_b[:, :-1], exact.delta_b[:, :-1], atol=tolerance / k)
    np.testing.assert_allclose(found.delta_a[:, 1:], exact.delta_a[:, 1:], atol=tolerance / k)
    assert np.isinf(found.delta_b[:, -1]).all() and np.isinf(found.delta_a[:, 0]).all()


@pytest.mark.parametrize("Q", [1, 50])
@pytest.mark.parametrize(
    ("objective", "params"),
    [
        ("cara", dict()),
        ("cara", dict(gamma=1.0, drift=2.0, eps=0.1, A=(100.0, 180.0))),
        ("penalty", dict(A=10.0, phi_T=25 / 1.5 / 101)),
        ("penalty", dict(phi=1.0, phi_T=0.05, eps=-0.05)),
        ("penalty", dict(A=1.0, phi=50.0)),  # inventories at the edge are sold at any price
    ],
)
def test_exponential_fills_exactly(Q: int, objective: str, params: dict[str, Any]) -> None:
    """Within 1e-8 of the exact path for exponents of the terminal layer up to 25."""
    shape: Any = dict(max_inventory=Q, times=TIMES, objective=objective)
    found, exact = (way.solve(Params(**params), **shape) for way in (hjb, exponential))
    assert bool(found.info.converged)
    assert_same(found, exact, 1.5)


@pytest.mark.float64
@pytest.mark.parametrize("exponent", [60.0, 150.0, 300.0, 700.0, 5000.0])
def test_beyond_its_range_it_is_right_or_flagged(exponent: float) -> None:
    """Terminal layers from e^60 on: never a wrong number."""
    params = Params(A=10.0, phi_T=exponent / 1.5 / 101)
    shape: Any = dict(max_inventory=50, times=TIMES, objective="penalty")
    found = hjb.solve(params, **shape)
    if bool(found.info.converged):
        assert_same(found, exponential.solve(params, **shape), 1.5)
    else:
        assert np.isnan(found.theta).all()
        assert exponent > 25
    if exponent >= 700:  # e^700 fills per unit of time leave the floating range
        assert not bool(found.info.converged)


def by_scipy(rates: Any, Q: int, gamma: float, risk: float, phi_T: float, eps: float) -> np.ndarray:
    """theta(t, q) by DOP853, every maximum by golden section on the definition of H."""
    q = np.arange(-Q, Q + 1)
    golden = (np.sqrt(5) - 1) / 2

    def H(rate: Any, p: np.ndarray) -> np.ndarray:
        def gain(x: np.ndarray) -> np.ndarray:
            return rate(p + x) * (-np.expm1(-gamma * x) / gamma if gamma else x)

        low, high = np.zeros_like(p), np.full_like(p, 30.0)
        for _ in range(45):  # to 1e-8 in x: 1e-16 in the maximum
            a, b = high - golden * (high - low), low + golden * (high - low)
            better = gain(a) > gain(b)
            low, high = np.where(better, low, a), np.where(better, b, high)
        return gain((low + high) / 2)

    def slope(_: float, theta: np.ndarray) -> np.ndarray:
        out = -risk * q**2.0
        out[:-1] += H(rates[0], theta[:-1] - theta[1:] + (q[:-1] + 1) * eps)
        out[1:] += H(rates[1], theta[1:] - theta[:-1] - (q[1:] - 1) * eps)
        return out

    run = integrate.solve_ivp(
        slope, (0, 1), -phi_T * q**2.0, "DOP853", t_eval=1 - TIMES[::-1], rtol=1e-12, atol=1e-12
    )
    return run.y.T[::-1]


def power(d: np.ndarray) -> np.ndarray:
    return 60.0 * (1 + d / 0.8) ** -2.5


def logistic(d: np.ndarray) -> np.ndarray:
    return 100.0 / (1 + np.exp(2.0 * (d - 0.4)))


def falling(A: float, k: float) -> Any:
    def rate(d: np.ndarray) -> np.ndarray:
        return A * np.exp(-k * d)

    rate.k = k  # type: ignore[attr-defined]
    return rate


HAZARDS = {  # −Lambda/Lambda', by hand
    "power": lambda d: (0.8 + d) / 2.5,
    "logistic": lambda d: (1 + np.exp(-2.0 * (d - 0.4))) / 2.0,
}


@pytest.mark.float64
@pytest.mark.parametrize(
    ("intensity", "rates", "params", "objective"),
    [
        (POWER, (power, power), dict(gamma=0.1, phi_T=0.01), "cara"),
        (LOGISTIC, (logistic, logistic), dict(gamma=0.5, phi_T=0.1, eps=0.05), "cara"),
        (None, (falling(90.0, 1.2), falling(150.0, 1.8)), dict(gamma=0.2, eps=0.1), "cara"),
        ((LOGISTIC, POWER), (logistic, power), dict(phi=0.3, phi_T=0.02), "penalty"),
    ],
)
def test_any_intensity_against_scipy(
    intensity: Any, rates: Any, params: dict[str, Any], objective: str
) -> None:
    """theta to 1e-8; every first-order condition, by hand, to 1e-12."""
    Q = 3
    params = Params(**(dict(A=(90.0, 150.0), k=(1.2, 1.8)) | params))
    shape: Any = dict(max_inventory=Q, times=TIMES, objective=objective, intensity=intensity)
    found = optimum.solve(params, **shape)
    assert bool(found.info.converged)
    gamma = params.gamma if objective == "cara" else 0.0
    risk = gamma * params.sigma**2 / 2 if objective == "cara" else params.phi
    expected = by_scipy(rates, Q, gamma, risk, params.phi_T, params.eps)
    np.testing.assert_allclose(found.theta, expected, atol=1e-8)
    q, fall = np.arange(-Q, Q), -np.diff(found.theta, axis=1)
    p_b, p_a = fall + (q + 1) * params.eps, -fall - q * params.eps
    for rate, p, depth in (
        (rates[0], p_b, np.asarray(found.delta_b)[:, :-1]),
        (rates[1], p_a, np.asarray(found.delta_a)[:, 1:]),
    ):
        m = HAZARDS[rate.__name__](depth) if rate.__name__ in HAZARDS else 1 / rate.k
        wanted = np.log1p(gamma * m) / gamma if gamma else m
        np.testing.assert_allclose((depth - p) / wanted, 1, atol=1e-12)


@pytest.mark.float64
def test_the_equations_hold() -> None:
    """The residual, which differentiates the solution in the horizon, sees them fulfilled."""
    params = Params(phi=0.3, phi_T=0.02, eps=0.05)
    left = optimum.residual(
        params, max_inventory=2, times=TIMES, objective="penalty", intensity=POWER
    )
    assert max(float(jnp.max(x)) for x in (left.bid, left.ask, left.terminal)) < 1e-12
    assert float(jnp.max(left.equation)) < 1e-9
    quiet, none = params._replace(phi=0.05), POWER._replace(A=0.0)
    nothing = optimum.residual(
        quiet, max_inventory=2, times=TIMES, objective="penalty", intensity=none
    )
    assert float(jnp.max(nothing.equation)) < 1e-9  # 0 = 0 at q = 0


@pytest.mark.float64
def test_derivatives_three_ways() -> None:
    """In parameters of the model, the intensity, the floor: forward = reverse, differences."""

    def quotes(x: Any) -> jax.Array:
        params = Params(sigma=2.0, gamma=x[0], phi_T=0.2, drift=x[1], eps=x[2])
        intensity = Exponential(140.0, x[3]), Logistic(100.0, 2.0, x[4])
        times = jnp.stack([0 * x[5], x[5]])
        found = hjb.solve(
            params, max_inventory=2, times=times, intensity=intensity, depth_floor=x[6]
        )
        return jnp.concatenate([found.theta, found.delta_b[:, :-1], found.delta_a[:, 1:]], axis=1)

    x = np.array([0.1, 0.5, 0.05, 1.5, 0.4, 1.0, 0.3])
    forward, reverse = helpers.forward_and_reverse(quotes, x)
    helpers.assert_close_by_norm(forward, reverse, 1e-11)
    # steps are chosen by an error estimate: the value jumps by 1e-10 as x moves
    helpers.assert_close_by_norm(forward, helpers.differences(jax.jit(quotes), x, 3e-3), 1e-6)
    assert (np.abs(forward[..., 6]) > 0).any(), "the floor binds somewhere"


def test_a_function_closes_over_what_it_is_differentiated_in() -> None:
    """A plain function is as good as a pytree, and its closed-over number has a derivative."""

    def at_zero(A: Any) -> jax.Array:
        rate = lambda depth: A * jnp.exp(-1.5 * depth)  # noqa: E731
        return hjb.solve(Params(), max_inventory=1, times=TIMES, intensity=rate).theta[0, 1]

    value, slope = jax.jit(jax.value_and_grad(at_zero))(140.0)

    def exact(A: Any) -> jax.Array:
        return exponential.solve(Params(A=A), max_inventory=1, times=TIMES).theta[0, 1]

    expected, expected_slope = jax.jvp(exact, (140.0,), (1.0,))
    np.testing.assert_allclose(value, expected, rtol=CLOSE)
    np.testing.assert_allclose(slope, expected_slope, rtol=100 * CLOSE)


def test_a_floor_binds_where_it_should_and_saves_an_ill_posed_problem() -> None:
    """Below d_0 a power law has no best depth: flagged; with a floor the floor is quoted."""
    shape: Any = dict(max_inventory=3, times=TIMES, objective="penalty", intensity=POWER)
    params = Params(phi_T=1.0)
    assert not bool(hjb.solve(params, **shape).info.converged)
    floored = hjb.solve(params, depth_floor=-0.3, **shape)
    assert bool(floored.info.converged)
    assert float(jnp.min(floored.delta_b)) == pytest.approx(-0.3, rel=10 * EPS)
    far = hjb.solve(Params(), depth_floor=-50.0, max_inventory=3, times=TIMES, intensity=LOGISTIC)
    free = hjb.solve(Params(), max_inventory=3, times=TIMES, intensity=LOGISTIC)
    np.testing.assert_allclose(far.theta, free.theta, rtol=1e4 * EPS)


def test_bad_lanes_fail_alone() -> None:
    """NaN in value and every derivative of the lanes out of domain; the others keep their bits."""

    def theta(A: jax.Array) -> Any:
        found = hjb.solve(Params(A=A), max_inventory=1, times=TIMES)
        return found.theta[0, 0], found.info.converged

    @jax.jit
    @jax.vmap
    def run(A: jax.Array) -> Any:
        value, slope, ok = jax.jvp(theta, (A,), (jnp.ones_like(A),), has_aux=True)
        return (value, ok), slope

    (value, ok), slope = run(jnp.asarray([140.0, -1.0, jnp.nan, 90.0]))
    assert ok.tolist() == [True, False, False, True]
    assert np.isnan(value).tolist() == np.isnan(slope).tolist() == [False, True, True, False]
    (alone, _), alone_slope = run(jnp.asarray([140.0, 90.0, 90.0, 90.0]))
    helpers.assert_same_bits((alone[:2], alone_slope[:2]), (value[::3], slope[::3]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(intensity=lambda d: 1 + d), "intensity"),
        (dict(intensity=lambda d: -jnp.exp(-d)), "intensity"),
        (dict(intensity=3.0), "intensity"),
        (dict(depth_floor=np.nan), "depth_floor"),
        (dict(times=[0.0, 0.0]), "times"),
        (dict(times=[]), "times"),
        (dict(max_inventory=0), "max_inventory"),
        (dict(objective="mean"), "objective"),
        (dict(params=Params(A=-1.0)), "Params.A"),
        (dict(params=Params(k=(1.5, 0.0))), "Params.k"),
        (dict(params=Params(phi=1.0)), "Params.phi"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], message: str) -> None:
    """Concrete bad arguments raise with the name of the culprit."""
    good: dict[str, Any] = dict(params=Params(), max_inventory=2, times=[0.0, 1.0])
    with pytest.raises((ValueError, TypeError), match=message):
        optimum.solve(**(good | arguments))
