"""Holden & Subrahmanyam (1992): M identical insiders trade strategically in N auctions.

Kyle (1985) is M = 1. The conditions of the equilibrium are in :mod:`diffeq.auctions`, its
computation in :mod:`diffeq.two_pass`. Prices are in price units, order flow in asset units, and the
trading day has length one.

Reference: Holden & Subrahmanyam (1992), Journal of Finance 47, 247–270. Two formulas that circulate
are wrong: beta without its 1/sqrt(M), and a one-auction lambda of (sigma_v/sigma_u) sqrt(M/(M+1)),
true only if sigma_v² is read as the posterior variance.
"""

from functools import partial
from typing import Any, Literal, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import auctions, two_pass, validate
from diffeq.auctions import Paths, Residual
from diffeq.check import Info, poison

__all__ = [
    "Grid",
    "Limit",
    "Params",
    "Paths",
    "Residual",
    "Solution",
    "Table",
    "Terminal",
    "grid",
    "insider_profit",
    "limit",
    "noise_loss",
    "residual",
    "simulate",
    "solve",
    "solve_up_to",
]


class Params(NamedTuple):
    """Parameters; the defaults are the example of the figures."""

    sigma_v: Any = 2.5
    """Prior standard deviation of the value, > 0, in price units."""
    sigma_u: Any = 5.0
    """Standard deviation of noise orders over the whole day, > 0, in asset units."""
    num_insiders: Any = 2.0
    """M > 0, real: every equation is smooth in it. In float32 a lane above 1e12 is flagged."""
    p_0: Any = 100.0
    """Prior mean of the value, in price units."""


class Solution(auctions.Solution):
    """The equilibrium; fields as :class:`diffeq.auctions.Solution`."""

    __slots__ = ()


POSITIVE = ("sigma_v", "sigma_u", "num_insiders")


def solve(params: Params, *, num_auctions: int, spacing: Any = None) -> Solution:
    """The equilibrium, in one backward and one forward pass.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable.
      num_auctions: N ≥ 1, static.
      spacing: lengths dt_n > 0 of the auctions, shape (N,), summing to one; default 1/N each. Its
        derivatives are unconstrained partials: move two entries oppositely to keep the sum.

    Returns:
      :class:`diffeq.auctions.Solution`, arrays of shape (N,). A lane with a parameter or spacing
      outside its domain is NaN in every value and derivative, with ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete parameter or spacing is out of domain, batched, or no
        number; also inside jit or vmap, if it is closed over.

    Reference: Holden & Subrahmanyam (1992), Proposition 1.

    >>> solution = solve(Params(num_insiders=1.0), num_auctions=1)
    >>> float(solution.lambda_[0])  # sigma_v / (2 sigma_u)
    0.25
    """
    params, dt = _validated(params, num_auctions, spacing)
    return _solve(params, dt)


@jax.jit
def _solve(params: Params, dt: jax.Array) -> Solution:
    fields, info = two_pass.equilibrium(two_pass.Market._make(params), dt)
    return Solution._make((*fields, info))


def residual(solution: auctions.Solution, params: Params, *, spacing: Any = None) -> Residual:
    """Every condition of the equilibrium, scale-free, from the solution's log fields.

    Args:
      solution: arrays of shape (N,).
      params: what it was solved for; scalars.
      spacing: as in :func:`solve`.

    Returns:
      :class:`diffeq.auctions.Residual`, arrays of shape (N,), each below 1e-12 in float64.

    Reference: Holden & Subrahmanyam (1992), Proposition 1, and its second-order condition.
    """
    params, dt = _validated(params, validate.num_auctions(solution), spacing)
    return auctions.residual(solution, *params[:3], dt)


def insider_profit(
    solution: auctions.Solution, params: Params, *, spacing: Any = None
) -> jax.Array:
    """Expected profit of one insider over the day, alpha_0 sigma_v² + delta_0; scalar, in money."""
    params, dt = _validated(params, validate.num_auctions(solution), spacing)
    return auctions.insider_profit(solution, *params[:3], dt)


