"""The paper's opening example: its equilibrium, the curve that is not one, the free optimum."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from helpers import assert_close
from scipy.optimize import minimize_scalar
from scipy.special import expit

from diffeq.contingent import toy

X64 = jax.config.jax_enable_x64
EPS = float(np.finfo(np.float64 if X64 else np.float32).eps)
ALPHA = 1 / np.sqrt(3)


def exact_profit(alpha, belief):
    """E over the order flow in the three markets, by mpmath."""
    with mp.workdps(30):
        a, b = mp.mpf(alpha), mp.mpf(belief)
        kink = -mp.sqrt(3) * a
        width = 1 / (1 + abs(b))
        points = sorted([-13, -6, -3, 0, 3, 6, 13, kink - 3 * width, kink, kink + 3 * width])
        loss = mp.quad(
            lambda z: mp.npdf(z) / (1 + mp.exp(2 * b * (3 * a + mp.sqrt(3) * z))), points
        )
        return float(2 * a * loss)


@pytest.mark.parametrize(
    ("alpha", "belief"),
    [(0.5, 0.5), (ALPHA, ALPHA), (0.1, 0.288), (0.2, 0.289), (1.0, 0.3), (2.0, 1.0), (0.1, 5.0),
     (0.1, 40.0), (-0.4, 0.7), (0.4, -0.7), (0.7, 0.0)],
)  # fmt: skip
def test_profit_is_exact(alpha, belief):
    assert_close(toy.profit(alpha, belief), exact_profit(alpha, belief), 1e-13 if X64 else 5e-6)


def test_equilibrium():
    """alpha = 1/√3 and .25958 (spec): the best alpha while the belief stays."""
    found = toy.equilibrium()
    assert_close(found.alpha, ALPHA, EPS)
    assert abs(float(found.profit) - 0.25958) < 5e-6
    assert bool(found.info.converged) and float(found.info.residual) < 100 * EPS
    alphas = np.linspace(-1, 3, 401)
    profits = np.asarray(toy.profit(alphas, ALPHA))
    assert abs(alphas[profits.argmax()] - ALPHA) < 0.006
    assert profits.max() <= float(found.profit) * (1 + 10 * EPS)


@pytest.mark.float64
def test_the_published_curve_peaks_elsewhere():
    """Figure 1b peaks at .4723; there, at fixed belief, the insider would trade more."""
    peak = minimize_scalar(lambda a: -float(toy.profit_belief_moving(a)), (0.3, 0.6), tol=1e-9)
    assert abs(peak.x - 0.4723) < 5e-5
    assert -peak.fun > float(toy.equilibrium().profit)
    assert float(jax.grad(toy.profit)(float(peak.x), float(peak.x))) > 0.05


@pytest.mark.float64
def test_the_unrestricted_optimum_pays_more():
    """(.40825, −.81650, .40825) earns .275322 (spec's closed form): sampled from the game."""
    eta = np.array(toy.ETA)
    difference = eta[0] - eta[1]
    demand = difference / np.linalg.norm(difference)
    omega = demand + np.random.default_rng(0).normal(size=(200_000, 3))
    q = expit(2 * omega @ demand)
    profits = (1 - q) * (difference @ demand)
    error = profits.std() / np.sqrt(profits.size)
    assert abs(profits.mean() - 0.275322346540524) < 4 * error
    assert profits.mean() > float(toy.equilibrium().profit)
    assert_close(demand, [0.40825, -0.81650, 0.40825], 1e-5)


def test_profit_by_playing_the_restricted_game():
    """Bayes' rule in three markets under both signals; the insider's profit is W · (eta − P)."""
    eta, unit = np.array(toy.ETA), np.array(toy.BUTTERFLY)
    rng = np.random.default_rng(1)
    for signal, sign in ((0, 1.0), (1, -1.0)):
        demand = 0.4 * sign * unit
        omega = demand + rng.normal(size=(100_000, 3))
        q = expit(2 * 0.6 * omega @ unit)  # believed: ±.6 (1, −1, 1)
        prices = q[:, None] * eta[0] + (1 - q)[:, None] * eta[1]
        profits = (eta[signal] - prices) @ demand
        error = profits.std() / np.sqrt(profits.size)
        assert abs(profits.mean() - float(toy.profit(0.4, 0.6))) < 4 * error


def test_arrays_dtype_and_refusals():
    assert toy.profit(np.linspace(0, 1, 5), 0.5).shape == (5,)
    assert toy.profit(np.float32(0.3), np.float32(0.3)).dtype == jnp.float32
    assert_close(jax.grad(toy.profit)(0.3, 0.0), 1.0, 10 * EPS)  # no belief, no impact: 2 alpha/2
    with pytest.raises(ValueError, match="alpha: expected a finite number"):
        toy.profit(np.nan, 0.5)
