"""Replication, Black and its inverse, and smiles: against mpmath, scipy and worked examples."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from helpers import assert_close, forward_and_reverse
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import norm

from diffeq.contingent import black, options, smiles

X64 = jax.config.jax_enable_x64
DTYPE = np.float64 if X64 else np.float32
EPS, TINY = float(np.finfo(DTYPE).eps), float(np.finfo(DTYPE).tiny)

# Replication

RNG = np.random.default_rng(1)


def replication_error(payoff, states, reference) -> float:
    """|replicated − payoff| over Σ|coefficient · payoff|, at the worst state."""
    portfolio = options.replicate(payoff, states, reference=reference)
    size = np.abs(np.asarray(options.contributions(portfolio, states))).sum(axis=0)
    gap = np.abs(np.asarray(options.payoff_of(portfolio, states)) - payoff)
    return float((gap / size).max())


@pytest.mark.parametrize(("num_states", "reference"), [(3, 1), (4, 2), (12, 1), (12, 5), (60, 58)])
def test_any_claim_on_uneven_strikes(num_states, reference):
    for scale in (1e-3, 1.0, 1e4):
        states = np.cumsum(np.exp(2 * RNG.normal(size=num_states))).astype(DTYPE) * DTYPE(scale)
        payoff = (10 * RNG.normal(size=num_states)).astype(DTYPE)
        assert replication_error(payoff, states, reference) < (1e-12 if X64 else 1e-4)


@given(reference=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_exactly_one_option_per_interior_state(reference, seed):
    """Puts below, calls above, an equal put and call at the reference, nothing at the ends."""
    rng = np.random.default_rng(seed)
    states, payoff = np.cumsum(rng.uniform(0.5, 2, 7)), rng.normal(size=7)
    portfolio = options.replicate(payoff, states, reference=reference)
    puts, calls = np.asarray(portfolio.puts), np.asarray(portfolio.calls)
    inside = np.arange(7)
    assert (puts[(inside > reference) | (inside == 0)] == 0).all()
    assert (calls[(inside < reference) | (inside == 6)] == 0).all()
    slopes = np.diff(payoff) / np.diff(states)
    assert_close(puts[reference], calls[reference], 0.0)
    kink = slopes[reference] - slopes[reference - 1]
    np.testing.assert_allclose(2 * puts[reference], kink, atol=1e-5)
    np.testing.assert_allclose(
        portfolio.underlying, slopes[[reference - 1, reference]].mean(), atol=1e-5
    )


def test_bull_spread_straddle_christmas_tree():
    """Claims traders know, with the positions they know."""
    states = np.array([80.0, 90, 95, 100, 105, 110, 120])
    bull = options.replicate(np.clip(states - 95, 0, 10), states, reference=2)
    assert options.describe(bull) == (
        "short 47.5 bond\nlong 0.5 underlying\nlong 0.5 put 95\nlong 0.5 call 95\nshort 1 call 105"
    )
    straddle = options.replicate(np.abs(states - 100), states, reference=3)
    assert options.describe(straddle) == "long 1 put 100\nlong 1 call 100"
    # long a call at 95, short three at 105, long two at 110
    tree = options.call_payoff(states, [95.0, 105.0, 110.0])
    found = options.replicate(np.array([1.0, -3.0, 2.0]) @ np.asarray(tree), states, reference=1)
    assert options.describe(found) == "long 1 call 95\nshort 3 call 105\nlong 2 call 110"


def test_replication_is_linear_and_differentiable():
    states = np.array([1.0, 1.5, 3.0, 3.5, 6.0])

    def kinds(payoff):
        return jnp.concatenate([x.ravel() for x in options.replicate(payoff, states, reference=2)])

    payoff = jnp.array([1.0, -2, 0.5, 3, 1])
    forward, reverse = forward_and_reverse(kinds, payoff)
    np.testing.assert_allclose(forward, reverse, atol=10 * EPS)
    np.testing.assert_allclose(forward[:-5] @ payoff, kinds(payoff)[:-5], atol=100 * EPS)
    at = jnp.array(states)
    moved = jax.jit(jax.grad(lambda s: options.replicate(payoff, s, reference=2).calls[3]))(at)
    # calls[3] = (p4 − p3)/(s4 − s3) − (p3 − p2)/(s3 − s2): −.8 − 5
    assert_close(moved[4], -(1 - 3) / 2.5**2, 40 * EPS)
    batch = jax.vmap(lambda p: options.replicate(p, states, reference=2).puts)
    assert batch(jnp.stack([payoff, 2 * payoff])).shape == (2, 5)


def test_replication_poisons_traced_states_out_of_order():
    portfolio = jax.jit(lambda s: options.replicate(jnp.ones(3), s, reference=1))(
        jnp.array([1.0, 3.0, 2.0])
    )
    assert all(np.isnan(leaf).all() for leaf in portfolio[:4])


@pytest.mark.parametrize(
    ("payoff", "states", "reference", "message"),
    [
        ([1.0, 2, 3], [1.0, 3, 3], 1, "strictly increasing.*got 3 then 3 at 1"),
        ([1.0, 2], [1.0, 2], 1, r"X ≥ 3, got \(2,\)"),
        ([1.0, 2], [1.0, 2, 3], 1, r"payoff: expected shape \(3,\), got \(2,\)"),
        ([1.0, np.nan, 3], [1.0, 2, 3], 1, r"payoff\[1\]: expected a finite"),
        ([1.0, 2, 3], [1.0, np.nan, 3], 1, r"states\[1\]: expected a finite"),
        ([1.0, 2, 3], [1.0, 2, 3], 2, "reference: expected an interior state, 1 to 1, got 2"),
        ([1.0, 2, 3], [1.0, 2, 3], 0, "reference: expected at least 1"),
    ],
)
def test_replication_refuses(payoff, states, reference, message):
    with pytest.raises(ValueError, match=message):
        options.replicate(np.array(payoff), np.array(states), reference=reference)


def test_prices_and_cross_impact():
    """Price of the replicating portfolio = price of the claim; bond and forward by hand."""
    states = np.array([90.0, 100, 110, 130])
    P = np.array([0.2, 0.3, 0.3, 0.1])
    claim = np.array([3.0, -1, 0, 2])
    portfolio = options.replicate(claim, states, reference=1)
    assert_close(options.price(options.payoff_of(portfolio, states), P), claim @ P, 1e-4)
    calls = options.price(options.call_payoff(states, [100.0, 110.0]), P)
    assert_close(calls, [0.3 * 10 + 0.1 * 30, 0.1 * 20], 10 * EPS)
    puts = options.price(options.put_payoff(states, [100.0, 110.0]), P)
    forward = states @ P
    assert_close(calls - puts, [forward - 90, forward - 99], 1e-4)
    impact = np.diag([1.0, 2, 3, 4])
    assert_close(options.cross_impact(np.ones(4), impact, claim), 3 - 2 + 0 + 8, 10 * EPS)


# Black's formula and its inverse


def exact_price(forward, strike, volatility, time, is_call):
    """Black's formula in 60 digits."""
    with mp.workdps(60):
        F, K, v, T = (mp.mpf(float(x)) for x in (forward, strike, volatility, time))
        s = v * mp.sqrt(T)
        d = mp.log(F / K) / s + s / 2
        sign = 1 if is_call else -1
        return sign * (F * mp.ncdf(sign * d) - K * mp.ncdf(sign * (d - s)))


