"""Holden & Subrahmanyam (1992): the published conditions, limits, derivatives, and every output."""

from functools import lru_cache
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffeq import auctions, holden
from diffeq.holden import Params

SIGMA_V, SIGMA_U = 2.5, 5.0
INSIDERS = (0.01, 0.5, 1.0, 2.0, 3.0, 5.0, 15.0, 1e6)
SPEC = [0.2, 0.5, 0.3]
NAMES = ("lambda_", "beta", "alpha", "delta", "Sigma")
float64 = pytest.mark.float64


@lru_cache
def compiled(num_auctions: int) -> Any:
    """Solve and evaluate the residuals for a batch of (sigma_v, sigma_u, M) and spacings."""

    def lane(theta: jax.Array, dt: jax.Array) -> Any:
        params = Params(*theta)
        solution = holden.solve(params, num_auctions=num_auctions, spacing=dt)
        return solution, holden.residual(solution, params, spacing=dt)

    return jax.jit(jax.vmap(lane))


def at(tree: Any, lane: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[lane], tree)


# The published conditions


@float64
@pytest.mark.parametrize("num_auctions", [1, 2, 3, 10, 50, 200])
def test_published_conditions_hold(num_auctions: int) -> None:
    """Each condition and the zero sum, in 60 digits outside the library; and inside."""
    cases = [(M, dt) for M in INSIDERS for dt in helpers.spacings(num_auctions).values()]
    theta = jnp.asarray([(SIGMA_V, SIGMA_U, M) for M, _ in cases])
    dts = jnp.asarray(np.stack([dt for _, dt in cases]))
    solutions, residuals = compiled(num_auctions)(theta, dts)
    assert bool(solutions.info.converged.all())
    assert max(float(jnp.max(r)) for r in residuals) < 1e-12
    for lane, (M, dt) in enumerate(cases):
        logs = helpers.solution_logs(at(solutions, lane))
        worst = helpers.conditions(logs, SIGMA_V, SIGMA_U, M, dt)
        assert max(worst) < 1e-12, (M, worst)


@float64
@pytest.mark.parametrize("num_auctions", [2, 10])
def test_levels_are_the_exponentials_of_the_logs(num_auctions: int) -> None:
    """Levels and logs come by different ways; where levels are in range they must agree."""
    dts = jnp.asarray(np.stack(list(helpers.spacings(num_auctions).values())))
    for M in (0.5, 3.0, 1e6):
        theta = jnp.broadcast_to(jnp.asarray([SIGMA_V, SIGMA_U, M]), (len(dts), 3))
        solutions, _ = compiled(num_auctions)(theta, dts)
        for name in NAMES:
            logs = getattr(solutions, f"log_{name.strip('_')}")
            helpers.assert_close(jnp.exp(logs), getattr(solutions, name), 1e-13, name)


@float64
@pytest.mark.parametrize("M", [0.05, 1.0, 4.0, 300.0])
def test_every_field_is_the_oracles(M: float) -> None:
    """All five fields against the independent solution in 60 digits, on uneven spacing."""
    dt = np.random.default_rng(int(M)).dirichlet(np.full(6, 0.3))
    dt /= dt.sum()
    exact = helpers.oracle(0.7, 3.0, M, dt)
    solution = holden.solve(Params(0.7, 3.0, M), num_auctions=6, spacing=dt)
    for name in NAMES:
        helpers.assert_close(getattr(solution, name), exact.level(name), 1e-13, name)
        logs = getattr(solution, f"log_{name.strip('_')}")
        np.testing.assert_allclose(logs, exact.log(name), rtol=0, atol=2e-14)


@float64
@pytest.mark.parametrize(
    ("theta", "expected"),
    [
        ((2.5, 5.0, 1.0), [0.396833792774, 0.311563171897, 0.339417791383]),
        ((1.0, 1.0, 2.0), [1.10882525925, 0.522381565206, 0.413883942482]),
    ],
)
def test_reference_numbers(theta: tuple[float, ...], expected: list[float]) -> None:
    """The numbers of the specification, dt = (.2, .5, .3), to the digits given there."""
    solution = holden.solve(Params(*theta), num_auctions=3, spacing=SPEC)
    np.testing.assert_allclose(solution.lambda_, expected, rtol=6e-12)


@pytest.mark.parametrize("M", [*INSIDERS, 4 / 3])
def test_one_auction_in_closed_form(M: float) -> None:
    """lambda, beta, Sigma of one auction, and the last auction of any number of them."""
    s = holden.solve(Params(SIGMA_V, SIGMA_U, M), num_auctions=1)
    eps = 8 * float(jnp.finfo(s.Sigma.dtype).eps)
    helpers.assert_close(s.lambda_, [SIGMA_V / SIGMA_U * M**0.5 / (M + 1)], eps)
    helpers.assert_close(s.beta, [SIGMA_U / (SIGMA_V * M**0.5)], eps)
    helpers.assert_close(s.Sigma, [SIGMA_V**2 / (M + 1)], eps)
    assert float(s.alpha[0]) == float(s.delta[0]) == 0
    assert float(s.log_alpha[0]) == float(s.log_delta[0]) == -np.inf


