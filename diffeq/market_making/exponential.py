"""Exponential fills, exactly: with w = exp(k theta) the problem is linear, −w_t = M w.

    M = tridiag(eta_a, −c_2 q² + c_1 q, eta_b),    w(T, q) = exp(−k l_2 q²)

row q: a bid fill (rate eta_b) leads to q+1, an ask fill (eta_a) to q−1. With x = gamma/k:

    cara      eta = A (1+x)^−(1+1/x),   c_2 = k gamma sigma²/2,   c = log(1+x)/gamma
    penalty   eta = A/e,                c_2 = k phi,              c = 1/k

c_1 = k drift. Adverse selection eps: theta − eps q²/2 solves the same with eta e^(−k eps/2) and
l_2 + eps/2. The optimal depths are

    delta_b = theta(q) − theta(q+1) + (q+1) eps + c,
    delta_a = theta(q) − theta(q−1) − (q−1) eps + c.

w > 0 is computed without cancellation (:mod:`solvers.tridiagonal`), all times in one pass. gamma
→ 0 is smooth: the penalty form with phi = 0. Both sides must share k: two k's linearise under no
transform (use the grid solver).

Reference: Guéant, Lehalle & Fernandez-Tapia (2013), Proposition 1 and Theorem 1.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.market_making.model import (
    Params,
    Problem,
    Solution,
    horizon,
    in_domain,
    inventories,
    same_sides,
    validated,
)
from solvers import implicit
from solvers.blocks import in_blocks
from solvers.tridiagonal import LogVector, Tridiagonal, log_exponential

TWO_KS = "with two k's the problem is not linear: use the grid solver (hjb)"
"""What an error says."""


class Linear(NamedTuple):
    """What of the parameters the linear problem depends on; scalars."""

    eta_b: jax.Array
    eta_a: jax.Array
    c_1: jax.Array
    c_2: jax.Array
    kl_2: jax.Array
    """k l_2."""


def solve(params: Params, *, max_inventory: int, times: Any, objective: str = "cara") -> Solution:
    """Value and optimal quotes for exponential fills, exactly.

    Args:
      params: as :class:`~.model.Params`; k a number, the same on both sides. Every leaf is
        differentiable.
      max_inventory: Q ≥ 1, static.
      times: t_1 < … < t_m = T, shape (m,).
      objective: ``"cara"`` or ``"penalty"``, static.

    Returns:
      :class:`~.model.Solution`, shape (m, 2Q + 1). Logs of w to about 1e-13 for any penalty, rate
      and horizon. At A = 0 the n-th derivative in A grows like e^(n k p), p the most a fill saves:
      NaN where that leaves the floating range. A lane with a parameter outside its domain is NaN in
      every value and derivative, ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete argument out of domain, two k's, or a traced pair of them.

    Reference: Guéant, Lehalle & Fernandez-Tapia (2013); for "penalty" Cartea, Jaimungal & Penalva
    (2015), section 10.2.

    >>> found = solve(Params(A=10.0, phi_T=0.01), max_inventory=10, times=[0.0, 1.0],
    ...               objective="penalty")
    >>> round(float(found.delta_b[0, 10]), 4)
    0.6749
    """
    problem = validated(params, objective)
    Q = validate.count("max_inventory", max_inventory)
    same_sides("k", params.k, TWO_KS)
    return _solve(problem, horizon(times, problem.sigma.dtype), Q, objective)


@partial(jax.jit, static_argnums=(2, 3))
def _solve(p: Problem, times: jax.Array, Q: int, objective: str) -> Solution:
    k, x = p.k_b, p.gamma / p.k_b if objective == "cara" else jnp.zeros_like(p.k_b)
    c = log1p_over(x) / k
    w = log_w(linear(p, objective), times[-1] - times[::-1], Q)
    shape, level = w.shape[::-1], w.level[::-1]
    q = inventories(Q, k.dtype)
    own = p.eps * q**2 / 2  # theta less this solves the problem without adverse selection
    theta = (shape + level[:, None]) / k + own[None]
    up = -jnp.diff(shape, axis=1) / k + (p.eps / 2 + c)
    down = jnp.diff(shape, axis=1) / k + (p.eps / 2 + c)
    edge = jnp.full((times.shape[0], 1), jnp.inf, k.dtype)
    ok = (
        in_domain(p)
        & jnp.all(jnp.diff(times) > 0)
        & jnp.all(jnp.isfinite(theta))
        & (w.truncation <= 100 * float(jnp.finfo(k.dtype).eps))
    )
    theta, up, down = poison((theta, up, down), ok, (p, times))
    fields = theta, jnp.concatenate([up, edge], 1), jnp.concatenate([edge, down], 1)
    return Solution(*fields, Info(ok, w.truncation))


def linear(p: Problem, objective: str) -> Linear:
    """The coefficients of M and of the terminal condition."""
    k = p.k_b
    if objective == "cara":
        x = p.gamma / k
        shrink, c_2 = (1 + x) * log1p_over(x), k * p.gamma * p.sigma**2 / 2
    else:
        shrink, c_2 = jnp.ones_like(k), k * p.phi
    eta = jnp.exp(-shrink - k * p.eps / 2)
    return Linear(p.A_b * eta, p.A_a * eta, k * p.drift, c_2, k * (p.phi_T + p.eps / 2))


def log1p_over(x: jax.Array) -> jax.Array:
    """log(1 + x)/x, smooth at 0: by its series where a rounding would show."""
    small = jnp.abs(x) < 0.02
    series = jnp.zeros_like(x)
    for j in reversed(range(10)):
        series = series * x + (-1) ** j / (j + 1)
    return jnp.where(small, series, _log1p_over(jnp.where(small, 1.0, x)))


@jax.custom_jvp
def _log1p_over(x: jax.Array) -> jax.Array:
    return jnp.log1p(x) / x


@_log1p_over.defjvp
def _log1p_over_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x,), (x_dot,) = primals, tangents
    value = _log1p_over(x)
    return value, (1 / (1 + x) - value) * (x_dot / x)  # x² may leave the floating range


def log_w(coefficients: Linear, tau: jax.Array, Q: int) -> LogVector:
    """log w at times to go tau, increasing, shape (m,), from the coefficients."""
    lanes = max(1, _CACHED // (2 * Q + 1))
    one = partial(_series, Q=Q)
    blocks = in_blocks(one, lanes=lanes, work=partial(_work, Q=Q), batched=one)

    def slope(x: jax.Array, tau: jax.Array) -> _Rows:
        (shape, level), _ = value(x, tau)
        return _slope(x, shape, Q), jnp.zeros_like(level)

    value = _in_every_mode(blocks, lambda x, tau: one(x, tau)[0], slope)
    (shape, level), truncation = value(jnp.stack(coefficients), tau)
    return LogVector(shape, level, truncation)


_Rows = tuple[jax.Array, jax.Array]
"""Arrays with a row for each time: shape and level of log w, or derivatives of them."""
_CACHED = 1616
"""Inventories of all lanes worked on together: a dozen arrays of them stay in a core's cache."""


