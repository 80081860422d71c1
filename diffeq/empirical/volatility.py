"""Volatility of an arithmetic price, with and without the noise of bid–ask bounce.

Observed Y_i = X_i + e_i, i = 0..n: a price X with dX = sigma dW, seen with noise e of variance w².

    RV   = Σ (Y_i − Y_{i−1})²                    estimates ∫sigma² dt + 2 n w²
    TSRV = (RV_avg − (n̄/n) RV)/(1 − n̄/n),        RV_avg = (1/K) Σ_{i≥K} (Y_i − Y_{i−K})²,
           n̄ = (n − K + 1)/K                     estimates ∫sigma² dt

K balances the noise left against the returns averaged away, K* = (12 w⁴/Q)^(1/3) n^(2/3), Q = T∫
sigma⁴ dt. TSRV is RV plus (2/(K−1)) Σ_l (K−l) γ_l, γ_l the autocovariances of returns, hence

    Var TSRV = (Q/n) (2 + (2/3) K (2K−1)/(K−1)) + 8 n w⁴/(K−1)² + 8 w² ∫sigma² dt/K,

whose leading terms are the published (4/3)(K/n) Q + 8 n w⁴/K².

Units: prices in price units, time in seconds (or whatever unit the duration is in): sigma comes in
price units per √second. Host functions: numpy in, numbers out.

Reference: Zhang, Mykland & Aït-Sahalia (2005), JASA 100, 1394–1411, sections 2 to 4; Barndorff-
Nielsen & Shephard (2002), J. R. Statist. Soc. B 64, 253–280, for the error of RV.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info
from diffeq.empirical.readers.records import Floats

__all__ = ["Realised", "TwoScale", "realised", "two_scale"]


class Realised(NamedTuple):
    """Realised variance of n returns: right where prices carry no noise."""

    sigma: float
    """Volatility sqrt(RV/T), price units per √second."""
    se_sigma: float
    """Its standard error."""
    variance: float
    """RV, price units squared over the whole record."""
    se_variance: float
    """Its standard error, sqrt((2/3) Σ r⁴)."""
    num_returns: int
    """n."""
    info: Info
    """Whether the variance is positive; 0."""


class TwoScale(NamedTuple):
    """Two-scale realised variance of n returns: robust to noise."""

    sigma: float
    """Volatility sqrt(TSRV/T), price units per √second; NaN where TSRV is negative."""
    se_sigma: float
    """Its standard error."""
    variance: float
    """TSRV, price units squared over the whole record; it may be negative, and is then flagged. The
    first and last K returns count for less: of a constant sigma it finds (n − K + 1)/(n + 1)."""
    se_variance: float
    """Its standard error, as in the module's formula."""
    noise_variance: float
    """w² = (RV − TSRV)/(2n), price units squared, not below 0; of a bounce ±s/2 it is s²/4."""
    se_noise_variance: float
    """Its standard error sqrt(E e⁴/n), E e⁴ from the fourth moment of returns."""
    num_lags: int
    """K."""
    num_returns: int
    """n."""
    info: Info
    """Whether the variance is positive; how far below 0 it lies, over RV."""


def realised(price: Any, duration: float) -> Realised:
    """Realised variance and the volatility it means.

    Args:
      price: in time order, price units (mids, say), shape (n + 1,), n ≥ 1.
      duration: T > 0, from the first price to the last, in seconds.

    Returns:
      :class:`Realised`. Noise in the prices adds 2 n w²: see :func:`two_scale`.

    Raises:
      ValueError, TypeError: fewer than two prices, one that is not finite, a T that is not > 0.

    Reference: Barndorff-Nielsen & Shephard (2002).

    >>> round(realised([10.0, 10.1, 10.0, 10.2], 6.0).sigma, 6)  # sqrt(.06/6)
    0.1
    """
    price, T = _checked(price, duration, 2)
    r = np.diff(price)
    variance, se = float(r @ r), float(np.sqrt(np.sum(r**4) / 1.5))
    sigma, se_sigma = _volatility(variance, se, T)
    return Realised(
        sigma, se_sigma, variance, se, r.size, Info(jnp.asarray(variance > 0), jnp.zeros(()))
    )


