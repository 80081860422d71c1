"""Continuous value: the grid against brute force, the Gaussian against mpmath, each other."""

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
    assert_mean,
    assert_same_bits,
    jacobians,
)

import diffeq
from diffeq.glosten_milgrom import binary_value as binary
from diffeq.glosten_milgrom import continuous_value as grid
from diffeq.glosten_milgrom import gaussian_value as gaussian

EPS = float(jnp.finfo(jnp.zeros(()).dtype).eps)
DTYPE = np.dtype(jnp.zeros(()).dtype)
X64 = EPS < 1e-10
FLOATS = grid.Solution._fields[:7]
VALUES, PRIOR = np.array([80.0, 91.0, 97.0, 104.0, 123.0]), np.array([0.15, 0.2, 0.3, 0.2, 0.15])
_solve_grid = jax.jit(lambda *p: grid.solve(grid.Params(*p)))


GRID_LANES = 10_000
_many_grids = jax.jit(jax.vmap(lambda a: grid.solve(grid.Params(array(VALUES), array(PRIOR), a))))
"""By alpha, which always has this length: one compilation."""


@jax.jit
@jacobians
def _grid_slopes(x: jax.Array) -> jax.Array:
    found = solve_grid(x[:5], x[5:10] / jnp.sum(x[5:10]), x[10])
    return jnp.stack([getattr(found, name) for name in FLOATS])


def array(x: Any) -> jax.Array:
    return jnp.asarray(x, DTYPE)


def solve_grid(*params: Any) -> grid.Solution:
    return _solve_grid(*map(array, params))


def exact(values: Any, weights: Any, alpha: Any) -> dict[str, Any]:
    """The published formulas in 50 digits: every price the best of n averages, no index kept."""
    with mp.workdps(50):
        v, p = ([mp.mpf(float(x)) for x in xs] for xs in (values, weights))
        p = [x / mp.fsum(p) for x in p]
        alpha, n = mp.mpf(float(alpha)), len(v)
        mean = mp.fdot(p, v)

        def average(chosen: Any) -> Any:
            top = alpha * mp.fsum(p[i] * v[i] for i in chosen) + (1 - alpha) * mean / 2
            return top / (alpha * mp.fsum(p[i] for i in chosen) + (1 - alpha) / 2)

        ask = max(average(range(j + 1, n)) for j in range(n))
        bid = min(average(range(j)) for j in range(n))
        buyers = mp.fsum(p[i] for i in range(n) if v[i] > ask)
        sellers = mp.fsum(p[i] for i in range(n) if v[i] < bid)
        return {
            "bid": bid,
            "ask": ask,
            "value": mean,
            "spread": ask - bid,
            "buy_probability": alpha * buyers + (1 - alpha) / 2,
            "sell_probability": alpha * sellers + (1 - alpha) / 2,
            "no_trade_probability": alpha * (1 - buyers - sellers),
        }


