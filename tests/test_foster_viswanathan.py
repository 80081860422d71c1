"""Foster & Viswanathan (1996): published conditions, limits, best replies, derivatives, markets.

The oracle solves the published recursion in its own symbols with mpmath, by two nested roots; the
best reply is found in the covariances of a deviating insider's profit. Neither shares a line with
the source.
"""

from functools import lru_cache
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from diffeq import ConvergenceError, check, holden, kyle
from diffeq import foster_viswanathan as fv
from diffeq.foster_viswanathan import Params

SIGMA_V, SIGMA_U = 2.5, 5.0
LOGS = ("lambda", "beta", "Sigma", "alpha", "psi", "mu", "delta", "V")
float64 = pytest.mark.float64


def lowest(M: float) -> float:
    """The least correlation of M signals."""
    return -1 / (M - 1)


def grid() -> list[tuple[float, float]]:
    """(M, rho): from a hair above the least correlation to one."""
    points = [(1.0, 0.3), (1.0, 1.0), (1.0, -7.0)]
    for M in (1.001, 1.5, 2.0, 3.0, 7.3, 20.0):
        low = lowest(M)
        shares = (1e-12, 1e-4, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9)
        points += [(M, low + (1 - low) * s) for s in shares] + [(M, 1.0)]
    return points


@lru_cache
def compiled(num_auctions: int) -> Any:
    """Solution, residuals and both sides of the zero sum, for a batch of (M, rho) and spacings."""

    def lane(M: jax.Array, rho: jax.Array, dt: jax.Array) -> Any:
        params = Params(SIGMA_V, SIGMA_U, M, rho)
        found = fv.solve(params, num_auctions=num_auctions, spacing=dt)
        money = (f(found, params, spacing=dt) for f in (fv.insider_profit, fv.noise_loss))
        return found, fv.residual(found, params, spacing=dt), *money

    return jax.jit(jax.vmap(lane))


def solved(points: Any, num_auctions: int, spacings: Any = None) -> Any:
    """In batches of one size, the grid's: one program for each number of auctions."""
    M, rho = np.asarray(points, float).T
    dt = np.full((M.size, num_auctions), 1 / num_auctions)
    dt = dt if spacings is None else np.asarray(spacings)
    size = len(grid()) * len(helpers.spacings(num_auctions))
    lanes = np.arange(size) % M.size
    batch = compiled(num_auctions)(*(jnp.asarray(x[lanes], float) for x in (M, rho, dt)))
    return jax.tree.map(lambda x: np.asarray(x)[: M.size], batch)


def at(tree: Any, lane: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[lane], tree)


# The published conditions


@float64
@pytest.mark.parametrize("num_auctions", [1, 4, 200])
def test_published_conditions_hold(num_auctions: int) -> None:
    """Every condition and the zero sum; in 50 digits outside the library too."""
    spacings = helpers.spacings(num_auctions).values()
    cases = [(point, dt) for point in grid() for dt in spacings]
    points, dts = zip(*cases, strict=True)
    found, residuals, profit, loss = solved(points, num_auctions, dts)
    assert bool(found.info.converged.all())
    for name, r in residuals._asdict().items():
        assert float(jnp.max(r)) < 1e-12, (name, points[int(jnp.argmax(jnp.max(r, axis=1)))])
    M = np.asarray(points)[:, 0]
    helpers.assert_close(M * profit, loss, 1e-12, "zero sum")
    for lane in range(0, len(cases), 1 if num_auctions < 10 else 37):
        (M, rho), dt = cases[lane]
        if 1 + (M - 1) * rho < 0.01:  # it cancels: known to fewer digits than are asked for
            continue
        gaps = conditions(at(found, lane), M, rho, dt)
        assert max(gaps.values()) < 1e-12, (M, rho, gaps)


