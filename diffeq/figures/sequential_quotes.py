"""Figures of Glosten–Milgrom quotes: elastic demand and its fold, dealers, sizes of trade.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. NaN is not drawn: a market that is closed ends its line.
Lines differ in dash as well as in colour. How beliefs move is in
:mod:`diffeq.figures.sequential_beliefs`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from diffeq.figures import (
    BLUE,
    CATEGORIES,
    GREY,
    INK,
    VERMILION,
    Floats,
    array,
    canvas,
    label_ends,
    name_panel,
    sequence,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOLID: Any = "-"
DASHED: Any = (0, (5, 2))
DOTTED: Any = (0, (1, 1.5))
INFORMED = r"probability $\alpha$ that a trader is informed"


def elastic_ask(
    alpha: ArrayLike,
    ask: ArrayLike,
    acceptance: ArrayLike,
    zero_profit: tuple[ArrayLike, ArrayLike],
    fold: tuple[float, float, float],
    *,
    value: float,
    title: str = "One informed trader too many, and the ask jumps",
    note: str = "",
) -> "Figure":
    """The lowest zero-profit ask against alpha with its fold, and who still buys at it.

    Where a vertical line meets the dashed curve three times there are three zero-profit asks.

    Args:
      alpha: increasing, shape (n,).
      ask: the lowest at each alpha, price units, shape (n,).
      acceptance: probability that an uninformed trader buys at it, shape (n,).
      zero_profit: alpha and A, shape (m,) each, along the curve of all zero-profit asks, A rising.
      fold: its alpha, ask and acceptance.
      value: V_H.
    """
    x = array("alpha", alpha, (-1,))
    lowest, accept = array("ask", ask, x.shape), array("acceptance", acceptance, x.shape)
    at = array("zero_profit[0]", zero_profit[0], (-1,))
    price = array("zero_profit[1]", zero_profit[1], at.shape)
    figure, panels = canvas(1, 2, size=(10.5, 4.4), title=title, note=note)
    asks, accepts = panels
    for panel, y, place in ((asks, lowest, fold[1]), (accepts, accept, fold[2])):
        _jumping(panel, x, y, fold[0], place)
    shown = at <= x[-1]
    asks.plot(at[shown], price[shown], color=GREY, linewidth=1.1, linestyle=DASHED, zorder=1)
    three = at[(price > fold[1]) & shown]
    if three.size:
        asks.axvspan(float(three.min()), fold[0], color=GREY, alpha=0.13, linewidth=0)
        asks.annotate(
            "three zero-profit asks;\nthe lowest is quoted",
            ((float(three.min()) + fold[0]) / 2, 0.62),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=8.5,
            color=INK,
        )
    asks.axhline(value, color=INK, linewidth=0.8, linestyle=":")
    asks.annotate(
        "$V_H$", (x[-1], value), xytext=(0, -11), textcoords="offset points", ha="right", fontsize=9
    )
    asks.annotate(
        rf"fold, $\alpha$ = {fold[0]:.4f}",
        fold[:2],
        xytext=(8, -4),
        textcoords="offset points",
        fontsize=9,
        color=VERMILION,
    )
    name_panel(asks, "Ask", x=INFORMED, y="price units")
    name_panel(accepts, "Uninformed traders who buy at it", x=INFORMED, y="probability")
    accepts.set_ylim(bottom=-0.01)
    for panel in panels:
        panel.set_xlim(x[0], x[-1])
    return figure


def _jumping(panel: "Axes", x: Floats, y: Floats, at: float, place: float) -> None:
    """A solid line up to the fold at (at, place), an arrow, and the line beyond."""
    before = x <= at
    panel.plot(np.append(x[before], at), np.append(y[before], place), color=BLUE, linewidth=2)
    panel.plot(x[~before], y[~before], color=BLUE, linewidth=2)
    panel.plot(at, place, "o", color=VERMILION, markersize=6, zorder=5)
    if not before.all():
        panel.annotate(
            "",
            (at, float(y[~before][0])),
            (at, place),
            arrowprops={"arrowstyle": "->", "color": VERMILION, "linewidth": 1.3, "shrinkB": 0},
        )


def dealers(
    alpha: ArrayLike,
    competitive: ArrayLike,
    monopoly: ArrayLike,
    profit: ArrayLike,
    *,
    labels: Sequence[str],
    title: str = "One dealer quotes wider, and opens exactly where competition does",
    note: str = "",
) -> "Figure":
    """Ask of competing dealers and of one alone, and his profit, for several markets.

    Args:
      alpha: shape (n,).
      competitive: asks of two or more dealers, price units, NaN where closed, shape (k, n).
      monopoly: asks of one dealer, shape (k, n).
      profit: his, expected per arrival, price units, shape (k, n).
      labels: of the k markets.
    """
    x, k = array("alpha", alpha, (-1,)), len(labels)
    fields = [
        array(name, y, (k, x.size))
        for name, y in (("competitive", competitive), ("monopoly", monopoly), ("profit", profit))
    ]
    figure, panels = canvas(1, 2, size=(10.5, 4.4), title=title, note=note)
    asks, profits = panels
    colors = CATEGORIES[:k] if k <= len(CATEGORIES) else sequence(k)
    for both, one, earned, color in zip(*fields, colors, strict=True):
        asks.plot(x, both, color=color, linewidth=1.8)
        asks.plot(x, one, color=color, linewidth=1.5, linestyle=DASHED)
        for panel, y in ((asks, both), (asks, one), (profits, earned)):
            _mark_closing(panel, x, y, color)
        profits.plot(x, earned, color=color, linewidth=1.5, linestyle=DASHED)
    asks.set_ylim(0, 1.4 * float(np.nanmax(fields[1])))
    for text, dash in (("one dealer", DASHED), ("two or more", SOLID)):
        asks.plot([], [], color=INK, linewidth=1.6, linestyle=dash, label=text)
    asks.plot([], [], "X", color=INK, linestyle="none", label="the market breaks down")
    asks.legend(frameon=False, fontsize=9, loc="upper left")
    name_panel(asks, "Ask", x=INFORMED, y="price units above the mean")
    name_panel(profits, "Expected profit of one dealer", x=INFORMED, y="price units per arrival")
    profits.set_ylim(0, 1.1 * float(np.nanmax(fields[2])))
    for panel, rows in ((asks, fields[1]), (profits, fields[2])):
        _label_starts(panel, x, rows, labels, colors)
    ends = [(float(x[-1]), float(row[-1])) for row in fields[0]]
    label_ends(asks, ends, labels, colors)
    return figure


def _mark_closing(panel: "Axes", x: Floats, y: Floats, color: str) -> None:
    """A cross at the last open point of a line that ends before its panel does."""
    is_open = np.flatnonzero(np.isfinite(y))
    if is_open.size and is_open[-1] < y.size - 1:
        last = is_open[-1]
        panel.plot(x[last], y[last], "X", color=color, markersize=6, zorder=5, clip_on=False)


def _label_starts(
    panel: "Axes", x: Floats, rows: Floats, labels: Sequence[str], colors: Any
) -> None:
    """Each line's label above its beginning."""
    for row, label, color in zip(rows, labels, colors, strict=True):
        panel.annotate(
            label,
            (x[0], row[0]),
            xytext=(2, 7),
            textcoords="offset points",
            va="bottom",
            fontsize=9,
            color=color,
        )


