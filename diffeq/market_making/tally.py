"""What is summed along each simulated path of market making, and how chunks of paths are merged.

Paths leave count, mean and sum of squared deviations of each quantity, and two chunks' are merged
without loss: a million days take the memory of one chunk.

Reference: Chan, Golub & LeVeque (1983), The American Statistician 37.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq.market_making.simulation import Done


class Tally(NamedTuple):
    """Of each path, so far."""

    peak: jax.Array
    drawdown: jax.Array
    bids: jax.Array  # (3, paths): fills, forecast, Σ p (1 − p)
    asks: jax.Array
    spread: jax.Array  # ∫ dt while both sides are quoted, and of the spread, (2, paths)


QUANTITIES = (
    *("profit", "drawdown", "q", "|q|"),
    *("bids", "bids p", "bids p(1-p)", "asks", "asks p", "asks p(1-p)", "bids drift", "asks drift"),
    *("quoted", "spread", "lead"),
)
"""What is known of a path when it ends; "lead": of the first policy over this one."""


class Sums(NamedTuple):
    """All that a chunk leaves behind, of J policies and F quantities of a path."""

    number: jax.Array
    mean: jax.Array  # (J, F)
    squares: jax.Array  # sums of squared deviations from the mean
    worst: jax.Array  # (J,)


def begun(size: int, dtype: Any) -> Tally:
    """Before the first step."""
    zero = jnp.zeros(size, dtype)
    none = jnp.zeros((3, size), dtype)
    return Tally(zero, zero, none, none, jnp.zeros((2, size), dtype))


def tallied(s: Tally, profit: jax.Array, done: Done, dt: jax.Array) -> Tally:
    """One step on; ``profit`` is that after the step."""

    def side(fill: jax.Array, p: jax.Array) -> jax.Array:
        return jnp.stack([fill.astype(p.dtype), p, p * (1 - p)])

    peak = jnp.maximum(s.peak, profit)
    total = done.delta_b + done.delta_a
    quoted = jnp.where(total < jnp.inf, dt, 0)
    return Tally(
        peak,
        jnp.maximum(s.drawdown, peak - profit),
        s.bids + side(done.bid_fill, done.bid_chance),
        s.asks + side(done.ask_fill, done.ask_chance),
        s.spread + jnp.stack([quoted, quoted * jnp.where(total < jnp.inf, total, 0)]),
    )


def summed(ends: list[tuple[jax.Array, jax.Array, Tally]]) -> Sums:
    """Sums over a chunk of (profit, q_T, tally) of each policy."""
    first = ends[0][0]

    def by_path(profit: jax.Array, q: jax.Array, tally: Tally) -> jax.Array:
        (bids, bid_p, bid_v), (asks, ask_p, ask_v) = tally.bids, tally.asks
        drift = bids - bid_p, asks - ask_p
        q = q.astype(profit.dtype)
        rows = [profit, tally.drawdown, q, jnp.abs(q), bids, bid_p, bid_v, asks, ask_p, ask_v]
        return jnp.stack([*rows, *drift, *tally.spread, first - profit])

    rows = jnp.stack([by_path(*end) for end in ends])
    mean = jnp.mean(rows, axis=-1)
    squares = jnp.sum((rows - mean[..., None]) ** 2, axis=-1)
    number = jnp.asarray(rows.shape[-1], rows.dtype)
    return Sums(number, mean, squares, jnp.min(rows[:, 0], axis=-1))


def merged(a: Sums, b: Sums) -> Sums:
    """The sums of two chunks together."""
    number, apart = a.number + b.number, b.mean - a.mean
    share = b.number / number
    squares = a.squares + b.squares + apart**2 * a.number * share
    return Sums(number, a.mean + share * apart, squares, jnp.minimum(a.worst, b.worst))