@float64
@pytest.mark.parametrize("M", [0.01, 1.0, 5.0])
def test_insiders_earn_what_noise_traders_lose(M: float) -> None:
    """The zero-sum identity, which the solver never sees."""
    dt = helpers.spacings(10)["rising"]
    params = Params(SIGMA_V, SIGMA_U, M)
    for spacing in (None, dt):
        s = holden.solve(params, num_auctions=10, spacing=spacing)
        earned = M * float(holden.insider_profit(s, params, spacing=spacing))
        lost = float(holden.noise_loss(s, params, spacing=spacing))
        assert abs(earned / lost - 1) < 1e-13
        assert (
            abs(lost / np.sum(s.lambda_ * SIGMA_U**2 * (dt if spacing is dt else 0.1)) - 1) < 1e-14
        )


@float64
@pytest.mark.parametrize(
    ("sigma_v", "sigma_u"), [(1.0, 1e160), (1e160, 1.0), (1e150, 1e-150), (1e-150, 1e200)]
)
@pytest.mark.parametrize("M", [0.01, 2.0, 1e12])
def test_money_is_in_range_where_a_variance_is_not(
    sigma_v: float, sigma_u: float, M: float
) -> None:
    """Profit and loss scale as sigma_v sigma_u, of which neither square need be a number."""
    unit, params = Params(1.0, 1.0, M), Params(sigma_v, sigma_u, M)
    for function in (holden.insider_profit, holden.noise_loss):
        known = float(function(holden.solve(unit, num_auctions=5), unit))
        found = float(function(holden.solve(params, num_auctions=5), params))
        assert abs(found / (sigma_v * sigma_u) / known - 1) < 1e-11


@float64
def test_residual_sees_each_wrong_field() -> None:
    """A part in a million in any field shows in the condition that holds it; else it is blind."""
    params = Params(SIGMA_V, SIGMA_U, 3.0)
    good = holden.solve(params, num_auctions=4)
    evaluate = jax.jit(lambda s: holden.residual(s, params))
    shows = {
        "log_lambda": "pricing",
        "log_beta": "first_order",
        "log_Sigma": "filtering",
        "log_alpha": "value",
        "log_delta": "value_constant",
    }
    for field, condition in shows.items():
        wrong = good._replace(**{field: getattr(good, field) + jnp.asarray([0, 1e-6, 0, 0])})
        r = evaluate(wrong)
        assert float(jnp.max(getattr(r, condition))) > 1e-8, field
    # the beta without its 1/sqrt(M) that circulates
    wrong = good._replace(log_beta=good.log_beta + 0.5 * np.log(3.0))
    assert float(jnp.max(evaluate(wrong).pricing)) > 0.1
    # a solution of the other equations that violates the second-order condition
    wrong = good._replace(log_alpha=good.log_alpha + 3.0)
    assert float(jnp.max(evaluate(wrong).second_order)) > 1


# Beyond the floating range


@float64
def test_logs_of_ten_thousand_auctions() -> None:
    """Logs where levels underflow to zero, against the oracle in 40 digits."""
    N, M = 10_000, 15.0
    s = holden.solve(Params(SIGMA_V, SIGMA_U, M), num_auctions=N)
    assert bool(s.info.converged)
    exact = helpers.oracle(SIGMA_V, SIGMA_U, M, np.full(N, 1 / N), digits=40)
    for name in NAMES:
        logs = np.asarray(getattr(s, f"log_{name.strip('_')}"))
        np.testing.assert_allclose(logs, exact.log(name), rtol=1e-13, atol=1e-11, err_msg=name)
    assert float(s.Sigma[-1]) == 0
    assert float(s.log_Sigma[-1]) < -2e4


def test_logs_in_single_precision() -> None:
    """float32 at M = 15, N = 50: Sigma_N = 1.7e-59 is out of range, its log right to 1e-4."""
    params = Params(*(jnp.asarray(x, jnp.float32) for x in (SIGMA_V, SIGMA_U, 15.0, 100.0)))
    s = holden.solve(params, num_auctions=50)
    assert bool(s.info.converged)
    exact = helpers.oracle(SIGMA_V, SIGMA_U, 15.0, np.full(50, 1 / 50))
    for name in NAMES:
        logs = getattr(s, f"log_{name.strip('_')}")
        assert logs.dtype == jnp.float32
        np.testing.assert_allclose(logs, exact.log(name), rtol=0, atol=1e-4, err_msg=name)
    assert abs(float(mp.log10(exact.Sigma[-1])) - np.log10(1.7e-59)) < 0.02


@float64
@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_logs_keep_their_derivatives_where_levels_overflow(mode: Any) -> None:
    """At M = 1e6, N = 200, Sigma underflows and beta overflows; slopes of the logs stay exact."""

    def logs(theta: jax.Array) -> jax.Array:
        s = holden.solve(Params(*theta), num_auctions=200)
        return jnp.stack([s.log_lambda, s.log_beta, s.log_Sigma])

    theta = jnp.asarray([SIGMA_V, SIGMA_U, 1e6])
    s = holden.solve(Params(*theta), num_auctions=200)
    assert float(s.Sigma[-1]) == 0
    assert np.isinf(s.beta[-1])
    slopes = jax.jit(mode(logs))(theta)
    sv, su = 1 / SIGMA_V, 1 / SIGMA_U  # of lambda ~ sv/su, beta ~ su/sv, Sigma ~ sv²
    for k, expected in enumerate([[sv, -su], [-sv, su], [2 * sv, 0.0]]):
        helpers.assert_close_by_norm(slopes[k, :, :2], np.tile(expected, (200, 1)), 1e-12)
    assert np.isfinite(slopes).all()
    # log Sigma_N falls by log(1 + r) an auction, r → M in the last: −sum 1/(1 + r) dr/dM
    differences = helpers.differences(lambda t: np.asarray(logs(jnp.asarray(t))), theta)
    helpers.assert_close_by_norm(slopes[:, :, 2], differences[:, :, 2], 1e-6)


