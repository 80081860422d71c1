"""The exponential of a tridiagonal matrix with non-negative off-diagonals, to the last component.

w(t) = exp(tM) w(0), w(0) > 0, has positive components that may span hundreds of orders of
magnitude. Eigenvectors, Padé and other rational approximations err by a rounding of the largest
component, which is wrong in every digit of the small ones. Here every term is positive, so nothing
cancels and each component is right to its own last digits:

    exp(hM) w = exp(−h Lam) Σ_j (h (M + Lam I))^j w / j!,    Lam = max_q(−M_qq)

over steps h small enough for the series to stay in range, summed by Horner's rule
(:mod:`solvers.tridiagonal.in_range`). Where components leave the floating range, each is kept as
mantissa and exponent (:mod:`solvers.tridiagonal.by_exponents`).

Reference: uniformisation: Grassmann (1977), Computers & Operations Research 4, 47–53. Horner's rule
in powers of a matrix: Paterson & Stockmeyer (1973), SIAM Journal on Computing 2, 60–66.
"""

import jax
import jax.numpy as jnp
from jax import lax

from solvers.tridiagonal.by_exponents import by_exponents
from solvers.tridiagonal.in_range import in_range
from solvers.tridiagonal.steps import MOST, LogVector, Tridiagonal

__all__ = ["MOST", "LogVector", "Tridiagonal", "log_exponential"]


def log_exponential(matrix: Tridiagonal, log_start: jax.Array, times: jax.Array) -> LogVector:
    """log of exp(tM) exp(log_start) at each of ``times``, every component to its own last digits.

    Args:
      matrix: M, of order n ≥ 2.
      log_start: log w(0), finite, shape (..., n).
      times: t ≥ 0, not decreasing, shape (..., m).

    Returns:
      :class:`LogVector`; NaN where an entry is, or where :data:`MOST` is passed. The work is some 3
      (Lam + off-diagonals) t + 50 products with M over each interval, the same for all lanes of a
      batch: keep unlike ones apart. Forward mode differentiates it in everything, to every order; a
      reverse mode is for the caller to build from columns, who knows the few parameters behind M.

    Reference: Grassmann (1977), Computers & Operations Research 4; see the module.

    >>> M = Tridiagonal(jnp.zeros(2), jnp.ones(1), jnp.ones(1))  # exp(tM) (1, 1) = e^t (1, 1)
    >>> w = log_exponential(M, jnp.zeros(2), jnp.ones(1))
    >>> round(float(w.shape[0, 0] + w.level[0]), 6)
    1.0
    """
    plain, fits = in_range(matrix, log_start, times)
    result: LogVector = lax.cond(
        jnp.all(fits), lambda *_: plain, by_exponents, matrix, log_start, times
    )
    return result
