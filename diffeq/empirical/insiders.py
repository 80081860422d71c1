"""Parameters of Kyle and Holden–Subrahmanyam by gradient: from paths of the model, or from a tape.

What each kind of data can identify (for N ≥ 2 auctions):

* an impact path lambda_n: num_insiders from its shape, sigma_v/sigma_u from its level; with N = 1
  only (sigma_v/sigma_u) sqrt(M)/(M+1);
* an error-variance path Sigma_n: sigma_v and num_insiders, nothing about sigma_u;
* flows and price changes: everything, sharply once num_insiders is given.

The result says so itself (``fit.identification``): a parameter that the data leave free has the
standard error NaN, and the combination that they fix is named, so that no arbitrary point passes
for an estimate. Kyle (1985) is ``num_insiders=1.0``.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import holden, validate
from diffeq.calibrate import Calibration, Domain, Fixed, Positive, calibrate

__all__ = [
    "TapeParams",
    "calibrate_error_variance_path",
    "calibrate_impact_path",
    "calibrate_tape",
    "check_num_insiders",
    "tape_log_loss",
]


class TapeParams(NamedTuple):
    """Holden–Subrahmanyam on a tape: the model and the price moves that flow does not explain."""

    sigma_v: Any
    """Standard deviation of the value the insiders trade on, in price units."""
    sigma_u: Any
    """Standard deviation of noise orders over the whole tape, in asset units."""
    num_insiders: Any
    """M."""
    sigma_e: Any
    """Standard deviation over the tape of price moves unrelated to flow (public news, ticks)."""


class _Path(NamedTuple):
    observed: Any  # (N,)
    error: Any  # standard errors (N,), or None for relative residuals
    dt: Any  # (N,)


class _Tape(NamedTuple):
    price_change: Any  # (D, N)
    flow: Any  # (D, N)
    dt: Any  # (N,)


def calibrate_impact_path(
    impact: Any,
    *,
    standard_errors: Any = None,
    num_insiders: float | None = None,
    spacing: Any = None,
    num_starts: int = 8,
    key: jax.Array | None = None,
    progress: bool = False,
) -> Calibration:
    """Fit (sigma_v, sigma_u, num_insiders) to price impacts lambda_n of N auctions.

    Args:
      impact: lambda_n, shape (N,), in price units per unit of flow; positive, unless
        ``standard_errors`` are given.
      standard_errors: of each lambda_n, shape (N,): then weighted least squares on levels with
        known errors; without, least squares on logs.
      num_insiders: M if known (1 for Kyle); else estimated.
      spacing: as in :func:`diffeq.holden.solve`.
      num_starts: starts of the search, the first from the level of the path.
      key: random key of the other starts; default ``jax.random.key(0)``.
      progress: show a progress bar.

    Returns:
      :class:`diffeq.calibrate.Calibration` whose params are a :class:`diffeq.holden.Params`. Only
      the ratio sigma_v/sigma_u is identified, never the two by themselves.

    Raises:
      ValueError: a path or error that is not finite, not positive, or of the wrong shape.
    """
    check_num_insiders(num_insiders)
    path = _path("impact", impact, standard_errors, spacing)
    level = float(np.exp(np.mean(np.log(np.abs(np.asarray(path.observed, float)) + 1e-300))))
    search: dict[str, Any] = dict(num_starts=num_starts, key=key, progress=progress)
    if standard_errors is None:
        return _fit_path(_impact_logs, path, level, num_insiders, **search)
    search["loss_is"] = "negative_log_likelihood"
    return _fit_path(_impact_levels, path, level, num_insiders, **search)


def calibrate_error_variance_path(
    Sigma: Any,
    *,
    num_insiders: float | None = None,
    spacing: Any = None,
    num_starts: int = 8,
    key: jax.Array | None = None,
    progress: bool = False,
) -> Calibration:
    """Fit (sigma_v, num_insiders) to the error variances Sigma_n of N auctions, on logs.

    Args:
      Sigma: Sigma_n > 0, shape (N,), in price units squared.
      num_insiders, spacing, num_starts, key, progress: as in :func:`calibrate_impact_path`.

    Returns:
      :class:`diffeq.calibrate.Calibration`; sigma_u does not enter Sigma_n and is reported as not
      identified.

    Raises:
      ValueError: a path that is not finite, not positive, or of the wrong shape.
    """
    check_num_insiders(num_insiders)
    path = _path("Sigma", Sigma, None, spacing)
    sigma_v = float(np.sqrt(2 * path.observed[0]))
    search: dict[str, Any] = dict(num_starts=num_starts, key=key, progress=progress)
    return _fit_path(_variance_logs, path, sigma_v, num_insiders, **search)


def calibrate_tape(
    price_change: Any,
    signed_flow: Any,
    *,
    num_insiders: float | None = None,
    spacing: Any = None,
    num_starts: int = 8,
    key: jax.Array | None = None,
    progress: bool = False,
) -> Calibration:
    """Fit the model to price changes and signed flows by maximum likelihood.

    Each interval is an auction. In equilibrium flows are independent across auctions, y_n ~ N(0,
    sigma_u² dt_n (1 + r_n)) since they contain the insiders, and the price moves by lambda_n y_n;
    what else moves it is noise of variance sigma_e² dt_n:

        log L = Σ log N(y_n; 0, sigma_u² dt_n (1+r_n)) + log N(Δp_n; lambda_n y_n, sigma_e² dt_n).

    It has no maximum where flow explains every price change exactly, Δp_n = lambda_n y_n for some
    parameters: a tape that the model itself made without noise, or no more than two price changes
    (level and shape of impact fit both). As sigma_e → 0 log L then grows without bound, by log 10 a
    price change for each power of ten; the search ends at rounding, not converged, and neither
    sigma_e nor a standard error means anything. One change left unexplained bounds it.

    Args:
      price_change: Δp_n, shape (N,) or (D, N) for D days of N auctions, in price units.
      signed_flow: y_n, the same shape, in asset units; buys positive.
      num_insiders: M if known (1 for Kyle); else estimated, from the shape of impact over time.
      num_starts: starts of the search, the first from the regression of Δp on y.
      spacing, key, progress: as in :func:`calibrate_impact_path`.

    Returns:
      :class:`diffeq.calibrate.Calibration` whose params are a :class:`TapeParams`.

    Raises:
      ValueError: shapes that differ, values that are not finite, flows or price changes that do not
        vary.
    """
    check_num_insiders(num_insiders)
    tape = _tape(price_change, signed_flow, spacing)
    wide = [np.asarray(x, np.float64) for x in tape[:2]]  # squares would leave float32's range
    (dp, y), N = wide, tape.flow.shape[1]
    slope = float(np.sum(y * dp) / np.sum(y * y))
    # a start for sigma_e even where flow explains every change
    rest = max(float(np.std(dp - slope * y)), 1e-3 * float(np.sqrt(np.mean(dp * dp))))
    M = 1.0 if num_insiders is None else float(num_insiders)
    sigma_u = float(np.sqrt(N * np.mean(y * y) / 2))
    level = abs(slope) or rest / sigma_u
    start = TapeParams(level * sigma_u * (M + 1) / np.sqrt(M) / 2, sigma_u, M, rest * np.sqrt(N))
    return calibrate(
        tape_log_loss,
        start,
        tape,
        domains=_domains(num_insiders) | {"sigma_e": Positive()},
        num_starts=num_starts,
        key=_key(key),
        progress=progress,
    )


def tape_log_loss(params: TapeParams, tape: Any) -> jax.Array:
    """Negative log-likelihood of :func:`calibrate_tape`, one term an auction, shape (D·N,)."""
    model = holden.Params(params.sigma_v, params.sigma_u, params.num_insiders, 0.0)
    solution = holden.solve(model, num_auctions=tape.dt.shape[0], spacing=tape.dt)
    # Var(y_n) = sigma_u² dt_n (1 + r_n), and 1 + r_n = Sigma_{n−1}/Sigma_n
    before = jnp.concatenate([2 * jnp.log(params.sigma_v)[None], solution.log_Sigma[:-1]])
    log_dt = jnp.log(tape.dt)
    flow_log_sd = jnp.log(params.sigma_u) + (log_dt + before - solution.log_Sigma) / 2
    rest_log_sd = jnp.log(params.sigma_e) + log_dt / 2
    rest = tape.price_change - solution.lambda_[None] * tape.flow
    terms = _gaussian(tape.flow, flow_log_sd[None]) + _gaussian(rest, rest_log_sd[None])
    return jnp.ravel(terms)


def _fit_path(
    loss: Any, path: _Path, sigma_v: float, num_insiders: float | None, *, key: Any, **options: Any
) -> Calibration:
    """Fit a path, first from this sigma_v and sigma_u = 1; no path depends on p_0."""
    start = holden.Params(sigma_v, 1.0, 1.5 if num_insiders is None else num_insiders, 0.0)
    domains = _domains(num_insiders) | {"p_0": Fixed()}
    options = {"loss_is": "residuals"} | options
    return calibrate(loss, start, path, domains=domains, key=_key(key), **options)


def _gaussian(x: jax.Array, log_sd: jax.Array) -> jax.Array:
    """Negative log density of N(0, sd²)."""
    z = x * jnp.exp(-log_sd)
    return (np.log(2 * np.pi) + z * z) / 2 + log_sd


def _impact_logs(params: holden.Params, path: _Path) -> jax.Array:
    return _solved(params, path).log_lambda - jnp.log(path.observed)


def _impact_levels(params: holden.Params, path: _Path) -> jax.Array:
    return ((_solved(params, path).lambda_ - path.observed) / path.error) ** 2 / 2


def _variance_logs(params: holden.Params, path: _Path) -> jax.Array:
    return _solved(params, path).log_Sigma - jnp.log(path.observed)


def _solved(params: holden.Params, path: _Path) -> holden.Solution:
    return holden.solve(params, num_auctions=path.dt.shape[0], spacing=path.dt)


def check_num_insiders(num_insiders: float | None) -> None:
    """Raise ValueError unless ``num_insiders`` is None (estimate it) or finite and positive."""
    try:
        fine = num_insiders is None or (np.isfinite(float(num_insiders)) and num_insiders > 0)
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise ValueError(
            f"num_insiders: expected a finite positive number, or None to estimate it, "
            f"got {num_insiders!r}"
        )


def _domains(num_insiders: float | None) -> dict[str, Domain]:
    M: Domain = Positive() if num_insiders is None else Fixed()
    return dict(sigma_v=Positive(), sigma_u=Positive(), num_insiders=M)


def _path(name: str, values: Any, standard_errors: Any, spacing: Any) -> _Path:
    observed = _finite(name, values)
    if observed.ndim != 1 or observed.size == 0:
        raise ValueError(
            f"{name}: expected shape (N,), one value per auction, got {observed.shape}"
        )
    error = None
    if standard_errors is not None:
        error = _finite("standard_errors", standard_errors)
        if error.shape != observed.shape or (error <= 0).any():
            raise ValueError(
                f"standard_errors: expected {observed.shape} positive numbers, got {error}"
            )
    elif (observed <= 0).any():
        n = int(np.argmax(observed <= 0))
        raise ValueError(
            f"{name}[{n}]: expected a positive number, got {observed[n]}; "
            "give standard_errors to fit noisy levels"
        )
    return _Path(observed, error, validate.spacing(spacing, observed.size, observed.dtype))


def _tape(price_change: Any, signed_flow: Any, spacing: Any) -> _Tape:
    dp, y = _finite("price_change", price_change), _finite("signed_flow", signed_flow)
    if dp.shape != y.shape or dp.ndim not in (1, 2) or dp.size == 0:
        raise ValueError(
            "price_change, signed_flow: expected the same shape (N,) or (D, N), "
            f"got {dp.shape} and {y.shape}"
        )
    for name, values in (("price_change", dp), ("signed_flow", y)):
        if not np.any(values != 0):
            raise ValueError(f"{name}: expected values that vary, got zeros only")
    dp, y = np.atleast_2d(dp), np.atleast_2d(y)
    return _Tape(dp, y, validate.spacing(spacing, y.shape[1], y.dtype))


def _finite(name: str, values: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(validate.array(name, values), dtype=jnp.result_type(float))
    if not np.isfinite(array).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name}: expected finite numbers, got {array[first]} at {first}")
    return array


def _key(key: jax.Array | None) -> jax.Array:
    return jax.random.key(0) if key is None else key
