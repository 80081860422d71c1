"""The implicit derivative of a finished root.

A root x* of residual(x, theta) = 0 has, wherever the residual is smooth and its Jacobian regular,

    dx*/dtheta = −(∂residual/∂x)⁻¹ ∂residual/∂theta                    (implicit function theorem)

whatever iteration found it. So a solver runs on ``stop_gradient(theta)``, and ``attach`` puts this
derivative on its result: exact in forward and reverse mode, of every order, under jit and vmap and
inside a scan. No derivative ever flows through the iterations.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import lu_factor, lu_solve

X = TypeVar("X")
LinearMap = Callable[[Any], Any]
TangentSolve = Callable[[LinearMap, Any], Any]

_REVERSES = 3
"""Reverse passes, one over the other, that are exact inside a scan."""


def attach(
    residual: Callable[[X, Any], X],
    x_star: X,
    params: Any,
    *,
    tangent_solve: TangentSolve | None = None,
) -> X:
    """Return ``x_star`` unchanged in value, with the derivative of the root it approximates.

    Args:
      residual: ``residual(x, params)``, of the same tree, shapes and dtype as ``x``.
      x_star: the finished root, any pytree; its own derivative is dropped.
      params: pytree of arrays; the root is differentiable with respect to every leaf (and to
        whatever else ``residual`` closes over).
      tangent_solve: ``tangent_solve(jacobian_map, b)`` solves ``jacobian_map(x) = b`` for the
        linear map x ↦ (∂residual/∂x) x, and must be linear in b. Default: division for a single
        number, else a dense factorisation, O(n³). A structured system brings its own, for example
        :func:`upper_bidiagonal`.

    A singular Jacobian (a double root) gives inf or NaN derivatives: flag it where you solve.

    Reference: Krantz & Parks (2002), The Implicit Function Theorem, section 3.3.

    >>> root = attach(lambda x, a: x * x - a, 3.0, 9.0)
    >>> float(jax.grad(lambda a: attach(lambda x, a: x * x - a, 3.0, a))(9.0))  # 1 / (2 sqrt 9)
    0.1666666...
    """
    x_star = jax.tree.map(lambda leaf: lax.stop_gradient(jnp.asarray(leaf)), x_star)

    def finished(x_star: X, params: Any) -> X:
        solution: X = lax.custom_root(
            lambda x: residual(x, params), x_star, lambda _, x: x, tangent_solve or dense
        )
        return solution

    return in_scans(finished)(x_star, params)


def in_scans(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn``, whose rules of differentiation hold in the body of a ``lax.scan`` too.

    The reverse pass of a scan forgets the custom rules of what stands open in its body: a second
    derivative would silently lack terms. A checkpoint, which here computes nothing anew, keeps them
    through one such pass.
    """
    save = jax.checkpoint_policies.everything_saveable
    for _ in range(_REVERSES):
        fn = jax.checkpoint(fn, prevent_cse=False, policy=save)
    return fn


def dense(jacobian_map: LinearMap, b: Any) -> Any:
    """Solve ``jacobian_map(x) = b`` for any pytree b by building the (n, n) Jacobian; O(n³)."""
    flat_b, unravel = ravel_pytree(b)
    if flat_b.size == 1:
        return jax.tree.map(_quotient, b, jacobian_map(jax.tree.map(jnp.ones_like, b)))
    columns = jax.vmap(lambda e: ravel_pytree(jacobian_map(unravel(e)))[0], out_axes=1)
    return unravel(jnp.linalg.solve(columns(jnp.eye(flat_b.size, dtype=flat_b.dtype)), flat_b))


def _quotient(b: jax.Array, slope: jax.Array) -> jax.Array:
    """b / slope, in a power of two near the slope, so that its own derivative stays in range.

    JAX's rule for a quotient squares the divisor.
    """
    info = jnp.finfo(slope.dtype)
    unit = lax.stop_gradient(jnp.abs(slope) / 2)
    unit = lax.reduce_precision(unit, exponent_bits=info.nexp, mantissa_bits=0)
    unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)
    return (b / unit) / (slope / unit)


