"""Several assets quoted at once by one market maker, whose risks offset or add up: the problem.

Mid prices move as dS_i = mu_i dt + sigma_i dW_i with corr(dW_i, dW_j) = rho_ij, so that Sigma_ij =
rho_ij sigma_i sigma_j. Fills of asset i, one unit each, arrive at Lambda_i(depth) on either side; q
is the vector of inventories, e_i one unit of asset i. With tau = T − t to go and theta(0, q) =
−q' phi_T q,

    theta_tau = mu'q − q'Rq + Σ_i [H_i(theta(q) − theta(q + e_i)) + H_i(theta(q) − theta(q − e_i))]

R = gamma Sigma/2 for "cara", phi for "penalty"; H_i as in :mod:`.intensities`.

    pair         two assets on a grid: the optimum
    quadratic    any number of assets: an approximation

Reference: Guéant (2017), Applied Mathematical Finance 24, section 4; Bergault, Evangelista, Guéant
& Vieira (2021), Applied Mathematical Finance 28, 101–142.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffeq import validate
from diffeq.market_making import hjb, model
from diffeq.market_making.stacks import entry, has_axis, intensity_of, stacked


class Params(NamedTuple):
    """Parameters of d assets; the defaults are two of Avellaneda & Stoikov's (2008), T = 1."""

    sigma: Any = (2.0, 2.0)
    """Volatility of each mid price, ≥ 0, in price units per √time, shape (d,): this fixes d."""
    A: Any = 140.0
    """Fills per unit of time at depth 0, either side, ≥ 0; scalar or (d,)."""
    k: Any = 1.5
    """Decay of the fill rate with depth, > 0, in 1/price; scalar or (d,)."""
    rho: Any = 0.0
    """Correlation of the mid prices: one number for every two assets, or the matrix, (d, d)."""
    gamma: Any = 0.1
    """Absolute risk aversion, ≥ 0, in 1/money; ``objective="cara"`` alone."""
    phi: Any = 0.0
    """Running penalty q' phi q, money per time and unit², ``objective="penalty"`` alone: a number
    or (d,), against each q_i², or a symmetric positive semi-definite matrix, (d, d)."""
    phi_T: Any = 0.0
    """Terminal penalty q' phi_T q, money per unit²: a number, (d,) or a matrix, as ``phi``."""
    drift: Any = 0.0
    """Drift mu of the mid prices, in price units per time; scalar or (d,)."""


class Basket(NamedTuple):
    """Validated parameters, and what the equation depends on: arrays of one dtype."""

    problems: model.Problem
    """Of each asset by itself, along a first axis (d)."""
    systems: hjb.System
    """Of each asset by itself, along a first axis (d); the risk is not read."""
    rho: jax.Array
    """(d, d)."""
    risk: jax.Array
    """R, (d, d)."""
    phi_T: jax.Array
    """(d, d)."""


def validated(
    params: Params, times: Any, objective: str, intensity: Any
) -> tuple[Basket, jax.Array]:
    """The problem of these arguments of a ``solve``, and the times; concrete values are checked.

    Raises:
      TypeError: not a Params, or an entry that is no real number.
      ValueError: an entry that is not finite, of the wrong sign or shape, a matrix that is not
        symmetric and positive semi-definite, or what belongs to the other objective.
    """
    if not isinstance(params, Params):
        raise TypeError(f"params: expected assets.Params, got {type(params).__name__}")
    if has_axis(params.gamma):
        raise ValueError("Params.gamma: expected a scalar, the same for all assets")
    sigma = validate.array("Params.sigma", params.sigma)
    if sigma is None or sigma.ndim != 1 or sigma.size == 0:
        shape = None if sigma is None else sigma.shape
        raise ValueError(f"Params.sigma: expected shape (d,), one entry per asset, got {shape}")
    d = sigma.shape[0]
    phi = params.phi
    if objective == "cara" and not isinstance(phi, jax.core.Tracer) and np.any(np.asarray(phi)):
        raise ValueError("Params.phi: expected 0 for objective='cara', whose risk is gamma's")
    problems, systems = [], []
    for i in range(d):
        names = ("sigma", "A", "k", "gamma", "drift")
        own = {name: entry(getattr(params, name), f"Params.{name}", i, d) for name in names}
        system, t = hjb.system(
            model.Params(**own), times, objective, intensity_of(intensity, i, d), None
        )
        problems.append(model.validated(model.Params(**own), objective))
        systems.append(system)
    p = stacked(problems)
    rho = _matrix("rho", params.rho, d, p.sigma.dtype)
    phi, phi_T = (_matrix(n, getattr(params, n), d, p.sigma.dtype) for n in ("phi", "phi_T"))
    Sigma = rho * p.sigma[:, None] * p.sigma[None]
    risk = p.gamma[0] * Sigma / 2 if objective == "cara" else phi
    return Basket(p, stacked(systems), rho, risk, phi_T), t.astype(p.sigma.dtype)


def _matrix(name: str, value: Any, d: int, dtype: Any) -> jax.Array:
    """A symmetric (d, d) matrix: as given, diagonal, or for rho one number off a unit diagonal."""
    x = validate.array(f"Params.{name}", value)
    shapes = ((), (d, d)) if name == "rho" else ((), (d,), (d, d))
    if x is None or x.shape not in shapes:
        shape = None if x is None else x.shape
        raise ValueError(f"Params.{name}: expected a shape among {shapes}, got {shape}")
    validate.finite(f"Params.{name}", x)
    xp: Any = jnp if isinstance(x, jax.core.Tracer) else np
    if x.ndim < 2:
        x, one = xp.asarray(x, dtype), np.eye(d, dtype=dtype)
        x = one + x * (1 - one) if name == "rho" else xp.broadcast_to(x, (d,))[None] * one
    if not isinstance(x, jax.core.Tracer):
        given = np.asarray(x, float)
        if np.abs(given - given.T).max() > _ROUNDING * np.abs(given).max():
            raise ValueError(f"Params.{name}: expected a symmetric matrix, got {given.tolist()}")
        if np.linalg.eigvalsh(given)[0] < -_ROUNDING * np.abs(given).max():
            raise ValueError(
                f"Params.{name}: expected a positive semi-definite matrix, got {given.tolist()}, "
                f"of least eigenvalue {np.linalg.eigvalsh(given)[0]:.6g}"
            )
        if name == "rho" and np.abs(np.diag(given) - 1).max() > _ROUNDING:
            raise ValueError(f"Params.rho: expected ones on the diagonal, got {given.tolist()}")
    x = jnp.asarray(x, dtype)
    return (x + x.T) / 2


_ROUNDING = 1e-6
"""How far a matrix may be from what it must be, over its largest entry: one given in float32."""


def in_domain(b: Basket) -> jax.Array:
    """Whether every parameter is finite, of its sign, and every matrix positive semi-definite."""
    matrices = lax.stop_gradient(jnp.stack([b.rho, b.risk, b.phi_T]))
    finite = jnp.all(jnp.isfinite(matrices))
    least = jnp.linalg.eigvalsh(jnp.where(finite, matrices, 0))[:, 0]
    size = jnp.max(jnp.abs(matrices), axis=(1, 2))
    unit = jnp.max(jnp.abs(jnp.diag(b.rho) - 1)) <= _ROUNDING
    positive = jnp.all(least >= -_ROUNDING * size)
    return jnp.all(jax.vmap(model.in_domain)(b.problems)) & finite & positive & unit
