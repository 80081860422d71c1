"""The game before any equilibrium: posteriors, prices, the first-order condition, reduction."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq import contingent
from diffeq.contingent import Game

float64 = pytest.mark.float64
EPS = float(jnp.finfo(jnp.result_type(float)).eps)


def a_game(K: int = 3, X: int = 6, seed: int = 0) -> tuple[Game, np.ndarray]:
    """A random game and a random belief about its demand."""
    rng = np.random.default_rng(seed)
    game = Game(rng.dirichlet(np.ones(X), K), rng.uniform(0.5, 2, X), rng.dirichlet(np.ones(K)))
    return game, rng.normal(size=(K, X))


def test_posterior_is_bayes_rule() -> None:
    """Against the normal densities themselves, each market on its own."""
    game, demand = a_game()
    omega = np.random.default_rng(1).normal(size=6)
    log_density = -(((omega - demand) / game.sigma) ** 2).sum(axis=1) / 2
    weight = game.prior * np.exp(log_density - log_density.max())
    expected = weight / weight.sum()
    np.testing.assert_allclose(contingent.posterior(game, demand, omega), expected, rtol=200 * EPS)
    prices = contingent.prices(game, demand, omega)
    np.testing.assert_allclose(prices, expected @ game.eta, rtol=200 * EPS)
    assert float(prices.sum()) == pytest.approx(1, abs=20 * EPS)


@pytest.mark.parametrize("K", [2, 3, 4])
def test_first_order_terms_sum_to_the_gradient_of_profit(K: int) -> None:
    """Payoff less Arrow–Debreu price less price impact, at an order that is not the belief."""
    game, demand = a_game(K)
    order = np.random.default_rng(2).normal(size=6)
    terms = contingent.first_order_terms(game, demand, signal=1, order=order)
    profit = lambda o: contingent.expected_profit(game, demand, signal=1, order=o)  # noqa: E731
    np.testing.assert_allclose(terms.gradient, jax.grad(profit)(jnp.asarray(order)), atol=100 * EPS)
    np.testing.assert_allclose(terms.payoff, np.asarray(game.eta, terms.payoff.dtype)[1])


@float64
def test_profit_is_that_of_a_simulation() -> None:
    """Two million order flows, four standard errors; nothing shared with the quadrature."""
    game, demand = a_game()
    rng = np.random.default_rng(3)
    order, num = rng.normal(size=6), 2_000_000
    omega = order + rng.normal(size=(num, 6)) * game.sigma
    scaled = demand / game.sigma**2
    score = np.log(game.prior) + omega @ scaled.T - (scaled * demand).sum(1) / 2
    q = np.exp(score - score.max(1, keepdims=True))
    earned = (game.eta[2] - q / q.sum(1, keepdims=True) @ game.eta) @ order
    exact = float(contingent.expected_profit(game, demand, signal=2, order=order))
    assert abs(earned.mean() - exact) < 4 * earned.std() / np.sqrt(num)


def test_reduction_keeps_the_inner_products() -> None:
    """a aᵀ = E diag(sigma²) Eᵀ, orthonormal directions, rank found; claims invert it."""
    game, _ = a_game(4, 7)
    small = contingent.reduce(game)
    E = game.eta - game.eta.mean(0)
    assert small.a.shape == (4, 3)
    gram = small.a @ small.a.T
    np.testing.assert_allclose(gram, E @ np.diag(game.sigma**2) @ E.T, atol=50 * EPS)
    np.testing.assert_allclose(small.directions.T @ small.directions, np.eye(3), atol=50 * EPS)
    in_claims = small.claims(small.a, jnp.asarray(game.sigma, small.a.dtype))
    np.testing.assert_allclose(in_claims, E * game.sigma**2, atol=100 * EPS)


def test_rank_below_the_largest_is_found() -> None:
    """Four signals whose payoffs lie on a line are one asset."""
    base, move = np.full(5, 0.2), np.array([0.1, -0.1, 0.05, -0.05, 0])
    game = Game(base + np.array([-1, -0.2, 0.5, 1])[:, None] * move)
    assert contingent.reduce(game).a.shape == (4, 1)


def test_identical_signals_are_refused_and_merged() -> None:
    """By name; merging adds their priors."""
    eta = np.array([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2], [0.2, 0.3, 0.5]])
    game = Game(eta, 1.0, [0.2, 0.3, 0.5])
    for refuse in (contingent.reduce, contingent.solve):
        with pytest.raises(ValueError, match="signals 0 and 2 are identical.*merge"):
            refuse(game)
    merged = contingent.merge(game)
    np.testing.assert_allclose(merged.eta, eta[:2])
    np.testing.assert_allclose(merged.prior, [0.7, 0.3], rtol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"eta": [[0.5, 0.4], [0.5, 0.5]]}, r"Game\.eta\[0\].*sum to 1"),
        ({"eta": [[1.5, -0.5], [0.5, 0.5]]}, r"Game\.eta\[0, 1\].*≥ 0"),
        ({"eta": [[np.nan, 1.0], [0.5, 0.5]]}, r"Game\.eta\[0, 0\]"),
        ({"eta": [[0.5, 0.5]]}, r"Game\.eta: expected shape"),
        ({"eta": [[[0.5, 0.5]]]}, r"Game\.eta.*vmap"),
        ({"eta": "half"}, r"Game\.eta"),
        ({"eta": None}, r"Game\.eta"),
        ({"eta": [[0.5 + 0j, 0.5], [1, 0]]}, r"Game\.eta"),
        ({"sigma": 0.0}, r"Game\.sigma.*positive"),
        ({"sigma": [1.0, -1.0, 1.0]}, r"Game\.sigma\[1\]"),
        ({"sigma": [1.0, 1.0]}, r"Game\.sigma: expected shape"),
        ({"sigma": np.inf}, r"Game\.sigma"),
        ({"prior": [0.5, 0.6]}, r"Game\.prior.*sum to 1"),
        ({"prior": [1.0, 0.0]}, r"Game\.prior\[1\].*positive"),
        ({"prior": [1.0]}, r"Game\.prior: expected shape"),
    ],
)
def test_bad_games_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        contingent.solve(Game()._replace(**change))


def test_bad_orders_are_refused_by_name() -> None:
    game, demand = a_game()
    for call, name in (
        (lambda: contingent.posterior(game, demand[:2], np.zeros(6)), "demand"),
        (lambda: contingent.posterior(game, demand, np.zeros(5)), "order_flow"),
        (lambda: contingent.prices(game, np.full((3, 6), np.nan), np.zeros(6)), "demand"),
        (lambda: contingent.first_order_terms(game, demand, signal=3), "signal"),
        (lambda: contingent.first_order_terms(game, demand, signal=-1), "signal"),
        (lambda: contingent.expected_profit(game, demand, signal=0, order=[1.0]), "order"),
        (lambda: contingent.posterior("game", demand, np.zeros(6)), "game"),
    ):
        with pytest.raises((ValueError, TypeError), match=name):
            call()


@pytest.mark.float64
def test_single_precision_probabilities_in_a_double_precision_game() -> None:
    """Rows of float32 sum to one up to their own rounding; numbers of Python have no dtype."""
    eta = np.random.default_rng(0).dirichlet(np.ones(7), 2).astype(np.float32)
    assert contingent.solve(Game(eta)).demand.dtype == jnp.float32
    exact = eta.astype(float) / eta.astype(float).sum(axis=1, keepdims=True)
    for change in ({"sigma": np.ones(7)}, {"prior": np.full(2, 0.5)}):
        found = contingent.solve(Game(eta)._replace(**change), certificate=False)
        assert found.demand.dtype == jnp.float64 and bool(found.info.converged)
        wanted = contingent.solve(Game(exact), certificate=False).demand
        np.testing.assert_allclose(found.demand, wanted, rtol=1e-12)
    prior = np.array([0.3, 0.3, 0.4], np.float32)
    one = contingent.single_asset(np.array([0.0, 1.0, 3.0]), prior, certificate=False)
    assert bool(one.info.converged)


def test_more_dimensions_than_can_be_integrated_over() -> None:
    game = Game(np.eye(8))
    demand = np.eye(8) - 1 / 8
    with pytest.raises(ValueError, match="demand: 7 dimensions"):
        contingent.first_order_terms(game, demand, signal=0)
