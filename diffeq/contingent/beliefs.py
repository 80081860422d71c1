"""What the market maker comes to believe, on average over the noise.

In reduced coordinates (:mod:`diffeq.contingent.reduced`) the order flow is omega = y + Z, Z ~
N(0, I) in r dimensions, and

    posterior_l(omega) ∝ prior_l exp(y_l·omega − ½|y_l|²).

Every expectation the game needs is one of the posterior and of its products; both are analytic in
omega, so the trapezoid rule converges exponentially: its error is about 30 exp(−2π²/(h D)) at
spacing h, D = max |y_k − y_l|. (Gauss–Hermite rules, with 20 nodes a dimension, leave 1e-3.)
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from solvers.quadrature import Rule, normal_lattice

COARSE, MIDDLE, FINE = range(3)

# Spacing by dimension r: to follow a path; to finish; to finish again, and so see the error
SPACINGS = {
    1: (0.3, 0.12, 0.08),
    2: (0.5, 0.25, 0.18),
    3: (0.7, 0.4, 0.3),
    4: (1.0, 0.7, 0.5),
}
FIVE = (1.2, 1.0, 0.9)
MOST_ASSETS = 5  # dimensions, beyond which the nodes are too many


@cache
def rule(dimension: int, level: int) -> Rule:
    """The lattice of that dimension and level (``COARSE``, ``MIDDLE``, ``FINE``)."""
    spacing = SPACINGS.get(dimension, FIVE)[level]
    # far nodes may go as soon as they weigh less than the error at D = 3
    tail = max(1e-16, 0.3 * np.exp(-2 * np.pi**2 / (3 * spacing)))
    return normal_lattice(dimension, spacing, tail=min(tail, 1e-9))


def posteriors(
    mean: jax.Array, y: jax.Array, prior: jax.Array, rule: Rule
) -> tuple[jax.Array, jax.Array]:
    """Posteriors (n, K) at the nodes of omega ~ N(mean, I), and their weights (n,).

    Args:
      mean: shape (r,).
      y: trades under each signal, shape (K, r).
      prior: shape (K,).
      rule: nodes (n, r) and weights (n,) for N(0, I).
    """
    nodes, weights = (jnp.asarray(x, y.dtype) for x in rule)
    centre = jnp.mean(y, axis=0)  # a common shift is no news, but may be large: it would cancel
    y, mean = y - centre[None], mean - centre
    constant = jnp.log(prior) + y @ mean - jnp.sum(y * y, axis=1) / 2
    return jax.nn.softmax(nodes @ y.T + constant[None], axis=1), weights


def moments_at(
    mean: jax.Array, y: jax.Array, prior: jax.Array, rule: Rule
) -> tuple[jax.Array, jax.Array]:
    """E posterior, (K,), and E posterior posteriorᵀ, (K, K), over omega ~ N(mean, I)."""
    q, weights = posteriors(mean, y, prior, rule)
    weighted = weights[:, None] * q
    return jnp.sum(weighted, axis=0), q.T @ weighted


def moments(y: jax.Array, prior: jax.Array, rule: Rule) -> tuple[jax.Array, jax.Array]:
    """:func:`moments_at` under each signal: E_k q_l, (K, K); E_k q_l q_m, (K, K, K)."""
    return jax.vmap(lambda mean: moments_at(mean, y, prior, rule))(y)