# Limits


@float64
@pytest.mark.parametrize(("M", "allowed"), [(0.3, 1e-3), (1.0, 1e-2), (1.2, 0.2)])
def test_many_auctions_tend_to_the_limit(M: float, allowed: float) -> None:
    """N → ∞ at fixed t: Sigma and lambda tend to the power laws at nearly the rate 1/N."""
    params = Params(SIGMA_V, SIGMA_U, M)
    g = M / (4 - 3 * M)
    errors = []
    for N in (1000, 4000):
        s = holden.solve(params, num_auctions=N)
        n = np.array([0.25, 0.5, 0.75]) * N
        at_t = n.astype(int) - 1
        left = 1 - n / N
        Sigma = SIGMA_V**2 * left**g
        lambda_ = SIGMA_V / SIGMA_U * g**0.5 * left ** ((g - 1) / 2)
        beta = lambda_ * SIGMA_U**2 / (M * Sigma)
        exact = holden.limit(params, n / N)
        for name, value in (("lambda_", lambda_), ("beta", beta), ("Sigma", Sigma)):
            helpers.assert_close(getattr(exact, name), value, 1e-13, name)
        errors.append(
            max(helpers.apart(s.Sigma[at_t], Sigma), helpers.apart(s.lambda_[at_t], lambda_))
        )
    assert errors[1] < allowed
    assert errors[1] < errors[0] / 2.3


