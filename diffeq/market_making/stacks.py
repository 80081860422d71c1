"""Parameters of several regimes or assets: a first axis to those that differ, none to the rest."""

from typing import Any

import jax
import jax.numpy as jnp

from diffeq.market_making.rate_table import Tabulated


def has_axis(x: Any) -> bool:
    """Whether x, a number, an array or a list, has a first axis."""
    return isinstance(x, list | tuple) or jnp.ndim(x) > 0


def entry(x: Any, name: str, i: int, count: int) -> Any:
    """Entry i of x along its first axis, of length ``count``; x itself if it has no axis.

    Raises:
      ValueError: a first axis of another length.
    """
    if callable(x) or not has_axis(x):
        return x
    if len(x) != count:
        raise ValueError(
            f"{name}: expected a scalar or a first axis of length {count}, got length {len(x)}"
        )
    return x[i]


def intensity_of(intensity: Any, i: int, count: int) -> Any:
    """Entry i of every field of an intensity, or of a pair of them; a function is itself.

    Fields of a table have an axis of their own, which the first axis stands before.
    """

    def is_axis(x: Any) -> bool:
        return type(x) in (list, tuple) and not any(callable(part) for part in x)

    def field(x: Any) -> Any:
        return entry(x, "intensity", i, count)

    def own(x: Any) -> Any:
        if isinstance(x, Tabulated):
            return Tabulated(*(field(values) if jnp.ndim(values) > 1 else values for values in x))
        return field(x)

    return jax.tree.map(own, intensity, is_leaf=lambda x: is_axis(x) or isinstance(x, Tabulated))


def stacked(trees: list[Any]) -> Any:
    """One tree with a first axis; of the first one's structure (functions are the same in all)."""
    leaves = zip(*map(jax.tree.leaves, trees), strict=True)
    return jax.tree.unflatten(jax.tree.structure(trees[0]), [jnp.stack(x) for x in leaves])
