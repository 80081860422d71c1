"""Elastic uninformed demand with a Gaussian value: the market that breaks down.

V ~ N(m, sd²). With probability alpha a trader knows V; otherwise he has private value m + s·eps and
trades if it is beyond the quote, as in :mod:`elastic`. With a = (A − m)/sd and kappa = sd/s, zero
profit on the ask side is

    (1−alpha) S(kappa a) a = alpha J(a),   J(a) = E(v − a)^+ = phi(a) − a Phi(−a),  v ~ N(0, 1), (1)

and the bid is the mirror image. In logs, alpha/(1−alpha) = R(a) with

    log R(a) = log S(kappa a) + log a − log J(a).                                              (2)

A bounded V leaves a quote at which no informed trader gains; an unbounded one does not. Normal eps:
for s ≥ sd R rises without bound and the ask is unique. For s < sd it rises to a maximum and falls,
as those who trade for liquidity are gone before the informed are: two asks, the lower is the
equilibrium, and at the alpha of the maximum, a fold, the market breaks down. Logistic eps has the
thicker tail: R ends up rising, and beyond a fold the ask jumps to a high one.

Reference: Glosten & Milgrom (1985), section 2, on the closing of the market; Glosten (1989),
Journal of Business 62, on breakdown.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import private_values
from diffeq.glosten_milgrom.odds import log_rest
from diffeq.glosten_milgrom.private_values import LAWS, mean_excess
from solvers import root

__all__ = ["Breakdown", "Params", "Solution", "breakdown", "solve"]


class Params(NamedTuple):
    """Parameters; the defaults are the reference example of the dealers."""

    m: Any = 0.0
    """E[V], in price units."""
    sd: Any = 1.0
    """Standard deviation of V, in price units; > 0."""
    alpha: Any = 0.3
    """Probability that a trader is informed, in [0, 1]."""
    s: Any = 1.0
    """Scale of the uninformed private values, in price units; > 0."""


class Solution(NamedTuple):
    """The quotes; scalars, NaN where the market has broken down."""

    bid: jax.Array
    """The highest zero-profit bid, in price units."""
    ask: jax.Array
    """The lowest zero-profit ask, in price units."""
    spread: jax.Array
    """ask − bid, without its cancellation."""
    acceptance: jax.Array
    """Probability that an uninformed trader buys; the same that he sells."""
    closed: jax.Array
    """bool: no quote makes zero profit"""
    info: Info
    """converged: in the domain, open and solved; residual: of zero profit."""


class Breakdown(NamedTuple):
    """Where the low ask vanishes as alpha grows; scalars, NaN where it never does."""

    alpha: jax.Array
    """The critical alpha: the largest with that low ask."""
    ask: jax.Array
    """The ask there, in price units."""
    acceptance: jax.Array
    """Probability that an uninformed trader takes it."""
    info: Info
    """converged: there is such an alpha; residual: slope of log R in log a at it."""


def solve(params: Params, *, noise: str = "normal") -> Solution:
    """The lowest zero-profit ask and its mirror image, the bid.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable.
      noise: law of the private values, "normal" or "logistic", both of scale s.

    Returns:
      :class:`Solution`. Beyond the breakdown, at alpha = 1, and outside the domain every value and
      derivative is NaN and ``info.converged`` False; ``closed`` tells the first two.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain, batched, or no number.

    Reference: equation 1 above.

    >>> round(float(solve(Params(m=0.0, sd=1.0, alpha=0.3, s=1.0)).ask), 10)
    0.2993043721
    """
    params = validated(params)
    private_values.law(noise)
    return _solve(params, noise)


def breakdown(params: Params, *, noise: str = "normal") -> Breakdown:
    """The alpha at which the low ask vanishes: R's first maximum, found as a root of its slope.

    With normal eps the market breaks down there; with logistic eps the ask jumps.

    Args:
      params: scalars; alpha does not enter. Differentiable in every other leaf.
      noise: as in :func:`solve`.

    Returns:
      :class:`Breakdown`; NaN in value and derivative, ``info.converged`` False, where the low ask
      never vanishes: normal eps with s ≥ sd, logistic with s > .338 sd.

    Raises:
      ValueError, TypeError: as :func:`solve`.

    Reference: Glosten (1989), Journal of Business 62, on breakdown.

    >>> found = breakdown(Params(m=0.0, sd=1.0, s=0.5))
    >>> round(float(found.alpha), 10), round(float(found.ask), 10)
    (0.2905687585, 0.5849121741)
    """
    params = validated(params)
    private_values.law(noise)
    return _breakdown(params, noise)


@partial(jax.jit, static_argnames="noise")
def _solve(params: Params, noise: str) -> Solution:
    m, sd, alpha, s = params
    found = lowest_ask(alpha, sd / s, noise)
    ok = in_domain(params) & found.ok
    S = LAWS[noise].survival(found.a * sd / s)
    prices = m - sd * found.a, m + sd * found.a, 2 * sd * found.a, S
    closed = in_domain(params) & found.closed
    return Solution(*poison(prices, ok, params), closed, Info(ok, found.residual))


@partial(jax.jit, static_argnames="noise")
def _breakdown(params: Params, noise: str) -> Breakdown:
    m, sd, _, s = params
    a, exists = first_maximum(sd / s, noise)
    ok = in_domain(params) & exists
    a, kappa = jnp.where(ok, a, 1), jnp.where(ok, sd / s, 1)
    alpha = jax.nn.sigmoid(log_R(a, kappa, noise))
    fields = alpha, m + sd * a, LAWS[noise].survival(kappa * a)
    slope = jnp.abs(_log_slope_ratio(jnp.log(a), kappa, noise))
    return Breakdown(*poison(fields, ok, params), Info(ok, slope))


class LowestAsk(NamedTuple):
    """The lowest root of equation 1."""

    a: jax.Array
    """(A − m)/sd"""
    closed: jax.Array
    """bool: there is none"""
    ok: jax.Array
    """bool: found to the dtype's accuracy"""
    residual: jax.Array
    """|lhs − rhs| of (1) over the larger"""


