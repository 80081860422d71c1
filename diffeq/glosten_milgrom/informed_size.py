"""Which size informed traders choose, and the four prices: Easley & O'Hara (1987) on arrays.

The belief is (theta_0, theta_L, theta_H): no event (V is its prior mean, all are uninformed), V is
low, V is high. An informed trader who knows that V is high buys S_2 with probability psi, else S_1.
Write

    X = alpha theta_H,   u = ((1−alpha)(1−theta_0) + theta_0)/2,   s = S_1/S_2,   K = s(1−b) + b

for the chance of an informed buy, of an uninformed one, the ratio of sizes and the mean uninformed
size over S_2. With g = V_H − E[V | uninformed], zero profit at each size is V_H − A_i = g r_i with
r_2 = ub/(X psi + ub), r_1 = u(1−b)/(X(1−psi) + u(1−b)); indifference, S_2 r_2 = S_1 r_1, is linear:

    pooling     (u b(1−s) < s X)   psi = b[X + u(1−b)(1−s)]/(X K),  r_2 = uK/(X+u),  r_1 = r_2/s
    separating  (otherwise)        psi = 1,                         r_2 = ub/(X+ub),  r_1 = 1

The two forms meet where u b(1−s) = s X. Nothing cancels in them and they divide by neither b nor
1−b, so b = 0 and b = 1 are in the domain: the price of the size that no uninformed trader uses is
the limit at which the informed still do not deviate. The sell side has theta_L for theta_H.

Reference: Easley & O'Hara (1987), Journal of Financial Economics 19, 69–90.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq.check import poison
from diffeq.glosten_milgrom.odds import over

BUY_LARGE, BUY_SMALL, SELL_SMALL, SELL_LARGE = 2, 1, -1, -2
"""Order codes; the sign is the side, 2 is size S_2."""
ORDERS = (SELL_LARGE, SELL_SMALL, BUY_SMALL, BUY_LARGE)


Four = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
Six = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


class Belief(NamedTuple):
    """Probabilities of the three outcomes; they sum to one, of any one shape."""

    none: jax.Array
    """theta_0: no event, V is the prior mean."""
    low: jax.Array
    """theta_L: V = V_L."""
    high: jax.Array
    """theta_H: V = V_H."""


class Quotes(NamedTuple):
    """Four prices and the informed traders' choice, each of the belief's shape."""

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
    """bool: no informed sale is small by choice; else pooling."""
    separating_ask: jax.Array
    """bool: no informed purchase is small by choice; else pooling."""


class Residual(NamedTuple):
    """|lhs − rhs| over the largest term of each condition, of the belief's shape."""

    bid_1: jax.Array
    """E[V | small sale] = bid_1; 0 where no such order is possible, as in the next three"""
    bid_2: jax.Array
    """E[V | large sale] = bid_2"""
    ask_1: jax.Array
    """E[V | small purchase] = ask_1"""
    ask_2: jax.Array
    """E[V | large purchase] = ask_2"""
    choice_bid: jax.Array
    """S_2 (bid_2 − V_L) = S_1 (bid_1 − V_L) where pooling, ≥ where separating"""
    choice_ask: jax.Array
    """S_2 (V_H − ask_2) = S_1 (V_H − ask_1) where pooling, ≥ where separating"""
    martingale: jax.Array
    """E[belief' | belief] = belief, the worst of the outcomes; the quotes never use it"""


class Side(NamedTuple):
    """One side of the market, of the belief's shape."""

    psi: jax.Array
    """P(large | informed)."""
    separating: jax.Array
    """bool: only large orders are informed."""
    loss: tuple[jax.Array, jax.Array]
    """(r_1, r_2): what a price leaves the informed, over g."""
    gain: tuple[jax.Array, jax.Array]
    """(1 − r_1, 1 − r_2), without cancellation."""
    tilt: tuple[jax.Array, jax.Array]
    """Likelihood of the order from the informed over that from the uninformed of no event: 2 alpha
    (1−psi)/(1−b) and 2 alpha psi/b."""


def quotes_at(at: Belief, params: Any) -> Quotes:
    """The four prices and the informed traders' choice."""
    sell, buy = sides(at, params)
    four = _prices(at, sell, buy, params)
    return Quotes(*four, sell.psi, buy.psi, sell.separating, buy.separating)


def sides(at: Belief, params: Any) -> tuple[Side, Side]:
    """The sell side and the buy side."""
    u = ((1 - params.alpha) * (at.low + at.high) + at.none) / 2
    return _side(at.low, u, params), _side(at.high, u, params)


def _side(theta: jax.Array, u: jax.Array, params: Any) -> Side:
    alpha, b, s = params.alpha, params.b, params.S_1 / params.S_2
    X, K, apart = alpha * theta, s * (1 - b) + b, (params.S_2 - params.S_1) / params.S_2  # 1 − s
    positive = X > 0
    push = over(u * b * apart, jnp.where(positive, X, 1))
    pooling = positive & (push < s)
    theta_, both = (jnp.where(pooling, x, 1) for x in (theta, X + u))
    premium = X + u * (1 - b) * apart
    psi = jnp.where(pooling, (b + (1 - b) * push) / K, 1)
    large = X + u * b
    known = large > 0  # else nobody trades that size: impossible, or b = 0 without informed
    large = jnp.where(known, large, 1)
    r_2 = jnp.where(pooling, over(u * K, both), jnp.where(known, over(u * b, large), 1))
    r_1 = jnp.where(pooling, over(u * K, both) / s, 1)
    gain_2 = jnp.where(pooling, over(premium, both), jnp.where(known, over(X, large), 0))
    gain_1 = jnp.where(pooling, over(X, both) * (1 - push / s), 0)
    alone = jnp.where(b > 0, alpha / jnp.where(b > 0, b, 1), 0)
    tilt_2 = 2 * jnp.where(pooling, (alpha + over(u * (1 - b) * apart, theta_)) / K, alone)
    tilt_1 = 2 * jnp.where(pooling, alpha * (s - push) / K, 0)
    psi -= lax.stop_gradient(jnp.maximum(psi - 1, 0))  # a rounding; the slope at b = 1 is psi's own
    return Side(psi, ~pooling, (r_1, r_2), (gain_1, gain_2), (tilt_1, tilt_2))


