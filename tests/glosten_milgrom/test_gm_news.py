"""Arriving information: against every order history in fractions, its ends, its base model."""

import itertools
from fractions import Fraction
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from diffeq import check
from diffeq.check import ConvergenceError
from diffeq.glosten_milgrom import binary_value as base
from diffeq.glosten_milgrom import learning, news, odds
from diffeq.glosten_milgrom.news import (
    Params,
    before_trade,
    quotes,
    residual,
    solve,
    spread,
    update,
)
from diffeq.glosten_milgrom.news_paths import (
    expected_spread,
    log_likelihood,
    log_odds_path,
    simulate,
)

DTYPE = jnp.result_type(float)
EPS = float(jnp.finfo(DTYPE).eps)
X64 = DTYPE == np.float64
ORDERS = (1, 1, -1, 1, 1)
SHORT, LONG = 7, 200
DAYS = {"num_trades": 30, "num_paths": 20_000}
"""The same shapes in every test: compiled once."""


class Market:
    """The five steps of the spec in fractions: one belief, exactly."""

    def __init__(self, alpha: str, mu_0: str, nu: str, V_L: int = 90, V_H: int = 110) -> None:
        self.alpha, self.mu_0, self.nu = map(Fraction, (alpha, mu_0, nu))
        self.V_L, self.V_H = V_L, V_H
        self.params = Params(float(V_L), float(V_H), float(mu_0), float(alpha), float(nu))

    def mixed(self, mu: Fraction) -> Fraction:
        return (1 - self.nu) * mu + self.nu * self.mu_0

    def chance(self, order: int, before: Fraction) -> Fraction:
        high, low = (1 + order * self.alpha) / 2, (1 - order * self.alpha) / 2
        return before * high + (1 - before) * low

    def posterior(self, order: int, before: Fraction) -> Fraction:
        return before * (1 + order * self.alpha) / 2 / self.chance(order, before)

    def price(self, order: int, before: Fraction) -> Fraction:
        mu = self.posterior(order, before)
        return mu * self.V_H + (1 - mu) * self.V_L

    def spread(self, before: Fraction) -> Fraction:
        return self.price(1, before) - self.price(-1, before)

    def expected_spreads(self, num_trades: int) -> list[Fraction]:
        """By all 2^(t−1) histories."""
        states, found = [(Fraction(1), self.mu_0)], []
        for _ in range(num_trades):
            states = [(weight, self.mixed(mu)) for weight, mu in states]
            found.append(sum((w * self.spread(mu) for w, mu in states), Fraction(0)))
            states = [
                (w * self.chance(o, mu), self.posterior(o, mu))
                for w, mu in states
                for o in (1, -1)
                if self.chance(o, mu)
            ]
        return found

    def probability(self, orders: tuple[int, ...]) -> Fraction:
        """By all paths of V, not by the filter."""
        total = Fraction(0)
        prior = {1: self.mu_0, -1: 1 - self.mu_0}
        for path in itertools.product((1, -1), repeat=len(orders)):
            weight = prior[path[0]]
            for a, b in itertools.pairwise(path):
                weight *= (1 - self.nu) * (a == b) + self.nu * prior[b]
            for order, high in zip(orders, path, strict=True):
                weight *= (1 + order * high * self.alpha) / 2
            total += weight
        return total


MARKETS = [
    Market("0.3", "0.5", "0.05"),
    Market("0.7", "0.2", "0.01"),
    Market("0.05", "0.9", "0.5"),
    Market("0.5", "0.001", "0.001"),
    Market("0.3", "0.4", "0"),
    Market("0.3", "0.4", "1"),
    Market("0", "0.4", "0.1"),
    Market("1", "0.4", "0.1"),
    Market("1", "0.4", "0"),
    Market("0.3", "0", "0.1"),
    Market("0.3", "1", "0.1"),
    Market("1", "1", "0"),
]


# References of the spec


@pytest.mark.float64
def test_the_references_of_the_spec() -> None:
    got = np.asarray(expected_spread(Params(), num_trades=SHORT).spread)
    np.testing.assert_allclose(got[[0, 1, 4]], [6, 5.5532456137, 4.7072750941], 0, 5e-11)
    assert abs(float(odds.belief(log_odds_path(ORDERS, Params())[-1])) - 0.8398580287) <= 5e-11


# Against enumeration


