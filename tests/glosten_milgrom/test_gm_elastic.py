"""Price-elastic uninformed demand: the lowest zero-profit quotes, their fold, the breakdown."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from helpers import (
    apart,
    assert_close,
    assert_close_by_norm,
    assert_derivatives,
    assert_same_bits,
    jacobians,
)
from scipy.special import expit, log_ndtr

from diffeq.check import ConvergenceError, check
from diffeq.glosten_milgrom import binary_value, elastic, gaussian_elastic, private_values
from diffeq.glosten_milgrom import folds as fold_
from diffeq.glosten_milgrom.elastic import Params

X64 = jax.config.jax_enable_x64
FLOAT = np.float64 if X64 else np.float32
EPS = float(np.finfo(FLOAT).eps)
NOISES = ("normal", "logistic")
LOG_S = {"normal": lambda z: log_ndtr(-z), "logistic": lambda z: -np.logaddexp(0, z)}
N = 256
"""Lanes of every batch here: one shape, one compilation per noise."""


@partial(jax.jit, static_argnums=2)
def _markets(log_odds, params, noise):
    return jax.vmap(lambda at, p: elastic.quotes(at, p, noise=noise))(log_odds, params)


def markets(log_odds, params, noise="normal"):
    """Always called alike: a default left out and the same noise given would be two programs."""
    return _markets(log_odds, params, noise)


def lanes(**values):
    """N copies of the default parameters but for these."""
    default = Params()._asdict() | values
    return Params(*(np.resize(np.asarray(x, FLOAT), N) for x in default.values()))


def one(params, noise):
    """The opening market by way of the batch, whose program is there already."""
    at = np.full(N, binary_value.odds.log_odds(params.mu_0), FLOAT)
    return jax.tree.map(lambda x: x[0], markets(at, lanes(**params._asdict()), noise))


def numbers(tree):
    return jax.tree.map(np.asarray, tree)


def outputs(leaves):
    found = elastic.solve(Params(*leaves))
    return jnp.stack([found.bid, found.ask, found.acceptance_ask, found.step_up])


@jax.jit
def everything(leaves):
    """Value and slopes of these four, and the slope of the bid alone; compiled once."""
    bid = jax.grad(lambda leaves: elastic.solve(Params(*leaves)).bid)
    return *jacobians(outputs)(leaves), bid(leaves)


def slopes(leaves):
    return everything(leaves)[:3]


def slopes_of(name, **values):
    """Of "bid" or "ask", in every parameter and in both modes, in which they must agree."""
    leaves = np.array([float(x) for x in Params(**values)], FLOAT)
    row = ("bid", "ask").index(name)
    forward, reverse = (np.asarray(x)[row] for x in slopes(leaves)[1:])
    np.testing.assert_allclose(forward, reverse, rtol=40 * EPS, atol=40 * EPS)
    return Params(*forward)


# The law of the private values


def exact(noise, z):
    """S, log S, hazard, density in 60 digits."""
    z = mp.mpf(float(z))
    if noise == "normal":
        S, other, f = mp.erfc(z / mp.sqrt(2)) / 2, mp.erfc(-z / mp.sqrt(2)) / 2, mp.npdf(z)
    else:
        S, other = 1 / (1 + mp.exp(z)), 1 / (1 + mp.exp(-z))
        f = S * other
    return S, mp.log(S) if z > 0 else mp.log1p(-other), f / S, f


@pytest.mark.parametrize("noise", NOISES)
def test_private_values_to_the_far_tails(noise):
    """Against 60 digits, also beyond the underflow of S and around the switch at z = 6."""
    small = [-5, -1, -0.1, 0, 0.1, 1, 3, 5, 5.99, 6, 6.01]
    z = np.array([*small, 8, 12, 20, 50, 200, -8, 2000, 4], FLOAT)
    names = ("survival", "log_survival", "hazard", "density")
    with mp.workdps(60):
        rows = [exact(noise, x) for x in z]
    for i, name in enumerate(names):
        got = np.asarray(getattr(private_values, name)(z, noise=noise))
        assert got.dtype == FLOAT
        want = [row[i] for row in rows]
        for x, g, w in zip(z, got, want, strict=True):
            if abs(w) > 1e3 * np.finfo(FLOAT).tiny:
                # S and f themselves carry z²/2 roundings of the exponent
                slack = 10 + (float(x) ** 2 if name in ("survival", "density") else 30)
                assert abs(float(g) - float(w)) <= slack * EPS * abs(float(w)), (name, x)
        slope = np.asarray(
            jax.vmap(jax.grad(partial(getattr(private_values, name), noise=noise)))(z)
        )
        assert np.isfinite(slope).all()


def test_private_values_derivatives():
    """(log S)' = −h, S' = −f, h' = h(h − z), at 1e4 standard deviations too."""
    z = np.array([-3.0, 0.5, 4.0, 7.0, 1e2, 1e4], FLOAT)
    h = private_values.hazard(z)
    assert_close(jax.vmap(jax.grad(private_values.log_survival))(z), -h, 10 * EPS)
    assert_close(
        jax.vmap(jax.grad(private_values.survival))(z), -private_values.density(z), 60 * EPS
    )
    slope = jax.vmap(jax.grad(private_values.hazard))(z)
    assert_close(slope[-2:], 1 - 1 / z[-2:] ** 2, 1e-6)
    assert_close(slope[:3], h[:3] * (h[:3] - z[:3]), 100 * EPS)
    with pytest.raises(ValueError, match="noise: expected one of 'normal', 'logistic'"):
        private_values.survival(0.0, noise="cauchy")


