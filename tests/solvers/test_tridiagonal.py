"""exp(tM)w of a tridiagonal M ≥ 0 off its diagonal, component by component, against mpmath."""

from typing import Any

import helpers
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from solvers.tridiagonal import Tridiagonal, log_exponential

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
solve = jax.jit(log_exponential)


def logs(matrix: Tridiagonal, start: Any, times: Any) -> np.ndarray:
    """log w(t), shape and level together; (..., m, n)."""
    found = solve(*jax.tree.map(lambda x: jnp.asarray(x, float), (matrix, start, times)))
    assert np.all(np.isfinite(found.shape))
    return np.asarray(found.shape, np.float64) + np.asarray(found.level, np.float64)[..., None]


def taylor(matrix: Tridiagonal, start: Any, time: float) -> np.ndarray:
    """The series of exp(tM) exp(start) in 60 digits, M shifted to be positive; logs rounded."""
    with mp.workdps(60):
        d, u, l = ([mp.mpf(float(x)) for x in row] for row in matrix)
        n, dt = len(d), mp.mpf(float(time))
        w = [mp.exp(mp.mpf(float(x))) for x in start]
        shift = max(-x for x in d)
        count = max(1, int(mp.ceil((shift + max(u) + max(l)) * dt / 60)))
        for _ in range(count):
            term, total, j = w[:], w[:], 0
            while j <= n or any(
                t > s * mp.mpf(10) ** -40 for t, s in zip(term, total, strict=True)
            ):
                j += 1
                above, below = [*term[1:], mp.mpf(0)], [mp.mpf(0), *term[:-1]]
                up, down = [*u, 0], [0, *l]
                term = [
                    dt
                    / count
                    / j
                    * ((d[q] + shift) * term[q] + up[q] * above[q] + down[q] * below[q])
                    for q in range(n)
                ]
                total = [s + t for s, t in zip(total, term, strict=True)]
            w = [mp.exp(-shift * dt / count) * s for s in total]
        return np.array([float(mp.log(x)) for x in w])


def ladder(Q: int, up: float, down: float, decay: float) -> Tridiagonal:
    q = np.arange(-Q, Q + 1)
    return Tridiagonal(-decay * q**2.0, np.full(2 * Q, up), np.full(2 * Q, down))


CASES = {
    "short": (ladder(1, 4.0, 4.0, 0.0), 0.01, 1.0),
    "plain": (ladder(10, 4.0, 4.0, 0.0), 0.015, 1.0),
    "lopsided": (ladder(8, 50.0, 0.3, 0.6), 0.0, 0.5),
    "steep": (ladder(10, 20.0, 20.0, 0.6), 15.0, 1.0),
    "hardly any exchange": (ladder(8, 1e-4, 1e-4, 0.15), 1.5, 1.0),
    "a moment": (ladder(20, 2.0, 1.5, 0.0), 7.5, 1e-6),
    "none one way": (ladder(5, 3.0, 0.0, 0.2), 0.5, 1.0),
    "growth": (Tridiagonal(np.array([3.0, 7.0, -2.0]), np.ones(2), 2 * np.ones(2)), 0.0, 2.0),
}


@pytest.mark.parametrize("name", CASES)
def test_every_component_is_right(name: str) -> None:
    """Logs to 1e-13 (float32: 3e-5 of the largest), though components span up to 1e-1000."""
    matrix, curvature, time = CASES[name]
    n = len(matrix.diagonal)
    start = -curvature * (np.arange(n) - n // 2) ** 2.0
    rounded = jax.tree.map(lambda x: np.asarray(jnp.asarray(x, float), np.float64), (matrix, start))
    t = np.asarray(jnp.asarray([time / 3, time], float), np.float64)
    got = logs(matrix, start, t)
    want = np.stack([taylor(*rounded, x) for x in t])
    np.testing.assert_allclose(got, want, rtol=0, atol=max(1e-13, EPS * np.abs(want).max()) * 4)


@pytest.mark.float64
def test_a_hundred_lots_and_a_stiff_penalty() -> None:
    """201 components over e^-2000, after 1e-6 and after 3e-3 at a rate of 1e4."""
    for rate, time in ((3.7, 1e-6), (3700.0, 3e-3)):
        matrix = ladder(100, rate, rate, 0.15)
        start = -(np.arange(-100.0, 101) ** 2)
        got = logs(matrix, start, np.array([time]))[0]
        np.testing.assert_allclose(got, taylor(matrix, start, time), rtol=0, atol=5e-13)


def test_times_and_batches_do_not_matter() -> None:
    """At time 0 the start; through many times or at once; alone, in a batch, or under vmap."""
    matrix, start = ladder(6, 5.0, 4.0, 0.3), -0.2 * np.arange(-6.0, 7) ** 2
    many = logs(matrix, start, np.linspace(0, 1, 7))
    np.testing.assert_allclose(many[0], start, atol=20 * EPS)
    np.testing.assert_allclose(many[-1], logs(matrix, start, np.ones(1))[0], atol=200 * EPS)
    factors = np.array([1.0, 0.5, 3.0])
    scaled = Tridiagonal(*(x[None] * factors[:, None] for x in matrix))
    starts, times = np.tile(start, (3, 1)), np.ones((3, 1))
    batch = logs(scaled, starts, times)
    mapped = jax.jit(jax.vmap(log_exponential))(
        *jax.tree.map(lambda x: jnp.asarray(x, float), (scaled, starts, times))
    )
    np.testing.assert_allclose(batch, mapped.shape + mapped.level[..., None], atol=300 * EPS)
    np.testing.assert_allclose(batch[0, 0], many[-1], atol=300 * EPS)


@pytest.mark.float64
def test_derivatives_are_exact() -> None:
    """Forward mode: in time d log w/dt = (Mw)/w; in the rest by differences; twice."""
    Q, start = 5, -0.3 * np.arange(-5.0, 6) ** 2

    @jax.jit
    def log_w(x: Any) -> jax.Array:
        up, down, decay, time = x
        q = jnp.arange(-Q, Q + 1)
        M = Tridiagonal(-decay * q**2, jnp.full(2 * Q, up), jnp.full(2 * Q, down))
        found = log_exponential(M, jnp.asarray(start), time[None])
        return found.shape[0] + found.level[0]

    x = np.array([3.0, 2.0, 0.4, 0.7])
    slopes = jax.jit(jax.jacfwd(log_w))
    J = np.asarray(slopes(x))
    helpers.assert_close_by_norm(J, helpers.differences(log_w, x), 1e-10)
    w = np.exp(np.asarray(log_w(x)))
    M = np.diag(-0.4 * np.arange(-5.0, 6) ** 2) + 3 * np.eye(11, k=1) + 2 * np.eye(11, k=-1)
    np.testing.assert_allclose(J[:, 3], M @ w / w, rtol=1e-12)
    H = np.asarray(jax.jit(jax.jacfwd(jax.jacfwd(log_w)))(x))
    helpers.assert_close_by_norm(H, np.swapaxes(H, 1, 2), 1e-12)
    helpers.assert_close_by_norm(H, helpers.differences(slopes, x), 1e-10)
