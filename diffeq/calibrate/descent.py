"""Many descents at once: L-BFGS from several starts, in compiled blocks of evaluations.

Every start is a lane of one vmapped program. A vmapped line search written as an inner loop makes
all lanes wait for the slowest search; here each lane is a small state machine instead, and one
step of the program evaluates the loss and its gradient once per lane, wherever that lane stands in
its search. So there is one evaluation in the compiled program (fast to compile), no waiting, and a
lane that is done is frozen: its state is carried along bit for bit.

* Direction: L-BFGS two-loop recursion, `optax.scale_by_lbfgs`
  (Nocedal & Wright 2006, Numerical Optimization, algorithm 7.4).
* Step length: weak Wolfe conditions by bisection and doubling (Lewis & Overton 2013, Nonsmooth
  optimization via quasi-Newton methods, Math. Program. 141, algorithm 2.6). A trial at which the
  loss or its gradient is not finite counts as a step too long, so a search backs out of a region
  where the model fails. Near the optimum, where rounding hides the decrease, the approximate
  Wolfe condition of Hager & Zhang (2005, SIAM J. Optim. 16) decides by slopes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffeq.calibrate.stopping import at_floor, converged, rounding

__all__ = [
    "GRADIENT",
    "NOT_FINITE",
    "ROUNDING",
    "RUNNING",
    "STUCK",
    "Lane",
    "Rule",
    "first_lane",
    "run_block",
]

RUNNING, GRADIENT, ROUNDING, STUCK, NOT_FINITE = range(5)

_ARMIJO, _WOLFE, _APPROXIMATE = 1e-4, 0.9, 0.1
_FIRST_STEP = 0.1  # length of a steepest-descent trial: 10 % in a log coordinate
_MAX_STALLED = 5  # accepted steps in a row that do not lower the loss

_Tree = TypeVar("_Tree")

Objective = Callable[[jax.Array, Any, jax.Array], jax.Array]
"""Loss of coordinates u (d,), data and a key → scalar."""


class Rule(NamedTuple):
    """Static settings of a descent."""

    optimizer: Any = None
    """None for L-BFGS with line search, or an `optax.GradientTransformation`."""
    memory_size: int = 10
    """Pairs of steps that L-BFGS remembers."""
    max_trials: int = 25
    """Step lengths tried along one direction."""
    stochastic: bool = False
    """Whether the loss differs from call to call (keys), so that only the step limit stops it."""
    likelihood: bool = False
    """Whether the loss is a negative log-likelihood."""


class Lane(NamedTuple):
    """State of one descent at its last accepted point."""

    u: jax.Array
    """Accepted point, (d,)."""
    loss: jax.Array
    """Loss there; inf before the first evaluation."""
    gradient: jax.Array
    """Gradient there, (d,)."""
    direction: jax.Array
    """Search direction, (d,)."""
    slope: jax.Array
    """Derivative of the loss along the direction."""
    length: jax.Array
    """Step length to try next."""
    low: jax.Array
    """Longest length known to lower the loss enough."""
    high: jax.Array
    """Shortest length known to be too long."""
    trials: jax.Array
    """Lengths tried along this direction."""
    stalled: jax.Array
    """Accepted steps in a row that did not lower the loss."""
    accepted: jax.Array
    """Accepted steps since the last (re)start along the gradient; 0 before the first evaluation."""
    scale: jax.Array
    """Largest |loss| accepted so far."""
    evaluations: jax.Array
    """Evaluations of the loss and its gradient."""
    status: jax.Array
    """RUNNING, GRADIENT, ROUNDING, STUCK or NOT_FINITE."""
    unit: jax.Array
    """Power of two in which L-BFGS is told gradients: it squares them."""
    memory: Any
    """State of the optimiser."""


class _Trial(NamedTuple):
    """An evaluated point."""

    x: jax.Array
    loss: jax.Array
    gradient: jax.Array
    finite: jax.Array
    """Whether the loss and every derivative are finite."""


def first_lane(u: jax.Array, rule: Rule) -> Lane:
    """A lane about to be evaluated at u, shape (d,)."""
    zero, count = jnp.zeros((), u.dtype), jnp.zeros((), jnp.int32)
    return Lane(
        u=u,
        loss=zero + jnp.inf,
        gradient=jnp.zeros_like(u),
        direction=jnp.zeros_like(u),
        slope=zero,
        length=zero,
        low=zero,
        high=zero + jnp.inf,
        trials=count,
        stalled=count,
        accepted=count,
        scale=zero,
        evaluations=count,
        status=count,
        unit=zero + 1,
        memory=_optimizer(rule).init(u),
    )


def run_block(
    objective: Objective,
    rule: Rule,
    lanes: Lane,
    data: Any,
    key: jax.Array,
    tolerance: jax.Array,
    limit: jax.Array,
    block_steps: int,
) -> tuple[Lane, jax.Array]:
    """Up to min(limit, block_steps) evaluations of every running lane.

    Args:
        objective: loss of (u, data, key).
        rule: static settings.
        lanes: lanes stacked along a leading axis, (S, …).
        data: pytree of arrays shared by the lanes.
        key: random key; the evaluation number is folded in (stochastic losses only).
        tolerance: scalar, see `stopping.converged`.
        limit: scalar int, evaluations allowed.
        block_steps: static length of the loss trace.

    Returns:
        The lanes, and the accepted loss after each evaluation, (block_steps, S), NaN where none
        was made.
    """
    step = jax.vmap(partial(_step, objective, rule), in_axes=(0, None, None, None))
    trace = jnp.full((block_steps, *lanes.status.shape), jnp.nan, lanes.loss.dtype)

    def proceed(carry: tuple[jax.Array, Lane, jax.Array]) -> jax.Array:
        i, lanes, _ = carry
        return (i < jnp.minimum(limit, block_steps)) & jnp.any(lanes.status == RUNNING)

    def body(carry: tuple[jax.Array, Lane, jax.Array]) -> tuple[jax.Array, Lane, jax.Array]:
        i, lanes, trace = carry
        running = lanes.status == RUNNING
        lanes = step(lanes, data, key, tolerance)
        return i + 1, lanes, trace.at[i].set(jnp.where(running, lanes.loss, jnp.nan))

    start = (jnp.zeros((), jnp.int32), lanes, trace)
    _, lanes, trace = jax.lax.while_loop(proceed, body, start)
    return lanes, trace


def _step(
    objective: Objective,
    rule: Rule,
    lane: Lane,
    data: Any,
    key: jax.Array,
    tolerance: jax.Array,
) -> Lane:
    """One evaluation of one lane; a lane that is not running comes back as it is."""
    x = lane.u + lane.length * lane.direction
    if rule.stochastic:
        key = jax.random.fold_in(key, lane.evaluations)
    loss, gradient = jax.value_and_grad(objective)(x, data, key)
    finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
    trial = _Trial(x, loss, gradient, finite)
    if rule.optimizer is None:
        new = _line_search(rule, lane, trial, tolerance)
    else:
        new = _plain_step(rule, lane, trial, tolerance, lambda u: objective(u, data, key))
    new = new._replace(
        evaluations=lane.evaluations + 1,
        # A start where the loss cannot be computed has nowhere to back off to.
        status=jnp.where((lane.accepted == 0) & ~finite, NOT_FINITE, new.status),
    )
    return _select(lane.status == RUNNING, new, lane)


def _line_search(rule: Rule, lane: Lane, trial: _Trial, tolerance: jax.Array) -> Lane:
    """Judge the trial point: move there with a new direction, or try another length."""
    x, loss, gradient, finite = trial
    first = lane.evaluations == 0
    unseen = rounding(lane.loss)
    slope = jnp.vdot(gradient, lane.direction)
    armijo = loss <= lane.loss + _ARMIJO * lane.length * lane.slope
    level = (loss <= lane.loss + unseen) & (slope <= (2 * _APPROXIMATE - 1) * lane.slope)
    lowers = finite & (armijo | level)
    exhausted = lane.trials + 1 >= rule.max_trials
    accept = finite & (first | (lowers & ((slope >= _WOLFE * lane.slope) | exhausted)))

    moved = _moved(rule, lane, trial, slope > lane.slope, tolerance)
    low = jnp.where(lowers, lane.length, lane.low)
    high = jnp.where(lowers, lane.high, lane.length)
    length = jnp.where(jnp.isfinite(high), (low + high) / 2, 2 * low)
    retry = lane._replace(low=low, high=high, length=length, trials=lane.trials + 1)
    return _select(accept, moved, _select(exhausted, _given_up(rule, lane), retry))


def _moved(rule: Rule, lane: Lane, trial: _Trial, curved: jax.Array, tolerance: jax.Array) -> Lane:
    """The lane at the trial point, its memory updated and a new direction chosen."""
    x, loss, gradient, _ = trial
    first = lane.evaluations == 0
    scaled, memory = _optimizer(rule).update(gradient / lane.unit, lane.memory, x)
    # A square that leaves the floating range would pass for no curvature, or for no step to go.
    change = (gradient - lane.gradient) / lane.unit
    squares, range_ = jnp.vdot(change, change), np.finfo(gradient.dtype)
    seen = (squares > range_.tiny / range_.eps) & jnp.isfinite(squares)
    # Without positive curvature along the step the L-BFGS matrix would lose definiteness.
    uphill = (jnp.vdot(gradient, scaled) > 0) & jnp.all(jnp.isfinite(scaled))
    usable = ~first & curved & seen & uphill
    direction = jnp.where(usable, -scaled, _downhill(gradient))
    level = ~first & (loss >= lane.loss - rounding(lane.loss) / 10)
    stalled = jnp.where(level, lane.stalled + 1, 0)
    accepted = jnp.where(usable, lane.accepted + 1, 1)
    scale = jnp.maximum(lane.scale, jnp.abs(loss))
    at = loss, gradient, scale, direction, accepted, tolerance
    done = converged(*at, likelihood=rule.likelihood)
    new = _along(direction, lane._replace(u=x, loss=loss, gradient=gradient, accepted=accepted))
    floor = at_floor(loss, gradient, new.slope, accepted)
    end = jnp.where(floor, ROUNDING, STUCK)
    status = jnp.where(stalled >= _MAX_STALLED, end, RUNNING)
    fresh = _forgotten(rule, new)
    return new._replace(
        stalled=stalled,
        scale=scale,
        status=jnp.where(done, GRADIENT, status),
        unit=jnp.where(usable, lane.unit, fresh.unit),
        memory=_select(usable, memory, fresh.memory),
    )


def _given_up(rule: Rule, lane: Lane) -> Lane:
    """No length along this direction helped: stop, or start again along the gradient."""
    restart = _along(_downhill(lane.gradient), _forgotten(rule, lane))
    restart = restart._replace(accepted=jnp.ones_like(lane.accepted))
    floor = at_floor(lane.loss, lane.gradient, lane.slope, lane.accepted)
    stuck = lane._replace(status=jnp.where(floor, ROUNDING, STUCK).astype(jnp.int32))
    return _select((lane.accepted > 1) & ~floor, restart, stuck)


def _along(direction: jax.Array, lane: Lane) -> Lane:
    """The lane about to try the full length along a direction."""
    return lane._replace(
        direction=direction,
        slope=jnp.vdot(lane.gradient, direction),
        length=jnp.ones_like(lane.length),
        low=jnp.zeros_like(lane.low),
        high=jnp.full_like(lane.high, jnp.inf),
        trials=jnp.zeros_like(lane.trials),
    )


def _forgotten(rule: Rule, lane: Lane) -> Lane:
    """The lane with an L-BFGS memory that holds its own point and no earlier one."""
    largest = jnp.max(jnp.abs(lane.gradient))
    bits = np.finfo(largest.dtype).nexp
    unit = jax.lax.reduce_precision(largest, exponent_bits=bits, mantissa_bits=0)
    unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)
    # what an update of a new memory leaves, without its (empty) recursion: one less to compile
    memory = _optimizer(rule).init(lane.u)
    memory = memory._replace(count=1, params=lane.u, updates=lane.gradient / unit)
    return lane._replace(unit=unit, memory=memory)


def _plain_step(
    rule: Rule,
    lane: Lane,
    trial: _Trial,
    tolerance: jax.Array,
    value_fn: Callable[[jax.Array], jax.Array],
) -> Lane:
    """A step of a user's optax optimiser: always taken, no search."""
    x, loss, gradient, finite = trial
    optimizer = optax.with_extra_args_support(_optimizer(rule))
    direction, memory = optimizer.update(
        gradient, lane.memory, x, value=loss, grad=gradient, value_fn=value_fn
    )
    accepted = lane.accepted + 1
    scale = jnp.maximum(lane.scale, jnp.abs(loss))
    # The optimiser's step says nothing of the curvature: only the gradient counts (accepted = 1).
    done = converged(loss, gradient, scale, direction, jnp.ones_like(accepted), tolerance)
    moved = lane._replace(
        u=x,
        loss=loss,
        gradient=gradient,
        direction=direction,
        length=jnp.ones_like(lane.length),
        accepted=accepted,
        scale=scale,
        status=jnp.where(done & (not rule.stochastic), GRADIENT, lane.status),
        memory=memory,
    )
    return _select(finite, moved, lane._replace(status=jnp.full_like(lane.status, NOT_FINITE)))


def _downhill(gradient: jax.Array) -> jax.Array:
    """Against the gradient, of a fixed length: the units of the loss carry no information."""
    largest = jnp.max(jnp.abs(gradient))
    # Divided by the largest entry first: the square of a huge gradient overflows.
    unit = gradient / jnp.where(largest > 0, largest, 1)
    return -_FIRST_STEP * unit / jnp.sqrt(jnp.maximum(jnp.vdot(unit, unit), 1))


def _optimizer(rule: Rule) -> Any:
    """The optax transformation behind the rule."""
    return optax.scale_by_lbfgs(rule.memory_size) if rule.optimizer is None else rule.optimizer


def _select(condition: jax.Array, yes: _Tree, no: _Tree) -> _Tree:
    """`yes` where the scalar condition holds, else `no`, leaf by leaf."""
    selected: _Tree = jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
    return selected
