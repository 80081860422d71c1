"""A sweep on disk: one Zarr group, an array per field, a chunk per block, a flag per block.

    PATH/zarr.json        root attributes: the fingerprint, the shape of a block, the fields
    PATH/<axis>           its values
    PATH/<field>          the product grid, and the field's own dimensions; one chunk per block
    PATH/failed           by block: how many of its points did not converge
    PATH/done             by block: 0, or the bytes in its files, written after all of them

Everything is made in ``PATH.tmp`` and renamed, so that ``PATH`` is a store or is not there. A block
counts only with its flag, which is raised when its files have reached the disk; so a process may
be killed, or the power fail, at any moment. Nothing that is no sweep is ever changed or removed.
"""

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from diffeq.sweep import product
from diffeq.sweep.product import Array, Field, Where

if TYPE_CHECKING:
    import zarr

_P = ParamSpec("_P")
_T = TypeVar("_T")

FORMAT = "diffeq_sweep"
"""The attribute that tells a sweep from any other Zarr group: the version of this layout."""
CODECS = {"zstd": "ZstdCodec", "blosc": "BloscCodec", "gzip": "GzipCodec"}
"""Compression by name → the class in ``zarr.codecs``."""
FLAGS = ("failed", "done")
"""Written after a block's fields, in this order."""
FLAG = np.dtype("<i8")


