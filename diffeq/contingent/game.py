"""The game: an insider who knows a signal trades Arrow–Debreu claims; a market maker prices them.

States x_1..x_X, signals s_1..s_K; the insider who saw signal k submits W_k(x), noise N(0,
sigma(x)²) joins in every market, and the competitive market maker sees omega = W + noise:

    log posterior(k | omega) = log prior_k + Σ_x W_k omega/sigma² − ½ Σ_x W_k²/sigma² + const (4.1)
    P(x | omega) = Σ_k eta_k(x) posterior(k | omega)                                     (prices)

Reference: Keller & Tseng (2024), "Arrow-Debreu Meets Kyle", sections 3 to 5.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate


class Game(NamedTuple):
    """A game; the defaults are the example of the paper's section 2."""

    eta: Any = ((0.5, 0.0, 0.5), (0.0, 1.0, 0.0))
    """Probability of each state under each signal, shape (K, X); rows sum to one."""
    sigma: Any = 1.0
    """Standard deviation of noise orders per state, > 0, shape (X,) or one number for all."""
    prior: Any = None
    """Market maker's probability of each signal, > 0, shape (K,); default uniform."""


def validated(game: Game) -> Game:
    """The game with arrays of one dtype, shapes (K, X), (X,), (K,); concrete values checked.

    The dtype is the widest among its arrays, or JAX's default float where all are Python numbers.

    Raises:
      TypeError: not a Game, or entries that are no real numbers.
      ValueError: wrong shapes; negative or not finite entries; rows of eta or a prior that do not
        sum to one; a noise or prior that is not positive; fewer than two signals or states.
    """
    if not isinstance(game, Game):
        raise TypeError(f"game: expected contingent.Game, got {type(game).__name__}")
    fields = {n: v for n, v in zip(Game._fields, game, strict=True) if v is not None}
    eta, sigma, prior = (validate.array(f"Game.{n}", fields.get(n)) for n in Game._fields)
    dtype = jnp.result_type(float, *(x for x in game if hasattr(x, "dtype")))
    if eta is None or eta.ndim != 2 or min(eta.shape) < 2:
        shape = None if eta is None else eta.shape
        raise ValueError(
            f"Game.eta: expected shape (K, X), K ≥ 2 signals and X ≥ 2 states, got {shape}; "
            "use jax.vmap to solve a batch of games"
        )
    K, X = eta.shape
    sigma = np.ones(X) if sigma is None else sigma
    sigma = jnp.broadcast_to(sigma, (X,)) if sigma.ndim == 0 else sigma
    prior = np.full(K, 1 / K) if prior is None else prior
    for name, x, shape in (("sigma", sigma, (X,)), ("prior", prior, (K,))):
        if x.shape != shape:
            raise ValueError(f"Game.{name}: expected shape {shape}, got {x.shape}")
    eta = validate.probabilities("Game.eta", eta, dtype)
    prior = validate.probabilities("Game.prior", prior, dtype)
    validate.positive("Game.sigma", sigma)
    validate.positive("Game.prior", prior)
    return Game(*(jnp.asarray(x, dtype) for x in (eta, sigma, prior)))


def in_domain(game: Game) -> jax.Array:
    """Whether a validated, possibly traced game is one: scalar bool."""
    eta, sigma, prior = game
    tolerance = validate.sum_tolerance(eta.dtype)
    finite = jnp.all(jnp.isfinite(eta)) & jnp.all(jnp.isfinite(sigma)) & jnp.all(prior > 0)
    sums = jnp.all(jnp.abs(jnp.sum(eta, 1) - 1) <= tolerance) & (
        jnp.abs(jnp.sum(prior) - 1) <= tolerance
    )
    return finite & sums & jnp.all(eta >= 0) & jnp.all(sigma > 0)


def posterior(game: Game, demand: Any, order_flow: Any) -> jax.Array:
    """The market maker's probability of each signal after an order flow (Theorem 4.1).

    Args:
      game: the game.
      demand: what the market maker believes the insider trades under each signal, shape (K, X).
      order_flow: omega, shape (X,); batch with ``jax.vmap``.

    Returns:
      Shape (K,), sums to one.
    """
    game = validated(game)
    demand = demand_of(game, demand)
    return _posterior(game, demand, _order_flow(game, order_flow))


def prices(game: Game, demand: Any, order_flow: Any) -> jax.Array:
    """Arrow–Debreu prices after an order flow: Σ_k eta_k posterior_k; shape (X,), sums to one."""
    game = validated(game)
    demand = demand_of(game, demand)
    return _posterior(game, demand, _order_flow(game, order_flow)) @ game.eta


@jax.jit
def _posterior(game: Game, demand: jax.Array, order_flow: jax.Array) -> jax.Array:
    scaled = demand / game.sigma[None] ** 2
    score = scaled @ order_flow - jnp.sum(scaled * demand, axis=1) / 2
    return jax.nn.softmax(jnp.log(game.prior) + score)


def demand_of(game: Game, demand: Any) -> jax.Array:
    """Check a demand: shape (K, X), real, finite; or a solution, which has one."""
    demand = validate.array("demand", getattr(demand, "demand", demand))
    if demand is None or demand.shape != game.eta.shape:
        shape = None if demand is None else demand.shape
        raise ValueError(f"demand: expected shape {game.eta.shape} (K, X), got {shape}")
    validate.finite("demand", demand)
    return jnp.asarray(demand, game.eta.dtype)


def _order_flow(game: Game, order_flow: Any) -> jax.Array:
    order_flow = validate.array("order_flow", order_flow)
    if order_flow is None or order_flow.shape != game.sigma.shape:
        shape = None if order_flow is None else order_flow.shape
        raise ValueError(
            f"order_flow: expected shape {game.sigma.shape}, got {shape}; batch with jax.vmap"
        )
    return jnp.asarray(order_flow, game.eta.dtype)


def signal_of(game: Game, signal: Any) -> int:
    """Check which signal is meant: an int in 0..K−1."""
    k = validate.count("signal", signal, minimum=0)
    if k >= len(game.prior):
        raise ValueError(f"signal: expected one of 0..{len(game.prior) - 1}, got {k}")
    return k
