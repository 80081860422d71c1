"""What is lost when a long sweep is killed, and is the dataset the same afterwards?

A sweep of the last auction over four parameters runs in a process of its own and is killed without
warning at a third. The same call, made here, finishes it; the dataset is compared, bit by bit, with
that of an uninterrupted sweep. Beside it, what the finished store says of competition.

    python examples/23_killed_and_resumed.py [OUTPUT_FOLDER]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import diffeq
from diffeq import figures, holden
from diffeq.sweep import sweep

jax.config.update("jax_enable_x64", True)

AXES = dict(
    num_insiders=np.linspace(1.0, 20.0, 60),
    num_auctions=np.array([1, 2, 5, 20]),
    sigma_v=np.linspace(0.5, 5.0, 50),
    sigma_u=np.linspace(2.0, 10.0, 50),
)
POINTS = 4 * 50 * 50  # in a block: one for each number of insiders


def swept(store: Path) -> xr.Dataset:
    """The sweep; the same call begins it, resumes it, and opens it."""
    return sweep(holden.grid, AXES, grid_function=True, block_points=POINTS, store=store)


def flags(store: Path) -> list[float]:
    """When each block was done, in seconds."""
    return sorted(flag.stat().st_mtime for flag in store.glob("done/c/*[0-9]"))


def killed(store: Path) -> int:
    """Start the sweep in another process, kill it at a third, and tell how many blocks it did."""
    child = subprocess.Popen([sys.executable, __file__, "--sweep", str(store)])
    while len(flags(store)) < 20 and child.poll() is None:
        time.sleep(0.001)
    child.kill()
    child.wait()
    return len(flags(store))


def main(output: Path) -> None:
    """Kill, resume, compare; print and draw."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "killed.zarr")
        done = killed(store)
        data = diffeq.check(swept(store))
        whole = swept(Path(folder, "whole.zarr"))
        same = all(data[name].values.tobytes() == whole[name].values.tobytes() for name in whole)
        when = np.array(flags(store))
        impact = data.lambda_.sel(sigma_v=2.5, sigma_u=5.0, method="nearest")
        scale = float(impact.sigma_u / impact.sigma_v)
        scaled = np.asarray(impact) * scale

    print(f"{data.points:,} equilibria in {len(when)} blocks, {data.failed} did not converge")
    print(f"killed after {done} blocks; the same call computed the {len(when) - done} others only")
    print(f"dataset equal to the uninterrupted one to the last bit: {same}")
    assert same and 20 <= done < len(when)
    print("Impact at the last auction, in units of sigma_v/sigma_u, M = 1 and M = 20:")
    for N, of_M in zip(AXES["num_auctions"], scaled.T, strict=True):
        print(f"  N = {N:<2}  {of_M[0]:.4f}  {of_M[-1]:.2e}")
    draw(when - when[0], done, scaled).savefig(output / "23_killed_and_resumed.png", dpi=150)
    print("A kill loses the block being computed, and nothing else.")


def draw(when: np.ndarray, done: int, impact: np.ndarray) -> Figure:
    """Blocks done against time, and impact against competition."""
    figure, (left, right) = figures.canvas(
        1,
        2,
        size=(10, 4),
        title="A killed sweep goes on where it was",
        note=r"right: $\sigma_v$ = 2.5, $\sigma_u$ = 5 (nearest of the grid)",
    )
    count = np.arange(1, len(when) + 1)
    for part, colour, text in (
        (slice(0, done), figures.BLUE, "until SIGKILL"),
        (slice(done, None), figures.VERMILION, "the same call again"),
    ):
        left.plot(when[part], count[part], ".", color=colour, label=text)
    left.legend(frameon=False, fontsize=9)
    figures.name_panel(left, "Blocks on the disk", x="seconds since the first", y="blocks")
    styles = ("-", "--", "-.", ":")
    for N, of_M, colour, style in zip(
        AXES["num_auctions"], impact.T, figures.CATEGORIES, styles, strict=True
    ):
        right.semilogy(AXES["num_insiders"], of_M, style, color=colour, label=f"N = {N}")
    right.legend(frameon=False, fontsize=9)
    figures.name_panel(
        right,
        "Impact at the last auction",
        x="number of insiders M",
        y=r"$\lambda_N\,\sigma_u/\sigma_v$",
    )
    return figure


if __name__ == "__main__":
    if "--sweep" in sys.argv:
        swept(Path(sys.argv[-1]))
    else:
        default = Path(__file__).parent / "output"
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
        folder.mkdir(parents=True, exist_ok=True)
        main(folder)
