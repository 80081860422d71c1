"""The compiled programs of a fit: scatter the starts, advance a block, measure the curvature.

All are module-level jitted functions of a static `Problem`, so a second fit of the same
function with the same shapes finds them compiled. Values (data, params0, keys, tolerances) are
traced.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.calibrate import descent
from diffeq.calibrate.coordinates import Layout, Params

__all__ = [
    "Derivatives",
    "Inputs",
    "LossKind",
    "Problem",
    "advance",
    "differentiate",
    "in_range",
    "in_users_units",
    "losses",
    "natural_values",
    "num_terms",
    "scatter",
]

LossKind = Literal["negative_log_likelihood", "residuals", "criterion"]


class Problem(NamedTuple):
    """What is static in a fit, and decides which compiled program serves it."""

    loss: Callable[..., Any]
    """The user's function of (params, data), and a key where the rule is stochastic."""
    kind: LossKind
    """What it returns."""
    layout: Layout
    """Structure, names and domains of the parameters."""
    rule: descent.Rule
    """How to descend."""
    many: bool
    """Whether params0 and data carry a leading axis of data sets."""


class Inputs(NamedTuple):
    """What is traced in a fit."""

    params0: Params
    """Starting values; `Fixed` leaves keep them."""
    data: Any
    """The user's data."""
    unit: Any
    """Of residuals or criterion, ([D]): the loss and its derivatives are computed in it."""


class Derivatives(NamedTuple):
    """Second-order information at a point, see `diffeq.calibrate.identification.Curvature`."""

    factor: jax.Array
    """R of J = QR, (min(n, d), d), for residuals; the Hessian, (d, d), otherwise."""
    meat: jax.Array
    """Sum of score score', (d, d); NaN where the loss is one number."""
    natural: jax.Array
    """Derivative of the k estimated entries with respect to the coordinates, (k, d)."""
    num_terms: jax.Array
    """Number of observations n: of terms, but for residuals that are 0 whatever the parameters."""


def terms(problem: Problem, u: jax.Array, inputs: Inputs, key: jax.Array) -> jax.Array:
    """What the user's loss returns at u, in `inputs.unit`, as a vector of the fit's dtype, (n,).

    Raises:
        TypeError: the loss returns something that is not an array of real numbers.
        ValueError: a criterion that is not a scalar, or no terms at all.
    """
    params = problem.layout.constrain(u, inputs.params0)
    extra = (key,) if problem.rule.stochastic else ()
    leaves = jax.tree.leaves(problem.loss(params, inputs.data, *extra))
    if not leaves or any(not jnp.issubdtype(jnp.result_type(x), jnp.floating) for x in leaves):
        raise TypeError(f"loss: expected an array of floats, got {leaves or None}")
    vector = jnp.concatenate([jnp.ravel(jnp.asarray(x, problem.layout.dtype)) for x in leaves])
    if vector.size == 0 or (problem.kind == "criterion" and vector.size != 1):
        wanted = "a scalar" if problem.kind == "criterion" else "at least one term"
        raise ValueError(f"loss: expected {wanted} for {problem.kind!r}, got {vector.size} values")
    return vector / inputs.unit


def total(problem: Problem, u: jax.Array, inputs: Inputs, key: jax.Array) -> jax.Array:
    """The number to minimise at coordinates u."""
    values = terms(problem, u, inputs, key)
    return jnp.sum(values**2) if problem.kind == "residuals" else jnp.sum(values)


@partial(jax.jit, static_argnames=("problem", "num_starts"))
def scatter(
    problem: Problem, num_starts: int, params0: Params, key: jax.Array, spread: jax.Array
) -> descent.Lane:
    """Lanes at params0 and num_starts − 1 normal draws around it, leading axes ([D,] S)."""

    def one_set(params0: Params, key: jax.Array) -> descent.Lane:
        center = problem.layout.unconstrain(params0)
        points = center[None, :]
        if num_starts > 1:
            draws = jax.random.normal(key, (num_starts - 1, center.size), center.dtype)
            points = jnp.concatenate([points, points + spread * draws])
        return jax.vmap(partial(descent.first_lane, rule=problem.rule))(points)

    if not problem.many:
        return one_set(params0, key)
    keys = jax.random.split(key, len(jax.tree.leaves(params0)[0]))
    lanes: descent.Lane = jax.vmap(one_set)(params0, keys)
    return lanes


