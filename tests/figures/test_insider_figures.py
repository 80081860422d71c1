"""Figures of Kyle and Holden–Subrahmanyam, and of calibrations: the data they show, and manners."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from figure_manners import assert_manners
from matplotlib.figure import Figure
from matplotlib.text import Text

from diffeq import figures, holden
from diffeq.figures import calibration, foster_viswanathan, insiders, interactive, price_rules

RNG = np.random.default_rng(0)
LEVELS = np.array([[3.0, 2, 1], [30.0, 20, 10]])  # (k, n) = (2, 3)
ERRORS = np.array([0.1, 0.2, 0.3])
HOURS = np.array([9.75, 10.25, 10.75])


def surface() -> Figure:
    ratio = np.linspace(0.5, 5, 10)[:, None] / np.linspace(2, 10, 9)
    return insiders.lambda_surface(
        np.linspace(0.5, 5, 10), np.linspace(2, 10, 9), ratio / 2, mark=(2.5, 5.0, "example")
    )


def horizons() -> Figure:
    table = np.where(np.tri(3, dtype=bool), 2.0, np.nan)
    return insiders.paths_by_horizon(table, table, table)


FIGURES: dict[str, Callable[[], Figure]] = {
    "lambda_surface": surface,
    "paths": lambda: insiders.paths([0.2, 0.5, 1], LEVELS, LEVELS, LEVELS, labels=["a", "b"]),
    "paths_by_horizon": horizons,
    "paths_by_insiders": lambda: insiders.paths_by_insiders([1, 2], LEVELS, LEVELS, LEVELS),
    "against": lambda: insiders.against([1, 2], LEVELS, LEVELS, LEVELS, name="$M$"),
    "terminal_values": lambda: insiders.terminal_values([1, 2], [1, 2, 3], LEVELS, LEVELS, LEVELS),
    "sensitivities": lambda: insiders.sensitivities([[1, -1, 0.5], [-1, 1, 2], [2, 0, -3]]),
    "fit": lambda: calibration.fit([3.0, 2, 1], [2.9, 2, 1.2], standard_errors=ERRORS),
    "tape_fit": lambda: calibration.tape_fit(
        RNG.normal(size=100),
        RNG.normal(size=100),
        lambda_=0.5,
        hour=HOURS,
        lambda_by_hour=[3.0, 2, 1],
        standard_errors=ERRORS,
        model=[2.5, 2, 1.5],
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_manners(name: str) -> None:
    assert_manners(FIGURES[name])


MORE: dict[str, Callable[[], Figure]] = {
    "by_correlation": lambda: foster_viswanathan.by_correlation(
        [0.1, 0.5], LEVELS, LEVELS, LEVELS, LEVELS, note="$M$ = 3, $\\sigma_v$ = 2.5, " * 5
    ),
    "continuous_limit": lambda: foster_viswanathan.continuous_limit(
        [2, 3], LEVELS, [0.0, 0.5], [1.0, 2.0]
    ),
    "quotes": lambda: price_rules.quotes(LEVELS, LEVELS, value=2.0, labels=["a", "b"]),
    "rules": lambda: price_rules.rules([1.0, 2, 3], LEVELS, names=["a", "b"]),
}


@pytest.mark.parametrize("name", [*FIGURES, *MORE])
def test_every_word_is_legible_in_a_printed_column(name: str) -> None:
    """At 3.4 inches no letter is below 6 points (but indices), and title and note fit."""
    figure = (FIGURES | MORE)[name]()
    figure.draw_without_rendering()
    width = figure.get_figwidth()
    for text in figure.findobj(Text):
        if text.get_text().strip():
            assert text.get_fontsize() * 3.4 / width >= 6, (text.get_text(), text.get_fontsize())
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 + 1, text.get_text()


@pytest.mark.parametrize("name", ["paths", "against", "by_correlation"])
def test_lines_are_told_apart_without_colour(name: str) -> None:
    """As many patterns of dashes as lines, the first of which is solid."""
    page, figure = io.StringIO(), (FIGURES | MORE)[name]()
    count = len(figure.axes[0].lines)
    figure.savefig(page, format="svg")
    assert len(set(re.findall(r"stroke-dasharray: ([^;\"]+)", page.getvalue()))) == count - 1


def test_folded_breaks_no_formula() -> None:
    text = r"with $\sigma_v = 2$ and $a + b$ the day is long"
    lines = figures.folded(text, 12).split("\n")
    assert " ".join(lines) == text and all(line.count("$") % 2 == 0 for line in lines)
    assert len(lines) > 2 and figures.folded("short", 2) == "short" and figures.folded("", 9) == ""
    assert figures.folded("one line\nand its next", 40) == "one line\nand its next"


def test_labels_stay_above_the_axis() -> None:
    """Four lines that end at the bottom: none of their labels hangs into the axis' words."""
    low = np.array([[5.0, 4, 1e-3 * k] for k in range(4)])
    figure = insiders.paths([0.2, 0.5, 1], low, low, low, labels=list("abcd"))
    figure.draw_without_rendering()
    for panel in figure.axes:
        assert all(text.get_window_extent().y0 >= panel.bbox.y0 - 2 for text in panel.texts)


