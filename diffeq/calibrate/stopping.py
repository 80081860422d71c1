"""When a descent is over: the gradient is small, or rounding hides what is left to gain."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["at_floor", "converged", "nothing", "rounding", "roundings"]

_Array = np.ndarray[Any, Any]

_PROMISED = 1e-3  # of log-likelihood: 0.045 standard errors


def converged(
    loss: jax.Array,
    gradient: jax.Array,
    scale: jax.Array,
    direction: jax.Array,
    accepted: jax.Array,
    tolerance: jax.Array,
    *,
    likelihood: bool = False,
) -> jax.Array:
    """Whether the gradient is small, whatever the units of the loss.

    Either max|g_i| ≤ tolerance · |loss|: the elasticities of the loss with respect to the
    parameters; for a log-likelihood the quasi-Newton step must also promise next to nothing, else
    a parameter that few of much data speak of would stop standard errors short. Or, for a loss that
    goes to zero as in a perfect fit, the quasi-Newton step (the gradient measured by the curvature)
    moves no coordinate by more than the tolerance, or loss and gradient are tolerance² of the
    largest loss on the way (at most 1/tolerance: a wild start must not excuse a poor end), as when
    a parameter runs to its edge.

    Args:
        loss: at the point.
        gradient: there, (d,).
        scale: largest |loss| accepted so far.
        direction: the quasi-Newton step from there, (d,).
        accepted: accepted steps since the last start along the gradient.
        tolerance: of the fit.
        likelihood: whether the loss is a negative log-likelihood, whose unit means something.
    """
    largest, size = jnp.max(jnp.abs(gradient)), jnp.abs(loss)
    flat = largest <= tolerance * size
    if likelihood:
        promised = -jnp.vdot(gradient, direction) / 2
        flat &= (accepted <= 2) | (promised <= jnp.maximum(tolerance, _PROMISED))
    gone = jnp.maximum(largest, size) <= tolerance**2 * jnp.minimum(scale, 1 / tolerance)
    short = (accepted > 2) & (jnp.max(jnp.abs(direction)) <= tolerance)
    return flat | short | gone


def nothing(loss: float, scale: float, tolerance: float, epsilon: float) -> float:
    """The change of the loss that a finished fit counts as none, by the same rules."""
    relative = max(tolerance, 10 * epsilon) * abs(loss)
    return relative + tolerance**2 * min(scale, 1 / tolerance)


def roundings(loss: float, factor: _Array, u: _Array, epsilon: float) -> float:
    """How far rounding moves a sum of squares along a valley that is flat for good.

    Residuals that carry a rounding of each coordinate, J_i u_i ε, add 2 |r| |J_i u_i| ε to r'r.

    Args:
        loss: r'r.
        factor: R with R'R = J'J, (m, d).
        u: the coordinates, (d,).
        epsilon: of the dtype.
    """
    moved = np.linalg.norm(np.nan_to_num(factor), axis=0) * np.maximum(np.abs(u), 1)
    return float(2 * np.sqrt(loss) * epsilon * moved.sum())


def at_floor(
    loss: jax.Array, gradient: jax.Array, slope: jax.Array, accepted: jax.Array
) -> jax.Array:
    """Whether rounding, not a wrong gradient, explains that the loss goes no lower.

    Either the quadratic model of L-BFGS promises a decrease, −slope / 2, within rounding; or the
    gradient is of the order √ε · |loss| that an error ε · |loss| in the loss can hide.
    """
    modelled = (accepted > 1) & (-slope / 2 <= rounding(loss))
    hidden = 10 * float(np.finfo(loss.dtype).eps) ** 0.5 * jnp.abs(loss)
    return modelled | (jnp.max(jnp.abs(gradient)) <= hidden)


def rounding(loss: jax.Array) -> jax.Array:
    """A change of the loss too small to be told from rounding."""
    return 10 * float(np.finfo(loss.dtype).eps) * jnp.abs(loss)
