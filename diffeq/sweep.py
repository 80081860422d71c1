"""Sweeps: named axes → blocks of the product grid → a labelled dataset.

Two kinds of function are swept. A *point function* solves at one point and is vmapped over each
block; a *grid function* is the model's own (:func:`diffeq.holden.grid`), takes whole axes and
exploits what it knows of scale and horizon. Only one block is on the device at a time.

Needs the extra ``sweep`` (xarray, tqdm).
"""

import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate

if TYPE_CHECKING:
    import xarray as xr

BLOCK_POINTS = 2**18
"""Grid points per block: tens of megabytes of results for a model with a handful of fields."""


class Block(NamedTuple):
    """One block of a sweep: what a store writes, and by which it resumes."""

    where: tuple[slice, ...]
    """Where it lies in the product grid, one slice per axis."""
    fields: dict[str, np.ndarray[Any, Any]]
    """Its results by name; each of shape (block lengths..., own dimensions...)."""


def sweep(
    fn: Callable[..., Any],
    axes: Mapping[str, Any],
    *,
    grid_function: bool = False,
    dims: tuple[str, ...] = ("auction",),
    block_points: int = BLOCK_POINTS,
    progress: bool = False,
) -> "xr.Dataset":
    """Evaluate ``fn`` on the product of ``axes``; failed points are NaN and ``converged`` False.

    Args:
      fn: called with one keyword per axis. A point function gets scalars and returns a Solution,
        NamedTuple, dict or array for one point; a grid function gets whole axes and returns the
        same with the axes as leading dimensions, in the order of its own signature.
      axes: name → values of shape (n,); the order is that of the dataset's dimensions. Axes that
        fix a shape (a number of auctions) only work in a grid function. No axis may bear the name
        of a dimension in ``dims`` or of a field of the result.
      grid_function: whether ``fn`` is one.
      dims: names for the dimensions a single point has of its own (auctions n = 1..N).
      block_points: largest number of grid points on the device at once.
      progress: show a bar (tqdm).

    Returns:
      An ``xarray.Dataset``: a coordinate per axis, a variable per field; ``info.converged`` and
      ``info.residual`` become ``converged`` and ``residual``. :func:`diffeq.check` accepts it.

    Raises:
      ValueError: an axis that is empty, not one-dimensional or named like something else in the
        dataset (known of a grid function after its first block), or results of the wrong shape.
      ImportError: the extra ``sweep`` is not installed.

    >>> from diffeq import holden
    >>> data = sweep(
    ...     holden.grid,
    ...     dict(num_insiders=[1.0, 2.0], num_auctions=[1, 10], sigma_v=[2.5], sigma_u=[5.0, 10.0]),
    ...     grid_function=True,
    ... )
    >>> dict(data.lambda_.sizes)
    {'num_insiders': 2, 'num_auctions': 2, 'sigma_v': 1, 'sigma_u': 2}
    """
    xarray = _extra("xarray")
    asked = tuple(axes)
    if grid_function:
        axes = _in_its_order(fn, axes)
    values = {name: _axis(name, axis) for name, axis in axes.items()}
    lengths = tuple(len(axis) for axis in values.values())
    _refuse_names(asked, dims, "a dimension in dims")
    if not grid_function:
        point = jax.eval_shape(fn, **{name: axis[0] for name, axis in values.items()})
        _refuse_names(asked, _named(point), "a field of the result")
    filled: dict[str, np.ndarray[Any, Any]] = {}
    points = math.prod(lengths)
    with _bar(points, progress) as bar:
        for block in blocks(fn, values, grid_function=grid_function, block_points=block_points):
            _refuse_names(asked, block.fields, "a field of the result")
            for name, part in block.fields.items():
                own = part.shape[len(lengths) :]
                whole = filled.setdefault(name, np.empty(lengths + own, part.dtype))
                whole[block.where] = part
            bar.update(math.prod(s.stop - s.start for s in block.where))
    variables = {name: (_dims(name, whole, values, dims), whole) for name, whole in filled.items()}
    data = xarray.Dataset(variables, coords=values, attrs={"function": _name(fn)})
    return data.transpose(*asked, ...)


