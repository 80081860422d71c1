"""A teaching experiment: a market maker starts off the value and learns from order flow by a rule.

Each round M insiders, who know v, trade beta (v − mid) each, and noise traders u ~ N(0, sigma_u²):

    y = M beta (v − mid) + u,      mid ← mid + rule(y, lambda),      bid, ask = mid ∓ half_spread

lambda and beta are those of one auction (Kyle 1985; Holden & Subrahmanyam 1992), repeated without
foresight: nobody optimises over the rounds, and the market maker's lambda never falls. With the
linear rule the error v − mid shrinks by 1/(M+1) a round on average and settles at the variance
lambda² sigma_u² / (1 − 1/(M+1)²); the other rules show what a bend in it does.

A rule is a plain function (y, lambda_) → change of the mid, of scalars: y the net order flow in
asset units, lambda_ in price units per asset unit, the change in price units. The five that are not
linear act on the number of units in y, so they are not free of the asset's unit.

Reference: the one-auction lambda and beta: Holden & Subrahmanyam (1992), Journal of Finance 47,
247–270, with N = 1. The rules other than the linear one are of the classroom.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffeq import validate
from diffeq.check import poison

Rule = Callable[[jax.Array, jax.Array], jax.Array]

__all__ = [
    "RULES",
    "Params",
    "Paths",
    "exponential",
    "impact",
    "intensity",
    "linear",
    "logarithmic",
    "power",
    "simulate",
    "square_root",
    "squared",
]


class Params(NamedTuple):
    """Parameters; the defaults are the example of the figures."""

    sigma_v: Any = 2.5
    """Standard deviation of the value that lambda and beta are made for, > 0, in price units."""
    sigma_u: Any = 5.0
    """Standard deviation of noise orders in a round, > 0, in asset units."""
    num_insiders: Any = 1.0
    """M > 0, real."""
    value: Any = 100.0
    """v, which the insiders know, in price units."""
    mid_0: Any = 110.0
    """The market maker's first mid, in price units."""
    half_spread: Any = 2.0
    """Of the quotes around the mid, ≥ 0, in price units; nothing else depends on it."""


class Paths(NamedTuple):
    """P experiments of T rounds."""

    mid: jax.Array
    """Before the first round and after each, shape (P, T+1), in price units."""
    bid: jax.Array
    """mid − half_spread, shape (P, T+1)."""
    ask: jax.Array
    """mid + half_spread, shape (P, T+1)."""
    insider_orders: jax.Array
    """beta (v − mid) of one insider, shape (P, T), in asset units."""
    noise_orders: jax.Array
    """u, shape (P, T)."""
    flow: jax.Array
    """y, the sum of all orders, shape (P, T)."""


# The one-auction equilibrium


def impact(params: Params) -> jax.Array:
    """lambda = (sigma_v/sigma_u) sqrt(M)/(M+1), scalar, in price units per asset unit.

    >>> float(impact(Params()))
    0.25
    """
    sigma_v, sigma_u, M = _validated(params)[:3]
    return sigma_v / sigma_u * jnp.sqrt(M) / (M + 1)


def intensity(params: Params) -> jax.Array:
    """beta = sigma_u/(sigma_v sqrt(M)) of one insider, scalar, in asset units per price unit.

    >>> float(intensity(Params()))
    2.0
    """
    sigma_v, sigma_u, M = _validated(params)[:3]
    return sigma_u / sigma_v / jnp.sqrt(M)


# The rules

LARGEST = 10.0
"""What ``squared`` and ``exponential`` multiply lambda by at most."""


def linear(y: jax.Array, lambda_: jax.Array) -> jax.Array:
    """λ y, the rule of Kyle (1985); y of any shape, as in every rule.

    >>> float(linear(4.0, 0.5))
    2.0
    """
    return lambda_ * y


def square_root(y: jax.Array, lambda_: jax.Array) -> jax.Array:
    """λ sign(y) sqrt(1 + |y|): jumps by λ at y = 0; of the shape of y.

    >>> float(square_root(-8.0, 0.5))
    -1.5
    """
    return lambda_ * jnp.sign(y) * jnp.sqrt(1 + jnp.abs(y))


def squared(y: jax.Array, lambda_: jax.Array) -> jax.Array:
    """λ sign(y) min(y², 10); of the shape of y.

    >>> float(squared(-2.0, 0.5)), float(squared(7.0, 0.5))
    (-2.0, 5.0)
    """
    return lambda_ * jnp.sign(y) * jnp.minimum(y**2, LARGEST)


def logarithmic(y: jax.Array, lambda_: jax.Array) -> jax.Array:
    """λ sign(y) log(1 + |y|); of the shape of y.

    >>> round(float(logarithmic(1.0, 2.0)), 6)
    1.386294
    """
    return lambda_ * jnp.sign(y) * jnp.log1p(jnp.abs(y))


