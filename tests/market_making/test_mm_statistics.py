"""Exact moments of policies: every path enumerated, the optimum ahead, any intensity."""

import itertools
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.market_making import approximations
from diffeq.market_making.continuous_moments import continuous_statistics
from diffeq.market_making.exponential import solve
from diffeq.market_making.intensities import PowerLaw
from diffeq.market_making.model import Params
from diffeq.market_making.moments import statistics

TIMES = np.arange(201) * 0.005


def enumerated(depths: Any, params: Params, rate: Any, times: Any, Q: int, q_0: int) -> Any:
    """All fills and all signs of the price moves of N steps, with their probabilities."""
    total: dict[str, float] = dict.fromkeys(("m", "m2", "b", "a", "q", "q2", "s", "t"), 0.0)
    dt = np.diff(times)
    outcomes = list(itertools.product((0, 1), (0, 1), (-1, 1)))
    for path in itertools.product(outcomes, repeat=len(dt)):
        q, x, s, chance, b, a, spread, both = q_0, 0.0, 0.0, 1.0, 0, 0, 0.0, 0.0
        for n, (i, j, up) in enumerate(path):
            bid, ask = depths.delta_b[n, q + Q], depths.delta_a[n, q + Q]
            p_b, p_a = (min(1.0, rate(d) * dt[n]) if d < np.inf else 0 for d in (bid, ask))
            chance *= (p_b if i else 1 - p_b) * (p_a if j else 1 - p_a) / 2
            if chance == 0:
                break
            if bid + ask < np.inf:
                spread, both = spread + dt[n] * (bid + ask), both + dt[n]
            x += (i * -(s - bid) if i else 0) + (j * (s + ask) if j else 0)
            q, b, a = q + i - j, b + i, a + j
            s += up * params.sigma * np.sqrt(dt[n]) + params.drift * dt[n] + (j - i) * params.eps
        else:
            profit = x + q * s
            sums = profit, profit**2, b, a, q, q * q, spread, both
            for name, value in zip(total, sums, strict=True):
                total[name] += chance * value
    return total


MARKET = Params(sigma=2.0, A=3.0, k=1.0, gamma=0.2, phi_T=0.1, drift=0.4, eps=0.03)


@pytest.mark.parametrize(("q_0", "law"), [(0, None), (2, None), (-2, PowerLaw(4.0, 1.5, 2.0))])
def test_moments_are_those_of_all_paths(q_0: int, law: Any) -> None:
    """Three steps, 512 paths, unequal steps, drift, adverse selection, edges reached."""
    times, Q = np.array([0.0, 0.1, 0.3, 0.45]), 2
    policy = solve(MARKET, max_inventory=Q, times=times)
    found = statistics(policy, MARKET, times=times, initial_inventory=q_0, intensity=law)
    depths = jax.tree.map(lambda x: np.asarray(x, np.float64), policy[:3])
    named = type(policy)(*depths, None)  # type: ignore[arg-type]
    if law is None:
        rate = lambda d: 3.0 * np.exp(-d)  # noqa: E731
    else:
        rate = lambda d: 4.0 * (1 + d / 1.5) ** -2.0  # noqa: E731
    want = enumerated(named, MARKET, rate, times, Q, q_0)
    loose = 1e3 * float(jnp.finfo(jnp.result_type(float)).eps)
    np.testing.assert_allclose(found.mean_profit, want["m"], rtol=loose)
    np.testing.assert_allclose(found.sd_profit, np.sqrt(want["m2"] - want["m"] ** 2), rtol=loose)
    np.testing.assert_allclose(found.bid_fills, want["b"], rtol=loose)
    np.testing.assert_allclose(found.ask_fills, want["a"], rtol=loose)
    np.testing.assert_allclose(found.mean_inventory, want["q"], rtol=loose, atol=loose)
    np.testing.assert_allclose(found.sd_inventory, np.sqrt(want["q2"] - want["q"] ** 2), rtol=loose)
    np.testing.assert_allclose(found.spread, want["s"] / want["t"], rtol=loose)
    np.testing.assert_allclose(found.inventory.sum(), 1, rtol=loose)


