"""The verb ``solve``: one equilibrium of a model, from flags that are its parameters' names.

``python -m diffeq solve MODEL --help`` lists them with their units. A table of the solution, or
with ``--json`` one object {model, params, solution, converged, residual} for another program;
numbers that are not finite (no quote at the edge of a grid) are null there.
"""

import ast
import dataclasses
import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import jax
import numpy as np

from diffeq import foster_viswanathan, glosten_milgrom, holden, kyle, market_making
from diffeq.check import check
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


def _quotes(params: Any, *, horizon: float, num_times: int, **shape: Any) -> Any:
    times = np.linspace(0, horizon, num_times)
    return market_making.solve(params, times=times, **shape)


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
}


def commands() -> dict[str, Callable[..., str]]:
    """A function for each model, for tyro to make flags of."""
    return {name: _command(name, model) for name, model in MODELS.items()}


def _command(name: str, model: Model) -> Callable[..., str]:
    defaults, meaning = model.params._field_defaults, meanings(model.params)

    def run(given: dict[str, Any]) -> str:
        params = model.params(*(given[field] for field in defaults))
        static = {option[0]: given[option[0]] for option in model.options}
        solution = check(model.solve(params, **static), params)
        return _as_json(name, params, solution) if given["json"] else _as_text(solution)

    fields = [(field, _kind(meaning[field]), x, meaning[field]) for field, x in defaults.items()]
    return with_flags(name, model, fields, run)


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


def _fields(solution: Any) -> dict[str, np.ndarray[Any, Any]]:
    named = solution._asdict()
    return {name: np.asarray(x) for name, x in named.items() if isinstance(x, jax.Array)}


def _as_json(name: str, params: Any, solution: Any) -> str:
    def plain(x: Any) -> Any:
        if isinstance(x, list):
            return [plain(entry) for entry in x]
        return x if isinstance(x, bool) or np.isfinite(x) else None

    info = solution.info
    return json.dumps(
        dict(
            model=name,
            params=dict(zip(params._fields, params, strict=True)),
            solution={key: plain(x.tolist()) for key, x in _fields(solution).items()},
            converged=bool(np.all(info.converged)),
            residual=plain(float(np.max(info.residual))),
        )
    )


def _as_text(solution: Any) -> str:
    lines = []
    for name, x in _fields(solution).items():
        with np.printoptions(precision=6, suppress=False, linewidth=100):
            lines.append(f"{name}\n{x}" if x.ndim else f"{name} {x:.6g}")
    return "\n".join(lines)
