"""A Gaussian value: the quotes of :mod:`~diffeq.glosten_milgrom.continuous_value` for a smooth V.

V ~ N(m, sd²); informed traders (probability alpha) buy iff V > ask, sell iff V < bid, else place no
order; the others buy or sell with chance one half. By symmetry A = m + sd a, B = m − sd a, and zero
profit is one equation for a ≥ 0, with phi and Q the normal density and its upper tail:

    alpha L(a) = (1−alpha) a/2,    L(a) = E(Z − a)^+ = phi(a) − a Q(a)                     (ask)

It is solved for x = a/alpha as log x − log 2 L(alpha x) + log(1−alpha) = 0, increasing in x and
well scaled from alpha = 0, where x = 2 phi(0), to alpha → 1, where a → ∞. At alpha = 1 no price
breaks even: closed, flagged and NaN.

A purchase moves the mean to the ask and leaves the variance where it was, exactly:

    E[Z² | buy] = [alpha (Q + a phi) + (1−alpha)/2]/P(buy) = 1 + a²,  as  alpha phi/P(buy) = a

Only a missing order narrows the belief. After one order the belief is no longer Gaussian; to go on,
put it :func:`on_grid`.

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, section 2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import erf, erfc
from jax.scipy.stats import norm

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import continuous_value, odds
from solvers import root

__all__ = ["Params", "Residual", "Solution", "on_grid", "residual", "solve"]

_HIGH = 9.0  # a is below 7.7 at the last alpha before 1 of float64, and L(9) still a normal float32


class Params(NamedTuple):
    """Parameters."""

    m: Any = 100.0
    """Mean of V, in price units."""
    sd: Any = 10.0
    """Standard deviation of V, in price units, > 0."""
    alpha: Any = 0.3
    """Probability that a trader is informed, in [0, 1]; at 1 the market is closed."""


class Solution(NamedTuple):
    """The market before its first trade; scalars."""

    bid: jax.Array
    """E[V | sale] = m − sd a, in price units."""
    ask: jax.Array
    """E[V | purchase] = m + sd a, in price units."""
    a: jax.Array
    """a = (ask − m)/sd, without its cancellation."""
    buy_probability: jax.Array
    """P(purchase) = P(sale)."""
    no_trade_probability: jax.Array
    """P(no order) = alpha P(bid ≤ V ≤ ask)."""
    mean_after_buy: jax.Array
    """E[V | purchase] from the truncated normal's moments: the ask again, in price units."""
    variance_after_buy: jax.Array
    """Var(V | purchase) from the truncated normal's moments: sd² again, in price units squared."""
    info: Info
    """Whether a root was found in the domain; the largest zero-profit residual."""


class Residual(NamedTuple):
    """|lhs − rhs| over the largest term of each condition; scalars."""

    ask: jax.Array
    """alpha E(V − A)^+ = ((1−alpha)/2)(A − m): zero profit on a sale by the market maker"""
    bid: jax.Array
    """alpha E(B − V)^+ = ((1−alpha)/2)(m − B)"""
    variance: jax.Array
    """Var(V | buy) = sd²; the solver never uses it"""


def solve(params: Params) -> Solution:
    """The opening quotes, by the root of the zero-profit condition.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable, to every order.

    Returns:
      :class:`Solution`. A lane outside the domain, or closed (alpha = 1), is NaN in every value and
      derivative, with ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain, batched, or no number.

    Reference: Glosten & Milgrom (1985); the equation above the module.

    >>> solution = solve(Params(m=100.0, sd=10.0, alpha=0.3))
    >>> round(float(solution.ask), 3), round(float(solution.no_trade_probability), 5)
    (102.466, 0.05844)
    """
    return _solve(validated(params))


@jax.jit
def _solve(params: Params) -> Solution:
    m, sd, alpha = params
    ok = in_domain(params)
    a, found = half_spread(jnp.where(ok, alpha, 0))
    buy, mean, variance = after_buy(a, alpha)
    silent = alpha * erf(a / float(np.sqrt(2)))
    fields = m - sd * a, m + sd * a, a, buy, silent, m + sd * mean, sd * sd * variance
    residual = jnp.maximum(*_residual(*fields[:3], params)[:2])
    ok &= found.converged
    return Solution(*poison(fields, ok, params), Info(ok, residual))


def half_spread(alpha: jax.Array) -> tuple[jax.Array, root.RootInfo]:
    """a = alpha x, where 2 phi(0) ≤ x ≤ 2 phi(0)/(1−alpha), as phi(0) − a/2 ≤ L(a) ≤ phi(0)."""

    def excess(x: jax.Array, alpha: jax.Array) -> jax.Array:
        return jnp.log(x) - jnp.log(2 * call(alpha * x)) + odds.log_rest(alpha)

    slack = 1 + 32 * float(jnp.finfo(alpha.dtype).eps)
    low = float(np.sqrt(2 / np.pi))
    high = low / (1 - alpha) * slack
    high = jnp.where(alpha > 0.5, jnp.minimum(high, _HIGH / jnp.maximum(alpha, 0.5)), high)
    x, found = root.bracketed(excess, low / slack, high, alpha)
    return alpha * x, found