def contracts():
    """Strikes at .2 to 5 forwards and very near one, volatilities .01 to 3, three maturities."""
    strikes = [*np.geomspace(0.2, 5, 13), 1.0, 1 + 1e-3, 1 - 1e-6]
    grid = np.meshgrid(strikes, np.geomspace(0.01, 3, 9), [0.02, 1.0, 4.0])
    return [axis.ravel().astype(DTYPE) for axis in grid]


K, VOL, T = contracts()
OUT = K >= 1  # the call is the one out of the money
EXACT = {
    in_the_money: [
        exact_price(1.0, *row[:3], bool(row[3]) != in_the_money)
        for row in zip(K, VOL, T, OUT, strict=True)
    ]
    for in_the_money in (False, True)
}


def test_black_is_right_far_out_of_the_money():
    exact = np.array([float(p) for p in EXACT[False]])
    representable = exact > 2 * TINY
    price = np.asarray(black.black(1.0, K, VOL, T, OUT), np.float64)
    # of log price up to 700 one rounding is a relative 700 eps
    assert_close(price[representable], exact[representable], 2000 * EPS)
    assert (price[exact < TINY / 4] == 0).all() or not X64
    assert representable.sum() > 250 and exact[representable].min() < (1e-200 if X64 else 1e-30)
    # the money's other side, with discount
    parity = black.black(1.0, K, VOL, T, ~OUT, discount=0.9) / 0.9 - price
    np.testing.assert_allclose(parity, np.abs(1.0 - K), atol=40 * EPS)