# Reference numbers


def test_reference_quotes():
    """The spec's: 103.7790467654 / 96.2209532346; logistic 104.1308934807."""
    tolerance = 6e-13 if X64 else 4e-7
    found = elastic.solve(Params(alpha=0.3, s=10.0))
    assert_close(found.ask, 103.7790467654, tolerance)
    assert_close(found.bid, 96.2209532346, tolerance)
    assert_close(found.spread, float(found.ask) - float(found.bid), 1e-5 if not X64 else 1e-14)
    assert bool(found.info.converged) and float(found.info.residual) < 10 * EPS
    assert_close(one(Params(s=5.0), "logistic").ask, 104.1308934807, tolerance)


def test_the_lowest_of_three():
    """Asks 100.3461, 103.9747, 109.99981 (spec): the first, and three are counted."""
    found = elastic.solve(Params(alpha=0.03, s=2.0))
    assert abs(float(found.ask) - 100.3461) < 5e-5
    assert int(found.num_asks) == 3 and int(found.num_bids) == 3
    one = elastic.solve(Params(alpha=0.3, s=10.0))
    assert int(one.num_asks) == 1 and int(one.num_bids) == 1


def test_fold_reference():
    """alpha .0749071365, ask 101.7105 (spec); there the quote jumps to the side of V_H."""
    found = fold_.fold(Params(s=2.0))
    assert_close(found.alpha, 0.0749071365, 1e-9 if X64 else 1e-6)
    assert abs(float(found.quote) - 101.7105) < 5e-5
    assert bool(found.info.converged) and float(found.info.residual) < 20 * EPS
    below, above = (
        elastic.solve(Params(alpha=float(found.alpha) * c, s=2.0)) for c in (0.999, 1.001)
    )
    assert float(below.ask) < float(found.quote) < 102 and int(below.num_asks) == 3
    assert float(above.ask) > 109.9 and int(above.num_asks) == 1
    bid = fold_.fold(Params(mu_0=0.5, s=2.0), side="bid")
    assert_close(bid.quote, 200 - found.quote, 10 * EPS)
    none = fold_.fold(Params(s=10.0))
    assert not bool(none.info.converged) and np.isnan(none.alpha)
    with pytest.raises(ValueError, match="side: expected one of 'ask', 'bid'"):
        fold_.fold(Params(), side="both")


