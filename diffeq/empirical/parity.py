"""Put–call parity: forward and discount from option quotes, C − P = D (F − K)."""

from typing import NamedTuple

import numpy as np

from diffeq.empirical.readers.records import Floats


class Parity(NamedTuple):
    """Forward and discount of one expiry, from put–call parity."""

    forward: float
    "F, price units"
    discount: float
    "D, price now of one unit at expiry"
    forward_error: float
    """standard error of F from the scatter of the pairs, whatever their variances; NaN where
    outliers leave too few. Quotes that are all old, or American, err together: not counted here"""
    discount_error: float
    "standard error of D; 0 where D was given"
    num_pairs: int
    "strikes with a call and a put"
    num_outliers: int
    "pairs given weight zero"
    residual: float
    "median |C − P − D(F − K)|, price units"


def regress(
    strike: Floats, difference: Floats, error: Floats, discount: float | None = None
) -> Parity:
    """Fit C − P = D (F − K) robustly: Tukey's bisquare, from the median of pairwise slopes.

    Args:
      strike: K, distinct, shape (n,).
      difference: C − P, shape (n,).
      error: how uncertain each is, up to a factor (half spreads), > 0, shape (n,).
      discount: D if known, > 0.

    Raises:
      ValueError: no more pairs than unknowns, or a discount that is not, or does not come out,
        positive.

    Reference: Holland & Welsch (1977), Communications in Statistics A6, 813–827; Theil (1950).
    """
    if discount is not None and not 0 < discount < np.inf:
        raise ValueError(f"discount: expected a finite positive number, got {discount}")
    num_unknown = 2 if discount is None else 1
    if strike.size <= num_unknown:
        raise ValueError(
            f"expected at least {num_unknown + 1} strikes with a usable call and put to find "
            f"{'forward and discount' if discount is None else 'the forward'} by put–call parity, "
            f"got {strike.size}" + (" (2 do with the discount given)" if discount is None else "")
        )
    centre = np.average(strike, weights=error**-2)
    k, n = strike - centre, strike.size
    if discount is None:
        i, j = np.triu_indices(n, 1)
        slope = float(np.median((difference[j] - difference[i]) / (k[j] - k[i])))
        X = np.column_stack([np.ones(n), k])
    else:
        slope, X = -discount, np.ones((n, 1))
    level = float(np.median(difference - slope * k))
    for _ in range(50):
        before = slope, level
        r = (difference - level - slope * k) / error
        scale = max(1.4826 * float(np.median(np.abs(r))), 1e-6)
        u = np.minimum(np.abs(r) / (4.685 * scale), 1)
        weights = ((1 - u**2) / error) ** 2
        known = 0.0 if discount is None else slope * k
        level, *rest = np.linalg.solve((X.T * weights) @ X, X.T @ (weights * (difference - known)))
        slope = rest[0] if rest else slope
        if np.allclose((slope, level), before, rtol=1e-14, atol=0):
            break
    D = -float(slope)
    if not D > 0:
        raise ValueError(
            f"difference: call minus put does not fall with the strike (discount {D:.3g})"
        )
    # the M-estimator's sandwich, whose bread is the derivative of u(1 − u²)² (Huber 1981, 7.6)
    bread = np.linalg.pinv((X.T * ((1 - u**2) * (1 - 5 * u**2) / error**2)) @ X)
    scores = X * (weights * (difference - level - slope * k))[:, None]
    used = int(np.count_nonzero(u < 1))
    spare = used - X.shape[1]
    covariance = bread @ scores.T @ scores @ bread * (used / spare if spare > 0 else np.nan)
    gradient = np.array([1 / D, level / D**2])[: X.shape[1]]  # of F = centre + level/D
    return Parity(
        forward=float(centre + level / D),
        discount=D,
        forward_error=float(np.sqrt(gradient @ covariance @ gradient)),
        discount_error=float(np.sqrt(covariance[1, 1])) if discount is None else 0.0,
        num_pairs=n,
        num_outliers=n - used,
        residual=float(np.median(np.abs(difference - level - slope * k))),
    )
