"""Figures of claims markets: demands as options, the strength of trade, price impact.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. Lines differ in dash as well as in colour. The paper's
figures 1 to 8, computed and drawn, are in :mod:`diffeq.figures.contingent_paper`; smiles are in
:mod:`diffeq.figures.contingent_smiles`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from diffeq.figures import (
    BLUE,
    CATEGORIES,
    GREY,
    INK,
    VERMILION,
    array,
    canvas,
    label_ends,
    name_panel,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


def profit(
    alpha: ArrayLike,
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    equilibrium: tuple[float, float],
    peak: tuple[float, float],
    title: str = "The equilibrium is a best answer to a belief that stays where it is",
    note: str = "",
) -> "Figure":
    """Profit of trading alpha: at the equilibrium belief, and with the belief moving along.

    Args:
      alpha: size of the trade, shape (n,).
      fixed: profit while the market maker believes the equilibrium alpha, price units, shape (n,).
      moving: profit where he believes each alpha, shape (n,).
      equilibrium: (alpha, profit) of the equilibrium.
      peak: (alpha, profit) of the second curve's highest point.
    """
    x = array("alpha", alpha, (-1,))
    curves = [array(n, y, x.shape) for n, y in (("fixed", fixed), ("moving", moving))]
    figure, (panel,) = canvas(1, 1, size=(7.2, 4.6), title=title, note=note)
    names = (r"belief fixed at $\alpha^*$", r"belief moves along with $\alpha$")
    for y, color, dash, name in zip(curves, CATEGORIES, DASHES, names, strict=False):
        panel.plot(x, y, color=color, linestyle=dash, linewidth=1.8, label=name)
    for (at, height), marker, color, text in (
        (equilibrium, "o", BLUE, rf"equilibrium, $\alpha^*$ = {equilibrium[0]:.4f}"),
        (peak, "s", VERMILION, f"peak {peak[0]:.4f}, no equilibrium"),
    ):
        panel.plot(at, height, marker, color=color, markersize=7, zorder=5)
        panel.axvline(at, color=color, linewidth=0.8, linestyle=(0, (2, 2)))
        left = marker == "s"
        panel.annotate(
            text,
            (at, height),
            xytext=(-8 if left else 8, 12),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=9,
            color=color,
        )
    panel.set_ylim(top=1.15 * peak[1])
    panel.legend(frameon=False, fontsize=9.5, loc="lower right")
    name_panel(panel, "", x=r"size of the trade $\alpha$", y="expected profit (price units)")
    return figure


def against_signals(
    num_signals: ArrayLike,
    values: ArrayLike,
    *,
    quantity: str,
    unit: str,
    marked: Sequence[float] = (2, 10, 100, 1e6, 1e9),
    bound: tuple[ArrayLike, str] | None = None,
    title: str,
    note: str = "",
) -> "Figure":
    """A quantity of the canonical game against the number of signals K, on a log axis.

    Args:
      num_signals: K ≥ 2, increasing, shape (n,).
      values: shape (n,).
      quantity: what it is.
      unit: of the ordinate.
      marked: K whose values are written out, where in range.
      bound: another curve, shape (n,), and its name.
    """
    K = array("num_signals", num_signals, (-1,))
    y = array("values", values, K.shape)
    figure, (panel,) = canvas(1, 1, size=(7.2, 4.6), title=title, note=note)
    panel.plot(K, y, color=BLUE, linewidth=1.8)
    panel.set_xscale("log")
    panel.margins(x=0.06, y=0.1)
    if bound is not None:
        other = array("bound", bound[0], K.shape)
        panel.set_ylim(panel.get_ylim())
        panel.plot(K, other, color=GREY, linestyle=DASHES[1], linewidth=1.4, label=bound[1])
        panel.legend(frameon=False, fontsize=9.5, loc="lower right" if y[-1] > y[0] else "best")
    rising = y[-1] > y[0]
    for k in marked:
        if not K[0] <= k <= K[-1]:
            continue
        at = float(np.interp(np.log(k), np.log(K), y))
        panel.plot(k, at, "o", color=BLUE, markersize=5)
        panel.annotate(
            f"{_whole(k)}: {at:.4f}",
            (k, at),
            xytext=(-8 if k == K[-1] else 6, -11 if rising and k < K[-1] else 7),
            textcoords="offset points",
            ha="right" if k == K[-1] else "left",
            fontsize=9,
            color=INK,
        )
    name_panel(panel, quantity, x="number of signals $K$", y=unit)
    return figure


def _whole(k: float) -> str:
    return f"$K$ = {k:,.0f}" if k < 1e4 else rf"$K$ = $10^{{{np.log10(k):.0f}}}$"


def conditions(
    alpha: ArrayLike,
    values: ArrayLike,
    roots: ArrayLike,
    *,
    labels: Sequence[str],
    title: str = "One equilibrium for each number of signals",
    note: str = "",
) -> "Figure":
    """The equilibrium condition Phi(alpha) of the canonical game, and its roots alpha*.

    Args:
      alpha: shape (n,).
      values: Phi, shape (k, n).
      roots: alpha*, shape (k,).
      labels: of the k curves, k ≤ 4.
    """
    x, y = array("alpha", alpha, (-1,)), np.asarray(values, np.float64)
    y = array("values", y, (len(labels), x.size))
    zeros = array("roots", roots, (len(labels),))
    figure, (panel,) = canvas(1, 1, size=(7.2, 4.6), title=title, note=note)
    panel.axhline(0, color=INK, linewidth=0.9)
    for curve, zero, color, dash in zip(y, zeros, CATEGORIES, DASHES, strict=False):
        panel.plot(x, curve, color=color, linestyle=dash, linewidth=1.8)
        panel.plot(zero, 0, "o", color=color, markersize=6, zorder=5)
    colors = CATEGORIES[: len(labels)]
    label_ends(panel, [(float(x[-1]), float(row[-1])) for row in y], labels, colors)
    name_panel(panel, r"$\Phi(\alpha)$", x=r"strength of trade $\alpha$", y="probability units")
    return figure


def demand(
    states: ArrayLike,
    eta: ArrayLike,
    trades: ArrayLike,
    puts: ArrayLike,
    calls: ArrayLike,
    *,
    names: tuple[str, str] = ("signal 1", "signal 2"),
    title: str,
    note: str = "",
) -> "Figure":
    """Two signals, the insider's demand for claims under each, and the same demand in options.

    Args:
      states: terminal prices, shape (X,).
      eta: probability of each under each signal, shape (2, X).
      trades: W_k(x), units of claims, shape (2, X).
      puts: put positions that replicate W_1, by strike, shape (X,).
      calls: call positions, shape (X,).
      names: of the signals.
    """
    x = array("states", states, (-1,))
    p, w = array("eta", eta, (2, x.size)), array("trades", trades, (2, x.size))
    puts, calls = array("puts", puts, x.shape), array("calls", calls, x.shape)
    figure, panels = canvas(3, 1, size=(6.4, 7.2), title=title, note=note, sharex=True)
    for panel, rows in zip(panels[:2], (p, w), strict=True):
        for row, color, dash, marker, name in zip(
            rows, CATEGORIES, DASHES, "os", names, strict=False
        ):
            panel.plot(
                x, row, color=color, linestyle=dash, marker=marker, markersize=3.5, label=name
            )
    panels[0].legend(frameon=False, fontsize=9)
    panels[1].axhline(0, color=INK, linewidth=0.8)
    width = 0.7 * float(np.diff(x).min())
    bars = (("puts", puts, BLUE, ""), ("calls", calls, "white", "////"))
    below = np.zeros_like(x)
    for name, units, color, hatch in bars:
        panels[2].bar(
            x, units, width, bottom=below, color=color, edgecolor=BLUE, hatch=hatch, label=name
        )
        below = below + units
    panels[2].axhline(0, color=INK, linewidth=0.8)
    panels[2].legend(frameon=False, fontsize=9, ncols=2)
    name_panel(panels[0], "What the signals say", x="", y="probability")
    name_panel(panels[1], "What the insider buys", x="", y="claims $W_k$")
    panels[2].use_sticky_edges = False
    panels[2].margins(y=0.12)
    heading = f"The first as options (underlying and bond aside): {names[0]}"
    name_panel(panels[2], heading, x="terminal price, strike", y="contracts")
    return figure


def price_impact(
    states: ArrayLike,
    impact: ArrayLike,
    *,
    title: str = "What an order of one claim does to the price of another",
    note: str = "",
) -> "Figure":
    """Price impact Lambda between claims as level lines; solid raises, dashed lowers prices.

    Args:
      states: terminal prices, shape (X,).
      impact: Lambda, row the price, column the order, price per unit ordered, shape (X, X).
    """
    x = array("states", states, (-1,))
    z = array("impact", impact, (x.size, x.size))
    figure, (panel,) = canvas(1, 1, size=(6.0, 5.4), title=title, note=note)
    reach = float(np.abs(z).max()) or 1.0
    steps = reach * np.array([0.05, 0.2, 0.5])
    shades = ["#8fb8d8", "#b9d3e7", "#dce9f3", "white", "#f7e3d5", "#eec5a8", "#e3a57c"]
    edges = np.array([-1.001, -0.5, -0.2, -0.05, 0.05, 0.2, 0.5, 1.001]) * reach
    panel.contourf(x, x, z, levels=edges, colors=shades)
    for sign, dash in ((1, "solid"), (-1, "dashed")):
        lines = panel.contour(
            x, x, z, levels=np.sort(sign * steps), colors=INK, linewidths=0.8, linestyles=dash
        )
        panel.clabel(lines, fmt="%.2g", fontsize=8)
    panel.grid(False)
    panel.margins(0)
    panel.set_aspect("equal")
    name_panel(
        panel,
        r"$\Lambda$, price per unit ordered",
        x="state of the claim ordered",
        y="state of the claim priced",
    )
    return figure
