"""Whether a demand is an equilibrium: six numbers, and for each refusal a deviation that pays.

A zero of the first-order condition is no evidence: minus any equilibrium is another zero, trades
so large that prices tell everything are nearly one, and in most games with K = r + 1 ≥ 3 signals
that differ in r dimensions no equilibrium in pure strategies exists at all. A demand is one if

1. marginal profit is zero (Theorem 5.1), 2. insiders gain, and none would rather trade as another,
3. profit is concave at each order, 4. along no ray does it grow for ever (the exact criterion:
:mod:`diffeq.contingent.cone`), and 5. nowhere nearer is it higher (a search, the one criterion
that can miss something: :mod:`diffeq.contingent.deviations`).

Reference: Keller & Tseng (2024), section 5.
"""

from functools import cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.contingent import beliefs, cone, deviations
from diffeq.contingent.deviations import Array, Cost, Orders
from diffeq.contingent.game import Game, demand_of, validated
from solvers.quadrature import Rule, normal_lattice

# (spacing, tail) by dimension r: finer than any lattice a solver uses, and enough to rank orders
FINEST = {1: (0.06, 1e-16), 2: (0.14, 1e-14), 3: (0.24, 1e-12), 4: (0.5, 1e-11)}
ROUGH = {1: (0.2, 1e-9), 2: (0.5, 1e-6), 3: (0.8, 1e-5), 4: (1.1, 1e-4)}
UNRESOLVED = 1e-3  # beyond this quadrature error nothing is certified
SMALLEST = 1e-3  # what is smaller, relative to the largest of its kind, is judged by this share

TITLES = (
    "first-order condition",
    "profit",
    "revealed preference",
    "second-order condition",
    "no unbounded deviation",
    "no bounded deviation",
)
NEEDS = "≤>≥≤≤≤"


class Criterion(NamedTuple):
    """One criterion, and where it fails the deviation that shows it."""

    passed: bool
    """The verdict."""
    value: float
    """Its number, scale-free."""
    threshold: float
    """The value may reach it at most; that of revealed preference at least, profit exceeds it."""
    signal: int | None = None
    """k, the insider who deviates."""
    other: int | None = None
    """l, the signal he would rather have the market maker believe, or whose order he prefers."""
    direction: Array | None = None
    """What he adds to demand[k], in claims, shape (X,): any multiple where profit is unbounded, a
    small one where marginal profit is not zero or convex, this very order otherwise."""
    reason: str = ""
    """What fails, in words."""


class Certificate(NamedTuple):
    """The criteria of an equilibrium; ``print`` it."""

    first_order: Criterion
    """1. Largest residual of Theorem 5.1 on a lattice finer than the solver's, over its terms."""
    profit: Criterion
    """2. Expected profit before the signal is known, in units of the payoffs' norm."""
    revealed_preference: Criterion
    """2. Least cosine between a_k − a_l and y_k − y_l: not negative, or k and l would swap."""
    second_order: Criterion
    """3. Largest eigenvalue of profit's second derivative, over the largest in modulus; directions
    that change neither payoff nor posterior are left out."""
    unbounded_deviation: Criterion
    """4. Largest distance of a_l − a_k from cone{y_l − y_m : m}, over |a_l − a_k|. What is within
    the threshold could pay only beyond some 1/threshold times the trades."""
    bounded_deviation: Criterion
    """5. Largest gain found by searching to ten times the largest order, over the profit (the
    insider's own, the average, or a thousandth of the payoffs' norm, whichever is most)."""
    resolution: float
    """Quadrature error seen in marginal profit between two lattices: thresholds are ten times it,
    or 1e-6 (float32: 1e-3, so a float32 certificate proves that much less)."""

    @property
    def is_equilibrium(self) -> bool:
        """Whether every criterion is passed."""
        return all(criterion.passed for criterion in self[:6])

    def __str__(self) -> str:
        """A line for each criterion, and for each failure what the insider does."""
        failed = sum(not criterion.passed for criterion in self[:6])
        lines = [f"no equilibrium: {failed} of 6 criteria fail" if failed else "an equilibrium"]
        for title, needs, criterion in zip(TITLES, NEEDS, self[:6], strict=True):
            verdict = "passed" if criterion.passed else "FAILED"
            number = f"{criterion.value:10.3g}  (needs {needs} {criterion.threshold:.3g})"
            lines.append(f"  {verdict}  {title:<22} {number}")
            if criterion.reason:
                lines.append(f"          {criterion.reason}")
        return "\n".join(lines)


