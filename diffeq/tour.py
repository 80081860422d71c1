"""The tour: solve, sweep, differentiate and calibrate, with figures and a short report.

``python -m diffeq tour`` runs it. Everything lands in one folder: ``report.md``, figures as PNG,
``terminal_values.csv`` and ``results.json``.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import holden, kyle, validate
from diffeq.calibrate import Calibration
from diffeq.check import check
from diffeq.empirical import impact, insiders, readers, signing, simulated
from diffeq.empirical.readers.records import Quotes, Tape
from diffeq.figures import calibration as calibration_figures
from diffeq.figures import insiders as figures
from diffeq.sweep import sweep

if TYPE_CHECKING:
    import xarray as xr

TRUTH = insiders.TapeParams(sigma_v=2.5, sigma_u=5000.0, num_insiders=2.0, sigma_e=0.5)
"""The market behind the simulated tape: 40 days of 10 auctions."""
NUM_DAYS = 40
_EDGE = """
At an edge: impact on this tape rises towards its end, which no number of insiders above zero gives.
Fix it instead (`--num-insiders 1` is Kyle), or cut the tape into fewer auctions.
"""
STEPS = 5  # subintervals of an auction in the regression that shows lambda_n


class Sample(NamedTuple):
    """A tape cut into D days of N auctions, and each auction into steps."""

    price_change: np.ndarray[Any, Any]
    """(D, N, steps)"""
    flow: np.ndarray[Any, Any]
    """(D, N, steps)"""
    hour: np.ndarray[Any, Any]
    """Middle of each auction of the first day, in hours after midnight, (N,)."""
    source: str
    """What was read, in words."""
    signing: str
    """How trades were signed, and how well if that is known."""


def tour(
    *,
    trades: Path | None = None,
    quotes: Path | None = None,
    out: Path = Path("tour"),
    num_auctions: int = 10,
    num_insiders: float | None = None,
    bad_rows: Literal["error", "drop"] = "error",
) -> Path:
    """Solve, sweep, differentiate and calibrate Kyle (1985) and Holden–Subrahmanyam (1992).

    Args:
      trades: a file of trades to calibrate to (Binance, Lean, LOBSTER, or columns time, price,
        size); default a simulated tape with known parameters.
      quotes: its quotes; without them the mid is the last trade's price, and a file without signs
        is signed by the tick rule.
      out: the folder to write; made if missing, files of earlier tours in it are overwritten.
      num_auctions: auctions the tape is cut into (per day of the simulated tape).
      num_insiders: M if known (1 is Kyle); default: estimated.
      bad_rows: what to do with crossed quotes, NaN and the like: "error" names the first, "drop"
        leaves them out and counts them in the report.

    Returns:
      The path of the report.
    """
    from tqdm import tqdm

    # first what can be wrong: a bad option or file then loses nothing
    validate.count("num_auctions", num_auctions)
    insiders.check_num_insiders(num_insiders)
    sample = _sample(trades, quotes, num_auctions, bad_rows)
    out.mkdir(parents=True, exist_ok=True)
    report: list[str] = ["# A tour of Kyle (1985) and Holden–Subrahmanyam (1992)\n"]
    results: dict[str, Any] = {}
    steps: list[tuple[str, Callable[[], str]]] = [
        ("solve", lambda: _solve(out, results)),
        ("differentiate", lambda: _differentiate(out, results)),
        ("sweep", lambda: _sweep(out, results)),
        ("calibrate", lambda: _calibrate(sample, num_insiders, trades is None, out, results)),
    ]
    with tqdm(steps, unit="step") as bar:
        for name, step in bar:
            bar.set_description(name)
            report.append(step())
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    path = out / "report.md"
    path.write_text("\n".join(report))
    return path


def _solve(out: Path, results: dict[str, Any]) -> str:
    """One equilibrium, three ways, and its paths by horizon and by number of insiders."""
    params = kyle.Params()
    solutions = {
        method: check(kyle.solve(params, num_auctions=10, method=method), params)
        for method in kyle.METHODS
    }
    first = solutions["two_pass"]
    agreement = max(
        float(jnp.max(jnp.abs(other.lambda_ / first.lambda_ - 1))) for other in solutions.values()
    )
    conditions = kyle.residual(first, params)
    worst = max(float(jnp.max(values)) for values in conditions)
    results["kyle"] = dict(lambda_=first.lambda_.tolist(), agreement=agreement, residual=worst)

    table = check(holden.solve_up_to(holden.Params(num_insiders=1.0), max_auctions=10, tables=True))
    figures.paths_by_horizon(table.lambda_, table.beta, table.Sigma).savefig(
        out / "paths_by_horizon.png", dpi=150
    )
    M = jnp.array([1.0, 2.0, 3.0, 5.0, 10.0])
    by_M = jax.vmap(lambda M: holden.solve(holden.Params(num_insiders=M), num_auctions=10))(M)
    check(by_M)
    figures.paths_by_insiders(M, by_M.lambda_, by_M.beta, by_M.Sigma).savefig(
        out / "paths_by_insiders.png", dpi=150
    )
    return f"""## One equilibrium

