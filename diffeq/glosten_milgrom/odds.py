"""Beliefs as log-odds: log(mu/(1−mu)), which an order moves by a constant and never saturates.

Probabilities and expectations are computed from the odds of the less likely value, e =
exp(−|log-odds|) ≤ 1, so that nothing cancels or overflows however certain the belief is.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq import validate


class Odds(NamedTuple):
    """A belief, by the odds of the less likely value; of any one shape."""

    rarer: jax.Array
    """e ≤ 1."""
    high_likelier: jax.Array
    """bool: V_H is the likelier value, e the odds of V_L."""


def log_odds(mu: Any) -> jax.Array:
    """log(mu/(1−mu)), of the shape of mu; ±inf at 1 and 0.

    The derivative there is a large number instead of infinite, such that quotes at these log-odds
    still have their exact one-sided derivative in mu (the first: ``solve`` has them all).

    Args:
      mu: P(V = V_H), in [0, 1], any shape. NaN where a traced one is outside.

    Raises:
      TypeError, ValueError: not numbers, or concrete and outside [0, 1].

    Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14.

    >>> float(log_odds(0.5))
    0.0
    """
    mu = validate.array("mu", mu)
    validate.unit_interval("mu", mu)
    result: jax.Array = _log_odds(jnp.asarray(mu, jnp.result_type(float, mu)))
    return result


def belief(log_odds: Any) -> jax.Array:
    """mu = P(V = V_H) = 1/(1 + exp(−log_odds)), of the shape of the log-odds.

    Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14.
    """
    at = validate.array("log_odds", log_odds)
    if at is None:
        raise TypeError("log_odds: expected numbers, got None")
    result: jax.Array = _belief(jnp.asarray(at, jnp.result_type(float, at)))
    return result


def probability(log_odds: jax.Array) -> jax.Array:
    """:func:`belief` without validation; of −log_odds it is 1−mu, without cancellation."""
    e = rarer_odds(log_odds)
    return jnp.where(log_odds >= 0, 1, e) / (1 + e)


def of(log_odds: jax.Array) -> Odds:
    """The belief of these log-odds."""
    return Odds(rarer_odds(log_odds), log_odds >= 0)


def of_prior(mu: jax.Array) -> Odds:
    """The belief mu; with the derivatives of every order, at 0 and 1 too."""
    high_likelier, rest = mu >= 0.5, 1 - mu
    rarer = jnp.where(high_likelier, rest, mu) / jnp.where(high_likelier, mu, rest)
    return Odds(rarer, high_likelier)


def chances(at: Odds) -> tuple[jax.Array, jax.Array]:
    """mu and 1−mu, without cancellation."""
    e, high_likelier = at
    return jnp.where(high_likelier, 1, e) / (1 + e), jnp.where(high_likelier, e, 1) / (1 + e)


def posterior(at: Odds, if_high: jax.Array, if_low: jax.Array) -> tuple[jax.Array, jax.Array]:
    """P(likelier value | event), P(rarer value | event), the event's likelihoods given.

    An event that is impossible under the likelier value, itself certain, teaches nothing: 0/0 is
    the prior.
    """
    e, high_likelier = at
    likelier = jnp.where(high_likelier, if_high, if_low)
    rarer = e * jnp.where(high_likelier, if_low, if_high)
    total = likelier + rarer
    possible = total != 0  # NaN stays NaN
    # the larger from the smaller, so that its slope does not cancel
    contrary = rarer > likelier
    less = over(jnp.where(contrary, likelier, rarer), jnp.where(possible, total, 1))
    more = 1 - less
    return jnp.where(contrary, less, more), jnp.where(contrary, more, less)


def odds_given(at: Odds, if_high: jax.Array, if_low: jax.Array) -> Odds:
    """The belief after an event of these likelihoods."""
    e, high_likelier = at
    high, low = if_high * jnp.where(high_likelier, 1, e), if_low * jnp.where(high_likelier, e, 1)
    possible = high + low != 0
    high_rarer = jnp.where(possible, high < low, ~high_likelier)
    less, more = jnp.where(high_rarer, high, low), jnp.where(high_rarer, low, high)
    return Odds(jnp.where(possible, over(less, jnp.where(possible, more, 1)), 0), ~high_rarer)


def mean(
    at: Odds, if_high: jax.Array, if_low: jax.Array, V_L: jax.Array, V_H: jax.Array
) -> jax.Array:
    """E[V | event], the event's likelihoods given."""
    likelier, rarer = posterior(at, if_high, if_low)
    usual, other = (jnp.where(x, V_H, V_L) for x in (at.high_likelier, ~at.high_likelier))
    return likelier * usual + rarer * other


def after(log_odds: jax.Array, net_buys: jax.Array, step: jax.Array) -> jax.Array:
    """Log-odds after that many buys, net of sales; certainty stays, and 0·inf counts as 0."""
    still = jnp.isinf(log_odds) | (net_buys == 0)
    move = jnp.where(still, 0, net_buys) * jnp.where(still & jnp.isinf(step), 0, step)
    return log_odds + move.astype(log_odds.dtype)


def step_of(alpha: jax.Array) -> jax.Array:
    """log((1+alpha)/(1−alpha)), the log-odds' move per order; +inf at alpha = 1."""
    return jnp.log1p(alpha) - log_rest(alpha)


def log_rest(p: jax.Array) -> jax.Array:
    """log(1−p) to a rounding or two; XLA's log1p(−p) is a hundred off just below p = sqrt 2 − 1."""
    small = p < 0.25
    return jnp.where(small, jnp.log1p(-jnp.where(small, p, 0)), jnp.log(1 - p))


