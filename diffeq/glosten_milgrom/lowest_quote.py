"""One side of a market with elastic uninformed demand: its lowest zero-profit quote.

On the ask side let mu be the belief, D = V_H − m the distance from the mean m = E[V] to the high
value, x = (A − m)/D in (0, 1) the share of it that the quote goes, and k = D/s. Zero profit,

    (1−alpha) S(kx) x = alpha mu (1−x),                                           (1)

says that x = alpha mu/(alpha mu + (1−alpha) S): the chance that a buyer is informed. In the log of
the uninformed acceptance, w = −log S, it is

    G(w) = w + log S(k x(w)) = 0,    x(w) = alpha mu/(alpha mu + (1−alpha) e^−w),  (2)

which neither underflows nor cancels, at alpha mu = 0 neither. The bid side is the same with 1−mu
and m − V_L.

(1) may have three roots; the equilibrium is the lowest. In logit x,

    log S(kx) + logit x = logit alpha + log mu,                                   (3)

and the left side L(x) has slope 1 − k h(kx) x(1−x) in logit x, h the hazard. As log h is concave
for both laws of eps, log[k h(kx) x(1−x)] is strictly concave, so L has two turning points or none:
it rises, falls from x_1 to x_2, and rises. Both are found as roots in brackets, and with them the
number of roots of (3), and a bracket that holds the lowest alone: no search can step over it.

x_1 does not depend on alpha. There the low quote vanishes as alpha grows, in a fold.

Reference: Glosten & Milgrom (1985), section 2, on elastic demand and the closing of the market.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq.glosten_milgrom import odds
from diffeq.glosten_milgrom.odds import Odds, log_rest
from diffeq.glosten_milgrom.private_values import Law
from solvers import implicit, root

NEWTON = 30
"""Newton's steps: some 6 do, but next to a double root each only halves the distance."""
LARGEST = 3.5
"""z_1 is smaller: z h(z) > 3 there, while 1 − x_1 > 1/3, as the hazard's elasticity is below 1."""
LEAST = 0.69
"""Below log 2: at a price above the mean S ≤ 1/2."""


class Side(NamedTuple):
    """One side of the market, scalars; prices as distances from the mean m."""

    informed: jax.Array
    """alpha mu: the chance of an informed order on this side"""
    uninformed: jax.Array
    """1 − alpha"""
    k: jax.Array
    """the distance D from the mean to the value this side loses to, over s"""


class Quote(NamedTuple):
    """The lowest zero-profit quote of one side."""

    w: jax.Array
    """−log of the uninformed acceptance S"""
    share: jax.Array
    """x: how far the quote goes from the mean towards the value, in [0, 1)"""
    num_roots: jax.Array
    """1 or 3; int32"""
    closed: jax.Array
    """bool: the quote is the value itself, to a rounding of x"""
    ok: jax.Array
    """bool: open, and the root found to the dtype's accuracy"""
    residual: jax.Array
    """|lhs − rhs| of (1) over the larger"""


class Turns(NamedTuple):
    """The two turning points of L."""

    z: jax.Array
    """k x_1"""
    log_rest: jax.Array
    """log(1 − x_2)"""
    exist: jax.Array
    """bool; else the numbers mean nothing"""


