"""A linear equilibrium of N auctions: what Kyle (1985) and Holden–Subrahmanyam (1992) share.

Value v ~ N(p_0, sigma_v²); noise orders u_n ~ N(0, sigma_u² dt_n); M insiders know v:

    x_n = beta_n (v − p_{n−1}) dt_n   per insider                                          (order)
    p_n = p_{n−1} + lambda_n (M x_n + u_n)                                                 (price)
    Sigma_n = Var(v | orders to n)
    E[profit of one insider from n+1 on | p_n] = alpha_n (v − p_n)² + delta_n              (value)

Here are the equilibrium itself, the conditions it must satisfy, what it earns, and its simulation.
Equation names follow Holden & Subrahmanyam (1992), Proposition 1; M = 1 is Kyle (1985), Theorem 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq.check import Info


class Solution(NamedTuple):
    """The equilibrium; every array field has shape (num_auctions,), entry n−1 for auction n."""

    lambda_: jax.Array
    """Price impact lambda_n: price units per unit of order flow."""
    beta: jax.Array
    """Trading intensity beta_n of one insider: quantity per price unit per unit of time."""
    alpha: jax.Array
    """Quadratic coefficient alpha_n of one insider's value from n+1 on; alpha_N = 0."""
    delta: jax.Array
    """Constant delta_n of that value, in money; delta_N = 0."""
    Sigma: jax.Array
    """Error variance Sigma_n = Var(v | orders to n), in price units squared."""
    log_lambda: jax.Array
    """Log of lambda_n; right where lambda_ leaves the floating range, as every log below."""
    log_beta: jax.Array
    """Log of beta_n."""
    log_Sigma: jax.Array
    """Log of Sigma_n."""
    log_alpha: jax.Array
    """Log of alpha_n; −inf at N."""
    log_delta: jax.Array
    """Log of delta_n; −inf at N."""
    info: Info
    """Whether it converged, and the largest residual of the recursion that was solved."""


class Residual(NamedTuple):
    """|lhs − rhs| over the largest term of each condition, shape (num_auctions,) each."""

    pricing: jax.Array
    """lambda_n = M beta_n Sigma_n / sigma_u²"""
    filtering: jax.Array
    """Sigma_n = Sigma_{n−1} (1 − M beta_n lambda_n dt_n), Sigma_0 = sigma_v²"""
    first_order: jax.Array
    """beta_n dt_n lambda_n [M(1 − 2 alpha_n lambda_n) + 1] = 1 − 2 alpha_n lambda_n"""
    value: jax.Array
    """alpha_n lambda_{n+1} [M(1 − 2 q) + 1]² = 1 − q, q = alpha_{n+1} lambda_{n+1}; alpha_N = 0"""
    value_constant: jax.Array
    """delta_n = delta_{n+1} + alpha_{n+1} lambda_{n+1}² sigma_u² dt_{n+1}; delta_N = 0"""
    levels: jax.Array
    """Each level against the exponential of its log, the worst of five; 0 where that has no value
    in the floating range"""
    second_order: jax.Array
    """How far lambda_n (1 − alpha_n lambda_n) > 0 is violated; 0 where it holds"""


class Paths(NamedTuple):
    """Simulated markets; P paths, N auctions."""

    value: jax.Array
    """The asset's value v, shape (P,)."""
    prices: jax.Array
    """p_1..p_N, shape (P, N), in price units."""
    errors: jax.Array
    """v − p_n, shape (P, N), propagated directly: no cancellation where the price has converged."""
    insider_orders: jax.Array
    """x_n of one insider, shape (P, N)."""
    noise_orders: jax.Array
    """u_n, shape (P, N)."""
    insider_profit: jax.Array
    """Σ x_n (v − p_n) of one insider, shape (P,), in money."""
    noise_profit: jax.Array
    """Σ u_n (v − p_n), shape (P,), in money; the market maker earns minus all the others."""


def residual(
    solution: Solution,
    sigma_v: jax.Array,
    sigma_u: jax.Array,
    num_insiders: jax.Array,
    dt: jax.Array,
) -> Residual:
    """The equilibrium conditions, each evaluated from the solution's log fields, scale-free.

    Args:
      solution: with fields of shape (N,).
      sigma_v: prior standard deviation of v.
      sigma_u: standard deviation of noise orders over unit time.
      num_insiders: M.
      dt: lengths of the auctions, shape (N,).
    """
    s, M, log_su = solution, num_insiders, jnp.log(sigma_u)
    log_Sigma_before = jnp.concatenate([2 * jnp.log(sigma_v)[None], s.log_Sigma[:-1]])
    q = jnp.exp(s.log_alpha + s.log_lambda)  # alpha_n lambda_n
    w = jnp.exp(jnp.log(M) + s.log_beta + s.log_lambda + jnp.log(dt))  # M beta_n lambda_n dt_n
    slope = M * (1 - 2 * q) + 1
    # money in units of sigma_u sqrt(Sigma_n), which under- and overflows with delta_n
    unit = log_su + s.log_Sigma / 2
    constant = jnp.exp(s.log_delta - unit)
    rent = q * jnp.exp(s.log_lambda + 2 * log_su + jnp.log(dt) - unit)
    per_unit = jnp.exp(unit[:-1] - unit[1:])
    return Residual(
        pricing=_apart(
            jnp.exp(s.log_lambda - (jnp.log(M) + s.log_beta + s.log_Sigma - 2 * log_su)), 1.0
        ),
        filtering=_apart(jnp.exp(s.log_Sigma - log_Sigma_before) + w, 1.0),
        first_order=_apart(w / M * slope + 2 * q, 1.0),
        value=jnp.append(
            _apart(jnp.exp(s.log_alpha[:-1] + s.log_lambda[1:]) * slope[1:] ** 2 + q[1:], 1.0),
            q[-1],
        ),
        value_constant=jnp.append(
            _apart(constant[:-1] * per_unit, constant[1:] + rent[1:]), constant[-1]
        ),
        levels=_levels_apart(s),
        second_order=jnp.maximum(0.0, q - 1),
    )


