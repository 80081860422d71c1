"""The equilibrium of the game: closed forms where they exist, else continuation.

Two signals, and signals that differ all alike, have closed forms; any other game's first-order
condition is solved by :mod:`diffeq.contingent.path`. A root need not be an equilibrium: where
signals are generic and K ≥ 3 there is none in pure strategies, and the root found is refused by
criterion 4 of :mod:`diffeq.contingent.certificate`.

Reference: Keller & Tseng (2024), section 2 and Theorem 6.6 for the closed forms.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.contingent import beliefs, canonical, reduced, two_signals
from diffeq.contingent.beliefs import MOST_ASSETS
from diffeq.contingent.certificate import Certificate, certify
from diffeq.contingent.game import Game, in_domain, validated
from diffeq.contingent.path import expected_profits, tolerance, trades
from diffeq.contingent.reduced import Reduced

MOST_CERTIFIED = 4
METHODS = ("closed_form", "continuation")


class Solution(NamedTuple):
    """An equilibrium, or what solves its first-order condition: see ``certificate``."""

    demand: jax.Array
    """W_k(x), claims bought under each signal, shape (K, X)."""
    profit: jax.Array
    """Expected profit under each signal, shape (K,)."""
    prices: jax.Array
    """Expected price of each claim under each signal, shape (K, X); rows sum to one."""
    posterior: jax.Array
    """E_k[q_l], the market maker's expected posterior of l under k, shape (K, K)."""
    products: jax.Array
    """E_k[q_l q_m], shape (K, K, K)."""
    error: jax.Array
    """Of the trades, in noise standard deviations: scalar, from the last refinement of the
    quadrature, which it overstates; of alpha* in a canonical game; 0 with two signals."""
    certificate: Certificate | None
    """Whether it is an equilibrium; None under jit, vmap or grad (call ``certify`` afterwards), and
    where it failed, was not asked for, or r > 4."""
    info: Info
    """converged: the game is one, and the first-order condition holds on the finest grid."""


def solve(
    game: Game, *, method: str | None = None, rank: int | None = None, certificate: bool = True
) -> Solution:
    """The equilibrium of a game.

    Args:
      game: the game; every leaf is differentiable (eta, sigma and prior by unconstrained partials
        along changes that keep the rank), batch with ``jax.vmap``.
      method: "closed_form" (two signals with any prior; or eta diag(sigma²) etaᵀ, centred, equal to
        g (I − 1/K) with a uniform prior), "continuation", or None: the first where it applies.
      rank: number r of reduced assets, static; default: found where the game is concrete, else
        min(K, X) − 1. A smaller one than the game's is flagged, a larger one too. Continuation
        integrates over r ≤ 5 dimensions; K = 4 takes about a second. Quadrature leaves errors of
        some 1e-12, 1e-10, 1e-6 in the trades at r = 2, 3, 4: see ``Solution.error``.
      certificate: whether to certify a concrete solution (r ≤ 4; some tenths of a second to a few
        seconds). A certificate lives on the host: in what jit or vmap returns it is None.

    Returns:
      :class:`Solution`. A lane that fails is NaN in value and derivative, ``info.converged`` False.

    Raises:
      TypeError, ValueError: what :func:`~diffeq.contingent.game.validated` and
        :func:`~diffeq.contingent.reduced.reduce` refuse; a closed form where there is none; r > 5.

    >>> solution = solve(Game())  # section 2 of the paper
    >>> [round(float(w), 5) for w in solution.demand[0]]
    [0.40825, -0.8165, 0.40825]
    """
    game = validated(game)
    if method is not None:
        validate.option("method", method, METHODS)
    reduced.check_distinct(game)
    concrete = not any(isinstance(x, jax.core.Tracer) for x in game)
    K = len(game.prior)
    if K == 2 and method != "continuation":
        solution = _solve_two(game)
    elif concrete and method != "continuation" and _is_canonical(game):
        solution = _solve_canonical(game)
    elif method == "closed_form":
        raise ValueError(
            "method: no closed form for this game (K = 2, or centred payoffs of equal length and "
            "angles under a uniform prior); use method='continuation'"
        )
    else:
        r = reduced.chosen_rank(game, rank)
        if r > MOST_ASSETS:
            raise ValueError(
                f"game: {r} reduced assets, more than the {MOST_ASSETS} that can be integrated over"
            )
        solution = _solve_by_path(game, r)
    if certificate and concrete and bool(solution.info.converged):
        if reduced.rank_of_game(game) <= MOST_CERTIFIED:
            return solution._replace(certificate=certify(game, solution.demand))
    return solution


