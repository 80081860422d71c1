"""Reverse-mode gradients of a batch, against its forward solve."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Comparison, compare
from diffeq import holden

NUM_AUCTIONS = 10


def run(size: float) -> Iterator[Comparison]:
    """The comparisons, at ``size`` times the full batches."""
    for full in (10_000, 200_000):
        batch = max(64, int(full * size))
        rng = np.random.default_rng(0)
        params = holden.Params(
            jnp.asarray(rng.uniform(0.5, 5, batch)),
            jnp.asarray(rng.uniform(2, 10, batch)),
            jnp.asarray(np.exp(rng.uniform(np.log(0.5), np.log(15), batch))),
            jnp.zeros(batch),
        )
        for name, loss in (("lambda_1", _first_impact), ("the sum of five fields", _sum)):
            forward, reverse = jax.jit(jax.vmap(loss)), jax.jit(jax.vmap(jax.grad(loss)))
            yield compare(
                f"gradient of {name}, {batch} markets, N = {NUM_AUCTIONS}, against its solve",
                lambda reverse=reverse, params=params: reverse(params),
                lambda forward=forward, params=params: forward(params),
                target="≤ 4",
                runs=21 if size == 1 else 3,
            )
        spacing = jnp.asarray(rng.dirichlet(np.full(NUM_AUCTIONS, 3.0), batch))
        forward, reverse = jax.jit(jax.vmap(_sum)), jax.jit(jax.vmap(jax.grad(_sum, (0, 1))))
        yield compare(
            f"the same of {batch} markets with lengths of auctions of their own, in these too",
            lambda reverse=reverse, params=params, spacing=spacing: reverse(params, spacing),
            lambda forward=forward, params=params, spacing=spacing: forward(params, spacing),
            target="≤ 4",
            runs=21 if size == 1 else 3,
        )


def _first_impact(params: holden.Params) -> Any:
    return holden.solve(params, num_auctions=NUM_AUCTIONS).lambda_[0]


def _sum(params: holden.Params, spacing: Any = None) -> Any:
    solution = holden.solve(params, num_auctions=NUM_AUCTIONS, spacing=spacing)
    return sum(jnp.sum(field) for field in solution[:5])
