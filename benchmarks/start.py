"""What a user waits for before the first number: import and first solve, each in a new process."""

import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.timing import Comparison

_IMPORT = "import time; s = time.perf_counter(); import {}; print(time.perf_counter() - s)"
_FIRST = """
import time, jax, diffeq
from diffeq import holden
s = time.perf_counter()
jax.block_until_ready(holden.solve(holden.Params(), num_auctions=10))
print(time.perf_counter() - s)
s = time.perf_counter()
jax.block_until_ready(holden.solve(holden.Params(3.0, 4.0, 5.0), num_auctions=10))
print(time.perf_counter() - s)
"""


def run(size: float) -> Iterator[Comparison]:
    """The comparisons; ``size`` < 1 only lowers the number of runs."""
    runs = 7 if size == 1 else 1
    bare = _median(_IMPORT.format("jax"), runs)[0]
    ours = _median(_IMPORT.format("jax, diffeq"), runs)[0]
    yield Comparison(
        "import diffeq against import jax (the difference: < 0.3 s)", ours, bare, ours / bare, ""
    )
    first, second = _median(_FIRST, runs)
    yield Comparison(
        "first solve (< 1 s) against a second with other values", first, second, first / second, ""
    )


def _median(code: str, runs: int) -> list[float]:
    outputs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        for _ in range(runs)
    ]
    samples = [[float(line) for line in output.stdout.split()] for output in outputs]
    return [statistics.median(column) for column in zip(*samples, strict=True)]
