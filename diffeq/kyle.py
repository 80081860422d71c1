"""Kyle (1985): one insider trades strategically in N auctions; Theorem 2.

Three ways to the same equilibrium, which must and do agree:

* ``two_pass``: Holden–Subrahmanyam's chain at M = 1 (:mod:`diffeq.two_pass`); the default.
* ``recursion``: Kyle's cubic backwards from Sigma_N = 1, then a rescale. Sigma_0 is exactly linear
  in Sigma_N, so the shooting of the literature is not needed.
* ``shooting``: as the paper does it: a root on log Sigma_N so that the recursion ends at sigma_v².

Reference: Kyle (1985), Econometrica 53, 1315–1335.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq import auctions, holden, two_pass, validate
from diffeq.auctions import Paths, Residual
from diffeq.check import Info, poison
from diffeq.holden import Limit
from solvers import cubic, root

__all__ = [
    "Limit",
    "Params",
    "Paths",
    "Residual",
    "Solution",
    "insider_profit",
    "limit",
    "noise_loss",
    "residual",
    "simulate",
    "solve",
]

METHODS = ("two_pass", "recursion", "shooting")
POSITIVE = ("sigma_v", "sigma_u")


class Params(NamedTuple):
    """Parameters; the defaults are the example of the figures."""

    sigma_v: Any = 2.5
    """Prior standard deviation of the value, > 0, in price units."""
    sigma_u: Any = 5.0
    """Standard deviation of noise orders over the whole day, > 0, in asset units."""
    p_0: Any = 100.0
    """Prior mean of the value, in price units."""


class Solution(auctions.Solution):
    """The equilibrium; fields as :class:`diffeq.auctions.Solution`, M = 1."""

    __slots__ = ()


def solve(
    params: Params, *, num_auctions: int, spacing: Any = None, method: str = "two_pass"
) -> Solution:
    """The equilibrium of Theorem 2.

    Args:
      params: scalars; batch with ``jax.vmap``. Every leaf is differentiable, by every method.
      num_auctions: N ≥ 1, static.
      spacing: lengths dt_n > 0 of the auctions, shape (N,), summing to one; default 1/N each.
      method: ``"two_pass"``, ``"recursion"`` or ``"shooting"`` (see the module), static. The first
        is the fastest by far; the other two are for the reader of the paper, and as checks.

    Returns:
      :class:`Solution`, arrays of shape (N,). A lane with a parameter or spacing outside its domain
      is NaN in every value and derivative, with ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete argument is out of domain, batched, or no number.

    Reference: Kyle (1985), Theorem 2.

    >>> [round(float(x), 12) for x in solve(Params(), num_auctions=1).lambda_]
    [0.25]
    """
    params, dt = _validated(params, num_auctions, spacing)
    return _solve(params, dt, validate.option("method", method, METHODS))


@partial(jax.jit, static_argnums=2)
def _solve(params: Params, dt: jax.Array, method: str) -> Solution:
    sigma_v, sigma_u, p_0 = params
    market = two_pass.Market(sigma_v, sigma_u, jnp.ones_like(sigma_v), p_0)
    if method == "two_pass":
        fields, info = two_pass.equilibrium(market, dt)
        return Solution._make((*fields, info))
    by = _by_rescaling if method == "recursion" else _by_shooting
    unit, worst, solved = by(dt)
    fields = _scaled(unit, sigma_v, sigma_u)
    ok = solved & two_pass.in_domain(market, dt)
    return Solution._make((*poison(fields, ok, (params, dt)), Info(ok, worst)))


# Kyle's backward recursion


class _Auction(NamedTuple):
    lambda_: jax.Array
    beta: jax.Array
    alpha: jax.Array
    delta: jax.Array
    Sigma: jax.Array


def _recursion(
    Sigma_N: jax.Array, sigma_u: jax.Array, dt: jax.Array
) -> tuple[jax.Array, _Auction, jax.Array, jax.Array]:
    """Sigma_0, the auctions 1..N, the largest residual of the cubics and whether all were solved.

    At each auction lambda_n is the middle root of
    (1 − lambda² sigma_u² dt/Sigma_n)(1 − alpha_n lambda) = 1/2: the smallest is negative, the
    largest violates the second-order condition.
    """

    def auction(carry: Any, dt: jax.Array) -> tuple[Any, _Auction]:
        Sigma, alpha, delta, worst, ok = carry
        # in l = lambda sigma_u sqrt(dt/Sigma) and a = alpha lambda/l:  a l³ − l² − a l + 1/2 = 0
        unit = jnp.sqrt(Sigma / dt) / sigma_u
        a = alpha * unit
        l, info = cubic.root_between((a, -1.0, -a, 0.5), 0.0, 1 / jnp.maximum(1, a))
        lambda_ = l * unit
        here = _Auction(lambda_, lambda_ * sigma_u**2 / Sigma, alpha, delta, Sigma)
        earlier = (
            Sigma / (1 - l * l),
            1 / (4 * lambda_ * (1 - alpha * lambda_)),
            delta + alpha * lambda_**2 * sigma_u**2 * dt,
            jnp.maximum(worst, info.residual),
            ok & info.converged,
        )
        return earlier, here

    zero = jnp.zeros_like(Sigma_N)
    start = (Sigma_N, zero, zero, zero, jnp.array(True))
    (Sigma_0, _, _, worst, ok), path = lax.scan(auction, start, dt, reverse=True)
    return Sigma_0, path, worst, ok


def _by_rescaling(dt: jax.Array) -> tuple[_Auction, jax.Array, jax.Array]:
    """One recursion from Sigma_N = 1, rescaled to Sigma_0 = 1; sigma_u = 1.

    Sigma scales by s = 1/Sigma_0, lambda and delta by sqrt(s), alpha and beta by 1/sqrt(s).
    """
    one = jnp.ones((), dt.dtype)
    Sigma_0, unit, worst, ok = _recursion(one, one, dt)
    root_s = 1 / jnp.sqrt(Sigma_0)
    path = _Auction(
        lambda_=unit.lambda_ * root_s,
        beta=unit.beta / root_s,
        alpha=unit.alpha / root_s,
        delta=unit.delta * root_s,
        Sigma=unit.Sigma / Sigma_0,
    )
    return path, worst, ok


def _by_shooting(dt: jax.Array) -> tuple[_Auction, jax.Array, jax.Array]:
    """The root of log Sigma_0(log Sigma_N) = 0 at sigma_v = sigma_u = 1.

    At M = 1 Sigma_{n−1} ≤ 2 Sigma_n, which brackets it, as does the smallest number.
    """
    one = jnp.ones((), dt.dtype)

    def miss(log_Sigma_N: jax.Array, dt: jax.Array) -> jax.Array:
        return jnp.log(_recursion(jnp.exp(log_Sigma_N), one, dt)[0])

    smallest = 0.9 * math.log(float(jnp.finfo(dt.dtype).tiny))
    lowest = max(-dt.shape[0] * math.log(2.0) - 1, smallest)
    log_Sigma_N, info = root.bracketed(miss, lowest * one, 0 * one, dt)
    _, path, worst, ok = _recursion(jnp.exp(log_Sigma_N), one, dt)
    return path, jnp.maximum(worst, info.residual), ok & info.converged


def _scaled(unit: _Auction, sigma_v: jax.Array, sigma_u: jax.Array) -> tuple[jax.Array, ...]:
    """The fields from those of the market with sigma_v = sigma_u = 1, and their logs."""
    log_v, log_u = jnp.log(sigma_v), jnp.log(sigma_u)
    levels = _Auction(
        lambda_=unit.lambda_ * (sigma_v / sigma_u),
        beta=unit.beta * (sigma_u / sigma_v),
        alpha=unit.alpha * (sigma_u / sigma_v),
        delta=unit.delta * sigma_v * sigma_u,
        Sigma=unit.Sigma * sigma_v**2,
    )
    logs = _Auction(
        lambda_=jnp.log(unit.lambda_) + log_v - log_u,
        beta=jnp.log(unit.beta) + log_u - log_v,
        alpha=two_pass.log_but_last(unit.alpha, 1, log_u - log_v),
        delta=two_pass.log_but_last(unit.delta, 2, log_u + log_v),
        Sigma=jnp.log(unit.Sigma) + 2 * log_v,
    )
    levels = _Auction(*map(two_pass.by_log, levels, logs))
    return (*levels, logs.lambda_, logs.beta, logs.Sigma, logs.alpha, logs.delta)


# The same verbs as every model: M = 1 of Holden–Subrahmanyam


def residual(solution: auctions.Solution, params: Params, *, spacing: Any = None) -> Residual:
    """The conditions of Theorem 2, scale-free; see :func:`diffeq.holden.residual` (M = 1)."""
    params, _ = _validated(params, validate.num_auctions(solution), spacing)
    return holden.residual(solution, _as_holden(params), spacing=spacing)


def insider_profit(
    solution: auctions.Solution, params: Params, *, spacing: Any = None
) -> jax.Array:
    """Expected profit of the insider, alpha_0 sigma_v² + delta_0; scalar, in money."""
    params, _ = _validated(params, validate.num_auctions(solution), spacing)
    return holden.insider_profit(solution, _as_holden(params), spacing=spacing)


def noise_loss(solution: auctions.Solution, params: Params, *, spacing: Any = None) -> jax.Array:
    """Expected loss of the noise traders, Σ lambda_n sigma_u² dt_n; scalar, the insider's gain."""
    params, _ = _validated(params, validate.num_auctions(solution), spacing)
    return holden.noise_loss(solution, _as_holden(params), spacing=spacing)


