"""From the option quotes of one expiry to implied volatilities.

Forward F and discount D come from the quotes themselves, by put–call parity over the strikes K at
which both a call and a put are quoted:

    C − P = D (F − K).

Then each strike's out-of-the-money option is inverted by Black's formula, at its mid, bid and ask.
No quote leaves uncounted: the report adds up to the chain's rows.

What is neglected: parity and Black's formula are for European options. American ones (all US equity
options) are worth more by the right to exercise early: nothing for a call without dividends, a
little for a put while interest is low and it is out of the money. In-the-money puts are not
inverted, but they enter parity and pull D up a little. With dividends more is neglected.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from diffeq.contingent import black
from diffeq.empirical import parity
from diffeq.empirical.bad_rows import Ledger, Mask, Report
from diffeq.empirical.parity import Parity
from diffeq.empirical.readers.records import Floats, OptionChain

_DAY = np.timedelta64(86_400 * 10**9, "ns")
_PADDING = 128  # strikes are inverted in blocks of one shape, compiled once


class Smile(NamedTuple):
    """Implied volatilities of one expiry, per √year, strikes increasing, arrays of shape (n,)."""

    strike: Floats
    "price units"
    forward: float
    "F, price units"
    discount: float
    "D"
    years: float
    "time to expiry, ACT/365: calendar time to the second, over 365 days"
    volatility: Floats
    "at the mid of bid and ask"
    bid_volatility: Floats
    "at the bid"
    ask_volatility: Floats
    "at the ask; NaN where the ask is above every no-arbitrage price"
    weights: Floats
    "for least squares in volatility: (vega / half the spread)², summing to one"
    is_call: npt.NDArray[np.bool_]
    "which option is out of the money: calls from the forward up"
    parity: Parity
    "how forward and discount were found"
    report: Report
    "what became of every quote of the chain"


class _Chain(NamedTuple):
    """The chain as the ledger's source of rows."""

    name: str
    num_rows: int

    def where(self, row: int) -> str:
        return f"record {row}"

    def value(self, column: str, row: int) -> object:
        return column


def smile(
    chain: OptionChain,
    expiry: Any,
    *,
    as_of: Any = None,
    discount: float | None = None,
    expiry_time: str = "16:00",
    max_spread: float = 0.5,
    max_age_s: float | None = None,
) -> Smile:
    """Implied volatilities of one expiry.

    Args:
      chain: quotes, of one or more moments and expiries.
      expiry: date, "2016-02-19" or datetime64.
      as_of: moment of valuation, "2015-12-24T12:00" or datetime64, on the chain's clock; the last
        quote of each contract up to it is used. Default: the chain's last quote, where it is dated.
      discount: D if known; else estimated with F. A day before expiry D is known far better from
        an interest rate than from parity.
      expiry_time: time of day of expiry, on the chain's clock.
      max_spread: quotes whose spread is more than this share of their mid are not inverted.
      max_age_s: quotes older than this are left out; default: any age.

    Returns:
      :class:`Smile`; print its report for the account of the quotes.

    Raises:
      ValueError: an expiry that the chain does not have or that has passed; no date; a contract
        quoted twice in a chain without times; too few pairs for parity; no quote left.
    """
    for name, limit in (("max_spread", max_spread), ("max_age_s", max_age_s)):
        if limit is not None and not limit >= 0:  # NaN too, which would let everything pass
            raise ValueError(f"{name}: expected a number ≥ 0, got {limit}")
    when = _moment(chain, as_of)
    expiry = _instant("expiry", expiry, "D")
    if expiry not in chain.expiry:
        has = ", ".join(map(str, np.unique(chain.expiry)))
        raise ValueError(f"expiry: expected one of {has}, got {expiry}")
    end = _instant("expiry_time", f"{expiry}T{expiry_time}", "ns")
    years = float((end - when) / (365 * _DAY))
    if not years > 0:
        raise ValueError(f"as_of: expected a moment before expiry, got {when} for {expiry}")

    ledger = Ledger(_Chain(chain.report.file, chain.strike.size))
    ledger.filter("another expiry", chain.expiry != expiry)
    _select_snapshot(chain, ledger, when, max_age_s)
    _select_quotes(chain, ledger)
    mid, half_spread = (chain.bid + chain.ask) / 2, (chain.ask - chain.bid) / 2
    found = _parity(chain, ledger.standing, mid, half_spread, discount)
    F, D = found.forward, found.discount

    K, is_call = chain.strike, chain.is_call
    ledger.filter(
        "mid at or below the discounted intrinsic value",
        mid <= D * np.maximum(np.where(is_call, F - K, K - F), 0),
    )
    ledger.filter("mid at or above the upper bound", mid >= D * np.where(is_call, F, K))
    ledger.filter("in the money", is_call != (K >= F))
    ledger.filter(f"spread above {max_spread:g} of the mid", 2 * half_spread > max_spread * mid)
    _note_shape(ledger, K, np.where(is_call, mid, mid + D * (F - K)), D)
    quotes = np.stack([mid, chain.bid, chain.ask])
    volatility = np.full(quotes.shape, np.nan)
    standing = ledger.standing.copy()
    volatility[:, standing] = _volatilities(quotes[:, standing], F, K[standing], years, D)
    ledger.filter("mid not inverted", np.isnan(volatility[0]))
    ledger.note("ask above the upper bound: no volatility", np.isnan(volatility[2]))

    report = ledger.close("error", _stated(when, expiry_time, discount))
    order = np.flatnonzero(ledger.standing)
    order = order[np.argsort(K[order])]
    mid_volatility, bid_volatility, ask_volatility = volatility[:, order]
    precision = (_vega(F, K[order], mid_volatility, years, D) / half_spread[order]) ** 2
    return Smile(
        K[order], F, D, years, mid_volatility, bid_volatility, ask_volatility,
        precision / precision.sum(), is_call[order], found, report,
    )  # fmt: skip


