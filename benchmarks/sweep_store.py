"""What a sweep costs: on disk, against writing the same bytes; with failing lanes, against none."""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr

from benchmarks.timing import Comparison, compare, seconds
from diffeq import holden
from diffeq.sweep import sweep

HORIZONS, SIDE = 20, 224  # a million points for each number of insiders
BLOCK_POINTS = 4 * HORIZONS * SIDE**2


def run(size: float) -> Iterator[Comparison]:
    """The comparisons, at ``size`` times the full grid; on the disk of the folder TMPDIR."""
    yield _on_disk(size)
    yield from _failing(size)


def _on_disk(size: float) -> Comparison:
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
    return _in_turn(
        f"sweep to disk, {points:,} points ({failed} failed), {written:,.0f} MB, "
        "against the bytes alone in as many files, synced",
        ours,
        rival,
        runs=15 if size == 1 else 1,
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


def _at_point(num_insiders: jax.Array, sigma_v: jax.Array, sigma_u: jax.Array) -> holden.Solution:
    return holden.solve(holden.Params(sigma_v, sigma_u, num_insiders), num_auctions=2)


def _failing(size: float) -> Iterator[Comparison]:
    """One lane in a hundred fails: the time and the bits of the others."""
    V = np.linspace(0.5, 5.0, 2000, dtype=np.float32)
    bad = np.arange(V.size) % 100 == 50
    U = np.linspace(2.0, 10.0, 50, dtype=np.float32)
    M = np.linspace(0.5, 15.0, max(1, round(40 * size)), dtype=np.float32)
    rest = dict(num_insiders=M, sigma_u=U)
    longer = dict(num_insiders=M[::4], num_auctions=np.arange(1, HORIZONS + 1), sigma_u=U)
    cases: tuple[tuple[str, Callable[..., Any], dict[str, Any], bool], ...] = (
        ("holden.solve, vmapped", _at_point, rest, False),
        ("holden.grid", holden.grid, longer, True),
    )
    for name, fn, axes, grid in cases:

        def swept(
            sigma_v: Any, fn: Any = fn, axes: dict[str, Any] = axes, grid: bool = grid
        ) -> xr.Dataset:
            return sweep(fn, axes | dict(sigma_v=sigma_v), grid_function=grid)

        some, none = swept(np.where(bad, np.float32(np.nan), V)), swept(V)
        points = none.points
        assert none.failed == 0 and some.failed == points // 100
        for field in none:
            a, b = (data[field].isel(sigma_v=~bad).values for data in (some, none))
            assert a.tobytes() == b.tobytes(), field
        del some, none
        yield compare(
            f"{name}: sweep of {points:,} points of which 1 % fail (the others the same to the "
            "last bit), against none failing",
            lambda swept=swept: swept(np.where(bad, np.float32(np.nan), V)) and None,
            lambda swept=swept: swept(V) and None,
            target="≤ 1.1",
            runs=15 if size == 1 else 1,
        )
