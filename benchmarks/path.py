"""The first-order system of Arrow–Debreu–Kyle: continuation against a root finder on its own."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from benchmarks.timing import Comparison, seconds
from diffeq.contingent import beliefs, path

NUM_SIGNALS = 3
SAME = 1e-6


def run(size: float) -> Iterator[Comparison]:
    """Random games with three signals, each also handed to scipy's hybrid Powell method."""
    rng = np.random.default_rng(0)
    games = [_game(rng) for _ in range(max(3, int(50 * size)))]
    rule = beliefs.rule(NUM_SIGNALS - 1, beliefs.MIDDLE)
    system = jax.jit(lambda y, a, prior: path.first_order(y, a, prior, rule))
    slope = jax.jit(jax.jacfwd(system))
    ours, theirs, found, spurious, solved = [], [], 0, 0, 0
    for index, (a, prior) in enumerate(games):
        if index == 0:  # compile both
            _rival(rng, system, slope, a, prior)
            jax.block_until_ready(path.trades(a, prior))
        ours.append(seconds(lambda a=a, prior=prior: path.trades(a, prior)))
        y, _, info = path.trades(a, prior)
        solved += bool(info.converged)
        outcome: list[Any] = []
        theirs.append(
            seconds(
                lambda a=a, prior=prior, out=outcome: out.append(
                    _rival(rng, system, slope, a, prior)
                )
            )
        )
        root, success = outcome[0]
        right = success and float(jnp.max(jnp.abs(root - y))) < SAME
        found += right
        spurious += success and not right
    n = len(games)
    claim = (
        f"{n} random games, K = 3: continuation solved {solved}; scipy's hybr with exact Jacobian "
        f"from a random start found the same root in {found}, another (losing money, or at "
        f"infinity) in {spurious}, none in {n - found - spurious}"
    )
    a, b = float(np.median(ours)), float(np.median(theirs))
    yield Comparison(claim, a, b, a / b, "")


def _game(rng: np.random.Generator) -> tuple[jax.Array, jax.Array]:
    """Values with singular values over a decade, and a skewed prior."""
    K = NUM_SIGNALS
    a = rng.normal(size=(K, K - 1))
    U, _, Vt = np.linalg.svd(a - a.mean(0), full_matrices=False)
    a = U * np.exp(rng.uniform(-2, 0, K - 1)) @ Vt
    return jnp.asarray(a), jnp.asarray(rng.dirichlet(np.full(K, 2.0)))


def _rival(
    rng: np.random.Generator, system: Any, slope: Any, a: jax.Array, prior: jax.Array
) -> tuple[np.ndarray, bool]:
    shape = a.shape
    result = optimize.root(
        lambda y: np.asarray(system(y.reshape(shape), a, prior)).ravel(),
        rng.normal(size=a.size),
        jac=lambda y: np.asarray(slope(y.reshape(shape), a, prior)).reshape(a.size, a.size),
        tol=1e-12,
    )
    return result.x.reshape(shape), bool(np.abs(result.fun).max() < 1e-9)
