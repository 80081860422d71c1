"""Figures of the quoting experiment: what the rules say, and where they take the quotes.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state. ``title`` says what one sees, ``note`` (below the panels)
what was held fixed. Prices are in price units, order flow in units of the asset.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from diffeq.figures import BLUE, COLUMN_WIDTH, GREY, INK, VERMILION, array, canvas, name_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def quotes(
    bid: ArrayLike,
    ask: ArrayLike,
    *,
    value: float,
    labels: Sequence[str],
    title: str = "Quotes find the value from order flow alone",
    note: str = "",
) -> "Figure":
    """Bid and ask round by round around the true value; a panel for each of k experiments.

    The one-auction market of Kyle (1985), repeated: from a wrong start, by number of insiders or by
    rule.

    Args:
      bid: before the first round and after each, price units, shape (k, T+1).
      ask: same shape.
      value: v, in price units.
      labels: names of the k experiments.
    """
    k, columns = len(labels), min(len(labels), 2)
    low, high = array("bid", bid, (k, -1)), array("ask", ask, (k, -1))
    high = array("ask", high, low.shape)
    rows = -(-k // columns)
    size = (COLUMN_WIDTH, 3.4 if k == 1 else 1.8 * rows + 0.7)
    figure, panels = canvas(
        rows, columns, size=size, title=title, note=note, sharex=True, sharey=True
    )
    rounds = np.arange(low.shape[1])
    for j, (panel, name) in enumerate(zip(panels, labels, strict=False)):
        _band(panel, rounds, low[j], high[j])
        panel.axhline(value, color=VERMILION, linewidth=1.2, linestyle=(0, (5, 2)))
        below, left = j + columns >= k, j % columns == 0
        x, y = "round" if below else "", "price units" if left else ""
        name_panel(panel, name, x=x, y=y)
        panel.tick_params(labelbottom=below)
    for panel in panels[k:]:
        panel.remove()
    panels[columns - 1].annotate(
        "$v$",
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=10,
        color=VERMILION,
        annotation_clip=False,
    )
    panels[0].text(
        0.98,
        0.95,
        "from bid to ask",
        transform=panels[0].transAxes,
        ha="right",
        va="top",
        fontsize=9,
        color=BLUE,
    )
    return figure


def _band(panel: "Axes", rounds: ArrayLike, low: ArrayLike, high: ArrayLike) -> None:
    panel.fill_between(rounds, low, high, step="post", color=BLUE, alpha=0.18, linewidth=0)
    for side in (low, high):
        panel.step(rounds, side, where="post", color=BLUE, linewidth=1.2)


def rules(
    flow: ArrayLike,
    change: ArrayLike | Sequence[ArrayLike],
    *,
    names: Sequence[str],
    reference: ArrayLike | None = None,
    title: str = "Price rules: what an order flow does to the mid",
    note: str = "",
) -> "Figure":
    """The change of the mid against the net order flow, a panel for each of k rules.

    Args:
      flow: y, asset units, shape (m,).
      change: price units, shape (k, m).
      names: of the rules, k.
      reference: of the linear rule of Kyle (1985), drawn in grey in every panel, shape (m,).
    """
    k, columns = len(names), min(len(names), 2)
    y = array("flow", flow, (-1,))
    table = array("change", np.asarray(change, float), (k, y.size))
    rows = -(-k // columns)
    size = (COLUMN_WIDTH, 1.8 * rows + 0.7)
    figure, panels = canvas(
        rows, columns, size=size, title=title, note=note, sharex=True, sharey=True
    )
    for j, (panel, name) in enumerate(zip(panels, names, strict=False)):
        if reference is not None:
            panel.plot(y, array("reference", reference, y.shape), color=GREY, linewidth=1.0)
        panel.plot(y, table[j], color=BLUE, linewidth=1.8)
        for line in (panel.axhline, panel.axvline):
            line(0, color=INK, linewidth=0.6)
        below, left = j + columns >= k, j % columns == 0
        x = "order flow $y$ (asset units)" if below else ""
        name_panel(panel, name, x=x, y=r"$\Delta p$ (price units)" if left else "")
        panel.tick_params(labelbottom=below)
    for panel in panels[k:]:
        panel.remove()
    return figure
