"""Tables 1 to 3 of Avellaneda & Stoikov (2008): exactly, by simulation, and as published."""

from typing import Any, NamedTuple

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.market_making import approximations
from diffeq.market_making.model import Params
from diffeq.market_making.moments import statistics
from diffeq.market_making.performance import simulate_report

TIMES = np.arange(201) * 0.005
PATHS, BATCHES, Q = 1000, 100, 60
# Quantitative Finance 8, 222–223: spread, profit, its sd, mean and sd of q_T, 1 000 paths each
PUBLISHED = {
    0.1: ((1.49, 65.0, 6.6, 0.08, 2.9), (1.49, 68.4, 12.7, 0.26, 8.4)),
    0.01: ((1.35, 68.6, 8.7, 0.12, 5.1), (1.35, 68.8, 12.8, 0.09, 8.7)),
    1.0: ((3.02, 31.4, 5.0, 0.02, 1.7), (3.02, 44.0, 11.0, 0.00, 5.1)),
}
ROUNDING = (0.005, 0.05, 0.05, 0.005, 0.05)
EPS = float(jnp.finfo(jnp.result_type(float)).eps)


class Row(NamedTuple):
    """A row of the tables."""

    profit: Any
    sd_profit: Any
    q: Any
    sd_q: Any


@jax.jit
def exact(gamma: Any) -> tuple[Any, ...]:
    """The two policies, and both rows by the recursion."""
    params = Params(gamma=gamma)
    formulas = approximations.avellaneda_stoikov, approximations.symmetric
    policies = [formula(params, max_inventory=Q, times=TIMES) for formula in formulas]
    found = [statistics(policy, params, times=TIMES) for policy in policies]
    rows = [Row(x.mean_profit, x.sd_profit, x.mean_inventory, x.sd_inventory) for x in found]
    return policies, rows, found


@jax.jit
def simulated(gamma: Any, policies: Any, keys: Any) -> list[Row]:
    """Both rows from samples of 1 000 paths, one for each key."""

    def sample(key: Any) -> Any:
        return simulate_report(
            key,
            Params(gamma=gamma),
            policies[0],
            benchmark=policies[1],
            times=TIMES,
            num_paths=PATHS,
        )

    ours = jax.vmap(sample)(keys)
    return [
        Row(x.profit.mean, x.sd_profit, x.inventory.mean, x.sd_inventory)
        for x in (ours, ours.benchmark)
    ]


@pytest.mark.float64
@pytest.mark.parametrize("gamma", PUBLISHED)
def test_tables(gamma: float) -> None:
    """Recursion = 100 000 simulated paths to 4 errors; print within 3 of a sample of 1 000."""
    policies, rows, found = exact(gamma)
    keys = jax.random.split(jax.random.key(2008), BATCHES)
    samples = simulated(gamma, policies, keys)
    for row, sample, whole in zip(rows, samples, found, strict=True):
        assert bool(whole.info.converged) and float(whole.info.residual) < 1e-12
        helpers.assert_mean(sample.profit, row.profit, "profit")
        helpers.assert_mean(np.square(sample.sd_profit), row.sd_profit**2, "its variance")
        helpers.assert_mean(sample.q, row.q, "inventory")
        helpers.assert_mean(np.square(sample.sd_q), row.sd_q**2, "its variance")
        np.testing.assert_allclose(row.q, 0, atol=1e-11)  # the sides are alike
    for row, sample, printed in zip(rows, samples, PUBLISHED[gamma], strict=True):
        for got, draws, entry, digit in zip(row, sample, printed[1:], ROUNDING[1:], strict=True):
            error = float(np.std(np.asarray(draws), ddof=1))
            assert abs(float(got) - entry) <= 3 * error + digit, (gamma, float(got), entry, error)


@pytest.mark.parametrize("gamma", PUBLISHED)
def test_published_spreads(gamma: float) -> None:
    """Not subject to chance: the formula's time average, to the digits printed."""
    policy = approximations.symmetric(Params(gamma=gamma), max_inventory=1, times=TIMES)
    spread = float(policy.delta_b[0, 1] + policy.delta_a[0, 1])
    for printed in PUBLISHED[gamma]:
        assert abs(spread - printed[0]) <= 0.005
    moving = approximations.avellaneda_stoikov(Params(gamma=gamma), max_inventory=1, times=TIMES)
    average = np.mean(np.asarray(moving.delta_b[:, 1] + moving.delta_a[:, 1], np.float64))
    np.testing.assert_allclose(spread, average, rtol=30 * EPS)