@pytest.mark.float64
def test_derivatives() -> None:
    """In the market and in the intensity: forward = reverse, and differences; a user's function."""
    times = np.array([0.0, 0.1, 0.3, 0.45])
    policy = solve(MARKET, max_inventory=2, times=times)

    def moments(x: jax.Array) -> jax.Array:
        market = MARKET._replace(sigma=x[0], drift=x[1], eps=x[2])
        rate = lambda depth: x[3] * jnp.exp(-x[4] * depth)  # noqa: E731
        found = statistics(policy, market, times=times, intensity=(rate, rate))
        return jnp.stack(found[:7])

    x = np.array([2.0, 0.4, 0.03, 3.0, 1.0])
    value, _ = helpers.assert_derivatives(
        jax.jit(helpers.jacobians(moments)), x, modes=1e-12, steps=1e-9
    )
    helpers.assert_close(value, jnp.stack(statistics(policy, MARKET, times=times)[:7]), 1e-12)


def test_one_way_flow() -> None:
    """No ask is ever filled: the spread is quoted all the same, and derivatives are not spoilt."""
    policy = approximations.fixed(1.0, max_inventory=2, times=[0.0, 0.1])

    def mean(A: Any) -> Any:
        params = Params(A=jnp.stack([A, jnp.zeros_like(A)]), sigma=0.0)
        return statistics(policy, params, times=[0.0, 0.1]).mean_profit

    value, slope = jax.value_and_grad(mean)(3.0)
    chance = 0.1 * np.exp(-1.5 * 0.5)
    np.testing.assert_allclose([value, slope], [1.5 * chance, 0.5 * chance], rtol=1e-5)
    for of in (statistics, continuous_statistics):
        assert float(of(policy, Params(A=(3.0, 0.0)), times=[0.0, 0.1]).spread) == 1


def test_no_policy_leaves_the_grid() -> None:
    """One that quotes both sides everywhere is one that does not at the edge."""
    times = np.linspace(0, 1, 12)
    inside = approximations.fixed(1.0, max_inventory=1, times=times)
    everywhere = approximations.Depths(jnp.full((12, 3), 0.5), jnp.full((12, 3), 0.5))
    found, wanted = (statistics(x, Params(A=30.0), times=times) for x in (everywhere, inside))
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_what_is_no_policy_or_no_rate_shows() -> None:
    """A NaN depth, a depth below a power law's least, a traced bad parameter: flagged, all NaN."""
    times = np.array([0.0, 0.1])
    good = approximations.fixed(1.0, max_inventory=1, times=times)
    bad = good._replace(delta_b=good.delta_b.at[0, 1].set(jnp.nan))
    deep = good._replace(delta_a=good.delta_a.at[0, 1].set(-3.0))
    assert bool(statistics(good, Params(), times=times).info.converged)
    for policy, law in ((bad, None), (deep, PowerLaw(4.0, 1.5, 2.0))):
        found = statistics(policy, Params(), times=times, intensity=law)
        assert not bool(found.info.converged) and np.isnan(found.mean_from).all()

    def mean(sigma: Any) -> Any:
        found = statistics(good, Params(sigma=sigma), times=times)
        return found.mean_profit, found.info.converged

    (value, ok), slope = jax.jit(jax.value_and_grad(mean, has_aux=True))(-1.0)
    assert not bool(ok) and np.isnan(value) and np.isnan(slope)


@pytest.mark.float64
def test_the_optimum_beats_its_approximations() -> None:
    """Certainty equivalent mean − gamma/2 variance: the exact policy is ahead of every formula."""
    params = Params()
    policies = {
        "exact": solve(params, max_inventory=40, times=TIMES),
        "2008": approximations.avellaneda_stoikov(params, max_inventory=40, times=TIMES),
        "symmetric": approximations.symmetric(params, max_inventory=40, times=TIMES),
    }
    worth = {}
    for name, policy in policies.items():
        found = statistics(policy, params, times=TIMES)
        worth[name] = float(found.mean_profit - 0.1 / 2 * found.sd_profit**2)
    assert worth["exact"] > worth["2008"] and worth["exact"] > worth["symmetric"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(times=TIMES[:3]), "policy.delta_b: expected shape"),
        (dict(initial_inventory=9), "initial_inventory"),
        (dict(initial_inventory=0.5), "initial_inventory"),
        (dict(params=Params(A=-1.0)), "Params.A"),
        (dict(intensity=3.0), "intensity: expected a function"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    arguments: Any = dict(times=TIMES[:5], params=Params()) | change
    policy = approximations.avellaneda_stoikov(Params(), max_inventory=3, times=TIMES[:5])
    with pytest.raises(ValueError, match=message):
        statistics(policy, arguments.pop("params"), **arguments)
    with pytest.raises(TypeError, match="policy: expected tables"):
        statistics(0.5, Params(), times=TIMES[:5])
