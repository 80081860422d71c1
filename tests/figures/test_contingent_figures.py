"""Figures of the claims market: the data they show, and manners."""

import io
import subprocess
import sys
from collections.abc import Callable

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from diffeq.figures import contingent, contingent_paper, contingent_smiles

pytestmark = pytest.mark.float64  # the paper's figures are computed

X = np.array([90.0, 95, 100, 105, 110])
ROWS = np.array([[0.1, 0.2, 0.4, 0.2, 0.1], [0.3, 0.15, 0.1, 0.15, 0.3]])

DRAWN: dict[str, Callable[[], Figure]] = {
    "profit": lambda: contingent.profit(
        [0.0, 0.5, 1], [0.0, 0.3, 0.2], [0.0, 0.2, 0.1], equilibrium=(0.5, 0.3), peak=(0.4, 0.25)
    ),
    "against_signals": lambda: contingent.against_signals(
        [2.0, 10, 100], [1.4, 1.8, 2.4], quantity="alpha", unit="1", title="title"
    ),
    "conditions": lambda: contingent.conditions(
        [1.0, 2, 3], [[1.0, 0, -1], [2.0, 1, -1]], [2.0, 2.5], labels=["a", "b"]
    ),
    "demand": lambda: contingent.demand(X, ROWS, ROWS, ROWS[0], ROWS[1], title="title"),
    "price_impact": lambda: contingent.price_impact(X, np.outer(X - 100, X - 98)),
    "smiles": lambda: contingent_smiles.smiles(
        X / 100, ROWS, ROWS, labels=["a", "b"], title="title"
    ),
    "smile_fit": lambda: contingent_smiles.smile_fit(
        X / 100, ROWS[0], ROWS[0], ROWS[1], bid=ROWS[0] - 0.01, ask=ROWS[0] + 0.01
    ),
}
PAPER = {f.__name__: f for f in contingent_paper.FIGURES}


@pytest.fixture(scope="module")
def paper() -> dict[str, Figure]:
    return {name: draw() for name, draw in PAPER.items()}


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_drawn_without_pyplot_or_settings(name: str) -> None:
    open_figures, settings = pyplot.get_fignums(), dict(matplotlib.rcParams)
    figure = DRAWN[name]()
    figure.savefig(io.BytesIO(), dpi=40)
    assert pyplot.get_fignums() == open_figures and dict(matplotlib.rcParams) == settings
    assert all(panel.get_xlabel() or panel.get_ylabel() for panel in figure.axes)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_figures_are_drawn(name: str, paper: dict[str, Figure]) -> None:
    paper[name].savefig(io.BytesIO(), dpi=40)


def lines(figure: Figure, panel: int = 0) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata(), float) for line in figure.axes[panel].lines]


def test_figure_1_marks_the_equilibrium_and_the_other_peak(paper: dict[str, Figure]) -> None:
    fixed, moving = lines(paper["figure_1"])[:2]
    assert fixed[np.argmax(fixed[:, 1]), 0] == pytest.approx(1 / np.sqrt(3), abs=0.005)
    assert fixed[:, 1].max() == pytest.approx(0.25958, abs=1e-4)
    assert moving[np.argmax(moving[:, 1]), 0] == pytest.approx(0.4723, abs=0.005)
    texts = [text.get_text() for text in paper["figure_1"].axes[0].texts]
    assert any("0.5774" in t for t in texts) and any("0.4723" in t for t in texts), texts


def test_figures_2_6_7_show_the_published_numbers(paper: dict[str, Figure]) -> None:
    """alpha* and efficiency for K = 2, 10, 100, from the table of the specification."""
    alpha, efficiency = lines(paper["figure_6"])[0], lines(paper["figure_7"])[0]
    for K, a, e in (
        (2, 2**0.5, 0.7752002),
        (10, 1.8407865, 0.4921331),
        (100, 2.4078745, 0.3185718),
    ):
        assert np.interp(np.log(K), np.log(alpha[:, 0]), alpha[:, 1]) == pytest.approx(a, abs=1e-3)
        at = np.interp(np.log(K), np.log(efficiency[:, 0]), efficiency[:, 1])
        assert at == pytest.approx(e, abs=1e-3)
    K, values = alpha.T
    assert (np.diff(values) > 0).all() and (np.diff(values) / np.diff(K) > 0).all()
    slopes = np.diff(values) / np.diff(K)
    assert (np.diff(slopes) < 0).all(), "concave in K"
    slopes = np.diff(efficiency[:, 1]) / np.diff(efficiency[:, 0])
    assert (slopes < 0).all() and (np.diff(slopes) > 0).all(), "decreasing and convex"
    axis, *rest = lines(paper["figure_2"])
    roots = sorted(line[0, 0] for line in rest if len(line) == 1)
    np.testing.assert_allclose(roots, [2**0.5, 1.523225822, 1.840786517, 2.407874498], rtol=1e-8)


def test_figures_3_4_5_show_demands_of_two_mirrored_insiders(paper: dict[str, Figure]) -> None:
    for name, sign in (("figure_3", -1), ("figure_4", 1), ("figure_5", -1)):
        first, second = (row[:, 1] for row in lines(paper[name], 1)[:2])
        np.testing.assert_allclose(first, -second, atol=1e-12)
        np.testing.assert_allclose(first, sign * first[::-1], atol=1e-9)
        probabilities = [row[:, 1].sum() for row in lines(paper[name])[:2]]
        np.testing.assert_allclose(probabilities, 1, rtol=1e-12)


def test_figure_8_has_the_convexities_of_the_specification(paper: dict[str, Figure]) -> None:
    """IV(.67) − 2 IV(1) + IV(1.33) at the expected price; the average is a little flatter."""
    curves = lines(paper["figure_8"])[:6]
    for average, at_price, expected in zip(
        curves[::2], curves[1::2], (0.037, 0.046, 0.054), strict=True
    ):
        points = [np.interp([0.67, 1.0, 1.33], *curve.T) for curve in (average, at_price)]
        flatter, convexity = (left - 2 * middle + right for left, middle, right in points)
        assert convexity == pytest.approx(expected, abs=6e-4)
        assert 0.8 * convexity < flatter < convexity


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="trades: expected shape"):
        contingent.demand(X, ROWS, ROWS[:1], ROWS[0], ROWS[1], title="")
    with pytest.raises(ValueError, match="impact: expected shape"):
        contingent.price_impact(X, np.eye(3))


def test_importing_starts_no_matplotlib() -> None:
    code = "import sys, diffeq.figures.contingent as c; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
