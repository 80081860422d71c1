"""Figures of Foster & Viswanathan (1996): insiders who know different things.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. ``title`` says what one sees, ``note`` (below the panels)
what was held fixed. NaN is not drawn. Prices are in price units; the trading day has length 1.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from diffeq.figures import (
    COLUMN_WIDTH,
    DASHES,
    GREY,
    IMPACT_UNIT,
    INK,
    VERMILION,
    array,
    canvas,
    folded,
    label_ends,
    log_if_decades,
    name_panel,
    sequence,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIME = r"time $t_n$ (trading day = 1)"


def by_correlation(
    correlation: ArrayLike,
    lambda_: ArrayLike,
    Sigma: ArrayLike,
    V: ArrayLike,
    C: ArrayLike,
    *,
    spacing: ArrayLike | None = None,
    title: str = "What insiders share is out early; what each knows alone comes out late",
    note: str = "",
) -> "Figure":
    """Price impact, error variance and correlation of what is left of two signals, over the day.

    Foster & Viswanathan (1996), the comparison of correlations: one line for each.

    Args:
      correlation: of the signals before the day, shape (k,).
      lambda_: price units per unit of order flow, shape (k, N).
      Sigma: price units squared, shape (k, N).
      V: variance of what is left of a signal, price units squared, shape (k, N).
      C: covariance of that of two insiders, shape (k, N).
      spacing: lengths of the auctions, shape (N,); default equal.
    """
    rho = array("correlation", correlation, (-1,))
    N = np.shape(lambda_)[-1]
    dt = np.full(N, 1 / N) if spacing is None else array("spacing", spacing, (N,))
    shape, t = (rho.size, N), np.cumsum(dt)
    left = array("C", C, shape) / array("V", V, shape)
    words = (
        (r"Price impact $\lambda_n$", IMPACT_UNIT, array("lambda_", lambda_, shape)),
        (r"Error variance of the price $\Sigma_n$", "price units squared", Sigma),
        (r"Correlation of what is left, $C_n/V_n$", "", left),
    )
    size = (COLUMN_WIDTH, 8.4)
    figure, panels = canvas(3, 1, size=size, title=title, note=note, sharex=True)
    colors, names = sequence(rho.size), [rf"$\rho$ = {r:g}".replace("-", "−") for r in rho]
    panels[2].axhline(0, color=INK, linewidth=0.8)
    for panel, (name, unit, values) in zip(panels, words, strict=True):
        field = array(name, values, shape)
        log_if_decades(panel, field)
        style: Any = dict(linewidth=1.4, marker="o" if N <= 30 else "", markersize=3)
        for k, (line, color) in enumerate(zip(field, colors, strict=True)):
            panel.plot(t, line, color=color, linestyle=DASHES[k % len(DASHES)], **style)
        name_panel(panel, name, x=TIME if panel is panels[2] else "", y=folded(unit, 24))
        label_ends(panel, [(t[-1], line[-1]) for line in field], names, colors)
    return figure


def continuous_limit(
    num_auctions: ArrayLike,
    lambda_: ArrayLike,
    time: ArrayLike,
    limit: ArrayLike,
    *,
    title: str = "More auctions: impact tends to that of continuous trading",
    note: str = "",
) -> "Figure":
    """Impact over the day for several N beside its limit; and how far the first auction is off.

    Foster & Viswanathan (1996) against Back, Cao & Willard (2000).

    Args:
      num_auctions: values of N, shape (k,).
      lambda_: price units per unit of order flow, shape (k, longest): row of N equal auctions, NaN
        beyond N.
      time: from 0 to below 1, shape (m,).
      limit: impact of continuous trading, shape (m,); its first entry is at time 0.
    """
    N = array("num_auctions", num_auctions, (-1,))
    table = array("lambda_", lambda_, (N.size, -1))
    t = array("time", time, (-1,))
    curve = array("limit", limit, t.shape)
    figure, (upper, lower) = canvas(2, 1, size=(COLUMN_WIDTH, 6.6), title=title, note=note)
    colors = sequence(N.size)
    for count, row, color in zip(N, table, colors, strict=True):
        n = np.arange(1, int(count) + 1)
        upper.plot(n / count, row[: n.size], color=color, linewidth=1.3)
    upper.plot(t, curve, color=VERMILION, linewidth=1.8, linestyle=(0, (5, 2)))
    upper.set_ylim(0, 1.15 * float(np.nanmax(table)))
    name_panel(upper, r"Price impact $\lambda_n$", x=TIME, y=folded(IMPACT_UNIT, 24))
    names = [f"N = {count:g}" for count in N]
    ends = [(1.0, row[int(count) - 1]) for count, row in zip(N, table, strict=True)]
    label_ends(upper, ends, names, colors)
    upper.annotate(
        "continuous",
        (t[t.size // 3], curve[t.size // 3]),
        xytext=(0, 8),
        textcoords="offset points",
        fontsize=9,
        color=VERMILION,
    )
    gap = np.abs(table[:, 0] - curve[0])
    lower.loglog(N, gap, marker="o", color=INK, markersize=4, linewidth=1.4)
    lower.loglog(N, gap[-1] * N[-1] / N, color=GREY, linewidth=1.0)
    unit = folded(IMPACT_UNIT, 24)
    name_panel(lower, r"Distance of $\lambda_1$ from $\lambda(0)$", x="auctions $N$", y=unit)
    lower.annotate(
        "slope −1",
        (np.sqrt(N[0] * N[-1]), gap[-1] * np.sqrt(N[-1] / N[0])),
        xytext=(-5, -9),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=GREY,
    )
    return figure
