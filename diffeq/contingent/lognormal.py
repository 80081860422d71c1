"""Two lognormal signals of one mean: the smile after an insider who knows which has traded.

Signal 1 says that the underlying's volatility is sigma_1, signal 2 that it is sigma_2. Demand and
posteriors depend on the prior alone (:mod:`diffeq.contingent.two_signals`), expected state prices
are those of a mixture,

    E P = m eta_1 + (1 − m) eta_2,    m = E_k[q_1](prior),    k the signal he saw,

so each option costs m times its price under sigma_1 plus 1 − m times that under sigma_2.

Reference: Keller & Tseng (2024), section 7.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.contingent import black, two_signals


def expected_weight(prior: Any, *, signal: int) -> jax.Array:
    """m = E_k[q_1], the weight of signal 1 in expected prices after an insider who saw signal k.

    It rises from 0 to 1 with the prior: above it for k = 1, below for k = 2.

    Args:
      prior: market maker's probability of signal 1, in (0, 1), scalar; differentiable.
      signal: k, 1 or 2.

    >>> [round(float(expected_weight(0.5, signal=k)), 5) for k in (1, 2)]
    [0.7752, 0.2248]
    """
    if signal not in (1, 2):
        raise ValueError(f"signal: expected 1 or 2, got {signal!r}")
    value = validate.array("prior", prior)
    if value is None or value.shape != ():
        raise ValueError(f"prior: expected a number, got {prior!r}; use jax.vmap for a batch")
    validate.positive("prior", value)
    validate.positive("1 - prior", 1 - value)
    prior = jnp.asarray(value, jnp.result_type(float, prior))
    return weight(prior, jnp.asarray(signal == 1))


class Implied(NamedTuple):
    """A prior read off an expected weight."""

    prior: float
    """Of signal 1; 0 or 1 where it is nearer to that than can be told."""
    slope: float
    """Derivative of the prior in the weight; NaN there."""
    info: Info
    """converged; residual of the equilibrium condition."""


def implied_prior(weight: float, *, signal: int) -> Implied:
    """The prior at which :func:`expected_weight` is ``weight``; concrete.

    A prior of 4e-44 of what the insider saw still leaves it .036 of the weight; less is of no prior
    that can be told from 0.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight: expected a number in [0, 1], got {weight}")
    seen = weight if signal == 1 else 1 - weight
    low, high = -100.0, 36.0  # log-odds; 36 is 1 to rounding
    value, slope, info = _of_seen_at(low)
    if seen <= value:
        return Implied(0.0 if signal == 1 else 1.0, np.nan, info)
    for _ in range(60):  # on the host: a compiled search would take longer to compile
        middle = (low + high) / 2
        value, slope, info = _of_seen_at(middle)
        low, high = (middle, high) if value < seen else (low, middle)
    prior = 1 / (1 + np.exp(-low if signal == 1 else low))
    return Implied(float(prior), float(prior * (1 - prior) / slope), info)


@jax.jit
def _of_seen_at(log_odds: jax.Array) -> tuple[jax.Array, jax.Array, Info]:
    """E_1[q_1], its derivative in the log-odds of prior_1, and how x was found."""

    def of_seen(log_odds: jax.Array) -> tuple[jax.Array, Info]:
        value, info = _of_seen(jax.nn.sigmoid(jnp.stack([log_odds, -log_odds])))
        return value, info

    (value, info), slope = jax.value_and_grad(of_seen, has_aux=True)(log_odds)
    return value, slope, info


@jax.jit
def weight(prior: jax.Array, saw_first: jax.Array) -> jax.Array:
    """:func:`expected_weight` with the signal seen as a traced bool."""
    seen = jnp.where(saw_first, prior, 1 - prior)
    of_seen, _ = _of_seen(jnp.stack([seen, 1 - seen]))
    return jnp.where(saw_first, of_seen, 1 - of_seen)


def _of_seen(prior: jax.Array) -> tuple[jax.Array, Info]:
    """E_1[q_1] of a prior of shape (2,), and how the equilibrium was found."""
    x, info = two_signals.scale(prior)
    mean, _ = two_signals.moments(prior, x)
    return poison(mean[0, 0], info.converged, prior), Info(info.converged, info.residual)


def mixture_volatility(
    strike: Any,
    forward: Any,
    years: Any,
    sigma_1: Any,
    sigma_2: Any,
    weight: Any,
    share: Any = None,
) -> jax.Array:
    """Implied volatility under a mixture of two lognormals with mean F.

    Args:
      strike: K > 0, shape (n,).
      forward: F > 0.
      years: time to expiry, > 0.
      sigma_1: volatility of component 1, per √year, > 0.
      sigma_2: of component 2.
      weight: probability of component 1, in (0, 1).
      share: of F that component 1 brings: its mean is F share/weight. Default: equal means.

    Returns:
      Shape (n,), differentiable in all; with equal means between the two volatilities.
    """
    strike = jnp.asarray(strike)
    is_call = strike >= forward
    weights = jnp.stack([jnp.asarray(weight), 1 - weight])
    shares = weights if share is None else jnp.stack([jnp.asarray(share), 1 - share])
    means, sigmas = forward * shares / weights, jnp.stack([jnp.asarray(sigma_1), sigma_2])
    each = black.black(means[:, None], strike[None], sigmas[:, None], years, is_call[None])
    price = weights @ each
    return black.implied_volatility(price, forward, strike, years, is_call).volatility
