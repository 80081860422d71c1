"""The fill rates of the two sides, made of whatever a user gives for them."""

from collections.abc import Callable
from typing import Any

from diffeq.market_making.intensities import Exponential, as_pytree
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
    bid, ask = (as_pytree(side, p.sigma.dtype) for side in sides)
    return bid, ask
