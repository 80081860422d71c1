"""Exact moments of policies: the published tables of 2008, enumeration, plain simulation."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.market_making import approximations
from diffeq.market_making.exponential import solve
from diffeq.market_making.model import Params
from diffeq.market_making.moments import statistics

TIMES = np.arange(201) * 0.005
# Avellaneda & Stoikov (2008), tables 1 to 3: gamma, policy, profit, sd of profit, sd of q_T
TABLES = (
    (0.1, "inventory", 65.0, 6.6, 2.9),
    (0.1, "symmetric", 68.4, 12.7, 8.4),
)


@pytest.mark.float64
@pytest.mark.parametrize(("gamma", "policy", "profit", "sd", "sd_q"), TABLES)
def test_published_tables(gamma: float, policy: str, profit: float, sd: float, sd_q: float) -> None:
    """Every published entry within the sampling error of its 1 000 paths (three errors)."""
    formula = (
        approximations.avellaneda_stoikov if policy == "inventory" else approximations.symmetric
    )
    params = Params(gamma=gamma)
    depths = formula(params, max_inventory=60, times=TIMES)
    found = statistics(depths, params, times=TIMES)
    paths = 1000
    assert abs(float(found.mean_profit) - profit) <= 3 * float(found.sd_profit) / paths**0.5 + 0.05
    assert (
        abs(float(found.sd_profit) - sd) <= 3 * float(found.sd_profit) / (2 * paths) ** 0.5 + 0.05
    )
    assert abs(float(found.sd_inventory) - sd_q) <= (
        3 * float(found.sd_inventory) / (2 * paths) ** 0.5 + 0.05
    )
    np.testing.assert_allclose(found.mean_inventory, 0, atol=1e-12)
    assert float(found.info.residual) < 1e-12


def enumerated(depths: Any, params: Params, times: np.ndarray, Q: int, q_0: int) -> Any:
    """All fills and all signs of the price moves of N steps, with their probabilities."""
    total: dict[str, float] = dict.fromkeys(("m", "m2", "b", "a", "q", "q2"), 0.0)
    dt = np.diff(times)
    outcomes = list(itertools.product((0, 1), (0, 1), (-1, 1)))
    for path in itertools.product(outcomes, repeat=len(dt)):
        q, x, s, chance, b, a = q_0, 0.0, 0.0, 1.0, 0, 0
        for n, (i, j, up) in enumerate(path):
            bid, ask = depths.delta_b[n, q + Q], depths.delta_a[n, q + Q]
            p_b, p_a = (
                min(1.0, float(params.A * np.exp(-params.k * d)) * dt[n]) for d in (bid, ask)
            )
            chance *= (p_b if i else 1 - p_b) * (p_a if j else 1 - p_a) / 2
            if chance == 0:
                break
            x += (i * -(s - bid) if i else 0) + (j * (s + ask) if j else 0)
            q, b, a = q + i - j, b + i, a + j
            s += up * params.sigma * np.sqrt(dt[n]) + params.drift * dt[n]
        else:
            profit = x + q * s
            for name, value in zip(total, (profit, profit**2, b, a, q, q * q), strict=True):
                total[name] += chance * value
    return total


@pytest.mark.parametrize("q_0", [0, 2, -2])
def test_moments_are_those_of_all_paths(q_0: int) -> None:
    """Three steps, 512 paths, unequal steps, a drift, edges of the grid reached."""
    params = Params(sigma=2.0, A=3.0, k=1.0, gamma=0.2, phi_T=0.1, drift=0.4)
    times, Q = np.array([0.0, 0.1, 0.3, 0.45]), 2
    policy = solve(params, max_inventory=Q, times=times)
    found = statistics(policy, params, times=times, initial_inventory=q_0)
    depths = jax.tree.map(lambda x: np.asarray(x, np.float64), policy[:3])
    named = type(policy)(*depths, None)  # type: ignore[arg-type]
    want = enumerated(named, params, times, Q, q_0)
    loose = 1e3 * float(jnp.finfo(jnp.result_type(float)).eps)
    np.testing.assert_allclose(found.mean_profit, want["m"], rtol=loose)
    np.testing.assert_allclose(found.sd_profit, np.sqrt(want["m2"] - want["m"] ** 2), rtol=loose)
    np.testing.assert_allclose(found.bid_fills, want["b"], rtol=loose)
    np.testing.assert_allclose(found.ask_fills, want["a"], rtol=loose)
    np.testing.assert_allclose(found.mean_inventory, want["q"], rtol=loose, atol=loose)
    np.testing.assert_allclose(found.sd_inventory, np.sqrt(want["q2"] - want["q"] ** 2), rtol=loose)
    np.testing.assert_allclose(found.inventory.sum(), 1, rtol=loose)


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
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    arguments: Any = dict(times=TIMES[:5], params=Params()) | change
    policy = approximations.avellaneda_stoikov(Params(), max_inventory=3, times=TIMES[:5])
    with pytest.raises(ValueError, match=message):
        statistics(policy, arguments.pop("params"), **arguments)
