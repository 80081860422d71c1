"""What makes two sweeps the same: a fingerprint, kept in the root attributes of a store.

It holds what decides the values to the last bit, as far as that can be told: the axes by value, the
function by name and by what it is made of (:mod:`digest`), the precision, and the versions of the
code it calls. The machine is not in it: another kind of processor may differ in the last bit.
"""

import functools
import hashlib
import platform
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.sweep.digest import digest

FORMAT = 1
"""Version of the layout on disk."""


def of(
    fn: Callable[..., Any],
    axes: Mapping[str, np.ndarray[Any, Any]],
    dims: tuple[str, ...],
    grid_function: bool,
    compression: str | None,
) -> dict[str, Any]:
    """The fingerprint, flat: numbers, strings and lists of strings, as JSON and netCDF hold them.

    Two calls differ in one of its entries if and only if they may differ in a value or in the
    layout of the store; the shape of the blocks is added by the store.
    """
    from diffeq import __version__

    return {
        "diffeq_sweep": FORMAT,
        "function": name(fn),
        "function_digest": digest(fn),
        "kind": "grid function" if grid_function else "point function",
        "axes": [f"{name}: {_axis(values)}" for name, values in axes.items()],
        "dims": list(dims),
        "precision": precision(),
        "compression": compression or "none",
        "diffeq": __version__,
        "jax": jax.__version__,
        # by whose bytecode the function is known
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def precision() -> str:
    """JAX's default float here."""
    return str(jnp.result_type(float))


def name(fn: Callable[..., Any]) -> str:
    """ "diffeq.holden.grid"."""
    if isinstance(fn, functools.partial):
        return name(fn.func)
    known = fn if hasattr(fn, "__qualname__") else type(fn)  # an instance's repr has its address
    return f"{getattr(known, '__module__', None) or ''}.{known.__qualname__}".lstrip(".")


def _axis(values: np.ndarray[Any, Any]) -> str:
    hashed = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()[:16]
    return f"{values.size} {values.dtype}, {hashed}"
