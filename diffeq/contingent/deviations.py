"""What an order costs, and whether any order brings an insider more than his own.

In coordinates that span everything payoffs or beliefs depend on, with unit noise, an order y costs

    c(y) = y·E P(y + Z),    Z ~ N(0, I),

whoever places it, and brings the insider who saw signal k the profit a_k·y − c(y). So {y_k} is an
equilibrium if and only if no plane of slope a_k through (y_k, c(y_k)) lies anywhere above c: one
cost, K supporting planes.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from diffeq.contingent import reduced
from diffeq.contingent.game import Game
from solvers.quadrature import Rule

Array = NDArray[np.float64]

REACH = 10.0  # how far the search goes, in units of the largest order
NUM_DISTANCES, NUM_PEAKS, NUM_STEPS = 20, 8, 12  # along a ray; climbed, of an insider; of a climb
OWN = 0.1  # closer than this, in units of noise, an order is y_k itself
BLOCK = 64  # orders in one call, so that one compilation serves all searches


class Orders(NamedTuple):
    """A game and a demand in their common coordinates."""

    a: Array
    """Values under each signal, centred, of norm one, shape (K, d)."""
    y: Array
    """Orders under each signal, shape (K, d)."""
    prior: Array
    """Shape (K,)."""
    seen: Array
    """Basis of the differences y_k − y_l: all the order flow tells, shape (d, r)."""
    claims: Array
    """From these coordinates to claims: W = claims @ y, shape (X, d)."""
    scale: float
    """What the values were divided by."""
    dtype: Any
    """Of the game, and of all that is computed from it."""


class Cost(NamedTuple):
    """What each of n orders costs, and how that changes."""

    value: Array
    """c(y), shape (n,)."""
    price: Array
    """E P, shape (n, d)."""
    impact: Array
    """Price impact on the order itself, (∂E P) y, shape (n, d)."""
    curvature: Array
    """∇²c, shape (n, d, d)."""
    posterior: Array
    """E q, shape (n, K)."""

    @property
    def slope(self) -> Array:
        """∇c, shape (n, d)."""
        return self.price + self.impact


def orders(game: Game, demand: jax.Array) -> Orders:
    """The coordinates: a basis of the differences of payoffs and of demands, cut at √eps.

    A shift of all demands along which all payoffs are equal has no place in them: it changes
    neither profit nor belief.

    Raises:
      ValueError: all signals pay the same.
    """
    dtype = game.eta.dtype
    eps = float(jnp.finfo(dtype).eps)
    eta, sigma = np.asarray(game.eta, float), np.asarray(game.sigma, float)
    a, y = (eta - eta.mean(axis=0)) * sigma, np.asarray(demand, float) / sigma
    scale = float(np.linalg.norm(a, 2))
    if scale <= 8 * eps * sigma.max():
        raise ValueError("Game.eta: all signals pay the same, there is nothing to trade on")
    spread = y - y.mean(axis=0)
    size = float(np.linalg.norm(spread, 2)) or 1.0
    _, S, V = np.linalg.svd(np.vstack([a / scale, spread / size]), full_matrices=False)
    basis = V[eps**0.5 < S].T
    spread = (spread @ basis).astype(dtype)
    rank = max(1, reduced.rank_of(spread, at_most=min(len(eta) - 1, basis.shape[1])))
    seen = np.linalg.svd(spread.astype(float))[2][:rank].T
    prior, claims = np.asarray(game.prior, float), sigma[:, None] * basis
    return Orders(a @ basis / scale, y @ basis, prior, seen, claims, scale, dtype)


def costs(at: Array, known: Orders, rule: Rule, *, block: int) -> Cost:
    """The cost of orders ``at``, shape (n, d); compiled for ``block`` of them."""
    padded = np.resize(at, (-(-len(at) // block) * block, at.shape[1])).astype(known.dtype)
    arrays = [jnp.asarray(x, known.dtype) for x in (*known[:4], *rule)]
    parts = [_costs(padded[i : i + block], *arrays) for i in range(0, len(padded), block)]
    leaves = zip(*parts, strict=True)
    return Cost(*(np.concatenate([np.asarray(x, float) for x in xs])[: len(at)] for xs in leaves))


@jax.jit
def _costs(at: Array, *known: jax.Array) -> tuple[jax.Array, ...]:
    return lax.map(lambda order: _cost(order, *known), at)


def _cost(
    order: jax.Array,
    a: jax.Array,
    y: jax.Array,
    prior: jax.Array,
    seen: jax.Array,
    nodes: jax.Array,
    weights: jax.Array,
) -> tuple[jax.Array, ...]:
    """With q the posterior and u_l = a_l·y, c = E q·u, and its derivatives are q's cumulants."""
    order_seen, y = (order - y[0]) @ seen, y - y[:1]
    score = jnp.log(prior) + y @ (order_seen @ seen.T) - jnp.sum(y * y, axis=1) / 2
    q = jax.nn.softmax(nodes @ (y @ seen).T + score[None], axis=1)
    u = a @ order
    weighted = weights[:, None] * q
    mean, covariance = jnp.sum(weighted, axis=0), -q.T @ weighted
    covariance += jnp.diag(mean)
    skewed = weighted * (u[None] - (q @ u)[:, None])
    pairs = skewed.T @ q
    third = jnp.diag(jnp.sum(skewed, axis=0)) - pairs - pairs.T
    price, mixed = mean @ a, a.T @ covariance @ y
    return order @ price, price, u @ covariance @ y, mixed + mixed.T + y.T @ third @ y, mean


