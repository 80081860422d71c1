"""Simulated markets: path by path against Bayes in plain Python, in sum against exact laws."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.glosten_milgrom.binary_value import Params
from diffeq.glosten_milgrom.learning import expected, first_passage
from diffeq.glosten_milgrom.simulation import CHUNK, simulate
from diffeq.glosten_milgrom.summaries import Estimate, simulate_summary, summary

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
KEY = jax.random.key(1985)
PARAMS = Params(V_L=-5.0, V_H=110.0, mu_0=0.4, alpha=0.3)


DAYS: Any = dict(num_trades=20, num_paths=500)
MANY: Any = dict(num_trades=20, num_paths=CHUNK + 300)
"""Two shapes, within a chunk and across the end of one, each compiled once."""


@pytest.fixture(scope="module")
def few() -> Any:
    return simulate(KEY, PARAMS, **DAYS)


@pytest.fixture(scope="module")
def many() -> Any:
    return simulate(KEY, PARAMS, **MANY)


def bayes(high: bool, orders: Any, params: Params) -> dict[str, list[float]]:
    """One path by the textbook, one trade after another, mu and not its log-odds the state."""
    V_L, V_H, mu, a = params
    out: dict[str, list[float]] = {}
    for order in orders:
        ask = (mu * (1 + a) * V_H + (1 - mu) * (1 - a) * V_L) / (1 + a * (2 * mu - 1))
        bid = (mu * (1 - a) * V_H + (1 - mu) * (1 + a) * V_L) / (1 - a * (2 * mu - 1))
        price = ask if order > 0 else bid
        after = mu * (1 + order * a) / (1 + order * a * (2 * mu - 1))
        row = {
            "bid": bid,
            "ask": ask,
            "spread": ask - bid,
            "expected_value": mu * V_H + (1 - mu) * V_L,
            "price": price,
            "profit": order * ((V_H if high else V_L) - price),
            "belief_before": mu,
            "belief_after": after,
            "log_odds_before": np.log(mu / (1 - mu)),
            "log_odds_after": np.log(after / (1 - after)),
        }
        for name, x in row.items():
            out.setdefault(name, []).append(x)
        mu = after
    return out


def test_every_field_of_a_path_is_what_bayes_says(few: Any) -> None:
    """Quotes, beliefs, prices and profits of a record, recomputed from its orders alone."""
    paths = few
    assert paths.order.dtype == np.int8 and paths.informed.dtype == bool
    np.testing.assert_array_equal(paths.net_buys[:, 1:], np.cumsum(paths.order, axis=1))
    np.testing.assert_array_equal(paths.value, np.where(paths.high, 110.0, -5.0))
    high, orders = np.asarray(paths.high[:40]), np.asarray(paths.order[:40])
    rows = [bayes(bool(h), np.asarray(o, float), PARAMS) for h, o in zip(high, orders, strict=True)]
    fields = jax.jit(lambda paths: {name: getattr(paths, name) for name in rows[0]})(paths)
    for i, want in enumerate(rows):
        for name, row in want.items():
            got = fields[name]
            assert got.shape == (500, 20) and got.dtype == jnp.result_type(float)
            scale = max(np.abs(row).max(), 115 * (name in ("spread", "profit")))
            np.testing.assert_allclose(got[i], row, rtol=0, atol=300 * EPS * scale, err_msg=name)


def test_the_informed_know_and_the_others_toss_a_coin(many: Any) -> None:
    """An informed trader buys iff V = V_H; the uninformed buy half of the time, whatever V."""
    paths = many
    towards = np.asarray(paths.order * jnp.where(paths.high, 1, -1)[:, None])
    informed = np.asarray(paths.informed)
    assert (towards[informed] == 1).all()
    helpers.assert_mean(towards[~informed], 0.0, "uninformed orders")
    helpers.assert_mean(informed.mean(axis=1), 0.3, "informed traders")
    helpers.assert_mean(np.asarray(paths.high), 0.4, "V = V_H")
    pairs = informed[:, 1:] * informed[:, :-1]
    helpers.assert_mean(pairs.mean(axis=1), 0.09, "informed twice in a row")


def test_paths_do_not_depend_on_their_number(few: Any, many: Any) -> None:
    """Neither within a chunk, nor across the end of one; and other keys give other paths."""
    more = simulate(KEY, PARAMS, num_trades=20, num_paths=2 * CHUNK + 1)
    for name in ("high", "order", "informed"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:500])
        np.testing.assert_array_equal(getattr(many, name), getattr(more, name)[: CHUNK + 300])
    assert (more.order[:CHUNK] != more.order[CHUNK:-1]).any()
    shorter = simulate(KEY, PARAMS, num_trades=3, num_paths=5)
    np.testing.assert_array_equal(few.order[:5, :3], shorter.order)
    other = simulate(jax.random.key(7), PARAMS, num_trades=3, num_paths=5)
    assert (other.order != shorter.order).any()


def test_the_value_can_be_given() -> None:
    """V_H or V_L on every path; at alpha = 1 all orders then say so."""
    for value, order in (("V_H", 1), ("V_L", -1)):
        paths = simulate(KEY, PARAMS._replace(alpha=1.0), num_trades=4, num_paths=9, value=value)
        assert (paths.order == order).all() and paths.informed.all()
        np.testing.assert_allclose(paths.price, np.broadcast_to(paths.value[:, None], (9, 4)))
        np.testing.assert_array_equal(paths.profit, 0)
        assert not np.isnan(paths.belief_before).any()


THRESHOLDS = (0.3, 0.9, 0.999)


def test_the_summary_of_a_record_is_that_of_the_simulation(few: Any, many: Any) -> None:
    """Stored or streamed, in one chunk or several: the same numbers."""
    for shape, paths in ((DAYS, few), (MANY, many)):
        a = simulate_summary(KEY, PARAMS, **shape, thresholds=THRESHOLDS)
        b = summary(paths, thresholds=THRESHOLDS)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_allclose(x, y, rtol=3e4 * EPS, atol=3e4 * EPS)


def test_the_summary_is_what_the_record_says(few: Any) -> None:
    """Every mean and every standard error recomputed from the paths with numpy."""
    paths, found = few, summary(few, thresholds=THRESHOLDS)
    informed, profit = np.asarray(paths.informed), np.asarray(paths.profit, np.float64)
    spread = np.asarray(paths.spread, np.float64)
    gained = np.where(informed, profit, 0).sum(axis=1)
    lost = np.where(informed, 0, profit).sum(axis=1)
    half = np.where(informed, 0, spread / 2).sum(axis=1)
    truth = np.where(paths.high, 1, -1)
    net = np.asarray(paths.net_buys)[:, -1]
    want = {
        "informed_profit": gained,
        "uninformed_profit": lost,
        "dealer_profit": -gained - lost,
        "half_spread": half,
        "uninformed_surprise": lost + half,
        "belief": np.asarray(paths.belief_after)[:, -1],
        "imbalance": truth * net / 20,
        "informed_share": informed.mean(axis=1),
        "spread": spread,
    }
    for name, sample in want.items():
        mean, error = getattr(found, name)
        scale = np.abs(sample).max()
        np.testing.assert_allclose(mean, sample.mean(axis=0), rtol=0, atol=1e3 * EPS * scale)
        np.testing.assert_allclose(
            error, sample.std(axis=0, ddof=1) / np.sqrt(500), rtol=1e-3, atol=1e3 * EPS * scale
        )
    after = np.asarray(paths.belief_after, np.float64)
    in_truth = np.where(np.asarray(paths.high)[:, None], after, 1 - after)
    prior = np.where(paths.high, 0.4, 0.6)[:, None]
    in_truth = np.concatenate([prior, in_truth], axis=1)
    for j, threshold in enumerate(THRESHOLDS):
        reached = in_truth >= threshold
        first = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
        counts = np.array([(first == t).sum() for t in range(21)])
        np.testing.assert_allclose(found.first_passage[j], counts / 500, atol=10 * EPS)
        np.testing.assert_allclose(found.not_reached[j], (first < 0).mean(), atol=10 * EPS)
        if (first >= 0).any():
            took = first[first >= 0]
            np.testing.assert_allclose(found.trades_to_reach.mean[j], took.mean(), rtol=1e-5)
    assert "500 paths of 20 trades" in str(found)


def within(estimate: Estimate, value: Any) -> bool:
    """Four standard errors; exact where the standard error is a rounding of zero."""
    mean, error = (np.asarray(x, np.float64) for x in estimate)
    size = np.abs(np.asarray(value)).max()
    return bool(np.all(np.abs(mean - value) <= 4 * error + 1e4 * EPS * size))


def test_a_million_days() -> None:
    """1e6 paths of 200 trades: who earns what, and every exact law, within four standard errors."""
    params = Params(90.0, 110.0, 0.5, 0.3)
    found = simulate_summary(KEY, params, num_trades=200, num_paths=1_000_000)
    exact = expected(params, num_trades=200)
    informed, loss = found.informed_profit, found.uninformed_profit
    assert informed.mean > 100 * informed.standard_error
    assert loss.mean < -100 * loss.standard_error
    assert within(found.uninformed_surprise, 0.0)
    assert within(found.dealer_profit, 0.0)
    assert within(found.belief, 0.5)
    assert within(found.informed_share, 0.3)
    assert within(found.imbalance, 0.3)
    assert within(found.half_spread, 0.7 * float(jnp.sum(exact.spread)) / 2)
    assert within(informed, 0.7 * float(jnp.sum(exact.spread)) / 2)
    assert within(found.spread, np.asarray(exact.spread))
    for j, threshold in enumerate(np.asarray(found.thresholds)):
        law = first_passage(params, threshold=threshold, num_trades=200)
        chance = np.asarray(law.probability, np.float64)
        error = np.sqrt(chance * (1 - chance) / 1e6)
        # four errors for one number, more for two hundred: Bonferroni at the same level
        assert np.all(np.abs(found.first_passage[j] - chance) <= 5.1 * error + 1e-6)
        missed = float(law.not_reached)
        assert abs(float(found.not_reached[j]) - missed) <= 4 * np.sqrt(missed / 1e6) + 1e-6


def test_a_threshold_met_exactly_counts() -> None:
    """alpha = .5: two net buys are 9/10; alpha = .8: one is. So is the law's mean."""
    for alpha, mean in ((0.5, 4.0), (0.8, 1.25)):
        found = simulate_summary(
            KEY, Params(alpha=alpha), num_trades=300, num_paths=20_000, thresholds=(0.9,)
        )
        assert float(found.not_reached[0]) == 0
        assert within(jax.tree.map(lambda x: x[0], found.trades_to_reach), mean)


