"""The two-pass solution of N strategic auctions with M identical insiders, exact, no shooting.

With q_n = alpha_n lambda_n and r_n = M(1 − 2 q_n), the first-order and value conditions link
q_{n−1} to q_n alone (backward pass); the filter then gives Sigma_n and all the rest (forward pass).
Written in y = q/(1 − 2q) ≥ 0 nothing cancels, for any real M > 0:

    q = y/(1 + 2y),    1 − 2q = 1/(1 + 2y),    1 − q = (1 + y)/(1 + 2y),    r = M/(1 + 2y).

Reference: Holden & Subrahmanyam (1992), Journal of Finance 47, Proposition 1.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from diffeq.check import Info, poison, poisoned_one
from diffeq.validate import sum_tolerance
from solvers import blocks, implicit

Fields = tuple[jax.Array, ...]


class Market(NamedTuple):
    """Parameters of Kyle and Holden–Subrahmanyam on one footing; scalars."""

    sigma_v: Any
    """Prior standard deviation of the value, > 0."""
    sigma_u: Any
    """Standard deviation of noise orders over the day, > 0."""
    num_insiders: Any
    """M > 0."""
    p_0: Any
    """Prior mean: moves no field, but where a lane fails its derivative is NaN too."""


def in_domain(params: Market, dt: jax.Array) -> jax.Array:
    """Whether parameters and spacing are finite, positive where they must be, and sum to one."""
    positive = jnp.stack([*map(jnp.asarray, params[:3]), jnp.min(dt)])
    finite = jnp.isfinite(positive) & jnp.isfinite(params.p_0)
    total = jnp.abs(jnp.sum(dt) - 1) <= sum_tolerance(dt.dtype)
    return jnp.all(finite & (positive > 0)) & total


# The backward pass: y_N = 0, then y_{n−1} from y_n


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


def _ratios(dt: jax.Array) -> jax.Array:
    """dt_{n−1}/dt_n for n = 1..N; at n = 1 there is no earlier auction, and 1 stands."""
    return jnp.concatenate([jnp.ones_like(dt[:1]), dt[:-1] / dt[1:]])


def backward(num_insiders: jax.Array, ratios: jax.Array) -> tuple[jax.Array, jax.Array]:
    """y_n for n = 1..N, and the largest residual; no derivative."""

    def auction(carry: tuple[jax.Array, jax.Array], ratio: jax.Array) -> Any:
        y, worst = carry
        y_earlier, residual = earlier(kappa(y, num_insiders, ratio), num_insiders)
        return (y_earlier, jnp.maximum(worst, residual)), y

    zero = jnp.zeros_like(num_insiders)
    (_, worst), y = lax.scan(auction, (zero, zero), ratios, reverse=True)
    return y, worst


def _backward_residual(y: jax.Array, theta: tuple[jax.Array, jax.Array]) -> jax.Array:
    """The whole chain as one system in (y_1, …, y_N): row n involves y_n and y_{n+1}; y_N = 0."""
    num_insiders, dt = theta
    rows = step_residual(y[:-1], y[1:], num_insiders, dt[:-1] / dt[1:])
    return jnp.append(rows, y[-1])


# The forward pass: everything from y


def forward(params: Market, dt: jax.Array, y: jax.Array) -> Fields:
    """The fields of :class:`diffeq.auctions.Solution`, without ``info``, from the backward pass.

    The scans hold nothing but the running sums and products; what is local to an auction is
    computed for all auctions at once, from one quotient and two roots.
    """
    sigma_v, sigma_u, M, _ = params
    left_over = np.arange(dt.shape[0])[
        ::-1
    ]  # auctions after n: alpha_N = delta_N = delta_{N−1} = 0
    has_alpha, has_delta = left_over > 0, left_over > 1
    root_dt = jnp.sqrt(dt)
    per_root_dt = 1 / root_dt

    t = 1 + 2 * y
    quotient = 1 / (t * (t + M))
    per_t, left = (t + M) * quotient, t * t * quotient  # 1 − 2q, and 1/(1 + r)
    r, more, q = M * per_t, (t + M) * per_t, y * per_t  # more = 1 + r
    root_r, shrink = jnp.sqrt(r), t * jnp.sqrt(quotient)  # shrink = sd(v − p_n)/sd(v − p_{n−1})

    def rent(value: jax.Array, n: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        """delta_{n−1} from delta_n in units of sigma_u sd(v − p_n): in range where delta is not."""
        q, root_r, shrink, root_dt = n
        return (value + q * root_r * shrink * root_dt) * shrink, value

    def auction(before: Any, n: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        """sd(v − p_{n−1})/sigma_v, and log Sigma_n by Kahan's sum: N = 10 000 costs no digits."""
        unit, log_before, lost = before
        shrink, log_left = n
        drop = log_left - lost
        log_Sigma = log_before + drop
        lost = (log_Sigma - log_before) - drop
        return (unit * shrink, log_Sigma, lost), (unit, log_Sigma)

    _, rents = lax.scan(rent, jnp.zeros_like(M), (q, root_r, shrink, root_dt), reverse=True)
    prior = jnp.ones_like(sigma_v), 2 * jnp.log(sigma_v), jnp.zeros_like(sigma_v)
    _, (unit, log_Sigma) = lax.scan(auction, prior, (shrink, -jnp.log1p(r)))

    over_su = (sigma_v / sigma_u) * unit  # each level in its own range, not in another's
    lambda_ = over_su * root_r * left * per_root_dt
    beta = root_r / (M * over_su) * per_root_dt
    alpha = jnp.where(has_alpha, beta * y * more * dt, 0.0)  # q_n/lambda_n
    sd = sigma_v * (unit * shrink)
    log_su = jnp.log(sigma_u)
    log_lambda = (jnp.log(r) - jnp.log1p(r) + log_Sigma - jnp.log(dt)) / 2 - log_su
    log_beta = log_lambda + 2 * log_su - jnp.log(M) - log_Sigma
    log_alpha = jnp.where(has_alpha, _log_if(has_alpha, q) - log_lambda, -jnp.inf)
    log_delta = jnp.where(has_delta, _log_if(has_delta, rents) + log_su + log_Sigma / 2, -jnp.inf)
    levels = lambda_, beta, alpha, sigma_u * rents * sd, sd * sd
    return *levels, log_lambda, log_beta, log_Sigma, log_alpha, log_delta