def test_the_surface_turns_in_a_page_that_needs_no_network() -> None:
    v, u = np.linspace(0.5, 5, 4), np.linspace(2, 10, 3)
    figure = interactive.lambda_surface(v, u, v[:, None] / u / 2)
    shown = figure.data[0]
    np.testing.assert_array_equal(shown.x, u)
    np.testing.assert_array_equal(shown.y, v)
    np.testing.assert_array_equal(shown.z, v[:, None] / u / 2)
    scene = figure.layout.scene
    for axis, unit in ((scene.xaxis, "asset"), (scene.yaxis, "price"), (scene.zaxis, "price")):
        assert unit in axis.title.text
    page = figure.to_html()
    assert "<script src" not in page and "<link" not in page and "noise trading" in page
    with pytest.raises(ValueError, match=r"lambda_: expected shape \(4, 3\)"):
        interactive.lambda_surface(v, u, np.ones((3, 4)))


def lines(figure: Figure, panel: int) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata()) for line in figure.axes[panel].lines]


@pytest.mark.parametrize("name", ["paths", "paths_by_insiders", "terminal_values"])
def test_three_panels_draw_every_line(name: str) -> None:
    figure = FIGURES[name]()
    assert len(figure.axes) == 3
    for panel, symbol in enumerate((r"\lambda", r"\beta", r"\Sigma")):
        assert symbol in figure.axes[panel].get_title(loc="left")
        for drawn, row in zip(lines(figure, panel), LEVELS, strict=True):
            np.testing.assert_array_equal(drawn, row)


def test_against_draws_one_line_for_each_auction() -> None:
    for drawn, column in zip(lines(FIGURES["against"](), 0), LEVELS.T, strict=True):
        np.testing.assert_array_equal(drawn, column)


def test_time_is_that_of_the_auctions() -> None:
    spaced = insiders.paths_by_insiders(
        [1, 2], LEVELS, LEVELS, LEVELS, spacing=jnp.array([0.2, 0.5, 0.3])
    )
    np.testing.assert_allclose(spaced.axes[0].lines[0].get_xdata(), [0.2, 0.7, 1.0], rtol=1e-6)
    by_horizon = horizons().axes[0].lines
    np.testing.assert_allclose(by_horizon[1].get_xdata()[:2], [0.5, 1.0])
    np.testing.assert_allclose(by_horizon[2].get_xdata(), [1 / 3, 2 / 3, 1.0])


def test_a_table_of_the_model_goes_straight_in() -> None:
    table = holden.solve_up_to(holden.Params(), max_auctions=3, tables=True)
    drawn = lines(insiders.paths_by_horizon(table.lambda_, table.beta, table.Sigma), 2)
    np.testing.assert_array_equal(drawn[2], np.asarray(table.Sigma)[2])


def test_levels_over_decades_get_a_log_scale() -> None:
    steep = np.array([[1.0, 1e-3, 1e-9], [1.0, 0.9, 0.8]])
    figure = insiders.paths([1, 2, 3], steep, LEVELS, LEVELS, labels=["a", "b"])
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[1].get_yscale() == "linear"