@jax.custom_jvp
def over(x: jax.Array, y: jax.Array) -> jax.Array:
    """x/y, its derivative without 1/y², which overflows for beliefs near certainty."""
    return x / y


@over.defjvp
def _over_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (move_x, move_y) = primals, tangents
    ratio = over(x, y)
    return ratio, over(move_x - ratio * move_y, y)


# Derivatives at certainty. d ask/d mu = (d ask/d log-odds)(d log-odds/d mu) is 0·inf there; with
# reciprocal numbers for the two, the product is exact.


def _slope(log_odds: jax.Array, e: jax.Array) -> jax.Array:
    """e as a slope: above the subnormals, and at certainty a number whose products are too.

    float64: 1e-306 and 1e-231; float32: 1e-36 and 1e-28.
    """
    tiny = float(jnp.finfo(log_odds.dtype).tiny)
    return jnp.where(jnp.isinf(log_odds), tiny**0.75, jnp.maximum(e, 64 * tiny))


@jax.custom_jvp
def rarer_odds(log_odds: jax.Array) -> jax.Array:
    """exp(−|log_odds|), the odds of the less likely value."""
    return jnp.exp(-jnp.abs(log_odds))


@rarer_odds.defjvp
def _rarer_odds_jvp(primals: Any, tangents: Any) -> Any:
    (at,), (move,) = primals, tangents
    e = rarer_odds(at)
    slope = _slope(at, e)
    return e, jnp.where(at >= 0, -slope, slope) * move


@jax.custom_jvp
def log_odds_of(mu: jax.Array) -> jax.Array:
    """:func:`log_odds` without validation; NaN outside [0, 1]."""
    middle = jnp.abs(mu - 0.5) < 0.25
    x = jnp.where(middle, 2 * mu - 1, 0)  # exact; the two logs would cancel at even odds
    return jnp.where(middle, jnp.sign(x) * step_of(jnp.abs(x)), jnp.log(mu) - log_rest(mu))


@log_odds_of.defjvp
def _log_odds_jvp(primals: Any, tangents: Any) -> Any:
    (mu,), (move,) = primals, tangents
    at = log_odds_of(mu)
    return at, move / _slope(at, mu * (1 - mu))


@jax.custom_jvp
def log_ratio(mu: jax.Array, rest: jax.Array) -> jax.Array:
    """Log-odds log(mu/(1−mu)) where 1−mu is known too, without its cancellation."""
    return jnp.log(mu) - jnp.log(rest)


@log_ratio.defjvp
def _log_ratio_jvp(primals: Any, tangents: Any) -> Any:
    (mu, rest), (move, opposite) = primals, tangents
    at, by_mu = log_ratio(mu, rest), rest * move - mu * opposite
    return at, by_mu / _slope(at, mu * rest)


def slope_of(log_odds: jax.Array) -> jax.Array:
    """d mu/d log-odds = mu(1−mu)."""
    e = rarer_odds(log_odds)
    return _slope(log_odds, e / (1 + e) ** 2)


def slope_over_square(log_odds: jax.Array, chance: jax.Array) -> jax.Array:
    """:func:`slope_of` over chance², a square that may underflow."""
    e = _slope(log_odds, rarer_odds(log_odds))
    return e / chance * (1 / ((1 + e) ** 2 * chance))


def bayes(log_odds: jax.Array, order: jax.Array, alpha: jax.Array) -> jax.Array:
    """Log-odds after one order, +1 or −1 (floats), of the model of :mod:`.binary_value`."""
    return learnt(log_odds, order, step_of(alpha), 2 * alpha, 1 - alpha)


@jax.custom_jvp
def learnt(
    log_odds: jax.Array, order: jax.Array, step: jax.Array, tilt: jax.Array, rest: jax.Array
) -> jax.Array:
    """Log-odds after one order, +1 or −1 (floats): :func:`after` by one step.

    Its likelihood is rest + tilt under the value it speaks for, rest under the other, and the step
    log(1 + tilt/rest). Derivatives go by these two, and are exact, as those of a probability, also
    where the belief is certain before the order or after it.
    """
    return after(log_odds, order, step)


@learnt.defjvp
def _learnt_jvp(primals: Any, tangents: Any) -> Any:
    (at, order, step, tilt, rest), (move, _, _, more_tilt, more_rest) = primals, tangents
    then, likely = learnt(at, order, step, tilt, rest), rest + tilt
    chance = probability(order * at) * likely + probability(-order * at) * rest
    certain, possible = jnp.isinf(then), chance > 0
    # at certainty d mu' = mu(1−mu)/chance² (likely rest d log-odds + rest d tilt − tilt d rest),
    # over the slope there
    slope, into = slope_over_square(at, jnp.where(possible, chance, 1)), slope_of(then)
    by_at = jnp.where(certain & possible, slope * (likely * rest) / into, 1)
    gain = jnp.where(possible & ~jnp.isinf(at), slope / into, 0)
    gain = jnp.minimum(gain, 0.1 * float(jnp.finfo(gain.dtype).max))
    share = tilt / jnp.where(likely > 0, likely, 1)
    by_tilt = jnp.where(certain, gain * rest, 1 / jnp.where(likely > 0, likely, 1))
    by_rest = jnp.where(certain, gain * tilt, share / jnp.where(rest > 0, rest, 1))
    return then, by_at * move + order * (by_tilt * more_tilt - by_rest * more_rest)


_log_odds, _belief = jax.jit(log_odds_of), jax.jit(probability)
