"""Optimal quotes for thousands of parameter sets: against scipy's matrix functions, set by set."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg

from benchmarks.timing import Comparison, in_turn
from diffeq.market_making import Params, solve

Q, TIMES = 50, np.linspace(0, 1, 20)
INVENTORY = np.arange(-Q, Q + 1)


def run(size: float) -> Iterator[Comparison]:
    """The comparisons, at ``size`` times the full ten thousand sets; rivals on some, scaled."""
    sets = max(20, int(10_000 * size))
    rng = np.random.default_rng(2008)
    ranges = dict(A=(100, 180), k=(1, 2), gamma=(0.05, 0.2), sigma=(1.5, 2.5))
    params = {name: rng.uniform(low, high, sets) for name, (low, high) in ranges.items()}

    @jax.jit
    def ours(params: dict[str, Any]) -> Any:
        one = lambda params: solve(Params(**params), max_inventory=Q, times=TIMES)  # noqa: E731
        return jax.vmap(one)(params)

    assert bool(jnp.all(ours(params).info.converged))
    for name, rival, tried, target in (
        ("eigh_tridiagonal", _by_eigenvectors, max(20, sets // 20), "≤ 0.5"),
        ("expm", _by_expm, max(3, sets // 500), "≤ 1/15"),
    ):
        some = {key: value[:tried] for key, value in params.items()}
        failed = sum(not np.isfinite(quotes).all() for quotes in _loop(rival, some))
        a, b, ratio = in_turn(lambda: ours(params), lambda: _loop(rival, some), 3)  # noqa: B023
        share = tried / sets
        yield Comparison(
            f"{sets} sets of quotes, 101 inventories × 20 times, against a loop of scipy.linalg."
            f"{name} (on {tried} of them, scaled; it returns NaN quotes for {failed})",
            a,
            b / share,
            ratio * share,
            target,
        )


def _loop(rival: Any, params: dict[str, Any]) -> list[Any]:
    with np.errstate(all="ignore"):
        return [rival(*x) for x in zip(*params.values(), strict=True)]


def _linear(A: float, k: float, gamma: float, sigma: float) -> tuple[Any, float]:
    """Diagonal and off-diagonal of M."""
    eta = A * (1 + gamma / k) ** -(1 + k / gamma)
    return -k * gamma * sigma**2 / 2 * INVENTORY**2.0, eta


def _quotes(w: Any, k: float, gamma: float) -> Any:
    rise = np.diff(np.log(w), axis=1) / k
    c = np.log1p(gamma / k) / gamma
    return np.stack([c - rise, c + rise])


def _by_eigenvectors(A: float, k: float, gamma: float, sigma: float) -> Any:
    diagonal, eta = _linear(A, k, gamma, sigma)
    values, vectors = linalg.eigh_tridiagonal(diagonal, np.full(2 * Q, eta))
    modes = np.exp(np.outer(1 - TIMES, values)) * (vectors.T @ np.ones(2 * Q + 1))
    return _quotes(modes @ vectors.T, k, gamma)


def _by_expm(A: float, k: float, gamma: float, sigma: float) -> Any:
    diagonal, eta = _linear(A, k, gamma, sigma)
    off = np.full(2 * Q, eta)
    step = linalg.expm((np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)) * TIMES[1])
    w = [np.ones(2 * Q + 1)]
    for _ in TIMES[1:]:
        w.append(step @ w[-1])
    return _quotes(np.stack(w[::-1]), k, gamma)
