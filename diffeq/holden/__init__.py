"""Holden & Subrahmanyam (1992): M identical insiders trade strategically in N auctions.

Kyle (1985) is M = 1. The conditions of the equilibrium are in :mod:`diffeq.auctions`, its
computation in :mod:`diffeq.two_pass`. Prices are in price units, order flow in asset units, and the
trading day has length one.

Reference: Holden & Subrahmanyam (1992), Journal of Finance 47, 247–270. Two formulas that circulate
are wrong: beta without its 1/sqrt(M), and a one-auction lambda of (sigma_v/sigma_u) sqrt(M/(M+1)),
true only if sigma_v² is read as the posterior variance.
"""

from diffeq.auctions import Paths, Residual
from diffeq.holden.continuous import Limit, limit
from diffeq.holden.equilibrium import insider_profit, noise_loss, residual, simulate, solve
from diffeq.holden.horizons import Grid, Table, Terminal, grid, solve_up_to
from diffeq.holden.model import Params, Solution

__all__ = [
    "Grid",
    "Limit",
    "Params",
    "Paths",
    "Residual",
    "Solution",
    "Table",
    "Terminal",
    "grid",
    "insider_profit",
    "limit",
    "noise_loss",
    "residual",
    "simulate",
    "solve",
    "solve_up_to",
]
