"""Figures of the Glosten–Milgrom family: the data they show, and manners."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from figure_manners import assert_manners
from matplotlib.figure import Figure

from diffeq import figures
from diffeq import glosten_milgrom as gm
from diffeq.figures import sequential, sequential_beliefs, sequential_quotes

pytestmark = pytest.mark.float64

ORDER = np.array([1.0, -1, 1, 1])
KNOWS = np.array([False, False, True, False])
BID, ASK = np.array([97.0, 99, 97, 99]), np.array([103.0, 105, 103, 105])
PROFIT = np.array([7.0, -11, 7, 5])
V = np.linspace(80, 120, 9)
BELIEFS = np.stack([np.exp(-((V - m) ** 2) / 50) for m in (100, 104, 100, 104, 108)])
BELIEFS /= BELIEFS.sum(axis=1, keepdims=True)
ALPHA = np.linspace(0, 0.4, 5)
FALLING = np.array([[3.0, 2, 1.5, 1.2], [3.0, 2.5, 2.2, 2]])
PRICES = np.array([110.0, 110, 90, 90])
# an s-shaped curve of asks: rises to the fold at alpha = .25, falls back to .05, rises again
CURVE = np.array([0.0, 0.1, 0.2, 0.25, 0.2, 0.1, 0.05, 0.2, 0.4]), np.linspace(100, 110, 9)
CLOSING = np.array([[0.0, 0.1, 0.2, 0.3, 0.5], [0.1, 0.2, 0.3, np.nan, np.nan]])


def market() -> Figure:
    belief = [0.5, 0.65, 0.5, 0.65]
    paid = np.where(ORDER > 0, ASK, BID)
    return sequential.one_path(
        belief, BID, ASK, paid, ORDER, KNOWS, PROFIT, value=110.0, reference_spread=6.0
    )


def elastic() -> Figure:
    asks, accept = np.array([100.0, 101, 102, 109, 109.5]), np.array([0.5, 0.4, 0.3, 0.01, 0])
    return sequential_quotes.elastic_ask(
        ALPHA, asks, accept, CURVE, (0.25, 103.75, 0.2), value=110.0
    )


def sizes(psi_ask: tuple[float, ...] = (0.2, 0.5, 0.9, 1)) -> Figure:
    bids, asks = [[98.0, 99, 100, 100], [96.0, 95, 94, 94]], [[103.0, 102, 101, 100]] * 2
    asks[1] = [104.0, 105, 106, 107]
    psi = [[0.2, 0.6, 1, 1], psi_ask]
    return sequential_quotes.trade_size(
        [1.0, 2, 3, 4], bids, asks, psi, separating_from=(2.6, 3.4), value=100.0
    )


FIGURES: dict[str, Callable[[], Figure]] = {
    "one_path": market,
    "learning": lambda: sequential.learning(
        [0.1, 0.3], FALLING, FALLING / 3, FALLING / 4, threshold=0.9
    ),
    "elastic_ask": elastic,
    "dealers": lambda: sequential_quotes.dealers(
        ALPHA, CLOSING, CLOSING + 0.2, CLOSING, labels=["a", "b"]
    ),
    "trade_size": sizes,
    "continuous_value": lambda: sequential_beliefs.continuous_value(
        V, BELIEFS, [1, -1, 1, 0], BELIEFS @ V - 1, BELIEFS @ V + 1, [0.1] * 5, shown=(0, 1, 4)
    ),
    "news_spread": lambda: sequential_beliefs.news_spread([0.01, 0.1], FALLING, [0.5, 1.4]),
    "news_path": lambda: sequential_beliefs.news_path(
        PRICES, [0.65, 0.5, 0.65, 0.8], BID, ASK, ORDER, KNOWS, low_and_high=(90, 110)
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_manners(name: str) -> None:
    assert_manners(FIGURES[name])


def points(figure: Figure, panel: int) -> list[tuple[list[float], list[float]]]:
    """(x, y) of every line of a panel."""
    return [
        (list(np.asarray(line.get_xdata(), float)), list(np.asarray(line.get_ydata(), float)))
        for line in figure.axes[panel].lines
    ]


def texts(figure: Figure, panel: int) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].texts]


def legend(figure: Figure, panel: int) -> list[str]:
    found = figure.axes[panel].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def test_one_path_marks_each_trade_by_side_and_kind_at_its_price() -> None:
    trades = {
        str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))
        for line in market().axes[1].lines[:4]
    }
    assert trades["buy, uninformed"] == ([1, 4], [103, 105])
    assert trades["sale, uninformed"] == ([2], [99])
    assert trades["buy, informed"] == ([3], [103])
    assert trades["sale, informed"] == ([], [])


def test_one_path_adds_up_profits_by_kind_and_shows_the_reference_spread() -> None:
    figure = market()
    informed, uninformed = points(figure, 3)[:2]
    assert informed[1] == [0, 0, 7, 7] and uninformed[1] == [7, -4, -4, 1]
    assert points(figure, 2)[0][1] == [6, 6, 6, 6] and points(figure, 2)[1][1] == [6, 6]


def test_one_path_takes_a_simulated_market_as_it_is() -> None:
    day = gm.simulate(jax.random.key(0), gm.Params(), num_trades=5)
    figure = sequential.one_path(
        day.belief_before[0],
        day.bid[0],
        day.ask[0],
        day.price[0],
        day.order[0],
        day.informed[0],
        day.profit[0],
        value=float(day.value[0]),
        reference_spread=6.0,
    )
    drawn = sum(len(line.get_xdata()) for line in figure.axes[1].lines[:4])
    assert drawn == 5
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), day.belief_before[0])


def test_learning_counts_trades_from_one_and_beliefs_from_none() -> None:
    figure = FIGURES["learning"]()
    assert [points(figure, k)[0][0][0] for k in range(3)] == [1, 0, 0]
    assert "90%" in figure.axes[2].get_title(loc="left")
    assert points(figure, 0)[1][1] == list(FALLING[1])


def test_elastic_ask_is_broken_at_the_fold_and_shades_where_there_are_three() -> None:
    figure = elastic()
    before, after, fold, *_ = points(figure, 0)
    assert before == ([0, 0.1, 0.2, 0.25], [100, 101, 102, 103.75])
    np.testing.assert_allclose(after, ([0.3, 0.4], [109, 109.5]))
    assert fold == ([0.25], [103.75])
    shaded = figure.axes[0].patches[0].get_window_extent()
    to_data = figure.axes[0].transData.inverted()
    left, right = (to_data.transform((x, shaded.y0))[0] for x in (shaded.x0, shaded.x1))
    np.testing.assert_allclose([left, right], [0.05, 0.25], atol=1e-12)
    assert any("0.2500" in text for text in texts(figure, 0))
    assert points(figure, 1)[0][1] == [0.5, 0.4, 0.3, 0.2]


def test_elastic_ask_without_a_jump_in_the_range_has_no_arrow() -> None:
    figure = sequential_quotes.elastic_ask(
        [0.0, 0.1], [100.0, 101], [0.5, 0.4], CURVE, (0.25, 103.75, 0.2), value=110.0
    )
    assert not [t for t in figure.axes[1].texts if not t.get_text()]
    assert [t for t in elastic().axes[1].texts if not t.get_text()], "where there is one, it has"


def test_dealers_marks_only_the_market_that_breaks_down() -> None:
    figure = FIGURES["dealers"]()
    for panel, heights in ((0, {0.3, 0.5}), (1, {0.3})):
        crosses = [y for line, (_, y) in marked(figure, panel) if line == "X" and y]
        assert {round(y[0], 12) for y in crosses} == heights
    assert set(legend(figure, 0)) == {"one dealer", "two or more", "the market breaks down"}


def marked(figure: Figure, panel: int) -> list[tuple[str, tuple[list[float], list[float]]]]:
    kinds = [str(line.get_marker()) for line in figure.axes[panel].lines]
    return list(zip(kinds, points(figure, panel), strict=True))


def test_trade_size_draws_four_quotes_and_both_boundaries() -> None:
    figure = sizes()
    quotes = [y for x, y in points(figure, 0) if len(x) == 4]
    assert [y[0] for y in quotes] == [98, 96, 103, 104]
    for panel in (0, 1):
        upright = [x[0] for x, y in points(figure, panel) if len(x) == 2 and x[0] == x[1]]
        assert upright == [2.6, 3.4]
        assert {"pooling", "separating"} <= set(texts(figure, panel))
    assert legend(figure, 1) == ["at the bid", "at the ask"]


def test_trade_size_names_no_side_where_both_are_alike() -> None:
    assert sizes(psi_ask=(0.2, 0.6, 1, 1)).axes[1].get_legend() is None


def test_continuous_value_draws_densities_of_integral_one_and_names_orders() -> None:
    figure = FIGURES["continuous_value"]()
    for (x, y), belief in zip(points(figure, 0), BELIEFS[[0, 1, 4]], strict=True):
        np.testing.assert_allclose(y, belief / 5)
        assert np.sum(y) * (x[1] - x[0]) == pytest.approx(1)
    assert legend(figure, 0) == ["prior", "after 1: buy", "after 4: no order"]
    bid, ask, buys, sales, none = points(figure, 1)
    assert buys == ([0, 2], [ask[1][0], ask[1][2]])
    assert sales == ([1], [bid[1][1]])
    assert none == ([3], [(bid[1][3] + ask[1][3]) / 2])


def test_news_spread_draws_each_bound_across_the_panel() -> None:
    lines = points(FIGURES["news_spread"](), 0)
    assert lines[0][1] == list(FALLING[0]) and lines[1] == ([1, 4], [0.5, 0.5])
    assert lines[2][1] == list(FALLING[1]) and lines[3] == ([1, 4], [1.4, 1.4])


def test_news_path_pays_each_order_its_quote_and_shows_the_value_in_force() -> None:
    figure = FIGURES["news_path"]()
    assert points(figure, 0)[0] == ([1, 4], [103, 105])
    assert points(figure, 0)[4][1] == list(PRICES)
    assert "value $V$" in legend(figure, 0)


def test_more_lines_than_named_colours_get_colours_in_order() -> None:
    many = np.linspace(1, 2, 6)[:, None] * np.linspace(3, 2, 4)
    for figure, panel, kept in (
        (sequential_beliefs.news_spread(many[:, 0], many, many[:, 0] / 9), 0, slice(0, 12, 2)),
        (sequential.learning(many[:, 0] / 9, many, many, many, threshold=0.9), 0, slice(6)),
    ):
        lines = figure.axes[panel].lines[kept]
        assert len({tuple(np.ravel(line.get_color())) for line in lines}) == 6


def test_inputs_are_not_changed() -> None:
    given = [CLOSING.copy(), CLOSING + 0.2, CLOSING.copy()]
    before = [array.copy() for array in given]
    sequential_quotes.dealers(ALPHA, *given, labels=["a", "b"])
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_wrong_shape_names_the_argument() -> None:
    with pytest.raises(ValueError, match=r"monopoly: expected shape \(2, 5\)"):
        sequential_quotes.dealers(ALPHA, CLOSING, CLOSING[:1], CLOSING, labels=["a", "b"])
    with pytest.raises(ValueError, match="least: expected shape"):
        sequential_beliefs.news_spread([0.1, 0.2], FALLING, [0.5])
    with pytest.raises(ValueError, match="beliefs: expected shape"):
        sequential_beliefs.continuous_value(V, BELIEFS, [1], [99], [101], [0.1], shown=(0,))
    with pytest.raises(ValueError, match="bid: expected shape"):
        sequential.one_path(
            ORDER, BID[:2], ASK, ASK, ORDER, KNOWS, PROFIT, value=1.0, reference_spread=1.0
        )
    with pytest.raises(ValueError, match="shown: expected"):
        sequential_beliefs.continuous_value(
            V, BELIEFS, [1, -1, 1, 0], *[[1.0] * 5] * 3, shown=range(5)
        )


def test_importing_the_families_imports_no_matplotlib() -> None:
    code = (
        "import sys, diffeq.figures as f\n"
        "f.sequential.one_path, f.sequential_quotes.dealers, f.sequential_beliefs.news_path\n"
        "assert 'matplotlib' not in sys.modules"
    )
    root = Path(figures.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
