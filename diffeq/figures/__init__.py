"""Figures: pure functions from plain arrays to a matplotlib Figure, one module per model family.

Here is what the families share: how a figure is begun, its colours, and lines labelled where they
end. Nothing touches pyplot, rcParams or a file; ``figure.savefig(path)`` is the caller's.
matplotlib is imported when the first figure is drawn: it comes with ``diffeq[plot]``.
"""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAMILIES = (
    "calibration",
    "contingent",
    "contingent_paper",
    "contingent_smiles",
    "foster_viswanathan",
    "insiders",
    "market_making",
    "market_making_profit",
    "price_rules",
    "sequential",
    "sequential_beliefs",
    "sequential_quotes",
)

Floats = npt.NDArray[np.float64]

# Okabe & Ito (2008): told apart with every kind of colour vision, and in grey
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
CATEGORIES = (BLUE, VERMILION, GREEN, PURPLE)
INK, GREY, PALE = "#222222", "#666666", "#dddddd"

IMPACT_UNIT = "price units per unit of order flow"


def __getattr__(name: str) -> Any:
    """A family on first use: ``diffeq.figures.insiders`` after ``import diffeq.figures``."""
    if name in FAMILIES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def canvas(
    rows: int,
    columns: int,
    *,
    size: tuple[float, float],
    title: str,
    note: str = "",
    **subplots: Any,
) -> tuple["Figure", list["Axes"]]:
    """Begin a figure: its title above, the setting it holds for below, bare panels between.

    Args:
      rows: rows of panels.
      columns: columns of panels.
      size: width and height in inches.
      title: what one sees.
      note: what was held fixed.
      subplots: passed to ``Figure.subplots`` (shared axes, height ratios).

    Returns:
      The figure and its rows × columns panels, row by row.

    Raises:
      ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "diffeq.figures draws with matplotlib, which is not installed: "
            "pip install 'diffeq[plot]'"
        ) from error
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    if engine := figure.get_layout_engine():
        engine.set(wspace=0.05, hspace=0.03)  # type: ignore[call-arg]
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    if note:
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8.5, color=GREY)
    panels = list(figure.subplots(rows, columns, squeeze=False, **subplots).flat)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=9, colors=INK)
        panel.grid(True, color=PALE, linewidth=0.6)
        panel.set_axisbelow(True)
        panel.margins(x=0.03)
    return figure, panels


def name_panel(panel: "Axes", title: str, *, x: str, y: str) -> None:
    """Title and axis labels of a panel, in the sizes every figure uses."""
    panel.set_title(title, loc="left", fontsize=10.5, color=INK)
    panel.set_xlabel(x, fontsize=9.5, color=INK)
    panel.set_ylabel(y, fontsize=9.5, color=INK)


def sequence(count: int) -> list[Any]:
    """``count`` colours in order, dark to light; without the yellow that fades on white."""
    from matplotlib import colormaps

    return [colormaps["viridis"](float(s)) for s in np.linspace(0, 0.8, count)]


def array(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """The values as a float64 numpy copy of that shape; −1 stands for any length.

    Raises:
      ValueError: another shape.
    """
    result = np.array(values, np.float64)
    agree = len(shape) == result.ndim and all(
        want in (-1, got) for want, got in zip(shape, result.shape, strict=True)
    )
    if not agree:
        wanted = str(shape).replace("-1", "any")
        raise ValueError(f"{name}: expected shape {wanted}, got {result.shape}")
    return result


def log_if_decades(panel: "Axes", values: Floats) -> None:
    """A log scale where positive values run over a factor above 30 (1, 2, 5 marked if few)."""
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if not positive.size or finite.min() < 0 or positive.max() <= 30 * positive.min():
        return
    from matplotlib.ticker import LogLocator, NullFormatter

    panel.set_yscale("log", nonpositive="mask")
    if positive.max() < 300 * positive.min():
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_formatter(NullFormatter())


def label_ends(
    panel: "Axes", points: Sequence[tuple[float, float]], labels: Sequence[str], colors: Any
) -> None:
    """Write each line's label right of its end point, instead of a legend.

    Up to four labels are moved apart where they would overlap; of more, the first and the last are
    written and of the others those that have room (the colours are then in order).

    Args:
      panel: with all its lines drawn and its scales set.
      points: (x, y) in data units, one for each line.
      labels: one for each line.
      colors: one for each line.
    """
    panel.autoscale_view()
    to_panel = panel.transScale + panel.transLimits
    height = np.array([to_panel.transform(point)[1] for point in points])
    gap = 0.065
    if len(labels) <= 4:
        chosen, place = list(range(len(labels))), _apart(height, gap)
    else:
        chosen, place = _with_room(height, gap), height
    to_data = to_panel.inverted()
    right = max(x for x, _ in points)
    for k in chosen:
        if not np.isfinite(place[k]):
            continue
        panel.annotate(
            labels[k],
            (right, float(to_data.transform((0.0, place[k]))[1])),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colors[k],
            annotation_clip=False,
        )


def _apart(height: Floats, gap: float) -> Floats:
    """Heights moved, neighbours by equal parts, until none is nearer than ``gap`` to the next."""
    placed = height.copy()
    order = np.argsort(height, kind="stable")
    for _ in range(50):
        for below, above in zip(order[:-1], order[1:], strict=True):
            overlap = gap - (placed[above] - placed[below])
            if overlap > 0:
                placed[[below, above]] += (-overlap / 2, overlap / 2)
    return placed


def _with_room(height: Floats, gap: float) -> list[int]:
    """Indices of the labels to write: first, last, and those that overlap none written before."""
    chosen: list[int] = []
    last = len(height) - 1
    for k in (0, last, *range(1, last)):
        if all(abs(height[k] - height[other]) >= gap for other in chosen):
            chosen.append(k)
    return chosen
