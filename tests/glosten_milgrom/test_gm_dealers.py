"""One dealer against many: Gaussian value, and the binary value with its corner."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from helpers import assert_close, assert_derivatives, jacobians
from scipy.special import expit
from scipy.stats import norm

from diffeq.glosten_milgrom import binary_dealers, dealers, elastic, gaussian_elastic
from diffeq.glosten_milgrom.binary_dealers import BEYOND, CORNER, INTERIOR, ZERO_PROFIT
from diffeq.glosten_milgrom.dealers import Params

X64 = jax.config.jax_enable_x64
FLOAT = np.float64 if X64 else np.float32
EPS = float(np.finfo(FLOAT).eps)
NOISES = ("normal", "logistic")
SURVIVAL = {"normal": norm.sf, "logistic": lambda z: expit(-z)}
N = 64


def markets(params, num_dealers, noise):
    """Not jitted here: two dealers and five then share the solver's own compiled program."""
    return jax.vmap(partial(dealers.solve, num_dealers=num_dealers, noise=noise))(params)


def binary_markets(params, num_dealers, noise):
    solve = partial(binary_dealers.solve, num_dealers=num_dealers, noise=noise)
    return jax.vmap(solve)(params)


def prices(solution):
    return jnp.stack([solution.bid, solution.ask, solution.profit])


def one_dealer(leaves):
    return prices(dealers.solve(Params(*leaves), num_dealers=1))


slopes = jax.jit(jacobians(one_dealer))
"""Value and slopes, compiled once."""


def lanes(of, **values):
    default = of()._asdict() | values
    return of(*(np.resize(np.asarray(x, FLOAT), N) for x in default.values()))


def random_lanes(seed):
    rng = np.random.default_rng(seed)
    alpha = np.where(
        rng.uniform(size=N) < 0.3, 10 ** rng.uniform(-6, -1, N), rng.uniform(0, 0.9, N)
    )
    return lanes(Params, alpha=alpha, s=10 ** rng.uniform(-1.2, 1.5, N))


def test_reference():
    """N(0, 1), alpha .3, s 1: .2993043721 in competition, .9578301629 for one dealer (spec)."""
    p = Params(m=0.0, sd=1.0, alpha=0.3, s=1.0)
    lane = lanes(Params, **p._asdict())
    many, few, one = (jax.tree.map(lambda x: x[0], markets(lane, n, "normal")) for n in (5, 2, 1))
    assert_close(few.ask, 0.2993043721, 2e-10 if X64 else 1e-6)
    assert_close(one.ask, 0.9578301629, 1e-10 if X64 else 1e-6)
    assert float(many.ask) == float(few.ask) and float(one.bid) == -float(one.ask)
    assert abs(float(few.profit)) < 4 * EPS < float(one.profit)
    for solution, n in ((few, 2), (one, 1)):
        assert bool(solution.info.converged) and float(solution.info.residual) < 20 * EPS
        assert float(dealers.residual(solution.ask, p, num_dealers=n)) < 20 * EPS
        assert float(dealers.residual(solution.ask + 0.1, p, num_dealers=n)) > 1e-3


def test_the_residual_far_from_the_mean():
    """Both sides of the condition underflow there: that was once no residual."""
    for n in (1, 2):
        for ask in (20.0, 60.0, 1e4):
            assert float(dealers.residual(ask, Params(alpha=0.3, s=0.9), num_dealers=n)) > 0.1
            assert float(dealers.residual(ask, Params(alpha=0.3, s=1.5), num_dealers=n)) > 0.1
    with pytest.raises(TypeError, match="ask: expected a number, got None"):
        dealers.residual(None, Params(), num_dealers=2)


@pytest.mark.parametrize("noise", NOISES)
def test_best_against_a_dense_search(noise):
    """The profit, by scipy, is nowhere larger on 20 000 points; and the monopolist quotes wider."""
    params = random_lanes(1)
    one, many = (jax.tree.map(np.asarray, markets(params, n, noise)) for n in (1, 2))
    assert np.array_equal(one.closed, many.closed) or noise == "logistic"
    assert one.closed.any() == (noise == "normal")
    a = np.geomspace(1e-4, 60, 20_000)
    for i in range(N):
        alpha, s = float(params.alpha[i]), float(params.s[i])

        def profit(a, alpha=alpha, s=s):
            return (1 - alpha) * SURVIVAL[noise](a / s) * a - alpha * (norm.pdf(a) - a * norm.sf(a))

        best = profit(a[a < 8]).max()
        if one.closed[i]:
            assert best < 1e-9 and np.isnan(one.ask[i]) and np.isnan(one.profit[i])
            continue
        assert 2 * best <= float(one.profit[i]) * (1 + 50 * EPS) + 4 * EPS, i
        assert abs(2 * profit(float(one.ask[i])) - float(one.profit[i])) < 8 * EPS
        assert one.ask[i] > many.ask[i], i
    assert one.info.converged[~one.closed].all()


