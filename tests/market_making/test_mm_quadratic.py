"""The quadratic approximation: against scipy's integration of its equations, and the optimum."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, sparse

from diffeq.market_making import approximations, assets, quadratic
from diffeq.market_making.model import Params as One

X64 = jax.config.jax_enable_x64
EPS = float(jnp.finfo(jnp.result_type(float)).eps)
D = 3
POINTS = np.array([[1, -1, 2], [4, 4, 0], [4, -4, 0], [-3, 2, 0.0]])
X = np.array([1, 2, 0.5, 100, 30, 10, 1, 1.5, 2, 0.3, 0.2, 0.4, 0.1, 0.3, -0.2, 0.1, 0.4, 0.7])
"""sigma, A, k; gamma; phi_T; drift of three; rho; T. All assets' correlation is rho."""


def params(x: Any) -> assets.Params:
    return assets.Params(
        sigma=x[:3], A=x[3:6], k=x[6:9], gamma=x[9], phi_T=x[10:13], drift=x[13:16], rho=x[16]
    )


def outputs(x: Any) -> jax.Array:
    """A, B, C, depths at t = 0 and whether both converged: one program for all tests."""
    found = quadratic.solve(params(x), times=jnp.stack([0 * x[17], x[17]]))
    quotes = quadratic.quotes(found, POINTS, params(x))
    fields = found.A[0], found.B[0], found.C[:1], quotes.delta_b[0], quotes.delta_a[0]
    flag = (found.info.converged & quotes.info.converged).astype(x.dtype)[None]
    return jnp.concatenate([field.ravel() for field in (*fields, flag)])


valued = jax.jit(outputs)
compiled = jax.jit(helpers.jacobians(outputs)) if X64 else lambda x: (valued(x),)


def solved(x: np.ndarray) -> list[np.ndarray]:
    values = np.asarray(valued(jnp.asarray(x, float)), np.float64)
    assert values[-1] == 1
    n = POINTS.size
    A, B, C, bids, asks = np.split(values[:-1], np.cumsum([D * D, D, 1, n]))
    return [A.reshape(D, D), B, C[0], bids.reshape(-1, D), asks.reshape(-1, D)]


