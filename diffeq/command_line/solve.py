"""The verb solve: one equilibrium of a model, from flags that are its parameters' names.

"python -m diffeq solve MODEL --help" lists them with their units. A table of the solution, or with
--json one object {model, params, solution, converged, residual} for another program; numbers that
are not finite (no quote at the edge of a grid) are null there. A game's certificate is part of
both, and where it says that there is no equilibrium the exit code is 1.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from diffeq.check import ConvergenceError, check
from diffeq.command_line.endings import Doubtful
from diffeq.command_line.models import MODELS, Model, flags_of, params_of, with_flags
from diffeq.contingent import Certificate, Criterion


def commands() -> dict[str, Callable[..., str]]:
    """A function for each model, for tyro to make flags of."""
    return {name: _command(name, model) for name, model in MODELS.items()}


def _command(name: str, model: Model) -> Callable[..., str]:
    def run(given: dict[str, Any]) -> str:
        params = params_of(model, given)
        static = {option[0]: given[option[0]] for option in model.options}
        solution = model.solve(params, **static)
        try:
            check(solution, params)
        except ConvergenceError as error:  # by the name the model has here
            raise ConvergenceError(re.sub(r"^[\w.]+", name, str(error))) from None
        report = _as_json(name, params, solution) if given["json"] else _as_text(solution)
        certificate = getattr(solution, "certificate", None)
        if certificate is not None and not certificate.is_equilibrium:
            raise Doubtful(report, f"{name}: {str(certificate).splitlines()[0]}")
        return report

    return with_flags(name, model, flags_of(model), run)


def _fields(solution: Any) -> dict[str, np.ndarray[Any, Any]]:
    named = solution._asdict()
    return {name: np.asarray(x) for name, x in named.items() if isinstance(x, jax.Array)}


def _as_json(name: str, params: Any, solution: Any) -> str:
    info = solution.info
    found = dict(
        model=name,
        params={key: _plain(x) for key, x in params._asdict().items()},
        solution={key: _plain(x) for key, x in _fields(solution).items()},
        converged=bool(np.all(info.converged)),
        residual=_plain(np.max(info.residual)),
    )
    if hasattr(solution, "certificate"):
        found["certificate"] = _certificate(solution.certificate)
    return json.dumps(found)


def _certificate(certificate: Certificate | None) -> dict[str, Any] | None:
    """The verdict, and each criterion by its name; null where none could be given."""
    if certificate is None:
        return None
    criteria = {
        name: {key: _plain(x) for key, x in criterion._asdict().items()}
        for name, criterion in certificate._asdict().items()
        if isinstance(criterion, Criterion)
    }
    return dict(is_equilibrium=certificate.is_equilibrium, **criteria)


def _plain(x: Any) -> Any:
    """Lists, numbers and text, as JSON has them: None for what is not finite."""
    if isinstance(x, list | tuple):
        return [_plain(entry) for entry in x]
    if hasattr(x, "tolist"):
        return _plain(x.tolist())
    return None if isinstance(x, float) and not np.isfinite(x) else x


def _as_text(solution: Any) -> str:
    lines = []
    for name, x in _fields(solution).items():
        with np.printoptions(precision=6, suppress=False, linewidth=100):
            lines.append(f"{name}\n{x}" if x.ndim else f"{name} {x:.6g}")
    if hasattr(solution, "certificate"):
        lines.append(f"certificate\n{solution.certificate or 'none: too many dimensions'}")
    return "\n".join(lines)
