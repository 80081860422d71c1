"""The equilibrium of Foster & Viswanathan (1996): all fields from the chain of r_n.

Products with lambda_n have no unit: lambda_n psi_n, lambda_n mu_n, … obey recursions in r_n and g_n
alone, in which nothing cancels:

    theta_{n−1} (1−w_n) = M/(1+r_n+g_n)              rho_n = 1 − w_n theta_{n−1}/M
    e_n = (M+r_n)/(M(1+r_n))                               = (1+g_n)/(1+r_n+g_n)
    Var(Σ_{j≠i} ŝ_j | ŝ_i) b_n²/s2_n = r_n g_n/(1+r_n+g_n)

Reference: Foster & Viswanathan (1996), Journal of Finance 51, 1437–1478.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from diffeq.check import Info, poison
from diffeq.foster_viswanathan import chain
from diffeq.foster_viswanathan.model import (
    Params,
    Solution,
    in_domain,
    openness,
    own_variance,
    validated,
)
from diffeq.two_pass import by_log, log_but_last

Fields = tuple[jax.Array, ...]


def solve(params: Params, *, num_auctions: int, spacing: Any = None) -> Solution:
    """The linear equilibrium, by Newton's method on all auctions at once.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable, also at
        ``correlation`` 1 and ``num_insiders`` 1, from inside.
      num_auctions: N ≥ 1, static.
      spacing: lengths dt_n > 0 of the auctions, shape (N,), summing to one; default 1/N each. Its
        derivatives are unconstrained partials: move two entries oppositely to keep the sum.

    Returns:
      :class:`Solution`, arrays of shape (N,). A lane with a parameter or spacing outside its domain
      is NaN in every value and derivative, with ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete parameter or spacing is out of domain, batched, or no
        number; also inside jit or vmap, if it is closed over.

    Reference: Foster & Viswanathan (1996), Proposition 1.

    >>> solution = solve(Params(num_insiders=2.0, correlation=0.0), num_auctions=1)
    >>> round(float(solution.lambda_[0]), 6)  # (sigma_v/sigma_u) sqrt(theta_0)/(1+theta_0)
    0.25
    """
    params, dt = validated(params, num_auctions, spacing)
    return _solve(params, dt)


@jax.jit
def _solve(params: Params, dt: jax.Array) -> Solution:
    _, _, M, rho, _ = params
    c = openness(M, rho)
    log_r, log_Sigma, residual, step = chain.solved(c, M, dt)
    fields = _fields(params, dt, c, jnp.exp(log_r), log_Sigma)
    ok = chain.accurate(residual, step) & in_domain(params, dt)
    return Solution._make((*poison(fields, ok, (params, dt)), Info(ok, residual)))


def _fields(
    params: Params, dt: jax.Array, c: jax.Array, r: jax.Array, log_Sigma: jax.Array
) -> jax.Array:
    """The fields of :class:`Solution` in their order, without ``info``, stacked.

    ``log_Sigma`` comes in units of sigma_v².
    """
    sigma_v, sigma_u, M, rho, _ = params
    log_v, log_u = jnp.log(sigma_v), jnp.log(sigma_u)
    g = c * chain.per_Sigma(log_Sigma)
    a, psi, mu, rent = _value(M, dt, r, g)
    log_w = jnp.log(r) - jnp.log1p(r)
    log_lambda = (log_w + log_Sigma - jnp.log(dt)) / 2 + log_v - log_u
    log_Sigma = log_Sigma + 2 * log_v
    log_beta = log_lambda + 2 * log_u - log_Sigma  # pricing
    value = [log_but_last(x, 1, -log_lambda) for x in (a, psi, mu)]
    value.append(log_but_last(rent, 2, log_u + log_Sigma / 2))
    log_V = log_Sigma + jnp.log1p(g) - 2 * jnp.log(M)
    in_order = jnp.stack([log_lambda, log_beta, *value, log_Sigma, log_V])
    levels = by_log(jnp.exp(in_order), in_order)
    C = (levels[-2] / M - own_variance(sigma_v, M, rho)) / M  # V − d, with one rounding less
    logs = jnp.stack([log_lambda, log_beta, log_Sigma, *value, log_V])
    return jnp.concatenate([levels, C[None], logs])


def _value(M: jax.Array, dt: jax.Array, r: jax.Array, g: jax.Array) -> Fields:
    """lambda_n times alpha_n, psi_n, mu_n; and delta_n in units of sigma_u sqrt(Sigma_n)."""
    w, slope = r / (1 + r), 1 + r + g
    e, kept = (M + r) / (M * (1 + r)), (1 + g) / slope
    ratio = jnp.concatenate([_impact_ratios(r, dt), jnp.zeros_like(r[:1])])
    others = 1 + r * g / slope  # variance of the flow but for one's own, over s2_n
    # psi_{n−1} lambda_n = (b + psi rho) e lambda, by the first-order condition
    psi = ratio * jnp.append(e[1:] * M / slope[1:], 0)

    def auction(after: Any, n: Any) -> tuple[Any, Any]:
        """From alpha_n lambda_{n+1}, mu_n lambda_{n+1} and delta_n, those of n − 1."""
        alpha, mu, rent = after
        ratio, earned, kept, e, noise, shrink = n
        alpha, mu = ratio * alpha, ratio * mu
        earlier_rent = (rent + alpha * noise) * shrink
        earlier = earned + alpha * kept**2, e**2 / (4 * (1 - mu)), earlier_rent
        return earlier, (alpha, mu, rent)

    zero = jnp.zeros_like(M)
    noise = jnp.sqrt(w * dt) * others / M**2
    rows = (ratio, w * M / slope, kept, e, noise, 1 / jnp.sqrt(1 + r))
    _, (alpha, mu, rent) = lax.scan(auction, (zero,) * 3, rows, reverse=True)
    return alpha, psi, mu, rent


def _impact_ratios(r: jax.Array, dt: jax.Array) -> jax.Array:
    """lambda_n/lambda_{n+1} for n < N."""
    w = r / (1 + r)
    return (1 + r[1:]) * jnp.sqrt(w[:-1] / r[1:] * (dt[1:] / dt[:-1]))
