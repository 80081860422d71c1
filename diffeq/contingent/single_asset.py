"""One asset whose value has any finite distribution: Kyle's (1985) auction without normality.

The insider sees the value v_k and orders x_k, noise orders are N(0, sigma_u²), the price is E[v |
order flow]. It is the game with r = 1; for normal values it is Kyle (1985): x = (sigma_u/sigma_v)
(v − v_0). The monotone root never has unbounded deviations, but a few distributions (very rare,
far out values) still have a profitable bounded one: see the certificate.

Reference: Keller & Tseng (2024), reduced to one asset; Kyle (1985), Econometrica 53, section 2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.contingent import beliefs
from diffeq.contingent.certificate import Certificate, Criterion, certify
from diffeq.contingent.game import Game
from diffeq.contingent.path import expected_profits, trades


class SingleAsset(NamedTuple):
    """The equilibrium of one asset."""

    order: jax.Array
    """x_k, asset units, shape (K,); increasing in the value."""
    profit: jax.Array
    """Expected profit for each value, shape (K,), in money."""
    price: jax.Array
    """Expected price for each value, shape (K,)."""
    posterior: jax.Array
    """E_k[q_l], expected posterior of value l under value k, shape (K, K)."""
    error: jax.Array
    """Of ``order``, in units of sigma_u; scalar."""
    certificate: Certificate | None
    """Whether it is an equilibrium; a failure's ``direction`` is in asset units, shape (1,). None
    where traced."""
    info: Info
    """converged, and the largest residual of the first-order condition."""


def single_asset(
    values: Any, prior: Any = None, sigma_u: Any = 1.0, *, certificate: bool = True
) -> SingleAsset:
    """The monotone equilibrium of one asset with these values.

    Args:
      values: v_k, distinct, K ≥ 2, in any order, shape (K,).
      prior: probabilities > 0, shape (K,); default uniform.
      sigma_u: standard deviation of noise orders, > 0, scalar.
      certificate: whether to certify a concrete solution (a minute for a hundred values).

    Returns:
      :class:`SingleAsset`; differentiable in every argument. A failed lane is NaN and flagged.

    >>> found = single_asset([0.0, 1.0])  # two equally likely values: x = ±1 noise deviation
    >>> [round(float(x), 12) for x in found.order]
    [-1.0, 1.0]
    """
    values, prior, sigma_u = _checked(values, prior, sigma_u)
    found = _single_asset(values, prior, sigma_u)
    traced = any(isinstance(x, jax.core.Tracer) for x in (values, prior, sigma_u))
    if traced or not certificate:
        return found
    return found._replace(certificate=_certificate(values, prior, found, sigma_u))


@jax.jit
def _single_asset(values: jax.Array, prior: jax.Array, sigma_u: jax.Array) -> SingleAsset:
    centre = jnp.mean(values)
    scale = jnp.max(jnp.abs(values - centre))
    a = ((values - centre) / scale)[:, None]
    y, error, info = trades(a, prior)
    mean, _ = beliefs.moments(y, prior, beliefs.rule(1, beliefs.FINE))
    price = centre + scale * (mean @ a[:, 0])
    order = sigma_u * y[:, 0]
    inside = jnp.isfinite(sigma_u) & (sigma_u > 0) & jnp.all(prior > 0)
    ok = info.converged & inside & (jnp.abs(jnp.sum(prior) - 1) <= validate.sum_tolerance(a.dtype))
    profit = scale * expected_profits(a, mean, order[:, None])
    fields = (order, profit, price, mean)
    fields = poison(fields, ok, (values, prior, sigma_u))
    return SingleAsset(*fields, error, None, Info(ok, info.residual))


def _certificate(
    values: jax.Array, prior: jax.Array, found: SingleAsset, sigma_u: jax.Array
) -> Certificate | None:
    """Of the same game in two claims, one paying with the value, the other against it.

    Their noise is such that they earn what the asset does, so that reasons give its profits.
    """
    if not bool(found.info.converged):
        return None
    span = jnp.max(values) - jnp.min(values)
    share = (values - jnp.min(values)) / span
    limits = jnp.finfo(values.dtype)
    noise = jnp.clip(span * sigma_u / jnp.sqrt(2.0), limits.tiny * 1e6, limits.max / 1e6)
    half = noise * (found.order / sigma_u / jnp.sqrt(2.0))
    game = Game(jnp.stack([share, 1 - share], axis=1), noise, prior)
    judged = certify(game, jnp.stack([half, -half], axis=1))
    unit = float(sigma_u) / float(noise) / 2**0.5
    told: dict[str, Any] = {
        name: _of_the_asset(criterion, unit)
        for name, criterion in judged._asdict().items()
        if isinstance(criterion, Criterion)
    }
    return judged._replace(**told)


def _of_the_asset(criterion: Criterion, unit: float) -> Criterion:
    """With the direction in asset units, shape (1,)."""
    if criterion.direction is None:
        return criterion
    bought, sold = criterion.direction
    return criterion._replace(direction=(bought - sold)[None] * unit)


def _checked(values: Any, prior: Any, sigma_u: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    dtype = jnp.result_type(float, *(x for x in (values, prior, sigma_u) if hasattr(x, "dtype")))
    values, prior, sigma_u = (
        validate.array(name, x)
        for name, x in (("values", values), ("prior", prior), ("sigma_u", sigma_u))
    )
    if values is None or values.ndim != 1 or len(values) < 2:
        shape = None if values is None else values.shape
        raise ValueError(f"values: expected shape (K,), K ≥ 2, got {shape}; batch with jax.vmap")
    K = len(values)
    prior = np.full(K, 1 / K) if prior is None else prior
    for name, x, shape in (("prior", prior, (K,)), ("sigma_u", sigma_u, ())):
        if x.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {x.shape}")
    validate.finite("values", values)
    validate.positive("prior", prior)
    validate.positive("sigma_u", sigma_u)
    if not isinstance(values, jax.core.Tracer) and len(np.unique(values)) < K:
        raise ValueError("values: expected distinct values; merge equal ones, adding their priors")
    prior = validate.probabilities("prior", prior, dtype)
    return jnp.asarray(values, dtype), jnp.asarray(prior, dtype), jnp.asarray(sigma_u, dtype)
