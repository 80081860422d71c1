"""The verb ``calibrate``: a model's parameters from a file, with standard errors.

``python -m diffeq calibrate MODEL --help`` says which file and which flags. A short report, or with
``--json`` one object {model, source, estimates, standard_errors, converged} for another program;
numbers that are not finite (an error that does not exist) are null there.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from diffeq import glosten_milgrom
from diffeq.calibrate import Calibration
from diffeq.empirical import insiders, market_orders, readers, sample, volatility

BadRows = Literal["error", "drop"]


def commands() -> dict[str, Callable[..., str]]:
    """A function for each model, for tyro to make flags of."""
    return {"holden": holden, "glosten-milgrom": days_of_orders, "market-making": fill_rates}


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
    day = sample.read(trades, quotes, num_auctions, bad_rows)
    fit = insiders.calibrate_tape(
        day.price_change.sum(axis=2), day.flow.sum(axis=2), num_insiders=num_insiders
    )
    return _fit("holden", day.source, fit, json)


def days_of_orders(*, days: Path, mu_0: float | None = None, json: bool = False) -> str:
    """Glosten & Milgrom (1985): the share alpha of informed traders from days of buys and sales.

    Args:
      days: a file of comma-separated values with columns buys and sells, a row for each day.
      mu_0: prior probability of the high value if known; default: estimated, from several days.
      json: print one JSON object.
    """
    table = np.genfromtxt(days, delimiter=",", names=True, ndmin=1)
    missing = {"buys", "sells"} - set(table.dtype.names or ())
    if missing:
        raise ValueError(f"days: {days} has no column {' and '.join(sorted(missing))}")
    fit = glosten_milgrom.calibrate(table["buys"], table["sells"], mu_0=mu_0)
    return _fit("glosten-milgrom", f"{table.size} days from {days}", fit, json)


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
    if not converged:
        lines.append("Not converged: no number to rely on.")
    return "\n".join(lines)


def _fit(model: str, source: str, fit: Calibration, as_json: bool) -> str:
    if not as_json:
        return f"Read: {source}.\n\n{fit}"
    estimates, errors = (
        {name: float(x) for name, x in values._asdict().items()}
        for values in (fit.params, fit.standard_errors)
    )
    return _as_json(model, source, estimates, errors, bool(fit.converged))


def _as_json(
    model: str,
    source: str,
    estimates: dict[str, float],
    errors: dict[str, float],
    converged: bool,
) -> str:
    def plain(values: dict[str, float]) -> dict[str, float | None]:
        return {name: x if np.isfinite(x) else None for name, x in values.items()}

    return json.dumps(
        dict(
            model=model,
            source=source,
            estimates=plain(estimates),
            standard_errors=plain(errors),
            converged=converged,
        )
    )
