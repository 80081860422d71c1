"""The equilibrium of the game: closed forms where they exist, else continuation.

In reduced coordinates the first-order condition of the insider who saw k, trading y_k while the
market maker believes {y_l}, is the gradient of (a_k − E P)·y at y_k:

    a_k − Σ_l E[q_l] a_l − Σ_l (a_l·y_k) E[q_l (y_l − Σ_m q_m y_m)] = 0,    q = posterior(y_k + Z).

It is linear in the values a, so y does not depend on the payoff scale. It is even in y: −y solves
it too, losing money, and so does "infinity"; hence the path from a game whose solution is known,
and the certificate afterwards. Where signals are generic and K ≥ 3 there is no pure equilibrium:
the root found is then refused by criterion 4 of :mod:`diffeq.contingent.certificate`.

Reference: Keller & Tseng (2024), Theorem 5.1; for the closed forms section 2 and Theorem 6.6.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.contingent import beliefs, canonical, reduced, two_signals
from diffeq.contingent.certificate import Certificate, certify
from diffeq.contingent.game import Game, in_domain, validated
from diffeq.contingent.reduced import Reduced
from solvers import continuation, implicit
from solvers.quadrature import Rule

MOST_ASSETS, MOST_CERTIFIED = 5, 4
START = 1.5  # near alpha*(K) of the canonical game for K ≤ 6: 1.41 to 1.70
FARTHEST = 50.0  # noise standard deviations apart: beyond lies the root at infinity
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
    quadrature, which it overstates; 0 for a closed form."""
    certificate: Certificate | None
    """Whether it is an equilibrium; None under jit, vmap or grad: call ``certify`` afterwards."""
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
        min(K, X) − 1. Continuation integrates over r ≤ 5 dimensions; K = 4 takes about a second.
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
        r = reduced.rank_of_game(game) if rank is None else validate.count("rank", rank)
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
    moments = beliefs.moments(y, game.prior, two_signals.RULE)
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


def first_order(y: jax.Array, a: jax.Array, prior: jax.Array, rule: Rule) -> jax.Array:
    """The first-order condition, shape (K, r), in units of value; see the module's text."""

    def of_signal(y_k: jax.Array, a_k: jax.Array) -> jax.Array:
        q, weights = beliefs.posteriors(y_k, y, prior, rule)
        earned = q * (a @ y_k)[None]
        impact = weights @ (earned @ y - jnp.sum(earned, 1, keepdims=True) * (q @ y))
        return a_k - weights @ q @ a - impact

    return jax.vmap(of_signal)(y, a)


def _solve_by_path(game: Game, rank: int) -> Solution:
    small = reduced.of_rank(game, rank)
    y, error, info = trades(small.a, small.prior)
    moments = beliefs.moments(y, small.prior, beliefs.rule(rank, beliefs.FINE))
    return _finished(game, small, y, moments, error, info.residual, info.converged)


@jax.jit
def trades(a: jax.Array, prior: jax.Array) -> tuple[jax.Array, jax.Array, Info]:
    """y (K, r) by continuation, differentiable in a (K, r) and prior (K,); its error, a scalar."""
    rules = [beliefs.rule(a.shape[1], level) for level in range(3)]
    y, error, info = _followed(*jax.lax.stop_gradient((a, prior)), rules)

    def condition(y: jax.Array, theta: tuple[jax.Array, jax.Array]) -> jax.Array:
        a, prior = theta
        return first_order(y, a, prior, rules[-1])

    return implicit.attach(condition, y, (a, prior)), error, info


class Deformed(NamedTuple):
    """A game on the path to the one asked for."""

    a: jax.Array
    """Values, shape (K, r)."""
    prior: jax.Array
    """Shape (K,)."""
    scale: Any
    """Of each asset's values: the first-order condition is judged in units of it."""


def _from_symmetric(a: jax.Array, prior: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
    """From the canonical game, if r = K − 1: values U S^t, prior^t. Also the start and Vᵀ."""
    K, r = a.shape
    U, S, Vt = jnp.linalg.svd(a, full_matrices=False)
    S = S / S[0]
    start = START * U if r == K - 1 else jnp.sqrt(K) * U  # few assets: nearly normal values
    return (
        lambda t: Deformed(U * (S**t)[None], jax.nn.softmax(t * jnp.log(prior)), (S**t)[None]),
        start,
        Vt,
    )


def _from_normal(a: jax.Array, prior: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
    """One asset: from the normal scores of the prior, at which y ≈ value (Kyle 1985)."""
    value = a[:, 0]
    order = jnp.argsort(value)
    up_to = jnp.clip(jnp.cumsum(prior[order]), 0, 1)
    density = norm.pdf(norm.ppf(jnp.concatenate([jnp.zeros_like(up_to[:1]), up_to[:-1]])))
    above = jnp.append(density[1:], 0 * density[:1])
    scores = jnp.zeros_like(value).at[order].set((density - above) / prior[order])
    centred = value - prior @ value
    values = (centred / jnp.sqrt(prior @ centred**2))[:, None]
    scores = scores[:, None]
    one = jnp.ones((1, 1), a.dtype)
    return lambda t: Deformed((1 - t) * scores + t * values, prior, 1.0), scores, one


def _followed(
    a: jax.Array, prior: jax.Array, rules: list[Rule]
) -> tuple[jax.Array, jax.Array, Info]:
    """y by continuation, its error and how it was found; no derivative."""
    K, r = a.shape
    path = _from_normal if r == 1 and K > 2 else _from_symmetric
    deformed, start, Vt = path(a, prior)

    def trades_of(z: jax.Array, t: Any) -> jax.Array:
        """y from unknowns of order one: the trades' common part goes as 1/scale."""
        z = z.reshape(K, r)
        return z + jnp.mean(z, axis=0, keepdims=True) * (1 / deformed(t).scale - 1)

    def condition(z: jax.Array, t: Any, rule: Rule) -> jax.Array:
        at = deformed(t)
        return (first_order(trades_of(z, t), at.a, at.prior, rule) / at.scale).ravel()

    def profitable(z: jax.Array, t: jax.Array) -> jax.Array:
        at, y = deformed(t), trades_of(z, t)
        mean, _ = beliefs.moments(y, at.prior, rules[0])
        profit = at.prior @ jnp.sum((at.a - mean @ at.a) * y, axis=1)
        return (profit > 0) & (jnp.max(jnp.abs(y - y[:1])) < FARTHEST)

    coarse, middle, fine = (partial(condition, rule=rule) for rule in rules)
    z, found = continuation.follow(coarse, start.ravel(), acceptable=profitable)
    for _ in range(3):
        jacobian = jax.jacfwd(middle)(z, 1.0)
        z = z - jnp.linalg.solve(jacobian, middle(z, 1.0))
    z_middle = z
    for _ in range(3):  # the Jacobian of the coarser grid is as good, and costs nothing
        z = z - jnp.linalg.solve(jacobian, fine(z, 1.0))
    residual = jnp.max(jnp.abs(fine(z, 1.0)))
    eps = float(jnp.finfo(z.dtype).eps)
    ok = found.converged & (residual <= max(1e-10, 1e3 * eps))
    y = trades_of(z, 1.0)
    error = jnp.max(jnp.abs(y - trades_of(z_middle, 1.0)))
    return y @ Vt, error, Info(ok, residual)


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
    profit = jnp.sum((small.a - mean @ small.a) * y, axis=1)
    fields = (small.claims(y, game.sigma), profit, mean @ game.eta, mean, products)
    ok = ok & in_domain(game) & (game.prior @ profit > 0)
    return Solution(*poison(fields, ok, game), error, None, Info(ok, residual))
