"""How deep market orders reach beyond the mid: from a tape to fill rates by depth, side by side.

An order that sells reaches bids: its depth is mid − price, of one that buys price − mid; the prints
of one side at one time are one order, which reached the deepest of them. The mid is that of the
last quote strictly before the order, or, where quotes stand unchanged from one quoting time to the
next, strictly before the last quoting time: how far from *our* mid the order went. Nothing later
than an order enters its depth.

Reference: Avellaneda & Stoikov (2008), section 2.4; :mod:`diffeq.empirical.arrivals` estimates.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from diffeq import validate
from diffeq.empirical import signing
from diffeq.empirical.arrivals import Arrivals, from_trade_through
from diffeq.empirical.readers.records import Floats, Signs, Tape

__all__ = ["MarketOrders", "Sides", "fill_rates", "market_orders", "mids"]


class MarketOrders(NamedTuple):
    """Market orders in time order, each array of shape (n,)."""

    time: Floats
    """Seconds after the tape's origin."""
    sign: Signs
    """+1 bought, reaching asks; −1 sold, reaching bids."""
    depth: Floats
    """How far beyond the mid, price units; negative where it printed on the other side of it."""
    mid: Floats
    """The mid it is measured from, price units."""
    duration: float
    """Length of the record, seconds."""
    unsigned: int
    """Trades left out: nobody knows whose they were."""


class Sides(NamedTuple):
    """Fill rates of quotes on either side."""

    bid: Arrivals
    """Of our bids: by orders that sell. A in fills per second, k in 1/price."""
    ask: Arrivals
    """Of our asks: by orders that buy."""


def mids(tape: Tape, time: Any) -> Floats:
    """Mid of the last quote strictly before each time, price units, shape (n,).

    Raises:
      ValueError: no quotes, crossed quotes, or a time with no quote before it.
    """
    quotes, time = tape.quotes, np.asarray(time, np.float64)
    if quotes.time.size == 0:
        raise ValueError("tape: expected quotes, got none; read the quotes file too")
    crossed = ~(quotes.bid <= quotes.ask)  # NaN too
    if crossed.any():
        at = int(np.argmax(crossed))
        raise ValueError(
            f"tape.quotes[{at}]: expected bid ≤ ask, got {quotes.bid[at]} and {quotes.ask[at]}; "
            "read with bad_rows='drop'"
        )
    row = signing.match(time, quotes.time)
    if (row < 0).any():
        early = float(time[np.argmax(row < 0)])
        raise ValueError(
            f"tape: expected a quote before every time wanted, got none before {early} s; the "
            f"first is at {quotes.time[0]} s"
        )
    return np.asarray((quotes.bid[row] + quotes.ask[row]) / 2, np.float64)


def signs(tape: Tape) -> Signs:
    """The venue's word on each trade where it has one, else Lee & Ready's."""
    if tape.trades.sign.any():
        return tape.trades.sign
    return signing.lee_ready(tape.trades, tape.quotes)


def market_orders(
    tape: Tape,
    *,
    sign: Any = None,
    quoting_times: Any = None,
    start: float | None = None,
    end: float | None = None,
) -> MarketOrders:
    """The market orders of a tape and how deep they reached.

    Args:
      tape: trades and quotes.
      sign: of each trade, shape (num_trades,), in {−1, 0, 1}; default the venue's, else Lee–Ready.
      quoting_times: increasing, in seconds after the tape's origin: the mid is that of the last of
        these strictly before the order. Default: the mid just before the order.
      start, end: orders in (start, end] count, seconds; default the first quoting time, or quote,
        and the last.

    Returns:
      :class:`MarketOrders`.

    Raises:
      ValueError: no trades, no quotes, crossed quotes, an empty window, or signs of another shape.

    Reference: see the module.
    """
    trades, times = tape.trades, tape.quotes.time
    if trades.time.size == 0:
        raise ValueError("tape: expected trades, got none; read the trades file too")
    mids(tape, times[:0])
    sign = signs(tape) if sign is None else validate.codes("sign", sign, (-1, 0, 1))
    if np.shape(sign) != trades.time.shape:
        raise ValueError(f"sign: expected shape {trades.time.shape}, got {np.shape(sign)}")
    if quoting_times is not None:
        times = np.asarray(quoting_times, np.float64)
        if times.ndim != 1 or times.size < 1 or not (np.diff(times) > 0).all():
            raise ValueError("quoting_times: expected strictly increasing times, shape (m,)")
    first = float(times[0]) if start is None else float(start)
    last = float(times[-1]) if end is None else float(end)
    if not first < last:
        raise ValueError(f"start, end: expected start < end, got {first} and {last}")
    inside = (trades.time > first) & (trades.time <= last)
    known = inside & (np.asarray(sign) != 0)
    time, price = trades.time[known], trades.price[known]
    side = np.asarray(sign)[known].astype(np.int8)
    stands = time if quoting_times is None else _latest(times, time)
    mid = mids(tape, stands)
    order, new = _orders(time, side)
    deepest = np.maximum.reduceat((side * (price - mid))[order], new) if time.size else price
    at = order[new] if time.size else order
    return MarketOrders(
        time[at], side[at], deepest, mid[at], last - first, int(inside.sum() - known.sum())
    )


def _latest(times: Floats, time: Floats) -> Floats:
    """The last of ``times`` strictly before each time."""
    row = signing.match(time, times)
    if (row < 0).any():
        raise ValueError("quoting_times: expected one before every order; raise start")
    return times[row]


def _orders(time: Floats, side: Signs) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Prints sorted by (time, side), and where in them each order begins."""
    order = np.lexsort((side, time))
    t, s = time[order], side[order]
    if t.size == 0:
        return order, order
    begins = np.concatenate([[True], (np.diff(t) > 0) | (np.diff(s) != 0)])
    return order, np.flatnonzero(begins)


def fill_rates(
    orders: MarketOrders, *, least_depth: float = 0.0, tick: float | None = None
) -> Sides:
    """A and k of either side, by maximum likelihood from orders at least ``least_depth`` deep.

    Args:
      orders: of :func:`market_orders`.
      least_depth: d_min, price units, on the grid if there is one: fills nearer than that are not
        described. The median half-spread is a choice: nearer quotes improve on the market's.
      tick: grid of the *depths*, price units (half the price tick where mids lie half way between
        ticks); default none: continuous.

    Returns:
      :class:`Sides`, each an :class:`~.arrivals.Arrivals` with standard errors and goodness of fit;
      A is the rate, per second, at which orders would reach the mid.

    Raises:
      ValueError: a side that no order reached at that depth, or depths off the grid.

    Reference: see :func:`~.arrivals.from_trade_through`.
    """
    found = []
    # a depth is a difference of prices, and carries their rounding
    loose = 8 * np.finfo(np.float64).eps * float(np.abs(orders.mid).max(initial=0.0))
    for name, sign in (("bid", -1), ("ask", 1)):
        depth = orders.depth[orders.sign == sign]
        depth = depth[depth >= least_depth - loose]
        if depth.size == 0:
            raise ValueError(
                f"orders: expected some that reach {name}s {least_depth} from the mid, got none; "
                "lower least_depth or take a longer record"
            )
        depth = np.maximum(depth, least_depth)
        found.append(from_trade_through(depth, orders.duration, least_depth=least_depth, tick=tick))
    return Sides(*found)
