"""What simulated market making comes to: profit and risk, fills against forecast, a benchmark.

Paths are independent: standard errors are over paths. Fills N of a side against their forecast
probabilities p give

    z = (N − Σ p)/sqrt(Σ p (1 − p)),

standard normal where fills come as foreseen: a drift of the fill rate shows as a large |z|. Each
path is summed in the scan that draws it (:mod:`.tally`): a million days take the memory of one
chunk.

Reference: Lindgren (1993), Statistical Theory, section 8.5, for the score of a count against its
forecast; Sharpe (1994), Journal of Portfolio Management 21, for his ratio.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import poison
from diffeq.market_making.controls import Controls, checked_controls
from diffeq.market_making.model import Params, Problem
from diffeq.market_making.moments import checked
from diffeq.market_making.sides import Intensities, by_side
from diffeq.market_making.simulation import (
    CHUNK,
    Done,
    Paths,
    State,
    Tables,
    drawn,
    played,
    started,
    tabled,
)
from diffeq.market_making.tally import QUANTITIES, Sums, Tally, begun, merged, summed, tallied

ALARM = 4.0


class Estimate(NamedTuple):
    """A mean over paths."""

    mean: jax.Array
    """The sample mean."""
    standard_error: jax.Array
    """Its standard error; NaN for a single path."""


class Fills(NamedTuple):
    """Fills of one side against their forecast."""

    number: Estimate
    """Fills on a path."""
    forecast: jax.Array
    """Σ p on a path, on average."""
    z: jax.Array
    """(N − Σ p)/sqrt(Σ p (1 − p)) over all paths; NaN where the forecast is certain."""


class Report(NamedTuple):
    """Over P paths; each quantity is per path, over its whole horizon."""

    profit: Estimate
    """X_T + q_T S_T less its start, in money."""
    sd_profit: jax.Array
    """Its standard deviation."""
    sharpe: jax.Array
    """Mean over standard deviation, of the horizon: not annualised."""
    worst_profit: jax.Array
    """The least of all paths."""
    drawdown: Estimate
    """Largest fall of marked-to-market profit from its highest so far, the start included."""
    inventory: Estimate
    """q_T."""
    sd_inventory: jax.Array
    """Its standard deviation."""
    size: Estimate
    """|q_T|."""
    bid_fills: Fills
    """Of the bid, against the forecast."""
    ask_fills: Fills
    """Of the ask."""
    spread: jax.Array
    """Quoted spread, averaged over the time at which both sides were quoted."""
    alarm: jax.Array
    """bool: fills are not as foreseen, |z| > ``alarm`` on a side."""
    num_paths: jax.Array
    """P."""
    lead: Estimate | None
    """Profit less the benchmark's, path by path, with the same random numbers."""
    benchmark: Any
    """The benchmark's own Report; None without one."""

    def __str__(self) -> str:
        """A table, of one market; of a batch, or while traced, the fields."""
        if isinstance(self.num_paths, jax.core.Tracer) or np.ndim(self.num_paths):
            return repr(self)
        columns = [self] if self.benchmark is None else [self, self.benchmark]
        rows = [f"{int(self.num_paths):,} paths; per path:"]
        if self.benchmark is not None:
            rows.append(f"  {'':<24}{'policy':>22}{'benchmark':>22}")
        for name, of in _ROWS:
            rows.append(f"  {name:<24}" + "".join(f"{of(column):>22}" for column in columns))
        if self.lead is not None:
            rows.append(f"  {'profit over benchmark':<24}{_text(self.lead):>22}")
        if bool(self.alarm):
            rows.append("  ALARM: fills are not as foreseen")
        return "\n".join(rows)


def _text(x: Estimate) -> str:
    return f"{x.mean:.5g} ± {x.standard_error:.2g}"


_ROWS: tuple[tuple[str, Any], ...] = (
    ("profit", lambda r: _text(r.profit)),
    ("its standard deviation", lambda r: f"{r.sd_profit:.5g}"),
    ("Sharpe ratio", lambda r: f"{r.sharpe:.4g}"),
    ("worst profit", lambda r: f"{r.worst_profit:.5g}"),
    ("largest drawdown", lambda r: _text(r.drawdown)),
    ("final inventory", lambda r: _text(r.inventory)),
    ("  standard deviation", lambda r: f"{r.sd_inventory:.4g}"),
    ("  size", lambda r: _text(r.size)),
    ("spread quoted", lambda r: f"{r.spread:.5g}"),
    ("bid fills", lambda r: _text(r.bid_fills.number)),
    ("  forecast, z", lambda r: f"{r.bid_fills.forecast:.5g}, {r.bid_fills.z:+.2f}"),
    ("ask fills", lambda r: _text(r.ask_fills.number)),
    ("  forecast, z", lambda r: f"{r.ask_fills.forecast:.5g}, {r.ask_fills.z:+.2f}"),
)


def report(paths: Paths, *, benchmark: Paths | None = None, alarm: Any = ALARM) -> Report:
    """The report of recorded paths.

    Args:
      paths: of :func:`~.simulation.simulate`.
      benchmark: paths of another policy, a fixed spread for one, drawn with the same key in the
        same number.
      alarm: |z| of fills against forecast beyond which it rings.

    Returns:
      :class:`Report`.

    Raises:
      ValueError: a benchmark of another shape.

    Reference: see the module.
    """
    both = (paths,) if benchmark is None else (paths, benchmark)
    if np.ndim(paths.profit) != 2 or any(x.profit.shape != paths.profit.shape for x in both):
        shapes = [np.shape(x.profit) for x in both]
        raise ValueError(f"paths, benchmark: expected shape (P, N + 1), the same, got {shapes}")
    validate.positive("alarm", validate.array("alarm", alarm))
    return _report(_recorded(both), alarm, paths.profit.shape[0])


