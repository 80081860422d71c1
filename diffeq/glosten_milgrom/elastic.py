"""Uninformed traders who mind the price: they trade if their private value is beyond the quote.

As in the base model a trader is informed with probability alpha; she buys iff V > ask and sells iff
V < bid. Otherwise his private value is zeta = m + s·eps, m = E[V | public], eps normal or logistic
with survival function S: he buys iff zeta > ask, sells iff zeta < bid, else does not trade. Zero
profit on each side, the bid b below m,

    (1−alpha) S((A−m)/s) (A−m) = alpha mu (V_H − A),     (1−alpha) S(b/s) b = alpha(1−mu)(m−V_L−b),

may have three roots; competition picks the lowest (see :mod:`lowest_quote`). A purchase moves the
log-odds by log(1 + alpha/((1−alpha) S_ask)), a sale by −log(1 + alpha/((1−alpha) S_bid)). A trader
who does not trade is uninformed: the belief stays.

The larger s, the less he minds: s → ∞ is the base model, and quotes differ from it by O(1/s). With
small s the quote keeps off so many of them that it nears V_H: where it is V_H to a rounding, that
side of the market is closed. The low ask can vanish in a fold (:mod:`folds`): quotes then jump.

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, 71–100, sections 2 and 3.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import binary_quotes, odds, private_values
from diffeq.glosten_milgrom import binary_value as base
from diffeq.glosten_milgrom.lowest_quote import Quote, distances, lowest_quotes
from diffeq.glosten_milgrom.odds import Odds

__all__ = [
    "BUY",
    "NO_TRADE",
    "SELL",
    "Params",
    "Residual",
    "Solution",
    "quotes",
    "residual",
    "solve",
    "update",
]

BUY, SELL, NO_TRADE = base.BUY, base.SELL, 0
"""Order codes."""


class Params(NamedTuple):
    """Parameters; the defaults are the reference example."""

    V_L: Any = 90.0
    """The low value, in price units; < V_H."""
    V_H: Any = 110.0
    """The high value, in price units."""
    mu_0: Any = 0.5
    """Prior probability that V = V_H, in [0, 1]."""
    alpha: Any = 0.3
    """Probability that a trader is informed, in [0, 1]."""
    s: Any = 10.0
    """Scale of the uninformed private values, in price units; > 0."""


class Solution(NamedTuple):
    """The market at one belief; scalars. A closed side is NaN, the other side is not."""

    bid: jax.Array
    """The highest zero-profit bid, in price units."""
    ask: jax.Array
    """The lowest zero-profit ask, in price units."""
    value: jax.Array
    """m = E[V], in price units."""
    spread: jax.Array
    """ask − bid, without its cancellation."""
    acceptance_bid: jax.Array
    """Probability that an uninformed trader sells."""
    acceptance_ask: jax.Array
    """Probability that an uninformed trader buys: S((ask − m)/s)."""
    step_down: jax.Array
    """How far a sale lowers the log-odds; > 0."""
    step_up: jax.Array
    """How far a purchase raises the log-odds; > 0."""
    num_bids: jax.Array
    """Zero-profit bids between V_L and m: 1 or 3; int32, counted on a closed side too."""
    num_asks: jax.Array
    """Zero-profit asks between m and V_H: 1 or 3; int32."""
    bid_closed: jax.Array
    """bool: the bid is V_L to a rounding."""
    ask_closed: jax.Array
    """bool: the ask is V_H to a rounding."""
    info: Info
    """converged: in the domain, both sides open and solved; residual: of zero profit."""


class Residual(NamedTuple):
    """|lhs − rhs| over the largest term of each condition; scalars."""

    ask: jax.Array
    """E[V | buy at ask] = ask: zero profit on a sale by the market maker"""
    bid: jax.Array
    """E[V | sell at bid] = bid"""
    martingale: jax.Array
    """E[mu' | mu] = mu over buy, sale and no trade, for the rarer value; the quotes never use it"""


def solve(params: Params, *, noise: str = "normal") -> Solution:
    """The market before its first trade, at the prior mu_0.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable, with respect to mu_0
        at its ends 0 and 1 too. In a fold the derivative is infinite.
      noise: law of the private values, "normal" or "logistic", both of scale s.

    Returns:
      :class:`Solution`, scalars. Outside the domain every value and derivative is NaN and
      ``info.converged`` False; so is a closed side alone, and then ``info.converged`` is False too.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain, batched, or no number.

    Reference: Glosten & Milgrom (1985).

    >>> round(float(solve(Params()).ask), 10)
    103.7790467654
    """
    params = validated(params)
    private_values.law(noise)
    return _solve(params, noise)


def quotes(log_odds: Any, params: Params, *, noise: str = "normal") -> Solution:
    """The market at a belief.

    Args:
      log_odds: of mu, scalar; ±inf is certainty, where both quotes are the certain value. Beyond
        ±700 (float32: ±80) the rarer value counts as impossible.
      params: scalars; mu_0 does not enter.
      noise: as in :func:`solve`.

    Returns, raises: as :func:`solve`. Traced NaN log-odds give NaN.

    Reference: Glosten & Milgrom (1985).
    """
    params = validated(params)
    private_values.law(noise)
    return _quotes(_state(log_odds, params), params, noise)


def update(log_odds: Any, order: Any, params: Params, *, noise: str = "normal") -> jax.Array:
    """Bayes: the log-odds after an order at the quotes of this belief.

    Args:
      log_odds: before the order, scalar.
      order: +1 for a buy, −1 for a sale, 0 for no trade; scalar. A traced other code gives NaN.
      params: scalars.
      noise: as in :func:`solve`.

    Returns:
      Log-odds, scalar. No trade leaves them, certainty stays, and a trade on a closed side is NaN.

    Raises:
      ValueError: an order of another code, or not a scalar.

    >>> update(0.5, 0, Params()).item()
    0.5
    """
    params = validated(params)
    private_values.law(noise)
    order = validate.codes("order", order, (SELL, NO_TRADE, BUY))
    if np.shape(order) != ():
        raise ValueError(f"order: expected a scalar, got {np.shape(order)}; use jax.vmap")
    return _update(_state(log_odds, params), order, params, noise)


def residual(quotes: Any, log_odds: Any, params: Params, *, noise: str = "normal") -> Residual:
    """The equilibrium conditions at a belief, scale-free: zero profit on each side, martingale.

    Args:
      quotes: the two prices to judge, fields ``bid`` and ``ask``, scalars.
      log_odds: of mu, scalar.
      params: scalars.
      noise: as in :func:`solve`.

    Returns:
      :class:`Residual`, each entry 0 where the condition holds, evaluated from joint probabilities
      of order and value at these prices.

    Reference: Glosten & Milgrom (1985), Propositions 1 and 2.
    """
    params = validated(params)
    private_values.law(noise)
    at = _state(log_odds, params)
    return _residual(base.judged(quotes, at), at, params, noise)


# The cores


@partial(jax.jit, static_argnames="noise")
def _solve(params: Params, noise: str) -> Solution:
    return market(odds.of_prior(params.mu_0), params, noise)


@partial(jax.jit, static_argnames="noise")
def _quotes(log_odds: jax.Array, params: Params, noise: str) -> Solution:
    return market(odds.of(log_odds), params, noise)


def market(belief: Odds, params: Params, noise: str) -> Solution:
    """:func:`quotes` without validation."""
    domain = in_domain(params) & ~jnp.isnan(belief.rarer)
    sides = (mu, above), (_, below) = distances(belief, params)
    ask, bid = lowest_quotes(sides, params, private_values.LAWS[noise])
    m, alpha, moving = binary_quotes.value_at(belief, params), params.alpha, (mu, params)

    def price_of(quote: Quote, distance: jax.Array, sign: int) -> tuple[jax.Array, ...]:
        step = jnp.log1p(alpha * jnp.exp(quote.w) / (1 - alpha))
        fields = m + sign * distance * quote.share, jnp.exp(-quote.w), step
        return poison(fields, domain & quote.ok, moving)

    A, accept_ask, up = price_of(ask, above, +1)
    B, accept_bid, down = price_of(bid, below, -1)
    ok = domain & ask.ok & bid.ok
    spread = poison(above * ask.share + below * bid.share, ok, moving)
    value = poison(m, domain, moving)
    worst = jnp.maximum(ask.residual, bid.residual)
    return Solution(
        B, A, value, spread, accept_bid, accept_ask, down, up,
        bid.num_roots, ask.num_roots, domain & bid.closed, domain & ask.closed, Info(ok, worst),
    )  # fmt: skip


@partial(jax.jit, static_argnames="noise")
def _update(log_odds: jax.Array, order: jax.Array, params: Params, noise: str) -> jax.Array:
    known = (order == BUY) | (order == SELL) | (order == NO_TRADE)
    at = market(odds.of(log_odds), params, noise)
    sells = order == SELL
    step = jnp.where(sells, at.step_down, at.step_up)
    rest = (1 - params.alpha) * jnp.where(sells, at.acceptance_bid, at.acceptance_ask)
    sign = jnp.where(sells, -1, 1).astype(log_odds.dtype)
    moved = odds.learnt(log_odds, sign, step, params.alpha, rest)
    moved = jnp.where(order == NO_TRADE, log_odds, moved)
    return poison(jnp.where(known, moved, jnp.nan), in_domain(params), params)


@partial(jax.jit, static_argnames="noise")
def _residual(quotes: base.Quotes, log_odds: jax.Array, params: Params, noise: str) -> Residual:
    alpha, m = params.alpha, binary_quotes.value_at(odds.of(log_odds), params)
    S = private_values.LAWS[noise].survival
    mu, rest = odds.probability(log_odds), odds.probability(-log_odds)
    buys = (1 - alpha) * S((quotes.ask - m) / params.s)
    sells = (1 - alpha) * S((m - quotes.bid) / params.s)

    def unfair(price: jax.Array, if_high: jax.Array, if_low: jax.Array) -> jax.Array:
        high, low = mu * if_high, rest * if_low
        terms = jnp.stack([high * params.V_H, low * params.V_L, -(high + low) * price])
        scale = jnp.max(jnp.abs(terms))
        return jnp.abs(jnp.sum(terms)) / jnp.where(scale > 0, scale, 1)

    # of the rarer value, so that neither 1−mu nor a belief near one cancels
    rarer, sign = jnp.minimum(mu, rest), jnp.where(log_odds >= 0, -1, 1)
    expected = (1 - alpha - buys - sells) * rarer
    for order, noise_trades in ((BUY, buys), (SELL, sells)):
        step = jnp.log1p(alpha / jnp.where(noise_trades > 0, noise_trades, 1))
        then = odds.probability(sign * odds.after(log_odds, jnp.array(order), step))
        chance = alpha * (mu if order == BUY else rest) + noise_trades
        expected += chance * then
    fields = Residual(
        ask=unfair(quotes.ask, alpha + buys, buys),
        bid=unfair(quotes.bid, sells, alpha + sells),
        martingale=jnp.abs(expected - rarer) / jnp.where(rarer > 0, rarer, 1),
    )
    return poison(fields, in_domain(params), params)


def in_domain(params: Params) -> jax.Array:
    """Whether values are finite and ordered, mu_0 and alpha in [0, 1], s finite and positive."""
    ordered = base.in_domain(base.Params(*params[:4])) & jnp.isfinite(params.s) & (params.s > 0)
    return ordered & jnp.isfinite((params.V_H - params.V_L) / params.s)


def validated(params: Params) -> Params:
    """The parameters as arrays of one dtype; raises if concrete and outside the domain."""
    params = validate.parameters(params, Params, positive=("s",), probability=("mu_0", "alpha"))
    validate.increasing(params, "V_L", "V_H")
    return params


def _state(log_odds: Any, params: Params) -> jax.Array:
    """The log-odds as a scalar of the parameters' dtype."""
    state = base.state(log_odds, params)
    if state.shape != ():
        raise ValueError(f"log_odds: expected a scalar, got {state.shape}; use jax.vmap")
    return state