def conditions(s: Any, M: float, rho: float, dt: Any) -> dict[str, float]:
    """Largest |lhs − rhs| over the larger, of each condition as printed, on exp of the logs."""
    worst: dict[str, Any] = {}

    def note(name: str, lhs: Any, rhs: Any) -> None:
        scale = max(abs(lhs), abs(rhs))
        gap = abs(lhs - rhs) / scale if scale else mp.mpf(0)
        worst[name] = max(worst.get(name, mp.mpf(0)), gap)

    with mp.workdps(50):
        f = {
            name: [mp.exp(mp.mpf(float(x))) if np.isfinite(x) else mp.mpf(0) for x in log]
            for name in LOGS
            for log in [np.asarray(getattr(s, f"log_{name}"), np.float64)]
        }
        M, rho, sv, su = (mp.mpf(x) for x in (M, rho, SIGMA_V, SIGMA_U))
        V_0 = sv**2 / (M * (1 + (M - 1) * rho))
        d = V_0 * (1 - rho)
        Sigma, V = [sv**2, *f["Sigma"]], [V_0, *f["V"]]
        C = [mp.mpf(float(c)) for c in s.C]
        earned = mp.mpf(0)
        for n, length in enumerate(map(mp.mpf, map(float, dt)), start=1):
            lam, b, s2 = f["lambda"][n - 1], f["beta"][n - 1] * length, su**2 * length
            alpha, psi, mu, delta = (f[k][n - 1] for k in ("alpha", "psi", "mu", "delta"))
            w, theta = lam * b, Sigma[n - 1] / (M * V[n - 1])
            kept, e = 1 - w * theta / M, 1 - w * (M - 1) / M
            v = (Sigma[n - 1] / M + (M - 1) * d) / M
            cov = v - d
            omega = (M - 1) * v + (M - 1) * (M - 2) * cov - ((M - 1) * cov) ** 2 / v
            note("pricing", lam, b * Sigma[n] / s2)
            note("filtering", Sigma[n] + Sigma[n - 1] * w, Sigma[n - 1])
            note("variance", V[n], (Sigma[n] / M + (M - 1) * d) / M)
            note("covariance", C[n - 1] + d, V[n])
            note("first_order", theta * (1 - w), w + lam * psi * kept)
            before = (
                b * theta * (1 - w) + alpha * kept**2,
                (b + psi * kept) * e,
                e**2 / (4 * lam * (1 - mu * lam)),
                delta + alpha * lam**2 * (b**2 * omega + s2) / M**2,
            )
            assert lam * (1 - mu * lam) > 0
            if n > 1:
                for k, x in zip(("alpha", "psi", "mu", "delta"), before, strict=True):
                    note(k, f[k][n - 2], x)
            else:
                alpha_0, delta_0 = before[0], before[3]
            earned += lam * s2
        note("zero_sum", M * (alpha_0 * V_0 + delta_0), earned)
        assert alpha == psi == mu == delta == 0
        return {name: float(x) for name, x in worst.items()}


@float64
def test_residual_sees_each_wrong_field() -> None:
    """A part in a million in any field shows in the condition that holds it; else it is blind."""
    found, _, _, _ = solved([(3.0, 0.4)], 4)
    good, params = at(found, 0), Params(SIGMA_V, SIGMA_U, 3.0, 0.4)
    evaluate = jax.jit(lambda s: fv.residual(s, params))
    shows = {
        "log_lambda": "pricing",
        "log_beta": "first_order",
        "log_Sigma": "filtering",
        "log_alpha": "value",
        "log_psi": "cross_value",
        "log_mu": "deviation_value",
        "log_delta": "value_constant",
        "log_V": "signals",
        "C": "signals",
        "V": "levels",
    }
    for field, condition in shows.items():
        wrong = good._replace(**{field: getattr(good, field) + jnp.asarray([0, 1e-5, 0, 0])})
        assert float(jnp.max(getattr(evaluate(wrong), condition))) > 1e-8, field
    wrong = good._replace(log_mu=good.log_mu + 3.0)
    assert float(jnp.max(evaluate(wrong).second_order)) > 1


# The oracle: the published recursion, backwards from a trial Sigma_N, in two nested roots


def backwards(Sigma: Any, M: Any, d: Any, dt: list[Any]) -> list[dict[str, Any]]:
    """Auctions N..1 from Sigma_N, sigma_u = 1, in the published symbols; first the last."""
    alpha = psi = mu = delta = mp.mpf(0)
    rows = []
    for s2 in dt[::-1]:

        def miss(w: Any, Sigma: Any = Sigma, psi: Any = psi, s2: Any = s2) -> Any:
            theta = M * Sigma / (Sigma + M * (M - 1) * d * (1 - w))
            lam = mp.sqrt(w * Sigma / s2)
            return theta * (1 - w) - w - lam * psi * (1 - w * theta / M)

        w = bisected(miss)
        theta = M * Sigma / (Sigma + M * (M - 1) * d * (1 - w))
        lam = mp.sqrt(w * Sigma / s2)
        b, kept, e = w / lam, 1 - w * theta / M, 1 - w * (M - 1) / M
        rows.append(dict(lambda_=lam, beta=b / s2, alpha=alpha, psi=psi, mu=mu, delta=delta))
        V = (Sigma / M + (M - 1) * d) / M
        rows[-1] |= dict(Sigma=Sigma, V=V, C=V - d)
        Sigma = Sigma / (1 - w)
        V = (Sigma / M + (M - 1) * d) / M
        C = V - d
        omega = (M - 1) * V + (M - 1) * (M - 2) * C - ((M - 1) * C) ** 2 / V
        delta += alpha * lam**2 * (b**2 * omega + s2) / M**2
        alpha = b * theta * (1 - w) + alpha * kept**2
        psi = (b + psi * kept) * e
        mu = e**2 / (4 * lam * (1 - mu * lam))
    rows.append(dict(Sigma=Sigma))
    return rows


