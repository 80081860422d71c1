"""Two lognormal signals and the market's prior, from the option quotes of one expiry.

The insider knows whether the underlying's volatility will be sigma_1 or the lower sigma_2; both
distributions have the forward F for mean. After he has traded, the expected state prices are those
of a mixture (:mod:`diffeq.contingent.lognormal`):

    E P = m eta_1 + (1 − m) eta_2,    m = E_k[q_1](prior),    k the signal he saw.

So a smile fixes sigma_1, sigma_2 and m. The search runs in m, which rises with the prior from 0 to
1; the prior is found by inverting the equilibrium, its error by the derivative. What stays free:

* the noise: prices do not depend on it (orders do, W ∝ sigma, and impact, Lambda ∝ 1/sigma);
* which signal was seen: each reading has its own prior, and fits equally well;
* what the signals are called: signal 1 is the more volatile, by convention.

Equal means make the smile nearly symmetric in log strike. The skew that quotes usually have is not
in the model: the same fit with free means, the plain lognormal mixture, tells how much that is.
(The mixture is a game as well, of signals that differ in mean too: fits cannot tell them apart.)

Reference: Keller & Tseng (2024), section 7, for the smile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.calibrate import Calibration, Domain, calibrate_many, domains
from diffeq.check import Info
from diffeq.contingent import chains, lognormal
from diffeq.empirical.readers.records import Floats, OptionChain
from diffeq.empirical.readers.tables import TableSource

if TYPE_CHECKING:
    from diffeq.empirical.smile import Smile

TOLERANCE = 1e-8
"""Of the searches: elasticity of the squared misfit, far below what quotes can tell."""
MOST_STEPS = 300
"""Of each start; a useful one needs some 50."""
LOWEST_RATIO = 0.1
"""Of sigma_2/sigma_1: beyond, signal 1 is ruin rather than a volatility; the fit says "at edge"."""
BLOCK = 96
"""Strikes are padded to a multiple of this, with weight zero: fits share their programs."""


class Mixture(NamedTuple):
    """What is estimated: two lognormals whose mixture has mean F."""

    sigma_1: Any
    """Volatility of component 1, per √year, > 0."""
    ratio: Any
    """sigma_2/sigma_1, in (0.1, 1)."""
    weight: Any
    """Probability of component 1, in (0, 1)."""
    tilt: Any
    """Log-odds of component 1's share of F, less those of its weight: 0 is equal means. The model
    of two signals ignores it, and its fit reports it as not identified."""


DOMAINS: dict[str, Domain] = {
    "sigma_1": domains.Positive(),
    "ratio": domains.Interval(LOWEST_RATIO, 1.0),
    "weight": domains.UnitInterval(),
    "tilt": domains.Real(0.1),
}


class SmileCalibration(NamedTuple):
    """Signals fitted to a smile; ``print`` it."""

    sigma_1: float
    """Volatility under signal 1, per √year: the higher."""
    sigma_2: float
    """Volatility under signal 2, per √year."""
    prior: float
    """Of signal 1 before the trade, if the insider saw ``signal``."""
    weight: float
    """m, of signal 1 in the expected prices: what the quotes say, whoever saw what."""
    standard_errors: dict[str, float]
    """Of the four, robust to unequal variance, not to misfit in long waves (skew); NaN where the
    quotes do not identify one."""
    signal: int
    """Which the insider is taken to have seen."""
    prior_by_signal: tuple[float, float]
    """The prior if he saw signal 1, and if he saw signal 2: the fit is the same."""
    volatility: Floats
    """Fitted implied volatility at the smile's strikes, shape (n,)."""
    mixture_volatility: Floats
    """The plain mixture's, shape (n,)."""
    rmse: float
    """Of the fit, in implied-volatility points (0.01), weighted as the fit is."""
    mixture_rmse: float
    """Of the plain mixture."""
    smile: Smile
    """The quotes: forward, volatilities, weights, and the account of what was left out."""
    fit: Calibration
    """The engine's result for it: a :class:`Mixture`, starts, identification."""
    mixture: Calibration
    """The plain mixture's."""
    info: Info
    """Whether the fit converged; residual of the equilibrium condition at the prior."""

    def __str__(self) -> str:
        return _report(self)


class _Quotes(NamedTuple):
    strike: Any  # (n,)
    volatility: Any  # (n,)
    root_weight: Any  # (n,), mean square one, times 100: points
    forward: Any
    years: Any
    free: Any  # 1 where the means are free, 0 where equal


