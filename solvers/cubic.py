"""The real root of a cubic that lies in a given bracket.

The closed (trigonometric) formula cancels and has NaN derivatives where roots meet or where a
batch mixes cases; so the root is selected by its bracket, polished there, and differentiated
implicitly.
"""

import jax
import jax.numpy as jnp

from solvers.root import RootInfo, bracketed


def root_between(
    coefficients: tuple[jax.typing.ArrayLike, ...] | jax.Array,
    low: jax.typing.ArrayLike,
    high: jax.typing.ArrayLike,
    *,
    num_steps: int | None = None,
) -> tuple[jax.Array, RootInfo]:
    """Root of c₃x³ + c₂x² + c₁x + c₀ between ``low`` and ``high``, with its derivative.

    Args:
      coefficients: (c₃, c₂, c₁, c₀), four scalars; leading zeros are allowed.
      low: lower end of the bracket; the cubic has opposite signs (or zero) at the two ends.
      high: upper end.
      num_steps: see :func:`solvers.root.bracketed`, which also defines what is flagged.

    Returns:
      ``(x, info)``.
    """
    return bracketed(
        lambda x, c: jnp.polyval(jnp.stack(c), x),
        low,
        high,
        tuple(jnp.asarray(c) for c in coefficients),
        num_steps=num_steps,
    )
