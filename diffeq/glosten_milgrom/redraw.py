"""Log-odds of a belief about a value that may be redrawn: a mixture with the prior, and an order.

A redraw with probability nu turns the belief mu into mu⁻ = (1−nu) mu + nu mu_0. In log-odds, where
mu never saturates, the mixture and its slopes are written from whichever of mu and 1−mu is small,
and the slopes of an order followed by a redraw are of one piece: at alpha = 1 the order's own are
infinite, theirs together are not. Equations 2 and 5 of :mod:`~diffeq.glosten_milgrom.news`.

Reference: Hamilton (1989), Econometrica 57, 357–384 (the filter).
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffeq.glosten_milgrom import odds


@jax.custom_jvp
def mixed(log_odds: jax.Array, nu: jax.Array, mu_0: jax.Array) -> jax.Array:
    """Log-odds of (1−nu) mu + nu mu_0, to a rounding however certain mu is; at nu = 0 the same."""
    e, high_likelier = odds.rarer_odds(log_odds), log_odds >= 0
    p, q = jnp.where(high_likelier, mu_0, 1 - mu_0), jnp.where(high_likelier, 1 - mu_0, mu_0)
    # both in units of the likelier value's probability 1/(1+e); in logs, since e may underflow
    kept, drawn = odds.log_rest(nu), jnp.log(nu) + jnp.log1p(e)
    likelier = jnp.logaddexp(kept, drawn + jnp.log(p))
    rarer = jnp.logaddexp(kept - jnp.abs(log_odds), drawn + jnp.log(q))
    then = likelier - rarer
    return jnp.where(high_likelier, then, -then)


@mixed.defjvp
def _mixed_jvp(primals: Any, tangents: Any) -> Any:
    (at, nu, mu_0), (move, more_news, more_prior) = primals, tangents
    then = mixed(at, nu, mu_0)
    # mu_0 − mu, from whichever sides are small
    gap = jnp.where(at >= 0, odds.probability(-at) - (1 - mu_0), mu_0 - odds.probability(at))
    by_mu = (1 - nu) * odds.slope_of(at) * move + gap * more_news + nu * more_prior
    return then, by_mu / odds.slope_of(then)


@jax.custom_jvp
def onwards(
    before: jax.Array, order: jax.Array, alpha: jax.Array, nu: jax.Array, mu_0: jax.Array
) -> jax.Array:
    """Log-odds of the next mu⁻ from those of mu⁻ and an order, ±1.0: Bayes, then a mixture.

    One rule for its slopes: at alpha = 1 they are finite, though those of Bayes alone are not.
    """
    return mixed(odds.bayes(before, order, alpha), nu, mu_0)


@onwards.defjvp
def _onwards_jvp(primals: Any, tangents: Any) -> Any:
    (at, order, alpha, nu, mu_0), (move, _, more, more_news, more_prior) = primals, tangents
    after, then = odds.bayes(at, order, alpha), onwards(at, order, alpha, nu, mu_0)
    high, low = 1 + order * alpha, 1 - order * alpha
    chance = 2 * chance_of(order, at, alpha)
    # d mu': per log-odds mu'(1−mu'), and 2 order/(high·low) of that per alpha, while this is finite
    known, slope = jnp.isinf(after), odds.slope_of(at)
    shrunk = odds.slope_over_square(at, jnp.where(chance > 0, chance, 1))
    own = odds.slope_of(after)
    by_at = jnp.where(known, jnp.where(chance > 0, shrunk * high * low, slope), own)
    per_alpha = 2 * order * jnp.where(jnp.isinf(at), 0, shrunk)
    by_alpha = jnp.where(known, per_alpha, 2 * order * own / jnp.where(known, 1, high * low))
    gap = jnp.where(
        after >= 0, odds.probability(-after) - (1 - mu_0), mu_0 - odds.probability(after)
    )
    into = odds.slope_of(then)
    by_alpha = jnp.nan_to_num((1 - nu) * by_alpha / into, nan=jnp.nan)
    by_mu = (1 - nu) * by_at * move + gap * more_news + nu * more_prior
    return then, by_mu / into + by_alpha * more


def chance_of(order: Any, before: jax.Array, alpha: jax.Array) -> jax.Array:
    """P(order) at log-odds of mu⁻; the chance of an uninformed trader is one half each way."""
    mu, rest = odds.probability(before), odds.probability(-before)
    return (mu * (1 + order * alpha) + rest * (1 - order * alpha)) / 2


def limit_of(sign: int, mu_0: jax.Array, alpha: jax.Array, nu: jax.Array) -> jax.Array:
    """Log-odds of mu⁻ after an endless run of buys (sign +1) or sales (−1)."""
    a, b = 1 + alpha, 1 - alpha
    p, q = (mu_0, 1 - mu_0)[::sign]  # of the value that the run speaks for
    # y, the belief in it: 2 alpha y² + B y − nu b p = 0; its rest: 2 alpha z² − (B + 4 alpha) z
    # + nu a q = 0; each root in the form that does not cancel
    idle = (alpha == 0) & (nu == 0)
    B = nu * (a * q + b * p) - 2 * alpha
    square = B**2 + 8 * alpha * nu * b * p
    S = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    rising = B > 0
    y = jnp.where(
        rising,
        2 * nu * b * p / jnp.where(rising, B + S, 1),
        (S - B) / (4 * jnp.where(alpha > 0, alpha, 1)),
    )
    z = 2 * nu * a * q / jnp.where(idle, 1, B + 4 * alpha + S)
    return jnp.where(idle, odds.log_odds_of(mu_0), sign * odds.log_ratio(y, z))
