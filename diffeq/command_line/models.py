"""The models a command knows by name, and flags made from the fields of their parameters."""

import ast
import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from diffeq import (
    contingent,
    foster_viswanathan,
    glosten_milgrom,
    holden,
    kyle,
    market_making,
    validate,
)
from diffeq.command_line.typed_numbers import HOW, table
from diffeq.contingent import canonical
from diffeq.market_making.model import OBJECTIVES


class Model(NamedTuple):
    """What a command needs to know."""

    about: str
    """A line for the help, with the paper."""
    params: Any
    """The class of parameters: its fields are flags."""
    options: tuple[tuple[str, Any, Any, str], ...]
    """Further flags: name, type, default, help."""
    solve: Callable[..., Any]
    """From params and the options by name to the Solution."""
    tables: dict[str, str] = {}
    """Fields that are tables of numbers: their default, as one types it."""


class NumSignals(NamedTuple):
    """The parameters of the canonical game."""

    num_signals: Any = 2.0
    """Number of signals K, from 2 to 1e9, a real number."""


class AnyValues(NamedTuple):
    """The parameters of the auction of one asset whose value has any finite distribution."""

    values: Any = (0.0, 1.0)
    """What the asset may be worth, distinct, K ≥ 2, in price units, shape (K,)."""
    prior: Any = None
    """Probability of each value, > 0, shape (K,)."""
    sigma_u: Any = 1.0
    """Standard deviation of noise orders, > 0, in asset units."""


def _any_values(params: AnyValues) -> contingent.SingleAsset:
    return contingent.single_asset(*params)


def _canonical(params: NumSignals) -> canonical.Solution:
    return canonical.solve(params.num_signals)


def _quotes(params: Any, *, horizon: float, num_times: int, **shape: Any) -> Any:
    validate.positive("horizon", horizon)
    validate.count("num_times", num_times, minimum=2)
    times = np.linspace(0, horizon, num_times)
    return market_making.solve(params, times=times, **shape)


UNIFORM = "uniform"
"""What stands for None."""
JSON = ("json", bool, False, "print one JSON object")
AUCTIONS = ("num_auctions", int, 10, "number of auctions N")
MODELS = {
    "kyle": Model(
        "Kyle (1985): one insider, N auctions.",
        kyle.Params,
        (AUCTIONS, ("method", Literal[kyle.METHODS], "two_pass", "how it is solved")),
        kyle.solve,
    ),
    "holden": Model(
        "Holden & Subrahmanyam (1992): M insiders, N auctions.",
        holden.Params,
        (AUCTIONS,),
        holden.solve,
    ),
    "foster-viswanathan": Model(
        "Foster & Viswanathan (1996): M insiders whose signals differ, N auctions.",
        foster_viswanathan.Params,
        (AUCTIONS,),
        foster_viswanathan.solve,
    ),
    "glosten-milgrom": Model(
        "Glosten & Milgrom (1985): bid and ask before the first trade.",
        glosten_milgrom.Params,
        (),
        glosten_milgrom.solve,
    ),
    "market-making": Model(
        "Avellaneda & Stoikov (2008): optimal bid and ask by time and inventory.",
        market_making.Params,
        (
            ("max_inventory", int, 3, "Q: inventory runs over -Q..Q"),
            ("horizon", float, 1.0, "T, in units of time"),
            ("num_times", int, 2, "quotes at this many times from 0 to T"),
            ("objective", Literal[OBJECTIVES], "cara", "what is maximised"),
        ),
        _quotes,
    ),
    "contingent": Model(
        "Keller & Tseng (2024): an insider with a signal trades every contingent claim; certified.",
        contingent.Game,
        (),
        contingent.solve,
        {"eta": "1/2 0 1/2; 0 1 0", "sigma": "1", "prior": UNIFORM},
    ),
    "canonical": Model(
        "Keller & Tseng (2024): that game with K signals that differ all alike; alpha*(K).",
        NumSignals,
        (),
        _canonical,
    ),
    "single-asset": Model(
        "Kyle (1985) with values of any finite distribution, one auction; certified.",
        AnyValues,
        (),
        _any_values,
        {"values": "0 1", "prior": UNIFORM},
    ),
}


def flags_of(model: Model) -> list[tuple[str, Any, Any, str]]:
    """The fields of a model's parameters as flags: name, type, default, help."""
    meaning = meanings(model.params)
    tables = [(name, str, text, f"{meaning[name]} {HOW}") for name, text in model.tables.items()]
    numbers = [
        (name, _kind(meaning[name]), default, meaning[name])
        for name, default in model.params._field_defaults.items()
        if name not in model.tables
    ]
    return [*tables, *numbers]


def params_of(model: Model, given: dict[str, Any]) -> Any:
    """The model's parameters from flags by name."""
    return model.params(
        **{
            name: _table(name, given[name]) if name in model.tables else given[name]
            for name in model.params._fields
        }
    )


def _table(name: str, text: str) -> Any:
    return None if text == UNIFORM else table(f"--{name.replace('_', '-')}", text)


def _kind(meaning: str) -> Any:
    """A number, or one for each side where the model takes both."""
    return float | tuple[float, float] if "(bid, ask)" in meaning else float


def meanings(cls: Any) -> dict[str, str]:
    """The text under each field's declaration, by its name."""
    (tree,) = ast.parse(inspect.getsource(cls)).body
    body = tree.body  # type: ignore[attr-defined]
    return {
        here.target.id: after.value.value
        for here, after in zip(body[:-1], body[1:], strict=True)
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name)
    }


def with_flags(
    name: str,
    model: Model,
    fields: list[tuple[str, Any, Any, str]],
    run: Callable[[dict[str, Any]], str],
) -> Callable[..., str]:
    """``run`` of all flags by name: ``fields``, the model's options and ``--json``; for tyro.

    A flag is its name, type, default (``dataclasses.MISSING``: it must be given) and help.
    """
    import tyro

    flags = [
        (field, Annotated[kind, tyro.conf.arg(help=text)], dataclasses.field(default=default))
        for field, kind, default, text in (*fields, *model.options, JSON)
    ]
    Options = dataclasses.make_dataclass(name, flags, kw_only=True)
    Options.__doc__ = model.about

    def command(options: Any) -> str:
        return run(vars(options))

    command.__doc__ = model.about
    command.__annotations__ = {
        "options": Annotated[Options, tyro.conf.arg(name="")],
        "return": str,
    }
    return command
