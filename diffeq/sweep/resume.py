"""What a store already holds: whose it is, whether it is whole, which of its blocks are done."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffeq.sweep import product
from diffeq.sweep.product import Array, Field
from diffeq.sweep.store import FLAG, FLAGS, FORMAT, block_files, field_names, member, uninterrupted

_PARTIAL = re.compile(r".+\.[0-9a-f]{32}\.partial")
"""What zarr writes before it renames: what a killed process leaves."""


class Found(NamedTuple):
    """A whole store, of the sweep that was asked for."""

    chunk: tuple[int, ...]
    """Lengths of its blocks, in the order of the dataset."""
    fields: dict[str, Field]
    """What it holds, in the order of the function's result."""
    done: Array
    """bool, by block."""
    failed: Array
    """Points that did not converge, by block; 0 where it is not done."""


@uninterrupted
def find(path: Path, fingerprint: Mapping[str, Any], axes: Mapping[str, Array]) -> Found | None:
    """What is at ``path``; None if nothing. Nothing is changed.

    Args:
      path: where the store should be.
      fingerprint: of the sweep asked for; without ``block`` any shape of the blocks will do.
      axes: in the order of the dataset.

    Raises:
      ValueError: it is no sweep, or another one, or not whole; the path is named.
    """
    import zarr

    if not os.path.lexists(path):
        return None
    if not (path / "zarr.json").is_file():
        raise ValueError(_foreign(path))
    with _whole(path):
        group = zarr.open_group(path, mode="r")
        attributes = dict(group.attrs)
    if FORMAT not in attributes:
        raise ValueError(_foreign(path))
    _refuse_another(path, attributes, fingerprint)
    with _whole(path):
        return _checked(path, group, axes)


def _checked(path: Path, group: Any, axes: Mapping[str, Array]) -> Found:
    """Every array is as it was made, and every done block has its bytes; else some error."""
    chunk = tuple(int(size) for size in group.attrs["block"])
    lengths = tuple(len(axis) for axis in axes.values())
    for name, axis in axes.items():
        written = np.asarray(member(group, name)[:])
        if written.dtype != axis.dtype or not np.array_equal(_bits(written), _bits(axis)):
            raise ValueError(f"the axis {name} is not what was written")
    fields = {name: member(group, name) for name in field_names(group)}
    for name, array in fields.items():
        own = array.shape[len(lengths) :]
        if (array.shape, array.chunks) != (lengths + own, chunk + own):
            raise ValueError(f"the field {name} is not what was made")
    arrays = fields | {name: member(group, name) for name in FLAGS}
    for name in FLAGS:
        if arrays[name].shape != (product.num_blocks(lengths, chunk),):
            raise ValueError(f"the flags {name} are not what was made")
    failed, size = (_flags(path / name, arrays[name]) for name in FLAGS)
    done = (size > 0) & (failed >= 0)
    for index in np.flatnonzero(done):
        where = product.place(lengths, chunk, int(index))
        files = block_files(path, arrays, where, int(index))
        if sum(file.stat().st_size for file in files.values()) != size[index]:
            raise ValueError(f"block {index} is cut ({', '.join(map(str, files.values()))})")
    held = {name: Field(array.dtype, array.shape[len(lengths) :]) for name, array in fields.items()}
    return Found(chunk, held, done, np.where(done, failed, 0))


def _bits(axis: Array) -> Array:
    return np.ascontiguousarray(axis).view(np.uint8)


def _flags(folder: Path, array: Any) -> Array:
    """One number per block, −1 where there is none; a file cut short by a power cut is none.

    Read without zarr, which takes a millisecond for each and refuses an array with one cut file.
    """
    flags = np.full(array.shape, -1, FLAG)
    for index in range(array.shape[0]):
        with contextlib.suppress(FileNotFoundError):
            content = (folder / array.metadata.encode_chunk_key((index,))).read_bytes()
            if len(content) == FLAG.itemsize:
                flags[index] = np.frombuffer(content, FLAG)[0]
    return flags


def remove_partial(path: Path) -> None:
    """Remove the files a killed process had not finished writing; only its one writer may."""
    for folder, _, files in os.walk(path):
        for file in files:
            if _PARTIAL.fullmatch(file):
                Path(folder, file).unlink(missing_ok=True)


def _refuse_another(
    path: Path, attributes: Mapping[str, Any], fingerprint: Mapping[str, Any]
) -> None:
    changed = [key for key, value in fingerprint.items() if attributes.get(key) != value]
    if not changed:
        return
    details = "; ".join(_difference(key, attributes.get(key), fingerprint[key]) for key in changed)
    raise ValueError(
        f"store: {path} holds another sweep, and is left as it is ({details}); give another path, "
        "or repeat the call it was made by"
    )


def _difference(key: str, there: Any, asked: Any) -> str:
    if key == "function_digest":
        return "function: its code, or a value that it fixes or names, has changed"
    if key == "axes" and isinstance(there, list):
        there, asked = ([x for x in a if x not in b] for a, b in ((there, asked), (asked, there)))
        if there == asked == []:
            return "axes: in another order"
    if key == "diffeq_sweep":
        return f"layout: version {there} there, {asked} now"
    return f"{key}: {_text(there)} there, {_text(asked)} now"


def _text(entry: Any) -> str:
    return ", ".join(map(str, entry)) if isinstance(entry, list) else str(entry)


def _foreign(path: Path) -> str:
    return (
        f"store: {path} is there already, and is no sweep; it is left as it is: "
        "give another path, or move it away"
    )


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Whatever cannot be read as it was written means a store that lost something."""
    try:
        yield
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        FileNotFoundError,
    ) as error:
        raise ValueError(
            f"store: {path} is not whole: {error}; it is left as it is: restore what is missing, "
            "or give another path"
        ) from error
