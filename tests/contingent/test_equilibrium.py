"""Equilibria: closed forms, the path, derivatives, limits, and what is refused."""

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from diffeq import ConvergenceError, check, contingent
from diffeq.contingent import Game, two_signals
from diffeq.contingent.path import trades

float64 = pytest.mark.float64


def random_game(rng: np.random.Generator, K: int, X: int) -> Game:
    """Signals from sparse to flat, noise over two decades, priors to 1e-3."""
    eta = rng.dirichlet(np.full(X, rng.choice([0.3, 1.0, 5.0])), K)
    prior = rng.dirichlet(np.full(K, rng.choice([0.5, 2.0]))) * (1 - K * 1e-3) + 1e-3
    return Game(eta, np.exp(rng.uniform(-2.3, 2.3, X)), prior)


def by_path(game: Game, rank: int | None = None) -> contingent.Solution:
    """The path's root, uncertified: one program per shape, whichever test asks."""
    return contingent.solve(game, method="continuation", rank=rank, certificate=False)


in_batch = jax.jit(jax.vmap(contingent.solve))
scale = jax.jit(two_signals.scale)


def stacked(games: list[Game]) -> Game:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *map(contingent.game.validated, games))


# Two signals


@float64
@pytest.mark.parametrize(
    "prior, x", [(0.5, 1.0), (0.3, 1.186477003155), (0.1, 1.520743016725), (0.01, 2.127031548)]
)
def test_two_signals_have_the_spec_s_scale(prior: float, x: float) -> None:
    found, info = scale(np.array([prior, 1 - prior]))
    assert bool(info.converged)
    assert float(found) == pytest.approx(x, abs=1e-9 if prior == 0.01 else 1e-12)


@float64
def test_scale_of_two_signals_against_adaptive_quadrature() -> None:
    """scipy's quad and brentq, from prior 0.97 to 1e-30; and the symmetry x(1−p) = 1/x(p).

    There the likelier signal's posterior and profit hang on order flow that it all but never sends.
    """

    def condition(x: float, p: float) -> float:
        def mean(f: Any) -> float:
            def density(w: float) -> float:
                return p * stats.norm.pdf(w - x) + (1 - p) * stats.norm.pdf(w + 1 / x)

            def q(w: float) -> float:
                odds = np.log(p / (1 - p)) + (x + 1 / x) * w - (x**2 - x**-2) / 2
                return 1 / (1 + np.exp(-odds))

            return integrate.quad(
                lambda w: f(q(w)) * density(w), -12, 18, epsabs=0, epsrel=1e-11, limit=400
            )[0]

        return mean(lambda q: q * q * (1 - q)) / mean(lambda q: q * (1 - q)) - 1 / (1 + x * x)

    for p in (0.97, 0.4, 0.02, 1e-6, 1e-30):
        low, high = (0.3, 1.2) if p > 0.5 else (0.9, 11.0)
        expected = optimize.brentq(condition, low, high, args=(p,), xtol=1e-13)
        x = float(scale(np.array([p, 1 - p]))[0])
        assert x == pytest.approx(expected, rel=1e-10)
        mirrored = float(scale(np.array([1 - p, p]))[0])
        assert x * mirrored == pytest.approx(1, abs=1e-12)

    solution = contingent.solve(Game(prior=[p, 1 - p]))
    assert solution.certificate.is_equilibrium
    odds = lambda w: np.log(p) + (x + 1 / x) * w - (x**2 - x**-2) / 2  # noqa: E731
    mistaken = integrate.quad(
        lambda w: stats.norm.pdf(w + 1 / x) / (1 + np.exp(-odds(w))), 4, 18, epsabs=0, epsrel=1e-11
    )[0]
    assert float(solution.posterior[1, 0]) == pytest.approx(mistaken, rel=1e-10)
    assert float(solution.profit[1]) == pytest.approx(mistaken * 1.5**0.5 / x, rel=1e-10)


def test_section_2() -> None:
    """The paper's example: demand ±(1, −2, 1)/√6 and its profit."""
    solution = check(contingent.solve(Game()))
    tolerance = 1e-14 if solution.profit.dtype == np.float64 else 1e-6
    expected = np.array([1, -2, 1]) / np.sqrt(6)
    np.testing.assert_allclose(solution.demand, [expected, -expected], atol=tolerance)
    np.testing.assert_allclose(solution.profit, 0.275322346540524, rtol=tolerance * 10)


