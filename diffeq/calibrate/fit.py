"""The two public functions: one fit from several starts, and one fit for each of many data sets."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.calibrate import descent
from diffeq.calibrate.coordinates import Layout, Params, check_domains, layout_of
from diffeq.calibrate.domains import Domain
from diffeq.calibrate.estimates import Calibration, Errors, conclude
from diffeq.calibrate.objective import (
    Inputs,
    LossKind,
    Problem,
    advance,
    in_range,
    in_users_units,
    num_terms,
    scatter,
)

__all__ = ["calibrate", "calibrate_many"]

Loss = Callable[..., Any]


def calibrate(
    loss: Loss,
    params0: Params,
    data: Any,
    *,
    domains: Mapping[str, Domain] | None = None,
    loss_is: LossKind = "negative_log_likelihood",
    errors: Errors = "classical",
    num_starts: int = 1,
    key: jax.Array | None = None,
    spread: float = 1.0,
    optimizer: Any = None,
    stochastic: bool = False,
    max_steps: int = 1000,
    tolerance: float | None = None,
    block_steps: int = 50,
    progress: bool = False,
) -> Calibration:
    """Fit the parameters of a model to data by gradient descent from several starts.

    Args:
        loss: pure JAX function of (params, data). Its compiled program is kept for the function
            object: pass the same function again (not a new lambda) and data of the same shapes,
            and nothing is compiled. A NaN (a model that did not solve) is a wall to the descent.
        params0: pytree of floats or arrays, usually the model's Params; the first start, and the
            dtype of the fit. Units are the model's.
        data: pytree of arrays (or numbers), handed to loss as it is.
        domains: domain of each leaf by name, {"sigma_v": Positive()}; a leaf left out is `Real()`,
            nested leaves are named by path ("left.rate", "rates[0]").
        loss_is: what loss returns.
            "negative_log_likelihood": the sum over observations (not the mean: standard errors
            would be too large by √n), or an array of one term for each observation.
            "residuals": array, or pytree of arrays, whose sum of squares is minimised. One that is
            0 whatever the parameters (padding) does not count as an observation.
            "criterion": a scalar without statistical meaning; no standard errors.
        errors: "classical" (inverse Hessian; s²(J'J)⁻¹) or "robust" (Huber–White sandwich;
            needs residuals or one term for each, independent, observation).
        num_starts: number S of starts; all but the first are scattered around params0.
        key: random key, required for S > 1 and for a stochastic loss.
        spread: standard deviation of the scatter in unconstrained coordinates (1 is a factor e
            for a `Positive`, `scale` for a `Real`).
        optimizer: None for L-BFGS with line search, or an `optax.GradientTransformation` such as
            `optax.adam(0.01)` (make it once: a new one compiles anew).
        stochastic: loss is called as loss(params, data, key) with a new key at each step, and only
            the step limit stops it. Needs an optimizer.
        max_steps: evaluations of the loss and its gradient allowed to each start.
        tolerance: stops when max|∂loss/∂u| ≤ tolerance · |loss| over the coordinates u (and, for a
            log-likelihood, the quasi-Newton step promises less than 0.001 of it, or less than the
            tolerance), or when that step moves no u by more than the tolerance; default ε^(2/3)
            of the dtype (4e-11 in float64, 2e-5 in float32).
        block_steps: evaluations in one call of the compiled program, between looks at progress.
        progress: show a progress bar (tqdm, extra `sweep`).

    Returns:
        A `Calibration`; `converged` and `reason` say how it ended. print() gives a table.

    Raises:
        ValueError: a value of params0 outside its domain, an option out of range, a loss of the
            wrong shape, a loss that is finite at no start.
        TypeError: params0 or loss of the wrong type; a call under a JAX transformation.

    Algorithm: L-BFGS with a weak Wolfe search (Nocedal & Wright 2006, ch. 7; Lewis & Overton
    2013), see `diffeq.calibrate.descent`; standard errors by the delta method, see
    `diffeq.calibrate.identification`.
    """
    layout = layout_of(_concrete(params0), domains)
    rule = descent.Rule(optimizer=optimizer, stochastic=stochastic)
    problem = Problem(loss, loss_is, layout, rule, many=False)
    check_domains(layout, params0)
    inputs = Inputs(_cast(params0, layout), _arrays("data", data), np.ones((), layout.dtype))
    options = _Options(errors, num_starts, key, spread, max_steps, tolerance, block_steps, progress)
    lanes, trace, inputs = _descend(problem, inputs, options)
    if not np.isfinite(lanes.loss).any():
        raise ValueError(_nowhere_finite(layout, inputs.params0, num_starts))
    key, cut = options.random_key(), options.cut(layout)
    return conclude(problem, lanes, trace, inputs, key, cut, errors)[0]


def calibrate_many(
    loss: Loss,
    params0: Params,
    data: Any,
    *,
    domains: Mapping[str, Domain] | None = None,
    loss_is: LossKind = "negative_log_likelihood",
    errors: Errors = "classical",
    num_starts: int = 1,
    key: jax.Array | None = None,
    spread: float = 1.0,
    optimizer: Any = None,
    max_steps: int = 1000,
    tolerance: float | None = None,
    block_steps: int = 50,
    progress: bool = False,
) -> tuple[Calibration, ...]:
    """Fit one model to each of D data sets in one compiled program.

    Args:
        loss: as in `calibrate`, of one data set.
        params0: as in `calibrate`, every leaf with a leading axis D: each data set has its own
            first start.
        data: pytree of arrays, every leaf with a leading axis D. Data sets of unequal length are
            padded to one length, with weights or a mask that `loss` honours.
        domains, loss_is, errors, num_starts, key, spread, optimizer, max_steps, tolerance,
            block_steps, progress: as in `calibrate`.

    Returns:
        D Calibrations in order. A data set whose loss is finite at no start is flagged
        (`converged` False, `reason` "loss is not finite", loss inf), not raised.

    Raises:
        ValueError, TypeError: as `calibrate`; leading axes that disagree.
    """
    params0, data = _concrete(params0), _arrays("data", data)
    num_sets = _num_sets(params0, data)
    layout = layout_of(jax.tree.map(lambda x: np.asarray(x)[0], params0), domains)
    problem = Problem(loss, loss_is, layout, descent.Rule(optimizer=optimizer), many=True)
    for i in range(num_sets):
        check_domains(layout, jax.tree.map(lambda x, i=i: np.asarray(x)[i], params0))
    inputs = Inputs(_cast(params0, layout), data, np.ones(num_sets, layout.dtype))
    options = _Options(errors, num_starts, key, spread, max_steps, tolerance, block_steps, progress)
    lanes, trace, inputs = _descend(problem, inputs, options)
    key, cut = options.random_key(), options.cut(layout)
    return conclude(problem, lanes, trace, inputs, key, cut, errors)


class _Options(NamedTuple):
    """Run-time options, in the words of `calibrate`."""

    errors: Errors
    num_starts: int
    key: jax.Array | None
    spread: float
    max_steps: int
    tolerance: float | None
    block_steps: int
    progress: bool

    def cut(self, layout: Layout) -> float:
        """The tolerance, by default from the dtype."""
        default = float(np.finfo(layout.dtype).eps) ** (2 / 3)
        return default if self.tolerance is None else self.tolerance

    def random_key(self) -> jax.Array:
        """The key; where none is given, none is used."""
        return jax.random.key(0) if self.key is None else self.key


def _check_options(problem: Problem, inputs: Inputs, options: _Options) -> None:
    """Raise ValueError or TypeError for the first option out of range."""
    if not callable(problem.loss):
        raise TypeError(f"loss: expected a function of (params, data), got {problem.loss!r}")
    for name, value, allowed in (
        ("loss_is", problem.kind, get_args(LossKind)),
        ("errors", options.errors, get_args(Errors)),
    ):
        if value not in allowed:
            raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")
    for name in ("num_starts", "max_steps", "block_steps"):
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}: expected a whole number >= 1, got {value!r}")
    for name, number in (("spread", options.spread), ("tolerance", options.cut(problem.layout))):
        if not (number > 0 and np.isfinite(number)):
            raise ValueError(f"{name}: expected a positive number, got {number!r}")
    optimizer, stochastic = problem.rule.optimizer, problem.rule.stochastic
    if optimizer is not None and not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise TypeError(f"optimizer: expected an optax.GradientTransformation, got {optimizer!r}")
    if stochastic and optimizer is None:
        raise ValueError(
            "optimizer: expected e.g. optax.adam(0.01) for a stochastic loss, got None: "
            "a line search cannot compare losses with different noise"
        )
    if options.key is None and (options.num_starts > 1 or stochastic):
        raise ValueError("key: expected jax.random.key(seed) for several starts, got None")
    if not (options.key is None or isinstance(options.key, jax.Array)):
        raise TypeError(f"key: expected jax.random.key(seed), got {options.key!r}")
    try:
        hash(problem)
    except TypeError as error:
        raise TypeError(f"loss, domains, optimizer: expected hashable objects: {error}") from None
    if options.errors == "robust" and num_terms(problem, inputs) == 1:
        raise ValueError(
            'errors: expected "classical" for a loss that is one number, got "robust"; return '
            "residuals, or one log-likelihood term for each observation"
        )


def _descend(
    problem: Problem, inputs: Inputs, options: _Options
) -> tuple[descent.Lane, np.ndarray[Any, Any], Inputs]:
    """Blocks until all lanes are done; host copies of lanes, trace ([D,] steps, S), and units."""
    _check_options(problem, inputs, options)
    key, cut = options.random_key(), options.cut(problem.layout)
    inputs = in_range(problem, options.num_starts, inputs, key, options.block_steps)
    lanes = scatter(problem, options.num_starts, inputs.params0, key, options.spread)
    traces = []
    blocks = range(0, options.max_steps, options.block_steps)
    with _progress_bar(options) as report:
        for done in blocks:
            limit = options.max_steps - done
            lanes, trace = advance(problem, lanes, inputs, key, cut, limit, options.block_steps)
            traces.append(np.asarray(trace))
            status = np.asarray(lanes.status)
            losses = in_users_units(problem, inputs.unit[..., None], lanes.loss)
            report(min(options.block_steps, limit), status, losses)
            if not (status == descent.RUNNING).any():
                break
    host: descent.Lane = jax.tree.map(np.asarray, lanes)
    return host, np.concatenate(traces, axis=-2), inputs


@contextmanager
def _progress_bar(options: _Options) -> Iterator[Callable[..., None]]:
    """A callback (steps, status, losses) that feeds a tqdm bar, or does nothing."""
    if not options.progress:
        yield lambda steps, status, losses: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError(
            "progress=True needs tqdm: install the extra `sweep`, pip install 'diffeq[sweep]'"
        ) from None
    with tqdm(total=options.max_steps, desc="calibrate", unit="step") as bar:

        def report(steps: int, status: np.ndarray[Any, Any], losses: np.ndarray[Any, Any]) -> None:
            running = int((status == descent.RUNNING).sum())
            bar.set_postfix(loss=f"{np.min(losses):.6g}", running=running, refresh=False)
            bar.update(steps)

        yield report


def _concrete(params0: Params) -> Params:
    """The parameters, if they are values and not tracers."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(params0)):
        raise TypeError(
            "params0: expected values, got tracers: calibrate runs on the host, call it outside "
            "jax.jit, vmap and grad (calibrate_many fits many data sets at once)"
        )
    return params0


def _cast(params0: Params, layout: Layout) -> Params:
    """Every leaf as an array of the fit's dtype, in a pytree of the same structure."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, layout.dtype), params0)


def _arrays(name: str, tree: Any) -> Any:
    """A pytree of arrays; TypeError where a leaf is none."""

    def array(leaf: Any) -> jax.Array:
        if not isinstance(leaf, jax.Array) and np.asarray(leaf).dtype.kind not in "biufc":
            raise TypeError(f"{name}: expected arrays of numbers, got {leaf!r}")
        return jnp.asarray(leaf)

    return jax.tree.map(array, tree)


def _num_sets(params0: Params, data: Any) -> int:
    """The common length of the leading axes."""
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves((params0, data))}
    if len(sizes) != 1 or () in sizes or (0,) in sizes:
        raise ValueError(
            "params0 and data: expected one leading axis of the same length on every leaf, "
            f"got leading axes {sorted(sizes)}"
        )
    return int(sizes.pop()[0])


def _nowhere_finite(layout: Layout, params0: Params, num_starts: int) -> str:
    """The message for a loss that no start could evaluate."""
    leaves = jax.tree.leaves(params0)
    values = ", ".join(f"{n}={np.asarray(x)}" for n, x in zip(layout.names, leaves, strict=True))
    return (
        f"loss: expected a finite value and gradient at some start, got none at {num_starts} "
        f"(params0: {values}). Start where the model solves, and look for NaN in the data"
    )
