"""The sweep itself: blocks → a labelled dataset, in memory; with a store see :mod:`on_disk`."""

import concurrent.futures
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from diffeq import validate
from diffeq.sweep import on_disk, product
from diffeq.sweep.extras import bar, extra
from diffeq.sweep.product import BLOCK_POINTS, Array, Field
from diffeq.sweep.request import Request, request

if TYPE_CHECKING:
    import xarray as xr


def sweep(
    fn: Callable[..., Any],
    axes: Mapping[str, Any],
    *,
    grid_function: bool = False,
    dims: tuple[str, ...] = ("auction",),
    block_points: int | None = None,
    progress: bool = False,
    store: str | os.PathLike[str] | None = None,
    executor: concurrent.futures.Executor | None = None,
    in_flight: int | None = None,
    memory: int = on_disk.MEMORY,
    compression: str | None = None,
) -> "xr.Dataset":
    """Evaluate ``fn`` on the product of ``axes``; failed points are NaN and ``converged`` False.

    With ``store`` the results go to disk block by block. Stopped in any way, the sweep goes on
    where it was when the same call is made again; a finished one is only opened. It is the same
    call with the same axes, dims, compression, precision, versions of diffeq, JAX and Python, and
    the same function: its code, the values that it closes over, fixes or names, and whatever else
    of the user's own code it reaches. Executor, memory and machine may differ; a machine of another
    kind may compute another last bit, and so may other blocks.

    Args:
      fn: called with one keyword per axis. A point function gets scalars, traced ones, so that it
        may be any function of a model, or ``jax.grad`` of one; it returns a Solution, NamedTuple,
        dict or array for one point. It depends on nothing else: no file, clock or tracer (a sweep
        is not called inside jit). A grid function gets whole axes and returns the same with the
        axes as leading dimensions, in the order of its own signature.
      axes: name → values of shape (n,); the order is that of the dataset's dimensions. Axes that
        fix a shape (a number of auctions) only work in a grid function. No axis may bear the name
        of a dimension in ``dims`` or of a field of the result.
      grid_function: whether ``fn`` is one.
      dims: names for the dimensions a single point has of its own (auctions n = 1..N); each has
        one length, the same in every field.
      block_points: largest number of grid points in a block. Default ``BLOCK_POINTS``; with a store
        what the store was made with or, in a new one, also no more than ``memory`` allows; and for
        a grid function, which needs no room of its own, as many as it allows.
      progress: show a bar (tqdm).
      store: a folder to be made, on a disk that all workers share; or one that an earlier call
        made. Zarr, a chunk per block; a block is on the disk before it counts as done.
      executor: where blocks are computed and written: threads, processes (``fn`` is then defined in
        a module; use the start method "spawn", as JAX does not survive a fork), Dask's or MPI's
        (``Client.get_executor()``, ``MPIPoolExecutor``). Default: here, one by one.
      in_flight: most blocks given to the executor at once, default one more than there are
        processors; fewer where ``memory`` does not hold them.
      memory: bound in bytes on the results that are in memory at once, all workers together. It
        sizes the blocks of a new store. What ``fn`` and the libraries use besides is not counted.
      compression: "zstd", "blosc" or "gzip"; default none, which is several times faster.

    Returns:
      An ``xarray.Dataset``: a coordinate per axis, a variable per field; ``info.converged`` and
      ``info.residual`` become ``converged`` and ``residual``. From a store it is read lazily. Its
      attribute ``failed`` counts, of ``points``, those whose ``converged`` is False (those that
      hold a NaN, if ``fn`` returns no such flag). :func:`diffeq.check` accepts it.

    Raises:
      ValueError: an axis that is empty, not one-dimensional or named like something else in the
        dataset (known of a grid function after its first block), or results of the wrong shape; a
        store that is no sweep, another one (other axes, function, parameters, precision, versions)
        or not whole, which is left untouched.
      TypeError: a block whose fields, their types or own shapes are not those of the others; an
        executor that computes in another precision, or to which ``fn`` cannot be sent.
      BlockingIOError: another process is writing the store.
      OSError: a full disk, say; the store is named, and the same call goes on from it.
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
    extra("xarray")
    asked = request(fn, axes, dims, grid_function)
    if block_points is not None:
        block_points = validate.count("block_points", block_points)
    if store is not None:
        how = on_disk.how(block_points, executor, in_flight, memory, compression)
        return on_disk.sweep(asked, store, how, progress)
    if (executor, in_flight, memory, compression) != (None, None, on_disk.MEMORY, None):
        raise ValueError(
            "store: expected a path, got None; executor, in_flight, memory and compression are "
            "of a sweep on disk"
        )
    return _in_memory(asked, block_points or BLOCK_POINTS, progress)


def _in_memory(asked: Request, block_points: int, progress: bool) -> "xr.Dataset":
    fn, axes, names, _, grid_function = asked
    expected: dict[str, Field] = {}
    if not grid_function:
        expected = product.fields_of(fn, axes, grid_function)
        asked.refuse_fields(expected)
    lengths = tuple(len(axis) for axis in axes.values())
    filled: dict[str, Array] = {}
    failed = 0
    how: dict[str, Any] = dict(grid_function=grid_function, block_points=block_points)
    with bar(asked.points, 0, progress) as shown:
        for block in product.blocks(fn, axes, **how):
            found = product.of_block(block.fields, len(lengths))
            if not filled:
                asked.refuse_fields(found)
                expected = expected or found
                filled = {name: np.empty(lengths + own, x) for name, (x, own) in found.items()}
            product.refuse_others(found, expected)
            for name, part in block.fields.items():
                filled[name][block.where] = part
            failed += product.count_failed(block.fields, len(lengths))
            shown.update(product.num_points(block.where))
    variables = {
        name: ((*axes, *asked.dimensions(name, whole.ndim - len(axes))), whole)
        for name, whole in filled.items()
    }
    data = extra("xarray").Dataset(variables, coords=axes, attrs=asked.attributes(failed))
    return data.transpose(*names, ...)
