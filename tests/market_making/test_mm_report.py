"""Reports of simulated market making: plain numpy on recorded paths, the alarm, bounded memory."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.market_making import approximations, simulation
from diffeq.market_making.controls import Controls
from diffeq.market_making.intensities import Exponential
from diffeq.market_making.model import Params
from diffeq.market_making.performance import report, simulate_report

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
KEY, TIMES, Q = jax.random.key(7), np.append(np.arange(30) * 0.005, 0.2), 12
PARAMS = Params(drift=0.5, eps=0.02)
POLICY = approximations.avellaneda_stoikov(PARAMS, max_inventory=Q, times=TIMES)
FIXED = approximations.fixed(1.49, max_inventory=Q, times=TIMES)
SHAPE: Any = dict(times=TIMES, num_paths=3000)


def paths_of(policy: Any, **change: Any) -> Any:
    return simulation.simulate(KEY, PARAMS, policy, **(SHAPE | change))


def test_every_figure_is_that_of_its_definition() -> None:
    """By numpy from the recorded paths, under a stop loss; benchmark on the same markets."""
    paths = paths_of(POLICY, controls=Controls(limit=4, stop_loss=1.0))
    other = paths_of(FIXED)
    found = report(paths, benchmark=other)
    x, y = (jax.tree.map(lambda a: np.asarray(a, np.float64), p) for p in (paths, other))
    end, P = x.profit[:, -1], 3000
    drawdown = (np.maximum.accumulate(x.profit, axis=1) - x.profit).max(axis=1)
    total = x.delta_b + x.delta_a
    weight = np.isfinite(total) * np.diff(TIMES)
    want = {
        "profit": end,
        "drawdown": drawdown,
        "inventory": x.inventory[:, -1],
        "size": np.abs(x.inventory[:, -1]),
        "lead": end - y.profit[:, -1],
    }
    loose = 1e4 * EPS
    for name, sample in want.items():
        got = getattr(found, name)
        np.testing.assert_allclose(got.mean, sample.mean(), rtol=loose, atol=loose, err_msg=name)
        np.testing.assert_allclose(got.standard_error, sample.std(ddof=1) / P**0.5, rtol=loose)
    np.testing.assert_allclose(found.sd_profit, end.std(ddof=1), rtol=loose)
    np.testing.assert_allclose(found.sd_inventory, x.inventory[:, -1].std(ddof=1), rtol=loose)
    np.testing.assert_allclose(found.sharpe, end.mean() / end.std(ddof=1), rtol=loose)
    np.testing.assert_allclose(found.worst_profit, end.min(), rtol=loose)
    spread = (np.where(weight > 0, total, 0) * weight).sum() / weight.sum()
    np.testing.assert_allclose(found.spread, spread, rtol=loose)
    for got, fill, p in (
        (found.bid_fills, x.bid_fill, x.bid_chance),
        (found.ask_fills, x.ask_fill, x.ask_chance),
    ):
        np.testing.assert_allclose(got.number.mean, fill.sum() / P, rtol=loose)
        np.testing.assert_allclose(got.forecast, p.sum() / P, rtol=loose)
        z = (fill.sum() - p.sum()) / np.sqrt((p * (1 - p)).sum())
        np.testing.assert_allclose(got.z, z, rtol=loose, atol=1e5 * loose)
    np.testing.assert_allclose(found.benchmark.profit.mean, y.profit[:, -1].mean(), rtol=loose)
    assert not bool(found.alarm) and found.benchmark.benchmark is None


def test_no_path_stored_is_the_same_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three chunks merged, the last one shorter, against the stored paths of the same key."""
    monkeypatch.setattr(simulation, "CHUNK", 1300)
    # the package gives the function of that name
    monkeypatch.setattr(sys.modules["diffeq.market_making.performance"], "CHUNK", 1300)
    shape: Any = dict(controls=Controls(limit=5), num_paths=3001)
    stored = report(paths_of(POLICY, **shape), benchmark=paths_of(FIXED, num_paths=3001))
    streamed = simulate_report(KEY, PARAMS, POLICY, benchmark=FIXED, **(SHAPE | shape))
    for a, b in zip(jax.tree.leaves(stored), jax.tree.leaves(streamed), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e5 * EPS, atol=1e4 * EPS)
    assert int(streamed.num_paths) == 3001


def test_the_alarm() -> None:
    """Quiet where fills are as foreseen, loud where the market has lost a tenth of its arrivals."""
    quiet = simulate_report(KEY, PARAMS, POLICY, **SHAPE)
    assert not bool(quiet.alarm) and abs(quiet.bid_fills.z) < 4 and abs(quiet.ask_fills.z) < 4
    foreseen = Exponential(140.0 / 0.9, 1.5)
    loud = simulate_report(KEY, PARAMS, POLICY, forecast=foreseen, **SHAPE)
    assert bool(loud.alarm) and loud.bid_fills.z < -10 and loud.ask_fills.z < -10
    np.testing.assert_array_equal(loud.profit.mean, quiet.profit.mean)  # it judges, it does not act
    assert "ALARM" in str(loud) and "ALARM" not in str(quiet)


def test_text_and_bad_input() -> None:
    """Every row of the table, the benchmark beside; errors that name what is wrong."""
    text = str(report(paths_of(POLICY), benchmark=paths_of(FIXED)))
    for word in ("3,000 paths", "benchmark", "Sharpe", "drawdown", "forecast, z", "over benchmark"):
        assert word in text
    assert "ALARM" not in text
    with pytest.raises(ValueError, match="the same"):
        report(paths_of(POLICY), benchmark=paths_of(FIXED, num_paths=60))
    for call in (
        lambda x: report(paths_of(POLICY), alarm=x),
        lambda x: simulate_report(KEY, PARAMS, POLICY, alarm=x, **SHAPE),
    ):
        with pytest.raises(ValueError, match="alarm: expected a finite positive"):
            call(np.nan)
    with pytest.raises(ValueError, match="num_paths"):
        simulate_report(KEY, PARAMS, POLICY, times=TIMES, num_paths=0)

    def lane(sigma: Any) -> Any:
        return simulate_report(KEY, PARAMS._replace(sigma=sigma), POLICY, **SHAPE).profit.mean

    good, bad = jax.jit(jax.vmap(lane))(jnp.array([2.0, -1.0]))
    assert np.isfinite(good) and np.isnan(bad)
