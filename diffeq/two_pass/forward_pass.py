"""The forward pass: every field of the equilibrium from the y_n of the backward pass."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq.two_pass.market import Fields, Market
from solvers import implicit, sums


class Local(NamedTuple):
    """What each auction is by itself, from y and M: shape (N,); one quotient, two roots."""

    q: jax.Array
    """alpha_n lambda_n."""
    r: jax.Array
    """M(1 − 2q), precision that the auction adds to what was known before it."""
    more: jax.Array
    """1 + r."""
    left: jax.Array
    """1/(1 + r), the share of the variance of v that is left."""
    root_r: jax.Array
    """sqrt(r)."""
    shrink: jax.Array
    """sd(v − p_n)/sd(v − p_{n−1})."""


def _local(y: jax.Array, M: jax.Array) -> Local:
    t = 1 + 2 * y
    quotient = 1 / (t * (t + M))
    per_t = (t + M) * quotient
    r, shrink = M * per_t, t * jnp.sqrt(quotient)
    return Local(y * per_t, r, (t + M) * per_t, t * t * quotient, jnp.sqrt(r), shrink)


def rents(q: jax.Array, root_r: jax.Array, shrink: jax.Array, root_dt: jax.Array) -> jax.Array:
    """delta_n in units of sigma_u sd(v − p_n): in range where delta is not."""

    def earlier_rent(rent: jax.Array, n: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        q, root_r, shrink, root_dt = n
        return (rent + q * root_r * shrink * root_dt) * shrink, rent

    auctions = q, root_r, shrink, root_dt
    return lax.scan(earlier_rent, jnp.zeros_like(q[0]), auctions, reverse=True)[1]


def _deviations(local: Local) -> jax.Array:
    """sd(v − p_{n−1})/sigma_v."""

    def auction(unit: jax.Array, shrink: jax.Array) -> tuple[jax.Array, jax.Array]:
        return unit * shrink, unit

    return lax.scan(auction, jnp.ones_like(local.shrink[0]), local.shrink)[1]


def forward(params: Market, dt: jax.Array, y: jax.Array) -> Fields:
    """The fields of :class:`diffeq.auctions.Solution`, without ``info``, from the backward pass.

    The scans hold nothing but a running sum or product: what an auction is by itself is
    computed for all of them at once. Each level goes out of range no sooner than it must.

    Args:
      params: scalars, or rows of markets, shape (1, L).
      dt: shape (N,), or (N, L); y too, and every field.
    """
    sigma_v, sigma_u, M, _ = params
    after = np.arange(dt.shape[0])[::-1]  # alpha_N = delta_N = delta_{N−1} = 0
    after = after.reshape(-1, *[1] * (y.ndim - 1))
    has_alpha, has_delta = after > 0, after > 1
    root_dt = jnp.sqrt(dt)
    local = _local(y, M)
    unit = _deviations(local)

    q, r, more, left, root_r, shrink = local
    rent = rents(q, root_r, shrink, root_dt)
    over_su, sd = (sigma_v / sigma_u) * unit, sigma_v * (unit * shrink)
    under_su = root_r * (1 / M) / over_su
    lambda_, beta = over_su * (root_r * left * (1 / root_dt)), under_su * (1 / root_dt)
    alpha = jnp.where(has_alpha, under_su * (y * more * root_dt), 0.0)  # q_n/lambda_n
    levels = lambda_, beta, alpha, sigma_u * rent * sd, sd * sd

    log_Sigma = 2 * jnp.log(sigma_v) - sums.cumulative(jnp.log1p(r))
    log_su = jnp.log(sigma_u)
    log_lambda = (jnp.log(r) - jnp.log1p(r) + log_Sigma - jnp.log(dt)) / 2 - log_su
    log_beta = log_lambda + 2 * log_su - jnp.log(M) - log_Sigma
    log_alpha = jnp.where(has_alpha, _log_if(has_alpha, q) - log_lambda, -jnp.inf)
    log_delta = jnp.where(has_delta, _log_if(has_delta, rent) + log_su + log_Sigma / 2, -jnp.inf)
    return *levels, log_lambda, log_beta, log_Sigma, log_alpha, log_delta


def _log_if(positive: Any, x: jax.Array) -> jax.Array:
    """Log of x where ``positive``; else −inf, with a derivative of zero."""
    return jnp.where(positive, jnp.log(jnp.where(positive, x, 1.0)), -jnp.inf)


@jax.custom_jvp
def _by_log(level: jax.Array, log: jax.Array) -> jax.Array:
    """The level, with the derivative that its log gives it.

    In that of a product, or of 1/x, a factor may leave the range where the level does not, and a
    cotangent of 0 makes NaN of it. So would an infinite level: the largest number stands in.
    """
    return level


@_by_log.defjvp
def _by_log_jvp(primals: Any, tangents: Any) -> Any:
    level = by_log(*primals)
    return level, jnp.minimum(level, jnp.finfo(level.dtype).max) * tangents[1]


by_log = implicit.in_scans(_by_log)


def log_but_last(x: jax.Array, num_zeros: int, log_unit: jax.Array) -> jax.Array:
    """Log of x times a unit; the last ``num_zeros`` entries are 0 (of alpha one, of delta two)."""
    positive = np.arange(x.shape[0]) < x.shape[0] - num_zeros
    positive = positive.reshape(-1, *[1] * (x.ndim - 1))
    return jnp.where(positive, _log_if(positive, x) + log_unit, -jnp.inf)
