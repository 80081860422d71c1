"""Quotes that learn from the day: (A, k, sigma) re-estimated block by block, and quotes anew.

The day is cut into blocks of equal numbers of quoting intervals. At the start of each, A, k and
sigma are estimated from the blocks before (:mod:`~.beliefs`: a rolling window, or Bayesian), the
market maker's problem is solved with them to the end of the record, all blocks in one batch, and
the quotes of the block are replayed on the tape.

Reference: Avellaneda & Stoikov (2008), section 2; :mod:`~.exponential` and :mod:`~.replay`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.market_making import exponential
from diffeq.market_making.approximations import Depths
from diffeq.market_making.beliefs import Beliefs, beliefs
from diffeq.market_making.model import Params, validated
from diffeq.market_making.replay import Record, Replay, play


class Recalibrated(NamedTuple):
    """Quotes by what was believed, and what they met on the tape."""

    beliefs: Beliefs
    """Block by block."""
    policy: Depths
    """Depths at the quoting times, shape (M + 1, 2Q + 1); +inf in blocks without an estimate."""
    record: Record
    """The part of the tape that was quoted: M intervals."""
    replay: Replay
    """The outcome; its forecasts are by the beliefs of each block."""


def recalibrate(
    record: Record,
    params: Params,
    *,
    every: int,
    max_inventory: int,
    window: int | None = None,
    half_life: float | None = None,
    prior_seconds: float | None = None,
    least_depth: float = 0.0,
    objective: str = "cara",
    lot: float = 1.0,
    at_the_quote: bool = False,
    tick: float | None = None,
) -> Recalibrated:
    """Re-estimate (A, k, sigma) every so many intervals, solve for the quotes, and replay them.

    Args:
      record: of :func:`~.replay.record`; N, the number of its intervals, a multiple of ``every``.
      params: preferences gamma, phi, phi_T (per lot), drift and eps; A, k, sigma are the prior of
        "discounted", in seconds and price units, and play no part otherwise.
      every: intervals in a block, static.
      max_inventory: Q in lots, static.
      window: rolling: the last so many blocks; the first ``window`` blocks are not quoted.
      half_life: discounted: in blocks. Give this with ``prior_seconds``, or ``window``.
      prior_seconds: weight of the prior: as if seen for so long.
      least_depth: d_min, price units: orders nearer count as none.
      objective: ``"cara"`` or ``"penalty"``, static.
      lot, at_the_quote, tick: as in :func:`~.replay.replay`.

    Returns:
      :class:`Recalibrated`. Every block is solved to the end of the record, where the terminal
      penalty applies. Nothing at t_n depends on what comes after t_n.

    Raises:
      ValueError, TypeError: a block length that does not divide N, neither or both of window and
        half_life, a window as long as the record, or a concrete argument out of domain.

    Reference: see the module.
    """
    if not isinstance(record, Record):
        raise TypeError(f"record: expected the Record of record(), got {type(record).__name__}")
    every = validate.count("every", every)
    validated(params, objective)
    validate.positive("lot", validate.array("lot", lot))
    seen = beliefs(
        record,
        every=every,
        window=window,
        half_life=half_life,
        prior=params,
        prior_seconds=prior_seconds,
        least_depth=least_depth,
    )
    W = seen.k.size
    first = record.times.size - 1 - W * every
    part = Record(
        record.times[first:],
        record.mid[first:],
        record.reach_b[first:],
        record.reach_a[first:],
        record.unsigned,
    )
    policy = quotes(seen, part.times, params, max_inventory=max_inventory, objective=objective)
    dtype = policy.delta_b.dtype
    ok = np.asarray(seen.info.converged)[:, None]
    known = np.where(ok, seen.A, 0.0), np.where(ok, np.repeat(seen.k[:, None], 2, 1), 1.0)
    A, k = (jnp.asarray(np.repeat(x, every, axis=0), dtype) for x in known)
    done = play(policy, A, k, part, lot, 0, at_the_quote, tick)
    return Recalibrated(seen, policy, part, done)


def quotes(
    beliefs: Beliefs, times: Any, params: Params, *, max_inventory: int, objective: str = "cara"
) -> Depths:
    """Optimal depths over W blocks, each by its own beliefs, all solved at once to the end.

    Args:
      beliefs: of :func:`beliefs`.
      times: quoting times of all the blocks and the end, shape (M + 1,), M a multiple of W.
      params: gamma, phi, phi_T, drift and eps.
      max_inventory, objective: as :func:`~.exponential.solve`.

    Returns:
      :class:`~.approximations.Depths`, shape (M + 1, 2Q + 1).

    Raises:
      ValueError, TypeError: times of another shape, or an argument out of domain.

    Reference: see :mod:`~.exponential`.
    """
    times, W = np.asarray(times, np.float64), beliefs.k.size
    if times.ndim != 1 or times.size < 2 or (times.size - 1) % W:
        raise ValueError(
            f"times: expected shape (M + 1,), M a multiple of the {W} blocks, got {times.shape}"
        )
    ok = np.asarray(beliefs.info.converged)
    starts = times[:-1].reshape(W, -1)
    ends = np.full((W, 1), times[-1])
    left = np.concatenate([starts, ends], axis=1) - starts[:, :1]
    dtype = validated(params, objective).sigma.dtype
    filler = (np.where(ok[:, None], beliefs.A, 1), *(np.where(ok, x, 1) for x in beliefs[2:4]))
    leaves = [jnp.asarray(x, dtype) for x in (*filler, left)]
    common = jax.tree.map(lambda x: jnp.asarray(x, dtype), params)
    tables = _solved(common, *leaves, validate.count("max_inventory", max_inventory), objective)
    n = 2 * max_inventory + 1

    def joined(table: Any) -> Any:
        quoted = jnp.where(ok[:, None, None], table, jnp.inf)
        return jnp.concatenate([quoted[:, :-1].reshape(-1, n), quoted[-1, -1:]])

    return Depths(*(joined(table) for table in tables))


@partial(jax.jit, static_argnums=(5, 6))
def _solved(
    params: Params,
    A: jax.Array,
    k: jax.Array,
    sigma: jax.Array,
    times: jax.Array,
    Q: int,
    objective: str,
) -> tuple[jax.Array, jax.Array]:
    """Depths of W problems, each over its own times, shape (W, times, 2Q + 1)."""

    def block(A: jax.Array, k: jax.Array, sigma: jax.Array, times: jax.Array) -> Any:
        own = params._replace(A=A, k=k, sigma=sigma)
        found = exponential.solve(own, max_inventory=Q, times=times, objective=objective)
        return found.delta_b, found.delta_a

    return jax.vmap(block)(A, k, sigma, times)
