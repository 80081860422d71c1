"""Equations (33) and (34) as the paper prints them, for those who look for them there.

They rest on Theorem 6.3, which transforms claims d into L d and leaves out that payoffs are then
multiplied by L too. Use :func:`~diffeq.contingent.equilibrium.solve` and
:func:`~diffeq.contingent.impact.price_impact` instead.

Reference: Keller & Tseng (2024), equations (33) and (34).
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffeq.contingent import canonical
from diffeq.contingent.game import Game, validated
from diffeq.contingent.impact import moments_of


def published_demand(game: Game) -> jax.Array:
    """Equation (33): W_k = Σ_l (alpha* L⁻¹ Q)_lk eta_l, L² = [Σ_x eta_k eta_l / sigma²].

    For constant sigma it is an equilibrium if and only if Σ_x eta_k eta_l = a 1{k=l} + b (two
    signals: eta_1 and eta_2 of equal length). Mean signals (Example 7.1) and mirror pairs are; not
    variance signals (Example 7.2). In the example of section 2 it gives (½, −.7071, ½), against
    which profit is unbounded. The prior is not used.

    Returns:
      Shape (K, X); NaN where the eta_k are linearly dependent, for L has no inverse then.
    """
    return _demand(validated(game))


@jax.jit
def _demand(game: Game) -> jax.Array:
    scaled = game.eta / game.sigma[None]
    K = len(scaled)
    values, vectors = jnp.linalg.eigh(scaled @ scaled.T)
    regular = values[0] > K * jnp.finfo(values.dtype).eps * values[-1]
    values = jnp.where(regular, values, jnp.nan)
    inverse_root = (vectors / jnp.sqrt(values)[None]) @ vectors.T
    Q = jnp.eye(K, dtype=scaled.dtype) - 1 / K
    return _alpha(K, scaled) * (inverse_root @ Q).T @ game.eta


def published_price_impact(game: Game, solution: Any) -> jax.Array:
    """Equation (34): (1 − 1/K) alpha* (sigma_i sigma_j)^−½ E Cov(eta_i, eta_j | omega).

    It never equals the definition (20): it is off by at least the factor 1 − 1/K.

    Args:
      game: the game.
      solution: what ``solve`` returned for it; its posterior moments are used.

    Returns:
      Shape (X, X).
    """
    game = validated(game)
    return _impact(game, *moments_of(game, solution))


@jax.jit
def _impact(game: Game, posterior: jax.Array, products: jax.Array) -> jax.Array:
    K = len(game.prior)
    covariance = jnp.diag(game.prior @ posterior) - jnp.einsum("k,klm->lm", game.prior, products)
    scaled = game.eta / jnp.sqrt(game.sigma)[None]
    return (1 - 1 / K) * _alpha(K, scaled) * scaled.T @ covariance @ scaled


def _alpha(K: int, like: jax.Array) -> jax.Array:
    return canonical.solve(jnp.asarray(K, like.dtype)).alpha