def best_orders(known: Orders, rough: Rule, finest: Rule) -> tuple[Array, Array]:
    """The best other order found for each insider: its profit (K,), and itself (K, d).

    The search goes along rays from y_k, ±(y_k − y_l), ±a_l and d fixed ones drawn at random, to ten
    times the largest order. Newton steps climb from the highest peaks of profit on them, and from
    no trade at all; ``rough`` ranks where they end, ``finest`` has the last word.
    """
    a, y = known.a, known.y
    K, d = y.shape
    reach = REACH * max(1.0, float(np.linalg.norm(y, axis=1).max()))
    starts = np.stack([_peaks(k, known, rough, reach) for k in range(K)])
    ends = _climb(starts, known, rough, reach)
    cost = costs(ends.reshape(-1, d), known, rough, block=BLOCK).value.reshape(K, -1)
    profits = np.einsum("knd,kd->kn", ends, a) - cost
    # seen roughly, the peak at y_k may stand a little too high: the best beyond it counts as well
    own = np.linalg.norm(ends - y[:, None], axis=2) < OWN
    chosen = [np.argmax(profits, axis=1), np.argmax(np.where(own, -np.inf, profits), axis=1)]
    orders = np.stack([ends[np.arange(K), n] for n in chosen])
    cost = costs(orders.reshape(-1, d), known, finest, block=K).value.reshape(2, K)
    profits = np.sum(orders * a, axis=2) - cost
    best = np.argmax(profits, axis=0)
    return profits[best, np.arange(K)], orders[best, np.arange(K)]


def _peaks(k: int, known: Orders, rule: Rule, reach: float) -> Array:
    """The highest peaks of profit along the rays from y_k, and no trade; shape (n, d)."""
    a, y = known.a, known.y
    d = y.shape[1]
    odd = np.random.default_rng(0).standard_normal((d, d))
    lines = np.concatenate([np.delete(y[k] - y, k, axis=0), a, odd])
    lines /= np.maximum(np.linalg.norm(lines, axis=1, keepdims=True), 1e-30)
    lines = np.unique(np.concatenate([lines, -lines]).round(6), axis=0)
    distances = reach * (np.arange(NUM_DISTANCES + 1) / NUM_DISTANCES) ** 1.5
    trials = (y[k] + distances[:, None] * lines[:, None]).reshape(-1, d)
    profits = trials @ a[k] - costs(trials, known, rule, block=BLOCK).value
    rises = np.diff(profits.reshape(len(lines), -1), axis=1) > 0
    peak = rises & ~np.pad(rises[:, 1:], ((0, 0), (0, 1)))
    peak = np.pad(peak, ((0, 0), (1, 0))).ravel()
    best = np.argsort(np.where(peak, -profits, np.inf), kind="stable")[:NUM_PEAKS]
    return np.vstack([trials[best], np.zeros(d)])


def _climb(starts: Array, known: Orders, rule: Rule, reach: float) -> Array:
    """Newton steps uphill, where profit is convex too; each start for itself, within ``reach``."""
    a = np.repeat(known.a, starts.shape[1], axis=0)
    order = starts.reshape(len(a), -1)
    radius = np.ones(len(a))
    here = costs(order, known, rule, block=BLOCK)
    for _ in range(NUM_STEPS):
        bends, axes = np.linalg.eigh(here.curvature)
        uphill = np.einsum("nji,nj->ni", axes, a - here.slope) / (np.abs(bends) + 1e-12)
        move = np.einsum("nij,nj->ni", axes, uphill)
        length = np.linalg.norm(move, axis=1)
        move *= np.minimum(1, radius / (length + 1e-30))[:, None]
        there = costs(order + move, known, rule, block=BLOCK)
        gain = np.sum(a * move, axis=1) - (there.value - here.value)
        better = (gain > 0) & (np.linalg.norm(order + move, axis=1) <= reach)
        order = np.where(better[:, None], order + move, order)
        radius *= np.where(better, 2, 0.25)
        here = Cost(
            *(
                np.where(better.reshape(-1, *[1] * (x.ndim - 1)), x, z)
                for x, z in zip(there, here, strict=True)
            )
        )
    return order.reshape(starts.shape)
