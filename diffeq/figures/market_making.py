"""Figures of the Avellaneda–Stoikov (2008) family: one market maker's day, quotes, fills, profit.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. Depths, spreads and the mid are in price units, inventory
in lots (what one fill trades), profit in money; time is in the unit of the fill rate. The depth of
a side that is not quoted is +inf (a price: ∓inf) and is left out. Made to be printed across a page.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from jax.typing import ArrayLike

from diffeq.figures import (
    BLUE,
    GREY,
    INK,
    MARKERS,
    VERMILION,
    Floats,
    array,
    canvas,
    log_if_decades,
    looks,
    name_panel,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.2  # inches: across a page
TIME, LOTS, PRICE = "time $t$", "inventory $q$, lots", "price units"


def one_path(
    times: ArrayLike,
    mid: ArrayLike,
    bid: ArrayLike,
    ask: ArrayLike,
    reservation: ArrayLike,
    bid_fill: ArrayLike,
    ask_fill: ArrayLike,
    inventory: ArrayLike,
    profit: ArrayLike,
    *,
    title: str = "One day: quotes lean against the inventory",
    note: str = "",
) -> "Figure":
    """Quotes, reservation price and fills; spread; inventory; profit: along one path of N steps.

    Args:
      times: shape (N + 1,).
      mid: S, shape (N + 1,).
      bid: quoted in each step, −inf where there was none, shape (N,).
      ask: the same, +inf, shape (N,).
      reservation: price at which the market maker is indifferent to a lot, shape (N,); with fills
        exponential alike on both sides the middle of the optimal quotes.
      bid_fill: whether the bid was filled in the step, shape (N,).
      ask_fill: the same of the ask.
      inventory: shape (N + 1,).
      profit: marked to market, shape (N + 1,).
    """
    t = array("times", times, (-1,))
    s, q, gain = (
        array(name, x, t.shape)
        for name, x in (("mid", mid), ("inventory", inventory), ("profit", profit))
    )
    steps = (t.size - 1,)
    low, high, middle = (
        _quoted(name, x, steps)
        for name, x in (("bid", bid), ("ask", ask), ("reservation", reservation))
    )
    bought, sold = (
        array(name, x, steps) > 0 for name, x in (("bid_fill", bid_fill), ("ask_fill", ask_fill))
    )
    shape: Any = dict(sharex=True, height_ratios=(3, 1, 1, 1.2))
    figure, panels = canvas(4, 1, size=(WIDTH, 7.8), title=title, note=note, **shape)
    quotes, spreads, lots, money = panels
    _draw_quotes(quotes, t, s, low, high, middle)
    for words, here, at, look in (
        ("bought", bought, low, dict(marker="^", color=BLUE, markerfacecolor=BLUE)),
        ("sold", sold, high, dict(marker="v", color=VERMILION, markerfacecolor="white")),
    ):
        style: Any = look | dict(linestyle="", markersize=4.5, markeredgewidth=0.9, zorder=3)
        quotes.plot(t[:-1][here], at[here], label=words, **style)
    _legend_above(quotes, 5)
    name_panel(quotes, "", x="", y=PRICE)
    spread = high - low
    spreads.step(t, np.append(spread, spread[-1:]), where="post", color=BLUE, linewidth=1.2)
    spreads.set_ylim(0, 1.3 * float(np.nanmax(spread, initial=0.0)) or 1)
    name_panel(spreads, "Quoted spread", x="", y=PRICE)
    lots.step(t, q, where="post", color=BLUE, linewidth=1.2)
    name_panel(lots, "Inventory", x="", y="lots")
    money.step(t, gain, where="post", color=BLUE, linewidth=1.2)
    name_panel(money, "Profit, marked to market", x=TIME, y="money")
    for panel in (lots, money):
        panel.axhline(0, color=INK, linewidth=0.8)
    return figure


def _draw_quotes(
    panel: "Axes", t: Floats, mid: Floats, low: Floats, high: Floats, middle: Floats
) -> None:
    last = [np.append(x, x[-1:]) for x in (low, high, middle)]  # hold to the end of the last step
    panel.fill_between(t, last[0], last[1], step="post", color=BLUE, alpha=0.15, linewidth=0)
    for k, edge in enumerate(last[:2]):
        name = "_" if k else "bid and ask"
        panel.step(t, edge, where="post", color=BLUE, linewidth=0.8, alpha=0.7, label=name)
    panel.step(t, mid, where="post", color="#a8a8a8", linewidth=1.6, label="mid $s$")
    panel.step(t, last[2], where="post", color=INK, linewidth=0.9, label="reservation price")


def against_inventory(
    inventory: ArrayLike,
    reservation: ArrayLike,
    spread: ArrayLike,
    *,
    labels: "Sequence[str]",
    visited: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    title: str = "Inventory moves the quotes, and hardly the distance between them",
    note: str = "",
) -> "Figure":
    """Reservation price and spread against inventory, of several policies or times.

    Args:
      inventory: q, shape (n,).
      reservation: reservation price less the mid, shape (k, n); not finite where there is none.
      spread: quoted, shape (k, n); not finite where one side is not quoted.
      labels: one for each of the k.
      visited: (inventory, reservation less mid, spread) of each step of a path, shape (N,) each.
    """
    q, k = array("inventory", inventory, (-1,)), len(labels)
    tables = [
        _quoted(name, x, (k, q.size))
        for name, x in (("reservation", reservation), ("spread", spread))
    ]
    figure, panels = canvas(1, 2, size=(WIDTH, 3.7), title=title, note=note)
    if visited is not None:
        at = array("visited[0]", visited[0], (-1,))
        for i, panel in enumerate(panels, 1):
            y = _quoted(f"visited[{i}]", visited[i], at.shape)
            style: Any = dict(color=GREY, alpha=0.5, markersize=3, markeredgewidth=0, zorder=3)
            panel.plot(at, y, "o", label="visited by the path", **style)
    for panel, rows in zip(panels, tables, strict=True):
        _draw_curves(panel, q, rows, labels)
    for panel in panels:
        panel.axvline(0, color=INK, linewidth=0.8)
    panels[0].axhline(0, color=INK, linewidth=0.8)
    panels[1].set_ylim(0, 1.25 * float(np.nanmax(tables[1], initial=0.0)) or 1)
    name_panel(panels[0], "Reservation price less mid", x=LOTS, y=PRICE)
    name_panel(panels[1], "Spread", x=LOTS, y=PRICE)
    _legend(panels[1])
    return figure


def depths(
    times: ArrayLike,
    inventory: ArrayLike,
    delta_b: ArrayLike,
    delta_a: ArrayLike,
    *,
    title: str = "How far from the mid to quote",
    note: str = "",
) -> "Figure":
    """Heat maps of the two depths over time and inventory, on one scale, with level lines.

    Args:
      times: increasing, shape (m,).
      inventory: increasing, shape (n,).
      delta_b: depth of the bid below the mid, +inf where there is none, shape (m, n).
      delta_a: depth of the ask above the mid, shape (m, n).

    Raises:
      ValueError: another shape, a single time or inventory, or no quote at all.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    t, q = array("times", times, (-1,)), array("inventory", inventory, (-1,))
    tables = [
        _quoted(name, x, (t.size, q.size)).T
        for name, x in (("delta_b", delta_b), ("delta_a", delta_a))
    ]
    if min(t.size, q.size) < 2 or not np.isfinite(tables).any():
        raise ValueError("delta_b: expected two times, two inventories and one quote at the least")
    least, most = (float(f(np.stack(tables))) for f in (np.nanmin, np.nanmax))
    # pale to middle: level lines and their labels are read on all of it, in grey too
    shades = LinearSegmentedColormap.from_list("", ["#f7fbff", "#c6dbef", "#6baed6", "#3182bd"])
    figure, panels = canvas(1, 2, size=(WIDTH, 3.7), title=title, note=note, sharey=True)
    sides = ("Bid: depth $\\delta_b^*(t, q)$", "Ask: depth $\\delta_a^*(t, q)$")
    for panel, table, name in zip(panels, tables, sides, strict=True):
        panel.grid(False)
        _hatched(panel, t, q, table)
        mesh = panel.pcolormesh(
            t, q, table, cmap=shades, vmin=least, vmax=most, shading="nearest", rasterized=True
        )
        if most > least:
            lines = panel.contour(t, q, table, levels=6, colors=INK, linewidths=0.7)
            panel.clabel(lines, fontsize=8, fmt=_in_full(np.asarray(lines.levels)))
        panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        name_panel(panel, name, x=TIME, y=LOTS if panel is panels[0] else "")
    bar = figure.colorbar(mesh, ax=panels, pad=0.02, aspect=25)
    bar.set_label(PRICE, fontsize=9.5, color=INK)
    bar.ax.tick_params(labelsize=9, colors=INK)
    bar.outline.set_visible(False)
    return figure