sigma_v = {params.sigma_v}, sigma_u = {params.sigma_u}, N = 10 auctions, one insider. Price impact
lambda_n falls from {first.lambda_[0]:.4f} to {first.lambda_[-1]:.4f} price units per unit of flow;
a share {float(first.Sigma[-1]) / params.sigma_v**2:.1%} of the prior variance is left at the end.
Kyle's recursion, his shooting and the two-pass solution agree to {agreement:.0e}; the largest
scale-free residual of Theorem 2 is {worst:.0e}.

![Paths by horizon](paths_by_horizon.png)
![Paths by number of insiders](paths_by_insiders.png)
"""


def _differentiate(out: Path, results: dict[str, Any]) -> str:
    """Elasticities of lambda_1, beta_N, Sigma_N by automatic differentiation."""
    names = ("sigma_v", "sigma_u", "num_insiders")

    def logs(log_params: jax.Array) -> jax.Array:
        sigma_v, sigma_u, M = jnp.exp(log_params)
        s = holden.solve(holden.Params(sigma_v, sigma_u, M), num_auctions=10)
        return jnp.stack([s.log_lambda[0], s.log_beta[-1], s.log_Sigma[-1]])

    params = holden.Params()
    at = jnp.log(jnp.array([params.sigma_v, params.sigma_u, params.num_insiders]))
    elasticities = jax.jacfwd(logs)(at)
    step = 1e-4
    moves = step * np.eye(3)
    differences = jnp.stack([(logs(at + h) - logs(at - h)) / (2 * step) for h in moves], axis=1)
    apart = float(jnp.max(jnp.abs(elasticities - differences)))
    outcomes = ("lambda_1", "beta_N", "Sigma_N")
    results["elasticities"] = {
        outcome: dict(zip(names, row, strict=True))
        for outcome, row in zip(outcomes, elasticities.tolist(), strict=True)
    }
    figures.sensitivities(elasticities, quantities=outcomes, parameters=names).savefig(
        out / "elasticities.png", dpi=150
    )
    rows = "\n".join(
        f"| {outcome} | " + " | ".join(f"{value:+.4f}" for value in row) + " |"
        for outcome, row in zip(outcomes, elasticities.tolist(), strict=True)
    )
    return f"""## Its derivatives

Elasticities at M = {params.num_insiders:g}, N = 10: a parameter up 1 % moves the outcome by so many
per cent. The derivatives are exact (implicit); central differences, which are not, agree to
{apart:.0e}.

| | sigma_v | sigma_u | num_insiders |
|---|---|---|---|
{rows}