def _levels_apart(s: Solution) -> jax.Array:
    levels = jnp.stack([s.lambda_, s.beta, s.alpha, s.delta, s.Sigma])
    logs = jnp.stack([s.log_lambda, s.log_beta, s.log_alpha, s.log_delta, s.log_Sigma])
    bounds = jnp.finfo(levels.dtype)
    range_ = 0.85 * np.log(bounds.max)  # near its ends an intermediate product may leave first
    inside = (jnp.abs(logs) < range_) | jnp.isneginf(logs)
    apart = _apart(levels, jnp.exp(jnp.where(inside, logs, 0.0)))
    return jnp.max(jnp.where(inside, apart, 0.0), axis=0)


def _apart(lhs: jax.Array, rhs: jax.Array | float) -> jax.Array:
    """|lhs − rhs| over the larger; 0 where both are 0."""
    scale = jnp.maximum(jnp.abs(lhs), jnp.abs(rhs))
    return jnp.abs(lhs - rhs) / jnp.where(scale > 0, scale, 1)


def insider_profit(
    solution: Solution,
    sigma_v: jax.Array,
    sigma_u: jax.Array,
    num_insiders: jax.Array,
    dt: jax.Array,
) -> jax.Array:
    """Expected profit of one insider over the day, alpha_0 sigma_v² + delta_0; scalar, in money.

    By logs, as money can be in range where lambda_1, sigma_v² or sigma_u² is not.
    """
    M, log_lambda_1 = num_insiders, solution.log_lambda[0]
    q_1 = jnp.exp(solution.log_alpha[0] + log_lambda_1)
    by_value = jnp.exp(2 * jnp.log(sigma_v) - log_lambda_1)
    by_noise = jnp.exp(2 * jnp.log(sigma_u) + log_lambda_1)
    alpha_0 = (1 - q_1) / (M * (1 - 2 * q_1) + 1) ** 2  # times lambda_1
    return alpha_0 * by_value + solution.delta[0] + q_1 * by_noise * dt[0]


def noise_loss(solution: Solution, sigma_u: jax.Array, dt: jax.Array) -> jax.Array:
    """Expected loss of the noise traders, Σ lambda_n sigma_u² dt_n; scalar, in money.

    The insiders together earn exactly this (the market maker breaks even): the redundant check
    that the solver never uses.
    """
    return jnp.sum(jnp.exp(solution.log_lambda + 2 * jnp.log(sigma_u)) * dt)


def simulate(
    key: jax.Array,
    solution: Solution,
    sigma_v: jax.Array,
    sigma_u: jax.Array,
    num_insiders: jax.Array,
    p_0: jax.Array,
    dt: jax.Array,
    num_paths: int,
) -> Paths:
    """Draw v and u_n and play the equilibrium; see :class:`Paths`.

    The error e_n = v − p_n obeys e_n = e_{n−1} (1 − M beta_n lambda_n dt_n) − lambda_n u_n; it is
    propagated itself, since v − p_n would cancel.
    """
    num_auctions, dtype = dt.shape[0], dt.dtype
    key_v, key_u = jax.random.split(key)
    surprise = sigma_v * jax.random.normal(key_v, (num_paths,), dtype)  # v − p_0
    scale = sigma_u * jnp.sqrt(dt)
    noise = scale[:, None] * jax.random.normal(key_u, (num_auctions, num_paths), dtype)
    # 1 − M beta_n lambda_n dt_n, without its cancellation
    kept = jnp.exp(jnp.diff(solution.log_Sigma, prepend=2 * jnp.log(sigma_v)))

    def auction(
        error: jax.Array, n: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        beta, lambda_, dt, kept, u = n
        x = beta * dt * error
        error = kept * error - lambda_ * u
        return error, (x, error)

    per_auction = (solution.beta, solution.lambda_, dt, kept, noise)
    _, (orders, errors) = lax.scan(auction, surprise, per_auction)
    value = p_0 + surprise
    return Paths(
        value=value,
        prices=(value[None, :] - errors).T,
        errors=errors.T,
        insider_orders=orders.T,
        noise_orders=noise.T,
        insider_profit=jnp.sum(orders * errors, axis=0),
        noise_profit=jnp.sum(noise * errors, axis=0),
    )
