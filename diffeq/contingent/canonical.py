"""The canonical game: K signals, each paying on its own pseudo-security; one number, alpha*(K).

The insider who sees s_k trades D* = alpha* (e_k − 1/K), unit noise, uniform prior. Under s_1 the
posterior is logistic-normal: p ∝ (c w_1, w_2, …, w_K), w_j = exp(alpha z_j) with z_j i.i.d. N(0, 1)
and c = exp(alpha²). In equilibrium

    Phi(alpha) = E_1[(1 − p_1)(1 − alpha² p_1)] = 0,

where alpha → ∞ is no root. alpha*(2) = √2; alpha* rises in K, concave; efficiency E_1[p_1] falls,
convex. Every moment of p is one integral, at a cost independent of K, which may thus
be any real number: 1/S = ∫ exp(−s S) ds and independence give, with x = log s,

    L(s) = E[e^{−sw}],    B(s) = E[s w e^{−sw}],    L(cs) = Lc,    B(cs) = A,
    E_1[p_1]     = (K−1) ∫ (1 − Lc) B L^{K−2} dx,
    E_1[p_1 p_2] = ∫ A B L^{K−2} dx,        E_1[p_2 p_3] = ∫ B² Lc L^{K−3} dx;

the others follow from Σ p = 1 and E_1[p_2²] = E_1[p_1 p_2]. None is a difference of larger ones.

Misprints of the paper: its appendix has "+ alpha p_1²" where Phi has + alpha² p_1²; eq. (32)'s
log-odds at K = 2 are N(alpha², 2 alpha²).

Reference: Keller & Tseng (2024), Theorems 6.3 and 6.6, Proposition 7.7, Corollary 7.10.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from solvers import implicit

__all__ = ["Solution", "residual", "solve"]

MOST_SIGNALS = 1e9
"""K up to which the lattice is laid out, and a rounding more; larger is flagged."""
LARGEST = 5.25
"""Of alpha; alpha*(1e9) = 5.232."""
SMALLEST = 0.75
"""Of alpha, in ``residual``; alpha*(2) = 1.414."""
START = (9.000209e-4, -5.860268e-3, 8.648281e-3, 8.434242e-2, 7.110081e-2, 0.3110169, 1.217872)
"""alpha* to 6e-5 as a polynomial in log(1 + log K), highest power first: ``numpy.polyfit`` to 40
roots, bracketed in a finer lattice, at Chebyshev points of log K in [log 2, log 1e9]."""


class Solution(NamedTuple):
    """The equilibrium and the moments of the posterior p under the signal s_1; scalars.

    p_1 belongs to the signal the insider saw, p_2 and p_3 to two others.
    """

    alpha: jax.Array
    """alpha*(K): the trade is alpha* (e_k − 1/K)."""
    efficiency: jax.Array
    """E[q_k], the expected posterior of the true signal: E_1[p_1] under the paper's other name."""
    E_p1: jax.Array
    """E_1[p_1]."""
    E_p2: jax.Array
    """E_1[p_2] = (1 − E_1[p_1])/(K−1)."""
    E_p1p1: jax.Array
    """E_1[p_1²]."""
    E_p1p2: jax.Array
    """E_1[p_1 p_2]; in equilibrium E_1[p_2]/alpha*²."""
    E_p2p2: jax.Array
    """E_1[p_2²], equal to E_1[p_1 p_2] at any alpha."""
    E_p2p3: jax.Array
    """E_1[p_2 p_3]; at K = 2, where there is no third signal, its continuation in K."""
    error: jax.Array
    """Estimated absolute error of ``alpha``; the moments' relative errors are of its size too."""
    info: Info
    """Whether it converged; and |Phi|/E_1[1 − p_1]."""


class Point(NamedTuple):
    """What the equilibrium condition is asked at."""

    alpha: Any
    num_signals: Any


def solve(num_signals: Any) -> Solution:
    """The equilibrium of the canonical game with K signals.

    Args:
      num_signals: K ≥ 2, a real number, scalar, differentiable to every order; batch with
        ``jax.vmap`` (1 000 values of K in one jitted call: 40 ms of processor time).

    Returns:
      :class:`Solution`, scalars. To the last digits for 2 ≤ K ≤ 1e9; beyond, and on a traced lane
      outside the domain, NaN in every value and derivative, ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete K below 2, not finite, batched, or no number.

    Reference: Keller & Tseng (2024), Theorem 6.3.

    >>> round(float(solve(2).alpha ** 2), 5)
    2.0
    """
    return _solve(_validated(1.0, num_signals).num_signals)


