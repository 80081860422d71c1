"""Equal spacing: y depends on M and the distance N − n from the last auction only.

So the chain of the longest horizon holds the chain of every shorter one.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.two_pass.backward_pass import chain
from diffeq.two_pass.market import Fields


def _by_distance(num_insiders: jax.Array, max_auctions: int) -> tuple[jax.Array, jax.Array]:
    """y by distance 0, 1, … from the last auction, serving every horizon N ≤ max_auctions."""
    dt = jnp.full(max_auctions, 1 / max_auctions, num_insiders.dtype)
    y, residual = chain(num_insiders, dt)
    return y[::-1], residual


def terminal(
    sigma_v: jax.Array, sigma_u: jax.Array, num_insiders: jax.Array, max_auctions: int
) -> tuple[Fields, jax.Array]:
    """Logs of lambda_N, beta_N, Sigma_N for N = 1..max_auctions, shape (max_auctions,) each.

    log Sigma_N = 2 log sigma_v − Σ_{j<N} log(1 + r^(j)), j the distance; in the last auction r = M.
    """
    y, residual = _by_distance(num_insiders, max_auctions)
    log_Sigma = 2 * jnp.log(sigma_v) - jnp.cumsum(jnp.log1p(num_insiders / (1 + 2 * y)))
    log_dt = -np.log(np.arange(1, max_auctions + 1)).astype(y.dtype)
    log_share = jnp.broadcast_to(jnp.log(num_insiders) - jnp.log1p(num_insiders), y.shape)
    logs = _logs(log_share, log_Sigma, log_dt, sigma_u, num_insiders)
    return logs, residual


def table(
    sigma_v: jax.Array, sigma_u: jax.Array, num_insiders: jax.Array, max_auctions: int
) -> tuple[Fields, jax.Array]:
    """Logs of lambda_n, beta_n, Sigma_n, row N−1, column n−1; meaningless where n > N."""
    y, residual = _by_distance(num_insiders, max_auctions)
    r = num_insiders / (1 + 2 * y)
    total = jnp.concatenate([jnp.zeros_like(y[:1]), jnp.cumsum(jnp.log1p(r))])
    n = np.arange(1, max_auctions + 1)
    distance = np.maximum(n[:, None] - n[None, :], 0)
    log_Sigma = 2 * jnp.log(sigma_v) - (total[n][:, None] - total[distance])
    log_dt = -np.log(np.broadcast_to(n[:, None], distance.shape)).astype(y.dtype)
    log_share = jnp.log(r) - jnp.log1p(r)
    logs = _logs(log_share[distance], log_Sigma, log_dt, sigma_u, num_insiders)
    return logs, residual


def _logs(
    log_share: jax.Array,
    log_Sigma: jax.Array,
    log_dt: Any,
    sigma_u: jax.Array,
    num_insiders: jax.Array,
) -> Fields:
    """Logs of lambda = sqrt(share Sigma/dt)/sigma_u, share = r/(1+r); of beta; of Sigma."""
    log_lambda = (log_share + log_Sigma - log_dt) / 2 - jnp.log(sigma_u)
    log_beta = log_lambda + 2 * jnp.log(sigma_u) - jnp.log(num_insiders) - log_Sigma
    return log_lambda, log_beta, log_Sigma