def calibrate_smile(
    chain: Smile | OptionChain | TableSource,
    *,
    expiry: Any = None,
    as_of: Any = None,
    discount: float | None = None,
    signal: int | None = None,
    num_starts: int = 8,
    key: jax.Array | None = None,
    progress: bool = False,
) -> SmileCalibration:
    """Fit (sigma_1, sigma_2, prior) to the smile of one expiry, by gradient, in volatility points.

    Args:
      chain: a :class:`~diffeq.empirical.smile.Smile` (it has filters of its own); or option quotes
        from :func:`~diffeq.empirical.readers.options.chain`, or what that reads; or a table or file
        with columns strike, type, expiry, and bid, ask or mid. Bids and asks weight the strikes by
        (vega/spread)²; mids count alike.
      expiry: date; may be left out where the chain has one only.
      as_of: moment of valuation, "2015-12-24T12:00"; may be left out where quotes are dated.
      discount: of a unit paid at expiry, if known; else from put–call parity.
      signal: which the insider saw, 1 (the more volatile) or 2; it changes the prior, not the fit.
        Default: the one that prices hold for likelier, which needs no extreme prior.
      num_starts: starts of the search, the first from the range of quoted volatilities.
      key: random key of the others; default ``jax.random.key(0)``.
      progress: show a progress bar.

    Returns:
      :class:`SmileCalibration`; ``smile.report`` counts what was left out of the chain.

    Raises:
      ValueError: fewer than five strikes left; what the reader and
        :func:`~diffeq.empirical.smile.smile` refuse: blank, crossed or repeated quotes, an expiry
        that the chain does not have.
    """
    if signal not in (None, 1, 2):
        raise ValueError(f"signal: expected 1, 2 or None, got {signal!r}")
    smile = chains.smile_of(chain, expiry, as_of, discount)
    n, fewest = len(smile.strike), len(Mixture._fields) + 1
    if n < fewest:
        short = f"chain: expected at least {fewest} usable strikes, got {n}; of the quotes:"
        raise ValueError(f"{short}\n{smile.report}")
    highest, lowest = 1.1 * smile.volatility.max(), 0.8 * smile.volatility.min()
    starts = [
        Mixture(highest, max(lowest / highest, 2 * LOWEST_RATIO), 0.5, 0.0),
        Mixture(1.3 * np.median(smile.volatility), 0.45, 0.25, -0.1),
    ]
    quotes = _stacked([_quotes(smile, free) for free in (0.0, 1.0)])
    fit, mixture = calibrate_many(
        _misfit,
        _stacked(starts),
        quotes,
        domains=DOMAINS,
        loss_is="residuals",
        errors="robust",
        num_starts=num_starts,
        key=jax.random.key(0) if key is None else key,
        tolerance=TOLERANCE,
        max_steps=MOST_STEPS,
        progress=progress,
    )
    fitted = np.asarray(_fitted(_stacked([fit.params, mixture.params]), quotes))
    sigma_1, ratio, weight = (float(x) for x in fit.params[:3])
    signal = signal or (1 if weight >= 0.5 else 2)
    readings = [lognormal.implied_prior(weight, signal=k) for k in (1, 2)]
    read = readings[signal - 1]
    return SmileCalibration(
        sigma_1=sigma_1,
        sigma_2=ratio * sigma_1,
        prior=read.prior,
        weight=weight,
        standard_errors=_errors(fit, smile, read.slope),
        signal=signal,
        prior_by_signal=(readings[0].prior, readings[1].prior),
        volatility=fitted[0, :n],
        mixture_volatility=fitted[1, :n],
        rmse=float(np.sqrt(fit.loss / n)),
        mixture_rmse=float(np.sqrt(mixture.loss / n)),
        smile=smile,
        fit=fit,
        mixture=mixture,
        info=Info(read.info.converged & fit.converged, read.info.residual),
    )


def _stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(x, float) for x in leaves]), *trees)


def _quotes(smile: Smile, free: float) -> _Quotes:
    edge = (0, -len(smile.strike) % BLOCK)
    strike, volatility = (np.pad(x, edge, mode="edge") for x in (smile.strike, smile.volatility))
    root_weight = np.pad(100 * np.sqrt(smile.weights * len(smile.strike)), edge)
    return _Quotes(strike, volatility, root_weight, smile.forward, smile.years, free)


def _misfit(params: Mixture, quotes: _Quotes) -> jax.Array:
    """In volatility points, weighted."""
    return (_volatility(params, quotes) - quotes.volatility) * quotes.root_weight


