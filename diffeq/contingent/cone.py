"""Whether profit can grow without bound: a question about cones, answered exactly.

Far out along a ray d the market maker believes in the signals l whose trades d·y_l are largest, and
prices at a_l: the insider who saw k earns d·(a_k − a_l) a unit. Nobody earns for ever if

    d·(y_l − y_m) ≥ 0 for all m   implies   d·(a_l − a_k) ≥ 0,   for every k and l,

which by Farkas' lemma is a_l − a_k ∈ cone{y_l − y_m : m}: non-negative least squares, whose
residual is such a d where there is one. Sampled rays would miss those on which several signals tie.

Rounding must not undo a tie. Three orders on one line make a cone that is half a plane; push the
middle one inwards by 1e-16 and it is the whole plane, its profit bounded, at a distance of 1e16. So
weights cost a little, and a cone that needs weights beyond 1/``tie`` counts as not reaching.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Ray(NamedTuple):
    """The pair of signals farthest from the criterion, and where the insider would go."""

    distance: float
    """Largest distance of a_l − a_k from cone{y_l − y_m : m}, over |a_l − a_k|; 0: bounded."""
    signal: int
    """k, the insider who earns most along the ray."""
    believed: int
    """l, what the market maker comes to believe, alone or among others."""
    direction: Array
    """d, of length one, shape (d,); zero where the distance is."""
    tied: NDArray[np.bool_]
    """The signals that share the market maker's belief along d, l among them; shape (K,)."""

    @property
    def unnoticed(self) -> bool:
        """d is orthogonal to every y_l − y_m: no order flow betrays it."""
        return bool(self.tied.all())


def steepest_ray(a: Array, y: Array, *, tie: float) -> Ray:
    """The worst pair of the criterion.

    Args:
      a: values under each signal, shape (K, d).
      y: trades under each signal, in units of noise, shape (K, d).
      tie: relative differences of trades that rounding may have made.

    A violation by (k, l) along d is one by (k', l) for the k' with the largest d·a_k'; where other
    signals tie with l, it is that one whose profit grows whatever weights the tie has.
    """
    K, d = a.shape
    worst = Ray(0.0, 0, 0, np.zeros(d), np.zeros(K, bool))
    for believed in range(K):
        for k in range(K):
            target = a[believed] - a[k]
            length = float(np.linalg.norm(target))
            if length == 0:
                continue
            residual = beyond_cone(target / length, y[believed] - y, tie)
            distance = float(np.linalg.norm(residual))
            if distance > worst.distance:
                direction = -residual / distance
                gap = (y[believed] - y) @ direction
                tied = gap <= 10 * tie * np.linalg.norm(y[believed] - y, axis=1).max()
                worst = Ray(distance, int(np.argmax(a @ direction)), believed, direction, tied)
    return worst


def beyond_cone(target: Array, generators: Array, tie: float) -> Array:
    """target less its projection on the cone of the rows of ``generators``; shape (d,).

    The residual ρ separates: ρ·g ≤ 0 for every generator g and ρ·target = |ρ|², to order ``tie``.
    """
    from scipy.optimize import nnls  # type: ignore[import-untyped]  # slow to import

    lengths = np.linalg.norm(generators, axis=1)
    edges = generators[lengths > 0] / lengths[lengths > 0, None]
    n = len(edges)
    if n == 0:
        return target
    matrix = np.vstack([edges.T, tie * np.eye(n)])
    weights, _ = nnls(matrix, np.append(target, np.zeros(n)), maxiter=100 * n)
    return target - weights @ edges
