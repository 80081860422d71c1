"""How much one more order moves prices, and how much of the secret prices reveal.

    dP_i/dW_j = Cov(eta_i, W_j | omega) / sigma_j²,                                     (20)

the covariance over the market maker's posterior after the order flow omega. Between any two claims
see :func:`diffeq.contingent.options.cross_impact`.

Reference: Keller & Tseng (2024), sections 5 and 7.
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffeq.contingent import game as games
from diffeq.contingent.game import Game, validated


def price_impact(
    game: Game, solution: Any, *, signal: int | None = None, omega: Any = None
) -> jax.Array:
    """Lambda from its definition, equation (20); row i the price, column j the order.

    Where eta diag(sigma²) etaᵀ, centred, is g (I − 1/K) it is symmetric, (alpha*/√g) E Cov(eta_i,
    eta_j | omega); with two equally likely signals (1 − E p_1) D_i D_j / ‖sigma D‖, E p_1 the
    efficiency. See :func:`~diffeq.contingent.published.published_price_impact` for the paper's own.

    Args:
      game: the game.
      solution: what :func:`~diffeq.contingent.equilibrium.solve` returned for it; with ``omega``
        any demand, shape (K, X).
      signal: expectation over the order flow under this signal; default: over the prior mixture.
      omega: at this order flow, shape (X,), instead of an expectation.

    Returns:
      Shape (X, X), in price per unit ordered.
    """
    game = validated(game)
    demand = games.demand_of(game, solution)
    if omega is not None:
        if signal is not None:
            raise ValueError("signal, omega: give one of them, or neither")
        q = games.posterior(game, solution, omega)
        return _impact(game, demand, q, jnp.outer(q, q))
    posterior, products = moments_of(game, solution)
    weights = game.prior
    if signal is not None:
        weights = jnp.zeros_like(weights).at[games.signal_of(game, signal)].set(1)
    return _impact(game, demand, weights @ posterior, jnp.einsum("k,klm->lm", weights, products))


def moments_of(game: Game, solution: Any) -> tuple[jax.Array, jax.Array]:
    """E_k[q_l] and E_k[q_l q_m] of a solution of the game, checked."""
    if not (hasattr(solution, "posterior") and hasattr(solution, "products")):
        raise TypeError(
            f"solution: expected what contingent.solve returns, got {type(solution).__name__} "
            "(of a demand, the price impact is known at an order flow only: give omega)"
        )
    K = len(game.prior)
    if solution.products.shape != (K, K, K):
        raise ValueError(
            f"solution: expected that of this game, with products of shape {(K, K, K)}, "
            f"got {solution.products.shape}; use jax.vmap for a batch"
        )
    return solution.posterior, solution.products


@jax.jit
def _impact(game: Game, demand: jax.Array, mean: jax.Array, products: jax.Array) -> jax.Array:
    covariance = jnp.diag(mean) - products
    return game.eta.T @ covariance @ (demand / game.sigma[None] ** 2)


def information_efficiency(game: Game, solution: Any, *, signal: int | None = None) -> jax.Array:
    """E[q_k]: the posterior the true signal gets on average; 1 if prices reveal all of it.

    Args:
      game: the game.
      solution: what ``solve`` returned for it.
      signal: under this signal; default: over the prior. In the canonical game it depends on K
        alone (Corollary 7.10); not so in product games.

    Returns:
      Scalar, between Σ prior² and 1.
    """
    game = validated(game)
    by_signal = jnp.diag(moments_of(game, solution)[0])
    return game.prior @ by_signal if signal is None else by_signal[games.signal_of(game, signal)]
