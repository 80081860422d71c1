"""The equilibrium as a function of the spacing, so that its derivatives in dt lose no digits.

In y_n = q_n/(1 − 2q_n) an auction much shorter than the next has y_n ∝ 1/dt_n: its partial
derivatives, of order 1/dt_n each, cancel down to what is left. w_n = y_n dt_n stays finite:

    q = w/(dt + 2w),    r = M dt/(dt + 2w),    r/(dt (1 + r)) = M/((1 + M) dt + 2w).

The equations are those of :mod:`~diffeq.two_pass.backward_pass` (its cubic, in w) and
:mod:`~diffeq.two_pass.forward_pass` (its logs); these give the values, this file slopes in dt.
"""

import jax
import jax.numpy as jnp
from jax import lax

from diffeq.two_pass.backward_pass import backward, ratios
from diffeq.two_pass.forward_pass import forward, log_but_last, rents
from diffeq.two_pass.market import Fields, Market
from solvers import implicit, sums


def equilibrium(params: Market, dt: jax.Array) -> tuple[Fields, jax.Array]:
    """The fields of :class:`diffeq.auctions.Solution`, and the largest residual of the chain.

    The logs carry the derivatives; the levels, which have none, are the forward pass's.

    Args:
      params: scalars, or rows of markets, shape (1, L).
      dt: lengths of the auctions, shape (N,), or (N, L).
    """
    fixed, fixed_dt = lax.stop_gradient((params, dt))
    M = jnp.reshape(fixed.num_insiders, dt.shape[1:])
    y, residual = backward(M, ratios(fixed_dt))
    per_unit = 1 / (fixed_dt * (1 + y))  # units, constant, in which each auction's dt + w is 1
    d = dt * per_unit
    w = _chain(y * fixed_dt * per_unit, params.num_insiders, d, per_unit)
    levels = forward(fixed, fixed_dt, y)[:5]
    return (*levels, *_logs(params, dt, d, w, per_unit)), residual


def _chain(w: jax.Array, num_insiders: jax.Array, d: jax.Array, per_unit: jax.Array) -> jax.Array:
    """w with its derivative in M and in d, the lengths dt; both in each auction's unit."""
    earlier_units = per_unit[1:] / per_unit[:-1]

    def residual(w: jax.Array, theta: tuple[jax.Array, jax.Array]) -> jax.Array:
        # W² (2W + (1+M) D) = k D (2W + D)², W and D of the earlier auction, cleared of denominators
        M, d = theta
        W, D, w_next, d_next = w[:-1], d[:-1], w[1:], d[1:]
        more = 1 + M  # taken out of both sums: M d in them would cost float32 its range
        left = (more * W * (d_next + 2 * w_next / more)) ** 2 * more * (D + 2 * W / more)
        right = ((d_next + w_next) * (2 * W + D)) ** 2 * (d_next + 2 * w_next)
        return jnp.concatenate([earlier_units * left - right, w[-1:]])

    solve = implicit.upper_bidiagonal
    return implicit.attach(residual, w, (num_insiders, d), tangent_solve=solve)


def _logs(params: Market, dt: jax.Array, d: jax.Array, w: jax.Array, per_unit: jax.Array) -> Fields:
    """Logs of lambda, beta, Sigma, alpha, delta; d and w in units of their own."""
    sigma_v, sigma_u, M, _ = params
    log_M, log_su = jnp.log(M), jnp.log(sigma_u)
    twice, log_whole = d + 2 * w, jnp.log1p(M) + jnp.log(d + 2 * w / (1 + M))
    r = M / (1 + 2 * (w / d))
    log_Sigma = 2 * jnp.log(sigma_v) - sums.cumulative(jnp.log1p(r))
    per_dt = log_M - log_whole + jnp.log(per_unit)  # log of r/(dt (1 + r))
    log_lambda = (per_dt + log_Sigma) / 2 - log_su
    log_beta = log_lambda + 2 * log_su - log_M - log_Sigma
    # alpha_n by what comes after it: (1 − q)/(lambda [M(1 − 2q) + 1]²) of auction n + 1
    before = jnp.log(d + w) + jnp.log(twice) - 2 * log_whole - log_lambda
    log_alpha = jnp.concatenate([before[1:], jnp.full_like(before[:1], -jnp.inf)])
    root_r = jnp.sqrt(M) * jnp.sqrt(d / twice)
    in_units = rents(w / twice, root_r, lax.rsqrt(1 + r), jnp.sqrt(dt))
    log_delta = log_but_last(in_units, 2, log_su + log_Sigma / 2)
    return log_lambda, log_beta, log_Sigma, log_alpha, log_delta
