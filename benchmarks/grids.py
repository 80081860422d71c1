"""What structure buys: every horizon from one pass, and product grids at the speed of memory."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Comparison, compare
from diffeq import holden


def run(size: float) -> Iterator[Comparison]:
    """The comparisons, at ``size`` times the full grids."""
    runs = 21 if size == 1 else 3
    params = holden.Params(num_insiders=jnp.asarray(2.0))
    yield compare(
        "solve_up_to(50) against solve(50), one market",
        lambda: holden.solve_up_to(params, max_auctions=50),
        lambda: holden.solve(params, num_auctions=50),
        target="≤ 1.5",
        runs=10 * runs,
    )
    batch = jax.tree.map(lambda x: jnp.full(max(64, int(20_000 * size)), x, float), params)
    up_to = jax.jit(jax.vmap(lambda p: holden.solve_up_to(p, max_auctions=50)))
    single = jax.jit(jax.vmap(lambda p: holden.solve(p, num_auctions=50)))
    yield compare(
        f"the same, {batch.p_0.size} markets",
        lambda: up_to(batch),
        lambda: single(batch),
        target="≤ 1.5",
        runs=runs,
    )
    side = max(4, int(40 * size**0.5))
    axes = dict(
        num_insiders=np.linspace(0.5, 15.0, max(4, int(30 * size))),
        num_auctions=np.arange(1, 51),
        sigma_v=np.linspace(0.5, 5.0, side),
        sigma_u=np.linspace(2.0, 10.0, side),
    )
    shape = tuple(len(axis) for axis in axes.values())
    yield compare(
        f"product grid {'×'.join(map(str, shape))} of three fields and flags, against np.full",
        lambda: holden.grid(**axes),
        lambda: [*(np.full(shape, 1.0) for _ in range(3)), np.full(shape, True)],
        target="≤ 3",
        runs=runs,
    )
