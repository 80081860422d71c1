"""The flow of a matrix Riccati equation: against 60-digit exponentials of its linear form."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from solvers import riccati

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
solved = jax.jit(lambda Q, G, P, tau: riccati.at(riccati.flow(Q, G, tau), P))


def by_mpmath(Q: np.ndarray, G: np.ndarray, P: np.ndarray, tau: float) -> np.ndarray:
    """Y X⁻¹ of [X; Y] = exp(tau [0, G; Q, 0]) [I; P], in digits enough for its growth."""
    d = len(Q)
    with mp.workdps(60 + int(2 * tau * np.sqrt(np.abs(G @ Q).sum()))):
        M = mp.zeros(2 * d)
        M[:d, d:], M[d:, :d] = (mp.matrix(x.tolist()) * mp.mpf(tau) for x in (G, Q))
        F = mp.expm(M)
        start = mp.matrix(P.tolist())
        X, Y = F[:d, :d] + F[:d, d:] * start, F[d:, :d] + F[d:, d:] * start
        return np.array((Y * X**-1).tolist(), float)


@pytest.mark.parametrize("tau", [0.0, 1e-6, 0.1, 1.0, 8.0])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e3])
def test_against_sixty_digits(tau: float, size: float) -> None:
    """Any start ≥ 0; the last direction free of loss, and of an indefinite source."""
    rng = np.random.default_rng(3)
    root, start = rng.normal(size=(3, 3)), rng.normal(size=3)
    Q, G = root @ root.T, np.diag([0.3, 20.0, 0.0])
    Q[2, 2], start[2] = 0.0, 0.0
    P = size * np.outer(start, start)
    Q, G, P = (np.asarray(jnp.asarray(x, float), np.float64) for x in (Q, G, P))
    tau = float(jnp.asarray(tau, float))
    got = solved(*(jnp.asarray(x, float) for x in (Q, G, P, tau)))
    expected = by_mpmath(Q, G, P, tau)
    gap = np.abs(np.asarray(got) - expected).max()
    assert gap <= 3e4 * EPS * max(1.0, np.abs(expected).max())


def test_components_of_unlike_units() -> None:
    """P of components in units a million times apart is P in one unit, converted."""
    rng = np.random.default_rng(0)
    far = 20 if EPS < 1e-10 else 8
    unit = jnp.asarray(2.0 ** np.array([-far, 0, far]))
    convert = unit[:, None] * unit[None, :]
    for tau in (0.3, 10.0):
        Q, G, P = (jnp.asarray(x @ x.T) for x in rng.normal(size=(3, 3, 3)))
        expected = solved(Q, G, P, jnp.asarray(tau))
        found = solved(Q * convert, G / convert, P * convert, jnp.asarray(tau)) / convert
        np.testing.assert_allclose(found, expected, 0, 1e3 * EPS * float(jnp.abs(expected).max()))
