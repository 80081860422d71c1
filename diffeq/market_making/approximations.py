"""Policies by formula: approximations of the optimum, each with its domain; benchmarks; your own.

None of them is the optimum: :func:`~.exponential.solve` is. In the 2008 paper's own example the
half-spread of its formula at t = 0 is .845, the optimal one .672.

Reference: with each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import poison
from diffeq.market_making.exponential import linear, log1p_over
from diffeq.market_making.model import (
    Params,
    Problem,
    horizon,
    in_domain,
    inventories,
    same_sides,
    validated,
)


class Depths(NamedTuple):
    """Quotes over times (m) and inventories −Q..Q (n), in price units, shape (m, n)."""

    delta_b: jax.Array
    """Depth of the bid below the mid; +inf at q = Q: no quote."""
    delta_a: jax.Array
    """Depth of the ask above the mid; +inf at q = −Q."""


def avellaneda_stoikov(params: Params, *, max_inventory: int, times: Any) -> Depths:
    """The formula of 2008: a spread around the reservation price r = s − q gamma sigma² (T−t).

    The total spread is gamma sigma² (T−t) + (2/gamma) log(1 + gamma/k). This is the expansion to
    first order in T−t of the optimum without inventory limits: good shortly before T alone.

    Args:
      params: scalars; A, phi, phi_T, drift and eps do not enter. Each side has its own k.
      max_inventory: Q ≥ 1, static.
      times: increasing, the last one the horizon T, shape (m,).

    Returns:
      :class:`Depths`, shape (m, 2Q + 1).

    Reference: Avellaneda & Stoikov (2008), equations (29) and (30).

    >>> found = avellaneda_stoikov(Params(), max_inventory=1, times=[0.0, 1.0])
    >>> round(float(found.delta_b[0, 1]), 3)
    0.845
    """
    p, t, q = _checked(params, max_inventory, times)
    risk = p.gamma * p.sigma**2 * (t[-1] - t)[:, None]
    skew = risk * q[None]
    return _quoted(risk / 2 + skew, risk / 2 - skew, p)


def symmetric(params: Params, *, max_inventory: int, times: Any) -> Depths:
    """The benchmark of 2008: the time average of its total spread, quoted around the mid.

    That is gamma sigma² (T − t_1)/2 + (2/gamma) log(1 + gamma/k): the average spreads 1.49, 1.35
    and 3.02 of the published tables.

    Args:
      params, max_inventory, times: as :func:`avellaneda_stoikov`.

    Returns:
      :class:`Depths`, shape (m, 2Q + 1), the same at every time and inventory.

    Reference: Avellaneda & Stoikov (2008), section 3.3 and tables 1 to 3.

    >>> found = symmetric(Params(gamma=1.0), max_inventory=1, times=[0.0, 1.0])
    >>> round(2 * float(found.delta_b[0, 1]), 2)
    3.02
    """
    p, t, q = _checked(params, max_inventory, times)
    average = p.gamma * p.sigma**2 * (t[-1] - t[0]) / 2
    half = jnp.full((t.size, q.size), 0.5, q.dtype) * average
    return _quoted(half, half, p)


def fixed(spread: Any, *, max_inventory: int, times: Any) -> Depths:
    """The benchmark that knows nothing: one spread around the mid, whatever the time and inventory.

    Args:
      spread: ask less bid, ≥ 0, price units, scalar; differentiable.
      max_inventory: Q ≥ 1, static.
      times: increasing, the last one the horizon T, shape (m,).

    Returns:
      :class:`Depths`, shape (m, 2Q + 1); NaN where a traced spread is negative.

    Raises:
      ValueError, TypeError: a concrete spread that is no number ≥ 0.

    Reference: Avellaneda & Stoikov (2008), section 3.3, of which :func:`symmetric` is a case.

    >>> fixed(1.0, max_inventory=1, times=[0.0, 1.0]).delta_a[0].tolist()
    [inf, 0.5, 0.5]
    """
    spread = validate.array("spread", spread)
    if np.shape(spread) != ():
        raise ValueError(f"spread: expected a scalar, got shape {np.shape(spread)}")
    validate.not_negative("spread", spread)
    dtype = jnp.result_type(float, *([spread] if hasattr(spread, "dtype") else []))
    spread, t = jnp.asarray(spread, dtype), horizon(times, dtype)
    n = 2 * validate.count("max_inventory", max_inventory) + 1
    half = poison(jnp.broadcast_to(spread / 2, (t.size, n)), spread >= 0, spread)
    return _within(half, half)


def tabulate(quote: Callable[[Any, Any], Any], *, max_inventory: int, times: Any) -> Depths:
    """A policy of your own, as a table.

    Args:
      quote: (t, q) → (delta_b, delta_a), scalars, in price units; +inf for no quote. A pure JAX
        function: it is called once, with traced t and q.
      max_inventory: Q ≥ 1, static; at the edge the side that would leave the grid is not quoted.
      times: increasing, the last one the horizon T, shape (m,).

    Returns:
      :class:`Depths`, shape (m, 2Q + 1), differentiable in whatever ``quote`` closes over.

    Raises:
      ValueError: a function that returns anything but two scalars.

    >>> found = tabulate(lambda t, q: (1 + 0.1 * q, 1 - 0.1 * q), max_inventory=2, times=[0.0, 1.0])
    >>> [round(x, 6) for x in found.delta_b[0].tolist()]
    [0.8, 0.9, 1.0, 1.1, inf]
    """
    times = validate.array("times", times)
    t = horizon(times, jnp.result_type(float, *([times] if hasattr(times, "dtype") else [])))
    q = inventories(validate.count("max_inventory", max_inventory), t.dtype)

    def at(t: jax.Array, q: jax.Array) -> tuple[jax.Array, jax.Array]:
        quotes = quote(t, q)
        if not isinstance(quotes, tuple | list) or [jnp.shape(x) for x in quotes] != [(), ()]:
            raise ValueError(
                f"quote: expected a function (t, q) → (delta_b, delta_a), scalars, got {quotes!r}"
            )
        return jnp.asarray(quotes[0], t.dtype), jnp.asarray(quotes[1], t.dtype)

    return _within(*jax.vmap(lambda t: jax.vmap(lambda q: at(t, q))(q))(t))


def stationary(
    params: Params, *, max_inventory: int, times: Any, objective: str = "cara"
) -> Depths:
    """The asymptotics of long before the end: depths linear in inventory, whatever the time.

    delta_b = c + (2(q−q*)+1)/2 R, delta_a = c + (1−2(q−q*))/2 R, R = sqrt(sigma² gamma/(2kA)
    (1+gamma/k)^(1+k/gamma)) for "cara", sqrt(phi e/(kA)) for "penalty"; c as in the optimum; q* the
    inventory that a drift makes one's own, drift/(gamma sigma²) or drift/(2 phi). With adverse
    selection c grows by eps/2, and R by exp(k eps/4). Valid for |q−q*| sqrt(ratio) ≪ 1 ≪ Q²
    sqrt(ratio), ratio = (k times risk per q²)/(rate eta), and T−t beyond the relaxation time
    1/(2 sqrt(k risk · eta)). With no risk (gamma sigma = 0, or phi = 0) the limit depends on Q
    alone and this formula, R = 0, is not it.

    Args:
      params: scalars; A and k the same on both sides; phi_T does not enter.
      max_inventory, times: as :func:`avellaneda_stoikov`.
      objective: ``"cara"`` or ``"penalty"``, static.

    Returns:
      :class:`Depths`, shape (m, 2Q + 1); NaN where A = 0, or with a drift and no risk.

    Raises:
      ValueError: sides that differ, or a traced pair of them.

    Reference: Guéant, Lehalle & Fernandez-Tapia (2013), section 4; 5 for drift and eps.
    """
    p, t, q = _checked(params, max_inventory, times, objective)
    for name in ("A", "k"):
        same_sides(name, getattr(params, name), "sides that differ have no such formula")
    if objective == "penalty":
        p = p._replace(gamma=jnp.zeros_like(p.gamma))
    eta, _, c_1, c_2, _ = linear(p, objective)
    ok = (eta > 0) & ((c_2 > 0) | (c_1 == 0))
    R = jnp.sqrt(c_2 / jnp.where(ok, eta, 1)) / p.k_b
    risky = ok & (c_2 > 0)
    lean = jnp.where(risky, c_1 / (2 * p.k_b * jnp.sqrt(jnp.where(risky, c_2 * eta, 1))), 0)  # R q*
    half = jnp.broadcast_to((R + p.eps) / 2, (t.size, q.size))
    skew = R * q[None] - lean
    return _quoted(half + skew, half - skew, p, ok)


def _checked(
    params: Params, max_inventory: int, times: Any, objective: str = "cara"
) -> tuple[Problem, jax.Array, jax.Array]:
    p = validated(params, objective)
    Q = validate.count("max_inventory", max_inventory)
    return p, horizon(times, p.sigma.dtype), inventories(Q, p.sigma.dtype)


def _quoted(above_b: jax.Array, above_a: jax.Array, p: Problem, exist: Any = True) -> Depths:
    """Depths from what each side adds to c = log(1 + gamma/k)/gamma; no quote beyond the grid."""
    c_b, c_a = (log1p_over(p.gamma / k) / k for k in (p.k_b, p.k_a))
    return _within(*poison((c_b + above_b, c_a + above_a), in_domain(p) & exist, p))


def _within(delta_b: jax.Array, delta_a: jax.Array) -> Depths:
    """No quote on the side that would leave the grid."""
    return Depths(delta_b.at[:, -1].set(jnp.inf), delta_a.at[:, 0].set(jnp.inf))
