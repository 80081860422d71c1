"""Market making (Avellaneda & Stoikov 2008): optimal quotes on an inventory grid, and their worth.

    exponential     the exact optimum for fills A exp(−k depth)
    approximations  the formulas of the literature, by name
    statistics      exact mean and variance of what any policy of (t, q) earns

Reference: Avellaneda & Stoikov (2008), Quantitative Finance 8, 217–224.
"""

from diffeq.market_making import approximations, exponential
from diffeq.market_making.approximations import Depths
from diffeq.market_making.model import Params, Solution
from diffeq.market_making.moments import Statistics, statistics

__all__ = [
    "Depths",
    "Params",
    "Solution",
    "Statistics",
    "approximations",
    "exponential",
    "statistics",
]
