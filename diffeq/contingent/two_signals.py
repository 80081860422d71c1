"""Two signals, any prior: the equilibrium in closed form up to one number.

With D = eta_1 − eta_2 and u = sigma² D / ‖sigma D‖,

    W_1 = x u,    W_2 = −u/x,

x the positive root of E[q² (1−q)] / E[q (1−q)] = 1/(1+x²), q the posterior of signal 1, over the
prior mixture. The insider who saw the likelier signal trades less: x = 1 at a prior of ½ and falls
as prior_1 grows. Zero exactly where eta_1 = eta_2.

Reference: Keller & Tseng (2024), section 2, extended to any prior.
"""

import jax
import jax.numpy as jnp

from solvers import quadrature, root

RULE = quadrature.normal_lattice(1, 0.04)
LARGEST = 12.0
"""Of x: reached at a prior of 1e-50, beyond which the lane is flagged."""


def scale(prior: jax.Array) -> tuple[jax.Array, root.RootInfo]:
    """x, differentiable in the prior of shape (2,), and how it was found."""
    # x ≥ 1 where signal 1 is the rarer; a little beyond 1, so that ½ is no end
    side = jnp.where(prior[0] <= prior[1], 1.0, -1.0).astype(prior.dtype)
    low, high = jnp.sort(side * jnp.log(jnp.array([0.8, LARGEST], prior.dtype)))
    log_x, info = root.bracketed(_condition, low, high, prior)
    return jnp.exp(log_x), info


def _condition(log_x: jax.Array, prior: jax.Array) -> jax.Array:
    """E[q (1−q) (q − 1/(1+x²))] / E[q (1−q)]: one sign below the root, the other above."""
    x = jnp.exp(log_x)
    nodes, weights = (jnp.asarray(part, prior.dtype) for part in RULE)
    omega = jnp.stack([x, -1 / x])[:, None] + nodes.T
    odds = jnp.log(prior[0] / prior[1]) + (x + 1 / x) * omega - (x * x - 1 / (x * x)) / 2
    q, rest = jax.nn.sigmoid(odds), jax.nn.sigmoid(-odds)
    variance = prior[:, None] * weights[None] * q * rest
    return jnp.sum(variance * (q - jax.nn.sigmoid(-2 * log_x))) / jnp.sum(variance)