![Elasticities](elasticities.png)
"""


def _sweep(out: Path, results: dict[str, Any]) -> str:
    """lambda_N, beta_N, Sigma_N over insiders × auctions × the two standard deviations."""
    axes = dict(
        num_insiders=np.arange(1.0, 16.0),
        num_auctions=np.arange(1, 11),
        sigma_v=np.linspace(0.5, 5.0, 46),
        sigma_u=np.linspace(2.0, 10.0, 41),
    )
    data = check(sweep(holden.grid, axes, grid_function=True))
    results["sweep"] = dict(
        points=int(data.lambda_.size), largest_residual=float(data.residual.max())
    )
    at = data.sel(sigma_v=2.5, sigma_u=5.0, method="nearest")
    figures.terminal_values(
        axes["num_insiders"], axes["num_auctions"], at.lambda_, at.beta, at.Sigma
    ).savefig(out / "terminal_values.png", dpi=150)
    kyle_1 = data.sel(num_insiders=1.0, num_auctions=10)
    figures.lambda_surface(
        axes["sigma_v"], axes["sigma_u"], kyle_1.lambda_, note="Kyle, last of N = 10 auctions"
    ).savefig(out / "lambda_surface.png", dpi=150)
    _write_terminal_values(at, out / "terminal_values.csv")
    lambda_ = at.lambda_
    return f"""## A sweep

{data.lambda_.size:,} equilibria over M = 1..15, N = 1..10, sigma_v ∈ [0.5, 5], sigma_u ∈ [2, 10],
every one converged. With one insider the last lambda rises with the number of auctions (from
{float(lambda_.sel(num_insiders=1, num_auctions=1)):.4f} to
{float(lambda_.sel(num_insiders=1, num_auctions=10)):.4f}); with two or more it falls: competition
has told the market all it knew before (numbers in [terminal_values.csv](terminal_values.csv)).

![Terminal values](terminal_values.png)
![Price impact over the two standard deviations](lambda_surface.png)
"""


def _write_terminal_values(at: "xr.Dataset", path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["num_insiders", "num_auctions", "lambda", "beta", "Sigma"])
        for M in at.num_insiders.values:
            for N in at.num_auctions.values:
                point = at.sel(num_insiders=M, num_auctions=N)
                fields = (point.lambda_, point.beta, point.Sigma)
                writer.writerow([M, N, *(f"{float(field):.12g}" for field in fields)])


def _sample(
    trades: Path | None, quotes: Path | None, num_auctions: int, bad_rows: Literal["error", "drop"]
) -> Sample:
    """Read or simulate a tape, sign it, and cut it into days, auctions and steps."""
    if trades is None:
        if quotes is not None:
            raise ValueError("quotes: expected a file of trades beside them; add --trades FILE")
        params = holden.Params(TRUTH.sigma_v, TRUTH.sigma_u, TRUTH.num_insiders)
        tape = simulated.tape(
            jax.random.key(7),
            params,
            num_auctions=num_auctions,
            num_days=NUM_DAYS,
            sigma_e=TRUTH.sigma_e,
        )
        source = f"a simulated tape: {NUM_DAYS} days of {num_auctions} auctions"
        days = [(_open(d), _open(d) + simulated.HOURS) for d in range(NUM_DAYS)]
    else:
        tape = readers.tape(trades, quotes, bad_rows=bad_rows)
        source = "; ".join(str(report).splitlines()[0] for report in tape.reports)
        if not tape.quotes.time.size:
            tape, source = (
                _mids_from_trades(tape),
                source + "; no quotes, the mid is the last price",
            )
        days = [(max(tape.quotes.time[0], tape.trades.time[0]), tape.quotes.time[-1])]
    sign, how = _signs(tape, has_quotes=trades is None or quotes is not None)
    cuts = [
        impact.intervals(tape, sign, num_intervals=num_auctions * STEPS, start=a, end=b)
        for a, b in days
    ]
    shape = (len(cuts), num_auctions, STEPS)
    change = np.stack([cut.mid_change for cut in cuts]).reshape(shape)
    flow = np.stack([cut.signed_flow for cut in cuts]).reshape(shape)
    middle = cuts[0].start.reshape(num_auctions, STEPS).mean(axis=1) + cuts[0].width / 2
    return Sample(change, flow, middle / 3600, source, how)


def _open(day: int) -> float:
    return simulated.OPEN + 86_400.0 * day


def _mids_from_trades(tape: Tape) -> Tape:
    """Quotes that follow the trades: without a quotes file the last price stands for the mid."""
    time, price = tape.trades.time, tape.trades.price
    nothing = np.full(time.size, np.nan)
    return tape._replace(quotes=Quotes(time, price, nothing, price, nothing))


def _signs(tape: Tape, *, has_quotes: bool) -> tuple[Any, str]:
    """The venue's flag where there is one, then Lee–Ready, then the tick rule; and how it did."""
    flag = tape.trades.sign
    if not np.any(flag != 0):
        if has_quotes:
            return signing.lee_ready(tape.trades, tape.quotes), "Lee–Ready (the file has no flag)"
        return signing.tick_rule(tape.trades.price), "the tick rule (no flag, no quotes)"
    if not has_quotes:
        return flag, "the venue's own flag"
    accuracy = signing.accuracy(signing.lee_ready(tape.trades, tape.quotes), flag)
    return flag, f"the venue's own flag (Lee–Ready agrees on {accuracy.agreement:.2%} of trades)"


