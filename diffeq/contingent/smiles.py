"""Implied volatilities from state prices: of one price system, and on average after a trade.

With K = 2 signals the prices after an order flow are q eta_1 + (1 − q) eta_2, and all that matters
of the order flow is one normal number w (:mod:`diffeq.contingent.two_signals`):

    log q/(1−q) = log(p/(1−p)) + (x + 1/x) w − (x² − 1/x²)/2,   w ~ N(x, 1) or N(−1/x, 1)

under signal 1 or 2. So averages over the order flow are one-dimensional integrals. Volatility is
not linear in the price: the average volatility is not the volatility of the average price.

Reference: Keller & Tseng (2024), section 7 and figure 8.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.contingent import black, options
from diffeq.contingent.black import ImpliedVolatility, numbers
from diffeq.contingent.game import Game, in_domain
from solvers import quadrature, root

__all__ = [
    "AverageSmile",
    "SampledSmile",
    "average_smile",
    "lognormal_signals",
    "sampled_smile",
    "smile",
]


class AverageSmile(NamedTuple):
    """The smile after the insider who saw one signal has traded."""

    average: jax.Array
    """E[implied volatility] over the order flow, shape (S,)."""
    at_average_price: jax.Array
    """Implied volatility of the expected prices, shape (S,)."""
    info: Info
    """converged: both exist, at every order flow; shape (S,)."""


class SampledSmile(NamedTuple):
    """Monte Carlo estimate of ``AverageSmile.average``."""

    average: jax.Array
    """Sample mean of the implied volatility, shape (S,)."""
    standard_error: jax.Array
    """Of that mean, shape (S,)."""


def smile(state_prices: Any, states: Any, strikes: Any, time: Any = 1.0) -> ImpliedVolatility:
    """Implied volatility at each strike, from state prices.

    Args:
      state_prices: P ≥ 0, shape (X,); ΣP is the discount factor, ΣxP its product with the forward.
      states: terminal prices > 0, strictly increasing, shape (X,).
      strikes: > 0, shape (S,). The payoff's kink is only as sharp as the grid around it: with steps
        d in log price the error is of order d².
      time: T > 0.

    Returns:
      :class:`ImpliedVolatility`, shape (S,), from the out-of-the-money option at each strike. NaN
      and flagged where no state with a positive price lies beyond the strike.

    Raises:
      TypeError, ValueError: wrong shapes, states not increasing, numbers out of their domain.
    """
    state_prices, states, strikes, time = numbers(
        positive=("states", "strikes", "time"),
        state_prices=state_prices, states=states, strikes=strikes, time=time,
    )  # fmt: skip
    _check_grid(states, strikes)
    if state_prices.shape != states.shape:
        raise ValueError(f"state_prices: expected shape {states.shape}, got {state_prices.shape}")
    validate.not_negative("state_prices", state_prices)
    result: ImpliedVolatility = _smile(state_prices, states, strikes, time)
    return result


@jax.jit
def _smile(
    state_prices: jax.Array, states: jax.Array, strikes: jax.Array, time: jax.Array
) -> ImpliedVolatility:
    discount = jnp.sum(state_prices)
    forward = states @ state_prices / discount
    is_call = strikes >= forward
    calls, puts = options.call_payoff(states, strikes), options.put_payoff(states, strikes)
    price = jnp.where(is_call[:, None], calls, puts) @ state_prices
    price = poison(price, jnp.all(state_prices >= 0), state_prices)
    return black.implied_volatility(price, forward, strikes, time, is_call, discount=discount)


def average_smile(
    eta: Any,
    prior: Any,
    x: Any,
    states: Any,
    strikes: Any,
    time: Any = 1.0,
    *,
    signal: int,
    spacing: float = 0.2,
) -> AverageSmile:
    """The expected smile of a two-signal game, by quadrature over w.

    Args:
      eta: probability of each state under each signal, shape (2, X).
      prior: market maker's probability of each signal, shape (2,).
      x: scale of the demand, W_1 = x u and W_2 = −u/x; > 0, 1 at a uniform prior
        (:func:`diffeq.contingent.two_signals.scale`).
      states, strikes, time: as in :func:`smile`.
      signal: what the insider saw, 1 or 2, static.
      spacing: of the quadrature nodes in w, static; the error falls like exp(−const/spacing).

    Returns:
      :class:`AverageSmile`, differentiable in every number.

    Raises:
      TypeError, ValueError: as :func:`smile`; rows of eta or a prior that do not sum to one.
    """
    rule = quadrature.normal_lattice(1, spacing)
    result: AverageSmile = _average_smile(
        *_game(eta, prior, x, states, strikes, time),
        jnp.asarray(_signal(signal) == 1),  # traced: one program for both
        rule.nodes[:, 0],
        rule.weights,
    )
    return result


@jax.jit
def _average_smile(
    eta: jax.Array,
    prior: jax.Array,
    x: jax.Array,
    states: jax.Array,
    strikes: jax.Array,
    time: jax.Array,
    saw_first: jax.Array,
    nodes: jax.Array,
    weights: jax.Array,
) -> AverageSmile:
    nodes, weights = nodes.astype(eta.dtype), weights.astype(eta.dtype)
    odds = log_odds(nodes + jnp.where(saw_first, x, -1 / x), prior, x)  # w has mean x or −1/x
    prices = jax.nn.sigmoid(jnp.stack([odds, -odds], axis=1)) @ eta
    prices = jnp.concatenate([prices, (weights @ prices)[None]])  # their average is the last
    each = jax.vmap(lambda P: _smile(P, states, strikes, time))(prices)
    residual, converged = jnp.max(each.info.residual, axis=0), jnp.all(each.info.converged, axis=0)
    fields = (weights @ each.volatility[:-1], each.volatility[-1])
    ok = in_domain(Game(eta, states, prior)) & (x > 0)  # any noise
    fields = poison(fields, ok, (eta, prior, x, states, strikes, time))
    return AverageSmile(*fields, Info(converged & ok, residual))


def log_odds(w: jax.Array, prior: jax.Array, x: jax.Array) -> jax.Array:
    """log q/(1−q) = log(p/(1−p)) + (x + 1/x) w − (x² − 1/x²)/2."""
    return jnp.log(prior[0] / prior[1]) + (x + 1 / x) * w - (x**2 - x**-2) / 2


def sampled_smile(
    key: jax.Array,
    eta: Any,
    prior: Any,
    x: Any,
    states: Any,
    strikes: Any,
    time: Any = 1.0,
    *,
    signal: int,
    num_paths: int,
    sigma: Any = 1.0,
) -> SampledSmile:
    """The same average by playing the game: a check of the reduction to one dimension.

    Draws order flow omega = W + noise in every state's market and prices by Bayes' rule (Theorem
    4.1). Memory is num_paths × (X + S).

    Args:
      key: random key.
      eta, prior, x, states, strikes, time, signal: as in :func:`average_smile`.
      num_paths: order flows drawn, ≥ 2, static.
      sigma: standard deviation of noise orders, > 0, a number or shape (X,); the law of the prices
        does not depend on it.
    """
    args = _game(eta, prior, x, states, strikes, time)
    (sigma,) = numbers(positive=("sigma",), sigma=sigma)
    sigma = jnp.broadcast_to(sigma, args[3].shape).astype(args[0].dtype)
    num_paths = validate.count("num_paths", num_paths, minimum=2)
    result: SampledSmile = _sampled_smile(key, *args, sigma, _signal(signal), num_paths)
    return result


@partial(jax.jit, static_argnums=(8, 9))
def _sampled_smile(
    key: jax.Array,
    eta: jax.Array,
    prior: jax.Array,
    x: jax.Array,
    states: jax.Array,
    strikes: jax.Array,
    time: jax.Array,
    sigma: jax.Array,
    signal: int,
    num_paths: int,
) -> SampledSmile:
    difference = eta[0] - eta[1]
    u = sigma**2 * difference / jnp.linalg.norm(sigma * difference)
    demand = jnp.stack([x * u, -u / x])
    noise = sigma[None] * jax.random.normal(key, (num_paths, *sigma.shape), sigma.dtype)

    def one(noise: jax.Array) -> jax.Array:
        omega = demand[signal - 1] + noise
        score = demand @ (omega / sigma**2) - jnp.sum((demand / sigma[None]) ** 2, axis=1) / 2
        posterior = jax.nn.softmax(jnp.log(prior) + score)
        return _smile(posterior @ eta, states, strikes, time).volatility

    ok = in_domain(Game(eta, sigma, prior)) & (x > 0)
    volatility = poison(jax.vmap(one)(noise), ok, (eta, prior, x, sigma))
    error = jnp.std(volatility, axis=0, ddof=1) / jnp.sqrt(num_paths)
    return SampledSmile(jnp.mean(volatility, axis=0), error)


def lognormal_signals(states: Any, sigmas: Any, forward: Any) -> jax.Array:
    """Lognormal distributions of one mean on a grid: rows sum to one, with mean ``forward``.

    eta_k(x_i) ∝ d_i exp(−(log x_i − m_k)²/(2 sigma_k²)), d_i the width of state i in log price; m_k
    makes the mean exact: log F − sigma_k²/2, up to what the grid leaves out.

    Args:
      states: terminal prices > 0, strictly increasing, shape (X,); log-spaced is best.
      sigmas: standard deviation of the log price under each signal, > 0, shape (K,).
      forward: F, between the first and the last state.

    Returns:
      eta, shape (K, X), differentiable; a row for which no m_k is found is NaN.
    """
    states, sigmas, forward = numbers(
        positive=("states", "sigmas", "forward"), states=states, sigmas=sigmas, forward=forward
    )
    options.check_states(states)
    if sigmas.ndim != 1 or forward.ndim != 0:
        raise ValueError(
            f"sigmas, forward: expected shapes (K,) and (), got {sigmas.shape} and {forward.shape}"
        )
    result: jax.Array = _lognormal_signals(states, sigmas, forward)
    return result


@jax.jit
def _lognormal_signals(states: jax.Array, sigmas: jax.Array, forward: jax.Array) -> jax.Array:
    y = jnp.log(states)
    steps, length = jnp.diff(y), y[-1] - y[0]
    log_width = jnp.log(jnp.pad(steps, (0, 1)) + jnp.pad(steps, (1, 0)))

    def distribution(m: jax.Array, sigma: jax.Array) -> jax.Array:
        return jax.nn.softmax(log_width - ((y - m) / sigma) ** 2 / 2)

    def miss(m: jax.Array, params: tuple[jax.Array, ...]) -> jax.Array:
        sigma, forward, states = params
        return jnp.log(states / forward @ distribution(m, sigma))

    def one(sigma: jax.Array) -> jax.Array:
        params = (sigma, forward, states)
        beyond = length + 10 * sigma**2 / length  # there the mean is within length/10 of the end
        m, info = root.bracketed(miss, y[0] - beyond, y[-1] + beyond, params)
        return poison(distribution(m, sigma), info.converged & (sigma > 0), params)

    return jax.vmap(one)(sigmas)


# Arguments


def _game(
    eta: Any, prior: Any, x: Any, states: Any, strikes: Any, time: Any
) -> tuple[jax.Array, ...]:
    eta, prior = validate.array("eta", eta), validate.array("prior", prior)
    args = numbers(
        positive=("prior", "x", "states", "strikes", "time"),
        eta=eta, prior=prior, x=x, states=states, strikes=strikes, time=time,
    )  # fmt: skip
    _check_grid(*args[3:5])
    for name, value, shape in (("eta", eta, (2, *args[3].shape)), ("prior", prior, (2,))):
        if value.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {value.shape}")
        validate.probabilities(name, value)
    return tuple(args)


def _check_grid(states: jax.Array, strikes: jax.Array) -> None:
    options.check_states(states)
    if strikes.ndim != 1:
        raise ValueError(f"strikes: expected shape (S,), got {strikes.shape}")


def _signal(signal: int) -> int:
    if signal not in (1, 2):
        raise ValueError(f"signal: expected 1 or 2, got {signal!r}")
    return int(signal)
