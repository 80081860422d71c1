"""Figures of Foster & Viswanathan and of the quoting experiment: what they show, and manners."""

from collections.abc import Callable

import numpy as np
import pytest
from figure_manners import assert_manners
from matplotlib.figure import Figure

from diffeq.figures import foster_viswanathan, price_rules

LEVELS = np.array([[3.0, 2, 1], [30.0, 20, 10]])  # (k, n) = (2, 3)
BID = np.array([[108.0, 101, 99, 98], [108.0, 99, 97, 98]])
FLOW = np.linspace(-3.0, 3, 7)
TABLE = np.array([[0.5, 0.4, np.nan, np.nan], [0.6, 0.55, 0.5, 0.7]])


def many_rules() -> Figure:
    change = FLOW * np.arange(1, 6)[:, None]
    return price_rules.rules(FLOW, change, names=list("abcde"), reference=FLOW)


FIGURES: dict[str, Callable[[], Figure]] = {
    "by_correlation": lambda: foster_viswanathan.by_correlation(
        [-0.4, 0.5], LEVELS, LEVELS, 2 * LEVELS, LEVELS
    ),
    "continuous_limit": lambda: foster_viswanathan.continuous_limit(
        [2, 4], TABLE, [0.0, 0.5, 0.9], [0.62, 0.6, 1.2]
    ),
    "quotes": lambda: price_rules.quotes(BID, BID + 4, value=100.0, labels=["M = 1", "M = 4"]),
    "one quote": lambda: price_rules.quotes(BID[:1], BID[:1] + 4, value=100.0, labels=["one"]),
    "rules": many_rules,
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_manners(name: str) -> None:
    assert_manners(FIGURES[name])


def lines(figure: Figure, panel: int) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata()) for line in figure.axes[panel].lines]


def test_by_correlation_draws_impact_variance_and_what_is_left() -> None:
    figure = FIGURES["by_correlation"]()
    for panel, rows in enumerate((LEVELS, LEVELS, LEVELS / (2 * LEVELS))):
        for drawn, row in zip(lines(figure, panel)[-2:], rows, strict=True):
            np.testing.assert_array_equal(drawn, row)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata(), [1 / 3, 2 / 3, 1])
    assert [text.get_text() for text in figure.axes[0].texts] == [
        r"$\rho$ = −0.4",
        r"$\rho$ = 0.5",
    ]


def test_the_limit_is_beside_each_number_of_auctions() -> None:
    left, right = FIGURES["continuous_limit"]().axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [0.5, 0.4])
    np.testing.assert_array_equal(left.lines[1].get_xdata(), [0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(left.lines[2].get_ydata(), [0.62, 0.6, 1.2])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0.12, 0.02])
    assert right.get_xscale() == right.get_yscale() == "log"


def test_quotes_and_value_are_drawn() -> None:
    figure = FIGURES["quotes"]()
    for panel in range(2):
        bid, ask, value = lines(figure, panel)
        np.testing.assert_array_equal(bid, BID[panel])
        np.testing.assert_array_equal(ask, BID[panel] + 4)
        assert set(value) == {100.0}


def test_five_rules_leave_no_empty_panel() -> None:
    figure = many_rules()
    assert len(figure.axes) == 5
    np.testing.assert_array_equal(lines(figure, 2)[0], FLOW)
    np.testing.assert_array_equal(lines(figure, 2)[1], 3 * FLOW)


def test_a_wrong_shape_names_the_argument() -> None:
    with pytest.raises(ValueError, match=r"ask: expected shape \(2, 4\)"):
        price_rules.quotes(BID, BID[:, :2], value=100.0, labels=["a", "b"])
    with pytest.raises(ValueError, match=r"change: expected shape \(1, 7\)"):
        price_rules.rules(FLOW, np.ones((2, 7)), names=["a"])
    with pytest.raises(ValueError, match="limit: expected shape"):
        foster_viswanathan.continuous_limit([2, 4], TABLE, [0.0, 0.5], [1.0])
