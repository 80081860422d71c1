"""Sweeps: named axes → blocks of the product grid → a labelled dataset, in memory or on disk.

Two kinds of function are swept. A *point function* solves at one point and is vmapped over each
block; a *grid function* is the model's own (:func:`diffeq.holden.grid`), takes whole axes and
exploits what it knows of scale and horizon. Only a few blocks are in memory at a time.

    data = sweep(fn, axes)                       # an xarray.Dataset in memory
    data = sweep(fn, axes, store="out.zarr")     # the same on disk, opened lazily

A sweep with a store that was stopped, by Ctrl-C, a full disk, a killed process or a power cut, goes
on where it was when the same call is made again, and ends in the same dataset to the last bit.

Needs the extra ``sweep`` (xarray, zarr, tqdm).
"""

from diffeq.sweep.dataset import sweep
from diffeq.sweep.product import BLOCK_POINTS, Block, blocks

__all__ = ["BLOCK_POINTS", "Block", "blocks", "sweep"]
