"""Markets of Foster & Viswanathan (1996) as they are played.

Each insider's residual is s_i − p_n/M = (s_i − v/M) + (v − p_n)/M: the first part never changes, so
one error e_n = v − p_n = (1−w_n) e_{n−1} − lambda_n u_n carries the whole market.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq import validate
from diffeq.foster_viswanathan.conditions import residual
from diffeq.foster_viswanathan.model import Params, Solution, own_variance, validated


class Paths(NamedTuple):
    """Simulated markets; P paths, N auctions, M insiders."""

    value: jax.Array
    """The asset's value v = Σ s_i, shape (P,)."""
    signals: jax.Array
    """s_i, mean p_0/M, shape (P, M), in price units."""
    prices: jax.Array
    """p_1..p_N, shape (P, N), in price units."""
    errors: jax.Array
    """v − p_n, shape (P, N), propagated directly: no cancellation where the price has converged."""
    insider_orders: jax.Array
    """x_{i,n}, shape (P, N, M)."""
    noise_orders: jax.Array
    """u_n, shape (P, N)."""
    insider_profit: jax.Array
    """Σ_n x_{i,n} (v − p_n) of each insider, shape (P, M), in money."""
    noise_profit: jax.Array
    """Σ_n u_n (v − p_n), shape (P,), in money; the market maker earns minus all the others."""


def simulate(
    key: jax.Array,
    params: Params,
    solution: Solution,
    *,
    num_paths: int,
    spacing: Any = None,
) -> Paths:
    """Play the equilibrium ``num_paths`` times.

    Args:
      key: a JAX random key.
      params: what the solution was solved for; ``num_insiders`` concrete and a whole number, as it
        fixes the shape of the orders.
      solution: arrays of shape (N,).
      num_paths: P ≥ 1, static.
      spacing: as in ``solve``.

    Returns:
      :class:`Paths`: value, signals, prices, orders and profits; shapes (P,), (P, M), (P, N).

    Raises:
      ValueError: ``num_insiders`` is no whole number; or a concrete solution is not the one of
        these parameters and this spacing.
      TypeError: ``num_insiders`` is traced.
    """
    given = params
    params, dt = validated(params, validate.num_auctions(solution), spacing)
    M = _whole(params.num_insiders)
    found = residual(solution, given, spacing=spacing)
    validate.solved_for(jnp.max(jnp.stack([found.pricing, found.filtering, found.signals])))
    return _simulate(key, params, solution, dt, M, validate.count("num_paths", num_paths))


def _whole(num_insiders: Any) -> int:
    if isinstance(num_insiders, jax.core.Tracer):
        raise TypeError(
            "params.num_insiders: expected a concrete whole number (it fixes a shape), got a "
            "traced value; simulate each number of insiders on its own"
        )
    if float(num_insiders) != int(num_insiders):
        raise ValueError(
            "params.num_insiders: expected a whole number to simulate, got "
            f"{float(num_insiders):.12g}"
        )
    return int(num_insiders)


@partial(jax.jit, static_argnums=(4, 5))
def _simulate(
    key: jax.Array, params: Params, solution: Solution, dt: jax.Array, M: int, num_paths: int
) -> Paths:
    sigma_v, sigma_u, _, correlation, p_0 = params
    num_auctions, dtype = dt.shape[0], dt.dtype
    key_v, key_s, key_u = jax.random.split(key, 3)
    surprise = sigma_v * jax.random.normal(key_v, (num_paths,), dtype)  # v − p_0
    z = jax.random.normal(key_s, (M, num_paths), dtype)
    own = jnp.sqrt(own_variance(sigma_v, M, correlation)) if M > 1 else jnp.zeros((), dtype)
    private = own * (z - jnp.mean(z, axis=0, keepdims=True))  # s_i − v/M, sums to zero
    noise = (sigma_u * jnp.sqrt(dt))[:, None] * jax.random.normal(
        key_u, (num_auctions, num_paths), dtype
    )
    # 1 − w_n, without its cancellation
    kept = jnp.exp(jnp.diff(solution.log_Sigma, prepend=2 * jnp.log(sigma_v)))

    def auction(
        state: tuple[jax.Array, jax.Array], n: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        error, profit = state
        b, lambda_, kept, u = n
        x = b * (private + error[None] / M)
        error = kept * error - lambda_ * u
        return (error, profit + x * error[None]), (x, error)

    per_auction = (solution.beta * dt, solution.lambda_, kept, noise)
    state = surprise, jnp.zeros_like(private)
    (_, profit), (orders, errors) = lax.scan(auction, state, per_auction)
    value = p_0 + surprise
    return Paths(
        value=value,
        signals=(value[None] / M + private).T,
        prices=(value[None] - errors).T,
        errors=errors.T,
        insider_orders=jnp.moveaxis(orders, -1, 0),
        noise_orders=noise.T,
        insider_profit=profit.T,
        noise_profit=jnp.sum(noise * errors, axis=0),
    )
