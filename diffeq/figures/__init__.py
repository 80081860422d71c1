"""Figures: pure functions from plain arrays to a matplotlib Figure, one module per model family.

Here is what the families share: how a figure is begun, its colours, and lines labelled where they
end. Nothing touches pyplot, rcParams or a file; ``figure.savefig(path)`` is the caller's.
matplotlib is imported when the first figure is drawn: it comes with ``diffeq[plot]``.

Figures of Kyle (1985) and its heirs are COLUMN_WIDTH wide: shrunk to a printed column of 3.4 inches
their smallest words still are of 6 points. Lines differ in more than hue, for grey paper.
"""

import importlib
import re
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
# a line is told from the next by its colour, its dashes and its marker: one of them survives grey
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (2, 3)))
MARKERS = "os^Dv"

COLUMN_WIDTH = 4.8
"""Inches. At 3.4 the 8.5 points of a note, the smallest letters in use, are 6.0."""

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
      title: what one sees; in as many lines as the width asks for.
      note: what was held fixed; the same.
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
    style: Any = dict(x=0.01, ha="left")
    heading = folded(title, int(9 * size[0]))
    figure.suptitle(heading, fontsize=12, fontweight="bold", color=INK, **style)
    if note:
        figure.supxlabel(folded(note, int(14 * size[0])), fontsize=8.5, color=GREY, **style)
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


def folded(text: str, width: int) -> str:
    """The text in lines of up to ``width`` letters, about alike; no formula in $…$ is broken."""
    if "\n" in text:
        return "\n".join(folded(line, width) for line in text.split("\n"))
    lines = _filled(text, width)
    while width > 1 and len(narrower := _filled(text, width - 1)) == len(lines) > 1:
        lines, width = narrower, width - 1
    return "\n".join(lines)


def _filled(text: str, width: int) -> list[str]:
    lines = [""]
    for word in re.findall(r"(?:\$[^$]*\$|\S)+", text):
        longer = f"{lines[-1]} {word}".lstrip()
        letters = re.sub(r"\\[A-Za-z]+", "x", longer)  # \sigma is one
        if len(re.sub(r"[${}_^]", "", letters)) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def looks(count: int) -> list[dict[str, Any]]:
    """Colour and dashes of ``count`` lines."""
    colors = CATEGORIES[:count] if count <= len(CATEGORIES) else sequence(count)
    return [dict(color=c, linestyle=DASHES[i % len(DASHES)]) for i, c in enumerate(colors)]


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
    from matplotlib.colors import to_rgb

    panel.autoscale_view()
    to_panel = panel.transScale + panel.transLimits
    height = np.array([to_panel.transform(point)[1] for point in points])
    gap = 0.075
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
            color=[0.75 * part for part in to_rgb(colors[k])],  # letters are thinner than lines
            annotation_clip=False,
        )


def _apart(height: Floats, gap: float) -> Floats:
    """Heights moved, neighbours by equal parts, until none is nearer than ``gap`` to the next.

    None ends below the panel, where the axis has its words.
    """
    placed = height.copy()
    order = np.argsort(height, kind="stable")
    for _ in range(50):
        for below, above in zip(order[:-1], order[1:], strict=True):
            overlap = gap - (placed[above] - placed[below])
            if overlap > 0:
                placed[[below, above]] += (-overlap / 2, overlap / 2)
        placed[order[0]] = max(placed[order[0]], gap / 2)
    return placed


def _with_room(height: Floats, gap: float) -> list[int]:
    """Indices of the labels to write: first, last, and those that overlap none written before."""
    chosen: list[int] = []
    last = len(height) - 1
    for k in (0, last, *range(1, last)):
        if all(abs(height[k] - height[other]) >= gap for other in chosen):
            chosen.append(k)
    return chosen
