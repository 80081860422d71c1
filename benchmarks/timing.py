"""Medians, and ratios of medians taken in turn so that a drifting machine cancels."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Comparison(NamedTuple):
    """One claim and what was measured."""

    claim: str
    """What should hold, in words."""
    ours: float
    """Median seconds."""
    rival: float
    """Median seconds of the named rival."""
    ratio: float
    """Median of the ratios ours/rival, run by run."""
    target: str
    """The ratio aimed at, as text; empty where none was set."""


def in_turn(ours: Callable[[], Any], rival: Callable[[], Any], runs: int) -> tuple[float, ...]:
    """Median seconds of each, and the median ratio, after two warm-up runs; A B A B …"""
    pairs = []
    for run in range(runs + 2):
        pair = (seconds(ours), seconds(rival))
        if run > 1:
            pairs.append(pair)
    a, b = zip(*pairs, strict=True)
    ratios = [x / y for x, y in pairs]
    return statistics.median(a), statistics.median(b), statistics.median(ratios)


def seconds(fn: Callable[[], Any]) -> float:
    """Wall seconds of one call, results awaited."""
    start = time.perf_counter()
    jax.block_until_ready(fn())
    return time.perf_counter() - start


def compare(
    claim: str, ours: Callable[[], Any], rival: Callable[[], Any], *, target: str, runs: int
) -> Comparison:
    """Time both in turn."""
    return Comparison(claim, *in_turn(ours, rival, runs), target)
