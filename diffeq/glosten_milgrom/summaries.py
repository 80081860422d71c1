"""What simulated days add up to: who earns what, how fast the market learns, with standard errors.

Paths are independent, the trades of one path are not: every standard error is over paths. The sums
themselves are :mod:`~diffeq.glosten_milgrom.tallies`.

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, Propositions 1, 2 and 4.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import poison
from diffeq.glosten_milgrom.binary_value import Params, in_domain, validated
from diffeq.glosten_milgrom.simulation import VALUES, Paths, unbatched
from diffeq.glosten_milgrom.tallies import Moments, Sums, recorded, simulated

THRESHOLDS = (0.9, 0.99)


class Estimate(NamedTuple):
    """A mean over paths."""

    mean: jax.Array
    """The sample mean."""
    standard_error: jax.Array
    """Its standard error; NaN for a single path."""


class Summary(NamedTuple):
    """Means over paths of T trades; money per path, so divide by T for a trade's average."""

    informed_profit: Estimate
    """Profit of all informed traders of a path, in money."""
    uninformed_profit: Estimate
    """Profit of all uninformed traders of a path, in money."""
    dealer_profit: Estimate
    """Profit of the market maker on a path; 0 in expectation."""
    half_spread: Estimate
    """Half-spreads paid by the uninformed of a path: what they lose in expectation."""
    uninformed_surprise: Estimate
    """Profit of the uninformed plus half-spreads paid; 0 in expectation."""
    belief: Estimate
    """mu after the last trade; mu_0 in expectation, where V is drawn."""
    imbalance: Estimate
    """Orders towards the truth, net, over T: alpha in expectation."""
    informed_share: Estimate
    """Share of informed traders; alpha in expectation."""
    spread: Estimate
    """Spread quoted at trade t, shape (T,) each, in price units."""
    thresholds: jax.Array
    """Beliefs in the truth whose first passage is recorded, shape (J,)."""
    first_passage: jax.Array
    """Share of paths on which trade t is the first to reach each, t = 0..T, shape (J, T + 1)."""
    not_reached: jax.Array
    """Share of paths that never reach each within T trades, shape (J,)."""
    trades_to_reach: Estimate
    """Trades it took on the paths that reach each, shape (J,); NaN if none does."""
    num_paths: jax.Array
    """P."""

    def __str__(self) -> str:
        """A table, of one market; of a batch, or while traced, the fields."""
        if isinstance(self.num_paths, jax.core.Tracer) or np.ndim(self.num_paths):
            return repr(self)
        rows = [f"{int(self.num_paths):,} paths of {self.spread.mean.shape[0]} trades; per path:"]
        for name in Summary._fields[:8]:
            estimate = getattr(self, name)
            rows.append(f"  {name:<20} {estimate.mean:>12.5g} ± {estimate.standard_error:.2g}")
        for j, threshold in enumerate(self.thresholds):
            trades = self.trades_to_reach.mean[j]
            rows.append(
                f"  belief in the truth at {threshold:g}: after {trades:.4g} trades, "
                f"not reached on {100 * self.not_reached[j]:.3g}% of paths"
            )
        first, last = self.spread.mean[0], self.spread.mean[-1]
        rows.append(f"  spread falls from {first:.4g} to {last:.4g}")
        return "\n".join(rows)


def simulate_summary(
    key: jax.Array,
    params: Params,
    *,
    num_trades: int,
    num_paths: int,
    value: str = "drawn",
    thresholds: Any = THRESHOLDS,
) -> Summary:
    """The summary of :func:`~.simulation.simulate`'s paths, without ever storing one.

    Args:
      key, params, num_trades, num_paths, value: as there; the same paths are drawn.
      thresholds: beliefs in the truth, in (0, 1], whose first passage is wanted, shape (J,).

    Returns:
      :class:`Summary`; scalars and arrays of shape (T,), (J,), (J, T + 1). NaN where a traced
      parameter or threshold is outside its domain.

    Raises:
      ValueError, TypeError: a concrete argument out of domain.

    Reference: Chan, Golub & LeVeque (1983) for the merging of chunks.
    """
    params, num_trades = validated(params), validate.count("num_trades", num_trades)
    num_paths = validate.count("num_paths", num_paths)
    value = validate.option("value", value, VALUES)
    wanted = _thresholds(thresholds, params)
    sums = simulated(key, params, wanted, num_trades, num_paths, value)
    return _summary(sums, wanted, params, num_paths)


def summary(paths: Paths, *, thresholds: Any = THRESHOLDS) -> Summary:
    """The summary of recorded paths; see :func:`simulate_summary`.

    Reference: Glosten & Milgrom (1985): Propositions 1, 2 and 4 are what it checks.
    """
    wanted = _thresholds(thresholds, unbatched(paths).params)
    sums = recorded(paths, wanted)
    return _summary(sums, wanted, paths.params, int(paths.high.shape[0]))


def _thresholds(thresholds: Any, params: Params) -> jax.Array:
    thresholds = validate.array("thresholds", thresholds)
    validate.unit_interval("thresholds", thresholds)
    if np.ndim(thresholds) != 1:
        raise ValueError(f"thresholds: expected shape (J,), got {np.shape(thresholds)}")
    if not isinstance(thresholds, jax.core.Tracer) and not (np.asarray(thresholds) > 0).all():
        raise ValueError(f"thresholds: expected beliefs in (0, 1], got {thresholds}")
    return jnp.asarray(thresholds, params.alpha.dtype)


@partial(jax.jit, static_argnums=3)
def _summary(sums: Sums, thresholds: jax.Array, params: Params, num_paths: int) -> Summary:
    def estimate(m: Moments) -> Estimate:
        return Estimate(m.mean, jnp.sqrt(m.squares / (m.number - 1) / m.number))

    first = sums.reached.T.astype(thresholds.dtype)
    t = jnp.arange(first.shape[1]).astype(first.dtype)[None]
    number = jnp.sum(first, axis=1)
    mean = jnp.sum(first * t, axis=1) / number
    squares = jnp.sum(first * (t - mean[:, None]) ** 2, axis=1)
    paths = estimate(sums.paths)
    rows = [Estimate(paths.mean[i], paths.standard_error[i]) for i in range(paths.mean.shape[0])]
    fields = (
        *rows,
        estimate(sums.spread),
        thresholds,
        first / num_paths,
        (num_paths - number) / num_paths,
        estimate(Moments(number, mean, squares)),
    )
    ok = in_domain(params) & jnp.all((thresholds > 0) & (thresholds <= 1))
    fields = poison(fields, ok, params)
    return Summary._make((*fields, jnp.asarray(num_paths)))