# Which quotes


def _moment(chain: OptionChain, as_of: Any) -> np.datetime64:
    if as_of is not None:
        return _instant("as_of", as_of, "ns")
    if chain.origin is None or np.isnan(chain.time).all():
        raise ValueError("as_of: expected the moment of valuation, for the chain states no date")
    return chain.origin + np.timedelta64(round(float(np.nanmax(chain.time)) * 1e9), "ns")


def _instant(name: str, value: Any, unit: Literal["D", "ns"]) -> np.datetime64:
    try:
        return np.datetime64(value, unit)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected ISO 8601, 2015-12-24T12:00, got {value!r}") from error


def _select_snapshot(
    chain: OptionChain, ledger: Ledger, when: np.datetime64, max_age_s: float | None
) -> None:
    """Leave the last quote of each contract up to the moment of valuation."""
    origin = when.astype("datetime64[D]") if chain.origin is None else chain.origin
    age = float((when - origin) / np.timedelta64(1, "s")) - chain.time  # NaN: no times stated
    ledger.filter("later than the moment of valuation", age < 0)
    if max_age_s is not None:
        ledger.filter(f"older than {max_age_s:g} s", age > max_age_s)
    rows = np.flatnonzero(ledger.standing)
    rows = rows[np.lexsort((-age[rows], chain.strike[rows], chain.is_call[rows]))]
    same = (np.diff(chain.strike[rows]) == 0) & (np.diff(chain.is_call[rows].astype(int)) == 0)
    superseded = np.zeros(chain.strike.size, bool)
    superseded[rows[:-1][same]] = True
    tied = ~(age[rows[:-1]] > age[rows[1:]]) & same
    if tied.any():
        row = rows[:-1][tied][0]
        raise ValueError(
            f"chain: a contract is quoted twice at one time, {chain.strike[row]:g} "
            f"{'call' if chain.is_call[row] else 'put'}"
        )
    ledger.filter("superseded by a later quote", superseded)


def _select_quotes(chain: OptionChain, ledger: Ledger) -> None:
    bid, ask = chain.bid, chain.ask
    ledger.filter("strike not a positive number", ~(chain.strike > 0) | np.isinf(chain.strike))
    ledger.filter("a side without a price", ~np.isfinite(bid) | ~np.isfinite(ask))
    ledger.filter("zero bid", bid <= 0)
    ledger.filter("crossed quote (bid above ask)", bid > ask)
    ledger.filter("locked quote (bid equals ask)", bid == ask)


def _note_shape(ledger: Ledger, K: Floats, call: Floats, D: float) -> None:
    """Count strikes at which the mids, put into call prices by parity, allow arbitrage."""
    rows = np.flatnonzero(ledger.standing)
    rows = rows[np.argsort(K[rows])]
    slopes, rounding = np.diff(call[rows]) / np.diff(K[rows]), 1e-9
    not_monotone, not_convex = np.zeros((2, K.size), bool)
    not_monotone[rows[1:][(slopes > rounding) | (slopes < -D - rounding)]] = True
    not_convex[rows[1:-1][np.diff(slopes) < -rounding]] = True
    ledger.note("mids not monotone in the strike", not_monotone)
    ledger.note("mids not convex in the strike", not_convex)


def _stated(when: np.datetime64, expiry_time: str, discount: float | None) -> dict[str, str]:
    return {
        "valuation": str(when.astype("datetime64[s]")),
        "time to expiry": f"ACT/365 to {expiry_time}",
        "discount": "from parity" if discount is None else "given",
    }


# Parity


def _parity(
    chain: OptionChain, standing: Mask, mid: Floats, half_spread: Floats, discount: float | None
) -> Parity:
    calls, puts = (np.flatnonzero(standing & (chain.is_call == kind)) for kind in (True, False))
    K, call, put = np.intersect1d(chain.strike[calls], chain.strike[puts], return_indices=True)
    call, put = calls[call], puts[put]
    error = np.hypot(half_spread[call], half_spread[put])
    return parity.regress(K, mid[call] - mid[put], error, discount)


# Volatilities


def _volatilities(quotes: Floats, F: float, K: Floats, years: float, D: float) -> Floats:
    """Implied volatilities, shape (3, n), of the out-of-the-money options."""
    n = K.size
    edge = -n % _PADDING
    quotes, K = np.pad(quotes, ((0, 0), (0, edge)), mode="edge"), np.pad(K, (0, edge), mode="edge")
    found = black.implied_volatility(quotes, F, K[None], years, K[None] >= F, discount=D)
    return np.asarray(found.volatility, np.float64)[:, :n]


def _vega(F: float, K: Floats, volatility: Floats, years: float, D: float) -> Floats:
    """∂price/∂volatility = D F φ(d_1) √T."""
    s = volatility * np.sqrt(years)
    d_1 = np.log(F / K) / s + s / 2
    vega: Floats = D * F * np.exp(-d_1 * d_1 / 2) * np.sqrt(years / (2 * np.pi))
    return vega
