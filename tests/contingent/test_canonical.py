"""The canonical game: alpha*(K) and the moments of the posterior, against the game as published.

``direct`` sums the published expectation over all K normals, for small K: nothing of it is in the
source, neither the Laplace transform nor the lattice. ``precise`` evaluates the transform in mpmath
on one plain fine grid, by other integrals than the source's, for any K.
"""

import math
from collections.abc import Callable
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from diffeq import check
from diffeq.check import ConvergenceError
from diffeq.contingent import canonical

float64 = pytest.mark.float64
NAMES = canonical.Solution._fields[:-2]
MANY = np.geomspace(2, 1e9, 200)
LANES = 40


def tolerance() -> float:
    return 1e-12 if jnp.zeros(()).dtype == jnp.float64 else 3e-5


@pytest.fixture(scope="module")
def solve_all() -> Callable[[Any], canonical.Solution]:
    return jax.jit(jax.vmap(canonical.solve))


@pytest.fixture(scope="module")
def many(solve_all: Any) -> canonical.Solution:
    return check(solve_all(jnp.asarray(MANY, float)))


def fields(K: jax.Array) -> jax.Array:
    s = canonical.solve(K)
    return jnp.stack([getattr(s, name) for name in NAMES])


@pytest.fixture(scope="module")
def derivatives() -> Callable[[Any], tuple[np.ndarray, ...]]:
    """Values, slopes forward and reverse, curvatures of all fields, of up to LANES values of K."""
    reverse = jax.jacrev(fields)
    compiled = jax.jit(
        jax.vmap(lambda K: (fields(K), jax.jacfwd(fields)(K), reverse(K), jax.jacfwd(reverse)(K)))
    )

    def of(K: Any) -> tuple[np.ndarray, ...]:
        padded = np.concatenate([K, np.full(LANES - len(K), 2.0)])
        return tuple(np.asarray(x)[: len(K)] for x in compiled(jnp.asarray(padded, float)))

    return of


# Oracles


def direct(alpha: float, K: int, step: float) -> dict[str, float]:
    """The moments under s_1 and Phi: the trapezoid rule over z_1..z_K, softmax as published."""
    z = np.arange(-8.4, 8.4 + step / 2, step)
    axes = np.meshgrid(*[z] * K, indexing="ij", sparse=True)
    log_w = [alpha * x for x in axes]
    log_w[0] = log_w[0] + alpha**2
    top = max(np.max(x) for x in log_w)
    w = [np.exp(x - top) for x in log_w]
    density = math.prod(np.exp(-x * x / 2) * step / math.sqrt(2 * math.pi) for x in axes)
    total = sum(w[1:], w[0])
    p = [x / total for x in w[:3]]

    def mean(f: np.ndarray) -> float:
        return float(np.sum(f * density))

    moments = {
        "efficiency": mean(p[0]),
        "E_p1": mean(p[0]),
        "E_p2": mean(p[1]),
        "E_p1p1": mean(p[0] ** 2),
        "E_p1p2": mean(p[0] * p[1]),
        "E_p2p2": mean(p[1] ** 2),
        "phi": mean((1 - p[0]) * (1 - alpha**2 * p[0])),
    }
    return moments | ({"E_p2p3": mean(p[1] * p[2])} if K > 2 else {})


def precise(alpha: float, K: float) -> float:
    """How far ``alpha`` is from the root: Phi in mpmath over its slope, which may be rough."""
    with mp.workdps(24):
        phi = (K - 1) * _phi(mp.mpf(alpha), mp.mpf(K))
    return float(phi) / float(jax.grad(canonical.residual)(alpha, K))