def markets(seed: int, count: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Five atoms: near 0 and around 1e6, probabilities over many decades, alpha near its ends."""
    rng, cases = np.random.default_rng(seed), []
    decades = 14 if X64 else 5
    for k in range(count):
        gaps = 10 ** rng.uniform(-1, 1, 5) if k % 2 else np.ceil(rng.uniform(0, 4, 5)) / 4
        values = np.cumsum(gaps) + (0.0, 1e6 if X64 else 1e4, -50.0)[k % 3]
        weights = 10 ** rng.uniform(-decades, 0, 5) if k % 5 == 0 else rng.uniform(0, 1, 5)
        edge = 10 ** rng.uniform(-decades, 0)
        alpha = (rng.uniform(0, 1), edge, 1 - edge)[k % 7 % 3]
        cases.append(
            (values.astype(DTYPE), (weights / weights.sum()).astype(DTYPE), DTYPE.type(alpha))
        )
    return cases


# The grid


def test_prices_are_the_best_averages_and_the_spread_keeps_its_digits() -> None:
    for values, weights, alpha in markets(0, 90):
        got, want = solve_grid(values, weights, alpha), exact(values, weights, alpha)
        size = float(np.abs(values).max())
        for name in FLOATS:
            gap = abs(float(getattr(got, name) - float(want[name])))
            unit = size if name in ("bid", "ask", "value") else 1.0
            if name == "spread":  # to its own precision, 1e6 + 1 or not
                unit = max(float(want[name]), 1e-30)
            assert gap <= 40 * EPS * unit, (name, values, weights, alpha)
        assert bool(got.info.converged) and float(got.info.residual) < 20 * EPS


def test_two_atoms_are_the_binary_model() -> None:
    rng = np.random.default_rng(1)
    for _ in range(25):
        mu, alpha, low = rng.uniform(0, 1), rng.uniform(0, 1), 100 * rng.normal()
        values = array([low, low + rng.uniform(0.1, 10)])
        got = solve_grid(values, array([1 - mu, mu]), array(alpha))
        want = binary.solve(binary.Params(values[0], values[1], array(mu), array(alpha)))
        for name in ("bid", "ask", "value"):
            gap = abs(float(getattr(got, name)) - float(getattr(want, name)))
            assert gap <= 5 * EPS * float(np.abs(values).max())
        assert_close(got.spread, want.spread, 40 * EPS)
        assert float(got.no_trade_probability) == 0


@pytest.mark.float64
def test_two_atoms_to_twelve_digits() -> None:
    for mu, alpha in ((0.5, 0.3), (0.1, 0.9), (0.99, 0.5)):
        got = grid.solve(grid.Params((90.0, 110.0), (1 - mu, mu), alpha))
        want = binary.solve(binary.Params(mu_0=mu, alpha=alpha))
        assert_close(got.ask, want.ask, 1e-12)
        assert_close(got.bid, want.bid, 1e-12)


def test_conditions_hold_along_a_history() -> None:
    params = grid.Params(array(VALUES), array(PRIOR), array(0.3))
    state = jnp.log(params.probabilities)
    for order in (1, 1, -1, 0, 1, -1, -1, 0, 1):
        found = grid.residual(grid.quotes(state, params), state, params)
        assert max(map(float, found)) < 30 * EPS
        state = grid.update(state, order, params)
        assert abs(float(jnp.sum(jnp.exp(state))) - 1) < 10 * EPS


def test_the_residual_sees_a_wrong_quote() -> None:
    params = grid.Params(array(VALUES), array(PRIOR), array(0.3))
    state = jnp.log(params.probabilities)
    at = grid.quotes(state, params)
    assert float(grid.residual(at._replace(ask=at.ask + 1), state, params).ask) > 1e-3
    assert float(grid.residual(at._replace(bid=at.bid + 1), state, params).bid) > 1e-3
    assert (
        float(grid.residual(at._replace(ask_index=at.ask_index - 1), state, params).martingale)
        > 0.01
    )


def test_a_price_next_to_an_atom_has_a_residual_of_roundings() -> None:
    """Near alpha = 1 the bid is V_L to a rounding: the few uninformed alone were its scale."""
    q = 1e-6 if X64 else 1e-4
    likely = array([1 - 4 * q, q, q, q, q])
    for rest in np.geomspace(8 * EPS, 1e-2, 60):
        assert float(solve_grid(VALUES, likely, 1 - rest).info.residual) < 20 * EPS
    params = grid.Params(array(VALUES), array(PRIOR), array(0.999))  # a wrong price is still seen
    state = jnp.log(params.probabilities)
    at = grid.quotes(state, params)
    for wrong in (at._replace(ask=at.ask - 0.1), at._replace(ask=at.ask + 1)):
        assert float(grid.residual(wrong, state, params).ask) > 1e-4


def test_bayes_by_enumeration() -> None:
    alpha, p = 0.3, PRIOR.copy()
    params = grid.Params(array(VALUES), array(PRIOR), array(alpha))
    state = jnp.log(params.probabilities)
    for order in (1, 0, -1, 1, 1, 0):
        want = exact(VALUES, p, alpha)
        ask, bid = float(want["ask"]), float(want["bid"])
        likelihood = {
            1: alpha * (VALUES > ask) + (1 - alpha) / 2,
            -1: alpha * (VALUES < bid) + (1 - alpha) / 2,
            0: alpha * ((bid <= VALUES) & (VALUES <= ask)),
        }[order]
        p = p * likelihood / (p @ likelihood)
        state = grid.update(state, order, params)
        assert_close_by_norm(jnp.exp(state), p, 100 * EPS)


def test_the_unexplained_order_teaches_nothing() -> None:
    two = grid.Params(array([90.0, 110.0]), array([0.25, 0.75]), array(0.3))
    prior = jnp.log(two.probabilities)
    assert_close(grid.update(prior, 0, two), prior, 8 * EPS)
    sure = array([-np.inf, 0.0])
    for order in (-1, 0, 1):
        assert_same_bits(grid.update(sure, order, two), sure)
    at = grid.quotes(sure, two)
    assert float(at.bid) == float(at.ask) == float(at.value) == 110.0 and float(at.spread) == 0


@pytest.mark.parametrize("state", [[np.nan, 0, 0, 0, 0], [np.inf, 0, 0, 0, 0], [-np.inf] * 5])
def test_no_belief_is_nan_throughout(state: list[float]) -> None:
    """P(purchase) was once .35 there, and the log-probabilities after an order −inf."""
    params = grid.Params(array(VALUES), array(PRIOR), array(0.3))
    at = grid.quotes(array(state), params)
    assert np.isnan([float(getattr(at, name)) for name in FLOATS]).all()
    for order in (-1, 0, 1):
        assert np.isnan(grid.update(array(state), order, params)).all()
    assert np.isnan(list(map(float, grid.residual(at, array(state), params)))).all()


def test_a_long_history_does_not_underflow() -> None:
    params = grid.Params(array(VALUES), array(PRIOR), array(0.3))

    def buy(state: jax.Array, _: Any) -> Any:
        return grid.update(state, 1, params), None

    state, _ = jax.lax.scan(buy, jnp.log(params.probabilities), None, length=4000)
    assert np.isfinite(np.asarray(state)).all() and float(state[0]) < -2000
    for _ in range(3):  # and the way back is open: log-odds move by one step per order
        before = float(state[-1] - state[0])
        state = grid.update(state, -1, params)
        assert abs(before - float(state[-1] - state[0]) - np.log(1.3 / 0.7)) < 1e4 * EPS


def test_the_ends_of_alpha() -> None:
    none = solve_grid(VALUES, PRIOR, 0.0)
    assert float(none.spread) == 0 and float(none.no_trade_probability) == 0
    assert_close(none.ask, float(VALUES @ PRIOR), 4 * EPS)
    params = grid.Params(array(VALUES), array(PRIOR), array(0.0))
    prior = jnp.log(params.probabilities)
    assert_close(grid.update(prior, 1, params), prior, 8 * EPS)
    for slopes in _grid_slopes(array([*VALUES, *PRIOR, 0.0]))[1:]:
        want = 2 * float(PRIOR @ np.maximum(VALUES - VALUES @ PRIOR, 0))
        assert_close(slopes[FLOATS.index("ask"), 10], want, 1e3 * EPS)

    near = solve_grid(VALUES, PRIOR, 1 - EPS)
    assert_close(near.ask, VALUES[-1], 1e3 * EPS)
    assert_close(near.bid, VALUES[0], 1e3 * EPS)
    closed = grid.solve(grid.Params(VALUES, PRIOR, 1.0))
    assert not bool(closed.info.converged)
    assert np.isnan([float(getattr(closed, name)) for name in FLOATS]).all()
    with pytest.raises(diffeq.ConvergenceError, match="continuous_value"):
        diffeq.check(closed)


def test_more_informed_traders_widen_the_spread() -> None:
    alphas = array(np.resize(np.linspace(0, 0.99, 60), GRID_LANES))
    found = jax.tree.map(lambda x: x[:60], _many_grids(alphas))
    assert (np.diff(found.ask) > 0).all() and (np.diff(found.bid) < 0).all()
    total = found.buy_probability + found.sell_probability + found.no_trade_probability
    assert_close(total, np.ones(60), 8 * EPS)


def test_derivatives() -> None:
    x = np.concatenate([VALUES, PRIOR, [0.3]])
    if X64:
        assert_derivatives(_grid_slopes, x, modes=1e-12, steps=1e-8)
    value, forward, reverse = map(np.asarray, _grid_slopes(array(x)))
    assert_close_by_norm(forward, reverse, 1e-12 if X64 else 1e-5)
    # the index does not move with the values: dA/dv_i = p_i P(buy | v_i)/P(buy)
    weights = PRIOR * (0.3 * (VALUES > value[1]) + 0.35)
    assert_close(forward[1, :5], weights / weights.sum(), 100 * EPS)


def test_flags_and_poison_stay_in_their_lane() -> None:
    good = np.concatenate([VALUES, PRIOR, [0.3]])
    rows = np.stack([good] * 7)
    rows[1, 10], rows[2, 10], rows[3, 2], rows[4, 7], rows[5, 0] = 1.0, -0.1, 91.0, 0.5, np.inf

    def ask(x: jax.Array) -> tuple[jax.Array, grid.Solution]:
        found = grid.solve(grid.Params(x[:5], x[5:10], x[10]))
        return found.ask, found

    both = jax.jit(jax.vmap(jax.value_and_grad(ask, has_aux=True)))
    ((_, found), slopes), ((_, clean), _) = (
        both(x.astype(DTYPE)) for x in (rows, np.stack([good] * 7))
    )
    ok = np.array([1, 0, 0, 0, 0, 0, 1], bool)
    assert (np.asarray(found.info.converged) == ok).all()
    for name in FLOATS:
        assert np.isnan(np.asarray(getattr(found, name))[~ok]).all()
        assert_same_bits(getattr(found, name)[ok], getattr(clean, name)[ok])
    slopes = np.asarray(slopes)
    assert np.isnan(slopes[~ok]).all() and np.isfinite(slopes[ok]).all()
    bad = jax.jit(lambda order: grid.update(jnp.log(array(PRIOR)), order, grid.Params()))
    assert np.isnan(np.asarray(bad(jnp.array(2)))).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (grid.Params(values=(1.0, 1.0), probabilities=(0.5, 0.5)), r"values\[1\].*increasing"),
        (grid.Params(values=(1.0, np.nan), probabilities=(0.5, 0.5)), r"values\[1\].*finite"),
        (grid.Params(values=(1.0, 2.0), probabilities=(0.5, 0.6)), "sum to 1"),
        (grid.Params(values=(1.0, 2.0), probabilities=(-0.5, 1.5)), "probability ≥ 0"),
        (grid.Params(values=(1.0, 2.0, 3.0), probabilities=(0.5, 0.5)), "expected shapes"),
        (grid.Params(values=(1.0,), probabilities=(1.0,)), "n ≥ 2"),
        (grid.Params(alpha=1.5), "alpha.*probability"),
        (grid.Params(alpha=np.array([0.1, 0.2])), "vmap"),
    ],
)
def test_bad_parameters_are_named(params: grid.Params, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid.solve(params)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match=r"continuous_value\.Params"):
        grid.solve((1, 2, 3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="log_probabilities.*one per atom"):
        grid.quotes(np.zeros(3), grid.Params())
    with pytest.raises(ValueError, match="order.*codes -1, 0, \\+1"):
        grid.update(np.zeros(5), 2, grid.Params())


def test_simulated_markets_are_fair_and_calibrated() -> None:
    params = grid.Params(array(VALUES), array(PRIOR), array(0.3))
    paths = grid.simulate(jax.random.key(0), params, num_trades=40, num_paths=4000)
    V = np.asarray(paths.value)[:, None]
    profit, informed = np.asarray(paths.profit, float), np.asarray(paths.informed)
    assert_mean(profit.sum(axis=1), 0.0, "market maker")
    assert_mean(informed.mean(axis=1), 0.3, "informed")
    assert (profit[informed] >= -1e3 * EPS).all() and profit[informed].mean() > 1
    assert profit[~informed].mean() < -1
    orders, ask, bid = (np.asarray(x) for x in (paths.order, paths.ask, paths.bid))
    assert informed[orders == 0].all()
    assert ((V <= ask + 1e3 * EPS) & (V >= bid - 1e3 * EPS))[orders == 0].all()
    mean, variance = np.asarray(paths.mean, float), np.asarray(paths.variance, float)
    assert mean.shape == variance.shape == (4000, 41)
    assert_mean((V - mean)[:, [1, 5, 40]], 0.0, "belief mean")
    assert_mean(((V - mean) ** 2 - variance)[:, [1, 5, 40]], 0.0, "belief variance")
    assert_close(variance[0, 0], PRIOR @ (VALUES - PRIOR @ VALUES) ** 2, 20 * EPS)
    opening = grid.solve(params)
    chances = [(orders[:, 0] == order).astype(float) for order in (-1, 0, 1)]
    expected = [
        float(x)
        for x in (opening.sell_probability, opening.no_trade_probability, opening.buy_probability)
    ]
    assert_mean(np.stack(chances, axis=1), expected, "first orders")


def test_simulated_profits_do_not_depend_on_where_prices_are() -> None:
    """V − ask from the atoms, not from two large prices: once 1/16 off at 1e6 in float32."""
    far, near = (
        grid.simulate(
            jax.random.key(1),
            grid.Params(array(VALUES + shift), array(PRIOR), array(0.3)),
            num_trades=20,
            num_paths=50,
        )
        for shift in (2.0**20, 0.0)
    )
    np.testing.assert_array_equal(far.order, near.order)
    np.testing.assert_array_equal(far.profit, near.profit)
    price = np.where(near.order == 1, near.ask, near.bid)
    expected = near.order * (np.asarray(near.value)[:, None] - price)
    assert np.abs(near.profit - expected).max() < 1e3 * EPS


# The Gaussian


@pytest.mark.float64
def test_published_gaussian_numbers() -> None:
    found = gaussian.solve(gaussian.Params(m=100.0, sd=10.0, alpha=0.3))
    assert abs(float(found.ask) - 102.4660722136) < 5e-11
    assert abs(float(found.bid) - (200 - 102.4660722136)) < 5e-11
    assert abs(float(found.no_trade_probability) - 0.0584363354) < 5e-11


_many = jax.jit(jax.vmap(lambda x: gaussian.solve(gaussian.Params(*x))))
_slopes = jax.jit(jax.vmap(jax.grad(lambda x: gaussian.solve(gaussian.Params(*x)).a)))
_curve = jax.grad(jax.grad(lambda a: gaussian.solve(gaussian.Params(0.0, 1.0, a)).ask))
LANES = GRID_LANES


def padded(rows: Any) -> jax.Array:
    """The same shape for every test: one compilation."""
    rows = array(rows)
    return jnp.concatenate([rows, jnp.tile(rows[-1:], (LANES - len(rows), 1))])


def standard(alpha: Any) -> np.ndarray:
    return np.stack([np.zeros(len(alpha)), np.ones(len(alpha)), np.asarray(alpha)], axis=1)


def half_spread(alpha: Any) -> Any:
    """Root of alpha E(Z − a)^+ = (1−alpha) a/2 by bisection in 60 digits."""
    with mp.workdps(60):
        alpha = mp.mpf(float(alpha))
        low, high = mp.mpf(0), mp.mpf(12)
        for _ in range(1200):
            a = (low + high) / 2
            gain = mp.npdf(a) - a * mp.erfc(a / mp.sqrt(2)) / 2
            low, high = (a, high) if alpha * gain > (1 - alpha) * a / 2 else (low, a)
            if high - low < 1e-30 * high:
                break
        return low


def alphas() -> np.ndarray:
    tiny = np.array([1e-300, 1e-100] if X64 else [1e-35, 1e-20])
    near = 1 - np.array([EPS / 2, EPS, 1e-5, 1e-3])
    inner = [1e-9, 1e-4, 0.02, 0.3, 0.5, 0.8, 0.8764842, 0.95, 0.9683408, 0.99]
    return np.concatenate([tiny, inner, near]).astype(DTYPE)


def test_gaussian_half_spread_against_mpmath() -> None:
    at = alphas()
    found = jax.tree.map(lambda x: x[: len(at)], _many(padded(standard(at))))
    want = [half_spread(a) for a in at]
    assert np.asarray(found.info.converged).all() and float(found.info.residual.max()) < 1e3 * EPS
    for got, a in zip(found.a, want, strict=True):
        assert abs(mp.mpf(float(got)) / a - 1) < 20 * EPS
    with mp.workdps(60):
        silent = [mp.mpf(float(x)) * mp.erf(a / mp.sqrt(2)) for x, a in zip(at, want, strict=True)]
        normal = [k for k, x in enumerate(silent) if x > np.finfo(DTYPE).tiny]
    expected = np.array([float(x) for x in silent])
    assert_close(np.asarray(found.no_trade_probability)[normal], expected[normal], 30 * EPS)


def test_a_purchase_leaves_the_variance() -> None:
    """By the truncated normal's moments, in the solution and by quadrature."""
    for alpha in (0.0, 0.05, 0.3, 0.9):
        params = gaussian.Params(m=-3.0, sd=4.0, alpha=alpha)
        found = gaussian.solve(params)
        assert_close(found.variance_after_buy, 16.0, 30 * EPS)
        assert_close(found.mean_after_buy, found.ask, 30 * EPS)
        assert max(map(float, gaussian.residual(found, params))) < 30 * EPS
        a = float(found.a)

        def moment(k: int, a: float = a, alpha: float = alpha) -> Any:
            def density(z: Any) -> Any:
                return z**k * (alpha * (z > a) + (1 - alpha) / 2) * mp.npdf(z)

            return mp.quad(density, [-mp.inf, 0, a, a + 2, mp.inf])

        m0, m1, m2 = map(moment, range(3))
        assert abs(m2 / m0 - (m1 / m0) ** 2 - 1) < max(1e-12, 30 * EPS)
        assert abs(m0 - float(found.buy_probability)) < max(1e-12, 30 * EPS)


@pytest.mark.float64
def test_the_grid_approaches_the_gaussian() -> None:
    """The ask at second order in the spacing, the probability of no order at first order."""
    params = gaussian.Params()
    want = gaussian.solve(params)
    spacings = np.array([1 / 4, 1 / 32])
    ask, silent = [], []
    for h in spacings:
        found = grid.solve(gaussian.on_grid(params, num_atoms=round(16 / h) + 1))
        ask.append(abs(float(found.ask - want.ask)))
        silent.append(abs(float(found.no_trade_probability - want.no_trade_probability)))
    assert (np.array(ask) < 2.5 * spacings**2).all()
    assert (np.array(silent) < 0.3 * spacings).all()
    assert ask[-1] < 0.06 * ask[0] and silent[-1] < 0.3 * silent[0]


def test_gaussian_derivatives() -> None:
    names = ("bid", "ask", "a", "buy_probability", "no_trade_probability")

    def of(x: jax.Array) -> jax.Array:
        found = gaussian.solve(gaussian.Params(*x))
        return jnp.stack([getattr(found, name) for name in names])

    x = [100.0, 10.0, 0.3]
    compiled = jax.jit(jacobians(of))
    if X64:
        assert_derivatives(compiled, x, modes=1e-12, steps=1e-9)
    else:
        assert_close_by_norm(*compiled(array(x))[1:], 1e-5)


def test_gaussian_derivative_in_closed_form() -> None:
    """da/dalpha = (L(a) + a/2)/P(buy), from alpha = 0 to the last number before 1."""
    at = array([0.0, *alphas()[1:]])
    slopes = np.asarray(_slopes(padded(standard(at))))[: len(at), 2]
    for alpha, got in zip(np.asarray(at), slopes, strict=True):
        with mp.workdps(60):  # da/dalpha = (L + a/2)/P(buy)
            a, alpha_ = half_spread(alpha) if alpha else mp.mpf(0), mp.mpf(float(alpha))
            Q = mp.erfc(a / mp.sqrt(2)) / 2
            want = (mp.npdf(a) - a * Q + a / 2) / (alpha_ * Q + (1 - alpha_) / 2)
            assert abs(mp.mpf(float(got)) / want - 1) < 300 * EPS
    assert np.isfinite(np.asarray(jax.jit(jax.vmap(_curve))(at))).all()


def test_gaussian_far_from_zero_and_its_units() -> None:
    base = gaussian.solve(gaussian.Params(array(0.0), array(1.0), array(0.3)))
    far = gaussian.solve(gaussian.Params(array(1e6), array(1e-3), array(0.3)))
    assert_same_bits(far.a, base.a)
    assert bool(far.info.converged)


def test_gaussian_out_of_domain() -> None:
    rows = array(
        [[0, 1, 0.3], [0, 1, 1.0], [0, 1, -0.1], [0, 0, 0.3], [0, -1, 0.3], [np.inf, 1, 0.3]]
    )
    rows = jnp.concatenate([rows, array([[0, 1, 1.5], [0, 1, np.nan], [0, 1, 0.3]])])
    found = jax.tree.map(lambda x: x[:9], _many(padded(rows)))
    slopes = np.asarray(_slopes(padded(rows)))[:9]
    ok = np.array([1, 0, 0, 0, 0, 0, 0, 0, 1], bool)
    assert (np.asarray(found.info.converged) == ok).all()
    for name in gaussian.Solution._fields[:-1]:
        x = np.asarray(getattr(found, name))
        assert np.isnan(x[~ok]).all() and np.isfinite(x[ok]).all()
    assert np.isnan(slopes[~ok]).all() and np.isfinite(slopes[ok]).all()
    with pytest.raises(diffeq.ConvergenceError):
        diffeq.check(gaussian.solve(gaussian.Params(alpha=1.0)))
    with pytest.raises(ValueError, match="sd.*positive"):
        gaussian.solve(gaussian.Params(sd=0.0))
    with pytest.raises(ValueError, match="num_atoms"):
        gaussian.on_grid(gaussian.Params(), num_atoms=1)
    with pytest.raises(ValueError, match="width: expected a scalar"):
        gaussian.on_grid(gaussian.Params(), num_atoms=3, width=np.ones(2))
    with pytest.raises(TypeError, match="width"):
        gaussian.on_grid(gaussian.Params(), num_atoms=3, width="a")


def test_ten_thousand_lanes_in_a_moment() -> None:
    at = array(np.linspace(0, 0.99, LANES))
    for solve, lanes in ((_many_grids, at), (_many, array(standard(at)))):
        times = []
        for _ in range(4):  # the first compiles; another process may have a core for a while
            start = time.perf_counter()
            found = jax.block_until_ready(solve(lanes))
            times.append(time.perf_counter() - start)
        assert min(times) < 1
        assert np.asarray(found.info.converged).all()
