"""Sides that differ and adverse selection on the grid of one asset: against scipy's integration."""

import jax
import numpy as np
import pytest
from scipy import integrate

from diffeq.market_making import hjb
from diffeq.market_making.model import Params

CLOSE = 1e-8 if jax.config.jax_enable_x64 else 3e-3
A, K = np.array([14.0, 6.0]), np.array([1.5, 1.1])


@pytest.mark.parametrize("objective", ["cara", "penalty"])
@pytest.mark.parametrize("eps", [0.0, 0.2, -0.1])
def test_two_rates_two_decays_and_adverse_selection(objective: str, eps: float) -> None:
    """theta and both depths; the equation written out, exponential fills in closed form."""
    cara = objective == "cara"
    gamma, phi, mu, phi_T, sigma, Q, T = 0.3 * cara, 0.2 * (not cara), 0.3, 0.1, 1.5, 3, 1.0
    q = np.arange(-Q, Q + 1)
    c = np.log1p(gamma / K) / gamma if cara else 1 / K

    def costs(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rise = np.diff(theta)
        return -rise + (q[:-1] + 1) * eps, rise - (q[1:] - 1) * eps

    def slope(_: float, theta: np.ndarray) -> np.ndarray:
        p_b, p_a = costs(theta)
        total = mu * q - (gamma * sigma**2 / 2 + phi) * q**2
        total[:-1] += A[0] * np.exp(-K[0] * (p_b + c[0])) / (K[0] + gamma)
        total[1:] += A[1] * np.exp(-K[1] * (p_a + c[1])) / (K[1] + gamma)
        return total

    run = integrate.solve_ivp(
        slope, (0, T), -phi_T * q**2.0, method="DOP853", rtol=1e-12, atol=1e-13
    )
    theta = run.y[:, -1]
    params = Params(sigma=sigma, A=A, k=K, gamma=0.3, phi=phi, phi_T=phi_T, drift=mu, eps=eps)
    found = hjb.solve(params, max_inventory=Q, times=[0.0, T], objective=objective)
    assert bool(found.info.converged)
    p_b, p_a = costs(theta)
    np.testing.assert_allclose(found.theta[0], theta, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(found.delta_b[0, :-1], p_b + c[0], atol=CLOSE)
    np.testing.assert_allclose(found.delta_a[0, 1:], p_a + c[1], atol=CLOSE)
