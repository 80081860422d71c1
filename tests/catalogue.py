"""Every model and method, in the form in which the contract (test_contract.py) can hold it to it.

A new model adds its entries here and its module to ``MODELS``.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import contingent, foster_viswanathan, holden, kyle, market_making
from diffeq.contingent import black, canonical, options, smiles, toy
from diffeq.glosten_milgrom import (
    binary_dealers,
    binary_value,
    continuous_value,
    dealers,
    elastic,
    gaussian_elastic,
    gaussian_value,
    news,
    trade_size,
)

MODELS: tuple[ModuleType, ...] = (
    holden,
    kyle,
    foster_viswanathan,
    contingent,
    canonical,
    options,
    black,
    smiles,
    toy,
    binary_value,
    news,
    elastic,
    gaussian_elastic,
    binary_dealers,  # no two with the same Params side by side
    dealers,
    gaussian_value,
    trade_size,
    continuous_value,
    market_making,
)


class Entry(NamedTuple):
    """A way to solve a model."""

    name: str
    model: ModuleType
    solve: Callable[..., Any]
    """From the leaves, as positional scalars, to the Solution."""
    leaves: tuple[str, ...]
    """What each argument is called in error messages."""
    example: tuple[float, ...]
    """Leaves inside the domain."""
    outside: tuple[tuple[int, float], ...]
    """(leaf, value) pairs, each of which takes the example out of the domain."""
    fields: tuple[str, ...]
    """The float fields of the Solution: all of it but ``info`` and masks."""
    static: dict[str, tuple[Any, ...]] = {}
    """Static arguments of the model's solve, each with values it must refuse."""
    solve_static: Callable[..., Any] | None = None
    """Solve the default parameters with these static arguments."""
    arrays: tuple[str, ...] = ()
    """Names of leaves that are entries of an array, which the user gives as a whole."""
    first_order: str = ""
    """Why second derivatives, and the first in every mode, are not asked for; empty: they are."""
    shares: tuple[int, ...] = ()
    """Leaves whose sum is one."""
    keep: Callable[[], np.ndarray] | None = None
    """For padded fields: the mask of entries that are no padding."""

    def outputs(self, leaves: Any) -> jax.Array:
        """All float fields that are no padding, as one vector, from the vector of leaves."""
        solution = self.solve(*leaves)
        keep = (lambda x: x) if self.keep is None else (lambda x: x[np.nonzero(self.keep())])
        return jnp.concatenate([jnp.ravel(keep(getattr(solution, f))) for f in self.fields])


LEVELS = ("lambda_", "beta", "alpha", "delta", "Sigma")
FIELDS = (*LEVELS, "log_lambda", "log_beta", "log_Sigma", "log_alpha", "log_delta")
LAST = ("lambda_", "beta", "Sigma", "log_lambda", "log_beta", "log_Sigma")
NUMBERS = (np.nan, np.inf, -np.inf)
POSITIVE = (0.0, -1.0, *NUMBERS)
COUNTS = (0, -3, 2.0, True, "2", None, np.array([2]))


COLUMNS = "derivatives by columns, of every order and mode in tests/market_making"
NOT_NEGATIVE = (-1.0, *NUMBERS)
CHAIN = "one root over all auctions, of every order and mode in tests/test_foster_viswanathan.py"
ROOT = "a bracketed root, whose second derivatives tests/solvers/test_root.py takes"


