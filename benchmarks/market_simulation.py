"""Simulated market making against numpy and Python, and how its cost grows; in float32."""

import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks.timing import Comparison, compare, seconds
from diffeq.market_making import approximations
from diffeq.market_making.model import Params
from diffeq.market_making.performance import simulate_report
from diffeq.market_making.simulation import simulate

NUM_STEPS, Q = 200, 30
PARAMS = Params(*(np.float32(x) for x in Params()))
KEY = 2008


def run(size: float) -> Iterator[Comparison]:
    """The comparisons, at ``size`` times the full 200 000 paths."""
    paths = max(64, int(200_000 * size))
    runs = 3
    key = jax.random.key(KEY)
    policy, times = _policy(NUM_STEPS)
    shape: Any = dict(times=times, num_paths=paths)
    what = f"{paths} paths of {NUM_STEPS} steps of market making"
    rng = np.random.default_rng(KEY)
    yield compare(
        f"{what}, every path stored, against vectorised numpy that stores the same",
        lambda: simulate(key, PARAMS, policy, **shape),
        lambda: _numpy(rng, policy, paths, stored=True),
        target="< 1",
        runs=runs,
    )
    yield compare(
        f"{what}, report only, against vectorised numpy that sums the same",
        lambda: simulate_report(key, PARAMS, policy, **shape).sharpe,
        lambda: _numpy(rng, policy, paths, stored=False),
        target="< 1",
        runs=runs,
    )
    few = min(paths, 300)
    ours = min(seconds(lambda: simulate(key, PARAMS, policy, **shape)) for _ in range(4))
    theirs = seconds(lambda: _python(few)) * paths / few
    yield Comparison(
        f"{what}, stored, against a Python loop over steps (timed on {few} paths, scaled)",
        ours,
        theirs,
        ours / theirs,
        "≤ 1/50",
    )
    yield compare(
        f"{what}, report only: twice the paths against once",
        lambda: simulate_report(key, PARAMS, policy, times=times, num_paths=2 * paths).sharpe,
        lambda: simulate_report(key, PARAMS, policy, **shape).sharpe,
        target="≤ 2.2",
        runs=runs,
    )
    finer, points = _policy(2 * NUM_STEPS)
    yield compare(
        f"{what}, report only: twice the time points against once",
        lambda: simulate_report(key, PARAMS, finer, times=points, num_paths=paths).sharpe,
        lambda: simulate_report(key, PARAMS, policy, **shape).sharpe,
        target="≤ 2.2",
        runs=runs,
    )


def _policy(num_steps: int) -> tuple[Any, Any]:
    times = np.linspace(0, 1, num_steps + 1)
    return approximations.avellaneda_stoikov(PARAMS, max_inventory=Q, times=times), times


def _numpy(rng: np.random.Generator, policy: Any, paths: int, *, stored: bool) -> Any:
    """All paths one step on at a time; chances from a table, random numbers in float32."""
    sigma, A, k = (np.float32(x) for x in PARAMS[:3])
    dt = np.float32(1 / NUM_STEPS)
    b, a = (np.asarray(x) for x in policy)
    with np.errstate(over="ignore"):
        p_b, p_a = (np.minimum(1, A * np.exp(-k * x) * dt) for x in (b, a))
    swing = sigma * np.sqrt(dt)
    q, profit = np.zeros(paths, np.int32), np.zeros(paths, np.float32)
    peak, fall, moved = profit.copy(), profit.copy(), profit.copy()
    counts = np.zeros((7, paths), np.float32)
    rows = []
    for n in range(NUM_STEPS):
        at = q + Q
        depth_b, depth_a = b[n][at], a[n][at]
        chance_b, chance_a = p_b[n][at], p_a[n][at]
        bought = rng.random(paths, np.float32) < chance_b
        sold = rng.random(paths, np.float32) < chance_a
        move = np.where(rng.integers(0, 2, paths, np.uint8), swing, -swing)
        q = q + bought - sold
        profit = profit + np.where(bought, depth_b, 0) + np.where(sold, depth_a, 0) + q * move
        moved = moved + move
        if stored:
            rows.append((moved, q, profit, depth_b, depth_a, bought, sold, chance_b, chance_a))
            continue
        peak = np.maximum(peak, profit)
        fall = np.maximum(fall, peak - profit)
        for i, x in enumerate((bought, chance_b, chance_b * (1 - chance_b))):
            counts[i] += x
        for i, x in enumerate((sold, chance_a, chance_a * (1 - chance_a), depth_b + depth_a)):
            counts[3 + i] += x
    if stored:
        return [np.stack(x, axis=1) for x in zip(*rows, strict=True)]
    return profit.mean(), profit.std(), fall.mean(), np.abs(q).mean(), counts.mean(axis=1)


def _python(paths: int) -> list[Any]:
    """What notebooks do: one path, one step, one number at a time; the formula of 2008."""
    rng = np.random.default_rng(KEY)
    sigma, A, k, gamma = (float(x) for x in PARAMS[:4])
    dt, out = 1 / NUM_STEPS, []
    for _ in range(paths):
        s, q, x, path = 100.0, 0, 0.0, []
        for n in range(NUM_STEPS):
            risk = gamma * sigma**2 * (1 - n * dt)
            half = risk / 2 + math.log(1 + gamma / k) / gamma
            b, a = half + q * risk, half - q * risk
            p_b, p_a = min(1.0, A * math.exp(-k * b) * dt), min(1.0, A * math.exp(-k * a) * dt)
            bought, sold = rng.random() < p_b, rng.random() < p_a
            if bought:
                x, q = x - (s - b), q + 1
            if sold:
                x, q = x + s + a, q - 1
            s += sigma * math.sqrt(dt) * (1 if rng.random() < 0.5 else -1)
            path.append((s, q, x + q * s, b, a, bought, sold, p_b, p_a))
        out.append(path)
    return out
