"""Any number of assets, approximately: a value quadratic in the inventories.

With H_i replaced by its expansion at 0 to second order, the equation of :mod:`.assets` is solved,
without inventory limits, by theta = −q'Aq − q'B − C; with D = diag(H_i''(0)),

    A_tau = R − 4 A D A,          A(0) = phi_T          (a matrix Riccati equation)
    B_tau = −mu − 4 A D B,        B(0) = 0
    C_tau = −Σ_i [2H_i(0) + 2H_i'(0) A_ii + H_i''(0) (A_ii² + B_i²)],   C(0) = 0

The cost of a fill is then p_b,i = 2(Aq)_i + A_ii + B_i, p_a,i = −2(Aq)_i + A_ii − B_i, and the
quotes are the best depths against it (:mod:`.intensities`). Good where these are small beside the
inverse hazard of depth (1/k): not near large inventories, nor shortly before T under a large phi_T.

[A, B/2; B'/2, c] obeys a Riccati equation itself, D bordered by 0: the drift is an asset that is
never traded. Its flow is in closed form (:mod:`solvers.riccati`); with phi_T = 0 and no drift it is
A = ½ D^−½ Psi tanh(2 Psi tau) D^−½, Psi² = D^½ R D^½. One asset, tau → ∞:
:func:`.approximations.stationary`.

Reference: Bergault, Evangelista, Guéant & Vieira (2021), Applied Mathematical Finance 28, 101–142.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.market_making.assets import Basket, Params, in_domain, validated
from diffeq.market_making.intensities import Best, best_depth
from solvers import quadrature, riccati


class Solution(NamedTuple):
    """theta(t, q) ≈ −q'Aq − q'B − C over times (m) and assets (d)."""

    A: jax.Array
    """A(t), money per unit², shape (m, d, d), symmetric."""
    B: jax.Array
    """B(t), money per unit, shape (m, d)."""
    C: jax.Array
    """C(t), money, shape (m,); −C is the worth of starting with no inventory."""
    info: Info
    """Whether it converged; how far A and B are from their equations, over the largest term."""


class Quotes(NamedTuple):
    """Depths over times (m) and the inventories asked for."""

    delta_b: jax.Array
    """Depth of each asset's bid below its mid, price units, shape (m, …, d)."""
    delta_a: jax.Array
    """Depth of each asset's ask above its mid, price units, shape (m, …, d)."""
    info: Info
    """Whether the solution converged and every best depth exists; its condition's residual."""


def solve(
    params: Params,
    *,
    times: Any,
    objective: str = "cara",
    intensity: Callable[[Any], Any] | None = None,
) -> Solution:
    """The quadratic approximation of the value.

    Args:
      params: as :class:`~.assets.Params`; every leaf is differentiable.
      times: t_1 < … < t_m = T, shape (m,).
      objective: ``"cara"`` or ``"penalty"``, static.
      intensity: Lambda(depth), both sides'; see :func:`.hjb.solve`. The fields of a NamedTuple may
        have a first axis (d,); a function is the same for all assets. Default: A exp(−k depth).

    Returns:
      :class:`Solution`. A lane with a parameter outside its domain, or with an intensity that has
      no best depth, is NaN in every value and derivative, ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete argument out of domain; intensities that differ by side.

    Reference: Bergault, Evangelista, Guéant & Vieira (2021), section 3.

    >>> found = solve(Params(sigma=(2.0, 2.0, 1.0), rho=0.6), times=[0.0, 1.0])
    >>> found.A.shape
    (2, 3, 3)
    """
    basket, t = _checked(params, times, objective, intensity)
    return _solve(basket, t)