# A verdict of the host: a solution may pass through jit, which leaves its certificate behind
jax.tree_util.register_pytree_node(Certificate, lambda _: ((), None), lambda *_: cast(Any, None))


def certify(game: Game, demand: Any) -> Certificate:
    """Judge whether a demand is an equilibrium of the game.

    Args:
      game: the game; concrete.
      demand: trades in claims under each signal, shape (K, X), or a solution; concrete. It need not
        come from :func:`solve`, nor lie in the span of the payoffs.

    Returns:
      :class:`Certificate`; ``is_equilibrium`` only where every criterion is passed.

    Raises:
      TypeError: traced arguments.
      ValueError: all signals pay the same; wrong shapes; orders that differ in more than 4
        dimensions, as they may from K = 6 on (too many nodes to integrate over).
    """
    game = validated(game)
    demand = demand_of(game, demand)
    if any(isinstance(x, jax.core.Tracer) for x in (*game, demand)):
        raise TypeError(
            "certify runs on the host: call it on the result, outside jax.jit, vmap and grad"
        )
    known = deviations.orders(game, demand)
    rank = known.seen.shape[1]
    if rank not in FINEST:
        raise ValueError(f"demand: expected orders that differ in at most 4 dimensions, got {rank}")
    finest = _rule(rank, FINEST[rank])
    here = deviations.costs(known.y, known, finest, block=len(known.y))
    if not all(np.isfinite(x).all() for x in here):
        raise ValueError("demand: expected orders whose squares, over sigma², stay in range")
    fine = beliefs.rule(rank, beliefs.FINE)
    solved = deviations.costs(known.y, known, fine, block=len(known.y))
    sizes = _sizes(known, here)
    resolution = float(np.max(np.linalg.norm(here.slope - solved.slope, axis=1) / sizes))
    base = 1e-6 if jnp.finfo(game.eta.dtype).eps < 1e-10 else 1e-3
    tolerance = max(base, 10 * resolution) if resolution <= UNRESOLVED else base
    return Certificate(
        _first_order(known, here, sizes, resolution, tolerance),
        _profit(known, here),
        _revealed_preference(known, here, tolerance),
        _second_order(known, here, tolerance),
        _unbounded_deviation(known, finest, 10 * tolerance),
        _bounded_deviation(known, here, finest, _rule(rank, ROUGH[rank]), tolerance),
        resolution,
    )


@cache
def _rule(dimension: int, spacing_and_tail: tuple[float, float]) -> Rule:
    spacing, tail = spacing_and_tail
    return normal_lattice(dimension, spacing, tail=tail)


def _profits(known: Orders, here: Cost) -> Array:
    """Entry (k, l): what the insider who saw k would earn with the order of l.

    Σ_m E[q_m] (a_k − a_m)·y_l: of one whose signal is all but sure a_k·y_k − c would be rounding.
    """
    edges = known.a[:, None] - known.a
    return np.einsum("lm,kmd,ld->kl", here.posterior, edges, known.y)


def _sizes(known: Orders, here: Cost) -> Array:
    """The larger term of each first-order condition: margin a_k − E P, or price impact."""
    margin = np.linalg.norm(known.a - here.price, axis=1)
    size = np.maximum(margin, np.linalg.norm(here.impact, axis=1))
    return np.maximum(size, SMALLEST * size.max() + np.finfo(float).tiny)


def _first_order(
    known: Orders, here: Cost, sizes: Array, resolution: float, tolerance: float
) -> Criterion:
    gradient = known.a - here.slope
    residuals = np.linalg.norm(gradient, axis=1) / sizes
    k = int(np.argmax(residuals))
    value = float(residuals[k])
    if not resolution <= UNRESOLVED:
        reason = (
            f"quadrature resolves marginal profit to {resolution:.2g} only: the orders under "
            "different signals are too far apart to be told from the root at infinity"
        )
        return Criterion(False, value, tolerance, k, None, None, reason)
    if value <= tolerance:
        return Criterion(True, value, tolerance)
    reason = f"after signal {k} more of `direction` pays: marginal profit is not zero (Theorem 5.1)"
    return Criterion(False, value, tolerance, k, None, known.claims @ gradient[k], reason)


