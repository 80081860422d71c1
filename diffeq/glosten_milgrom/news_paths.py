"""Many trades under arriving information: the filter, its likelihood, simulation, average spread.

The model of one trade is :mod:`~diffeq.glosten_milgrom.news`. Beliefs depend on the whole order of
buys and sales, not only on their number, so the exact law after t trades has 2^t points. But what
is expected k trades from now is a function of one number, the log-odds y of mu⁻, and a smooth one:

    W_1(y) = spread(y),   W_k(y) = P(buy) W_{k−1}(y after a buy) + P(sale) W_{k−1}(y after a sale)

W_k is analytic for |Im y| < pi, so a few hundred Chebyshev nodes on the range of beliefs hold it to
rounding, and one trade is one product with the same matrix.

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, 71–100; Hamilton (1989),
Econometrica 57, 357–384 (the filter); Trefethen (2013), Approximation Theory (the interpolation).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import binary_value as base
from diffeq.glosten_milgrom import news, odds
from diffeq.glosten_milgrom.binary_value import BUY, SELL
from diffeq.glosten_milgrom.news import Params
from solvers import chebyshev

__all__ = ["ExpectedSpread", "Paths", "beliefs", "expected_spread", "log_likelihood", "simulate"]


class Paths(NamedTuple):
    """P simulated days of T trades, arrays (P, T); entry t−1 is trade t."""

    value: jax.Array
    """V in force at the trade, in price units."""
    order: jax.Array
    """int8: +1 a buy, −1 a sale."""
    informed: jax.Array
    """bool: the trader knew V."""
    bid: jax.Array
    """Bid, in price units."""
    ask: jax.Array
    """Ask, in price units."""
    log_odds: jax.Array
    """Log-odds of mu, the belief after the trade."""

    @property
    def price(self) -> jax.Array:
        """What was paid: the ask of a buy, the bid of a sale."""
        return jnp.where(self.order == BUY, self.ask, self.bid)

    @property
    def profit(self) -> jax.Array:
        """Profit of the trader, order·(V − price), in money; the market maker's is its negative."""
        return self.order * (self.value - self.price)


class ExpectedSpread(NamedTuple):
    """The spread that is expected before the first trade, under the public's measure."""

    spread: jax.Array
    """E[spread quoted at trade t], t = 1..num_trades, in price units, shape (num_trades,)."""
    info: Info
    """Whether the parameters lie in their domain and the nodes suffice; the last coefficients of
    the interpolation over the spread at trade 1."""


def beliefs(orders: Any, params: Params) -> jax.Array:
    """The filter: log-odds of mu before the first order and after each, shape (T + 1,).

    Args:
      orders: +1 for a buy, −1 for a sale, shape (T,); batch with ``jax.vmap``.
      params: scalars.

    Raises:
      ValueError, TypeError: orders of another code or shape; a parameter out of domain.

    Reference: Hamilton (1989).

    >>> round(float(odds.belief(beliefs([1, 1, -1, 1, 1], Params())[-1])), 10)
    0.8398580287
    """
    params = news.validated(params)
    return _beliefs(_sequence(orders), params)


def log_likelihood(orders: Any, params: Params) -> jax.Array:
    """log P(orders), scalar: the sum of log P(order | orders before it).

    Args:
      orders: +1 for a buy, −1 for a sale, shape (T,); batch with ``jax.vmap``.
      params: scalars; the values V_L and V_H do not enter. Differentiable in mu_0, alpha and nu.

    Returns:
      Scalar; −inf for a sequence that cannot occur (alpha = 1, nu = 0, then a buy and a sale).

    Raises:
      ValueError, TypeError: orders of another code or shape; a parameter out of domain.

    Reference: Hamilton (1994), Time Series Analysis, equation (22.4.7).
    """
    params = news.validated(params)
    return _log_likelihood(_sequence(orders), params)


def simulate(key: jax.Array, params: Params, *, num_trades: int, num_paths: int = 1) -> Paths:
    """Draw V, redraw it at random times, and trade, ``num_paths`` times.

    Args:
      key: random key.
      params: scalars.
      num_trades: T, static.
      num_paths: P, static.

    Returns:
      :class:`Paths`, arrays (P, T). Where a traced parameter is outside its domain, values, quotes
      and beliefs are NaN.

    Raises:
      ValueError, TypeError: a concrete argument out of domain.

    Reference: steps 1 to 5 of :mod:`~diffeq.glosten_milgrom.news`.

    >>> simulate(jax.random.key(0), Params(), num_trades=200, num_paths=4).ask.shape
    (4, 200)
    """
    params = news.validated(params)
    num_trades = validate.count("num_trades", num_trades)
    return _simulate(key, params, num_trades, validate.count("num_paths", num_paths))