def _log_if(positive: Any, x: jax.Array) -> jax.Array:
    """Log of x where ``positive``; else −inf, with a derivative of zero."""
    return jnp.where(positive, jnp.log(jnp.where(positive, x, 1.0)), -jnp.inf)


def log_but_last(x: jax.Array, num_zeros: int, log_unit: jax.Array) -> jax.Array:
    """Log of x times a unit; the last ``num_zeros`` entries are 0 (of alpha one, of delta two)."""
    positive = np.arange(x.shape[0]) < x.shape[0] - num_zeros
    return jnp.where(positive, _log_if(positive, x) + log_unit, -jnp.inf)


# The equilibrium and its derivatives, exact and of every order. A large batch is walked in
# cache-sized blocks, with the derivative in M too; derivatives in the spacing take the plain way.


@jax.custom_jvp
def equilibrium(params: Market, dt: jax.Array) -> tuple[Fields, Info]:
    """The fields of :class:`diffeq.auctions.Solution` and its ``info``; a failed lane is NaN.

    Args:
      params: scalars.
      dt: lengths of the auctions, shape (N,).
    """
    solution: tuple[Fields, Info] = blocks.in_blocks(_plain)(params, dt)
    return solution


def _plain(params: Market, dt: jax.Array) -> tuple[Fields, Info]:
    y, residual = chain(params.num_insiders, dt)
    ok = accurate(residual) & in_domain(params, dt)
    return poison(forward(params, dt, y), ok, (params, dt)), Info(ok, residual)


@jax.custom_jvp
def _with_slope(params: Market, dt: jax.Array) -> tuple[Fields, Fields, Info]:
    """The fields, their partial derivatives in M, and ``info``."""
    solution: tuple[Fields, Fields, Info] = blocks.in_blocks(_plain_with_slope)(params, dt)
    return solution


def _plain_with_slope(params: Market, dt: jax.Array) -> tuple[Fields, Fields, Info]:
    def of_insiders(M: jax.Array) -> tuple[Fields, Info]:
        return _plain(params._replace(num_insiders=M), dt)

    M = params.num_insiders
    fields, slopes, info = jax.jvp(of_insiders, (M,), (jnp.ones_like(M),), has_aux=True)
    return fields, slopes, info


@_with_slope.defjvp
def _with_slope_jvp(primals: Any, tangents: Any) -> Any:
    return jax.jvp(_plain_with_slope, primals, tangents)


# Powers of (sigma_v, sigma_u) in lambda, beta, alpha, delta, Sigma; then in the order of the logs
POWERS = ((1, -1), (-1, 1), (-1, 1), (1, 1), (2, 0))
LOG_POWERS = (POWERS[0], POWERS[1], POWERS[4], POWERS[2], POWERS[3])


@functools.partial(equilibrium.defjvp, symbolic_zeros=True)
def _equilibrium_jvp(primals: Any, tangents: Any) -> Any:
    """By scale in sigma_v and sigma_u, by one column in M: nothing is stored for reverse mode."""
    (params, dt), (moves, dt_dot) = primals, tangents
    if not isinstance(dt_dot, SymbolicZero):
        moves = jax.tree.map(_instantiated, moves, params)
        return jax.jvp(_plain, primals, (moves, dt_dot))
    fields, slopes, info = _with_slope(params, dt)
    v, u, M, p = (_instantiated(move, at) for move, at in zip(moves, params, strict=True))
    v, u = v / params.sigma_v, u / params.sigma_u
    one = poisoned_one(info.converged, (params, dt))

    def moved(slope: jax.Array, level: jax.Array, powers: tuple[int, int]) -> jax.Array:
        by_scale = powers[0] * v + powers[1] * u
        return one * (_coefficient(slope) * M + _coefficient(level) * by_scale + 0 * p)

    # log 0 stays where it is
    scales = (*fields[:5], *((~jnp.isneginf(log)).astype(log.dtype) for log in fields[5:]))
    powers = (*POWERS, *LOG_POWERS)
    fields_dot = tuple(map(moved, slopes, scales, powers))
    return (fields, info), (fields_dot, _no_move(info))


