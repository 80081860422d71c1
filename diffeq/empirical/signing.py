"""Who started each trade: the venue's flag, the quote rule, the tick rule, Lee–Ready.

Signs are int8 arrays of shape (n,): +1 the buyer started the trade, −1 the seller, 0 unsigned.
The quote of a trade is the last one *strictly earlier*: at a clock's resolution a quote stamped
with the trade's own time may be the trade's consequence (Holden & Jacobsen 2014; Lee & Ready's
five-second lag belonged to the reporting delays of 1988).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from diffeq.empirical.readers.records import Floats, Quotes, Signs, Trades

PLACES = ("no quote", "below bid", "at bid", "inside", "at mid", "at ask", "above ask")
"""Where a trade prints against its quote; `place` gives indices into this."""

# 2·price and bid + ask each carry a rounding or two: closer than this is the same decimal number
_ROUNDING = 4 * np.finfo(np.float64).eps


class Accuracy(NamedTuple):
    """How well signs agree with the true ones, over the trades whose true sign is known."""

    num_trades: int
    "trades with a true sign"
    agreement: float
    "share signed right; an unsigned trade is not right"
    share_signed: float
    "share given a sign"
    agreement_of_signed: float
    "share right among those given a sign; NaN if there are none"
    confusion: npt.NDArray[np.int64]
    "counts, shape (2, 3): rows true sell, true buy; columns signed sell, unsigned, buy"
    by_place: dict[str, tuple[int, float]]
    "place → (trades, share signed right); empty unless places were given"


def match(trade_time: Floats, quote_time: Floats) -> npt.NDArray[np.intp]:
    """Index of the last quote strictly earlier than each trade, shape (n,); −1 if there is none.

    Args:
        trade_time: Shape (n,), any order, seconds on the quotes' clock.
        quote_time: Shape (m,), non-decreasing.

    Raises:
        ValueError: NaN times, quotes not in time order, or arrays not one-dimensional.

    >>> match(np.array([1.0, 2.0, 2.5]), np.array([1.0, 2.0, 2.0]))
    array([-1,  0,  2])
    """
    trade_time, quote_time = np.asarray(trade_time), np.asarray(quote_time)
    for name, time in (("trade_time", trade_time), ("quote_time", quote_time)):
        if time.ndim != 1:
            raise ValueError(f"{name} must have one dimension, got shape {time.shape}")
        if np.isnan(time).any():
            raise ValueError(f"{name} has NaN at index {int(np.isnan(time).argmax())}")
    backwards = np.diff(quote_time) < 0
    if backwards.any():
        raise ValueError(f"quote_time goes backwards at index {int(backwards.argmax()) + 1}")
    return np.searchsorted(quote_time, trade_time, side="left") - 1


def venue_flag(trades: Trades) -> Signs:
    """The venue's own word, `trades.sign`.

    Raises:
        ValueError: The venue says nothing of any trade.
    """
    if not trades.sign.any():
        raise ValueError(
            "the file does not state the aggressor's side: use signing.lee_ready, or state the "
            "sign column to the reader"
        )
    return trades.sign


def quote_rule(trades: Trades, quotes: Quotes) -> Signs:
    """Sign of price − mid of the last strictly earlier quote; 0 at the mid or without a quote.

    A price counts as at the mid when it differs by no more than rounding (a few units in the last
    place). Source: Lee & Ready (1991).

    Raises:
        ValueError: As `match`.
    """
    bid, ask = _prevailing(trades, quotes)
    return _side_of_mid(trades.price, bid, ask)


def tick_rule(price: Floats) -> Signs:
    """Sign of the last price change, shape (n,); 0 before the first change.

    An uptick is a buy, a downtick a sell, a zero tick takes the sign of the last change (Lee &
    Ready 1991). Prices are compared exactly.

    Raises:
        ValueError: `price` has NaN or is not one-dimensional.

    >>> tick_rule(np.array([10.0, 10.0, 10.1, 10.1, 10.0]))
    array([ 0,  0,  1,  1, -1], dtype=int8)
    """
    price = np.asarray(price)
    if price.ndim != 1 or np.isnan(price).any():
        raise ValueError(f"price must be one-dimensional without NaN, got shape {price.shape}")
    change = np.sign(np.diff(price, prepend=price[:1])).astype(np.int8)
    last_change = np.maximum.accumulate(np.where(change != 0, np.arange(price.size), 0))
    return change[last_change]


def lee_ready(trades: Trades, quotes: Quotes) -> Signs:
    """The quote rule, and the tick rule for trades at the mid or without a quote, shape (n,).

    Source: Lee & Ready (1991), with the last strictly earlier quote (Holden & Jacobsen 2014). 0
    only before the first price change.

    Raises:
        ValueError: As `match` and `tick_rule`.
    """
    by_quote = quote_rule(trades, quotes)
    return np.where(by_quote != 0, by_quote, tick_rule(trades.price))


def place(trades: Trades, quotes: Quotes) -> npt.NDArray[np.intp]:
    """Where each trade prints against its strictly earlier quote: index into `PLACES`, shape (n,).

    At the mid comes before at bid or at ask (one and the same on a locked quote); "inside" leaves
    the mid out.

    Raises:
        ValueError: As `match`.
    """
    bid, ask = _prevailing(trades, quotes)
    price = trades.price
    at_mid = (_side_of_mid(price, bid, ask) == 0) & ~np.isnan(bid)
    cases = [np.isnan(bid), at_mid, price < bid, price == bid, price < ask, price == ask]
    names = ["no quote", "at mid", "below bid", "at bid", "inside", "at ask"]
    indices = [np.intp(PLACES.index(name)) for name in names]
    return np.select(cases, indices, default=np.intp(PLACES.index("above ask")))


def accuracy(
    sign: Signs, true_sign: Signs, *, places: npt.NDArray[np.intp] | None = None
) -> Accuracy:
    """Compare signs with the true ones; trades whose true sign is 0 are left out.

    Args:
        sign: Shape (n,), in {−1, 0, 1}.
        true_sign: Shape (n,), in {−1, 0, 1}.
        places: Shape (n,), from `place`, to break the agreement down by.

    Raises:
        ValueError: Shapes differ, other values than −1, 0, 1, or no true sign is known.
    """
    sign, true_sign = np.asarray(sign), np.asarray(true_sign)
    if sign.shape != true_sign.shape or (places is not None and places.shape != sign.shape):
        raise ValueError(
            f"sign, true_sign and places must have one shape, got {sign.shape}, {true_sign.shape}"
            + ("" if places is None else f", {places.shape}")
        )
    for name, values in (("sign", sign), ("true_sign", true_sign)):
        if not np.isin(values, (-1, 0, 1)).all():
            raise ValueError(f"{name} must hold −1, 0 and 1 only")
    known = true_sign != 0
    if not known.any():
        raise ValueError("true_sign is 0 everywhere: no true sign to compare with")
    sign, true_sign = sign[known], true_sign[known]
    confusion = np.zeros((2, 3), dtype=np.int64)
    np.add.at(confusion, ((true_sign > 0).astype(np.intp), sign.astype(np.intp) + 1), 1)
    right = sign == true_sign
    num_signed = int(np.count_nonzero(sign))
    by_place: dict[str, tuple[int, float]] = {}
    if places is not None:
        for index, name in enumerate(PLACES):
            here = right[places[known] == index]
            if here.size:
                by_place[name] = (int(here.size), float(here.mean()))
    return Accuracy(
        num_trades=int(sign.size),
        agreement=float(right.mean()),
        share_signed=num_signed / sign.size,
        agreement_of_signed=int(right.sum()) / num_signed if num_signed else float("nan"),
        confusion=confusion,
        by_place=by_place,
    )


def _prevailing(trades: Trades, quotes: Quotes) -> tuple[Floats, Floats]:
    """Bid and ask of each trade's quote, NaN without one."""
    index = match(trades.time, quotes.time)
    bid, ask = (np.append(side, np.nan)[index] for side in (quotes.bid, quotes.ask))
    return bid, ask


def _side_of_mid(price: Floats, bid: Floats, ask: Floats) -> Signs:
    twice_mid = bid + ask
    gap = 2 * price - twice_mid
    at_mid = np.isnan(gap) | (np.abs(gap) <= _ROUNDING * np.abs(twice_mid))
    return np.where(at_mid, 0, np.sign(gap)).astype(np.int8)
