"""The limit of many auctions at fixed times."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq import two_pass, validate
from diffeq.check import poison
from diffeq.holden.model import POSITIVE, Params, in_domain


class Limit(NamedTuple):
    """The limit N → ∞ at fixed times."""

    lambda_: jax.Array
    """lambda(t), shape of ``times``."""
    beta: jax.Array
    """beta(t) of one insider."""
    Sigma: jax.Array
    """Sigma(t)."""
    log_lambda: jax.Array
    """Log of lambda(t); −inf where lambda is 0, as below."""
    log_beta: jax.Array
    """Log of beta(t)."""
    log_Sigma: jax.Array
    """Log of Sigma(t)."""


def limit(params: Params, times: Any) -> Limit:
    """The equilibrium as N → ∞ at fixed times t < 1, equal spacing.

    For M < 4/3, with g = M/(4 − 3M):  Sigma = sigma_v² (1−t)^g,  lambda = (sigma_v/sigma_u) sqrt(g)
    (1−t)^((g−1)/2),  beta = lambda sigma_u²/(M Sigma). M = 1 is Kyle (1985), section 3: lambda
    constant, Sigma linear. For M ≥ 4/3 all information is out at once: Sigma = lambda = 0 and beta
    = ∞ at every t > 0; at t = 0 lambda, infinite in the limit of the first auctions, is not defined
    and given as 0, and Sigma is sigma_v².

    Args:
      params: scalars; a parameter or time outside its domain makes everything NaN, or raises where
        it is concrete.
      times: in [0, 1), any shape.

    Reference: Holden & Subrahmanyam (1992), section III, for real M.
    """
    params = validate.parameters(params, Params, positive=POSITIVE)
    return _limit(params, validate.times(times, params.sigma_v.dtype))


@jax.jit
def _limit(params: Params, times: jax.Array) -> Limit:
    sigma_v, sigma_u, M, _ = params
    left, log_left = 1 - times, jnp.log1p(-times)
    log_v, log_u = jnp.log(sigma_v), jnp.log(sigma_u)
    gradual = M < 4 / 3
    g = jnp.where(gradual, M / jnp.where(gradual, 4 - 3 * M, 1), 1)
    log_lambda = log_v - log_u + jnp.log(g) / 2 + (g - 1) / 2 * log_left
    log_beta = log_u - log_v + jnp.log(g) / 2 - jnp.log(M) - (g + 1) / 2 * log_left
    log_Sigma = 2 * log_v + g * log_left
    lambda_ = sigma_v / sigma_u * jnp.sqrt(g) * left ** ((g - 1) / 2)
    beta = sigma_u / sigma_v * jnp.sqrt(g) / M * left ** (-(g + 1) / 2)
    path = Limit(
        lambda_=two_pass.by_log(lambda_, log_lambda),
        beta=two_pass.by_log(beta, log_beta),
        Sigma=two_pass.by_log(sigma_v**2 * left**g, log_Sigma),
        log_lambda=log_lambda,
        log_beta=log_beta,
        log_Sigma=log_Sigma,
    )
    none, infinite = jnp.zeros_like(left), jnp.full_like(left, jnp.inf)
    at_once = Limit(
        lambda_=none,
        beta=infinite,
        Sigma=jnp.where(times > 0, 0.0, sigma_v**2),
        log_lambda=-infinite,
        log_beta=infinite,
        log_Sigma=jnp.where(times > 0, -jnp.inf, 2 * log_v),
    )
    either = jax.tree.map(lambda a, b: jnp.where(gradual, a, b), path, at_once)
    ok = in_domain(params) & jnp.all((times >= 0) & (times < 1))
    return poison(either, ok, (params, times))