@pytest.mark.parametrize("market", MARKETS)
def test_the_filter_is_bayes_with_fractions(market: Market) -> None:
    """Beliefs, quotes, spread and the likelihood of a sequence that every market can produce."""
    orders = ORDERS
    if market.alpha == 1 and (market.nu == 0 or market.mu_0 in (0, 1)):
        orders = (1,) * 5 if market.mu_0 else (-1,) * 5
    got = log_odds_path(orders, market.params)
    mu = market.mu_0
    for order, at in zip((*orders, None), got, strict=True):
        np.testing.assert_allclose(odds.belief(at), float(mu), 32 * EPS, 0)
        before = market.mixed(mu)
        np.testing.assert_allclose(
            odds.belief(before_trade(at, market.params)), float(before), 32 * EPS, 0
        )
        prices = quotes(at, market.params)
        for name, side in (("bid", -1), ("ask", 1)):
            if market.chance(side, before):
                price = float(market.price(side, before))
                np.testing.assert_allclose(getattr(prices, name), price, 32 * EPS)
        if market.chance(1, before) and market.chance(-1, before):
            size = float(market.spread(before))
            np.testing.assert_allclose(spread(at, market.params), size, 64 * EPS, 0)
        if order is not None:
            mu = market.posterior(order, before)
    likelihood = float(mp.log(mp.mpf(market.probability(orders).numerator))) - float(
        mp.log(mp.mpf(market.probability(orders).denominator))
    )
    np.testing.assert_allclose(
        log_likelihood(np.array(orders), market.params), likelihood, 64 * EPS
    )


@pytest.mark.parametrize("market", MARKETS)
def test_expected_spreads_are_those_of_all_histories(market: Market) -> None:
    if market.alpha == 1 and (market.nu == 0 or market.mu_0 in (0, 1)):
        exact = [Fraction(20) if 0 < market.mu_0 < 1 else Fraction(0), *[Fraction(0)] * (SHORT - 1)]
    else:
        exact = market.expected_spreads(SHORT)
    got = check(expected_spread(market.params, num_trades=SHORT)).spread
    scale = max(float(exact[0]), EPS)
    np.testing.assert_allclose(got, [float(x) for x in exact], 0, scale * (1e-12 if X64 else 1e-4))


@pytest.mark.float64
def test_expected_spreads_go_on_where_enumeration_cannot() -> None:
    """200 trades: nu = 0 is the base model's exact law; nu > 0 stays above the least spread and
    settles; nodes too few are flagged, not wrong.
    """
    exact = learning.expected(base.Params(alpha=0.3), num_trades=LONG).spread
    got = check(expected_spread(Params(nu=0.0), num_trades=LONG)).spread
    np.testing.assert_allclose(got, exact, 0, 1e-10)
    settled = check(expected_spread(Params(), num_trades=LONG, num_nodes=64)).spread
    assert float(settled.min()) > float(solve(Params()).least_spread)
    assert abs(float(settled[-1] - settled[-2])) < 1e-8
    few = expected_spread(Params(nu=0.0), num_trades=LONG, num_nodes=64)
    assert not bool(few.info.converged) and np.isnan(few.spread).all()
    with pytest.raises(ConvergenceError):
        check(few)


def test_simulated_markets_follow_the_expectations() -> None:
    """Orders, redraws, spreads; the market maker breaks even; informed gain what others lose."""
    params = Params(mu_0=0.4, nu=0.1)
    paths = simulate(jax.random.key(3), params, **DAYS)
    high = np.asarray(paths.value) > 100
    for t in (0, 5, 29):
        helpers.assert_mean(high[:, t], 0.4, "V")
    helpers.assert_mean(high[:, 1:] != high[:, :-1], 0.1 * 2 * 0.4 * 0.6, "redraws")
    helpers.assert_mean(paths.informed, 0.3, "informed")
    informed = np.asarray(paths.informed)
    np.testing.assert_array_equal((np.asarray(paths.order) == 1)[informed], high[informed])
    helpers.assert_mean((np.asarray(paths.order) == 1)[~informed], 0.5, "uninformed buys")
    expected = expected_spread(params, num_trades=LONG, num_nodes=64).spread[:30]
    size = np.asarray(paths.ask - paths.bid)
    helpers.assert_mean(size[:, 1:], expected[1:], "spread")
    np.testing.assert_allclose(size[:, 0], expected[0], 64 * EPS)
    profit = np.asarray(paths.profit, np.float64)
    helpers.assert_mean(profit.sum(axis=1), 0, "market maker")
    assert profit[informed].min() >= -1e-3 and profit[~informed].mean() < 0
    # the record is the filter's, applied to the orders
    again = jax.vmap(lambda orders: log_odds_path(orders, params))(paths.order[:50].astype(int))
    np.testing.assert_allclose(paths.log_odds_after[:50], again[:, 1:], 0, 256 * EPS)


