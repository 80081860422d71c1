"""The failure policy in one place: what a model flags, what it poisons, what the host raises.

A model that did not converge returns NaN in every value and every derivative, of every order and
with respect to every parameter, in that lane alone, and ``info.converged`` False. ``check`` turns
the flag into an error on the host.
"""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import names

Tree = TypeVar("Tree")


class Info(NamedTuple):
    """How a solution was reached; the last field of every Solution."""

    converged: jax.Array
    """bool: parameters in their domain, and every equation satisfied to the dtype's accuracy."""
    residual: jax.Array
    """Largest scale-free residual of the equilibrium equations, recomputed after the solve."""


class ConvergenceError(RuntimeError):
    """A solution holds lanes that did not converge."""


def poison(solution: Tree, ok: jax.Array, params: Any) -> Tree:
    """Return ``solution`` unchanged where ``ok``, else NaN in value and in every derivative.

    Adds expm1((0 or NaN)·Σ(p − stop_gradient(p))): zero, and constant, on a good lane; on a bad one
    NaN, with NaN derivatives of every order with respect to every leaf of ``params``. (A ``where``
    would leave a zero gradient there, at which an optimiser stalls silently; a factor in place of
    the term would turn honest infinities into NaN gradients on good lanes, as 0·inf.)
    """
    return jax.tree.map(lambda leaf: leaf + _nan_unless(ok, params, jnp.expm1, leaf), solution)


def poisoned_one(ok: jax.Array, params: Any) -> jax.Array:
    """1 where ``ok``, else NaN in value and every derivative: a factor for a model's tangents."""
    return _nan_unless(ok, params, jnp.exp, jax.tree.leaves(params)[0])


def _nan_unless(ok: jax.Array, params: Any, of: Any, like: jax.Array) -> jax.Array:
    moves = [jnp.sum(p - lax.stop_gradient(p)) for p in jax.tree.leaves(params)]
    return of(jnp.where(ok, 0.0, jnp.nan) * sum(moves)).astype(like.dtype)


def check(solution: Tree, params: Any = None) -> Tree:
    """Return ``solution`` if every lane converged, else raise ``ConvergenceError``.

    Args:
      solution: any model's Solution (or a dataset of a sweep): whatever has ``info.converged`` and
        ``info.residual``, of any batch shape. Concrete, so on the host, outside jit.
      params: the parameters it was solved for; their values are then part of the message.

    Raises:
      ConvergenceError: names the model, how many lanes failed, the first of them, the worst
        residual, and what to change.
      TypeError: the solution carries no ``info``, or is traced.
    """
    info = _info(solution)
    if isinstance(info.converged, jax.core.Tracer):
        raise TypeError(
            "check runs on the host: call it on the result, outside jax.jit, vmap and grad"
        )
    converged = np.asarray(info.converged)
    if converged.all():
        return solution
    raise ConvergenceError(_message(solution, info, converged, params))


def _info(solution: Any) -> Info:
    if hasattr(solution, "data_vars") and "converged" in solution.data_vars:  # a sweep's dataset
        return Info(solution["converged"].to_numpy(), solution["residual"].to_numpy())
    info = getattr(solution, "info", None)
    if not isinstance(info, Info):
        raise TypeError(
            f"solution: expected a Solution with an `info` field, got {type(solution).__name__}"
        )
    return info


def _message(solution: Any, info: Info, converged: np.ndarray[Any, Any], params: Any) -> str:
    model = names.public(type(solution if params is None else params)).rpartition(".")[0]
    if hasattr(solution, "data_vars"):
        model = f"sweep of {solution.attrs.get('function', 'a function')}"
    failed = np.argwhere(~converged)
    text = f"{model}: {len(failed)} of {converged.size} lanes did not converge"
    if converged.ndim:
        first = ", ".join(str(tuple(int(i) for i in lane)) for lane in failed[:5])
        text += f"; first at {first}"
    residual = np.broadcast_to(np.asarray(info.residual), converged.shape)[~converged]
    finite = residual[np.isfinite(residual)]
    text += f"; largest residual {finite.max():.3g}" if finite.size else "; residual not finite"
    if params is not None:
        lane = tuple(failed[0])
        batch = converged.shape
        values = [f"{name}={_at(leaf, lane, batch)}" for name, leaf in _named_leaves(params)]
        text += f"; there {', '.join(values)}"
    return text + (
        ". Check that every parameter is finite and inside its domain (see the Params docstring), "
        "and solve in float64 (jax.config.update('jax_enable_x64', True)) if it is extreme."
    )


def _named_leaves(params: Any) -> list[tuple[str, Any]]:
    paths = jax.tree_util.tree_leaves_with_path(params)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in paths]


def _at(leaf: Any, lane: tuple[int, ...], batch: tuple[int, ...]) -> str:
    """The value of a possibly unbatched leaf at a failed lane."""
    value = np.asarray(leaf)
    return f"{value[lane] if value.shape[: len(batch)] == batch else value}"
