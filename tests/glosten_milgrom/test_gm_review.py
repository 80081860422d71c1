"""What an adversarial reading found: each test failed before its repair."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from diffeq import glosten_milgrom as gm
from diffeq.glosten_milgrom.learning import net_orders_to
from diffeq.glosten_milgrom.odds import step_of

EPS = float(np.finfo(jnp.zeros(()).dtype).eps)


def test_logarithms_are_good_to_two_roundings_everywhere():
    """XLA's log1p(−x) is a hundred roundings off below sqrt 2 − 1; logs cancel at even odds."""
    dtype = jnp.zeros(()).dtype
    x = np.concatenate([np.linspace(0.33, 0.4143, 60), [0.4999, 0.50002, 1e-9, 0.75, 0.999]])
    x = x.astype(dtype)
    with mp.workdps(40):
        exact = [(2 * mp.atanh(mp.mpf(float(v))), mp.log(mp.mpf(float(v)) / (1 - mp.mpf(float(v)))))
                 for v in x]  # fmt: skip
        got = zip(np.asarray(step_of(jnp.asarray(x))), np.asarray(gm.log_odds(x)), strict=True)
        for (step, odds), (step_, odds_) in zip(exact, got, strict=True):
            assert abs(mp.mpf(float(step_)) - step) <= 4 * EPS * step
            assert abs(mp.mpf(float(odds_)) - odds) <= 4 * EPS * abs(odds)


@pytest.mark.parametrize("truth", [1, -1])
def test_a_threshold_that_is_met_exactly_is_met_whatever_alpha_and_the_prior(truth):
    """Every belief after k orders from mu_0 = i/20 at alpha = j/20, in rationals."""
    i, j, k = (a.ravel() for a in np.mgrid[1:20, 1:20, 1:7])
    up = ((20.0 + j) / (20.0 - j)) ** k
    threshold = i * up / (i * up + 20 - i)
    kept = 1 - threshold > (1e-10 if EPS < 1e-10 else 1e-3)
    i, j, k, threshold = i[kept], j[kept], k[kept], threshold[kept]
    mu_0 = (i if truth == 1 else 20 - i) / 20

    def orders(threshold, mu_0, alpha):
        zero = jnp.zeros_like(alpha)
        return net_orders_to(threshold, truth, gm.Params(zero, zero + 1, mu_0, alpha))

    got = jax.vmap(orders)(*(jnp.asarray(x, float) for x in (threshold, mu_0, j / 20)))
    np.testing.assert_array_equal(got, k)


def test_small_alpha_takes_many_orders():
    """The slack for roundings once grew without bound as alpha fell: 0 orders in float32."""
    for alpha in (1e-3, 1e-4, 1e-6):
        law = gm.first_passage(gm.Params(alpha=alpha), num_trades=1)
        exact = np.log(9) / (2 * np.arctanh(alpha))
        assert abs(float(law.net_orders) - np.ceil(exact)) <= 64 * EPS * exact


def test_slopes_at_alpha_one_and_extreme_beliefs_are_numbers():
    """1/y² of a probability y = mu(1+alpha) + (1−mu)(1−alpha) overflowed there."""
    far = 700.0 if EPS < 1e-10 else 80.0
    at = jnp.array([-far, -far / 2, far / 2, far])

    def everything(at, alpha):
        params = gm.Params(V_L=90.0, V_H=110.0, mu_0=0.5, alpha=alpha)
        after = [gm.belief(gm.update(at, order, params)) for order in (gm.BUY, gm.SELL)]
        return jnp.stack([*gm.quotes(at, params), gm.spread(at, params), *after])

    def both(at):
        of = jax.jacfwd(everything, (0, 1)), jax.jacrev(everything, (0, 1))
        return [slopes(at, jnp.ones_like(at)) for slopes in of]

    forward, reverse = jax.jit(jax.vmap(both))(at)
    assert not np.isnan(np.asarray(forward)).any() and not np.isnan(np.asarray(reverse)).any()
    # d ask/d alpha = (V_H − V_L)(1 − mu)/(2 mu) at alpha = 1, to its own digits however small
    expected = 10 * np.exp(-np.asarray(at, float))
    np.testing.assert_allclose(np.asarray(forward)[1][:, 1], expected, rtol=100 * far * EPS)