def _prices(at: Belief, sell: Side, buy: Side, params: Any) -> Four:
    """bid_1, bid_2, ask_1, ask_2: E[V | order] by the three posterior probabilities."""
    none, low, high = uninformed(at, params.alpha)
    mean = (1 - params.mu_0) * params.V_L + params.mu_0 * params.V_H

    def bid(i: int) -> jax.Array:
        rest, certain = sell.loss[i], low + (none + high) * sell.gain[i]
        return certain * params.V_L + none * rest * mean + high * rest * params.V_H

    def ask(i: int) -> jax.Array:
        rest, certain = buy.loss[i], high + (none + low) * buy.gain[i]
        return low * rest * params.V_L + none * rest * mean + certain * params.V_H

    return bid(0), bid(1), ask(0), ask(1)


def uninformed(at: Belief, alpha: jax.Array) -> Belief:
    """The belief given that the next trader is uninformed: theta_0 and (1−alpha)(theta_L, theta_H).

    Divided by whichever of theta_0 and 1−alpha is larger: at alpha = 1, or without a chance of no
    event, the derivative is that of one side and free of cancellation. Both at once is 0/0: the
    belief itself.
    """
    rest = 1 - alpha
    calm = at.none > rest
    c = jnp.where(calm, rest / jnp.where(calm, at.none, 1), 1)
    d = jnp.where(calm | (rest <= 0), jnp.where(calm, 1, 0), at.none / jnp.where(rest > 0, rest, 1))
    event = at.low + at.high
    total = c * event + d
    return Belief(d / total, c * at.low / total, c * at.high / total)


# What the equilibrium must satisfy, by joint probabilities of order and outcome


def order_probability(order: int, found: Quotes, at: Belief, params: Any) -> jax.Array:
    """P(the next order is this one)."""
    none, low, high = _joint(order, found, at, params)
    return none + low + high


def conditions(found: Quotes, at: Belief, params: Any) -> Six:
    """All entries of :class:`Residual` but the martingale."""
    V_L, V_H, mu_0 = params.V_L, params.V_H, params.mu_0
    values = (1 - mu_0) * V_L + mu_0 * V_H, V_L, V_H
    unit = jnp.maximum(jnp.abs(V_L), jnp.abs(V_H))

    def unfair(order: int, price: jax.Array) -> jax.Array:
        joint = _joint(order, found, at, params)
        terms = jnp.stack([p * v for p, v in zip(joint, values, strict=True)])
        paid = (joint[0] + joint[1] + joint[2]) * price
        # 1 − psi has a term of the size of all the informed, beside whom the uninformed may be few
        all_informed = params.alpha * (at.high if order > 0 else at.low) * unit
        scale = jnp.max(jnp.abs(jnp.stack([*terms, paid, all_informed])), axis=0)
        return jnp.abs(jnp.sum(terms, axis=0) - paid) / jnp.where(scale > 0, scale, 1)

    def misjudged(small: jax.Array, large: jax.Array, separating: jax.Array) -> jax.Array:
        """What large earns the informed over small, given either's profit per unit."""
        more = params.S_2 * large - params.S_1 * small
        return jnp.where(separating, jnp.maximum(-more, 0), jnp.abs(more)) / (params.S_2 * unit)

    return (
        unfair(SELL_SMALL, found.bid_1),
        unfair(SELL_LARGE, found.bid_2),
        unfair(BUY_SMALL, found.ask_1),
        unfair(BUY_LARGE, found.ask_2),
        misjudged(found.bid_1 - V_L, found.bid_2 - V_L, found.separating_bid),
        misjudged(V_H - found.ask_1, V_H - found.ask_2, found.separating_ask),
    )


def _joint(order: int, found: Quotes, at: Belief, params: Any) -> tuple[jax.Array, ...]:
    """P(order, outcome) for no event, low, high."""
    large, buys = abs(order) == 2, order > 0
    psi = found.psi_ask if buys else found.psi_bid
    noise = (params.b if large else 1 - params.b) / 2
    known = params.alpha * (psi if large else 1 - psi)
    other = (1 - params.alpha) * noise
    low, high = (other, other + known) if buys else (other + known, other)
    return at.none * noise, at.low * low, at.high * high


def tilt_of(order: jax.Array, sell: Side, buy: Side) -> jax.Array:
    """The tilt of that order, towards V_H if a purchase, V_L if a sale."""
    small, large = (jnp.where(order > 0, buy.tilt[i], sell.tilt[i]) for i in (0, 1))
    return jnp.where(jnp.abs(order) == 2, large, small)


def poisoned(result: Any, ok: jax.Array, params: Any) -> Any:
    """A NamedTuple with its floats poisoned; bools cannot be."""
    return type(result)(*(x if x.dtype == bool else poison(x, ok, params) for x in result))
