"""Kyle (1985): three methods, one equilibrium; its theorem, limit, and derivatives."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq import holden, kyle
from diffeq.kyle import Params

SIGMA_V, SIGMA_U = 2.5, 5.0
NAMES = ("lambda_", "beta", "alpha", "delta", "Sigma")
FIELDS = (*NAMES, "log_lambda", "log_beta", "log_Sigma", "log_alpha", "log_delta")
float64 = pytest.mark.float64


def tolerance(method: str) -> float:
    return 1e-10 if method == "shooting" else 1e-12


# One equilibrium


@float64
@pytest.mark.parametrize("num_auctions", [2, 200])
@pytest.mark.parametrize("method", ["recursion", "shooting"])
def test_methods_agree_field_by_field(method: str, num_auctions: int) -> None:
    """Kyle's cubic, rescaled or shot, gives the two-pass solution, on equal and unequal spacing."""
    for name, dt in helpers.spacings(num_auctions).items():
        if name == "alternating" and num_auctions == 200:
            continue
        args = dict(num_auctions=num_auctions, spacing=dt)
        reference = kyle.solve(Params(SIGMA_V, SIGMA_U), **args)
        other = kyle.solve(Params(SIGMA_V, SIGMA_U), **args, method=method)
        assert bool(other.info.converged), name
        for field in FIELDS:
            got, expected = getattr(other, field), getattr(reference, field)
            if field.startswith("log"):
                got, expected = jnp.exp(got), jnp.exp(expected)
            helpers.assert_close(got, expected, tolerance(method), f"{name} {field}")


@float64
@pytest.mark.parametrize("method", kyle.METHODS)
def test_published_conditions_hold(method: str) -> None:
    """Every condition of Theorem 2 and the zero sum, in 60 digits outside; and inside."""
    for name, dt in helpers.spacings(10).items():
        params = Params(SIGMA_V, SIGMA_U)
        s = kyle.solve(params, num_auctions=10, spacing=dt, method=method)
        worst = helpers.conditions(helpers.solution_logs(s), SIGMA_V, SIGMA_U, 1.0, dt)
        assert max(worst) < tolerance(method), (name, worst)
        inside = kyle.residual(s, params, spacing=dt)
        assert max(float(jnp.max(r)) for r in inside) < tolerance(method)
        profit = float(kyle.insider_profit(s, params, spacing=dt))
        loss = float(kyle.noise_loss(s, params, spacing=dt))
        assert abs(profit / loss - 1) < tolerance(method)


@float64
@pytest.mark.parametrize("method", kyle.METHODS)
def test_theorem_2_in_kyles_own_form(method: str) -> None:
    """beta dt = (1−2 alpha lambda)/(2 lambda (1 − alpha lambda)); the cubic's middle root."""
    dt = np.array([0.2, 0.5, 0.3])
    s = kyle.solve(Params(SIGMA_V, SIGMA_U), num_auctions=3, spacing=dt, method=method)
    lam, beta, alpha, delta, Sigma = (np.asarray(getattr(s, name)) for name in NAMES)
    q = alpha * lam
    helpers.assert_close(beta * dt, (1 - 2 * q) / (2 * lam * (1 - q)), tolerance(method))
    helpers.assert_close(alpha[:-1], 1 / (4 * lam * (1 - q))[1:], tolerance(method))
    rents = alpha * lam**2 * SIGMA_U**2 * dt
    helpers.assert_close(delta[:-1], delta[1:] + rents[1:], tolerance(method))
    for n in range(3):
        a = SIGMA_U**2 * dt[n] / Sigma[n]
        roots = np.sort(np.roots([alpha[n] * a, -a, -alpha[n], 0.5][int(alpha[n] == 0) :]).real)
        assert abs(roots[1] / lam[n] - 1) < 1e-9
        assert roots[0] < 0
    helpers.assert_close(
        lam, [0.396833792774, 0.311563171897, 0.339417791383], 6e-12, "the specification's numbers"
    )


