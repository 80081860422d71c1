"""Many horizons from one backward pass: the last auctions, whole tables, and product grids."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import two_pass, validate
from diffeq.check import Info, poison
from diffeq.holden.model import POSITIVE, Params, in_domain


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
    ok = two_pass.accurate(worst) & in_domain(params)
    fields = poison((*_levels(logs), *logs), ok, params)
    return Terminal._make((*fields, Info(ok, worst)))


@partial(jax.jit, static_argnums=1)
def _solve_table(params: Params, max_auctions: int) -> Table:
    logs, worst = two_pass.table(*params[:3], max_auctions)
    ok = two_pass.accurate(worst) & in_domain(params)
    fields = poison((*_levels(logs), *logs), ok, params)
    mask = jnp.tril(jnp.ones((max_auctions, max_auctions), bool))
    padded = (jnp.where(mask, f, jnp.nan) for f in fields)
    return Table._make((*padded, mask, Info(ok, worst)))


def _levels(logs: tuple[jax.Array, ...]) -> Iterator[jax.Array]:
    return (two_pass.by_log(jnp.exp(log), log) for log in logs)


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