Distances = tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""Ask side, bid side: the chance of the value that it loses to, and its distance from the mean."""


def distances(at: Odds, params: Any) -> Distances:
    """(mu, V_H − m), (1−mu, m − V_L) at a belief."""
    mu, rest = odds.chances(at)
    width = params.V_H - params.V_L
    return (mu, rest * width), (rest, mu * width)


def lowest_quotes(at: Distances, params: Any, law: Law) -> tuple[Quote, Quote]:
    """That of the ask side, and of the bid side."""
    chances, lengths = (jnp.stack(x) for x in zip(*at, strict=True))
    uninformed = jnp.broadcast_to(1 - params.alpha, (2,))
    sides = Side(params.alpha * chances, uninformed, lengths / params.s)
    found = jax.vmap(lambda side: lowest_quote(side, law))(sides)
    ask, bid = (jax.tree.map(lambda x, i=i: x[i], found) for i in (0, 1))
    return ask, bid


def lowest_quote(side: Side, law: Law) -> Quote:
    """The lowest root of (1), with its derivative; NaN nowhere: see ``ok``."""
    # alpha = 1 leaves nobody to trade with. Solve another market there, and on a closed side: a NaN
    # would reach the derivative of the other side
    empty = side.uninformed <= 0
    side = side._replace(uninformed=jnp.where(empty, 0.5, side.uninformed))
    low, high, num_roots = _bracket(jax.tree.map(lax.stop_gradient, side), law)
    open_ = _excess(high, side, law) >= 0
    closed = ~open_ | empty

    side = Side(*(jnp.where(open_, x, y) for x, y in zip(side, (0.1, 0.8, 1.0), strict=True)))
    low, high = jnp.where(open_, low, LEAST), jnp.where(open_, high, 2)
    w, info = root.bracketed(lambda w, side: _excess(w, side, law), low, high, side)
    residual = jnp.abs(jnp.expm1(_excess(w, side, law)))
    ok = ~closed & info.converged
    return Quote(w, _share(w, side), num_roots, closed, ok, lax.stop_gradient(residual))


def _share(w: jax.Array, side: Side) -> jax.Array:
    """x(w): the chance that an order is informed."""
    total = side.informed + side.uninformed * jnp.exp(-w)
    return side.informed / jnp.where(total > 0, total, 1)


def _excess(w: jax.Array, side: Side, law: Law) -> jax.Array:
    """G(w) of equation 2."""
    return w + law.log_survival(side.k * _share(w, side))


def logit_curve(z: jax.Array, k: jax.Array, law: Law) -> jax.Array:
    """L of equation 3 at x = z/k."""
    return law.log_survival(z) + jnp.log(z / k) - log_rest(z / k)


def _bracket(side: Side, law: Law) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(low, high) around the lowest root alone, in w, and the number of roots of (3).

    The first branch ends at x_1; L(x_1) short of the target, the root lies beyond it, and is the
    only one, as L falls before it rises. ``high`` is where x reaches 1 to a rounding, or beyond it.
    """
    k, info = side.k, jnp.finfo(side.k.dtype)
    log_odds = jnp.log(jnp.maximum(side.informed, info.tiny)) - jnp.log(side.uninformed)
    turns = turning_points(k, law)
    at_turn = jnp.log(turns.z / k) - log_rest(turns.z / k) - log_odds
    first = turns.exist & (_excess(at_turn, side, law) >= 0)
    rest = jnp.exp(turns.log_rest)
    valley = law.log_survival(k * (1 - rest)) + log_rest(rest) - turns.log_rest
    three = first & (valley < log_odds)

    certain = -log_odds - np.log(info.eps).astype(k.dtype)  # 1 − x = eps
    beyond = jnp.minimum(certain, 0.1 - law.log_survival(k))
    before = jnp.minimum(at_turn, 0.1 - law.log_survival(turns.z))
    low = jnp.where(turns.exist & ~first, at_turn, LEAST)
    high = jnp.where(first, before, beyond)
    return low, high, jnp.where(three, 3, 1).astype(jnp.int32)


def turning_points(k: jax.Array, law: Law) -> Turns:
    """x_1 and x_2, where k h(kx) x(1−x) = 1; the first with its derivative in k.

    The log of that product is concave in z = kx, and in t = log(1−x): Newton's steps from outside
    never pass a turning point. z_1 is of order one however large k; 1−x_2 as small as 1/k².
    """
    k = jnp.maximum(k, 1)  # below, k h(kx) x(1−x) < 1
    fixed = lax.stop_gradient(k)

    def height(z: jax.Array, log_rest: jax.Array) -> jax.Array:
        return jnp.log(law.hazard(z)) + jnp.log(z) + log_rest

    def first(z: jax.Array, k: jax.Array) -> jax.Array:
        return height(z, log_rest(z / k))

    def from_below(_: int, z: jax.Array) -> jax.Array:
        slope = (1 + law.hazard_elasticity(z)) / z - 1 / (fixed - z)
        new = z - first(z, fixed) / slope
        return jnp.where((slope > 0) & (new < jnp.minimum(fixed, LARGEST)), new, z)

    def from_above(_: int, t: jax.Array) -> jax.Array:
        rest, x = jnp.exp(t), -jnp.expm1(t)
        slope = 1 - rest / x * (1 + law.hazard_elasticity(fixed * x))
        new = t - height(fixed * x, t) / slope
        return jnp.where((slope > 0) & (new < 0), new, t)

    z = lax.fori_loop(0, NEWTON, from_below, jnp.full_like(k, 0.5))  # z h(z) < 1 up to .75
    t = lax.fori_loop(0, NEWTON, from_above, -jnp.log(fixed) - jnp.log1p(fixed))  # h(z) ≤ 1 + z
    # where the peak is below 1 by less than this, L rises all the same: a needless split, no error
    exist = jnp.abs(first(z, fixed)) < float(jnp.finfo(k.dtype).eps) ** 0.5
    return Turns(implicit.attach(first, z, k), t, exist)