def _hatched(panel: "Axes", t: Floats, q: Floats, table: Floats) -> None:
    """Hatch the inventories at which the side is never quoted."""
    half = (q[1] - q[0]) / 2
    bare: Any = dict(facecolor="white", edgecolor=GREY, hatch="////", linewidth=0)
    words: Any = dict(ha="center", va="center", fontsize=8, color=INK)
    for lots in q[np.isnan(table).all(axis=1)]:
        panel.axhspan(lots - half, lots + half, **bare)
        label, box = "no bid" if lots > 0 else "no ask", dict(fc="white", ec="none", pad=1)
        panel.text(float(t.mean()), lots, label, bbox=box, **words)


def _in_full(levels: Floats) -> str:
    """A format with the decimals that tell the levels apart."""
    return f"%.{max(0, int(np.ceil(-np.log10(np.diff(levels).min()) - 1e-9)))}f"


def fill_rates(
    depth: ArrayLike,
    rate: ArrayLike,
    inventory: ArrayLike,
    delta_b: ArrayLike,
    *,
    usual: tuple[float, float],
    labels: "Sequence[str]",
    title: str = "Fill rates that meet at the usual depth, and the best bids",
    note: str = "",
) -> "Figure":
    """Several fill rates against depth, and the best bid against each.

    Args:
      depth: shape (d,).
      rate: fills per unit of time, shape (k, d); NaN where the rate is not defined.
      inventory: q, shape (n,).
      delta_b: depth of the best bid, +inf where there is none, shape (k, n).
      usual: depth at which the rates meet, and the rate there.
      labels: one for each of the k.
    """
    x, q, k = array("depth", depth, (-1,)), array("inventory", inventory, (-1,)), len(labels)
    rates = array("rate", rate, (k, x.size))
    figure, panels = canvas(1, 2, size=(WIDTH, 3.7), title=title, note=note)
    _draw_curves(panels[0], x, rates, labels, marked=False)
    panels[0].plot(*usual, "o", color=INK, markersize=6, markerfacecolor="white", zorder=3)
    log_if_decades(panels[0], rates)
    name_panel(
        panels[0],
        r"Fill rate $\Lambda(\delta)$",
        x=r"depth $\delta$, price units",
        y="fills per unit of time",
    )
    _draw_curves(panels[1], q, _quoted("delta_b", delta_b, (k, q.size)), labels)
    panels[1].axhline(usual[0], color=GREY, linewidth=0.8)
    name_panel(panels[1], r"Depth of the best bid $\delta_b^*$", x=LOTS, y=PRICE)
    _legend(panels[1])
    return figure


def _quoted(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """The values, NaN (nothing drawn) where there is no quote."""
    x = array(name, values, shape)
    return np.where(np.isfinite(x), x, np.nan)


def _draw_curves(
    panel: "Axes", x: Floats, rows: Floats, labels: "Sequence[str]", *, marked: bool = True
) -> None:
    """A line for each row; marked, with its values at x by markers."""
    for k, (row, look) in enumerate(zip(rows, looks(len(rows)), strict=True)):
        if marked and x.size <= 60:
            size = max(2.0, 5.5 - k)  # the later drawn the smaller: none hides another
            look |= dict(marker=MARKERS[k % len(MARKERS)], markersize=size)
        panel.plot(x, row, linewidth=1.4, label=labels[k], **look)


def _legend_above(panel: "Axes", columns: int) -> None:
    style: Any = dict(handletextpad=0.4, columnspacing=1.2, borderpad=0, bbox_to_anchor=(0, 1))
    panel.legend(loc="lower left", ncols=columns, fontsize=8.5, frameon=False, **style)


def _legend(panel: "Axes") -> None:
    panel.legend(loc="best", fontsize=8.5, frameon=False, handlelength=2.6)
