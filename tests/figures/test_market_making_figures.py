"""Figures of the market-making family: the data they show, and manners."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from figure_manners import assert_manners
from matplotlib.figure import Figure

from diffeq import figures
from diffeq.figures import market_making as draw
from diffeq.figures import market_making_profit as draw_profit
from diffeq.market_making import simulation

pytestmark = pytest.mark.float64

# four steps; no bid in the third, when two lots are the limit
T = np.linspace(0, 1, 5)
MID = np.array([100.0, 101, 100, 101, 102])
BID, ASK = np.array([99.0, 99.5, -np.inf, 100]), np.array([101.0, 101.5, 100.5, 102])
MIDDLE = np.array([100.0, 100.5, np.nan, 101])
BOUGHT, SOLD = np.array([True, True, False, False]), np.array([False, False, True, True])
LOTS, PROFIT = np.array([0, 1, 2, 1, 0]), np.array([0.0, 2, 2.5, 3.5, 5])
Q = np.arange(-2.0, 3)
LINE, FLAT = -0.1 * Q, 1.4 + 0 * Q
SPREADS = np.stack([FLAT, FLAT + 0.3, FLAT])
SPREADS[:, [0, -1]] = np.inf
DELTA_B = 1 + 0.2 * Q[None] * (1 - T[:, None])
DELTA_B[:, -1] = np.inf
DELTA_A = DELTA_B[:, ::-1]
X = np.linspace(0, 3, 7)
RATES = np.stack([100 * np.exp(-X), 100 * np.exp(-1.5 * X)])
SD, MEAN = np.array([[9.0, 7, 6], [14, 13, 11]]), np.array([[68.0, 67, 64], [68, 67, 50]])
GAMMA = np.array([0.01, 0.1, 1])
COST = np.array([[0.0, 0.25, np.nan], [0.5, 0.0, 1.125]])


def path(**changes: object) -> Figure:
    given: dict[str, object] = dict(
        times=T,
        mid=MID,
        bid=BID,
        ask=ASK,
        reservation=MIDDLE,
        bid_fill=BOUGHT,
        ask_fill=SOLD,
        inventory=LOTS,
        profit=PROFIT,
    )
    return draw.one_path(**(given | changes))  # type: ignore[arg-type]


def frontier() -> Figure:
    return draw_profit.profit_against_risk(
        SD,
        MEAN,
        GAMMA,
        labels=["optimum", "symmetric"],
        named=(0, 2),
        simulated=([7.1], [67.2], [0.1], [0.2]),
    )


FIGURES: dict[str, Callable[[], Figure]] = {
    "one_path": path,
    "against_inventory": lambda: draw.against_inventory(
        Q,
        np.stack([LINE, 4 * LINE, LINE]),
        SPREADS,
        labels=["a", "b", "c"],
        visited=([0, 1, 2], [0, -0.1, np.nan], [1.4, 1.3, np.inf]),
    ),
    "depths": lambda: draw.depths(T, Q, DELTA_B, DELTA_A),
    "fill_rates": lambda: draw.fill_rates(
        X, RATES, Q, DELTA_B[:2], usual=(0.0, 100.0), labels=["a", "b"]
    ),
    "profit_against_risk": frontier,
    "profit_law": lambda: draw_profit.profit_law(
        np.stack([np.linspace(0, 1, 50), np.linspace(-3, 4, 50)]), labels=["a", "b"]
    ),
    "wrong_belief": lambda: draw_profit.wrong_belief(
        COST, markets=["m", "n"], beliefs=["m", "n", "o"]
    ),
}


def lines(figure: Figure, panel: int) -> dict[str, tuple[list[float], list[float]]]:
    """(x, y) of the lines of a panel that bear a name."""
    return {
        str(line.get_label()): (
            list(np.asarray(line.get_xdata(), float)),
            list(np.asarray(line.get_ydata(), float)),
        )
        for line in figure.axes[panel].lines
        if not str(line.get_label()).startswith("_")
    }


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_manners(name: str) -> None:
    assert_manners(FIGURES[name])


@pytest.mark.parametrize(
    "name", ["against_inventory", "fill_rates", "profit_against_risk", "profit_law"]
)
def test_lines_are_told_apart_without_colour(name: str) -> None:
    figure = FIGURES[name]()
    panel = figure.axes[0]
    curves = [*panel.lines, *panel.patches]
    named = [c for c in curves if str(c.get_label())[:1] in {"a", "b", "c", "o", "s"}]
    dashes = [str(c.get_linestyle()) + str(getattr(c, "_dash_pattern", "")) for c in named]
    assert len(dashes) > 1 and len(set(dashes)) == len(dashes)


def test_path_marks_fills_at_the_quotes_and_leaves_out_what_is_not_quoted() -> None:
    figure = path()
    drawn = lines(figure, 0)
    assert drawn["bought"] == ([0, 0.25], [99, 99.5])
    assert drawn["sold"] == ([0.5, 0.75], [100.5, 102])
    assert drawn["mid $s$"] == (list(T), list(MID))
    np.testing.assert_array_equal(drawn["bid and ask"][1], [99, 99.5, np.nan, 100, 100])
    np.testing.assert_array_equal(drawn["reservation price"][1], [*MIDDLE, 101])
    (_, spread), (_, lots), (_, money) = (
        figure.axes[panel].lines[0].get_data() for panel in (1, 2, 3)
    )
    np.testing.assert_array_equal(spread, [2, 2, np.nan, 2, 2])
    np.testing.assert_array_equal(lots, LOTS)
    np.testing.assert_array_equal(money, PROFIT)


def test_path_takes_one_of_the_simulated_paths_as_it_is() -> None:
    depth = jnp.stack([1.0 + 0 * MID[1:], jnp.array([1.0, 1, jnp.inf, 1])])
    prices, fills = jnp.stack([MID, MID]), jnp.stack([BOUGHT, SOLD])
    lots = jnp.stack([LOTS, LOTS])
    days = simulation.Paths(T, prices, lots, prices, depth, depth, fills, fills, depth, depth)
    day = jax.tree.map(lambda x: x[1], days._replace(times=jnp.stack([T, T])))
    figure = path(
        times=day.times,
        mid=day.mid,
        bid=day.bid,
        ask=day.ask,
        reservation=(day.bid + day.ask) / 2,
        bid_fill=day.bid_fill,
        ask_fill=day.ask_fill,
        inventory=day.inventory,
        profit=day.profit,
    )
    drawn = lines(figure, 0)
    np.testing.assert_array_equal(drawn["bid and ask"][1], [99, 100, np.nan, 100, 100])
    np.testing.assert_array_equal(drawn["reservation price"][1], [100, 101, np.nan, 101, 101])
    np.testing.assert_array_equal(drawn["sold"][1], [np.nan, 102])


def test_against_inventory_draws_every_policy_and_what_the_path_visited() -> None:
    figure = FIGURES["against_inventory"]()
    reservation, spread = lines(figure, 0), lines(figure, 1)
    assert reservation["b"] == (list(Q), list(4 * LINE))
    np.testing.assert_array_equal(spread["b"][1], [np.nan, 1.7, 1.7, 1.7, np.nan])
    np.testing.assert_array_equal(reservation["visited by the path"][1], [0, -0.1, np.nan])
    np.testing.assert_array_equal(spread["visited by the path"][1], [1.4, 1.3, np.nan])
    assert figure.axes[1].get_ylim()[0] == 0, "a spread that hardly moves is seen not to"


def test_depths_share_one_scale_and_say_where_there_is_no_quote() -> None:
    figure = FIGURES["depths"]()
    bid, ask = (figure.axes[panel].collections[0] for panel in (0, 1))
    assert bid.get_clim() == ask.get_clim() == (0.6, 1.2)
    shown = np.ma.filled(np.ma.masked_invalid(bid.get_array()), np.nan)
    np.testing.assert_array_equal(shown, np.where(np.isfinite(DELTA_B), DELTA_B, np.nan).T)
    np.testing.assert_array_equal(np.ma.filled(ask.get_array(), np.nan), shown[::-1])
    words = [[text.get_text() for text in figure.axes[panel].texts] for panel in (0, 1)]
    assert "no bid" in words[0] and "no ask" in words[1]
    assert "no ask" not in words[0] and "no bid" not in words[1]


def test_depths_all_alike_have_no_level_lines() -> None:
    alike = np.ones((5, 5))
    figure = draw.depths(T, Q, alike, alike)
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    assert not figure.axes[0].texts


def test_depths_levels_are_written_with_the_decimals_that_tell_them_apart() -> None:
    figure = draw.depths(T, Q, 1 + (DELTA_B - 1) / 100, 1 + (DELTA_A - 1) / 100)
    figure.draw_without_rendering()
    words = [text.get_text() for text in figure.axes[0].texts if text.get_text() != "no bid"]
    assert len(words) > 2 and len(set(words)) == len(words)


def test_fill_rates_meet_at_the_mark_on_a_log_scale() -> None:
    figure = FIGURES["fill_rates"]()
    panel = figure.axes[0]
    assert panel.get_yscale() == "log"
    assert lines(figure, 0)["b"] == (list(X), list(RATES[1]))
    mark = panel.lines[2]
    assert list(mark.get_xdata()) == [0.0] and list(mark.get_ydata()) == [100.0]
    assert np.isnan(lines(figure, 1)["a"][1][-1])


def test_profit_against_risk_draws_curves_names_gammas_and_bars_of_two_errors() -> None:
    panel = frontier().axes[0]
    assert list(panel.lines[1].get_xdata()) == [14, 13, 11]
    assert [text.get_text() for text in panel.texts] == [r"$\gamma$ = 0.01", r"$\gamma$ = 1"]
    (bars,) = panel.containers
    across, up = (segments.get_segments()[0] for segments in bars.lines[2])  # type: ignore[union-attr]
    np.testing.assert_allclose(across, [[6.9, 67.2], [7.3, 67.2]])
    np.testing.assert_allclose(up, [[7.1, 66.8], [7.1, 67.6]])


def test_profit_law_is_a_density_and_states_its_moments() -> None:
    figure = FIGURES["profit_law"]()
    for outline, label in zip(figure.axes[0].patches, "ab", strict=True):
        values, edges, _ = outline.get_data()  # type: ignore[attr-defined]
        assert np.sum(values * np.diff(edges)) == pytest.approx(1)
        assert str(outline.get_label()).startswith(f"{label}: mean 0.5, s.d.")


def test_profit_law_of_a_certain_profit_is_drawn() -> None:
    figure = draw_profit.profit_law(np.ones((1, 4)), labels=["a"])
    values, edges, _ = figure.axes[0].patches[0].get_data()  # type: ignore[attr-defined]
    assert np.sum(values * np.diff(edges)) == pytest.approx(1)


def test_wrong_belief_writes_each_cost_in_its_cell_and_leaves_the_unknown_blank() -> None:
    panel = FIGURES["wrong_belief"]().axes[0]
    written = {text.get_position(): text.get_text() for text in panel.texts}
    assert written == {
        (0, 0): "0.000",
        (1, 0): "0.250",
        (0, 1): "0.500",
        (1, 1): "0.000",
        (2, 1): "1.125",
    }
    assert [t.get_text() for t in panel.get_yticklabels()] == ["m", "n"]


def test_inputs_are_not_changed() -> None:
    before = [x.copy() for x in (BID, ASK, DELTA_B, DELTA_A)]
    path()
    FIGURES["depths"]()
    for now, then in zip((BID, ASK, DELTA_B, DELTA_A), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_wrong_shape_names_the_argument() -> None:
    with pytest.raises(ValueError, match=r"bid: expected shape \(4,\), got \(5,\)"):
        path(bid=MID)
    with pytest.raises(ValueError, match=r"inventory: expected shape \(5,\)"):
        path(inventory=LOTS[1:])
    with pytest.raises(ValueError, match=r"spread: expected shape \(1, 5\)"):
        draw.against_inventory(Q, LINE[None], FLAT, labels=["a"])
    with pytest.raises(ValueError, match=r"visited\[2\]: expected shape \(2,\)"):
        visited = ([0, 1], [0, 1], [0])
        draw.against_inventory(Q, LINE[None], FLAT[None], labels=["a"], visited=visited)
    with pytest.raises(ValueError, match="delta_a: expected shape"):
        draw.depths(T, Q, DELTA_B, DELTA_A.T[:4])
    with pytest.raises(ValueError, match="one quote at the least"):
        draw.depths(T, Q, np.full((5, 5), np.inf), np.full((5, 5), np.inf))
    with pytest.raises(ValueError, match="two times"):
        draw.depths(T[:1], Q, DELTA_B[:1], DELTA_A[:1])
    with pytest.raises(ValueError, match="rate: expected shape"):
        draw.fill_rates(X, RATES[:1], Q, DELTA_B[:2], usual=(0, 1), labels=["a", "b"])
    with pytest.raises(ValueError, match="mean: expected shape"):
        draw_profit.profit_against_risk(SD, MEAN[:1], GAMMA, labels=["a", "b"])
    with pytest.raises(ValueError, match="cost: expected shape"):
        draw_profit.wrong_belief(COST, markets=["m"], beliefs=["m", "n", "o"])


def test_importing_the_families_imports_no_matplotlib() -> None:
    code = (
        "import sys, diffeq.figures as f\n"
        "f.market_making.one_path, f.market_making_profit.profit_law\n"
        "assert 'matplotlib' not in sys.modules"
    )
    root = Path(figures.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