def test_enough_insiders_reveal_everything_at_once() -> None:
    """M ≥ 4/3: Sigma(t) → 0 as N grows; the limit says 0, 0, ∞."""
    params = Params(SIGMA_V, SIGMA_U, 2.0)
    table = holden.solve_up_to(params, max_auctions=100, tables=True)
    half = [float(table.Sigma[N - 1, N // 2 - 1]) for N in (4, 20, 100)]
    assert half[0] > 10 * half[1] > 1e5 * half[2]
    limit = holden.limit(params, jnp.asarray([0.2, 0.9]))
    assert np.all(np.asarray(limit.Sigma) == 0)
    assert np.all(np.asarray(limit.lambda_) == 0)
    assert np.all(np.isinf(limit.beta))
    logs = np.stack([limit.log_lambda, -limit.log_beta, limit.log_Sigma])
    assert np.all(np.isneginf(logs))
    # M = 1.333 just short of it: Sigma(.9) = sigma_v² .1^1333 is no number, its log is
    limit = holden.limit(params._replace(num_insiders=1.333), 0.9)
    assert float(limit.Sigma) == 0
    g = 1.333 / (4 - 3 * 1.333)
    exact = np.log([SIGMA_V / SIGMA_U * g**0.5, SIGMA_U / SIGMA_V * g**0.5 / 1.333, SIGMA_V**2])
    exact += np.array([(g - 1) / 2, -(g + 1) / 2, g]) * np.log(0.1)
    logs = np.stack([limit.log_lambda, limit.log_beta, limit.log_Sigma])
    cancelled = 4 / (4 - 3 * 1.333)  # in g
    np.testing.assert_allclose(logs, exact, rtol=2 * cancelled * jnp.finfo(limit.Sigma.dtype).eps)


def test_limit_refuses_times_outside_the_day() -> None:
    """At t ≥ 1 the formulas give negative or infinite variances: an error by name instead."""
    params = Params(num_insiders=1.0)
    for times in (1.5, -0.1, np.nan, [0.5, 2.0], "noon", None, 10**400):
        with pytest.raises((ValueError, TypeError), match="times"):
            holden.limit(params, times)


def test_limit_is_nan_outside_the_domain() -> None:
    """Traced bad parameters give NaN, as everywhere."""
    for bad in (-1.0, np.nan, np.inf, 0.0):
        out = jax.jit(lambda M: holden.limit(Params(num_insiders=M), 0.5))(bad)
        assert all(np.isnan(x) for x in out), (bad, out)


def test_last_impact_rises_or_falls_with_the_number_of_auctions() -> None:
    """lambda_N rises with N for M ≤ 1 and falls for M ≥ 2."""
    for M, sign in ((0.3, 1), (1.0, 1), (2.0, -1), (7.0, -1)):
        path = holden.solve_up_to(Params(1.0, 1.0, M), max_auctions=30).lambda_
        assert np.all(sign * np.diff(path[:12]) > 0), M


# Units and scales


@float64
@given(
    sigma_v=st.floats(1e-3, 1e3),
    sigma_u=st.floats(1e-3, 1e3),
    M=st.floats(0.02, 50.0),
    cut=st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4),
)
def test_units(sigma_v: float, sigma_u: float, M: float, cut: list[float]) -> None:
    """lambda ∝ sigma_v/sigma_u, beta, alpha ∝ sigma_u/sigma_v, delta ∝ sigma_v sigma_u, Sigma."""
    dt = np.asarray(cut) / np.sum(cut)
    theta = jnp.asarray([(sigma_v, sigma_u, M), (1.0, 1.0, M)])
    s, residual = compiled(4)(theta, jnp.asarray(np.stack([dt, dt])))
    ratio = sigma_v / sigma_u
    scales = (ratio, 1 / ratio, 1 / ratio, sigma_v * sigma_u, sigma_v**2)
    for name, scale in zip(NAMES, scales, strict=True):
        here, unit = np.asarray(getattr(s, name))
        helpers.assert_close(here, unit * scale, 1e-12, name)
    assert max(float(jnp.max(r)) for r in residual) < 1e-13


def test_prior_mean_moves_no_field() -> None:
    """p_0 shifts prices only: every field is the same to the last bit."""
    near, far = (holden.solve(Params(p_0=p), num_auctions=3) for p in (0.0, -250.0))
    helpers.assert_same_bits(near, far)


def test_error_variance_does_not_depend_on_noise() -> None:
    """Sigma_n is free of sigma_u: the insiders scale with the noise they hide in."""
    a, b = (holden.solve(Params(sigma_u=su), num_auctions=5).Sigma for su in (0.01, 700.0))
    helpers.assert_same_bits(a, b)
    slope = jax.grad(lambda su: holden.solve(Params(sigma_u=su), num_auctions=5).Sigma[2])(3.0)
    assert float(slope) == 0


# Derivatives


OUTPUTS = ("lambda_1", "beta_N", "Sigma_N")


def outputs(x: jax.Array) -> jax.Array:
    """(lambda_1, beta_N, Sigma_N) of (sigma_v, sigma_u, M, dt_1..dt_3)."""
    s = holden.solve(Params(*x[:3]), num_auctions=3, spacing=x[3:])
    return jnp.stack([s.lambda_[0], s.beta[-1], s.Sigma[-1]])


def free_outputs(x: jax.Array) -> jax.Array:
    """The same of any positive lengths, divided by their sum."""
    return outputs(x.at[3:].divide(jnp.sum(x[3:])))


jacobians = jax.jit(lambda x: (jax.jacfwd(outputs)(x), jax.jacrev(outputs)(x)))
jitted_free_outputs = jax.jit(free_outputs)


def oracle_outputs(x: list[Any], digits: int = 60) -> list[Any]:
    with mp.workdps(digits):
        total = sum(x[3:])
        e = helpers.oracle(x[0], x[1], x[2], [d / total for d in x[3:]], digits)
        return [e.lambda_[0], e.beta[-1], e.Sigma[-1]]


POINTS = ([2.5, 5.0, 2.0, *SPEC], [1.0, 0.3, 0.7, 0.6, 0.3, 0.1])


@float64
@pytest.mark.parametrize("point", POINTS, ids=["two insiders", "fewer than one"])
def test_gradients_three_ways(point: list[float]) -> None:
    """Forward = reverse to 1e-12; = finite differences; = the oracle's derivative in 60 digits."""
    forward, reverse = (np.asarray(j) for j in jacobians(jnp.asarray(point)))
    helpers.assert_close_by_norm(forward, reverse, 1e-13)
    # of any positive lengths divided by their sum, so that the sum stays one
    free = forward.copy()
    free[:, 3:] -= (forward[:, 3:] @ point[3:])[:, None]
    numeric = helpers.differences(lambda x: jitted_free_outputs(jnp.asarray(x)), point)
    helpers.assert_close_by_norm(free, numeric, 1e-8)
    with mp.workdps(60):
        x, h = [mp.mpf(v) for v in point], mp.mpf(10) ** -15
        for i in range(6):
            up, down = (oracle_outputs([*x[:i], x[i] + k * h, *x[i + 1 :]]) for k in (1, -1))
            slope = [float((u - d) / (2 * h)) for u, d in zip(up, down, strict=True)]
            helpers.assert_close_by_norm(free[:, i], slope, 1e-12, f"parameter {i}")


@float64
@pytest.mark.parametrize("M", [0.01, 1.0, 2.0])
@pytest.mark.parametrize("lengths", [[1, 1e3, 1e6], [1e6, 1, 1e6], [1, 1e6, 1]], ids=str)
def test_slopes_in_an_uneven_spacing_lose_no_digits(lengths: list[float], M: float) -> None:
    """Forward = reverse = the oracle, each output's slopes to the last digits of the largest."""
    dt = np.array(lengths) / np.sum(lengths)
    point = [2.5, 5.0, M, *dt]
    forward, reverse = (np.asarray(j) for j in jacobians(jnp.asarray(point)))
    free = forward[:, 3:] - (forward[:, 3:] @ dt)[:, None]
    with mp.workdps(60):
        x, h, exact = [mp.mpf(v) for v in point], mp.mpf(10) ** -18, np.empty((3, 3))
        for i in range(3, 6):
            up, down = (oracle_outputs([*x[:i], x[i] * (1 + k * h), *x[i + 1 :]]) for k in (1, -1))
            exact[:, i - 3] = [(u - d) / (2 * h * x[i]) for u, d in zip(up, down, strict=True)]
    for k, name in enumerate(OUTPUTS):
        helpers.assert_close_by_norm(forward[k, 3:], reverse[k, 3:], 1e-13, name)
        helpers.assert_close_by_norm(free[k], exact[k], 1e-13, name)


@float64
def test_hessian_against_the_oracle() -> None:
    """All second derivatives, spacing included, against second differences in 60 digits."""
    point = POINTS[0]
    hessian = np.asarray(jax.jit(jax.hessian(free_outputs))(jnp.asarray(point)))
    with mp.workdps(60):
        h = mp.mpf(10) ** -12

        def shifted(*moves: tuple[int, int]) -> list[Any]:
            x = [mp.mpf(v) for v in point]
            for i, k in moves:
                x[i] += k * h
            return oracle_outputs(x)

        exact = np.empty((3, 6, 6))
        for i in range(6):
            for j in range(i + 1):
                a, b, c, d = (shifted((i, p), (j, q)) for p in (1, -1) for q in (1, -1))
                cross = [
                    (u - v - w + z) / (4 * h * h) for u, v, w, z in zip(a, b, c, d, strict=True)
                ]
                exact[:, i, j] = exact[:, j, i] = [float(v) for v in cross]
    for k, name in enumerate(OUTPUTS):
        helpers.assert_close_by_norm(hessian[k], exact[k], 1e-11, name)


@float64
def test_unconstrained_partials_of_the_spacing() -> None:
    """Two entries moved oppositely: the difference of partials is the slope along the simplex."""
    x = jnp.asarray(POINTS[0])
    slopes, _ = jacobians(x)
    jitted = jax.jit(outputs)

    def along(t: np.ndarray) -> Any:
        return jitted(x + float(t[0]) * jnp.asarray([0, 0, 0, 1.0, -1.0, 0]))

    numeric = helpers.differences(along, np.zeros(1), relative_step=1.0)[:, 0]
    helpers.assert_close(slopes[:, 3] - slopes[:, 4], numeric, 1e-8)


@float64
def test_one_auction_derivatives_in_closed_form() -> None:
    """d lambda / dM = (sigma_v/sigma_u)(1 − M) / (2 sqrt(M) (M+1)²) and its like."""
    M = 2.5

    def impact(M: jax.Array) -> jax.Array:
        return holden.solve(Params(SIGMA_V, SIGMA_U, M), num_auctions=1).lambda_[0]

    ratio = SIGMA_V / SIGMA_U
    slope = ratio * (1 - M) / (2 * M**0.5 * (M + 1) ** 2)
    curvature = ratio * (3 * M**2 - 6 * M - 1) / (4 * M**1.5 * (M + 1) ** 3)
    first, second = jax.jit(lambda M: (jax.grad(impact)(M), jax.hessian(impact)(M)))(M)
    assert abs(float(first) / slope - 1) < 1e-13
    assert abs(float(second) / curvature - 1) < 1e-12


# One backward pass for every horizon


@float64
@pytest.mark.parametrize("M", [0.4, 3.0])
def test_terminal_and_table_are_the_solves(M: float) -> None:
    """Row N is the N-auction equilibrium, for every N; padding is NaN and masked."""
    params = Params(SIGMA_V, SIGMA_U, M)
    size = 6
    terminal = holden.solve_up_to(params, max_auctions=size)
    table = holden.solve_up_to(params, max_auctions=size, tables=True)
    for N in range(1, size + 1):
        exact = helpers.oracle(SIGMA_V, SIGMA_U, M, [mp.mpf(1) / N] * N)
        for name in ("lambda_", "beta", "Sigma"):
            log = f"log_{name.strip('_')}"
            row = getattr(table, name)[N - 1]
            helpers.assert_close(row[:N], exact.level(name), 1e-13, name)
            helpers.assert_close(getattr(terminal, name)[N - 1], exact.level(name)[-1], 1e-13)
            np.testing.assert_allclose(getattr(table, log)[N - 1, :N], exact.log(name), atol=1e-13)
            assert np.isnan(row[N:]).all()
    assert np.array_equal(table.mask, np.tril(np.ones((size, size), bool)))
    one = holden.solve(params, num_auctions=size)
    helpers.assert_close(table.lambda_[-1], one.lambda_, 1e-14)
    assert bool(terminal.info.converged)
    assert bool(table.info.converged)


@float64
def test_padding_leaks_no_gradient() -> None:
    """The masked sum of a table has its values' gradient, not NaN; padding itself has none."""
    size = 3

    def by_table(theta: jax.Array) -> jax.Array:
        table = holden.solve_up_to(Params(*theta), max_auctions=size, tables=True)
        return jnp.sum(jnp.where(table.mask, table.log_lambda + table.Sigma, 0.0))

    theta = jnp.asarray([1.3, 0.4, 2.5])
    value, gradient = jax.jit(jax.value_and_grad(by_table))(theta)
    assert np.isfinite(value)
    jitted = jax.jit(by_table)
    numeric = helpers.differences(lambda x: jitted(jnp.asarray(x)), theta)
    helpers.assert_close(gradient, numeric, 1e-8)
    rows, columns = np.triu_indices(size, 1)
    table = lambda t: holden.solve_up_to(Params(*t), max_auctions=size, tables=True)  # noqa: E731
    leak = jax.jit(jax.jacrev(lambda t: table(t).Sigma[rows, columns]))(theta)
    assert np.all(np.asarray(leak) == 0)


# The grid

AXES = dict(
    num_insiders=np.array([0.5, 1.0, 8.0]),
    num_auctions=np.array([7, 1, 3]),
    sigma_v=np.array([0.5, 2.5]),
    sigma_u=np.array([2.0, 5.0, 10.0, 0.1]),
)


@float64
def test_grid_is_the_solves() -> None:
    """Every point of the product is that point's own solution; horizons in any order."""
    grid = holden.grid(**AXES)
    assert grid.lambda_.shape == grid.info.converged.shape == (3, 3, 2, 4)
    assert bool(grid.info.converged.all())
    for point in np.ndindex(grid.lambda_.shape):
        M, N, sv, su = (AXES[name][k] for name, k in zip(AXES, point, strict=True))
        exact = helpers.oracle(sv, su, M, [mp.mpf(1) / int(N)] * int(N), digits=25)
        for name in ("lambda_", "beta", "Sigma"):
            helpers.assert_close(getattr(grid, name)[point], exact.level(name)[-1], 1e-13, name)


def test_bad_points_of_a_grid_are_flagged_one_by_one() -> None:
    """A bad value on an axis spoils its own slice, in value, flag and slope, and no other point."""
    good = holden.grid(**AXES)
    bad_at = {"num_insiders": (0, 1), "sigma_v": (2, 0), "sigma_u": (3, 2)}
    for name, (axis, index) in bad_at.items():
        for value in (0.0, -1.0, np.nan, np.inf):
            values = AXES[name].copy()
            values[index] = value
            grid = holden.grid(**{**AXES, name: values})
            spoilt = np.zeros(grid.lambda_.shape, bool)
            spoilt[(slice(None),) * axis + (index,)] = True
            assert np.array_equal(~np.asarray(grid.info.converged), spoilt), (name, value)
            for field in ("lambda_", "beta", "Sigma"):
                array = np.asarray(getattr(grid, field))
                assert np.array_equal(np.isnan(array), spoilt), (name, value, field)
                helpers.assert_same_bits(array[~spoilt], np.asarray(getattr(good, field))[~spoilt])


@float64
def test_a_level_beyond_the_range_is_no_failure_of_a_grid() -> None:
    """Sigma overflows at sigma_v = 1e200; lambda and beta stand, as in ``solve``."""
    found = holden.grid(num_insiders=[2.0], num_auctions=[3], sigma_v=[1e200], sigma_u=[1.0])
    alone = holden.solve(Params(1e200, 1.0, 2.0), num_auctions=3)
    assert bool(found.info.converged.all()) and bool(alone.info.converged)
    assert np.isinf(found.Sigma).all()
    np.testing.assert_allclose(found.lambda_.ravel(), alone.lambda_[-1:], rtol=1e-12)


@float64
def test_a_grid_holds_every_level_in_range() -> None:
    """Where the level for unit sigmas, or a power of the sigmas, is beyond it, too; never 0 · inf.

    M = 15: Sigma_300 is 1e-358 for sigma_v = 1. Against the logs of :func:`solve_up_to`.
    """
    horizons, sigmas = [1, 300, 1000], np.array([1e-150, 1e100, 1e150, 1e200])
    found = holden.grid(num_insiders=[15.0], num_auctions=horizons, sigma_v=sigmas, sigma_u=sigmas)
    assert bool(found.info.converged.all())
    for i, j in np.ndindex(len(sigmas), len(sigmas)):
        last = holden.solve_up_to(Params(sigmas[i], sigmas[j], 15.0), max_auctions=1000)
        for name in ("lambda", "beta", "Sigma"):
            log = np.asarray(getattr(last, f"log_{name}"))[np.array(horizons) - 1]
            level = np.asarray(getattr(found, "lambda_" if name == "lambda" else name))[0, :, i, j]
            assert not np.isnan(level).any()
            inside = np.abs(log) < 690
            np.testing.assert_allclose(np.log(level[inside]), log[inside], rtol=1e-13, atol=1e-13)
            assert (level[log > 720] == np.inf).all() and (level[log < -760] == 0).all()


def test_grid_names_traced_horizons() -> None:
    """A horizon fixes a shape: it cannot be traced, alone or in a list."""
    for wrap in (lambda n: n, lambda n: [1, n[0]]):
        with pytest.raises(TypeError, match="num_auctions: expected"):
            jax.jit(lambda n, wrap=wrap: holden.grid(**{**AXES, "num_auctions": wrap(n)}).Sigma)(
                jnp.array([1, 2])
            )


@float64
def test_grid_slopes_are_those_of_its_values() -> None:
    """Differentiable in its three real axes, with NaN slopes at bad points only."""

    def total(x: jax.Array) -> jax.Array:
        g = holden.grid(num_insiders=x[:2], num_auctions=(1, 3), sigma_v=x[2:3], sigma_u=x[3:])
        return jnp.sum(g.lambda_ * g.Sigma + jnp.log(g.beta))

    x = jnp.asarray([0.5, 3.0, 1.5, 0.4])
    value = jax.jit(total)
    numeric = helpers.differences(lambda x: value(jnp.asarray(x)), x)
    helpers.assert_close(jax.jit(jax.grad(total))(x), numeric, 1e-8)
    bad = jax.jit(jax.jacfwd(lambda M: holden.grid(**{**AXES, "num_insiders": M}).lambda_))(
        jnp.asarray([0.5, -1.0, 8.0])
    )
    assert np.isnan(bad[1, ..., 1]).all()
    assert np.isfinite(bad[0, ..., 0]).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_auctions", [0, 1]),
        ("num_auctions", [1.5]),
        ("num_auctions", []),
        ("num_auctions", ["2"]),
        ("num_auctions", [[1, 2]]),
        ("num_auctions", None),
        ("num_insiders", []),
        ("num_insiders", 2.0),
        ("num_insiders", [[1.0, 2.0]]),
        ("num_insiders", [[1.0], [1.0, 2.0]]),
        ("sigma_v", ["a"]),
        ("sigma_v", None),
        ("sigma_u", [True]),
        ("sigma_u", [1j]),
    ],
)
def test_misshapen_axes_are_named(name: str, value: Any) -> None:
    """What is no axis of a grid is refused by name."""
    with pytest.raises((ValueError, TypeError), match=name):
        holden.grid(**{**AXES, name: value})