def test_small_slopes_at_certainty_are_not_lost():
    """d spread/d mu = ±4 alpha/(1−alpha²) by way of log-odds ±inf: once 0, a subnormal's."""

    def spread(mu, alpha):
        return gm.spread(gm.log_odds(mu), gm.Params(0.0, 1.0, 0.5, alpha))

    mu, alpha = np.array([0.0, 0.0, 1.0, 1.0]), np.array([1e-10, 0.003, 1e-10, 0.003])
    got = jax.jit(jax.vmap(jax.grad(spread)))(*(jnp.asarray(x, float) for x in (mu, alpha)))
    expected = np.where(mu == 0, 4, -4) * alpha / (1 - alpha**2)
    np.testing.assert_allclose(got, expected, rtol=32 * EPS)

    def after(mu, alpha):  # where a buy reveals V_H, d mu'/d alpha = (1−mu)/(2 mu): once cut at 256
        return gm.belief(gm.update(gm.log_odds(mu), gm.BUY, gm.Params(alpha=alpha)))

    mu = np.array([0.3, 1e-3, 1e-6, 1e-9])
    got = jax.jit(jax.vmap(jax.grad(after, 1)))(jnp.asarray(mu, float), jnp.ones(4))
    np.testing.assert_allclose(got, (1 - mu) / (2 * mu), rtol=64 * EPS)


def test_the_slack_of_a_threshold_is_that_of_its_rounding():
    """log 999999/log(13/7) = 22.3: in float32 a slack of one in log-odds once made it 21."""
    law = gm.first_passage(gm.Params(), threshold=0.999999, num_trades=1)
    assert float(law.net_orders) == 23


@pytest.mark.parametrize("alpha", [0.999, 1.0])
def test_a_day_of_buys_alone_at_high_alpha(alpha):
    """log L = log mu_0 + B log((1+alpha)/2), which differences of logs of 2 cannot hold."""
    alpha = float(jnp.asarray(alpha))
    with mp.workdps(40):
        p = (1 + mp.mpf(alpha)) / 2
        exact = float(mp.log(mp.mpf(1) / 2) + 10**6 * mp.log(p))
    got = float(gm.log_likelihood(gm.Params(mu_0=0.5, alpha=alpha), 10**6, 0))
    assert abs(got - exact) <= 8 * EPS * abs(exact)


def test_profits_do_not_depend_on_where_prices_are():
    """V = 1e6 ± 1 and V = ±1 are the same market, to the last bit, in float32 too."""
    key, far = jax.random.key(1), gm.Params(V_L=1e6 - 1, V_H=1e6 + 1)
    near = gm.Params(V_L=-1.0, V_H=1.0)
    a, b = (gm.simulate_summary(key, p, num_trades=9, num_paths=50) for p in (far, near))
    np.testing.assert_array_equal(a.dealer_profit.mean, b.dealer_profit.mean)
    x, y = (gm.simulate(key, p, num_trades=9, num_paths=50).profit for p in (far, near))
    np.testing.assert_array_equal(x, y)


def test_no_orders_leave_the_prior():
    np.testing.assert_array_equal(gm.log_odds_path([], gm.Params()), [0.0])


def test_batches_of_paths_are_refused_and_of_summaries_printed():
    keys = jax.random.split(jax.random.key(0), 2)
    batch = jax.vmap(lambda k: gm.simulate(k, gm.Params(), num_trades=9, num_paths=50))(keys)
    for read in (lambda p: p.ask, lambda p: p.net_buys, lambda p: p.value, gm.summary):
        with pytest.raises(ValueError, match=r"shape \(P, T\).*jax.vmap"):
            read(batch)
    assert str(jax.vmap(gm.summary)(batch)).startswith("Summary(")


@pytest.mark.parametrize(
    ("call", "error", "names"),
    [
        (lambda p: gm.quotes(None, p), TypeError, "log_odds"),
        (lambda p: gm.belief(None), TypeError, "log_odds"),
        (lambda p: gm.residual(gm.Quotes("a", 1.0), 0.0, p), TypeError, "quotes.bid"),
        (lambda p: gm.first_passage(p, threshold=[0.9], num_trades=1), ValueError, "threshold"),
        (lambda p: gm.log_likelihood(p, np.inf, 1), ValueError, "buys"),
        (lambda p: gm.count_orders(1), ValueError, "orders"),
        (lambda p: gm.calibrate(5, 3, mu_0=[0.5, 0.5]), ValueError, "mu_0"),
        (lambda p: gm.calibrate(5, 3, mu_0="x"), TypeError, "mu_0"),
        (lambda p: gm.summary(p), TypeError, "paths"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, error, names):
    with pytest.raises(error, match=names):
        call(gm.Params())


def test_thresholds_of_zero_are_refused():
    with pytest.raises(ValueError, match="thresholds"):
        gm.simulate_summary(
            jax.random.key(0), gm.Params(), num_trades=9, num_paths=50, thresholds=[0.0, 0.9]
        )


def test_quotes_to_judge_may_be_lists():
    judged = gm.residual(gm.Quotes([97.0], [103.0]), [0.0], gm.Params())
    assert float(judged.ask[0]) <= 4 * EPS and float(judged.bid[0]) <= 4 * EPS
