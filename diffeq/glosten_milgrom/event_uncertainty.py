"""Trade size where it is uncertain that there is anything to know (event_probability < 1).

The belief is over three outcomes: no event, in which V is its prior mean and every trader is
uninformed; V low; V high. An order is then news of two kinds, of an event at all and of its sign: a
small order, if the market separates, speaks against an event and moves the price towards the prior
mean. The state is the vector (log P(none), log P(low), log P(high)).

Equations as in :mod:`~diffeq.glosten_milgrom.informed_size`; with P(none) = 0 they are those of
:mod:`~diffeq.glosten_milgrom.trade_size`, whose ``Params`` and quotes these are.

Reference: Easley & O'Hara (1987), Journal of Financial Economics 19, 69–90, section 3.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import poison
from diffeq.glosten_milgrom import informed_size, trade_size
from diffeq.glosten_milgrom.informed_size import ORDERS, Belief, Quotes, Residual
from diffeq.glosten_milgrom.trade_size import Params, in_domain, validated


class OrderProbabilities(NamedTuple):
    """P(the next order), scalars; they sum to one."""

    sell_2: jax.Array
    """A large sale."""
    sell_1: jax.Array
    """A small sale."""
    buy_1: jax.Array
    """A small purchase."""
    buy_2: jax.Array
    """A large purchase."""


def log_probabilities(params: Params) -> jax.Array:
    """The prior log(1−event, event (1−mu_0), event mu_0), shape (3,): none, low, high.

    >>> [round(float(x), 6) for x in jnp.exp(log_probabilities(Params(event_probability=0.6)))]
    [0.4, 0.3, 0.3]
    """
    return _prior(validated(params))


@jax.jit
def _prior(params: Params) -> jax.Array:
    mu, event = params.mu_0, params.event_probability
    outcomes = jnp.stack([1 - event, event * (1 - mu), event * mu])
    return poison(jnp.log(outcomes), in_domain(params), params)


def quotes(log_probabilities: Any, params: Params) -> Quotes:
    """The four quotes at a belief, in closed form.

    Args:
      log_probabilities: none, low, high, shape (3,), −inf where impossible; they are normalised.
      params: scalars; mu_0 enters by the value without an event, event_probability does not enter.

    Returns:
      :class:`~trade_size.Quotes`, scalars; NaN where a traced parameter is outside its domain, or
      the belief is none (NaN, +inf, or −inf for all three).

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain or batched, or another shape.

    Reference: Easley & O'Hara (1987), section 3.
    """
    params = validated(params)
    return _quotes(_state(log_probabilities, params), params)


@jax.jit
def _quotes(state: jax.Array, params: Params) -> Quotes:
    at = _belief(state)
    found = informed_size.quotes_at(at, params)
    return informed_size.poisoned(found, _ok(state, params), (params, at))


def expected_value(log_probabilities: Any, params: Params) -> jax.Array:
    """E[V] at a belief, scalar, in price units; arguments as :func:`quotes`."""
    params = validated(params)
    return _value(_state(log_probabilities, params), params)


@jax.jit
def _value(state: jax.Array, params: Params) -> jax.Array:
    at, mu = _belief(state), params.mu_0
    low, high = at.low + at.none * (1 - mu), at.high + at.none * mu
    return poison(low * params.V_L + high * params.V_H, _ok(state, params), (params, at))


def order_probabilities(log_probabilities: Any, params: Params) -> OrderProbabilities:
    """The market maker's probability of each next order; arguments as :func:`quotes`."""
    params = validated(params)
    return _chances(_state(log_probabilities, params), params)


@jax.jit
def _chances(state: jax.Array, params: Params) -> OrderProbabilities:
    at = _belief(state)
    found = informed_size.quotes_at(at, params)
    chances = [informed_size.order_probability(order, found, at, params) for order in ORDERS]
    return OrderProbabilities(*poison(chances, _ok(state, params), (params, at)))