def _calibrate(
    sample: Sample,
    num_insiders: float | None,
    is_simulated: bool,
    out: Path,
    results: dict[str, Any],
) -> str:
    """Maximum likelihood on the auctions, beside a regression for each auction."""
    flow, change = sample.flow.sum(axis=2), sample.price_change.sum(axis=2)
    fit = insiders.calibrate_tape(change, flow, num_insiders=num_insiders)
    by_auction = [
        impact.regress(sample.price_change[:, n].ravel(), sample.flow[:, n].ravel(), lags=0)
        for n in range(flow.shape[1])
    ]
    observed = np.array([float(r.lambda_) for r in by_auction])
    errors = np.array([float(r.lambda_error) for r in by_auction])
    estimate: insiders.TapeParams = fit.params
    model = holden.Params(estimate.sigma_v, estimate.sigma_u, estimate.num_insiders)
    fitted = check(holden.solve(model, num_auctions=flow.shape[1]), model)
    results["calibration"] = _numbers(fit, sample, observed, errors, fitted.lambda_)
    calibration_figures.fit(observed, fitted.lambda_, standard_errors=errors).savefig(
        out / "fitted_against_observed.png", dpi=150
    )
    pooled = impact.regress(sample.price_change.ravel(), sample.flow.ravel())
    calibration_figures.tape_fit(
        sample.flow.ravel(),
        sample.price_change.ravel(),
        lambda_=float(pooled.lambda_),
        intercept=float(pooled.intercept),
        hour=sample.hour,
        lambda_by_hour=observed,
        standard_errors=errors,
        model=fitted.lambda_,
    ).savefig(out / "flow_and_price.png", dpi=150)
    truth = _EDGE if fit.identification.at_edge else ""
    if is_simulated:
        pairs = zip(TRUTH._fields, TRUTH, strict=True)
        truth = "\nThe truth: " + ", ".join(f"{name} = {value:g}" for name, value in pairs) + ".\n"
    return f"""## Calibration to a tape

Read: {sample.source}. Signed by {sample.signing}. Cut into {flow.shape[0]} day(s) of
{flow.shape[1]} auctions. Over all intervals the regression of price changes on signed flow gives
lambda = {float(pooled.lambda_):.4g} ± {float(pooled.lambda_error):.2g} (Newey–West),
R² = {float(pooled.r_squared):.2f}. Maximum likelihood of the model:

```
{fit}
```
{truth}
![Fitted against observed](fitted_against_observed.png)
![Flow and price](flow_and_price.png)
"""


def _numbers(
    fit: Calibration, sample: Sample, observed: Any, errors: Any, fitted: Any
) -> dict[str, Any]:
    return dict(
        source=sample.source,
        signing=sample.signing,
        estimates={name: float(x) for name, x in fit.params._asdict().items()},
        standard_errors={name: float(x) for name, x in fit.standard_errors._asdict().items()},
        reason=fit.reason,
        converged=bool(fit.converged),
        identification=str(fit.identification),
        lambda_observed=[float(x) for x in observed],
        lambda_standard_errors=[float(x) for x in errors],
        lambda_fitted=[float(x) for x in fitted],
    )