# Conditions and limits


def test_zero_profit_and_the_drift_of_the_belief() -> None:
    at = jnp.linspace(-30, 30, 13)
    for nu in (0.0, 0.05, 1.0):
        params = Params(mu_0=0.3, nu=nu)
        for name, gap in residual(quotes(at, params), at, params)._asdict().items():
            assert float(jnp.max(gap)) <= 64 * EPS, (name, nu)
    one = quotes(0.4, Params())
    wrong = residual(base.Quotes(one.bid - 0.1, one.ask + 0.1), 0.4, Params())
    assert min(float(wrong.ask), float(wrong.bid)) > 1e-4
    with pytest.raises(ValueError, match="quotes.bid"):
        residual(one, jnp.zeros(3), Params())


@pytest.mark.parametrize("nu", [0.0, 1e-300, 1e-12, 0.05, 0.999, 1.0])
@pytest.mark.parametrize("mu_0", [1e-300 if X64 else 1e-30, 1e-9, 0.3, 0.75, 1 - EPS / 2])
def test_the_mixture_never_saturates(mu_0: float, nu: float) -> None:
    """log-odds of (1−nu) mu + nu mu_0 in 800 digits, for beliefs far beyond what mu can hold."""
    mu_0, nu = DTYPE.type(mu_0), DTYPE.type(nu)
    at = np.array([-1e4, -700, -90, -36.7, -1, 0, 0.3, 17, 80, 745, 1e4], DTYPE)
    got = before_trade(at, Params(mu_0=mu_0, nu=nu))
    for x, y in zip(at, np.asarray(got), strict=True):
        with mp.workdps(800):  # no difference cancels but 1 − 1e-300
            p, n, o = mp.mpf(float(mu_0)), mp.mpf(float(nu)), mp.exp(mp.mpf(float(x)))
            high, low = (1 - n) * o / (1 + o) + n * p, (1 - n) / (1 + o) + n * (1 - p)
            exact = float(mp.log(high / low))
        # 1−mu_0 is rounded where mu_0 < 1/2, 1−nu likewise: absolute errors of a few eps
        assert abs(float(y) - exact) <= 8 * EPS * max(1, abs(exact)), (x, y, exact)
    if nu == 0:
        np.testing.assert_array_equal(got, at)


def test_without_news_it_is_the_base_model_bit_for_bit() -> None:
    at = jnp.concatenate([jnp.linspace(-800, 800, 41), jnp.array([jnp.inf, -jnp.inf])])
    for alpha in (0.0, 0.3, 1.0):
        params = Params(mu_0=0.3, alpha=alpha, nu=0.0)
        old = news.static(params)
        helpers.assert_same_bits(before_trade(at, params), at.astype(DTYPE))
        helpers.assert_same_bits(quotes(at, params), base.quotes(at, old))
        helpers.assert_same_bits(spread(at, params), base.spread(at, old))
        for order in (1, -1):
            helpers.assert_same_bits(update(at, order, params), base.update(at, order, old))
    paths = simulate(jax.random.key(0), Params(nu=0.0), **DAYS)
    assert (np.asarray(paths.value) == np.asarray(paths.value)[:, :1]).all()  # V drawn once
    likelihood = [  # mu_0 L(buys, sells) + (1−mu_0) L(sells, buys)
        m * (1 + a) ** 4 * (1 - a) / 32 + (1 - m) * (1 - a) ** 4 * (1 + a) / 32
        for m, a in [(0.4, 0.3)]
    ]
    got = log_likelihood(ORDERS, Params(mu_0=0.4, nu=0.0))
    np.testing.assert_allclose(got, np.log(likelihood[0]), 16 * EPS)


