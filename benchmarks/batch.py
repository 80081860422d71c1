"""A batch of random markets: all five fields and flags, against C and against numpy."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Comparison, compare, seconds
from diffeq import holden

NUM_AUCTIONS = 10
SOURCE = Path(__file__).with_name("holden_rival.c")


def run(size: float) -> Iterator[Comparison]:
    """The comparisons, at ``size`` times the full batch of 200 000."""
    batch = max(64, int(200_000 * size))
    rng = np.random.default_rng(0)
    M = np.exp(rng.uniform(np.log(0.5), np.log(15), batch))
    sigma_v, sigma_u = rng.uniform(0.5, 5, batch), rng.uniform(2, 10, batch)
    params = holden.Params(
        jnp.asarray(sigma_v), jnp.asarray(sigma_u), jnp.asarray(M), jnp.zeros(batch)
    )
    five = jax.jit(jax.vmap(_five_fields))
    runs = 21 if size == 1 else 3
    if rival := _c_rival():
        _same(five(params), rival(M, sigma_v, sigma_u, keep=True))
        yield compare(
            f"{batch} random markets, N = {NUM_AUCTIONS}: five fields and flags, against C/OpenMP",
            lambda: five(params),
            lambda: rival(M, sigma_v, sigma_u),
            target="≤ 1.3",
            runs=runs,
        )
    few = min(batch, 500)
    ours = min(seconds(lambda: five(params)) for _ in range(5))
    theirs = seconds(lambda: _numpy_loop(M[:few], sigma_v[:few], sigma_u[:few])) * batch / few
    yield Comparison(
        f"the same against a numpy loop with np.roots per model (timed on {few}, scaled)",
        ours,
        theirs,
        ours / theirs,
        "≤ 1/500",
    )


def _five_fields(params: holden.Params) -> Any:
    solution = holden.solve(params, num_auctions=NUM_AUCTIONS)
    return solution[:5], solution.info


def _c_rival() -> Callable[..., Any] | None:
    """The compiled C loop, or None where there is no gcc (the comparison is then left out)."""
    if not (gcc := shutil.which("gcc")):
        print("no gcc: the comparison with C is left out")
        return None
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    library = Path(tempfile.mkdtemp()) / "holden_rival.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run([gcc, *flags, str(SOURCE), "-o", str(library), "-lm"], check=True)
    c = ctypes.CDLL(str(library))
    pointer = ctypes.POINTER(ctypes.c_double)

    def rival(
        M: np.ndarray, sigma_v: np.ndarray, sigma_u: np.ndarray, *, keep: bool = False
    ) -> Any:
        fields = (pointer * 5)()
        args = (x.ctypes.data_as(pointer) for x in (M, sigma_v, sigma_u))
        assert c.holden_fields(ctypes.c_long(len(M)), NUM_AUCTIONS, *args, fields) == 0
        shape = (len(M), NUM_AUCTIONS)
        copies = [np.ctypeslib.as_array(f, shape).copy() for f in fields] if keep else None
        c.release(fields)
        return copies

    return rival


def _same(ours: Any, theirs: Any) -> None:
    """The rival must compute the same numbers, or the race means nothing."""
    fields, info = ours
    assert bool(info.converged.all())
    for a, b in zip(fields, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-11, atol=1e-300)


def _numpy_loop(M: np.ndarray, sigma_v: np.ndarray, sigma_u: np.ndarray) -> list[Any]:
    """What notebooks do: np.roots on the cubic, one market and one auction at a time."""
    out, dt = [], 1 / NUM_AUCTIONS
    for m, sv, su in zip(M, sigma_v, sigma_u, strict=True):
        q = np.zeros(NUM_AUCTIONS)
        for n in range(NUM_AUCTIONS - 1, 0, -1):
            a = 1 - 2 * q[n]
            k = (1 - q[n]) ** 2 / (a * (m * a + 1) ** 2)
            roots = np.roots([2 * m, -(m + 1), -2 * k, k])
            q[n - 1] = next(r.real for r in roots if abs(r.imag) < 1e-9 and 0 < r.real < 0.5)
        r = m * (1 - 2 * q)
        Sigma = sv**2 / np.cumprod(1 + r)
        lambda_ = np.sqrt(r * Sigma / (dt * su**2 * (1 + r)))
        beta, alpha = lambda_ * su**2 / (m * Sigma), q / lambda_
        earned = alpha * lambda_**2 * su**2 * dt
        out.append((lambda_, beta, alpha, np.cumsum(earned[::-1])[::-1] - earned, Sigma))
    return out
