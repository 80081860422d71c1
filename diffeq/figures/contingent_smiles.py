"""Figures of implied volatility: the model's smiles, and a calibrated smile through quotes.

Every function takes plain arrays (numpy or JAX, never changed) and returns a matplotlib Figure that
belongs to no window and no pyplot state.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jax.typing import ArrayLike

from diffeq.figures import CATEGORIES, GREY, INK, Floats, array, canvas, label_ends, name_panel
from diffeq.figures.contingent import DASHES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def smiles(
    moneyness: ArrayLike,
    average: ArrayLike,
    at_average_price: ArrayLike,
    *,
    labels: Sequence[str],
    title: str,
    note: str = "",
) -> "Figure":
    """Implied volatility against strike, one colour for each game.

    Args:
      moneyness: strike/forward, shape (n,).
      average: volatility averaged over the order flow, shape (k, n); solid.
      at_average_price: volatility of the average price, shape (k, n); dashed.
      labels: of the k games, k ≤ 4.
    """
    x = array("moneyness", moneyness, (-1,))
    shape = (len(labels), x.size)
    solid = array("average", average, shape)
    dashed = array("at_average_price", at_average_price, shape)
    figure, (panel,) = canvas(1, 1, size=(7.2, 4.8), title=title, note=note)
    for row, other, color in zip(solid, dashed, CATEGORIES, strict=False):
        panel.plot(x, row, color=color, linewidth=1.8)
        panel.plot(x, other, color=color, linewidth=1.4, linestyle=DASHES[1])
    panel.plot([], [], color=GREY, label="averaged over the order flow")
    panel.plot([], [], color=GREY, linestyle=DASHES[1], label="at the average price")
    panel.legend(frameon=False, fontsize=9, loc="upper center")
    label_ends(panel, [(float(x[-1]), float(row[-1])) for row in solid], labels, CATEGORIES)
    name_panel(panel, "", x="strike / forward", y="implied volatility")
    return figure


def smile_fit(
    moneyness: ArrayLike,
    volatility: ArrayLike,
    fitted: ArrayLike,
    mixture: ArrayLike,
    *,
    bid: ArrayLike | None = None,
    ask: ArrayLike | None = None,
    title: str = "Quoted and fitted implied volatility",
    note: str = "",
) -> "Figure":
    """A calibrated smile through the quotes, and the plain mixture's.

    Args:
      moneyness: strike/forward, shape (n,).
      volatility: quoted, at the mid, shape (n,).
      fitted: two signals of one mean, shape (n,).
      mixture: the plain lognormal mixture, shape (n,).
      bid: volatility at the bid, shape (n,); with ``ask``: bars.
      ask: at the ask.
    """
    x = array("moneyness", moneyness, (-1,))
    quoted, model, plain = (
        array(n, y, x.shape)
        for n, y in (("volatility", volatility), ("fitted", fitted), ("mixture", mixture))
    )
    figure, (upper, lower) = canvas(
        2, 1, size=(7.2, 5.4), title=title, note=note, sharex=True, height_ratios=[2.4, 1]
    )
    if bid is not None and ask is not None:
        ends = (array("bid", bid, x.shape), array("ask", ask, x.shape))
        upper.vlines(x, *ends, color=GREY, linewidth=1.4, label="bid to ask")
    upper.plot(x, quoted, "o", color=INK, markersize=3, label="mid")
    for panel, base in ((upper, 0.0), (lower, quoted)):
        _fits(panel, x, [100 ** (panel is lower) * (y - base) for y in (model, plain)])
    upper.legend(frameon=False, fontsize=9)
    lower.axhline(0, color=INK, linewidth=0.8)
    name_panel(upper, "", x="", y="implied volatility")
    name_panel(lower, "Fitted − quoted", x="strike / forward", y="points (0.01)")
    return figure


def _fits(panel: "Axes", x: Floats, curves: Sequence[Floats]) -> None:
    names = ("two signals of one mean", "plain mixture, means free")
    for y, color, dash, name in zip(curves, CATEGORIES, DASHES, names, strict=False):
        panel.plot(x, y, color=color, linestyle=dash, linewidth=1.8, label=name)