def constants(x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sigma, eta and c of the exponential."""
    sigma, A, k, gamma = x[:3], x[3:6], x[6:9], x[9]
    Sigma = np.where(np.eye(D) > 0, 1, x[16]) * np.outer(sigma, sigma)
    return Sigma, A * (1 + gamma / k) ** -(1 + k / gamma), np.log(1 + gamma / k) / gamma


@pytest.mark.parametrize("end", [0.0, 1.0, 50.0])
def test_against_scipy(end: float) -> None:
    """A, B and C by Radau's method; depths from the costs of fills; the terminal penalty × end."""
    x = X.copy()
    x[10:13] *= end
    Sigma, eta, c = constants(x)
    k, H_2 = x[6:9], x[6:9] * eta

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        A, B = y[:9].reshape(3, 3), y[9:12]
        a = np.diag(A)
        dA = x[9] / 2 * Sigma - 4 * A @ np.diag(H_2) @ A
        dC = -np.sum(2 * eta / k - 2 * eta * a + H_2 * (a**2 + B**2))
        return np.concatenate([dA.ravel(), -x[13:16] - 4 * A @ (H_2 * B), [dC]])

    start = np.concatenate([np.diag(x[10:13]).ravel(), np.zeros(4)])
    run = integrate.solve_ivp(slope, (0, x[17]), start, method="Radau", rtol=1e-12, atol=1e-13)
    A, B, C, bids, asks = solved(x)
    close = 1e-10 if X64 else 1e-4
    np.testing.assert_allclose(A.ravel(), run.y[:9, -1], rtol=0, atol=close)
    np.testing.assert_allclose(B, run.y[9:12, -1], rtol=0, atol=close)
    np.testing.assert_allclose(C, run.y[12, -1], rtol=close)
    on, skew = np.diag(A), 2 * POINTS @ A + B
    np.testing.assert_allclose(bids, c + on + skew, atol=30 * EPS)
    np.testing.assert_allclose(asks, c + on - skew, atol=30 * EPS)


def test_the_closed_form_without_terminal_penalty_and_drift() -> None:
    """A = ½ D^−½ Psi tanh(2 Psi tau) D^−½ by numpy's eigenvectors; B = 0."""
    x = X.copy()
    x[10:16] = 0
    Sigma, eta, _ = constants(x)
    root = np.sqrt(x[6:9] * eta)
    squares, V = np.linalg.eigh(x[9] / 2 * Sigma * np.outer(root, root))
    Psi = np.sqrt(squares)
    expected = (V * Psi * np.tanh(2 * Psi * x[17])) @ V.T / np.outer(root, root) / 2
    A, B, *_ = solved(x)
    np.testing.assert_allclose(A, expected, rtol=0, atol=10 * EPS)
    np.testing.assert_array_equal(B, 0)


def test_long_before_the_end_an_uncorrelated_asset_has_the_stationary_quotes() -> None:
    """Those of approximations.stationary, to 1e-10, whatever the terminal penalty."""
    x = X.copy()
    x[13:17] = 0
    x[17] = 200.0
    *_, bids, asks = solved(x)
    for i in range(D):
        one = One(sigma=x[i], A=x[3 + i], k=x[6 + i], gamma=x[9])
        exact = approximations.stationary(one, max_inventory=5, times=[0.0, 1.0])
        at = POINTS[:, i].astype(int) + 5
        close = 1e-10 if X64 else 1e-5
        np.testing.assert_allclose(bids[:, i], exact.delta_b[0, at], rtol=0, atol=close)
        np.testing.assert_allclose(asks[:, i], exact.delta_a[0, at], rtol=0, atol=close)


def test_it_is_near_the_optimum() -> None:
    """Two of the 2008 paper's asset, rho = .6, inventories up to 4: the grid's quotes to 2.2e-3.

    The grid: −14..14 squared, log of scipy's exponential of the linear problem. The third asset is
    not held.
    """
    Q, k, gamma, sigma, A, rho = 14, 1.5, 0.1, 2.0, 140.0, 0.6
    q, n = np.arange(-Q, Q + 1), 2 * Q + 1
    eta, near = A * (1 + gamma / k) ** -(1 + k / gamma), sparse.diags([np.ones(n - 1)] * 2, [1, -1])
    risk = q[:, None] ** 2 + 2 * rho * q[:, None] * q + q**2
    M = eta * sparse.kronsum(near, near) - sparse.diags(
        k * gamma * sigma**2 / 2 * risk.ravel().astype(float)
    )
    theta = np.log(sparse.linalg.expm_multiply(M.tocsr(), np.ones(n * n))).reshape(n, n) / k
    matrix = np.array([[1, rho, 0], [rho, 1, 0], [0, 0, 1.0]])
    pair = assets.Params(sigma=(sigma, sigma, 1.0), A=A, k=k, gamma=gamma, rho=matrix)
    found = quadratic.solve(pair, times=np.array([0.0, 1.0]))
    bids = np.asarray(quadratic.quotes(found, POINTS, pair).delta_b[0])
    held = POINTS[POINTS[:, 2] == 0]
    i, j = (held[:, :2].astype(int) + Q).T
    c = np.log(1 + gamma / k) / gamma
    exact = np.stack([c + theta[i, j] - theta[i + 1, j], c + theta[i, j] - theta[i, j + 1]], axis=1)
    gap = np.abs(bids[POINTS[:, 2] == 0, :2] - exact).max()
    assert 1e-4 < gap < 2.2e-3


@pytest.mark.float64
@pytest.mark.parametrize("same", [False, True], ids=["plain", "equal eigenvalues"])
def test_derivatives(same: bool) -> None:
    """Forward = reverse and differences; also where assets are alike and independent.

    The differences are along one direction in which all parameters move.
    """
    x = X.copy()
    if same:
        x[:9] = np.repeat([2.0, 140.0, 1.5], 3)
        x[10:16] = np.repeat([0.1, 0.2], 3)
        x[16] = 0
    _, forward, reverse = (np.asarray(a) for a in compiled(jnp.asarray(x)))
    helpers.assert_close_by_norm(forward, reverse, 1e-12)
    along = (x + 0.1) * np.random.default_rng(1).choice([-1, 1], x.size)
    moved = helpers.differences(lambda s: valued(jnp.asarray(x + s[0] * along)), [0.0], 2.0)
    helpers.assert_close_by_norm((forward @ along)[:-1], moved[:-1, 0], 1e-9)


@pytest.mark.parametrize("bad", [{0: -1.0}, {7: 0.0}, {16: -0.6}, {10: -1.0}])
def test_failures_are_flagged(bad: dict[int, float]) -> None:
    """Out of domain, a correlation matrix that is none: NaN in every value and derivative."""
    x = X.copy()
    x[list(bad)] = list(bad.values())
    value, *slopes = compiled(jnp.asarray(x, float))
    assert value[-1] == 0 and np.isnan(value[:-1]).all()
    for slope in slopes:
        assert np.isnan(slope[:-1, :17]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(sigma=2.0), r"Params.sigma: expected shape \(d,\)"),
        (dict(sigma=(1.0, -2.0)), "Params.sigma"),
        (dict(A=(1.0, 2.0, 3.0)), "Params.A: .*axis of length 2"),
        (dict(rho=1.5), "Params.rho: .*positive semi-definite"),
        (dict(rho=[[1.0, 0.5], [0.4, 1.0]]), "Params.rho: .*symmetric"),
        (dict(rho=[[2.0, 0.5], [0.5, 1.0]]), "Params.rho: .*ones on the diagonal"),
        (dict(rho=(0.5, 0.5)), "Params.rho"),
        (dict(phi_T=-1.0), "Params.phi_T: .*positive semi-definite"),
        (dict(phi=1.0), "Params.phi: expected 0"),
        (dict(gamma=(0.1, 0.1)), "Params.gamma: expected a scalar"),
        (dict(drift=np.nan), "Params.drift"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quadratic.solve(assets.Params(**change), times=[0.0, 1.0])


def test_bad_quotes_and_sides_are_named() -> None:
    """Inventories of another number of assets; an intensity for each side."""
    found = quadratic.Solution(np.zeros((1, 2, 2)), np.zeros((1, 2)), np.zeros(1), None)
    with pytest.raises(ValueError, match="inventories: expected shape"):
        quadratic.quotes(found, [1.0, 2.0, 3.0], assets.Params())
    with pytest.raises(ValueError, match="one for both sides"):
        sides: Any = (lambda x: jnp.exp(-x), lambda x: jnp.exp(-x))
        quadratic.solve(assets.Params(), times=[0.0, 1.0], intensity=sides)
