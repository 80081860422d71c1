"""The fold of a market with elastic uninformed demand: where its low quote vanishes.

As alpha grows past alpha*, the lowest two of three zero-profit asks (see :mod:`elastic`) meet and
vanish, and the ask jumps to the third, next to V_H. With R(A) = alpha/(1−alpha) at zero profit,

    R(A) = S((A−m)/s)(A−m) / (mu (V_H−A)),

alpha*/(1−alpha*) is R's first local maximum. There the quote has an infinite derivative in every
parameter; alpha* and the ask at it have finite ones.

Reference: Glosten & Milgrom (1985), section 2, on the closing of the market.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import binary_quotes, elastic, odds, private_values
from diffeq.glosten_milgrom.elastic import Params
from diffeq.glosten_milgrom.lowest_quote import distances, logit_curve, turning_points

__all__ = ["Fold", "Params", "fold"]

SIDES = "ask", "bid"


class Fold(NamedTuple):
    """Where the low quote of a side vanishes as alpha grows; scalars, NaN where it never does."""

    alpha: jax.Array
    """The largest alpha with that low quote."""
    quote: jax.Array
    """The quote there, in price units."""
    acceptance: jax.Array
    """Probability that an uninformed trader takes it."""
    info: Info
    """converged: there is a fold; residual: of zero profit at it."""


def fold(params: Params, *, side: str = "ask", noise: str = "normal") -> Fold:
    """The alpha at which the low ask (or bid) vanishes; beyond it the quote jumps.

    It is the first local maximum over A of R(A) = S((A−m)/s)(A−m) / (mu (V_H−A)), where
    alpha/(1−alpha) = R; it needs (V_H−m)/s above 2.27, logistic 4.39. As the quote itself has no
    derivative there, this is the way to differentiate the point.

    Args:
      params: scalars; alpha does not enter. Differentiable in every other leaf.
      side: "ask" or "bid".
      noise: law of the private values, "normal" or "logistic", both of scale s.

    Returns:
      :class:`Fold`; NaN in value and derivative, ``info.converged`` False, where there is none.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain or batched; another side.

    Reference: Glosten & Milgrom (1985), section 2.

    >>> round(float(fold(Params(s=2.0)).alpha), 10)
    0.0749071365
    """
    params = elastic.validated(params)
    private_values.law(noise)
    return _fold(params, validate.option("side", side, SIDES), noise)


@partial(jax.jit, static_argnames=("side", "noise"))
def _fold(params: Params, side: str, noise: str) -> Fold:
    law, at = private_values.LAWS[noise], odds.of_prior(params.mu_0)
    rare, distance = distances(at, params)[SIDES.index(side)]
    k = distance / params.s
    turns = turning_points(k, law)
    ok = elastic.in_domain(params) & turns.exist & (rare > 0)
    k, rare = jnp.where(ok, k, 10), jnp.where(ok, rare, 0.5)
    z = jnp.where(ok, turns.z, 1)
    log_R = logit_curve(z, k, law) - jnp.log(rare)
    alpha, away = jax.nn.sigmoid(log_R), distance * z / k
    price = binary_quotes.value_at(at, params) + (away if side == "ask" else -away)
    S = law.survival(z)
    gain, loss = (1 - alpha) * S * z, alpha * rare * (k - z)
    worst = jnp.abs(gain - loss) / jnp.maximum(gain, loss)
    return Fold(*poison((alpha, price, S), ok, params), Info(ok, worst))
