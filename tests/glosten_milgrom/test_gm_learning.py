"""How fast the market learns: the ballot theorem, fractions over all paths, closed forms."""

import itertools
from fractions import Fraction
from math import comb
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.glosten_milgrom.binary_value import Params
from diffeq.glosten_milgrom.learning import expected, first_passage, log_odds_path

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
TIGHT = 100 * EPS


def needed(alpha: Fraction, mu_0: Fraction, threshold: Fraction, truth: str) -> int:
    """Net orders for the truth until the belief in it is at the threshold, by exact fractions."""
    prior = mu_0 if truth == "V_H" else 1 - mu_0
    k = 0
    while prior * (1 + alpha) ** k * (1 - threshold) < ((1 - prior) * (1 - alpha) ** k * threshold):
        k += 1
    return k


def ballot(alpha: Fraction, k: int, num_trades: int) -> list[Fraction]:
    """P(first at k after t orders) = (k/t) C(t, (t+k)/2) p^((t+k)/2) q^((t−k)/2)."""
    p, q = (1 + alpha) / 2, (1 - alpha) / 2
    if k == 0:
        return [Fraction(1), *[Fraction(0)] * num_trades]
    law = [Fraction(0)]
    for t in range(1, num_trades + 1):
        up = (t + k) // 2
        possible = t >= k and (t + k) % 2 == 0
        ways = Fraction(k, t) * comb(t, up) if possible else Fraction(0)
        law.append(ways * p**up * q ** (t - up))
    return law


@pytest.mark.parametrize(
    ("alpha", "mu_0", "threshold", "truth"),
    [
        ("0.3", "0.5", "0.9", "V_H"),
        ("0.3", "0.5", "0.9", "V_L"),
        ("0.3", "0.2", "0.75", "V_H"),
        ("0.3", "0.2", "0.75", "V_L"),
        ("0.5", "0.5", "0.9", "V_H"),
        ("0.8", "0.5", "0.9", "V_H"),
        ("0.6", "0.5", "0.8", "V_L"),
        ("0.5", "0.25", "0.9", "V_H"),
        ("0.05", "0.5", "0.6", "V_H"),
        ("0.9", "0.5", "0.95", "V_L"),
        ("0.3", "0.9", "0.9", "V_H"),
        ("1", "0.5", "0.9", "V_H"),
    ],
)
def test_first_passage_is_the_ballot_theorem(
    alpha: str, mu_0: str, threshold: str, truth: str
) -> None:
    """The law, the count (equality included) and Wald's mean k/alpha, in exact fractions."""
    a, m, th = Fraction(alpha), Fraction(mu_0), Fraction(threshold)
    got = first_passage(
        Params(mu_0=float(m), alpha=float(a)), threshold=float(th), num_trades=30, truth=truth
    )
    k = needed(a, m, th, truth) if a < 1 else 1
    law = ballot(a, k, 30)
    assert int(got.net_orders) == k
    np.testing.assert_allclose(got.probability, np.array(law, float), rtol=0, atol=TIGHT)
    np.testing.assert_allclose(got.not_reached, float(1 - sum(law)), rtol=0, atol=TIGHT)
    np.testing.assert_allclose(got.mean, float(k / a), rtol=TIGHT)
    assert bool(got.info.converged)
    assert float(got.info.residual) <= TIGHT


def test_the_reference_mean() -> None:
    """alpha = .3, mu_0 = .5, V = V_H: 40/3 trades to 90 %."""
    mean = first_passage(Params(mu_0=0.5, alpha=0.3), threshold=0.9, num_trades=200).mean
    np.testing.assert_allclose(mean, 40 / 3, rtol=TIGHT)


