"""Foster & Viswanathan (1996): M insiders with different signals trade strategically in N auctions.

    solve, Params, Solution          the equilibrium, differentiable in every parameter
    residual                         the published conditions; insider_profit, noise_loss
    simulate                         markets with private signals
    continuous                       continuous trading, Back, Cao & Willard (2000)

At correlation 1 the market is :mod:`diffeq.holden`'s, with one insider :mod:`diffeq.kyle`'s. With
rho < 1 insiders compete early for what they share and wait late for what they alone know.

Reference: Foster & Viswanathan (1996), Journal of Finance 51, 1437–1478; Back, Cao & Willard
(2000), Journal of Finance 55, 2117–2155.
"""

from diffeq.foster_viswanathan.conditions import Residual, insider_profit, noise_loss, residual
from diffeq.foster_viswanathan.continuous import Continuous, continuous
from diffeq.foster_viswanathan.equilibrium import solve
from diffeq.foster_viswanathan.model import Params, Solution
from diffeq.foster_viswanathan.simulation import Paths, simulate

__all__ = [
    "Continuous",
    "Params",
    "Paths",
    "Residual",
    "Solution",
    "continuous",
    "insider_profit",
    "noise_loss",
    "residual",
    "simulate",
    "solve",
]
