"""What a store costs: a sweep that survives against writing the same bytes and no more."""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from benchmarks.timing import Comparison, seconds
from diffeq import holden
from diffeq.sweep import sweep

HORIZONS, SIDE = 20, 224  # a million points for each number of insiders
BLOCK_POINTS = 4 * HORIZONS * SIDE**2


def run(size: float) -> Iterator[Comparison]:
    """The comparison, at ``size`` times the full grid; on the disk of the folder TMPDIR."""
    axes = dict(
        num_insiders=np.linspace(0.5, 15.0, max(1, round(100 * size)), dtype=np.float32),
        num_auctions=np.arange(1, HORIZONS + 1),
        sigma_v=np.linspace(0.5, 5.0, SIDE, dtype=np.float32),
        sigma_u=np.linspace(2.0, 10.0, SIDE, dtype=np.float32),
    )

    def ours(folder: Path) -> xr.Dataset:
        how = dict(grid_function=True, block_points=BLOCK_POINTS)
        return sweep(holden.grid, axes, store=folder / "out.zarr", **how)

    with tempfile.TemporaryDirectory() as folder:
        data = ours(Path(folder))
        fields = {name: field.dtype for name, field in data.items()}
        failed = data.failed
    points = axes["num_insiders"].size * HORIZONS * SIDE**2
    starts = range(0, points, BLOCK_POINTS)
    values = {name: np.ones(BLOCK_POINTS, dtype) for name, dtype in fields.items()}

    def rival(folder: Path) -> None:
        for start in starts:
            for name in fields:
                with open(folder / f"{name}.{start}", "wb") as file:
                    values[name].tofile(file)
                    file.flush()
                    os.fsync(file.fileno())

    written = points * sum(dtype.itemsize for dtype in fields.values()) / 1e6
    yield _in_turn(
        f"sweep to disk, {points:,} points ({failed} failed), {written:,.0f} MB, "
        "against the bytes alone in as many files, synced",
        ours,
        rival,
        runs=5 if size == 1 else 1,
    )


def _in_turn(
    claim: str, ours: Callable[[Path], object], rival: Callable[[Path], object], runs: int
) -> Comparison:
    """As :func:`timing.compare`, each into a folder of its own on a disk that has settled."""

    def once(write: Callable[[Path], object]) -> float:
        with tempfile.TemporaryDirectory() as folder:
            os.sync()
            return seconds(lambda: write(Path(folder)) and None)

    pairs = [(once(ours), once(rival)) for _ in range(runs)]
    a, b = zip(*pairs, strict=True)
    ratio = statistics.median(x / y for x, y in pairs)
    return Comparison(claim, statistics.median(a), statistics.median(b), ratio, "≤ 1.5")