def in_range(
    problem: Problem, num_starts: int, inputs: Inputs, key: jax.Array, block_steps: int
) -> Inputs:
    """The inputs, with a unit in which the loss at the first start is within the floating range.

    The squares of residuals of 1e-20 or 1e20 are 0 or inf in float32, and a loss of 0 passes for a
    perfect fit. Units are powers of two, and 1 where the loss is far from both ends.
    """
    many, dtype = np.shape(inputs.unit), problem.layout.dtype
    if problem.kind == "negative_log_likelihood":  # has a unit
        return inputs
    half, power = np.finfo(dtype).maxexp // 2, 2 if problem.kind == "residuals" else 1
    exponent, found = np.zeros(many), np.zeros(many, bool)
    for trial in (0, -half, half):
        scaled = inputs._replace(unit=np.full(many, 2.0**trial, dtype))
        lanes = scatter(problem, num_starts, inputs.params0, key, 1.0)
        trace = advance(problem, lanes, scaled, key, 0.0, 1, block_steps)[1]
        size = np.abs(np.asarray(trace, np.float64)[..., 0, 0])
        here = ~found & (size > 0) & np.isfinite(size)
        at = np.round(np.log2(np.where(here, size, 1.0)) / power)
        far = here & ((trial != 0) | (np.abs(power * at) > half))
        exponent, found = np.where(far, trial + at, exponent), found | here
        if found.all():
            break
    return inputs._replace(unit=np.exp2(exponent).astype(dtype))


def in_users_units(problem: Problem, unit: Any, loss: Any) -> Any:
    """A loss computed in `unit` as the user would compute it, in float64."""
    power = 2 if problem.kind == "residuals" else 1
    return np.asarray(loss, np.float64) * np.asarray(unit, np.float64) ** power


@partial(jax.jit, static_argnames=("problem", "block_steps"))
def advance(
    problem: Problem,
    lanes: descent.Lane,
    inputs: Inputs,
    key: jax.Array,
    tolerance: jax.Array,
    limit: jax.Array,
    block_steps: int,
) -> tuple[descent.Lane, jax.Array]:
    """A block of evaluations of every lane; the loss trace has shape ([D,] block_steps, S)."""
    objective = partial(total, problem)
    rule = problem.rule._replace(likelihood=problem.kind == "negative_log_likelihood")

    def one_set(lanes: descent.Lane, inputs: Inputs) -> tuple[descent.Lane, jax.Array]:
        return descent.run_block(objective, rule, lanes, inputs, key, tolerance, limit, block_steps)

    result: tuple[descent.Lane, jax.Array]
    result = (jax.vmap(one_set) if problem.many else one_set)(lanes, inputs)
    return result


@partial(jax.jit, static_argnames=("problem", "robust"))
def differentiate(
    problem: Problem, robust: bool, u: jax.Array, inputs: Inputs, key: jax.Array
) -> Derivatives:
    """Curvature and delta-method derivatives at coordinates u, ([D,] d)."""

    def one_set(u: jax.Array, inputs: Inputs) -> Derivatives:
        layout = problem.layout
        natural = jax.jacfwd(lambda v: layout.free_entries(layout.constrain(v, inputs.params0)))(u)

        def twice(u: jax.Array) -> tuple[jax.Array, jax.Array]:
            values = terms(problem, u, inputs, key)
            return values, values  # to differentiate, and as they are: compiled once

        meat = jnp.full((u.size, u.size), jnp.nan, u.dtype)
        count = jnp.asarray(jax.eval_shape(twice, u)[0].size)
        if robust or problem.kind == "residuals":
            scores, values = jax.jacfwd(twice, has_aux=True)(u)
            weighted = scores * values[:, None] if problem.kind == "residuals" else scores
            meat = weighted.T @ weighted
        if problem.kind == "residuals":
            factor = jnp.linalg.qr(scores, mode="r")
            count = jnp.sum((values != 0) | jnp.any(scores != 0, axis=1))  # padding is none
        else:
            factor = jax.hessian(partial(total, problem))(u, inputs, key)
        return Derivatives(factor, meat, natural, count)

    result: Derivatives = (jax.vmap(one_set) if problem.many else one_set)(u, inputs)
    return result


@partial(jax.jit, static_argnames=("problem",))
def losses(problem: Problem, points: jax.Array, inputs: Inputs, key: jax.Array) -> jax.Array:
    """The loss at points ([D,] p, q, d), shape ([D,] p, q); p one after the other, to save room."""

    def one_set(points: jax.Array, inputs: Inputs) -> jax.Array:
        at_points = jax.vmap(lambda u: total(problem, u, inputs, key))
        return jax.lax.map(at_points, points)

    result: jax.Array = (jax.vmap(one_set) if problem.many else one_set)(points, inputs)
    return result


@partial(jax.jit, static_argnames=("problem",))
def natural_values(problem: Problem, u: jax.Array, params0: Params) -> Params:
    """Parameters at coordinates u, ([D,] S, d); every leaf gets leading axes ([D,] S)."""
    starts = jax.vmap(problem.layout.constrain, in_axes=(0, None))
    return (jax.vmap(starts) if problem.many else starts)(u, params0)


def num_terms(problem: Problem, inputs: Inputs) -> int:
    """Number of terms that the loss returns for one data set."""
    one: Callable[[Any], Any] = (lambda x: x[0]) if problem.many else (lambda x: x)

    def count(inputs: Inputs) -> jax.Array:
        inputs = jax.tree.map(one, inputs)
        u = problem.layout.unconstrain(inputs.params0)
        return terms(problem, u, inputs, jax.random.key(0))

    return int(jax.eval_shape(count, inputs).size)
