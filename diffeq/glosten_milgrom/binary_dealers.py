"""Competition against monopoly with a binary value: the monopolist at the corner.

In the market of :mod:`elastic` one dealer maximises, for the current belief and on each side, his
expected profit per arrival. On the ask side with z = (A − m)/s, k = (V_H − m)/s,

    profit(z)/s = (1−alpha) S(z) z − alpha mu (k − z)^+.

Its maximum over z ≥ 0 is one of three points:

    interior   z h(z) = 1 + alpha mu/((1−alpha) S(z)), z < k: the first root, as
               z f(z) − S(z) = alpha mu/(1−alpha) has two or none, the second a minimum;
    corner     A = V_H: the informed gain nothing, and the profit has a kink;
    beyond     z = x_M with x_M S'(x_M) + S(x_M) = 0, if x_M ≥ k: no informed trader buys, and he is
               a monopolist of the textbook.

Only an interior quote depends on alpha. At the corner it moves with V_H alone.

Reference: Glosten (1989), Journal of Business 62, 211–235, on the monopolist specialist.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import binary_quotes, elastic, odds, private_values
from diffeq.glosten_milgrom.elastic import Params
from diffeq.glosten_milgrom.lowest_quote import distances
from diffeq.glosten_milgrom.private_values import LAWS, Law
from solvers import root

__all__ = ["BEYOND", "CORNER", "INTERIOR", "ZERO_PROFIT", "Params", "Solution", "solve"]

ZERO_PROFIT, INTERIOR, CORNER, BEYOND = 0, 1, 2, 3
"""Where a quote sits."""


class Solution(NamedTuple):
    """The dealers' quotes at the prior; scalars, NaN where there is no market."""

    bid: jax.Array
    """The bid, in price units; V_L or below unless interior."""
    ask: jax.Array
    """The ask, in price units; V_H or above unless interior."""
    profit: jax.Array
    """Expected profit of all dealers per arrival, in price units; 0 in competition."""
    bid_at: jax.Array
    """Where the bid sits: ZERO_PROFIT, INTERIOR, CORNER or BEYOND; int32."""
    ask_at: jax.Array
    """Where the ask sits; int32."""
    info: Info
    """converged: in the domain and solved; residual: of the interior or zero-profit conditions."""


def solve(params: Params, *, num_dealers: int, noise: str = "normal") -> Solution:
    """The quotes of one dealer, or of two and more, at the prior mu_0.

    Args:
      params: of :mod:`elastic`, scalars; batch with ``jax.vmap``. Every leaf is differentiable;
        where the best point changes its kind the quote jumps.
      num_dealers: ≥ 1; from 2 on it does not matter how many.
      noise: law of the private values, "normal" or "logistic", both of scale s.

    Returns:
      :class:`Solution`. At alpha = 1, where nobody is uninformed, outside the domain, and for a
      competitive side that is closed, NaN in value and derivative, ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain, batched, or no number.

    Reference: the conditions above.

    >>> int(solve(Params(alpha=0.3, s=10.0), num_dealers=1).ask_at) == CORNER
    True
    """
    params = elastic.validated(params)
    private_values.law(noise)
    if validate.count("num_dealers", num_dealers) == 1:
        return _monopoly(params, noise)
    return _competition(params, noise)


@partial(jax.jit, static_argnames="noise")
def _competition(params: Params, noise: str) -> Solution:
    at = elastic.market(odds.of_prior(params.mu_0), params, noise)
    mu, alpha = params.mu_0, params.alpha
    ask_side = (1 - alpha) * at.acceptance_ask * (at.ask - at.value)
    bid_side = (1 - alpha) * at.acceptance_bid * (at.value - at.bid)
    lost = mu * (params.V_H - at.ask) + (1 - mu) * (at.bid - params.V_L)
    where = jnp.full((), ZERO_PROFIT, jnp.int32)
    return Solution(at.bid, at.ask, ask_side + bid_side - alpha * lost, where, where, at.info)


@partial(jax.jit, static_argnames="noise")
def _monopoly(params: Params, noise: str) -> Solution:
    at, law = odds.of_prior(params.mu_0), LAWS[noise]
    m, s = binary_quotes.value_at(at, params), params.s
    empty = params.alpha >= 1
    alpha = jnp.where(empty, 0.5, params.alpha)
    chances, lengths = (jnp.stack(x) for x in zip(*distances(at, params), strict=True))
    best = jax.vmap(lambda mu, k: _best(alpha, mu, k, law))(chances, lengths / s)
    (ask_at, bid_at), (up, down) = best.at, best.z
    ok = elastic.in_domain(params) & ~empty & jnp.all(best.solved)
    A = jnp.where(ask_at == CORNER, params.V_H, m + s * up)
    B = jnp.where(bid_at == CORNER, params.V_L, m - s * down)
    fields = poison((B, A, s * jnp.sum(best.profit)), ok, params)
    return Solution(*fields, bid_at, ask_at, Info(ok, jnp.max(best.residual)))


class Best(NamedTuple):
    """The best quote of one side."""

    z: jax.Array
    """its distance from the mean over s"""
    profit: jax.Array
    """expected per arrival, over s"""
    at: jax.Array
    """INTERIOR, CORNER or BEYOND"""
    solved: jax.Array
    """bool"""
    residual: jax.Array
    """of the condition on z; 0 at the corner"""


def _best(alpha: jax.Array, mu: jax.Array, k: jax.Array, law: Law) -> Best:
    """The best of the three points."""

    def profit(z: jax.Array) -> jax.Array:
        return (1 - alpha) * law.survival(z) * z - alpha * mu * jnp.maximum(k - z, 0)

    last = _last(law, k)
    ratio = alpha * mu / (1 - alpha)
    # where maximum and minimum meet in a double root, without derivative, the corner is better
    exists = _excess(last, ratio, law) > 16 * float(jnp.finfo(k.dtype).eps)
    ratios = jnp.stack([jnp.zeros_like(ratio), jnp.where(exists, ratio, 0)])
    (textbook, inside), info = jax.vmap(
        lambda ratio: root.bracketed(lambda z, r: _excess(z, r, law), 0.7, last, ratio)
    )(ratios)
    beyond = k <= textbook
    interior = ~beyond & exists & (inside < k) & (profit(inside) >= profit(k))
    where = jnp.where(beyond, BEYOND, jnp.where(interior, INTERIOR, CORNER)).astype(jnp.int32)
    z = jnp.where(beyond, textbook, jnp.where(interior, inside, k))
    worst = jnp.where(where == CORNER, 0, jnp.max(info.residual))
    return Best(z, profit(z), where, jnp.all(info.converged), lax.stop_gradient(worst))


def _excess(z: jax.Array, ratio: jax.Array, law: Law) -> jax.Array:
    """Log of the two sides' ratio in z h(z) = 1 + ratio/S(z), ratio = alpha mu/(1−alpha)."""
    return jnp.log(z * law.hazard(z)) - jnp.log1p(ratio / law.survival(z))


def _last(law: Law, like: jax.Array) -> jax.Array:
    """Where z f(z) − S(z) is largest: 2 + elasticity of f = 0, between .7 and 4."""
    z, _ = root.bracketed(
        lambda z, _: 2 + law.hazard_elasticity(z) - z * law.hazard(z), 0.7, 4.0, like, num_steps=24
    )
    return z.astype(like.dtype)
