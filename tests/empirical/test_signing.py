"""Trade signing against loops that read like the definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffeq.empirical import signing
from diffeq.empirical.readers import Quotes, Trades


def trades_of(time, price, sign=None) -> Trades:
    time, price = np.asarray(time, float), np.asarray(price, float)
    sign = np.zeros(time.size, np.int8) if sign is None else np.asarray(sign, np.int8)
    return Trades(time, price, np.ones_like(time), sign)


def quotes_of(time, bid, ask) -> Quotes:
    time, bid, ask = (np.asarray(x, float) for x in (time, bid, ask))
    return Quotes(time, bid, np.ones_like(bid), ask, np.ones_like(ask))


def random_market(seed: int) -> tuple[Trades, Quotes]:
    """Times on a coarse grid and prices on ticks of a cent, so that ties and mids abound."""
    rng = np.random.default_rng(seed)
    quote_time = np.sort(rng.integers(2, 40, 30)) / 4
    bid = rng.integers(995, 1005, 30)
    ask = bid + rng.integers(0, 4, 30)
    trade_time = np.sort(rng.integers(0, 44, 60)) / 4
    price = rng.integers(993, 1010, 60)
    return trades_of(trade_time, price / 100), quotes_of(quote_time, bid / 100, ask / 100)


def loop_quote(time: float, quotes: Quotes) -> int:
    found = -1
    for k, quote_time in enumerate(quotes.time):
        if quote_time < time:
            found = k
    return found


def loop_quote_sign(trades: Trades, quotes: Quotes, i: int) -> int:
    k = loop_quote(trades.time[i], quotes)
    if k < 0:
        return 0
    # in whole cents, so that no rounding decides
    cents = round(200 * trades.price[i]) - round(100 * quotes.bid[k]) - round(100 * quotes.ask[k])
    return (cents > 0) - (cents < 0)


def loop_tick_sign(price: np.ndarray, i: int) -> int:
    """A zero tick takes the last change: compare with the last *different* price."""
    for earlier in range(i - 1, -1, -1):
        if price[i] != price[earlier]:
            return 1 if price[i] > price[earlier] else -1
    return 0


@pytest.mark.parametrize("seed", range(8))
def test_match_and_rules_equal_the_definitions(seed):
    trades, quotes = random_market(seed)
    matched = signing.match(trades.time, quotes.time)
    assert matched.tolist() == [loop_quote(t, quotes) for t in trades.time]
    by_quote = [loop_quote_sign(trades, quotes, i) for i in range(trades.time.size)]
    by_tick = [loop_tick_sign(trades.price, i) for i in range(trades.price.size)]
    assert signing.quote_rule(trades, quotes).tolist() == by_quote
    assert signing.tick_rule(trades.price).tolist() == by_tick
    expected = [q or t for q, t in zip(by_quote, by_tick, strict=True)]
    assert signing.lee_ready(trades, quotes).tolist() == expected
    assert 0 in by_quote and -1 in matched  # the cases that matter do occur


def test_a_quote_at_the_trades_own_time_does_not_count():
    quotes = quotes_of([1, 2], [10.0, 11.0], [10.2, 11.2])
    sign = signing.quote_rule(trades_of([2.0, np.nextafter(2.0, 3)], [10.2, 10.2]), quotes)
    assert sign.tolist() == [1, -1]


def test_among_quotes_of_one_time_the_last_counts():
    quotes = quotes_of([1, 1, 1], [10.0, 10.1, 11.0], [10.2, 10.3, 11.2])
    assert signing.match(np.array([2.0]), quotes.time).tolist() == [2]
    assert signing.quote_rule(trades_of([2], [10.2]), quotes).tolist() == [-1]


def test_the_mid_is_a_decimal_not_a_float():
    """Prices at the mid to the decimal, but not to the bit, are at the mid."""
    bid, ask, price = 61800.2, 61800.3, 61800.25
    cents = np.arange(1, 4000)
    bids, asks, mids = cents / 100, (cents + 1) / 100, (10 * cents + 5) / 1000
    assert ((bids + asks) / 2 != mids).any()
    quotes = quotes_of(np.arange(cents.size), bids, asks)
    trades = trades_of(np.arange(cents.size) + 0.5, mids)
    assert not signing.quote_rule(trades, quotes).any()
    one_tick = signing.quote_rule(
        trades_of([1, 1], [price - 1e-6, price + 1e-6]), quotes_of([0], [bid], [ask])
    )
    assert one_tick.tolist() == [-1, 1]


def test_without_quotes_lee_ready_is_the_tick_rule():
    trades, _ = random_market(0)
    nothing = quotes_of([], [], [])
    assert not signing.quote_rule(trades, nothing).any()
    expected = signing.tick_rule(trades.price)
    np.testing.assert_array_equal(signing.lee_ready(trades, nothing), expected)


def test_no_trades():
    assert signing.tick_rule(np.empty(0)).shape == (0,)
    assert signing.lee_ready(trades_of([], []), quotes_of([1], [9], [10])).shape == (0,)


@given(seed=st.integers(0, 10_000), shift=st.integers(-1000, 1000), power=st.integers(-3, 3))
def test_clock_and_currency_do_not_matter(seed, shift, power):
    """Moving the clock by whole seconds or rescaling prices by a power of two changes nothing."""
    trades, quotes = random_market(seed)
    scale = 2.0**power
    moved = trades._replace(time=trades.time + shift, price=trades.price * scale)
    moved_quotes = quotes._replace(
        time=quotes.time + shift, bid=quotes.bid * scale, ask=quotes.ask * scale
    )
    sign = signing.lee_ready(trades, quotes)
    np.testing.assert_array_equal(signing.lee_ready(moved, moved_quotes), sign)


@given(seed=st.integers(0, 10_000))
def test_mirror_image(seed):
    """Prices reflected in a level turn buys into sells."""
    trades, quotes = random_market(seed)
    mirrored = trades._replace(price=20 - trades.price)
    mirrored_quotes = quotes._replace(bid=20 - quotes.ask, ask=20 - quotes.bid)
    sign = signing.lee_ready(trades, quotes)
    np.testing.assert_array_equal(signing.lee_ready(mirrored, mirrored_quotes), -sign)


def test_places():
    price = [9.0, 9.9, 10.0, 10.05, 10.1, 10.15, 10.2, 10.3]
    trades = trades_of([0.5, *[2.0] * 7], price)
    quotes = quotes_of([1.0], [10.0], [10.2])
    names = [signing.PLACES[i] for i in signing.place(trades, quotes)]
    assert names == [
        "no quote", "below bid", "at bid", "inside", "at mid", "inside", "at ask", "above ask",
    ]  # fmt: skip
    locked = quotes_of([1.0], [10.0], [10.0])
    assert signing.PLACES[signing.place(trades_of([2.0], [10.0]), locked)[0]] == "at mid"


def test_accuracy_counts():
    sign = np.array([1, 1, -1, 0, -1, 1], np.int8)
    true = np.array([1, -1, -1, 1, 0, 1], np.int8)
    places = np.array([5, 5, 2, 4, 4, 5])
    found = signing.accuracy(sign, true, places=places)
    assert found.num_trades == 5
    assert found.agreement == 3 / 5
    assert found.share_signed == 4 / 5
    assert found.agreement_of_signed == 3 / 4
    assert found.confusion.tolist() == [[1, 0, 1], [0, 1, 2]]
    assert found.by_place == {"at bid": (1, 1.0), "at mid": (1, 0.0), "at ask": (3, 2 / 3)}


def test_accuracy_of_unsigned_trades_is_not_a_number():
    found = signing.accuracy(np.zeros(2, np.int8), np.ones(2, np.int8))
    assert found.agreement == 0 and np.isnan(found.agreement_of_signed)


def test_venue_flag():
    flagged = trades_of([1, 2], [1, 1], [1, 0])
    assert signing.venue_flag(flagged).tolist() == [1, 0]
    with pytest.raises(ValueError, match="does not state the aggressor"):
        signing.venue_flag(trades_of([1], [1]))


@pytest.mark.parametrize(
    ("trade_time", "quote_time", "message"),
    [
        ([1.0, np.nan], [1.0], "trade_time has NaN at index 1"),
        ([1.0], [np.nan], "quote_time has NaN at index 0"),
        ([1.0], [1.0, 3.0, 2.0], "backwards at index 2"),
        ([[1.0]], [1.0], "one dimension"),
    ],
)
def test_match_refuses(trade_time, quote_time, message):
    with pytest.raises(ValueError, match=message):
        signing.match(np.array(trade_time), np.array(quote_time))


def test_rules_refuse():
    with pytest.raises(ValueError, match="without NaN"):
        signing.tick_rule(np.array([1.0, np.nan]))
    ones = np.ones(3, np.int8)
    with pytest.raises(ValueError, match="one shape"):
        signing.accuracy(ones, ones[:2])
    with pytest.raises(ValueError, match="sign must hold"):
        signing.accuracy(2 * ones, ones)
    with pytest.raises(ValueError, match="no true sign"):
        signing.accuracy(ones, 0 * ones)
