"""What is asked of a sweep, checked: the axes, their names and their order."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.sweep import fingerprint
from diffeq.sweep.product import Array, Field, on_host


class Request(NamedTuple):
    """A function, and the axes on whose product it is asked for."""

    fn: Callable[..., Any]
    """A point function or a grid function."""
    axes: dict[str, Array]
    """Values by name, in the function's order."""
    names: tuple[str, ...]
    """The same names in the dataset's order."""
    dims: tuple[str, ...]
    """Names for the dimensions that a point has of its own."""
    grid_function: bool
    """Which of the two."""

    @property
    def points(self) -> int:
        """Points of the grid."""
        return math.prod(len(axis) for axis in self.axes.values())

    @property
    def coordinates(self) -> dict[str, Array]:
        """The axes in the dataset's order."""
        return {name: self.axes[name] for name in self.names}

    def refuse_names(self, taken: Iterable[str], by: str) -> None:
        """Raise for an axis whose name means something else in the dataset."""
        for name in self.names:
            if name in taken:
                raise ValueError(
                    f"axes: {name!r} is also the name of {by}; rename the axis (a function that "
                    "calls its argument so can be wrapped in one that does not)"
                )

    def dimensions(self, name: str, num_own: int) -> tuple[str, ...]:
        """Names of a field's own dimensions."""
        if num_own > len(self.dims):
            raise ValueError(
                f"dims: {name} has {num_own} dimensions of its own; name them, got {self.dims}"
            )
        return self.dims[:num_own]

    def refuse_fields(self, fields: Mapping[str, Field]) -> None:
        """Raise for fields that cannot stand in one dataset beside the axes and each other."""
        self.refuse_names(fields, "a field of the result")
        sizes: dict[str, tuple[str, int]] = {}
        for name, (_, own) in fields.items():
            for dimension, size in zip(self.dimensions(name, len(own)), own, strict=True):
                other, there = sizes.setdefault(dimension, (name, size))
                if there != size:
                    raise ValueError(
                        f"dims: {other} has {there} along {dimension!r} and {name} has {size}; a "
                        "dimension has one length: let the function return one of them, or cut it"
                    )

    def attributes(self, failed: int) -> dict[str, Any]:
        """What the dataset says of itself."""
        return {"function": fingerprint.name(self.fn), "points": self.points, "failed": failed}


def request(
    fn: Callable[..., Any], axes: Mapping[str, Any], dims: tuple[str, ...], grid_function: bool
) -> Request:
    """Check and order the axes."""
    if not callable(fn):
        raise TypeError(f"fn: expected a function, got {fn!r}")
    if not isinstance(axes, Mapping) or not all(isinstance(name, str) for name in axes):
        raise TypeError(f"axes: expected a dict, name → values, got {axes!r}")
    if not isinstance(dims, tuple | list) or len(set(dims)) < len(dims):
        raise ValueError(f"dims: expected a tuple of different names, got {dims!r}")
    names = tuple(axes)
    if grid_function:
        axes = _in_its_order(fn, axes)
    values = {name: _axis(name, axis) for name, axis in axes.items()}
    asked = Request(fn, values, names, tuple(dims), grid_function)
    asked.refuse_names(dims, "a dimension in dims")
    return asked


def _in_its_order(fn: Callable[..., Any], axes: Mapping[str, Any]) -> dict[str, Any]:
    """The axes in the order in which a grid function takes, and so returns, them."""
    own = [name for name in inspect.signature(fn).parameters if name in axes]
    if len(own) < len(axes):
        missing = [name for name in axes if name not in own]
        raise ValueError(
            f"axes: {fingerprint.name(fn)} does not take {', '.join(missing)}; a grid function "
            "names every axis in its signature, in the order of its results' dimensions"
        )
    return {name: axes[name] for name in own}


def _axis(name: str, values: Any) -> Array:
    axis = on_host(values)
    if axis.ndim != 1 or axis.size == 0:
        raise ValueError(f"{name}: expected an axis of shape (n,) with n ≥ 1, got {axis.shape}")
    if not np.issubdtype(axis.dtype, np.number):
        raise ValueError(f"{name}: expected an axis of numbers, got dtype {axis.dtype}")
    wide = axis.dtype.kind == "f" and axis.dtype.itemsize >= 8
    native: Any = axis.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        cast = axis.astype(jnp.result_type(float) if wide else native, copy=False)
    used = jax.dtypes.canonicalize_dtype(cast.dtype)  # without x64 an int32 of an int64
    if cast.dtype.kind in "iu":
        lost = cast.astype(used, copy=False) != cast
    else:
        lost = np.isinf(cast) & np.isfinite(axis)
    if lost.any():
        raise ValueError(
            f"{name}: {axis[lost][0]} is beyond {used}; rescale it, or enable JAX's x64"
        )
    return cast
