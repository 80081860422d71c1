"""``python -m benchmarks [SUITE ...] [--smoke] [--write]`` from the root of the repository.

A table of every claim, or of the suites named. ``--smoke`` runs them at 1/100 size without judging
(CI); ``--write`` keeps the table in ``benchmarks/results``. The rivals are in the extra ``bench``.
Run it on a machine with nothing else to do.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import os
import platform
from pathlib import Path

import jax

from benchmarks.timing import Comparison

RESULTS = Path(__file__).with_name("results")
SUITES = (
    "start",
    "batch",
    "gradients",
    "grids",
    "canonical",
    "path",
    "sequential",
    "market_making",
    "market_simulation",
    "sweep_store",
)


def main() -> None:
    """Print the table line by line; write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", os.cpu_count())  # used where a claim says so
    size = 0.01 if options.smoke else 1
    lines = _head()
    print("\n".join(lines), flush=True)
    for suite in options.suites or SUITES:
        for comparison in importlib.import_module(f"benchmarks.{suite}").run(size):
            lines.append(_row(comparison))
            print(lines[-1], flush=True)
    if options.write:
        _write(lines)


def _head() -> list[str]:
    """The machine, the versions, and the head of the table."""
    versions = ("jax", "numpy", "scipy", "optimistix")
    named = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in versions)
    return [
        f"# {datetime.date.today()}: {_processor()}, {os.cpu_count()} cores, {jax.devices()[0]}",
        "",
        f"Python {platform.python_version()}, {named}.",
        "Medians of seconds; the ratio is the median of run-by-run ratios.",
        "",
        "| claim | ours, s | rival, s | ratio | target |",
        "|---|---|---|---|---|",
    ]


def _processor() -> str:
    """The processor's name where the system tells it (Linux), else its architecture."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _row(c: Comparison) -> str:
    return f"| {c.claim} | {c.ours:.4g} | {c.rival:.4g} | {c.ratio:.3g} | {c.target} |"


def _write(lines: list[str]) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{jax.devices()[0].platform}.md"
    path.write_text("\n".join([*lines, ""]))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