def exponential(y: jax.Array, lambda_: jax.Array) -> jax.Array:
    """λ sign(y) min(e^|y| − 1, 10); of the shape of y.

    >>> round(float(exponential(-1.0, 0.5)), 6), round(float(exponential(9.0, 0.5)), 6)
    (-0.859141, 5.0)
    """
    # the smaller before the exponential: a large order has slope 0, not 0 times ∞
    return lambda_ * jnp.sign(y) * jnp.expm1(jnp.minimum(jnp.abs(y), math.log1p(LARGEST)))


def power(y: jax.Array, lambda_: jax.Array, a: Any = 0.5, g: Any = 0.6) -> jax.Array:
    """a λ sign(y) |y|^g; of the shape of y. At y = 0 its slope is infinite for g < 1.

    >>> float(power(-4.0, 0.5, a=0.5, g=0.5))
    -0.5
    """
    return a * lambda_ * jnp.sign(y) * jnp.abs(y) ** g


RULES: dict[str, Rule] = {
    "linear": linear,
    "square_root": square_root,
    "squared": squared,
    "logarithmic": logarithmic,
    "exponential": exponential,
    "power": power,
}
"""The six rules by name."""


# The experiment


def simulate(
    key: jax.Array,
    params: Params,
    *,
    rule: str | Rule = "linear",
    num_rounds: int = 50,
    num_paths: int = 1,
) -> Paths:
    """Quote for ``num_rounds`` rounds, ``num_paths`` times; differentiable in every parameter.

    Args:
      key: a JAX random key. The same key draws the same noise for every rule.
      params: scalars; batch with ``jax.vmap``.
      rule: a name in :data:`RULES`, or a function (y, lambda_) → change of the mid, of scalars and
        made of JAX operations (``jnp.where`` for ``if``); static. A function defined anew for each
        call is compiled anew.
      num_rounds: T ≥ 1, static.
      num_paths: P ≥ 1, static.

    Returns:
      :class:`Paths`, shapes (P, T+1) and (P, T); NaN where a traced parameter is out of its domain.

    Raises:
      ValueError, TypeError: a concrete parameter is out of its domain; no such rule; or a rule that
        does not give a number for a number, or asks Python for the value of one.

    >>> paths = simulate(jax.random.key(0), Params(), num_paths=1000)
    >>> bool(abs(paths.mid[:, -1].mean() - 100) < 0.2)
    True
    """
    params = _validated(params)
    if not callable(rule):
        rule = RULES[validate.option("rule", rule, tuple(RULES))]
    _check_rule(rule, params.sigma_v.dtype)
    rounds = validate.count("num_rounds", num_rounds), validate.count("num_paths", num_paths)
    return _simulate(key, params, rule, *rounds)


def _check_rule(rule: Rule, dtype: Any) -> None:
    number = jax.ShapeDtypeStruct((), dtype)
    try:
        made: Any = jax.eval_shape(rule, number, number)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise TypeError(
            "rule: expected a function made of JAX operations, got one that asks Python for the "
            "value of a number: write jnp.where for if, jnp.sqrt for math.sqrt or np.sqrt"
        ) from error
    real = (jnp.floating, jnp.integer)
    if getattr(made, "shape", None) != () or not any(jnp.issubdtype(made.dtype, k) for k in real):
        raise ValueError(f"rule: expected a number for a number, a function of scalars, got {made}")


@partial(jax.jit, static_argnums=(2, 3, 4))
def _simulate(key: jax.Array, params: Params, rule: Rule, num_rounds: int, num_paths: int) -> Paths:
    sigma_v, sigma_u, M, value, mid_0, half_spread = params
    lambda_, beta = impact(params), intensity(params)
    change = jax.vmap(rule, in_axes=(0, None))
    noise = sigma_u * jax.random.normal(key, (num_rounds, num_paths), sigma_v.dtype)

    def play(mid: jax.Array, u: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        x = beta * (value - mid)
        y = M * x + u
        mid = mid + change(y, lambda_).astype(mid.dtype)
        return mid, (mid, x, y)

    start = jnp.broadcast_to(mid_0, (num_paths,))
    _, (mid, orders, flow) = lax.scan(play, start, noise)
    mid = jnp.concatenate([start[None], mid])
    paths = Paths(mid, mid - half_spread, mid + half_spread, orders, noise, flow)
    positive = (sigma_v > 0) & (sigma_u > 0) & (M > 0) & (half_spread >= 0)
    ok = positive & jnp.all(jnp.isfinite(jnp.stack(params)))
    return jax.tree.map(jnp.transpose, poison(paths, ok, params))


def _validated(params: Params) -> Params:
    params = validate.parameters(params, Params, positive=("sigma_v", "sigma_u", "num_insiders"))
    validate.not_negative("price_rules.Params.half_spread", params.half_spread)
    return params
