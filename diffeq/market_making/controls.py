"""What a risk manager imposes on any policy: an inventory limit, a least spread, a stop loss."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.market_making.approximations import Depths
from diffeq.market_making.model import inventories


class Controls(NamedTuple):
    """Risk controls; the defaults impose nothing."""

    limit: Any = np.inf
    """A side is not quoted that would take |q| beyond this."""
    least_spread: Any = 0.0
    """Depths are widened alike, where their sum is below this, in price units."""
    stop_loss: Any = np.inf
    """No more quotes, for good, once marked-to-market profit has fallen to −stop_loss, in money."""


def controlled(policy: Any, controls: Controls) -> Depths:
    """The policy as a hard limit and a least spread leave it: for its exact moments, for one.

    Args:
      policy: anything with ``delta_b`` and ``delta_a``, shape (m, 2Q + 1).
      controls: :class:`Controls`; a stop loss, no function of (t, q), is not applied.

    Returns:
      :class:`~.approximations.Depths` of the same shape; NaN where a traced control is not ≥ 0.

    Raises:
      ValueError: a control that is no number ≥ 0.

    >>> from diffeq.market_making.approximations import fixed
    >>> policy = fixed(0.5, max_inventory=2, times=[0.0, 1.0])
    >>> controlled(policy, Controls(limit=1, least_spread=2.0)).delta_b[0].tolist()
    [0.25, 1.0, 1.0, inf, inf]
    """
    b, a = (jnp.asarray(validate.array(x, getattr(policy, x))) for x in ("delta_b", "delta_a"))
    return limited(b, a, checked_controls(controls, b.dtype))


def limited(delta_b: jax.Array, delta_a: jax.Array, controls: Controls) -> Depths:
    """Hard limit and least spread on tables of shape (m, n); NaN where a control is not ≥ 0."""
    q = inventories(delta_b.shape[1] // 2, delta_b.dtype)[None]
    good = jnp.all(jnp.stack(controls) >= 0)
    widened = jnp.maximum(controls.least_spread - (delta_b + delta_a), 0) / 2
    widened = jnp.where(good, widened, jnp.nan)
    return Depths(
        jnp.where(good & (q + 1 > controls.limit), jnp.inf, delta_b + widened),
        jnp.where(good & (q - 1 < -controls.limit), jnp.inf, delta_a + widened),
    )


def checked_controls(controls: Controls | None, dtype: Any) -> Controls:
    """The controls as arrays.

    Raises:
      ValueError: a concrete one that is no number ≥ 0.
    """
    limits = Controls() if controls is None else controls
    for name, value in zip(Controls._fields, limits, strict=True):
        if not isinstance(value, jax.core.Tracer) and not float(value) >= 0:
            raise ValueError(f"Controls.{name}: expected a number ≥ 0, got {value}")
    return Controls(*(jnp.asarray(x, dtype) for x in limits))