def _work(x: jax.Array, tau: jax.Array, Q: int) -> jax.Array:
    """Largest rate times longest interval, near enough: what the number of terms depends on."""
    eta_b, eta_a, c_1, c_2, _ = x
    rate = c_2 * Q**2 + jnp.abs(c_1) * Q + eta_b + eta_a
    return rate * jnp.max(jnp.diff(tau, prepend=jnp.zeros_like(tau[:1])))


def _series(x: jax.Array, tau: jax.Array, Q: int) -> tuple[_Rows, jax.Array]:
    """Shape and level of log w, and the bound on what the series leaves out."""
    matrix, start = _matrix(x, Q)
    w = log_exponential(matrix, start, tau)
    return (w.shape, w.level), w.truncation


def _matrix(x: jax.Array, Q: int) -> tuple[Tridiagonal, jax.Array]:
    """M and log w(T) from the coefficients, shape (..., 5)."""
    eta_b, eta_a, c_1, c_2, kl_2 = Linear(*jnp.moveaxis(x[..., None], -2, 0))
    q = inventories(Q, x.dtype).reshape(*[1] * (x.ndim - 1), -1)
    ones = jnp.ones_like(q[..., 1:])
    return Tridiagonal(c_1 * q - c_2 * q**2, eta_b * ones, eta_a * ones), -kl_2 * q**2


def _slope(x: jax.Array, shape: jax.Array, Q: int) -> jax.Array:
    """d log w/d tau = (M w)/w, shape (m, n)."""
    matrix, _ = _matrix(x, Q)
    rise = jnp.exp(jnp.diff(shape, axis=1))
    none = jnp.zeros_like(shape[:, :1])
    upper = jnp.concatenate([matrix.upper[None] * rise, none], axis=1)
    lower = jnp.concatenate([none, matrix.lower[None] / rise], axis=1)
    return matrix.diagonal[None] + upper + lower


def _in_every_mode(f: Any, forward: Any, slope: Any) -> Any:
    """f(x, tau) → (rows, more), with derivatives of the rows in both modes, to every order.

    Few coefficients x stand behind many components: derivatives are columns, found forwards by
    ``forward`` (f's rows, without blocks), and the columns again are such a function of x and tau.
    In tau, to which the rows belong one by one, the derivative is ``slope``.
    """

    @jax.custom_jvp
    def value(x: jax.Array, tau: jax.Array) -> Any:
        return f(x, tau)

    def rule(primals: Any, tangents: Any) -> Any:
        (x, tau), (x_dot, tau_dot) = primals, tangents
        rows, more = kept(x, tau)
        moved = jax.tree.map(jnp.zeros_like, rows)
        if not isinstance(x_dot, SymbolicZero):
            columns = jax.jacfwd(forward)
            of_columns = _in_every_mode(
                lambda x, tau: (columns(x, tau), ()), columns, jax.jacfwd(slope)
            )
            moved = jax.tree.map(lambda column: column @ x_dot, of_columns(x, tau)[0])
        if not isinstance(tau_dot, SymbolicZero):
            moved = jax.tree.map(
                lambda row, rate: row + rate * tau_dot.reshape(-1, *[1] * (rate.ndim - 1)),
                moved,
                slope(x, tau),
            )
        return (rows, more), (moved, jax.tree.map(jnp.zeros_like, more))

    value.defjvp(rule, symbolic_zeros=True)
    kept = implicit.in_scans(value)
    return kept
