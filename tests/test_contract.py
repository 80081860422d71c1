"""What every model promises, whatever it models: one test for each promise, over the catalogue."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import chex
import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import ENTRIES, MODELS, Entry

import diffeq
from diffeq import ConvergenceError, check

ROOT = Path(__file__).resolve().parents[1]
LANES = 4


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> Entry:
    return request.param


class Compiled:
    """The jitted, vmapped functions of an entry, compiled once for a batch of LANES lanes."""

    def __init__(self, entry: Entry) -> None:
        def jvp(theta: jax.Array, tangent: jax.Array) -> jax.Array:
            return jax.jvp(entry.outputs, (theta,), (tangent,))[1]

        def vjp(theta: jax.Array, cotangent: jax.Array) -> jax.Array:
            return jax.vjp(entry.outputs, theta)[1](cotangent)[0]

        def lane(theta: jax.Array) -> tuple[jax.Array, jax.Array]:
            return entry.outputs(theta), jax.jacrev(entry.outputs)(theta)

        self.jvp, self.vjp = jvp, vjp
        self.solve = jax.jit(jax.vmap(lambda theta: entry.solve(*theta)))
        self.value_and_slopes = jax.jit(jax.vmap(lane))
        self.curvature = jax.jit(jax.vmap(jax.jacfwd(jax.jacrev(entry.outputs))))
        example = np.asarray(entry.example)
        steps = np.random.default_rng(0).uniform(0.9, 1.1, (LANES, example.size))
        if "spacing" in entry.leaves:  # the sum stays one
            steps[:, 4:] = 1
        self.good = jnp.asarray(example * steps, float)


@pytest.fixture(scope="module")
def compiled(entry: Entry) -> Compiled:
    return Compiled(entry)


def tolerance(entry: Entry) -> float:
    # shooting solves its root in log Sigma_N to eps^(2/3) or better
    return (1e-9 if entry.name == "kyle-shooting" else 1e-12) if is_double() else 2e-4


def is_double() -> bool:
    return jnp.zeros(()).dtype == jnp.float64


# Modes


def test_value_is_the_same_in_every_mode(entry: Entry, compiled: Compiled) -> None:
    """jit and vmap change how a model runs, never what it says."""
    theta = compiled.good
    eager = np.stack([entry.outputs(tuple(lane)) for lane in theta])
    assert np.isfinite(eager).any()
    helpers.assert_close(jax.jit(entry.outputs)(theta[0]), eager[0], tolerance(entry), "jit")
    helpers.assert_close(jax.vmap(entry.outputs)(theta), eager, tolerance(entry), "vmap")
    both = compiled.value_and_slopes(theta)[0]
    helpers.assert_close(both, eager, tolerance(entry), "jit of vmap")
    assert bool(compiled.solve(theta).info.converged.all())


def test_derivatives_are_the_same_in_every_mode(entry: Entry, compiled: Compiled) -> None:
    """{eager, jit, vmap, both} × {jvp, vjp} are one derivative, and forward is reverse."""
    theta = compiled.good[:2]
    rng = np.random.default_rng(1)
    tangent = jnp.asarray(rng.normal(size=theta.shape) * theta)
    size = entry.outputs(theta[0]).size
    cotangent = jnp.asarray(rng.normal(size=(theta.shape[0], size)))
    allowed = tolerance(entry)

    forward = jax.jit(jax.vmap(compiled.jvp))(theta, tangent)
    helpers.assert_close_by_norm(compiled.jvp(theta[0], tangent[0]), forward[0], allowed)
    helpers.assert_close_by_norm(jax.jit(compiled.jvp)(theta[1], tangent[1]), forward[1], allowed)
    helpers.assert_close_by_norm(jax.vmap(compiled.jvp)(theta, tangent), forward, allowed)

    reverse = jax.jit(jax.vmap(compiled.vjp))(theta, cotangent)
    helpers.assert_close_by_norm(compiled.vjp(theta[0], cotangent[0]), reverse[0], allowed)
    helpers.assert_close_by_norm(jax.jit(compiled.vjp)(theta[1], cotangent[1]), reverse[1], allowed)
    helpers.assert_close_by_norm(jax.vmap(compiled.vjp)(theta, cotangent), reverse, allowed)

    one = np.sum(np.asarray(forward) * np.asarray(cotangent), axis=1)
    other = np.sum(np.asarray(tangent) * np.asarray(reverse), axis=1)
    size = np.sum(np.abs(np.asarray(forward) * np.asarray(cotangent)), axis=1)
    assert np.all(np.abs(one - other) <= allowed * size)


@pytest.mark.float64
def test_slopes_and_curvature_are_those_of_the_values(entry: Entry, compiled: Compiled) -> None:
    """The Jacobian is the values' own finite difference, the Hessian the Jacobian's; batched."""
    theta = compiled.good
    _, slopes = compiled.value_and_slopes(theta)
    curvature = compiled.curvature(theta)
    spaced = "spacing" in entry.leaves
    moves = np.eye(theta.shape[1])
    if spaced:  # only moves that keep the sum stay in the domain
        moves = np.concatenate([moves[:4], [[0, 0, 0, 0, 1, -1, 0], [0, 0, 0, 0, 0, 1, -1]]])

    def along(fn: Any) -> np.ndarray:
        h = 2e-3
        columns = []
        for move in moves:
            step = h * move * np.asarray(theta)[:, [int(np.argmax(move))]]
            values = [np.asarray(fn(theta + k * step)) for k in (-3, -2, -1, 1, 2, 3)]
            with np.errstate(invalid="ignore"):  # −inf is constant
                columns.append(values @ _weights(len(values[0].shape)))
        return np.stack(columns, axis=-1) / h

    scale = np.asarray(theta)[:, None, :] if not spaced else None
    del scale
    values = along(lambda x: compiled.value_and_slopes(x)[0])
    expected = _along_moves(np.asarray(slopes), moves, np.asarray(theta))
    finite = np.isfinite(values)
    assert finite.mean() > 0.9
    helpers.assert_close_by_norm(np.where(finite, values, 0), expected, 1e-9, "slopes")
    rows = along(lambda x: compiled.value_and_slopes(x)[1])
    expected = _along_moves(np.asarray(curvature), moves, np.asarray(theta))
    helpers.assert_close_by_norm(rows, expected, 1e-9, "curvature")