def noise_loss(solution: auctions.Solution, params: Params, *, spacing: Any = None) -> jax.Array:
    """Expected loss of the noise traders over the day, Σ lambda_n sigma_u² dt_n; scalar, in money.

    The M insiders together earn exactly this, which the solver never uses.
    """
    params, dt = _validated(params, validate.num_auctions(solution), spacing)
    return auctions.noise_loss(solution, params.sigma_u, dt)


def simulate(
    key: jax.Array,
    params: Params,
    solution: auctions.Solution,
    *,
    num_paths: int,
    spacing: Any = None,
) -> Paths:
    """Play the equilibrium ``num_paths`` times.

    Args:
      key: a JAX random key.
      params: what the solution was solved for.
      solution: arrays of shape (N,).
      num_paths: P ≥ 1, static.
      spacing: as in :func:`solve`.

    Returns:
      :class:`diffeq.auctions.Paths`: value, prices, orders and profits, shapes (P,) and (P, N).

    Raises:
      ValueError: a concrete solution that is not the one of these parameters and this spacing.
    """
    params, dt = _validated(params, validate.num_auctions(solution), spacing)
    _check_belongs(solution, params, dt)
    return _simulate(key, params, solution, dt, validate.count("num_paths", num_paths))


@partial(jax.jit, static_argnums=4)
def _simulate(
    key: jax.Array, params: Params, solution: auctions.Solution, dt: jax.Array, num_paths: int
) -> Paths:
    return auctions.simulate(key, solution, *params, dt, num_paths)


class Terminal(NamedTuple):
    """The last auction of the N-auction equilibrium, for every N = 1..max_auctions."""

    lambda_: jax.Array
    """lambda_N, entry N−1, shape (max_auctions,)."""
    beta: jax.Array
    """beta_N."""
    Sigma: jax.Array
    """Sigma_N."""
    log_lambda: jax.Array
    """Log of lambda_N."""
    log_beta: jax.Array
    """Log of beta_N."""
    log_Sigma: jax.Array
    """Log of Sigma_N."""
    info: Info
    """Whether the one backward pass converged, and its largest residual."""


class Table(NamedTuple):
    """Every auction n of the N-auction equilibrium for every N; shape (max_auctions, max_auctions).

    Row N−1, column n−1; where n > N the entry is NaN and ``mask`` False.
    """

    lambda_: jax.Array
    """lambda_n for horizon N."""
    beta: jax.Array
    """beta_n for horizon N."""
    Sigma: jax.Array
    """Sigma_n for horizon N."""
    log_lambda: jax.Array
    """Log of lambda_n."""
    log_beta: jax.Array
    """Log of beta_n."""
    log_Sigma: jax.Array
    """Log of Sigma_n."""
    mask: jax.Array
    """bool, n ≤ N."""
    info: Info
    """Whether the one backward pass converged, and its largest residual."""


@overload
def solve_up_to(
    params: Params, *, max_auctions: int, tables: Literal[False] = False
) -> Terminal: ...
@overload
def solve_up_to(params: Params, *, max_auctions: int, tables: Literal[True]) -> Table: ...
def solve_up_to(params: Params, *, max_auctions: int, tables: bool = False) -> Terminal | Table:
    """The equilibria with N = 1..max_auctions equal auctions, from one backward pass.

    With equal spacing q_n depends on M and on the distance N − n from the last auction only, so the
    chain of the longest horizon holds the chain of every shorter one.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable.
      max_auctions: the longest horizon ≥ 1, static.
      tables: also the auctions before the last, as a padded :class:`Table`.

    Returns:
      :class:`Terminal`, or :class:`Table` if ``tables``; flagged and poisoned as in :func:`solve`.
    """
    params = validate.parameters(params, Params, positive=POSITIVE)
    max_auctions = validate.count("max_auctions", max_auctions)
    return _solve_table(params, max_auctions) if tables else _solve_terminal(params, max_auctions)


@partial(jax.jit, static_argnums=1)
def _solve_terminal(params: Params, max_auctions: int) -> Terminal:
    (log_lambda, log_beta, log_Sigma), worst = two_pass.terminal(*params[:3], max_auctions)
    logs = (log_lambda, log_beta, log_Sigma)
    ok = two_pass.accurate(worst) & _in_domain(params)
    fields = poison((*map(jnp.exp, logs), *logs), ok, params)
    return Terminal._make((*fields, Info(ok, worst)))


