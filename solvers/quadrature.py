"""Quadrature rules as (nodes, weights): ∫ f ≈ Σ weights · f(nodes).

Nodes are computed once on the host in float64 and returned as numpy arrays, so that a rule can be
made at import time and cast to the dtype of the problem inside jit.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rule(NamedTuple):
    """A quadrature rule."""

    nodes: NDArray[np.float64]
    """shape (n,), or (n, r) in r dimensions"""
    weights: NDArray[np.float64]
    """shape (n,)"""


def trapezoid(low: float, high: float, num_nodes: int) -> Rule:
    """Trapezoid rule on [low, high] with ``num_nodes`` ≥ 2 equally spaced nodes, ends included.

    Second order on a general integrand; exponentially accurate where the integrand is periodic or
    vanishes, with its derivatives, at both ends (Trefethen & Weideman 2014, SIAM Review 56).

    >>> float(sum(trapezoid(0.0, 2.0, 5).weights))
    2.0
    """
    _check_interval(low, high)
    _check_count(num_nodes, 2, None)
    nodes = np.linspace(low, high, num_nodes)
    weights = np.full(num_nodes, (high - low) / (num_nodes - 1))
    weights[[0, -1]] /= 2
    return Rule(nodes, weights)


def gauss_legendre(low: float, high: float, num_nodes: int) -> Rule:
    """Gauss–Legendre rule on [low, high]: exact for polynomials of degree 2·num_nodes − 1.

    Reference: Golub & Welsch (1969), Mathematics of Computation 23.
    """
    _check_interval(low, high)
    _check_count(num_nodes, 1, None)
    nodes, weights = np.polynomial.legendre.leggauss(num_nodes)
    half = (high - low) / 2
    return Rule((low + high) / 2 + half * nodes, half * weights)


def gauss_hermite(num_nodes: int) -> Rule:
    """Gauss–Hermite rule for E[f(Z)], Z ~ N(0, 1): exact to degree 2·num_nodes − 1.

    The weights sum to one. At most 200 nodes: beyond, the outermost weights underflow.

    >>> rule = gauss_hermite(3)
    >>> round(float(rule.weights @ rule.nodes**4), 12)  # fourth moment of a standard normal
    3.0
    """
    _check_count(num_nodes, 1, 200)
    nodes, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
    return Rule(nodes, weights / weights.sum())


def normal_lattice(dimension: int, spacing: float, *, tail: float = 1e-16) -> Rule:
    """Trapezoid rule for E[f(Z)], Z ~ N(0, I): a lattice of that spacing, far nodes left out.

    Exponentially accurate where f is analytic around the real axis. From three dimensions on the
    lattice is body-centred, which resolves as much as a cubic one of the same ``spacing`` with
    1/√2 of its nodes in three dimensions and half of them in four. The weights sum to one.

    Args:
      dimension: r ≥ 1; nodes have shape (n, r).
      spacing: of the cubic lattice it equals, > 0.
      tail: weight left out, relative to the whole.

    Reference: Petersen & Middleton (1962), Information and Control 5, 279–323.

    >>> rule = normal_lattice(2, 0.5)
    >>> float(rule.weights @ rule.nodes[:, 0] ** 4)  # fourth moment of a standard normal
    3.0...
    """
    _check_count(dimension, 1, None)
    if not 0 < spacing < 3:
        raise ValueError(f"spacing: expected a number between 0 and 3, got {spacing}")
    if not 0 < tail < 1:
        raise ValueError(f"tail: expected a number between 0 and 1, got {tail}")
    radius = _normal_radius(dimension, tail)
    step = spacing * (math.sqrt(2) if dimension > 2 else 1)
    reach = math.ceil(radius / step)
    axis = step * np.arange(-reach, reach + 1)
    offsets = (0.0, step / 2) if dimension > 2 else (0.0,)
    nodes = np.concatenate([_ball(axis + offset, dimension, radius) for offset in offsets])
    weights = np.exp(-np.sum(nodes**2, axis=1) / 2)
    return Rule(nodes, weights / weights.sum())


def _normal_radius(dimension: int, tail: float) -> float:
    """R with P(|Z| > R) ≤ tail, by Laurent & Massart (2000), Annals of Statistics 28, lemma 1."""
    x = -math.log(tail)
    return math.sqrt(dimension + 2 * math.sqrt(dimension * x) + 2 * x)


def _ball(axis: NDArray[Any], dimension: int, radius: float) -> NDArray[np.float64]:
    """The points of axis^dimension within ``radius``, built up axis by axis; shape (n, dimension).

    A partial sum of squares beyond the radius never comes back: such points go at once.
    """
    points, squares = np.zeros((1, 0)), np.zeros(1)
    for _ in range(dimension):
        sums = squares[:, None] + axis**2
        row, column = np.nonzero(sums <= radius**2)
        points = np.column_stack([points[row], axis[column]])
        squares = sums[row, column]
    return points


def _check_interval(low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"low, high: expected finite low < high, got {low}, {high}")


def _check_count(num_nodes: int, minimum: int, maximum: int | None) -> None:
    if isinstance(num_nodes, bool) or not isinstance(num_nodes, int | np.integer):
        raise TypeError(f"num_nodes: expected an int, got {type(num_nodes).__name__}")
    if num_nodes < minimum or (maximum is not None and num_nodes > maximum):
        upper = "" if maximum is None else f" and at most {maximum}"
        raise ValueError(f"num_nodes: expected at least {minimum}{upper}, got {num_nodes}")