# Functions of a solution


@pytest.mark.parametrize(
    "axes",
    [(0, 0, 0, 0, None), (0, 0, 0, 0, 0), (None, None, None, None, 0), (None, 0, None, None, None)],
    ids=["spacing shared", "all of each lane", "params shared", "one axis"],
)
@pytest.mark.parametrize("lanes", [5, 900])
def test_lanes_side_by_side_are_markets_one_by_one(lanes: int, axes: tuple[Any, ...]) -> None:
    """Values and derivatives, failed lanes too: a batch takes another way than a single market."""
    rng = np.random.default_rng(lanes)
    sigma_v, sigma_u, M = rng.uniform([[0.5], [0.5], [0.3]], [[3], [3], [20]], (3, lanes))
    dt = rng.dirichlet(np.full(4, 3.0), lanes)
    if axes[2] == 0:
        M[[1, -1]] = -1.0, np.inf
    dt[2, 1] *= -1

    @jax.jit
    def market(*args: jax.Array) -> Any:
        def fields(*args: jax.Array) -> Any:
            return holden.solve(Params(*args[:4]), num_auctions=4, spacing=args[4])[:10]

        every = tuple(range(4))
        slopes = [derivative(fields, every)(*args) for derivative in (jax.jacfwd, jax.jacrev)]
        return fields(*args), slopes

    of_lanes = map(jnp.asarray, (sigma_v, sigma_u, M, np.zeros(lanes), dt))
    args = [x if axis == 0 else x[0] for axis, x in zip(axes, of_lanes, strict=True)]
    found = jax.jit(jax.vmap(market, axes))(*args)
    for lane in [*range(5), lanes - 1]:
        here = [x[lane] if axis == 0 else x for axis, x in zip(axes, args, strict=True)]
        expected = market(*here)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            tolerance = 64 * float(jnp.finfo(b.dtype).eps)
            np.testing.assert_allclose(a[lane], b, rtol=tolerance, atol=tolerance)
        failed = bool(np.isnan(found[0][0][lane]).all())
        assert failed == (lane in {1, lanes - 1} and axes[2] == 0 or lane == 2 and axes[4] == 0)


