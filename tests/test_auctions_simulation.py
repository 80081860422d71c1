"""Simulated auctions: every moment within four standard errors of its formula; fixed key."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq import holden, kyle

PATHS = 40_000
DT = np.array([0.2, 0.5, 0.3])
SIGMA_V, SIGMA_U, P_0 = 2.5, 5.0, 100.0
CASES = {
    "kyle": (kyle, kyle.Params(SIGMA_V, SIGMA_U, P_0), 1.0),
    "few": (holden, holden.Params(SIGMA_V, SIGMA_U, 3.0, P_0), 3.0),
    "half": (holden, holden.Params(SIGMA_V, SIGMA_U, 0.5, P_0), 0.5),
}


@pytest.fixture(scope="module", params=CASES)
def market(request: pytest.FixtureRequest) -> Any:
    model, params, M = CASES[request.param]
    solution = model.solve(params, num_auctions=3, spacing=DT)
    key = jax.random.key(1992)
    paths = model.simulate(key, params, solution, num_paths=PATHS, spacing=DT)
    return model, params, M, solution, paths


def test_shapes_and_dtypes(market: Any) -> None:
    """(P,) and (P, N), in the solution's dtype."""
    *_, solution, paths = market
    for field in ("value", "insider_profit", "noise_profit"):
        assert getattr(paths, field).shape == (PATHS,)
    for field in ("prices", "errors", "insider_orders", "noise_orders"):
        assert getattr(paths, field).shape == (PATHS, 3)
    assert {x.dtype for x in paths} == {solution.lambda_.dtype}


def test_paths_obey_the_models_own_lines(market: Any) -> None:
    """Orders, prices and profits recomputed from the definitions, path by path."""
    _, _, M, s, paths = market
    value, prices, x, u = (
        np.asarray(a, np.float64)
        for a in (paths.value, paths.prices, paths.insider_orders, paths.noise_orders)
    )
    before = np.column_stack([np.full(PATHS, P_0), prices[:, :-1]])
    eps = 1e-12 if s.lambda_.dtype == np.float64 else 1e-4
    beta, lam = np.asarray(s.beta, np.float64), np.asarray(s.lambda_, np.float64)
    helpers.assert_close_by_norm(x, beta * DT * (value[:, None] - before), eps)
    helpers.assert_close_by_norm(prices, before + lam * (M * x + u), eps)
    helpers.assert_close_by_norm(paths.errors, value[:, None] - prices, eps)
    gains = value[:, None] - prices
    helpers.assert_close_by_norm(paths.insider_profit, np.sum(x * gains, axis=1), 10 * eps)
    helpers.assert_close_by_norm(paths.noise_profit, np.sum(u * gains, axis=1), 10 * eps)


def test_draws_have_their_distribution(market: Any) -> None:
    """v ~ N(p_0, sigma_v²), u_n ~ N(0, sigma_u² dt_n), independent of each other."""
    *_, paths = market
    v, u = np.asarray(paths.value, np.float64) - P_0, np.asarray(paths.noise_orders, np.float64)
    helpers.assert_mean(v, 0.0, "v")
    helpers.assert_mean(v**2, SIGMA_V**2, "variance of v")
    helpers.assert_mean(u, np.zeros(3), "u")
    helpers.assert_mean(u**2, SIGMA_U**2 * DT, "variance of u")
    helpers.assert_mean(u * v[:, None], np.zeros(3), "u against v")
    helpers.assert_mean(u * np.roll(u, 1, axis=1), np.zeros(3), "u against other u")


def test_prices_are_a_martingale(market: Any) -> None:
    """E[p_n − p_{n−1}] = 0, and the changes are uncorrelated with the price before."""
    *_, paths = market
    prices = np.column_stack([np.full(PATHS, P_0), np.asarray(paths.prices, np.float64)])
    changes = np.diff(prices, axis=1)
    helpers.assert_mean(changes, np.zeros(3), "price changes")
    before = prices[:, 1:-1] - P_0
    helpers.assert_mean(changes[:, 1:] * before, np.zeros(2), "changes against prices")


def test_prices_are_efficient(market: Any) -> None:
    """E[v − p_n] = 0, Var(v − p_n) = Sigma_n, and the error is orthogonal to the price."""
    *_, s, paths = market
    errors = np.asarray(paths.errors, np.float64)
    helpers.assert_mean(errors, np.zeros(3), "errors")
    helpers.assert_mean(errors**2, np.asarray(s.Sigma), "variance of errors")
    prices = np.asarray(paths.prices, np.float64) - P_0
    helpers.assert_mean(errors * prices, np.zeros(3), "errors against prices")


def test_flow_and_price_variances(market: Any) -> None:
    """Var(flow_n) = sigma_u² dt_n (1 + r_n) and Var(Δp_n) = Sigma_{n−1} − Sigma_n."""
    _, _, M, s, paths = market
    flow = M * np.asarray(paths.insider_orders, np.float64) + np.asarray(paths.noise_orders)
    before = np.append(SIGMA_V**2, np.asarray(s.Sigma, np.float64)[:-1])
    Sigma = np.asarray(s.Sigma, np.float64)
    helpers.assert_mean(flow**2, SIGMA_U**2 * DT * before / Sigma, "variance of flow")
    moves = np.diff(np.asarray(paths.prices, np.float64), axis=1, prepend=P_0)
    helpers.assert_mean(moves**2, before - Sigma, "variance of price changes")