def bisected(f: Any) -> Any:
    """The root in (0, 1) of what falls through zero: halved, then by secants."""
    low, high = mp.mpf(0), mp.mpf(1)
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) > 0 else (low, middle)
    return mp.findroot(f, (low, high), solver="anderson", tol=1e-60)


def oracle(M: Any, rho: Any, dt: Any) -> list[dict[str, Any]]:
    """Auctions 1..N at sigma_v = sigma_u = 1."""
    M, rho = mp.mpf(M), mp.mpf(rho)
    lengths = [mp.mpf(float(x)) for x in dt]
    d = (1 - rho) / (M * (1 + (M - 1) * rho))

    def start(log_Sigma: Any) -> Any:
        return mp.log(backwards(mp.exp(log_Sigma), M, d, lengths)[-1]["Sigma"])

    low = mp.mpf(-1)
    while start(low) > 0:
        low *= 2
    log_Sigma = mp.findroot(start, (low, mp.mpf(0)), solver="anderson", tol=1e-50)
    return backwards(mp.exp(log_Sigma), M, d, lengths)[-2::-1]


@float64
def test_every_field_is_the_oracles() -> None:
    """All nine fields against two nested roots in 30 digits, equal and uneven spacing."""
    spacings = list(helpers.spacings(4).values())
    points = [(2.0, -0.9), (3.0, 0.0), (4.5, 0.9), (20.0, 0.2)]
    found, _, _, _ = solved(points, 4, spacings)
    scale = dict(lambda_=0.5, beta=2.0, alpha=2.0, psi=2.0, mu=2.0, delta=12.5)
    scale |= dict.fromkeys(("Sigma", "V", "C"), 6.25)
    with mp.workdps(30):
        for lane, ((M, rho), dt) in enumerate(zip(points, spacings, strict=True)):
            exact = oracle(M, rho, dt)
            for name, unit in scale.items():
                expected = [float(row[name]) * unit for row in exact]
                compare = helpers.assert_close_by_norm if name == "C" else helpers.assert_close
                compare(getattr(found, name)[lane], expected, 1e-13, name)


# Limits


@pytest.mark.parametrize("theta", [(3.0, 0.5), (2.0, -0.9), (1.0, 0.2), (20.0, 1.0), (1.7, 0.9)])
def test_one_auction_in_closed_form(theta: tuple[float, float]) -> None:
    """lambda = (sigma_v/sigma_u) sqrt(theta_0)/(1+theta_0), theta_0 = 1 + (M−1) rho."""
    s = at(solved([theta], 1)[0], 0)
    theta_0 = 1 + (theta[0] - 1) * theta[1]
    eps = 30 * float(jnp.finfo(s.Sigma.dtype).eps)
    helpers.assert_close(s.lambda_, [SIGMA_V / SIGMA_U * theta_0**0.5 / (1 + theta_0)], eps)
    helpers.assert_close(s.beta, [SIGMA_U / SIGMA_V * theta_0**0.5], eps)
    helpers.assert_close(s.Sigma, [SIGMA_V**2 / (1 + theta_0)], eps)
    assert float(s.alpha[0]) == float(s.psi[0]) == float(s.mu[0]) == float(s.delta[0]) == 0


@float64
def test_equal_signals_are_holden_and_subrahmanyam() -> None:
    """At rho = 1 every field is Holden's, of one of M insiders, uneven spacing included."""
    for N in (4, 200):
        dts = list(helpers.spacings(N).values())
        M = np.repeat([1.0, 1.2, 3.0, 20.0], len(dts))
        found, _, _, _ = solved(np.stack([M, np.ones(M.size)], 1), N, dts * 4)
        one = jax.jit(
            lambda M, dt: holden.solve(
                holden.Params(SIGMA_V, SIGMA_U, M), num_auctions=dt.size, spacing=dt
            )
        )
        for lane, (m, dt) in enumerate(zip(M, dts * 4, strict=True)):
            other, s = one(m, dt), at(found, lane)
            for name, factor in (("lambda_", 1), ("beta", m), ("delta", 1), ("Sigma", 1)):
                helpers.assert_close(getattr(s, name), factor * getattr(other, name), 1e-12, name)
            helpers.assert_close(s.alpha, m**2 * other.alpha, 1e-12, "alpha")
            helpers.assert_close(s.V, other.Sigma / m**2, 1e-12, "V")
            helpers.assert_close(s.C, other.Sigma / m**2, 1e-12, "C")


