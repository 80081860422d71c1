"""What a policy earns in continuous time, exactly: moments without a time step.

Quotes are held from each of the times to the next, and filled at their intensities. Profit then
moves with inventory as a Markov chain with rewards; by the theory of the paper's tables let dt → 0,

    −m_t = mu q + Σ_s Lambda_s (g_s + m(q') − m),
    −V_t = sigma² q² + Σ_s Lambda_s [(g_s + m(q') − m)² + V(q') − V],

zero at T; a bid fill (rate Lambda_b) leads to q' = q + 1 with g = delta_b − (q+1) eps, an ask fill
(Lambda_a) to q' = q − 1 with g = delta_a + (q−1) eps. No differential equation is stepped. Over an
interval h the matrix exponential of the tilted generator, to second order in the tilt,

    exp(h G(x)) = P + x K_1 + x² K_2/2 + …,    K_r(q, q') = E[profit^r; q' at the end],
    G(x) = tridiag(Lambda_a e^(x g_a), on(x), Lambda_b e^(x g_b)),
    on(x) = −Lambda_b − Lambda_a + x mu q + x² sigma² q²/2,

is built by Taylor's series on h/2^S and S squarings: P is kept positive with rows that sum to one,
so rates may differ by any factor (a quote far through the market is filled at once, and costs
nothing but squarings). Then m and V pass from one interval to the one before by the law of total
variance. Errors measured: 1e-12 of each moment.

Reference: Avellaneda & Stoikov (2008), section 3.3, for dt → 0; Howard (1971), Dynamic
Probabilistic Systems II, for Markov chains with rewards.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.market_making.model import Params, Problem, in_domain, inventories
from diffeq.market_making.moments import (
    Side,
    Statistics,
    average,
    checked,
    quoted,
    rates,
    root,
    sound,
)
from diffeq.market_making.sides import Intensities, by_side

ORDER, RADIUS = 12, 0.25
"""Terms of the series, and the largest rate · h/2^S it is used at: truncation below 1e-17."""
TRACED_SQUARINGS, MOST_SQUARINGS = 24, 64


def continuous_statistics(
    policy: Any,
    params: Params,
    *,
    times: Any,
    initial_inventory: int = 0,
    intensity: Intensities | None = None,
    squarings: int | None = None,
) -> Statistics:
    """Exact moments of a policy's profit, fills and inventory in continuous time.

    Args:
      policy: anything with ``delta_b`` and ``delta_a``, shape (m, 2Q + 1): a Solution, or Depths.
        Row i is quoted from t_i to t_{i+1}; the last is not.
      params: scalars; sigma, A, k, drift and eps enter: the market, not what the policy believes.
      times: increasing, the last one the horizon, shape (m,).
      initial_inventory: q_0, static.
      intensity: the market's Lambda(depth), or (bid, ask); A and k then do not enter. Default: the
        exponential.
      squarings: S, static; fill rates per interval up to 2^S/4 are resolved. Default: as many as
        the policy needs, and 24 where it is traced (a rate of 4e6 per interval).

    Returns:
      :class:`~.moments.Statistics`; the spread is its time average. Differentiable in the depths,
      in params and in the intensity. Cost (2Q + 1)³ (S + 1) for each interval. Where S is too
      small, a parameter out of domain, or the rate at a quoted depth no number ≥ 0, all is NaN and
      ``info.converged`` False.

    Raises:
      ValueError, TypeError: shapes that differ, or a concrete argument out of domain.

    Reference: see the module.

    >>> from diffeq.market_making.approximations import fixed
    >>> policy = fixed(1.5, max_inventory=30, times=[0.0, 1.0])
    >>> found = continuous_statistics(policy, Params(A=14.0), times=[0.0, 1.0])
    >>> round(float(found.bid_fills), 4)  # 14 exp(−1.5 · .75)
    4.5451
    """
    p, t, depths, q_0 = checked(policy, params, times, initial_inventory)
    by = by_side(intensity, p)
    if squarings is None:
        squarings = _needed(_most_fills(depths, by, t))
    return _statistics(depths, by, p, t, q_0, validate.count("squarings", squarings))


def _needed(most: jax.Array) -> int:
    """Squarings for so many fills an interval, in steps of four: each number is a compilation."""
    if isinstance(most, jax.core.Tracer) or not np.isfinite(most):
        return TRACED_SQUARINGS
    wanted = int(np.ceil(np.log2(max(float(most) / RADIUS, 2.0))))
    return min(-(-wanted // 4) * 4, MOST_SQUARINGS)


@jax.jit
def _most_fills(
    depths: tuple[jax.Array, jax.Array], by: tuple[Any, Any], times: jax.Array
) -> jax.Array:
    """Largest expected number of fills in an interval, were they to leave inventory unchanged."""
    bid, ask = (rates(depth[:-1], side) for depth, side in zip(depths, by, strict=True))
    return jnp.max((bid.chance + ask.chance) * jnp.diff(times)[:, None], initial=0)


class Chain(NamedTuple):
    """G(x) to second order in x: rows of tridiagonal matrices, shape (3, n): below, on, above."""

    G: jax.Array
    G_1: jax.Array
    G_2: jax.Array


class Kernel(NamedTuple):
    """What happens over a length of time, from each inventory to each."""

    P: jax.Array
    """Probabilities, shape (n, n)."""
    K_1: jax.Array
    """E[profit; q'], shape (n, n)."""
    K_2: jax.Array
    """E[profit²; q']."""
    sums: jax.Array
    """E of bid fills, ask fills, ∫ spread dt and ∫ dt (both sides quoted), shape (n, 4)."""


def chain(bid: Side, ask: Side, p: Problem) -> Chain:
    """The chain with rewards."""
    q = inventories(bid.depth.shape[0] // 2, bid.depth.dtype)
    g_b, g_a = bid.depth - (q + 1) * p.eps, ask.depth + (q - 1) * p.eps
    return Chain(
        jnp.stack([ask.chance, -bid.chance - ask.chance, bid.chance]),
        jnp.stack([ask.chance * g_a, p.drift * q, bid.chance * g_b]),
        jnp.stack([ask.chance * g_a**2, p.sigma**2 * q**2, bid.chance * g_b**2]),
    )


def times_(G: jax.Array, X: jax.Array) -> jax.Array:
    """A tridiagonal matrix times (n, r); none leaves the grid, its rates there are zero."""
    below, on, above = (row[:, None] for row in G)
    return below * jnp.roll(X, 1, axis=0) + on * X + above * jnp.roll(X, -1, axis=0)


def kernel(c: Chain, sources: jax.Array, h: jax.Array, squarings: int) -> tuple[Kernel, jax.Array]:
    """The kernel over a time h: the series over h/2^S, doubled S times; profit less a shift.

    The shift, the second result, follows the mean of the half to come, seen from q = 0, where that
    is far above its standard deviation: K_2 would else drown the variance.
    """
    n, h = sources.shape[0], h / 2.0**squarings
    one, none = jnp.eye(n, dtype=sources.dtype), jnp.zeros((n, n), sources.dtype)

    def term(state: tuple[Kernel, Kernel], j: jax.Array) -> tuple[tuple[Kernel, Kernel], None]:
        total, (P, K_1, K_2, sums) = state
        new = Kernel(
            times_(c.G, P) * h / j,
            (times_(c.G, K_1) + times_(c.G_1, P)) * h / j,
            (times_(c.G, K_2) + 2 * times_(c.G_1, K_1) + times_(c.G_2, P)) * h / j,
            times_(c.G, sums) * h / (j + 1),
        )
        return (jax.tree.map(jnp.add, total, new), new), None

    def doubled(state: tuple[Kernel, jax.Array], _: None) -> tuple[Any, None]:
        (P, K_1, K_2, sums), shift = state
        law = P[n // 2]
        mean, square = (lax.stop_gradient(law @ jnp.sum(K, axis=1)) for K in (K_1, K_2))
        mean = jnp.where(mean**2 > 0.9 * square, mean, 0.0)  # three standard deviations
        K_1, K_2 = K_1 - mean * P, K_2 - 2 * mean * K_1 + mean**2 * P
        P_2 = P @ P
        twice = Kernel(
            P_2 / jnp.sum(P_2, axis=1, keepdims=True),
            P @ K_1 + K_1 @ P,
            P @ K_2 + 2 * K_1 @ K_1 + K_2 @ P,
            sums + P @ sums,
        )
        return (twice, 2 * (shift + mean)), None

    start = Kernel(one, none, none, sources * h)
    (short, _), _ = lax.scan(term, (start, start), jnp.arange(1, ORDER + 1).astype(h.dtype))
    whole, _ = lax.scan(doubled, (short, jnp.zeros_like(h)), None, length=squarings)
    return whole


class Onwards(NamedTuple):
    """From each inventory, from some time on."""

    mean: jax.Array
    variance: jax.Array
    sums: jax.Array
    """As in :class:`Kernel`, shape (n, 4)."""
    law: jax.Array
    """Of q_T, shape (n, n)."""


def before(k: Kernel, later: Onwards, shift: jax.Array) -> Onwards:
    """One interval earlier; ``shift`` is what the kernel's profit was counted less."""
    centred = jnp.sum(k.K_1, axis=1) + k.P @ later.mean
    off = later.mean[None] - centred[:, None]  # what is to come, from the mean
    variance = jnp.sum(k.K_2 + 2 * k.K_1 * off + k.P * off**2, axis=1) + k.P @ later.variance
    return Onwards(centred + shift, variance, k.sums + k.P @ later.sums, k.P @ later.law)


@partial(jax.jit, static_argnums=(4, 5))
def _statistics(
    depths: tuple[jax.Array, jax.Array],
    by: tuple[Any, Any],
    p: Problem,
    times: jax.Array,
    q_0: int,
    squarings: int,
) -> Statistics:
    n, h = depths[0].shape[1], jnp.diff(times)
    q, at = inventories(n // 2, h.dtype), q_0 + n // 2
    bid, ask = (rates(depth[:-1], side) for depth, side in zip(depths, by, strict=True))
    both = quoted(depths).astype(h.dtype)

    @jax.checkpoint
    def earlier(
        later: Onwards, row: tuple[Side, Side, jax.Array, jax.Array]
    ) -> tuple[Onwards, None]:
        bid, ask, both, h = row
        sources = jnp.stack([bid.chance, ask.chance, both * (bid.depth + ask.depth), both], axis=1)
        over_h, shift = kernel(chain(bid, ask, p), sources, h, squarings)
        return before(over_h, later, shift), None

    zero = jnp.zeros(n, h.dtype)
    end = Onwards(zero, zero, jnp.zeros((n, 4), h.dtype), jnp.eye(n, dtype=h.dtype))
    found, _ = lax.scan(earlier, end, (bid, ask, both, h), reverse=True)
    law, (bids, asks, spread, over) = found.law[at], found.sums[at]
    mean_q = law @ q
    sd, sd_q = root(found.variance), root(law @ (q - mean_q) ** 2)
    mean = found.mean
    spread = average(spread, over)
    fields = mean[at], sd[at], bids, asks, spread, mean_q, sd_q, law, mean, sd
    most = jnp.max((bid.chance + ask.chance) * h[:, None], initial=0)
    resolved = most <= RADIUS * 2.0**squarings
    ok = in_domain(p) & jnp.all(h > 0) & sound(bid, ask) & resolved
    fields = poison(fields, ok, (p, by, bid.depth, ask.depth))
    return Statistics(*fields, Info(ok, jnp.abs(jnp.sum(law) - 1)))
