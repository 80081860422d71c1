"""Beliefs as log-odds: log(mu/(1−mu)), which an order moves by a constant and never saturates.

Probabilities and expectations are computed from the odds of the less likely value, e =
exp(−|log-odds|) ≤ 1, so that nothing cancels or overflows however certain the belief is.
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffeq import validate


def log_odds(mu: Any) -> jax.Array:
    """log(mu/(1−mu)), of the shape of mu; ±inf at 1 and 0.

    The derivative there is a large number instead of infinite, such that quotes at these log-odds
    still have their exact one-sided derivative in mu.

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


def posterior(
    log_odds: jax.Array, if_high: jax.Array, if_low: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """P(likelier value | event), P(rarer value | event), the event's likelihoods given.

    An event that is impossible under the likelier value, itself certain, teaches nothing: 0/0 is
    the prior.
    """
    high_likelier, e = log_odds >= 0, rarer_odds(log_odds)
    likelier = jnp.where(high_likelier, if_high, if_low)
    rarer = e * jnp.where(high_likelier, if_low, if_high)
    total = likelier + rarer
    possible = total != 0  # NaN stays NaN
    # the larger from the smaller, so that its slope does not cancel
    contrary = rarer > likelier
    less = over(jnp.where(contrary, likelier, rarer), jnp.where(possible, total, 1))
    more = 1 - less
    return jnp.where(contrary, less, more), jnp.where(contrary, more, less)


def rarer_odds_given(
    log_odds: jax.Array, if_high: jax.Array, if_low: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Odds ≤ 1 of the rarer value after an event of these likelihoods; whether that is V_H."""
    high_likelier, e = log_odds >= 0, rarer_odds(log_odds)
    high, low = if_high * jnp.where(high_likelier, 1, e), if_low * jnp.where(high_likelier, e, 1)
    possible = high + low != 0
    high_rarer = jnp.where(possible, high < low, ~high_likelier)
    less, more = jnp.where(high_rarer, high, low), jnp.where(high_rarer, low, high)
    return jnp.where(possible, over(less, jnp.where(possible, more, 1)), 0), high_rarer


def mean(
    log_odds: jax.Array, if_high: jax.Array, if_low: jax.Array, V_L: jax.Array, V_H: jax.Array
) -> jax.Array:
    """E[V | event], the event's likelihoods given."""
    likelier, rarer = posterior(log_odds, if_high, if_low)
    high_likelier = log_odds >= 0
    return likelier * jnp.where(high_likelier, V_H, V_L) + rarer * jnp.where(
        high_likelier, V_L, V_H
    )


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
# the first bounded below and the second above by reciprocal numbers, the product is exact.


def _smallest(dtype: Any) -> float:
    """Odds that count as zero in a derivative: 1e-306, clear of the subnormals; float32: 1e-36."""
    return 64 * float(jnp.finfo(dtype).tiny)


@jax.custom_jvp
def rarer_odds(log_odds: jax.Array) -> jax.Array:
    """exp(−|log_odds|), the odds of the less likely value."""
    return jnp.exp(-jnp.abs(log_odds))


@rarer_odds.defjvp
def _rarer_odds_jvp(primals: Any, tangents: Any) -> Any:
    (at,), (move,) = primals, tangents
    e = rarer_odds(at)
    slope = jnp.maximum(e, _smallest(at.dtype))
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
    return log_odds_of(mu), move / jnp.maximum(mu * (1 - mu), _smallest(mu.dtype))


@jax.custom_jvp
def log_ratio(mu: jax.Array, rest: jax.Array) -> jax.Array:
    """Log-odds log(mu/(1−mu)) where 1−mu is known too, without its cancellation."""
    return jnp.log(mu) - jnp.log(rest)


@log_ratio.defjvp
def _log_ratio_jvp(primals: Any, tangents: Any) -> Any:
    (mu, rest), (move, opposite) = primals, tangents
    by_mu = rest * move - mu * opposite
    return log_ratio(mu, rest), by_mu / jnp.maximum(mu * rest, _smallest(mu.dtype))


def slope_of(log_odds: jax.Array) -> jax.Array:
    """d mu/d log-odds = mu(1−mu), bounded below by the smallest odds that count."""
    e = rarer_odds(log_odds)
    return jnp.maximum(e / (1 + e) ** 2, _smallest(e.dtype))


def slope_over_square(log_odds: jax.Array, chance: jax.Array) -> jax.Array:
    """:func:`slope_of` over chance², a square that may underflow."""
    e = jnp.maximum(rarer_odds(log_odds), _smallest(log_odds.dtype))
    return e / chance * (1 / ((1 + e) ** 2 * chance))


@jax.custom_jvp
def bayes(log_odds: jax.Array, order: jax.Array, alpha: jax.Array) -> jax.Array:
    """Log-odds after one order, +1 or −1 (floats): :func:`after` by one step of alpha.

    Also where the result is certainty its derivative, as a probability, is exact.
    """
    return after(log_odds, order, step_of(alpha))


@bayes.defjvp
def _bayes_jvp(primals: Any, tangents: Any) -> Any:
    (at, order, alpha), (move, _, more) = primals, tangents
    then = bayes(at, order, alpha)
    a, b = 1 + order * alpha, 1 - order * alpha
    chance = probability(at) * a + probability(-at) * b
    # d log-odds' = d log-odds + 2 order/(ab) d alpha; at certainty d mu' over the smallest odds
    certain, possible = jnp.isinf(then), chance > 0
    per_alpha = 2 * order / jnp.where(certain, 1, a * b)
    slope, smallest = slope_over_square(at, jnp.where(possible, chance, 1)), _smallest(at.dtype)
    by_at = jnp.where(possible, slope * (a * b) / smallest, 1)
    by_alpha = jnp.where(possible & ~jnp.isinf(at), 2 * order * slope / smallest, 0)
    by_alpha = jnp.nan_to_num(jnp.where(certain, by_alpha, per_alpha), nan=jnp.nan)
    return then, jnp.where(certain, by_at, 1) * move + by_alpha * more


_log_odds, _belief = jax.jit(log_odds_of), jax.jit(probability)
