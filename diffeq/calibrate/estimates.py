"""The outcome of a calibration: estimates, their uncertainty, every start, and a table of it."""

from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from diffeq.calibrate import descent, edges, stopping
from diffeq.calibrate.coordinates import Layout, Params, entries
from diffeq.calibrate.identification import Curvature, Identification, infer
from diffeq.calibrate.objective import (
    Derivatives,
    Inputs,
    Problem,
    differentiate,
    in_users_units,
    losses,
    natural_values,
)

__all__ = ["Calibration", "Errors", "Starts", "conclude"]

Errors = Literal["classical", "robust"]
_Array = np.ndarray[Any, Any]

_REASONS = {
    descent.RUNNING: "step limit reached",
    descent.GRADIENT: "gradient norm below tolerance",
    descent.ROUNDING: "loss cannot be lowered within rounding error",
    descent.STUCK: "line search could not improve the loss",
    descent.NOT_FINITE: "loss is not finite",
}
_SADDLE = "stationary, but no minimum: start elsewhere"


class Starts(NamedTuple):
    """What became of each of S starts; the first began at params0."""

    params: Params
    """Where it ended; every leaf has a leading axis S."""
    loss: _Array
    """Loss there, (S,); inf where it was never finite."""
    reasons: tuple[str, ...]
    """Why it stopped."""
    converged: _Array
    """Whether it reached an optimum, (S,) bool."""
    evaluations: _Array
    """Evaluations of the loss and its gradient, (S,)."""


class Calibration(NamedTuple):
    """A fitted model, with k entries of the estimated parameters in the order of `names`."""

    params: Params
    """Estimates, a pytree like params0, of the start with the lowest loss."""
    standard_errors: Params
    """A pytree like params0, in the parameters' units: NaN where the data do not identify the
    entry, where it is at an edge of its domain, and for a "criterion"; 0 for `Fixed`."""
    names: tuple[str, ...]
    """Names of the estimated entries: "sigma_v", "weights[0]"."""
    covariance: _Array
    """Of the estimates, (k, k), float64; NaN rows and columns where not identified."""
    correlation: _Array
    """Of the estimates, (k, k)."""
    loss: float
    """Negative log-likelihood, sum of squared residuals, or criterion at the estimates."""
    trace: _Array
    """Loss of the best start after each evaluation, (evaluations,)."""
    reason: str
    """Why the best start stopped, in words."""
    converged: bool
    """True where it stopped at an optimum: on the gradient, or at the floor of rounding, where the
    loss curves upwards (or runs on, or is flat), not at a saddle."""
    identification: Identification
    """What the data identify; print it."""
    starts: Starts
    """Every start."""

    def __str__(self) -> str:
        return _table(self)


def conclude(
    problem: Problem,
    lanes: descent.Lane,
    trace: _Array,
    inputs: Inputs,
    key: jax.Array,
    tolerance: float,
    errors: Errors,
) -> tuple[Calibration, ...]:
    """A Calibration for each data set, from its finished lanes on the host.

    Args:
        problem: the fit.
        lanes: finished lanes, leading axes ([D,] S).
        trace: loss by evaluation, ([D,] steps, S).
        inputs: params0 and data.
        key: random key of the fit.
        tolerance: of the fit; its square root decides what is near a bound of a domain.
        errors: kind of standard error.
    """
    robust = errors == "robust"
    values = jax.tree.map(np.asarray, natural_values(problem, lanes.u, inputs.params0))
    best = _best(lanes)
    u: _Array = np.take_along_axis(np.asarray(lanes.u), best[..., None, None], axis=-2)[..., 0, :]
    derivatives = jax.tree.map(np.asarray, differentiate(problem, robust, u, inputs, key))
    is_asked = _asked(problem, values, best, float(np.sqrt(tolerance)))
    probed = _probed(problem, u, derivatives.factor, is_asked, inputs, key)
    done = _Done(lanes, trace, values, probed, derivatives, best, inputs.unit)
    if not problem.many:
        return (_one(problem, done, is_asked, tolerance, robust),)
    sets = (jax.tree.map(lambda x, i=i: np.asarray(x)[i], done) for i in range(len(best)))
    return tuple(_one(problem, one, is_asked, tolerance, robust) for one in sets)


class _Done(NamedTuple):
    """A finished descent, of one data set or stacked, on the host."""

    lanes: descent.Lane
    trace: _Array
    values: Params
    probed: _Array
    derivatives: Derivatives
    best: _Array
    unit: _Array


def _best(lanes: descent.Lane) -> _Array:
    """Index of the start to report: lowest loss, a converged one among equals, ([D])."""
    loss = np.where(np.isfinite(lanes.loss), np.asarray(lanes.loss), np.inf)
    lowest = loss.min(axis=-1, keepdims=True)
    margin = np.sqrt(np.finfo(loss.dtype).eps) * np.abs(np.where(np.isinf(lowest), 0, lowest))
    ranked = np.where((loss <= lowest + margin) & _converged(lanes), -np.inf, loss)
    return np.asarray(ranked.argmin(axis=-1))


def _converged(lanes: descent.Lane) -> _Array:
    """Which lanes stopped at an optimum."""
    return np.isin(np.asarray(lanes.status), (descent.GRADIENT, descent.ROUNDING))


def _asked(problem: Problem, values: Params, best: _Array, tolerance: float) -> _Array:
    """The coordinates of which `edges` asks the loss, in some data set, (d,) bool."""
    at = [(i, b) for i, b in enumerate(best)] if problem.many else [(best,)]
    estimates = (jax.tree.map(lambda x, i=i: x[i], values) for i in at)
    return np.any([edges.asked(problem.layout, one, tolerance) for one in estimates], axis=0)


