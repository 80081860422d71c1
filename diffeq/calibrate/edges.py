"""Which parameters ran to an end of their domain, where a standard error would mean nothing.

An end that is a number (0 and 1 of a probability) is near or not; but a probability of 1e-6 may be
well known. The ends of a positive parameter, 0 and infinity, are nowhere in its logarithm, and how
far it came from its start says nothing: the start may have been poor. So the loss itself is asked,
of every positive parameter and of what is near an end, in the logarithm (or logit), which has no
units: the parameter is at an edge when going on, by a factor e and by e⁷ ≈ 1100, the others
following, does not raise the loss, while going back, by e⁷ or to its start, does. A loss that rises
on both sides has its minimum between them, and one that rises on none does not depend on the
parameter.

The others follow along the valley floor of the fit's curvature H: the v of least v'Hv with v_i = 1.
So two parameters that run together, their product staying what the data say, are both found; and
with them any that the data do not tell from these.
"""

import math
from typing import Any

import jax
import numpy as np

from diffeq.calibrate.coordinates import Layout, Params
from diffeq.calibrate.domains import Positive

__all__ = ["asked", "at_edges", "open_ended", "probes", "runs_on"]

_Array = np.ndarray[Any, Any]
_STEPS = np.array([1.0, 7.0])  # how far to go on, in the logarithm


def open_ended(layout: Layout) -> _Array:
    """Which of the d coordinates have no end that is a number, (d,) bool."""
    pairs = zip(layout.domains, layout.sizes(), strict=True)
    return np.concatenate([np.full(size, isinstance(at, Positive)) for at, size in pairs])


def asked(layout: Layout, estimates: Params, tolerance: float) -> _Array:
    """For which of the d coordinates to ask the loss, (d,) bool; arguments as in `at_edges`."""
    leaves = zip(layout.domains, jax.tree.leaves(estimates), strict=True)
    return np.concatenate([at.asked(np.asarray(x, np.float64), tolerance) for at, x in leaves])


def probes(u: _Array, start: _Array, factor: _Array, is_asked: _Array) -> _Array:
    """Where to ask the loss, (p, 5, d): both steps down, both up, and back at the start.

    Args:
      u: coordinates of the estimate, (d,).
      start: those of the first start, (d,).
      factor: R with R'R = H (up to scale), or H itself, (m, d).
      is_asked: which p coordinates to ask about, (d,).
    """
    points = np.zeros((int(is_asked.sum()), 2 * len(_STEPS) + 1, len(u)), u.dtype)
    for at, i in zip(points, np.flatnonzero(is_asked), strict=True):
        steps = np.concatenate([-_STEPS, _STEPS, [start[i] - u[i]]])
        at[:] = u + steps[:, None] * _valley(factor, int(i))
    return points


def _valley(factor: _Array, i: int) -> _Array:
    """How all coordinates move when coordinate i moves by one and the others make up for it."""
    others = np.arange(factor.shape[1]) != i
    v = np.where(others, 0.0, 1.0)
    if np.isfinite(factor).all():
        size = np.linalg.norm(factor, axis=0)
        size = np.where(size > 0, size, 1)
        scaled = factor / size
        flat = float(np.finfo(factor.dtype).eps) ** 0.5  # as in `identification`
        follow = np.linalg.lstsq(scaled[:, others], -scaled[:, i], rcond=flat)[0]
        v[others] = follow * size[i] / size[others]
    return v


def runs_on(loss: float, probed: _Array, nothing: float) -> _Array:
    """Which of the p coordinates asked about run on without end, (p,) bool.

    Args:
      loss: at the estimate.
      probed: losses at :func:`probes`, (p, 5).
      nothing: the largest rise of the loss that counts as none.
    """
    level = probed <= loss + nothing  # False for NaN: where the model fails is a wall
    going_on = level[:, :2].all(axis=1) | level[:, 2:4].all(axis=1)
    going_back = (np.nan_to_num(probed, nan=-math.inf) > loss + nothing).any(axis=1)
    return np.asarray(going_on & going_back)


def at_edges(
    layout: Layout, estimates: Params, runs_on: _Array, tolerance: float
) -> tuple[_Array, _Array]:
    """Which estimated entries (k,) are at an edge, and which coordinates (d,) to hold for it.

    Args:
      layout: the fit's.
      estimates: the parameters.
      runs_on: which coordinates run on without end, (d,) bool.
      tolerance: how near to an end that is a number, as a share of the domain's width.
    """
    entries, coordinates, at = [np.zeros(0, bool)], [np.zeros(0, bool)], 0
    for domain, free, size, x in zip(
        layout.domains, layout.free(), layout.sizes(), jax.tree.leaves(estimates), strict=True
    ):
        if free:
            here = runs_on[at : at + size]
            edge = np.ravel(domain.at_edge(np.asarray(x, np.float64), here, tolerance))
            entries.append(edge)
            coordinates.append(edge[:size])
        at += size
    return np.concatenate(entries), np.concatenate(coordinates)