@pytest.mark.parametrize("noise", NOISES)
def test_no_informed_traders(noise):
    """alpha = 0: competition quotes m; the monopolist m + s x_M: .7518, 1.2785 (spec)."""
    p = lanes(Params, m=3, alpha=0, s=2)
    one, many = markets(p, 1, noise), markets(p, 2, noise)
    assert np.all(np.asarray(many.ask) == 3) and np.all(np.asarray(many.profit) == 0)
    x_M = (float(one.ask[0]) - 3) / 2
    assert abs(x_M - {"normal": 0.7518, "logistic": 1.2785}[noise]) < 5e-5
    with mp.workdps(30):
        S = (
            (lambda x: mp.erfc(x / mp.sqrt(2)) / 2)
            if noise == "normal"
            else lambda x: 1 / (1 + mp.exp(x))
        )
        exact = mp.findroot(lambda x: S(x) + x * mp.diff(S, x), 1)
    assert_close(x_M, float(exact), 6 * EPS)
    # also where the low ask would vanish far out: s just below sd
    s = np.append(np.geomspace(0.01, 100, N - 4), 1 - np.array([0.01, 1e-3, 1e-5, EPS]))
    many = markets(lanes(Params, m=3, alpha=0, s=s), 2, noise)
    assert np.all(np.asarray(many.info.converged)) and np.all(np.asarray(many.ask) == 3)


@pytest.mark.float64
def test_monopoly_at_the_breakdown():
    """Where no profit is left the two markets meet: ask and alpha of the breakdown; then none."""
    edge = gaussian_elastic.breakdown(Params(s=0.5))
    alpha = float(edge.alpha) * np.resize([1 - 1e-9, 1 + 1e-9], N)
    one = markets(lanes(Params, alpha=alpha, s=0.5), 1, "normal")
    assert abs(float(one.ask[0] - edge.ask)) < 1e-7 and 0 < float(one.profit[0]) < 1e-8
    assert bool(one.closed[1]) and np.isnan(one.ask[1])
    # s next to sd: no breakdown, though the profit is below the floating range
    one = markets(lanes(Params, alpha=0.9994, s=1 + 1e-9), 1, "normal")
    assert bool(one.info.converged[0]) and float(one.profit[0]) == 0 < float(one.ask[0])


@pytest.mark.float64
def test_gradients():
    """Forward = reverse, differences, the envelope d profit/d alpha, all of one dealer."""

    value, forward = assert_derivatives(
        slopes, [1.0, 2.0, 0.3, 1.7], modes=1e-12, steps=1e-9, relative_step=1e-4
    )
    a = (value[1] - 1) / 2
    S, J = norm.sf(a * 2 / 1.7), norm.pdf(a) - a * norm.sf(a)
    assert_close(forward[2, 2], 2 * 2 * (-S * a - J), 1e-11)


def test_units_and_failure():
    """Scale and shift; bad lanes NaN in value and gradient, alone; bad concrete values raise."""
    alpha = np.linspace(0.05, 0.5, N)
    near = markets(lanes(Params, alpha=alpha), 1, "normal")
    far = markets(lanes(Params, m=50, sd=1024, s=1024, alpha=alpha), 1, "normal")
    assert_close(far.spread, 1024 * near.spread, 4 * EPS)
    p = lanes(Params, alpha=alpha)
    bad = (("sd", 0), ("s", -1), ("alpha", 1.2), ("m", np.inf), ("s", np.nan))
    for i, (name, value) in enumerate(bad):
        getattr(p, name)[i] = value
    for n in (1, 2):
        good, found = (markets(q, n, "normal") for q in (lanes(Params, alpha=alpha), p))
        assert not np.asarray(found.info.converged[: len(bad)]).any()
        for name in ("bid", "ask", "profit", "acceptance"):
            assert np.isnan(getattr(found, name)[: len(bad)]).all()
            got, want = (np.asarray(getattr(f, name))[len(bad) :] for f in (found, good))
            np.testing.assert_array_equal(got, want)
    for array in slopes(np.array([0, 1, 0.3, -1], FLOAT)):
        assert np.isnan(array).all()
    assert bool(markets(lanes(Params, alpha=1), 1, "normal").closed.all())
    with pytest.raises(ValueError, match="num_dealers: expected at least 1"):
        dealers.solve(Params(), num_dealers=0)
    with pytest.raises(ValueError, match="Params.sd: expected a finite positive number"):
        dealers.solve(Params(sd=-1.0), num_dealers=2)
    with pytest.raises(ValueError, match="noise: expected one of"):
        binary_dealers.solve(elastic.Params(), num_dealers=1, noise="none")


# Binary value