def test_nothing_is_traded_where_the_signals_agree() -> None:
    """Exactly zero there, at any prior and noise."""
    eta = [[0.2, 0.25, 0.1, 0.05, 0.3, 0.1], [0.2, 0.1, 0.25, 0.05, 0.3, 0.1]]
    game = Game(eta, [0.5, 1, 2, 3, 4, 5], [0.3, 0.7])
    demand = np.asarray(contingent.solve(game, certificate=False).demand)
    assert (demand[:, [0, 3, 4, 5]] == 0).all() and (demand[:, 1:3] != 0).all()


@float64
def test_path_agrees_with_the_closed_form() -> None:
    """100 random games of two signals: to 1e-10 of the largest trade; no deviation gains."""
    rng = np.random.default_rng(0)
    batch = stacked([random_game(rng, 2, 8) for _ in range(100)])
    path = check(jax.jit(jax.vmap(by_path))(batch))
    closed = check(in_batch(batch))
    scale = np.abs(closed.demand).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(path.demand / scale, closed.demand / scale, atol=1e-10)
    np.testing.assert_allclose(path.profit, closed.profit, rtol=1e-9)


@float64
def test_no_deviation_gains_with_two_signals() -> None:
    """Brute force in one dimension (a deviation off it costs nothing and brings nothing)."""
    rng = np.random.default_rng(1)

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None, None))
    def profit(t: jax.Array, game: Game, demand: jax.Array) -> jax.Array:
        return contingent.expected_profit(game, demand, signal=0, order=t * demand[0])

    for _ in range(5):
        game = contingent.game.validated(random_game(rng, 2, 6))
        solution = contingent.solve(game)
        assert solution.certificate.is_equilibrium
        gains = profit(np.linspace(-20, 20, 4001), game, solution.demand) - solution.profit[0]
        assert float(gains.max()) < 1e-10


# Symmetric games


@float64
@pytest.mark.parametrize("K", [3, 4])
def test_canonical_games_by_two_ways(K: int) -> None:
    """Theorem 6.6 against the path: demand, prices, every posterior moment; then X = K + 2."""
    eta = np.full((K, K + 2), 0.1) + 0.3 * np.eye(K, K + 2)
    game = Game(eta / eta.sum(1, keepdims=True), 1.3)
    closed = check(contingent.solve(game, method="closed_form"))
    path = check(by_path(game))
    for name in contingent.Solution._fields[:5]:
        one, other = getattr(closed, name), getattr(path, name)
        np.testing.assert_allclose(one, other, atol=1e-9, err_msg=name)
    assert closed.certificate.is_equilibrium
    alpha = contingent.canonical.solve(K).alpha
    E = (game.eta - game.eta.mean(0)) * 1.3
    g = np.trace(E @ E.T) / (K - 1)
    np.testing.assert_allclose(closed.demand, alpha * 1.3 * E / np.sqrt(g), atol=1e-12)


