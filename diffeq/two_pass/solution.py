"""The equilibrium and its derivatives, exact and of every order.

A large batch is walked in cache-sized blocks, with the derivative in M too; derivatives in the
spacing take a way of their own (:mod:`diffeq.two_pass.unequal`).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from diffeq.check import Info, poison, poisoned_one
from diffeq.two_pass import unequal
from diffeq.two_pass.backward_pass import accurate, chain
from diffeq.two_pass.forward_pass import by_log, forward
from diffeq.two_pass.market import Fields, Market, in_domain
from solvers import blocks, implicit


@jax.custom_jvp
def _equilibrium(params: Market, dt: jax.Array) -> tuple[Fields, Info]:
    """The fields of :class:`diffeq.auctions.Solution` and its ``info``; a failed lane is NaN.

    Args:
      params: scalars.
      dt: lengths of the auctions, shape (N,).
    """
    solution: tuple[Fields, Info] = blocks.in_blocks(_one, batched=_lanes)(params, dt)
    return solution


equilibrium = implicit.in_scans(_equilibrium)


def _regular(params: Market, dt: jax.Array) -> tuple[Fields, jax.Array]:
    y, residual = chain(params.num_insiders, dt)
    return forward(params, dt, y), residual


def _market(fields_of: Any, params: Market, dt: jax.Array) -> tuple[Fields, Info]:
    fields, residual = fields_of(params, dt)
    ok = accurate(residual) & in_domain(params, dt)
    return poison(fields, ok, (params, dt)), Info(ok, residual)


def _markets(fields_of: Any, params: Market, dt: jax.Array) -> tuple[Fields, Info]:
    """:func:`_market` of a batch: lanes side by side to the very end.

    (vmap would put lanes first where scalars meet auctions, and transpose back and forth.)
    """
    row, dt_by_auction = jax.tree.map(lambda leaf: leaf[None], params), dt.T
    fields, residual = fields_of(row, dt_by_auction)
    ok = accurate(residual) & in_domain(params, dt_by_auction)
    fields = jax.vmap(poison, (1, 0, 0))(fields, ok, (params, dt))
    return fields, Info(ok, residual)


def _by_logs(solve: Any, params: Market, dt: jax.Array) -> tuple[Fields, Info]:
    """``solve``, with derivatives that stay in range where the factors of a level do not."""
    fields, info = solve(params, dt)
    levels, (log_lambda, log_beta, log_Sigma, *value) = fields[:5], fields[5:]
    logs = log_lambda, log_beta, *value, log_Sigma
    return (*map(by_log, levels, logs), *fields[5:]), info


def _fields_by_logs(solve: Any, params: Market, dt: jax.Array) -> Fields:
    return _by_logs(solve, params, dt)[0]


# one market, and lanes: in the quickest way, and in one whose derivatives in dt lose no digits
_one, _lanes = partial(_market, _regular), partial(_markets, _regular)
_spaced, _spaced_lanes = (partial(of, unequal.equilibrium) for of in (_market, _markets))


@jax.custom_jvp
def _with_slope(params: Market, dt: jax.Array) -> tuple[Fields, Fields, Info]:
    """The fields, their partial derivatives in M, and ``info``."""
    run = blocks.in_blocks(partial(_slope_of, _one), batched=partial(_slope_of, _lanes))
    solution: tuple[Fields, Fields, Info] = run(params, dt)
    return solution


def _slope_of(solve: Any, params: Market, dt: jax.Array) -> tuple[Fields, Fields, Info]:
    def of_insiders(M: jax.Array) -> tuple[Fields, Info]:
        return _by_logs(solve, params._replace(num_insiders=M), dt)

    M = params.num_insiders
    fields, slopes, info = jax.jvp(of_insiders, (M,), (jnp.ones_like(M),), has_aux=True)
    return fields, slopes, info


@_with_slope.defjvp
def _with_slope_jvp(primals: Any, tangents: Any) -> Any:
    return jax.jvp(partial(_slope_of, _spaced), primals, tangents)


# Powers of (sigma_v, sigma_u) in lambda, beta, alpha, delta, Sigma; then in the order of the logs
POWERS = ((1, -1), (-1, 1), (-1, 1), (1, 1), (2, 0))
LOG_POWERS = (POWERS[0], POWERS[1], POWERS[4], POWERS[2], POWERS[3])


@partial(_equilibrium.defjvp, symbolic_zeros=True)
def _equilibrium_jvp(primals: Any, tangents: Any) -> Any:
    """By scale in sigma_v and sigma_u, by one column in M: nothing is stored for reverse mode.

    Where the spacing moves too, block by block.
    """
    (params, dt), (moves, dt_dot) = primals, tangents
    if not isinstance(dt_dot, SymbolicZero):
        moves = jax.tree.map(_instantiated, moves, params)
        fields, info = equilibrium(params, dt)
        of_one, of_lanes = (partial(_fields_by_logs, of) for of in (_spaced, _spaced_lanes))
        fields_dot = blocks.pushforward(of_one, primals, (moves, dt_dot), batched=of_lanes)
        return (fields, info), (fields_dot, _no_move(info))
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
