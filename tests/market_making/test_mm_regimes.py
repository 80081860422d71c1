"""Regimes: against scipy's integration of the equations, separate exact solutions, differences."""

import functools
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from diffeq.market_making import exponential, regimes
from diffeq.market_making.model import Params
from solvers import ode

X64 = jax.config.jax_enable_x64
CLOSE = 1e-8 if X64 else 3e-3
Q, R, N = 2, 2, 5
X = np.array([1.0, 3.0, 14.0, 6.0, 1.5, 1.2, 0.3, 0.1, 0.2, 0.3, -0.2, 0.05, 2.0, 5.0, 1.0])
"""sigma, A, k of both; gamma; phi_T, drift of both; eps; g_12, g_21; T."""


def outputs(x: Any) -> jax.Array:
    """theta, bids, asks at t = 0 and whether it converged: one program for all tests."""
    params = Params(
        sigma=x[:2], A=x[2:4], k=x[4:6], gamma=x[6], phi_T=x[7:9], drift=x[9:11], eps=x[11]
    )
    generator = jnp.stack([jnp.stack([-x[12], x[12]]), jnp.stack([x[13], -x[13]])])
    found = regimes.solve(
        params, generator=generator, max_inventory=Q, times=jnp.stack([0 * x[14], x[14]])
    )
    parts = found.theta[:, 0], found.delta_b[:, 0, :-1], found.delta_a[:, 0, 1:]
    flag = found.info.converged.astype(x.dtype)[None]
    return jnp.concatenate([part.ravel() for part in (*parts, flag)])


compiled = jax.jit(helpers.jacobians(outputs) if X64 else lambda x: (outputs(x),))


@functools.cache
def solved(*x: float) -> tuple[np.ndarray, ...]:
    values = np.asarray(compiled(jnp.asarray(x, float))[0], np.float64)
    assert values[-1] == 1
    theta, rest = values[: R * N].reshape(R, N), values[R * N : -1].reshape(2, R, N - 1)
    return theta, rest[0], rest[1]


def by_scipy(x: np.ndarray) -> np.ndarray:
    """theta(0, q) of both regimes, the equations written out, exponential fills in closed form."""
    sigma, A, k, gamma, phi_T, mu, eps = x[:2], x[2:4], x[4:6], x[6], x[7:9], x[9:11], x[11]
    g, q = np.array([[-x[12], x[12]], [x[13], -x[13]]]), np.arange(-Q, Q + 1)

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        theta, out = y.reshape(R, N), []
        for i in range(R):
            c = 1 / k[i] if gamma == 0 else np.log(1 + gamma / k[i]) / gamma
            H = lambda p, i=i, c=c: A[i] * np.exp(-k[i] * (p + c)) / (k[i] + gamma)  # noqa: E731
            total = mu[i] * q - gamma * sigma[i] ** 2 / 2 * q**2
            total[:-1] += H(theta[i, :-1] - theta[i, 1:] + (q[:-1] + 1) * eps)
            total[1:] += H(theta[i, 1:] - theta[i, :-1] - (q[1:] - 1) * eps)
            for j in range(R):
                d = theta[j] - theta[i]
                total += g[i, j] * (d if gamma == 0 else (1 - np.exp(-gamma * d)) / gamma)
            out.append(total)
        return np.concatenate(out)

    start = (-phi_T[:, None] * q**2).ravel()
    run = integrate.solve_ivp(slope, (0, x[14]), start, method="DOP853", rtol=1e-12, atol=1e-13)
    return run.y[:, -1].reshape(R, N)


@pytest.mark.parametrize(
    "change",
    [{}, {6: 0.0}, {6: 2.0, 8: 1.5}, {2: 140.0, 12: 0.0, 13: 40.0}],
    ids=["plain", "risk neutral", "costly end in one", "one-way, fast"],
)
def test_against_scipy(change: dict[int, float]) -> None:
    """theta, and the quotes its differences make."""
    x = X.copy()
    x[list(change)] = list(change.values())
    theta, bids, asks = solved(*x)
    expected = by_scipy(x)
    np.testing.assert_allclose(theta, expected, rtol=CLOSE, atol=CLOSE)
    q, k, gamma = np.arange(-Q, Q + 1), x[4:6, None], x[6]
    c = np.log1p(gamma / k) / gamma if gamma else 1 / k
    up = -np.diff(expected, axis=1)
    np.testing.assert_allclose(bids, up + c + (q[:-1] + 1) * x[11], atol=CLOSE)
    np.testing.assert_allclose(asks, c - up - (q[1:] - 1) * x[11], atol=CLOSE)