def test_surface_levels_are_round_and_its_axes_are_those_given() -> None:
    figure = surface()
    (panel,) = figure.axes
    figure.draw_without_rendering()
    written = {text.get_text() for text in panel.texts}
    assert {"0.03", "0.1", "0.5", "1", "example"} <= written
    assert r"\sigma_u" in panel.get_xlabel() and r"\sigma_v" in panel.get_ylabel()
    assert panel.get_xlim() == (2, 10) and panel.get_ylim() == (0.5, 5)


def test_a_constant_surface_is_drawn_without_levels() -> None:
    figure = insiders.lambda_surface([1.0, 2], [1.0, 2], np.full((2, 2), 0.3))
    figure.draw_without_rendering()


def test_a_surface_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="lambda_: expected positive values"):
        insiders.lambda_surface([1.0, 2], [1.0, 2], np.zeros((2, 2)))


def test_fit_shows_bars_of_two_errors_and_residuals_in_errors() -> None:
    upper, lower = FIGURES["fit"]().axes
    bars = upper.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[1, 1] - bar[0, 1] for bar in bars], 4 * ERRORS)
    np.testing.assert_allclose(lower.lines[-1].get_ydata(), [1.0, 0.0, -0.2 / 0.3])
    assert lower.get_ylabel() == "standard errors"


def test_fit_without_errors_shows_the_differences() -> None:
    _, lower = calibration.fit([3.0, 2], [2.5, 2.5], names=("tape", "model")).axes
    np.testing.assert_allclose(lower.lines[-1].get_ydata(), [0.5, -0.5])
    assert lower.get_title(loc="left") == "Tape − model"


def test_tape_fit_draws_the_regression_and_says_what_it_leaves_out() -> None:
    flow = np.linspace(-1, 1, 2001)
    change = 0.1 + 0.5 * flow
    change[0] = 1e6
    figure = calibration.tape_fit(
        flow,
        change,
        lambda_=0.5,
        intercept=0.1,
        hour=HOURS,
        lambda_by_hour=[3.0, 2, 1],
        standard_errors=ERRORS,
    )
    left, right = figure.axes
    np.testing.assert_allclose(left.lines[-1].get_ydata(), [-0.4, 0.6])
    assert "2,001 intervals, 1 beyond the frame" == left.get_title(loc="left")
    assert left.get_ylim()[1] < 10 and left.get_xlim()[1] < 1.2
    assert [right.xaxis.get_major_formatter()(h) for h in (9.75, 9.9999)] == ["09:45", "10:00"]


def test_sensitivities_write_each_value() -> None:
    figure = FIGURES["sensitivities"]()
    assert [text.get_text() for text in figure.axes[2].texts] == ["+2.00", "0", "−3.00"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1, -1, 0.5]


def test_inputs_are_not_changed() -> None:
    given = [LEVELS.copy() for _ in range(3)]
    before = [array.copy() for array in given]
    insiders.paths_by_insiders(np.array([1, 2]), *given)
    insiders.against(np.array([1, 2]), *given, name="$M$")
    calibration.fit(given[0][0], given[1][0], standard_errors=ERRORS)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_wrong_shape_names_the_argument() -> None:
    with pytest.raises(ValueError, match=r"lambda_: expected shape \(2, 3\), got \(3, 2\)"):
        insiders.lambda_surface([1.0, 2], [1.0, 2, 3], np.ones((3, 2)))
    with pytest.raises(ValueError, match="standard_errors: expected shape"):
        calibration.fit([1.0, 2], [1.0, 2], standard_errors=[0.1])
    with pytest.raises(ValueError, match="Error variance"):
        insiders.paths([1, 2, 3], LEVELS, LEVELS, LEVELS[:, :2], labels=["a", "b"])


def test_a_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'diffeq\[plot\]'"):
        FIGURES["paths"]()


def test_importing_the_families_imports_no_matplotlib() -> None:
    code = (
        "import sys, diffeq.figures as f; f.insiders.paths; f.calibration.fit\n"
        "assert 'matplotlib' not in sys.modules and 'plotly' not in sys.modules"
    )
    root = Path(figures.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_an_unknown_family_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="outsiders"):
        figures.outsiders  # noqa: B018
