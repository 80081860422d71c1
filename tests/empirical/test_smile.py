"""Smiles from quotes: chains made with scipy's Black formula, bad chains, and real ones."""

import jax
import numpy as np
import pytest
from scipy.stats import norm

from diffeq.empirical import parity, readers, smile
from diffeq.empirical.bad_rows import Report
from diffeq.empirical.readers.records import OptionChain

X64 = jax.config.jax_enable_x64
EXPIRY = np.datetime64("2024-09-20")
AS_OF = "2024-06-21T16:00"  # 91 days before
YEARS = 91 / 365
FORWARD, DISCOUNT = 102.0, 0.99
STRIKES = np.arange(60.0, 151.0, 5.0)


def true_volatility(strike):
    return 0.25 - 0.2 * np.log(strike / FORWARD) + 0.3 * np.log(strike / FORWARD) ** 2


def price(strike, is_call, volatility):
    s = volatility * np.sqrt(YEARS)
    d = np.log(FORWARD / strike) / s + s / 2
    sign = np.where(is_call, 1, -1)
    return DISCOUNT * sign * (FORWARD * norm.cdf(sign * d) - strike * norm.cdf(sign * (d - s)))


def make_chain(strikes=STRIKES, half_spread=0.02, **columns) -> OptionChain:
    """Calls then puts at each strike, quoted around Black's price."""
    strike, is_call = np.tile(strikes, 2), np.repeat([True, False], len(strikes))
    mid = price(strike, is_call, true_volatility(strike))
    half = np.minimum(half_spread, mid / 5)
    n = strike.size
    fields = dict(
        time=np.full(n, np.nan), expiry=np.full(n, EXPIRY), strike=strike, is_call=is_call,
        bid=mid - half, bid_size=np.ones(n), ask=mid + half, ask_size=np.ones(n), origin=None,
        report=Report("made", {}, n, n, {}, {}, {}, ""),
    )  # fmt: skip
    return OptionChain(**(fields | columns))


def adds_up(found: smile.Smile) -> bool:
    report = found.report
    return report.rows_read == report.kept + sum(report.filtered.values())


def test_finds_what_the_chain_was_made_with():
    found = smile.smile(make_chain(), EXPIRY, as_of=AS_OF)
    np.testing.assert_allclose([found.forward, found.discount], [FORWARD, DISCOUNT], rtol=1e-9)
    assert found.parity.num_pairs == STRIKES.size and found.parity.num_outliers == 0
    assert found.parity.forward_error < 1e-6
    assert found.years == YEARS
    np.testing.assert_array_equal(found.strike, STRIKES)
    np.testing.assert_array_equal(found.is_call, STRIKES >= FORWARD)
    np.testing.assert_allclose(
        found.volatility, true_volatility(STRIKES), rtol=1e-7 if X64 else 1e-4
    )
    assert (found.bid_volatility < found.volatility).all()
    assert (found.ask_volatility > found.volatility).all()
    assert found.report.filtered == {"in the money": STRIKES.size} and adds_up(found)
    assert found.report.counted == {}


def test_weights_are_inverse_squares_of_the_quoted_uncertainty():
    found = smile.smile(make_chain(half_spread=1e-3), EXPIRY, as_of=AS_OF)
    half = (found.ask_volatility - found.bid_volatility) / 2
    near = np.abs(np.log(found.strike / FORWARD)) < 0.25  # elsewhere spreads are a fifth of the mid
    expected = half[near] ** -2.0
    ratio = found.weights[near] / expected
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3 if X64 else 0.1)
    assert abs(found.weights.sum() - 1) < 1e-12


def test_every_quote_is_accounted_for():
    """One of each kind; the report names each, and the others' volatilities do not move."""
    chain = make_chain()
    bid, ask, expiry = chain.bid.copy(), chain.ask.copy(), chain.expiry.copy()
    calls = {k: i for i, k in enumerate(STRIKES)}
    bid[calls[105.0]] = np.nan
    bid[calls[110.0]] = 0.0
    bid[calls[115.0]], ask[calls[115.0]] = ask[calls[115.0]], bid[calls[115.0]]
    bid[calls[120.0]] = ask[calls[120.0]]
    bid[calls[125.0]] = 0.3 * ask[calls[125.0]]
    ask[calls[65.0]] = bid[calls[65.0]] = 30.0  # far below 102 − 65, but locked first
    bid[calls[70.0]], ask[calls[70.0]] = 29.0, 29.1  # discounted intrinsic value 31.68
    expiry[calls[150.0]] += 30
    found = smile.smile(chain._replace(bid=bid, ask=ask, expiry=expiry), EXPIRY, as_of=AS_OF)
    assert found.report.filtered == {
        "another expiry": 1,
        "a side without a price": 1,
        "zero bid": 1,
        "crossed quote (bid above ask)": 1,
        "locked quote (bid equals ask)": 2,
        "mid at or below the discounted intrinsic value": 1,
        "in the money": STRIKES.size - 2,
        "spread above 0.5 of the mid": 1,
    }
    assert adds_up(found)
    assert set(STRIKES) - set(found.strike) == {105, 110, 115, 120, 125, 150}
    # two parity pairs are wrong (70 and 125): robust, they get no weight
    assert found.parity.num_outliers >= 1
    assert abs(found.forward - FORWARD) < 0.01
    np.testing.assert_allclose(found.volatility, true_volatility(found.strike), rtol=2e-3)