# Oracles


def random_markets(noise, seed):
    """Log-odds and parameters: one root, three roots, next to a fold, closed, all in one batch."""
    rng = np.random.default_rng(seed)
    at = rng.normal(size=N) * np.where(rng.uniform(size=N) < 0.5, 2, 10)
    at = at.astype(FLOAT)
    alpha = np.where(rng.uniform(size=N) < 0.5, rng.uniform(0, 1, N), 10 ** rng.uniform(-8, -1, N))
    params = lanes(V_L=-1, V_H=1, mu_0=expit(at), alpha=alpha, s=10 ** rng.uniform(-3, 4, N))
    edge = jax.jit(jax.vmap(lambda p: fold_.fold(p, noise=noise).alpha))(params)
    off = rng.choice([-1, 1], N) * 10 ** rng.uniform(-6 if X64 else -4, -1, N)
    near = np.isfinite(edge) & (rng.uniform(size=N) < 0.5) & (np.abs(at) < 5)
    alpha = np.where(near, np.asarray(edge) * (1 + off), alpha)
    params = params._replace(alpha=np.clip(alpha, 0, 1).astype(FLOAT))
    return at, params, near


@pytest.mark.parametrize("noise", NOISES)
def test_lowest_root_against_a_dense_search(noise):
    """No point below the ask makes zero profit, the ask does; on a closed side none does.

    In u = logit of (A − m)/(V_H − m), profit > 0 iff log S + u > logit alpha + log mu.
    """
    at, params, near = random_markets(noise, 3)
    found = numbers(markets(at, params, noise))
    kinds = {"one": 0, "three": 0, "closed": 0, "near": 0}
    for i in range(N):
        alpha, s = float(params.alpha[i]), float(params.s[i])
        log_mu, rest = -np.logaddexp(0, -float(at[i])), expit(-float(at[i]))
        k, target = 2 * rest / s, np.log(alpha) - np.log1p(-alpha) + log_mu

        def gain(u, k=k, target=target):
            return LOG_S[noise](k * expit(u)) + u - target

        last = -np.log(EPS)
        if found.ask_closed[i]:
            u = np.linspace(target, last - 0.2, 4000)
            assert np.isnan(found.ask[i]) and u.size and gain(u).max(initial=-1) < 1e-6
            kinds["closed"] += 1
            continue
        w = -np.log(float(found.acceptance_ask[i]))
        tolerance = 60 * EPS * max(1, w, abs(target))
        below = np.concatenate(
            [np.linspace(target, target + w, 4001)[:-1], target + w - np.geomspace(1e-3, 3, 300)]
        )
        assert abs(gain(target + w)) < tolerance, i
        assert gain(below).max() < tolerance, i
        kinds["three" if found.num_asks[i] == 3 else "one"] += 1
        kinds["near"] += near[i]
    assert min(kinds.values()) >= 15, kinds


def test_monotone_iteration_never_overshoots():
    """A ← E[V | buy at A] from m increases, to the ask and never past it: a certificate."""
    for alpha, s, mu in (
        (0.3, 10, 0.5),
        (0.03, 2, 0.5),
        (0.074, 2, 0.5),
        (0.2, 3, 0.8),
        (0.01, 1, 0.3),
    ):
        found = elastic.solve(Params(mu_0=mu, alpha=alpha, s=s))
        with mp.workdps(40):
            m, A, before = mp.mpf(90) + 20 * mp.mpf(mu), mp.mpf(90) + 20 * mp.mpf(mu), mp.mpf(0)
            for _ in range(4000):
                S = mp.erfc((A - m) / s / mp.sqrt(2)) / 2
                informed, other = mp.mpf(alpha) * mu, (1 - mp.mpf(alpha)) * S
                before, A = A, (informed * 110 + other * m) / (informed + other)
                assert A >= before
                if A - before < mp.mpf(10) ** -20:
                    break
            assert A - before < mp.mpf(10) ** -20, "not settled"
        assert_close(found.ask, float(A), 4 * EPS)