def _in_domain(params: Params) -> jax.Array:
    one = jnp.ones((1,), jnp.result_type(params.sigma_v))
    return two_pass.in_domain(two_pass.Market._make(params), one)


@partial(jax.jit, static_argnums=1)
def _solve_table(params: Params, max_auctions: int) -> Table:
    logs, worst = two_pass.table(*params[:3], max_auctions)
    ok = two_pass.accurate(worst) & _in_domain(params)
    fields = poison((*map(jnp.exp, logs), *logs), ok, params)
    mask = jnp.tril(jnp.ones((max_auctions, max_auctions), bool))
    padded = (jnp.where(mask, f, jnp.nan) for f in fields)
    return Table._make((*padded, mask, Info(ok, worst)))


class Grid(NamedTuple):
    """Last auctions over a product grid; shape (num_insiders, num_auctions, sigma_v, sigma_u)."""

    lambda_: jax.Array
    """lambda_N."""
    beta: jax.Array
    """beta_N."""
    Sigma: jax.Array
    """Sigma_N."""
    info: Info
    """converged has the full shape; residual varies with M only: (num_insiders, 1, 1, 1)."""


def grid(*, num_insiders: Any, num_auctions: Any, sigma_v: Any, sigma_u: Any) -> Grid:
    """lambda_N, beta_N, Sigma_N over the product of four axes, equal spacing: a model's own sweep.

    One backward pass per M serves every N (:func:`solve_up_to`), and lambda ∝ sigma_v/sigma_u, beta
    ∝ sigma_u/sigma_v, Sigma ∝ sigma_v²: the rest is outer products, at the speed of memory.

    Args:
      num_insiders: values of M, shape (m,); differentiable, as the two below.
      num_auctions: values of N, ints ≥ 1, shape (n,), concrete.
      sigma_v: shape (a,).
      sigma_u: shape (b,).

    Returns:
      :class:`Grid`; points outside the domain are NaN, flagged one by one.
    """
    if any(isinstance(n, jax.core.Tracer) for n in jax.tree.leaves(num_auctions)):
        raise TypeError("num_auctions: expected Python ints (they fix shapes), got traced values")
    horizons = np.atleast_1d(np.asarray(num_auctions))
    if horizons.ndim != 1 or not np.issubdtype(horizons.dtype, np.integer) or horizons.min() < 1:
        raise ValueError(f"num_auctions: expected ints ≥ 1, shape (n,), got {num_auctions!r}")
    axes = validate.axes(num_insiders=num_insiders, sigma_v=sigma_v, sigma_u=sigma_u)
    return _grid(axes, tuple(int(n) for n in horizons))


@partial(jax.jit, static_argnums=1)
def _grid(axes: dict[str, jax.Array], horizons: tuple[int, ...]) -> Grid:
    M, sigma_v, sigma_u = (_poisoned(axes[name]) for name in ("num_insiders", "sigma_v", "sigma_u"))
    one = jnp.ones((), M.dtype)

    def unit(M: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array, jax.Array]:
        logs, worst = two_pass.terminal(one, one, M, max(horizons))
        ok = two_pass.accurate(worst)
        roots = tuple(jnp.exp(log[np.array(horizons) - 1] / 2) for log in logs)
        return poison(roots, ok, M), worst, ok

    # square roots of the levels, so that no factor leaves the range where the product does not
    (lambda_1, beta_1, Sigma_1), worst, ok = jax.vmap(unit)(M)
    ratio = jnp.sqrt(sigma_v[:, None]) / jnp.sqrt(sigma_u[None, :])
    nan_if_either = 0 * sigma_v[:, None] + 0 * sigma_u[None, :]
    deviation = sigma_v[:, None] + nan_if_either
    shape = (M.size, len(horizons), sigma_v.size, sigma_u.size)

    def scaled(unit: jax.Array, scale: jax.Array) -> jax.Array:
        # two long axes: the inner loop is the whole (sigma_v, sigma_u) plane
        root = unit.reshape(-1, 1) * scale.reshape(1, -1)
        return (root * root).reshape(shape)

    fields = (scaled(lambda_1, ratio), scaled(beta_1, 1 / ratio), scaled(Sigma_1, deviation))
    ok = ok & jnp.isfinite(M)  # NaN: outside the domain
    converged = ok[:, None, None, None] & jnp.isfinite(nan_if_either)[None, None]
    info = Info(jnp.broadcast_to(converged, shape), worst[:, None, None, None])
    return Grid(*fields, info)