@pytest.mark.parametrize("function", [holden.residual, holden.insider_profit, holden.noise_loss])
def test_a_batched_solution_points_to_vmap(function: Any) -> None:
    """A batch of as many lanes as auctions must not be taken for one solution."""
    params = Params()
    batch = jax.vmap(lambda M: holden.solve(Params(num_insiders=M), num_auctions=3))(
        jnp.asarray([1.0, 2.0, 3.0])
    )
    with pytest.raises((ValueError, TypeError), match="vmap"):
        function(batch, params)


def test_spacing_of_another_solution_is_refused() -> None:
    """A spacing of the wrong length for this solution is an error, not a broadcast."""
    params = Params()
    solution = holden.solve(params, num_auctions=3)
    for function in (holden.residual, holden.insider_profit, holden.noise_loss):
        with pytest.raises(ValueError, match="spacing"):
            function(solution, params, spacing=[0.5, 0.5])


def test_solution_fields_are_the_papers_in_its_order() -> None:
    """Equilibrium objects first, info last: what a reader unpacks."""
    assert holden.Solution._fields[:5] == NAMES
    assert holden.Solution._fields[-1] == "info"
    assert auctions.Solution is holden.Solution or issubclass(holden.Solution, auctions.Solution)


def test_residual_catches_every_field() -> None:
    """A solution wrong in any one field, level or log, does not pass."""
    params = Params(SIGMA_V, SIGMA_U, 3.0)
    solution = holden.solve(params, num_auctions=4)
    for name in solution._fields[:-1]:
        wrong = solution._replace(**{name: 1.001 * getattr(solution, name)})
        worst = max(float(jnp.max(r)) for r in holden.residual(wrong, params))
        assert worst > 1e-5, name