def test_with_news_every_time_the_spread_is_constant() -> None:
    params = Params(mu_0=0.3, nu=1.0)
    at = jnp.array([-jnp.inf, -50.0, 0.0, 50.0, jnp.inf])
    np.testing.assert_allclose(spread(at, params), float(solve(params).spread), 16 * EPS)
    found = solve(params)
    np.testing.assert_allclose(found.least_spread, found.spread, 16 * EPS)


@pytest.mark.parametrize("alpha", [0.0, 1e-6, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("nu", [1e-6, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("mu_0", [0.003, 0.5, 0.8])
def test_the_limits_are_the_ends_of_endless_runs(alpha: float, nu: float, mu_0: float) -> None:
    """The fixed points in 60 digits by bisection of the one-period map; the spread there."""
    alpha, nu, mu_0 = (DTYPE.type(x) for x in (alpha, nu, mu_0))
    found = check(solve(Params(alpha=alpha, nu=nu, mu_0=mu_0)))
    with mp.workdps(60):
        a, n, p = (mp.mpf(float(x)) for x in (alpha, nu, mu_0))
        for order, at, size in (
            (1, found.log_odds_buys, found.spread_buys),
            (-1, found.log_odds_sells, found.spread_sells),
        ):

            def excess(y: Any, order: int = order) -> Any:
                up = y * (1 + order * a)
                return (1 - n) * up / (up + (1 - y) * (1 - order * a)) + n * p - y

            low, high = mp.mpf(0), mp.mpf(1)
            for _ in range(190):
                middle = (low + high) / 2
                low, high = (middle, high) if excess(middle) > 0 else (low, middle)
            y = (low + high) / 2
            exact = float(mp.log(y / (1 - y)))
            assert abs(float(at) - exact) <= 64 * EPS * max(1, abs(exact))
            width = 80 * a * y * (1 - y) / (1 - a**2 * (2 * y - 1) ** 2)
            np.testing.assert_allclose(size, float(width), 128 * EPS * max(1, abs(exact)), 0)
    # a run of 400 buys gets there from above and below, and never beyond
    assert float(found.least_spread) == min(float(found.spread_buys), float(found.spread_sells))
    assert float(found.least_spread) <= float(found.spread) * (1 + 8 * EPS)


# Ends and derivatives


def fields(theta: jax.Array) -> jax.Array:
    params, orders = Params(*theta), jnp.array([1, 1, -1])
    path = log_odds_path(orders, params)
    found = solve(params)
    some = jnp.where(params.nu == 0, 0.05, params.nu)  # nu = 0 needs more nodes: its own test
    expected = expected_spread(params._replace(nu=some), num_trades=3, num_nodes=64)
    return jnp.concatenate(
        [
            jnp.stack([*found[:4], *found[6:9], log_likelihood(orders, params)]),
            jnp.concatenate([*quotes(path, params), spread(path, params)]),
            expected.spread,
        ]
    )


lanes = jax.jit(jax.vmap(helpers.jacobians(fields)))
"""Values and slopes in both modes: three lanes everywhere, so that it compiles once."""


def alone(theta: Any) -> tuple[np.ndarray, ...]:
    """Values, slopes forward and in reverse, of one lane."""
    return tuple(np.asarray(x)[0] for x in lanes(np.tile(np.asarray(theta, DTYPE), (3, 1))))


@pytest.mark.float64
def test_derivatives_three_ways() -> None:
    theta = np.array([90.0, 110.0, 0.35, 0.4, 0.07])
    _, forward, reverse = alone(theta)
    helpers.assert_close_by_norm(forward, reverse, 1e-12)
    helpers.assert_close_by_norm(helpers.differences(lambda x: alone(x)[0], theta), forward, 1e-9)


@pytest.mark.float64
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("nu", [0.05, 1.0])
@pytest.mark.parametrize("mu_0", [0.4])
def test_derivatives_at_the_ends_are_one_sided_limits(alpha: float, nu: float, mu_0: float) -> None:
    """At alpha = 1 and nu = 1 the slopes are those just inside: the limit is approached."""
    end = alone([90.0, 110.0, mu_0, alpha, nu])[1]
    inside = [min(max(x, 1e-9), 1 - 1e-9) for x in (alpha, nu)]
    near = alone([90.0, 110.0, mu_0, *inside])[1]
    assert np.isfinite(end).all()
    end, near = (np.delete(x, 6, axis=0) for x in (end, near))  # the smaller of two equal spreads
    # 1e-9 inside, a slope has moved by some thousand times that
    helpers.assert_close_by_norm(end, near, 1e-5)


@pytest.mark.float64
def test_no_end_gives_nan() -> None:
    """All 27 corners: finite values (but log 0 of an impossible sequence), no NaN in any slope."""
    for alpha, mu_0, nu in itertools.product((0.0, 0.3, 1.0), (0.0, 0.4, 1.0), (0.0, 0.05, 1.0)):
        values, *jacobians = alone([90.0, 110.0, mu_0, alpha, nu])
        assert not np.isnan(values).any() and not np.isposinf(values).any()
        assert np.isfinite(values).all() or alpha == 1
        for slopes in jacobians:
            assert not np.isnan(slopes).any(), (alpha, mu_0, nu)


@pytest.mark.float64
def test_expected_spreads_have_slopes_without_news_too() -> None:
    @jax.jit
    def slopes(theta: jax.Array) -> jax.Array:
        return jax.jacfwd(lambda theta: expected_spread(Params(*theta), num_trades=3).spread)(theta)

    for alpha, mu_0 in itertools.product((0.0, 0.3, 1.0), (0.0, 0.4, 1.0)):
        assert np.isfinite(slopes(jnp.array([90.0, 110.0, mu_0, alpha, 0.0]))).all(), (alpha, mu_0)


@pytest.mark.float64
@pytest.mark.parametrize("mu_0", [0.0, 1.0])
def test_slopes_in_a_certain_prior_are_exact(mu_0: float) -> None:
    """d/d mu_0 at 0 and 1, through the whole path, against differences inside the domain."""
    step = 1e-6 if mu_0 == 0 else -1e-6
    at = np.array([90.0, 110.0, mu_0, 0.3, 0.05])
    rows = [alone(at + np.eye(5)[2] * k * step)[0] for k in range(4)]
    slope = (-11 * rows[0] + 18 * rows[1] - 9 * rows[2] + 2 * rows[3]) / (6 * step)
    keep = np.r_[0:4, 7 : len(slope)]  # the limits of runs jump at certainty
    helpers.assert_close_by_norm(alone(at)[1][keep, 2], slope[keep], 1e-7)


@pytest.mark.float64
def test_alpha_and_nu_are_found_by_maximum_likelihood() -> None:
    """The score has mean zero at the truth: what an estimator rests on."""
    params = Params(nu=0.1, alpha=0.4)
    orders = simulate(jax.random.key(5), params, **DAYS).order
    score = jax.jit(jax.vmap(lambda o: jnp.stack(jax.grad(log_likelihood, 1)(o, params)[2:])))
    helpers.assert_mean(score(orders), np.zeros(3), "score")


# Bad input


def test_bad_lanes_are_poisoned_alone() -> None:
    good = np.tile(np.array([90.0, 110.0, 0.4, 0.3, 0.05], DTYPE), (3, 1))
    unharmed = lanes(good)
    for leaf, value in ((4, 1.5), (4, -0.1), (3, 2.0), (2, np.nan), (0, 120.0)):
        bad = good.copy()
        bad[1, leaf] = value
        for array, other in zip(lanes(bad), unharmed, strict=True):
            assert np.isnan(np.asarray(array)[1]).all()
            helpers.assert_same_bits(np.asarray(array)[[0, 2]], np.asarray(other)[[0, 2]])


def test_bad_input_is_refused_by_name() -> None:
    for call in (
        lambda p: solve(p),
        lambda p: quotes(0.0, p),
        lambda p: log_odds_path(ORDERS, p),
        lambda p: expected_spread(p, num_trades=2),
        lambda p: simulate(jax.random.key(0), p, num_trades=2),
    ):
        with pytest.raises(ValueError, match="nu"):
            call(Params(nu=1.5))
        with pytest.raises(ValueError, match="V_L"):
            call(Params(V_L=200.0))
        with pytest.raises(TypeError, match="Params"):
            call(base.Params())
    with pytest.raises(ValueError, match="order"):
        update(0.0, 0, Params())
    for bad in ([1, 0], [[1, -1]], 1):
        with pytest.raises(ValueError, match="orders"):
            log_likelihood(bad, Params())
    with pytest.raises(ValueError, match="num_trades"):
        expected_spread(Params(), num_trades=0)
    unknown = jax.jit(lambda o: log_odds_path(o, Params()))(jnp.array([1, 2]))
    assert np.isnan(np.asarray(unknown)[1:]).all()