def lowest_ask(alpha: jax.Array, kappa: jax.Array, noise: str) -> LowestAsk:
    """The lowest root a of equation 1, with derivative; never NaN: see ``ok``.

    Sought as w = log(a/alpha), which is regular at alpha = 0.
    """
    log_S = LAWS[noise].log_survival

    def excess(w: jax.Array, p: tuple[jax.Array, jax.Array]) -> jax.Array:
        alpha, kappa = p
        a = alpha * jnp.exp(w)
        return log_rest(alpha) + log_S(kappa * a) + w - log_J(a)

    at, k = lax.stop_gradient((jnp.where(alpha < 1, alpha, 0.5), kappa))
    log_alpha = jnp.log(jnp.maximum(at, jnp.finfo(at.dtype).tiny))
    turn, folds = first_maximum(k, noise)
    w_turn = jnp.log(turn) - log_alpha
    first = folds & (log_R(turn, k, noise) + log_rest(at) >= log_alpha)  # the excess there
    # J(.9) > .1, S ≤ 1/2: loss at a ≤ .9 with (1−alpha) a ≤ .15 alpha
    low = jnp.log(jnp.minimum(0.15 / (1 - at), 0.9 / jnp.maximum(at, 0.1)))
    before = jnp.minimum(w_turn, jnp.log(0.4) - log_rest(at) - log_S(k * turn))  # J < .4
    if noise == "normal":
        closed = (alpha >= 1) | (folds & ~first)
        beyond = jnp.log(0.85) - log_rest(at)  # s ≥ sd: S a/J ≥ a/mean excess ≥ a/.8
    else:
        closed = alpha >= 1
        beyond = jnp.log(highest_ask(at, k)) - log_alpha
    low = jnp.where(folds & ~first, w_turn, low)
    # alpha e^w at alpha = 0 is 0, not NaN; at such alpha the root is far below
    high = jnp.minimum(jnp.where(first, before, beyond), float(np.log(jnp.finfo(at.dtype).max)) - 1)

    # a market that is open, in place of a closed one: no NaN
    alpha, kappa = jnp.where(closed, 0.1, alpha), jnp.where(closed, 0.5, kappa)
    low, high = jnp.where(closed, -3, low), jnp.where(closed, 3, high)
    w, info = root.bracketed(excess, low, high, (alpha, kappa))
    residual = lax.stop_gradient(jnp.abs(jnp.expm1(excess(w, (alpha, kappa)))))
    return LowestAsk(alpha * jnp.exp(w), closed, ~closed & info.converged, residual)