def tridiagonal(jacobian_map: LinearMap, b: jax.Array) -> jax.Array:
    """Solve ``jacobian_map(x) = b`` where row n involves x_{n−1}, x_n, x_{n+1} only; b is (n,).

    O(n): three probes, on every third entry each, read off the diagonals. On a GPU no rows are
    exchanged: for matrices that are diagonally dominant, or M-matrices.
    """
    third = np.arange(b.shape[0]) % 3
    probes = jnp.asarray(third[None] == np.arange(3)[:, None], b.dtype)
    columns = jax.vmap(jacobian_map)(probes)
    row = np.arange(b.shape[0])
    below, on, above = (columns[(third + shift) % 3, row] for shift in (-1, 0, 1))
    below, above = below.at[0].set(0), above.at[-1].set(0)
    return lax.linalg.tridiagonal_solve(below, on, above, b[:, None])[:, 0]


def block_tridiagonal(jacobian_map: LinearMap, b: jax.Array) -> jax.Array:
    """Solve ``jacobian_map(x) = b``, b of shape (n, m): row i involves rows i−1, i, i+1 of x only.

    O(n m³) and 3m probes (:func:`block_probes`): elimination by blocks, rows exchanged within a
    block only. That is stable where every leading part of the system is well conditioned.
    """
    third, row = np.arange(b.shape[0]) % 3, np.arange(b.shape[0])
    columns = jax.vmap(jax.vmap(jacobian_map))(block_probes(b))
    below, on, above = (
        jnp.swapaxes(columns[(third + shift) % 3, :, row], 1, 2) for shift in (-1, 0, 1)
    )

    def factorise(above_left: jax.Array, blocks: Any) -> tuple[jax.Array, Any]:
        below, on, above = blocks
        factors = lu_factor(on - below @ above_left)
        above_left = lu_solve(factors, above)
        return above_left, (factors, above_left)

    def eliminate(x: jax.Array, blocks: Any) -> tuple[jax.Array, jax.Array]:
        below, factors, b = blocks
        x = lu_solve(factors, b - below @ x)
        return x, x

    def substitute(x: jax.Array, blocks: Any) -> tuple[jax.Array, jax.Array]:
        above_left, b = blocks
        x = b - above_left @ x
        return x, x

    _, (factors, above) = lax.scan(factorise, jnp.zeros_like(on[0]), (below, on, above))
    _, b = lax.scan(eliminate, jnp.zeros_like(b[0]), (below, factors, b))
    _, x = lax.scan(substitute, jnp.zeros_like(b[0]), (above, b), reverse=True)
    return x


def block_probes(x: jax.Array) -> jax.Array:
    """What a block tridiagonal map of x, shape (n, m), shows all of itself to: (3, m, n, m).

    Probe (s, j) is 1 in column j of every third row from row s on: no two of one probe meet in a
    row of the map, so that sums of sizes over the probes are row sums of the matrix.
    """
    n, m = x.shape
    thirds = np.arange(n)[None] % 3 == np.arange(3)[:, None]
    return jnp.asarray(thirds[:, None, :, None] * np.eye(m)[None, :, None, :], x.dtype)


def upper_bidiagonal(jacobian_map: LinearMap, b: jax.Array) -> jax.Array:
    """Solve ``jacobian_map(x) = b`` where row n involves x_n and x_{n+1} only; b is (n, ...), O(n).

    Later axes are systems of their own, solved side by side. The two diagonals are read off with
    two probes, one on the even and one on the odd entries; back substitution then runs from the
    last row up: a backward recursion's tangent system.
    """
    is_even = (np.arange(b.shape[0]) % 2 == 0).reshape(-1, *[1] * (b.ndim - 1))
    probes = (jnp.broadcast_to(jnp.asarray(x, b.dtype), b.shape) for x in (is_even, ~is_even))
    on_even, on_odd = map(jacobian_map, probes)
    diagonal = jnp.where(is_even, on_even, on_odd)
    above = jnp.where(is_even, on_odd, on_even)

    def substitute(x_next: jax.Array, row: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        rhs, coupling = row
        x = rhs - coupling * x_next
        return x, x

    rows = (b / diagonal, above / diagonal)
    _, x = lax.scan(substitute, jnp.zeros_like(b[0]), rows, reverse=True)
    return x
