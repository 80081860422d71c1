"""The readers, signing and impact on real files; skipped, saying so, where they are absent."""

import time

import numpy as np
import pytest

from diffeq.empirical import impact, readers, signing


@pytest.fixture(scope="module")
def futures(market_data):
    stem = "crypto/binance_usdm_btcusdt_20240808"
    return market_data / f"{stem}_trades.csv.gz", market_data / f"{stem}_bookticker.csv.gz"


@pytest.fixture(scope="module")
def spot(market_data):
    stem = "crypto/binance_spot_btcusdt_20240808-09"
    return market_data / f"{stem}_trades.csv.gz", market_data / f"{stem}_bookticker.csv.gz"


def equity(market_data, name):
    stem = f"equity/lean_{name}"
    return market_data / f"{stem}_trades.csv.gz", market_data / f"{stem}_quotes.csv.gz"


def agreement(tape) -> float:
    sign = signing.lee_ready(tape.trades, tape.quotes)
    return signing.accuracy(sign, signing.venue_flag(tape.trades)).agreement


def adds_up(report) -> bool:
    taken_out = sum(report.filtered.values()) + sum(report.bad.values())
    return report.rows_read == report.kept + taken_out


def test_futures_on_exchange_time(futures):
    tape = readers.tape(*futures)
    assert tape.origin == np.datetime64("2024-08-08")
    assert (tape.trades.time.size, tape.quotes.time.size) == (21_313, 66_089)
    assert all(adds_up(report) and not report.bad for report in tape.reports)
    assert 0.997 <= agreement(tape) <= 0.9985
    tick = signing.accuracy(signing.tick_rule(tape.trades.price), tape.trades.sign)
    assert 0.96 <= tick.agreement <= 0.98


def test_futures_on_the_collectors_clock(futures):
    assert abs(agreement(readers.tape(*futures, time="local")) - 0.866) < 0.001


def test_spot_on_the_collectors_clock(spot):
    tape = readers.tape(*spot)
    assert abs(agreement(tape) - 0.516) < 0.0015
    assert [report.columns["time"] for report in tape.reports] == [
        "local_ts [ns since 1970 UTC]"
    ] * 2


def test_strictly_earlier_matters(futures):
    """Joined with quotes of the trade's own millisecond the agreement collapses."""
    tape = readers.tape(*futures)
    index = np.searchsorted(tape.quotes.time, tape.trades.time, side="right") - 1
    mid = (tape.quotes.bid[index] + tape.quotes.ask[index]) / 2
    late = np.sign(tape.trades.price - mid).astype(np.int8)
    assert signing.accuracy(late, tape.trades.sign).agreement < agreement(tape) - 0.1


def test_futures_impact(futures):
    """A bitcoin bought moves the mid up; the price of the interval's flow is significant."""
    tape = readers.tape(*futures)
    cut = impact.intervals(tape, signing.venue_flag(tape.trades), interval_s=1.0)
    fit = impact.regress(cut.mid_change, cut.signed_flow)
    assert cut.start.size == 343
    assert float(fit.lambda_) > 0 and float(fit.t) > 3
    assert 0.2 < float(fit.r_squared) < 0.6


def test_ibm_places(market_data):
    """Shares of the data's README: 34 % at the ask, 34 % at the bid, 30 % inside, 10 % at mid."""
    tape = readers.tape(
        *equity(market_data, "ibm_20131008"), hours="all", leave_out=(), bad_rows="drop"
    )
    assert tape.trades.time.size == 33_381
    place = signing.place(tape.trades, tape.quotes)
    share = {name: float((place == k).mean()) for k, name in enumerate(signing.PLACES)}
    assert abs(share["at ask"] - 0.34) < 0.025
    assert abs(share["at bid"] - 0.34) < 0.025
    assert abs(share["inside"] + share["at mid"] - 0.30) < 0.025
    assert abs(share["at mid"] - 0.10) < 0.01
    assert abs(sum(share.values()) - 1) < 1e-12


@pytest.mark.parametrize("name", ["ibm_20131008", "ibm_20131009"])
def test_ibm_needs_drop_and_the_error_says_so(market_data, name):
    files = equity(market_data, name)
    with pytest.raises(ValueError, match=r"crossed quote.*: 16\).*bad_rows='drop'"):
        readers.tape(*files)
    tape = readers.tape(*files, bad_rows="drop")
    trades, quotes = tape.reports
    assert adds_up(trades) and adds_up(quotes)
    assert sum(quotes.bad.values()) == 16 and not trades.bad
    assert (tape.quotes.ask >= tape.quotes.bid).all()
    assert (np.diff(tape.quotes.time) > 0).all()
    assert tape.trades.time.min() >= 34_200 and tape.trades.time.max() < 57_600
    cut = impact.intervals(
        tape, signing.lee_ready(tape.trades, tape.quotes), interval_s=60.0, end=57_600.0
    )
    day = impact.by_time_of_day(cut)
    assert cut.start.size == 390 and day.start.size == 13
    assert float(impact.regress(cut.mid_change, cut.signed_flow).t) > 3
    assert np.isfinite(day.regression.lambda_error).all()


def test_bac_reads_fast(market_data):
    """576 096 quote rows; the bound leaves room for a busy machine (0.2 s on an idle one)."""
    files = equity(market_data, "bac_20131008")
    readers.tape(files[0])
    start = time.perf_counter()
    tape = readers.tape(quotes=files[1])
    assert time.perf_counter() - start < 1.5
    assert tape.reports[0].rows_read == 576_096 and adds_up(tape.reports[0])
    # the closed form of the merge: one quote a distinct millisecond in hours, and the one before
    assert tape.reports[0].kept == tape.quotes.time.size == np.unique(tape.quotes.time).size
    spread = np.round(100 * (tape.quotes.ask - tape.quotes.bid))
    assert np.mean(spread == 1) > 0.95


def test_option_chains(market_data):
    goog = readers.options.chain(market_data / "options/lean_goog_20151224_chain_snapshot_1200.csv")
    assert adds_up(goog.report) and goog.report.rows_read == 2192
    assert np.unique(goog.expiry).size == 12
    near = goog.expiry == np.datetime64("2016-02-19")
    at_750 = near & (goog.strike == 750)
    call, put = (
        float(((goog.bid + goog.ask) / 2)[at_750 & (goog.is_call == kind)][0])
        for kind in (True, False)
    )
    assert 750 < 750 + call - put < 756  # put–call parity: the README's forwards
    future = readers.options.chain(
        market_data / "options/lean_es_20200106_exp20200320_option_quotes_15min.csv.gz"
    )
    assert adds_up(future.report) and future.report.rows_read == 7906
    assert np.unique(future.strike).size <= 74 and future.strike.max() < 5000


def test_minute_bars_by_a_column_map(market_data):
    path = market_data / "options/lean_goog_20151224_underlying_quotes_1min.csv"
    layout = readers.QuoteLayout(
        "time_ms", "bid_close_dc", "ask_close_dc", time_unit="ms", clock="midnight",
        price_scale=10_000,
    )  # fmt: skip
    quotes = readers.generic.tape(quotes=path, quote_layout=layout).quotes
    noon = np.flatnonzero(quotes.time <= 43_200)[-1]
    assert abs((quotes.bid[noon] + quotes.ask[noon]) / 2 - 750.59) < 0.5
