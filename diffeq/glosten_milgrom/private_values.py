"""The uninformed trader's private value zeta = m + s·eps: the law of eps, exact in its far tails.

An uninformed trader buys iff zeta > ask: with probability S((ask − m)/s), S the survival function
of eps. Quotes far from the mean meet survivals of 1e-16 and hazards f/S that are differences of
large numbers, so each law brings log S and the hazard in forms that neither underflow nor cancel.

    normal:    S(z) = Phi(−z)          hazard 1/R(z), R the Mills ratio
    logistic:  S(z) = 1/(1 + exp z)    hazard 1 − S(z)

Both are symmetric, S(0) = 1/2, and have a log-concave hazard that rises no faster than 1 + z.

Reference: Mills (1926), Biometrika 18; for R(z) = E[z/(z² + X²)], X ~ N(0, 1), Abramowitz & Stegun
(1964), 7.1.4.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import erfc

from diffeq import validate
from diffeq.glosten_milgrom.odds import log_rest
from solvers import quadrature

Function = Callable[[jax.Array], jax.Array]

FAR = 6.0
"""Beyond it the Mills ratio is a sum over quadrature nodes, exact to a rounding."""
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class Law(NamedTuple):
    """A law of eps, by functions of arrays of any shape."""

    survival: Function
    """S(z) = P(eps > z)"""
    log_survival: Function
    """log S(z), without underflow"""
    hazard: Function
    """f(z)/S(z) = −(log S)'"""
    hazard_elasticity: Function
    """z (log hazard)'"""


def survival(z: Any, *, noise: str = "normal") -> jax.Array:
    """S(z) = P(eps > z): the chance that an uninformed trader accepts a price z·s from the mean.

    Args:
      z: real numbers, any shape.
      noise: "normal" or "logistic", both of scale one.

    Returns:
      Probabilities of the shape of z, to a few roundings wherever they do not underflow; every
      derivative finite.

    Reference: this module's docstring.

    >>> round(float(survival(1.0, noise="logistic")), 12)
    0.26894142137
    """
    return _evaluated("survival", z, noise)


def log_survival(z: Any, *, noise: str = "normal") -> jax.Array:
    """log S(z), also where S underflows; arguments as :func:`survival`.

    >>> float(log_survival(1e4))
    -50000010.129278...
    """
    return _evaluated("log_survival", z, noise)


def hazard(z: Any, *, noise: str = "normal") -> jax.Array:
    """f(z)/S(z), also where both underflow; arguments as :func:`survival`.

    >>> float(hazard(0.0, noise="logistic"))
    0.5
    """
    return _evaluated("hazard", z, noise)


def density(z: Any, *, noise: str = "normal") -> jax.Array:
    """f(z) = −S'(z); arguments as :func:`survival`."""
    return _evaluated("hazard", z, noise) * _evaluated("survival", z, noise)


def law(noise: str) -> Law:
    """The law of that name; raises ValueError for another."""
    return LAWS[validate.option("noise", noise, tuple(LAWS))]


def _evaluated(function: str, z: Any, noise: str) -> jax.Array:
    law(noise)
    z = validate.array("z", z)
    result: jax.Array = _evaluate(jnp.asarray(z, jnp.result_type(float, z)), function, noise)
    return result


@partial(jax.jit, static_argnames=("function", "noise"))
def _evaluate(z: jax.Array, function: str, noise: str) -> jax.Array:
    result: jax.Array = getattr(LAWS[noise], function)(z)
    return result


# Normal


@jax.custom_jvp
def _log_survival(z: jax.Array) -> jax.Array:
    """log Phi(−z) by erfc where that is exact, else by the Mills ratio."""
    far = -0.5 * z * z - LOG_SQRT_2PI - jnp.log(_far_hazard(z))
    tail = 0.5 * erfc(jnp.abs(z) * math.sqrt(0.5))  # ndtr would compile erf and erfc each time
    near = jnp.where(z > 0, jnp.log(tail), log_rest(tail))
    return jnp.where(z > FAR, far, near)


@_log_survival.defjvp
def _log_survival_jvp(primals: Any, tangents: Any) -> Any:
    (z,), (move,) = primals, tangents
    return _log_survival(z), -_hazard(z) * move


@jax.custom_jvp
def _survival(z: jax.Array) -> jax.Array:
    return 0.5 * erfc(z * math.sqrt(0.5))


@_survival.defjvp
def _survival_jvp(primals: Any, tangents: Any) -> Any:
    (z,), (move,) = primals, tangents
    return _survival(z), -jnp.exp(-0.5 * z * z - LOG_SQRT_2PI) * move


def _hazard(z: jax.Array) -> jax.Array:
    near = jnp.minimum(z, FAR)
    ratio = jnp.exp(-0.5 * near * near - LOG_SQRT_2PI - _log_survival(near))
    return jnp.where(z > FAR, _far_hazard(z), ratio)


def mean_excess(z: jax.Array) -> jax.Array:
    """E[eps − z | eps > z] = hazard(z) − z of the normal law, without that cancellation."""
    near, (A, B) = jnp.minimum(z, FAR), _far_sums(z)
    return jnp.where(z > FAR, B / (jnp.maximum(z, FAR) * A), _hazard(near) - near)


def _hazard_elasticity(z: jax.Array) -> jax.Array:
    near, (A, B) = jnp.minimum(z, FAR), _far_sums(z)
    return jnp.where(z > FAR, B / A, near * (_hazard(near) - near))


def _far_hazard(z: jax.Array) -> jax.Array:
    A, _ = _far_sums(z)
    return jnp.maximum(z, FAR) / A


def _far_sums(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """z R(z) = E[1/(1 + X²/z²)] and z²(1 − z R(z)) = E[X²/(1 + X²/z²)], no terms cancelling."""
    shape = (1,) * z.ndim + (-1,)
    x2, weight = (jnp.asarray(a, z.dtype).reshape(shape) for a in (_NODES**2, _WEIGHTS))
    z = jnp.maximum(z, FAR)[..., None]
    share = weight / (1 + x2 / z / z)
    return jnp.sum(share, axis=-1), jnp.sum(share * x2, axis=-1)


_RULE = quadrature.gauss_hermite(24)  # to 1e-16 at z = 6; even, so half of it is enough
_NODES, _WEIGHTS = _RULE.nodes[12:], 2 * _RULE.weights[12:]


LAWS: dict[str, Law] = {
    "normal": Law(_survival, _log_survival, _hazard, _hazard_elasticity),
    "logistic": Law(
        survival=lambda z: jax.nn.sigmoid(-z),
        log_survival=lambda z: jax.nn.log_sigmoid(-z),
        hazard=jax.nn.sigmoid,
        hazard_elasticity=lambda z: z * jax.nn.sigmoid(-z),
    ),
}
