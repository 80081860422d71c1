"""The published conditions of Foster & Viswanathan (1996), which every solution must satisfy.

In their own symbols, theta_n = Sigma_n/(M V_n), w_n = lambda_n b_n, s2_n = sigma_u² dt_n; and from
the solution's logs alone, so that none depends on how it was solved:

    rho_n = 1 − w_n theta_{n−1}/M,    e_n = 1 − w_n (M−1)/M
    S_n = b_n² Omega_{n−1} + s2_n,    Omega = (M−1)V + (M−1)(M−2)C − ((M−1)C)²/V

Omega = (M−1) d theta is what the others' signals vary given one's own. Where 1 − x would cancel, it
is written as the sum that it is: 1 − w_n = Sigma_n/Sigma_{n−1}, 1 − theta/M = (M−1)d/(M V).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.foster_viswanathan.model import (
    Params,
    Solution,
    own_variance,
    signal_variance,
    validated,
)


class Residual(NamedTuple):
    """|lhs − rhs| over the largest term of each condition, shape (num_auctions,) each."""

    pricing: jax.Array
    """lambda_n = b_n Sigma_n/s2_n"""
    filtering: jax.Array
    """Sigma_n = Sigma_{n−1} (1 − w_n), Sigma_0 = sigma_v²"""
    signals: jax.Array
    """M V_n = Sigma_n/M + (M−1)d and C_n = V_n − d, over the larger of V_n and d"""
    first_order: jax.Array
    """theta_{n−1} (1 − w_n) − w_n = lambda_n psi_n rho_n"""
    value: jax.Array
    """alpha_{n−1} = b_n theta_{n−1} (1 − w_n) + alpha_n rho_n²; alpha_N = 0"""
    cross_value: jax.Array
    """psi_{n−1} = (b_n + psi_n rho_n) e_n; psi_N = 0"""
    deviation_value: jax.Array
    """mu_{n−1} 4 lambda_n (1 − mu_n lambda_n) = e_n²; mu_N = 0"""
    value_constant: jax.Array
    """delta_{n−1} = delta_n + alpha_n lambda_n² S_n/M²; delta_N = 0"""
    levels: jax.Array
    """Each level against the exponential of its log; 0 where that is out of the floating range"""
    second_order: jax.Array
    """How far lambda_n (1 − mu_n lambda_n) > 0 is violated; 0 where it holds"""


def residual(solution: Solution, params: Params, *, spacing: Any = None) -> Residual:
    """Every condition of the equilibrium, scale-free, from the solution's log fields.

    Args:
      solution: arrays of shape (N,).
      params: what it was solved for; scalars.
      spacing: as in ``solve``.

    Returns:
      :class:`Residual`, arrays of shape (N,), each below 1e-12 in float64.

    Reference: Foster & Viswanathan (1996), Proposition 1.
    """
    params, dt = validated(params, validate.num_auctions(solution), spacing)
    return _residual(solution, params, dt)


class _Terms(NamedTuple):
    """What several conditions share, each of shape (N,); ``before`` means at n − 1."""

    w: jax.Array
    left: jax.Array  # 1 − w
    theta: jax.Array  # before
    rho: jax.Array
    e: jax.Array
    others: jax.Array  # S_n/s2_n
    log_b: jax.Array


def _terms(s: Solution, params: Params, dt: jax.Array) -> _Terms:
    sigma_v, sigma_u, M, correlation, _ = params
    log_v = jnp.log(sigma_v)
    log_b = s.log_beta + jnp.log(dt)
    w = jnp.exp(s.log_lambda + log_b)
    before = jnp.concatenate([2 * log_v[None], s.log_Sigma[:-1]])
    log_V_0 = 2 * log_v + jnp.log(signal_variance(1.0, M, correlation))
    log_V = jnp.concatenate([log_V_0[None], s.log_V[:-1]])
    # (M−1) d/V, d in units of sigma_v²
    private = (M - 1) * own_variance(1.0, M, correlation) * jnp.exp(2 * log_v - log_V)
    left, theta = jnp.exp(s.log_Sigma - before), jnp.exp(before - log_V) / M
    per_noise = jnp.exp(2 * (log_b - jnp.log(sigma_u)) + log_V) / dt  # b² V/s2
    return _Terms(
        w, left, theta, left + w * private / M, left + w / M, 1 + per_noise * private * theta, log_b
    )


@jax.jit
def _residual(s: Solution, params: Params, dt: jax.Array) -> Residual:
    sigma_v, sigma_u, M, correlation, _ = params
    t, log_u = _terms(s, params, dt), jnp.log(sigma_u)
    a, psi, mu = (jnp.exp(log + s.log_lambda) for log in (s.log_alpha, s.log_psi, s.log_mu))
    # alpha_{n−1} lambda_n, …
    a_before, psi_before, mu_before = (
        jnp.exp(log[:-1] + s.log_lambda[1:]) for log in (s.log_alpha, s.log_psi, s.log_mu)
    )
    # money in units of sigma_u sqrt(Sigma_n), which under- and overflows with delta_n
    unit = log_u + s.log_Sigma / 2
    constant = jnp.exp(s.log_delta - unit)
    rent = a * t.others / M**2 * jnp.exp(s.log_lambda + 2 * log_u + jnp.log(dt) - unit)
    per_unit = jnp.exp(unit[:-1] - unit[1:])
    return Residual(
        pricing=_apart(jnp.exp(s.log_lambda - (s.log_beta + s.log_Sigma - 2 * log_u)), 1.0),
        filtering=_apart(t.left + t.w, 1.0),
        signals=_signals_apart(s, params),
        first_order=_apart(t.theta * t.left, t.w + psi * t.rho),
        value=jnp.append(_apart(a_before, (t.w * t.theta * t.left + a * t.rho**2)[1:]), a[-1]),
        cross_value=jnp.append(_apart(psi_before, ((t.w + psi * t.rho) * t.e)[1:]), psi[-1]),
        deviation_value=jnp.append(_apart(mu_before * (4 * (1 - mu[1:])), (t.e**2)[1:]), mu[-1]),
        value_constant=jnp.append(
            _apart(constant[:-1] * per_unit, (constant + rent)[1:]), constant[-1]
        ),
        levels=_levels_apart(s),
        second_order=jnp.maximum(0.0, mu - 1),
    )


def _signals_apart(s: Solution, params: Params) -> jax.Array:
    """V from its log in units of sigma_v²; C, a level only, where sigma_v² is in range."""
    sigma_v, _, M, correlation, _ = params
    Sigma, V = (jnp.exp(log - 2 * jnp.log(sigma_v)) for log in (s.log_Sigma, s.log_V))
    d = own_variance(1.0, M, correlation)
    variance = _apart(M * V, Sigma / M + (M - 1) * d)
    C = s.C / sigma_v / sigma_v
    covariance = jnp.abs(C + d - V) / jnp.maximum(V, d)
    in_range = jnp.isfinite(s.C) & (sigma_v**2 > jnp.finfo(V.dtype).tiny * 1e20)
    return jnp.maximum(variance, jnp.where(in_range, covariance, 0.0))


def _levels_apart(s: Solution) -> jax.Array:
    names = ("lambda", "beta", "alpha", "psi", "mu", "delta", "Sigma", "V")
    levels = jnp.stack([getattr(s, name + "_" * (name == "lambda")) for name in names])
    logs = jnp.stack([getattr(s, f"log_{name}") for name in names])
    inside = (jnp.abs(logs) < 0.85 * np.log(jnp.finfo(levels.dtype).max)) | jnp.isneginf(logs)
    apart = _apart(levels, jnp.exp(jnp.where(inside, logs, 0.0)))
    return jnp.max(jnp.where(inside, apart, 0.0), axis=0)


def _apart(lhs: jax.Array, rhs: jax.Array | float) -> jax.Array:
    """|lhs − rhs| over the larger; 0 where both are 0."""
    scale = jnp.maximum(jnp.abs(lhs), jnp.abs(rhs))
    return jnp.abs(lhs - rhs) / jnp.where(scale > 0, scale, 1)


# Who earns what: the check that neither the conditions nor the solver use


def insider_profit(solution: Solution, params: Params, *, spacing: Any = None) -> jax.Array:
    """Expected profit of one insider over the day, alpha_0 V_0 + delta_0; scalar, in money."""
    params, dt = validated(params, validate.num_auctions(solution), spacing)
    return _insider_profit(solution, params, dt)


@jax.jit
def _insider_profit(s: Solution, params: Params, dt: jax.Array) -> jax.Array:
    """By logs: money can be in range where lambda_1, sigma_v² or sigma_u² is not."""
    sigma_v, sigma_u, M, correlation, _ = params
    t, log_lambda = jax.tree.map(lambda x: x[0], _terms(s, params, dt)), s.log_lambda[0]
    alpha = jnp.exp(s.log_alpha[0] + log_lambda)  # alpha_1 lambda_1
    alpha_0 = t.w * t.theta * t.left + alpha * t.rho**2  # times lambda_1
    by_signal = jnp.exp(2 * jnp.log(sigma_v) - log_lambda) * signal_variance(1.0, M, correlation)
    by_noise = jnp.exp(2 * jnp.log(sigma_u) + log_lambda) * dt[0]
    return alpha_0 * by_signal + s.delta[0] + alpha * by_noise * t.others / M**2


def noise_loss(solution: Solution, params: Params, *, spacing: Any = None) -> jax.Array:
    """Expected loss of the noise traders over the day, Σ lambda_n sigma_u² dt_n; scalar, in money.

    The M insiders together earn exactly this, which the solver never uses.
    """
    params, dt = validated(params, validate.num_auctions(solution), spacing)
    return _noise_loss(solution, params.sigma_u, dt)


@jax.jit
def _noise_loss(s: Solution, sigma_u: jax.Array, dt: jax.Array) -> jax.Array:
    return jnp.sum(jnp.exp(s.log_lambda + 2 * jnp.log(sigma_u)) * dt)