@pytest.mark.parametrize("method", kyle.METHODS)
def test_one_auction_in_closed_form(method: str) -> None:
    """lambda = sigma_v/(2 sigma_u), beta = sigma_u/sigma_v, Sigma = sigma_v²/2."""
    s = kyle.solve(Params(SIGMA_V, SIGMA_U), num_auctions=1, method=method)
    eps = 16 * float(jnp.finfo(s.Sigma.dtype).eps)
    helpers.assert_close(s.lambda_, [SIGMA_V / (2 * SIGMA_U)], eps)
    helpers.assert_close(s.beta, [SIGMA_U / SIGMA_V], eps)
    helpers.assert_close(s.Sigma, [SIGMA_V**2 / 2], eps)
    assert bool(s.info.converged)


@pytest.mark.parametrize("method", kyle.METHODS)
def test_single_precision_solves_too(method: str) -> None:
    """float32 at ten auctions, flagged converged, within its own rounding of the oracle."""
    params = Params(*(jnp.asarray(x, jnp.float32) for x in (SIGMA_V, SIGMA_U, 100.0)))
    s = kyle.solve(params, num_auctions=10, method=method)
    assert bool(s.info.converged)
    exact = helpers.oracle(SIGMA_V, SIGMA_U, 1, np.full(10, 0.1))
    for name in NAMES:
        helpers.assert_close(getattr(s, name), exact.level(name), 1e-4, name)


def test_is_holden_at_one_insider() -> None:
    """Same bits as Holden–Subrahmanyam at M = 1, under the model's own name."""
    ours = kyle.solve(Params(), num_auctions=4)
    theirs = holden.solve(holden.Params(num_insiders=1.0), num_auctions=4)
    helpers.assert_same_bits(tuple(ours), tuple(theirs))
    assert type(ours) is kyle.Solution


# Derivatives


@float64
@pytest.mark.parametrize("method", ["recursion", "shooting"])
def test_derivatives_agree_across_methods(method: str) -> None:
    """Slopes of every field in sigma_v, sigma_u and spacing: three methods, one answer."""

    def fields(x: jax.Array, method: str) -> jax.Array:
        s = kyle.solve(Params(*x[:2]), num_auctions=3, spacing=x[2:], method=method)
        return jnp.stack([getattr(s, name) for name in FIELDS])

    x = jnp.asarray([SIGMA_V, SIGMA_U, 0.2, 0.5, 0.3])
    reference = jax.jit(jax.jacrev(fields), static_argnums=1)(x, "two_pass")
    for mode in (jax.jacfwd, jax.jacrev):
        slopes = jax.jit(mode(fields), static_argnums=1)(x, method)
        for k, name in enumerate(FIELDS):
            helpers.assert_close_by_norm(slopes[k], reference[k], 1e-10, name)


@float64
@pytest.mark.parametrize("method", kyle.METHODS)
def test_derivatives_in_closed_form(method: str) -> None:
    """By the model's scale: d lambda/d sigma_v = lambda/sigma_v, and so on, second order too."""

    def impact(x: jax.Array) -> jax.Array:
        return kyle.solve(Params(*x), num_auctions=5, method=method).lambda_

    x = jnp.asarray([SIGMA_V, SIGMA_U])
    lam = np.asarray(impact(x))
    slopes = jax.jit(jax.jacfwd(impact))(x)
    helpers.assert_close(slopes, np.outer(lam, [1 / SIGMA_V, -1 / SIGMA_U]), 1e-10)
    if method == "shooting":
        return  # its Hessian: test_contract.py
    hessian = jax.jit(jax.hessian(impact))(x)
    cross = -1 / (SIGMA_V * SIGMA_U)
    expected = lam[:, None, None] * np.array([[0, cross], [cross, 2 / SIGMA_U**2]])
    helpers.assert_close_by_norm(hessian, expected, 1e-10)


