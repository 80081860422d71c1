"""A sweep that survives: find or make its store, do the blocks not done, open it lazily."""

import concurrent.futures
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffeq import validate
from diffeq.sweep import fingerprint, product
from diffeq.sweep.extras import bar, extra
from diffeq.sweep.lock import only_writer
from diffeq.sweep.product import BLOCK_POINTS, Array, Field
from diffeq.sweep.request import Request
from diffeq.sweep.resume import Found, find, remove_partial
from diffeq.sweep.store import CODECS, FLAGS, create, uninterrupted
from diffeq.sweep.streaming import Job, helpful_errors, stream

if TYPE_CHECKING:
    import xarray as xr

MEMORY = 2**28
"""Default bound on the results in memory at once, in bytes."""
COPIES = 2
"""Of a block in flight: as computed and as written or, done here, it and the one being written."""


class How(NamedTuple):
    """How a sweep is carried out: of values, a new store's blocks may decide the last bit."""

    block_points: int | None
    """Largest number of points in a block, if given."""
    executor: concurrent.futures.Executor | None
    """Where blocks are computed."""
    in_flight: int
    """Most blocks given to it at once."""
    memory: int
    """Bound on the results in memory at once, in bytes."""
    compression: str | None
    """Name of the codec."""


def how(
    block_points: int | None,
    executor: concurrent.futures.Executor | None,
    in_flight: int | None,
    memory: int,
    compression: str | None,
) -> How:
    """Check the arguments."""
    if not isinstance(executor, concurrent.futures.Executor | None):
        raise TypeError(f"executor: expected a concurrent.futures.Executor, got {executor!r}")
    if in_flight is None:
        # one more than can run, so that none waits for the next
        in_flight = 1 if executor is None else (os.cpu_count() or 1) + 1
    for name, number in (("in_flight", in_flight), ("memory", memory)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise ValueError(f"{name}: expected a whole number > 0 (10**9, not 1e9), got {number}")
    if executor is None and in_flight > 1:
        raise ValueError("in_flight: expected an executor with it, got None")
    if compression is not None:
        validate.option("compression", compression, tuple(CODECS))
    return How(block_points, executor, int(in_flight), int(memory), compression)


def sweep(asked: Request, store: str | os.PathLike[str], how: How, progress: bool) -> "xr.Dataset":
    """The dataset of :func:`diffeq.sweep.sweep`, from its store."""
    extra("zarr")
    path = _folder(store)
    asked.refuse_names((*FLAGS, "block"), "what a store keeps of its blocks")
    mark = fingerprint.of(
        asked.fn, asked.coordinates, asked.dims, asked.grid_function, how.compression
    )
    if how.block_points is not None:
        mark["block"] = _chunk(asked, how.block_points)
    found = find(path, mark, asked.coordinates)
    if found is None or not found.done.all():
        path.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(path):
            # another process may have been here
            found = find(path, mark, asked.coordinates)
            if found is None:
                found = _created(asked, path, mark, how)
            _fill(asked, path, mark, found, how, progress)
            found = find(path, mark, asked.coordinates)
    assert found is not None
    names = [*asked.names, *found.fields]
    data = uninterrupted(extra("xarray").open_zarr)(path, consolidated=False, chunks=None)[names]
    data.attrs = asked.attributes(int(found.failed.sum()))
    return data


def _created(asked: Request, path: Path, mark: dict[str, Any], how: How) -> Found:
    """A new store, and what is found in it."""
    ask = (asked.fn, asked.axes, asked.grid_function)
    if how.executor is None:
        precision, fields = _probe(*ask)
    else:
        with helpful_errors():
            precision, fields = how.executor.submit(_probe, *ask).result()
    if precision != mark["precision"]:
        raise TypeError(
            f"executor: it computes in {precision}, this process in {mark['precision']}; set it "
            "by the executor's initializer, or JAX_ENABLE_X64"
        )
    _check_fields(asked, fields)
    if "block" not in mark:
        mark = mark | {"block": _chunk(asked, _block_points(asked, fields, how))}
    _block_bytes(path, mark["block"], _point_bytes(fields), how)
    create(path, mark, asked.coordinates, fields, asked.dims)
    found = find(path, mark, asked.coordinates)
    assert found is not None
    return found


def _probe(fn: Any, axes: dict[str, Array], grid_function: bool) -> tuple[str, dict[str, Field]]:
    """Where the blocks will be computed: the precision there, and the fields of the result."""
    return fingerprint.precision(), product.fields_of(fn, axes, grid_function)


def _check_fields(asked: Request, fields: dict[str, Field]) -> None:
    asked.refuse_fields(fields)
    for name in (*asked.names, *fields, *asked.dims):
        taken = (*FLAGS, "block", *(asked.dims if name in fields else ()))
        if name in (*taken, ".", "..", "zarr.json") or "/" in name:
            raise ValueError(
                f"{name!r}: expected another name; a store cannot hold it (it is that of a "
                "dimension or of a flag, or no name for a folder)"
            )
    for name, (dtype, _) in fields.items():
        if dtype.kind not in "biufc":
            raise ValueError(f"{name}: expected numbers of a type of NumPy's own, got {dtype}")


def _chunk(asked: Request, block_points: int) -> list[int]:
    """Lengths of a block, in the dataset's order; the last axes of the function's are whole."""
    lengths = tuple(len(axis) for axis in asked.axes.values())
    chunk = dict(zip(asked.axes, product.block_lengths(lengths, block_points), strict=True))
    return [chunk[name] for name in asked.names]


def _block_points(asked: Request, fields: dict[str, Field], how: How) -> int:
    """As many points as memory allows; of a point function, which needs room itself, no more."""
    allowed = max(1, how.memory // (COPIES * how.in_flight * _point_bytes(fields)))
    return allowed if asked.grid_function else min(allowed, BLOCK_POINTS)


def _point_bytes(fields: dict[str, Field]) -> int:
    return sum(dtype.itemsize * math.prod(own) for dtype, own in fields.values())


def _block_bytes(path: Path, chunk: Sequence[int], point_bytes: int, how: How) -> int:
    """Bytes a block takes in memory; raise if that is too much."""
    needed = COPIES * point_bytes * math.prod(chunk)
    if needed > how.memory:
        raise ValueError(
            f"memory: a block of {path} takes {needed} bytes, got {how.memory}; give more, or make "
            "a store of smaller blocks by block_points"
        )
    return needed


def _fill(
    asked: Request, path: Path, mark: dict[str, Any], found: Found, how: How, progress: bool
) -> None:
    """Compute and write the blocks that are not done."""
    block_bytes = _block_bytes(path, found.chunk, _point_bytes(found.fields), how)
    remove_partial(path)
    what = (asked.fn, asked.axes, asked.names, found.chunk, asked.grid_function)
    job = Job(path, mark["precision"], *what)
    lengths = tuple(len(axis) for axis in asked.coordinates.values())
    places = (product.place(lengths, found.chunk, int(i)) for i in np.flatnonzero(found.done))
    already, failed = sum(map(product.num_points, places)), int(found.failed.sum())
    todo = map(int, np.flatnonzero(~found.done))
    in_flight = max(1, min(how.in_flight, how.memory // block_bytes))
    with bar(asked.points, already, progress) as shown:
        for written in stream(job, todo, how.executor, in_flight):
            failed += written.failed
            shown.set_postfix(failed=failed, refresh=False)
            shown.update(written.points)


def _folder(store: str | os.PathLike[str]) -> Path:
    """The real path of the store: its neighbours ``.tmp`` and ``.lock`` are on the same disk."""
    text = os.fspath(store)
    # a Path of an address has lost a slash
    if not isinstance(text, str) or not text or re.match(r"\w[\w+.-]+:/", text):
        raise ValueError(f"store: expected the path of a folder, got {store!r}")
    return Path(os.path.realpath(text))
