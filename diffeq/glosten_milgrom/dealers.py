"""How many dealers: competition against monopoly when uninformed demand is elastic.

Two or more identical dealers undercut each other to the lowest zero-profit quotes. One dealer
instead posts, for the current belief alone (he does not trade to learn), the quotes of the largest
expected profit per arrival. With V ~ N(m, sd²), a = (A − m)/sd, kappa = sd/s and z = kappa a,

    profit(a)/sd = (1−alpha) S(z) a − alpha J(a),                  J(a) = E(v − a)^+,
    first-order condition    (1−alpha)[S(z) − z f(z)] + alpha P(v > a) = 0.                    (1)

With h = f/S the hazard (1) is z h(z) = 1 + alpha P(v > a)/((1−alpha) S(z)), of which both sides are
≥ 1: the monopolist quotes beyond the z h(z) = 1 that he would choose without informed traders. His
ask is always above the competitive one, and he opens exactly where competition does.

A binary V, for which he often leaves the informed nothing at all, is in :mod:`binary_dealers`.

Reference: Glosten (1989), Journal of Business 62, 211–235, on the monopolist specialist.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import gaussian_elastic, private_values
from diffeq.glosten_milgrom.gaussian_elastic import Params, in_domain, log_J
from diffeq.glosten_milgrom.odds import log_rest
from diffeq.glosten_milgrom.private_values import LAWS, Law
from solvers import root

__all__ = ["Params", "Solution", "residual", "solve"]

SEARCH = 256
"""Points, log-spaced in z, between which the best quotes are looked for."""


class Solution(NamedTuple):
    """The dealers' quotes; scalars, NaN where there is no market."""

    bid: jax.Array
    """The bid, in price units."""
    ask: jax.Array
    """The ask, in price units."""
    spread: jax.Array
    """ask − bid, without its cancellation."""
    profit: jax.Array
    """Expected profit of all dealers per arrival, in price units; 0 in competition."""
    acceptance: jax.Array
    """Probability that an uninformed trader buys; the same that he sells."""
    closed: jax.Array
    """bool: no quote earns a profit ≥ 0"""
    info: Info
    """converged: in the domain, open and solved; residual: of zero profit, or of condition 1."""


def solve(params: Params, *, num_dealers: int, noise: str = "normal") -> Solution:
    """The quotes of one dealer, or of two and more.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable.
      num_dealers: ≥ 1; from 2 on it does not matter how many.
      noise: law of the private values, "normal" or "logistic", both of scale s.

    Returns:
      :class:`Solution`. Without a market (see :mod:`gaussian_elastic`) and outside the domain every
      value and derivative is NaN and ``info.converged`` False; ``closed`` tells the first.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain, batched, or no number.

    Reference: equation 1 above.

    >>> competitive, monopoly = (solve(Params(alpha=0.3), num_dealers=n) for n in (2, 1))
    >>> round(float(competitive.ask), 10), round(float(monopoly.ask), 10)
    (0.2993043721, 0.9578301629)
    """
    params = gaussian_elastic.validated(params)
    private_values.law(noise)
    return _solve(params, validate.count("num_dealers", num_dealers) == 1, noise)


def residual(ask: Any, params: Params, *, num_dealers: int, noise: str = "normal") -> jax.Array:
    """|lhs − rhs| over the largest term of the condition on the ask; scalar.

    Zero profit for ``num_dealers`` ≥ 2, equation 1 for one.

    Args:
      ask: the price to judge, scalar, in price units.
      params, num_dealers, noise: as for :func:`solve`.

    Raises:
      ValueError, TypeError: as :func:`solve`, or an ask that is no scalar.

    Reference: equation 1 above; Glosten (1989).
    """
    params = gaussian_elastic.validated(params)
    private_values.law(noise)
    ask = validate.array("ask", ask)
    if ask is None:
        raise TypeError("ask: expected a number, got None")
    if np.shape(ask) != ():
        raise ValueError(f"ask: expected a scalar, got {np.shape(ask)}; use jax.vmap")
    monopoly = validate.count("num_dealers", num_dealers) == 1
    return _residual(jnp.asarray(ask, params.alpha.dtype), params, monopoly, noise)


@partial(jax.jit, static_argnames=("monopoly", "noise"))
def _solve(params: Params, monopoly: bool, noise: str) -> Solution:
    m, sd, alpha, s = params
    kappa, domain = sd / s, in_domain(params)
    if monopoly:
        a, closed, solved, worst = _best_ask(alpha, kappa, noise)
    else:
        a, closed, solved, worst = gaussian_elastic.lowest_ask(alpha, kappa, noise)
    ok = domain & solved
    away = sd * a
    profit = 2 * sd * _profit(a, alpha, kappa, noise)
    S = LAWS[noise].survival(kappa * a)
    fields = poison((m - away, m + away, 2 * away, profit, S), ok, params)
    return Solution(*fields, domain & closed, Info(ok, worst))