def test_an_overflowed_sibling_leaves_other_derivatives_alone() -> None:
    """beta_N = inf: reverse mode of log_Sigma_N is finite and forward mode's."""

    def both(M: jax.Array) -> tuple[jax.Array, jax.Array]:
        solution = holden.solve(Params(2.5, 5.0, M), num_auctions=1000)
        return solution.log_Sigma[-1], solution.beta[-1]

    forward, reverse = jax.jacfwd(both)(5.0)[0], jax.jacrev(both)(5.0)[0]
    assert np.isinf(both(5.0)[1]) and np.isfinite(reverse)
    np.testing.assert_allclose(forward, reverse, rtol=1e-6)


def test_first_levels_have_every_derivative_where_the_last_leave_the_range() -> None:
    """Sigma_60 ~ 1e-360: the derivatives of its factors must not make NaN of those of auction 1.

    Its beta and alpha go with sigma_u/sigma_v; in the unit t of time with t^(−1/2) and t^(1/2).
    """

    def first(x: jax.Array, spacing: jax.Array | None = None) -> jax.Array:
        s = holden.solve(Params(*x), num_auctions=60, spacing=spacing)
        return jnp.stack([s.beta[0], s.alpha[0]])

    x = jnp.asarray([SIGMA_V, SIGMA_U, 1e6, 0.0])
    level, dt, rtol = np.asarray(first(x)), np.full(60, 1 / 60), 100 * float(jnp.finfo(x.dtype).eps)
    by_x, by_dt = jax.jit(jax.jacrev(first, (0, 1)))(x, jnp.asarray(dt, x.dtype))
    np.testing.assert_allclose(by_x[:, 0], -level / SIGMA_V, rtol)
    np.testing.assert_allclose(by_dt @ dt, level * [-0.5, 0.5], 10 * rtol)
    bend = jax.jit(jax.hessian(first))(x)
    np.testing.assert_allclose(bend[:, 0, 0], 2 * level / SIGMA_V**2, rtol)
    np.testing.assert_allclose(bend[:, 0, 2], -by_x[:, 2] / SIGMA_V, 10 * rtol)