@pytest.mark.parametrize("noise", NOISES)
def test_binary_best_of_three_points(noise):
    """Against a dense search in A, from m to far beyond V_H; all three kinds occur."""
    rng = np.random.default_rng(2)
    alpha = np.where(
        rng.uniform(size=N) < 0.5, 10 ** rng.uniform(-4, -1, N), rng.uniform(0, 0.8, N)
    )
    p = lanes(
        elastic.Params, V_L=-1, V_H=1, mu_0=rng.uniform(0.05, 0.95, N), alpha=alpha,
        s=10 ** rng.uniform(-1.5, 1, N),
    )  # fmt: skip
    one, many = (jax.tree.map(np.asarray, binary_markets(p, n, noise)) for n in (1, 2))
    assert one.info.converged.all() and set(one.ask_at) == {INTERIOR, CORNER, BEYOND}
    assert np.all(many.ask_at == ZERO_PROFIT) and np.all(
        np.abs(many.profit[many.info.converged]) < 99 * EPS
    )
    for i in range(N):
        mu, alpha, s = float(p.mu_0[i]), float(p.alpha[i]), float(p.s[i])
        m, total = 2 * mu - 1, 0.0
        for rare, length in ((mu, 1 - m), (1 - mu, 1 + m)):
            points = [np.linspace(0, length, 8001), length + np.linspace(0, 4 * s, 4001)]
            b = np.concatenate([*points, np.geomspace(1e-3, 4, 2000) * s])
            gain = (1 - alpha) * SURVIVAL[noise](b / s) * b
            total += (gain - alpha * rare * np.maximum(length - b, 0)).max()
        assert total <= float(one.profit[i]) * (1 + 1e-5) + 20 * EPS, i
        assert abs(total - float(one.profit[i])) < 1e-5 * max(total, 1), i
        if many.info.converged[i]:
            assert one.ask[i] > many.ask[i] and one.bid[i] < many.bid[i], i
        if one.ask_at[i] == CORNER:
            assert one.ask[i] == 1
        if one.bid_at[i] == CORNER:
            assert one.bid[i] == -1


def test_binary_beyond_and_corner():
    """Wide private values: m + s x_M ≥ V_H. The example of the spec's section 1: the corner."""
    p = lanes(elastic.Params, s=np.array([1000.0, 10.0]))
    for noise, x_M in (("normal", 0.7518), ("logistic", 1.2785)):
        one = binary_markets(p, 1, noise)
        assert int(one.ask_at[0]) == BEYOND
        assert abs(float(one.ask[0]) - 100 - 1000 * x_M) < 0.05
    one = binary_markets(p, 1, "normal")  # k = 1 > .7518
    assert int(one.ask_at[1]) == int(one.bid_at[1]) == CORNER
    assert float(one.ask[1]) == 110 and float(one.bid[1]) == 90
    bad = binary_markets(p._replace(alpha=np.resize(np.array([1, 0.3], FLOAT), N)), 1, "normal")
    assert np.isnan(bad.ask[0]) and not bool(bad.info.converged[0]) and bool(bad.info.converged[1])


@pytest.mark.parametrize("noise", NOISES)
def test_binary_corner_where_the_interior_maximum_vanishes(noise):
    """alpha mu/(1−alpha) = max of z f(z) − S(z), a double root: once NaN, though not the best."""
    with mp.workdps(30):
        z = mp.sqrt(2) if noise == "normal" else mp.findroot(lambda z: z * mp.tanh(z / 2) - 2, 2.4)
        S = mp.ncdf(-z) if noise == "normal" else 1 / (1 + mp.exp(z))
        f = mp.npdf(z) if noise == "normal" else S * (1 - S)
        ratio = z * f - S
        alpha = FLOAT(2 * ratio / (1 + 2 * ratio))
    alphas = [alpha]
    for end in (FLOAT(0), FLOAT(1)):
        for _ in range(31):
            alphas.append(np.nextafter(alphas[-1], end))
        alphas.append(alpha)
    p = lanes(elastic.Params, V_L=-1, V_H=1, alpha=np.array(alphas[:N]), s=0.3)

    def of(p):
        return prices(binary_dealers.solve(p, num_dealers=1, noise=noise))

    one, slopes = binary_markets(p, 1, noise), jax.jit(jax.vmap(jax.jacrev(of)))(p)
    assert np.all(one.info.converged) and np.all(np.asarray(one.ask_at) == CORNER)
    assert np.isfinite(np.stack(slopes)).all()


@pytest.mark.float64
def test_binary_gradients():
    """Interior: forward = reverse and differences; at the corner the ask moves with V_H alone."""

    def of(leaves):
        return prices(binary_dealers.solve(elastic.Params(*leaves), num_dealers=1))

    compiled = jax.jit(jacobians(of))
    x = [90, 110, 0.4, 0.02, 3.0]
    assert_derivatives(compiled, x, modes=1e-12, steps=1e-8, relative_step=1e-4)
    corner = compiled(np.array([90, 110, 0.5, 0.3, 10.0]))[1]
    assert_close(corner[:2], [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], 0)
