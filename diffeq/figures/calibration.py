"""Figures of estimates against a model: any calibration of an impact path, any tape.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. ``title`` says what one sees, ``note`` (below the panels)
which data and sample it is.
"""

from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from diffeq.figures import (
    BLUE,
    COLUMN_WIDTH,
    GREY,
    IMPACT_UNIT,
    PALE,
    VERMILION,
    Floats,
    array,
    canvas,
    folded,
    name_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def fit(
    observed: ArrayLike,
    fitted: ArrayLike,
    *,
    standard_errors: ArrayLike | None = None,
    x: ArrayLike | None = None,
    quantity: str = r"price impact $\lambda_n$",
    unit: str = IMPACT_UNIT,
    x_label: str = "auction $n$",
    names: tuple[str, str] = ("observed", "fitted"),
    title: str = "Observed and fitted",
    note: str = "",
) -> "Figure":
    """A fitted path through observations with error bars, and the residuals below.

    The observed lambda_n (or Sigma_n) of a market against the path of Kyle (1985) or Holden &
    Subrahmanyam (1992) that calibration chose, each deviation judged by its sampling error.

    Args:
      observed: shape (n,), in ``unit``.
      fitted: shape (n,), in ``unit``.
      standard_errors: of ``observed``, shape (n,); the residuals are then in standard errors.
      x: abscissa, shape (n,); default 1..n.
      quantity: what was observed.
      unit: its unit.
      x_label: name and unit of the abscissa.
      names: what the points and the line are.
    """
    seen = array("observed", observed, (-1,))
    model = array("fitted", fitted, seen.shape)
    at = np.arange(1, seen.size + 1.0) if x is None else array("x", x, seen.shape)
    errors = (
        None if standard_errors is None else array("standard_errors", standard_errors, at.shape)
    )
    figure, (upper, lower) = canvas(
        2, 1, size=(COLUMN_WIDTH, 4.8), title=title, note=note, sharex=True, height_ratios=[2.6, 1]
    )
    bars = "" if errors is None else r", bars $\pm$2 standard errors"
    _estimates(upper, at, seen, errors, f"{names[0]}{bars}")
    upper.plot(at, model, color=VERMILION, linewidth=1.8, label=names[1], zorder=4)
    upper.legend(frameon=False, fontsize=9)
    name_panel(upper, quantity[0].upper() + quantity[1:], x="", y=unit)
    difference = seen - model if errors is None else (seen - model) / errors
    _residuals(lower, at, difference, in_errors=errors is not None)
    names_apart = f"{names[0][0].upper()}{names[0][1:]} − {names[1]}"
    residual_unit = "same unit" if errors is None else "standard errors"
    name_panel(lower, names_apart, x=x_label, y=residual_unit)
    return figure


def _residuals(panel: "Axes", x: Floats, residual: Floats, *, in_errors: bool) -> None:
    """Residuals as stems about zero; in standard errors, with the band of two shaded."""
    reach = 1.2 * float(np.nanmax(np.abs(residual), initial=1e-30))
    if in_errors:
        panel.axhspan(-2, 2, color=PALE, alpha=0.6, linewidth=0)
        reach = max(reach, 2.8)
    panel.set_ylim(-reach, reach)
    panel.axhline(0, color=VERMILION, linewidth=1.8)
    panel.vlines(x, 0, residual, color=BLUE, linewidth=1)
    panel.plot(x, residual, "o", color=BLUE, markersize=4)


def tape_fit(
    signed_flow: ArrayLike,
    mid_change: ArrayLike,
    *,
    lambda_: float,
    intercept: float = 0.0,
    hour: ArrayLike,
    lambda_by_hour: ArrayLike,
    standard_errors: ArrayLike,
    model: ArrayLike | None = None,
    title: str = "Price impact on the tape: over all intervals, and by time of day",
    note: str = "",
) -> "Figure":
    """Mid change against signed flow with the regression line; lambda by time of day.

    The regression of Kyle's price rule on a tape (Hasbrouck 2007, chapter 9), intervals pooled.

    Args:
      signed_flow: of each interval, asset units, shape (n,).
      mid_change: price units, shape (n,).
      lambda_: slope of the regression over all intervals, price units per unit of flow.
      intercept: of that regression, price units.
      hour: middle of each bucket of the day, hours after midnight, shape (b,).
      lambda_by_hour: slope in each bucket, shape (b,).
      standard_errors: of those slopes, shape (b,).
      model: the model's lambda_n in each bucket, shape (b,).
    """
    flow = array("signed_flow", signed_flow, (-1,))
    change = array("mid_change", mid_change, flow.shape)
    at = array("hour", hour, (-1,))
    slopes = array("lambda_by_hour", lambda_by_hour, at.shape)
    errors = array("standard_errors", standard_errors, at.shape)
    figure, (upper, lower) = canvas(2, 1, size=(COLUMN_WIDTH, 7.6), title=title, note=note)
    _regression(upper, flow, change, lambda_, intercept)
    _estimates(lower, at, slopes, errors, r"regression in each bucket, $\pm$2 standard errors")
    if model is not None:
        path = array("model", model, at.shape)
        lower.plot(at, path, color=VERMILION, linewidth=1.8, zorder=4, label=r"model $\lambda_n$")
    lower.legend(frameon=False, fontsize=9, loc="upper left")
    low, high = lower.get_ylim()
    lower.set_ylim(low, high + 0.2 * (high - low))  # room for the legend
    lower.xaxis.set_major_formatter(_clock)
    lower.yaxis.set_major_formatter("{x:.3g}")
    name_panel(
        lower, r"Price impact $\lambda$ by time of day", x="time of day", y=folded(IMPACT_UNIT, 24)
    )
    return figure


def _clock(hours: float, _: object) -> str:
    """Hours after midnight as hh:mm; the second argument is matplotlib's tick number."""
    hour, minute = divmod(round(hours * 60), 60)
    return f"{hour:02d}:{minute:02d}"


def _regression(panel: "Axes", flow: Floats, change: Floats, slope: float, start: float) -> None:
    """The cloud of intervals, its means in twenty classes of flow, and the line."""
    opacity = float(np.clip(400 / flow.size, 0.05, 0.6))
    panel.scatter(
        flow, change, s=6, color=GREY, alpha=opacity, linewidths=0, rasterized=True, label="_cloud"
    )
    classes = np.array_split(np.argsort(flow), min(20, flow.size))
    means = np.array([(flow[members].mean(), change[members].mean()) for members in classes])
    panel.plot(*means.T, "o", color=BLUE, markersize=5, label="mean of each 20th of the intervals")
    ends = np.array([flow.min(), flow.max()])
    line = rf"regression, slope $\lambda$ = {slope:.3g}"
    panel.plot(ends, start + slope * ends, color=VERMILION, linewidth=1.8, label=line)
    panel.legend(frameon=False, fontsize=9, loc="upper left")
    # a few extreme intervals would squeeze all others into a dot: leave them out, and say so
    (left, right), (bottom, top) = _bulk(flow), _bulk(change)
    outside = int(np.sum((flow < left) | (flow > right) | (change < bottom) | (change > top)))
    panel.set_xlim(left, right)
    panel.set_ylim(bottom, top + 0.25 * (top - bottom))  # room for the legend
    panel.locator_params(axis="x", nbins=6)
    panel.xaxis.set_major_formatter("{x:,.6g}")
    heading = f"{flow.size:,} intervals" + (f", {outside:,} beyond the frame" if outside else "")
    name_panel(panel, heading, x="signed order flow (asset units)", y="mid change (price units)")


def _bulk(values: Floats) -> tuple[float, float]:
    """The range of all but the outermost 0.1 % on either side, a little wider."""
    low, high = np.quantile(values, (0.001, 0.999))
    width = high - low if high > low else 1.0
    return float(low - 0.05 * width), float(high + 0.05 * width)


def _estimates(panel: "Axes", x: Floats, y: Floats, errors: Floats | None, label: str) -> None:
    """Estimates as points, with bars of two standard errors either side where they are given."""
    bars = None if errors is None else 2 * errors
    panel.errorbar(
        x, y, yerr=bars, fmt="o", color=BLUE, markersize=5, elinewidth=1.1, capsize=2.5, label=label
    )