def _probed(
    problem: Problem, u: _Array, factor: _Array, is_asked: _Array, inputs: Inputs, key: jax.Array
) -> _Array:
    """The loss where `edges` asks for it around the estimates u ([D,] d): ([D,] p, 5)."""
    unconstrain = problem.layout.unconstrain
    if problem.many:
        sets = zip(u, np.asarray(jax.vmap(unconstrain)(inputs.params0)), factor, strict=True)
        points = np.stack([edges.probes(*one, is_asked) for one in sets])
    else:
        points = edges.probes(u, np.asarray(unconstrain(inputs.params0)), factor, is_asked)
    if not is_asked.any():
        return np.zeros(points.shape[:-1])
    return np.asarray(losses(problem, points, inputs, key), np.float64)


def _one(
    problem: Problem, done: _Done, is_asked: _Array, tolerance: float, robust: bool
) -> Calibration:
    """The Calibration of one data set."""
    layout, lanes, best = problem.layout, done.lanes, int(done.best)
    estimates = jax.tree.map(lambda x: x[best], done.values)
    loss, names = float(lanes.loss[best]), _free_names(layout)
    epsilon = float(np.finfo(layout.dtype).eps)
    factor, meat, natural = (np.asarray(x, np.float64) for x in done.derivatives[:3])
    runs_on = ~edges.open_ended(layout)  # unfinished: it has not run to anywhere, but may be near
    if _converged(lanes)[best] or problem.rule.stochastic:
        nothing = stopping.nothing(loss, float(lanes.scale[best]), tolerance, epsilon)
        if problem.kind == "residuals":
            nothing += stopping.roundings(loss, factor, np.asarray(lanes.u[best]), epsilon)
        runs_on[is_asked] = edges.runs_on(loss, done.probed, nothing)
    at_edge, held = edges.at_edges(layout, estimates, runs_on, float(np.sqrt(tolerance)))
    curvature = Curvature(
        factor=factor,
        meat=meat,
        natural=natural,
        num_terms=int(done.derivatives.num_terms),
        sum_of_squares=loss if problem.kind == "residuals" else None,
        is_likelihood=problem.kind == "negative_log_likelihood",
        gradient=np.asarray(lanes.gradient[best], np.float64),
        epsilon=epsilon,
    )
    inference = infer(
        curvature, layout.coordinates(), names, at_edge=at_edge, held=held, robust=robust
    )
    with np.errstate(invalid="ignore"):
        deviations = np.sqrt(np.diag(inference.covariance))
        correlation = inference.covariance / np.outer(deviations, deviations)
    reasons = tuple(_REASONS[int(status)] for status in lanes.status)
    stationary, is_minimum = bool(_converged(lanes)[best]), inference.identification.is_minimum
    return Calibration(
        params=estimates,
        standard_errors=_like(layout, deviations),
        names=names,
        covariance=inference.covariance,
        correlation=correlation,
        loss=float(in_users_units(problem, done.unit, loss)),
        trace=in_users_units(problem, done.unit, done.trace[: lanes.evaluations[best], best]),
        reason=_SADDLE if stationary and not is_minimum else reasons[best],
        converged=stationary and is_minimum,
        identification=inference.identification,
        starts=Starts(
            params=done.values,
            loss=in_users_units(problem, done.unit, lanes.loss),
            reasons=reasons,
            converged=_converged(lanes),
            evaluations=np.asarray(lanes.evaluations),
        ),
    )


def _free_names(layout: Layout) -> tuple[str, ...]:
    """Names of the k estimated entries."""
    leaves = zip(layout.free(), layout.entry_names(), strict=True)
    return tuple(name for free, names in leaves if free for name in names)


def _like(layout: Layout, entries: _Array) -> Params:
    """A pytree like the parameters that holds the k entries, and 0 for what is `Fixed`."""
    leaves, start = [], 0
    for free, shape in zip(layout.free(), layout.shapes, strict=True):
        size = int(np.prod(shape)) if free else 0
        leaf = entries[start : start + size].reshape(shape) if free else np.zeros(shape)
        leaves.append(leaf.astype(layout.dtype)[()])
        start += size
    return jax.tree.unflatten(layout.treedef, leaves)


def _table(fit: Calibration) -> str:
    """Estimates, standard errors and what is identified, one line an entry."""
    estimates, errors = entries(fit.params), entries(fit.standard_errors)
    known = fit.identification
    width = max(map(len, (*estimates, "parameter")))
    lines = [f"{'parameter':<{width}}  {'estimate':>12}  {'std. error':>12}  identified"]
    for name, estimate in estimates.items():
        if name not in fit.names:
            error, word = "", "held fixed"
        else:
            error = f"{errors[name]:.4g}" if np.isfinite(errors[name]) else "-"
            word = "yes" if name in known.identified_parameters else "no"
            word = "at edge" if name in known.at_edge else word
        lines.append(f"{name:<{width}}  {estimate:>12.6g}  {error:>12}  {word}")
    starts = f"; {int(fit.starts.converged.sum())} of {len(fit.starts.loss)} starts converged"
    state = "converged" if fit.converged else "NOT converged"
    lines.append(
        f"loss {fit.loss:.8g} after {len(fit.trace)} steps; {state}: {fit.reason}"
        + (starts if len(fit.starts.loss) > 1 else "")
    )
    return "\n".join((*lines, str(known)))
