"""The canonical game: alpha*(K), against Monte Carlo, and one K at a time."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Comparison, compare, seconds
from diffeq.check import check
from diffeq.contingent import canonical

NUM_SIGNALS = 100
GOAL = 1e-6


def run(size: float) -> Iterator[Comparison]:
    """The comparisons, at ``size`` times 1 000 values of K and 100 000 draws."""
    count, draws = max(20, int(1000 * size)), max(1000, int(100_000 * size))
    K = jnp.linspace(2, 1001, count)
    together = jax.jit(jax.vmap(canonical.solve))
    check(together(K))
    yield compare(
        f"{count} values of K in one call (≤ 0.05 s), against one by one",
        lambda: together(K),
        lambda: [canonical.solve(x) for x in np.asarray(K)],
        target="≤ 0.3",
        runs=11 if size == 1 else 3,
    )

    exact = check(canonical.solve(NUM_SIGNALS))
    assert float(exact.error) < GOAL, "the claim is of equal error at least"
    ours = min(seconds(lambda: canonical.solve(NUM_SIGNALS)) for _ in range(20))
    alpha, error = _monte_carlo(draws)
    assert abs(alpha - float(exact.alpha)) < 5 * error, "the rival must compute the same number"
    rival = seconds(lambda: _monte_carlo(draws)[0]) * (error / GOAL) ** 2
    yield Comparison(
        f"alpha*({NUM_SIGNALS}) within {GOAL:g}, against Monte Carlo "
        f"(timed on {draws} draws, standard error {error:.1e}, scaled)",
        ours,
        rival,
        ours / rival,
        "≤ 1e-6",
    )


def _monte_carlo(draws: int) -> tuple[float, float]:
    """The root of Phi's sample mean by secant steps on common draws, and its standard error."""
    z = np.random.default_rng(0).normal(size=(draws, NUM_SIGNALS))

    def phi(alpha: float) -> np.ndarray:
        others = np.exp(alpha * z[:, 1:]).sum(axis=1)
        p = 1 / (1 + others * np.exp(-alpha * z[:, 0] - alpha**2))
        return (1 - p) * (1 - alpha**2 * p)

    last, alpha = 2.0, 2.5
    value = float(phi(last).mean())
    for _ in range(4):
        sample = phi(alpha)
        slope = (float(sample.mean()) - value) / (alpha - last)
        last, alpha, value = alpha, alpha - float(sample.mean()) / slope, float(sample.mean())
    return alpha, float(sample.std()) / draws**0.5 / abs(slope)
