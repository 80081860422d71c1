"""The spread that is expected at each trade under arriving information, by dynamic programming.

Beliefs of the model of :mod:`~diffeq.glosten_milgrom.news` depend on the whole order of buys and
sales, so their exact law after t trades has 2^t points. But what is expected k trades from now is a
function of one number, the log-odds y of mu⁻, and a smooth one:

    W_1(y) = spread(y),   W_k(y) = P(buy) W_{k−1}(y after a buy) + P(sale) W_{k−1}(y after a sale)

W_k is analytic for |Im y| < pi, so a few hundred Chebyshev nodes on the range of beliefs hold it to
rounding, and one trade is one product with the same matrix.

Reference: Trefethen (2013), Approximation Theory and Approximation Practice, for the interpolation.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import binary_quotes, news, odds
from diffeq.glosten_milgrom.binary_value import BUY, SELL
from diffeq.glosten_milgrom.news import Params
from diffeq.glosten_milgrom.redraw import chance_of, limit_of, onwards
from solvers import chebyshev


class ExpectedSpread(NamedTuple):
    """The spread that is expected before the first trade, under the public's measure."""

    spread: jax.Array
    """E[spread quoted at trade t], t = 1..num_trades, in price units, shape (num_trades,)."""
    info: Info
    """Whether the parameters lie in their domain and the nodes suffice; the last coefficients of
    the interpolation over the spread at trade 1."""


def expected_spread(params: Params, *, num_trades: int, num_nodes: int = 384) -> ExpectedSpread:
    """E[spread at trade t], t = 1..num_trades, before the first trade, by dynamic programming.

    Args:
      params: scalars; every leaf is differentiable, also at the ends of its domain.
      num_trades: T, static; the cost is T num_nodes².
      num_nodes: n of the interpolation, static. The default is enough unless two of nu, 1−alpha and
        the smaller of mu_0 and 1−mu_0 are below 1e-12, or at nu = 0 the other two below 1e-6; 64
        are enough for all above 1e-2. ``info`` tells.

    Returns:
      :class:`ExpectedSpread`, to 1e-10 of the spread at trade 1, and so its slopes in log nu and
      log(1−alpha); for nu < 1e-8 (float32: 3e-4) all slopes are those at this nu. NaN and
      ``info.converged`` False where the nodes are too few.

    Raises:
      ValueError, TypeError: a concrete argument out of domain.

    Reference: the recursion above.

    >>> [round(float(x), 10) for x in expected_spread(Params(), num_trades=5).spread[1:5:3]]
    [5.5532456137, 4.7072750941]
    """
    params = news.validated(params)
    num_trades = validate.count("num_trades", num_trades)
    num_nodes = validate.count("num_nodes", num_nodes, minimum=8)
    return _expected_spread(params, num_trades, num_nodes)


@partial(jax.jit, static_argnums=(1, 2))
def _expected_spread(params: Params, num_trades: int, num_nodes: int) -> ExpectedSpread:
    eps = float(jnp.finfo(params.nu.dtype).eps)
    nu = params.nu + lax.stop_gradient(jnp.maximum(eps**0.5 - params.nu, 0))
    moving, _ = _relative(params._replace(nu=nu), num_trades, num_nodes)
    relative, error = _relative(lax.stop_gradient(params), num_trades, num_nodes)
    relative = moving + lax.stop_gradient(relative - moving)  # nu near 0: the slopes at eps^0.5
    # at certainty the spread is 0; near it in proportion to mu, whose expectation does not change
    certain = (params.mu_0 == 0) | (params.mu_0 == 1)
    relative, error = jnp.where(certain, 1, relative), jnp.where(certain, 0, error)
    ok = news.in_domain(params) & (error <= eps**0.6)
    opening = odds.of_prior(params.mu_0)
    spread = binary_quotes.spread_at(opening, params) * relative
    return ExpectedSpread(poison(spread, ok, params), Info(ok, error))