def test_round_trip_out_of_the_money():
    """From the exact price rounded once: a few roundings, wherever that price is representable."""
    exact = np.array([float(p) for p in EXACT[False]])
    found = black.implied_volatility(exact.astype(DTYPE), 1.0, K, T, OUT)
    representable = exact > 1.01 * TINY
    assert np.asarray(found.info.converged)[representable].all()
    assert not np.asarray(found.info.converged)[exact < 0.5 * TINY].any()
    assert np.isnan(np.asarray(found.volatility)[exact < 0.5 * TINY]).all()
    error = np.abs(np.asarray(found.volatility, float) / VOL - 1)[representable]
    allowed = 8 * (np.asarray(found.accuracy)[representable] + EPS)
    assert (error <= allowed).all()
    assert error.max() < (1e-10 if X64 else 2e-5)  # the contract; measured 3e-15


def test_in_the_money_as_right_as_it_says():
    exact = np.array([float(p) for p in EXACT[True]])
    found = black.implied_volatility(exact.astype(DTYPE), 1.0, K, T, ~OUT)
    good = np.asarray(found.info.converged)
    error, accuracy = np.abs(np.asarray(found.volatility) / VOL - 1), np.asarray(found.accuracy)
    assert (error[good] <= 3 * accuracy[good] + 8 * EPS).all()
    assert accuracy[good].max() < 0.1  # a few digits are left just before none is
    time_value = np.array([float(p) for p in EXACT[False]])
    assert not good[time_value < 0.4 * EPS * exact].any()  # flagged: no digit speaks of volatility
    assert good[time_value > 5 * EPS * exact].all()


@pytest.mark.parametrize("is_call", [True, False])
def test_flags_prices_outside_the_bounds(is_call):
    """Discounted intrinsic value and discounted forward or strike, F = 1.2, K = 1, D = .9."""
    low, high = (0.9 * 0.2, 0.9 * 1.2) if is_call else (0.0, 0.9)
    prices = np.array([low - 0.01, low, low + 0.05, high - 0.05, high, high + 1, np.nan, -1])
    found = black.implied_volatility(prices, 1.2, 1.0, 1.0, is_call, discount=0.9)
    inside = np.array([False, False, True, True, False, False, False, False])
    np.testing.assert_array_equal(np.isfinite(found.volatility), inside)
    np.testing.assert_array_equal(found.info.converged, inside)
    back = black.black(1.2, 1.0, found.volatility[2:4], 1.0, is_call, discount=0.9)
    assert_close(back, prices[2:4], 100 * EPS)


def test_scales_and_times():
    """Prices scale with money; σ√T is all that time does; the discount divides out."""
    base = black.implied_volatility(0.05, 1.0, 1.1, 1.0, True).volatility
    for unit in (1e-12, 3e7):
        again = black.implied_volatility(0.05 * unit, unit, 1.1 * unit, 1.0, True).volatility
        assert_close(again, base, 40 * EPS)
    assert_close(black.implied_volatility(0.05, 1.0, 1.1, 0.25, True).volatility, 2 * base, 9 * EPS)
    found = black.implied_volatility(0.045, 1.0, 1.1, 1.0, True, discount=0.9).volatility
    assert_close(found, base, 40 * EPS)


def test_derivatives_are_blacks_own():
    """dσ/dprice = 1/vega, dσ/dF = −delta/vega, d²σ/dprice² = −volga/vega³, across K = F.

    An eleventh price is beyond the bounds: NaN in value and derivative, in that lane alone.
    """
    strike, is_call = np.repeat([0.3, 0.999, 1.0, 1.4, 4.0], 2), np.tile([True, False], 5)
    F, v, T_ = 1.0, 0.4, 1.5
    price = [
        float(exact_price(F, *row))
        for row in zip(strike, [v] * 10, [T_] * 10, is_call, strict=True)
    ]
    s = v * np.sqrt(T_)
    d = np.log(F / strike) / s + s / 2
    vega, delta = norm.pdf(d) * np.sqrt(T_), norm.cdf(d) - ~is_call

    def volatility(price, F, strike, is_call):
        return black.implied_volatility(price, F, strike, T_, is_call).volatility

    price, strike, is_call = [*price, 2.0], np.append(strike, 1.0), np.append(is_call, True)
    args = (jnp.array(price), jnp.ones(11), jnp.array(strike), jnp.array(is_call))

    @jax.jit
    @jax.vmap
    def derivatives(*args):  # one program
        modes = (mode(volatility, (0, 1))(*args) for mode in (jax.jacfwd, jax.jacrev))
        return *modes, jax.grad(jax.grad(volatility))(*args)

    forward, reverse, second = map(np.array, derivatives(*args))
    assert np.isnan(forward[:, 10]).all() and np.isnan(reverse[:, 10]).all()
    forward, reverse = forward[:, :10], reverse[:, :10]
    tolerance = 1e-11 if X64 else 2e-3
    assert_close(forward, [1 / vega, -delta / vega], tolerance)
    assert_close(forward, reverse, tolerance / 10)
    if X64:
        volga = vega * d * (d - s) / v
        np.testing.assert_allclose(second[:10], -volga / vega**3, rtol=1e-9, atol=1e-9)
        assert np.isnan(second[10])


