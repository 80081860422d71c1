"""The coordinates to solve in: r ≤ K − 1 assets of unit noise instead of X claims.

Only differences of payoffs move a posterior. With E = eta − its mean over the signals and the
thin singular value decomposition E diag(sigma) = U S Vᵀ of rank r, the game is a one-shot Kyle
auction in r assets with values a_k = (U S)_k and unit noise:

    omega = y + N(0, I),    P(omega) = Σ_l posterior_l(omega) a_l,    profit (a_k − P)·y,

and the claims traded are W_k = sigma ⊙ (V y_k): more noise in a market, a larger trade there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.contingent.game import Game, validated


class Reduced(NamedTuple):
    """A game in reduced coordinates."""

    a: jax.Array
    """Values of the r assets under each signal, centred, shape (K, r); a aᵀ = E diag(sigma²) Eᵀ."""
    directions: jax.Array
    """V, orthonormal columns, shape (X, r)."""
    prior: jax.Array
    """Shape (K,)."""

    def claims(self, y: jax.Array, sigma: jax.Array) -> jax.Array:
        """The trades W (…, X) in claims that y (…, r) stands for."""
        return y @ (sigma[:, None] * self.directions).T


def reduce(game: Game, *, rank: int | None = None) -> Reduced:
    """The reduced form; see the module's text.

    Args:
      game: the game; concrete or traced.
      rank: r, static; default: found by the singular values where the game is concrete, else
        min(K, X) − 1.

    Raises:
      ValueError: two signals with the same payoffs (concrete): no order can tell them apart, and
        they must be merged, :func:`merge`.

    Returns:
      :class:`Reduced`.

    Derivatives hold for changes of the game that keep its rank; the coordinates turn with them.
    """
    game = validated(game)
    return of_rank(game, chosen_rank(game, rank))


def merge(game: Game) -> Game:
    """The game with identical signals merged, their priors added: eta of shape (fewer, X).

    Concrete only; signals are identical if they pay the same to rounding.
    """
    game = validated(game)
    eta, prior = np.asarray(game.eta), np.asarray(game.prior)
    twin = _first_twin(eta)
    kept = np.unique(twin)
    merged = np.array([prior[twin == k].sum() for k in kept])
    return Game(eta[kept], game.sigma, merged)


def _first_twin(eta: np.ndarray) -> np.ndarray:
    """For each signal, the first that pays the same to rounding."""
    close = np.abs(eta[:, None] - eta[None]).max(axis=2) <= 8 * np.finfo(eta.dtype).eps
    return np.argmax(close, axis=1)


def check_distinct(game: Game) -> None:
    """Raise if two signals of a concrete game are identical, naming them."""
    if isinstance(game.eta, jax.core.Tracer):
        return
    twin = _first_twin(np.asarray(game.eta))
    if (twin != np.arange(len(twin))).any():
        k = int(np.argmax(twin != np.arange(len(twin))))
        raise ValueError(
            f"Game.eta: signals {twin[k]} and {k} are identical, no order can tell them apart; "
            "merge them (contingent.merge adds up their priors)"
        )


def chosen_rank(game: Game, rank: int | None) -> int:
    """The rank a user gave, checked, else that of the game."""
    if rank is None:
        return rank_of_game(game)
    most = min(game.eta.shape) - 1
    if validate.count("rank", rank) > most:
        raise ValueError(f"rank: expected at most min(K, X) − 1 = {most}, got {rank}")
    return rank


def rank_of_game(game: Game) -> int:
    """Number of reduced assets of a validated game; of a traced one the largest possible."""
    check_distinct(game)
    return rank_of(centred(game), at_most=min(game.eta.shape) - 1)


def rank_of(rows: jax.Array, *, at_most: int) -> int:
    """Numerical rank of concrete ``rows``, no more than ``at_most``; of traced ones ``at_most``."""
    if isinstance(rows, jax.core.Tracer):
        return at_most
    S = np.linalg.svd(np.asarray(rows, float), compute_uv=False)
    return min(at_most, int(np.sum(S > max(rows.shape) * float(jnp.finfo(rows.dtype).eps) * S[0])))


def of_rank(game: Game, rank: int) -> Reduced:
    """The reduced form of a validated game whose rank is known."""
    rows = centred(game)
    directions = frame(rows, rank)
    return Reduced(rows @ directions, directions, game.prior)


def centred(game: Game) -> jax.Array:
    """E diag(sigma), shape (K, X): payoffs less their mean over signals, in units of noise."""
    return (game.eta - jnp.mean(game.eta, axis=0, keepdims=True)) * game.sigma[None]


def frame(rows: jax.Array, rank: int) -> jax.Array:
    """An orthonormal basis of the span of ``rows``, shape (X, rank), differentiable.

    At the point itself the right singular vectors; nearby the orthonormalised rowsᵀ M with M held,
    which is smooth where singular values meet, as those of symmetric games do.
    """
    U, S, _ = jnp.linalg.svd(jax.lax.stop_gradient(rows), full_matrices=False)
    kept = S[:rank] > jnp.finfo(S.dtype).eps * S[0]
    Q, R = jnp.linalg.qr(rows.T @ (U[:, :rank] / jnp.where(kept, S[:rank], 1)[None]))
    return Q * jnp.where(jnp.diag(R) < 0, -1, 1)[None]
