"""``python -m benchmarks [--smoke] [--write]`` from the root of the repository.

``--smoke`` runs everything at 1/100 size without judging it (CI); ``--write`` keeps the figures in
``benchmarks/results``. Run it on a machine with nothing else to do.
"""

import argparse
import datetime
import os
import platform
from pathlib import Path

import jax

from benchmarks import (
    batch,
    canonical,
    gradients,
    grids,
    market_making,
    market_simulation,
    path,
    sequential,
    start,
    sweep_store,
)
from benchmarks.timing import Comparison

RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Print a line for each comparison; write them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    size = 0.01 if options.smoke else 1
    rows = []
    suites = (start, batch, gradients, grids, canonical, path, sequential)
    for suite in (*suites, market_making, market_simulation, sweep_store):
        for comparison in suite.run(size):
            rows.append(_row(comparison))
            print(rows[-1], flush=True)
    if options.write:
        _write(rows)


def _row(c: Comparison) -> str:
    return f"| {c.claim} | {c.ours:.4g} | {c.rival:.4g} | {c.ratio:.3g} | {c.target} |"


def _write(rows: list[str]) -> None:
    device = jax.devices()[0]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, JAX {jax.__version__} on {device}"
    lines = [
        f"# {datetime.date.today()}: {machine}",
        "",
        "Medians of seconds; the ratio is the median of run-by-run ratios.",
        "",
        "| claim | ours, s | rival, s | ratio | target |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{device.platform}.md"
    path.write_text("\n".join(lines))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
