"""The first-order condition of an insider, in its three terms.

An insider who saw signal k and trades W, where the market maker believes {W_l}, gains from one
more unit of claim x

    eta_k(x) − E P(x | omega) − Σ_y W(y) E Cov(eta(y), W(x)/sigma(x)² | omega),     (Theorem 5.1)

the covariance over the market maker's posterior. In an equilibrium it is zero for every x.
A zero is no evidence of equilibrium: −W solves it too (:mod:`diffeq.contingent.certificate`).

Reference: Keller & Tseng (2024), section 5.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq import validate
from diffeq.contingent import beliefs, reduced
from diffeq.contingent.beliefs import MOST_ASSETS
from diffeq.contingent.game import Game, demand_of, signal_of, validated


class FirstOrderTerms(NamedTuple):
    """What one more unit of each claim brings and costs an insider; shape (X,) each."""

    payoff: jax.Array
    """eta_k(x): what the claim pays."""
    arrow_debreu: jax.Array
    """E P(x | omega): what the claim costs at the expected price."""
    price_impact: jax.Array
    """Σ_y W(y) E Cov(eta(y), W(x)/sigma(x)² | omega): what the rest of the order costs more."""

    @property
    def gradient(self) -> jax.Array:
        """Marginal profit, zero in an equilibrium where the claim matters."""
        return self.payoff - self.arrow_debreu - self.price_impact


def first_order_terms(
    game: Game, demand: Any, *, signal: int, order: Any = None
) -> FirstOrderTerms:
    """The three terms of the first-order condition (Theorem 5.1).

    Args:
      game: the game.
      demand: the market maker's belief, shape (K, X).
      signal: which signal k the insider saw.
      order: what the insider trades, shape (X,); default demand[signal].

    Raises:
      ValueError: demands that differ in more than 5 dimensions (too many nodes to integrate over).

    Returns:
      :class:`FirstOrderTerms`; its ``gradient`` is that of :func:`expected_profit` in ``order``.
    """
    return _first_order_terms(*_checked(game, demand, signal, order))


def expected_profit(game: Game, demand: Any, *, signal: int, order: Any = None) -> jax.Array:
    """E Σ_x W(x) (eta_k(x) − P(x | omega)) under the belief ``demand``; scalar.

    Arguments as in :func:`first_order_terms`.
    """
    return _expected_profit(*_checked(game, demand, signal, order))


@partial(jax.jit, static_argnums=4)
def _expected_profit(
    game: Game, demand: jax.Array, order: jax.Array, k: int, rank: int
) -> jax.Array:
    mean, _ = _moments(game, demand, order, rank)
    return order @ (game.eta[k] - mean @ game.eta)


@partial(jax.jit, static_argnums=4)
def _first_order_terms(
    game: Game, demand: jax.Array, order: jax.Array, k: int, rank: int
) -> FirstOrderTerms:
    eta = game.eta
    mean, products = _moments(game, demand, order, rank)
    covariance = jnp.diag(mean) - products  # of the indicators of the signals, given omega
    impact = (order @ eta.T) @ covariance @ (demand / game.sigma[None] ** 2)
    return FirstOrderTerms(eta[k], mean @ eta, impact)


def _moments(
    game: Game, demand: jax.Array, order: jax.Array, rank: int
) -> tuple[jax.Array, jax.Array]:
    """E posterior, shape (K,), and E posterior posteriorᵀ, (K, K), where ``order`` is traded."""
    rows = _seen(demand / game.sigma[None])
    directions = reduced.frame(rows, rank)
    y = rows @ directions
    at = (order - demand[0]) / game.sigma @ directions
    return beliefs.moments_at(at, y, game.prior, beliefs.rule(rank, beliefs.FINE))


def _seen(rows: jax.Array) -> jax.Array:
    """The posterior sees differences only."""
    return rows - rows[:1]


def _checked(
    game: Game, demand: Any, signal: int, order: Any
) -> tuple[Game, jax.Array, jax.Array, int, int]:
    game = validated(game)
    demand = demand_of(game, demand)
    K, X = demand.shape
    k = signal_of(game, signal)
    order = demand[k] if order is None else validate.array("order", order)
    if order.shape != (X,):
        raise ValueError(f"order: expected shape {(X,)}, got {order.shape}")
    rank = reduced.rank_of(_seen(demand / game.sigma[None]), at_most=min(K - 1, X))
    if rank > MOST_ASSETS:
        raise ValueError(
            f"demand: {rank} dimensions in which the signals' orders differ, more than the "
            f"{MOST_ASSETS} that can be integrated over"
        )
    return game, demand, jnp.asarray(order, demand.dtype), k, max(1, rank)