@float64
def test_one_insider_is_kyle() -> None:
    """At M = 1 no correlation matters; the value of a deviation is that of the price's error."""
    found, _, _, _ = solved([(1.0, 1.0), (1.0, 0.0), (1.0, -7.0)], 4)
    one = kyle.solve(kyle.Params(SIGMA_V, SIGMA_U), num_auctions=4)
    for lane in range(3):
        s = at(found, lane)
        for name in ("lambda_", "beta", "alpha", "delta", "Sigma"):
            helpers.assert_close(getattr(s, name), getattr(one, name), 1e-13, name)
        helpers.assert_close(s.V, one.Sigma, 1e-13)
        # ŝ² + 2 ŝ D + D², the square of the error after the deviation
        helpers.assert_close(s.psi, 2 * one.alpha, 1e-13)
        helpers.assert_close(s.mu, one.alpha, 1e-13)


# No deviation pays


@float64
@pytest.mark.parametrize(("M", "rho"), [(3, 0.4), (2, -0.8), (4, 0.0)])
def test_no_linear_deviation_pays(M: int, rho: float) -> None:
    """An insider's profit over all linear strategies is concave, and highest at the equilibrium.

    Its strategy: x_n = a_n s_1 + Σ_{m<n} c_{nm} y_m, y the net flow; the others and the prices keep
    to the solution. Profit is a quadratic form of the coefficients, from covariances alone.
    """
    N = 4
    s = at(solved([(M, rho)], N)[0], 0)
    lam, b = np.asarray(s.lambda_), np.asarray(s.beta) / N
    V_0 = SIGMA_V**2 / (M * (1 + (M - 1) * rho))
    # shocks: signals and noise
    cov = np.zeros((M + N, M + N))
    cov[:M, :M] = V_0 * (rho + (1 - rho) * np.eye(M))
    cov[M:, M:] = np.eye(N) * SIGMA_U**2 / N
    value = np.r_[np.ones(M), np.zeros(N)]
    pairs = [(n, m) for n in range(N) for m in range(n)]

    def profit(z: np.ndarray) -> float:
        a, c = z[:N], dict(zip(pairs, z[N:], strict=True))
        price, flows, total = np.zeros(M + N), [], 0.0
        for n in range(N):
            x = a[n] * np.eye(M + N)[0] + sum((c[n, m] * flows[m] for m in range(n)), 0 * price)
            others = sum(b[n] * (np.eye(M + N)[i] - price / M) for i in range(1, M))
            flows.append(x + others + np.eye(M + N)[M + n])
            price = price + lam[n] * flows[-1]
            total += x @ cov @ (value - price)
        return total

    there = np.r_[b, [-b[n] * lam[m] / M for n, m in pairs]]
    best, e = profit(there), np.eye(there.size) * np.abs(there)
    helpers.assert_close(
        best, fv.insider_profit(s, Params(SIGMA_V, SIGMA_U, float(M), rho)), 1e-12, "profit"
    )
    # not a polynomial of degree two, as early flows move later prices: small steps
    h = 1e-3
    slopes = [(profit(there + h * k) - profit(there - h * k)) / (2 * h) for k in e]
    assert np.abs(slopes).max() < 1e-5 * best
    curvature = [
        [
            profit(there + h * (j + k)) - profit(there + h * j) - profit(there + h * k) + best
            for j in e
        ]
        for k in e
    ]
    assert np.linalg.eigvalsh(np.array(curvature) / h**2).max() < 0
    rng = np.random.default_rng(0)
    for size in (0.01, 0.1, 0.5):
        for _ in range(20):
            assert profit(there * (1 + size * rng.normal(size=there.size))) < best


# Derivatives


def outputs(x: jax.Array) -> jax.Array:
    """(sigma_v, sigma_u, M, rho, dt_1..dt_3) → all log fields and C, but for what is −inf."""
    s = fv.solve(Params(*x[:4]), num_auctions=3, spacing=x[4:])
    logs = [s.log_lambda, s.log_beta, s.log_Sigma, s.log_V, s.C]
    logs += [s.log_alpha[:-1], s.log_psi[:-1], s.log_mu[:-1], s.log_delta[:-2]]
    return jnp.concatenate(logs)