def _poisoned(axis: jax.Array) -> jax.Array:
    """An axis with NaN, in value and derivative, at its points outside (0, ∞)."""
    return jax.vmap(lambda x: poison(x, jnp.isfinite(x) & (x > 0), x))(axis)


class Limit(NamedTuple):
    """The limit N → ∞ at fixed times."""

    lambda_: jax.Array
    """lambda(t), shape of ``times``."""
    beta: jax.Array
    """beta(t) of one insider."""
    Sigma: jax.Array
    """Sigma(t)."""


def limit(params: Params, times: Any) -> Limit:
    """The equilibrium as N → ∞ at fixed times t < 1, equal spacing.

    For M < 4/3, with g = M/(4 − 3M):  Sigma = sigma_v² (1−t)^g,  lambda = (sigma_v/sigma_u) sqrt(g)
    (1−t)^((g−1)/2),  beta = lambda sigma_u²/(M Sigma). M = 1 is Kyle (1985), section 3: lambda
    constant, Sigma linear. For M ≥ 4/3 all information is out at once: Sigma = lambda = 0 and beta
    = ∞ at every t > 0; at t = 0 lambda, infinite in the limit of the first auctions, is not defined
    and given as 0, and Sigma is sigma_v².

    Args:
      params: scalars; a parameter or time outside its domain makes everything NaN, or raises where
        it is concrete.
      times: in [0, 1), any shape.

    Reference: Holden & Subrahmanyam (1992), section III, for real M.
    """
    params = validate.parameters(params, Params, positive=POSITIVE)
    return _limit(params, validate.times(times, params.sigma_v.dtype))


@jax.jit
def _limit(params: Params, times: jax.Array) -> Limit:
    sigma_v, sigma_u, M, _ = params
    left = 1 - times
    gradual = M < 4 / 3
    g = jnp.where(gradual, M / jnp.where(gradual, 4 - 3 * M, 1), 1)
    path = Limit(
        lambda_=sigma_v / sigma_u * jnp.sqrt(g) * left ** ((g - 1) / 2),
        beta=sigma_u / sigma_v * jnp.sqrt(g) / M * left ** (-(g + 1) / 2),
        Sigma=sigma_v**2 * left**g,
    )
    at_once = Limit(jnp.zeros_like(left), jnp.full_like(left, jnp.inf), jnp.zeros_like(left))
    at_once = at_once._replace(Sigma=jnp.where(times > 0, 0.0, sigma_v**2))
    either = jax.tree.map(lambda a, b: jnp.where(gradual, a, b), path, at_once)
    ok = _in_domain(params) & jnp.all((times >= 0) & (times < 1))
    return poison(either, ok, (params, times))


def _check_belongs(solution: auctions.Solution, params: Params, dt: Any) -> None:
    """Raise if a concrete solution does not satisfy the filter of these parameters and spacing."""
    worst = jnp.max(_filter_residual(solution, params, dt))
    if isinstance(worst, jax.core.Tracer):
        return
    if worst > jnp.sqrt(jnp.finfo(dt.dtype).eps):  # not for NaN: a failed lane stays NaN
        raise ValueError(
            "solution: it was not solved for these params and this spacing "
            f"(residual {float(worst):.2g}); pass simulate what solve was given"
        )


@jax.jit
def _filter_residual(solution: auctions.Solution, params: Params, dt: jax.Array) -> jax.Array:
    found = auctions.residual(solution, *params[:3], dt)
    return jnp.maximum(found.pricing, found.filtering)


def _validated(params: Params, num_auctions: int, spacing: Any) -> tuple[Params, Any]:
    params = validate.parameters(params, Params, positive=POSITIVE)
    num_auctions = validate.count("num_auctions", num_auctions)
    return params, validate.spacing(spacing, num_auctions, params.sigma_v.dtype)
