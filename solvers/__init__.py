"""Generic numerics for equilibria: roots with exact derivatives, quadrature, batches in blocks.

Nothing here knows economics, and nothing here imports ``diffeq``.
"""

from solvers import blocks, cubic, implicit, quadrature, root

__all__ = ["blocks", "cubic", "implicit", "quadrature", "root"]