@pytest.mark.parametrize("noise", NOISES)
def test_residuals_and_the_martingale(noise):
    """Zero profit per side from prices, and E[mu'] = mu over buy, sale and no trade: ≈ 0."""
    for p in (Params(), Params(mu_0=0.9, alpha=0.1, s=3.0), Params(V_L=1.0, V_H=9.0, mu_0=1e-4)):
        found = one(p, noise)
        at = binary_value.odds.log_odds(p.mu_0)
        assert max(map(float, elastic.residual(found, at, p, noise=noise))) < 20 * EPS
        off = found._replace(ask=found.ask + 0.1, bid=found.bid - 0.1)
        assert min(map(float, elastic.residual(off, at, p, noise=noise)[:2])) > 1e-7
    with pytest.raises(ValueError, match="log_odds: expected a scalar"):
        elastic.residual(found, np.zeros(2), p)


# Limits


@pytest.mark.parametrize("noise", NOISES)
def test_inelastic_demand_is_the_base_model(noise):
    """To 1e-10 at s = 1e12; the error falls as 1/s."""
    at = np.resize(np.array([-3.0, 0.0, 1.0, 6.0], FLOAT), N)
    base = binary_value.quotes(at, binary_value.Params(alpha=0.4))
    spread = binary_value.spread(at, binary_value.Params(alpha=0.4))
    found = markets(at, lanes(alpha=0.4, s=1e12), noise)
    assert_close(found.ask, base.ask, 1e-12 if X64 else 4 * EPS)
    assert_close(found.bid, base.bid, 1e-12 if X64 else 4 * EPS)
    errors = [markets(at, lanes(alpha=0.4, s=s), noise).spread / spread - 1 for s in (1e3, 1e4)]
    ratio = np.asarray(errors[0] / errors[1])
    assert np.all(np.abs(ratio - 10) < (0.3 if X64 else 3)), ratio


def test_more_elastic_is_wider():
    s = np.resize(np.geomspace(6, 1e5, 32), N).astype(FLOAT)
    for noise in NOISES:
        spread = np.asarray(markets(np.zeros(N, FLOAT), lanes(s=s, alpha=0.1), noise).spread)[:32]
        assert np.all(np.diff(spread) < 0)
        alpha = np.resize(np.linspace(0, 0.6, 32), N)
        spread = np.asarray(markets(np.zeros(N, FLOAT), lanes(alpha=alpha), noise).spread)[:32]
        assert np.all(np.diff(spread) > 0) and spread[0] == 0


def test_certainty():
    """±inf and beyond ±700: both quotes the certain value, open; a belief never NaN."""
    far = 700.0 if X64 else 80.0
    at = np.resize(np.array([-np.inf, np.inf, -far, far], FLOAT), N)
    found = numbers(markets(at, lanes(alpha=0.9)))
    assert found.info.converged.all() and not found.ask_closed.any()
    value = np.resize([90, 110], N)
    assert_close(found.ask, value, EPS)
    assert_close(found.bid, value, EPS)
    assert np.all(found.spread[:2] == 0) and np.all(
        (0 < found.spread[2:4]) & (found.spread[2:4] < 1e-30)
    )


def test_derivative_at_a_certain_prior():
    """One-sided: d ask/d mu_0 at 0 is (V_H−V_L)(1 + alpha/((1−alpha)/2)) less S' = 0 there."""
    # at mu = 0 the ask is m, so S = 1/2: dA = dm + (V_H − m) alpha/((1−alpha)/2) d mu
    at_0, at_1 = (slopes_of("ask", mu_0=mu, alpha=0.3).mu_0 for mu in (0.0, 1.0))
    assert_close(at_0, 20 + 20 * 0.3 / 0.35, 20 * EPS)
    # at mu = 1, D = (1−mu) 20: dA = (x − 1) D'... with x = alpha/(alpha + (1−alpha)/2)
    assert_close(at_1, 20 * (1 - 0.3 / 0.65), 20 * EPS)