def blocks(
    fn: Callable[..., Any],
    axes: Mapping[str, np.ndarray[Any, Any]],
    *,
    grid_function: bool = False,
    block_points: int = BLOCK_POINTS,
) -> Iterator[Block]:
    """The blocks of :func:`sweep`, in order, each computed when it is asked for.

    Trailing axes are kept whole as far as ``block_points`` allows, and every block has the same
    shape (the last along an axis is padded with that axis' last value, then cut), so that one
    compiled program serves all.
    """
    block_points = validate.count("block_points", block_points)
    names = tuple(axes)
    lengths = tuple(len(axes[name]) for name in names)
    chunk = _chunks(lengths, block_points)
    on_block = fn if grid_function else jax.jit(_over_product(fn, names))
    starts = (range(0, length, size) for length, size in zip(lengths, chunk, strict=True))
    for start in itertools.product(*starts):
        part = {
            name: axes[name][np.minimum(np.arange(at, at + size), len(axes[name]) - 1)]
            for name, at, size in zip(names, start, chunk, strict=True)
        }
        where = tuple(
            slice(at, min(at + size, length))
            for at, size, length in zip(start, chunk, lengths, strict=True)
        )
        cut = tuple(slice(0, s.stop - s.start) for s in where)
        fields = _fields(on_block(**part))
        yield Block(where, {name: _full(name, x, chunk)[cut] for name, x in fields.items()})


def _over_product(fn: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """``fn`` of scalars → function of axes, over their product, first axis outermost."""

    def at_point(*values: jax.Array) -> Any:
        return fn(**dict(zip(names, values, strict=True)))

    over: Callable[..., Any] = at_point
    for position in reversed(range(len(names))):
        in_axes = tuple(0 if i == position else None for i in range(len(names)))
        over = jax.vmap(over, in_axes=in_axes)
    return lambda **axes: over(*(axes[name] for name in names))


def _chunks(lengths: tuple[int, ...], block_points: int) -> tuple[int, ...]:
    """Block lengths by axis: whole from the last axis forward while they fit, then one cut axis."""
    room, chunk = block_points, []
    for length in reversed(lengths):
        size = max(1, min(length, room))
        chunk.append(size)
        room //= size
    return tuple(reversed(chunk))


def _fields(result: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Leaves of a solution by name, on the host."""
    return {name: np.asarray(leaf) for name, leaf in _named(result).items()}


def _named(result: Any) -> dict[str, Any]:
    """Leaves of a solution by name; ``info`` is transparent."""
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(result):
        name = jax.tree_util.keystr(path, simple=True, separator=".").removeprefix("info.")
        named[name or "value"] = leaf
    return named


def _refuse_names(axes: tuple[str, ...], taken: Iterable[str], by: str) -> None:
    """Raise for an axis whose name means something else in the dataset."""
    for name in axes:
        if name in taken:
            raise ValueError(
                f"axes: {name!r} is also the name of {by}; rename the axis (a function that calls "
                "its argument so can be wrapped in one that does not)"
            )


def _full(name: str, x: np.ndarray[Any, Any], chunk: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A field with its leading dimensions broadcast to the block's."""
    try:
        if x.ndim < len(chunk):
            raise ValueError
        return np.broadcast_to(x, chunk + x.shape[len(chunk) :])
    except ValueError:
        raise ValueError(
            f"{name}: expected leading dimensions {chunk}, one per axis, got shape {x.shape}"
        ) from None


def _in_its_order(fn: Callable[..., Any], axes: Mapping[str, Any]) -> dict[str, Any]:
    """The axes in the order in which a grid function takes, and so returns, them."""
    own = [name for name in inspect.signature(fn).parameters if name in axes]
    if len(own) < len(axes):
        missing = [name for name in axes if name not in own]
        raise ValueError(
            f"axes: {_name(fn)} does not take {', '.join(missing)}; a grid function names every "
            "axis in its signature, in the order of its results' dimensions"
        )
    return {name: axes[name] for name in own}


def _axis(name: str, values: Any) -> np.ndarray[Any, Any]:
    axis = np.asarray(values)
    if axis.ndim != 1 or axis.size == 0:
        raise ValueError(f"{name}: expected an axis of shape (n,) with n ≥ 1, got {axis.shape}")
    if not np.issubdtype(axis.dtype, np.number):
        raise ValueError(f"{name}: expected an axis of numbers, got dtype {axis.dtype}")
    return axis.astype(jnp.result_type(float)) if axis.dtype == np.float64 else axis


def _dims(
    name: str, whole: np.ndarray[Any, Any], axes: Mapping[str, Any], dims: tuple[str, ...]
) -> tuple[str, ...]:
    extra = whole.ndim - len(axes)
    if extra > len(dims):
        raise ValueError(f"dims: {name} has {extra} dimensions of its own; name them, got {dims}")
    return (*axes, *dims[:extra])


def _name(fn: Callable[..., Any]) -> str:
    return f"{getattr(fn, '__module__', '')}.{getattr(fn, '__qualname__', repr(fn))}".lstrip(".")


def _bar(total: int, progress: bool) -> Any:
    return _extra("tqdm").tqdm(total=total, unit="point", unit_scale=True, disable=not progress)


def _extra(module: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise ImportError(f"diffeq.sweep needs {module}: pip install 'diffeq[sweep]'") from error