def test_shape_violations_are_counted_not_dropped():
    chain = make_chain()
    bid, ask = chain.bid.copy(), chain.ask.copy()
    row = int(np.flatnonzero((chain.strike == 120) & chain.is_call)[0])
    bid[row], ask[row] = bid[row] + 1, ask[row] + 1  # dearer than the call at 115
    found = smile.smile(chain._replace(bid=bid, ask=ask), EXPIRY, as_of=AS_OF, discount=DISCOUNT)
    assert found.report.counted["mids not monotone in the strike"] == 1
    assert found.report.counted["mids not convex in the strike"] == 1
    assert found.strike.size == STRIKES.size and adds_up(found)


def test_three_strikes():
    chain = make_chain(np.array([95.0, 100.0, 110.0]))
    found = smile.smile(chain, EXPIRY, as_of=AS_OF)
    np.testing.assert_allclose(found.forward, FORWARD, rtol=1e-9)
    assert found.strike.tolist() == [95, 100, 110] and found.parity.num_pairs == 3
    two = make_chain(np.array([95.0, 110.0]))
    with pytest.raises(ValueError, match=r"at least 3 strikes.*got 2 \(2 do with the discount"):
        smile.smile(two, EXPIRY, as_of=AS_OF)
    found = smile.smile(two, EXPIRY, as_of=AS_OF, discount=DISCOUNT)
    np.testing.assert_allclose(found.forward, FORWARD, rtol=1e-9)
    assert found.parity.discount_error == 0


def test_last_quote_up_to_the_moment():
    """The chain at 10:00 is the last quote of each contract up to then; later ones do not exist."""
    now, then = make_chain(), make_chain(STRIKES[:-1])
    n, m = now.strike.size, then.strike.size

    def joined(field):
        return np.concatenate([getattr(then, field), getattr(now, field), getattr(then, field)])

    arrays = {name: joined(name) for name in OptionChain._fields[:8]}
    arrays["time"] = np.repeat([9.0, 10.0, 11.0], [m, n, m]) * 3600
    arrays["bid"][:m] *= 0.9  # stale and wrong
    arrays["ask"][n + m :] *= 1.1
    chain = OptionChain(**arrays, origin=None, report=now.report)
    found = smile.smile(chain, EXPIRY, as_of="2024-06-21T10:00")
    assert found.report.filtered["later than the moment of valuation"] == m
    assert found.report.filtered["superseded by a later quote"] == m
    np.testing.assert_allclose(found.forward, FORWARD, rtol=1e-9)
    assert found.years == (91 * 24 + 6) / 24 / 365
    dated = chain._replace(origin=np.datetime64("2024-06-21", "ns"))
    assert smile.smile(dated, EXPIRY).years == (91 * 24 + 5) / 24 / 365
    fresh = smile.smile(chain, EXPIRY, as_of="2024-06-21T10:30", max_age_s=1800)
    assert fresh.report.filtered["older than 1800 s"] == m and adds_up(fresh)


