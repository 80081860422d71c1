"""Trade size: the paper's formulas in many digits, brute-force Bayes, deviations, every end."""

import itertools
import time
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from helpers import (
    assert_close,
    assert_close_by_norm,
    assert_derivatives,
    assert_same_bits,
    jacobians,
)

import diffeq
from diffeq.glosten_milgrom import binary_value as binary
from diffeq.glosten_milgrom import event_uncertainty as events
from diffeq.glosten_milgrom import odds
from diffeq.glosten_milgrom import trade_size as sizes

EPS = float(jnp.finfo(jnp.zeros(()).dtype).eps)
DTYPE = np.dtype(jnp.zeros(()).dtype)
X64 = EPS < 1e-10
LIMIT = 700 if X64 else 80
PRICES = ("bid_1", "bid_2", "ask_1", "ask_2")
FLOATS = (*PRICES, "psi_bid", "psi_ask")
ORDERS = (-2, -1, 1, 2)

# rows: log-odds, then the parameters
_quotes = jax.jit(jax.vmap(lambda x: sizes.quotes(x[0], sizes.Params(*x[1:]))))
_solve = jax.jit(jax.vmap(lambda x: sizes.solve(sizes.Params(*x))))
_slopes = jax.jit(
    jax.vmap(jacobians(lambda x: jnp.stack(sizes.solve(sizes.Params(*x))[:6])))
)  # of PRICES, psi_bid, psi_ask in this order
LANES = 1024


def array(x: Any) -> jax.Array:
    return jnp.asarray(x, DTYPE)


def padded(rows: Any) -> jax.Array:
    """The same shape for every test: one compilation."""
    rows = array(rows)
    return jnp.concatenate([rows, jnp.tile(rows[-1:], (LANES - len(rows), 1))])


def quotes_of(rows: Any) -> Any:
    return jax.tree.map(lambda x: np.asarray(x)[: len(rows)], _quotes(padded(rows)))


def solve_of(rows: Any) -> Any:
    return jax.tree.map(lambda x: np.asarray(x)[: len(rows)], _solve(padded(rows)))


def slopes_of(rows: Any) -> tuple[np.ndarray, ...]:
    """Values of FLOATS, their slopes forward and in reverse, each with a leading axis of rows."""
    return tuple(np.asarray(x)[: len(rows)] for x in _slopes(padded(rows)))


def exact(log_odds: Any, params: Any) -> dict[str, Any]:
    """The published formulas, term by term."""
    with mp.workdps(400):
        V_L, V_H, _, alpha, b, S_1, S_2, _ = (mp.mpf(float(x)) for x in params)
        mu = 1 / (1 + mp.exp(-mp.mpf(float(log_odds))))
        u_2, u_1 = (1 - alpha) * b / 2, (1 - alpha) * (1 - b) / 2

        def side(mu: Any) -> tuple[Any, ...]:
            top = S_2 * u_2 * mu * alpha + u_1 * u_2 * (S_2 - S_1)
            psi = min(mp.mpf(1), top / (mu * alpha * (S_1 * u_1 + S_2 * u_2)))
            low_1 = (1 - mu) * u_1 / (mu * alpha * (1 - psi) + u_1)
            low_2 = (1 - mu) * u_2 / (mu * alpha * psi + u_2)
            return psi, (V_H - V_L) * low_1, (V_H - V_L) * low_2

        psi_ask, ask_1, ask_2 = side(mu)
        psi_bid, bid_1, bid_2 = side(1 - mu)
        return {
            "ask_1": V_H - ask_1,
            "ask_2": V_H - ask_2,
            "bid_1": V_L + bid_1,
            "bid_2": V_L + bid_2,
            "psi_ask": psi_ask,
            "psi_bid": psi_bid,
        }


