"""The equilibrium: solving it, its conditions, what it earns whom, and playing it."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from diffeq import auctions, two_pass, validate
from diffeq.auctions import Paths, Residual
from diffeq.holden.model import Params, Solution, validated


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
    params, dt = validated(params, num_auctions, spacing)
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
    params, dt = validated(params, validate.num_auctions(solution), spacing)
    return auctions.residual(solution, *params[:3], dt)


def insider_profit(
    solution: auctions.Solution, params: Params, *, spacing: Any = None
) -> jax.Array:
    """Expected profit of one insider over the day, alpha_0 sigma_v² + delta_0; scalar, in money."""
    params, dt = validated(params, validate.num_auctions(solution), spacing)
    return auctions.insider_profit(solution, *params[:3], dt)


def noise_loss(solution: auctions.Solution, params: Params, *, spacing: Any = None) -> jax.Array:
    """Expected loss of the noise traders over the day, Σ lambda_n sigma_u² dt_n; scalar, in money.

    The M insiders together earn exactly this, which the solver never uses.
    """
    params, dt = validated(params, validate.num_auctions(solution), spacing)
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
    params, dt = validated(params, validate.num_auctions(solution), spacing)
    validate.solved_for(_filter_residual(solution, params, dt))
    return _simulate(key, params, solution, dt, validate.count("num_paths", num_paths))


@partial(jax.jit, static_argnums=4)
def _simulate(
    key: jax.Array, params: Params, solution: auctions.Solution, dt: jax.Array, num_paths: int
) -> Paths:
    return auctions.simulate(key, solution, *params, dt, num_paths)


@jax.jit
def _filter_residual(solution: auctions.Solution, params: Params, dt: jax.Array) -> jax.Array:
    found = auctions.residual(solution, *params[:3], dt)
    return jnp.max(jnp.maximum(found.pricing, found.filtering))