def test_what_is_never_reached_says_so() -> None:
    """No informed traders, an impossible truth, a belief of one: never, and inf, not a length."""
    for params, threshold, truth in (
        (Params(alpha=0.0), 0.9, "V_H"),
        (Params(mu_0=0.0), 0.9, "V_H"),
        (Params(mu_0=1.0), 0.9, "V_L"),
        (Params(), 1.0, "V_H"),
    ):
        law = first_passage(params, threshold=threshold, num_trades=20, truth=truth)
        assert np.isinf(law.mean) and np.isinf(law.net_orders)
        np.testing.assert_allclose(law.not_reached, 1.0, rtol=TIGHT)
        assert not np.any(law.probability)
        assert bool(law.info.converged)
    for params, truth in ((Params(mu_0=1.0), "V_H"), (Params(mu_0=0.0, alpha=0.0), "V_L")):
        law = first_passage(params, num_trades=20, truth=truth)
        assert float(law.mean) == 0 and float(law.probability[0]) == 1


@pytest.mark.float64
def test_derivatives_of_the_mean_and_the_law() -> None:
    """d(k/alpha)/d alpha = −k/alpha²; the law's derivative by finite differences."""

    def law(x: Any) -> jax.Array:
        params = Params(mu_0=x[0], alpha=x[1])
        found = first_passage(params, num_trades=12)
        return jnp.append(found.probability, found.mean)

    x = np.array([0.4, 0.3])
    forward, reverse = helpers.forward_and_reverse(law, x)
    helpers.assert_close_by_norm(forward, reverse, 1e-13)
    helpers.assert_close_by_norm(forward, helpers.differences(law, x), 1e-10)
    k = first_passage(Params(mu_0=0.4), num_trades=1).net_orders
    np.testing.assert_allclose(forward[-1], [0.0, -k / 0.3**2], rtol=1e-12)


def enumerated(
    alpha: Fraction, mu_0: Fraction, V_L: Fraction, V_H: Fraction, num_trades: int
) -> dict[str, list[Fraction]]:
    """Expected beliefs and spreads over all 2^T order sequences."""
    p, q = (1 + alpha) / 2, (1 - alpha) / 2
    out: dict[str, list[Fraction]] = {}
    names = ("belief_if_high", "belief_if_low", "spread", "spread_if_high", "spread_if_low")
    for t in range(num_trades + 1):
        total = dict.fromkeys(names, Fraction(0))
        for orders in itertools.product((1, -1), repeat=t):
            buys = orders.count(1)
            high, low = p**buys * q ** (t - buys), q**buys * p ** (t - buys)
            seen = mu_0 * high + (1 - mu_0) * low
            mu = mu_0 * high / seen
            ask = (mu * p * V_H + (1 - mu) * q * V_L) / (mu * p + (1 - mu) * q)
            bid = (mu * q * V_H + (1 - mu) * p * V_L) / (mu * q + (1 - mu) * p)
            total["belief_if_high"] += high * mu
            total["belief_if_low"] += low * mu
            total["spread"] += seen * (ask - bid)
            total["spread_if_high"] += high * (ask - bid)
            total["spread_if_low"] += low * (ask - bid)
        for name in names:
            out.setdefault(name, []).append(total[name])
    return out


@pytest.mark.parametrize(("alpha", "mu_0"), [("0.3", "0.5"), ("0.7", "0.2"), ("0.05", "0.9")])
def test_expected_beliefs_and_spreads_are_those_of_all_sequences(alpha: str, mu_0: str) -> None:
    """Against enumeration in fractions; and the belief is a martingale."""
    a, m = Fraction(alpha), Fraction(mu_0)
    want = enumerated(a, m, Fraction(-3), Fraction(110), 7)
    got = expected(Params(-3.0, 110.0, float(m), float(a)), num_trades=7)
    for name, values in want.items():
        values = values if name.startswith("belief") else values[:-1]
        np.testing.assert_allclose(getattr(got, name), np.array(values, float), rtol=TIGHT)
    mean = float(m) * got.belief_if_high + float(1 - m) * got.belief_if_low
    np.testing.assert_allclose(mean, float(m), rtol=TIGHT)
    assert float(got.info.residual) <= TIGHT