def residual(solution: Solution, params: Params) -> Residual:
    """The equilibrium conditions, scale-free.

    Args:
      solution: bid, ask and a to judge, scalars.
      params: scalars.

    Returns:
      :class:`Residual`; zero profit is judged at the two prices, the variance at the half spread.

    Reference: Glosten & Milgrom (1985), Propositions 1 and 2.
    """
    params = validated(params)
    bid, ask, a = (jnp.asarray(x, params.m.dtype) for x in solution[:3])
    if bid.shape or ask.shape or a.shape:
        raise ValueError("solution: expected scalar fields; use jax.vmap for a batch")
    return _checked_residual(bid, ask, a, params)


@jax.jit
def _checked_residual(bid: jax.Array, ask: jax.Array, a: jax.Array, params: Params) -> Residual:
    return poison(_residual(bid, ask, a, params), in_domain(params), params)


def _residual(bid: jax.Array, ask: jax.Array, a: jax.Array, params: Params) -> Residual:
    m, sd, alpha = params
    noise = (1 - alpha) / 2

    def unfair(price: jax.Array, side: int) -> jax.Array:
        gain = alpha * sd * call(side * (price - m) / sd)
        terms = jnp.stack([gain, noise * side * m, -noise * side * price])
        scale = jnp.max(jnp.abs(terms))
        return jnp.abs(jnp.sum(terms)) / jnp.where(scale > 0, scale, 1)

    _, mean, variance = after_buy(a, alpha)
    return Residual(unfair(ask, 1), unfair(bid, -1), jnp.abs(variance - 1) / (1 + mean**2))


def on_grid(params: Params, *, num_atoms: int, width: float = 8.0) -> continuous_value.Params:
    """The same market on equally spaced atoms within ``width`` standard deviations of the mean.

    The ask on the grid approaches :func:`solve`'s at second order in the spacing, the probability
    of no order at first order only: atoms enter and leave (bid, ask) one by one.

    Args:
      params: scalars.
      num_atoms: n ≥ 2, static.
      width: in standard deviations, static, > 0.
    """
    params, num_atoms = validated(params), validate.count("num_atoms", num_atoms, minimum=2)
    width = validate.array("width", width)
    if np.shape(width) != ():
        raise ValueError(f"width: expected a scalar, got shape {np.shape(width)}")
    validate.positive("width", width)
    z = np.linspace(-width, width, num_atoms)
    weights = np.exp(-z * z / 2)
    values = params.m + params.sd * jnp.asarray(z, params.m.dtype)
    probabilities = jnp.asarray(weights / weights.sum(), values.dtype)
    return continuous_value.Params(values, probabilities, params.alpha)


@jax.custom_jvp
def call(a: jax.Array) -> jax.Array:
    """L(a) = E(Z − a)^+ = phi(a) − a Q(a) for a standard normal Z.

    The difference cancels for large a: from 3 on, L = Q/(a + 2/(a + 3/(a + 4/(a + …)))), after
    n I_n = I_{n−2} − a I_{n−1} for the repeated integrals I_{−1} = phi, I_0 = Q, I_1 = L; sixty
    terms are exact in float64 there.

    Reference: Abramowitz & Stegun (1964), 7.2.5 and 26.2.14.
    """
    x = jnp.maximum(a, 3)
    fraction = lax.fori_loop(0, 60, lambda i, below: x + (61 - i) / below, x)
    return jnp.where(a < 3, norm.pdf(a) - a * upper_tail(a), upper_tail(a) / fraction)


@call.defjvp
def _call_jvp(primals: Any, tangents: Any) -> Any:
    (a,), (move,) = primals, tangents
    return call(a), -upper_tail(a) * move  # L' = −Q


def upper_tail(a: jax.Array) -> jax.Array:
    """Q(a) = P(Z > a)."""
    return erfc(a / float(np.sqrt(2))) / 2


def after_buy(a: jax.Array, alpha: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """P(buy), and mean and variance of Z = (V − m)/sd after a purchase at m + sd a."""
    buy = alpha * upper_tail(a) + (1 - alpha) / 2
    mean = alpha * norm.pdf(a) / buy
    return buy, mean, 1 + mean * (a - mean)  # E[Z² | buy] = 1 + a mean


def in_domain(params: Params) -> jax.Array:
    """Whether m and sd > 0 are finite and alpha in [0, 1): at 1 the market is closed."""
    m, sd, alpha = params
    return jnp.isfinite(m) & jnp.isfinite(sd) & (sd > 0) & (alpha >= 0) & (alpha < 1)


def validated(params: Params) -> Params:
    """The parameters as arrays of one dtype; raises if concrete and outside the domain."""
    params = validate.parameters(params, Params, positive=("sd",), probability=("alpha",))
    return Params(*map(jnp.asarray, params))
