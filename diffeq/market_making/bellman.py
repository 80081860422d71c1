"""The market maker's problem in discrete time, by backward induction: one step for each interval.

In a step of length dt a side is filled with probability pi(delta) = 1 − exp(−Lambda(delta) dt),
once at most. With theta the value at the step's end and p what a fill costs in value,

    p_b = theta(q) − theta(q+1) + (q+1) eps,     p_a = theta(q) − theta(q−1) − (q−1) eps,
    H(p) = max_delta pi(delta) (1 − exp(−gamma (delta − p)))/gamma,

one step earlier theta is theta(q) + drift q dt − c q² dt + Σ_sides C(H), where for "penalty"
(gamma = 0) c = phi and C(H) = H, and for "cara" c = gamma sigma²/2 and C(H) = −log(1 − gamma
H)/gamma, the certainty equivalent of the gamble. That both sides are filled in one step changes its
value by O(dt²) and is neglected: the sides' gambles are valued apart. pi is an intensity,
decreasing where Lambda is, with inverse hazard expm1(u)/u times Lambda's, u = Lambda dt: so its
best depth is found by :func:`~.intensities.best_depth`. theta tends to that of continuous time like
dt.

Reference: Avellaneda & Stoikov (2008) for the problem; Puterman (1994), Markov Decision Processes,
section 4.5, for backward induction.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.market_making.exponential import log1p_over
from diffeq.market_making.intensities import Best, best_depth, inverse_hazard
from diffeq.market_making.model import (
    Params,
    Problem,
    Solution,
    horizon,
    in_domain,
    inventories,
    validated,
)
from diffeq.market_making.sides import Intensities, by_side, check_sides


def solve(
    params: Params,
    *,
    max_inventory: int,
    times: Any,
    objective: str = "cara",
    intensity: Intensities | None = None,
) -> Solution:
    """Value and optimal quotes of a market maker who may quote anew at the given times alone.

    Args:
      params: as :class:`~.model.Params`; A and k, which may differ by side, do not enter where an
        ``intensity`` is given. Every leaf is differentiable.
      max_inventory: Q ≥ 1, static.
      times: t_1 < … < t_m = T, shape (m,): quotes of t_i stand until t_{i+1}.
      objective: ``"cara"`` or ``"penalty"``, static.
      intensity: Lambda(depth), positive, decreasing, differentiable twice, with Lambda Lambda'' < 2
        Lambda'²; or (bid, ask). Default: the exponential.

    Returns:
      :class:`~.model.Solution`, shape (m, 2Q + 1); the depths of the last row, at T, are those of a
      vanishing step. ``info.residual``: of the first-order conditions. Where none is best, where
      gamma times what a fill saves exceeds some 700 (float32: 80), or a parameter lies outside its
      domain, all is NaN and ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete argument out of domain; an intensity as :func:`.hjb.solve`
        refuses it.

    Reference: see the module.

    >>> found = solve(Params(), max_inventory=5, times=[0.0, 0.005, 0.01])
    >>> round(float(found.delta_b[0, 5]), 3)
    0.726
    """
    p = validated(params, objective)
    Q = validate.count("max_inventory", max_inventory)
    sides = by_side(intensity, p)
    if intensity is not None:
        check_sides(sides, p.gamma if objective == "cara" else 0.0)
    return _solve(p, sides, horizon(times, p.sigma.dtype), Q, objective)


class FillChance(NamedTuple):
    """pi(delta) = 1 − exp(−Lambda(delta) dt), as an intensity."""

    intensity: Any
    dt: jax.Array

    def __call__(self, delta: Any) -> Any:
        """The probability of a fill at a depth."""
        return -jnp.expm1(-self.expected(delta))

    def expected(self, delta: Any) -> Any:
        """u = Lambda dt; 0 in a step of no length, be Lambda ∞."""
        return self.intensity(jnp.where(self.dt > 0, delta, 0.0)) * self.dt

    def inverse_hazard(self, delta: Any) -> Any:
        """−pi/pi' = (e^u − 1)/u · (−Lambda/Lambda'), u = Lambda dt; ∞ where a fill is certain."""
        u = self.expected(delta)
        small = u < 1e-8
        grown = jnp.where(small, 1 + u / 2, jnp.expm1(u) / jnp.where(small, 1.0, u))
        return grown * inverse_hazard(self.intensity, delta)


def prices(theta: jax.Array, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What a bid fill costs from q = −Q..Q−1 and an ask fill from q = 1−Q..Q, shape (2Q,) each."""
    u = jnp.diff(theta)
    q = jnp.arange(u.shape[0]).astype(u.dtype) - u.shape[0] // 2  # −Q..Q−1
    return -u + (q + 1) * eps, u - q * eps


