"""The parameters of Kyle and Holden–Subrahmanyam on one footing, and their domain."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq.validate import sum_tolerance

Fields = tuple[jax.Array, ...]


class Market(NamedTuple):
    """Parameters of Kyle and Holden–Subrahmanyam on one footing; scalars."""

    sigma_v: Any
    """Prior standard deviation of the value, > 0."""
    sigma_u: Any
    """Standard deviation of noise orders over the day, > 0."""
    num_insiders: Any
    """M > 0."""
    p_0: Any
    """Prior mean: moves no field, but where a lane fails its derivative is NaN too."""


def in_domain(params: Market, dt: jax.Array) -> jax.Array:
    """Whether parameters and spacing are finite, positive where they must be, and sum to one.

    Args:
      params: scalars, or lanes.
      dt: auctions along the first axis; lanes, if any, along a second.
    """
    total = jnp.abs(jnp.sum(dt, axis=0) - 1) <= sum_tolerance(dt.dtype)
    ok = total & jnp.isfinite(params.p_0)
    for positive in (*params[:3], jnp.min(dt, axis=0)):
        # a subnormal number may be flushed to 0 in what follows
        ok &= jnp.isfinite(positive) & (positive >= jnp.finfo(dt.dtype).tiny)
    return ok
