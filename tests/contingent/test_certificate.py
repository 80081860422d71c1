"""The certificate: equilibria it must accept, impostors it must refuse, deviations that pay."""

import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from claims_oracle import (
    EQUILIBRIA,
    canonical,
    first_order_point,
    in_claims,
    one_asset,
    profit,
    simplex,
    two_signals,
    uniform,
)

from diffeq.contingent import certificate, cone, deviations, first_order
from diffeq.contingent.certificate import certify
from diffeq.contingent.game import Game, validated

X64 = jax.config.jax_enable_x64
CRITERIA = certificate.Certificate._fields[:6]
SECTION_2 = Game()
PUBLISHED_2 = np.array([[0.5, -(0.5**0.5), 0.5], [-0.5, 0.5**0.5, -0.5]])  # (33) for Section 2


@pytest.mark.parametrize("name", EQUILIBRIA)
def test_equilibria_are_accepted(name):
    game, demand = EQUILIBRIA[name]()
    judged = certify(game, demand)
    assert judged.is_equilibrium, str(judged)
    assert all(criterion.passed for criterion in judged[:6])
    assert all(criterion.direction is None and not criterion.reason for criterion in judged[:6])
    assert str(judged).startswith("an equilibrium")


@pytest.mark.parametrize("name", ["two signals, unlike priors", "product", "one asset"])
def test_minus_an_equilibrium_is_refused(name):
    game, demand = EQUILIBRIA[name]()
    judged = certify(game, -demand)
    assert judged.first_order.passed  # the condition is even: that is why it proves nothing
    assert not judged.profit.passed and not judged.revealed_preference.passed
    assert not judged.second_order.passed
    k, l = judged.revealed_preference.signal, judged.revealed_preference.other
    own = profit(game, -demand, k, -demand[k])
    assert profit(game, -demand, k, -demand[l]) > own
    assert profit(game, -demand, k, -demand[k] + judged.profit.direction) > own


def test_profit_is_the_expectation_of_profits():
    game, demand = two_signals(0.3, 1.186477003155)
    known = deviations.orders(validated(game), jnp.asarray(demand))
    each = [profit(game, demand, k, demand[k]) for k in range(2)]
    expected = 0.3 * each[0] + 0.7 * each[1]
    got = certify(game, demand).profit.value * known.scale
    np.testing.assert_allclose(got, expected, rtol=1e-9 if X64 else 1e-4)


def test_shifts_nobody_is_paid_for_are_harmless():
    game, demand = canonical(3)
    bond = 3 * np.asarray(game.sigma) / np.linalg.norm(1 / np.asarray(game.sigma))
    shift = bond / np.asarray(game.sigma)  # in units of noise orthogonal to all payoffs: 1/sigma
    assert np.abs(np.asarray(game.eta) @ shift - shift.mean()).max() < 1e-9
    assert certify(game, demand + shift).is_equilibrium
    along = 0.1 * demand[0]
    assert not certify(game, demand + along).first_order.passed


# Impostors


def grows_without_bound(game, demand, criterion):
    """Profit along the ray, by the oracle, rises tenfold with distance."""
    k, d = criterion.signal, criterion.direction
    near, far, farther = (profit(game, demand, k, demand[k] + t * d) for t in (1e2, 1e3, 1e4))
    return far > profit(game, demand, k, demand[k]) and 9.0 < (farther - far) / (far - near) < 11.0


def test_zero_demand_is_refused():
    game, demand = two_signals()
    demand = 0 * demand
    judged = certify(game, demand)
    assert not judged.is_equilibrium and not judged.first_order.passed
    assert "arbitrage" in judged.unbounded_deviation.reason
    assert grows_without_bound(game, demand, judged.unbounded_deviation)


def test_published_demand_is_refused():
    judged = certify(SECTION_2, PUBLISHED_2)
    assert not judged.first_order.passed
    assert "Theorem 5.4" in judged.unbounded_deviation.reason
    assert grows_without_bound(SECTION_2, PUBLISHED_2, judged.unbounded_deviation)
    u = np.array([1.0, -2.0, 1.0]) / 6**0.5
    assert certify(SECTION_2, np.array([u, -u])).is_equilibrium


