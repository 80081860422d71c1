"""The market maker's problem: parameters, the inventory grid, and what a solution is.

The mid price moves as dS = mu dt + sigma dW. The market maker posts a bid at S − delta_b and an ask
at S + delta_a; fills arrive with intensity Lambda(delta), by default A exp(−k delta), one unit
each. Inventory q runs over −Q..Q: at the edge the side that would leave it is not quoted. Two
objectives, both with the value x + q S + theta(t, q):

    cara      max E[−exp(−gamma (X_T + q_T S_T − phi_T q_T²))]
    penalty   max E[X_T + q_T S_T − phi_T q_T² − phi ∫ q² dt]

Units: sigma in price per √time, drift in price per time, A in fills per time, k in 1/price, gamma
in 1/money, phi in money per time and unit², phi_T in money per unit².

Reference: Avellaneda & Stoikov (2008), Quantitative Finance 8, 217–224; Guéant, Lehalle &
Fernandez-Tapia (2013), Mathematics and Financial Economics 7, 477–507; Cartea, Jaimungal &
Penalva (2015), Algorithmic and High-Frequency Trading, chapter 10.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info

OBJECTIVES = ("cara", "penalty")


class Params(NamedTuple):
    """Parameters; the defaults are the example of Avellaneda & Stoikov (2008), T = 1."""

    sigma: Any = 2.0
    """Volatility of the mid price, ≥ 0, in price units per √time."""
    A: Any = 140.0
    """Fills per unit of time at depth 0, ≥ 0; a number, or (bid, ask), shape (2,)."""
    k: Any = 1.5
    """Decay of the fill rate with depth, > 0, in 1/price; a number, or (bid, ask), shape (2,)."""
    gamma: Any = 0.1
    """Absolute risk aversion, ≥ 0, in 1/money; ``objective="cara"`` alone."""
    phi: Any = 0.0
    """Running inventory penalty, ≥ 0, money per time and unit²; ``objective="penalty"`` alone."""
    phi_T: Any = 0.0
    """Terminal inventory penalty, ≥ 0, money per unit²."""
    drift: Any = 0.0
    """Drift mu of the mid price, in price units per time."""
    eps: Any = 0.0
    """Adverse selection: a bid fill moves the mid by −eps, an ask fill by +eps; price units."""


class Solution(NamedTuple):
    """Value and optimal depths over times (m) and inventories −Q..Q (n = 2Q + 1)."""

    theta: jax.Array
    """theta(t, q): value beyond cash and marked inventory, in money, shape (m, n)."""
    delta_b: jax.Array
    """Depth of the bid below the mid, price units, shape (m, n); +inf at q = Q: no quote there."""
    delta_a: jax.Array
    """Depth of the ask above the mid, price units, shape (m, n); +inf at q = −Q."""
    info: Info
    """Whether it converged; the largest error of the solution's equations."""


class Problem(NamedTuple):
    """Validated parameters, each side its own: arrays of one dtype, scalars."""

    sigma: jax.Array
    A_b: jax.Array
    A_a: jax.Array
    k_b: jax.Array
    k_a: jax.Array
    gamma: jax.Array
    phi: jax.Array
    phi_T: jax.Array
    drift: jax.Array
    eps: jax.Array


def inventories(max_inventory: int, dtype: Any) -> jax.Array:
    """q = −Q, …, Q, shape (2Q + 1,)."""
    return jnp.arange(-max_inventory, max_inventory + 1).astype(dtype)


def in_domain(p: Problem) -> jax.Array:
    """Whether every parameter is finite and of the sign it must have."""
    finite = jnp.all(jnp.isfinite(jnp.stack(p)))
    not_negative = jnp.stack([p.sigma, p.A_b, p.A_a, p.gamma, p.phi, p.phi_T])
    return finite & jnp.all(not_negative >= 0) & (p.k_b > 0) & (p.k_a > 0)


def validated(params: Params, objective: str) -> Problem:
    """The parameters by side, as arrays of one dtype; concrete ones are checked.

    Raises:
      TypeError: not a Params, or an entry that is no real number.
      ValueError: an entry that is not finite, of the wrong sign or shape, or belongs to the other
        objective.
    """
    if not isinstance(params, Params):
        raise TypeError(f"params: expected market_making.Params, got {type(params).__name__}")
    validate.option("objective", objective, OBJECTIVES)
    given = [
        validate.array(f"Params.{name}", value)
        for name, value in zip(Params._fields, params, strict=True)
    ]
    dtype = jnp.result_type(float, *(x for x in params if hasattr(x, "dtype")))
    fields = {}
    for name, field in zip(Params._fields, given, strict=True):
        shapes = ((), (2,)) if name in ("A", "k") else ((),)
        if field is None or field.shape not in shapes:
            wanted = "a scalar or (bid, ask)" if len(shapes) == 2 else "a scalar"
            got = None if field is None else f"shape {field.shape}"
            raise ValueError(f"Params.{name}: expected {wanted}, got {got}; batch with jax.vmap")
        validate.finite(f"Params.{name}", field)
        if name == "k":
            validate.positive(f"Params.{name}", field)
        elif name not in ("drift", "eps"):
            validate.not_negative(f"Params.{name}", field)
        fields[name] = jnp.asarray(field, dtype)
    if objective == "cara" and not isinstance(params.phi, jax.core.Tracer) and params.phi != 0:
        raise ValueError(
            f"Params.phi: expected 0 for objective='cara', whose running risk is gamma's, got "
            f"{params.phi}; use objective='penalty'"
        )
    A, k = (jnp.broadcast_to(fields.pop(name), (2,)) for name in ("A", "k"))
    return Problem(A_b=A[0], A_a=A[1], k_b=k[0], k_a=k[1], **fields)


def same_sides(name: str, value: Any, instead: str) -> None:
    """Refuse a parameter whose sides differ, or may: a traced pair has a derivative for each side.

    Raises:
      ValueError: two numbers, or a traced pair; ``instead`` ends the message.
    """
    pair = validate.array(f"Params.{name}", value)
    if np.ndim(pair) == 0:
        return
    if isinstance(pair, jax.core.Tracer):
        raise ValueError(f"Params.{name}: expected one number, got a traced pair; {instead}")
    if pair[0] != pair[1]:
        raise ValueError(
            f"Params.{name}: expected the same on both sides, got {float(pair[0])} and "
            f"{float(pair[1])}; {instead}"
        )


def horizon(times: Any, dtype: Any) -> jax.Array:
    """Check the times t_1 < … < t_m = T at which the solution is wanted, shape (m,).

    Raises:
      ValueError: not one dimension, fewer than one, not finite, or not strictly increasing.
    """
    times = validate.array("times", times)
    if times is None or times.ndim != 1 or times.size == 0:
        shape = None if times is None else times.shape
        raise ValueError(f"times: expected shape (m,), the last one the horizon T, got {shape}")
    validate.finite("times", times)
    if not isinstance(times, jax.core.Tracer) and not (np.diff(np.asarray(times)) > 0).all():
        raise ValueError("times: expected strictly increasing times, the last one the horizon T")
    return jnp.asarray(times, dtype)