def test_the_market_learns() -> None:
    """Beliefs in the truth rise, spreads fall, and more informed traders speed both up."""
    slow, fast = (expected(Params(alpha=a), num_trades=60) for a in (0.2, 0.4))
    for found in (slow, fast):
        assert np.all(np.diff(found.belief_if_high) > 0)
        assert np.all(np.diff(found.spread_if_high) < 0)
    assert np.all(fast.belief_if_high[1:] > slow.belief_if_high[1:])
    assert float(fast.spread[0]) > float(slow.spread[0])
    assert float(fast.spread[-1]) < float(slow.spread[-1])


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("mu_0", [0.0, 0.5, 1.0])
def test_ends_have_values_and_derivatives(alpha: float, mu_0: float) -> None:
    """No NaN at any end; with certainty nothing is learnt and nothing earned."""

    def total(params: Params) -> jax.Array:
        found = expected(params, num_trades=6)
        return jnp.sum(found.spread) + jnp.sum(found.belief_if_high)

    params = Params(90.0, 110.0, mu_0, alpha)
    value, slopes = jax.value_and_grad(total)(params)
    assert np.isfinite(value) and np.all(np.isfinite(jax.tree.leaves(slopes)))
    found = expected(params, num_trades=6)
    if mu_0 in (0.0, 1.0):
        np.testing.assert_array_equal(found.spread, 0)
        np.testing.assert_array_equal(found.belief_if_high, mu_0)
    if alpha == 1.0 and mu_0 == 0.5:
        np.testing.assert_array_equal(found.spread[1:], 0)
        np.testing.assert_array_equal(found.belief_if_high[1:], 1)


def test_a_path_counts_orders() -> None:
    """As many buys as sales return to the prior, to the last bit; every step is one update."""
    orders = np.array([1, 1, -1, 1, -1, -1, -1, 1] * 500)
    path = np.asarray(log_odds_path(orders, Params(mu_0=0.37, alpha=0.3)))
    net = np.concatenate([[0], np.cumsum(orders)])
    for level in np.unique(net):
        assert len(np.unique(path[net == level])) == 1
    assert path.shape == (4001,)
    np.testing.assert_allclose(np.diff(path), orders * np.log(1.3 / 0.7), rtol=200 * EPS)


def test_out_of_domain_is_flagged_and_alone() -> None:
    """A traced bad lane is NaN in value and slope; its neighbours keep their bits."""
    good = jnp.array([0.2, 0.3, 0.4])
    bad = good.at[1].set(1.5)

    def mean(alpha: jax.Array) -> tuple[jax.Array, jax.Array]:
        law = first_passage(Params(alpha=alpha), num_trades=5)
        return law.mean, law.info.converged

    slope = jax.vmap(jax.grad(lambda a: mean(a)[0]))
    (value, ok), (alone, _) = jax.vmap(mean)(bad), jax.vmap(mean)(good)
    assert np.array_equal(ok, [True, False, True])
    assert np.isnan(value[1]) and np.isnan(slope(bad)[1])
    helpers.assert_same_bits(value[::2], alone[::2])
    assert not jax.vmap(lambda a: expected(Params(alpha=a), num_trades=2).info.converged)(bad)[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: first_passage(Params(), threshold=1.2, num_trades=3), "threshold"),
        (lambda: first_passage(Params(), threshold=0.0, num_trades=3), "threshold"),
        (lambda: first_passage(Params(), truth="high", num_trades=3), "truth"),
        (lambda: first_passage(Params(alpha=-0.1), num_trades=3), "alpha"),
        (lambda: expected(Params(), num_trades=0), "num_trades"),
        (lambda: log_odds_path([1, 0, -1], Params()), r"orders\[1\]"),
        (lambda: log_odds_path([[1, -1]], Params()), "orders"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
