"""Figures of what market making earns: profit against risk, its law, the cost of a wrong belief.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. Profit is in money.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from diffeq.figures import INK, MARKERS, array, canvas, looks, name_panel
from diffeq.figures.market_making import WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

RISK, MEAN = "standard deviation of profit, money", "mean profit, money"


def profit_against_risk(
    sd: ArrayLike,
    mean: ArrayLike,
    gamma: ArrayLike,
    *,
    labels: "Sequence[str]",
    named: "Sequence[int]" = (),
    simulated: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike] | None = None,
    title: str = "What each policy earns for the risk it takes",
    note: str = "",
) -> "Figure":
    """Mean against standard deviation of profit: a curve for each policy, along risk aversion.

    Args:
      sd: shape (k, g).
      mean: shape (k, g).
      gamma: risk aversions, in 1/money, shape (g,).
      labels: of the policies, one for each of the k.
      named: indices of the risk aversions written beside the first and the last policy's curves.
      simulated: (sd, mean, standard error of the sd, of the mean), shape (s,) each: drawn with bars
        of two standard errors.
    """
    k, aversion = len(labels), array("gamma", gamma, (-1,))
    x, y = (array(name, v, (k, aversion.size)) for name, v in (("sd", sd), ("mean", mean)))
    figure, (panel,) = canvas(1, 1, size=(WIDTH, 4.6), title=title, note=note)
    for i, look in enumerate(looks(k)):
        style: Any = dict(marker=MARKERS[i % len(MARKERS)], markersize=4.5, linewidth=1.4)
        panel.plot(x[i], y[i], label=labels[i], **style, **look)
    if simulated is not None:
        at, height, bar_x, bar_y = (
            array(f"simulated[{j}]", v, np.shape(simulated[0])) for j, v in enumerate(simulated)
        )
        bars: Any = dict(linestyle="", marker="+", color=INK, elinewidth=1.1, capsize=2.5)
        panel.errorbar(
            at, height, 2 * bar_y, 2 * bar_x, label="simulated, ±2 s.e.", zorder=4, **bars
        )
    for j in named:
        panel.annotate(
            rf"$\gamma$ = {aversion[j]:.2g}",
            (x[0, j], y[0, j]),
            xytext=(-6, 5),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
            color=INK,
        )
    name_panel(panel, "", x=RISK, y=MEAN)
    panel.margins(x=0.12, y=0.08)
    panel.legend(loc="best", fontsize=9, frameon=False, handlelength=2.6)
    return figure


def profit_law(
    profit: ArrayLike,
    *,
    labels: "Sequence[str]",
    title: str = "The same mean need not be the same risk",
    note: str = "",
) -> "Figure":
    """Histograms of the profit at the end of many paths, one outline for each policy.

    Args:
      profit: shape (k, P).
      labels: one for each of the k.
    """
    values = array("profit", profit, (len(labels), -1))
    figure, (panel,) = canvas(1, 1, size=(WIDTH, 3.8), title=title, note=note)
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high if high > low else low + 1, 81)
    for row, look, label in zip(values, looks(len(values)), labels, strict=True):
        share = np.histogram(row, edges)[0] / row.size / np.diff(edges)
        words = f"{label}: mean {row.mean():.3g}, s.d. {row.std():.3g}"
        panel.stairs(share, edges, label=words, linewidth=1.4, **look)
    panel.set_ylim(bottom=0)
    name_panel(panel, "", x="profit, money", y="density, 1/money")
    panel.legend(loc="best", fontsize=8.5, frameon=False, handlelength=2.6)
    return figure


def wrong_belief(
    cost: ArrayLike,
    *,
    markets: "Sequence[str]",
    beliefs: "Sequence[str]",
    title: str = "What it costs to quote for another market",
    unit: str = "money",
    note: str = "",
) -> "Figure":
    """A table in shades: the cost of each belief (column) in each market (row).

    Args:
      cost: ≥ 0, shape (markets, beliefs); NaN is left blank.
      markets: names of the rows.
      beliefs: names of the columns.
      unit: of the cost.
    """
    values = array("cost", cost, (len(markets), len(beliefs)))
    size = WIDTH, 1.9 + 0.55 * len(markets)
    figure, (panel,) = canvas(1, 1, size=size, title=title, note=note)
    panel.grid(False)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    most = float(np.nanmax(values, initial=0.0))
    # no darker than its numbers can be read on
    panel.imshow(values, cmap="Greys", vmin=0, vmax=2 * most or 1, aspect="auto")
    for i, j in np.ndindex(values.shape):
        if np.isfinite(values[i, j]):
            style: Any = dict(ha="center", va="center", fontsize=10, color=INK)
            panel.text(j, i, f"{values[i, j]:.3f}", **style)
    panel.set_xticks(range(len(beliefs)), beliefs)
    panel.set_yticks(range(len(markets)), markets)
    name_panel(panel, f"Cost, {unit}", x="the dealer quotes for", y="the market is")
    return figure
