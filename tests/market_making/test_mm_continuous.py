"""Moments in continuous time: the paper's equations by scipy, the tables' scheme as dt → 0."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from diffeq.market_making import approximations
from diffeq.market_making.continuous_moments import continuous_statistics
from diffeq.market_making.intensities import Logistic
from diffeq.market_making.model import Params
from diffeq.market_making.moments import statistics

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
TIMES, Q = np.array([0.0, 0.1, 0.25, 0.5]), 3
MARKET = Params(A=(20.0, 25.0), k=(1.2, 1.5), drift=0.7, eps=0.05, sigma=1.5, gamma=0.3)
POLICY = approximations.avellaneda_stoikov(MARKET, max_inventory=Q, times=TIMES)
LAW = Logistic(60.0, 1.7, 0.3)


def exponentials(params: Params) -> Any:
    """Fill rates of both sides by numpy."""
    A, k = np.broadcast_to(params.A, 2), np.broadcast_to(params.k, 2)
    return [lambda d, A=A, k=k: A * np.exp(-k * d) for A, k in zip(A, k, strict=True)]


def up(x: Any) -> Any:
    """What a bid fill changes in x; at the edge there is none."""
    return np.append(x[1:], 0) - x


def down(x: Any) -> Any:
    """What an ask fill changes in x."""
    return np.append(0, x[:-1]) - x


def integrated(rates: Any) -> Any:
    """The equations of m, V, bid fills, ∫ spread dt and ∫ dt, by an adaptive integrator."""
    q, n = np.arange(-Q, Q + 1.0), 2 * Q + 1
    y = np.zeros((5, n))
    for row in range(len(TIMES) - 2, -1, -1):
        depths = [np.asarray(x[row], np.float64) for x in POLICY]
        rate = [np.where(d < np.inf, f(d), 0) for f, d in zip(rates, depths, strict=True)]
        b, a = (np.where(d < np.inf, d, 0) for d in depths)

        def slope(_: float, y: Any, rate: Any = rate, b: Any = b, a: Any = a) -> Any:
            m, V, N, s, t = y.reshape(5, n)
            on_bid, on_ask = b - (q + 1) * MARKET.eps + up(m), a + (q - 1) * MARKET.eps + down(m)

            def flow(bought: Any, sold: Any) -> Any:
                return rate[0] * bought + rate[1] * sold

            both = (rate[0] > 0) & (rate[1] > 0)
            return np.concatenate(
                [
                    MARKET.drift * q + flow(on_bid, on_ask),
                    MARKET.sigma**2 * q**2 + flow(on_bid**2 + up(V), on_ask**2 + down(V)),
                    rate[0] + flow(up(N), down(N)),
                    both * (a + b) + flow(up(s), down(s)),
                    both + flow(up(t), down(t)),
                ]
            )

        span = (0, TIMES[row + 1] - TIMES[row])
        run = integrate.solve_ivp(slope, span, y.ravel(), "DOP853", rtol=1e-13, atol=1e-13)
        y = run.y[:, -1].reshape(5, n)
    return y


@pytest.mark.parametrize("law", [None, LAW], ids=["exponential", "logistic"])
def test_against_the_differential_equations(law: Any) -> None:
    """Mean and variance from every inventory, and fills; drift, eps, sides that differ, edges."""
    found = continuous_statistics(POLICY, MARKET, times=TIMES, intensity=law, squarings=8)
    assert bool(found.info.converged)
    by = exponentials(MARKET) if law is None else [lambda d: 60 / (1 + np.exp(1.7 * (d - 0.3)))] * 2
    m, V, N, s, t = integrated(by)
    loose = max(1e-11, 300 * EPS)
    helpers.assert_close_by_norm(found.mean_from, m, loose)
    helpers.assert_close(found.sd_from, np.sqrt(V), loose)
    helpers.assert_close(found.bid_fills, N[Q], loose)
    helpers.assert_close(found.spread, s[Q] / t[Q], loose)
    moved = float(found.bid_fills - found.ask_fills)
    np.testing.assert_allclose(found.mean_inventory, moved, atol=100 * loose)
    np.testing.assert_allclose(found.inventory.sum(), 1, rtol=100 * EPS)


@pytest.mark.float64
def test_the_scheme_of_the_tables_tends_to_it() -> None:
    """Every moment's error halves with dt, to first order: extrapolated, it is the limit's."""

    def of(steps: int) -> Any:
        parts = [
            np.linspace(a, b, steps, endpoint=False)
            for a, b in zip(TIMES[:-1], TIMES[1:], strict=True)
        ]
        fine = np.append(np.concatenate(parts), TIMES[-1])
        held = [jnp.concatenate([jnp.repeat(x[:-1], steps, 0), x[-1:]]) for x in POLICY]
        found = statistics(approximations.Depths(*held), MARKET, times=fine)
        return np.array([float(x) for x in found[:7]])

    exact = continuous_statistics(POLICY, MARKET, times=TIMES, squarings=8)
    limit = np.array([float(x) for x in exact[:7]])
    coarse, fine = (of(steps) - limit for steps in (1000, 2000))
    np.testing.assert_allclose(coarse / fine, 2, atol=0.01)
    assert np.all(np.abs(2 * fine - coarse) < 1e-5)


@pytest.mark.float64
def test_rates_that_differ_by_any_factor() -> None:
    """A quote far through the market is filled at once, whatever the interval: in closed form."""
    times = np.array([0.0, 0.2])
    policy = approximations.fixed(1.0, max_inventory=3, times=times)
    wild = policy._replace(delta_a=policy.delta_a.at[0, -1].set(-20.0))  # rate 1e14 at q = 3
    shut = policy._replace(delta_b=policy.delta_b.at[0, 5].set(jnp.inf))  # q = 2 is the last
    params = Params(A=30.0)
    found = continuous_statistics(wild, params, times=times, squarings=52)
    assert bool(found.info.converged)
    # a bid fill at q = 2 is undone at once at −20: q = 2 with a further loss of 20 − .5 per fill
    rate = 30 * np.exp(-1.5 * 0.5)
    loss, back = rate * 19.5, continuous_statistics(shut, params, times=times, squarings=52)
    held = lossy_time(2, rate, 0.2)
    np.testing.assert_allclose(found.mean_profit, back.mean_profit - loss * held, rtol=1e-9)
    np.testing.assert_allclose(found.inventory[:-1], back.inventory[:-1], rtol=1e-10)

    # the same where it starts: sold at once for 20, and then q = −1 is the last
    sold = policy._replace(delta_a=policy.delta_a.at[0, 3].set(-20.0))
    rest = policy._replace(delta_b=policy.delta_b.at[0, 2].set(jnp.inf))
    found = continuous_statistics(sold, params, times=times, squarings=52)
    back = continuous_statistics(rest, params, times=times, squarings=52, initial_inventory=-1)
    held = lossy_time(-1, rate, 0.2, start=2)
    np.testing.assert_allclose(found.mean_profit, back.mean_profit - 20 - loss * held, rtol=1e-9)
    # so many fills that the variance grows at its long-run rate, under a mean 1e6 times its root
    found = continuous_statistics(policy, Params(A=1e13), times=times, squarings=52)
    np.testing.assert_allclose(found.sd_profit, np.sqrt(0.2 * long_run_variance(1e13)), rtol=1e-10)


def long_run_variance(A: float) -> float:
    """Second derivative at 0 of the largest eigenvalue of G(x) = G + x G_1 + x² G_2/2."""
    rate, gain = A * np.exp(-1.5 * 0.5), 0.5
    near = np.diag(np.ones(6), 1) + np.diag(np.ones(6), -1)
    values, vectors = np.linalg.eigh(near - np.diag(near.sum(axis=1)))
    first, others = vectors[:, -1], vectors[:, :-1]
    mixed = (first @ near @ others) ** 2 / (values[-1] - values[:-1])
    own = first**2 @ np.arange(-3, 4) ** 2.0 * 2.0**2
    return float(rate * gain**2 * (first @ near @ first + 2 * mixed.sum()) + own)


def lossy_time(top: int, rate: float, T: float, start: int = 3) -> float:
    """Expected time at ``top`` of a walk between −3 and ``top`` with equal rates; −3 is place 0."""
    n = 3 + top + 1
    G = np.diag(np.full(n - 1, rate), 1) + np.diag(np.full(n - 1, rate), -1)
    G -= np.diag(G.sum(axis=1))
    values, vectors = np.linalg.eigh(G)
    grown = np.where(np.abs(values) < 1e-12, T, np.expm1(values * T) / np.where(values, values, 1))
    return float((vectors[start] * grown) @ vectors[-1])


@pytest.mark.float64
def test_derivatives() -> None:
    """Forward = reverse, and differences, in the market and in the depths."""

    def moments(x: jax.Array) -> jax.Array:
        market = MARKET._replace(A=x[:2], k=x[2:4], sigma=x[4], drift=x[5], eps=x[6])
        policy = jax.tree.map(lambda d: d + x[7], POLICY)
        return jnp.stack(continuous_statistics(policy, market, times=TIMES, squarings=8)[:7])

    x = np.array([20.0, 25.0, 1.2, 1.5, 1.5, 0.7, 0.05, 0.1])
    compiled = jax.jit(helpers.jacobians(moments))
    helpers.assert_derivatives(compiled, x, modes=1e-11, steps=1e-8)


def test_out_of_reach_shows() -> None:
    """More fills an interval than the squarings resolve, or a bad lane: flagged, NaN."""
    enough = continuous_statistics(POLICY, MARKET, times=TIMES)  # finds out by itself
    assert bool(enough.info.converged)
    few = continuous_statistics(POLICY, MARKET, times=TIMES, squarings=1)
    assert not bool(few.info.converged) and np.isnan(few.mean_profit)
    with pytest.raises(ValueError, match="squarings"):
        continuous_statistics(POLICY, MARKET, times=TIMES, squarings=0)
