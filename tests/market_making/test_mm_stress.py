"""Stress: exact moments in other markets, and an alarm that is loud there and quiet at home."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.market_making import approximations
from diffeq.market_making.model import Params
from diffeq.market_making.moments import statistics
from diffeq.market_making.stress import scenarios, stress, surprise

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
KEY = jax.random.key(3)
TIMES = np.arange(101) * 0.01
BELIEVED = Params(A=(100.0, 80.0), k=(1.5, 1.4), gamma=0.1)
POLICY = approximations.avellaneda_stoikov(BELIEVED, max_inventory=12, times=TIMES)


@pytest.fixture(scope="module")
def found() -> Any:
    return stress(KEY, POLICY, BELIEVED, times=TIMES)


def test_the_alarm_is_quiet_at_home_and_loud_when_flow_changes(found: Any) -> None:
    share = dict(zip(found.names, np.asarray(found.alarm), strict=True))
    for name in ("as believed", "volatility × 10"):  # 1.1 % would be four standard errors
        assert share[name] <= 0.0054 + 4 * np.sqrt(0.0054 / 1000)
    for name in ("arrivals / 10", "one-way flow"):
        assert share[name] > 0.99
    z_bid, z_ask = np.asarray(found.z_bid), np.asarray(found.z_ask)
    assert (np.abs([z_bid[0], z_ask[0]]) < 4 / np.sqrt(1000)).all()
    assert z_bid[2] < -3 and z_ask[2] < -3 and z_ask[3] < -3 and abs(z_bid[3]) < 1


def test_what_breaks_is_shown(found: Any) -> None:
    """Risk ten times; profit gone with the arrivals; stuck at the edge in one-way flow."""
    exact = found.statistics
    sd, mean = np.asarray(exact.sd_profit), np.asarray(exact.mean_profit)
    assert sd[1] > 5 * sd[0] and mean[2] < 0.2 * mean[0]
    assert found.at_limit[3] > 0.2 > 1e4 * found.at_limit[0]
    assert exact.mean_inventory[3] > 5 and np.argmin(found.low_profit) in (1, 3)
    np.testing.assert_allclose(found.volatility, [1, 10, 1, 1], rtol=1e4 * EPS)
    lines = str(found).splitlines()
    assert len(lines) == 5 and all(len(line) == len(lines[0]) for line in lines)
    for name, line, profit in zip(found.names, lines[1:], mean, strict=True):
        assert line.startswith(name) and f"{profit:.4g}" in line
    assert bool(found.info.converged.all())


def test_volatility_beside_a_mid_of_a_million_times_it() -> None:
    """Moves count, not levels: float32 sees volatility where sigma is 1e-6 of a mid of 100."""
    small = stress(KEY, POLICY, BELIEVED._replace(sigma=1e-4), times=TIMES)
    np.testing.assert_allclose(small.volatility, [1, 10, 1, 1], rtol=1e4 * EPS)


def test_the_numbers_are_the_models_own(found: Any) -> None:
    """One-way flow once more: the exact moments; and z of a table of fills in numpy."""
    market = scenarios(BELIEVED)["one-way flow"]
    exact = statistics(POLICY, market, times=TIMES)
    np.testing.assert_allclose(found.statistics.mean_profit[3], exact.mean_profit, rtol=1e3 * EPS)
    np.testing.assert_allclose(found.statistics.inventory[3], exact.inventory, atol=1e2 * EPS)
    rng = np.random.default_rng(0)
    fill, depth = rng.random((5, 100)) < 0.3, rng.uniform(-0.5, 3, (5, 100))
    depth[:, 7] = np.inf
    depth[3:], fill[3:] = np.inf, False  # nothing quoted, nothing filled: 0
    fill[4, 0] = True  # a fill that could not be: infinite
    A, k, dt = (np.asarray(x, jnp.result_type(float)) for x in (80.0, 1.4, np.diff(TIMES)))
    got = jax.jit(surprise)(fill, depth.astype(dt.dtype), A, k, dt)
    p = np.minimum(1, 80 * np.exp(-1.4 * depth) * 0.01)
    z = (fill - p).sum(axis=1)[:3] / np.sqrt((p * (1 - p)).sum(axis=1)[:3])
    np.testing.assert_allclose(got, [*z, 0, np.inf], rtol=1e4 * EPS)


def test_bad_input_is_named() -> None:
    for change, message in (
        (dict(markets={}), "markets: expected at least one"),
        (dict(markets={"odd": BELIEVED._replace(sigma=-1.0)}), "Params.sigma"),
        (dict(num_paths=0), "num_paths"),
        (dict(times=TIMES[:4]), "policy.delta_b"),
        (dict(initial_inventory=13), "initial_inventory"),
    ):
        arguments: Any = dict(times=TIMES) | change
        with pytest.raises(ValueError, match=message):
            stress(KEY, POLICY, BELIEVED, **arguments)
