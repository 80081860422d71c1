"""The backward pass: y_N = 0, then y_{n−1} from y_n, as one chain of roots."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from solvers import implicit


def kappa(y: jax.Array, num_insiders: jax.Array, ratio: jax.Array) -> jax.Array:
    """1/k_n, k_n = (1−q_n)² / ((1−2q_n)[M(1−2q_n)+1]²) · dt_n/dt_{n−1}; ratio = dt_{n−1}/dt_n."""
    t = 1 + 2 * y
    return (t + num_insiders) ** 2 / ((1 + y) ** 2 * t) * ratio


def step_residual(
    y: jax.Array, y_next: jax.Array, num_insiders: jax.Array, ratio: jax.Array
) -> jax.Array:
    """2M q³ − (M+1) q² − 2kq + k = 0 in y: kappa y² (1 + M + 2y) = (1 + 2y)², y_next one later.

    Cleared of denominators: products are recomputed by a compiler, quotients stored.
    """
    M, t, t_next = num_insiders, 1 + 2 * y, 1 + 2 * y_next
    return ratio * ((t_next + M) * y) ** 2 * (t + M) - t_next * (t * (1 + y_next)) ** 2


def earlier(kappa: jax.Array, num_insiders: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The only positive y of kappa y² (1 + M + 2y) = (1 + 2y)², and its residual.

    In u = 1/y = 1/q − 2 it reads f(u) = u(u+2)² − kappa((1+M)u + 2) = 0, and f is convex where it
    matters. Replacing (u+2)² by its tangent at the root of the equation without the 2, z = sqrt(
    kappa(1+M)) or 2, gives a quadratic whose root lies at most 15 % above u, for every kappa > 0
    and M ≥ 0. Two Householder steps (fourth order) then reach the last digit. They are taken in
    s = u/max(u, 1) at that first guess, where nothing overflows; y is the last one's reciprocal.
    """
    c = 1 + num_insiders
    ck = c * kappa
    z = jnp.sqrt(ck)
    wide = ck > 4
    half = jnp.where(wide, z - 2, ck / 4 - 1)
    product = jnp.where(wide, z * (4 / c), 2 * kappa)
    root = jnp.sqrt(half * half + product)
    guess = jnp.where(wide, 2.0, product) / jnp.where(wide, half + root, 2 * (root - half))
    per = jnp.where(wide, guess, 1.0)  # 1/max(u, 1), the first guess being 1/u where it is wide
    s = jnp.where(wide, 1.0, guess)
    squared, linear = 4 * per, (4 - ck) * (per * per)
    constant = 2 * (kappa * per * per) * per

    def householder(s: jax.Array) -> tuple[jax.Array, jax.Array]:
        """f(f'² − f f''/2) over f'³ − f f' f'' + f²: the third derivative is 6."""
        f = ((s + squared) * s + linear) * s - constant
        curvature = 3 * s + squared
        slope = (curvature + squared) * s + linear
        bent, steep = f * curvature, slope * slope
        return f * (steep - bent), slope * (steep - 2 * bent) + f * f

    above, below = householder(s)
    s = s - above / below
    above, below = householder(s)
    y = per * below / (s * below - above)
    t = 1 + 2 * y
    left, right = t * t, y * y * (ck + 2 * kappa * y)
    apart = jnp.abs(left - right)
    # u f'(u) y³ = 2 + 4y + 2 kappa y³ at the root; a Newton step that is not small is no root
    settled = apart <= np.sqrt(jnp.finfo(y.dtype).eps) * (2 * t + 2 * kappa * y * y * y)
    return y, jnp.where(settled, apart / right, jnp.inf)


def ratios(dt: jax.Array) -> jax.Array:
    """dt_{n−1}/dt_n for n = 1..N; at n = 1 there is no earlier auction, and 1 stands."""
    return jnp.concatenate([jnp.ones_like(dt[:1]), dt[:-1] / dt[1:]])


def backward(num_insiders: jax.Array, ratios: jax.Array) -> tuple[jax.Array, jax.Array]:
    """y_n for n = 1..N, and the largest residual; no derivative.

    Args:
      num_insiders: a scalar, or markets, shape (L,).
      ratios: shape (N,), or (N, L).
    """
    last = ratios.shape[0] - 1

    def auction(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        (y, worst), n = carry, last - i
        y_n, ratio = (lax.dynamic_index_in_dim(x, n, keepdims=False) for x in (y, ratios))
        y_earlier, residual = earlier(kappa(y_n, num_insiders, ratio), num_insiders)
        y = lax.dynamic_update_index_in_dim(y, y_earlier, n - 1, 0)
        return y, jnp.maximum(worst, residual)

    start = jnp.zeros_like(ratios), jnp.zeros_like(num_insiders)
    return lax.fori_loop(0, last, auction, start)


def _backward_residual(y: jax.Array, theta: tuple[jax.Array, jax.Array]) -> jax.Array:
    """The whole chain as one system in (y_1, …, y_N): row n involves y_n and y_{n+1}; y_N = 0."""
    num_insiders, dt = theta
    rows = step_residual(y[:-1], y[1:], num_insiders, dt[:-1] / dt[1:])
    return jnp.concatenate([rows, y[-1:]])


def chain(num_insiders: jax.Array, dt: jax.Array) -> tuple[jax.Array, jax.Array]:
    """:func:`backward` with the derivative of y in M and dt: a bidiagonal tangent system.

    Args:
      num_insiders: a scalar, or a row of markets, shape (1, L).
      dt: shape (N,), or (N, L).
    """
    theta = (num_insiders, dt)
    M = jnp.reshape(num_insiders, dt.shape[1:])
    y, residual = backward(*lax.stop_gradient((M, ratios(dt))))
    solve = implicit.upper_bidiagonal
    return implicit.attach(_backward_residual, y, theta, tangent_solve=solve), residual


def accurate(residual: jax.Array) -> jax.Array:
    """Whether the roots are: a small residual, infinite where a last step was not small."""
    return residual <= 64 * jnp.finfo(residual.dtype).eps
