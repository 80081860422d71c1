"""The base model: its closed forms against 400 digits, its ends, its invariances, its refusals."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffeq import check
from diffeq.check import ConvergenceError
from diffeq.glosten_milgrom import odds
from diffeq.glosten_milgrom.binary_value import (
    BUY,
    SELL,
    Params,
    Quotes,
    expected_value,
    log_odds_step,
    quotes,
    residual,
    solve,
    spread,
    update,
)

DTYPE = jnp.result_type(float)
EPS, TINY = float(jnp.finfo(DTYPE).eps), float(jnp.finfo(DTYPE).tiny)
X64 = DTYPE == np.float64
RELATIVE = 1e-14 if X64 else 12 * EPS
EDGE = 700.0 if X64 else 80.0
LOG_ODDS = np.unique(
    np.concatenate(
        [
            [0.0, 1e-300, 1e-9, 0.3, 1.0, 5.0, 17.0, 36.7, 60.0, EDGE],
            np.random.default_rng(0).uniform(0, EDGE, 20),
            np.random.default_rng(1).uniform(0, 5, 10),
        ]
    ).astype(DTYPE)
)
LOG_ODDS = np.concatenate([-LOG_ODDS[::-1], LOG_ODDS])
ALPHAS = (0.0, 1e-300, 1e-12, 1e-3, 0.3, 0.5, 0.97, 1 - 1e-6, 1 - EPS, 1.0)
VALUES = ((90.0, 110.0), (0.0, 1.0), (-1.0, 3.0), (-2.0, -1.0), (1e6 - 1, 1e6 + 1), (-1e30, 1e20))


class Exact:
    """The formulas of the spec as they stand, in 700 digits, at one belief given by log-odds."""

    def __init__(self, log_odds: Any, alpha: Any, V_L: Any, V_H: Any) -> None:
        at = mp.mpf(float(log_odds))
        mu, rest = 1 / (1 + mp.exp(-at)), 1 / (1 + mp.exp(at))
        a, low, high = mp.mpf(float(alpha)), mp.mpf(float(V_L)), mp.mpf(float(V_H))
        self.low, self.high = low, high
        buy, sell = 1 + a * (2 * mu - 1), 1 - a * (2 * mu - 1)
        self.ask = (mu * (1 + a) * high + rest * (1 - a) * low) / buy
        self.bid = (mu * (1 - a) * high + rest * (1 + a) * low) / sell
        self.value = mu * high + rest * low
        self.spread = 4 * a * mu * rest * (high - low) / (1 - a**2 * (2 * mu - 1) ** 2)
        # what the terms of each price are as large as: beside them a price may be rounding
        self.ask_size = (mu * (1 + a) * abs(high) + rest * (1 - a) * abs(low)) / buy
        self.bid_size = (mu * (1 - a) * abs(high) + rest * (1 + a) * abs(low)) / sell
        self.value_size = mu * abs(high) + rest * abs(low)


def worst(got: Any, exact: list[Any], size: list[Any]) -> float:
    gaps = [
        abs(mp.mpf(float(g)) - e) / s if s else abs(mp.mpf(float(g)))
        for g, e, s in zip(np.asarray(got), exact, size, strict=True)
        if not s or s > 2 * TINY
    ]
    return float(max(gaps, default=0))


# The closed forms


@pytest.mark.parametrize("values", VALUES)
def test_quotes_and_spread_are_those_of_700_digits(values: tuple[float, float]) -> None:
    """Prices relative to their terms, the spread relative to itself, however certain the belief.

    Prices that are subnormal, and a spread that is a subnormal share of V_H − V_L, have fewer
    digits by definition: left out.
    """
    for alpha in np.asarray(ALPHAS, DTYPE):
        params = Params(*map(float, values), 0.5, float(alpha))
        got = quotes(LOG_ODDS, params)
        with mp.workdps(700):
            V_L, V_H = np.asarray(values, DTYPE)
            exact = [Exact(at, alpha, V_L, V_H) for at in LOG_ODDS]
            for name, price in (
                ("bid", got.bid),
                ("ask", got.ask),
                ("value", expected_value(LOG_ODDS, params)),
            ):
                size = [getattr(x, f"{name}_size") for x in exact]
                gap = worst(price, [getattr(x, name) for x in exact], size)
                assert gap <= RELATIVE, (name, alpha, gap)
            shares = [x.spread / (x.high - x.low) for x in exact]
            keep = [i for i, share in enumerate(shares) if not alpha or share > 2 * TINY]
            spreads = [exact[i].spread for i in keep]
            gap = worst(np.asarray(spread(LOG_ODDS, params))[keep], spreads, spreads)
            assert gap <= RELATIVE, ("spread", alpha, gap)


def test_the_references_of_the_spec() -> None:
    solution = solve(Params(90.0, 110.0, 0.5, 0.3))
    helpers.assert_close(np.array(solution[:4]), np.array([97.0, 103.0, 100.0, 6.0]), 4 * EPS)
    assert bool(solution.info.converged) and float(solution.info.residual) <= 8 * EPS
    assert check(solution) is solution
    for alpha in (0.1, 0.5, 0.9):  # at even odds alpha (V_H − V_L), midpoint E[V]
        even = solve(Params(-3.0, 5.0, 0.5, alpha))
        helpers.assert_close(even.spread, alpha * 8, 4 * EPS)
        helpers.assert_close((even.bid + even.ask) / 2, 1.0, 4 * EPS)
    off = solve(Params(90.0, 110.0, 0.8, 0.3))  # and only there
    assert abs(float(off.bid + off.ask) / 2 - float(off.value)) > 0.1


@given(
    at=st.floats(-800, 800) if X64 else st.floats(-90, 90, width=32),
    alpha=st.floats(0, 1, width=64 if X64 else 32),
    low=st.floats(-1e6, 1e6, width=64 if X64 else 32),
    width=st.floats(2**-10, 1e6, width=64 if X64 else 32),
)
def test_bid_is_at_most_ask_and_both_lie_between_the_values(
    at: float, alpha: float, low: float, width: float
) -> None:
    """A crossed market would be a money pump. Rounding may cross it by an ulp of the prices."""
    V_L, V_H = np.asarray(low, DTYPE), np.asarray(low + width, DTYPE)
    if not V_L < V_H:
        return
    params = Params(V_L, V_H, 0.5, np.asarray(alpha, DTYPE))
    bid, ask = map(float, quotes(at, params))
    slack = 4 * EPS * max(abs(float(V_L)), abs(float(V_H)))
    assert float(V_L) - slack <= bid <= ask + slack <= float(V_H) + 2 * slack
    assert float(spread(at, params)) >= 0
    # the spread is the difference of the two, up to the rounding of the two
    assert abs(float(spread(at, params)) - (ask - bid)) <= 2 * slack


def test_translation_scale_and_mirror() -> None:
    """V + c moves the quotes by c, kV multiplies them; mu → 1−mu, V → −V swaps bid and ask."""
    for alpha in (0.0, 0.3, 0.9, 1.0):
        unit = quotes(LOG_ODDS, Params(0.0, 1.0, 0.5, alpha))
        moved = quotes(LOG_ODDS, Params(128.0, 129.0, 0.5, alpha))
        grown = quotes(LOG_ODDS, Params(0.0, 1024.0, 0.5, alpha))
        mirror = quotes(-LOG_ODDS, Params(-1.0, 0.0, 0.5, alpha))
        for name in Quotes._fields:
            price = np.asarray(getattr(unit, name))
            np.testing.assert_allclose(getattr(moved, name), 128 + price, 4 * EPS, 0)
            np.testing.assert_array_equal(getattr(grown, name), 1024 * price)
        # exact but at certainty's log-odds ±0, where "likelier" is V_H on both sides
        np.testing.assert_allclose(-np.asarray(mirror.bid), unit.ask, 4 * EPS, TINY)
        np.testing.assert_allclose(-np.asarray(mirror.ask), unit.bid, 4 * EPS, TINY)
        helpers.assert_same_bits(
            spread(LOG_ODDS, Params(alpha=alpha)), spread(-LOG_ODDS, Params(alpha=alpha))
        )


# Learning


def test_zero_profit_and_martingale() -> None:
    """The conditions hold at the quotes, and are seen to fail beside them."""
    for alpha in ALPHAS:
        params = Params(alpha=alpha)
        at = LOG_ODDS[np.abs(LOG_ODDS) < (650 if X64 else 70)]
        for name, gap in residual(quotes(at, params), at, params)._asdict().items():
            # the posterior's log-odds are rounded: an absolute error of |log-odds| eps
            assert np.all(np.asarray(gap) <= (64 + 2 * np.abs(at)) * EPS), (name, alpha)
    good = quotes(0.4, Params())
    wrong = residual(Quotes(good.bid - 0.1, good.ask + 0.1), 0.4, Params())
    assert min(float(wrong.ask), float(wrong.bid)) > 1e-4
    with pytest.raises(ValueError, match="quotes.bid"):
        residual(good, jnp.zeros(3), Params())


def test_the_belief_is_a_martingale_with_the_drift_of_the_spec() -> None:
    """E[mu'|mu] = mu; under V_H mu rises by 4 alpha² mu(1−mu)²/(1 − alpha²(2mu−1)²)."""
    for alpha in (0.01, 0.3, 0.9):
        for mu in (0.02, 0.5, 0.7, 0.99):
            params, at = Params(alpha=alpha), odds.log_odds(mu)
            up, down = (float(odds.belief(update(at, o, params))) for o in (BUY, SELL))
            chance = (1 + alpha * (2 * mu - 1)) / 2
            assert abs(chance * up + (1 - chance) * down - mu) <= 8 * EPS
            drift = (1 + alpha) / 2 * up + (1 - alpha) / 2 * down - mu
            formula = 4 * alpha**2 * mu * (1 - mu) ** 2 / (1 - alpha**2 * (2 * mu - 1) ** 2)
            assert abs(drift - formula) <= 8 * EPS


def test_an_order_moves_the_log_odds_by_one_step_and_never_saturates() -> None:
    for alpha in (0.0, 1e-12, 0.3, 0.999):
        with mp.workdps(60):
            a = mp.mpf(float(np.asarray(alpha, DTYPE)))
            step = float(mp.log((1 + a) / (1 - a)))
        helpers.assert_close(log_odds_step(Params(alpha=alpha)), DTYPE.type(step), 4 * EPS)
        helpers.assert_close(update(0.0, BUY, Params(alpha=alpha)), DTYPE.type(step), 4 * EPS)
    at = odds.log_odds(0.5)
    for _ in range(200):  # mu itself is 1 after some 60
        at = update(at, BUY, Params())
    assert float(odds.belief(at)) == 1
    for _ in range(200):
        at = update(at, SELL, Params())
    assert abs(float(at)) <= 400 * 124 * EPS
    moved = update(jnp.zeros(3), jnp.array([1, -1, 1]), Params())
    np.testing.assert_array_equal(np.sign(moved), [1, -1, 1])


def test_certainty_stays_and_full_information_reveals() -> None:
    certain = jnp.array([jnp.inf, -jnp.inf])
    for alpha in (0.0, 0.3, 1.0):
        for order in (BUY, SELL):
            np.testing.assert_array_equal(update(certain, order, Params(alpha=alpha)), certain)
    full = Params(alpha=1.0)
    assert float(log_odds_step(full)) == np.inf
    assert float(update(3.0, SELL, full)) == -np.inf and float(update(-3.0, BUY, full)) == np.inf
    assert np.isnan(float(jax.jit(lambda o: update(0.0, o, Params()))(2)))


# The ends


def one_sided(mu: float, alpha: float) -> dict[str, tuple[float, float]]:
    """d/d mu and d/d alpha of bid, ask and spread for V in {0, 1}, NaN where there is none."""
    with mp.workdps(40):
        m, a, r = mp.mpf(mu), mp.mpf(alpha), 1 - mp.mpf(mu)
        rows = {}
        for name, sign in (("ask", 1), ("bid", -1)):
            total = 1 + sign * a * (2 * m - 1)
            slopes = (1 - a**2, sign * 2 * m * r)
            rows[name] = tuple(float(x / total**2) if total else np.nan for x in slopes)
        rows["spread"] = tuple(x - y for x, y in zip(rows["ask"], rows["bid"], strict=True))
        return rows


@jax.jit
def opening(at: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Bid, ask and spread for V in {0, 1} by (mu, alpha), and their slopes in both modes."""

    def fields(at: jax.Array) -> jax.Array:
        solution = solve(Params(0.0, 1.0, at[0], at[1]))
        return jnp.stack([solution.bid, solution.ask, solution.spread])

    return fields(at), jax.jacfwd(fields)(at), jax.jacrev(fields)(at)


@pytest.mark.parametrize("mu", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_every_end_has_its_value_and_its_derivative(mu: float, alpha: float) -> None:
    """alpha and mu at 0 and 1: the limits of the formulas; where mu is certain, mu wins."""
    at = jnp.array([mu, alpha], DTYPE)
    got, *jacobians = map(np.asarray, opening(at))
    if mu in (0.0, 1.0):
        np.testing.assert_array_equal(got, [mu, mu, 0])
    elif alpha == 1:
        np.testing.assert_array_equal(got, [0, 1, 1])
    else:
        expected = [Exact(odds.log_odds(mu), alpha, 0, 1).bid, 0, 0]
        np.testing.assert_allclose(got[0], float(expected[0]), 8 * EPS)
    if alpha == 0:
        assert got[2] == 0
    slopes = one_sided(mu, alpha)
    for by in jacobians:
        assert np.isfinite(by).all()
        for row, name in zip(by, ("bid", "ask", "spread"), strict=True):
            for slope, true in zip(row, slopes[name], strict=True):
                assert np.isnan(true) or abs(slope - true) <= 64 * EPS * max(1, abs(true)), name


@pytest.mark.parametrize("mu", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("orders", [(BUY,), (SELL, SELL, BUY)])
def test_the_derivative_is_exact_through_learning_too(mu: float, orders: tuple[int, ...]) -> None:
    """d ask(mu after the orders)/d mu, with mu itself at its ends: by the chain in probabilities.

    At certainty an order changes the slope of mu by a likelihood ratio.
    """
    alpha, n = 0.3, sum(orders)

    def ask(mu: jax.Array) -> jax.Array:
        at = odds.log_odds(mu)
        for order in orders:
            at = update(at, order, Params(0.0, 1.0, 0.5, alpha))
        return quotes(at, Params(0.0, 1.0, 0.5, alpha)).ask

    k = ((1 + alpha) / (1 - alpha)) ** (n + 1)  # ask = E[V | one more buy]
    true = k / (k * mu + 1 - mu) ** 2
    for derivative in (jax.jit(jax.jacfwd(ask)), jax.jit(jax.jacrev(ask))):
        helpers.assert_close(derivative(jnp.asarray(mu, DTYPE)), DTYPE.type(true), 64 * EPS)


def test_belief_and_log_odds_are_inverse_to_their_ends() -> None:
    """In value and in slope: the derivative of belief(log_odds(mu)) is 1, also at 0 and 1."""
    for mu in (0.0, 1e-30, 0.3, 0.5, 1.0):
        mu_ = jnp.asarray(mu, DTYPE)
        helpers.assert_close(odds.belief(odds.log_odds(mu_)), mu_, 200 * EPS)
        slope = jax.grad(lambda mu: odds.belief(odds.log_odds(mu)))(mu_)
        helpers.assert_close(slope, DTYPE.type(1), 200 * EPS)
    assert float(odds.log_odds(1.0)) == np.inf and float(odds.log_odds(0.0)) == -np.inf


@pytest.mark.float64
def test_derivatives_three_ways() -> None:
    """Forward is reverse, and both the differences; in every parameter and the belief."""

    def fields(theta: jax.Array) -> jax.Array:
        params = Params(*theta[:4])
        moved = update(theta[4], BUY, params)
        return jnp.stack([*solve(params)[:4], *quotes(moved, params), spread(moved, params)])

    theta = np.array([90.0, 110.0, 0.35, 0.4, -1.3])
    compiled = jax.jit(helpers.jacobians(fields))
    helpers.assert_derivatives(compiled, theta, modes=1e-12, steps=1e-10)


def test_second_derivatives_are_exact_at_certainty_too() -> None:
    """Of the ask and the spread in mu and alpha, by the quotient rule; once NaN at mu in {0, 1}."""

    def fields(theta: jax.Array) -> jax.Array:
        found = solve(Params(0.0, 1.0, theta[0], theta[1]))
        return jnp.stack([found.ask, found.spread])

    far = 1e-200 if X64 else 1e-25
    theta = np.array([(mu, 0.3) for mu in (0.0, far, 0.5, 0.9, 1.0)], DTYPE)
    hessians = np.asarray(jax.jit(jax.vmap(jax.hessian(fields)))(theta), float)
    for (mu, a), got in zip(theta.astype(float), hessians, strict=True):
        x, rows = 2 * mu - 1, []
        for a_ in (a, -a):  # the bid is the ask of −alpha
            D = 1 + a_ * x
            by_both = -2 * a_ / D**2 - 2 * (1 - a_**2) * x / D**3
            by_mu, by_alpha = -4 * a_ * (1 - a_**2) / D**3, -4 * mu * (1 - mu) * x / D**3
            rows.append(np.array([[by_mu, by_both], [by_both, by_alpha]]))
        ask, bid = rows[0], rows[1] * [[1, -1], [-1, 1]]
        helpers.assert_close_by_norm(got[0], ask, 64 * EPS)
        helpers.assert_close_by_norm(got[1], ask - bid, 64 * EPS)


# Bad input


@jax.jit
@jax.vmap
def lane(theta: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
    """The solution, and everything else with its slopes, of a lane."""

    def of(theta: jax.Array) -> jax.Array:
        params = Params(*theta)
        moved = update(0.3, BUY, params)
        return jnp.stack([*solve(params)[:4], *quotes(0.3, params), spread(0.3, params), moved])

    return solve(Params(*theta)), (of(theta), jax.jacrev(of)(theta))


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"alpha": 1.2}, "alpha"),
        ({"alpha": -1e-9}, "alpha"),
        ({"mu_0": 1.1}, "mu_0"),
        ({"mu_0": np.nan}, "mu_0"),
        ({"V_L": 120.0}, "V_L"),
        ({"V_L": 110.0}, "V_L"),
        ({"V_H": np.inf}, "V_H"),
    ],
)
def test_bad_parameters_are_refused_by_name_and_flagged_when_traced(
    bad: dict[str, float], name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        solve(Params(**bad))
    with pytest.raises(ValueError, match=name):
        quotes(0.0, Params(**bad))
    good = jnp.array([90.0, 110.0, 0.4, 0.3], DTYPE)
    lanes = np.tile(good, (3, 1))
    for field, value in bad.items():
        lanes[1, Params._fields.index(field)] = value

    solution, found = lane(lanes)
    _, alone = lane(np.tile(good, (3, 1)))
    np.testing.assert_array_equal(solution.info.converged, [True, False, True])
    for array, other in zip(found, alone, strict=True):
        assert np.isnan(np.asarray(array)[1]).all()
        helpers.assert_same_bits(np.asarray(array)[[0, 2]], np.asarray(other)[[0, 2]])
    with pytest.raises(ConvergenceError, match=r"^glosten_milgrom: 1 of 3 lanes .*\(1,\)"):
        check(solution)


def test_bad_states_and_orders_are_refused() -> None:
    for order in (0, 2, 0.5, np.array([1, 0])):
        with pytest.raises(ValueError, match="order"):
            update(0.0, order, Params())
    with pytest.raises(ValueError, match="mu"):
        odds.log_odds(1.5)
    with pytest.raises(TypeError, match="log_odds"):
        quotes("even", Params())
    with pytest.raises(TypeError, match="Params"):
        quotes(0.0, (90.0, 110.0, 0.5, 0.3))
    assert np.isnan(float(jax.jit(odds.log_odds)(1.5)))
    for state in (jnp.nan, np.nan):
        assert np.isnan(np.asarray(quotes(state, Params()))).all()
