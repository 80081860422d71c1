"""The equilibrium of Foster & Viswanathan (1996) as one system with a single unknown per auction.

With r_n = Sigma_{n−1}/Sigma_n − 1 (so that lambda_n b_n = w_n = r_n/(1+r_n)) and g_n = c
sigma_v²/Sigma_n, c = M(M−1)d/sigma_v², the published first-order condition, cleared of theta_{n−1},
is a sum of terms that are all positive and increase in r_n:

    r_n + g_n r_n/(1+r_n) + K_n sqrt(r_n/(1+r_n)) = M,    g_n = g_{n−1} (1+r_n),  g_0 = c    (chain)
    K_n = (M + r_{n+1}) / ((1+r_{n+1}) sqrt(r_{n+1})) · sqrt(dt_{n+1}/dt_n),    K_N = 0

K_n comes from the published recursion of psi, and with it r_n from what is later, g_n from what is
earlier. The literature shoots on log Sigma_N, which loses the digits of that shot's slope (up to
10⁵ at N = 50 and M ≤ 10⁶, 10⁷ on uneven spacing). Here Newton's method solves for all log r_n at
once, from the chain with g_n = c throughout: ten steps at N = 50, each O(N), and no digits lost.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from solvers import blocks, implicit, sums

Fields = tuple[jax.Array, ...]
Pair = tuple[jax.Array, jax.Array]

SPARE_STEPS = 40
"""Newton steps at most, beside one for each auction. With equal spacing 16 do at N = 1000; lengths
that alternate by 10⁶ take 90 at N = 200, for what changes then travels from auction to auction."""


def rivalry(r: jax.Array, num_insiders: jax.Array) -> jax.Array:
    """(M + r)/((1+r) sqrt(r)), the part of K_n that auction n+1 makes, r its r."""
    return (num_insiders + r) / ((1 + r) * jnp.sqrt(r))


# One auction: the root for a given g and K


def one_auction(g: jax.Array, K: jax.Array, num_insiders: jax.Array) -> jax.Array:
    """The only r > 0 of r + g r/(1+r) + K sqrt(r/(1+r)) = M.

    In tau = 1/r it reads M(1+tau) − K sqrt(1+tau) − g − 1 − 1/tau = 0. The tangent of the square
    root, where that equation without 1/tau has its root (or at 0), makes it a quadratic, whose root
    is within 4 % for all M ≥ 1 and g, K ≥ 0. Two Halley steps reach the last digit.
    """
    M = num_insiders
    t = jnp.maximum((K + jnp.sqrt(K * K + 4 * M * (g + 1))) / (2 * M), 1)  # sqrt(1+tau)
    a = M - K / (2 * t)
    half = (M - g - 1 - K * t + K * (t * t - 1) / (2 * t)) / 2
    root = jnp.sqrt(half * half + a)
    tau = jnp.where(half < 0, (root - half) / a, 1 / (root + jnp.abs(half)))
    for _ in range(2):
        t = jnp.sqrt(1 + tau)
        f = M * (1 + tau) - K * t - g - 1 - 1 / tau
        slope = M - K / (2 * t) + 1 / tau**2
        bend = K / (4 * t**3) - 2 / tau**3
        tau = tau - 2 * f * slope / (2 * slope**2 - f * bend)
    return 1 / tau


def _start(c: jax.Array, num_insiders: jax.Array, ratio: jax.Array) -> jax.Array:
    """log r_n with g_n = c throughout, backwards; ``ratio`` is sqrt(dt_{n+1}/dt_n), 0 at N."""

    def auction(after: jax.Array, ratio: jax.Array) -> tuple[jax.Array, jax.Array]:
        r = one_auction(c, after * ratio, num_insiders)
        return rivalry(r, num_insiders), jnp.log(r)

    _, log_r = lax.scan(auction, jnp.ones_like(c), ratio, reverse=True)
    return log_r


# All auctions: Newton's method on log r


def roots(c: jax.Array, num_insiders: jax.Array, dt: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log r_n, shape (N,), and the largest last step. No derivative."""
    ratio = jnp.sqrt(jnp.concatenate([dt[1:], jnp.zeros_like(dt[:1])]) / dt)
    log_c, log_ratio = jnp.log(c), jnp.log(ratio)
    eps, most = float(jnp.finfo(dt.dtype).eps), SPARE_STEPS + dt.shape[0]

    def step(state: Any) -> Any:
        log_r, last, _, count = state
        miss, rows = _linearised(log_r, log_c, num_insiders, log_ratio)
        move, _ = _eliminated(rows, -miss, jnp.zeros_like(miss))
        return log_r + move, jnp.max(jnp.abs(move)), last, count + 1

    def going(state: Any) -> jax.Array:
        _, _, before, count = state  # convergence is quadratic: one step more than enough
        return (before > eps**0.5) & (count < most)  # NaN: ends

    start = _start(c, num_insiders, ratio)
    far = jnp.full_like(c, jnp.inf)
    log_r, move, _, _ = lax.while_loop(going, step, (start, far, far, jnp.zeros((), int)))
    return log_r, move


