"""Options on a grid of terminal prices: replication of any claim, and prices.

States are terminal prices x_1 < … < x_X. A claim is its payoff in each state; an Arrow–Debreu
demand W is one. With slopes m_i of W between neighbouring states and a reference state x_0,

    W(x) = W(x_0) + ½(m_L + m_R)(x − x_0) + Σ_{below} Δm_i (x_i − x)⁺ + Σ_{above} Δm_i (x − x_i)⁺
           + ½(m_R − m_L) |x − x_0|

on every state: a bond, the underlying and one option per interior state, X instruments for X
states, the one at x_0 an equal put and call. A claim's price is payoff · P, P the state prices.

Reference: Keller & Tseng (2024), section 7; their (7) leaves out the bond and the kink at x_0.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import poison
from diffeq.contingent.black import numbers

__all__ = [
    "Portfolio",
    "call_payoff",
    "contributions",
    "cross_impact",
    "describe",
    "payoff_of",
    "price",
    "put_payoff",
    "replicate",
]


class Portfolio(NamedTuple):
    """Positions in bond, underlying, puts and calls; positive is long."""

    bond: Any
    """Units of a claim to one in every state."""
    underlying: Any
    """Units of the underlying."""
    puts: Any
    """Puts struck at each state, shape (X,); zero above the reference and at both ends."""
    calls: Any
    """Calls struck at each state, shape (X,); zero below the reference and at both ends."""
    strikes: Any
    """The states, shape (X,)."""


def replicate(payoff: Any, states: Any, *, reference: int) -> Portfolio:
    """The portfolio with this payoff in every state: puts below the reference, calls above.

    Args:
      payoff: of the claim (or an Arrow–Debreu demand W), shape (X,).
      states: terminal prices, strictly increasing, shape (X,), X ≥ 3.
      reference: index of the interior state (1 to X − 2) where puts end and calls begin, usually
        the current price.

    Returns:
      :class:`Portfolio`, linear in the payoff.

    Raises:
      TypeError, ValueError: wrong shapes, states not increasing, numbers not finite, a reference
        that is no interior state.

    >>> bull_spread = replicate([0.0, 0.0, 5.0, 10.0, 10.0], [90.0, 95, 100, 105, 110], reference=2)
    >>> [float(x) for x in (bull_spread.bond, bull_spread.underlying)]
    [-95.0, 1.0]
    >>> bull_spread.puts.tolist(), bull_spread.calls.tolist()
    ([0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, -1.0, 0.0])
    """
    payoff, states = numbers(positive=(), payoff=payoff, states=states)
    check_states(states)
    if payoff.shape != states.shape:
        raise ValueError(f"payoff: expected shape {states.shape}, got {payoff.shape}")
    validate.finite("payoff", payoff)
    reference = validate.count("reference", reference)
    if reference > states.shape[0] - 2:
        raise ValueError(
            f"reference: expected an interior state, 1 to {states.shape[0] - 2}, got {reference}"
        )
    bond, underlying, puts, calls = _replicate(payoff, states, reference)
    return Portfolio(bond, underlying, puts, calls, states)


@partial(jax.jit, static_argnums=2)
def _replicate(payoff: jax.Array, states: jax.Array, reference: int) -> tuple[jax.Array, ...]:
    slopes = jnp.diff(payoff) / jnp.diff(states)
    kinks = jnp.pad(jnp.diff(slopes), 1)
    underlying = (slopes[reference - 1] + slopes[reference]) / 2
    bond = payoff[reference] - underlying * states[reference]
    # the share of the kink held in puts: all below the reference, half at it, none above
    share = (1 - np.sign(np.arange(states.shape[0]) - reference)) / 2
    puts = kinks * jnp.asarray(share, kinks.dtype)
    increasing = jnp.all(jnp.diff(states) > 0)
    return poison((bond, underlying, puts, kinks - puts), increasing, (payoff, states))


def check_states(states: jax.Array) -> None:
    """Raise unless states are of shape (X,), X ≥ 3, and, where concrete, finite and increasing."""
    if states.ndim != 1 or states.shape[0] < 3:
        raise ValueError(f"states: expected shape (X,) with X ≥ 3, got {states.shape}")
    validate.finite("states", states)
    if not isinstance(states, jax.core.Tracer):
        steps = np.diff(np.asarray(states))
        if not (steps > 0).all():
            i = int(np.argmin(steps > 0))
            raise ValueError(
                "states: expected strictly increasing terminal prices, "
                f"got {states[i]:.12g} then {states[i + 1]:.12g} at {i}"
            )


def payoff_of(portfolio: Portfolio, states: Any) -> jax.Array:
    """What the portfolio pays at each terminal price of ``states``, shape (S,)."""
    result: jax.Array = jnp.sum(contributions(portfolio, states), axis=0)
    return result


def contributions(portfolio: Portfolio, states: Any) -> jax.Array:
    """What each position pays: rows bond, underlying, X puts, X calls; shape (2 + 2X, S).

    The rounding of a replication is measured against Σ|contributions|: a claim may be the small
    difference of large positions.
    """
    bond, underlying, puts, calls, strikes, states = numbers(
        positive=(), **portfolio._asdict(), states=states
    )
    cash = jnp.broadcast_to(bond, (1, states.shape[0]))
    return jnp.concatenate(
        [
            cash,
            underlying * states[None],
            puts[:, None] * put_payoff(states, strikes),
            calls[:, None] * call_payoff(states, strikes),
        ]
    )


def describe(portfolio: Portfolio, *, smallest: float = 1e-6) -> str:
    """The positions of a :class:`Portfolio` in words, one a line.

    Those below ``smallest`` of the largest are left out.

    >>> straddle = replicate([10.0, 5.0, 0.0, 5.0, 10.0], [90.0, 95, 100, 105, 110], reference=2)
    >>> print(describe(straddle))
    long 1 put 100
    long 1 call 100
    """
    bond, underlying, puts, calls, strikes = (np.asarray(leaf) for leaf in portfolio)
    names = ["bond", "underlying", *(f"{kind} {k:g}" for kind in ("put", "call") for k in strikes)]
    units = np.array([bond, underlying, *puts, *calls])
    return "\n".join(
        f"{'long' if n > 0 else 'short'} {abs(n):g} {name}"
        for n, name in zip(units, names, strict=True)
        if abs(n) > smallest * np.abs(units).max()
    )


# Prices


def call_payoff(states: Any, strikes: Any) -> jax.Array:
    """(x − K)⁺, shape (num_strikes, num_states)."""
    states, strikes = _axes(states, strikes)
    return jnp.maximum(states[None] - strikes[:, None], 0)


def put_payoff(states: Any, strikes: Any) -> jax.Array:
    """(K − x)⁺, shape (num_strikes, num_states)."""
    states, strikes = _axes(states, strikes)
    return jnp.maximum(strikes[:, None] - states[None], 0)


def _axes(states: Any, strikes: Any) -> list[jax.Array]:
    states, strikes = numbers(positive=(), states=states, strikes=strikes)
    if states.ndim != 1 or strikes.ndim != 1:
        raise ValueError(
            "states, strikes: expected shapes (num_states,) and (num_strikes,), "
            f"got {states.shape} and {strikes.shape}"
        )
    return [states, strikes]


def price(payoff: Any, state_prices: Any) -> jax.Array:
    """payoff · P; payoff of shape (X,) or (n, X), state prices of shape (X,)."""
    payoff, state_prices = numbers(positive=(), payoff=payoff, state_prices=state_prices)
    if state_prices.ndim != 1 or payoff.shape[-1:] != state_prices.shape:
        raise ValueError(
            "payoff, state_prices: expected shapes (X,) or (n, X), and (X,), "
            f"got {payoff.shape} and {state_prices.shape}"
        )
    return payoff @ state_prices


def cross_impact(payoff_1: Any, impact: Any, payoff_2: Any) -> jax.Array:
    """phi_1ᵀ Lambda phi_2: how trading claim 2 moves the price of claim 1 (Corollary 7.5).

    ``impact`` is Lambda_ij = ∂P_i/∂W_j, shape (X, X).
    """
    payoff_1, impact, payoff_2 = numbers(
        positive=(), payoff_1=payoff_1, impact=impact, payoff_2=payoff_2
    )
    X = payoff_2.shape[-1] if payoff_2.ndim else 0
    if (payoff_1.shape, impact.shape, payoff_2.shape) != ((X,), (X, X), (X,)):
        raise ValueError(
            "payoff_1, impact, payoff_2: expected shapes (X,), (X, X) and (X,), "
            f"got {payoff_1.shape}, {impact.shape} and {payoff_2.shape}"
        )
    return payoff_1 @ impact @ payoff_2