def exact_greeks(strike, s, is_call):
    """Delta, its like in the strike, vega and gamma at F = T = 1, in 60 digits."""
    with mp.workdps(60):
        K, s = mp.mpf(float(strike)), mp.mpf(float(s))
        d, sign = -mp.log(K) / s + s / 2, 1 if is_call else -1
        density = mp.npdf(d)
        delta, dual = sign * mp.ncdf(sign * d), -sign * mp.ncdf(sign * (d - s))
        return [float(x) for x in (delta, dual, density, density / s)]


def test_greeks():
    """All to their own digits: at tiny and huge volatility, deep in the money and out of it."""
    strike = np.repeat([0.3, 0.62, 0.999, 1.0, 1.4, 4.0, 1.5, 0.67, 1 + 1e-5, 0.7, 1.001], 2)
    s = np.repeat([0.4] * 6 + [13.8, 14.3, 2e-5, 0.05, 1e-4], 2)
    strike, s, is_call = strike.astype(DTYPE), s.astype(DTYPE), np.tile([True, False], 11)

    def price(F, strike, v, is_call):
        return black.black(F, strike, v, 1.0, is_call)

    args = (jnp.ones(22), jnp.array(strike), jnp.array(s), jnp.array(is_call))
    slopes = jax.grad(price, (0, 1, 2))
    second = jax.grad(jax.grad(price))
    found = jax.jit(jax.vmap(lambda *a: (*slopes(*a), second(*a))))(*args)
    exact = [exact_greeks(*row) for row in zip(strike, s, is_call, strict=True)]
    names = ("delta", "dual delta", "vega", "gamma")
    for name, got, expected in zip(names, found, np.transpose(exact), strict=True):
        # of log φ(d) up to 60 one rounding is a relative 60 eps, and d has a few
        assert_close(got, expected, 1000 * EPS, name)


def test_traced_values_out_of_domain_are_nan():
    traced = jax.jit(lambda F: black.implied_volatility(0.1, F, 1.0, 1.0, True))(-1.0)
    assert np.isnan(traced.volatility) and not traced.info.converged
    # of a smile: a negative state price, probabilities that do not sum to one, sigma < 0
    eta = signals(0.3)
    prices = jax.jit(lambda P: smiles.smile(P, STATES, STRIKES))(eta[0].at[600].set(-0.01))
    average = jax.jit(lambda p: smiles.average_smile(eta, p, 1.0, STATES, STRIKES, signal=1))
    for found, of in ((prices, prices.volatility), (average(np.array([0.5, 0.9])), None)):
        assert np.isnan(found.average if of is None else of).all()
        assert not np.asarray(found.info.converged).any()
    assert np.isnan(jax.jit(lambda s: smiles.lognormal_signals(STATES, s, 1.0))([-0.3])).all()
    assert np.isnan(jax.jit(lambda v: black.black(1.0, 1.0, v, 1.0, True))(-0.1))


def test_dtype_and_refusals():
    found = black.implied_volatility(np.float32(0.1), 1.0, 1.0, 1.0, True)
    assert found.volatility.dtype == jnp.float32 and found.info.residual.dtype == jnp.float32
    with pytest.raises(ValueError, match="strike: expected a finite positive number, got -1"):
        black.black(1.0, -1.0, 0.2, 1.0, True)
    with pytest.raises(ValueError, match="time: expected a finite positive number, got 0"):
        black.implied_volatility(0.1, 1.0, 1.0, 0.0, True)
    with pytest.raises(TypeError, match="is_call: expected True or False, got 1"):
        black.black(1.0, 1.0, 0.2, 1.0, 1)


