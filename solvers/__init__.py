"""Generic numerics for equilibria: roots with exact derivatives, and what their models need.

Roots: ``root``, ``cubic``, ``continuation``, ``implicit``. Flows in time: ``ode``, ``riccati``,
``tridiagonal``. Integrals, sums and interpolation: ``quadrature``, ``sums``, ``chebyshev``.
Batches: ``blocks``, ``devices``. Nothing here knows economics, and nothing here imports ``diffeq``.
"""

from solvers import (
    blocks,
    chebyshev,
    continuation,
    cubic,
    devices,
    implicit,
    ode,
    quadrature,
    riccati,
    root,
    sums,
    tridiagonal,
)

__all__ = [
    "blocks",
    "chebyshev",
    "continuation",
    "cubic",
    "devices",
    "implicit",
    "ode",
    "quadrature",
    "riccati",
    "root",
    "sums",
    "tridiagonal",
]
