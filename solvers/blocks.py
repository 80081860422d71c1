"""A large batch on a CPU, evaluated in blocks that stay in its cache.

A vmapped recursion over n touches every lane of the batch once per step: with 10⁵ lanes each step
streams through main memory, and every intermediate array is memory the operating system must map
afresh. ``in_blocks`` makes ``jax.vmap`` walk the batch block by block instead: the same numbers,
from less memory. On an accelerator, where wide batches are what is wanted, it changes nothing.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

LANES = 400
"""Lanes per block: a few dozen float64 fields of that length stay in a core's first two caches, and
no operation on them is so long that XLA shares it between cores, which costs more than it saves."""


def in_blocks(
    fn: Callable[..., Any],
    *,
    lanes: int = LANES,
    work: Callable[..., jax.Array] | None = None,
    batched: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Return ``fn`` with a ``vmap`` that runs large batches block by block on a CPU.

    Args:
      fn: pure function of arrays (pytrees of them), without side effects.
      lanes: batch elements per block; a batch of at most two blocks is left whole.
      work: of the same arguments, a scalar: how long a lane takes, where that depends on them. A
        block runs until its slowest lane is done: blocks are then made of lanes alike in this.
      batched: ``fn`` of arguments that all have a leading axis, where there is something better to
        do for a batch than ``jax.vmap(fn)`` (a decision for all lanes, which vmap takes for each).

    The result may be nested in jit and vmap. It is not for differentiation: call it on
    ``stop_gradient`` inputs and attach the derivative to what it returns (:mod:`solvers.implicit`),
    or give it the rule of :func:`pushforward`.
    """
    if lanes < 1:
        raise ValueError(f"lanes: expected at least 1, got {lanes}")
    blocked = custom_vmap(fn)

    @blocked.def_vmap
    def rule(axis_size: int, in_batched: list[Any], *args: Any) -> tuple[Any, Any]:
        axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched))
        whole = _mapped(fn, batched, axes, axis_size)
        if axis_size <= 2 * lanes:
            total = None if work is None else _largest(work, axes, axis_size)
            out = in_blocks(whole, lanes=max(1, lanes // max(1, axis_size)), work=total)(*args)
        else:
            out = lax.platform_dependent(
                *args,
                cpu=lambda *args: _by_blocks(
                    _mapped(fn, batched, axes, lanes), args, axes, axis_size, lanes, work
                ),
                default=whole,
            )
        return out, jax.tree.map(lambda _: True, out)

    return blocked


def pushforward(
    fn: Callable[..., Any], at: Any, moves: Any, *, batched: Callable[..., Any] | None = None
) -> Any:
    """The derivative of ``fn`` at ``at`` along ``moves``: for the rule of a ``jax.custom_jvp``.

    What ``jax.jvp`` gives, but a large batch goes block by block, in reverse mode too: J moves is
    the u that solves the unit triangular system (v, u − J v) = (moves, 0), of which
    ``lax.custom_linear_solve`` takes the solution, and the transposed one, as they are given.

    Args:
      fn: pure function of arrays (pytrees of them), differentiable.
      at: its arguments.
      moves: of the same structure.
      batched: as for :func:`in_blocks`.
    """

    def push(fn: Callable[..., Any], at: Any, moves: Any) -> Any:
        return jax.jvp(fn, at, moves)[1]

    def pull(fn: Callable[..., Any], at: Any, cotangents: Any) -> Any:
        return jax.vjp(fn, *at)[1](cotangents)

    def through(way: Callable[..., Any]) -> Callable[..., Any]:
        of_batch = None if batched is None else partial(way, batched)
        return in_blocks(partial(way, fn), batched=of_batch)

    def system(x: Any) -> Any:
        v, u = jax.tree.map(lambda leaf: (1 + _zero_of(at)) * leaf, x)
        return v, jax.tree.map(jnp.subtract, u, push(fn, at, v))

    def solved(_: Any, b: Any) -> Any:
        v, u = b
        return v, jax.tree.map(jnp.add, u, through(push)(at, v))

    def transposed(_: Any, b: Any) -> Any:
        v, u = b
        return jax.tree.map(jnp.add, v, through(pull)(at, u)), u

    # transposed it wants every part of the right side, also that of a derivative, to depend on
    # what is pulled back: hence zeros that do
    zero = _zero_of(moves)
    moves = jax.tree.map(lambda leaf: leaf + zero, moves)
    u = jax.tree.map(lambda leaf: jnp.full(leaf.shape, zero, leaf.dtype), jax.eval_shape(fn, *at))
    return lax.custom_linear_solve(system, (moves, u), solved, transposed)[1]


def _zero_of(tree: Any) -> jax.Array:
    """0, as a function of the tree's leaves."""
    zeros = (lax.select(jnp.asarray(False), x, jnp.zeros_like(x)) for x in jax.tree.leaves(tree))
    return reduce(jnp.add, map(jnp.sum, zeros))


def _largest(work: Callable[..., jax.Array], axes: Any, axis_size: int) -> Callable[..., jax.Array]:
    """The work of a small batch: its slowest lane's."""
    return lambda *args: jnp.max(jax.vmap(work, in_axes=axes, axis_size=axis_size)(*args))


def _mapped(
    fn: Callable[..., Any], batched: Callable[..., Any] | None, axes: Any, size: int
) -> Callable[..., Any]:
    """``fn`` of a batch of that size."""
    if batched is None:
        return jax.vmap(fn, in_axes=axes, axis_size=size)

    def on_all(*args: Any) -> Any:
        def repeat(leaf: jax.Array, axis: int | None) -> jax.Array:
            return jnp.broadcast_to(leaf, (size, *leaf.shape)) if axis is None else leaf

        return batched(*jax.tree.map(repeat, args, axes))

    return on_all


def _by_blocks(
    many: Callable[..., Any],
    args: tuple[Any, ...],
    axes: Any,
    axis_size: int,
    lanes: int,
    work: Callable[..., jax.Array] | None,
) -> Any:
    """``many``, ``lanes`` at a time; the last block overlaps the one before it."""
    if work is not None:
        order = jnp.argsort(jax.vmap(work, in_axes=axes, axis_size=axis_size)(*args))

    def block(start: jax.Array) -> Any:
        def cut(leaf: jax.Array, axis: int | None) -> jax.Array:
            if axis is None:
                return leaf
            if work is None:
                return lax.dynamic_slice_in_dim(leaf, start, lanes)
            return leaf[lax.dynamic_slice_in_dim(order, start, lanes)]

        return many(*jax.tree.map(cut, args, axes))

    def put(all_: jax.Array, part: jax.Array, start: jax.Array) -> jax.Array:
        if work is None:
            return lax.dynamic_update_slice_in_dim(all_, part, start, 0)
        return all_.at[lax.dynamic_slice_in_dim(order, start, lanes)].set(part)

    def body(i: jax.Array, whole: Any) -> Any:
        start = jnp.minimum(i * lanes, axis_size - lanes)
        return jax.tree.map(lambda all_, part: put(all_, part, start), whole, block(start))

    # one constant each: equal ones would be shared by the compiler, then copied for every output
    shapes, tree = jax.tree.flatten(jax.eval_shape(block, 0))
    start = [jnp.full((axis_size, *s.shape[1:]), i, s.dtype) for i, s in enumerate(shapes)]
    return lax.fori_loop(0, -(-axis_size // lanes), body, jax.tree.unflatten(tree, start))