# Smiles

STATES = np.exp(np.linspace(-2.0, 2.0, 1201))
STRIKES = np.array([0.67, 1.0, 1.33])
CONVEXITY = np.array([1.0, -2.0, 1.0])
UNIFORM = (0.5, 0.5)
X_AT_30_70 = 1.186477003155  # spec: root for the prior (.3, .7)


def signals(sigma_1: float):
    return smiles.lognormal_signals(STATES, [sigma_1, 0.1], 1.0)


def test_lognormal_signals():
    eta = np.asarray(smiles.lognormal_signals(STATES, [0.25, 0.1], 1.1), np.float64)
    assert_close(eta.sum(axis=1), np.ones(2), 20 * EPS)
    assert_close(eta @ STATES, [1.1, 1.1], 100 * EPS)
    y = np.log(STATES)
    spread = np.sqrt([row @ y**2 - (row @ y) ** 2 for row in eta])
    assert_close(spread, [0.25, 0.1], 1e-9 if X64 else 1e-3)
    # a grid that cuts the distribution off keeps the mean too; an impossible one says so
    short = smiles.lognormal_signals(np.geomspace(0.9, 1.3, 9), [0.25], 1.0)
    assert_close(short @ np.geomspace(0.9, 1.3, 9), [1.0], 100 * EPS)
    assert np.isnan(smiles.lognormal_signals(np.geomspace(0.9, 1.3, 9), [0.25], 2.0)).all()
    slope = jax.jacfwd(lambda F: smiles.lognormal_signals(STATES, [0.25], F) @ STATES)(1.1)
    assert_close(slope, [1.0], 1e-8 if X64 else 1e-2)


def test_a_lognormal_has_no_smile():
    found = smiles.smile(np.asarray(signals(0.3))[0] * 0.95, STATES, STRIKES, 2.0)
    # the kink at a strike between states costs h²: (4/1200)² / .1
    np.testing.assert_allclose(found.volatility, 0.3 / np.sqrt(2), rtol=2e-4)
    on_states = smiles.smile(signals(0.3)[0], STATES, STATES[[480, 600, 720]])
    np.testing.assert_allclose(on_states.volatility, 0.3, rtol=2e-4)
    beyond = smiles.smile(signals(0.3)[0], STATES, [1.0, 10.0])
    assert np.isnan(beyond.volatility).tolist() == [False, True]


def mixture_volatility(q, strike, sigma_1):
    """Implied volatility of q lognormal(sigma_1) + (1−q) lognormal(.1): scipy alone, no grid."""

    def out_of_the_money(sigma):
        d = -np.log(strike) / sigma + sigma / 2
        sign = 1 if strike >= 1 else -1
        return sign * (ndtr(sign * d) - strike * ndtr(sign * (d - sigma)))

    price = q * out_of_the_money(sigma_1) + (1 - q) * out_of_the_money(0.1)
    return brentq(lambda s: out_of_the_money(s) - price, 0.05, 0.5, xtol=1e-13)


def oracle(sigma_1, prior_1, x, signal, of):
    """E[of(q)] by adaptive quadrature."""
    mean = x if signal == 1 else -1 / x
    a, b = x + 1 / x, np.log(prior_1 / (1 - prior_1)) - (x * x - x**-2) / 2
    q = lambda z: 1 / (1 + np.exp(-a * (mean + z) - b))  # noqa: E731
    return quad(lambda z: of(q(z)) * np.exp(-z * z / 2), -8.5, 8.5, epsabs=1e-9, limit=200)[
        0
    ] / np.sqrt(2 * np.pi)


@pytest.mark.parametrize(
    ("sigma_1", "at_average_price"), [(0.25, 0.037), (0.30, 0.046), (0.35, 0.054)]
)
def test_figure_8(sigma_1, at_average_price):
    """Both wings up, convexity rising in sigma_1; values at the expected price from the spec.

    The average over omega is checked against scipy: .0324, .0407, .0477.
    """
    found = smiles.average_smile(signals(sigma_1), UNIFORM, 1.0, STATES, STRIKES, signal=1)
    assert np.asarray(found.info.converged).all()
    assert abs(float(CONVEXITY @ found.at_average_price) - at_average_price) < 5e-4
    for values in (found.average, found.at_average_price):
        assert values[0] > values[1] < values[2]
    exact = [
        oracle(sigma_1, 0.5, 1.0, 1, lambda q, k=k: mixture_volatility(q, k, sigma_1))
        for k in STRIKES
    ]
    np.testing.assert_allclose(found.average, exact, atol=3e-5)  # the grid's kinks
    assert (np.asarray(found.average) < sigma_1).all() and (np.asarray(found.average) > 0.1).all()