def update(log_probabilities: Any, order: Any, params: Params) -> jax.Array:
    """Bayes: log-probabilities after an order, shape (3,), normalised.

    Args:
      log_probabilities: before the order, shape (3,); they are normalised.
      order: scalar; ±1 small, ±2 large, + a purchase. A traced order of another code gives NaN.
      params: scalars.

    Returns:
      The likelihoods of a large purchase are b/2, (1−alpha)b/2 and alpha psi + (1−alpha)b/2, all
      divided by b/2 here; of a small one with 1−b and 1−psi; of a sale with low and high swapped.
      An order that no possible outcome explains teaches nothing. Where alpha = 1 an order may
      exclude an outcome, whose log-probability has no derivative then: NaN.

    Raises:
      ValueError, TypeError: as :func:`quotes`; an order of another code.

    Reference: Easley & O'Hara (1987), section 3.
    """
    params, order = validated(params), validate.codes("order", order, ORDERS)
    if np.shape(order) != ():
        raise ValueError(f"order: expected a scalar, got shape {np.shape(order)}; use jax.vmap")
    return _update(_state(log_probabilities, params), jnp.asarray(order), params)


@jax.jit
def _update(state: jax.Array, order: jax.Array, params: Params) -> jax.Array:
    known = (jnp.abs(order) == 1) | (jnp.abs(order) == 2)
    then = _after(state, order, params)
    moving = params, _belief(state)
    return poison(jnp.where(known, then, jnp.nan), _ok(state, params), moving)


def _after(state: jax.Array, order: jax.Array, params: Params) -> jax.Array:
    tilt = informed_size.tilt_of(order, *informed_size.sides(_belief(state), params))
    rest, buys = 1 - params.alpha, order > 0
    low = rest + jnp.where(buys, 0, tilt)
    high = rest + jnp.where(buys, tilt, 0)
    likelihood = jnp.stack([jnp.ones_like(low), low, high])
    moved = state + jnp.log(likelihood)
    moved = jnp.where(jnp.any(moved > -jnp.inf), moved, state)
    return moved - jax.nn.logsumexp(moved)


def residual(quotes: Any, log_probabilities: Any, params: Params) -> Residual:
    """The equilibrium conditions at a belief, scale-free.

    Args:
      quotes: what to judge: a :class:`~trade_size.Quotes` or anything with its fields, scalars.
      log_probabilities: shape (3,); they are normalised.
      params: scalars.

    Returns:
      :class:`~trade_size.Residual`; evaluated from joint probabilities of order and outcome.

    Reference: Easley & O'Hara (1987), Propositions 1 to 3.
    """
    params = validated(params)
    return _residual(trade_size.as_quotes(quotes, ()), _state(log_probabilities, params), params)


@jax.jit
def _residual(found: Quotes, state: jax.Array, params: Params) -> Residual:
    at = _belief(state)
    now, expected = jnp.stack(at), jnp.zeros_like(state)
    for order in ORDERS:
        chance = informed_size.order_probability(order, found, at, params)
        expected += chance * jnp.exp(_after(state, jnp.array(order), params))
    gap = jnp.max(jnp.abs(expected - now) / jnp.where(now > 0, now, 1))
    conditions = informed_size.conditions(found, at, params)
    return poison(Residual(*conditions, gap), _ok(state, params), (params, at))


def _ok(state: jax.Array, params: Params) -> jax.Array:
    """In the domain, and the state the logs of a belief: none NaN or +inf, some above −inf."""
    return in_domain(params) & jnp.isfinite(jnp.max(state))


def _belief(state: jax.Array) -> Belief:
    return Belief(*jax.nn.softmax(state))


def _state(log_probabilities: Any, params: Params) -> jax.Array:
    at = validate.array("log_probabilities", log_probabilities)
    if np.shape(at) != (3,):
        raise ValueError(
            "log_probabilities: expected shape (3,), of no event, low and high, "
            f"got {np.shape(at)}; use jax.vmap for a batch"
        )
    return jnp.asarray(at, params.V_L.dtype)
