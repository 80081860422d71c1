"""Glosten–Milgrom markets against the random numbers they use, Python, and numpy; in float32."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Comparison, compare, seconds
from diffeq.glosten_milgrom.binary_value import Params
from diffeq.glosten_milgrom.simulation import Paths, simulate
from diffeq.glosten_milgrom.summaries import simulate_summary

NUM_TRADES = 200
PARAMS = Params(*(np.float32(x) for x in Params()))
KEY = 1985
FIELDS = (
    "bid",
    "ask",
    "expected_value",
    "price",
    "profit",
    "belief_before",
    "belief_after",
)


def run(size: float) -> Iterator[Comparison]:
    """The comparisons, at ``size`` times the full million paths."""
    paths = max(64, int(1_000_000 * size))
    runs = 5 if size == 1 else 3
    key = jax.random.key(KEY)
    shape: Any = dict(num_trades=NUM_TRADES, num_paths=paths)
    numbers = jax.jit(lambda key: jax.random.uniform(key, (NUM_TRADES, paths), jnp.float32))
    what = f"{paths} paths of {NUM_TRADES} trades"
    yield compare(
        f"{what}, every order and who sent it, against drawing the random numbers",
        lambda: simulate(key, PARAMS, **shape),
        lambda: numbers(key),
        target="≤ 1.6",
        runs=runs,
    )
    yield compare(
        f"{what}, summary only, against drawing the random numbers",
        lambda: simulate_summary(key, PARAMS, **shape).spread,
        lambda: numbers(key),
        target="≤ 0.8",
        runs=runs,
    )
    rng = np.random.default_rng(KEY)
    yield compare(
        f"{what}, summary only, against vectorised numpy (one draw a trade, all paths at once)",
        lambda: simulate_summary(key, PARAMS, **shape).spread,
        lambda: _numpy(rng, paths),
        target="< 1",
        runs=3,
    )
    few = min(paths, 500)
    ours = min(seconds(lambda: simulate(key, PARAMS, **shape)) for _ in range(5))
    theirs = seconds(lambda: _python(rng, few)) * paths / few
    yield Comparison(
        f"{what}, recorded, against a Python loop over trades (timed on {few} paths, scaled)",
        ours,
        theirs,
        ours / theirs,
        "≤ 1/20",
    )
    fewer = max(64, paths // 5)  # a float array of a million paths takes 0.8 GB
    expanded = jax.jit(
        lambda key: _all_fields(simulate(key, PARAMS, num_trades=NUM_TRADES, num_paths=fewer))
    )
    numbers_of_fewer = jax.jit(
        lambda key: jax.random.uniform(key, (NUM_TRADES, fewer), jnp.float32)
    )
    yield compare(
        f"{fewer} paths of {NUM_TRADES} trades, with {len(FIELDS)} more float arrays written out",
        lambda: expanded(key),
        lambda: numbers_of_fewer(key),
        target="",
        runs=runs,
    )


def _all_fields(paths: Paths) -> tuple[Any, ...]:
    return paths, *(getattr(paths, name) for name in FIELDS)


def _numpy(rng: np.random.Generator, paths: int) -> tuple[Any, ...]:
    """Sums by type of trader, the spread by trade and the final belief, one trade at a time."""
    V_L, V_H, mu_0, alpha = (np.float32(x) for x in PARAMS)
    high = rng.random(paths, np.float32) < mu_0
    V = np.where(high, V_H, V_L)
    log_odds = np.full(paths, np.log(mu_0 / (1 - mu_0)), np.float32)
    step = np.log((1 + alpha) / (1 - alpha))
    informed_sum, uninformed_sum = np.zeros(paths, np.float32), np.zeros(paths, np.float32)
    spread = np.empty(NUM_TRADES)
    for t in range(NUM_TRADES):
        u = rng.random(paths, np.float32)
        informed, buys = u < alpha, (u < (1 + alpha) / 2) == high
        mu = 1 / (1 + np.exp(-log_odds))
        tilt = alpha * (2 * mu - 1)
        ask = (mu * (1 + alpha) * V_H + (1 - mu) * (1 - alpha) * V_L) / (1 + tilt)
        bid = (mu * (1 - alpha) * V_H + (1 - mu) * (1 + alpha) * V_L) / (1 - tilt)
        profit = np.where(buys, V - ask, bid - V)
        informed_sum += np.where(informed, profit, 0)
        uninformed_sum += np.where(informed, 0, profit)
        spread[t] = np.mean(ask - bid)
        log_odds += np.where(buys, step, -step)
    return informed_sum.mean(), uninformed_sum.mean(), spread, log_odds.mean()


def _python(rng: np.random.Generator, paths: int) -> list[Any]:
    """What notebooks do: one path, one trade, one number at a time."""
    V_L, V_H, mu_0, a = (float(x) for x in PARAMS)
    out = []
    for _ in range(paths):
        high, mu, path = rng.random() < mu_0, mu_0, []
        V = V_H if high else V_L
        for _ in range(NUM_TRADES):
            ask = (mu * (1 + a) * V_H + (1 - mu) * (1 - a) * V_L) / (1 + a * (2 * mu - 1))
            bid = (mu * (1 - a) * V_H + (1 - mu) * (1 + a) * V_L) / (1 - a * (2 * mu - 1))
            informed = rng.random() < a
            buys = high if informed else rng.random() < 0.5
            price, order = (ask, 1) if buys else (bid, -1)
            after = mu * (1 + order * a) / (1 + order * a * (2 * mu - 1))
            path.append((bid, ask, mu, order, informed, price, order * (V - price), after))
            mu = after
        out.append(path)
    return out
