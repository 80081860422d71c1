"""The parameters of the market, their domain, and the solution's type."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq import auctions, two_pass, validate


class Params(NamedTuple):
    """Parameters; the defaults are the example of the figures."""

    sigma_v: Any = 2.5
    """Prior standard deviation of the value, > 0, in price units."""
    sigma_u: Any = 5.0
    """Standard deviation of noise orders over the whole day, > 0, in asset units."""
    num_insiders: Any = 2.0
    """M > 0, real: every equation is smooth in it. In float32 a lane above 1e12 is flagged."""
    p_0: Any = 100.0
    """Prior mean of the value, in price units."""


class Solution(auctions.Solution):
    """The equilibrium; fields as :class:`diffeq.auctions.Solution`."""

    __slots__ = ()


POSITIVE = ("sigma_v", "sigma_u", "num_insiders")


def validated(params: Params, num_auctions: int, spacing: Any) -> tuple[Params, Any]:
    """Parameters of one type and the lengths of the auctions, shape (N,); raises by name."""
    params = validate.parameters(params, Params, positive=POSITIVE)
    num_auctions = validate.count("num_auctions", num_auctions)
    return params, validate.spacing(spacing, num_auctions, params.sigma_v.dtype)


def in_domain(params: Params) -> jax.Array:
    """Whether a lane's parameters are; bool, scalar."""
    one = jnp.ones((1,), jnp.result_type(params.sigma_v))
    return two_pass.in_domain(two_pass.Market._make(params), one)
