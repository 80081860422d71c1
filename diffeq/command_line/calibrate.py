"""The verb calibrate: a model's parameters from a file, with standard errors.

"python -m diffeq calibrate MODEL --help" says which file and which flags. A short report, or with
--json one object {model, source, estimates, standard_errors, converged} for another program;
numbers that are not finite (an error that does not exist) are null there. Where the search did not
converge the exit code is 1.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from diffeq import glosten_milgrom, validate
from diffeq.calibrate import Calibration
from diffeq.command_line.endings import Doubtful, Usage
from diffeq.contingent import calibrate_smile, chains
from diffeq.empirical import insiders, market_orders, readers, sample, volatility
from diffeq.empirical.readers import tables

BadRows = Literal["error", "drop"]


def commands() -> dict[str, Callable[..., str]]:
    """A function for each model, for tyro to make flags of."""
    return {
        "holden": holden,
        "glosten-milgrom": days_of_orders,
        "market-making": fill_rates,
        "smiles": option_quotes,
    }


def holden(
    *,
    trades: Path,
    quotes: Path | None = None,
    num_auctions: int = 10,
    num_insiders: float | None = None,
    bad_rows: BadRows = "error",
    json: bool = False,
) -> str:
    """Kyle (1985), Holden & Subrahmanyam (1992): sigma_v, sigma_u, M, sigma_e of a day's tape.

    Args:
      trades: a file of trades (Binance, Lean, LOBSTER, or columns time, price, size).
      quotes: its quotes; without them the mid is the last trade's price.
      num_auctions: auctions the tape is cut into.
      num_insiders: M if known (1 is Kyle); default: estimated.
      bad_rows: "error" names the first crossed quote, NaN and the like; "drop" leaves them out.
      json: print one JSON object.
    """
    validate.count("num_auctions", num_auctions)  # first what needs no file
    insiders.check_num_insiders(num_insiders)
    day = sample.read(trades, quotes, num_auctions, bad_rows)
    fit = insiders.calibrate_tape(
        day.price_change.sum(axis=2), day.flow.sum(axis=2), num_insiders=num_insiders
    )
    return _fit("holden", day.source, fit, json)


def days_of_orders(
    *, days: Path, mu_0: float | None = None, bad_rows: BadRows = "error", json: bool = False
) -> str:
    """Glosten & Milgrom (1985): the share alpha of informed traders from days of buys and sales.

    Args:
      days: a file with columns buys and sells, numbers of orders, a row for each day.
      mu_0: prior probability of the high value if known; default: estimated, from several days.
      bad_rows: "error" names the first row that is no pair of counts; "drop" leaves them out.
      json: print one JSON object.
    """
    table = tables.load(days, ["buys", "sells"])
    ledger = tables.account(table)
    counts = {name: tables.numbers(table, ledger, name) for name in ("buys", "sells")}
    for name, x in counts.items():
        ledger.bad("no number of orders (0, 1, 2, ...)", (x < 0) | (x != np.floor(x)), [name])
    report = ledger.close(bad_rows, {name: name for name in counts})
    buys, sells = (x[ledger.standing] for x in counts.values())
    source = f"{buys.size} days from {days}"
    if report.bad:
        source += f", {sum(report.bad.values())} bad rows left out"
    return _fit("glosten-milgrom", source, glosten_milgrom.calibrate(buys, sells, mu_0=mu_0), json)


def fill_rates(
    *,
    trades: Path,
    quotes: Path,
    least_depth: float | None = None,
    tick: float | None = None,
    bad_rows: BadRows = "error",
    json: bool = False,
) -> str:
    """Avellaneda & Stoikov (2008): A, k of either side and sigma from trades and quotes.

    Args:
      trades: a file of trades, as for holden.
      quotes: its quotes.
      least_depth: orders that reach less deep are left out, in price units; default the median
        half-spread: nearer quotes would have improved on the market's.
      tick: grid of the depths, in price units; default none.
      bad_rows: "error" names the first crossed quote, NaN and the like; "drop" leaves them out.
      json: print one JSON object.
    """
    if least_depth is not None:
        validate.not_negative("least_depth", least_depth)
    tape = readers.tape(trades, quotes, bad_rows=bad_rows)
    book = tape.quotes
    if least_depth is None:
        least_depth = float(np.median(book.ask - book.bid)) / 2
    sides = market_orders.fill_rates(
        market_orders.market_orders(tape), least_depth=least_depth, tick=tick
    )
    price = volatility.two_scale((book.bid + book.ask) / 2, float(book.time[-1] - book.time[0]))
    estimates, errors = {"sigma": price.sigma}, {"sigma": price.se_sigma}
    for name, side in sides._asdict().items():
        estimates |= {f"A_{name}": float(side.A), f"k_{name}": float(side.k)}
        errors |= {f"A_{name}": float(side.se_A), f"k_{name}": float(side.se_k)}
    converged = all(bool(found.info.converged) for found in (price, *sides))
    source = "; ".join(str(report).splitlines()[0] for report in tape.reports)
    if json:
        return _as_json("market-making", source, estimates, errors, converged)
    units = dict(sigma="price units per √second", A="fills per second at depth 0", k="1/price unit")
    lines = [f"Read: {source}. Orders at least {least_depth:g} beyond the mid.", ""]
    lines += [
        f"{name:<6} {value:>12.6g} ± {errors[name]:<10.2g} {units[name.split('_')[0]]}"
        for name, value in estimates.items()
    ]
    lines += [
        f"{name}: deviance {float(side.deviance):.3g}, p = {float(side.p_value):.2g} that fills "
        "fall off exponentially"
        for name, side in sides._asdict().items()
    ]
    return _relied_on("market-making", "\n".join(lines), converged)


def option_quotes(
    *,
    chain: Path,
    expiry: str | None = None,
    as_of: str | None = None,
    discount: float | None = None,
    signal: Literal[1, 2] | None = None,
    bad_rows: BadRows = "error",
    json: bool = False,
) -> str:
    """Keller & Tseng (2024): volatility under either signal, and the prior, from option quotes.

    Args:
      chain: a file of option quotes (Lean, or columns type, strike, expiry and bid, ask or mid).
      expiry: which, as 2016-02-19; may be left out where the file has one only.
      as_of: moment of valuation, as 2015-12-24T12:00; may be left out where quotes are dated.
      discount: price now of one unit at expiry, if known; default: from put-call parity.
      signal: which the insider saw, 1 (the more volatile) or 2; default: the likelier one.
      bad_rows: "error" names the first crossed quote, NaN and the like; "drop" leaves them out.
      json: print one JSON object.
    """
    day, moment = _date("--expiry", expiry), _date("--as-of", as_of)
    smile = chains.smile_of(chain, day, moment, discount, bad_rows)
    found = calibrate_smile(smile, signal=signal)
    converged = bool(found.info.converged)
    if not json:
        return _relied_on("smiles", str(found), converged)
    estimates = {name: float(getattr(found, name)) for name in found.standard_errors}
    source = str(smile.report).splitlines()[0]
    return _as_json("smiles", source, estimates, found.standard_errors, converged)


def _date(flag: str, text: str | None) -> Any:
    """A date and perhaps a time, as numpy reads it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a time zone is read, and lost
            return None if text is None else np.datetime64(text)
    except (ValueError, UserWarning, DeprecationWarning):
        raise Usage(
            f"{flag}: expected a date, as 2015-12-24 or 2015-12-24T12:00, got {text!r}"
        ) from None


def _fit(model: str, source: str, fit: Calibration, as_json: bool) -> str:
    converged = bool(fit.converged)
    if not as_json:
        return _relied_on(model, f"Read: {source}.\n\n{fit}", converged)
    estimates, errors = (
        {name: float(x) for name, x in values._asdict().items()}
        for values in (fit.params, fit.standard_errors)
    )
    return _as_json(model, source, estimates, errors, converged)


def _relied_on(model: str, report: str, converged: bool) -> str:
    if not converged:
        raise Doubtful(report, f"{model}: not converged, no number to rely on")
    return report


def _as_json(
    model: str,
    source: str,
    estimates: dict[str, float],
    errors: dict[str, float],
    converged: bool,
) -> str:
    def plain(values: dict[str, float]) -> dict[str, float | None]:
        return {name: x if np.isfinite(x) else None for name, x in values.items()}

    report = json.dumps(
        dict(
            model=model,
            source=source,
            estimates=plain(estimates),
            standard_errors=plain(errors),
            converged=converged,
        )
    )
    return _relied_on(model, report, converged)