def test_closed_sides():
    """Elastic demand and much information: that side closed, the other open and differentiable."""
    p = Params(mu_0=0.05, alpha=0.3, s=0.6)
    found = elastic.solve(p)
    assert bool(found.ask_closed) and not bool(found.bid_closed)
    assert np.isnan(found.ask) and np.isnan(found.spread) and not bool(found.info.converged)
    assert 90 < float(found.bid) < float(found.value)
    with pytest.raises(ConvergenceError, match="glosten_milgrom.elastic"):
        check(found, p)
    # alone, as 0·NaN from the other side's fields is NaN in reverse mode
    _, forward, reverse, bid = everything(np.array(p, FLOAT))
    assert np.isfinite(bid).all()
    assert np.isnan(forward[1:]).all() and np.isnan(reverse[1:]).all()
    assert_close_by_norm(forward[0], bid, 100 * EPS)
    everyone = elastic.solve(p._replace(alpha=1.0))
    assert bool(everyone.ask_closed) and bool(everyone.bid_closed)


@pytest.mark.parametrize("noise", NOISES)
def test_translation_and_units(noise):
    """Values 1e6 ± 1, and units of 1e-20: the same market."""
    at = np.resize(np.array([-1.0, 0.0, 2.0], FLOAT), N)
    near = markets(at, lanes(V_L=-1, V_H=1, s=0.7, alpha=0.2), noise)
    far = markets(at, lanes(V_L=1e6 - 1, V_H=1e6 + 1, s=0.7, alpha=0.2), noise)
    small = markets(at, lanes(V_L=-1e-20, V_H=1e-20, s=0.7e-20, alpha=0.2), noise)
    assert_same_bits(near.spread, far.spread)
    assert_close(far.ask, 1e6 + np.asarray(near.ask, float), 4 * EPS)
    assert_close(small.ask, np.asarray(near.ask) * 1e-20, 20 * EPS)


# Learning


def test_update():
    """log(1 + alpha/((1−alpha) S)) up or down, nothing without a trade; closed sides are NaN."""
    p = Params(alpha=0.3, s=5.0)
    at = markets(np.full(N, 0.4, FLOAT), lanes(alpha=0.3, s=5.0))
    S, T = float(at.acceptance_ask[0]), float(at.acceptance_bid[0])
    after = jax.jit(jax.vmap(lambda at, order, s: elastic.update(at, order, p._replace(s=s))))
    state = np.array([0.4, 0.4, 0.4, np.inf, 0.0, 0.0], FLOAT)
    orders, s = np.array([1, -1, 0, -1, 2, 1]), np.array([5, 5, 5, 5, 5, 0.1], FLOAT)
    up, down, none, certain, unknown, closed = (float(x) for x in after(state, orders, s))
    assert none == float(FLOAT(0.4)) and certain == np.inf
    assert np.isnan(unknown) and np.isnan(closed)
    assert_close(up - 0.4, np.log(1 + 0.3 / (0.7 * S)), 20 * EPS)
    assert_close(0.4 - down, np.log(1 + 0.3 / (0.7 * T)), 20 * EPS)
    assert_close(90 + 20 * expit(up), at.ask[0], 10 * EPS)  # E[V | buy] = ask
    with pytest.raises(ValueError, match=r"order: expected one of the codes -1, 0, \+1"):
        elastic.update(0.0, 2, p)
    # at mu = 0 the belief's slope grows by the likelihood ratio: S = 1/2 there
    odds = binary_value.odds
    belief = jax.grad(lambda mu: odds.belief(elastic.update(odds.log_odds(mu), 1, p)))
    assert_close(belief(FLOAT(0)), 1 + 0.3 / 0.35, 20 * EPS)


# Derivatives


