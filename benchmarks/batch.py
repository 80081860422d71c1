"""A batch of random markets, all five fields and flags, against what others write for it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import rivals
from benchmarks.timing import Comparison, compare, seconds
from diffeq import holden
from solvers import devices

N = 10


def run(size: float) -> Iterator[Comparison]:
    """The comparisons, at ``size`` times the full batch of 200 000."""
    batch = max(64, int(200_000 * size))
    rng = np.random.default_rng(0)
    M = np.exp(rng.uniform(np.log(0.5), np.log(15), batch))
    market = M, rng.uniform(0.5, 5, batch), rng.uniform(2, 10, batch)
    params = _params(*map(jnp.asarray, market))
    runs = 21 if size == 1 else 3
    five = jax.jit(jax.vmap(_five_fields))
    what = f"{batch} random markets, N = {N}: five fields and flags"
    if c := rivals.compiled_c():
        _same(five(params), c(*market, N, keep=True))
        on_all = devices.vmap(_five_fields)
        places = {
            "one device": partial(five, params),
            f"{jax.device_count()} devices": partial(on_all, params),
            f"{jax.device_count()} devices, put there before": partial(on_all, devices.put(params)),
        }
        for where, ours in places.items():
            yield compare(
                f"{what}, on {where}, against C/OpenMP",
                ours,
                partial(c, *market, N),
                target="≤ 1.3",
                runs=runs,
            )
    yield from _against_optimistix(what, params, five, runs)
    ours = min(seconds(lambda: five(params)) for _ in range(5))
    few = min(batch, 500)
    for rival, target in (rivals.brentq, ""), (rivals.np_roots, "≤ 1/500"):
        found: list[Any] = []
        theirs = seconds(lambda rival=rival, found=found: found.append(_on(few, market, rival)))
        _same(five(jax.tree.map(lambda x: x[:few], params)), found[0])
        theirs *= batch / few
        claim = f"{what}, against a loop of {rival.__name__} (timed on {few}, scaled)"
        yield Comparison(claim, ours, theirs, ours / theirs, target)


def _against_optimistix(
    what: str, params: holden.Params, five: Callable[..., Any], runs: int
) -> Iterator[Comparison]:
    """Values and reverse-mode gradients of a vmapped root finder, Newton and bisection."""
    args = params.num_insiders, params.sigma_v, params.sigma_u
    for solver in "Newton", "Bisection":
        market = rivals.optimistix(N, solver)
        values = jax.jit(jax.vmap(market))
        _same(five(params), values(*args), rtol=1e-9)
        yield compare(
            f"{what}, against vmapped optimistix.{solver} in a scan",
            lambda: five(params),
            lambda values=values: values(*args),
            target="",
            runs=runs,
        )

    def total(fields: Any) -> jax.Array:
        return sum((jnp.sum(field) for field in fields), jnp.zeros(()))

    newton = rivals.optimistix(N)
    ours = jax.jit(jax.vmap(jax.grad(lambda p: total(_five_fields(p)[0]))))
    theirs = jax.jit(jax.vmap(jax.grad(lambda *args: total(newton(*args)), (0, 1, 2))))
    for a, b in zip(_insiders_first(ours(params)), theirs(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    yield compare(
        f"{what.split(':')[0]}: gradient of the five fields' sum, against optimistix.Newton's",
        lambda: ours(params),
        lambda: theirs(*args),
        target="",
        runs=max(3, runs // 3),
    )


def _params(M: jax.Array, sigma_v: jax.Array, sigma_u: jax.Array) -> holden.Params:
    return holden.Params(sigma_v, sigma_u, M, jnp.zeros_like(M))


def _insiders_first(params: holden.Params) -> tuple[Any, ...]:
    return params.num_insiders, params.sigma_v, params.sigma_u


def _five_fields(params: holden.Params) -> Any:
    solution = holden.solve(params, num_auctions=N)
    return solution[:5], solution.info


def _on(few: int, market: tuple[np.ndarray, ...], rival: Callable[..., Any]) -> Any:
    return rival(*(x[:few] for x in market), N)


def _same(ours: Any, theirs: Any, rtol: float = 1e-11) -> None:
    """A rival must compute the same numbers, or the race means nothing."""
    fields, info = ours
    assert bool(info.converged.all())
    for a, b in zip(fields, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=1e-300)
