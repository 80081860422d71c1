"""The symmetric matrix Riccati equation P' = Q − P G P, Q and G symmetric, G ≥ 0, in closed form.

Its flow over a time tau is a linear fractional map of P(0), here with three matrices of tau alone,

    P(tau) = H + E' P(0) (I + G_tau P(0))⁻¹ E,

and two of them, one after the other, are another: that of 2 tau follows from that of tau without a
difference of large numbers, which the exponential of [[0, G], [Q, 0]] has. So the flow over a short
time, by series, is doubled until it is that over tau: rounding does not grow with tau, nothing is
eigendecomposed, and derivatives of every order exist where eigenvalues coincide.

Reference: Anderson (1978), International Journal of Control 28, 295–306 (doubling); Bini, Iannazzo
& Meini (2012), Numerical Solution of Algebraic Riccati Equations, chapter 5.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

DOUBLINGS = 40
"""At most; the flow over a time of more than 2^40/4 of its own time scales is not had."""
_TERMS = 8
"""Of cosh and sinh at arguments up to 1/2."""


class Flow(NamedTuple):
    """The map P(0) → P(tau)."""

    E: jax.Array
    G: jax.Array
    H: jax.Array
    """P(tau) from P(0) = 0."""
    doubled: jax.Array
    """Whether ``DOUBLINGS`` were enough."""


def flow(Q: jax.Array, G: jax.Array, tau: jax.Array) -> Flow:
    """The flow of P' = Q − P G P over a time tau ≥ 0; differentiable in all three.

    Args:
      Q, G: symmetric, shape (d, d); G ≥ 0, and Q ≥ 0 at least where G does not vanish (else P may
        pass through infinity).
      tau: scalar; batch with ``jax.vmap``.

    Reference: see the module.

    >>> one = jnp.ones((1, 1))
    >>> round(float(flow(one, one, jnp.asarray(1.0)).H[0, 0]), 4)  # tanh 1
    0.7616
    """
    unit = _units(G, Q)
    Q, G = Q / unit / unit.T, G * unit * unit.T
    frozen = lax.stop_gradient(jnp.sqrt(jnp.max(jnp.sum(jnp.abs(G @ Q), axis=1))) * tau)
    wanted = jnp.ceil(jnp.log2(jnp.maximum(frozen, 0.25) * 2))
    count = jnp.clip(wanted, 0, DOUBLINGS)
    h = tau * jnp.exp2(-count)

    def double(f: Flow, i: jax.Array) -> tuple[Flow, None]:
        twice = then(f, f)
        return jax.tree.map(lambda a, b: jnp.where(i < count, a, b), twice, f), None

    start = _short(Q, G, h)._replace(doubled=wanted <= DOUBLINGS)
    end, _ = lax.scan(double, start, jnp.arange(DOUBLINGS))
    E, G, H, doubled = end
    return Flow(E * unit.T / unit, G / unit / unit.T, H * unit * unit.T, doubled)


def then(first: Flow, second: Flow) -> Flow:
    """One flow after another, of the same equation."""
    d = first.E.shape[0]
    both = jnp.concatenate([first.E, first.G], axis=1)
    solved = jnp.linalg.solve(jnp.eye(d, dtype=both.dtype) + first.G @ second.H, both)
    return Flow(
        second.E @ solved[:, :d],
        _symmetric(second.G + second.E @ solved[:, d:] @ second.E.T),
        _symmetric(first.H + first.E.T @ second.H @ solved[:, :d]),
        first.doubled & second.doubled,
    )


def at(f: Flow, start: jax.Array) -> jax.Array:
    """P(tau) from P(0) = ``start``, symmetric and ≥ 0 where G does not vanish."""
    unit = _units(f.G, start)
    start, G = start / unit / unit.T, f.G * unit * unit.T
    identity = jnp.eye(start.shape[0], dtype=start.dtype)
    kept = unit * jnp.linalg.solve(identity + start @ G, start) * unit.T
    return _symmetric(f.H + f.E.T @ kept @ f.E)


def _units(G: jax.Array, P: jax.Array) -> jax.Array:
    """Of each component, in which G and P are of one size: powers of two, exact; shape (d, 1).

    Where units are unlike, G P is as large as the largest of their ratios, and rounded to that.
    """
    sizes = lax.stop_gradient(jnp.stack([jnp.diag(G), jnp.abs(jnp.diag(P))]))
    there = sizes > 0
    bits = jnp.log2(jnp.where(there, sizes, 1))
    both = jnp.all(there, axis=0)
    most = jnp.max(jnp.sum(bits, axis=0), where=both, initial=-jnp.inf)
    # a component in only one of them is given the fastest rate
    bits = jnp.where(there, bits, jnp.where(jnp.any(both), most, 0) - bits[::-1])
    return jnp.exp2(jnp.round((bits[1] - bits[0]) / 4))[:, None]


def _short(Q: jax.Array, G: jax.Array, h: jax.Array) -> Flow:
    """By the series of cosh and sinh of h sqrt(GQ)."""
    identity = jnp.eye(Q.shape[0], dtype=Q.dtype)
    square = h**2 * (G @ Q)
    cosh, sinh, power = identity, identity, identity
    for j in range(1, _TERMS + 1):
        power = square @ power / ((2 * j) * (2 * j - 1))
        cosh, sinh = cosh + power, sinh + power / (2 * j + 1)
    E = jnp.linalg.inv(cosh)
    return Flow(E, _symmetric(h * E @ sinh @ G), _symmetric(h * Q @ sinh @ E), jnp.array(True))


def _symmetric(x: jax.Array) -> jax.Array:
    return (x + x.T) / 2
