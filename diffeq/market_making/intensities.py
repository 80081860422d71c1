"""How fill rates fall with depth, and the depth that is best against a price of inventory.

An intensity is a function Lambda(delta) > 0, decreasing, twice differentiable, with Lambda Lambda''
< 2 Lambda'²: then against p, what a fill costs in value, one depth is best,

    H(p) = max_delta Lambda(delta) (1 − exp(−gamma(delta − p)))/gamma,    delta* = p + x,

with x > 0 the only zero of the increasing function x − log1p(gamma m(p + x))/gamma, where m =
−Lambda/Lambda' is the inverse hazard of depth (gamma → 0: x − m(p + x)). The exponential has m =
1/k: the closed form x = log1p(gamma/k)/gamma.

Each intensity is a NamedTuple of parameters that is called with a depth: differentiable in both.
Any pure function of a depth does, closed over its parameters; NaN says that a depth is too low for
it. One that has a method ``inverse_hazard`` saves its differentiation.

Reference: Guéant (2017), Applied Mathematical Finance 24, section 2; the inverse hazard form is
that of its equation for the optimal quotes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq.market_making.exponential import log1p_over
from solvers import implicit

Intensity = Callable[[Any], Any]


class Exponential(NamedTuple):
    """A exp(−k delta)."""

    A: Any
    """Fills per unit of time at depth 0, ≥ 0."""
    k: Any
    """1/price, > 0."""

    def __call__(self, delta: Any) -> Any:
        """The rate at a depth."""
        return self.A * jnp.exp(-self.k * delta)

    def inverse_hazard(self, delta: Any) -> Any:
        """1/k."""
        return 1 / self.k + 0 * delta


class PowerLaw(NamedTuple):
    """A (1 + delta/d_0)^−a, for depths above −d_0. (delta^−a alone is ill-posed.)"""

    A: Any
    """Fills per unit of time at depth 0, ≥ 0."""
    d_0: Any
    """Depth scale, price units, > 0."""
    a: Any
    """Exponent, > 1 (gamma = 0) or > 0."""

    def __call__(self, delta: Any) -> Any:
        """The rate at a depth; NaN at −d_0 and below."""
        base = 1 + delta / self.d_0
        return self.A * jnp.exp(-self.a * jnp.log(jnp.where(base > 0, base, jnp.nan)))

    def inverse_hazard(self, delta: Any) -> Any:
        """(d_0 + delta)/a."""
        return (self.d_0 + delta) / self.a


class Logistic(NamedTuple):
    """A/(1 + exp(k (delta − d_0))): saturates at A for quotes through the market."""

    A: Any
    """Fills per unit of time far below d_0, ≥ 0."""
    k: Any
    """1/price, > 0."""
    d_0: Any
    """Depth at which the rate is A/2, price units."""

    def __call__(self, delta: Any) -> Any:
        """The rate at a depth."""
        return self.A * jax.nn.sigmoid(-self.k * (delta - self.d_0))

    def inverse_hazard(self, delta: Any) -> Any:
        """(1 + exp(−k (delta − d_0)))/k."""
        return (1 + jnp.exp(-self.k * (delta - self.d_0))) / self.k


class Best(NamedTuple):
    """The best depth against p; scalars."""

    margin: jax.Array
    """x = delta* − p > 0, price units."""
    gain: jax.Array
    """H(p), money per time."""
    residual: jax.Array
    """|x − log1p(gamma m)/gamma| over x, a step of Newton's before the last."""


def best_depth(
    intensity: Intensity,
    p: jax.Array,
    gamma: jax.Array,
    *,
    depth_floor: jax.Array | None = None,
    near: jax.Array | None = None,
) -> Best:
    """The best depth against p, and what it earns per time, by a root of the first-order condition.

    Args:
      intensity: Lambda, a function of a scalar depth.
      p: scalar, price units; batch with ``jax.vmap``.
      gamma: ≥ 0, scalar; 0 is risk neutral.
      depth_floor: lowest depth allowed, price units: the best depth where none above is better.
      near: a margin x close to the one wanted: a few steps from there instead of a search.

    Returns:
      :class:`Best`; differentiable in p, gamma and whatever ``intensity`` closes over (give it as a
      pytree such as :class:`PowerLaw`, or close over traced parameters). Newton's method on log x
      between ends that close in; judge ``residual``: it is large where no best depth exists.

    Reference: Guéant (2017), section 2.
    """

    def excess(log_x: jax.Array, theta: tuple[jax.Array, jax.Array]) -> jax.Array:
        """log x − log of what the first-order condition makes of it."""
        p, gamma = theta
        m = inverse_hazard(intensity, p + jnp.exp(log_x))
        return log_x - jnp.log(m * log1p_over(gamma * m))

    theta = (p, gamma)
    frozen = lax.stop_gradient(theta)
    at_floor = jnp.zeros_like(p, bool)
    least = jnp.full_like(p, -_FAR[p.dtype.itemsize])
    if depth_floor is not None:
        above = depth_floor - p
        least = jnp.where(above > 0, jnp.log(jnp.where(above > 0, above, 1)), least)
        least = lax.stop_gradient(least)
        at_floor = (above > 0) & (excess(least, frozen) >= 0)
    start = None if near is None else jnp.maximum(jnp.log(near), least)
    found, gap = lax.stop_gradient(_solved(lambda x: excess(x, frozen), least, start))
    found = jnp.where(at_floor, least, found)
    residual = jnp.where(at_floor, 0, jnp.abs(gap))
    x = jnp.exp(implicit.attach(excess, found, theta))
    if depth_floor is not None:
        x = jnp.where(at_floor, depth_floor - p, x)
    terms = _Terms(as_pytree(intensity, p.dtype), p, gamma)
    gain = _gain(terms, p + x, None if depth_floor is None else at_floor)
    return Best(x, gain, lax.stop_gradient(residual))