def _profit(a: jax.Array, alpha: jax.Array, kappa: jax.Array, noise: str) -> jax.Array:
    """Expected profit of the ask side per arrival, over sd."""
    return (1 - alpha) * LAWS[noise].survival(kappa * a) * a - alpha * jnp.exp(log_J(a))


def _best_ask(alpha: jax.Array, kappa: jax.Array, noise: str) -> tuple[jax.Array, ...]:
    """(a of the largest profit, closed, found, residual).

    The profit rises where the excess of (1) is negative, so a maximum is where it changes to
    positive. It does so once, with logistic eps once or twice: the first and the last are compared.
    Where the two nearly coincide with the minimum between them neither is the best.
    """
    law = LAWS[noise]
    empty = alpha >= 1
    safe = jnp.where(empty, 0.5, alpha)
    at, k = lax.stop_gradient((safe, kappa))
    z = _search_points(at, k, noise)
    up = jax.vmap(lambda z: _excess(z, (at, k), law))(z) >= 0
    change = up[1:] & ~up[:-1]
    places = jnp.argmax(change), SEARCH - 2 - jnp.argmax(change[::-1])
    found = [
        root.bracketed(lambda z, p: _excess(z, p, law), z[i], z[i + 1], (safe, kappa))
        for i in (jnp.stack(places) if noise == "logistic" else places[:1])
    ]
    a = jnp.stack([x for x, _ in found]) / kappa
    profits = lax.stop_gradient(_profit(a, at, k, noise))
    best = jnp.argmax(profits)
    closed = empty | ~jnp.any(change)
    if noise == "normal":  # with logistic eps some quote always pays
        # profit < 0, also where it is below the floating range
        closed |= gaussian_elastic.log_R(a[best], k, noise) < jnp.log(at) - log_rest(at)
    solved = jnp.stack([info.converged for _, info in found])[best]
    worst = jnp.abs(jnp.expm1(_excess(a[best] * kappa, (at, k), law)))
    return a[best], closed, ~closed & solved, lax.stop_gradient(worst)


def _excess(z: jax.Array, p: tuple[jax.Array, jax.Array], law: Law) -> jax.Array:
    """Log of the ratio of the two sides of z h(z) = 1 + alpha P(v > a)/((1−alpha) S(z))."""
    alpha, kappa = p
    log_ratio = LAWS["normal"].log_survival(z / kappa) - law.log_survival(z)
    # beyond half the range of exp the excess is far below zero, which is all that matters
    large = 0.5 * float(np.log(jnp.finfo(z.dtype).max))
    ratio = jnp.exp(jnp.minimum(log_ratio, large))
    return jnp.log(z * law.hazard(z)) - jnp.log1p(alpha / (1 - alpha) * ratio)


def _search_points(alpha: jax.Array, kappa: jax.Array, noise: str) -> jax.Array:
    """(SEARCH,) values of z between which the excess of (1) has all its changes to positive.

    None is below 0.7, where z h(z) < 1. Normal eps: with s ≥ sd the right side of (1) is at most
    1/(1−alpha), the left at least z²; with s < sd a minimum of the profit follows the maximum.
    """
    if noise == "normal":
        simple = 1.2 + 1 / jnp.sqrt(1 - alpha)
        square = jnp.where(kappa > 1, (kappa - 1) * (kappa + 1), 1)
        end = jnp.where(kappa > 1, 4 * kappa / jnp.sqrt(square), simple)
    else:
        end = jnp.maximum(kappa * gaussian_elastic.highest_ask(alpha, kappa), 3) + 0.5
    share = jnp.linspace(0, 1, SEARCH, dtype=alpha.dtype)
    return 0.7 * jnp.exp(share * jnp.log(end / 0.7))


@partial(jax.jit, static_argnames=("monopoly", "noise"))
def _residual(ask: jax.Array, params: Params, monopoly: bool, noise: str) -> jax.Array:
    m, sd, alpha, s = params
    law, a, z = LAWS[noise], (ask - m) / sd, (ask - m) / s
    # over the larger of S and what goes with alpha: far from the mean both underflow
    log_S, log_lost = law.log_survival(z), LAWS["normal"].log_survival(a) if monopoly else log_J(a)
    log_unit = jnp.maximum(log_S, log_lost)
    S, lost = jnp.exp(log_S - log_unit), jnp.exp(log_lost - log_unit)
    if monopoly:
        terms = [(1 - alpha) * S, -(1 - alpha) * z * S * law.hazard(z), alpha * lost]
    else:
        terms = [(1 - alpha) * S * a, -alpha * lost]
    scale = jnp.max(jnp.abs(jnp.stack(terms)))
    unfair = jnp.abs(jnp.sum(jnp.stack(terms))) / jnp.where(scale > 0, scale, 1)
    return poison(unfair, in_domain(params), params)
