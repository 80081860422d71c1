"""Signals and prior from smiles: recovered from chains made by scipy, and tried on real ones."""

import json
from typing import Any

import helpers
import jax
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import integrate, optimize, stats

from diffeq import check
from diffeq.__main__ import main
from diffeq.contingent import calibration, lognormal
from diffeq.empirical import readers, smile

pytestmark = pytest.mark.float64

Array = NDArray[np.float64]
AS_OF, EXPIRY = "2024-01-02T16:00", "2024-04-02"
YEARS = 91 / 365
STRIKES = np.linspace(70.0, 140.0, 21)
FORWARD, DISCOUNT = 100.0, 0.99


# The model again, by scipy: x by its condition, m by adaptive quadrature, prices by integration


def scale(prior: float) -> float:
    """x of E[q² (1−q)]/E[q (1−q)] = 1/(1+x²)."""

    def condition(x: float) -> float:
        top = bottom = 0.0
        for p, mean in ((prior, x), (1 - prior, -1 / x)):
            top += p * expect(lambda q: q * q * (1 - q), x, mean, prior)
            bottom += p * expect(lambda q: q * (1 - q), x, mean, prior)
        return top / bottom - 1 / (1 + x * x)

    return float(optimize.brentq(condition, 0.2, 5.0, xtol=1e-13))


def expect(of: Any, x: float, mean: float, prior: float) -> float:
    """E of a function of the posterior of signal 1, order flow w ~ N(mean, 1)."""

    def integrand(w: float) -> float:
        odds = np.log(prior / (1 - prior)) + (x + 1 / x) * w - (x**2 - x**-2) / 2
        return of(1 / (1 + np.exp(-odds))) * stats.norm.pdf(w - mean)

    return integrate.quad(integrand, mean - 12, mean + 12, epsabs=1e-13, limit=200)[0]


def seen_weight(prior: float, signal: int) -> float:
    x = scale(prior)
    return expect(lambda q: q, x, x if signal == 1 else -1 / x, prior)


def call_price(strike: float, sigma: float, mean: float = FORWARD) -> float:
    """E (S − K)⁺, S lognormal."""
    s = sigma * np.sqrt(YEARS)
    law = stats.lognorm(s, scale=mean * np.exp(-s * s / 2))
    return integrate.quad(law.sf, strike, np.inf, epsabs=1e-12, limit=200)[0]


def chain_of(calls: Array, *, half_spread: float = 0.01) -> pd.DataFrame:
    """Quotes of calls, and of puts by parity, both undiscounted until here."""
    rows = []
    for kind, value in (("call", calls), ("put", calls - FORWARD + STRIKES)):
        mid = DISCOUNT * value
        rows.append(
            pd.DataFrame(
                dict(
                    expiry=EXPIRY,
                    type=kind,
                    strike=STRIKES,
                    bid=mid - half_spread * mid,
                    ask=mid + half_spread * mid,
                )
            )
        )
    return pd.concat(rows, ignore_index=True)


def made(sigma_1: float, sigma_2: float, weight: float) -> pd.DataFrame:
    calls = [
        weight * call_price(k, sigma_1) + (1 - weight) * call_price(k, sigma_2) for k in STRIKES
    ]
    return chain_of(np.array(calls))


@pytest.fixture(scope="module")
def known() -> pd.DataFrame:
    """sigma (.45, .18), prior .3, the insider saw signal 2."""
    return made(0.45, 0.18, seen_weight(0.3, 2))


def fitted(table: Any, **options: Any) -> calibration.SmileCalibration:
    return calibration.calibrate_smile(table, expiry=EXPIRY, as_of=AS_OF, **options)


def test_signals_and_prior_are_recovered(known: pd.DataFrame) -> None:
    found = check(fitted(known))
    np.testing.assert_allclose(
        [found.sigma_1, found.sigma_2, found.prior], [0.45, 0.18, 0.3], rtol=1e-5
    )
    assert found.signal == 2 and found.rmse < 1e-4 and found.mixture_rmse < 1e-3
    np.testing.assert_allclose(found.volatility, found.smile.volatility, atol=1e-7)
    assert found.prior_by_signal[0] < 1e-5  # the other reading needs an extreme prior
    text = str(found)
    for words in ("sigma_2", "the noise", "which signal was seen", "in the money", "converged"):
        assert words in text


