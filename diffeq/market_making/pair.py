"""Two assets on the grid of both inventories: the optimum, for any intensities.

The equation of :mod:`.assets` as it stands, on −Q_1..Q_1 × −Q_2..Q_2, integrated as that of one
asset (:mod:`.hjb`), with a table of differences (:mod:`.differences`) for state. Row q_1 couples to
rows q_1 ± 1 only: each implicit step solves a block tridiagonal system, with n_1 = 2Q_1 + 1 blocks
of n_2 = 2Q_2 + 1.

Reference: Guéant (2017), Applied Mathematical Finance 24, section 4; Hairer & Wanner (1996),
section IV.9.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.market_making import coupled, hjb
from diffeq.market_making.assets import Basket, Params, in_domain, validated
from diffeq.market_making.differences import across, differences, down, values
from diffeq.market_making.intensities import Best
from diffeq.market_making.model import inventories
from diffeq.market_making.sides import Intensities


class Solution(NamedTuple):
    """Value and optimal depths over times (m) and inventories −Q_1..Q_1 (n_1), −Q_2..Q_2 (n_2)."""

    theta: jax.Array
    """theta(t, q_1, q_2): value beyond cash and marked inventories, money, shape (m, n_1, n_2)."""
    delta_b: jax.Array
    """Depth of each asset's bid below its mid, price units, shape (2, m, n_1, n_2); +inf where its
    inventory is at the upper end: no quote there."""
    delta_a: jax.Array
    """Depth of each asset's ask above its mid, as ``delta_b``; +inf at the lower end."""
    info: Info
    """Whether it converged; the estimated error of theta's differences over the inverse hazard."""


def solve(
    params: Params,
    *,
    max_inventory: Any,
    times: Any,
    objective: str = "cara",
    intensity: Intensities | None = None,
) -> Solution:
    """Value and optimal quotes of two assets.

    Args:
      params: as :class:`~.assets.Params`, d = 2. Every leaf is differentiable.
      max_inventory: Q ≥ 1, or (Q_1, Q_2); static.
      times: t_1 < … < t_m = T, shape (m,).
      objective: ``"cara"`` or ``"penalty"``, static.
      intensity: as for :func:`.hjb.solve`: Lambda(depth) or (bid, ask). The fields of a NamedTuple
        may have a first axis (2,), a table's before their own; a function is the same for both
        assets.

    Returns:
      :class:`Solution`. Time grows with n_1 n_2³ (linear algebra) and n_1 n_2² (intensities), so
      let the second asset be the one of the smaller Q; memory with n_1 n_2². Where the estimated
      error exceeds 1e-7 (float32: 1e-2), a best depth does not exist, or a parameter lies outside
      its domain, all is NaN and ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete argument out of domain, or another number of assets.

    Reference: Guéant (2017), Applied Mathematical Finance 24, section 4.

    >>> found = solve(Params(rho=0.6), max_inventory=2, times=[0.0, 0.5])
    >>> alone, hedged = found.delta_b[0, 0, 3, 2], found.delta_b[0, 0, 3, 1]
    >>> bool(hedged < alone)  # long one, short another that moves with it: a higher bid
    True
    """
    basket, t = validated(params, times, objective, intensity)
    if basket.rho.shape[0] != 2:
        raise ValueError(f"Params.sigma: expected two assets, got {basket.rho.shape[0]}")
    both = max_inventory if isinstance(max_inventory, tuple | list) else (max_inventory,) * 2
    if len(both) != 2:
        raise ValueError(f"max_inventory: expected Q or (Q_1, Q_2), got {max_inventory!r}")
    Q_1, Q_2 = (validate.count("max_inventory", Q) for Q in both)
    return _solve(basket, t, (Q_1, Q_2))


def lines(y: jax.Array) -> jax.Array:
    """theta's differences along each asset's inventory, a line for each of the other's: (2, L, K).

    L = max(n_1, n_2) lines of K = L − 1; what lies beyond an asset's own is 0.
    """
    most = max(y.shape)
    filled = [
        jnp.pad(u, ((0, most - u.shape[0]), (0, most - 1 - u.shape[1])))
        for u in (down(y).T, across(y))
    ]
    return jnp.stack(filled)


def best(y: jax.Array, basket: Basket, near: Any) -> tuple[Best, Best]:
    """Bids and asks as :func:`.hjb.best` of each asset, along the :func:`lines`."""
    alone = jax.vmap(hjb.best, in_axes=(0, None, 0))
    bids, asks = jax.vmap(alone)(lines(y), basket.systems, near)
    return bids, asks


def _tables(
    y: jax.Array, bids: jax.Array, asks: jax.Array, edge: float
) -> tuple[jax.Array, jax.Array]:
    """What belongs to bids and asks along the lines, on the grid, (2, n_1, n_2).

    ``edge`` stands where the quote would leave it.
    """
    n_1, n_2 = y.shape

    def table(both: jax.Array, at: tuple[int, int]) -> jax.Array:
        first, second = both[0, :n_2, : n_1 - 1].T, both[1, :n_1, : n_2 - 1]
        return jnp.stack(
            [
                jnp.pad(first, (at, (0, 0)), constant_values=edge),
                jnp.pad(second, ((0, 0), at), constant_values=edge),
            ]
        )

    return table(bids, (0, 1)), table(asks, (1, 0))


def rate(y: jax.Array, basket: Basket, near: Any) -> tuple[jax.Array, Any]:
    """y_tau, and the margins with which it was found."""
    bid, ask = best(y, basket, near)
    gains = _tables(y, bid.gain, ask.gain, 0)
    q_1, q_2 = _grid(y)
    mu = basket.systems.drift
    earned = mu[0] * q_1 + mu[1] * q_2 + jnp.sum(gains[0] + gains[1], axis=0)
    return differences(earned - _quadratic(basket.risk, y)), (bid.margin, ask.margin)


def _quadratic(matrix: jax.Array, y: jax.Array) -> jax.Array:
    """q' matrix q on the grid."""
    q_1, q_2 = _grid(y)
    return matrix[0, 0] * q_1**2 + 2 * matrix[0, 1] * q_1 * q_2 + matrix[1, 1] * q_2**2


def _grid(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    q_1, q_2 = (inventories(n // 2, y.dtype) for n in y.shape)
    return q_1[:, None], q_2[None]


@partial(jax.jit, static_argnums=2)
def _solve(basket: Basket, times: jax.Array, Q: tuple[int, int]) -> Solution:
    dtype = times.dtype
    table = jnp.zeros((2 * Q[0] + 1, 2 * Q[1] + 1), dtype)
    start = differences(-_quadratic(basket.phi_T, table))
    found = coupled.integrate(rate, best, start, times, basket)
    y = found.y[::-1]
    theta = jax.vmap(values)(y)
    delta_b, delta_a, condition = jax.vmap(partial(_quotes, basket), out_axes=(1, 1, 0))(y)
    ok = in_domain(basket) & coupled.accurate(found, theta, condition, times)
    fields = poison((theta, delta_b, delta_a), ok, (basket, times))
    return Solution(*fields, Info(ok, found.error))


def _quotes(basket: Basket, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Bids and asks of both assets, shape (2, n_1, n_2), and the conditions' residual."""
    bid, ask = best(y, basket, (None, None))
    u = lines(y)
    residual = jnp.maximum(jnp.max(bid.residual), jnp.max(ask.residual))
    return *_tables(y, bid.margin - u, ask.margin + u, np.inf), residual
