"""Exact quotes for exponential fills: against mpmath, the HJB equation itself, and known limits."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from diffeq.market_making import approximations
from diffeq.market_making.exponential import log1p_over, solve
from diffeq.market_making.model import Params

EPS = float(jnp.finfo(jnp.result_type(float)).eps)


def oracle(params: dict[str, Any], Q: int, tau: Any, objective: str) -> np.ndarray:
    """theta at time to go tau in 60 digits: the series of exp(tau M) w(T), M from the paper."""
    with mp.workdps(60):
        p = {name: mp.mpf(float(x)) for name, x in params.items()}
        k, gamma, A = p["k"], p.get("gamma", mp.mpf(0)), p["A"]
        if objective == "cara":
            eta = A * (1 + gamma / k) ** (-(1 + k / gamma))
            risk = k * gamma * p["sigma"] ** 2 / 2
        else:
            eta, risk = A / mp.e, k * p["phi"]
        q = range(-Q, Q + 1)
        diagonal = [-risk * i * i + k * p.get("drift", 0) * i for i in q]
        w = [mp.exp(-k * p["phi_T"] * i * i) for i in q]
        shift = max(-x for x in diagonal)
        count = max(1, int(mp.ceil((shift + 2 * eta) * mp.mpf(float(tau)) / 60)))
        h = mp.mpf(float(tau)) / count
        n = len(w)
        for _ in range(count):
            term, total, j = w[:], w[:], 0
            while j <= n or any(
                t > s * mp.mpf(10) ** -35 for t, s in zip(term, total, strict=True)
            ):
                j += 1
                above, below = [*term[1:], 0], [0, *term[:-1]]
                term = [
                    h / j * ((d + shift) * t + eta * (a + b))
                    for d, t, a, b in zip(diagonal, term, above, below, strict=True)
                ]
                total = [s + t for s, t in zip(total, term, strict=True)]
            w = [mp.exp(-shift * h) * s for s in total]
        return np.array([float(mp.log(x) / k) for x in w])


@pytest.mark.parametrize(
    ("Q", "objective", "params", "tau"),
    [
        (1, "cara", dict(sigma=2.0, A=140.0, k=1.5, gamma=0.1, phi_T=0.0), 1.0),
        (10, "cara", dict(sigma=2.0, A=140.0, k=1.5, gamma=0.1, phi_T=0.5, drift=3.0), 0.5),
        (10, "penalty", dict(A=10.0, k=1.5, phi_T=0.01, phi=0.0), 1.0),
        (10, "penalty", dict(A=10.0, k=1.5, phi_T=1.0, phi=2.0), 0.25),
        (20, "penalty", dict(A=10.0, k=1.5, phi_T=16.0, phi=0.1), 1e-6),
        (1, "penalty", dict(A=1.0, k=1.5, phi_T=6000.0, phi=0.0), 1.0),
    ],
)
def test_against_sixty_digits(Q: int, objective: str, params: dict[str, float], tau: float) -> None:
    """theta and both depths at every inventory; log w to 1e-11 (float32: a few roundings)."""
    rounded = {n: float(jnp.asarray(x, float)) for n, x in params.items()}
    times = np.asarray(jnp.asarray([0.0, tau], float), np.float64)
    got = solve(Params(**rounded), max_inventory=Q, times=times, objective=objective)
    theta = oracle(rounded, Q, times[1], objective)
    k = rounded["k"]
    size = max(1.0, np.abs(k * theta).max())
    loose = max(1e-12, 3 * EPS) * size
    np.testing.assert_allclose(k * np.asarray(got.theta[0], np.float64), k * theta, atol=loose)
    gamma = rounded.get("gamma", 0.0) if objective == "cara" else 0.0
    c = np.log1p(gamma / k) / gamma if gamma else 1 / k
    step = theta[:-1] - theta[1:]
    np.testing.assert_allclose(got.delta_b[0, :-1], step + c, atol=2 * loose)
    np.testing.assert_allclose(got.delta_a[0, 1:], -step + c, atol=2 * loose)
    assert np.isposinf(got.delta_b[:, -1]).all() and np.isposinf(got.delta_a[:, 0]).all()
    assert bool(got.info.converged) and float(got.info.residual) <= EPS


def test_reference_quote() -> None:
    """Penalty, A = 10, k = 1.5, phi_T = .01, phi = 0, T = 1, Q = 10: delta_b(0, 0) = .674906952."""
    got = solve(
        Params(A=10.0, k=1.5, phi_T=0.01),
        max_inventory=10,
        times=[0.0, 1.0],
        objective="penalty",
    )
    np.testing.assert_allclose(got.delta_b[0, 10], 0.674906952, rtol=0, atol=max(5e-10, 9 * EPS))


@pytest.mark.float64
@pytest.mark.parametrize("objective", ["cara", "penalty"])
def test_the_hjb_equation_holds(objective: str) -> None:
    """theta_t by autodiff in time, the rest from theta by the paper's supremum; eps and drift too.

    H(p) = sup Lambda(delta)(1 − exp(−gamma(delta − p)))/gamma is found by brute force.
    """
    params = Params(
        sigma=1.5,
        A=(30.0, 20.0),
        k=1.2,
        gamma=0.3,
        phi_T=0.2,
        drift=0.7,
        eps=0.15,
        phi=0.4 if objective == "penalty" else 0.0,
    )
    Q, q = 4, np.arange(-4, 5)

    def theta(t: jax.Array) -> Any:
        times = jnp.stack([t, jnp.asarray(0.8)])
        found = solve(params, max_inventory=Q, times=times, objective=objective)
        return found.theta[0], found

    (value, found), (slope, _) = jax.jvp(theta, (0.1,), (1.0,))
    value, slope = np.asarray(value), np.asarray(slope)
    gamma = 0.3 if objective == "cara" else 0.0
    delta = np.linspace(-6, 12, 400_001)

    def best(p: float, A: float) -> tuple[float, float]:
        earned = -np.expm1(-gamma * (delta - p)) / gamma if gamma else delta - p
        gain = A * np.exp(-1.2 * delta) * earned
        i = int(gain.argmax())
        return gain[i], delta[i]

    risk = gamma * 1.5**2 / 2 if gamma else 0.4
    for i, x in enumerate(q):
        total = -risk * x**2 + 0.7 * x
        if x < Q:
            gain, at = best(value[i] - value[i + 1] + (x + 1) * 0.15, 30.0)
            total += gain
            np.testing.assert_allclose(found.delta_b[0, i], at, atol=1e-4)
        if x > -Q:
            gain, at = best(value[i] - value[i - 1] - (x - 1) * 0.15, 20.0)
            total += gain
            np.testing.assert_allclose(found.delta_a[0, i], at, atol=1e-4)
        np.testing.assert_allclose(-slope[i], total, rtol=1e-8, atol=1e-8)


@pytest.mark.float64
def test_limits() -> None:
    """Mirror symmetry to 1e-14; gamma → 0 is the penalty form; T − t → 0; phi_T at the end."""
    plain = solve(Params(), max_inventory=50, times=np.linspace(0, 1, 5))
    np.testing.assert_allclose(plain.delta_a, plain.delta_b[:, ::-1], rtol=0, atol=1e-14)
    none = solve(Params(gamma=0.0), max_inventory=8, times=[0.0, 1.0])
    penalty = solve(Params(), max_inventory=8, times=[0.0, 1.0], objective="penalty")
    np.testing.assert_allclose(none.theta, penalty.theta, rtol=1e-13)
    small = solve(Params(gamma=1e-9), max_inventory=8, times=[0.0, 1.0])
    np.testing.assert_allclose(small.theta, penalty.theta, rtol=1e-7)
    q = np.arange(-8, 8)
    end = solve(Params(phi_T=0.3), max_inventory=8, times=[0.0, 1.0], objective="penalty")
    np.testing.assert_allclose(end.delta_b[-1, :-1], 1 / 1.5 + 0.3 * (2 * q + 1), rtol=1e-13)
    np.testing.assert_allclose(end.delta_a[-1, 1:], 1 / 1.5 - 0.3 * (2 * q + 1), rtol=1e-12)


@pytest.mark.float64
def test_long_before_the_end_it_is_the_leading_eigenvector() -> None:
    """Quotes at T = 60 against mpmath's eigenvector of M to 1e-10; GLFT's formula near q = 0."""
    params = Params(sigma=1.0, A=30.0, k=1.5, gamma=0.2)
    Q = 15
    got = solve(params, max_inventory=Q, times=[0.0, 60.0])
    eta = 30 * (1 + 0.2 / 1.5) ** -(1 + 1.5 / 0.2)
    with mp.workdps(40):
        M = mp.matrix(2 * Q + 1)
        for i in range(2 * Q + 1):
            M[i, i] = -mp.mpf(1.5) * mp.mpf(0.2) / 2 * (i - Q) ** 2
            if i < 2 * Q:
                M[i, i + 1] = M[i + 1, i] = mp.mpf(eta)
        values, vectors = mp.eigsy(M)
        top = max(range(2 * Q + 1), key=lambda i: values[i])
        theta = [mp.log(abs(vectors[i, top])) / mp.mpf(1.5) for i in range(2 * Q + 1)]
        step = np.array([float(a - b) for a, b in zip(theta[:-1], theta[1:], strict=True)])
    c = np.log1p(0.2 / 1.5) / 0.2
    np.testing.assert_allclose(got.delta_b[0, :-1], step + c, rtol=0, atol=1e-10)


@pytest.mark.float64
@pytest.mark.parametrize("objective", ["cara", "penalty"])
def test_the_asymptotic_formula_closes_in(objective: str) -> None:
    """GLFT's linear depths: their error near q = 0 falls like the risk, sigma², as it falls.

    Under a drift of the size of the risk too, and with adverse selection.
    """
    errors, Q = [], 40
    for sigma in (0.5, 0.25):
        params = Params(sigma=sigma, A=30.0, k=1.5, gamma=0.2, drift=0.1 * sigma**2, eps=0.1)
        if objective == "penalty":
            params = params._replace(phi=0.1 * sigma**2)
        arguments: Any = dict(max_inventory=Q, times=[0.0, 80.0], objective=objective)
        exact, formula = solve(params, **arguments), approximations.stationary(params, **arguments)
        near = slice(Q - 2, Q + 3)
        gap = [
            np.abs(np.asarray(getattr(exact, side) - getattr(formula, side))[0, near]).max()
            for side in ("delta_b", "delta_a")
        ]
        errors.append(max(gap))
    assert 3.5 < errors[0] / errors[1] < 4.5
    for none in (params._replace(A=0.0), params._replace(sigma=0.0, phi=0.0)):
        assert np.isnan(approximations.stationary(none, **arguments).delta_b[:, :-1]).all()


@pytest.mark.float64
def test_derivatives_three_ways() -> None:
    """Forward = reverse to 1e-12, and differences, in every parameter and in time; twice."""

    def quotes(y: Any) -> jax.Array:
        *rest, end = jnp.concatenate([y[:4], jnp.zeros(1), y[4:]])  # phi: not in this objective
        times = jnp.stack([0 * end, end])
        found = solve(Params(*rest), max_inventory=3, times=times, objective="cara")
        return jnp.concatenate([found.theta[0], found.delta_b[0, :-1], found.delta_a[0, 1:]])

    gradient = jax.grad(lambda y: jnp.sum(quotes(y) ** 2))

    @jax.jit
    def every(y: Any) -> tuple[jax.Array, ...]:  # reverse over reverse: the hardest mode
        return (*helpers.jacobians(quotes)(y), gradient(y), jax.jacrev(gradient)(y))

    y = np.array([2.0, 14.0, 1.5, 0.1, 0.02, 0.3, 0.05, 0.9])
    _, forward, reverse, _, curvature = map(np.asarray, every(jnp.asarray(y)))
    helpers.assert_close_by_norm(forward, reverse, 1e-12)
    helpers.assert_close_by_norm(forward, helpers.differences(lambda y: every(y)[0], y), 1e-9)
    helpers.assert_close_by_norm(curvature, curvature.T, 1e-11)
    helpers.assert_close_by_norm(curvature, helpers.differences(lambda y: every(y)[3], y), 1e-8)


@pytest.mark.float64
def test_second_derivatives_in_a_scan() -> None:
    """The reverse pass of a scan would drop the rule of derivatives by columns."""

    def depth(y: Any) -> jax.Array:
        params = Params(A=y[0], k=y[1])
        return solve(params, max_inventory=2, times=[0.0, 1.0], objective="cara").delta_b[0, 1]

    lanes = jnp.asarray([[14.0, 1.5], [3.0, 0.7]])
    total = jax.jit(jax.hessian(lambda lanes: jnp.sum(jax.lax.map(depth, lanes))))(lanes)
    for i, expected in enumerate(jax.jit(jax.vmap(jax.jacfwd(jax.jacfwd(depth))))(lanes)):
        helpers.assert_close_by_norm(total[i, :, i], expected, 1e-11)


@pytest.mark.float64
def test_derivatives_where_w_spans_or_grows_beyond_range() -> None:
    """Without fills d log w_q/dA = Σ w_{q±1}/w_q tau/e, by hand; w that grows by e^270."""
    slope = jax.jit(
        jax.jacfwd(
            lambda A, phi_T, drift: solve(
                Params(A=A, phi_T=phi_T, drift=drift),
                max_inventory=3,
                times=[0.0, 1.0],
                objective="penalty",
            )[:2],
            argnums=(0, 2),
        )
    )
    q, phi_T = np.arange(-3, 4), 42.0  # w spans e^−567: mantissas and exponents
    in_A = slope(0.0, phi_T, 0.0)[0][0]
    up, down = (np.exp(-1.5 * phi_T * ((q + i) ** 2 - q**2)) for i in (1, -1))
    exact = (np.append(up[:-1], 0) + np.append(0, down[1:])) / np.e / 1.5
    np.testing.assert_allclose(in_A[0], exact, rtol=1e-12)
    (in_A, in_drift), quotes = slope(20.0, 0.1, -60.0)
    assert np.isfinite(in_A).all() and np.isfinite(np.stack(quotes)[..., :-1]).all()
    np.testing.assert_allclose(in_drift[0, 0], -3.0, atol=0.05)  # at q = −3 nearly all the time


def test_bad_lanes_fail_alone() -> None:
    """Bad rates, a rate no machine can step through: NaN and flagged; the others untouched."""
    A = jnp.array([10.0, -1.0, jnp.inf, 1e30, 20.0])

    def lane(A: jax.Array) -> Any:
        found = solve(Params(A=A), max_inventory=3, times=[0.0, 1.0])
        return found.theta[0, 3], found

    one = jnp.ones(())
    _, slope, found = jax.jit(jax.vmap(lambda A: jax.jvp(lane, (A,), (one,), has_aux=True)))(A)
    np.testing.assert_array_equal(found.info.converged, [True, False, False, False, True])
    assert np.isnan(found.theta[1:4]).all() and np.isfinite(found.theta[::4]).all()
    assert np.isnan(slope[1:4]).all() and np.isfinite(slope[::4]).all()
    np.testing.assert_allclose(found.theta[0], lane(jnp.asarray(10.0))[1].theta, rtol=20 * EPS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(k=-1.0), "Params.k"),
        (dict(k=0.0), "Params.k"),
        (dict(A=-1.0), "Params.A"),
        (dict(sigma=-1.0), "Params.sigma"),
        (dict(gamma=np.nan), "Params.gamma"),
        (dict(k=(1.0, 2.0)), "same on both sides"),
        (dict(A=(1.0, 2.0, 3.0)), r"scalar or \(bid, ask\)"),
        (dict(sigma=(1.0, 2.0)), "Params.sigma: expected a scalar"),
        (dict(phi=0.1), "Params.phi"),
        (dict(times=[1.0, 0.0]), "increasing"),
        (dict(times=[0.0, 0.0]), "increasing"),
        (dict(times=1.0), "times"),
        (dict(max_inventory=0), "max_inventory"),
        (dict(objective="quadratic"), "objective"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    arguments: Any = dict(max_inventory=3, times=[0.0, 1.0])
    arguments |= {n: change.pop(n) for n in ("times", "max_inventory", "objective") if n in change}
    with pytest.raises(ValueError, match=message):
        solve(Params(**change), **arguments)


@pytest.mark.parametrize("way", [solve, approximations.stationary])
def test_a_traced_pair_is_refused(way: Any) -> None:
    """Where sides may differ a solution for one k has no derivative in each side's own."""
    shape: Any = dict(max_inventory=3, times=[0.0, 1.0])
    with pytest.raises(ValueError, match="Params.k: expected one number, got a traced pair"):
        jax.eval_shape(lambda k: way(Params(k=k), **shape), jnp.ones(2))
    assert np.isfinite(way(Params(k=(1.5, 1.5)), **shape).delta_b[0, 0])


def test_log1p_over_x() -> None:
    """log(1+x)/x and its slope, through 0, against mpmath."""
    for x in (0.0, 1e-12, 1e-3, 0.0199, 0.0201, 0.5, 30.0, -0.5):
        x = float(jnp.asarray(x, float))
        value, slope = jax.value_and_grad(log1p_over)(jnp.asarray(x, float))
        f = lambda y: mp.log1p(y) / y if y else mp.mpf(1)  # noqa: E731
        with mp.workdps(40):
            exact = float(f(mp.mpf(x)))
            exact_slope = float(mp.diff(f, mp.mpf(x))) if x else -0.5
        np.testing.assert_allclose(value, exact, rtol=4 * EPS)
        np.testing.assert_allclose(slope, exact_slope, rtol=4e3 * EPS)
