"""Discrete time: the Bellman equation by brute force, and continuous time in the limit."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy import optimize

from diffeq.market_making import bellman, exponential
from diffeq.market_making.intensities import Logistic
from diffeq.market_making.model import Params

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
CARA = Params(A=40.0, phi_T=0.05, drift=0.5, eps=0.02, gamma=0.2)
PENALTY = Params(A=(40.0, 30.0), k=(1.5, 1.2), phi=0.3, phi_T=0.1, drift=0.5, eps=0.02, gamma=0.0)
LAW = Logistic(60.0, 1.7, 0.3)


def brute(params: Params, rates: Any, times: Any, Q: int, cara: bool) -> Any:
    """Expected utility itself, one side at a time, maximised numerically; theta and depths."""
    gamma = params.gamma if cara else 0.0
    risk = gamma * params.sigma**2 / 2 if cara else params.phi
    q = np.arange(-Q, Q + 1)
    theta = -params.phi_T * q**2.0
    for dt in np.diff(times)[::-1]:
        new, depths = theta + (params.drift * q - risk * q**2) * dt, np.full((2, 2 * Q + 1), np.inf)
        for i in range(2 * Q + 1):
            for side, to in ((0, i + 1), (1, i - 1)):
                if not 0 <= to <= 2 * Q:
                    continue
                pushed = (-params.eps if side == 0 else params.eps) * q[to]

                pushed += theta[to] - theta[i]

                def worth(d: float, dt: Any = dt, side: int = side, pushed: Any = pushed) -> Any:
                    chance = 1 - np.exp(-rates[side](d) * dt)
                    won = d + pushed
                    if not gamma:
                        return chance * won
                    return -np.log(1 - chance * (1 - np.exp(-gamma * won))) / gamma

                best = optimize.minimize_scalar(
                    lambda d: -worth(d), bounds=(-3, 8), method="bounded", options=dict(xatol=1e-11)
                )
                depths[side, i], new[i] = best.x, new[i] - best.fun
        theta = new
    return theta, depths


@pytest.mark.parametrize("case", ["cara", "penalty", "logistic"])
def test_against_brute_force(case: str) -> None:
    """Three unequal steps on five inventories, by maximising expected utility numerically."""
    params, objective = (PENALTY, "penalty") if case == "penalty" else (CARA, "cara")
    times, law = np.array([0.0, 0.01, 0.03, 0.04]), LAW if case == "logistic" else None
    found = bellman.solve(params, max_inventory=2, times=times, objective=objective, intensity=law)
    A, k = np.broadcast_to(params.A, 2), np.broadcast_to(params.k, 2)
    rates: Any = [lambda d, A=A, k=k: A * np.exp(-k * d) for A, k in zip(A, k, strict=True)]
    if law is not None:
        rates = [lambda d: 60 / (1 + np.exp(1.7 * (d - 0.3)))] * 2
    theta, depths = brute(params, rates, times, 2, objective == "cara")
    assert bool(found.info.converged) and float(found.info.residual) <= 100 * EPS
    np.testing.assert_allclose(found.theta[0], theta, atol=max(1e-12, 100 * EPS))
    np.testing.assert_allclose(found.delta_b[0], depths[0], atol=max(1e-5, 100 * EPS))
    np.testing.assert_allclose(found.delta_a[0], depths[1], atol=max(1e-5, 100 * EPS))


@pytest.mark.float64
@pytest.mark.parametrize(
    ("objective", "counts"), [("cara", (160, 320, 640)), ("penalty", (160, 320))]
)
def test_errors_halve_with_the_step(objective: str, counts: tuple[int, ...]) -> None:
    """Against the exact solution of continuous time, theta and quotes, at several steps."""
    params = CARA if objective == "cara" else PENALTY._replace(A=40.0, k=1.5)
    shape: Any = dict(max_inventory=5, objective=objective)
    exact = exponential.solve(params, times=[0.0, 0.2], **shape)

    def errors(steps: int) -> Any:
        found = bellman.solve(params, times=np.linspace(0, 0.2, steps + 1), **shape)
        np.testing.assert_allclose(found.delta_b[-1], exact.delta_b[-1], rtol=1e-13)
        gap = found.theta[0] - exact.theta[0], (found.delta_b - exact.delta_b[:1])[0, :-1]
        return np.array([np.abs(x).max() for x in gap])

    at = [errors(steps) for steps in counts]
    assert at[0].max() < 0.5
    for coarse, fine, slack in zip(at[:-1], at[1:], (0.06, 0.03), strict=False):
        np.testing.assert_allclose(coarse / fine, 2, atol=slack)


@jax.jit
def slopes(x: jax.Array) -> Any:
    """Value and quotes two steps from the end with both their Jacobians, and whether it is good."""

    def fields(x: jax.Array) -> Any:
        params = Params(x[0], x[1:3], x[3:5], x[5], 0.0, x[6], x[7], x[8])
        found = bellman.solve(params, max_inventory=2, times=np.array([0.0, 0.01, 0.03]))
        return jnp.concatenate([found.theta[0], found.delta_b[0, :-1], found.delta_a[0, 1:]])

    return helpers.jacobians(fields)(x)


POINT = np.array([2.0, 40.0, 30.0, 1.5, 1.2, 0.2, 0.05, 0.5, 0.02])


@pytest.mark.float64
def test_derivatives() -> None:
    """Forward = reverse, and differences, in every parameter; the root of each step is implicit."""
    helpers.assert_derivatives(slopes, POINT, modes=1e-12, steps=1e-8)


@pytest.mark.parametrize("entry", [0, 1, 4, 5])
def test_bad_lanes_are_nan(entry: int) -> None:
    """A traced sigma, A, k or gamma < 0: NaN in value and in every derivative of both modes."""
    for at in (POINT, np.where(np.arange(9) == entry, -1.0, POINT)):
        bad = at[entry] < 0
        for x in slopes(jnp.asarray(at, float)):
            assert np.isnan(x).all() if bad else np.isfinite(x).all()


@pytest.mark.float64
def test_a_terminal_penalty_far_beyond_the_spread() -> None:
    """Fills all but certain, worth far more than the spread: by mpmath."""
    params, dt = Params(A=140.0, phi_T=50.0), 0.05
    found = bellman.solve(params, max_inventory=8, times=[0.0, dt])
    assert bool(found.info.converged)
    with mp.workdps(80):  # one step, q = 8: the ask alone, in the chance's complement e^−u
        saved = mp.mpf(50 * (64 - 49))

        def worth(depth: Any) -> Any:
            missed = mp.exp(-140 * mp.exp(-mp.mpf("1.5") * depth) * mp.mpf("0.05"))
            return -10 * mp.log(missed + (1 - missed) * mp.exp(-(depth + saved) / 10))

        depth = mp.findroot(lambda d: mp.diff(worth, d), mp.mpf(float(found.delta_a[0, -1])))
        assert worth(depth) > max(worth(depth - 0.1), worth(depth + 0.1))
        value = worth(depth) - 50 * 64 - mp.mpf("0.2") * 64 * mp.mpf("0.05")
    np.testing.assert_allclose(found.delta_a[0, -1], float(depth), rtol=1e-10)
    np.testing.assert_allclose(found.theta[0, -1], float(value), rtol=1e-13)


def test_bad_input_is_named() -> None:
    """Concrete arguments out of domain raise."""
    for params, times, message in (
        (CARA, [0.1, 0.0], "times"),
        (CARA._replace(phi=1.0), [0.0, 0.1], "Params.phi"),
        (CARA._replace(k=0.0), [0.0, 0.1], "Params.k"),
    ):
        with pytest.raises(ValueError, match=message):
            bellman.solve(params, max_inventory=2, times=times)