def _profit(known: Orders, here: Cost) -> Criterion:
    profits = np.diag(_profits(known, here))
    value = float(known.prior @ profits)
    if value > 0:
        return Criterion(True, value, 0.0)
    k = int(np.argmin(profits))
    reason = f"insiders gain nothing on average; least after signal {k}: better not to trade at all"
    return Criterion(False, value, 0.0, k, None, -known.claims @ known.y[k], reason)


def _revealed_preference(known: Orders, here: Cost, tolerance: float) -> Criterion:
    a, y = known.a, known.y
    da, dy = a[:, None] - a, y[:, None] - y
    lengths = np.linalg.norm(da, axis=2) * np.linalg.norm(dy, axis=2)
    cosines = np.sum(da * dy, axis=2) / np.where(lengths > 0, lengths, np.inf)
    value = float(cosines.min())
    if value >= -tolerance:
        return Criterion(True, value, -tolerance)
    k, l = (int(i) for i in np.unravel_index(np.argmin(cosines), cosines.shape))
    profits = _profits(known, here)
    if profits[k, l] - profits[k, k] < profits[l, k] - profits[l, l]:
        k, l = l, k
    reason = f"after signal {k} the order of signal {l} brings more than his own"
    return Criterion(False, value, -tolerance, k, l, known.claims @ (y[l] - y[k]), reason)


def _second_order(known: Orders, here: Cost, tolerance: float) -> Criterion:
    bends, axes = np.linalg.eigh(-here.curvature)  # ascending, shape (K, d)
    share = bends[:, -1] / np.maximum(np.abs(bends).max(axis=1), np.finfo(float).tiny)
    k = int(np.argmax(share))
    value = float(share[k])
    if value <= tolerance:
        return Criterion(True, value, tolerance)
    reason = f"after signal {k} profit is convex along `direction`, both ways: no maximum"
    return Criterion(False, value, tolerance, k, None, known.claims @ axes[k, :, -1], reason)


def _unbounded_deviation(known: Orders, rule: Rule, threshold: float) -> Criterion:
    a, y = known.a, known.y
    ray = cone.steepest_ray(a, y, tie=float(jnp.finfo(known.dtype).eps) ** 0.5)
    if ray.distance <= threshold:
        return Criterion(True, ray.distance, threshold)
    k, l = ray.signal, ray.believed
    prior = known.prior * ray.tied  # far out along the ray
    far = known._replace(prior=prior / prior.sum())
    price = deviations.costs(y, far, rule, block=len(y)).price[k]
    rate = known.scale * float(ray.direction @ (a[k] - price))
    if ray.unnoticed:
        reason = (
            f"arbitrage: no belief notices `direction`, and after signal {k} it earns {rate:.3g} a "
            "unit (Theorem 5.4: zero projection must mean zero expected profit)"
        )
    else:
        believed = " or ".join(str(m) for m in np.flatnonzero(ray.tied))
        reason = (
            f"after signal {k}, adding t·`direction` makes the market maker believe signal "
            f"{believed}: the claims come too cheap, and profit grows by {rate:.3g} t without bound"
        )
    return Criterion(False, ray.distance, threshold, k, l, known.claims @ ray.direction, reason)


def _bounded_deviation(
    known: Orders, here: Cost, finest: Rule, rough: Rule, threshold: float
) -> Criterion:
    own = np.diag(_profits(known, here))
    best, order = deviations.best_orders(known, rough, finest)
    mean = float(known.prior @ np.abs(own))
    shares = (best - own) / np.maximum(np.abs(own), max(mean, SMALLEST))
    k = int(np.argmax(shares))
    value = float(shares[k])
    if value <= threshold:
        return Criterion(True, value, threshold)
    before, after = (known.scale * float(x[k]) for x in (own, best))
    reason = f"after signal {k}, adding `direction` brings {after:.5g} instead of {before:.5g}"
    return Criterion(
        False, value, threshold, k, None, known.claims @ (order[k] - known.y[k]), reason
    )