@pytest.mark.float64
def test_gradients():
    """Forward = reverse, differences, d ask/d alpha in closed form; on the low branch of three."""
    value, forward = assert_derivatives(
        slopes, [90, 110, 0.4, 0.03, 2.0], modes=1e-12, steps=1e-8, relative_step=1e-4
    )
    A, alpha, mu, s, m = float(value[1]), 0.03, 0.4, 2.0, 98.0
    z = (A - m) / s
    S, f = float(mp.erfc(z / mp.sqrt(2)) / 2), float(mp.npdf(z))
    by_A = (1 - alpha) * (S - z * f) + alpha * mu
    by_alpha = -S * (A - m) - mu * (110 - A)
    assert_close(forward[1, 3], -by_alpha / by_A, 1e-12)


@pytest.mark.float64
def test_fold_gradients():
    """The envelope: d log R of explicit parameters alone; and differences."""

    def of(leaves):
        V_L, V_H, mu, s = leaves
        found = fold_.fold(Params(V_L, V_H, mu, 0.5, s))
        return jnp.stack([found.alpha, found.quote])

    (alpha, A), forward = assert_derivatives(
        jax.jit(jacobians(of)), [90, 110, 0.4, 2.0], modes=1e-12, steps=1e-9, relative_step=1e-4
    )
    z = float(A - 98) / 2
    h = float(mp.npdf(z) / (mp.erfc(z / mp.sqrt(2)) / 2))
    by_s = h * z / 2  # d log S((A−m)/s)/d s
    assert_close(forward[0, 3], alpha * (1 - alpha) * by_s, 1e-11)
    by_V_H = -1 / (110 - A) + 0.4 * (h / 2 - 1 / (A - 98))  # directly, and through m
    assert_close(forward[0, 1], alpha * (1 - alpha) * by_V_H, 1e-11)


# Failure


def test_out_of_domain():
    """Traced: flagged, NaN in value and gradient, the other lanes bit-identical."""
    at = np.zeros(N, FLOAT)
    good = markets(at, lanes())
    bad = [("s", 0), ("s", -1), ("s", np.nan), ("alpha", 1.5), ("alpha", -0.1), ("V_H", 80)]
    bad += [("V_L", np.inf), ("mu_0", 2)]
    p = lanes()
    for i, (name, value) in enumerate(bad):
        getattr(p, name)[i] = value
    found = numbers(markets(at, p))
    assert not found.info.converged[: len(bad)].any() and found.info.converged[len(bad) :].all()
    for name in ("bid", "ask", "value", "spread", "acceptance_ask", "step_up"):
        assert np.isnan(getattr(found, name)[: len(bad)]).all(), name
    rest = jax.tree.map(lambda x: x[len(bad) :], (found, numbers(good)))
    assert_same_bits(*rest)
    assert np.isnan(slopes_of("ask", s=-1.0)).all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"s": 0.0}, "Params.s: expected a finite positive number"),
        ({"alpha": 1.5}, "Params.alpha: expected a probability"),
        ({"V_H": 80.0}, "expected V_L < V_H"),
        ({"mu_0": np.zeros(3)}, "use jax.vmap"),
    ],
)
def test_concrete_errors(bad, message):
    with pytest.raises(ValueError, match=message):
        elastic.solve(Params(**bad))
    with pytest.raises(ValueError, match=message):
        fold_.fold(Params(**bad))
    with pytest.raises(ValueError, match="noise: expected one of"):
        elastic.solve(Params(), noise="uniform")


# Gaussian value


