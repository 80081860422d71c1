"""The paper's opening example: three states, two signals, an insider who trades one butterfly.

Signal 1 says that the price moves, up or down with even chances, eta_1 = (½, 0, ½); signal 2 that
it stays, eta_2 = (0, 1, 0). Prior ½, unit noise. The insider may only trade (alpha, −alpha, alpha)
under signal 1 and its negative under signal 2; the market maker believes the size is ``belief``. By
symmetry the expected profit is the same under both signals:

    profit(alpha; belief) = 2 alpha E[1 − q],   log q/(1−q) = 2 belief (3 alpha + √3 Z),

Z ~ N(0, 1).

In equilibrium alpha maximises this at a *fixed* belief = alpha: alpha = 1/√3. The curve
profit(alpha; alpha), along which the belief moves with the trade, peaks elsewhere, at alpha =
.4723: the best size for an insider who could commit to it, not an equilibrium. Free to choose any
demand the insider trades (.40825, −.81650, .40825) and earns .27532.

Reference: Keller & Tseng (2024), section 2 and figure 1b.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from diffeq import validate
from diffeq.check import Info
from diffeq.contingent.black import numbers
from solvers import quadrature

__all__ = [
    "Solution",
    "equilibrium",
    "profit",
    "profit_belief_moving",
]

ETA = ((0.5, 0.0, 0.5), (0.0, 1.0, 0.0))
"""Probability of each state under each signal."""
BUTTERFLY = (1.0, -1.0, 1.0)
"""The insider's demand under signal 1, per unit of alpha."""
CLOSED_FORM = 1 / math.sqrt(3)
"""The equilibrium alpha."""


class Solution(NamedTuple):
    """The equilibrium of the restricted game."""

    alpha: jax.Array
    """Size of the insider's trade, and the market maker's belief."""
    profit: jax.Array
    """Expected profit of the insider; price units."""
    info: Info
    """residual: |∂profit/∂alpha| at fixed belief, over profit/alpha."""


def profit(alpha: Any, belief: Any) -> jax.Array:
    """Expected profit of trading alpha when the market maker believes ``belief``.

    Any real numbers or arrays; they broadcast. By quadrature, exact to a rounding of alpha;
    differentiable.

    Reference: Keller & Tseng (2024), section 2.

    >>> round(float(profit(3**-0.5, 3**-0.5)), 5)
    0.25958
    """
    alpha, belief = numbers(positive=(), alpha=alpha, belief=belief)
    validate.finite("alpha", alpha)
    validate.finite("belief", belief)
    result: jax.Array = _profit(alpha, belief)
    return result


def profit_belief_moving(alpha: Any) -> jax.Array:
    """profit(alpha; alpha), shape of alpha: figure 1b's curve, on which belief follows trade."""
    return profit(alpha, alpha)


def equilibrium() -> Solution:
    """The :class:`Solution`: alpha = 1/√3, its profit, and the first-order condition's residual.

    >>> round(float(equilibrium().alpha), 6)
    0.57735
    """
    alpha = jnp.asarray(CLOSED_FORM, jnp.result_type(float))
    value, slope = jax.value_and_grad(_profit)(alpha, alpha)
    residual = jnp.abs(slope) * alpha / value
    return Solution(alpha, value, Info(residual <= 100 * jnp.finfo(alpha.dtype).eps, residual))


@jax.jit
@jnp.vectorize
def _profit(alpha: jax.Array, belief: jax.Array) -> jax.Array:
    mean, deviation = 6 * alpha * belief, math.sqrt(12) * belief
    return 2 * alpha * _mean_logistic(-mean, deviation)


def _mean_logistic(mean: jax.Array, deviation: jax.Array) -> jax.Array:
    """E[1/(1 + e^{−(mean + deviation Z)})], Z ~ N(0, 1).

    The trapezoid rule is exact as long as neither factor of the integrand is steep: over Z where
    the deviation is at most 1; else over the logistic's own variable L, as E[Φ((mean + L)/sd)].
    """
    z, normal, L, logistic = (jnp.asarray(a, mean.dtype) for a in (*_NORMAL, *_LOGISTIC))
    wide = jnp.abs(deviation) > 1
    sd = jnp.where(wide, jnp.abs(deviation), 1)
    over_z = jnp.sum(normal * jax.nn.sigmoid(mean + deviation * z))
    return jnp.where(wide, jnp.sum(logistic * ndtr((mean + L) / sd)), over_z)


def _rules() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Nodes and weights for a standard normal and for a standard logistic variable."""
    z, dz = quadrature.trapezoid(-9.0, 9.0, 73)
    normal = dz * np.exp(-z * z / 2)
    L, dL = quadrature.trapezoid(-38.0, 38.0, 153)
    logistic = dL / (2 + 2 * np.cosh(L))
    return (z, normal / normal.sum()), (L, logistic / logistic.sum())


_NORMAL, _LOGISTIC = _rules()