def test_refuses():
    chain = make_chain()
    with pytest.raises(ValueError, match="as_of: expected the moment of valuation"):
        smile.smile(chain, EXPIRY)
    with pytest.raises(ValueError, match="expiry: expected one of 2024-09-20, got 2024-09-21"):
        smile.smile(chain, "2024-09-21", as_of=AS_OF)
    with pytest.raises(ValueError, match="as_of: expected a moment before expiry"):
        smile.smile(chain, EXPIRY, as_of="2024-09-20T16:00")
    twice = OptionChain(*(np.tile(x, 2) for x in chain[:8]), origin=None, report=chain.report)
    with pytest.raises(ValueError, match="a contract is quoted twice at one time, 60 put"):
        smile.smile(twice, EXPIRY, as_of=AS_OF)
    with pytest.raises(ValueError, match="does not fall with the strike"):
        smile.smile(chain._replace(is_call=~chain.is_call), EXPIRY, as_of=AS_OF)
    for discount in (-0.97, 0.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="discount: expected a finite positive number"):
            smile.smile(chain, EXPIRY, as_of=AS_OF, discount=discount)
    with pytest.raises(ValueError, match="(?s)no row is left.*19 spread above 1e-06 of the mid"):
        smile.smile(chain, EXPIRY, as_of=AS_OF, max_spread=1e-6)
    for name, bad in (
        ("max_spread", np.nan), ("max_age_s", -1.0), ("as_of", "noon"), ("expiry_time", "4pm"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name}: expected"):
            smile.smile(chain, EXPIRY, **({"as_of": AS_OF} | {name: bad}))
    with pytest.raises(ValueError, match="expiry: expected ISO 8601.*got 'soon'"):
        smile.smile(chain, "soon", as_of=AS_OF)


@pytest.mark.parametrize("discount", [None, 0.97])
def test_parity_errors_cover_the_truth(discount):
    """Over 600 samples |F − truth| < 1.96 errors about 95 times in 100 (40 pairs: 93)."""
    rng = np.random.default_rng(0)
    strike = np.linspace(70, 130, 40)
    error = np.exp(rng.normal(size=40) / 2) / 10
    inside = 0
    for _ in range(600):
        difference = 0.97 * (101 - strike) + error * rng.normal(size=40)
        found = parity.regress(strike, difference, error, discount)
        inside += abs(found.forward - 101) < 1.96 * found.forward_error
    assert 0.90 * 600 <= inside <= 0.97 * 600


def test_parity_ignores_outliers():
    strike = np.linspace(70, 130, 30)
    difference = 0.97 * (101 - strike)
    difference[[3, 17, 28]] += [30.0, -20, 15]
    found = parity.regress(strike, difference, np.full(30, 0.1))
    np.testing.assert_allclose([found.forward, found.discount], [101, 0.97], rtol=1e-9)
    assert found.num_outliers == 3 and found.residual < 1e-9


# Real chains


@pytest.fixture(scope="module")
def goog(market_data):
    return readers.options.chain(
        market_data / "options/lean_goog_20151224_chain_snapshot_1200.csv", keep_one_sided=True
    )


def test_goog_forwards(goog):
    """Spot 750.59, no dividend: forwards rise with maturity, from spot, at 0.3 to 0.9 % a year.

    The data's README has 750.9 to 755.9 for January 2016 to January 2017.
    """
    found = {}
    for expiry in np.unique(goog.expiry)[1:]:
        found[str(expiry)] = each = smile.smile(goog, expiry, as_of="2015-12-24T12:00")
        assert adds_up(each) and each.report.rows_read == 2192
        assert each.report.filtered["another expiry"] > 1500
        assert each.parity.num_pairs >= 30 and each.parity.forward_error < 0.15
        assert -0.15 < each.forward - 750.59 < 8.5
        assert np.isfinite(each.volatility).all() and (each.volatility > 0.1).all()
        assert (each.bid_volatility <= each.volatility).all()
    today = smile.smile(goog, "2015-12-24", as_of="2015-12-24T12:00", discount=1.0, max_spread=1.0)
    assert abs(today.forward - 750.59) < 0.15 and len(found) == 11
    monthly = ["2016-01-15", "2016-02-19", "2016-03-18", "2016-06-17", "2017-01-20", "2018-01-19"]
    forwards = [found[expiry].forward for expiry in monthly]
    assert (np.diff(forwards) > 0).all()
    assert abs(forwards[0] - 750.9) < 0.1 and abs(forwards[4] - 755.9) < 0.1
    for expiry in monthly[2:]:
        assert 0.002 < -np.log(found[expiry].discount) / found[expiry].years < 0.01


def test_goog_smile(goog):
    """33 % at 85 % moneyness to 25.8 % at 110 % (the data's README)."""
    found = smile.smile(goog, "2016-02-19", as_of="2015-12-24T12:00")
    at = np.interp([0.85, 1.1], found.strike / found.forward, found.volatility)
    np.testing.assert_allclose(at, [0.33, 0.258], atol=5e-4)
    assert found.report.filtered["a side without a price"] > 0
    assert "from parity" in str(found.report)


def test_es_forward(market_data):
    """10:00 UTC: parity 3213.72, the future 3213.63 (the data's README)."""
    chain = readers.options.chain(
        market_data / "options/lean_es_20200106_exp20200320_option_quotes_15min.csv.gz"
    )
    found = smile.smile(
        chain, "2020-03-20", as_of="2020-01-06T10:00", expiry_time="14:30", max_age_s=1
    )
    assert abs(found.forward - 3213.72) < 3 * found.parity.forward_error < 0.2
    assert 0.994 < found.discount < 0.998  # 1.5 to 2 % a year
    assert adds_up(found) and found.report.filtered["older than 1 s"] > 1000
    assert found.volatility[0] > found.volatility[-1]
