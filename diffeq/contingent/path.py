"""The root of the first-order condition, followed from a game whose solution is known.

In reduced coordinates the first-order condition of the insider who saw k, trading y_k while the
market maker believes {y_l}, is the gradient of (a_k − E P)·y at y_k:

    a_k − Σ_l E[q_l] a_l − Σ_l (a_l·y_k) E[q_l (y_l − Σ_m q_m y_m)] = 0,    q = posterior(y_k + Z).

It is linear in the values a, so y does not depend on the payoff scale. It is even in y: −y solves
it too, losing money, and so does "infinity". Hence the path: from the canonical game with as many
signals, or from normal values if there is one asset, the game is deformed into the one asked for.

Reference: Keller & Tseng (2024), Theorem 5.1.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.stats import norm

from diffeq.check import Info
from diffeq.contingent import beliefs
from solvers import continuation, implicit
from solvers.quadrature import Rule

START = 1.5  # near alpha*(K) of the canonical game for K ≤ 6: 1.41 to 1.70
FARTHEST = 50.0  # noise standard deviations apart: beyond lies the root at infinity


def first_order(y: jax.Array, a: jax.Array, prior: jax.Array, rule: Rule) -> jax.Array:
    """The first-order condition, shape (K, r), in units of value; see the module's text."""

    def of_signal(y_k: jax.Array, a_k: jax.Array) -> jax.Array:
        q, weights = beliefs.posteriors(y_k, y, prior, rule)
        earned = q * (a @ y_k)[None]
        impact = weights @ (earned @ y - jnp.sum(earned, 1, keepdims=True) * (q @ y))
        return a_k - weights @ q @ a - impact

    return jax.vmap(of_signal)(y, a)


def expected_profits(a: jax.Array, mean: jax.Array, y: jax.Array) -> jax.Array:
    """(a_k − E_k P)·y_k, shape (K,), as Σ_l E_k[q_l] (a_k − a_l)·y_k.

    Of an insider whose signal is all but sure, a_k − E_k P would be rounding.
    """
    edges = jnp.sum((a[:, None] - a[None]) * y[:, None], axis=2)
    return jnp.sum(mean * edges, axis=1)


def tolerance(dtype: Any) -> float:
    """Largest residual of the first-order condition, over the scale of values, of a root."""
    return max(1e-10, 1e3 * float(jnp.finfo(dtype).eps))


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
    """One asset: from normal scores, equally likely, at which y ≈ value (Kyle 1985).

    Rare values come in late: scores of the prior itself would put them far out, where the path may
    take a branch on which they stay.
    """
    value, K = a[:, 0], len(a)
    density = jnp.pad(norm.pdf(norm.ppf(jnp.arange(1, K, dtype=a.dtype) / K)), 1)
    scores = (-K * jnp.diff(density))[jnp.argsort(jnp.argsort(value)), None]
    centred = value - jnp.mean(value)
    values = (centred / jnp.sqrt(jnp.mean(centred**2)))[:, None]
    one = jnp.ones((1, 1), a.dtype)
    return (
        lambda t: Deformed((1 - t) * scores + t * values, jax.nn.softmax(t * jnp.log(prior)), 1.0),
        scores,
        one,
    )


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

    def to_middle(_: Any, last: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        jacobian = jax.jacfwd(middle)(last[0], 1.0)
        return last[0] - jnp.linalg.solve(jacobian, middle(last[0], 1.0)), jacobian

    z, jacobian = lax.fori_loop(0, 3, to_middle, (z, jnp.eye(z.size, dtype=z.dtype)))
    z_middle = z

    def to_fine(step: Any, last: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        value = fine(last[0], 1.0)  # the Jacobian of the coarser grid is as good, and costs nothing
        move = jnp.where(step < 3, jnp.linalg.solve(jacobian, value), 0)  # the fourth only looks
        return last[0] - move, jnp.max(jnp.abs(value))

    z, residual = lax.fori_loop(0, 4, to_fine, (z, jnp.zeros((), z.dtype)))
    ok = found.converged & (residual <= tolerance(z.dtype))
    y = trades_of(z, 1.0)
    error = jnp.max(jnp.abs(y - trades_of(z_middle, 1.0)))
    return y @ Vt, error, Info(ok, residual)