@pytest.mark.parametrize("signal", [1, 2])
def test_average_smile_at_another_prior(signal):
    args = (signals(0.3), (0.3, 0.7), X_AT_30_70, STATES, STRIKES)
    found = smiles.average_smile(*args, signal=signal)
    exact = [
        oracle(0.3, 0.3, X_AT_30_70, signal, lambda q, k=k: mixture_volatility(q, k, 0.3))
        for k in STRIKES
    ]
    np.testing.assert_allclose(found.average, exact, atol=3e-5)


def test_average_smile_does_not_depend_on_the_nodes():
    args = (signals(0.3), (0.3, 0.7), X_AT_30_70, STATES, STRIKES)
    found = smiles.average_smile(*args, signal=1)
    finer = smiles.average_smile(*args, signal=1, spacing=0.1)
    assert_close(found.average, finer.average, 1e-9 if X64 else 1e-5)


def test_the_game_played():
    """Order flow in 1201 markets with uneven noise, priced by Bayes' rule."""
    args = (signals(0.3), (0.3, 0.7), X_AT_30_70, STATES, STRIKES)
    found = smiles.average_smile(*args, signal=2)
    sampled = smiles.sampled_smile(
        jax.random.key(3), *args, signal=2, num_paths=800, sigma=np.linspace(0.5, 2, STATES.size)
    )
    gap = np.abs(np.asarray(sampled.average) - np.asarray(found.average))
    assert (gap <= 4 * np.asarray(sampled.standard_error)).all()
    # a volatility between .1 and .3 has a standard deviation of at most .1
    assert (np.asarray(sampled.standard_error) < 0.1 / np.sqrt(799)).all()


@pytest.mark.float64
def test_average_smile_differentiates():
    """In the signal's volatility, through the grid, the average and the root: with differences."""

    def convexity(sigma_1):
        eta = smiles.lognormal_signals(STATES, jnp.stack([sigma_1, jnp.asarray(0.1)]), 1.0)
        found = smiles.average_smile(eta, UNIFORM, 1.0, STATES, STRIKES, signal=1)
        return CONVEXITY @ found.average

    slope = jax.jit(jax.jacfwd(convexity))(0.3)
    steps = (convexity(0.3 + 1e-4) - convexity(0.3 - 1e-4)) / 2e-4
    assert_close(slope, steps, 1e-6)


def test_smiles_refuse():
    eta = signals(0.3)
    with pytest.raises(ValueError, match="signal: expected 1 or 2, got 0"):
        smiles.average_smile(eta, UNIFORM, 1.0, STATES, STRIKES, signal=0)
    with pytest.raises(ValueError, match=r"eta: expected shape \(2, 1201\), got \(1, 1201\)"):
        smiles.average_smile(eta[:1], UNIFORM, 1.0, STATES, STRIKES, signal=1)
    with pytest.raises(ValueError, match="prior: expected probabilities that sum to 1"):
        smiles.average_smile(eta, (0.5, 0.6), 1.0, STATES, STRIKES, signal=1)
    with pytest.raises(ValueError, match=r"state_prices\[0\]: expected a finite number ≥ 0"):
        smiles.smile(-eta[0], STATES, STRIKES)
    with pytest.raises(ValueError, match=r"state_prices: expected shape \(1201,\)"):
        smiles.smile(eta, STATES, STRIKES)
    with pytest.raises(ValueError, match="x: expected a finite positive number"):
        smiles.average_smile(eta, UNIFORM, -1.0, STATES, STRIKES, signal=1)


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda: options.price([1.0, 2.0], [0.2, 0.3, 0.5]), "payoff, state_prices"),
        (lambda: options.cross_impact([1.0, 2.0], np.eye(3), np.ones(3)), "payoff_1, impact"),
        (lambda: options.call_payoff(np.arange(3.0), 2.0), "states, strikes"),
        (lambda: black.black(100.0, 90.0, 0.2, 1.0, "call"), "is_call"),
    ],
)
def test_shapes_and_types_are_refused_by_name(call, name):
    with pytest.raises((ValueError, TypeError), match=name):
        call()
