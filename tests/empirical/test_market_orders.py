"""From a tape to market orders and fill rates: hand-made tapes, simulated ones, real ones."""

from typing import Any

import numpy as np
import pytest

from diffeq.empirical import readers
from diffeq.empirical.arrivals import from_trade_through
from diffeq.empirical.market_orders import fill_rates, market_orders, mids
from diffeq.empirical.readers.records import Quotes, Tape, Trades


def tape_of(trades: Any, quotes: Any) -> Tape:
    """Rows (time, price, sign) and (time, bid, ask)."""
    t = np.asarray(trades, float).reshape(-1, 3).T
    q = np.asarray(quotes, float).reshape(-1, 3).T
    nothing = np.ones(q.shape[1])
    return Tape(
        Trades(t[0], t[1], np.ones(t.shape[1]), t[2].astype(np.int8)),
        Quotes(q[0], q[1], nothing, q[2], nothing),
        None,
        (),
    )


QUOTES = [(0.0, 99.0, 101.0), (2.0, 100.0, 103.0), (5.0, 98.0, 99.0)]


def test_depths_by_hand() -> None:
    """Two prints, one order; a quote at the order's own time does not count; unsigned left out."""
    trades = [(1.0, 99.0, -1), (1.0, 97.5, -1), (1.0, 102.0, 1), (2.0, 101.5, 1), (3.0, 100.0, 0),
              (6.0, 98.7, 1)]  # fmt: skip
    found = market_orders(tape_of(trades, QUOTES), end=7.0)
    np.testing.assert_array_equal(found.time, [1, 1, 2, 6])
    np.testing.assert_array_equal(found.sign, [-1, 1, 1, 1])
    np.testing.assert_allclose(found.depth, [2.5, 2.0, 1.5, 0.2])
    np.testing.assert_allclose(found.mid, [100, 100, 100, 98.5])
    assert found.duration == 7 and found.unsigned == 1
    # the mid of the last quoting time strictly before: 98.5 at t = 5.5 only from the quote of 5.0
    quoted = market_orders(tape_of(trades, QUOTES), quoting_times=[0.5, 3.0, 5.5, 6.0])
    np.testing.assert_allclose(quoted.depth, [2.5, 2.0, 1.5, 0.2])
    stale = market_orders(tape_of(trades, QUOTES), quoting_times=[0.5, 5.0], end=7.0)
    np.testing.assert_allclose(stale.depth, [2.5, 2.0, 1.5, 98.7 - 101.5])
    window = market_orders(tape_of(trades, QUOTES), start=1.0, end=2.0)
    np.testing.assert_array_equal(window.time, [2.0])


def test_fill_rates_by_side() -> None:
    """Poisson orders of exponential depths, a moving mid: A and k of either side within 3.5 se."""
    rng, T = np.random.default_rng(5), 4000.0
    at = np.arange(0.0, T, 0.5)
    mid = 100 + 0.02 * np.cumsum(rng.choice([-1.0, 1.0], at.size))
    quotes = np.stack([at, mid - 0.05, mid + 0.05], axis=1)
    truth = {-1: (2.0, 3.0), 1: (1.0, 5.0)}
    rows = []
    for sign, (A, k) in truth.items():
        time = np.sort(rng.uniform(0.25, T, rng.poisson(A * (T - 0.25))))
        before = mid[np.searchsorted(at, time) - 1]
        rows.append(
            np.stack([time, before + sign * rng.exponential(1 / k, time.size), 0 * time + sign], 1)
        )
    trades = np.concatenate(rows)
    tape = tape_of(trades[trades[:, 0].argsort()], quotes)
    found = fill_rates(market_orders(tape, start=0.25, end=T), least_depth=0.1)
    for side, (A, k) in zip((found.bid, found.ask), truth.values(), strict=True):
        assert abs(side.k - k) < 3.5 * side.se_k < 0.5
        assert abs(side.A - A) < 3.5 * side.se_A < 0.3
        assert side.p_value > 1e-3 and bool(side.info.converged)


def test_the_unit_of_price_does_not_matter() -> None:
    """Depths are differences of prices, so rounded; those at the least depth count as others do."""
    n = 200
    rng = np.random.default_rng(7)
    steps = rng.geometric(0.3, n)  # in ticks from the mid, at least one; half of them on each side
    sign = np.tile([1, -1], n // 2)
    level = 30 + np.cumsum(rng.choice([-1, 0, 1], n))

    def rates(price: float, tick: float, least: int, grid: float | None) -> Any:
        mid = round(price / tick) + level
        time = np.arange(n, dtype=float)
        quotes = np.stack([time, (mid - 1) * tick, (mid + 1) * tick], axis=1)
        trades = np.stack([time + 0.5, (mid + sign * steps) * tick, sign], axis=1)
        orders = market_orders(tape_of(trades, quotes), end=float(n))
        return fill_rates(orders, least_depth=least * tick, tick=grid)

    for least in (1, 2):
        on_grid, free = rates(0.0, 1.0, least, 1.0), rates(0.0, 1.0, least, None)
        for price, tick in ((1e6, 0.01), (1e-7, 1e-10)):
            for found, wanted in (
                (rates(price, tick, least, tick), on_grid),
                (rates(price, tick, least, None), free),
            ):
                for side in ("bid", "ask"):
                    k = getattr(found, side).k * tick
                    np.testing.assert_allclose(k, getattr(wanted, side).k, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: market_orders(tape_of([], QUOTES)), "expected trades, got none"),
        (lambda: market_orders(tape_of([(1.0, 9.0, 1)], [])), "expected quotes, got none"),
        (
            lambda: market_orders(tape_of([(1.0, 9.0, 1)], [(0.0, 10.0, 9.0)])),
            r"tape.quotes\[0\]: expected bid ≤ ask",
        ),
        (lambda: mids(tape_of([], QUOTES), [0.0]), "a quote before every time"),
        (lambda: market_orders(tape_of([(1.0, 9.0, 1)], QUOTES), sign=[2]), "sign"),
        (lambda: market_orders(tape_of([(1.0, 9.0, 1)], QUOTES), sign=[1, 1]), "sign: expected"),
        (lambda: market_orders(tape_of([(1.0, 9.0, 1)], QUOTES), start=2.0, end=1.0), "start, end"),
        (
            lambda: market_orders(tape_of([(1.0, 9.0, 1)], QUOTES), quoting_times=[2.0, 1.0]),
            "quoting_times",
        ),
        (
            lambda: fill_rates(market_orders(tape_of([(1.0, 102.0, 1)], QUOTES))),
            "reach bids 0.0 from the mid",
        ),
    ],
)
def test_bad_tapes_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_real_tapes(market_data: Any) -> None:
    """Bitcoin futures: an estimate on both sides, and the exponential refused, as it should be."""
    stem = market_data / "crypto/binance_usdm_btcusdt_20240808"
    tape = readers.tape(f"{stem}_trades.csv.gz", f"{stem}_bookticker.csv.gz")
    orders = market_orders(tape)
    assert orders.unsigned == 0 and (np.diff(orders.time) >= 0).all()
    sales = orders.depth[(orders.sign < 0) & (orders.depth >= 0)]
    bid = from_trade_through(sales, orders.duration)
    assert bool(bid.info.converged) and 0 < bid.se_k < 0.1 * bid.k < bid.k
    assert bid.p_value < 1e-6
