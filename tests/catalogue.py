"""Every model and method, in the form in which the contract (test_contract.py) can hold it to it.

A new model adds its entries here and its module to ``MODELS``.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import contingent, holden, kyle
from diffeq.contingent import black, canonical, options, smiles, toy
from diffeq.glosten_milgrom import binary_value, news

MODELS: tuple[ModuleType, ...] = (
    holden,
    kyle,
    contingent,
    canonical,
    options,
    black,
    smiles,
    toy,
    binary_value,
    news,
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
)


def _stacked(lengths: tuple[Any, ...]) -> Any:
    """As an array where they are arrays of one shape, else as the list a user would write."""
    if all(isinstance(x, jax.Array) for x in lengths):
        return jnp.stack(lengths)
    return list(lengths)
