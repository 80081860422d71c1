"""The likelihood of orders against its definition in mpmath; recovery of alpha and mu_0."""

import itertools
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from diffeq.calibrate import Fixed, UnitInterval, calibrate_many
from diffeq.glosten_milgrom.binary_value import Params
from diffeq.glosten_milgrom.calibration import calibrate, log_loss
from diffeq.glosten_milgrom.likelihood import count_orders, log_likelihood
from diffeq.glosten_milgrom.simulation import simulate

EPS = float(jnp.finfo(jnp.result_type(float)).eps)


def by_definition(mu_0: Any, alpha: Any, buys: int, sells: int) -> Any:
    """mu_0 p^B q^S + (1 − mu_0) q^B p^S, in as many digits as mpmath is set to."""
    p, q, m = (1 + mp.mpf(alpha)) / 2, (1 - mp.mpf(alpha)) / 2, mp.mpf(mu_0)
    return mp.log(m * p**buys * q**sells + (1 - m) * q**buys * p**sells)


@pytest.mark.parametrize(
    ("buys", "sells"), [(0, 0), (3, 1), (1, 3), (7, 7), (0, 9), (60000, 40000)]
)
@pytest.mark.parametrize("alpha", [1e-6, 0.3, 0.999])
@pytest.mark.parametrize("mu_0", [1e-9, 0.5, 0.8])
def test_value_and_slopes_are_those_of_the_definition(
    mu_0: float, alpha: float, buys: int, sells: int
) -> None:
    """A hundred thousand trades do not overflow; slopes by mpmath's own differentiation."""
    m, a = (jnp.asarray(x, float) for x in (mu_0, alpha))
    exact = tuple(float(x) for x in (m, a))  # as rounded to the dtype
    with mp.workdps(60):
        want = float(by_definition(*exact, buys, sells))
    got, slopes = jax.value_and_grad(
        lambda m, a: log_likelihood(Params(mu_0=m, alpha=a), buys, sells), (0, 1)
    )(m, a)
    np.testing.assert_allclose(got, want, rtol=50 * EPS, atol=50 * EPS)
    if EPS < 1e-10:
        for i, slope in enumerate(slopes):
            order = tuple(int(i == j) for j in (0, 1))
            with mp.workdps(60):
                exactly = float(
                    mp.diff(lambda m, a: by_definition(m, a, buys, sells), exact, order)
                )
            np.testing.assert_allclose(slope, exactly, rtol=1e-9, atol=1e-9)


def test_all_sequences_have_probability_one() -> None:
    """Σ over the 2^8 sequences of exp log L = 1, also at the ends of every domain."""
    for mu_0, alpha in itertools.product((0.0, 0.3, 1.0), (0.0, 0.4, 1.0)):
        sequences = np.array(list(itertools.product((1, -1), repeat=8)))
        buys, sells = count_orders(sequences)
        logs = log_likelihood(Params(mu_0=mu_0, alpha=alpha), buys, sells)
        np.testing.assert_allclose(np.exp(logs).sum(), 1, rtol=100 * EPS)


def test_ends_are_finite_where_the_day_is_possible() -> None:
    """alpha = 1: one-sided days only; alpha = 0: fair coins; slopes without NaN."""
    for mu_0, alpha in itertools.product((0.0, 0.5, 1.0), (0.0, 1.0)):
        for buys, sells in ((0, 0), (4, 0), (0, 4), (2, 1)):
            value, slopes = jax.value_and_grad(
                lambda m, a, b=buys, s=sells: log_likelihood(Params(mu_0=m, alpha=a), b, s), (0, 1)
            )(mu_0, alpha)
            assert not np.isnan(value)
            if np.isfinite(value):
                assert np.isfinite(slopes).all()
            else:
                assert alpha == 1 and slopes[1] == -np.inf


def test_second_derivatives_at_the_ends() -> None:
    """One buy, or none, at alpha = 1; days against a certain V: chances that underflow, or nearly.

    Of those the slopes too; that in mu_0 is (p/q)^net − 1, or a number near the range's end.
    """

    def log_L(x: Any, buys: Any, sells: Any) -> jax.Array:
        return log_likelihood(Params(mu_0=x[0], alpha=x[1]), buys, sells)

    x = jnp.array([[0.5, 1.0], [0.5, 1.0], [0.0, 0.3], [0.0, 0.9], [1.0, 0.9]])
    buys, sells = jnp.array([1.0, 0.0, 5000.0, 200.0, 3.0]), jnp.array([0.0, 0.0, 4000.0, 10, 53])
    both = jax.vmap(lambda *day: (jax.grad(log_L)(*day), jax.hessian(log_L)(*day)))
    slopes, got = map(np.asarray, jax.jit(both)(x, buys, sells))
    np.testing.assert_allclose(got[0], [[-4, 2], [2, 0]], atol=8 * EPS)
    np.testing.assert_array_equal(got[1], np.zeros((2, 2)))
    for i, many, few in ((2, 5000, 4000), (3, 200, 10), (4, 53, 3)):
        p, q = 1 + float(x[i, 1]), 1 - float(x[i, 1])
        np.testing.assert_allclose(slopes[i, 1], few / p - many / q, rtol=100 * EPS)
        np.testing.assert_allclose(got[i, 1, 1], -many / q**2 - few / p**2, rtol=100 * EPS)
        end = float(np.finfo(slopes.dtype).max) ** 0.9
        odds = float(np.exp(min((many - few) * np.log(p / q), np.log(end))))
        np.testing.assert_allclose(slopes[i, 0], -odds if i == 4 else odds, rtol=3e3 * EPS)


