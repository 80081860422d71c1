"""Figures of Glosten–Milgrom beliefs: a value on many atoms, and one that changes meanwhile.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. Prices are in price units; time is counted in trades. One
market with two values is in :mod:`diffeq.figures.sequential`.
"""

from collections.abc import Sequence
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
from diffeq.figures.sequential import TRADES, draw_trades

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES: tuple[Any, ...] = ((0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (5, 2)), "-")
ORDER_NAMES = {1: "buy", -1: "sale", 0: "no order"}


def continuous_value(
    values: ArrayLike,
    beliefs: ArrayLike,
    orders: ArrayLike,
    bid: ArrayLike,
    ask: ArrayLike,
    no_trade: ArrayLike,
    *,
    shown: Sequence[int],
    title: str = "Orders push the belief; a trader who stays away squeezes it between the quotes",
    note: str = "",
) -> "Figure":
    """Belief over V after some orders; the quotes after each; the chance of no order.

    Args:
      values: equally spaced v_i, price units, shape (n,).
      beliefs: p_i before the first order and after each, shape (T + 1, n).
      orders: +1, −1, or 0 for none, shape (T,).
      bid: before the first order and after each, price units, shape (T + 1,).
      ask: likewise.
      no_trade: probability that the next trader places no order, likewise.
      shown: numbers of orders after which the belief is drawn, at most four.
    """
    if not 0 < len(shown) <= len(DASHES):
        raise ValueError(f"shown: expected 1 to {len(DASHES)} numbers of orders, got {len(shown)}")
    v, side = array("values", values, (-1,)), array("orders", orders, (-1,))
    after = np.arange(side.size + 1.0)
    p = array("beliefs", beliefs, (after.size, v.size))
    low, high, silent = (
        array(name, y, after.shape)
        for name, y in (("bid", bid), ("ask", ask), ("no_trade", no_trade))
    )
    figure, (density, quotes, chance) = canvas(1, 3, size=(13.0, 4.3), title=title, note=note)
    last = DASHES[len(DASHES) - len(shown) :]  # the last belief, often narrow, in a solid line
    for t, color, dash in zip(shown, sequence(len(shown)), last, strict=True):
        density.plot(
            v,
            p[t] / (v[1] - v[0]),
            color=color,
            linestyle=dash,
            linewidth=1.6,
            label="prior" if t == 0 else f"after {t}: {ORDER_NAMES[int(side[t - 1])]}",
        )
    held = v[(p[list(shown)] > 1e-3 * p[list(shown)].max(axis=1)[:, None]).any(axis=0)]
    density.set_xlim(held[0], held[-1])
    density.set_ylim(bottom=0)
    density.legend(frameon=False, fontsize=8.5, handlelength=2.6, loc="upper left")
    name_panel(density, "Belief over the value", x="value $V$ (price units)", y="density")
    _two_quotes(quotes, after, low, high)
    _mark_orders(quotes, after, side, low, high)
    name_panel(quotes, "Quotes for the next trader", x="orders so far", y="price units")
    chance.plot(after, silent, "o-", color=BLUE, linewidth=1.4, markersize=4)
    chance.set_ylim(0, 1.1 * float(silent.max()))
    name_panel(chance, "The next trader places no order", x="orders so far", y="probability")
    return figure


def _two_quotes(panel: "Axes", after: Floats, low: Floats, high: Floats) -> None:
    panel.fill_between(after, low, high, color=BLUE, alpha=0.15, linewidth=0)
    for y in (low, high):
        panel.plot(after, y, color=BLUE, linewidth=1.3)


def _mark_orders(panel: "Axes", after: Floats, side: Floats, low: Floats, high: Floats) -> None:
    """Each order at the price it was executed at; a missing one between the quotes."""
    where = {1: high, -1: low, 0: (low + high) / 2}
    for code, marker in ((1, "^"), (-1, "v"), (0, "x")):
        here = np.flatnonzero(side == code)
        if here.size:
            panel.plot(
                after[here],
                where[code][here],
                marker,
                color=VERMILION,
                markersize=6,
                label=ORDER_NAMES[code] + " comes next",
            )
    panel.margins(y=0.2)
    panel.legend(frameon=False, fontsize=8.5, handletextpad=0.1)


