"""The verb sweep: a model over a grid of its parameters, into a store that survives a kill.

Each parameter is a number or an axis: 2.5, or 1,2,5, or 0.5:5:46 (46 values from .5 to 5).
"python -m diffeq sweep holden --sigma-v 0.5:5:46 --num-insiders 1,2,5 --store out.zarr" writes a
Zarr folder that xarray opens; stopped, by Ctrl-C or a kill, the same command goes on with it.
"""

import dataclasses
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from diffeq import holden
from diffeq.command_line.endings import Doubtful, Usage
from diffeq.command_line.models import MODELS, Model, meanings, with_flags
from diffeq.sweep import sweep

MOST_AUCTIONS = 1e9
"""In an axis: one pass goes through as many."""
DIMS = {"market-making": ("time", "inventory")}
"""What a point's own dimensions are called, where they are not auctions."""


def commands() -> dict[str, Callable[..., str]]:
    """A function for each model, for tyro to make flags of."""
    points = {name: _command(name, model) for name, model in MODELS.items() if not model.tables}
    return points | {"holden-last": last_auctions}


def last_auctions(
    *,
    store: Path,
    num_insiders: str = "1:15:15",
    num_auctions: str = "1:10:10",
    sigma_v: str = "2.5",
    sigma_u: str = "5",
    json: bool = False,
) -> str:
    """The last of N auctions, for every N by one backward pass (the model's own grid function).

    Args:
      store: folder for the results; one that the same command began is gone on with.
      num_insiders: M, > 0, an axis.
      num_auctions: N, whole numbers, an axis.
      sigma_v: prior standard deviation of the value, in price units, an axis.
      sigma_u: standard deviation of noise orders over the day, in asset units, an axis.
      json: print one JSON object.
    """
    given = dict(num_insiders=num_insiders, sigma_v=sigma_v, sigma_u=sigma_u)
    axes = {name: axis(name, text) for name, text in given.items()}
    N = axis("num_auctions", num_auctions)
    if not ((N >= 1) & (N == np.round(N)) & (N < MOST_AUCTIONS)).all():
        raise Usage(f"--num-auctions: expected whole numbers from 1, got {num_auctions!r}")
    axes["num_auctions"] = N.astype(int)
    data = sweep(holden.grid, axes, grid_function=True, store=store, progress=sys.stderr.isatty())
    return _report("holden-last", store, data, as_json=json)


def axis(name: str, text: str) -> np.ndarray[Any, Any]:
    """The values of ``2.5``, ``1,2,5`` or ``start:stop:count``, shape (n,).

    >>> axis("sigma_v", "1:2:3").tolist()
    [1.0, 1.5, 2.0]
    """
    try:
        if ":" in text:
            start, stop, count = text.split(":")
            if int(count) < 1:
                raise ValueError
            return np.linspace(_finite(start), _finite(stop), int(count))
        return np.array([_finite(x) for x in text.split(",")])
    except ValueError:
        flag = "--" + name.replace("_", "-")
        raise Usage(
            f"{flag}: expected a finite number, numbers 1,2,5 or start:stop:count, got {text!r}"
        ) from None


def _finite(text: str) -> float:
    if not np.isfinite(number := float(text)):
        raise ValueError
    return number


def _command(name: str, model: Model) -> Callable[..., str]:
    defaults, meaning = model.params._field_defaults, meanings(model.params)

    def run(given: dict[str, Any]) -> str:
        values = {field: axis(field, given[field]) for field in defaults}
        axes = {field: x for field, x in values.items() if x.size > 1}
        if not axes:
            raise Usage("sweep: expected an axis, as in --sigma-v 0.5:5:46")
        fixed = {field: float(x[0]) for field, x in values.items() if x.size == 1}
        static = {option[0]: given[option[0]] for option in model.options}
        at = functools.partial(_point, name, fixed, static)
        dims = DIMS.get(name, ("auction",))
        data = sweep(at, axes, dims=dims, store=given["store"], progress=sys.stderr.isatty())
        return _report(name, given["store"], data, as_json=given["json"])

    store = "folder for the results; one that the same command began is gone on with"
    fields = [
        ("store", Path, dataclasses.MISSING, store),
        *(
            (field, str, str(default), f"{meaning[field]} A number or an axis.")
            for field, default in defaults.items()
        ),
    ]
    return with_flags(name, model, fields, run)


def _point(model: str, fixed: dict[str, float], static: dict[str, Any], **axes: Any) -> Any:
    """One equilibrium: what the store's fingerprint knows the sweep by."""
    return MODELS[model].solve(MODELS[model].params(**fixed, **axes), **static)


def _report(model: str, store: Path, data: Any, *, as_json: bool) -> str:
    points, failed = int(data.attrs["points"]), int(data.attrs["failed"])
    if as_json:
        found = dict(model=model, store=str(store), dims=dict(data.sizes), fields=list(data))
        report = json.dumps({**found, "points": points, "failed": failed})
    else:
        shape = ", ".join(f"{name} {size}" for name, size in data.sizes.items())
        report = f"{points:,} points, {failed:,} did not converge: {', '.join(map(str, data))}"
        opened = f"xarray.open_zarr({json.dumps(str(store))}, consolidated=False, chunks=None)"
        report += f" over {shape}\n{opened}"
    if failed == points:
        raise Doubtful(report, f"{model}: no point converged; see --help for what each may be")
    return report
