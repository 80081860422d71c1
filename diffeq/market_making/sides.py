"""The fill rates of the two sides, made of whatever a user gives for them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.market_making.intensities import Exponential, Logistic, PowerLaw, as_pytree
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
    bid = as_pytree(sides[0], p.sigma.dtype)
    ask = bid if sides[1] is sides[0] else as_pytree(sides[1], p.sigma.dtype)
    return bid, ask


def check_sides(sides: tuple[Any, Any], gamma: Any) -> None:
    """Refuse concrete intensities for which no depth can be best.

    Raises:
      ValueError: a parameter of the wrong sign; a power law without a finite best depth; a rate
        that is seen to rise, or to be negative, at depths above 0.
    """
    for name, side in zip(("bid", "ask"), sides, strict=True):
        _check_parameters(side)
        if isinstance(side, PowerLaw) and _known(side.a, gamma) and side.a <= 1 and gamma == 0:
            raise ValueError(
                f"PowerLaw.a: expected > 1 where gamma = 0 (or objective='penalty'), got "
                f"{float(side.a)}: the deeper the quote, the better"
            )
        if not _known(*jax.tree.leaves(side)):
            continue
        with jax.ensure_compile_time_eval():
            rates = jax.vmap(side)(jnp.asarray(np.geomspace(1e-6, 1e6, 97)))
        if not _known(rates):  # it closes over a traced number
            continue
        seen = np.asarray(rates)[np.isfinite(rates)]
        level = seen.size > 0 and seen[0] == seen[-1] != 0
        if seen.size == 0 or level or (seen < 0).any() or (np.diff(seen) > 0).any():
            raise ValueError(
                f"intensity ({name}): expected a positive decreasing function of depth; at depths "
                f"1e-6..1e6 it is negative, rises, is level, or is nowhere finite: {side}"
            )


def _check_parameters(side: Any) -> None:
    """A ≥ 0, and what must be positive."""
    if not isinstance(side, Exponential | PowerLaw | Logistic):
        return
    for name, value in side._asdict().items():
        named = f"{type(side).__name__}.{name}"
        if np.ndim(value):
            raise ValueError(
                f"{named}: expected a scalar, got shape {np.shape(value)}; batch with jax.vmap"
            )
        if name == "A":
            validate.not_negative(named, value)
        elif isinstance(side, Logistic) and name == "d_0":
            validate.finite(named, value)
        else:
            validate.positive(named, value)


def _known(*values: Any) -> bool:
    return not any(isinstance(value, jax.core.Tracer) for value in values)


def on_both(f: Callable[..., Any], bid: tuple[Any, ...], ask: tuple[Any, ...]) -> tuple[Any, Any]:
    """f(*bid) and f(*ask): as a batch of two, compiled once, where they are of one kind."""
    if not _alike(bid, ask):
        return f(*bid), f(*ask)
    both = jax.vmap(lambda x: f(*x))(jax.tree.map(lambda b, a: jnp.stack([b, a]), bid, ask))
    return jax.tree.map(lambda x: x[0], both), jax.tree.map(lambda x: x[1], both)


def _alike(bid: Any, ask: Any) -> bool:
    """Whether two trees have one structure, and their leaves one shape."""
    b, a = (([jnp.shape(x) for x in jax.tree.leaves(y)], jax.tree.structure(y)) for y in (bid, ask))
    return b == a