def test_one_horizon_or_time_has_its_slopes_where_another_overflows() -> None:
    """beta for N = 200, and of the limit at t = .9, is inf; for N = 1, and at t = .1, it is not."""

    def of_one(x: jax.Array) -> jax.Array:
        return holden.solve_up_to(Params(*x), max_auctions=200).beta[0]

    def at_first(x: jax.Array) -> jax.Array:
        return holden.limit(Params(*x), [0.1, 0.9]).beta[0]

    for beta, M in ((of_one, 1e6), (at_first, 1.333)):
        x = jnp.asarray([SIGMA_V, SIGMA_U, M, 0.0])
        level, slopes = jax.jit(jax.value_and_grad(beta))(x)
        rtol = 100 * float(jnp.finfo(x.dtype).eps)
        np.testing.assert_allclose(slopes[:2], [-level / SIGMA_V, level / SIGMA_U], rtol)
        assert np.isfinite(slopes[2])


def test_levels_stay_in_range_as_long_as_they_can() -> None:
    """In float32 sd(v − p_N) underflows long before beta_N overflows."""
    f = np.float32
    solution = holden.solve(Params(f(2.5), f(5), f(1e6), f(0)), num_auctions=13)
    np.testing.assert_allclose(solution.beta[-1], np.exp(np.float64(solution.log_beta[-1])), 1e-3)
    assert np.isfinite(solution.beta[-1])


# 1/(M sigma_v/sigma_u) squared is out of range, on either side
FAR = [(1e100, 1e-100, 3.0), (1e-100, 1e100, 3.0), (1e-150, 1e150, 1e-12)]
FAR_SINGLE = [(1e15, 1e-15, 3.0), (1e-15, 1e15, 3.0), (1e-17, 1e17, 1e-4)]


@pytest.mark.parametrize("case", range(3))
def test_slopes_in_M_where_prices_and_orders_are_of_unlike_sizes(case: int) -> None:
    """dx/dM = x d(log x)/dM: beta's had the wrong sign, and overflowed with x still in range."""
    x = jnp.asarray((FAR if jax.config.jax_enable_x64 else FAR_SINGLE)[case])

    def fields(M: jax.Array) -> tuple[jax.Array, ...]:
        s = holden.solve(Params(x[0], x[1], M), num_auctions=1)
        return s.lambda_, s.beta, s.log_lambda, s.log_beta

    lanes = jnp.stack([x[2], x[2]])
    values, slopes = jax.vmap(fields)(lanes), jax.vmap(jax.jacrev(fields))(lanes)
    rtol = 1e4 * float(jnp.finfo(x.dtype).eps)
    largest = float(jnp.finfo(x.dtype).max)
    for level, log, slope, of_log in zip(
        values[:2], values[2:], slopes[:2], slopes[2:], strict=True
    ):
        np.testing.assert_allclose(level, np.exp(np.asarray(log, float)), rtol)
        with np.errstate(over="ignore"):
            expected = np.asarray(level, float) * np.asarray(of_log, float)
        np.testing.assert_allclose(slope, np.clip(expected, -largest, largest), rtol)


@pytest.mark.parametrize("name", ["sigma_v", "sigma_u", "num_insiders"])
def test_a_subnormal_parameter_is_flagged(name: str) -> None:
    """Computed with as 0 it made beta NaN in a lane that was said to have converged."""
    bounds = jnp.finfo(jnp.result_type(float))
    lanes = np.array([bounds.smallest_subnormal * 8, 1.0], bounds.dtype)
    solution = jax.vmap(lambda x: holden.solve(Params()._replace(**{name: x}), num_auctions=1))(
        jnp.asarray(lanes)
    )
    assert solution.info.converged.tolist() == [False, True]
    assert np.isnan(solution.lambda_[0])
    assert np.isfinite(solution.beta[1])