@jax.jit
def _solve(num_signals: jax.Array) -> Solution:
    eps = float(jnp.finfo(num_signals.dtype).eps)
    return _equilibrium(num_signals, _lattice(eps, math.sqrt(2)))


def _equilibrium(num_signals: jax.Array, lattice: "_Lattice") -> Solution:
    """The root by two Newton steps from START, in log alpha, and the moments there."""
    K = lax.stop_gradient(num_signals)
    start = jnp.log(jnp.polyval(jnp.asarray(START, K.dtype), jnp.log1p(jnp.log(K))))

    def newton(_: jax.Array, last: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        at, _ = last
        value, slope = jax.jvp(lambda at: _imbalance(at, K, lattice), (at,), (jnp.ones_like(at),))
        return at - value / slope, value / slope

    log_alpha, step = lax.fori_loop(0, 2, newton, (start, start))
    log_alpha = implicit.attach(lambda at, K: _imbalance(at, K, lattice), log_alpha, num_signals)
    alpha, K = jnp.exp(log_alpha), num_signals
    halves = _halves(alpha, K, lattice)
    E_p1, E_p1p2, E_p2p3 = map(jnp.mean, halves)
    E_p2, E_p1p1 = (1 - E_p1) / (K - 1), E_p1 - (K - 1) * E_p1p2

    # the error of step h is about the square of that of 2h; the slope in log alpha is 2 or more
    spread = sum((half[0] / jnp.mean(half) - 1) ** 2 for half in halves)
    error = lax.stop_gradient(alpha * (spread + 4 * lattice.eps))
    worst = lax.stop_gradient(jnp.abs(_phi(alpha, K, E_p1, E_p1p2)) / (1 - E_p1))
    accurate = (worst <= 64 * lattice.eps) & (jnp.abs(step) <= math.sqrt(lattice.eps))
    ok = accurate & (K >= 2) & (K <= 1.001 * MOST_SIGNALS)
    fields = alpha, E_p1, E_p1, E_p2, E_p1p1, E_p1p2, E_p1p2, E_p2p3, error
    return Solution._make((*poison(fields, ok, num_signals), Info(ok, worst)))


def residual(alpha: Any, num_signals: Any) -> jax.Array:
    """Phi(alpha) = E_1[(1 − p_1)(1 − alpha² p_1)], signed: positive below alpha*, negative above.

    Scale-free as it stands: E_1[1 − p_1], a probability, less alpha² E_1[p_1 (1 − p_1)].

    Args:
      alpha: how strongly the insider trades, > 0, scalar.
      num_signals: K ≥ 2, scalar.

    Returns:
      Phi, scalar; NaN with its derivatives beyond 0.75 ≤ alpha ≤ 5.25 and 2 ≤ K ≤ 1e9.

    Reference: Keller & Tseng (2024), Theorem 6.3; the appendix's "+ alpha p_1²" is a misprint.

    >>> bool(residual(1.8, 10) > 0 > residual(1.9, 10))
    True
    """
    return _residual(_validated(alpha, num_signals))


@jax.jit
def _residual(point: Point) -> jax.Array:
    alpha, K = point
    lattice = _lattice(float(jnp.finfo(K.dtype).eps), LARGEST)
    E_p1, E_p1p2, _ = map(jnp.mean, _halves(alpha, K, lattice))
    ok = (alpha >= SMALLEST) & (alpha <= LARGEST) & (K >= 2) & (K <= 1.001 * MOST_SIGNALS)
    return poison(_phi(alpha, K, E_p1, E_p1p2), ok, point)


def _phi(alpha: jax.Array, K: jax.Array, E_p1: jax.Array, E_p1p2: jax.Array) -> jax.Array:
    """E_1[1 − p_1] − alpha² E_1[p_1 (1 − p_1)]."""
    return (1 - E_p1) - alpha**2 * (K - 1) * E_p1p2


def _imbalance(log_alpha: jax.Array, K: jax.Array, lattice: "_Lattice") -> jax.Array:
    """Log of the ratio of Phi's two terms: nearly linear in log alpha, its slope from 2 to 11."""
    E_p1, E_p1p2, _ = map(jnp.mean, _halves(jnp.exp(log_alpha), K, lattice))
    return 2 * log_alpha + jnp.log((K - 1) * E_p1p2) - jnp.log(1 - E_p1)


# The integrals, by the trapezoid rule in x = log s and v = alpha z. With steps h and 2h every
# t = x + v is a multiple of h, so that 1 − e^{−e^t} and e^{t−e^t} are fixed matrices, the same for
# every K and alpha, and a batch is one matrix product. The step of v is too long by itself; but
# its error changes sign from one x to the next, and what is left is its square.


class _Lattice(NamedTuple):
    """Where the integrals are summed."""

    eps: float
    """Relative accuracy aimed at: the rounding of the dtype."""
    step: float
    """h; the error is about e^{−pi²/h}."""
    low: float
    """The smallest t."""
    num_v: int
    kernels: np.ndarray[Any, Any]
    """1 − e^{−e^t} beside e^{t−e^t}; rows v, columns x: shape (num_v, 2 num_x)."""


@functools.cache
def _lattice(eps: float, widest: float) -> _Lattice:
    """The lattice for all K; at K = 2 it reaches alpha = ``widest``, at K = 1e9 5.25.

    x spans where the integrands exceed eps, v where the normal densities do; both windows slide
    with alpha and K, in opposite directions, so that t stays.
    """
    step = math.pi**2 / (2 - math.log(eps))
    tail = math.sqrt(-2 * math.log(eps))  # standard deviations
    num_x = 2 * math.ceil((1 + tail * widest - _lowest_x(widest, 2.0, eps)) / step / 2)
    low = float(_lowest_x(LARGEST, MOST_SIGNALS, eps)) - tail * widest
    highest = LARGEST**2 + max(tail * LARGEST, tail * widest + math.log(MOST_SIGNALS / 2) / 2)
    num_v = math.ceil((highest + tail * widest) / step / 2)
    t = low + step * (np.arange(num_x) + 2 * np.arange(num_v)[:, None])
    kernels = np.concatenate([-np.expm1(-np.exp(t)), np.exp(t - np.exp(t))], axis=1)
    return _Lattice(eps, step, low, num_v, kernels)


def _lowest_x(alpha: Any, K: Any, eps: float) -> Any:
    """Below it K A B ≈ K (c s)² is under eps."""
    log = jnp.log if isinstance(K, jax.Array) else math.log
    return (math.log(eps) - log(K)) / 2 - alpha**2


def _halves(alpha: jax.Array, K: jax.Array, lattice: _Lattice) -> tuple[jax.Array, ...]:
    """E_1[p_1], E_1[p_1 p_2], E_1[p_2 p_3], each from even and from odd x: shape (2,)."""
    h = lattice.step
    first = lax.stop_gradient(_lowest_x(alpha, K, lattice.eps))  # the rest of x is in the kernels
    v = lattice.low - first + 2 * h * np.arange(lattice.num_v, dtype=alpha.dtype)
    weights = jnp.stack([_normal(v / alpha), _normal(v / alpha - alpha)]) * (2 * h / alpha)
    kernels = lattice.kernels.astype(alpha.dtype)
    products = jnp.matmul(weights, kernels, precision=lax.Precision.HIGHEST)
    (F, B), (Fc, A) = jnp.reshape(products, (2, 2, -1))

    rest = jnp.maximum(1 - F, lattice.eps)  # XLA's log1p is off by 3e-14 about −0.4
    log_L = jnp.where(F < 0.25, jnp.log1p(-jnp.minimum(F, 0.25)), jnp.log(rest))
    others = B * jnp.exp((K - 2) * log_L)
    integrands = (K - 1) * Fc * others, A * others, (1 - Fc) * B * others * jnp.exp(-log_L)
    return tuple(2 * h * jnp.sum(jnp.reshape(f, (-1, 2)), axis=0) for f in integrands)


def _normal(z: jax.Array) -> jax.Array:
    return jnp.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _validated(alpha: Any, num_signals: Any) -> Point:
    point = validate.parameters(Point(alpha, num_signals), Point, positive=("alpha", "num_signals"))
    if not isinstance(point.num_signals, jax.core.Tracer) and point.num_signals < 2:
        raise ValueError(f"num_signals: expected a finite number ≥ 2, got {num_signals}")
    return point