def test_mean_profits_are_the_formulas(market: Any) -> None:
    """Each insider earns alpha_0 sigma_v² + delta_0, noise loses Σ lambda sigma_u² dt."""
    model, params, M, s, paths = market
    insider = np.asarray(paths.insider_profit, np.float64)
    noise = np.asarray(paths.noise_profit, np.float64)
    expected = float(model.insider_profit(s, params, spacing=DT))
    helpers.assert_mean(insider, expected, "insider")
    helpers.assert_mean(noise, -float(model.noise_loss(s, params, spacing=DT)), "noise")
    helpers.assert_mean(-(M * insider + noise), 0.0, "market maker")
    # and the formula is one the sample can refute
    assert helpers.standard_errors(insider, 1.1 * expected) > 4


def test_profit_given_the_value(market: Any) -> None:
    """E[profit | v] = alpha_0 (v − p_0)² + delta_0: slope and intercept of the value function."""
    _, _, M, s, paths = market
    lam, alpha = float(s.lambda_[0]), float(s.alpha[0])
    q = alpha * lam
    alpha_0 = (1 - q) / (lam * (M * (1 - 2 * q) + 1) ** 2)
    delta_0 = float(s.delta[0]) + q * lam * SIGMA_U**2 * DT[0]
    squared = (np.asarray(paths.value, np.float64) - P_0) ** 2
    gap = np.asarray(paths.insider_profit, np.float64) - alpha_0 * squared - delta_0
    helpers.assert_mean(gap, 0.0, "value function")
    helpers.assert_mean(gap * (squared - SIGMA_V**2), 0.0, "value function, its slope")


@pytest.mark.float64
def test_prior_mean_shifts_prices_only() -> None:
    """Another p_0 moves v and every price by as much, and no order or profit."""
    a, b = (
        holden.simulate(
            jax.random.key(3),
            holden.Params(p_0=p),
            holden.solve(holden.Params(p_0=p), num_auctions=3),
            num_paths=50,
        )
        for p in (0.0, 64.0)
    )
    for name in ("errors", "insider_orders", "noise_orders", "insider_profit", "noise_profit"):
        helpers.assert_same_bits(getattr(a, name), getattr(b, name), name)
    np.testing.assert_allclose(b.prices - a.prices, 64.0, rtol=1e-13)
    np.testing.assert_allclose(b.value - a.value, 64.0, rtol=1e-13)


def test_a_key_decides_everything() -> None:
    """Same key, same paths; another key, other paths; v and u are not one stream."""
    params = holden.Params()
    s = holden.solve(params, num_auctions=3)
    one, same, other = (
        holden.simulate(jax.random.key(k), params, s, num_paths=50) for k in (5, 5, 6)
    )
    helpers.assert_same_bits(one, same)
    assert not np.array_equal(one.value, other.value)
    assert abs(np.corrcoef(one.value, one.noise_orders[:, 0])[0, 1]) < 0.9


@pytest.mark.float64
def test_errors_do_not_cancel_when_the_price_has_converged() -> None:
    """At M = 15, N = 20, v − p_n is far below the price's own rounding: still of variance Sigma."""
    params = holden.Params(SIGMA_V, SIGMA_U, 15.0, P_0)
    s = holden.solve(params, num_auctions=20)
    paths = holden.simulate(jax.random.key(8), params, s, num_paths=4000)
    assert float(s.Sigma[-1]) ** 0.5 < 1e-10
    scaled = np.asarray(paths.errors) ** 2 / np.asarray(s.Sigma)
    helpers.assert_mean(scaled, np.ones(20), "variance of errors in units of Sigma")


def test_a_solution_of_another_market_is_refused() -> None:
    """The wrong spacing, parameters or object would give wrong paths without a word."""
    params = holden.Params(2.5, 5.0, 3.0)
    spaced = holden.solve(params, num_auctions=2, spacing=[0.1, 0.9])
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="not solved for these params and this spacing"):
        holden.simulate(key, params, spaced, num_paths=2)
    with pytest.raises(ValueError, match="not solved for these params and this spacing"):
        holden.simulate(key, params._replace(sigma_v=1.0), spaced, num_paths=2, spacing=[0.1, 0.9])
    with pytest.raises(TypeError, match="expected the Solution of solve"):
        holden.simulate(key, params, holden.solve_up_to(params, max_auctions=2), num_paths=2)


def test_simulation_is_differentiable_and_batches() -> None:
    """d mean price / d p_0 = 1 path by path; a vmap over keys is the keys one by one."""
    params = holden.Params(2.5, 5.0, 2.0, 100.0)
    s = holden.solve(params, num_auctions=2)

    def mean_price(p_0: jax.Array) -> jax.Array:
        moved = params._replace(p_0=p_0)
        return holden.simulate(jax.random.key(0), moved, s, num_paths=10).prices.mean()

    assert abs(float(jax.jit(jax.grad(mean_price))(100.0)) - 1) < 1e-5
    keys = jax.random.split(jax.random.key(4), 3)
    draw = lambda key: holden.simulate(key, params, s, num_paths=10).prices  # noqa: E731
    batch = jax.jit(jax.vmap(draw))(keys)
    np.testing.assert_allclose(batch[1], draw(keys[1]), rtol=1e-5)


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "9", None])
def test_bad_path_counts_are_named(count: Any) -> None:
    """A number of paths is a positive int."""
    params = holden.Params()
    s = holden.solve(params, num_auctions=2)
    with pytest.raises((ValueError, TypeError), match="num_paths"):
        holden.simulate(jax.random.key(0), params, s, num_paths=count)


def test_a_spacing_other_than_the_solutions_is_refused() -> None:
    """Lengths of another number of auctions are an error by name."""
    params = holden.Params()
    s = holden.solve(params, num_auctions=2)
    with pytest.raises(ValueError, match="spacing"):
        holden.simulate(jax.random.key(0), params, s, num_paths=3, spacing=jnp.ones(3) / 3)