def simulate_report(
    key: jax.Array,
    params: Params,
    policy: Any,
    *,
    times: Any,
    num_paths: int,
    initial_inventory: int = 0,
    controls: Controls | None = None,
    intensity: Intensities | None = None,
    forecast: Intensities | None = None,
    benchmark: Any = None,
    alarm: Any = ALARM,
) -> Report:
    """The report of :func:`~.simulation.simulate`'s paths, without ever storing one.

    Args:
      key, params, policy, times, num_paths, initial_inventory, controls, intensity, forecast: as
        there; the same paths are drawn.
      benchmark: another policy, of the same shape, quoted on the same markets without controls:
        :func:`~.approximations.fixed`, for one.
      alarm: |z| of fills against forecast beyond which it rings.

    Returns:
      :class:`Report`; NaN where a traced parameter is outside its domain.

    Raises:
      ValueError, TypeError: shapes that differ, or a concrete argument out of domain.

    Reference: see the module.
    """
    p, t, depths, q_0 = checked(policy, params, times, initial_inventory)
    num_paths = validate.count("num_paths", num_paths)
    validate.positive("alarm", validate.array("alarm", alarm))
    market = by_side(intensity, p)
    foreseen = market if forecast is None else by_side(forecast, p)
    limits = [checked_controls(controls, t.dtype)]
    policies = [depths]
    if benchmark is not None:
        policies.append(checked(benchmark, params, times, initial_inventory)[2])
        limits.append(checked_controls(None, t.dtype))
    sums = _simulated(key, p, t, policies, market, foreseen, limits, q_0, num_paths)
    return _report(sums, alarm, num_paths)


@jax.jit
def _recorded(both: tuple[Paths, ...]) -> Sums:
    def end(paths: Paths) -> tuple[jax.Array, jax.Array, Tally]:
        def step(tally: Tally, row: Any) -> tuple[Tally, None]:
            profit, done, dt = row
            return tallied(tally, profit, done, dt), None

        done = Done(*(x.T for x in paths[4:]))
        rows = paths.profit[:, 1:].T, done, jnp.diff(paths.times)
        tally, _ = lax.scan(step, begun(paths.profit.shape[0], paths.profit.dtype), rows)
        return paths.profit[:, -1], paths.inventory[:, -1], tally

    return summed([end(paths) for paths in both])


@partial(jax.jit, static_argnums=(7, 8))
def _simulated(
    key: jax.Array,
    p: Problem,
    times: jax.Array,
    policies: list[tuple[jax.Array, jax.Array]],
    market: tuple[Any, Any],
    foreseen: tuple[Any, Any],
    limits: list[Controls],
    q_0: int,
    num_paths: int,
) -> Sums:
    pairs = zip(policies, limits, strict=True)
    made = [tabled(p, times, depths, market, foreseen, limit) for depths, limit in pairs]
    good = jnp.all(jnp.stack([good for _, good in made]))
    each = [(tables, limit.stop_loss) for (tables, _), limit in zip(made, limits, strict=True)]

    def chunk(i: Any, size: int) -> Sums:
        def step(states: list[tuple[State, Tally]], n: jax.Array) -> tuple[Any, None]:
            word = drawn(jax.random.fold_in(key, i), n, size)
            return [one(s, n, word, *of) for s, of in zip(states, each, strict=True)], None

        def one(s: Any, n: jax.Array, word: Any, tables: Tables, stop: jax.Array) -> Any:
            state, done = played(s[0], n, word, tables, p, stop)
            return state, tallied(s[1], state.profit, done, tables.dt[n])

        start = (started(size, q_0, times.dtype), begun(size, times.dtype))
        ends, _ = lax.scan(step, [start] * len(each), jnp.arange(times.size - 1))
        return summed([(s.profit, s.inventory, tally) for s, tally in ends])

    whole, rest = divmod(num_paths, CHUNK)
    sums = chunk(whole, rest) if rest else chunk(0, CHUNK)
    first = 0 if rest else 1
    sums = lax.fori_loop(first, whole, lambda i, s: merged(s, chunk(i, CHUNK)), sums)
    return poison(sums, good, (p, times))


@jax.jit
def _report(sums: Sums, alarm: Any, num_paths: Any) -> Report:
    mean, squares = sums.mean, sums.squares
    error = jnp.sqrt(squares / (sums.number - 1) / sums.number)

    sd = jnp.sqrt(squares / (sums.number - 1))

    def one(j: int, lead: Estimate | None, benchmark: Report | None) -> Report:
        named = dict(zip(QUANTITIES, range(len(QUANTITIES)), strict=True))

        def of(name: str) -> Estimate:
            return Estimate(mean[j, named[name]], error[j, named[name]])

        def side(name: str) -> Fills:
            expected, spread, drift = (of(f"{name} {x}").mean for x in ("p", "p(1-p)", "drift"))
            return Fills(of(name), expected, jnp.sqrt(sums.number / spread) * drift)

        profit, bid, ask = of("profit"), side("bids"), side("asks")
        rings = (jnp.abs(bid.z) > alarm) | (jnp.abs(ask.z) > alarm)
        return Report(
            profit,
            sd[j, named["profit"]],
            profit.mean / sd[j, named["profit"]],
            sums.worst[j],
            of("drawdown"),
            of("q"),
            sd[j, named["q"]],
            of("|q|"),
            bid,
            ask,
            of("spread").mean / of("quoted").mean,
            rings,
            jnp.asarray(num_paths),
            lead,
            benchmark,
        )

    if mean.shape[0] == 1:
        return one(0, None, None)
    return one(0, Estimate(mean[1, -1], error[1, -1]), one(1, None, None))