def _relative(params: Params, num_trades: int, num_nodes: int) -> tuple[jax.Array, jax.Array]:
    """E[spread at trade t] over the spread at trade 1, and its error."""
    start, trade, at_opening, transform = _by_trade(params, num_nodes)

    def step(c: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        c = transform @ (trade @ c)
        return c, at_opening @ c

    first = transform @ start
    last, later = lax.scan(step, first, None, length=num_trades - 1)
    error = jnp.max(jnp.abs(jnp.stack([first[-4:], last[-4:]])))
    return jnp.concatenate([jnp.ones_like(start[:1]), later]), error


def _by_trade(params: Params, num_nodes: int) -> tuple[jax.Array, ...]:
    """W over its value at the opening and over w: to begin with, at the nodes; and three matrices:
    coefficients to values one trade before, to the value at the opening; values to coefficients.

    w = mu + mu_0 is how far an error at mu matters at the opening, for mu_0 ≤ 1/2: so all digits
    stay however small mu_0 is. E[w of the next mu⁻] ≤ (1+nu) w: errors do not grow.
    """
    alpha, mu_0 = params.alpha, params.mu_0
    # the spread is the same for mu_0 and 1−mu_0; at 0 any number will do
    prior = jnp.where(mu_0 > 0.5, 1 - mu_0, mu_0)
    prior = jnp.where(prior > 0, prior, 0.5)
    params, opening = params._replace(mu_0=prior), odds.log_odds_of(prior)
    far = -float(np.log(jnp.finfo(alpha.dtype).eps))
    middle, half = (lax.stop_gradient(x) for x in _range(opening, far, params))

    nodes = jnp.asarray(chebyshev.nodes(num_nodes), alpha.dtype)
    transform = jnp.asarray(chebyshev.transform(num_nodes), alpha.dtype)

    def basis_at(y: jax.Array) -> jax.Array:
        return chebyshev.basis(jnp.clip((y - middle) / half, -1, 1), num_nodes)

    def w(y: jax.Array) -> jax.Array:
        return (odds.probability(y) + params.mu_0) / (2 * params.mu_0)  # 1 at the opening

    y = middle + half * nodes

    def after(order: jax.Array) -> jax.Array:
        then = onwards(y, jnp.full_like(y, order), alpha, params.nu, prior)
        weight = chance_of(order, y, alpha) * w(then) / w(y)
        # alpha = 1, nu = 0: certain from now on
        return jnp.where(jnp.isinf(then), 0, weight)[:, None] * basis_at(then)

    trade = jnp.sum(jax.vmap(after)(jnp.asarray([BUY, SELL], alpha.dtype)), axis=0)
    start = _shape(y, alpha) / _shape(opening, alpha) / w(y)
    return start, trade, basis_at(opening), transform


def _range(opening: jax.Array, far: float, params: Params) -> tuple[jax.Array, jax.Array]:
    """Middle and half length of the log-odds of mu⁻ that matter, opening ≤ 0: all that there are
    between the limits, or up to where the spread is a rounding of that at the opening.
    """
    # alpha near 1: the spread is flat up to one step from even odds; at 1 it is constant, then 0
    flat = jnp.where(params.alpha < 1, jnp.minimum(odds.step_of(params.alpha), far), 0)
    rates = params.mu_0, params.alpha, params.nu
    low = jnp.maximum(limit_of(SELL, *rates), opening - far - flat)
    high = jnp.minimum(limit_of(BUY, *rates), far + flat)
    # a little more: the limits themselves, where a derivative moves them, are inside
    return (low + high) / 2, (high - low) / 2 * 1.01 + 0.01


def _shape(log_odds: jax.Array, alpha: jax.Array) -> jax.Array:
    """spread/(alpha (V_H − V_L)), positive at alpha = 0 too."""
    e = odds.rarer_odds(log_odds)
    D = ((1 + alpha) + (1 - alpha) * e) * ((1 - alpha) + (1 + alpha) * e)
    return jnp.where(D > 0, odds.over(4 * e, jnp.where(D > 0, D, 1)), 0)
