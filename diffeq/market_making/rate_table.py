"""A fill rate given by numbers: log Lambda by depth, smooth between, exponential beyond.

Between the depths log Lambda is the natural cubic spline s, so that Lambda is twice differentiable;
beyond the first and the last it goes on along its tangent, an exponential, which is what little is
known there. The second derivatives M_i of s at the depths x_i solve

    h_{i−1} M_{i−1} + 2 (h_{i−1} + h_i) M_i + h_i M_{i+1} = 6 (d_i − d_{i−1}),    M_1 = M_n = 0,

h_i = x_{i+1} − x_i, d_i the slopes between the numbers.

Reference: de Boor (2001), A Practical Guide to Splines, chapter IV.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.check import poison


class Tabulated(NamedTuple):
    """Lambda from a table; :func:`tabulated` makes one."""

    depth: Any
    """x, price units, increasing, shape (n,)."""
    log_rate: Any
    """log Lambda at the depths, Lambda in fills per unit of time, shape (n,)."""
    curvature: Any
    """M, second derivatives of the spline through them, 1/price², shape (n,)."""

    def __call__(self, delta: Any) -> Any:
        """The rate at a depth, a scalar."""
        return jnp.exp(self._spline(delta)[0])

    def inverse_hazard(self, delta: Any) -> Any:
        """−1 over the slope of log Lambda."""
        return -1 / self._spline(delta)[1]

    def _spline(self, delta: Any) -> tuple[Any, Any]:
        """s and its slope, at a depth or beyond the ends."""
        x, y, bend = (jnp.asarray(values) for values in self)
        h = jnp.diff(x)
        inside = jnp.clip(delta, x[0], x[-1])
        i = jnp.clip(jnp.searchsorted(lax.stop_gradient(x), lax.stop_gradient(inside)) - 1, 0)
        left, right = inside - x[i], x[i + 1] - inside
        linear = (y[i + 1] - y[i]) / h[i]
        value = (
            y[i]
            + left * linear
            - left * right / 6 * (bend[i] * (1 + right / h[i]) + bend[i + 1] * (1 + left / h[i]))
        )
        slope = (
            linear
            + (bend[i + 1] * (3 * left**2 / h[i] - h[i]) - bend[i] * (3 * right**2 / h[i] - h[i]))
            / 6
        )
        return value + slope * (delta - inside), slope


def _second_derivatives(x: jax.Array, y: jax.Array) -> jax.Array:
    """M, shape (n,)."""
    h = jnp.diff(x)
    zero, one = jnp.zeros_like(h[:1]), jnp.ones_like(h[:1])
    kinks = 6 * jnp.diff(jnp.diff(y) / h)
    below = jnp.concatenate([zero, h[:-1], zero])
    on = jnp.concatenate([one, 2 * (h[:-1] + h[1:]), one])
    above = jnp.concatenate([zero, h[1:], zero])
    rest = jnp.concatenate([zero, kinks, zero])
    return lax.linalg.tridiagonal_solve(below, on, above, rest[:, None])[:, 0]


def tabulated(depth: Any, rate: Any) -> Tabulated:
    """An intensity through given rates, for :func:`~.optimum.solve`.

    Args:
      depth: x_1 < … < x_n, price units, shape (n,), n ≥ 3.
      rate: Lambda at the depths, fills per unit of time, > 0 and falling, shape (n,).

    Returns:
      :class:`Tabulated`: a function of a scalar depth, differentiable in it and in the table; NaN
      where a traced table is one that, concrete, would raise.

    Raises:
      ValueError: fewer than three, shapes that differ, depths that do not rise, rates that are not
        positive or do not fall, or a spline that rises between them (rates too ragged: smooth them,
        or give fewer).

    Reference: de Boor (2001), chapter IV.

    >>> rate = tabulated([0.0, 0.5, 1.0, 2.0], [140.0, 66.0, 31.0, 7.0])
    >>> round(float(rate(0.5)), 6)
    66.0
    """
    x, Lambda = validate.array("depth", depth), validate.array("rate", rate)
    if np.ndim(x) != 1 or np.shape(x) != np.shape(Lambda) or np.size(x) < 3:
        raise ValueError(
            f"depth, rate: expected the same shape (n,), n ≥ 3, got {np.shape(x)} and "
            f"{np.shape(Lambda)}"
        )
    validate.positive("rate", Lambda)
    dtype = jnp.result_type(float, *(v for v in (depth, rate) if isinstance(v, jax.Array)))
    x_, log_rate = jnp.asarray(x, dtype), jnp.log(jnp.asarray(Lambda, dtype))
    table = Tabulated(x_, log_rate, _second_derivatives(x_, log_rate))
    if not any(isinstance(leaf, jax.core.Tracer) for leaf in table):
        _check(np.asarray(x), table)
        return table
    _, *conditions = _conditions(table)
    ok = jnp.all(jnp.diff(x_) > 0) & jnp.all(jnp.stack(conditions))
    return Tabulated(*poison(tuple(table), ok, table))


def _conditions(table: Tabulated) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Depths close together; whether the spline falls there; whether one depth is best."""
    x, _, bend = table
    h, change = jnp.diff(x), jnp.diff(bend)
    # linear between; where it is 0 the slope is extreme
    flat = x[:-1] - h * bend[:-1] / jnp.where(change == 0, 1, change)
    share = jnp.linspace(0, 1, 65, dtype=x.dtype)
    between = x[:-1, None] + h[:, None] * share[None]
    fine = jnp.sort(jnp.append(between.ravel(), jnp.clip(flat, x[:-1], x[1:])))
    m = jax.vmap(table.inverse_hazard)(fine)
    return fine, m > 0, jnp.interp(fine, x, bend) * m**2 < 1


def _check(x: Any, table: Tabulated) -> None:
    """Raise unless depths rise and the spline is an intensity with one best depth against any p."""
    if not (np.diff(x) > 0).all():
        raise ValueError("depth: expected strictly increasing depths")
    fine, falls, one_best = map(np.asarray, _conditions(table))
    for right, what in (
        (falls, "a spline that falls everywhere; it rises"),
        (one_best, "Lambda Lambda'' < 2 Lambda'²; not"),
    ):
        if not right.all():
            raise ValueError(
                f"rate: expected {what} near depth {fine[np.argmin(right)]:.6g}: smooth the rates, "
                "or give fewer"
            )