free = jax.jit(
    helpers.jacobians(lambda x: outputs(x.at[4:].divide(jnp.sum(x[4:])))),
)


@float64
def test_gradients_three_ways() -> None:
    """Forward = reverse to 1e-12 = finite differences, in every parameter and the spacing."""
    for point in ([2.5, 5.0, 3.0, 0.4], [1.0, 0.3, 6.5, -0.1], [1.0, 1.0, 2.0, 0.99]):
        x = [*point, 0.2, 0.5, 0.3]
        helpers.assert_derivatives(free, x, modes=1e-12, steps=1e-8, relative_step=5e-4)


@float64
def test_gradients_at_the_edges_of_the_domain() -> None:
    """At rho = 1 and at M = 1, from inside: one-sided differences of sixth order."""
    weights = [-49 / 20, 6, -15 / 2, 20 / 3, -15 / 4, 6 / 5, -1 / 6]
    edges = [(3, -1, 1e-3, [1.0, 1.0, 3.0, 1.0]), (2, 1, 1e-3, [1.0, 1.0, 1.0, 0.3])]
    for leaf, inwards, h, point in edges:
        x = np.array([*point, 0.2, 0.5, 0.3])
        _, forward, reverse = free(jnp.asarray(x))
        helpers.assert_close_by_norm(forward, reverse, 1e-12)
        step = np.eye(7)[leaf] * inwards * h
        values = [np.asarray(free(jnp.asarray(x + k * step))[0]) for k in range(7)]
        slope = sum(w * v for w, v in zip(weights, values, strict=True)) / (h * inwards)
        helpers.assert_close_by_norm(forward[:, leaf], slope, 1e-6, f"leaf {leaf}")
    # one insider correlates with nobody: only C feels rho
    moved = np.abs(np.asarray(forward)[:, 3])
    assert moved[:12].max() == moved[15:].max() == 0
    assert moved[12:15].min() > 0


@float64
def test_second_derivatives() -> None:
    """The Hessian of lambda_1 in M, rho: symmetric, and the gradient's own differences."""

    def impact(z: jax.Array) -> jax.Array:
        return fv.solve(Params(1.0, 1.0, z[0], z[1]), num_auctions=3).lambda_[0]

    both = jax.jit(lambda z: (jax.grad(impact)(z), jax.jacfwd(jax.grad(impact))(z)))
    for z in ([3.0, 0.4], [1.5, -0.7], [4.0, 1.0 - 1e-2]):
        z = np.asarray(z)
        hessian = np.asarray(both(z)[1])
        helpers.assert_close_by_norm(hessian, hessian.T, 1e-12)
        stepped = helpers.differences(lambda z: both(jnp.asarray(z))[0], z, 5e-4)
        helpers.assert_close_by_norm(hessian, stepped, 1e-8)


@float64
def test_one_auction_derivatives_in_closed_form() -> None:
    """d lambda/d theta_0 = (1 − theta_0)/(2 sqrt(theta_0) (1+theta_0)²), theta_0 = 1+(M−1)rho."""
    M, rho = 3.0, 0.2

    def impact(M: Any, rho: Any) -> Any:
        return fv.solve(Params(1.0, 1.0, M, rho), num_auctions=1).lambda_[0]

    found = jax.jit(jax.grad(impact, argnums=(0, 1)))(M, rho)
    t = 1 + (M - 1) * rho
    slope = (1 - t) / (2 * t**0.5 * (1 + t) ** 2)
    helpers.assert_close(found, [slope * rho, slope * (M - 1)], 1e-13)


@float64
def test_derivatives_survive_levels_out_of_range() -> None:
    """At rho = 1 with Sigma_N = 1e-380 and beta_N infinite, log lambda_1 keeps its slopes."""

    def impact(x: jax.Array) -> jax.Array:
        params = Params(x[0], x[1], x[2], 1.0)
        return fv.solve(params, num_auctions=200).log_lambda[0]

    slopes = jax.jit(jax.grad(impact))(jnp.asarray([2.5, 5.0, 80.0]))
    # the first of many auctions is as if alone: w = r/(1+r), d log lambda = d log(r/(1+r)²)/2
    helpers.assert_close(slopes[:2], [1 / 2.5, -1 / 5.0], 1e-12)
    assert -0.5 / 80 * 1.1 < float(slopes[2]) < -0.5 / 80 * 0.9


# Domain, units, precision


