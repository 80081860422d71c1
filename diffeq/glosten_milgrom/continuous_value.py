"""Values beyond two: quotes and learning when V lies on any grid of atoms, in closed form.

V = v_i with probability p_i. The next trader is informed with probability alpha and then buys iff
V > ask, sells iff V < bid, else places no order; otherwise buys or sells with chance one half. So a
missing order has a meaning: informed, and bid ≤ V ≤ ask. Zero profit on a sale is

    alpha E(V − A)^+ = ((1−alpha)/2) (A − E V)                                             (ask)

and its only root the largest price at which the informed above some atom j, and no others, buy:

    A = max_j [alpha Σ_{i>j} p_i v_i + (1−alpha) E V/2] / [alpha Σ_{i>j} p_i + (1−alpha)/2]

The bid is the mirror. Who trades is kept as the maximising index, i > j*, and never found by
comparing the floats v_i and A. Atom i is above the ask iff (ask) is short of zero at A = v_i, so j*
takes no maximum, has no ties at alpha = 0 or where p_i = 0, and gives the price without
cancellation (:mod:`~diffeq.glosten_milgrom.atoms`):

    (1+alpha) E(V − v_i)^+ < (1−alpha) E(v_i − V)^+                                        (i > j*)

Two atoms are the model of :mod:`~diffeq.glosten_milgrom.binary_value`. The state is the vector of
log-probabilities. At alpha = 0 the spread is zero; at alpha = 1 no price breaks even: the market is
closed, flagged and NaN.

Reference: Glosten & Milgrom (1985), Journal of Financial Economics 14, section 2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq import validate
from diffeq.check import Info, poison
from diffeq.glosten_milgrom import atom_paths, atoms
from diffeq.glosten_milgrom.atom_paths import Paths
from diffeq.glosten_milgrom.atoms import BUY, NONE, SELL, Quotes, Residual

__all__ = [
    "BUY",
    "NONE",
    "SELL",
    "Params",
    "Paths",
    "Quotes",
    "Residual",
    "Solution",
    "quotes",
    "residual",
    "simulate",
    "solve",
    "update",
]


class Params(NamedTuple):
    """Parameters; n ≥ 2 atoms."""

    values: Any = (80.0, 90.0, 100.0, 110.0, 120.0)
    """v_i, strictly increasing, shape (n,), in price units."""
    probabilities: Any = (0.1, 0.2, 0.4, 0.2, 0.1)
    """Prior p_i ≥ 0 that sum to one, shape (n,). They are normalised, so a derivative with respect
    to them has no part along their sum."""
    alpha: Any = 0.3
    """Probability that a trader is informed, in [0, 1]; at 1 the market is closed."""


class Solution(NamedTuple):
    """The market before its first trade; scalars."""

    bid: jax.Array
    """E[V | sale], in price units."""
    ask: jax.Array
    """E[V | purchase], in price units."""
    value: jax.Array
    """E[V], in price units."""
    spread: jax.Array
    """ask − bid, without its cancellation."""
    buy_probability: jax.Array
    """P(purchase)."""
    sell_probability: jax.Array
    """P(sale)."""
    no_trade_probability: jax.Array
    """P(no order) = alpha P(bid ≤ V ≤ ask)."""
    bid_index: jax.Array
    """The informed sell iff V is an atom i < bid_index; int."""
    ask_index: jax.Array
    """j*: the informed buy iff V is an atom i > ask_index; int."""
    info: Info
    """Whether the parameters lie in their domain and the market is open; the largest zero-profit
    residual."""


def solve(params: Params) -> Solution:
    """The opening quotes, in closed form.

    Args:
      params: values and probabilities of shape (n,), alpha scalar; batch with ``jax.vmap``. Every
        leaf is differentiable while no atom is at a quote (at one, the derivative is of one side).

    Returns:
      :class:`Solution`. A lane outside the domain, or closed (alpha = 1), is NaN in every price,
      probability and derivative, with ``info.converged`` False.

    Raises:
      ValueError, TypeError: a concrete parameter is out of domain or of the wrong shape.

    Reference: Glosten & Milgrom (1985); the formulas above the module.

    >>> two = solve(Params(values=(90.0, 110.0), probabilities=(0.5, 0.5)))
    >>> [round(float(x), 4) for x in two[:4]]
    [97.0, 103.0, 100.0, 6.0]
    """
    return _solve(validated(params))


@jax.jit
def _solve(params: Params) -> Solution:
    at = atoms.quotes_at(*params[:2], jnp.log(params.probabilities), params.alpha)
    ok = in_domain(params)
    residual = jnp.maximum(*atoms.residual_at(at, *params)[:2])
    return Solution(**_poisoned(at, ok, params)._asdict(), info=Info(ok, residual))


def quotes(log_probabilities: Any, params: Params) -> Quotes:
    """The quotes at a belief, in closed form.

    Args:
      log_probabilities: shape (n,), −inf for an impossible atom; they are normalised.
      params: its probabilities do not enter, except that they must be some.

    Returns:
      :class:`~atoms.Quotes`; NaN where a traced parameter is out of domain, alpha = 1, or the
      belief is none (NaN, +inf, or −inf for every atom).

    Raises:
      ValueError, TypeError: as :func:`solve`, or a belief of another length.

    >>> at = np.log([0.5, 0.5])
    >>> two = Params(values=(90.0, 110.0), probabilities=(0.5, 0.5), alpha=0.5)
    >>> [round(float(x), 4) for x in quotes(at, two)[:2]]
    [95.0, 105.0]
    """
    params = validated(params)
    return _quotes(_state(log_probabilities, params), params)


@jax.jit
def _quotes(log_probabilities: jax.Array, params: Params) -> Quotes:
    at = atoms.quotes_by_logs(log_probabilities, params.values, params.alpha)
    ok = in_domain(params) & _possible(log_probabilities)
    return _poisoned(at, ok, (params, jax.nn.softmax(log_probabilities)))


def update(log_probabilities: Any, order: Any, params: Params) -> jax.Array:
    """Bayes: the log-probabilities after an order or its absence, shape (n,), normalised.

    A purchase multiplies p_i by alpha 1{i > j*} + (1−alpha)/2, a sale by the mirror, a missing
    order by 1{bid ≤ v_i ≤ ask}. An order that no possible atom explains teaches nothing.

    Args:
      log_probabilities: before the order, shape (n,); they are normalised.
      order: scalar; +1 a buy, −1 a sale, 0 none. A traced order of another code gives NaN.
      params: its probabilities do not enter.

    Raises:
      ValueError, TypeError: as :func:`quotes`, or an order of another code.

    Reference: Glosten & Milgrom (1985).

    >>> two = Params(values=(90.0, 110.0), probabilities=(0.5, 0.5))
    >>> [round(float(x), 6) for x in jnp.exp(update(np.log([0.5, 0.5]), 1, two))]
    [0.35, 0.65]
    """
    params, order = validated(params), validate.codes("order", order, (SELL, NONE, BUY))
    if np.shape(order) != ():
        raise ValueError(f"order: expected a scalar, got shape {np.shape(order)}; use jax.vmap")
    return _update(_state(log_probabilities, params), jnp.asarray(order), params)


@jax.jit
def _update(log_probabilities: jax.Array, order: jax.Array, params: Params) -> jax.Array:
    known = (order == BUY) | (order == SELL) | (order == NONE)
    at = atoms.quotes_by_logs(log_probabilities, params.values, params.alpha)
    moved = atoms.after(log_probabilities, order, at, params.alpha)
    ok = in_domain(params) & _possible(log_probabilities)
    moving = params, jax.nn.softmax(log_probabilities)
    return poison(jnp.where(known, moved, jnp.nan), ok, moving)


def residual(quotes: Any, log_probabilities: Any, params: Params) -> Residual:
    """The equilibrium conditions at a belief, scale-free.

    Args:
      quotes: what to judge: a :class:`~atoms.Quotes`, or anything with its fields, scalars.
      log_probabilities: shape (n,); they are normalised.
      params: its probabilities do not enter.

    Returns:
      :class:`~atoms.Residual`; each entry 0 where the condition holds. Zero profit is evaluated as
      an expectation of (V − price)^+, not from the closed form.

    Reference: Glosten & Milgrom (1985), Propositions 1 and 2.
    """
    params = validated(params)
    at = Quotes(*(jnp.asarray(getattr(quotes, name)) for name in Quotes._fields))
    if any(x.shape for x in at):
        raise ValueError("quotes: expected scalar fields; use jax.vmap for a batch")
    return _residual(at, _state(log_probabilities, params), params)


@jax.jit
def _residual(at: Quotes, log_probabilities: jax.Array, params: Params) -> Residual:
    p = jax.nn.softmax(log_probabilities)
    found = atoms.residual_at(at, params.values, p, params.alpha)
    return poison(found, in_domain(params) & _possible(log_probabilities), (params, p))


def simulate(key: jax.Array, params: Params, *, num_trades: int, num_paths: int = 1) -> Paths:
    """Markets in which V is drawn from the prior and traders arrive one by one.

    Args:
      key: of ``jax.random``.
      params: as for :func:`solve`; all NaN where traced ones are out of domain, or alpha = 1.
      num_trades: traders T per path, static.
      num_paths: independent paths P, static.

    Returns:
      :class:`Paths`; memory is of the order of P T.

    Reference: Glosten & Milgrom (1985).
    """
    num_trades = validate.count("num_trades", num_trades)
    num_paths = validate.count("num_paths", num_paths)
    return _simulate(key, validated(params), num_trades, num_paths)


@partial(jax.jit, static_argnums=(2, 3))
def _simulate(key: jax.Array, params: Params, num_trades: int, num_paths: int) -> Paths:
    keys = jax.random.split(key, num_paths)
    paths = jax.vmap(lambda key: atom_paths.path(key, *params, num_trades))(keys)
    return _poisoned(paths, in_domain(params), params)


def in_domain(params: Params) -> jax.Array:
    """Finite increasing values, probabilities that sum to one, alpha in [0, 1): closed at 1."""
    v, p, alpha = params
    ordered = jnp.all(jnp.diff(v) > 0) & jnp.isfinite(v[-1] - v[0])
    proper = jnp.all(p >= 0) & (jnp.abs(jnp.sum(p) - 1) <= validate.sum_tolerance(p.dtype))
    return ordered & proper & (alpha >= 0) & (alpha < 1)


def validated(params: Any) -> Params:
    """The parameters as arrays of one dtype; raises if concrete and outside the domain."""
    if not isinstance(params, Params):
        raise TypeError(f"params: expected continuous_value.Params, got {type(params).__name__}")
    values, p, alpha = map(validate.array, Params._fields, params)
    for name, x in zip(Params._fields, (values, p, alpha), strict=True):
        if x is None:
            raise TypeError(f"{name}: expected numbers, got None")
    n = np.shape(values)
    if len(n) != 1 or n[0] < 2 or np.shape(p) != n or np.shape(alpha) != ():
        raise ValueError(
            "values, probabilities, alpha: expected shapes (n,), (n,) and (), n ≥ 2, got "
            f"{n}, {np.shape(p)} and {np.shape(alpha)}; use jax.vmap for a batch"
        )
    dtype = jnp.result_type(float, *(x for x in params if hasattr(x, "dtype")))
    p = validate.probabilities("probabilities", p, dtype)
    params = Params(*(jnp.asarray(x, dtype) for x in (values, p, alpha)))
    validate.finite("values", params.values)
    _increasing(params.values)
    validate.unit_interval("alpha", params.alpha)
    return params


def _increasing(values: Any) -> None:
    if isinstance(values, jax.core.Tracer):
        return
    v = np.asarray(values)
    wrong = ~(np.diff(v) > 0)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"values[{i + 1}]: expected strictly increasing {v.dtype} numbers, got {v[i + 1]:.12g} "
            f"after {v[i]:.12g}; sort them and merge equal ones"
        )


def _state(log_probabilities: Any, params: Params) -> jax.Array:
    at = validate.array("log_probabilities", log_probabilities)
    if np.shape(at) != params.values.shape:
        raise ValueError(
            f"log_probabilities: expected shape {params.values.shape}, one per atom, "
            f"got {np.shape(at)}; use jax.vmap for a batch"
        )
    return jnp.asarray(at, params.values.dtype)


def _possible(log_probabilities: jax.Array) -> jax.Array:
    """Whether these are the logs of a belief: none NaN or +inf, some above −inf."""
    return jnp.isfinite(jnp.max(log_probabilities))


def _poisoned(result: Any, ok: jax.Array, params: Any) -> Any:
    """A NamedTuple with its floats poisoned; integers and bools cannot be."""
    return type(result)(
        *(poison(x, ok, params) if jnp.issubdtype(x.dtype, jnp.floating) else x for x in result)
    )
