"""The product grid of some axes, cut into blocks of one shape, and a function evaluated on them."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate

Array = np.ndarray[Any, Any]
Where = tuple[slice, ...]

BLOCK_POINTS = 2**18
"""Grid points per block: tens of megabytes of results for a model with a handful of fields."""


class Block(NamedTuple):
    """One block of a sweep: what a store writes, and by which it resumes."""

    where: Where
    """Where it lies in the product grid, one slice per axis."""
    fields: dict[str, Array]
    """Its results by name; each of shape (block lengths..., own dimensions...)."""


class Field(NamedTuple):
    """What is known of a field before anything is computed."""

    dtype: np.dtype[Any]
    """Its type."""
    own: tuple[int, ...]
    """Its shape at one point."""


def blocks(
    fn: Callable[..., Any],
    axes: Mapping[str, Array],
    *,
    grid_function: bool = False,
    block_points: int = BLOCK_POINTS,
) -> Iterator[Block]:
    """The blocks of :func:`sweep`, in order, each computed when it is asked for.

    Trailing axes are kept whole as far as ``block_points`` allows, and every block has the same
    shape (the last along an axis is padded with that axis' last value, then cut), so that one
    compiled program serves all.
    """
    lengths = tuple(len(axis) for axis in axes.values())
    chunk = block_lengths(lengths, validate.count("block_points", block_points))
    on_block = over_blocks(fn, tuple(axes), grid_function)
    for index in range(num_blocks(lengths, chunk)):
        yield evaluate(on_block, axes, chunk, place(lengths, chunk, index))


def block_lengths(lengths: tuple[int, ...], block_points: int) -> tuple[int, ...]:
    """Block lengths by axis: whole from the last axis forward while they fit, then one cut axis."""
    room, chunk = block_points, []
    for length in reversed(lengths):
        size = max(1, min(length, room))
        chunk.append(size)
        room //= size
    return tuple(reversed(chunk))


def num_blocks(lengths: tuple[int, ...], chunk: tuple[int, ...]) -> int:
    """Blocks in the grid."""
    return math.prod(_counts(lengths, chunk))


def _counts(lengths: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-length // size) for length, size in zip(lengths, chunk, strict=True))


def place(lengths: tuple[int, ...], chunk: tuple[int, ...], index: int) -> Where:
    """Where a block lies in the grid; the last axis varies fastest, and ends may be shorter."""
    at = np.unravel_index(index, _counts(lengths, chunk))
    starts = (int(i) * size for i, size in zip(at, chunk, strict=True))
    return tuple(
        slice(start, min(start + size, length))
        for start, size, length in zip(starts, chunk, lengths, strict=True)
    )


def num_points(where: Where) -> int:
    """Grid points of a block."""
    return math.prod(s.stop - s.start for s in where)


def over_blocks(
    fn: Callable[..., Any], names: tuple[str, ...], grid_function: bool
) -> Callable[..., Any]:
    """``fn`` as a function of the axes of a block, one keyword each."""
    return fn if grid_function else jax.jit(_over_product(fn, names))


def _over_product(fn: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """``fn`` of scalars → function of axes, over their product, first axis outermost."""

    def at_point(*values: jax.Array) -> Any:
        return call(fn, dict(zip(names, values, strict=True)))

    over: Callable[..., Any] = at_point
    for position in reversed(range(len(names))):
        in_axes = tuple(0 if i == position else None for i in range(len(names)))
        over = jax.vmap(over, in_axes=in_axes)
    return lambda **axes: over(*(axes[name] for name in names))


def call(fn: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """``fn`` with arguments by name, given by position where it has them so: `jax.grad` asks it."""
    try:
        bound = inspect.signature(fn).bind(**arguments)
    except (TypeError, ValueError):  # no signature, or not these arguments: fn says it better
        return fn(**arguments)
    return fn(*bound.args, **bound.kwargs)


def evaluate(
    on_block: Callable[..., Any], axes: Mapping[str, Array], chunk: tuple[int, ...], where: Where
) -> Block:
    """Compute the block that lies at ``where``, on the host."""
    part = {
        name: axis[np.minimum(np.arange(s.start, s.start + size), len(axis) - 1)]
        for (name, axis), s, size in zip(axes.items(), where, chunk, strict=True)
    }
    cut = tuple(slice(0, s.stop - s.start) for s in where)
    fields = {name: on_host(leaf) for name, leaf in named(on_block(**part)).items()}
    return Block(where, {name: _full(name, x, chunk)[cut] for name, x in fields.items()})


def on_host(x: Any) -> Array:
    """A NumPy array of what is no tracer."""
    try:
        return np.asarray(x)
    except jax.errors.TracerArrayConversionError:
        raise TypeError(
            "sweep: expected axes, and parameters of the function, that are numbers, got a tracer; "
            "a sweep works on the host: call it outside jit, vmap and grad"
        ) from None


def _full(name: str, x: Array, chunk: tuple[int, ...]) -> Array:
    """A field with its leading dimensions broadcast to the block's."""
    try:
        if x.ndim < len(chunk):
            raise ValueError
        return np.broadcast_to(x, chunk + x.shape[len(chunk) :])
    except ValueError:
        raise ValueError(
            f"{name}: expected leading dimensions {chunk}, one per axis, got shape {x.shape}"
        ) from None


def named(result: Any) -> dict[str, Any]:
    """Leaves of a solution by name; ``info`` is transparent."""
    leaves = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(result):
        name = jax.tree_util.keystr(path, simple=True, separator=".").removeprefix("info.")
        name = name or "value"
        if name in leaves:
            raise ValueError(f"{name}: expected one field of this name, the function returns two")
        leaves[name] = leaf
    if not leaves:
        raise ValueError("fn: expected a result with an array in it, got none")
    return leaves


def fields_of(
    fn: Callable[..., Any], axes: Mapping[str, Array], grid_function: bool
) -> dict[str, Field]:
    """The fields of the result, by abstract evaluation at the first point.

    A grid function that leaves JAX on its way (to the host, say) is called there instead.
    """
    if not grid_function:
        first = {name: axis[0] for name, axis in axes.items()}
        point = named(jax.eval_shape(lambda first: call(fn, first), first))
        return {name: Field(np.dtype(x.dtype), tuple(x.shape)) for name, x in point.items()}
    found: dict[str, Any] = {}

    def at_first() -> None:
        # noted inside: eval_shape would give a host array's float64 as float32
        found.update(named(fn(**{name: axis[:1] for name, axis in axes.items()})))

    try:
        jax.eval_shape(at_first)
    except jax.errors.JAXTypeError:
        at_first()
    full = {name: (x, np.shape(x)[len(axes) :]) for name, x in found.items()}
    for name, (x, _) in full.items():
        if np.ndim(x) < len(axes):
            _full(name, np.empty(np.shape(x)), (1,) * len(axes))
    return {name: Field(np.dtype(x.dtype), own) for name, (x, own) in full.items()}


def of_block(fields: Mapping[str, Array], num_axes: int) -> dict[str, Field]:
    """The fields as a block that was computed has them."""
    return {name: Field(x.dtype, x.shape[num_axes:]) for name, x in fields.items()}


def refuse_others(found: Mapping[str, Field], expected: Mapping[str, Field]) -> None:
    """Raise where a block's fields are not those of the blocks before."""
    for name in {**expected, **found}:
        if found.get(name) != expected.get(name):
            before, here = (_described(x.get(name)) for x in (expected, found))
            raise TypeError(
                f"{name}: expected {before} at each point, as in the other blocks, this one has "
                f"{here}; a function must return the same fields for every block"
            )


def _described(field: Field | None) -> str:
    return "none" if field is None else f"{field.dtype} {field.own}"


def count_failed(fields: Mapping[str, Array], num_axes: int) -> int:
    """Points whose ``converged`` is False or, where no such flag is returned, that hold a NaN."""
    if "converged" in fields:
        failed = [~fields["converged"].astype(bool)]
    else:
        failed = [np.isnan(x) for x in fields.values() if jnp.issubdtype(x.dtype, jnp.inexact)]
    at_points = [x.any(axis=tuple(range(num_axes, x.ndim))) for x in failed]
    return int(np.count_nonzero(np.logical_or.reduce(at_points))) if at_points else 0