def test_from_the_shell(known: pd.DataFrame, tmp_path: Any, capsys: Any) -> None:
    """A file of quotes, one of them crossed: named, and then left out."""
    file = tmp_path / "chain.csv"
    crossed = known.iloc[:1].assign(strike=1.0, bid=99.0)
    pd.concat([known, crossed]).to_csv(file, index=False)
    command = ["calibrate", "smiles", "--chain", str(file), "--as-of", AS_OF]
    with pytest.raises(SystemExit, match=r"chain\.csv, line 44.*crossed.*--bad-rows drop"):
        main(command)
    main([*command, "--bad-rows", "drop", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["converged"] and "chain.csv" in printed["source"]
    found = fitted(known)
    for name, error in found.standard_errors.items():
        assert printed["estimates"][name] == pytest.approx(getattr(found, name), rel=1e-6)
        assert printed["standard_errors"][name] == pytest.approx(error, rel=1e-3)


def test_the_reading_changes_the_prior_and_nothing_else(known: pd.DataFrame) -> None:
    """The same weight from signal 1's insider; label switching is excluded by the order."""
    weight = 0.6
    table = made(0.4, 0.2, weight)
    first, second = (fitted(table, signal=k) for k in (1, 2))
    assert first.sigma_1 == second.sigma_1 and first.weight == second.weight
    assert first.sigma_1 > first.sigma_2
    for found, k in ((first, 1), (second, 2)):
        assert found.signal == k and found.prior == found.prior_by_signal[k - 1]
        assert seen_weight(found.prior, k) == pytest.approx(weight, abs=1e-5)
    assert fitted(table).signal == 1, "by default the one that prices hold for likelier"


def test_mids_alone_count_alike(known: pd.DataFrame) -> None:
    mids = known.assign(mid=(known.bid + known.ask) / 2).drop(columns=["bid", "ask"])
    found = fitted(mids)
    np.testing.assert_allclose(found.prior, 0.3, rtol=1e-4)
    assert np.ptp(found.smile.weights) == 0 and np.isnan(found.smile.bid_volatility).all()


def test_noisy_quotes_stay_within_their_errors(known: pd.DataFrame) -> None:
    """Mids off by independent errors of a fifth of the half spread: within 4 standard errors."""
    rng = np.random.default_rng(1)
    shift = 0.002 * (known.bid + known.ask) / 2 * rng.normal(size=len(known))
    found = fitted(known.assign(bid=known.bid + shift, ask=known.ask + shift))
    for name, truth in (("sigma_1", 0.45), ("sigma_2", 0.18), ("prior", 0.3)):
        error = found.standard_errors[name]
        assert 0 < error < 0.1 * truth
        assert abs(getattr(found, name) - truth) < 4 * error, name


def test_skew_is_the_mixtures(known: pd.DataFrame) -> None:
    """Lognormals of unlike means: the plain mixture fits, two signals of one mean do not."""
    weight, low = 0.2, 0.9 * FORWARD
    high = (FORWARD - weight * low) / (1 - weight)
    calls = [
        weight * call_price(k, 0.35, low) + (1 - weight) * call_price(k, 0.2, high) for k in STRIKES
    ]
    found = fitted(chain_of(np.array(calls)))
    assert found.mixture_rmse < 1e-3 < 0.5 < found.rmse
    estimates = found.mixture.params
    assert estimates.weight == pytest.approx(weight, abs=1e-3)
    assert estimates.sigma_1 == pytest.approx(0.35, abs=1e-3)
    share = 1 / (1 + (1 - weight) / weight * np.exp(-estimates.tilt))
    assert FORWARD * share / weight == pytest.approx(low, rel=1e-3)


def test_one_volatility_leaves_the_prior_unidentified() -> None:
    found = fitted(made(0.25, 0.25, 0.5))
    assert found.sigma_1 == pytest.approx(0.25, rel=1e-2) or found.sigma_2 == pytest.approx(0.25)
    assert not np.isfinite(found.standard_errors["prior"])
    assert "not identified: sigma_2, prior" in str(found)


# The model's own functions


@jax.jit
@jax.grad
def derivative(prior: jax.Array, saw_first: jax.Array) -> jax.Array:
    return lognormal.weight(prior, saw_first)


@pytest.mark.parametrize("signal", [1, 2])
def test_expected_weight_and_its_inverse(signal: int) -> None:
    for prior in (0.02, 0.3, 0.5, 0.9):
        weight = float(lognormal.expected_weight(prior, signal=signal))
        assert weight == pytest.approx(seen_weight(prior, signal), abs=1e-10)
        read = lognormal.implied_prior(weight, signal=signal)
        assert read.prior == pytest.approx(prior, rel=1e-9) and read.info.converged
        assert read.slope == pytest.approx(1 / float(derivative(prior, signal == 1)), rel=1e-8)
    with pytest.raises(ValueError, match="prior: expected a finite positive"):
        lognormal.expected_weight(1.0, signal=signal)
    nothing, everything = 1e-4, 1 - 1e-4  # of what was seen, then of what was not
    assert lognormal.implied_prior(nothing, signal=1).prior == 0.0
    assert lognormal.implied_prior(everything, signal=2).prior == 1.0


def test_gradient_through_the_equilibrium() -> None:
    """Of implied volatilities in (sigma_1, sigma_2, prior): reverse, forward, differences."""

    def volatility(theta: Any) -> jax.Array:
        weight = lognormal.expected_weight(theta[2], signal=1)
        return lognormal.mixture_volatility(STRIKES[::10], FORWARD, YEARS, *theta[:2], weight)

    at = np.array([0.45, 0.18, 0.3])
    compiled = jax.jit(helpers.jacobians(volatility))
    _, forward, reverse = compiled(at)
    np.testing.assert_allclose(forward, reverse, rtol=1e-10, atol=1e-13)
    steps = 1e-5 * np.eye(3)
    differences = [(compiled(at + h)[0] - compiled(at - h)[0]) / 2e-5 for h in steps]
    np.testing.assert_allclose(forward, np.stack(differences, axis=1), rtol=1e-6, atol=1e-8)


# What is refused


def test_refusals(known: pd.DataFrame) -> None:
    few = known[known.strike.isin(STRIKES[[8, 10, 12]])]
    with pytest.raises(ValueError, match="expected at least 5 usable strikes, got 3"):
        fitted(few)
    with pytest.raises(ValueError, match="crossed quote"):
        fitted(known.assign(bid=known.ask, ask=known.bid))
    mids = known.drop(columns=["bid", "ask"]).assign(mid=1.0)
    mids.loc[3, "mid"] = np.nan
    with pytest.raises(ValueError, match="mid: expected positive numbers, got nan in row 3"):
        fitted(mids)
    with pytest.raises(ValueError, match="expiry: expected one of 2024-04-02, got 2024-05-01"):
        calibration.calibrate_smile(known, expiry="2024-05-01", as_of=AS_OF)
    with pytest.raises(ValueError, match="as_of"):
        calibration.calibrate_smile(known)
    with pytest.raises(ValueError, match="signal: expected 1, 2 or None, got 3"):
        fitted(known, signal=3)
    with pytest.raises(ValueError, match="weight: expected a number"):
        lognormal.implied_prior(1.5, signal=1)


def test_every_row_is_accounted_for(known: pd.DataFrame) -> None:
    """A blank side, left out by the reader, is in the same report as what the smile leaves out."""
    known = known.copy()
    known.loc[0, "bid"] = np.nan
    report = fitted(known).smile.report
    assert report.filtered["a side without a price"] == 1
    assert report.rows_read == len(known) == report.kept + sum(report.filtered.values())


# Real chains


def test_real_chains(market_data: Any) -> None:
    """Skewed smiles: the equal-mean model misses by points, the mixture by a fraction of one."""
    folder = market_data / "options"
    for name, expiry, as_of in (
        ("lean_goog_20151224_chain_snapshot_1200.csv", "2016-02-19", "2015-12-24T12:00"),
        (
            "lean_es_20200106_exp20200320_option_quotes_15min.csv.gz",
            "2020-03-20",
            "2020-01-06T18:00",
        ),
    ):
        chain = readers.options.chain(folder / name)
        found = calibration.calibrate_smile(smile.smile(chain, expiry, as_of=as_of))
        assert found.fit.converged and found.mixture.converged and bool(found.info.converged)
        assert found.mixture_rmse < 0.3 < 1 < found.rmse < 5
        low, high = found.smile.volatility.min(), found.smile.volatility.max()
        assert found.sigma_2 < high and found.sigma_1 > low