def test_traced_counts_that_are_none_are_nan() -> None:
    got = jax.jit(lambda buys: log_likelihood(Params(), buys, 1))(jnp.array([-1.0, 0.5, 2.0]))
    np.testing.assert_array_equal(np.isnan(got), [True, True, False])


@pytest.mark.float64
def test_derivatives_agree() -> None:
    """Forward = reverse, and finite differences, batched over days."""
    buys, sells = np.array([30, 12, 0, 5]), np.array([11, 29, 4, 5])

    def terms(x: Any) -> jax.Array:
        return log_likelihood(Params(mu_0=x[0], alpha=x[1]), buys, sells)

    x = np.array([0.4, 0.3])
    forward, reverse = helpers.forward_and_reverse(terms, x)
    helpers.assert_close_by_norm(forward, reverse, 1e-13)
    helpers.assert_close_by_norm(forward, helpers.differences(terms, x), 1e-10)


def test_orders_are_counted_with_padding() -> None:
    """0 is padding; other codes are refused by place."""
    buys, sells = count_orders([[1, -1, 1, 0], [-1, -1, -1, 1]])
    np.testing.assert_array_equal(buys, [2, 1])
    np.testing.assert_array_equal(sells, [1, 3])
    with pytest.raises(ValueError, match=r"orders\[0, 2\]"):
        count_orders([[1, -1, 2, 0]])


@pytest.mark.float64
def test_alpha_is_recovered_in_a_hundred_seeds() -> None:
    """One day of 500 trades each: within two standard errors at least 90 times of 100."""
    true = Params(mu_0=0.5, alpha=0.3)
    counts = [
        count_orders(simulate(jax.random.key(seed), true, num_trades=500).order)
        for seed in range(100)
    ]
    data = tuple(jnp.asarray(np.array(x), float) for x in zip(*counts, strict=True))
    start = Params(*(np.full(100, x) for x in (0.0, 1.0, 0.5, 0.1)))
    domains = {"V_L": Fixed(), "V_H": Fixed(), "mu_0": Fixed(), "alpha": UnitInterval()}
    fits = calibrate_many(log_loss, start, data, domains=domains)
    assert all(fit.converged for fit in fits)
    off = [abs(float(f.params.alpha) - 0.3) / float(f.standard_errors.alpha) for f in fits]
    assert sum(x <= 2 for x in off) >= 90
    assert sum(x <= 0.3 for x in off) <= 50  # nor are the errors too large


@pytest.mark.float64
def test_many_days_identify_both() -> None:
    """alpha and mu_0 from 400 days, within three of their own standard errors."""
    true = Params(mu_0=0.7, alpha=0.25)
    days = simulate(jax.random.key(5), true, num_trades=40, num_paths=400)
    fit = calibrate(*count_orders(days.order))
    assert fit.converged
    for name in ("mu_0", "alpha"):
        error = float(getattr(fit.standard_errors, name))
        assert 0 < error < 0.05
        assert abs(float(getattr(fit.params, name)) - getattr(true, name)) <= 3 * error
    # the information matrix by finite differences of the definition, nothing of ours in it
    b, s = (np.asarray(x) for x in count_orders(days.order))
    pairs, weight = np.unique(np.stack([b, s]), axis=1, return_counts=True)

    def loss(m: Any, a: Any) -> Any:
        rows = zip(*pairs.tolist(), weight.tolist(), strict=True)
        return -sum(w * by_definition(m, a, x, y) for x, y, w in rows)

    at = (float(fit.params.mu_0), float(fit.params.alpha))
    with mp.workdps(30):
        H = [
            [float(mp.diff(loss, at, o)) for o in row]
            for row in (((2, 0), (1, 1)), ((1, 1), (0, 2)))
        ]
        slope = [float(mp.diff(loss, at, o)) for o in ((1, 0), (0, 1))]
    errors = np.sqrt(np.diag(np.linalg.inv(H)))
    np.testing.assert_allclose(
        [float(fit.standard_errors.mu_0), float(fit.standard_errors.alpha)], errors, rtol=1e-4
    )
    assert np.all(np.abs(slope) * errors <= 1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibrate(30, 20), "mu_0.*one order sequence"),
        (lambda: calibrate([30, 0], [20, 0]), "mu_0"),
        (lambda: calibrate([0], [0], mu_0=0.5), "at least one trade"),
        (lambda: calibrate([3, -1], [2, 2]), r"buys\[1\]"),
        (lambda: calibrate([3, 1.5], [2, 2]), r"buys\[1\]"),
        (lambda: calibrate([3, 1], [2, 2, 2]), "one shape"),
        (lambda: calibrate([3, 1], [2, 2], mu_0=1.5), "mu_0"),
        (lambda: log_likelihood(Params(alpha=2.0), 1, 1), "alpha"),
        (lambda: log_likelihood(Params(), -1, 1), "buys"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
