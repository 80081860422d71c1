"""Generic numerics for equilibria: roots with exact derivatives, and what their models need.

Roots: ``root``, ``cubic``, ``continuation``, ``implicit``. Flows in time: ``ode``, ``riccati``,
``tridiagonal``. Integrals and interpolation: ``quadrature``, ``chebyshev``. Batches: ``blocks``,
``devices``. Nothing here knows economics, and nothing here imports ``diffeq``.
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
    "tridiagonal",
]