def _phi(alpha: Any, K: Any) -> Any:
    """Phi/(K−1) = ∫ (Lc − alpha² A) B L^{K−2} dx by the trapezoid rule in both variables."""
    h = mp.mpf("0.25")  # an error of 50 e^{−pi²/h}, 4e-16
    low = int((-mp.log(K) - alpha**2 / 2 - 37) / h)
    high = int(8.5 * mp.sqrt(2) / h)
    edge = int(8.5 * alpha / h)
    v = [j * h for j in range(-edge, int(alpha**2 / h) + edge)]
    t = [i * h for i in range(low - edge, high + int(alpha**2 / h) + edge)]
    survival = np.array([mp.exp(-mp.exp(x)) if x < 5 else mp.mpf(0) for x in t])
    miss = np.array([-mp.expm1(-mp.exp(x)) if x < 5 else mp.mpf(1) for x in t])
    gumbel = np.array([mp.exp(x - mp.exp(x)) if x < 5 else mp.mpf(0) for x in t])
    unit = h / (alpha * mp.sqrt(2 * mp.pi))
    w = np.array([mp.exp(-((x / alpha) ** 2) / 2) * unit for x in v])
    wc = np.array([mp.exp(-((x / alpha - alpha) ** 2) / 2) * unit for x in v])
    total = mp.mpf(0)
    for i in range(high - low):
        here = slice(i, i + len(v))
        missed = miss[here] @ w
        log_L = mp.log(survival[here] @ w) if missed > 0.5 else mp.log1p(-missed)
        if (K - 2) * log_L < -50:
            break
        payoff = survival[here] @ wc - alpha**2 * (gumbel[here] @ wc)
        total += payoff * (gumbel[here] @ w) * mp.exp((K - 2) * log_L) * h
    return total


# The root


@float64
def test_two_signals_in_closed_form() -> None:
    """alpha*(2) = √2: E_1[(1−p)(1 − alpha² p)] = 2 E[p(1−p)(1 − alpha²/2)] over the mixture."""
    s = canonical.solve(2)
    assert abs(float(s.alpha) - math.sqrt(2)) < 1e-13
    assert abs(float(s.efficiency) - 0.775200245397) < 1e-12
    with mp.workdps(25):  # log-odds N(alpha², 2 alpha²)
        density = lambda u: mp.npdf(u, 2, 2)  # noqa: E731
        p = mp.quad(lambda u: density(u) / (1 + mp.exp(-u)), mp.linspace(-20, 24, 12))
    assert abs(float(s.E_p1) - float(p)) < 1e-14


@float64
def test_published_table(solve_all: Any) -> None:
    """alpha* and efficiency of the specification's table, to its last digit."""
    s = solve_all(jnp.asarray([2.0, 3, 10, 100]))
    alpha = [1.414213562373095, 1.523225822124, 1.840786517167, 2.407874498372]
    efficiency = [0.775200245397, 0.680289014108, 0.492133128751, 0.318571806007]
    assert np.abs(s.alpha - np.array(alpha)).max() < 6e-13
    assert np.abs(s.efficiency - np.array(efficiency)).max() < 6e-13


@float64
@pytest.mark.parametrize(
    ("K", "step", "allowed"), [(2, 0.3, 1e-13), (3, 0.3, 1e-13), (4, 0.45, 2e-10)]
)
def test_moments_are_those_of_the_game_itself(K: int, step: float, allowed: float) -> None:
    """Every moment by a sum over all K normals; and Phi is zero there, and right elsewhere."""
    s = canonical.solve(K)
    exact = direct(float(s.alpha), K, step)
    assert abs(exact.pop("phi")) < allowed
    for name, value in exact.items():
        helpers.assert_close(getattr(s, name), value, 4 * allowed, name)
    for alpha in (1.0, 1.6):
        got = float(canonical.residual(alpha, K))
        assert abs(got - direct(alpha, K, step)["phi"]) < allowed, alpha


@float64
@pytest.mark.parametrize("K", [2.5, 100.0, 1000.0, 1e6, 1e9])
def test_alpha_to_the_digits_of_mpmath(K: float) -> None:
    """True error below 1e-13 at any K, and the reported one is honest: at least a tenth of it."""
    s = canonical.solve(K)
    true = abs(precise(float(s.alpha), K))
    assert true < 1e-13
    assert true <= 10 * float(s.error)
    assert float(s.error) < 1e-12


@float64
@pytest.mark.parametrize("eps", [1e-4, 1e-7, 1e-10])
def test_reported_error_is_honest_on_coarser_lattices(eps: float, many: Any) -> None:
    """By refining: alpha and the moments are within ten reported errors of the fine ones."""
    lattice = canonical._lattice(eps, math.sqrt(2))
    s = check(jax.jit(jax.vmap(lambda K: canonical._equilibrium(K, lattice)))(jnp.asarray(MANY)))
    assert float(jnp.max(s.error)) < 3e3 * eps
    for name in NAMES:
        apart = np.abs(np.asarray(getattr(s, name) / getattr(many, name)) - 1)
        assert np.all(apart <= 10 * np.asarray(s.error / s.alpha)), name


