"""The equations of :mod:`~diffeq.glosten_milgrom.continuous_value`, on arrays of one dtype.

V is the atom v_i with probability p_i. With the partial expectations

    U_i = E(V − v_i)^+,  D_i = E(v_i − V)^+,  E V = v_i + U_i − D_i at every i

which are sums of gaps between atoms times the probability beyond each gap, nothing cancels, however
far the values are from 0. Probabilities are weights here; nothing is validated or poisoned.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq.glosten_milgrom import odds

BUY, NONE, SELL = 1, 0, -1
"""Order codes."""


class Quotes(NamedTuple):
    """The two prices at a belief, and who trades at them; scalars."""

    bid: jax.Array
    """E[V | the next order is a sale], in price units."""
    ask: jax.Array
    """E[V | the next order is a purchase], in price units."""
    value: jax.Array
    """E[V], in price units."""
    spread: jax.Array
    """ask − bid, without its cancellation."""
    buy_probability: jax.Array
    """P(the next order is a purchase)."""
    sell_probability: jax.Array
    """P(the next order is a sale)."""
    no_trade_probability: jax.Array
    """P(no order) = alpha P(bid ≤ V ≤ ask)."""
    bid_index: jax.Array
    """The informed sell iff V is an atom i < bid_index; int."""
    ask_index: jax.Array
    """j*: the informed buy iff V is an atom i > ask_index; int."""


class Residual(NamedTuple):
    """|lhs − rhs| over the largest term of each condition; scalars."""

    ask: jax.Array
    """alpha E(V − A)^+ = ((1−alpha)/2)(A − E V): zero profit on a sale by the market maker"""
    bid: jax.Array
    """alpha E(B − V)^+ = ((1−alpha)/2)(E V − B)"""
    value: jax.Array
    """P(buy) ask + P(sell) bid + P(none) E[V | none] = E[V]; the quotes never use it"""
    martingale: jax.Array
    """E[p_i' | p] = p_i, the worst of the atoms; the quotes never use it"""


def quotes_at(
    values: jax.Array, probabilities: jax.Array, log_probabilities: jax.Array, alpha: jax.Array
) -> Quotes:
    """The quotes at a belief, given twice; finite numbers that mean nothing at alpha = 1."""
    v, p = values, probabilities / jnp.sum(probabilities)
    j, k = _indices(*map(lax.stop_gradient, (v, log_probabilities, alpha)))
    D, U = partial_expectations(v, p)
    i = jnp.arange(v.shape[0])

    def mass(atoms: jax.Array) -> jax.Array:
        return jnp.sum(jnp.where(atoms, p, 0))

    buyers, sellers, silent = mass(i > j), mass(i < k), mass((i >= k) & (i <= j))
    open_ = alpha < 1
    buy = jnp.where(open_, 1 - alpha + 2 * alpha * buyers, 1)  # twice P(buy)
    sell = jnp.where(open_, 1 - alpha + 2 * alpha * sellers, 1)
    over, under = _from_atoms(j, k, D, U, buy, sell, alpha)
    ask, bid = v[j] + over, v[k] - under
    # P(buy) (A − E V) = alpha Σ_{i>j} p_i (v_i − E V) = alpha [P(V ≤ v_j) U_j + P(V > v_j) D_j]
    above = 2 * alpha * (mass(i <= j) * U[j] + buyers * D[j]) / buy
    below = 2 * alpha * (mass(i >= k) * D[k] + sellers * U[k]) / sell
    value = v[j] + (U[j] - D[j])
    return Quotes(bid, ask, value, below + above, buy / 2, sell / 2, alpha * silent, k, j)


def quotes_by_logs(log_probabilities: jax.Array, values: jax.Array, alpha: jax.Array) -> Quotes:
    """:func:`quotes_at` a belief given by logs alone, which need not be normalised."""
    return quotes_at(values, jax.nn.softmax(log_probabilities), log_probabilities, alpha)


def profit(
    index: jax.Array,
    order: jax.Array,
    at: Quotes,
    values: jax.Array,
    probabilities: jax.Array,
    alpha: jax.Array,
) -> jax.Array:
    """order · (v_index − price) at the quotes of that belief, without its cancellation."""
    v, p = values, probabilities / jnp.sum(probabilities)
    j, k, (D, U) = at.ask_index, at.bid_index, partial_expectations(v, p)
    buy, sell = 2 * at.buy_probability, 2 * at.sell_probability
    over, under = _from_atoms(j, k, D, U, buy, sell, alpha)
    bought, sold = v[index] - v[j] - over, v[k] - v[index] - under
    return jnp.where(order == BUY, bought, jnp.where(order == SELL, sold, 0))


def _from_atoms(
    j: jax.Array,
    k: jax.Array,
    D: jax.Array,
    U: jax.Array,
    buy: jax.Array,
    sell: jax.Array,
    alpha: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """A − v_j and v_k − B, given twice the probabilities of a purchase and of a sale."""
    over = ((1 + alpha) * U[j] - (1 - alpha) * D[j]) / buy
    under = ((1 + alpha) * D[k] - (1 - alpha) * U[k]) / sell
    return over, under


def _indices(v: jax.Array, log_p: jax.Array, alpha: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The last atom that does not buy and the first that does not sell.

    Atom i buys iff (1+alpha) U_i < (1−alpha) D_i. By logs, so that the informed go on trading, and
    the market learning, where the other atoms' probabilities are below the floating range.
    """
    log_gaps = jnp.log(jnp.diff(v))
    below = lax.cumlogsumexp(log_gaps + lax.cumlogsumexp(log_p)[:-1])
    above = lax.cumlogsumexp(log_gaps + lax.cumlogsumexp(log_p, reverse=True)[1:], reverse=True)
    none = jnp.full_like(log_p[:1], -jnp.inf)
    log_D, log_U = jnp.concatenate([none, below]), jnp.concatenate([above, none])
    step = odds.step_of(alpha)
    return jnp.sum(~(log_U + step < log_D)) - 1, jnp.sum(log_D + step < log_U)


def partial_expectations(v: jax.Array, p: jax.Array) -> tuple[jax.Array, jax.Array]:
    """E(v_i − V)^+ and E(V − v_i)^+ at every atom."""
    gaps = jnp.diff(v)
    below = lax.cumsum(gaps * lax.cumsum(p)[:-1])
    above = lax.cumsum(gaps * lax.cumsum(p, reverse=True)[1:], reverse=True)
    zero = jnp.zeros_like(p[:1])
    return jnp.concatenate([zero, below]), jnp.concatenate([above, zero])


def moments(values: jax.Array, probabilities: jax.Array) -> tuple[jax.Array, jax.Array]:
    """E[V] and Var(V), the variance from differences between atoms alone."""
    p = probabilities / jnp.sum(probabilities)
    D, U = partial_expectations(values, p)
    mode = jnp.argmax(p)
    return values[mode] + (U[mode] - D[mode]), jnp.sum(p * (D - U) ** 2)


def after(
    log_probabilities: jax.Array, order: jax.Array, at: Quotes, alpha: jax.Array
) -> jax.Array:
    """Log-probabilities after an order, or its absence, at the quotes of that belief.

    An order that no possible atom explains teaches nothing.
    """
    i = jnp.arange(log_probabilities.shape[0])
    informed = jnp.where(order == BUY, i > at.ask_index, i < at.bid_index)
    silent = (i >= at.bid_index) & (i <= at.ask_index)
    # of twice the likelihood
    on_trade = jnp.where(informed, jnp.log1p(alpha), odds.log_rest(alpha))
    on_silence = jnp.where(silent, 0, -jnp.inf)
    moved = log_probabilities + jnp.where(order == NONE, on_silence, on_trade)
    moved = jnp.where(jnp.any(moved > -jnp.inf), moved, log_probabilities)
    return moved - jax.nn.logsumexp(moved)


def residual_at(
    at: Quotes, values: jax.Array, probabilities: jax.Array, alpha: jax.Array
) -> Residual:
    """The conditions as expectations over the atoms; the indices enter the last two alone."""
    v, p = values, probabilities / jnp.sum(probabilities)
    mean, noise = jnp.sum(p * v), (1 - alpha) / 2
    slack = 4 * float(jnp.finfo(v.dtype).eps)

    def unfair(price: jax.Array, side: int) -> jax.Array:
        # an atom at the price, to a rounding, adds nothing to the sum but its part of the scale:
        # near alpha = 1 the price is such an atom, beside which the uninformed are few
        beyond = side * (v - price) >= -slack * jnp.abs(price)
        worth, paid = (alpha * jnp.sum(jnp.where(beyond, p * x, 0)) for x in (v, price))
        return _apart(worth, -paid, noise * mean, -noise * price)

    i = jnp.arange(v.shape[0])
    silent = jnp.sum(jnp.where((i >= at.bid_index) & (i <= at.ask_index), p * v, 0))
    buy, sell, log_p = at.buy_probability, at.sell_probability, jnp.log(p)
    expected = jnp.zeros_like(p)
    for order, chance in ((BUY, buy), (SELL, sell), (NONE, at.no_trade_probability)):
        expected += chance * jnp.exp(after(log_p, jnp.array(order), at, alpha))
    return Residual(
        ask=unfair(at.ask, BUY),
        bid=unfair(at.bid, SELL),
        value=_apart(buy * at.ask, sell * at.bid, alpha * silent, -mean),
        martingale=jnp.max(jnp.abs(expected - p) / jnp.where(p > 0, p, 1)),
    )


def _apart(*terms: jax.Array) -> jax.Array:
    """|sum| over the largest term."""
    scale = jnp.max(jnp.abs(jnp.stack(terms)))
    return jnp.abs(sum(terms)) / jnp.where(scale > 0, scale, 1)
