"""The tour: solve, sweep, differentiate and calibrate, with figures and a short report.

``python -m diffeq tour`` runs it. Everything lands in one folder: ``report.md``, figures as PNG,
``terminal_values.csv`` and ``results.json``.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import holden, kyle, validate
from diffeq.calibrate import Calibration
from diffeq.check import check
from diffeq.empirical import impact, insiders, sample
from diffeq.empirical.sample import TRUTH, Sample
from diffeq.figures import calibration as calibration_figures
from diffeq.figures import insiders as figures
from diffeq.sweep import sweep

if TYPE_CHECKING:
    import xarray as xr

_EDGE = """
At an edge: impact on this tape rises towards its end, which no number of insiders above zero gives.
Fix it instead (`--num-insiders 1` is Kyle), or cut the tape into fewer auctions.
"""


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
    try:
        import matplotlib  # noqa: F401  (of extras of their own: missed now, nothing is written)
        import xarray  # noqa: F401
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(f"the tour needs {error.name}: pip install 'diffeq[all]'") from error

    # first what can be wrong: a bad option or file then loses nothing
    validate.count("num_auctions", num_auctions)
    insiders.check_num_insiders(num_insiders)
    if trades is not None:
        auctions = sample.read(trades, quotes, num_auctions, bad_rows)
    elif quotes is None:
        auctions = sample.simulate(num_auctions)
    else:
        raise ValueError("quotes: expected a file of trades beside them; add --trades FILE")
    out.mkdir(parents=True, exist_ok=True)
    report: list[str] = ["# A tour of Kyle (1985) and Holden–Subrahmanyam (1992)\n"]
    results: dict[str, Any] = {}
    steps: list[tuple[str, Callable[[], str]]] = [
        ("solve", lambda: _solve(out, results)),
        ("differentiate", lambda: _differentiate(out, results)),
        ("sweep", lambda: _sweep(out, results)),
        ("calibrate", lambda: _calibrate(auctions, num_insiders, trades is None, out, results)),
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
    both = jax.jit(lambda x: (logs(x), jax.jacfwd(logs)(x)))  # one program for all of them
    elasticities = both(at)[1]
    step = 1e-4
    moves = step * np.eye(3)
    differences = jnp.stack(
        [(both(at + h)[0] - both(at - h)[0]) / (2 * step) for h in moves], axis=1
    )
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


def _calibrate(
    auctions: Sample,
    num_insiders: float | None,
    is_simulated: bool,
    out: Path,
    results: dict[str, Any],
) -> str:
    """Maximum likelihood on the auctions, beside a regression for each auction."""
    flow, change = auctions.flow.sum(axis=2), auctions.price_change.sum(axis=2)
    fit = insiders.calibrate_tape(change, flow, num_insiders=num_insiders)
    by_auction = [
        impact.regress(auctions.price_change[:, n].ravel(), auctions.flow[:, n].ravel(), lags=0)
        for n in range(flow.shape[1])
    ]
    observed = np.array([float(r.lambda_) for r in by_auction])
    errors = np.array([float(r.lambda_error) for r in by_auction])
    estimate: insiders.TapeParams = fit.params
    model = holden.Params(estimate.sigma_v, estimate.sigma_u, estimate.num_insiders)
    fitted = check(holden.solve(model, num_auctions=flow.shape[1]), model)
    results["calibration"] = _numbers(fit, auctions, observed, errors, fitted.lambda_)
    calibration_figures.fit(observed, fitted.lambda_, standard_errors=errors).savefig(
        out / "fitted_against_observed.png", dpi=150
    )
    pooled = impact.regress(auctions.price_change.ravel(), auctions.flow.ravel())
    calibration_figures.tape_fit(
        auctions.flow.ravel(),
        auctions.price_change.ravel(),
        lambda_=float(pooled.lambda_),
        intercept=float(pooled.intercept),
        hour=auctions.hour,
        lambda_by_hour=observed,
        standard_errors=errors,
        model=fitted.lambda_,
    ).savefig(out / "flow_and_price.png", dpi=150)
    truth = _EDGE if fit.identification.at_edge else ""
    if is_simulated:
        pairs = zip(TRUTH._fields, TRUTH, strict=True)
        truth = "\nThe truth: " + ", ".join(f"{name} = {value:g}" for name, value in pairs) + ".\n"
    return f"""## Calibration to a tape

Read: {auctions.source}. Signed by {auctions.signing}. Cut into {flow.shape[0]} day(s) of
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
    fit: Calibration, auctions: Sample, observed: Any, errors: Any, fitted: Any
) -> dict[str, Any]:
    return dict(
        source=auctions.source,
        signing=auctions.signing,
        estimates={name: float(x) for name, x in fit.params._asdict().items()},
        standard_errors={name: float(x) for name, x in fit.standard_errors._asdict().items()},
        reason=fit.reason,
        converged=bool(fit.converged),
        identification=str(fit.identification),
        lambda_observed=[float(x) for x in observed],
        lambda_standard_errors=[float(x) for x in errors],
        lambda_fitted=[float(x) for x in fitted],
    )