def test_outside_the_domain_is_flagged_with_nan_everywhere() -> None:
    """Traced: a correlation that M signals cannot have is NaN; a hair inside is solved."""
    inside = [(3.0, -0.4999), (1.0, -50.0), (2.0, 1.0)]
    outside = [(3.0, -0.5), (3.0, -0.51), (0.9, 0.5), (3.0, 1.0001), (1.0, np.nan), (np.inf, 0.1)]
    found, *_ = solved(inside + outside, 4)
    ok = np.asarray(found.info.converged)
    assert ok[: len(inside)].all() and not ok[len(inside) :].any()
    for name, field in found._asdict().items():
        if name != "info":
            assert np.isnan(np.asarray(field)[len(inside) :]).all(), name
    M, rho = np.asarray(inside + outside).T
    with pytest.raises(ConvergenceError, match=r"foster_viswanathan.*6 of 9 .*correlation=-0.5"):
        check(found, Params(SIGMA_V, SIGMA_U, M, rho))


def test_bad_values_are_refused_by_name() -> None:
    """The message says what the least correlation is."""
    for M, rho, text in (
        (3.0, -0.5, r"correlation: expected more than −1/\(M−1\) = -0.5"),
        (3.0, 1.5, "correlation: expected at most 1"),
        (0.5, 0.5, "num_insiders: expected at least 1"),
        (3.0, np.nan, "correlation: expected a finite number"),
    ):
        for act in (
            lambda p: fv.solve(p, num_auctions=2),
            lambda p: fv.continuous(p, 0.5),
        ):
            with pytest.raises(ValueError, match=text):
                act(Params(num_insiders=M, correlation=rho))
    with pytest.raises(ValueError, match="correlation: expected less than 1 for continuous"):
        fv.continuous(Params(correlation=1.0), 0.5)
    with pytest.raises(ValueError, match="times"):
        fv.continuous(Params(), 1.0)


@float64
def test_units() -> None:
    """lambda ∝ sigma_v/sigma_u, beta, alpha, psi, mu inversely, delta ∝ sigma_v sigma_u; far out.

    At sigma_v = 1e150, sigma_u = 1e-150 no level but those of money need be a number.
    """
    solve = jax.jit(
        lambda v, u: (
            s := fv.solve(p := Params(v, u, 3.0, 0.4), num_auctions=3),
            fv.residual(s, p),
            fv.insider_profit(s, p),
            fv.noise_loss(s, p),
        )
    )
    unit, *_ = solve(1.0, 1.0)
    powers = dict(lambda_=(1, -1), delta=(1, 1), Sigma=(2, 0), V=(2, 0))
    powers |= dict.fromkeys(("beta", "alpha", "psi", "mu"), (-1, 1))
    for v, u in ((3.0, 7.0), (1e-150, 1e150), (1e150, 1e-150), (1e200, 1e-160)):
        s, r, profit, loss = solve(v, u)
        assert bool(s.info.converged)
        assert max(float(jnp.max(x)) for x in r) < 1e-12, (v, u, r)
        assert abs(3 * float(profit / loss) - 1) < 1e-11
        for name, (i, j) in powers.items():
            log = f"log_{name.strip('_')}"
            shift = i * np.log(v) + j * np.log(u)
            np.testing.assert_allclose(
                getattr(s, log), getattr(unit, log) + shift, rtol=1e-14, atol=1e-13
            )


def test_single_precision() -> None:
    """Right to a few hundred roundings of the precision in use, float32 in its own job."""
    points = [(3.0, 0.4), (20.0, -0.05), (2.0, 1.0), (20.0, 0.9999)]
    M = np.asarray(points)[:, 0]
    s, residuals, profit, loss = solved(points, 200)
    assert s.log_Sigma.dtype == jnp.result_type(float)
    assert bool(s.info.converged.all())
    eps = float(jnp.finfo(s.log_Sigma.dtype).eps)
    assert max(float(jnp.max(r)) for r in residuals) < 2000 * eps
    helpers.assert_close(M * profit, loss, 2000 * eps)


# Markets


