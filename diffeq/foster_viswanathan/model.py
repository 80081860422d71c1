"""Foster & Viswanathan (1996): what the market is, what a solution holds, what must be satisfied.

M insiders each know a part s_i of the value v = Σ s_i; the parts have variance V_0 each and
correlation rho of any two. They trade against each other in N auctions:

    x_{i,n} = b_n (s_i − p_{n−1}/M),   b_n = beta_n dt_n                                   (order)
    p_n = p_{n−1} + lambda_n (Σ_i x_{i,n} + u_n) = E[v | orders to n]                      (price)
    ŝ_i = s_i − p_n/M;   V_n = Var(ŝ_i),  C_n = Cov(ŝ_i, ŝ_j),  Sigma_n = Var(v − p_n)
    E[profit of insider i from n+1 on] = alpha_n ŝ_i² + psi_n ŝ_i D + mu_n D² + delta_n     (value)

where D = (price had i never deviated) − p_n is zero unless i deviates.

Reference: Foster & Viswanathan (1996), Journal of Finance 51, 1437–1478.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq import validate
from diffeq.check import Info
from diffeq.validate import sum_tolerance


class Params(NamedTuple):
    """Parameters; the defaults are three insiders with independent signals."""

    sigma_v: Any = 2.5
    """Prior standard deviation of the value, > 0, in price units."""
    sigma_u: Any = 5.0
    """Standard deviation of noise orders over the whole day, > 0, in asset units."""
    num_insiders: Any = 3.0
    """M ≥ 1, real: every equation is smooth in it. ``simulate`` needs a whole number."""
    correlation: Any = 0.0
    """rho of any two signals, −1/(M−1) < rho ≤ 1; at 1 the market is Holden–Subrahmanyam's. One
    insider has nobody to correlate with: at M = 1 it moves nothing but C."""
    p_0: Any = 100.0
    """Prior mean of the value, in price units."""


class Solution(NamedTuple):
    """The equilibrium; every array field has shape (num_auctions,), entry n−1 for auction n."""

    lambda_: jax.Array
    """Price impact lambda_n: price units per unit of order flow."""
    beta: jax.Array
    """Trading intensity beta_n of one insider on s_i − p_{n−1}/M: quantity per price unit per unit
    of time. All together trade beta_n (v − p_{n−1}) dt_n: at rho = 1 it is M times Holden's."""
    alpha: jax.Array
    """Coefficient alpha_n of ŝ² in one insider's value from n+1 on; alpha_N = 0. At rho = 1 it is
    M² times Holden's."""
    psi: jax.Array
    """Coefficient psi_n of ŝ D; psi_N = 0."""
    mu: jax.Array
    """Coefficient mu_n of D²; mu_N = 0."""
    delta: jax.Array
    """Constant delta_n of that value, in money; delta_N = 0."""
    Sigma: jax.Array
    """Error variance Sigma_n = Var(v | orders to n), in price units squared."""
    V: jax.Array
    """Variance V_n of what is left of one signal, s_i − p_n/M, in price units squared."""
    C: jax.Array
    """Covariance C_n of that of two insiders: it ends below zero where rho < 1."""
    log_lambda: jax.Array
    """Log of lambda_n; right where lambda_ leaves the floating range, as every log below."""
    log_beta: jax.Array
    """Log of beta_n."""
    log_Sigma: jax.Array
    """Log of Sigma_n."""
    log_alpha: jax.Array
    """Log of alpha_n; −inf at N."""
    log_psi: jax.Array
    """Log of psi_n; −inf at N."""
    log_mu: jax.Array
    """Log of mu_n; −inf at N."""
    log_delta: jax.Array
    """Log of delta_n; −inf at N."""
    log_V: jax.Array
    """Log of V_n."""
    info: Info
    """Whether it converged, and the largest residual of the system that was solved."""


# The signals


def openness(num_insiders: Any, correlation: Any) -> Any:
    """c = M(M−1) d / sigma_v² = (M−1)(1−rho)/(1+(M−1)rho): 0 if all know the same, ∞ at the lowest.

    d = V_n − C_n is the same in all auctions; what prices reveal is common to all signals.
    """
    M, rho = num_insiders, correlation
    return (M - 1) * (1 - rho) / (1 + (M - 1) * rho)


def signal_variance(sigma_v: Any, num_insiders: Any, correlation: Any) -> Any:
    """V_0 = sigma_v² / (M (1 + (M−1) rho)), so that the M signals add up to v."""
    M = num_insiders
    return sigma_v**2 / (M * (1 + (M - 1) * correlation))


def own_variance(sigma_v: Any, num_insiders: Any, correlation: Any) -> Any:
    """d = V_n − C_n = V_0 (1 − rho)."""
    return signal_variance(sigma_v, num_insiders, correlation) * (1 - correlation)


# The domain

POSITIVE = ("sigma_v", "sigma_u", "num_insiders")


def in_domain(params: Params, dt: jax.Array) -> jax.Array:
    """Whether every parameter is in its domain, and the spacing positive with sum one."""
    sigma_v, sigma_u, M, rho, p_0 = params
    finite = jnp.all(jnp.isfinite(jnp.stack([jnp.asarray(x) for x in params])))
    positive = (sigma_v > 0) & (sigma_u > 0) & (M >= 1) & (1 + (M - 1) * rho > 0) & (rho <= 1)
    spaced = jnp.all(jnp.isfinite(dt) & (dt > 0))
    return finite & positive & spaced & (jnp.abs(jnp.sum(dt) - 1) <= sum_tolerance(dt.dtype))


def parameters(params: Params) -> Params:
    """Check and cast; concrete values outside the domain raise by name."""
    params = validate.parameters(params, Params, positive=POSITIVE)
    M, rho = params.num_insiders, params.correlation
    name = "foster_viswanathan.Params"
    if not isinstance(M, jax.core.Tracer) and float(M) < 1:
        raise ValueError(f"{name}.num_insiders: expected at least 1, got {float(M):.12g}")
    if isinstance(rho, jax.core.Tracer):
        return params
    if float(rho) > 1:
        raise ValueError(f"{name}.correlation: expected at most 1, got {float(rho):.12g}")
    if not isinstance(M, jax.core.Tracer) and not float(1 + (M - 1) * rho) > 0:
        raise ValueError(
            f"{name}.correlation: expected more than −1/(M−1) = {-1 / (float(M) - 1):.12g}, the "
            f"least that M = {float(M):.12g} signals can have, got {float(rho):.12g}"
        )
    return params


def validated(params: Params, num_auctions: int, spacing: Any) -> tuple[Params, Any]:
    """Parameters and spacing, checked and cast to one dtype."""
    params = parameters(params)
    num_auctions = validate.count("num_auctions", num_auctions)
    return params, validate.spacing(spacing, num_auctions, params.sigma_v.dtype)