def trade_size(
    ratio: ArrayLike,
    bids: ArrayLike,
    asks: ArrayLike,
    psi: ArrayLike,
    *,
    separating_from: tuple[float, float],
    value: float,
    title: str = "Informed traders hide in small orders until large ones pay enough",
    note: str = "",
) -> "Figure":
    """The four quotes and the informed traders' choice against the ratio of the two sizes.

    Args:
      ratio: S_2/S_1 > 1, shape (n,).
      bids: of the small and the large sale, price units, shape (2, n).
      asks: of the small and the large purchase, shape (2, n).
      psi: probability that an informed sale, and purchase, is large, shape (2, n).
      separating_from: the ratio from which a side separates: bid, ask.
      value: E[V] before the trade.
    """
    x = array("ratio", ratio, (-1,))
    sides = [array(name, y, (2, x.size)) for name, y in (("bids", bids), ("asks", asks))]
    chosen = array("psi", psi, (2, x.size))
    figure, (quotes, choices) = canvas(1, 2, size=(10.5, 4.4), title=title, note=note)
    colors, names = (VERMILION, BLUE), ("bid", "ask")
    ends, labels = [], []
    for (small, large), color, name in zip(sides, colors, names, strict=True):
        for y, dash, size in ((small, DASHED, "small"), (large, SOLID, "large")):
            quotes.plot(x, y, color=color, linestyle=dash, linewidth=1.8)
            ends.append((float(x[-1]), float(y[-1])))
            labels.append(f"{name}, {size}")
    quotes.axhline(value, color=INK, linewidth=0.8, linestyle=":")
    quotes.margins(y=0.12)
    same = np.allclose(chosen[0], chosen[1])
    for y, color, dash, name in zip(chosen, colors, (SOLID, DOTTED), names, strict=True):
        choices.plot(
            x,
            y,
            color=INK if same else color,
            linestyle=SOLID if same else dash,
            linewidth=1.8,
            label=f"at the {name}",
        )
    choices.set_ylim(0, 1.06)
    if not same:
        choices.legend(frameon=False, fontsize=9, loc="center right", handlelength=2.6)
    for panel in (quotes, choices):
        _regimes(panel, x, separating_from, colors, same)
    label_ends(quotes, ends, labels, [c for c in colors for _ in range(2)])
    name_panel(quotes, "Quotes", x="size ratio $S_2/S_1$", y="price units")
    name_panel(
        choices,
        r"Informed orders that are large, $\psi$",
        x="size ratio $S_2/S_1$",
        y="probability",
    )
    return figure


def _regimes(
    panel: "Axes", x: Floats, starts: tuple[float, float], colors: tuple[str, str], same: bool
) -> None:
    """Where a side separates, and the names of the regimes left and right of both lines."""
    for start, color in zip(starts, colors, strict=True):
        if x[0] < start < x[-1]:
            panel.axvline(start, color=INK if same else color, linewidth=0.9, linestyle=":")
    for start, text, ha, side in (
        (min(starts), "pooling", "right", -4),
        (max(starts), "separating", "left", 4),
    ):
        if x[0] < start < x[-1]:
            panel.annotate(
                text,
                (start, 0.02),
                xycoords=("data", "axes fraction"),
                xytext=(side, 0),
                textcoords="offset points",
                ha=ha,
                fontsize=9,
                color=GREY,
            )