def highest_ask(alpha: jax.Array, kappa: jax.Array) -> jax.Array:
    """A bound on a for logistic eps: there R ≥ exp(a²/2 − kappa a) ≥ alpha/(1−alpha)."""
    log_odds = jnp.maximum(jnp.log(alpha) - log_rest(alpha), 0)
    return 1 + kappa + jnp.sqrt(kappa**2 + 2 * log_odds)


def log_J(a: jax.Array) -> jax.Array:
    """log E(v − a)^+ = log Phi(−a) + log E[v − a | v > a]; no underflow, no cancellation."""
    return LAWS["normal"].log_survival(a) + jnp.log(mean_excess(a))


def log_R(a: jax.Array, kappa: jax.Array, noise: str) -> jax.Array:
    """Equation 2."""
    return LAWS[noise].log_survival(kappa * a) + jnp.log(a) - log_J(a)


def first_maximum(kappa: jax.Array, noise: str) -> tuple[jax.Array, jax.Array]:
    """(a of the first maximum of log R, with derivative; whether there is one).

    d log R/d log a changes sign there, so kappa h(kappa a) = 1/a + 1/E[v − a | v > a]. The log of
    the ratio of the two sides rises in log a for normal eps, to 2 log kappa; for logistic eps it
    rises to a peak in [.4, 3] and falls.
    """
    fixed = lax.stop_gradient(kappa)
    if noise == "normal":
        exists = fixed > 1
        square = jnp.where(exists, (fixed - 1) * (fixed + 1), 3)  # near sd: a² = 2/square
        kappa, end = jnp.where(exists, kappa, 2), jnp.log(4 / jnp.sqrt(square))
    else:
        slope = partial(_peak_slope, noise=noise)
        end, _ = root.bracketed(slope, jnp.log(0.4), jnp.log(3.0), fixed, num_steps=20)
        end = end.astype(kappa.dtype)
        exists = _log_slope_ratio(end, fixed, noise) > 0
        kappa, end = jnp.where(exists, kappa, 10), jnp.where(exists, end, 0)
    start = jnp.log(0.5 / lax.stop_gradient(kappa))  # z h(z) < 1 there
    ratio = partial(_log_slope_ratio, noise=noise)
    y, info = root.bracketed(ratio, start, end, kappa)
    return jnp.exp(y), exists & info.converged


def _log_slope_ratio(y: jax.Array, kappa: jax.Array, noise: str) -> jax.Array:
    """log of kappa h(kappa a) / (1/a + 1/E), E = E[v − a | v > a], at a = exp y."""
    a = jnp.exp(y)
    return jnp.log(kappa * LAWS[noise].hazard(kappa * a)) - jnp.log(1 / a + 1 / mean_excess(a))


def _peak_slope(y: jax.Array, kappa: jax.Array, noise: str) -> jax.Array:
    """Its derivative in y."""
    slope: jax.Array = jax.jvp(
        lambda y: _log_slope_ratio(y, kappa, noise), (y,), (jnp.ones_like(y),)
    )[1]
    return slope


def in_domain(params: Params) -> jax.Array:
    """Whether m is finite, sd and s finite and positive, alpha in [0, 1]."""
    m, sd, alpha, s = params
    kappa = sd / s
    scales = (sd > 0) & (s > 0) & jnp.isfinite(sd) & jnp.isfinite(s)
    usable = jnp.isfinite(kappa) & (kappa > 0)
    return jnp.isfinite(m) & scales & usable & (alpha >= 0) & (alpha <= 1)


def validated(params: Params) -> Params:
    """The parameters as arrays of one dtype; raises if concrete and outside the domain."""
    return validate.parameters(params, Params, positive=("sd", "s"), probability=("alpha",))