def test_simulated_markets() -> None:
    """Moments of signals, prices, residuals and profits, within four standard errors."""
    M, rho, N = 3, -0.3, 4
    params = Params(SIGMA_V, SIGMA_U, float(M), rho)
    found, _, profit, loss = solved([(M, rho)], N)
    s = at(found, 0)
    paths = fv.simulate(jax.random.key(3), params, s, num_paths=20_000)
    paths = jax.tree.map(np.asarray, paths)
    np.testing.assert_allclose(paths.value, np.sum(paths.signals, axis=1), rtol=1e-5)
    np.testing.assert_allclose(paths.value[:, None] - paths.prices, paths.errors, atol=1e-4)
    orders = np.asarray(paths.insider_orders)
    flow = orders.sum(axis=2) + np.asarray(paths.noise_orders)
    before = np.concatenate([np.full((20_000, 1), 100.0), paths.prices[:, :-1]], axis=1)
    np.testing.assert_allclose(paths.prices, before + s.lambda_ * flow, atol=2e-4)
    said = paths.signals[:, None, :] - before[:, :, None] / M
    np.testing.assert_allclose(orders, s.beta[:, None] / N * said, atol=2e-4)
    np.testing.assert_allclose(
        paths.insider_profit, np.sum(orders * paths.errors[:, :, None], axis=1), atol=1e-3
    )
    V_0 = SIGMA_V**2 / (M * (1 + (M - 1) * rho))
    own = np.asarray(paths.signals) - 100 / M
    helpers.assert_mean(own, 0.0, "signals")
    helpers.assert_mean(own**2, V_0, "variance of signals")
    errors = np.asarray(paths.errors)
    helpers.assert_mean(errors**2, s.Sigma, "error variance")
    for n in range(N):  # the price is the expectation: nothing is left to learn from flows
        helpers.assert_mean(errors[:, [n]] * flow[:, : n + 1], 0.0, "martingale")
    left = np.asarray(paths.signals)[:, None, :] - np.asarray(paths.prices)[:, :, None] / M
    helpers.assert_mean(left[:, :, 0] ** 2, s.V, "variance of what is left")
    helpers.assert_mean(own[:, 0] * own[:, 1], rho * V_0, "covariance of signals")
    helpers.assert_mean(left[:, :, 0] * left[:, :, 1], s.C, "covariance of what is left")
    helpers.assert_mean(paths.insider_profit, profit[0], "profit of each")
    helpers.assert_mean(paths.noise_profit, -loss[0], "noise traders' profit")


def test_simulation_refuses_what_it_cannot_play() -> None:
    """Half an insider, a traced number of them, a solution of another market."""
    params = Params(num_insiders=2.5)
    s = at(solved([(2.5, 0.0)], 4)[0], 0)
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="num_insiders: expected a whole number"):
        fv.simulate(key, params, s, num_paths=2)
    with pytest.raises(TypeError, match="num_insiders: expected a concrete whole number"):
        jax.jit(lambda M: fv.simulate(key, params._replace(num_insiders=M), s, num_paths=2).value)(
            2.0
        )
    with pytest.raises(ValueError, match="not solved for these params"):
        fv.simulate(key, params._replace(num_insiders=2.0), s, num_paths=2)


# Continuous trading


LAST = 1e-9 if jnp.zeros(()).dtype == jnp.float64 else 1e-3
TIMES = np.array([0.0, 1e-9, 1e-6, 0.3, 0.9, 1 - LAST])


@lru_cache
def compiled_limit() -> Any:
    def lane(M: jax.Array, rho: jax.Array) -> Any:
        return fv.continuous(Params(1.0, 1.0, M, rho), np.asarray(TIMES, M.dtype))

    return jax.jit(jax.vmap(lane))


def limits(points: Any) -> Any:
    """At TIMES, in batches of six."""
    M, rho = (jnp.asarray(x[np.arange(6) % x.size], float) for x in np.asarray(points).T)
    return jax.tree.map(lambda x: np.asarray(x)[: len(points)], compiled_limit()(M, rho))