def test_published_demand_on_variance_signals_is_refused():
    x = np.linspace(-4, 4, 25)
    eta = np.exp(-0.5 * (x / np.array([[0.7], [1.4]])) ** 2)
    eta /= eta.sum(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(eta @ eta.T)
    L = vectors * np.sqrt(values) @ vectors.T
    demand = (np.sqrt(2) * np.linalg.inv(L) @ (np.eye(2) - 0.5)).T @ eta
    judged = certify(Game(eta), demand)
    assert not judged.first_order.passed
    assert not judged.unbounded_deviation.passed
    assert grows_without_bound(Game(eta), demand, judged.unbounded_deviation)


def test_canonical_payoffs_with_another_prior_are_refused():
    a = simplex(3)
    y = 1.523225822124 * a
    for apex in (0.37, 0.41, 0.45, 0.5):  # a straight start ends at the root at infinity
        prior = np.array([apex, (1 - apex) / 2, (1 - apex) / 2])
        y = first_order_point(a, prior, y)
    assert np.abs(y).max() < 3
    game, demand = in_claims(a, y, prior)
    judged = certify(game, demand)
    assert judged.first_order.passed and judged.profit.passed
    assert not judged.unbounded_deviation.passed
    assert grows_without_bound(game, demand, judged.unbounded_deviation)


@pytest.mark.parametrize("seed", range(4))
def test_random_games_of_three_signals_are_refused(seed):
    draws = np.random.default_rng(seed)
    eta, sigma = draws.dirichlet(np.ones(6), 3), np.exp(draws.uniform(-1, 1, 6))
    U, S, V = np.linalg.svd((eta - eta.mean(axis=0)) * sigma, full_matrices=False)
    a = U[:, :2] * S[:2]
    y = first_order_point(a / S[0], uniform(3), 1.5 * U[:, :2])
    game, demand = Game(eta, sigma), sigma * (y @ V[:2])
    judged = certify(game, demand)
    assert judged.first_order.passed, str(judged)
    assert not judged.unbounded_deviation.passed
    assert "without bound" in str(judged)
    assert grows_without_bound(game, demand, judged.unbounded_deviation)


def test_exact_tie_is_refused_where_generic_rays_show_nothing():
    y = np.array([[-1.0, 0], [0, 0], [1, 0], [0, -1]])
    a = y - 0.2 * np.array([[0.0, 0], [0, 1], [0, 0], [0, 0]])
    game, demand = in_claims(a, y, uniform(4), noise=False)
    judged = certify(game, demand).unbounded_deviation
    assert not judged.passed and judged.other == 1
    assert grows_without_bound(game, demand, judged)
    draws = np.random.default_rng(0)
    back = np.linalg.lstsq(y, demand, rcond=None)[0]
    for _, k in itertools.product(range(5), range(4)):
        ray = draws.standard_normal(2) @ back
        assert profit(game, demand, k, demand[k] + 1e3 * ray) < 1e-3


def test_rounding_does_not_undo_a_tie():
    a = np.array([[-1.0, 0], [0, -0.2], [1, 0], [0, -1]])
    for inwards in (0.0, 1e-16, -1e-16, 1e-12):
        y = np.array([[-1.0, 0], [0, -inwards], [1, 0], [0, -1]])
        ray = cone.steepest_ray(a, y, tie=1e-8)
        assert ray.distance > 0.1 and ray.believed == 1
        np.testing.assert_array_equal(ray.tied, [True, True, True, False])
        np.testing.assert_allclose(ray.direction, [0, 1], atol=1e-8)


def test_bounded_deviation_is_found():
    """The brief's example: it passes everything but the search."""
    a, prior = np.array([[0.0], [0.2], [1.0]]), np.array([0.001, 0.199, 0.8])
    y = first_order_point(a, prior, np.array([[-2.1203], [-1.3116], [0.7602]]))
    np.testing.assert_allclose(y.ravel(), [-2.1203, -1.3116, 0.7602], atol=1e-4)
    game, demand = in_claims(a, y, prior, noise=False)
    judged = certify(game, demand)
    assert [name for name in CRITERIA if not getattr(judged, name).passed] == ["bounded_deviation"]
    found = judged.bounded_deviation
    assert found.signal == 0 and "brings" in found.reason
    np.testing.assert_allclose(1 + found.value, 1.0133 / 0.7326, rtol=2e-4)
    moved = demand[0] + found.direction
    np.testing.assert_allclose(moved / demand[0], -6.425 / -2.1203, rtol=1e-3)
    gain = profit(game, demand, 0, moved) / profit(game, demand, 0, demand[0])
    np.testing.assert_allclose(gain, 1 + found.value, rtol=1e-6 if X64 else 1e-3)


def test_bounded_deviation_is_found_in_two_dimensions():
    """The same game beside one of two signals, turned: nothing but the search can see it."""
    line, prior = np.array([[0.0], [0.2], [1.0]]), np.array([0.001, 0.199, 0.8])
    y = first_order_point(line, prior, np.array([[-2.1203], [-1.3116], [0.7602]]))
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    pairs = [(i, sign) for i in range(3) for sign in (-1.0, 1.0)]
    a = np.array([(line[i, 0], sign / 2) for i, sign in pairs]) @ turn
    orders = np.array([(y[i, 0], sign) for i, sign in pairs]) @ turn
    game, demand = in_claims(a, orders, np.array([prior[i] / 2 for i, _ in pairs]))
    judged = certify(game, demand)
    assert [name for name in CRITERIA if not getattr(judged, name).passed] == ["bounded_deviation"]
    k, moved = judged.bounded_deviation.signal, judged.bounded_deviation.direction
    assert k in (0, 1)
    assert profit(game, demand, k, demand[k] + moved) > 1.1 * profit(game, demand, k, demand[k])


def test_convex_profit_is_refused():
    """At minus an equilibrium a small step along the direction pays, and so does its opposite."""
    game, demand = canonical(3)
    judged = certify(game, -demand).second_order
    k, small = judged.signal, 0.05 * judged.direction
    ends = [profit(game, -demand, k, -demand[k] + s * small) for s in (-1, 1)]
    assert min(ends) > profit(game, -demand, k, -demand[k])


def test_root_at_infinity_is_refused():
    game, demand = one_asset(3)
    judged = certify(game, 100 * demand)
    assert not judged.first_order.passed and "infinity" in judged.first_order.reason
    judged = certify(game, 4 * demand)
    assert not judged.first_order.passed and not judged.is_equilibrium


# What it is made of


@pytest.mark.parametrize("away", [0.0, 2.0])
def test_costs_against_the_first_order_condition(away):
    """In claims, for a demand outside the span of the payoffs: profit, and Theorem 5.1."""
    draws = np.random.default_rng(3)
    game = validated(Game(draws.dirichlet(np.ones(6), 3), np.exp(draws.uniform(-1, 1, 6))))
    demand = draws.standard_normal((3, 6))
    known = deviations.orders(game, jnp.asarray(demand))
    a, y = known.a, known.y
    assert a.shape == (3, 4)
    at = y + away * draws.standard_normal((3, 4))
    placed = demand + (at - y) @ known.claims.T
    got = deviations.costs(at, known, certificate._rule(2, certificate.FINEST[2]), block=3)
    gains = known.scale * (np.sum(a * at, axis=1) - got.value)
    expected = [profit(game, demand, k, placed[k]) for k in range(3)]
    np.testing.assert_allclose(gains, expected, atol=1e-8 if X64 else 1e-5)
    terms = first_order.first_order_terms(game, demand, signal=1, order=placed[1])
    marginal = known.scale * (a[1] - got.slope[1])
    expected = np.asarray(terms.gradient) @ known.claims
    np.testing.assert_allclose(marginal, expected, atol=1e-8 if X64 else 1e-5)


def test_curvature_by_differences():
    game, demand = canonical(3)
    known = deviations.orders(validated(game), jnp.asarray(demand))
    rule = certificate._rule(2, certificate.FINEST[2])
    at, h = np.array([[0.4, -1.1]]), 1e-4 if X64 else 1e-2
    steps = h * np.vstack([np.eye(2), -np.eye(2)])
    around = deviations.costs(at + steps, known, rule, block=2).slope
    expected = (around[:2] - around[2:]) / (2 * h)
    got = deviations.costs(at, known, rule, block=2).curvature[0]
    np.testing.assert_allclose(got, expected, atol=1e-7 if X64 else 2e-3)


def test_cone_of_separating_directions():
    """The residual separates: on the far side of every generator."""
    draws = np.random.default_rng(4)
    for _ in range(200):
        d = int(draws.integers(1, 5))
        generators, target = draws.standard_normal((5, d)), draws.standard_normal(d)
        residual = cone.beyond_cone(target, generators, 1e-8)
        assert (generators @ residual).max() < 1e-7
        assert abs(residual @ target - residual @ residual) < 1e-7
        inside = draws.uniform(0, 1, 5) @ generators
        assert np.linalg.norm(cone.beyond_cone(inside, generators, 1e-8)) < 1e-7
    np.testing.assert_array_equal(cone.beyond_cone(np.ones(2), np.zeros((3, 2)), 1e-8), [1, 1])


def test_one_compilation_for_all_games_of_a_shape():
    certify(*two_signals())
    before = deviations._costs._cache_size()
    game, demand = in_claims(simplex(2), 2**0.5 * simplex(2), uniform(2), num_states=33)
    assert certify(game, demand).is_equilibrium
    assert deviations._costs._cache_size() == before


def test_misuse():
    game, demand = two_signals()
    with pytest.raises(TypeError, match="runs on the host"):
        jax.jit(lambda d: certify(game, d).profit.value)(jnp.asarray(demand))
    with pytest.raises(ValueError, match="expected shape"):
        certify(game, demand[:1])
    with pytest.raises(ValueError, match="nothing to trade on"):
        certify(Game(np.full((2, 4), 0.25)), np.ones((2, 4)))
    six = np.random.default_rng(0).dirichlet(np.ones(8), 6)
    with pytest.raises(ValueError, match="at most 4 dimensions"):
        certify(Game(six), six)
    with pytest.raises(ValueError, match="stay in range"):
        certify(game, demand * (1e200 if X64 else 1e30))


def test_scipy_is_imported_only_to_certify():
    code = "import sys, diffeq.contingent.certificate; assert 'scipy.optimize' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