def certainty_equivalent(best: Best, u: jax.Array, gamma: jax.Array) -> jax.Array:
    """−log(1 − gamma H)/gamma, H itself where gamma = 0; u = Lambda dt at the best depth.

    1 − gamma H = e^−u + (1 − e^−u) e^(−gamma x) is summed as that where gamma H nears 1.
    """
    small = gamma * best.gain < 0.5
    near = best.gain * log1p_over(-gamma * jnp.where(small, best.gain, 0.0))
    u, over = jnp.where(small, 1.0, u), jnp.where(small, 1.0, gamma)
    far = -jnp.logaddexp(-u, jnp.log(-jnp.expm1(-u)) - over * best.margin) / over
    return jnp.where(small, near, far)


@partial(jax.jit, static_argnums=(3, 4))
def _solve(p: Problem, by: tuple[Any, Any], times: jax.Array, Q: int, objective: str) -> Solution:
    q = inventories(Q, times.dtype)
    gamma = p.gamma if objective == "cara" else jnp.zeros_like(p.gamma)
    risk = gamma * p.sigma**2 / 2 if objective == "cara" else p.phi

    def earlier(later: tuple[jax.Array, jax.Array], dt: jax.Array) -> Any:
        shape, level = later  # theta = shape + level, shape(0) = 0: quotes keep their digits
        against = prices(shape, p.eps)
        chances = [FillChance(side, dt) for side in by]
        bid, ask = (best(*x) for x in zip(chances, against, strict=True))
        quotes = against[0] + bid.margin, against[1] + ask.margin
        u = [jax.vmap(x.expected)(depth) for x, depth in zip(chances, quotes, strict=True)]
        earned = [certainty_equivalent(*x, gamma) for x in zip((bid, ask), u, strict=True)]
        gained = jnp.pad(earned[0], (0, 1)) + jnp.pad(earned[1], (1, 0))
        new = shape + (p.drift * q - risk * q**2) * dt + gained
        new, level = new - new[Q], level + new[Q]
        condition = jnp.maximum(jnp.max(bid.residual), jnp.max(ask.residual))
        return (new, level), (new + level, *quotes, condition)

    def best(side: Any, against: jax.Array) -> Best:
        found: Best = jax.vmap(lambda x: best_depth(side, x, gamma))(against)
        return found

    end = -p.phi_T * q**2, jnp.zeros_like(p.sigma)
    dt = jnp.append(jnp.diff(times), 0)  # at T itself: a step of no length
    _, (theta, up, down, condition) = lax.scan(earlier, end, dt, reverse=True)
    residual = jnp.max(condition)
    ok = in_domain(p) & jnp.all(dt[:-1] > 0) & jnp.all(jnp.isfinite(theta))
    ok &= residual <= 1e4 * float(jnp.finfo(times.dtype).eps)
    theta, up, down = poison((theta, up, down), ok, (p, by, times))
    edge = jnp.full((times.size, 1), jnp.inf, times.dtype)
    fields = theta, jnp.concatenate([up, edge], 1), jnp.concatenate([edge, down], 1)
    return Solution(*fields, Info(ok, residual))
