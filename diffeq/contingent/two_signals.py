"""Two signals, any prior: the equilibrium in closed form up to one number.

With D = eta_1 − eta_2 and u = sigma² D / ‖sigma D‖,

    W_1 = x u,    W_2 = −u/x,

x the positive root of E[q² (1−q)] / E[q (1−q)] = 1/(1+x²), q the posterior of signal 1, over the
prior mixture. The insider who saw the likelier signal trades less: x = 1 at a prior of ½ and falls
as prior_1 grows. Zero exactly where eta_1 = eta_2.

Every expectation is taken under the rarer signal. Under the other it would hang on order flow that
hardly ever comes; Bayes' rule has it as E_other[q_rare f] = (p_rare/p_other) E_rare[q_other f].

Reference: Keller & Tseng (2024), section 2, extended to any prior.
"""

import jax
import jax.numpy as jnp

from solvers import quadrature, root

RULE = quadrature.normal_lattice(1, 0.04)
LARGEST = 13.4
"""Of x: reached at a prior of 1e-50, beyond which the lane is flagged."""


def scale(prior: jax.Array) -> tuple[jax.Array, root.RootInfo]:
    """x, differentiable in the prior of shape (2,), and how it was found."""
    # that of the rarer signal is 1 or more, and the other's its inverse
    side = jnp.where(prior[0] <= prior[1], 1.0, -1.0).astype(prior.dtype)
    low, high = jnp.log(jnp.array([0.8, LARGEST], prior.dtype))  # ½ is no end
    log_x, info = root.bracketed(_condition, low, high, side * jnp.log(prior[0] / prior[1]))
    return jnp.exp(side * log_x), info


def _condition(log_x: jax.Array, log_odds: jax.Array) -> jax.Array:
    """E_1[(1−q) (q − 1/(1+x²))] / E_1[1−q]: one sign below the root, the other above."""
    odds, weights = _order_flow(jnp.exp(log_x), log_odds)
    rest = weights * jax.nn.sigmoid(-odds)
    excess = jax.nn.sigmoid(odds) - jax.nn.sigmoid(-2 * log_x)
    return jnp.sum(rest * excess) / jnp.sum(rest)


def _order_flow(x: jax.Array, log_odds: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log q/(1−q) at the nodes of w ~ N(x, 1), signal 1 being true, and their weights."""
    nodes, weights = (jnp.asarray(part, x.dtype) for part in RULE)
    w = x + nodes[:, 0]
    return log_odds + (x + 1 / x) * w - (x * x - 1 / (x * x)) / 2, weights


def moments(prior: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """E_k q_l, shape (2, 2), and E_k q_l q_m, (2, 2, 2)."""
    swap = prior[0] > prior[1]
    rare, other = jnp.where(swap, prior[::-1], prior)  # not min and max: at ½ they have no slope
    odds, weights = _order_flow(jnp.where(swap, 1 / x, x), jnp.log(rare / other))
    q, rest = jax.nn.sigmoid(odds), jax.nn.sigmoid(-odds)
    missed, both, twice = weights @ rest, weights @ (q * rest), weights @ (rest * rest)
    seen, odds = weights @ q, rare / other
    mean = jnp.array([[seen, missed], [odds * missed, 1 - odds * missed]])
    of_rare = jnp.array([[weights @ (q * q), both], [both, twice]])
    of_other = odds * jnp.array([[both, twice], [twice, 0]])
    of_other = of_other.at[1, 1].set(1 - odds * (missed + twice))
    products = jnp.stack([of_rare, of_other])
    flipped = mean[::-1, ::-1], products[::-1, ::-1, ::-1]
    return jnp.where(swap, flipped[0], mean), jnp.where(swap, flipped[1], products)
