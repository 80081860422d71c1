"""Simulated market making: its own books path by path, exact moments in sum, risk controls."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.market_making import approximations
from diffeq.market_making.controls import Controls, controlled
from diffeq.market_making.intensities import Logistic
from diffeq.market_making.model import Params
from diffeq.market_making.moments import statistics
from diffeq.market_making.simulation import CHUNK, simulate

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
KEY = jax.random.key(2008)
TIMES = np.arange(201) * 0.005
PARAMS = Params(gamma=0.1, drift=0.5, eps=0.02)
POLICY = approximations.avellaneda_stoikov(PARAMS, max_inventory=20, times=TIMES)
SHORT = jax.tree.map(lambda x: x[:41], POLICY)


def run(num_paths: int, **change: Any) -> Any:
    arguments: Any = dict(params=PARAMS, policy=POLICY, times=TIMES) | change
    return simulate(
        KEY, arguments.pop("params"), arguments.pop("policy"), num_paths=num_paths, **arguments
    )


def test_books_balance() -> None:
    """Inventory counts fills, cash pays the quotes, profit is cash plus inventory at the mid."""
    paths = jax.tree.map(lambda x: np.asarray(x, np.float64), run(60, initial_inventory=2))
    dt, q, mid = 0.005, paths.inventory, paths.mid
    assert (q[:, 0] == 2).all() and (mid[:, 0] == 100).all() and (paths.profit[:, 0] == 0).all()
    np.testing.assert_array_equal(np.diff(q), paths.bid_fill - paths.ask_fill)
    at = (np.arange(200)[None], q[:, :-1].astype(int) + 20)
    b, a = (np.asarray(x, np.float64)[at] for x in (POLICY.delta_b, POLICY.delta_a))
    np.testing.assert_array_equal(paths.delta_b, b)
    np.testing.assert_array_equal(paths.delta_a, a)
    for depth, chance in ((b, paths.bid_chance), (a, paths.ask_chance)):
        np.testing.assert_allclose(
            chance, np.minimum(1, 140 * np.exp(-1.5 * depth) * dt), rtol=2e3 * EPS
        )
    paid = np.where(paths.ask_fill, mid[:, :-1] + a, 0) - np.where(
        paths.bid_fill, mid[:, :-1] - b, 0
    )
    cash = np.concatenate([np.zeros((60, 1)), np.cumsum(paid, axis=1)], axis=1)
    worth = cash + q * mid - 2 * 100
    np.testing.assert_allclose(paths.profit, worth, rtol=0, atol=1e5 * EPS * 100)
    np.testing.assert_allclose(paths.cash, cash, rtol=0, atol=1e5 * EPS * 100)
    np.testing.assert_array_equal(paths.bid, mid[:, :-1] - b)
    np.testing.assert_array_equal(paths.ask, mid[:, :-1] + a)
    move = np.diff(mid) - 0.02 * (paths.ask_fill - paths.bid_fill) - 0.5 * dt
    np.testing.assert_allclose(np.abs(move), 2 * np.sqrt(dt), rtol=2e3 * EPS * 100)


@pytest.mark.parametrize("law", [None, Logistic(100.0, 2.0, 0.4)], ids=["exponential", "logistic"])
def test_moments_are_the_exact_ones(law: Any) -> None:
    """Profit, its variance, fills and inventory: within four standard errors of the recursion."""
    paths = run(20_000, policy=SHORT, times=TIMES[:41], intensity=law)
    exact = statistics(SHORT, PARAMS, times=TIMES[:41], intensity=law)
    profit = np.asarray(paths.profit, np.float64)[:, -1]
    q = np.asarray(paths.inventory, np.float64)[:, -1]
    helpers.assert_mean(profit, float(exact.mean_profit), "profit")
    helpers.assert_mean(
        (profit - profit.mean()) ** 2, float(exact.sd_profit) ** 2, "variance of profit"
    )
    helpers.assert_mean(q, float(exact.mean_inventory), "inventory")
    helpers.assert_mean(q**2, float(exact.inventory @ np.arange(-20, 21.0) ** 2), "its square")
    for fill, chance, number in (
        (paths.bid_fill, paths.bid_chance, exact.bid_fills),
        (paths.ask_fill, paths.ask_chance, exact.ask_fills),
    ):
        helpers.assert_mean(np.asarray(fill).sum(axis=1), float(number), "fills")
        surprise = np.asarray(fill, np.float64) - np.asarray(chance, np.float64)
        helpers.assert_mean(surprise.sum(axis=1), 0.0, "fills less forecast")


def test_paths_do_not_depend_on_their_number() -> None:
    """Within a chunk and across its end; short markets, to be quick."""
    short: Any = dict(times=TIMES[:3], policy=jax.tree.map(lambda x: x[:3], POLICY))
    few, many = run(4, **short), run(CHUNK + 3, **short)
    for a, b in zip(jax.tree.leaves(few), jax.tree.leaves(many), strict=True):
        np.testing.assert_array_equal(a, b[:4])
    assert not np.array_equal(many.mid[:3], many.mid[CHUNK:])


def test_risk_controls() -> None:
    """A hard limit is never passed, a floor is kept, and nothing is quoted after the stop."""
    wild = PARAMS._replace(sigma=10.0)
    paths = run(300, params=wild, controls=Controls(limit=3, least_spread=2.0, stop_loss=0.5))
    assert np.abs(paths.inventory).max() == 3
    fallen = np.minimum.accumulate(np.asarray(paths.profit), axis=1)[:, :-1] <= -0.5
    chances = np.asarray(paths.bid_chance), np.asarray(paths.ask_chance)
    assert fallen.any() and not fallen.all()
    recovered = fallen & (np.asarray(paths.profit)[:, :-1] > -0.5)
    assert recovered.any()  # and yet
    assert all((x[fallen] == 0).all() for x in (*chances, paths.bid_fill, paths.ask_fill))
    assert all(np.isposinf(x[fallen]).all() for x in (paths.delta_b, paths.delta_a))
    both = (chances[0] > 0) & (chances[1] > 0)
    spread = np.asarray(paths.delta_b + paths.delta_a, np.float64)
    assert both.any() and spread[both].min() >= 2.0 - 1e3 * EPS
    implied = -np.log(chances[0][both] * chances[1][both] / (140 * 0.005) ** 2) / 1.5
    np.testing.assert_allclose(implied, spread[both], atol=1e3 * EPS)
    assert np.abs(run(300).inventory).max() > 3


def test_controls_have_exact_moments() -> None:
    """A limit and a floor are functions of (t, q): the recursion holds for what they leave."""
    limits = Controls(limit=2, least_spread=1.6)
    paths = run(20_000, policy=SHORT, times=TIMES[:41], controls=limits)
    exact = statistics(controlled(SHORT, limits), PARAMS, times=TIMES[:41])
    profit = np.asarray(paths.profit, np.float64)[:, -1]
    helpers.assert_mean(profit, float(exact.mean_profit), "profit")
    assert float(exact.inventory[:18].sum() + exact.inventory[23:].sum()) == 0


def test_certain_and_impossible_fills() -> None:
    """At a depth far through the market every step fills; at a far one none does."""
    policy = approximations.tabulate(
        lambda t, q: (0 * t - 9.0, 0 * t + 60.0), max_inventory=20, times=TIMES[:11]
    )
    paths = simulate(KEY, PARAMS, policy, times=TIMES[:11], num_paths=5000)
    assert bool(jnp.all(paths.bid_fill)) and not bool(jnp.any(paths.ask_fill))


def test_bad_lanes_and_bad_input() -> None:
    """A traced bad parameter is NaN in money alone; concrete ones are named."""
    lane = lambda sigma: run(2, params=PARAMS._replace(sigma=sigma)).profit  # noqa: E731
    profit = jax.vmap(lane)(jnp.array([2.0, -1.0]))
    assert np.isfinite(profit[0]).all() and np.isnan(profit[1]).all()

    def profit_under(limit: jax.Array) -> jax.Array:
        return run(2, controls=Controls(limit=limit)).profit

    profit = jax.vmap(profit_under)(jnp.array([np.inf, np.nan, -1.0]))
    assert np.isfinite(profit[0]).all() and np.isnan(profit[1:]).all()
    for change, message in (
        (dict(num_paths=0), "num_paths"),
        (dict(times=TIMES[:7]), "policy.delta_b"),
        (dict(initial_inventory=21), "initial_inventory"),
        (dict(controls=Controls(stop_loss=-1.0)), "stop_loss"),
        (dict(initial_mid=np.nan), "initial_mid: expected a finite"),
        (dict(initial_mid=[1.0, 2.0]), "initial_mid: expected a scalar"),
        (dict(params=PARAMS._replace(k=0.0)), "Params.k"),
    ):
        with pytest.raises(ValueError, match=message):
            run(**({"num_paths": 2} | change))
