"""Arrow–Debreu–Kyle: price discovery for derivatives, with certified equilibria.

An insider with a secret about a distribution trades every contingent claim at once; a market maker
prices them. :func:`solve` finds the equilibrium, :func:`certify` says whether it is one.

    Game, solve     demand, profit, prices, certificate     canonical   symmetric game, alpha*(K)
    certify         the six criteria of an equilibrium      options     claims as options
    single_asset    any value distribution                  smiles      under a signal; black
    price_impact    of any claim on any other               toy         the example of section 2
    calibrate_smile      signals and prior from an option chain (imported when first used)

Where the paper slips, the docstrings say so (:mod:`~diffeq.contingent.published`).

Reference: Keller & Tseng (2024), "Arrow-Debreu Meets Kyle: Price Discovery for Derivatives".
"""

from typing import Any

from diffeq.contingent import black, canonical, options, smiles, toy
from diffeq.contingent.certificate import Certificate, Criterion, certify
from diffeq.contingent.equilibrium import Solution, solve
from diffeq.contingent.first_order import FirstOrderTerms, expected_profit, first_order_terms
from diffeq.contingent.game import Game, posterior, prices
from diffeq.contingent.impact import information_efficiency, price_impact
from diffeq.contingent.published import published_demand, published_price_impact
from diffeq.contingent.reduced import Reduced, merge, reduce
from diffeq.contingent.single_asset import SingleAsset, single_asset

__all__ = [
    "Certificate",
    "Criterion",
    "FirstOrderTerms",
    "Game",
    "Reduced",
    "SingleAsset",
    "Solution",
    "black",
    "calibrate_smile",
    "canonical",
    "certify",
    "expected_profit",
    "first_order_terms",
    "information_efficiency",
    "merge",
    "posterior",
    "price_impact",
    "options",
    "prices",
    "published_demand",
    "published_price_impact",
    "reduce",
    "single_asset",
    "smiles",
    "solve",
    "toy",
]


def __getattr__(name: str) -> Any:
    """Load the calibration, and with it the optimiser, when it is first asked for."""
    if name == "calibrate_smile":
        from diffeq.contingent.calibration import calibrate_smile

        return calibrate_smile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
