"""Two assets on the grid: against scipy's integration of the equation, and two separate markets."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from diffeq.market_making import assets, exponential, pair
from diffeq.market_making.model import Params as One

X64 = jax.config.jax_enable_x64
CLOSE = 1e-8 if X64 else 3e-3
Q = (1, 2)
N_1, N_2 = 3, 5
X = np.array([1.0, 2.0, 14.0, 30.0, 1.5, 1.2, 0.3, 0.1, 0.2, 0.3, -0.2, 0.6, 0.8])
"""sigma, A, k of both; gamma; phi_T, drift of both; rho; T."""
RHO = 11


def outputs(x: Any) -> jax.Array:
    """theta, bids, asks at t = 0, whether it converged: one program, and its slope in rho."""
    params = assets.Params(
        sigma=x[:2], A=x[2:4], k=x[4:6], gamma=x[6], phi_T=x[7:9], drift=x[9:11], rho=x[11]
    )
    found = pair.solve(params, max_inventory=Q, times=jnp.stack([0 * x[12], x[12]]))
    flag = found.info.converged.astype(x.dtype)[None]
    parts = found.theta[0], found.delta_b[:, 0], found.delta_a[:, 0], flag
    return jnp.concatenate([part.ravel() for part in parts])


@jax.jit
def compiled(x: jax.Array) -> Any:
    if not X64:
        return outputs(x), jnp.nan
    return jax.jvp(outputs, (x,), (jnp.zeros_like(x).at[RHO].set(1),))


def solved(x: np.ndarray) -> list[np.ndarray]:
    values = np.asarray(compiled(jnp.asarray(x, float))[0], np.float64)
    assert values[-1] == 1
    theta, bids, asks = np.split(values[:-1], np.cumsum([N_1 * N_2, 2 * N_1 * N_2]))
    grid = (N_1, N_2)
    return [theta.reshape(grid), bids.reshape(2, *grid), asks.reshape(2, *grid)]


def by_scipy(x: np.ndarray) -> np.ndarray:
    """theta(0, q), the equation written out, exponential fills in closed form."""
    A, k, gamma, mu = x[2:4], x[4:6], x[6], x[9:11]
    q = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in Q), indexing="ij"), axis=-1)
    cov = np.outer(x[:2], x[:2]) * np.array([[1, x[11]], [x[11], 1]])
    eta = A * (1 + gamma / k) ** -(1 + k / gamma)

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        theta = y.reshape(N_1, N_2)
        total = q @ mu - gamma / 2 * np.einsum("abi,ij,abj->ab", q, cov, q)
        up, across = np.diff(theta, axis=0), np.diff(theta, axis=1)
        total[:-1] += eta[0] / k[0] * np.exp(k[0] * up)
        total[1:] += eta[0] / k[0] * np.exp(-k[0] * up)
        total[:, :-1] += eta[1] / k[1] * np.exp(k[1] * across)
        total[:, 1:] += eta[1] / k[1] * np.exp(-k[1] * across)
        return total.ravel()

    start = -(q**2 @ x[7:9]).ravel()
    run = integrate.solve_ivp(slope, (0, x[12]), start, method="DOP853", rtol=1e-12, atol=1e-13)
    return run.y[:, -1].reshape(N_1, N_2)


@pytest.mark.parametrize("change", [{}, {11: -1.0, 7: 1.0, 8: 1.5}], ids=["plain", "opposites"])
def test_against_scipy(change: dict[int, float]) -> None:
    """theta, the quotes its differences make, and no quote beyond the grid."""
    x = X.copy()
    x[list(change)] = list(change.values())
    theta, bids, asks = solved(x)
    expected = by_scipy(x)
    np.testing.assert_allclose(theta, expected, rtol=CLOSE, atol=CLOSE)
    c = np.log1p(x[6] / x[4:6]) / x[6]
    for i in (0, 1):
        lines = [np.moveaxis(table, i, -1) for table in (expected, bids[i], asks[i])]
        rise = np.diff(lines[0], axis=-1)
        np.testing.assert_allclose(lines[1][:, :-1], c[i] - rise, atol=CLOSE)
        np.testing.assert_allclose(lines[2][:, 1:], c[i] + rise, atol=CLOSE)
        assert np.isposinf(lines[1][:, -1]).all() and np.isposinf(lines[2][:, 0]).all()


def test_without_correlation_it_is_two_markets() -> None:
    """theta adds up and each asset's quotes are those of it alone, exactly solved, to 1e-10."""
    x = X.copy()
    x[RHO] = 0
    theta, bids, asks = solved(x)
    close = 1e-10 if X64 else 3e-3
    alone = [
        exponential.solve(
            One(sigma=x[i], A=x[2 + i], k=x[4 + i], gamma=x[6], phi_T=x[7 + i], drift=x[9 + i]),
            max_inventory=Q[i],
            times=[0.0, x[12]],
        )
        for i in (0, 1)
    ]
    first, second = (np.asarray(one.theta[0], np.float64) for one in alone)
    np.testing.assert_allclose(theta, first[:, None] + second, rtol=0, atol=close)
    for i in (0, 1):
        for ours, theirs in ((bids, alone[i].delta_b), (asks, alone[i].delta_a)):
            quoted = np.moveaxis(ours[i], i, -1)
            expected = np.broadcast_to(theirs[0], quoted.shape)
            np.testing.assert_allclose(quoted, expected, rtol=0, atol=close)


@pytest.mark.float64
def test_slope_in_the_correlation() -> None:
    """Against differences of sixth order."""
    finite = np.isfinite(compiled(jnp.asarray(X))[0])
    slope = np.asarray(compiled(jnp.asarray(X))[1])[finite]

    def at(rho: Any) -> np.ndarray:
        return np.asarray(compiled(jnp.asarray(X).at[RHO].set(rho[0]))[0])[finite]

    expected = helpers.differences(at, X[[RHO]], 0.03)[:, 0]
    helpers.assert_close_by_norm(slope, expected, 1e-8)
    assert np.abs(slope).max() > 0.1


@pytest.mark.parametrize("bad", [{0: -1.0}, {11: 1.1}, {7: 1e4}])
def test_failures_are_flagged(bad: dict[int, float]) -> None:
    """Out of domain, or beyond what steps resolve: NaN in every value and in the slope."""
    x = X.copy()
    x[list(bad)] = list(bad.values())
    value, slope = compiled(jnp.asarray(x, float))
    good = np.isfinite(compiled(jnp.asarray(X, float))[0])[:-1]  # no quote is +inf or NaN
    assert value[-1] == 0 and np.isnan(value[:-1][good]).all()
    assert np.isnan(slope[:-1][good] if X64 else slope).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(params=assets.Params(sigma=(1.0, 1.0, 1.0))), "two assets, got 3"),
        (dict(params=assets.Params(rho=-1.2)), "Params.rho: .*positive semi-definite"),
        (dict(params=assets.Params(k=(1.0, 0.0))), "Params.k"),
        (dict(max_inventory=(1, 2, 3)), r"expected Q or \(Q_1, Q_2\)"),
        (dict(max_inventory=(1, 0)), "max_inventory"),
        (dict(times=[]), "times"),
        (dict(objective="mean"), "objective"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    arguments: Any = dict(params=assets.Params(), max_inventory=1, times=[0.0, 1.0]) | change
    with pytest.raises(ValueError, match=message):
        pair.solve(arguments.pop("params"), **arguments)