def outside(*domains: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
    return tuple((leaf, value) for leaf, values in enumerate(domains) for value in values)


def _kyle(method: str) -> Entry:
    return Entry(
        name=f"kyle-{method}",
        model=kyle,
        solve=lambda *p: kyle.solve(kyle.Params(*p), num_auctions=3, method=method),
        leaves=("sigma_v", "sigma_u", "p_0"),
        example=(2.5, 5.0, 100.0),
        outside=outside(POSITIVE, POSITIVE, NUMBERS),
        fields=FIELDS,
        static={"num_auctions": COUNTS, "method": ("newton", "", None, 1)},
        solve_static=lambda **static: kyle.solve(
            kyle.Params(), **{"num_auctions": 3, "method": method, **static}
        ),
    )


HOLDEN = ("sigma_v", "sigma_u", "num_insiders", "p_0")
HOLDEN_DOMAIN = (POSITIVE, POSITIVE, POSITIVE, NUMBERS)


NO_PROBABILITY = (-0.1, 1.1, *NUMBERS)
NO_LAW = ("uniform", "", None, 1)
GAUSSIAN_DOMAIN = (NUMBERS, POSITIVE, NO_PROBABILITY)
GLOSTEN_DOMAIN = ((*NUMBERS, 200.0), (*NUMBERS, 20.0), NO_PROBABILITY, NO_PROBABILITY)


def _up_to(tables: bool) -> Entry:
    return Entry(
        name="holden-table" if tables else "holden-terminal",
        model=holden,
        solve=lambda *p: holden.solve_up_to(holden.Params(*p), max_auctions=3, tables=tables),
        leaves=HOLDEN,
        example=(2.5, 5.0, 2.5, 100.0),
        outside=outside(*HOLDEN_DOMAIN),
        fields=LAST,
        static={"max_auctions": COUNTS},
        solve_static=lambda **static: holden.solve_up_to(
            holden.Params(), **{"max_auctions": 3, "tables": tables, **static}
        ),
        keep=(lambda: np.tril(np.ones((3, 3), bool))) if tables else None,
    )


ENTRIES: tuple[Entry, ...] = (
    *(_kyle(method) for method in kyle.METHODS),
    Entry(
        name="holden",
        model=holden,
        solve=lambda *p: holden.solve(holden.Params(*p), num_auctions=3),
        leaves=HOLDEN,
        example=(2.5, 5.0, 2.5, 100.0),
        outside=outside(*HOLDEN_DOMAIN),
        fields=FIELDS,
        static={"num_auctions": COUNTS},
        solve_static=lambda **static: holden.solve(
            holden.Params(), **{"num_auctions": 3, **static}
        ),
    ),
    Entry(
        name="holden-spaced",
        model=holden,
        solve=lambda *p: holden.solve(
            holden.Params(*p[:4]), num_auctions=3, spacing=_stacked(p[4:])
        ),
        leaves=(*HOLDEN, "spacing", "spacing", "spacing"),
        arrays=("spacing",),
        shares=(4, 5, 6),
        example=(2.5, 5.0, 2.5, 100.0, 0.25, 0.5, 0.25),
        outside=tuple((leaf, value) for leaf in (4, 5, 6) for value in (*POSITIVE, 0.3)),
        fields=FIELDS,
        static={
            "spacing": (
                [0.5, 0.5],
                [0.5, 0.25, 0.2],
                [[0.25, 0.5, 0.25]],
                [[0.25], [0.5, 0.25], []],
                0.5,
                "day",
                ["a", "b", "c"],
                [None, 0.5, 0.5],
                [True, True, True],
                [0.25j, 0.5, 0.25],
            )
        },
        solve_static=lambda **static: holden.solve(
            holden.Params(), **{"num_auctions": 3, **static}
        ),
    ),
    Entry(
        name="foster-viswanathan",
        first_order=CHAIN,
        model=foster_viswanathan,
        solve=lambda *p: foster_viswanathan.solve(foster_viswanathan.Params(*p), num_auctions=3),
        leaves=foster_viswanathan.Params._fields,
        example=(2.5, 5.0, 2.5, 0.4, 100.0),
        outside=outside(POSITIVE, POSITIVE, (*POSITIVE, 0.5), (1.1, -0.8, *NUMBERS), NUMBERS),
        fields=foster_viswanathan.Solution._fields[:-1],
        static={"num_auctions": COUNTS},
        solve_static=lambda **static: foster_viswanathan.solve(
            foster_viswanathan.Params(), **{"num_auctions": 3, **static}
        ),
    ),
    Entry(
        name="canonical",
        model=canonical,
        solve=canonical.solve,
        leaves=("num_signals",),
        example=(5.0,),
        outside=outside((1.5, 0.0, -3.0, *NUMBERS)),
        fields=canonical.Solution._fields[:-2],  # the error estimate is rounding
        solve_static=lambda **static: canonical.solve(5.0),
    ),
    Entry(
        name="glosten-milgrom",
        model=binary_value,
        solve=lambda *p: binary_value.solve(binary_value.Params(*p)),
        leaves=binary_value.Params._fields,
        example=(80.0, 120.0, 0.4, 0.3),
        outside=outside(*GLOSTEN_DOMAIN),
        fields=binary_value.Solution._fields[:-1],
        solve_static=lambda **static: binary_value.solve(binary_value.Params()),
    ),
    Entry(
        name="glosten-news",
        model=news,
        solve=lambda *p: news.solve(news.Params(*p)),
        leaves=news.Params._fields,
        example=(80.0, 120.0, 0.4, 0.3, 0.05),
        outside=outside(*GLOSTEN_DOMAIN, NO_PROBABILITY),
        fields=news.Solution._fields[:-1],
        solve_static=lambda **static: news.solve(news.Params()),
    ),
    Entry(
        name="glosten-elastic",
        first_order=ROOT,
        model=elastic,
        solve=lambda *p: elastic.solve(elastic.Params(*p)),
        leaves=elastic.Params._fields,
        example=(80.0, 120.0, 0.4, 0.2, 25.0),
        outside=outside(*GLOSTEN_DOMAIN, POSITIVE),
        fields=elastic.Solution._fields[:8],
        static={"noise": NO_LAW},
        solve_static=lambda **static: elastic.solve(elastic.Params(), **static),
    ),
    Entry(
        name="glosten-gaussian",
        first_order=ROOT,
        model=gaussian_value,
        solve=lambda *p: gaussian_value.solve(gaussian_value.Params(*p)),
        leaves=gaussian_value.Params._fields,
        example=(100.0, 10.0, 0.3),
        outside=outside(*GAUSSIAN_DOMAIN),
        fields=gaussian_value.Solution._fields[:-1],
        solve_static=lambda **static: gaussian_value.solve(gaussian_value.Params()),
    ),
    Entry(
        name="glosten-monopoly",
        first_order=ROOT,
        model=dealers,
        solve=lambda *p: dealers.solve(dealers.Params(*p), num_dealers=1),
        leaves=dealers.Params._fields,
        example=(100.0, 10.0, 0.3, 12.0),
        outside=outside(*GAUSSIAN_DOMAIN, POSITIVE),
        fields=dealers.Solution._fields[:5],
        static={"num_dealers": COUNTS, "noise": NO_LAW},
        solve_static=lambda **static: dealers.solve(
            dealers.Params(), **{"num_dealers": 1, **static}
        ),
    ),
    Entry(
        name="glosten-sizes",
        model=trade_size,
        solve=lambda *p: trade_size.solve(trade_size.Params(*p)),
        leaves=trade_size.Params._fields,
        example=(80.0, 120.0, 0.4, 0.3, 0.2, 1.0, 2.0, 0.7),
        outside=outside(
            *GLOSTEN_DOMAIN, NO_PROBABILITY, (*POSITIVE, 3.0), (*POSITIVE, 0.5), NO_PROBABILITY
        ),
        fields=trade_size.Solution._fields[:6],
        solve_static=lambda **static: trade_size.solve(trade_size.Params()),
    ),
    Entry(
        name="glosten-atoms",
        model=continuous_value,
        solve=lambda *p: continuous_value.solve(
            continuous_value.Params(_stacked(p[:3]), _stacked(p[3:6]), p[6])
        ),
        leaves=(*3 * ("values",), *3 * ("probabilities",), "alpha"),
        example=(50.0, 100.0, 180.0, 0.25, 0.5, 0.25, 0.3),
        outside=outside(
            (*NUMBERS, 120.0),
            (*NUMBERS, 20.0, 300.0),
            (*NUMBERS, 80.0),
            *3 * ((-0.1, 0.9, *NUMBERS),),
            NO_PROBABILITY,
        ),
        fields=continuous_value.Solution._fields[:7],
        arrays=("values", "probabilities"),
        shares=(3, 4, 5),
        solve_static=lambda **static: continuous_value.solve(continuous_value.Params()),
    ),
    Entry(
        name="market-making",
        first_order=COLUMNS,
        model=market_making,
        solve=lambda sigma, A, k, gamma, phi_T, drift, eps: market_making.solve(
            market_making.Params(sigma, A, k, gamma, 0.0, phi_T, drift, eps),
            max_inventory=1,
            times=(0.0, 1.0),
        ),
        leaves=tuple(name for name in market_making.Params._fields if name != "phi"),
        example=(2.0, 20.0, 1.5, 0.1, 0.05, 0.2, 0.03),
        outside=outside(*2 * (NOT_NEGATIVE,), POSITIVE, *2 * (NOT_NEGATIVE,), *2 * (NUMBERS,)),
        fields=("theta", "delta_b", "delta_a"),
        static={"max_inventory": COUNTS, "objective": ("mean", "", None, 1)},
        solve_static=lambda **static: market_making.solve(
            market_making.Params(), **{"max_inventory": 1, "times": (0.0, 1.0), **static}
        ),
        keep=lambda: np.array([[False, True, False], [False, True, False]]),
    ),
)


def _stacked(leaves: tuple[Any, ...]) -> Any:
    """As an array where they are arrays of one shape, else as the list a user would write."""
    if all(isinstance(x, jax.Array) for x in leaves):
        return jnp.stack(leaves)
    return list(leaves)