def markets(seed: int, count: int) -> np.ndarray:
    """Rows over many decades: certainty, alpha and b near their ends, sizes up to 1e6 apart."""
    rng, rows = np.random.default_rng(seed), []
    decades = 14 if X64 else 5

    def probability(k: int) -> float:
        edge = 10 ** rng.uniform(-decades, 0)
        return (rng.uniform(0.05, 0.95), edge, 1 - edge)[k]

    for k in range(count):
        at = (2 * rng.normal(), rng.uniform(-LIMIT, LIMIT))[k % 2]
        V_L = rng.normal() * (10.0, 1e6 if X64 else 1e3)[k % 3 // 2]
        V_H = V_L + (2.0 if k % 3 == 2 else 10 ** rng.uniform(-1, 3))
        S_1 = 10 ** rng.uniform(-3, 3)
        S_2 = S_1 * (1 + 10 ** rng.uniform(-4 if X64 else -2, 6 if k % 4 == 0 else 1))
        chances = probability(k % 5 % 3), probability(k % 7 % 3)
        rows.append([at, V_L, V_H, 0.5, *chances, S_1, S_2, 1.0])
    return np.array(rows, DTYPE)


# The quotes


def test_published_numbers() -> None:
    found = sizes.solve(sizes.Params(mu_0=0.5, alpha=0.3, b=0.2, S_1=1.0, S_2=2.0))
    tolerance = max(1e-10, 4 * EPS)
    assert_close(found.psi_ask, 0.58 / 0.9, tolerance)
    assert abs(float(found.psi_ask) - 0.6444444444) < max(5e-11, EPS)
    assert_close(found.ask_1, 101.6, tolerance)
    assert_close(found.ask_2, 105.8, tolerance)
    assert_close(found.bid_1, 98.4, tolerance)
    assert_close(found.bid_2, 94.2, tolerance)
    assert not bool(found.separating_ask) and not bool(found.separating_bid)


def test_quotes_against_the_formulas_in_many_digits() -> None:
    rows = markets(0, 300)
    found = quotes_of(rows)
    for i, row in enumerate(rows):
        want, size = exact(row[0], row[1:]), float(np.abs(row[1:3]).max())
        for name in FLOATS:
            unit = size if name in PRICES else 1.0
            gap = abs(mp.mpf(float(getattr(found, name)[i])) - want[name])
            assert gap <= 10 * EPS * unit, (name, row.tolist())


def test_the_regime_is_the_published_inequality_on_each_side() -> None:
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(200):
        rows.append(
            [rng.normal(), 90, 110, 0.5, rng.uniform(0.05, 0.6), rng.uniform(0.05, 0.95), 1.0]
        )
        rows[-1] += [1 + rng.uniform(0.1, 3), 1.0]
    found = quotes_of(rows)
    mu = 1 / (1 + np.exp(-np.array(rows)[:, 0]))
    alpha, b, S_1, S_2 = np.array(rows)[:, 4:8].T
    for separating, mass, psi in (
        (found.separating_ask, mu, found.psi_ask),
        (found.separating_bid, 1 - mu, found.psi_bid),
    ):
        assert (separating == (S_2 / S_1 >= 1 + 2 * alpha * mass / ((1 - alpha) * b))).all()
        assert (psi[separating] == 1).all() and (psi[~separating] < 1).all()
    assert 0.2 < found.separating_ask.mean() < 0.8
    assert (found.separating_ask != found.separating_bid).any()


def test_no_profitable_deviation() -> None:
    """The informed compare posted prices only: large at least as good, small used only if equal."""
    rows = markets(2, 300)
    found = quotes_of(rows)
    V_L, V_H, S_1, S_2 = (rows[:, k].astype(float) for k in (1, 2, 6, 7))
    for sign, value, small, large, psi in (
        (1, V_H, found.ask_1, found.ask_2, found.psi_ask),
        (-1, V_L, found.bid_1, found.bid_2, found.psi_bid),
    ):
        earn_1, earn_2 = S_1 * sign * (value - small), S_2 * sign * (value - large)
        unit = S_2 * np.maximum(np.abs(V_L), np.abs(V_H))
        assert (earn_2 - earn_1 >= -8 * EPS * unit).all()
        assert (np.abs(earn_2 - earn_1) <= 8 * EPS * unit)[psi < 1].all()
        assert (earn_1 >= -8 * EPS * unit).all()
        assert (psi > 0).all() and (psi <= 1).all()


@pytest.mark.float64
def test_quotes_are_continuous_where_the_regimes_meet() -> None:
    mu, alpha, b = 0.4, 0.3, 0.2
    edge = 1 + 2 * alpha * mu / ((1 - alpha) * b)
    at = float(np.log(mu / (1 - mu)))
    rows = [[at, 90, 110, 0.5, alpha, b, 1.0, edge * (1 + d), 1.0] for d in (-1e-13, 1e-13)]
    found = quotes_of(rows)
    assert found.separating_ask.tolist() == [False, True]
    for name in FLOATS:
        below, above = getattr(found, name)
        assert abs(below - above) < 1e-10, name


def test_sizes_that_hardly_differ_say_nothing() -> None:
    for at in (-2.0, 0.0, 3.0):
        params = sizes.Params(S_1=array(1.0), S_2=array(1 + 8 * EPS), b=0.4)
        found, one = sizes.quotes(at, params), binary.quotes(at, binary.Params())
        assert_close(found.psi_ask, 0.4, 1e3 * EPS)
        for name in ("ask_1", "ask_2"):
            assert_close(getattr(found, name), one.ask, 100 * EPS)
        for name in ("bid_1", "bid_2"):
            assert_close(getattr(found, name), one.bid, 100 * EPS)


def test_prices_order_and_respond() -> None:
    rows = np.tile([0.3, 90, 110, 0.5, 0.3, 0.2, 1, 2, 1], (80, 1))
    rows[:, 4] = np.linspace(0.01, 0.95, 80)
    found = quotes_of(rows)
    mean = 90 + 20 / (1 + np.exp(-0.3))
    assert (found.ask_2 >= found.ask_1).all() and (found.ask_1 >= mean - 1e3 * EPS).all()
    assert (found.bid_2 <= found.bid_1).all() and (found.bid_1 <= mean + 1e3 * EPS).all()
    assert (np.diff(found.ask_2) > 0).all() and (np.diff(found.bid_2) < 0).all()


def test_residuals_hold_and_see_wrong_quotes() -> None:
    judge = jax.jit(jax.vmap(lambda q, x: sizes.residual(q, x[0], sizes.Params(*x[1:]))))
    rows = padded(markets(3, 300))
    found = _quotes(rows)
    for name, x in judge(found, rows)._asdict().items():
        limit = 40 * LIMIT if name == "martingale" else 10  # log-odds carry their own rounding
        assert float(x.max()) < limit * EPS, name
    one = padded([[0.2, 90, 110, 0.5, 0.3, 0.2, 1, 2, 1]])
    found = _quotes(one)
    for name in PRICES:
        wrong = judge(found._replace(**{name: getattr(found, name) + 1}), one)
        side = "choice_ask" if "ask" in name else "choice_bid"
        assert float(getattr(wrong, name)[0]) > 1e-3 and float(getattr(wrong, side)[0]) > 1e-3
    wrong = judge(found._replace(psi_ask=found.psi_ask * 0.9), one)
    assert float(wrong.ask_2[0]) > 1e-3 and float(wrong.martingale[0]) > 1e-3


# The ends


def ends() -> np.ndarray:
    values = (0.0, 0.3, 1.0)
    grid = itertools.product((0.0, 0.5, 1.0), values, values, (1.001, 2.0, 1e9), (0.0, 0.4, 1.0))
    return np.array([[90, 110, mu, alpha, b, 1, S_2, event] for mu, alpha, b, S_2, event in grid])


def test_the_ends_are_finite_in_value_and_derivative() -> None:
    rows = ends()
    found = solve_of(rows)
    assert found.info.converged.all() and found.info.residual.max() < 20 * EPS
    values = np.stack([getattr(found, name) for name in FLOATS])
    assert np.isfinite(values).all()
    assert (values[:4] >= 90 - 1e3 * EPS).all() and (values[:4] <= 110 + 1e3 * EPS).all()
    for array in slopes_of(rows):
        assert np.isfinite(array).all()
    certain = np.isin(rows[:, 2], (0, 1))
    value = np.where(rows[:, 2] == 1, 110.0, 90.0)[certain]
    assert_close(values[:4, certain], np.tile(value, (4, 1)), 2 * EPS)  # mu wins, alpha = 1 too
    silent = (rows[:, 3] == 0) | (rows[:, 7] == 0)
    mean = 90 + 20 * rows[silent, 2]
    assert_close(values[:4, silent], np.tile(mean, (4, 1)), 8 * EPS)
    known = (rows[:, 3] == 1) & (rows[:, 2] == 0.5) & (rows[:, 7] == 1)
    assert_close(values[2:4, known], np.full((2, known.sum()), 110.0), 2 * EPS)


def test_beliefs_near_certainty_have_derivatives() -> None:
    grid = itertools.product(
        (-np.inf, -LIMIT, LIMIT, np.inf), (0.0, 0.3), (0.0, 0.2, 1.0), (1.001, 1e6)
    )
    rows = [[at, 90, 110, 0.5, alpha, b, 1, S_2, 1] for at, alpha, b, S_2 in grid]
    slopes = jax.jit(
        jax.vmap(jax.jacfwd(lambda x: jnp.stack(sizes.quotes(x[0], sizes.Params(*x[1:]))[:6])))
    )
    found = np.asarray(slopes(array(rows)))
    assert not np.isnan(found).any()
    # at b = 0, d psi/db = u(1−s)/(s mu alpha) itself is beyond the floating range
    assert np.isfinite(found[[row[5] > 0 for row in rows]]).all()


def test_a_size_nobody_uses_has_the_price_that_keeps_it_unused() -> None:
    only_small = sizes.solve(sizes.Params(b=0.0))
    assert float(only_small.psi_ask) == 0
    assert_close(2 * (110 - only_small.ask_2), 110 - only_small.ask_1, 100 * EPS)
    assert_close(only_small.ask_1, binary.solve(binary.Params()).ask, 8 * EPS)
    only_large = sizes.solve(sizes.Params(b=1.0, S_2=1.2))
    assert float(only_large.psi_ask) == 1
    assert_close(only_large.ask_2, binary.solve(binary.Params()).ask, 8 * EPS)
    assert float(1.2 * (110 - only_large.ask_2)) >= float(110 - only_large.ask_1) - 1e3 * EPS
    # pooling at b = 1: psi = (b + (1−b) push)/(s(1−b) + b), push = u(1−s)/(mu alpha), u = .05
    for slopes in slopes_of(array([[90, 110, 0.4, 0.9, 1, 1, 2, 1]]))[1:]:
        by_b = slopes[0, FLOATS.index("psi_ask"), 4]
        assert_close(by_b, 0.5 - 0.05 * 0.5 / (0.4 * 0.9), 20 * EPS)


# Learning


def test_the_quote_is_the_value_after_its_order() -> None:
    rows = markets(4, 200)
    found = quotes_of(rows)
    then = jax.jit(jax.vmap(lambda x: sizes.update(x[0], jnp.array(ORDERS), sizes.Params(*x[1:]))))
    after = np.asarray(then(padded(rows)))[: len(rows)].astype(float)
    for k, name in enumerate(("bid_2", "bid_1", "ask_1", "ask_2")):
        high = np.where(after[:, k] > 0, 1, np.exp(np.minimum(after[:, k], 0)))
        high /= 1 + np.exp(-np.abs(after[:, k]))
        V_L, V_H = rows[:, 1].astype(float), rows[:, 2].astype(float)
        unit = np.maximum(np.abs(V_L), np.abs(V_H))
        gap = np.abs(V_L + (V_H - V_L) * high - getattr(found, name)) / unit
        assert gap.max() < 100 * EPS, name


def test_learning_at_the_ends() -> None:
    at = array([-np.inf, -1.0, 2.0, np.inf])
    for order in ORDERS:
        for params in (
            sizes.Params(),
            sizes.Params(alpha=1.0),
            sizes.Params(b=0.0),
            sizes.Params(alpha=0.0),
        ):
            moved = np.asarray(sizes.update(at, order, params))
            assert not np.isnan(moved).any()
            assert moved[0] == -np.inf and moved[3] == np.inf
            if params.alpha == 0:
                assert_same_bits(moved, np.asarray(at))
    assert float(sizes.update(0.0, 2, sizes.Params(alpha=1.0))) == np.inf
    assert sizes.update(np.zeros((3, 1)), np.array([1, 2]), sizes.Params()).shape == (3, 2)


def test_learning_has_its_derivatives_at_the_ends() -> None:
    """Of the belief after a large buy: likelihood ratios at mu = 0 and 1; 0 once at alpha = 1."""

    def belief(x: jax.Array) -> jax.Array:
        return odds.belief(sizes.update(odds.log_odds(x[0]), 2, sizes.Params(alpha=x[1])))

    got = jax.jit(jax.vmap(jax.grad(belief)))(array([[0, 0.3], [1, 0.3], [0.4, 1]]))
    u, psi = 0.07, 0.2 * (0.3 + 0.35 * 0.8 * 0.5) / (0.3 * 0.6)  # separating at 0, pooling at 1
    assert_close(got[:2, 0], [1 + 0.3 / u, u / (0.3 * psi + u)], 50 * EPS)
    assert_close(got[2, 1], (1 - 0.4) / 0.4 * 0.6 / 2, 50 * EPS)  # (1−mu)/mu (b/2)/psi, psi = b/K


# Event uncertainty


def brute(belief: np.ndarray, p: sizes.Params) -> dict[str, Any]:
    """Every outcome, trader and order enumerated; psi by bisection on large's gain over small."""
    V_L, V_H, mu_0, alpha, b, S_1, S_2, _ = map(float, p)
    values = np.array([(1 - mu_0) * V_L + mu_0 * V_H, V_L, V_H])

    def likelihoods(psi_bid: float, psi_ask: float) -> dict[int, np.ndarray]:
        table = {order: np.zeros(3) for order in ORDERS}
        for outcome, side, large in itertools.product(range(3), (-1, 1), (False, True)):
            noise = 0.5 * (b if large else 1 - b)
            informed, psi = outcome == (2 if side > 0 else 1), psi_ask if side > 0 else psi_bid
            chance = noise * (1 if outcome == 0 else 1 - alpha)
            chance += alpha * informed * (psi if large else 1 - psi)
            table[side * (2 if large else 1)][outcome] += chance
        return table

    def price(order: int, psi: float) -> float:
        joint = belief * likelihoods(psi, psi)[order]
        return float(joint @ values / joint.sum())

    def choose(side: int) -> float:
        value = V_H if side > 0 else V_L

        def earned(order: int, psi: float) -> float:
            joint = belief * likelihoods(psi, psi)[order]
            return float(joint @ (side * (value - values)) / joint.sum())

        def more(psi: float) -> float:
            return S_2 * earned(2 * side, psi) - S_1 * earned(side, psi)

        if more(1.0) >= 0:
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(80):
            psi = (low + high) / 2
            low, high = (psi, high) if more(psi) > 0 else (low, psi)
        return low

    psi = {side: choose(side) for side in (-1, 1)}
    table = likelihoods(psi[-1], psi[1])
    found = {order: price(order, psi[1 if order > 0 else -1]) for order in ORDERS}
    return {"psi_bid": psi[-1], "psi_ask": psi[1], "table": table, "price": found, "values": values}


UNCERTAIN = (
    sizes.Params(event_probability=0.6),
    sizes.Params(mu_0=0.3, alpha=0.7, b=0.5, S_2=1.5, event_probability=0.2),
    sizes.Params(mu_0=0.8, alpha=0.4, b=0.1, S_2=6.0, event_probability=0.9),
)


@pytest.mark.parametrize("params", UNCERTAIN)
def test_event_uncertainty_by_enumeration(params: sizes.Params) -> None:
    params = sizes.Params(*(array(x) for x in params))
    event, mu = float(params.event_probability), float(params.mu_0)
    belief = np.array([1 - event, event * (1 - mu), event * mu])
    state = events.log_probabilities(params)
    names = dict(zip(("bid_2", "bid_1", "ask_1", "ask_2"), ORDERS, strict=True))
    opening = sizes.solve(params)
    assert_close([opening[k] for k in range(6)], events.quotes(state, params)[:6], 8 * EPS)
    for order in (1, 2, -1, 2, -2, 1, 1, 2):
        want, found = brute(belief, params), events.quotes(state, params)
        for name, code in names.items():
            assert_close(getattr(found, name), want["price"][code], 60 * EPS)
        for name in ("psi_bid", "psi_ask"):
            assert abs(float(getattr(found, name)) - want[name]) < 100 * EPS
        assert max(map(float, events.residual(found, state, params))) < 60 * EPS
        chances = [float(belief @ want["table"][code]) for code in ORDERS]
        assert_close(events.order_probabilities(state, params), chances, 100 * EPS)
        assert_close(events.expected_value(state, params), belief @ want["values"], 20 * EPS)
        belief = belief * want["table"][order]
        belief /= belief.sum()
        state = events.update(state, order, params)
        assert_close(jnp.exp(state), belief, 400 * EPS)


def test_a_certain_event_is_the_model_in_log_odds() -> None:
    params = sizes.Params(mu_0=0.35)
    at, state = odds.log_odds(0.35), events.log_probabilities(params)
    for order in (1, 2, 2, -1, -2, 2):
        three, two = events.quotes(state, params), sizes.quotes(at, params)
        assert_close(three[:6], two[:6], 20 * EPS)
        state, at = events.update(state, order, params), sizes.update(at, order, params)
        assert float(state[0]) == -np.inf
        assert_close(state[2] - state[1], at, 200 * EPS)


def test_small_orders_speak_against_an_event_where_the_market_separates() -> None:
    params = sizes.Params(S_2=9.0, event_probability=0.5)
    state = events.log_probabilities(params)
    assert bool(events.quotes(state, params).separating_ask)
    calm, busy = (float(jnp.exp(events.update(state, k, params))[0]) for k in (1, 2))
    assert calm > 0.5 > busy


def test_event_histories_do_not_underflow() -> None:
    params = sizes.Params(event_probability=0.01)

    def step(state: jax.Array, order: jax.Array) -> Any:
        return events.update(state, order, params), events.quotes(state, params).ask_2

    orders = jnp.asarray(np.tile([2, 2, 1, 2], 1000))
    state, asks = jax.jit(lambda s: jax.lax.scan(step, s, orders))(events.log_probabilities(params))
    assert np.isfinite(np.asarray(state)).all() and float(state[1]) < -700
    assert np.isfinite(np.asarray(asks)).all()
    assert_close(asks[-1], 110.0, 4 * EPS)


# Derivatives and failures


@pytest.mark.parametrize("params", (sizes.Params(), UNCERTAIN[2]))
def test_derivatives(params: sizes.Params) -> None:
    x = np.array([float(v) for v in params])
    x[7] = min(x[7], 0.99)

    def compiled(x: Any) -> tuple[np.ndarray, ...]:
        return tuple(array[0] for array in slopes_of(np.asarray(x)[None]))

    if X64:
        assert_derivatives(compiled, x, modes=1e-12, steps=1e-8)
    else:
        assert_close_by_norm(*compiled(x)[1:], 1e-5)


def test_derivatives_in_closed_form() -> None:
    """Pooling: V_H − A_i = (V_H−V_L)(1−mu) uK/(s_i (mu alpha + u)), u = (1−alpha)/2."""
    slopes = slopes_of(np.array([sizes.Params()]))[1][0, FLOATS.index("ask_2")]
    found = sizes.Params(*slopes)
    mu, alpha, b, s = 0.5, 0.3, 0.2, 0.5
    u, K = (1 - alpha) / 2, s * (1 - b) + b
    loss = u * K / (mu * alpha + u)
    assert_close(found.V_H, 1 - (1 - mu) * loss, 50 * EPS)
    assert_close(found.mu_0, 20 * loss + 20 * (1 - mu) * loss * alpha / (mu * alpha + u), 50 * EPS)
    assert_close(found.b, -20 * (1 - mu) * loss / K * (1 - s), 50 * EPS)
    by_u = u * (mu - 0.5) / (mu * alpha + u)  # dX/dalpha = mu, du/dalpha = −1/2
    assert_close(found.alpha, 20 * (1 - mu) * loss * (0.5 + by_u) / u, 50 * EPS)


def test_flags_and_poison_stay_in_their_lane() -> None:
    good = np.array([90, 110, 0.4, 0.3, 0.2, 1, 2, 0.7])
    bad = (
        (0, 111),
        (1, np.nan),
        (2, -0.1),
        (3, 1.1),
        (4, 2.0),
        (5, 0.0),
        (6, 0.5),
        (7, -1),
        (6, np.inf),
    )
    rows = np.stack([good] * (len(bad) + 2))
    for k, (leaf, value) in enumerate(bad, start=1):
        rows[k, leaf] = value
    ok = np.zeros(len(rows), bool)
    ok[[0, -1]] = True
    found, clean = solve_of(rows), solve_of(np.stack([good] * len(rows)))
    assert (found.info.converged == ok).all()
    for name in FLOATS:
        assert np.isnan(getattr(found, name)[~ok]).all()
        assert_same_bits(getattr(found, name)[ok], getattr(clean, name)[ok])
    for slopes in slopes_of(rows):
        assert np.isnan(slopes[~ok]).all() and np.isfinite(slopes[ok]).all()
    with pytest.raises(diffeq.ConvergenceError, match="trade_size"):
        diffeq.check(jax.tree.map(lambda x: x[:4], found))


def test_no_belief_is_nan_throughout() -> None:
    """P(large | informed) was once 1 there, and log-probabilities after an order −inf."""
    params = sizes.Params(*map(array, sizes.Params(event_probability=0.7)))
    for state in ([np.nan, 0, 0], [np.inf, 0, 0], [-np.inf] * 3):
        at = events.quotes(array(state), params)
        chances = events.order_probabilities(array(state), params)
        assert np.isnan([float(getattr(at, name)) for name in FLOATS]).all()
        assert np.isnan(list(map(float, chances))).all()
        assert np.isnan(float(events.expected_value(array(state), params)))
        assert np.isnan(events.update(array(state), 2, params)).all()
        assert np.isnan(list(map(float, events.residual(at, array(state), params)))).all()
    found = sizes.quotes(array([np.nan, 0]), sizes.Params(*map(array, sizes.Params())))
    for name in FLOATS:
        assert (np.isnan(getattr(found, name)) == [True, False]).all()


def test_log_odds_need_a_certain_event() -> None:
    with pytest.raises(ValueError, match="event_uncertainty"):
        sizes.quotes(0.0, sizes.Params(event_probability=0.5))
    found = jax.jit(lambda e: sizes.quotes(0.0, sizes.Params(event_probability=e)).ask_1)
    assert np.isnan(float(found(0.5))) and np.isfinite(float(found(1.0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"S_1": 0.0}, "S_1.*positive"),
        ({"S_2": 1.0}, "S_1 < S_2"),
        ({"V_L": 120.0}, "V_L < V_H"),
        ({"b": 1.2}, "b.*probability"),
        ({"alpha": -0.1}, "alpha.*probability"),
        ({"event_probability": 1.2}, "event_probability.*probability"),
        ({"mu_0": np.array([0.1, 0.2])}, "vmap"),
    ],
)
def test_bad_parameters_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sizes.solve(sizes.Params(**change))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="log_odds"):
        sizes.quotes(None, sizes.Params())
    with pytest.raises(ValueError, match="order.*codes"):
        sizes.update(0.0, 3, sizes.Params())
    with pytest.raises(ValueError, match="shape \\(3,\\)"):
        events.quotes(np.zeros(2), sizes.Params())
    with pytest.raises(ValueError, match=r"quotes\.bid_1"):
        sizes.residual(sizes.quotes(0.0, sizes.Params()), np.zeros(2), sizes.Params())
    traced = jax.jit(lambda order: sizes.update(0.0, order, sizes.Params()))
    assert np.isnan(float(traced(jnp.array(0)))) and np.isfinite(float(traced(jnp.array(2))))


def test_ten_thousand_lanes_in_a_moment() -> None:
    x = np.tile([90, 110, 0.4, 0.3, 0.2, 1, 2, 0.7], (10_000, 1))
    x[:, 2] = np.linspace(0, 1, 10_000)
    lanes = array(x)
    times = []
    for _ in range(4):  # the first compiles; another process may have a core for a while
        start = time.perf_counter()
        found = jax.block_until_ready(_solve(lanes))
        times.append(time.perf_counter() - start)
    assert min(times) < 1
    assert np.asarray(found.info.converged).all()