@jax.jit
def _solve_two(game: Game) -> Solution:
    x, info = two_signals.scale(game.prior)
    difference = (game.eta[0] - game.eta[1]) * game.sigma
    length = jnp.linalg.norm(difference)
    directions = (difference / length)[:, None]
    small = Reduced(length * jnp.array([[0.5], [-0.5]]), directions, game.prior)
    y = jnp.stack([x, -1 / x])[:, None]
    moments = two_signals.moments(game.prior, x)
    return _finished(game, small, y, moments, 0 * x, info.residual, info.converged & (length > 0))


def _is_canonical(game: Game) -> bool:
    """Whether the centred payoffs have all one length and all one angle, and the prior is flat."""
    rows = np.asarray(reduced.centred(game), float)
    K = len(rows)
    if K > rows.shape[1]:
        return False
    tolerance = 64 * float(jnp.finfo(game.eta.dtype).eps)
    gram = rows @ rows.T
    g = np.trace(gram) / (K - 1)
    flat = np.abs(np.asarray(game.prior) * K - 1).max() <= tolerance
    return bool(flat and np.abs(gram - g * (np.eye(K) - 1 / K)).max() <= tolerance * g)


@jax.jit
def _solve_canonical(game: Game) -> Solution:
    """W_k = alpha*(K) sigma² ⊙ (eta_k − mean)/√g (Theorem 6.6), at a cost independent of r."""
    K = len(game.prior)
    found = canonical.solve(jnp.asarray(K, game.eta.dtype))
    rows = reduced.centred(game)
    root_g = jnp.sqrt(jnp.sum(rows * rows) / (K - 1))
    seen = jnp.eye(K, dtype=rows.dtype)
    other = 1 - seen
    mean = found.E_p1 * seen + found.E_p2 * other
    with_seen = seen[:, :, None] * other[:, None, :] + other[:, :, None] * seen[:, None, :]
    twice = other[:, :, None] * other[:, None, :]
    same = seen[None]
    products = (
        found.E_p1p1 * seen[:, :, None] * seen[:, None, :]
        + found.E_p1p2 * with_seen
        + (found.E_p2p2 * same + found.E_p2p3 * (1 - same)) * twice
    )
    y = found.alpha / root_g * rows  # in all X directions: no basis is needed
    whole = Reduced(rows, jnp.eye(rows.shape[1], dtype=rows.dtype), game.prior)
    info = found.info
    return _finished(game, whole, y, (mean, products), found.error, info.residual, info.converged)


@partial(jax.jit, static_argnums=1)
def _solve_by_path(game: Game, rank: int) -> Solution:
    small = reduced.of_rank(game, rank)
    y, error, info = trades(small.a, small.prior)
    moments = beliefs.moments(y, small.prior, beliefs.rule(rank, beliefs.FINE))
    rows = reduced.centred(game)  # a rank too small leaves out what no order then trades
    left_out = jnp.max(jnp.abs(rows - small.a @ small.directions.T)) / jnp.max(jnp.abs(rows))
    ok = info.converged & (left_out <= tolerance(y.dtype))
    return _finished(game, small, y, moments, error, jnp.maximum(info.residual, left_out), ok)


def _finished(
    game: Game,
    small: Reduced,
    y: jax.Array,
    moments: tuple[jax.Array, jax.Array],
    error: jax.Array,
    residual: jax.Array,
    ok: jax.Array,
) -> Solution:
    """Everything else from y and the posterior moments."""
    mean, products = moments
    profit = expected_profits(small.a, mean, y)
    fields = (small.claims(y, game.sigma), profit, mean @ game.eta, mean, products)
    ok = ok & in_domain(game) & (game.prior @ profit > 0)
    return Solution(*poison(fields, ok, game), error, None, Info(ok, residual))