def uninterrupted(fn: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have Ctrl-C wait until ``fn`` is done.

    Zarr works in a loop of its own. Interrupted while it waits for that, it leaves tasks behind,
    which fail later and print so over whatever the user is told; in a thread it is not interrupted.
    """

    @functools.wraps(fn)
    def apart(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(fn, *args, **kwargs).result()

    return apart


@uninterrupted
def create(
    path: Path,
    fingerprint: Mapping[str, Any],
    axes: Mapping[str, Array],
    fields: Mapping[str, Field],
    dims: tuple[str, ...],
) -> None:
    """Make an empty store; axes and ``fingerprint["block"]`` in the order of the dataset.

    Raises:
      ValueError: ``PATH.tmp`` is there, and not what a killed sweep left.
      OSError: as the file system says; the path is named.
    """
    import zarr

    temporary = path.with_name(f"{path.name}.tmp")
    if os.path.lexists(temporary):
        _remove_leftover(temporary)
    with naming(temporary), _removed_if_it_fails(temporary):
        group = zarr.create_group(temporary, attributes={**fingerprint, "fields": list(fields)})
        _arrays(group, fingerprint, axes, fields, dims)
        for folder, _, files in os.walk(temporary):
            _sync(*(Path(folder, file) for file in files), Path(folder))
        os.rename(temporary, path)
        _sync(path.parent)


@contextlib.contextmanager
def _removed_if_it_fails(temporary: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _arrays(
    group: "zarr.Group",
    fingerprint: Mapping[str, Any],
    axes: Mapping[str, Array],
    fields: Mapping[str, Field],
    dims: tuple[str, ...],
) -> None:
    from zarr import codecs

    codec = CODECS.get(fingerprint["compression"])
    chunk = tuple(fingerprint["block"])
    lengths = tuple(len(axis) for axis in axes.values())

    def array(name: str, shape: Any, chunks: Any, dtype: Any, dimensions: Any, **how: Any) -> Any:
        fill = np.nan if np.issubdtype(dtype, np.inexact) else 0
        how = dict(filters=None, compressors=None, fill_value=np.dtype(dtype).type(fill)) | how
        named = dict(dimension_names=dimensions)
        return group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, **named, **how)

    for name, axis in axes.items():
        array(name, axis.shape, axis.shape, axis.dtype, (name,))[:] = axis
    compressors = [getattr(codecs, codec)()] if codec else None
    for name, (dtype, own) in fields.items():
        dimensions = (*axes, *dims[: len(own)])
        array(name, lengths + own, chunk + own, dtype, dimensions, compressors=compressors)
    count = product.num_blocks(lengths, chunk)
    for name in FLAGS:
        array(name, (count,), (1,), FLAG, ("block",))


def _remove_leftover(temporary: Path) -> None:
    """Remove what a sweep killed in :func:`create` left; refuse anything else."""
    if temporary.is_dir() and not temporary.is_symlink():
        entries = sorted(entry.name for entry in temporary.iterdir())
        root = temporary / "zarr.json"
        # first comes zarr.json, by way of zarr.<hex>.partial
        begun = all(name.startswith("zarr.") and name.endswith(".partial") for name in entries)
        # one with a finished block is a store that was given this name
        empty = not any((temporary / "done").glob("c/*"))
        if empty and (begun or (root.is_file() and FORMAT.encode() in root.read_bytes())):
            shutil.rmtree(temporary)
            return
    raise ValueError(
        f"store: {temporary} is in the way, and is not what a killed sweep leaves there; move it, "
        "or give another path"
    )


class Writer:
    """Writes blocks into a store, for any number of threads; each process has its own."""

    @uninterrupted
    def __init__(self, path: Path) -> None:
        import zarr

        self.path = path
        self.made = (path / "zarr.json").read_bytes()
        group = zarr.open_group(path, mode="r+")
        self.arrays = {name: member(group, name) for name in (*field_names(group), *FLAGS)}

    def write(self, index: int, where: Where, fields: Mapping[str, Array], failed: int) -> None:
        """Write a block, then its flag.

        Args:
          index: which block it is.
          where: its place in the grid, one slice per axis in the order of the dataset.
          fields: its results, all that the store has, their dimensions in that order.
          failed: how many of its points did not converge.

        Raises:
          TypeError: results of other names, types or shapes than the store was made for.
          OSError: as the file system says (no space left); the store is named, and whole.
        """
        own = {name: x for name, x in self.arrays.items() if name not in FLAGS}
        expected = {name: Field(x.dtype, x.shape[len(where) :]) for name, x in own.items()}
        product.refuse_others(product.of_block(fields, len(where)), expected)
        files = block_files(self.path, self.arrays, where, index)
        with naming(self.path), ThreadPoolExecutor(len(files)) as threads:
            if (self.path / "zarr.json").read_bytes() != self.made:
                # a worker that outlived its sweep: the folder was removed, and another one made
                raise RuntimeError(f"store: {self.path} has become another sweep's")
            # all at once: one is copied to the system while another is on its way to the disk
            values: dict[str, tuple[Any, Any]] = {name: (where, x) for name, x in fields.items()}
            values["failed"] = (index, failed)
            begun = [
                threads.submit(self._write, name, *values[name], files[name]) for name in files
            ]
            self._array("done")[index] = sum(size.result() for size in begun)

    def _write(self, name: str, where: Any, values: Any, file: Path) -> int:
        """Write to one array, wait until it is on the disk, and tell how many bytes that took."""
        self._array(name)[where] = values
        _sync(file)
        return file.stat().st_size

    def _array(self, name: str) -> Any:
        # a chunk of nothing but zeros is a file all the same: that none is there means a loss
        return self.arrays[name].with_config({"write_empty_chunks": True})


def block_files(path: Path, arrays: Mapping[str, Any], where: Where, index: int) -> dict[str, Path]:
    """The files of a block by array, all but its flag."""
    files = {}
    for name, array in arrays.items():
        if name != "done":
            first = where if name != "failed" else (slice(index, None),)
            own = (0,) * (array.ndim - len(first))
            at = tuple(s.start // size for s, size in zip(first, array.chunks, strict=False))
            files[name] = path / name / array.metadata.encode_chunk_key(at + own)
    return files


def member(group: "zarr.Group", name: str) -> Any:
    """An array of the store."""
    import zarr

    found = group[name]
    if not isinstance(found, zarr.Array):
        raise KeyError(name)
    return found


def field_names(group: "zarr.Group") -> list[str]:
    """Names of the fields, in the order of the function's result."""
    names: Any = group.attrs["fields"]
    return [str(name) for name in names]


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an error of the file system name the store, and say what becomes of it."""
    try:
        yield
    except OSError as error:
        named = OSError(error.errno, error.strerror or str(error), str(path))
        named.add_note("finished blocks are kept: make the same call again to go on from them")
        raise named from error


def _sync(*paths: Path) -> None:
    """Wait until files, or folders' lists of their files, are on the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