def news_spread(
    nu: ArrayLike,
    spread: ArrayLike,
    least: ArrayLike,
    *,
    title: str = "The more often the value changes, the less the spread can close",
    note: str = "",
) -> "Figure":
    """Expected spread trade by trade for several nu, and the bound that no spread goes below.

    Args:
      nu: probabilities that V is redrawn before a trade, shape (k,).
      spread: expected, at trades 1..T, price units, shape (k, T).
      least: the smallest spread that can ever be quoted, shape (k,).
    """
    rates = array("nu", nu, (-1,))
    rows, floor = array("spread", spread, (rates.size, -1)), array("least", least, rates.shape)
    t = np.arange(1.0, rows.shape[1] + 1)
    figure, (panel,) = canvas(1, 1, size=(7.2, 4.6), title=title, note=note)
    colors = (
        [BLUE, VERMILION, GREEN, INK][: rates.size] if rates.size <= 4 else sequence(rates.size)
    )
    labels = [rf"$\nu$ = {rate:g}" for rate in rates]
    for y, bound, label, color in zip(rows, floor, labels, colors, strict=True):
        panel.plot(t, y, color=color, linewidth=1.7)
        panel.annotate(
            label,
            (t[-1], bound),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
            color=color,
        )
        panel.plot(t[[0, -1]], [bound, bound], color=color, linewidth=1.1, linestyle=(0, (4, 2)))
    panel.plot([], [], color=GREY, linewidth=1.7, label="expected spread")
    panel.plot([], [], color=GREY, linewidth=1.1, linestyle=(0, (4, 2)), label="never below")
    panel.set_ylim(0, 1.12 * float(np.nanmax(rows)))
    panel.legend(frameon=False, fontsize=9, loc="upper right", ncols=2)
    label_ends(panel, [(float(t[-1]), float(y[-1])) for y in rows], labels, colors)
    name_panel(panel, "Spread", x=TRADES, y="price units")
    return figure


def news_path(
    value: ArrayLike,
    belief: ArrayLike,
    bid: ArrayLike,
    ask: ArrayLike,
    order: ArrayLike,
    informed: ArrayLike,
    *,
    low_and_high: tuple[float, float],
    title: str = "Quotes chase a value that is redrawn without a word",
    note: str = "",
) -> "Figure":
    """One market under arriving information: quotes, trades and the value; the belief.

    Args:
      value: V in force at each trade, price units, shape (T,).
      belief: mu after each trade, shape (T,).
      bid: of each trade, shape (T,).
      ask: of each trade, shape (T,).
      order: +1 a buy, −1 a sale, shape (T,).
      informed: whether the trader was, shape (T,).
      low_and_high: V_L and V_H.
    """
    V = array("value", value, (-1,))
    mu, low, high, side = (
        array(name, y, V.shape)
        for name, y in (("belief", belief), ("bid", bid), ("ask", ask), ("order", order))
    )
    knows, t = array("informed", informed, V.shape) > 0, np.arange(1.0, V.size + 1)
    figure, (quotes, beliefs) = canvas(
        2, 1, size=(9.0, 6.2), title=title, note=note, sharex=True, height_ratios=(2, 1)
    )
    draw_trades(quotes, t, low, high, np.where(side > 0, high, low), side, knows)
    quotes.step(
        t, V, where="mid", color=INK, linewidth=1.2, linestyle=(0, (4, 2)), label="value $V$"
    )
    quotes.legend(
        fontsize=8.5, frameon=False, ncols=5, loc="lower center", bbox_to_anchor=(0.55, 1.0),
        handletextpad=0.3, columnspacing=1.2,
    )  # fmt: skip
    name_panel(quotes, "Quotes and trades", x="", y="price units")
    beliefs.step(t, mu, where="post", color=BLUE, linewidth=1.4)
    truth = (V > sum(low_and_high) / 2).astype(float)
    beliefs.fill_between(t, 0, truth, step="mid", color=GREY, alpha=0.15, linewidth=0)
    beliefs.set_ylim(-0.03, 1.03)
    name_panel(beliefs, r"Belief $\mu$ that $V = V_H$ (grey: it is)", x=TRADES, y="probability")
    return figure