def expected_spread(params: Params, *, num_trades: int, num_nodes: int = 384) -> ExpectedSpread:
    """E[spread at trade t], t = 1..num_trades, before the first trade, by dynamic programming.

    Args:
      params: scalars; every leaf is differentiable, also at the ends of its domain.
      num_trades: T, static; the cost is T num_nodes².
      num_nodes: n of the interpolation, static. The default is enough unless both nu and 1−alpha,
        or one of mu_0 and 1−mu_0, are below 1e-12; 64 are enough for all above 1e-2.

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


def _sequence(orders: Any) -> jax.Array:
    orders = validate.codes("orders", orders, (SELL, BUY))
    if orders is None or np.ndim(orders) != 1:
        raise ValueError(f"orders: expected shape (T,), got {np.shape(orders)}; batch by jax.vmap")
    return jnp.asarray(orders)


def _before(orders: jax.Array, params: Params) -> jax.Array:
    """Log-odds of mu⁻ before each order, shape (T,); NaN if an order is of another code."""
    known = jnp.all((orders == BUY) | (orders == SELL))
    start = news.before_at(odds.log_odds_of(params.mu_0), params)
    codes = orders.astype(start.dtype)

    def trade(at: jax.Array, order: jax.Array) -> tuple[jax.Array, jax.Array]:
        return news.onwards(at, order, params.alpha, params.nu, params.mu_0), at

    return jnp.where(known, lax.scan(trade, start, codes)[1], jnp.nan)


def _path(orders: jax.Array, params: Params) -> jax.Array:
    before = _before(orders, params)
    after = odds.bayes(before, orders.astype(before.dtype), params.alpha)
    return jnp.concatenate([odds.log_odds_of(params.mu_0)[None], after])


def _log_chance(orders: jax.Array, params: Params) -> jax.Array:
    before = _before(orders, params)
    chance = news.chance_of(orders.astype(before.dtype), before, params.alpha)
    return jnp.sum(odds.log_ratio(chance, jnp.ones_like(chance)))


@partial(jax.jit, static_argnums=(2, 3))
def _simulate(key: jax.Array, params: Params, num_trades: int, num_paths: int) -> Paths:
    params = poison(params, news.in_domain(params), params)
    alpha, nu, mu_0 = params.alpha, params.nu, params.mu_0
    key_V, key_trades = jax.random.split(key)

    def uniform(key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, (num_paths,), alpha.dtype)

    def trade(
        state: tuple[jax.Array, jax.Array], t: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, ...]]:
        high, at = state
        redraw, u = map(uniform, jax.random.split(jax.random.fold_in(key_trades, t)))
        high = jnp.where(redraw < nu, redraw < nu * mu_0, high)
        # under V_H: informed buy, uninformed buy, uninformed sale; under V_L the mirror image
        order = jnp.where((u < (1 + alpha) / 2) == high, BUY, SELL).astype(np.int8)
        bid, ask = news.quotes_at(at, params)
        at = news.update_at(at, order, params)
        value = jnp.where(high, params.V_H, params.V_L)
        return (high, at), (value, order, u < alpha, bid, ask, at)

    start = uniform(key_V) < mu_0, jnp.full((num_paths,), odds.log_odds_of(mu_0))
    records = lax.scan(trade, start, jnp.arange(num_trades))[1]
    return Paths(*(record.T for record in records))


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
    opening = odds.log_odds_of(params.mu_0)
    spread = base.spread_at(opening, news.static(params)) * relative
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
    trade = jnp.zeros((num_nodes, num_nodes), alpha.dtype)
    for order in (BUY, SELL):
        then = news.onwards(y, jnp.full_like(y, order), alpha, params.nu, prior)
        weight = news.chance_of(order, y, alpha) * w(then) / w(y)
        # alpha = 1, nu = 0: certain from now on
        trade += jnp.where(jnp.isinf(then), 0, weight)[:, None] * basis_at(then)
    start = _shape(y, alpha) / _shape(opening, alpha) / w(y)
    return start, trade, basis_at(opening), transform


def _range(opening: jax.Array, far: float, params: Params) -> tuple[jax.Array, jax.Array]:
    """Middle and half length of the log-odds of mu⁻ that matter, opening ≤ 0: all that there are
    between the limits, or up to where the spread is a rounding of that at the opening.
    """
    # alpha near 1: the spread is flat up to one step from even odds; at 1 it is constant, then 0
    flat = jnp.where(params.alpha < 1, jnp.minimum(odds.step_of(params.alpha), far), 0)
    low = jnp.maximum(news.limit_of(SELL, params), opening - far - flat)
    high = jnp.minimum(news.limit_of(BUY, params), far + flat)
    # a little more: the limits themselves, where a derivative moves them, are inside
    return (low + high) / 2, (high - low) / 2 * 1.01 + 0.01


def _shape(log_odds: jax.Array, alpha: jax.Array) -> jax.Array:
    """spread/(alpha (V_H − V_L)), positive at alpha = 0 too."""
    e = odds.rarer_odds(log_odds)
    D = ((1 + alpha) + (1 - alpha) * e) * ((1 - alpha) + (1 + alpha) * e)
    return jnp.where(D > 0, 4 * e / jnp.where(D > 0, D, 1), 0)


def _poisoned(of: Any) -> Any:
    """The function, its last argument params, jitted; NaN where they are outside their domain."""
    return jax.jit(lambda *args: poison(of(*args), news.in_domain(args[-1]), args[-1]))


_beliefs, _log_likelihood = map(_poisoned, (_path, _log_chance))