def alone(x: np.ndarray, i: int) -> Any:
    """Regime i by itself, from the exact solution."""
    one = dict(sigma=x[i], A=x[2 + i], k=x[4 + i], phi_T=x[7 + i], drift=x[9 + i])
    return exponential.solve(
        Params(gamma=x[6], eps=x[11], **one), max_inventory=Q, times=[0.0, x[14]]
    )


@pytest.mark.parametrize("same", [True, False], ids=["equal parameters", "no jumps"])
def test_regimes_that_do_not_matter(same: bool) -> None:
    """Equal in all parameters, whatever the jumps; or never left: each by itself, to 1e-10."""
    x = X.copy()
    if same:
        x[[1, 3, 5, 8, 10]] = x[[0, 2, 4, 7, 9]]
    else:
        x[[12, 13]] = 0
    theta, bids, asks = solved(*x)
    close = 1e-10 if X64 else 3e-3
    for i in range(R):
        one = alone(x, i)
        np.testing.assert_allclose(theta[i], one.theta[0], rtol=0, atol=close)
        np.testing.assert_allclose(bids[i], one.delta_b[0, :-1], rtol=0, atol=close)
        np.testing.assert_allclose(asks[i], one.delta_a[0, 1:], rtol=0, atol=close)


@pytest.mark.float64
def test_derivatives() -> None:
    """In every parameter, every jump rate and the horizon: forward = reverse; differences.

    The differences are along one direction in which all of them move. The integrator's weights, of
    size 3^J, multiply every rounding: the two modes round in another order.
    """
    _, forward, reverse = (np.asarray(a) for a in compiled(jnp.asarray(X)))
    helpers.assert_close_by_norm(forward, reverse, 3 ** ode.COLUMNS[8] * np.finfo(float).eps)
    along = X * np.random.default_rng(1).choice([-1, 1], X.size)
    moved = helpers.differences(lambda s: compiled(jnp.asarray(X + s[0] * along))[0], [0.0], 2.0)
    helpers.assert_close_by_norm((forward @ along)[:-1], moved[:-1, 0], 1e-7)


@pytest.mark.parametrize("bad", [{0: -1.0}, {12: -1.0}, {2: 1e30}])
def test_failures_are_flagged(bad: dict[int, float]) -> None:
    """Out of domain, or beyond what steps resolve: NaN in every value and every derivative."""
    x = X.copy()
    x[list(bad)] = list(bad.values())
    value, *slopes = compiled(jnp.asarray(x, float))
    assert value[-1] == 0 and np.isnan(value[:-1]).all()
    for slope in slopes:
        assert np.isnan(slope[:-1]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(generator=[[-1.0, 2.0], [1.0, -1.0]]), r"generator\[0\]: expected jump rates"),
        (dict(generator=[[1.0, -1.0], [1.0, -1.0]]), r"generator\[0, 1\]: expected .* ≥ 0"),
        (dict(generator=[[-1.0, 1.0]]), r"generator: expected shape \(R, R\)"),
        (dict(generator=[[np.nan, 1.0], [1.0, -1.0]]), "generator"),
        (dict(params=Params(sigma=(1.0, 2.0, 3.0))), "Params.sigma: .*axis of length 2"),
        (dict(params=Params(k=(1.0, -2.0))), "Params.k"),
        (dict(params=Params(gamma=(0.1, 0.2))), "Params.gamma: expected a scalar"),
        (dict(params=Params(A=[(1.0, 2.0, 3.0)] * 2)), "Params.A"),
        (dict(max_inventory=0), "max_inventory"),
        (dict(times=[1.0, 0.0]), "increasing"),
        (dict(objective="quadratic"), "objective"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    arguments: Any = dict(
        params=Params(), generator=[[-1.0, 1.0], [2.0, -2.0]], max_inventory=2, times=[0.0, 1.0]
    )
    arguments |= change
    with pytest.raises(ValueError, match=message):
        regimes.solve(arguments.pop("params"), **arguments)
