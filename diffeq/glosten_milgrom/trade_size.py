"""Trade size as information: small and large orders at their own prices.

Orders have size S_1 or S_2 > S_1. Uninformed traders (probability 1−alpha) buy or sell with chance
one half, and are large with probability b whatever V is. Informed ones buy iff V = V_H, sell iff
V = V_L, large with the probability psi that makes both sizes earn the same,

    S_2 (V_H − A_2) = S_1 (V_H − A_1)                                              (indifference)

or always large where large still earns more: pooling and separating, of which each side of the
market has its own. With u_2 = (1−alpha)b/2, u_1 = (1−alpha)(1−b)/2 and, for the bids, 1−mu for mu,

    A_2 = V_H − (V_H−V_L)(1−mu)u_2/(mu alpha psi + u_2),  A_1 likewise with 1−psi, u_1    (ask)
    psi = min(1, [S_2 u_2 mu alpha + u_1 u_2 (S_2−S_1)] / [mu alpha (S_1 u_1 + S_2 u_2)])
    separating iff S_2/S_1 ≥ 1 + 2 alpha mu/((1−alpha) b)

evaluated by :mod:`~diffeq.glosten_milgrom.informed_size`, without cancellation. A purchase or sale
is a quantity here: the trader earns size · (V − price).

The functions of ``log_odds`` hold where an event is certain, event_probability = 1; with less, the
belief has a third outcome (:mod:`~diffeq.glosten_milgrom.event_uncertainty`). :func:`solve` opens
the market in both cases.

Reference: Easley & O'Hara (1987), Journal of Financial Economics 19, 69–90, section 2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import binary_value, informed_size, odds
from diffeq.glosten_milgrom.informed_size import (
    ORDERS,
    Belief,
    Quotes,
    Residual,
    conditions,
    order_probability,
    poisoned,
    quotes_at,
)

__all__ = [
    "ORDERS",
    "Params",
    "Quotes",
    "Residual",
    "Solution",
    "quotes",
    "residual",
    "solve",
    "update",
]


class Params(NamedTuple):
    """Parameters."""

    V_L: Any = 90.0
    """The low value, in price units; < V_H."""
    V_H: Any = 110.0
    """The high value, in price units."""
    mu_0: Any = 0.5
    """Prior probability that V = V_H given an event, in [0, 1]; without one V is the prior mean."""
    alpha: Any = 0.3
    """Probability that a trader is informed, given an event, in [0, 1]."""
    b: Any = 0.2
    """Probability that an uninformed order is large, in [0, 1]."""
    S_1: Any = 1.0
    """The small size, > 0."""
    S_2: Any = 2.0
    """The large size, > S_1."""
    event_probability: Any = 1.0
    """Prior probability that there is something to know, in [0, 1]."""


class Solution(NamedTuple):
    """The market before its first trade; scalars."""

    bid_1: jax.Array
    """E[V | small sale], in price units."""
    bid_2: jax.Array
    """E[V | large sale], in price units."""
    ask_1: jax.Array
    """E[V | small purchase], in price units."""
    ask_2: jax.Array
    """E[V | large purchase], in price units."""
    psi_bid: jax.Array
    """P(large | informed sale)."""
    psi_ask: jax.Array
    """P(large | informed purchase)."""
    separating_bid: jax.Array
    """bool: separating at the bid, else pooling."""
    separating_ask: jax.Array
    """bool: separating at the ask, else pooling."""
    info: Info
    """Whether the parameters lie in their domain; the largest residual."""


def solve(params: Params) -> Solution:
    """The opening quotes, in closed form.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable, at the ends of the
        probabilities from inside; where the regimes meet the derivative is the separating one's.

    Returns:
      :class:`Solution`. A lane with a parameter outside its domain is NaN in every value and
      derivative, with ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain, batched, or no number.

    Reference: Easley & O'Hara (1987), Propositions 1 to 3.

    >>> solution = solve(Params())
    >>> round(float(solution.ask_1), 4), round(float(solution.ask_2), 4)
    (101.6, 105.8)
    """
    return _solve(validated(params))


@jax.jit
def _solve(params: Params) -> Solution:
    mu, event = params.mu_0, params.event_probability
    at = Belief(1 - event, event * (1 - mu), event * mu)
    found = quotes_at(at, params)
    ok = in_domain(params)
    residual = jnp.max(jnp.stack(conditions(found, at, params)))
    return Solution(**poisoned(found, ok, params)._asdict(), info=Info(ok, residual))


def quotes(log_odds: Any, params: Params) -> Quotes:
    """The four quotes at a belief, an event being certain; closed form.

    Args:
      log_odds: of mu, any shape (±inf is certainty).
      params: scalars with event_probability 1; mu_0 does not enter.

    Returns:
      :class:`Quotes`, of the shape of the log-odds; good for log-odds in [−700, 700] in float64,
      [−80, 80] in float32. NaN where a traced parameter is out of domain or event_probability < 1,
      and at NaN log-odds.

    Raises:
      ValueError, TypeError: as :func:`solve`; a concrete event_probability below 1.

    >>> [round(float(x), 4) for x in quotes(0.0, Params())[:4]]
    [98.4, 94.2, 101.6, 105.8]
    """
    params = _certain_event(params)
    return _quotes(_state(log_odds, params), params)


@jax.jit
def _quotes(log_odds: jax.Array, params: Params) -> Quotes:
    ok = in_domain(params) & (params.event_probability == 1) & ~jnp.isnan(log_odds)
    return poisoned(quotes_at(_belief(log_odds), params), ok, params)


def update(log_odds: Any, order: Any, params: Params) -> jax.Array:
    """Bayes: the log-odds after an order, an event being certain.

    Args:
      log_odds: before the order, any shape.
      order: ±1 small, ±2 large, + a purchase, any shape; they broadcast. A traced order of another
        code gives NaN.
      params: scalars with event_probability 1; mu_0 does not enter.

    Returns:
      Log-odds of the broadcast shape, plus log(1 + alpha psi/u_2) after a large purchase and
      log(1 + alpha (1−psi)/u_1) after a small one; mirrored for sales. Certainty (±inf) stays.

    Raises:
      ValueError, TypeError: as :func:`quotes`; an order of another code.

    >>> round(float(odds.belief(update(0.0, 2, Params()))), 5)  # ask_2 = 90 + 20 · 0.79
    0.79
    """
    params, order = _certain_event(params), validate.codes("order", order, ORDERS)
    at, order = jnp.broadcast_arrays(_state(log_odds, params), jnp.asarray(order))
    return _update(at, order, params)


@jax.jit
def _update(log_odds: jax.Array, order: jax.Array, params: Params) -> jax.Array:
    known = (jnp.abs(order) == 1) | (jnp.abs(order) == 2)
    ok = in_domain(params) & (params.event_probability == 1)
    return poison(jnp.where(known, _after(log_odds, order, params), jnp.nan), ok, params)


def _after(log_odds: jax.Array, order: jax.Array, params: Params) -> jax.Array:
    tilt = informed_size.tilt_of(order, *informed_size.sides(_belief(log_odds), params))
    rest = 1 - params.alpha
    step = jnp.log1p(tilt / jnp.where(rest > 0, rest, 1))
    step = jnp.where((rest <= 0) & (tilt > 0), jnp.inf, step)
    sign = jnp.where(order > 0, 1, -1).astype(log_odds.dtype)
    return odds.learnt(log_odds, sign, step, tilt, rest)


def residual(quotes: Any, log_odds: Any, params: Params) -> Residual:
    """The equilibrium conditions at a belief, an event being certain; scale-free.

    Args:
      quotes: what to judge: a :class:`Quotes` or anything with its fields, of the log-odds' shape.
      log_odds: of mu, any shape.
      params: scalars with event_probability 1.

    Returns:
      :class:`Residual`; the conditions are evaluated from joint probabilities of order and value.

    Reference: Easley & O'Hara (1987), Propositions 1 and 2.
    """
    params = _certain_event(params)
    at = _state(log_odds, params)
    return _residual(as_quotes(quotes, at.shape), at, params)


@jax.jit
def _residual(found: Quotes, log_odds: jax.Array, params: Params) -> Residual:
    at = _belief(log_odds)
    chances = [order_probability(order, found, at, params) for order in ORDERS]
    then = [_after(log_odds, jnp.full(log_odds.shape, order), params) for order in ORDERS]
    gap = jnp.zeros_like(at.low)
    for sign, now in ((1, at.high), (-1, at.low)):
        expected = sum(p * odds.probability(sign * x) for p, x in zip(chances, then, strict=True))
        gap = jnp.maximum(gap, jnp.abs(expected - now) / jnp.where(now > 0, now, 1))
    ok = in_domain(params) & (params.event_probability == 1)
    return poison(Residual(*conditions(found, at, params), martingale=gap), ok, params)


# Arguments


def in_domain(params: Params) -> jax.Array:
    """Whether values and sizes are finite and ordered, and probabilities in [0, 1]."""
    V_L, V_H, _, _, _, S_1, S_2, _ = params
    ok = jnp.isfinite(V_L) & jnp.isfinite(V_H) & (V_L < V_H) & (S_1 > 0) & (S_1 < S_2)
    for p in (params.mu_0, params.alpha, params.b, params.event_probability):
        ok &= (p >= 0) & (p <= 1)
    return ok & jnp.isfinite(S_2)


def validated(params: Params) -> Params:
    """The parameters as arrays of one dtype; raises if concrete and outside the domain."""
    probability = ("mu_0", "alpha", "b", "event_probability")
    params = validate.parameters(params, Params, positive=("S_1", "S_2"), probability=probability)
    validate.increasing(params, "V_L", "V_H")
    validate.increasing(params, "S_1", "S_2")
    return Params(*map(jnp.asarray, params))


def as_quotes(quotes: Any, shape: tuple[int, ...]) -> Quotes:
    """The fields of :class:`Quotes`, each checked to be of the belief's shape."""
    for name in Quotes._fields:
        got = np.shape(getattr(quotes, name))
        if got != shape:
            raise ValueError(f"quotes.{name}: expected the belief's shape {shape}, got {got}")
    return Quotes(*(jnp.asarray(getattr(quotes, name)) for name in Quotes._fields))


def _certain_event(params: Params) -> Params:
    params = validated(params)
    event = params.event_probability
    if not isinstance(event, jax.core.Tracer) and float(event) != 1:
        raise ValueError(
            f"trade_size.Params.event_probability: expected 1 where the state is log-odds, got "
            f"{float(event):.12g}; use event_uncertainty, whose belief has a third outcome"
        )
    return params


def _state(log_odds: Any, params: Params) -> jax.Array:
    return binary_value.state(log_odds, params)


def _belief(log_odds: jax.Array) -> Belief:
    mu, rest = odds.probability(log_odds), odds.probability(-log_odds)
    return Belief(jnp.zeros_like(mu), rest, mu)