def simulate(
    key: jax.Array,
    params: Params,
    solution: auctions.Solution,
    *,
    num_paths: int,
    spacing: Any = None,
) -> Paths:
    """Play the equilibrium ``num_paths`` times; see :func:`diffeq.holden.simulate` (M = 1)."""
    params, _ = _validated(params, validate.num_auctions(solution), spacing)
    return holden.simulate(key, _as_holden(params), solution, num_paths=num_paths, spacing=spacing)


def limit(params: Params, times: Any) -> Limit:
    """Continuous auctions: lambda = sigma_v/sigma_u, Sigma = (1−t) sigma_v².

    Args:
      params: scalars.
      times: in [0, 1), any shape.

    Reference: Kyle (1985), Theorem 3. At t → 1 the discrete lambda_N does not follow: it tends to
    0.854 sigma_v/sigma_u.
    """
    params = validate.parameters(params, Params, positive=POSITIVE)
    return holden.limit(_as_holden(params), times)


def _as_holden(params: Params) -> holden.Params:
    one = jnp.ones_like(params.sigma_v)
    return holden.Params(params.sigma_v, params.sigma_u, one, params.p_0)


def _validated(params: Params, num_auctions: int, spacing: Any) -> tuple[Params, Any]:
    params = validate.parameters(params, Params, positive=POSITIVE)
    num_auctions = validate.count("num_auctions", num_auctions)
    return params, validate.spacing(spacing, num_auctions, params.sigma_v.dtype)
