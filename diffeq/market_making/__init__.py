"""Market making (Avellaneda & Stoikov 2008): optimal quotes on an inventory grid, and their worth.

    solve, residual                  the optimum: exactly for exponential fills, else on the grid
    exponential, hjb, bellman        the linear problem; any intensity; discrete time
    intensities, rate_table          fill rates by depth: exponential, power law, logistic; a table
    approximations                   the formulas of the literature, each by its name
    statistics                       exact mean and variance of what any policy of (t, q) earns
    simulate, Controls, report       markets quoted by a policy, its risk controls, how it did
    sensitivity                      quotes and profit in every parameter, as a table

Extensions and companions, each a module:

    continuous_moments               the same statistics without a time step
    regimes, pair, quadratic         switching parameters; two assets; any number, approximately
    assets                           the parameters of several assets
    inverse, inventory_target        gamma or phi from observed quotes, or from a target inventory
    replay, beliefs, recalibration   a policy on a recorded tape, with (A, k, sigma) learned on it
    stress                           what breaks when the market is another

Reference: Avellaneda & Stoikov (2008), Quantitative Finance 8, 217–224; Guéant, Lehalle &
Fernandez-Tapia (2013), Mathematics and Financial Economics 7, 477–507.
"""

import importlib
from typing import Any

from diffeq.market_making import approximations, exponential, hjb, intensities
from diffeq.market_making.approximations import Depths
from diffeq.market_making.controls import Controls
from diffeq.market_making.intensities import Exponential, Logistic, PowerLaw
from diffeq.market_making.model import Params, Solution
from diffeq.market_making.moments import Statistics, statistics
from diffeq.market_making.optimum import Residual, residual, solve
from diffeq.market_making.performance import Report, report, simulate_report
from diffeq.market_making.rate_table import Tabulated, tabulated
from diffeq.market_making.sensitivities import Sensitivity, sensitivity
from diffeq.market_making.simulation import Paths, simulate

_MODULES = (
    "assets",
    "beliefs",
    "bellman",
    "continuous_moments",
    "inventory_target",
    "inverse",
    "pair",
    "quadratic",
    "recalibration",
    "regimes",
    "replay",
    "stress",
)

__all__ = [
    "Controls",
    "Depths",
    "Exponential",
    "Logistic",
    "Params",
    "Paths",
    "PowerLaw",
    "Report",
    "Residual",
    "Sensitivity",
    "Solution",
    "Statistics",
    "Tabulated",
    "approximations",
    "exponential",
    "hjb",
    "intensities",
    "report",
    "residual",
    "sensitivity",
    "simulate",
    "simulate_report",
    "solve",
    "statistics",
    "tabulated",
]


def __getattr__(name: str) -> Any:
    """A companion module when it is first asked for."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