def two_scale(price: Any, duration: float, *, num_lags: int | None = None) -> TwoScale:
    """Two-scale realised variance, the volatility and the noise it means.

    Args:
      price: in time order, price units (mids or trade prices), shape (n + 1,), n ≥ 8.
      duration: T > 0, from the first price to the last, in seconds.
      num_lags: K, 2 ≤ K ≤ n/2; default the nearest to K*.

    Returns:
      :class:`TwoScale`; ``info.converged`` False, sigma NaN where TSRV ≤ 0.

    Raises:
      ValueError, TypeError: too few prices, one that is not finite, a T or K out of range.

    Reference: Zhang, Mykland & Aït-Sahalia (2005), equations (55), (58) and (63).
    """
    price, T = _checked(price, duration, 9)
    r = np.diff(price)
    n, RV = r.size, float(r @ r)
    if num_lags is None:
        Q = _quarticity(price, RV, max(2, n // 64))
        K = int(np.clip(round(best_lags(n, RV / (2 * n), Q)), 2, n // 2))
    else:
        K = validate.count("num_lags", num_lags, minimum=2)
        if n // 2 < K:
            raise ValueError(f"num_lags: expected at most n/2 = {n // 2}, got {K}")
    variance = _tsrv(price, RV, K)
    w2 = max(RV - variance, 0.0) / (2 * n)
    kept = max(variance, 0.0)
    Q = _quarticity(price, RV, max(K, n // 64))
    se = np.sqrt(
        Q / n * (2 + K * (2 * K - 1) / (1.5 * (K - 1)))
        + 8 * n * w2**2 / (K - 1) ** 2
        + 8 * w2 * kept / K
    )
    fourth = max(float(np.mean(r**4)) / 2 - 3 * w2**2, 0.0)  # E r⁴ = 2 E e⁴ + 6 w⁴
    sigma, se_sigma = _volatility(variance, float(se), T)
    short = max(-variance, 0.0) / RV if RV > 0 else 0.0
    return TwoScale(
        sigma,
        se_sigma,
        variance,
        float(se),
        w2,
        float(np.sqrt(fourth / n)),
        K,
        n,
        Info(jnp.asarray(variance > 0), jnp.asarray(short)),
    )


def best_lags(n: int, noise_variance: float, quarticity: float) -> float:
    """K* = (12 w⁴/(T∫sigma⁴))^(1/3) n^(2/3), (58); 0 where nothing moved.

    >>> round(best_lags(1000, 0.25, 0.75), 9)  # (12 · .0625/.75)^(1/3) · 100
    100.0
    """
    if not quarticity > 0:
        return 0.0
    return float(np.cbrt(12 * noise_variance**2 / quarticity) * n ** (2 / 3))


def _tsrv(price: Floats, RV: float, K: int) -> float:
    """(RV_avg − (n̄/n) RV)/(1 − n̄/n), equations (55) and (63)."""
    n = price.size - 1
    apart = price[K:] - price[:-K]
    share = (n - K + 1) / K / n
    return (float(apart @ apart) / K - share * RV) / (1 - share)


def _quarticity(price: Floats, RV: float, K: int) -> float:
    """T∫sigma⁴ dt from returns over K ticks, less the noise; at least (∫sigma² dt)².

    (n̄/3) Σ r⁴ of a grid of n̄ returns of variance s_i + 2w² estimates Q + 4 w² n̄ ∫sigma² + 4 w⁴ n̄².
    """
    n = price.size - 1
    K = min(K, n // 2)
    variance = _tsrv(price, RV, K)
    bars, w2 = (n - K + 1) / K, max(RV - variance, 0.0) / (2 * n)
    raw = bars / 3 * float(np.sum((price[K:] - price[:-K]) ** 4)) / K
    return max(raw - 4 * w2 * bars * variance - 4 * w2**2 * bars**2, variance**2)


def _volatility(variance: float, se: float, T: float) -> tuple[float, float]:
    """sqrt(V/T) and its error by the delta method; NaN below 0."""
    if variance <= 0:
        return (0.0, 0.0) if variance == 0 else (float("nan"), float("nan"))
    sigma = float(np.sqrt(variance / T))
    return sigma, se / (2 * sigma * T)


def _checked(price: Any, duration: Any, least: int) -> tuple[Floats, float]:
    price = validate.array("price", price)
    if np.ndim(price) != 1 or np.size(price) < least:
        raise ValueError(f"price: expected shape (n,), n ≥ {least}, got {np.shape(price)}")
    validate.finite("price", price)
    duration = validate.array("duration", duration)
    if np.ndim(duration) != 0:
        raise ValueError(f"duration: expected a number of seconds, got shape {np.shape(duration)}")
    validate.positive("duration", duration)
    return np.asarray(price, np.float64), float(duration)