def test_single_precision(many: Any) -> None:
    """float32 to 1e-4, flagged converged up to K = 1e9, its error honest."""
    K = jnp.asarray(MANY, jnp.float32)
    s = check(jax.jit(jax.vmap(canonical.solve))(K))
    assert {getattr(s, name).dtype for name in (*NAMES, "error")} == {np.dtype(np.float32)}
    assert abs(float(s.alpha[0]) - math.sqrt(2)) <= min(1e-4, 10 * float(s.error[0]))
    for name in NAMES:
        helpers.assert_close(getattr(s, name), getattr(many, name), 1e-4, name)
    gap = np.abs(np.asarray(s.alpha, np.float64) - np.asarray(many.alpha, np.float64))
    rounding = 1.2e-7 * MANY**0  # K itself was rounded
    assert np.all(gap <= 10 * np.asarray(s.error) + rounding)


def test_start_is_within_what_two_newton_steps_need(many: Any) -> None:
    """The polynomial is as good as it says; a refit from the roots reproduces it."""
    u = np.log1p(np.log(MANY))
    alpha = np.asarray(many.alpha, np.float64)
    assert np.abs(np.polyval(canonical.START, u) / alpha - 1).max() < 7e-5
    assert (
        np.abs(np.polyval(np.polyfit(u, alpha, 6), u) - np.polyval(canonical.START, u)).max() < 3e-4
    )


# Moments


def test_sum_rules(many: Any) -> None:
    """Σ p = 1 by an integral the solver never sees, E p_2 = alpha² E p_1 p_2, order and sign."""
    s = many
    tie = s.E_p1p2 + s.E_p2p2 + (MANY - 2) * s.E_p2p3
    helpers.assert_close(tie, s.E_p2, tolerance(), "E p_2 = E[p_2 Σ p]")
    helpers.assert_close(s.E_p1p1 + (MANY - 1) * s.E_p1p2, s.E_p1, tolerance(), "E[p_1 Σ p]")
    helpers.assert_close(s.E_p2 / s.alpha**2, s.E_p1p2, tolerance(), "the equilibrium itself")
    assert bool(jnp.all((s.E_p1 > s.E_p1p1) & (s.E_p1p1 > s.E_p1**2) & (s.E_p2p3 > 0)))