def quotes(
    solution: Solution,
    inventories: Any,
    params: Params,
    *,
    objective: str = "cara",
    intensity: Callable[[Any], Any] | None = None,
) -> Quotes:
    """The depths that are best against the approximate value.

    Args:
      solution: of :func:`solve`, for the same params, objective and intensity.
      inventories: q, any real numbers, shape (…, d).
      params, objective, intensity: as for :func:`solve`.

    Returns:
      :class:`Quotes`.

    Raises:
      ValueError, TypeError: as :func:`solve`; inventories of another number of assets.

    Reference: Bergault, Evangelista, Guéant & Vieira (2021), section 4.

    >>> found = quotes(solve(Params(rho=0.6), times=[0.0, 1.0]), [1.0, -1.0], Params(rho=0.6))
    >>> bool(found.delta_b[0, 0] > found.delta_a[0, 0])  # long: eager to sell
    True
    """
    basket, _ = _checked(params, [0.0], objective, intensity)
    q = validate.array("inventories", inventories)
    d = basket.rho.shape[0]
    if q is None or q.ndim == 0 or q.shape[-1] != d or solution.B.shape[-1:] != (d,):
        shape = None if q is None else q.shape
        raise ValueError(f"inventories: expected shape (…, {d}), one entry per asset, got {shape}")
    if solution.B.ndim != 2:
        raise ValueError(f"solution: expected one, got a batch {solution.B.shape}; use jax.vmap")
    validate.finite("inventories", q)
    return _quotes(solution, jnp.asarray(q, basket.rho.dtype), basket)


def _checked(
    params: Params, times: Any, objective: str, intensity: Any
) -> tuple[Basket, jax.Array]:
    if isinstance(intensity, tuple) and not callable(intensity):
        raise ValueError("intensity: expected one for both sides; use the grid (pair) for two")
    return validated(params, times, objective, intensity)


class Expansion(NamedTuple):
    """H_i(0) and its derivatives, shape (d,)."""

    value: jax.Array
    slope: jax.Array
    curvature: jax.Array
    residual: jax.Array
    """Of the first-order condition."""


