"""What others write for a batch of Holden–Subrahmanyam markets, N equal auctions each.

Every rival takes arrays (M, sigma_v, sigma_u) and N, and gives (lambda, beta, alpha, delta, Sigma)
as arrays (batch, N). The cubic of each auction is 2M q³ − (M+1) q² − 2kq + k = 0, 0 < q < 1/2.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

Fields = tuple[Any, ...]
SOURCE = Path(__file__).with_name("holden_rival.c")


def compiled_c() -> Callable[..., Any] | None:
    """The vectorised OpenMP loop in C, or None where there is no gcc to compile it."""
    if not (gcc := shutil.which("gcc")):
        print("no gcc: the comparison with C is left out")
        return None
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    library = Path(tempfile.mkdtemp()) / "holden_rival.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run([gcc, *flags, str(SOURCE), "-o", str(library), "-lm"], check=True)
    c = ctypes.CDLL(str(library))
    pointer = ctypes.POINTER(ctypes.c_double)

    def rival(M: Any, sigma_v: Any, sigma_u: Any, N: int, *, keep: bool = False) -> Any:
        """Freed again unless kept, as a caller would who is done with them."""
        fields = (pointer * 5)()
        args = (x.ctypes.data_as(pointer) for x in (M, sigma_v, sigma_u))
        assert c.holden_fields(ctypes.c_long(len(M)), N, *args, fields) == 0
        copies = [np.ctypeslib.as_array(f, (len(M), N)).copy() for f in fields] if keep else None
        c.release(fields)
        return copies

    return rival


def np_roots(M: Any, sigma_v: Any, sigma_u: Any, N: int) -> Fields:
    """What notebooks do: np.roots on the cubic, one market and one auction at a time."""

    def root(m: float, k: float) -> float:
        roots = np.roots([2 * m, -(m + 1), -2 * k, k])
        return next(r.real for r in roots if abs(r.imag) < 1e-9 and 0 < r.real < 0.5)

    return _one_by_one(M, sigma_v, sigma_u, N, root)


def brentq(M: Any, sigma_v: Any, sigma_u: Any, N: int) -> Fields:
    """The careful notebook: scipy.optimize.brentq in the bracket, one root at a time."""

    def root(m: float, k: float) -> float:
        return optimize.brentq(
            lambda q: ((2 * m * q - (m + 1)) * q - 2 * k) * q + k, 0.0, 0.5, xtol=1e-14, rtol=1e-14
        )

    return _one_by_one(M, sigma_v, sigma_u, N, root)


def _one_by_one(M: Any, sigma_v: Any, sigma_u: Any, N: int, root: Callable[..., float]) -> Fields:
    markets = []
    for m, sv, su in zip(M.tolist(), sigma_v.tolist(), sigma_u.tolist(), strict=True):
        q = np.zeros(N)
        for n in range(N - 1, 0, -1):
            a = 1 - 2 * q[n]
            q[n - 1] = root(m, (1 - q[n]) ** 2 / (a * (m * a + 1) ** 2))
        markets.append(_fields(np, q, m, sv, su))
    return tuple(np.array(field) for field in zip(*markets, strict=True))


def optimistix(
    N: int, solver: str = "Newton"
) -> Callable[[jax.Array, jax.Array, jax.Array], Fields]:
    """One market for jit, vmap and grad: a scan of ``optimistix.root_find``; NaN if it fails."""
    import optimistix as optx

    method = getattr(optx, solver)(rtol=1e-13, atol=1e-13)

    def cubic(q: jax.Array, args: tuple[jax.Array, jax.Array]) -> jax.Array:
        m, k = args
        return ((2 * m * q - (m + 1)) * q - 2 * k) * q + k

    def market(M: jax.Array, sigma_v: jax.Array, sigma_u: jax.Array) -> Fields:
        def auction(q: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            a = 1 - 2 * q
            k = (1 - q) ** 2 / (a * (M * a + 1) ** 2)
            bracket = dict(lower=jnp.zeros_like(q), upper=jnp.full_like(q, 0.5))
            start = jnp.full_like(q, 0.25)
            found = optx.root_find(
                cubic, method, start, (M, k), options=bracket, max_steps=100, throw=False
            )
            ok = found.result == optx.RESULTS.successful
            return jnp.where(ok, found.value, jnp.nan), q

        _, q = jax.lax.scan(auction, jnp.zeros_like(M), length=N, reverse=True)
        return _fields(jnp, q, M, sigma_v, sigma_u)

    return market


def _fields(xp: Any, q: Any, m: Any, sigma_v: Any, sigma_u: Any) -> Fields:
    dt = 1 / len(q)
    r = m * (1 - 2 * q)
    Sigma = sigma_v**2 / xp.cumprod(1 + r)
    lambda_ = xp.sqrt(r * Sigma / (dt * sigma_u**2 * (1 + r)))
    beta, alpha = lambda_ * sigma_u**2 / (m * Sigma), q / lambda_
    earned = alpha * lambda_**2 * sigma_u**2 * dt
    later = xp.append(xp.cumsum(earned[::-1])[::-1][1:], 0.0)
    return lambda_, beta, alpha, later, Sigma
