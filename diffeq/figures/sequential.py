"""Figures of the Glosten–Milgrom (1985) family: one market trade by trade, and what it teaches.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. Prices are in price units; time is counted in trades. The
extensions are in :mod:`diffeq.figures.sequential_quotes` (elastic demand, dealers, sizes of trade)
and :mod:`diffeq.figures.sequential_beliefs` (values beyond two, arriving information).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from diffeq.figures import (
    BLUE,
    GREEN,
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

TRADES = "trade $t$"
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)))


def one_path(
    belief: ArrayLike,
    bid: ArrayLike,
    ask: ArrayLike,
    price: ArrayLike,
    order: ArrayLike,
    informed: ArrayLike,
    profit: ArrayLike,
    *,
    value: float,
    reference_spread: float,
    title: str = "One market: quotes close in on the value as orders betray it",
    note: str = "",
) -> "Figure":
    """Belief; quotes and trades; spread; profits of the two kinds of traders, trade by trade.

    Args:
      belief: mu before each trade, shape (T,).
      bid: of each trade, shape (T,).
      ask: of each trade, shape (T,).
      price: paid, shape (T,).
      order: +1 a buy, −1 a sale, shape (T,).
      informed: whether the trader was, shape (T,).
      profit: of the trader, in money, shape (T,).
      value: V, in price units.
      reference_spread: alpha (V_H − V_L), the spread at mu = 1/2.
    """
    mu = array("belief", belief, (-1,))
    low, high, paid, side, gain = (
        array(name, x, mu.shape)
        for name, x in (
            ("bid", bid),
            ("ask", ask),
            ("price", price),
            ("order", order),
            ("profit", profit),
        )
    )
    knows, t = array("informed", informed, mu.shape) > 0, np.arange(1.0, mu.size + 1)
    figure, panels = canvas(2, 2, size=(11.5, 7.4), title=title, note=note, sharex=True)
    beliefs, quotes, spreads, profits = panels
    beliefs.step(t, mu, where="mid", color=BLUE, linewidth=1.4)
    beliefs.set_ylim(-0.03, 1.03)
    name_panel(beliefs, r"Belief $\mu$ that $V = V_H$", x="", y="probability")
    draw_trades(quotes, t, low, high, paid, side, knows)
    quotes.axhline(value, color=INK, linewidth=0.8, linestyle="--")
    quotes.annotate(
        "$V$",
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=10,
    )
    name_panel(quotes, "Quotes and trades", x="", y="price units")
    spreads.step(t, high - low, where="mid", color=BLUE, linewidth=1.4)
    spreads.axhline(reference_spread, color=GREY, linewidth=0.9, linestyle="--")
    spreads.annotate(
        r"$\alpha\,(V_H - V_L)$",
        (t[-1], reference_spread),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=GREY,
    )
    spreads.set_ylim(0, 1.15 * max(reference_spread, float(np.max(high - low))))
    name_panel(spreads, "Spread", x=TRADES, y="price units")
    lines = [np.cumsum(np.where(who, gain, 0)) for who in (knows, ~knows)]
    _labelled(profits, t, lines, ["informed", "uninformed"], [VERMILION, BLUE])
    profits.axhline(0, color=INK, linewidth=0.8)
    name_panel(profits, "Profit so far, all traders of a kind", x=TRADES, y="money")
    return figure


def draw_trades(
    panel: "Axes", t: Floats, bid: Floats, ask: Floats, price: Floats, order: Floats, knows: Any
) -> None:
    """The band between the quotes, and each trade by side (triangle) and kind (colour)."""
    panel.fill_between(t, bid, ask, step="mid", color=BLUE, alpha=0.18, linewidth=0)
    for kind, who, color in (("uninformed", ~knows, BLUE), ("informed", knows, VERMILION)):
        for words, sign, marker in (("buy", 1, "^"), ("sale", -1, "v")):
            here = who & (order == sign)
            panel.plot(
                t[here],
                price[here],
                marker,
                color=color,
                markersize=4,
                markerfacecolor=color if kind == "informed" else "white",
                markeredgewidth=0.9,
                label=f"{words}, {kind}",
            )
    panel.legend(fontsize=8, frameon=False, loc="best", handletextpad=0.1)


def _labelled(
    panel: "Axes", x: Floats, lines: list[Floats], labels: list[str], colors: list[str]
) -> None:
    for line, color in zip(lines, colors, strict=True):
        panel.plot(x, line, color=color, linewidth=1.5)
    label_ends(panel, [(float(x[-1]), float(line[-1])) for line in lines], labels, colors)


def learning(
    alpha: ArrayLike,
    spread: ArrayLike,
    belief: ArrayLike,
    first_passage: ArrayLike,
    *,
    threshold: float,
    title: str = "More informed traders: a wider spread at first, a faster lesson, a narrower one",
    note: str = "",
) -> "Figure":
    """Expected spread and belief in the truth, and the law of the first passage, for several alpha.

    Args:
      alpha: probabilities of an informed trader, shape (k,).
      spread: expected, at trades 1..T, in price units, shape (k, T).
      belief: expected belief in the truth after t = 0..T trades, shape (k, T + 1).
      first_passage: P(the belief in the truth has reached the threshold by t), shape (k, T + 1).
      threshold: the belief in question.
    """
    alphas = array("alpha", alpha, (-1,))
    k = alphas.size
    fields = (array("spread", spread, (k, -1)), array("belief", belief, (k, -1)))
    passed = array("first_passage", first_passage, (k, -1))
    figure, panels = canvas(1, 3, size=(12.5, 4.2), title=title, note=note)
    colors = [BLUE, VERMILION, GREEN][:k] if k <= 3 else sequence(k)
    labels = [rf"$\alpha$ = {a:g}" for a in alphas]
    words = (
        ("Expected spread", TRADES, "price units", 1.0),
        ("Expected belief in the truth", "after trade $t$", "probability", 0.0),
        (f"Reached {threshold:.0%} belief in the truth", "by trade $t$", "probability", 0.0),
    )
    for panel, rows, (name, x, y, first) in zip(panels, (*fields, passed), words, strict=True):
        t = first + np.arange(rows.shape[1], dtype=np.float64)
        _labelled(panel, t, list(rows), labels, colors)
        for line, dash in zip(panel.lines, DASHES, strict=False):
            line.set_linestyle(dash)
        name_panel(panel, name, x=x, y=y)
    return figure