@float64
def test_continuous_trading_in_incomplete_gamma_functions() -> None:
    """Sigma, lambda, beta against Γ(a, x) in 30 digits, up to the last 1e-9 of the day."""
    points = [(3.0, 0.0), (2.0, -0.99), (1.3, 0.9), (20.0, 0.97), (1.0, 0.5), (1.25, 1.0)]
    found = limits(points)
    assert bool(found.info.converged.all())
    with mp.workdps(30):
        for lane, (m, r) in enumerate(points):
            m, r = mp.mpf(m), mp.mpf(r)
            c = (m - 1) * (1 - r) / (1 + (m - 1) * r)
            p, q = 2 - 4 / m, 2 * c / m

            def tail(x: Any, p: Any = p, q: Any = q) -> Any:
                if q == 0:
                    return -(x ** (p + 1)) / (p + 1)
                return mp.gammainc(p + 1, q * x) / q ** (p + 1)

            for k, t in enumerate(TIMES):
                x = 1 / mp.mpf(float(found.Sigma[lane, k]))
                lam, beta = (mp.mpf(float(a[lane, k])) for a in (found.lambda_, found.beta))
                # the share of the integral left is the time left
                assert abs(tail(x) / tail(1) / (1 - mp.mpf(t)) - 1) < 1e-11, (m, r, t)
                y = tail(1) * x ** (-p - 1) * mp.exp(q * x)  # −d log Sigma/dt
                assert abs(lam**2 * x / y - 1) < 1e-10
                assert abs(lam * beta / y - 1) < 1e-10
    for name in ("lambda_", "beta", "Sigma"):
        logs = getattr(found, f"log_{name.strip('_')}")
        np.testing.assert_allclose(logs, np.log(getattr(found, name)), atol=1e-13, rtol=1e-14)
    kyle_lane, holden_lane = 4, 5
    helpers.assert_close(found.lambda_[kyle_lane], np.ones(TIMES.size), 1e-12)
    limit = holden.limit(holden.Params(1.0, 1.0, 1.25), TIMES)
    helpers.assert_close(found.lambda_[holden_lane], limit.lambda_, 1e-12)
    helpers.assert_close(found.beta[holden_lane], 1.25 * limit.beta, 1e-12)
    # M = 20: a millionth of the day reveals 77 %, a thousandth of that 2 %, not more and not NaN
    with mp.workdps(30):
        p, q = mp.mpf("1.8"), 2 * mp.mpf(19) * (1 - mp.mpf(0.97)) / (1 + 19 * mp.mpf(0.97)) / 20
        whole = mp.gammainc(p + 1, q) / q ** (p + 1)
        for k in (1, 2):

            def missing(x: Any, k: int = k) -> Any:
                out = mp.quad(lambda z: z**p * mp.exp(-q * z), [1, x])
                return out / whole - mp.mpf(float(TIMES[k]))

            x = mp.findroot(missing, 1 / mp.mpf(float(found.Sigma[3, k])))
            assert abs(float(found.Sigma[3, k]) * x - 1) < 1e-13
    # nearly all at once: at t = 0 nothing is revealed yet
    assert limits([(20.0, 1 - 1e-14)]).Sigma[0, 0] == 1


@float64
def test_many_auctions_tend_to_continuous_trading() -> None:
    """lambda_1 = lambda(0) + (a + b log N)/N + o(1/N): 4 f(4N) − 4 f(2N) + f(N) frees it of both.

    The logarithm is the last auctions' doing, in which discreteness never fades.
    """
    points = [(1.0, 1.0), (3.0, 0.0), (2.0, -0.5), (1.5, 0.0), (20.0, -0.05)]
    M, rho = np.asarray(points).T
    limit = limits(points).lambda_[:, 0]

    def first(N: int) -> Any:
        lane = lambda M, rho: fv.solve(Params(1.0, 1.0, M, rho), num_auctions=N).lambda_[0]  # noqa: E731
        return np.asarray(jax.jit(jax.vmap(lane))(M, rho))

    f = [first(50), first(100), solved(points, 200)[0].lambda_[:, 0] * SIGMA_U / SIGMA_V]
    gaps = [np.abs(x / limit - 1) for x in f]
    for ratio in (gaps[0] / gaps[1], gaps[1] / gaps[2]):
        assert (1.5 < ratio).all() and (ratio < 2.5).all(), ratio
    freed = np.abs((4 * f[2] - 4 * f[1] + f[0]) / limit - 1)
    assert (freed < 0.1 * gaps[2]).all(), (freed, gaps[2])
    bends = [f[0] - limit, f[1] - limit, f[2] - limit]
    in_N = [N * gap for N, gap in zip((50, 100, 200), bends, strict=True)]
    rises = in_N[1] - in_N[0], in_N[2] - in_N[1]  # b log 2 each
    helpers.assert_close(rises[1], rises[0], 0.1, "the logarithm's coefficient")


@float64
def test_derivatives_of_continuous_trading() -> None:
    """In (sigma_v, sigma_u, M, rho, t): forward, reverse, differences."""

    def outputs(x: jax.Array) -> jax.Array:
        found = fv.continuous(Params(*x[:4]), x[4])
        return jnp.log(jnp.stack([found.lambda_, found.beta, found.Sigma]))

    jitted = jax.jit(helpers.jacobians(outputs))
    for x in ([2.5, 5.0, 3.0, 0.2, 0.6], [1.0, 1.0, 1.2, 0.5, 0.1]):
        helpers.assert_derivatives(jitted, x, modes=1e-12, steps=1e-8, relative_step=5e-4)


def test_no_continuous_equilibrium_is_flagged() -> None:
    """Perfect correlation of two insiders or more, where it cannot be refused by name."""
    found = limits([(2.0, 1.0), (2.0, 0.9), (1.2, 1.0)])
    np.testing.assert_array_equal(found.info.converged, [False, True, True])
    assert np.isnan(found.lambda_[0]).all() and np.isfinite(found.lambda_[1:]).all()