def _linearised(
    log_r: jax.Array, log_c: jax.Array, num_insiders: jax.Array, log_ratio: jax.Array
) -> tuple[jax.Array, Fields]:
    """Log of the left side of (chain) over M and its derivatives, in logs: nothing overflows."""
    M, r = num_insiders, jnp.exp(log_r)
    log_1p = jnp.log1p(r)
    log_Sigma = -jnp.cumsum(log_1p)
    log_rivalry = jnp.log(M + r) - log_1p - log_r / 2
    after = jnp.concatenate([log_rivalry[1:], jnp.zeros_like(log_r[:1])]) + log_ratio
    log_w = log_r - log_1p
    terms = jnp.stack([log_r, log_c - log_Sigma + log_w, after + log_w / 2]) - jnp.log(M)
    top = jnp.max(terms, axis=0)
    parts = jnp.exp(terms - top[None])
    total = jnp.sum(parts, axis=0)
    own, by_g, by_K = parts / total[None]
    left = 1 / (1 + r)
    slope_after = r / (M + r) - r * left - 0.5  # d log rivalry / d log r
    coupling = jnp.concatenate([by_K[:-1] * slope_after[1:], jnp.zeros_like(r[:1])])
    rows = (own + by_g * left + by_K * left / 2, -by_g, coupling, r * left)
    return top + jnp.log(total), rows


def _eliminated(rows: Fields, f: jax.Array, h: jax.Array) -> Pair:
    """(chain) made linear in y_n = d log r_n and X_n = d log Sigma_n; X_0 = 0, y_{N+1} = 0:

        on_n y_n + by_Sigma_n X_n + coupling_n y_{n+1} = f_n,     X_n − X_{n−1} + fall_n y_n = h_n.

    ``rows`` are on, by_Sigma, coupling, fall. Forward elimination to y_n = A_n + B_n y_{n+1} and
    X_n = P_n + Q_n y_{n+1}, then backwards: O(N), and stable, where shooting is not.
    """

    def forward(before: Pair, row: Fields) -> tuple[Pair, Fields]:
        P, Q = before
        on, by_Sigma, coupling, fall, f, h = row
        P, Q = P + h, Q - fall  # X_n = P + Q y_n
        pivot = on + by_Sigma * Q
        A, B = (f - by_Sigma * P) / pivot, -coupling / pivot
        P, Q = P + Q * A, Q * B
        return (P, Q), (A, B, P, Q)

    def backward(after: jax.Array, row: Fields) -> tuple[jax.Array, Pair]:
        A, B, P, Q = row
        y = A + B * after
        return y, (y, P + Q * after)

    zero = jnp.zeros_like(f[0])
    _, kept = lax.scan(forward, (zero, zero), (*rows, f, h))
    _, (y, X) = lax.scan(backward, zero, kept, reverse=True)
    return y, X


# The derivative: the same system, at the finished root


def _chain_residual(x: Pair, theta: Fields) -> Pair:
    """(chain) over M, less one; and log Sigma_n − log Sigma_{n−1} + log(1+r_n) = 0."""
    (log_r, log_Sigma), (c, M, dt) = x, theta
    r = jnp.exp(log_r)
    w = r / (1 + r)
    K = jnp.sqrt(dt[1:] / dt[:-1]) * rivalry(r[1:], M)
    K = jnp.concatenate([K, jnp.zeros_like(r[:1])])
    first_order = (r + c * per_Sigma(log_Sigma) * w + K * jnp.sqrt(w)) / M - 1
    filtering = jnp.diff(log_Sigma, prepend=jnp.zeros_like(c)) + jnp.log1p(r)
    return first_order, filtering


def per_Sigma(log_Sigma: jax.Array) -> jax.Array:
    """1/Sigma_n; at most the largest number, which then multiplies c = 0 or its tangent."""
    largest = 0.97 * math.log(float(jnp.finfo(log_Sigma.dtype).max))
    return jnp.exp(jnp.minimum(-log_Sigma, largest))


def _tangent_solve(jacobian_map: implicit.LinearMap, b: Pair) -> Pair:
    """The diagonals by probes (row n involves r_n, r_{n+1} and Sigma_n), then the elimination."""
    f, h = b
    even = (jnp.arange(f.shape[0]) % 2 == 0).astype(f.dtype)
    odd, none = 1 - even, jnp.zeros_like(f)
    probes = jnp.stack([even, odd, none]), jnp.stack([none, none, even + odd])
    (on_even, on_odd, by_Sigma), (fall_even, fall_odd, _) = jax.vmap(jacobian_map)(probes)
    on, coupling = even * on_even + odd * on_odd, odd * on_even + even * on_odd
    rows = (on, by_Sigma, coupling, even * fall_even + odd * fall_odd)
    return _eliminated(rows, f, h)


def solved(
    c: jax.Array, num_insiders: jax.Array, dt: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """log r_n and log(Sigma_n/sigma_v²), with their derivatives; largest residual; last step."""
    theta = (c, num_insiders, dt)
    frozen = jax.tree.map(lax.stop_gradient, theta)
    log_r, step = blocks.in_blocks(roots)(*frozen)
    x = (log_r, -sums.cumulative(jnp.log1p(jnp.exp(log_r))))
    residual = jnp.max(jnp.abs(_chain_residual(x, frozen)[0]))
    log_r, log_Sigma = implicit.attach(_chain_residual, x, theta, tangent_solve=_tangent_solve)
    return log_r, log_Sigma, residual, step


def accurate(residual: jax.Array, step: jax.Array) -> jax.Array:
    """Whether the roots are: a small residual (of logs up to some hundreds) and a small step."""
    eps = jnp.finfo(residual.dtype).eps
    return (residual <= 1e4 * eps) & (step <= jnp.sqrt(eps))
