"""Generic numerics for equilibria: roots with exact derivatives, continuation, quadrature, blocks.

Nothing here knows economics, and nothing here imports ``diffeq``.
"""

from solvers import blocks, continuation, cubic, implicit, quadrature, root

__all__ = ["blocks", "continuation", "cubic", "implicit", "quadrature", "root"]