@float64
def test_many_symmetric_signals_have_a_closed_form() -> None:
    """Twenty signals, nineteen reduced assets: no grid could; the moments are consistent."""
    K = 20
    solution = check(contingent.solve(Game(np.full((K, K), 0.02) + 0.6 * np.eye(K))))
    np.testing.assert_allclose(solution.posterior.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(solution.products.sum(2), solution.posterior, rtol=1e-10)
    expected = float(contingent.canonical.solve(K).efficiency)
    assert float(solution.posterior[3, 3]) == pytest.approx(expected)


@float64
def test_pentagon_is_a_scaled_pentagon() -> None:
    """Five values on a circle: trades on a circle, of the scale found by scipy in one unknown."""
    corner = np.exp(2j * np.pi * np.arange(5) / 5)
    y, error, info = trades(
        jnp.asarray(np.column_stack([corner.real, corner.imag])), jnp.full(5, 0.2)
    )
    assert bool(info.converged) and float(error) < 1e-10
    radius = np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(radius, radius[0], rtol=1e-12)
    np.testing.assert_allclose(y[:, 0] + 1j * y[:, 1], radius[0] * corner, atol=1e-12)


@float64
@pytest.mark.parametrize("apex, height", [(0.5, 0.808355), (1 / 3, 0.866025), (0.2, 0.930321)])
def test_isosceles_triangles_with_their_prior(apex: float, height: float) -> None:
    """There the trades are a multiple of the values, up to a shift: criterion 4 can hold."""
    a = np.array([[-0.5, 0], [0.5, 0], [0, height]])
    plane = np.array([[2, -1, 0, -1, 0], [0, 1, 1, -1, -1]]) / [[np.sqrt(6)], [2]]  # payoffs' place
    found = by_path(Game(0.2 + 0.1 * a @ plane, 1.0, [(1 - apex) / 2, (1 - apex) / 2, apex]))
    assert bool(found.info.converged)
    y = np.asarray(found.demand) @ plane.T
    beta = float(y[1, 0] - y[0, 0])
    np.testing.assert_allclose(y - y[:1], beta * (a - a[:1]), atol=2e-5)


# One asset


@float64
def test_one_asset_with_normal_values_is_kyle() -> None:
    """41 points on ±4 standard deviations: slope 1.0002 sigma_u/sigma_v at the centre."""
    v = np.linspace(-4, 4, 41)
    prior = stats.norm.pdf(v) / stats.norm.pdf(v).sum()
    found = check(contingent.single_asset(10 + 2.5 * v, prior, 5.0, certificate=False))
    slope = (found.order[21] - found.order[19]) / (2.5 * (v[21] - v[19]))
    assert float(slope) == pytest.approx(1.0002 * 5.0 / 2.5, abs=1e-4)
    assert np.all(np.diff(found.order) > 0)


@float64
def test_one_asset_with_a_value_that_hardly_ever_is() -> None:
    """The others trade as if it were not there: ±1, and that is an equilibrium."""
    for values, prior in (([0, 1, 2], [0.5, 0.5, 1e-17]), ([-1, 0, 1], [1e-17, 0.5, 0.5])):
        found = check(contingent.single_asset(values, prior))
        np.testing.assert_allclose(np.asarray(found.order)[np.array(prior) == 0.5], [-1, 1])
        assert found.certificate.is_equilibrium


@float64
def test_one_asset_of_the_spec_is_refused() -> None:
    """Values 0, .2, 1 with priors .001, .199, .8: the root is right, the deviation too.

    The certificate tells both in the asset's units: −6.425 brings 1.0133, the root's order .7326.
    """
    values = np.array([0, 0.2, 1])
    for span, sigma_u in ((1.0, 2.0), (100.0, 0.5), (1e-200, 1e-200)):
        found = check(contingent.single_asset(span * values, [0.001, 0.199, 0.8], sigma_u))
        np.testing.assert_allclose(found.order / sigma_u, [-2.1203, -1.3116, 0.7602], atol=5e-5)
        assert not found.certificate.is_equilibrium
        failed = found.certificate.bounded_deviation
        assert failed.signal == 0 and failed.direction.shape == (1,)
        best = (found.order[0] + failed.direction[0]) / sigma_u
        assert float(best) == pytest.approx(-6.425, abs=5e-3)
        if span > 1e-200:  # else profits, 1e-400, are no numbers
            told = re.findall(r"brings (\S+) instead of (\S+)", failed.reason)[0]
            earned = np.array(told, float) / span / sigma_u
            np.testing.assert_allclose(earned, [1.0133, 0.7326], atol=5e-5)


def test_one_asset_in_any_order_and_unit() -> None:
    """Permuted values permute the orders; prices scale with values, orders with sigma_u.

    Far from zero, prices lose the digits in which they differ, but profits do not.
    """
    values, prior = np.array([3.0, -1.0, 0.5]), np.array([0.1, 0.5, 0.4])
    found = contingent.single_asset(values, prior, 1.0, certificate=False)
    shuffle = [2, 0, 1]
    other = contingent.single_asset(
        7 + 10 * values[shuffle], prior[shuffle], 3.0, certificate=False
    )
    tolerance = 1e-9 if found.order.dtype == np.float64 else 1e-3
    np.testing.assert_allclose(other.order, 3 * found.order[np.array(shuffle)], rtol=tolerance)
    np.testing.assert_allclose(other.price, 7 + 10 * found.price[np.array(shuffle)], rtol=tolerance)
    far = contingent.single_asset(2.0**20 + values, prior, 1.0, certificate=False)
    np.testing.assert_allclose(far.profit, found.profit, rtol=tolerance)
    total = float(prior @ found.price) - float(prior @ values)
    assert abs(total) < (1e-12 if found.order.dtype == np.float64 else 1e-5)  # a martingale


@pytest.mark.parametrize(
    "arguments, name",
    [
        (([1.0], None, 1.0), "values"),
        (([1.0, 1.0], None, 1.0), "values.*distinct"),
        (([1.0, np.nan], None, 1.0), r"values\[1\]"),
        (([1.0, 2.0], [0.5, 0.6], 1.0), "prior.*sum"),
        (([1.0, 2.0], [1.0, 0.0], 1.0), r"prior\[1\]"),
        (([1.0, 2.0], [1.0], 1.0), "prior: expected shape"),
        (([1.0, 2.0], None, 0.0), "sigma_u"),
        (([1.0, 2.0], None, [1.0, 2.0]), "sigma_u"),
        (("ab", None, 1.0), "values"),
    ],
)
def test_bad_single_assets_are_refused(arguments: Any, name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        contingent.single_asset(*arguments)


# The path on generic games


@float64
@pytest.mark.parametrize("K, X, num_games", [(3, 5, 12), (4, 6, 2)])
def test_path_solves_generic_games_or_says_so(K: int, X: int, num_games: int) -> None:
    """The first-order condition in claims, evaluated apart from the solver's coordinates."""
    rng = np.random.default_rng(K)
    for _ in range(num_games):
        game = random_game(rng, K, X)
        solution = by_path(game, K - 1)
        assert bool(solution.info.converged)
        sigma = np.asarray(game.sigma)
        size = np.abs((game.eta - game.eta.mean(0)) * sigma).max()
        for k in range(K):
            terms = contingent.first_order_terms(game, solution, signal=k)
            worst = np.abs(terms.gradient * sigma).max() / size
            assert worst < 1e-10 + 10 * float(solution.error)
        assert float(np.asarray(game.prior) @ solution.profit) > 0


@float64
@pytest.mark.parametrize("weight", [1e-2, 1e-3, 1e-6])
def test_nearly_collinear_signals_are_solved_or_flagged(weight: float) -> None:
    """The third signal almost a mixture: the common part of the trades grows as 1/weight."""
    rng = np.random.default_rng(5)
    eta = rng.dirichlet(np.ones(5), 3)
    eta[2] = (1 - weight) * (0.4 * eta[0] + 0.6 * eta[1]) + weight * eta[2]
    solution = by_path(Game(eta, 1.0, [0.3, 0.3, 0.4]), 2)
    if weight == 1e-6:  # the common trade of 3e5 leaves too few digits: it must say so
        assert not bool(solution.info.converged) and np.isnan(solution.demand).all()
    else:
        assert bool(solution.info.converged) and float(solution.info.residual) < 1e-10


@float64
def test_trades_depend_on_payoffs_only_up_to_scale_and_shift() -> None:
    """Mixing all signals with a common distribution shrinks payoffs, not trades."""
    rng = np.random.default_rng(6)
    game = random_game(rng, 3, 5)
    common = rng.dirichlet(np.ones(5))
    mixed = game._replace(eta=0.25 * game.eta + 0.75 * common)
    one, other = by_path(game), by_path(mixed)
    np.testing.assert_allclose(one.demand, other.demand, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.profit, 4 * other.profit, rtol=1e-9)


# Derivatives


def outputs(game: Game, rank: int | None = None) -> jax.Array:
    """Demand, profit and price impact, each weighted by something that is not symmetric."""
    method = None if rank is None else "continuation"
    solution = contingent.solve(game, method=method, rank=rank)
    impact = contingent.price_impact(game, solution)
    parts = (solution.demand, solution.profit, impact)
    return jnp.stack([jnp.sum(jnp.sin(1.0 + jnp.arange(x.size)) * x.ravel()) for x in parts])


@float64
@pytest.mark.parametrize("K, rank", [(2, None), (3, 2)])
def test_derivatives_three_ways(K: int, rank: int | None) -> None:
    """In eta, sigma and prior: forward = reverse to 1e-12, and central differences."""
    rng = np.random.default_rng(7)
    game = contingent.game.validated(random_game(rng, K, 5)._replace(sigma=rng.uniform(0.5, 2, 5)))
    move = Game(*(jnp.asarray(rng.normal(size=leaf.shape)) for leaf in game))
    move = move._replace(eta=move.eta - move.eta.mean(1, keepdims=True))
    move = move._replace(prior=(move.prior - move.prior.mean()) * game.prior.min())

    @jax.jit
    def slopes(game: Game, move: Game) -> tuple[jax.Array, jax.Array, Game]:
        value, push = jax.linearize(lambda game: outputs(game, rank), game)
        pull = jax.linear_transpose(push, game)
        return value, push(move), jax.vmap(lambda unit: pull(unit)[0])(jnp.eye(3))

    _, forward, rows = slopes(game, move)
    reverse = sum(
        jnp.sum((row * leaf[None]).reshape(3, -1), axis=1)
        for row, leaf in zip(rows, move, strict=True)
    )
    np.testing.assert_allclose(forward, reverse, rtol=1e-11, atol=1e-12)
    h = 1e-5
    up, down = (
        slopes(jax.tree.map(lambda x, d, h=h: x + h * d, game, move), move)[0] for h in (h, -h)
    )
    np.testing.assert_allclose(forward, (up - down) / (2 * h), rtol=1e-6, atol=1e-8)


@float64
def test_a_thousand_games_and_one_that_is_none() -> None:
    """vmap: the bad lane is NaN in value and every derivative, the others untouched."""
    rng = np.random.default_rng(8)
    eta = jnp.asarray(rng.dirichlet(np.ones(6), (1000, 2)))
    bad = eta.at[17, 0, 0].add(0.1)

    def profit(eta: jax.Array) -> Any:
        solution = contingent.solve(Game(eta, 1.0, [0.4, 0.6]))
        return solution.profit[0], solution.info.converged

    both = jax.jit(jax.vmap(jax.value_and_grad(profit, has_aux=True)))
    (value, ok), slope = both(eta)
    (bad_value, bad_ok), bad_slope = both(bad)
    assert bool(ok.all()) and np.isfinite(slope).all()
    assert not bool(bad_ok[17]) and int(bad_ok.sum()) == 999
    assert np.isnan(bad_value[17]) and np.isnan(bad_slope[17]).all()
    rest = np.arange(1000) != 17
    np.testing.assert_array_equal(value[rest], bad_value[rest])
    np.testing.assert_array_equal(slope[rest], bad_slope[rest])


@float64
def test_a_failed_path_is_flagged_and_check_raises() -> None:
    """A traced prior that does not sum to one: NaN, and an error that names the model."""
    batch = stacked([Game(np.eye(2, 8))] * 100)
    batch.prior[17] = [0.5, 0.6]
    solution = in_batch(batch)
    assert np.isnan(solution.demand[17]).all() and np.isfinite(solution.demand[18]).all()
    with pytest.raises(ConvergenceError, match="contingent"):
        check(solution)


# Price impact


@float64
def test_price_impact_is_the_slope_of_expected_prices() -> None:
    """Central differences of E_k P in the order, for each signal; and at one order flow."""
    rng = np.random.default_rng(9)
    game = random_game(rng, 3, 5)._replace(sigma=rng.uniform(0.5, 2, 5))
    solution = contingent.solve(game, certificate=False)

    def expected_price(order: np.ndarray) -> np.ndarray:
        return np.asarray(
            contingent.first_order_terms(game, solution, signal=1, order=order).arrow_debreu
        )

    def slope(f: Any, at: np.ndarray) -> np.ndarray:
        h = 1e-5 * np.eye(len(at))
        return np.stack([(f(at + e) - f(at - e)) / 2e-5 for e in h], axis=1)

    impact = contingent.price_impact(game, solution, signal=1)
    differences = slope(expected_price, np.asarray(solution.demand[1]))
    np.testing.assert_allclose(impact, differences, atol=1e-9)
    omega = rng.normal(size=5)
    at_omega = contingent.price_impact(game, solution, omega=omega)
    prices = lambda w: np.asarray(contingent.prices(game, solution, w))  # noqa: E731
    np.testing.assert_allclose(at_omega, slope(prices, omega), atol=1e-9)
    mixture = sum(
        p * contingent.price_impact(game, solution, signal=k)
        for k, p in enumerate(np.asarray(game.prior))
    )
    np.testing.assert_allclose(contingent.price_impact(game, solution), mixture, atol=1e-14)


@float64
def test_price_impact_of_two_equally_likely_signals() -> None:
    """(1 − E p_1) D_i D_j / ‖sigma D‖, sigma through the norm only; 1 − E p_1 = .224799754603."""
    rng = np.random.default_rng(10)
    eta, sigma = rng.dirichlet(np.ones(6), 2), rng.uniform(0.5, 2, 6)
    game = Game(eta, sigma)
    D = eta[0] - eta[1]
    expected = 0.224799754603 * np.outer(D, D) / np.linalg.norm(sigma * D)
    impact = contingent.price_impact(game, contingent.solve(game, certificate=False))
    np.testing.assert_allclose(impact, expected, rtol=1e-10)
    claims = rng.normal(size=(2, 6))
    cross = contingent.options.cross_impact(claims[0], impact, claims[1])
    assert float(cross) == pytest.approx(claims[0] @ expected @ claims[1], rel=1e-10)


@float64
@pytest.mark.parametrize("prior, ratio", [(0.1, 3.8916), (0.3, 1.6575), (0.5, 1), (0.7, 0.6033)])
def test_impact_is_higher_under_the_rarer_signal(prior: float, ratio: float) -> None:
    """Proposition 7.6 corrected: at a uniform prior the two are equal."""
    game = Game(prior=[prior, 1 - prior])
    solution = contingent.solve(game, certificate=False)
    first, second = (contingent.price_impact(game, solution, signal=k)[0, 0] for k in (0, 1))
    assert float(first / second) == pytest.approx(ratio, abs=5e-5)


@float64
def test_efficiency_is_the_canonical_one_whatever_eta_and_sigma() -> None:
    """Corollary 7.10, where it holds; and in the product game it does not: .60094."""
    game = Game(np.random.default_rng(11).dirichlet(np.ones(6), 2), [1, 2, 3, 4, 5, 6.0])
    efficiency = contingent.information_efficiency(game, contingent.solve(game, certificate=False))
    assert float(efficiency) == pytest.approx(0.775200245397, abs=1e-11)
    f1, f2 = np.array([1, -1, 1, -1]) * 0.1, np.array([1, 1, -1, -1]) * 0.05
    product = Game([0.25 + i * f1 + j * f2 for i in (-1, 1) for j in (-1, 1)])
    solution = contingent.solve(product, certificate=False)
    efficiency = contingent.information_efficiency(product, solution, signal=0)
    assert float(efficiency) == pytest.approx(0.60094, abs=5e-6)


@float64
def test_published_formulas_where_they_hold_and_where_not() -> None:
    """(33) with mirrored signals is the equilibrium; in section 2 it is not; (34) never is (20)."""
    mirror = Game([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    solution = contingent.solve(mirror, certificate=False)
    np.testing.assert_allclose(contingent.published_demand(mirror), solution.demand, atol=1e-12)
    root = np.sqrt(0.5)
    printed = contingent.published_demand(Game())
    np.testing.assert_allclose(printed, [[0.5, -root, 0.5], [-0.5, root, -0.5]], atol=1e-12)
    impact = contingent.price_impact(mirror, solution)
    published = contingent.published_price_impact(mirror, solution)
    assert float(jnp.max(jnp.abs(published / impact))) < 1 - 1 / 2 + 1e-12 or not np.allclose(
        published, impact, rtol=1e-3
    )


def test_a_certificate_stays_on_the_host() -> None:
    """A certified solution goes into jit and comes out without its certificate."""
    solution = contingent.solve(Game())
    assert solution.certificate is not None and solution.certificate.is_equilibrium
    through = jax.jit(lambda s: s)(solution)
    assert through.certificate is None
    np.testing.assert_array_equal(through.demand, solution.demand)
    assert contingent.solve(Game(), certificate=False).certificate is None


@float64
def test_a_rank_that_leaves_payoffs_out_is_flagged_or_refused() -> None:
    game = random_game(np.random.default_rng(3), 3, 5)
    assert not bool(contingent.solve(game, rank=1).info.converged)
    traced = jax.jit(lambda game: contingent.solve(game, rank=1, certificate=False))(game)
    assert not bool(traced.info.converged)
    for call in (contingent.solve, contingent.reduce):
        with pytest.raises(ValueError, match="rank: expected at most"):
            call(game, rank=3)


def test_moments_are_asked_of_a_solution_of_this_game() -> None:
    game, other = Game(), Game(np.eye(3))
    solution = contingent.solve(game, certificate=False)
    for measure in (
        contingent.price_impact,
        contingent.information_efficiency,
        contingent.published_price_impact,
    ):
        with pytest.raises(TypeError, match="solution: expected what contingent.solve returns"):
            measure(game, solution.demand)
        with pytest.raises(ValueError, match=r"(solution|demand): expected"):
            measure(other, solution)
    omega = np.array([0.3, -0.2, 0.1])
    np.testing.assert_array_equal(
        contingent.price_impact(game, solution.demand, omega=omega),
        contingent.price_impact(game, solution, omega=omega),
    )


def test_published_demand_needs_independent_signals() -> None:
    game = Game([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]])
    assert np.isnan(contingent.published_demand(game)).all()