@pytest.mark.parametrize("noise", NOISES)
def test_gaussian_value_against_quadrature(noise):
    """The lowest root of (1−alpha) S A = alpha E(V − A)^+, the expectation by quadrature."""
    for alpha, s in ((0.3, 1.0), (0.2, 0.5), (0.04, 0.1), (0.8, 3.0)):
        found = gaussian_elastic.solve(gaussian_elastic.Params(alpha=alpha, s=s), noise=noise)

        def gain(a, alpha=alpha, s=s):
            S = mp.erfc(a / s / mp.sqrt(2)) / 2 if noise == "normal" else 1 / (1 + mp.exp(a / s))
            call = mp.quad(lambda v: (v - a) * mp.npdf(v), [a, a + 2, a + 12])
            return (1 - mp.mpf(alpha)) * S * a - alpha * call

        a = float(found.ask)
        root = mp.findroot(gain, a)
        assert_close(a, float(root), 20 * EPS)
        assert all(gain(x * a) < 0 for x in np.linspace(0, 0.99, 12))
        assert float(found.bid) == -a and bool(found.info.converged)


def test_breakdown_reference():
    """N(0, 1), s = .5: alpha .2905687585, ask .5849121741 (spec); beyond it no market."""
    Q = gaussian_elastic.Params
    found = gaussian_elastic.breakdown(Q(s=0.5))
    assert_close(found.alpha, 0.2905687585, 2e-10 if X64 else 1e-6)
    assert_close(found.ask, 0.5849121741, 1e-10 if X64 else 1e-5)
    below, above = (gaussian_elastic.solve(Q(alpha=a, s=0.5)) for a in (0.2905, 0.2906))
    assert bool(below.info.converged) and float(below.ask) < float(found.ask)
    assert bool(above.closed) and np.isnan(above.ask) and not bool(above.info.converged)
    none = gaussian_elastic.breakdown(Q(s=1.0))
    assert not bool(none.info.converged) and np.isnan(none.alpha)
    # logistic: the ask jumps instead
    jump = gaussian_elastic.breakdown(Q(s=0.2), noise="logistic")
    low, high = (
        gaussian_elastic.solve(Q(alpha=float(jump.alpha) * c, s=0.2), noise="logistic").ask
        for c in (0.999, 1.001)
    )
    assert float(low) < float(jump.ask) < 0.5 * float(high)


@pytest.mark.float64
def test_breakdown_gradients_and_units():
    """d alpha/d s: forward = reverse, differences, envelope alpha(1−alpha) h z/s."""

    def of(leaves):
        m, sd, s = leaves
        found = gaussian_elastic.breakdown(gaussian_elastic.Params(m, sd, 0.1, s))
        return jnp.stack([found.alpha, found.ask])

    compiled = jax.jit(jacobians(of))
    (alpha, ask), forward = assert_derivatives(
        compiled, [3.0, 2.0, 0.9], modes=1e-12, steps=1e-9, relative_step=1e-4
    )
    z = float(ask - 3) / 0.9
    h = float(mp.npdf(z) / (mp.erfc(z / mp.sqrt(2)) / 2))
    assert_close(forward[0, 2], alpha * (1 - alpha) * h * z / 0.9, 1e-11)
    scaled = compiled(np.array([3e6, 2e6, 0.9e6]))[0]
    assert apart(scaled, [alpha, 1e6 * ask]) < 1e-13


def test_gaussian_ends():
    Q = gaussian_elastic.Params
    free = gaussian_elastic.solve(Q(alpha=0.0))
    assert float(free.ask) == 0 and float(free.spread) == 0 and bool(free.info.converged)
    of = jax.jit(jacobians(lambda leaves: gaussian_elastic.solve(Q(*leaves)).ask))
    for s in (1, 0.99):
        for slope in of(np.array([0, 1, 0, s], FLOAT))[1:]:
            assert_close(slope[2], 2 / np.sqrt(2 * np.pi), 10 * EPS)  # a/2 = alpha J(0)
    assert bool(gaussian_elastic.solve(Q(alpha=1.0)).closed)
    for array in of(np.array([0, 1, 0.3, -1], FLOAT)):
        assert np.isnan(array).all()
    with pytest.raises(ValueError, match="Params.sd: expected a finite positive number"):
        gaussian_elastic.breakdown(Q(sd=0.0))
