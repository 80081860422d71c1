"""Quotes and beliefs in closed form: what a competitive market maker posts for one more trade.

V is V_H with probability mu, else V_L. The next trader is informed with probability alpha and then
buys iff V = V_H; otherwise buys or sells with chance one half. Zero profit on each side gives

    ask = E[V | buy]  = [mu(1+alpha) V_H + (1−mu)(1−alpha) V_L] / (1 + alpha(2mu−1))
    bid = E[V | sell] = [mu(1−alpha) V_H + (1−mu)(1+alpha) V_L] / (1 − alpha(2mu−1))

and each order moves the log-odds of mu by ± log((1+alpha)/(1−alpha)). The state is the log-odds:
mu itself saturates after some 60 net buys in float64. Everything is written in the odds of the less
likely value, e = exp(−|log-odds|), so that nothing cancels for log-odds in [−700, 700] (float32:
[−80, 80]); beyond, the rarer value counts as impossible.

At the ends: alpha = 0, no spread and no learning; alpha = 1, bid = V_L and ask = V_H; mu in {0, 1},
both are the certain value, also at alpha = 1, where the formulas are 0/0. The quote midpoint is
E[V] only at mu = 1/2.

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, 71–100; in this binary form
O'Hara (1995), Market Microstructure Theory, section 3.3.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import odds
from diffeq.glosten_milgrom.binary_quotes import (
    BUY,
    SELL,
    Quotes,
    Residual,
    quotes_at,
    residual_at,
    spread_at,
    value_at,
)

__all__ = [
    "BUY",
    "SELL",
    "Params",
    "Quotes",
    "Residual",
    "Solution",
    "expected_value",
    "log_odds_step",
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
    """Prior probability that V = V_H, in [0, 1]."""
    alpha: Any = 0.3
    """Probability that a trader is informed, in [0, 1]."""


class Solution(NamedTuple):
    """The market before its first trade, at the prior mu_0; scalars."""

    bid: jax.Array
    """E[V | sale], in price units."""
    ask: jax.Array
    """E[V | purchase], in price units."""
    value: jax.Array
    """E[V], in price units."""
    spread: jax.Array
    """ask − bid, without its cancellation."""
    info: Info
    """Whether the parameters lie in their domain; the largest zero-profit residual."""


def solve(params: Params) -> Solution:
    """The opening quotes, in closed form.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable; with respect to mu_0
        at its ends 0 and 1 too.

    Returns:
      :class:`Solution`, scalars. A lane with a parameter outside its domain is NaN in every value
      and derivative, with ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain, batched, or no number.

    Reference: Glosten & Milgrom (1985).

    >>> [round(float(x), 12) for x in solve(Params())[:4]]
    [97.0, 103.0, 100.0, 6.0]
    """
    return _solve(validated(params))


@jax.jit
def _solve(params: Params) -> Solution:
    at = odds.of_prior(params.mu_0)
    found = quotes_at(at, params)
    fields = *found, value_at(at, params), spread_at(at, params)
    residual = jnp.maximum(*residual_at(found, odds.log_odds_of(params.mu_0), params)[:2])
    ok = in_domain(params)
    return Solution(*poison(fields, ok, params), Info(ok, residual))


# Learning


def log_odds_step(params: Params) -> jax.Array:
    """log((1+alpha)/(1−alpha)): how far one order moves the log-odds; scalar.

    At alpha = 1 it is +inf, the flag of a market that one order reveals: see :func:`update`.
    """
    return odds.step_of(validated(params).alpha)


def update(log_odds: Any, order: Any, params: Params) -> jax.Array:
    """Bayes: the log-odds after an order, log_odds ± step.

    Args:
      log_odds: before the order, any shape.
      order: +1 for a buy, −1 for a sale, any shape; they broadcast. A traced order of another code
        gives NaN.
      params: scalars.

    Returns:
      Log-odds of the broadcast shape. Certainty stays: ±inf is left by no order. At alpha = 1 one
      order reveals V and the result is ±inf; a contrary order, impossible there, leaves it.

    Raises:
      ValueError: an order that is neither +1 nor −1.

    Reference: Glosten & Milgrom (1985); O'Hara (1995), section 3.3.

    >>> round(float(odds.belief(update(0.0, 1, Params(alpha=0.3)))), 12)
    0.65
    """
    params, order = validated(params), validate.codes("order", order, (SELL, BUY))
    return _update(state(log_odds, params), order, params)


@jax.jit
def _update(log_odds: jax.Array, order: jax.Array, params: Params) -> jax.Array:
    known = (order == BUY) | (order == SELL)
    code = jnp.where(known, order, BUY).astype(log_odds.dtype)
    moved = odds.bayes(log_odds, code, params.alpha)
    return poison(jnp.where(known, moved, jnp.nan), in_domain(params), params)


# The prices


def quotes(log_odds: Any, params: Params) -> Quotes:
    """Bid and ask at a belief, in closed form.

    Args:
      log_odds: of mu, any shape (±inf is certainty); see :func:`~odds.log_odds`.
      params: scalars; mu_0 does not enter.

    Returns:
      :class:`Quotes`, each of the shape of the log-odds, to 1e-14 for log-odds in [−700, 700] in
      float64. Differentiable in everything; NaN where a traced parameter is outside its domain.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain, batched, or no number.

    Reference: Glosten & Milgrom (1985); the formulas above the module.

    >>> [float(x) for x in quotes(0.0, Params(V_L=90.0, V_H=110.0, alpha=0.5))]
    [95.0, 105.0]
    """
    params = validated(params)
    return _quotes(state(log_odds, params), params)


def spread(log_odds: Any, params: Params) -> jax.Array:
    """ask − bid = 4 alpha mu(1−mu)(V_H−V_L) / (1 − alpha²(2mu−1)²), of the log-odds' shape.

    To 1e-14 also where it is far below a rounding of the prices. Arguments as :func:`quotes`.

    >>> float(spread(0.0, Params(alpha=0.3)))  # alpha (V_H − V_L) at mu = 1/2
    6.0
    """
    params = validated(params)
    return _spread(state(log_odds, params), params)


def expected_value(log_odds: Any, params: Params) -> jax.Array:
    """E[V] = mu V_H + (1−mu) V_L, of the shape of the log-odds; arguments as :func:`quotes`."""
    params = validated(params)
    return _value(state(log_odds, params), params)


def residual(quotes: Quotes, log_odds: Any, params: Params) -> Residual:
    """The equilibrium conditions at a belief, scale-free: zero profit on each side, martingale.

    Args:
      quotes: bid and ask to judge (anything with these two fields), of the log-odds' shape.
      log_odds: of mu, any shape.
      params: scalars.

    Returns:
      :class:`Residual`; each entry 0 where the condition holds. The conditions are evaluated from
      joint probabilities of order and value, not from the closed forms.

    Reference: Glosten & Milgrom (1985), Propositions 1 and 2.
    """
    params = validated(params)
    at = state(log_odds, params)
    return _checked_residual(judged(quotes, at), at, params)


# Arguments


def in_domain(params: Params) -> jax.Array:
    """Whether values are finite and ordered, and mu_0 and alpha in [0, 1]."""
    V_L, V_H, mu_0, alpha = params
    ordered = jnp.isfinite(V_L) & jnp.isfinite(V_H) & (V_L < V_H)
    return ordered & (mu_0 >= 0) & (mu_0 <= 1) & (alpha >= 0) & (alpha <= 1)


def validated(params: Params) -> Params:
    """The parameters as arrays of one dtype; raises if concrete and outside the domain."""
    params = validate.parameters(params, Params, probability=("mu_0", "alpha"))
    validate.increasing(params, "V_L", "V_H")
    return params


def state(log_odds: Any, params: Any = ()) -> jax.Array:
    """The log-odds as an array of the parameters' dtype."""
    if log_odds is None:
        raise TypeError("log_odds: expected numbers, got None")
    log_odds = validate.array("log_odds", log_odds)
    leaves = jax.tree.leaves(params)
    dtype = leaves[0].dtype if leaves else jnp.result_type(float, log_odds)
    return jnp.asarray(log_odds, dtype)


def judged(quotes: Any, log_odds: jax.Array) -> Quotes:
    """Bid and ask that a caller wants judged, as arrays of the log-odds' dtype and shape."""
    prices = []
    for name in Quotes._fields:
        price = validate.array(f"quotes.{name}", getattr(quotes, name))
        if np.shape(price) != log_odds.shape:
            raise ValueError(
                f"quotes.{name}: expected the log-odds' shape {log_odds.shape}, "
                f"got {np.shape(price)}"
            )
        prices.append(jnp.asarray(price, log_odds.dtype))
    return Quotes(*prices)


def _poisoned(of: Any) -> Any:
    """The function, its last argument params, jitted; NaN where they are outside their domain."""
    return jax.jit(lambda *args: poison(of(*args), in_domain(args[-1]), args[-1]))


def _at(of: Any) -> Any:
    """A function of a belief, as one of its log-odds."""
    return lambda log_odds, params: of(odds.of(log_odds), params)


_quotes, _spread, _value = (_poisoned(_at(of)) for of in (quotes_at, spread_at, value_at))
_checked_residual = _poisoned(residual_at)
