"""Arriving information: V may be redrawn before every trade, so the market never finishes learning.

Each period

    1. with probability nu V is redrawn from mu_0, which only the informed see
    2. mu⁻ = (1−nu) mu + nu mu_0                                     (what the public believes now)
    3. bid and ask are the base model's at mu⁻
    4. one order, settled against the V now in force
    5. log-odds of mu = log-odds of mu⁻ ± log((1+alpha)/(1−alpha))                          (Bayes)

The state is the log-odds of mu, the belief after the last trade. E[mu'|mu] = (1−nu) mu + nu mu_0:
no martingale. nu = 0 is the base model, bit for bit; at nu = 1 quotes never move.

In an endless run of buys mu⁻ tends to the positive root of

    2 alpha y² + [nu((1+alpha)(1−mu_0) + (1−alpha) mu_0) − 2 alpha] y − nu (1−alpha) mu_0 = 0

and in one of sales to its mirror image. The spread falls with the distance of mu⁻ from one half, so
it never goes below the smaller of its values at these two.

Reference: the binary model of Glosten & Milgrom (1985), Journal of Financial Economics 14, 71–100,
with V a Markov chain, filtered as in Hamilton (1989), Econometrica 57, 357–384.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import binary_quotes, odds
from diffeq.glosten_milgrom import binary_value as base
from diffeq.glosten_milgrom.binary_value import BUY, SELL, Quotes
from diffeq.glosten_milgrom.redraw import chance_of, limit_of, mixed

__all__ = [
    "Params",
    "Residual",
    "Solution",
    "before_trade",
    "quotes",
    "residual",
    "solve",
    "spread",
    "update",
]


class Params(NamedTuple):
    """Parameters; the defaults are the example of the figures."""

    V_L: Any = 90.0
    """The low value, in price units; < V_H."""
    V_H: Any = 110.0
    """The high value, in price units."""
    mu_0: Any = 0.5
    """Probability that V = V_H at the start and whenever V is redrawn, in [0, 1]."""
    alpha: Any = 0.3
    """Probability that a trader is informed, in [0, 1]."""
    nu: Any = 0.05
    """Probability that V is redrawn before a trade, in [0, 1]."""


class Solution(NamedTuple):
    """The market before its first trade, and the limits between which it then moves; scalars."""

    bid: jax.Array
    """E[V | sale] at the first trade, in price units."""
    ask: jax.Array
    """E[V | purchase] at the first trade, in price units."""
    value: jax.Array
    """E[V], in price units."""
    spread: jax.Array
    """ask − bid at the first trade."""
    log_odds_buys: jax.Array
    """Log-odds of mu⁻ after an endless run of buys; +inf at nu = 0."""
    log_odds_sells: jax.Array
    """Log-odds of mu⁻ after an endless run of sales."""
    spread_buys: jax.Array
    """The spread there, after buys."""
    spread_sells: jax.Array
    """The spread there, after sales."""
    least_spread: jax.Array
    """The smaller of the two: no spread is ever below it."""
    info: Info
    """Whether the parameters lie in their domain and the limits are fixed points; the largest
    residual of zero profit and of the fixed points."""


class Residual(NamedTuple):
    """|lhs − rhs| over the largest term of each condition, of the shape of the log-odds."""

    ask: jax.Array
    """E[V | buy] = ask, at mu⁻"""
    bid: jax.Array
    """E[V | sell] = bid, at mu⁻"""
    drift: jax.Array
    """E[mu' | mu] = (1−nu) mu + nu mu_0, for the less likely value; the quotes never use it"""


# Learning


def before_trade(log_odds: Any, params: Params) -> jax.Array:
    """Log-odds of mu⁻ = (1−nu) mu + nu mu_0, of the shape of the log-odds: the quotes are there.

    Args:
      log_odds: of mu, the belief after the last trade, any shape (±inf is certainty).
      params: scalars.

    Reference: step 2 above.

    >>> round(float(odds.belief(before_trade(odds.log_odds(0.9), Params(mu_0=0.5, nu=0.25)))), 12)
    0.8
    """
    params = validated(params)
    return _before_trade(base.state(log_odds, params), params)


def update(log_odds: Any, order: Any, params: Params) -> jax.Array:
    """One period: log-odds after the next order, from those after the last.

    Args:
      log_odds: of mu, the belief after the last trade, any shape.
      order: +1 for a buy, −1 for a sale, any shape; they broadcast. A traced order of another code
        gives NaN.
      params: scalars.

    Returns:
      Log-odds of the broadcast shape: those of mu⁻ ± log((1+alpha)/(1−alpha)), ±inf at alpha = 1.

    Raises:
      ValueError, TypeError: an order that is neither +1 nor −1; a parameter out of domain.

    Reference: steps 2 and 5 above.
    """
    params, order = validated(params), validate.codes("order", order, (SELL, BUY))
    return _update(base.state(log_odds, params), jnp.asarray(order), params)


# The prices


def quotes(log_odds: Any, params: Params) -> Quotes:
    """Bid and ask for the next order, each of the shape of the log-odds: the base model's at mu⁻.

    Args:
      log_odds: of mu, the belief after the last trade, any shape.
      params: scalars.

    Reference: Glosten & Milgrom (1985).
    """
    params = validated(params)
    return _quotes(base.state(log_odds, params), params)


def spread(log_odds: Any, params: Params) -> jax.Array:
    """ask − bid for the next order, of the shape of the log-odds; arguments as :func:`quotes`."""
    params = validated(params)
    return _spread(base.state(log_odds, params), params)


def residual(quotes: Quotes, log_odds: Any, params: Params) -> Residual:
    """The conditions on the next order, scale-free: zero profit on each side, drift of the belief.

    Args:
      quotes: bid and ask to judge (anything with these two fields), of the log-odds' shape.
      log_odds: of mu, the belief after the last trade, any shape.
      params: scalars.

    Returns:
      :class:`Residual`; each entry 0 where the condition holds.
    """
    params = validated(params)
    at = base.state(log_odds, params)
    return _residual(base.judged(quotes, at), at, params)


def solve(params: Params) -> Solution:
    """The opening quotes, and the limits of belief and spread, in closed form.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable.

    Returns:
      :class:`Solution`, scalars. The limits are those reached from any belief but certainty. A lane
      with a parameter outside its domain is NaN in every value and derivative, with
      ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain, batched, or no number.

    Reference: the quadratic above.
    """
    return _solve(validated(params))


# The same on arrays of one dtype


def before_at(log_odds: jax.Array, params: Params) -> jax.Array:
    """:func:`before_trade` without validation."""
    return mixed(log_odds, params.nu, params.mu_0)


def update_at(log_odds: jax.Array, order: jax.Array, params: Params) -> jax.Array:
    """:func:`update` without validation; NaN for an order of another code."""
    known = (order == BUY) | (order == SELL)
    code = jnp.where(known, order, BUY).astype(log_odds.dtype)
    then = odds.bayes(before_at(log_odds, params), code, params.alpha)
    return jnp.where(known, then, jnp.nan)


def quotes_at(log_odds: jax.Array, params: Params) -> Quotes:
    """:func:`quotes` without validation."""
    return binary_quotes.quotes_at(odds.of(before_at(log_odds, params)), params)


def spread_at(log_odds: jax.Array, params: Params) -> jax.Array:
    """:func:`spread` without validation."""
    return binary_quotes.spread_at(odds.of(before_at(log_odds, params)), params)


def in_domain(params: Params) -> jax.Array:
    """Whether values are finite and ordered, and mu_0, alpha and nu in [0, 1]."""
    return base.in_domain(static(params)) & (params.nu >= 0) & (params.nu <= 1)


def static(params: Params) -> base.Params:
    """The base model's parameters."""
    return base.Params(*params[:4])


def validated(params: Params) -> Params:
    """The parameters as arrays of one dtype; raises if concrete and outside the domain."""
    params = validate.parameters(params, Params, probability=("mu_0", "alpha", "nu"))
    validate.increasing(params, "V_L", "V_H")
    return params


def _conditions(quotes: Quotes, log_odds: jax.Array, params: Params) -> Residual:
    nu, mu_0, before = params.nu, params.mu_0, before_at(log_odds, params)
    unfair = binary_quotes.residual_at(quotes, before, params)
    sign = jnp.where(before >= 0, -1, 1).astype(before.dtype)  # of the rarer value
    expected = jnp.zeros_like(before)
    for order in (BUY, SELL):
        then = odds.bayes(before, jnp.full_like(before, order), params.alpha)
        expected += chance_of(order, before, params.alpha) * odds.probability(sign * then)
    prior = jnp.where(before >= 0, 1 - mu_0, mu_0)
    kept = (1 - nu) * odds.probability(sign * log_odds) + nu * prior
    drift = jnp.abs(expected - kept) / jnp.where(kept > 0, kept, 1)
    return Residual(unfair.ask, unfair.bid, drift)


@jax.jit
def _solve(params: Params) -> Solution:
    opening = odds.of_prior(params.mu_0)
    found, value = binary_quotes.quotes_at(opening, params), binary_quotes.value_at(opening, params)
    spread = binary_quotes.spread_at(opening, params)
    gaps = list(binary_quotes.residual_at(found, odds.log_odds_of(params.mu_0), params)[:2])
    rates = params.mu_0, params.alpha, params.nu
    limits = limit_of(BUY, *rates), limit_of(SELL, *rates)
    after_buys, after_sales = (binary_quotes.spread_at(odds.of(x), params) for x in limits)
    for sign, limit in zip((BUY, SELL), limits, strict=True):
        order = jnp.full_like(limit, sign)
        again = mixed(odds.bayes(limit, order, params.alpha), params.nu, params.mu_0)
        moved = jnp.where(again == limit, 0, again - limit)  # both may be infinite
        gaps.append(jnp.abs(moved) / jnp.maximum(1, jnp.abs(limit)))
    residual = jnp.max(jnp.stack(gaps))
    ok = in_domain(params) & (residual <= float(jnp.finfo(residual.dtype).eps) ** 0.5)
    spreads = after_buys, after_sales, jnp.minimum(after_buys, after_sales)
    fields = *found, value, spread, *limits, *spreads
    return Solution(*poison(fields, ok, params), Info(ok, residual))


def _poisoned(of: Any) -> Any:
    """The function, its last argument params, jitted; NaN where they are outside their domain."""
    return jax.jit(lambda *args: poison(of(*args), in_domain(args[-1]), args[-1]))


_before_trade, _update = map(_poisoned, (before_at, update_at))
_quotes, _spread, _residual = map(_poisoned, (quotes_at, spread_at, _conditions))