def test_ends_and_bad_lanes() -> None:
    """No NaN at alpha in {0, 1} or mu_0 in {0, 1}; a traced bad parameter is NaN throughout."""
    for alpha in (0.0, 1.0):
        for mu_0 in (0.0, 0.5, 1.0):
            found = simulate_summary(
                KEY, Params(90.0, 110.0, mu_0, alpha), num_trades=3, num_paths=50
            )
            means = [x.mean for x in found if isinstance(x, Estimate)][:-1]
            assert all(np.isfinite(x).all() for x in means)
            if mu_0 != 0.5 or alpha == 0:
                assert float(jnp.max(found.spread.mean)) == 0

    def lane(alpha: jax.Array, threshold: jax.Array) -> Any:
        paths = simulate(KEY, Params(alpha=alpha), num_trades=3, num_paths=4)
        found = summary(paths, thresholds=threshold[None])
        return paths.ask, found.not_reached[0]

    ask, missed = jax.jit(jax.vmap(lane))(np.array([0.3, -0.1, 0.3]), np.array([0.9, 0.9, 0.0]))
    np.testing.assert_array_equal(np.isnan(ask).all(axis=(1, 2)), [False, True, False])
    np.testing.assert_array_equal(np.isnan(missed), [False, True, True])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(num_trades=0), "num_trades"),
        (dict(num_paths=0), "num_paths"),
        (dict(value="high"), "value"),
        (dict(params=Params(V_L=110.0, V_H=90.0)), "V_L < V_H"),
        (dict(params=Params(alpha=1.5)), "alpha"),
        (dict(params=Params(mu_0=-0.5)), "mu_0"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    arguments: Any = dict(num_trades=3, num_paths=2) | change
    params = arguments.pop("params", Params())
    with pytest.raises(ValueError, match=message):
        simulate(KEY, params, **arguments)
    with pytest.raises(ValueError, match=message):
        simulate_summary(KEY, params, **arguments)


@pytest.mark.parametrize("thresholds", [(0.5, 1.5), 0.9, ((0.9,),)])
def test_bad_thresholds_are_named(thresholds: Any) -> None:
    with pytest.raises(ValueError, match="thresholds"):
        simulate_summary(KEY, Params(), num_trades=3, num_paths=2, thresholds=thresholds)