def test_shooting_brackets_the_last_variance_of_many_auctions() -> None:
    """At N = 1100 the bound Sigma_N ≥ 2^−N is no number any more; Sigma_N, about 1/N, is."""
    shot, chain = (
        kyle.solve(Params(SIGMA_V, SIGMA_U), num_auctions=1100, method=method)
        for method in ("shooting", "two_pass")
    )
    assert bool(shot.info.converged)
    rtol = 500 * float(jnp.finfo(shot.lambda_.dtype).eps)
    np.testing.assert_allclose(shot.lambda_, chain.lambda_, rtol)


# Limits


@float64
def test_many_auctions_tend_to_continuous_trading() -> None:
    """Theorem 3: lambda → sigma_v/sigma_u and Sigma → (1 − t) sigma_v², at nearly the rate 1/N."""
    errors = []
    for N in (1000, 4000):
        s = kyle.solve(Params(SIGMA_V, SIGMA_U), num_auctions=N)
        at = np.array([N // 4, N // 2, 3 * N // 4]) - 1
        left = np.array([0.75, 0.5, 0.25])
        errors.append(
            max(
                helpers.apart(s.lambda_[at], np.full(3, SIGMA_V / SIGMA_U)),
                helpers.apart(s.Sigma[at], left * SIGMA_V**2),
            )
        )
    assert errors[1] < 6e-3
    assert errors[1] < errors[0] / 2.5
    limit = kyle.limit(Params(SIGMA_V, SIGMA_U), 1 - left)
    helpers.assert_close(limit.lambda_, np.full(3, SIGMA_V / SIGMA_U), 1e-14)
    helpers.assert_close(limit.Sigma, left * SIGMA_V**2, 1e-14)
    helpers.assert_close(limit.beta, SIGMA_U / (SIGMA_V * left), 1e-14)


@float64
def test_last_impact_tends_to_its_own_limit() -> None:
    """lambda_N → 0.854 sigma_v/sigma_u, not sigma_v/sigma_u; rising with N."""
    last = [
        float(kyle.solve(Params(1.0, 1.0), num_auctions=N).lambda_[-1]) for N in (1, 10, 20_000)
    ]
    assert abs(last[-1] - 0.854) < 6e-4
    assert last[0] < last[1] < last[2]


@float64
def test_recursion_of_five_thousand_auctions() -> None:
    """The rescaled recursion still agrees with the two passes at N = 5 000."""
    a, b = (kyle.solve(Params(), num_auctions=5000, method=m) for m in ("two_pass", "recursion"))
    assert bool(b.info.converged)
    for name in NAMES:
        helpers.assert_close(getattr(b, name), getattr(a, name), 1e-11, name)


def test_functions_check_their_parameters_as_kyles() -> None:
    """A bad parameter is named in Kyle's terms in every function, not in Holden's."""
    solution = kyle.solve(Params(), num_auctions=2)
    calls: list[Any] = [
        lambda p: kyle.residual(solution, p),
        lambda p: kyle.insider_profit(solution, p),
        lambda p: kyle.noise_loss(solution, p),
        lambda p: kyle.limit(p, 0.5),
        lambda p: kyle.simulate(jax.random.key(0), p, solution, num_paths=2),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="kyle.Params.sigma_u"):
            call(Params(sigma_u=-1.0))


@pytest.mark.parametrize("method", ["two_pass", "recursion", "shooting"])
def test_slopes_where_a_square_of_a_unit_is_out_of_range(method: str) -> None:
    """lambda ∝ sigma_v/sigma_u: its slope is in range where 1/sigma_u² is not."""
    tiny = jnp.asarray(1e-160 if jax.config.jax_enable_x64 else 1e-20)

    def first(sigma_v: jax.Array, sigma_u: jax.Array) -> jax.Array:
        return kyle.solve(Params(sigma_v, sigma_u), num_auctions=2, method=method).lambda_[0]

    level, slopes = jax.value_and_grad(first, (0, 1))(tiny, tiny)
    rtol = 100 * float(jnp.finfo(tiny.dtype).eps)
    np.testing.assert_allclose(jnp.stack(slopes) * tiny, [level, -level], rtol)