def expansion(intensity: Any, gamma: jax.Array) -> Expansion:
    """H(p) = value + slope p + curvature p²/2 + …, of one asset."""

    def envelope(p: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """H'(p) = −Lambda(delta*) exp(−gamma (delta* − p)); and H(p)."""
        found = best_depth(intensity, p, gamma)
        x = found.margin
        return -intensity(p + x) * jnp.exp(-gamma * x), (found.gain, found.residual)

    at, one = jnp.zeros_like(gamma), jnp.ones_like(gamma)
    slope, curvature, (value, residual) = jax.jvp(envelope, (at,), (one,), has_aux=True)
    return Expansion(value, slope, curvature, residual)


def bordered(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """[matrix, vector; vector', 0]."""
    side = jnp.append(vector, 0)
    return jnp.block([[jnp.concatenate([matrix, vector[:, None]], axis=1)], [side[None]]])


def coefficients(tau: jax.Array, H: Expansion, basket: Basket) -> jax.Array:
    """[A, B/2; B'/2, c] at time to go tau, c the part of C that B makes."""
    mu, none = basket.systems.drift, jnp.zeros_like(H.value)
    Q, G = bordered(basket.risk, -mu / 2), bordered(4 * jnp.diag(H.curvature), none)
    return riccati.at(riccati.flow(Q, G, tau), bordered(basket.phi_T, none))


_RULE = quadrature.gauss_legendre(0.0, 1.0, 64)


def integrated(tau: jax.Array, H: Expansion, basket: Basket) -> tuple[jax.Array, jax.Array]:
    """:func:`coefficients` at tau, and ∫ Σ_i [2H_i(0) + 2H_i'(0) A_ii + H_i''(0) A_ii²] up to tau.

    By quadrature in log(1 + s/s_0), s_0 a time within which A hardly moves: from a large phi_T it
    falls like 1/s.
    """
    G = 4 * H.curvature[:, None]
    rate = jnp.max(jnp.sum(jnp.abs(G * basket.phi_T), 1))
    rate += jnp.sqrt(jnp.max(jnp.sum(jnp.abs(G * basket.risk), 1)))
    length = jnp.log(2 + tau * lax.stop_gradient(rate))
    s_0 = tau / jnp.expm1(length)
    nodes, weights = (jnp.asarray(x, tau.dtype) for x in (_RULE.nodes, _RULE.weights))
    times = jnp.append(s_0 * jnp.expm1(length * nodes), tau)
    found = jax.vmap(lambda s: coefficients(s, H, basket))(times)
    A = jnp.diagonal(found[:-1, :-1, :-1], axis1=1, axis2=2)
    flow = jnp.sum(2 * H.value[None] + 2 * H.slope[None] * A + H.curvature[None] * A**2, axis=1)
    return found[-1], jnp.sum(weights * flow * jnp.exp(length * nodes)) * s_0 * length


@jax.jit
def _solve(basket: Basket, times: jax.Array) -> Solution:
    H = jax.vmap(expansion)(basket.systems.bid, basket.systems.gamma)
    eps = float(jnp.finfo(times.dtype).eps)
    found, earned = jax.vmap(lambda t: integrated(t, H, basket))(times[-1] - times)
    A, B, C = found[:, :-1, :-1], 2 * found[:, :-1, -1], found[:, -1, -1] - earned
    residual = _residual(*lax.stop_gradient((found, times[-1] - times, H, basket)))
    ok = (
        in_domain(basket)
        & jnp.all(jnp.diff(times) > 0)
        & jnp.all(jnp.isfinite(C))
        & jnp.all(jnp.isfinite(H.curvature) & (H.curvature >= 0))
        & (jnp.max(H.residual) <= 1e3 * eps)
        & (residual <= TOLERANCE[times.dtype.itemsize])
    )
    return Solution(*poison((A, B, C), ok, (basket, times)), Info(ok, residual))


TOLERANCE = {8: 1e-9, 4: 1e-3}
"""Largest residual of A's and B's equations, by the bytes of a number."""


def _residual(P: jax.Array, tau: jax.Array, H: Expansion, basket: Basket) -> jax.Array:
    """|P_tau − Q + P G P| over the largest term, of [A, B/2] at all times."""
    one = jnp.ones_like(tau[0])
    slopes = jax.vmap(lambda t: jax.jvp(lambda t: coefficients(t, H, basket), (t,), (one,))[1])
    slope = slopes(tau)
    Q = bordered(basket.risk, -basket.systems.drift / 2)
    traded = P[:, :-1]
    lost = jnp.einsum("tik,k,tkj->tij", P[:, :, :-1], 4 * H.curvature, traded)
    gap = jnp.max(jnp.abs(slope - Q[None] + lost)[:, :-1], axis=(1, 2))
    size = jnp.max(jnp.abs(slope) + jnp.abs(Q)[None] + jnp.abs(lost), axis=(1, 2))
    return jnp.max(gap / jnp.where(size > 0, size, 1))


@jax.jit
def _quotes(solution: Solution, q: jax.Array, basket: Basket) -> Quotes:
    A, B = solution.A, solution.B
    skew = 2 * jnp.einsum("tij,...j->t...i", A, q)
    per_time = (A.shape[0], *[1] * (q.ndim - 1), A.shape[1])
    on = jnp.diagonal(A, axis1=1, axis2=2).reshape(per_time)
    costs = skew + on + B.reshape(per_time), on - skew - B.reshape(per_time)

    def against(side: Any, gamma: jax.Array, p: jax.Array) -> Best:
        return jax.vmap(lambda p: best_depth(side, p, gamma))(p)

    margins = []
    for p in costs:
        flat = p.reshape(-1, A.shape[1])
        found = jax.vmap(against, (0, 0, 1), 1)(basket.systems.bid, basket.systems.gamma, flat)
        margins.append((found.margin.reshape(p.shape), jnp.max(found.residual)))
    (bid, worst_b), (ask, worst_a) = margins
    residual = jnp.maximum(worst_b, worst_a)
    ok = solution.info.converged & (residual <= 1e3 * float(jnp.finfo(q.dtype).eps))
    fields = poison((costs[0] + bid, costs[1] + ask), ok, (solution[:3], q, basket))
    return Quotes(*fields, Info(ok, residual))