def _coefficient(x: jax.Array) -> jax.Array:
    """The largest number where x overflowed: a zero cotangent then stays 0, where inf gives NaN."""
    largest = jnp.finfo(x.dtype).max
    return jnp.nan_to_num(x, nan=largest, posinf=largest, neginf=-largest)


def _instantiated(move: Any, at: jax.Array) -> jax.Array:
    return jnp.zeros_like(at) if isinstance(move, SymbolicZero) else move


def _no_move(info: Info) -> Info:
    converged = np.zeros(jnp.shape(info.converged), jax.dtypes.float0)
    return Info(converged, jnp.zeros_like(info.residual))  # type: ignore[arg-type]


def chain(num_insiders: jax.Array, dt: jax.Array) -> tuple[jax.Array, jax.Array]:
    """:func:`backward` with the derivative of y in M and dt: a bidiagonal tangent system."""
    y, residual = backward(*lax.stop_gradient((num_insiders, _ratios(dt))))
    theta = (num_insiders, dt)
    y = implicit.attach(_backward_residual, y, theta, tangent_solve=implicit.upper_bidiagonal)
    return y, residual


def accurate(residual: jax.Array) -> jax.Array:
    """Whether the roots are: a small residual, infinite where a last step was not small."""
    return residual <= 64 * jnp.finfo(residual.dtype).eps


# Equal spacing: y depends on M and the distance N − n from the last auction only


def _by_distance(num_insiders: jax.Array, max_auctions: int) -> tuple[jax.Array, jax.Array]:
    """y by distance 0, 1, … from the last auction, serving every horizon N ≤ max_auctions."""
    dt = jnp.full(max_auctions, 1 / max_auctions, num_insiders.dtype)
    y, residual = chain(num_insiders, dt)
    return y[::-1], residual


def terminal(
    sigma_v: jax.Array, sigma_u: jax.Array, num_insiders: jax.Array, max_auctions: int
) -> tuple[Fields, jax.Array]:
    """Logs of lambda_N, beta_N, Sigma_N for N = 1..max_auctions, shape (max_auctions,) each.

    log Sigma_N = 2 log sigma_v − Σ_{j<N} log(1 + r^(j)), j the distance; in the last auction r = M.
    """
    y, residual = _by_distance(num_insiders, max_auctions)
    log_Sigma = 2 * jnp.log(sigma_v) - jnp.cumsum(jnp.log1p(num_insiders / (1 + 2 * y)))
    log_dt = -np.log(np.arange(1, max_auctions + 1)).astype(y.dtype)
    log_share = jnp.broadcast_to(jnp.log(num_insiders) - jnp.log1p(num_insiders), y.shape)
    logs = _logs(log_share, log_Sigma, log_dt, sigma_u, num_insiders)
    return logs, residual


def table(
    sigma_v: jax.Array, sigma_u: jax.Array, num_insiders: jax.Array, max_auctions: int
) -> tuple[Fields, jax.Array]:
    """Logs of lambda_n, beta_n, Sigma_n, row N−1, column n−1; meaningless where n > N."""
    y, residual = _by_distance(num_insiders, max_auctions)
    r = num_insiders / (1 + 2 * y)
    total = jnp.concatenate([jnp.zeros_like(y[:1]), jnp.cumsum(jnp.log1p(r))])
    n = np.arange(1, max_auctions + 1)
    distance = np.maximum(n[:, None] - n[None, :], 0)
    log_Sigma = 2 * jnp.log(sigma_v) - (total[n][:, None] - total[distance])
    log_dt = -np.log(np.broadcast_to(n[:, None], distance.shape)).astype(y.dtype)
    log_share = jnp.log(r) - jnp.log1p(r)
    logs = _logs(log_share[distance], log_Sigma, log_dt, sigma_u, num_insiders)
    return logs, residual


def _logs(
    log_share: jax.Array,
    log_Sigma: jax.Array,
    log_dt: Any,
    sigma_u: jax.Array,
    num_insiders: jax.Array,
) -> Fields:
    """Logs of lambda = sqrt(share Sigma/dt)/sigma_u, share = r/(1+r); of beta; of Sigma."""
    log_lambda = (log_share + log_Sigma - log_dt) / 2 - jnp.log(sigma_u)
    log_beta = log_lambda + 2 * jnp.log(sigma_u) - jnp.log(num_insiders) - log_Sigma
    return log_lambda, log_beta, log_Sigma
