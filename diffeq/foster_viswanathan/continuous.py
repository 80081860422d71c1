"""Continuous trading with imperfectly correlated signals: Back, Cao & Willard (2000), Theorem 2.

The limit N → ∞ of the auctions. With x = sigma_v²/Sigma(t) ≥ 1, p = 2 − 4/M and q = 2c/M,
c = (M−1)(1−rho)/(1+(M−1)rho), information comes out at the rate y = −d log Sigma/dt of

    1 − t = ∫_x^∞ z^p e^(−qz) dz / ∫_1^∞ z^p e^(−qz) dz                                   (variance)
    y = I(qx)/(1−t),      I(Q) = ∫_0^∞ (1+s)^p e^(−Qs) ds      where (variance) was x^(p+1) I(qx)
    lambda = (sigma_v/sigma_u) sqrt(y/x),      beta = y/lambda

Everything is revealed at t = 1 exactly. The market then vanishes: each insider waits for the others
while signals that are left have become negatively correlated, y ~ 1/((1−t) q x), x ~ −log(1−t)/q,
so that lambda grows without bound, like (1−t)^(−1/2)/x. At rho = 1 and M = 1 this is Kyle's limit;
at rho = 1 and M ≥ 4/3 there is no equilibrium (Holden & Subrahmanyam's reveals all at once).

Reference: Back, Cao & Willard (2000), Journal of Finance 55, 2117–2155.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.foster_viswanathan.model import Params, in_domain, openness, parameters
from solvers import quadrature, root

NODES = 400
"""Of the trapezoidal rule for I(Q) in log s: error e^(−π²/h), h its step, 0.2 or less."""

EARLY = quadrature.gauss_legendre(0.0, 1.0, 64)
"""For what is out already, as long as that is little."""


class Continuous(NamedTuple):
    """The equilibrium of continuous trading at given times; every array of their shape."""

    lambda_: jax.Array
    """lambda(t): price units per unit of order flow."""
    beta: jax.Array
    """Intensity beta(t) of one insider on s_i − p/M, as in the auctions: quantity per price unit
    per unit of time."""
    Sigma: jax.Array
    """Error variance Sigma(t), in price units squared."""
    log_lambda: jax.Array
    """Log of lambda(t)."""
    log_beta: jax.Array
    """Log of beta(t)."""
    log_Sigma: jax.Array
    """Log of Sigma(t)."""
    info: Info
    """Whether a root was found at all times, and its largest residual; scalars."""


def continuous(params: Params, times: Any) -> Continuous:
    """The equilibrium of continuous trading at fixed times t < 1: the limit N → ∞ of the auctions.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable. (In ``correlation`` at
        1 the slope is infinite; so it is in ``num_insiders`` at 1, if ``correlation`` is below 1.)
      times: in [0, 1), any shape.

    Returns:
      :class:`Continuous`, of the shape of ``times``; NaN and flagged outside the domain, to which
      perfect correlation of M ≥ 4/3 insiders does not belong.

    Raises:
      ValueError, TypeError: a concrete argument is out of its domain.

    Reference: Back, Cao & Willard (2000), Theorem 2.

    >>> day = continuous(Params(num_insiders=1.0), [0.0, 0.5])  # Kyle: sigma_v/sigma_u, constant
    >>> [round(float(x), 5) for x in day.lambda_]
    [0.5, 0.5]
    """
    params = parameters(params)
    M, rho = params.num_insiders, params.correlation
    if not any(isinstance(x, jax.core.Tracer) for x in (M, rho)):
        if float(M) >= 4 / 3 and float(rho) == 1:
            raise ValueError(
                "foster_viswanathan.Params.correlation: expected less than 1 for continuous "
                f"trading by M = {float(M):.12g} insiders (from 4/3 on there is no equilibrium)"
            )
    return _continuous(params, validate.times(times, params.sigma_v.dtype))


@jax.jit
def _continuous(params: Params, times: jax.Array) -> Continuous:
    sigma_v, sigma_u, M, rho, _ = params
    c = openness(M, rho)
    p, q = 2 - 4 / M, 2 * c / M
    log_I_1 = _log_integral(p, q)
    log_x, found = jax.vmap(lambda t: _log_x(t, p, q, log_I_1))(times.ravel())
    x = jnp.exp(jnp.minimum(log_x, 0.9 * math.log(float(jnp.finfo(log_x.dtype).max))))
    log_y = jax.vmap(lambda x: _log_integral(p, q * x))(x) - jnp.log1p(-times.ravel())
    log_x, log_y = (z.reshape(times.shape) for z in (log_x, log_y))
    log_v, log_u = jnp.log(sigma_v), jnp.log(sigma_u)
    fields = (
        sigma_v / sigma_u * jnp.exp((log_y - log_x) / 2),
        sigma_u / sigma_v * jnp.exp((log_y + log_x) / 2),
        sigma_v**2 * jnp.exp(-log_x),
        (log_y - log_x) / 2 + log_v - log_u,
        (log_y + log_x) / 2 + log_u - log_v,
        2 * log_v - log_x,
    )
    one = jnp.ones((1,), sigma_v.dtype)
    exists = (c > 0) | (M < 4 / 3)
    ok = jnp.all(found.converged) & exists & in_domain(params, one)
    ok &= jnp.all((times >= 0) & (times < 1))
    info = Info(ok, jnp.max(found.residual, initial=0))
    return Continuous._make((*poison(fields, ok, (params, times)), info))


def _log_x(
    t: jax.Array, p: jax.Array, q: jax.Array, log_I_1: jax.Array
) -> tuple[jax.Array, root.RootInfo]:
    """The root of (variance) in log x, both sides in logs: it falls in log x."""

    def miss(z: jax.Array, theta: Any) -> jax.Array:
        t, p, q, log_I_1 = theta
        return _log_left(z, p, q, log_I_1) - jnp.log1p(-t)

    # the tail falls at least as e^(−h(x−1)), h its hazard where that is least; if p < −1, also as
    # x^(p+1)
    left = -jnp.log1p(-t)
    hazard = jnp.where(p > 0, jnp.exp(-log_I_1), q)
    even = jnp.where(hazard > 0, jnp.log1p(left / jnp.where(hazard > 0, hazard, 1)), jnp.inf)
    power = jnp.where(p < -1, left / jnp.where(p < -1, -1 - p, 1), jnp.inf)
    highest = jnp.minimum(even, power)
    z, found = root.bracketed(miss, jnp.full_like(t, -0.1), highest + 0.1, (t, p, q, log_I_1))
    # at t = 0 it is 0, though where nearly all is revealed at once any z near it would do
    return z - jax.lax.stop_gradient(z - jnp.clip(z, 0, highest)), found


def _log_left(z: jax.Array, p: jax.Array, q: jax.Array, log_I_1: jax.Array) -> jax.Array:
    """Log of the right side of (variance) at x = e^z.

    Early it is 1 less the integral over [1, x], whose digits the one beyond x would have lost:
    many rivals who know nearly the same reveal all but a trace of it in the first 10⁻⁹ of the day.
    """
    far = 0.9 * math.log(float(jnp.finfo(z.dtype).max))

    def moved(s: jax.Array) -> jax.Array:
        return -q * jnp.expm1(jnp.minimum(s, far))  # beyond, q is 0

    x = jnp.exp(jnp.minimum(z, far))
    beyond = (p + 1) * z + moved(z) + _log_integral(p, q * x) - log_I_1
    early = beyond > -0.5
    s = jnp.where(early, z, 0.0) * EARLY.nodes.astype(z.dtype)
    out = jnp.exp((p + 1) * s + moved(s) - log_I_1) @ EARLY.weights.astype(z.dtype)
    return jnp.where(early, jnp.log1p(-jnp.where(early, z, 0.0) * out), beyond)


def _log_integral(p: jax.Array, Q: jax.Array) -> jax.Array:
    """log I(Q), I(Q) = ∫_0^∞ (1+s)^p e^(−Qs) ds, by the trapezoidal rule in log s.

    The integrand is analytic within π/2 of the real axis of log s and falls to rounding at both
    ends, so the rule converges exponentially. At Q = 0, for p < −1, it is 1/(−1−p).
    """
    eps = float(jnp.finfo(p.dtype).eps)
    far = -math.log(eps)
    still = Q <= 0
    Q_safe = jnp.where(still, 1.0, Q)
    low = -jnp.log1p(Q_safe) - far - 2
    high = jnp.log((far + 25) / Q_safe)
    high = jnp.minimum(high, jnp.where(p < -1, (far + 2) / jnp.maximum(-1 - p, 0.01), jnp.inf))
    low, high = jax.lax.stop_gradient((low, high))
    log_s = low + (high - low) * np.linspace(0.0, 1.0, NODES).astype(p.dtype)
    terms = log_s + p * jnp.logaddexp(0.0, log_s) - Q_safe * jnp.exp(log_s)
    total = jax.nn.logsumexp(terms) + jnp.log((high - low) / (NODES - 1))
    # its slope in Q is infinite there, for p ≥ −2: a very large number, which 0 tangents survive
    steep = float(jnp.finfo(p.dtype).max) ** 0.6 * (Q - jax.lax.stop_gradient(Q))
    return jnp.where(still, -jnp.log(jnp.where(p < -1, -1 - p, jnp.nan)) - steep, total)
