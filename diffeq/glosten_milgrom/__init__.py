"""Glosten–Milgrom (1985): sequential trade, quotes that learn, and what the uninformed pay for it.

    solve, quotes, spread, update    the market maker's prices and beliefs, in closed form
    first_passage, expected          how fast it learns, exactly
    simulate, summary                markets at the speed of the random numbers
    log_likelihood, calibrate        alpha and mu_0 from orders (calibrate: imported when used)

Extensions, each a module with its own Params and the same verbs:

    elastic (and fold)               uninformed traders who mind the price; where a quote vanishes
    gaussian_elastic                 the same with a normal value: quotes, and their breakdown
    continuous_value, gaussian_value   V on a grid of atoms; V normal
    trade_size, event_uncertainty    small and large orders; days without news
    dealers, binary_dealers          competition and monopoly; V normal, V binary
    news, news_paths                 V changes while the market learns: one trade; many

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, 71–100.
"""

from typing import Any

from diffeq.glosten_milgrom import (
    binary_dealers,
    continuous_value,
    dealers,
    elastic,
    event_uncertainty,
    gaussian_elastic,
    gaussian_value,
    news,
    news_paths,
    private_values,
    trade_size,
)
from diffeq.glosten_milgrom.binary_value import (
    BUY,
    SELL,
    Params,
    Quotes,
    Residual,
    Solution,
    expected_value,
    log_odds_step,
    quotes,
    residual,
    solve,
    spread,
    update,
)
from diffeq.glosten_milgrom.folds import Fold, fold
from diffeq.glosten_milgrom.learning import (
    Expected,
    FirstPassage,
    expected,
    first_passage,
    log_odds_path,
)
from diffeq.glosten_milgrom.likelihood import count_orders, log_likelihood
from diffeq.glosten_milgrom.odds import belief, log_odds
from diffeq.glosten_milgrom.simulation import Paths, simulate
from diffeq.glosten_milgrom.summaries import Estimate, Summary, simulate_summary, summary

__all__ = [
    "BUY",
    "SELL",
    "Estimate",
    "Expected",
    "FirstPassage",
    "Fold",
    "Params",
    "Paths",
    "Quotes",
    "Residual",
    "Solution",
    "Summary",
    "belief",
    "binary_dealers",
    "calibrate",
    "continuous_value",
    "count_orders",
    "dealers",
    "elastic",
    "event_uncertainty",
    "expected",
    "expected_value",
    "first_passage",
    "fold",
    "gaussian_elastic",
    "gaussian_value",
    "log_likelihood",
    "log_odds",
    "log_odds_path",
    "log_odds_step",
    "news",
    "news_paths",
    "private_values",
    "quotes",
    "residual",
    "simulate",
    "simulate_summary",
    "solve",
    "spread",
    "summary",
    "trade_size",
    "update",
]


def __getattr__(name: str) -> Any:
    """Load the calibration, and with it the optimiser, when it is first asked for."""
    if name == "calibrate":
        from diffeq.glosten_milgrom.calibration import calibrate

        return calibrate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
