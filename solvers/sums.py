"""Sums of many terms that lose no digits."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


@jax.custom_jvp
def cumulative(x: jax.Array) -> jax.Array:
    """Cumulative sums along the first axis by Kahan's algorithm: 10 000 terms cost no digits.

    The derivative is the plain sum of the derivatives.

    >>> cumulative(jnp.asarray([1.0, 2.0, 3.0])).tolist()
    [1.0, 3.0, 6.0]
    """

    def add(before: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        total, lost = before
        x = x - lost
        after = total + x
        return (after, (after - total) - x), after

    zero = jnp.zeros(x.shape[1:], x.dtype)
    return lax.scan(add, (zero, zero), x)[1]


@cumulative.defjvp
def _cumulative_jvp(primals: Any, tangents: Any) -> Any:
    def add(total: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return total + x, total + x

    (x,), (x_dot,) = primals, tangents
    return cumulative(x), lax.scan(add, jnp.zeros(x_dot.shape[1:], x_dot.dtype), x_dot)[1]