@float64
@pytest.mark.parametrize("K", [5, 50])
def test_moments_by_monte_carlo(K: int) -> None:
    """Draws of the posterior, as published: every moment within four standard errors."""
    s = canonical.solve(K)
    z = np.random.default_rng(K).normal(size=(400_000 // K, K)) * float(s.alpha)
    z[:, 0] += float(s.alpha) ** 2
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    first, others = p[:, 0], p[:, 1:]
    squares, sums = np.mean(others**2, axis=1), np.sum(others, axis=1)
    pairs = (sums**2 - squares * (K - 1)) / ((K - 1) * (K - 2))
    mean = np.mean(others, axis=1)
    phi = (1 - first) * (1 - float(s.alpha) ** 2 * first)
    sample = np.stack([first, mean, first**2, first * mean, squares, pairs, phi], axis=1)
    expected = [s.E_p1, s.E_p2, s.E_p1p1, s.E_p1p2, s.E_p2p2, s.E_p2p3, 0]
    helpers.assert_mean(sample, expected, f"K = {K}")


# How they move


@float64
def test_shapes_of_figures_6_and_7(solve_all: Any, many: Any, derivatives: Any) -> None:
    """alpha* rises and is concave, efficiency falls and is convex in K: differences and slopes."""
    s = solve_all(jnp.arange(2, 202, 0.25))
    assert np.all(np.diff(s.alpha) > 0) and np.all(np.diff(s.alpha, 2) < 0)
    assert np.all(np.diff(s.efficiency) < 0) and np.all(np.diff(s.efficiency, 2) > 0)
    assert np.all(np.asarray(many.alpha)[1:] < np.sqrt(MANY[1:]))

    _, slope, _, curvature = derivatives(MANY[::5])
    assert np.all(slope[:, 0] > 0) and np.all(slope[:, 1] < 0)
    assert np.all(curvature[:, 0] < 0) and np.all(curvature[:, 1] > 0)


@float64
def test_derivatives(derivatives: Any) -> None:
    """Forward = reverse, and both are the values' own differences, as the Hessian is theirs."""
    K = np.geomspace(2.02, 9.9e8, LANES)
    _, forward, reverse, curvature = derivatives(K)
    helpers.assert_close(forward, reverse, 1e-12)
    for order, exact, allowed in ((0, forward, 1e-9), (1, curvature, 1e-8)):
        total = sum(
            weight
            * (derivatives(K * (1 + k * 1e-3))[order] - derivatives(K * (1 - k * 1e-3))[order])
            for k, weight in ((1, 45), (2, -9), (3, 1))
        )
        helpers.assert_close(total / (60e-3 * K)[:, None], exact, allowed, f"order {order}")


@float64
def test_two_signals_are_no_edge(derivatives: Any) -> None:
    """At K = 2, where no third signal is, every field moves as just above it."""
    at, above = (np.stack(derivatives(np.array([K]))) for K in (2.0, 2.00002))
    assert np.isfinite(at).all()
    helpers.assert_close(at, above, 2e-4)


def test_residual_changes_sign_at_alpha_only() -> None:
    """Phi > 0 below alpha*, < 0 above, NaN where the lattice does not reach; slopes agree."""
    lanes = jax.jit(jax.vmap(jax.value_and_grad(canonical.residual, (0, 1))))
    for K in (2.0, 10.0):
        alpha = np.linspace(0.75, 5.25, 19)
        phi = np.asarray(lanes(alpha, np.full(19, K))[0])
        assert np.all((phi > 0) == (alpha < float(canonical.solve(K).alpha)))
    assert abs(float(canonical.residual(canonical.solve(7).alpha, 7))) < tolerance()
    outside = np.array([[0.5, 3.0], [5.5, 3.0], [2.0, 1.5], [2.0, 1e10], [np.nan, 3.0]])
    phi, slopes = lanes(*np.resize(outside, (19, 2)).T)
    assert np.isnan(phi).all() and np.isnan(slopes).all()


# Out of domain, types, traces


def test_bad_lanes_are_flagged_and_poisoned_alone(solve_all: Any, derivatives: Any) -> None:
    """A bad K is NaN in value, slope and curvature; the lanes beside it do not change."""
    good = jnp.asarray([2.0, 3, 10, 100, 1000, 1e4], float)
    bad = good.at[1:5].set(jnp.asarray([1.9, np.nan, np.inf, 2e9]))
    spared = np.array([0, 5])
    a, b = solve_all(good), solve_all(bad)
    np.testing.assert_array_equal(b.info.converged, [True, False, False, False, False, True])
    for name in (*NAMES, "error"):
        assert np.isnan(getattr(b, name)[1:5]).all(), name
        helpers.assert_same_bits(getattr(a, name)[spared], getattr(b, name)[spared], name)
    for got in derivatives(bad):
        assert np.isnan(got[1:5]).all() and np.isfinite(got[spared]).all()
    with pytest.raises(ConvergenceError, match=r"4 of 6 lanes .*\(1,\)"):
        check(b)


@pytest.mark.parametrize("K", [1.99, 0, -3.0, np.nan, np.inf, "2", None, True, np.ones(3), 10**400])
def test_concrete_nonsense_raises_by_name(K: Any) -> None:
    """Also inside a user's jit, where a closed-over value is as concrete."""
    with pytest.raises((ValueError, TypeError), match="num_signals"):
        canonical.solve(K)
    with pytest.raises((ValueError, TypeError), match="num_signals"):
        jax.jit(lambda alpha: canonical.residual(alpha, K))(1.5)


@pytest.mark.parametrize("alpha", [0.0, -1.0, np.nan, "1"])
def test_residual_refuses_an_alpha_that_is_not_positive(alpha: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="alpha"):
        canonical.residual(alpha, 2)


def test_many_values_are_one_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other values of K, and whole numbers, trace nothing new; jit and eager say the same."""
    traces = []
    equilibrium = canonical._equilibrium
    monkeypatch.setattr(
        canonical, "_equilibrium", lambda *args: traces.append(args) or equilibrium(*args)
    )
    canonical._solve.clear_cache()
    first = canonical.solve(3)
    for K in (4, 2.5, jnp.asarray(1e5, float), np.float64(7) if jnp.zeros(()).itemsize == 8 else 7):
        canonical.solve(K)
    assert len(traces) == 1
    helpers.assert_close(jax.jit(canonical.solve)(3.0).alpha, first.alpha, tolerance())