class _Terms(NamedTuple):
    intensity: Any
    p: jax.Array
    gamma: jax.Array


def _earned(terms: _Terms, delta: jax.Array) -> jax.Array:
    """Lambda(delta) (1 − exp(−gamma (delta − p)))/gamma."""
    x = delta - terms.p
    earned: jax.Array = terms.intensity(delta) * x * expm1_over(-terms.gamma * x)
    return earned


@jax.custom_jvp
def _gain(terms: _Terms, delta: jax.Array, at_floor: jax.Array | None) -> jax.Array:
    """H: what the best depth earns. Its slope is that at a fixed depth, by the envelope theorem."""
    return _earned(terms, delta)


@_gain.defjvp
def _gain_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (terms, delta, at_floor), (terms_dot, delta_dot, _) = primals, tangents
    slope = jax.jvp(lambda terms: _earned(terms, delta), (terms,), (terms_dot,))[1]
    if at_floor is not None:  # no optimum there: the floor's own move counts
        moved = jax.jvp(lambda delta: _earned(terms, delta), (delta,), (delta_dot,))[1]
        slope = slope + jnp.where(at_floor, moved, 0)
    return _gain(terms, delta, at_floor), slope


def as_pytree(intensity: Intensity, dtype: Any) -> Any:
    """The intensity as a pytree that is called with a depth: what it closes over is its leaves."""
    leaves = jax.tree.leaves(intensity)
    if len(leaves) != 1 or leaves[0] is not intensity:  # not a plain function
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), intensity)
    converted, closed_over = jax.closure_convert(intensity, jnp.zeros((), dtype))
    if not closed_over:
        return jax.tree_util.Partial(intensity)
    return jax.tree_util.Partial(_constants_first(converted), *closed_over)


def _constants_first(converted: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: converted(arguments[-1], *arguments[:-1])


def inverse_hazard(intensity: Intensity, delta: jax.Array) -> jax.Array:
    """m = −Lambda/Lambda', price units: 1/k for the exponential; 0 where the rate underflows."""
    if hasattr(intensity, "inverse_hazard"):
        m: jax.Array = intensity.inverse_hazard(delta)
        return m
    rate, slope = jax.jvp(intensity, (delta,), (jnp.ones_like(delta),))
    vanished = (rate == 0) | (slope == 0)
    return jnp.where(vanished, 0, -rate / jnp.where(vanished, 1, slope))


_FAR = {8: 600.0, 4: 80.0}
"""|log x| at most, by the bytes of a number."""
_STEPS, _STEPS_NEAR = 60, 4


def _solved(
    excess: Callable[[jax.Array], jax.Array], least: jax.Array, start: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """The zero of an increasing function of log x: Newton, bisection where that goes astray.

    Astray is out of the bracket, or in a circle: a step more than half as long as the one before
    (but the few steps from a start that is near are not judged). With the function's value a step
    before.
    """

    def step(_: Any, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        _, at, low, high, most = state
        value, slope = jax.jvp(excess, (at,), (jnp.ones_like(at),))
        low, high = jnp.where(value > 0, low, at), jnp.where(value > 0, at, high)  # NaN: too low
        newton = at - value / slope
        good = (newton >= low) & (newton <= high) & (jnp.abs(newton - at) <= most)  # NaN is not
        to = jnp.where(good, newton, (low + high) / 2)
        return value, to, low, high, jnp.maximum(jnp.abs(to - at) / 2, free)

    far = jnp.full_like(least, _FAR[least.dtype.itemsize])
    first = jnp.maximum(least, 0) if start is None else start
    tiny = float(jnp.finfo(least.dtype).eps) ** 0.5
    steps, free = (_STEPS, tiny) if start is None else (_STEPS_NEAR, jnp.inf)
    state = (first, first, least, far, jnp.full_like(least, jnp.inf))
    value, at, *_ = lax.fori_loop(0, steps, step, state)
    return at, value


def expm1_over(x: jax.Array) -> jax.Array:
    """(e^x − 1)/x, smooth at 0."""
    small = jnp.abs(x) < 1e-3
    series = 1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5)))
    away = jnp.where(small, 1.0, x)
    return jnp.where(small, series, jnp.expm1(away) / away)