def _volatility(params: Mixture, quotes: _Quotes) -> jax.Array:
    sigma_1, ratio, weight, tilt = params
    share = jax.nn.sigmoid(jnp.log(weight) - jnp.log1p(-weight) + quotes.free * tilt)
    both = sigma_1, ratio * sigma_1, weight, share
    return lognormal.mixture_volatility(quotes.strike, quotes.forward, quotes.years, *both)


_fitted = jax.jit(jax.vmap(_volatility))


def _errors(fit: Calibration, smile: Smile, slope: float) -> dict[str, float]:
    """Standard errors in the model's own numbers, by the delta method."""
    k, n = fit.identification.rank, len(smile.strike)
    padded = n + -n % BLOCK
    freedom = np.sqrt(n / (n - k) * (padded - k) / padded)  # the engine counts the padding too
    error_1, ratio_error, weight_error = (float(x) for x in fit.standard_errors[:3])
    covariance, (sigma_1, ratio) = fit.covariance[0, 1], fit.params[:2]
    if "ratio" in fit.identification.at_edge:  # held there
        covariance = ratio_error = 0.0
    if _is_level(fit, smile):
        weight_error = np.nan
    cross = 2 * ratio * sigma_1 * covariance
    error_2 = np.sqrt((ratio * error_1) ** 2 + (sigma_1 * ratio_error) ** 2 + cross)
    errors = (error_1, error_2, slope * weight_error, weight_error)
    names = ("sigma_1", "sigma_2", "prior", "weight")
    return {name: float(freedom * e) for name, e in zip(names, errors, strict=True)}


def _is_level(fit: Calibration, smile: Smile) -> bool:
    """Whether one volatility fits as well as two, to 1e-6 of the misfit or 1e-4 points."""
    off = 100 * (smile.volatility - smile.weights @ smile.volatility)
    alone, n = float(smile.weights @ off**2), len(off)
    return alone - fit.loss / n <= 1e-6 * alone + 1e-8


def _report(found: SmileCalibration) -> str:
    """The estimates, what they rest on, and what no price can tell."""
    smile, errors = found.smile, found.standard_errors
    meaning = {
        "sigma_1": "volatility under signal 1, per √year",
        "sigma_2": "volatility under signal 2",
        "prior": f"of signal 1, before an insider who saw signal {found.signal} traded",
        "weight": "of signal 1 in the expected prices after it",
    }
    setting = f"{len(smile.strike)} strikes, forward {smile.forward:.6g}, {smile.years:.4f} years"
    lines = [setting, f"{'':<8} {'estimate':>9} {'std. error':>10}"]
    for name, words in meaning.items():
        error = f"{errors[name]:.2g}" if np.isfinite(errors[name]) else "-"
        lines.append(f"{name:<8} {getattr(found, name):>9.4g} {error:>10}  {words}")
    first, second = found.prior_by_signal
    lines += [
        f"misfit (weighted RMSE) {found.rmse:.3g} volatility points; plain lognormal mixture, its "
        f"means free: {found.mixture_rmse:.3g}",
        _state("fit", found.fit),
        _state("mixture", found.mixture),
        *_finding(found),
        "prices cannot tell the noise (demand grows with it, impact falls), nor which signal was "
        f"seen: prior {first:.3g} if signal 1, {second:.3g} if signal 2",
        str(smile.report),
    ]
    return "\n".join(lines)


def _state(name: str, fit: Calibration) -> str:
    ended = f"{name} {'' if fit.converged else 'NOT '}converged: {fit.reason}; "
    return f"{ended}{int(fit.starts.converged.sum())} of {len(fit.starts.loss)} starts converged"


def _finding(found: SmileCalibration) -> list[str]:
    """What the quotes identify, in words."""
    known = found.fit.identification
    if _is_level(found.fit, found.smile):
        return ["not identified: sigma_2, prior (one volatility fits as well as two: no smile)"]
    named = {*known.identified_parameters, *known.at_edge}
    if not {"sigma_1", "ratio", "weight"} <= named or not known.is_minimum:
        return str(known).split("\n")
    if "ratio" in known.at_edge:
        held = f"sigma_1 is held at {1 / LOWEST_RATIO:g} sigma_2, a larger one fits better still: "
        return [held + "the quotes do not tell how rare signal 1 is from how wild"]
    return ["identified: sigma_1, sigma_2, and the prior given which signal was seen"]
