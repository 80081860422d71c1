"""Differentiable equilibria: market models in JAX, each equilibrium a root with exact derivatives.

Models: :mod:`diffeq.kyle`, :mod:`diffeq.holden`, :mod:`diffeq.foster_viswanathan`,
:mod:`diffeq.price_rules`, :mod:`diffeq.contingent`, :mod:`diffeq.glosten_milgrom`,
:mod:`diffeq.market_making`. Turn a failed solve into an error with :func:`check`.
"""

from diffeq import (
    contingent,
    foster_viswanathan,
    glosten_milgrom,
    holden,
    kyle,
    market_making,
    price_rules,
)
from diffeq.check import ConvergenceError, check

__version__ = "0.1.0"

__all__ = [
    "ConvergenceError",
    "__version__",
    "check",
    "contingent",
    "foster_viswanathan",
    "glosten_milgrom",
    "holden",
    "kyle",
    "market_making",
    "price_rules",
]
