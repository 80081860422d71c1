"""The fill rates of the two sides, made of whatever a user gives for them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from diffeq.market_making.intensities import Exponential
from diffeq.market_making.model import Problem

Intensities = Callable[[Any], Any] | tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""An intensity for both sides, or (bid, ask)."""


def by_side(intensity: Intensities | None, p: Problem) -> tuple[Any, Any]:
    """The intensities of bid and ask as pytrees called with a scalar depth.

    None stands for the exponential with the parameters' A and k. What a function closes over
    becomes its leaves: differentiable, and no reason to compile again.
    """
    if intensity is None:
        return Exponential(p.A_b, p.k_b), Exponential(p.A_a, p.k_a)
    pair: Any = isinstance(intensity, tuple) and not callable(intensity)
    sides: tuple[Any, ...] = tuple(intensity) if pair else (intensity, intensity)  # type: ignore[arg-type]
    if len(sides) != 2 or not all(callable(side) for side in sides):
        raise ValueError(
            f"intensity: expected a function of a depth or (bid, ask) of them, got {intensity!r}"
        )
    bid, ask = (_as_pytree(side, p.sigma.dtype) for side in sides)
    return bid, ask


def _as_pytree(intensity: Any, dtype: Any) -> Any:
    leaves, tree = jax.tree.flatten(intensity)
    if len(leaves) != 1 or leaves[0] is not intensity:
        return jax.tree.unflatten(tree, [jnp.asarray(leaf, dtype) for leaf in leaves])
    converted, closed_over = jax.closure_convert(intensity, jnp.zeros((), dtype))
    if not closed_over:
        return jax.tree_util.Partial(intensity)
    return jax.tree_util.Partial(_constants_first(converted), *closed_over)


def _constants_first(converted: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: converted(arguments[-1], *arguments[:-1])
