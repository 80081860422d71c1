"""Replays of a policy on a tape: against an event-by-event engine, and nothing sees the future."""

import time as clock
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.empirical import readers
from diffeq.empirical.readers.records import Quotes, Tape, Trades
from diffeq.market_making.approximations import Depths
from diffeq.market_making.model import Params
from diffeq.market_making.replay import Record, record, replay

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
N, Q = 60, 2
TIMES = 10.0 + np.arange(N + 1)
PARAMS = Params(A=1.5, k=8.0, sigma=0.1)


def a_tape(seed: int) -> Tape:
    """Quotes and trades on ticks of .01 and clock ticks of .25, many at one time."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, 300, 200)) * 0.25
    mid = 50 + 0.01 * np.cumsum(rng.integers(-4, 5, 200))
    half = 0.01 * rng.integers(1, 4, 200)
    when = np.sort(rng.integers(30, 290, 150)) * 0.25
    sign = rng.choice([-1, 0, 1], 150, p=[0.45, 0.1, 0.45])
    before = mid[np.searchsorted(at, when) - 1]
    price = np.round(before + sign * 0.01 * rng.integers(0, 25, 150), 2)
    trades = Trades(when, price, np.ones(150), sign.astype(np.int8))
    nothing = np.full(200, np.nan)
    return Tape(trades, Quotes(at, mid - half, nothing, mid + half, nothing), None, ())


def a_policy(seed: int, on_ticks: bool) -> Depths:
    rng = np.random.default_rng(seed)
    b, a = (rng.uniform(0.0, 0.25, (N + 1, 2 * Q + 1)) for _ in range(2))
    if on_ticks:
        b, a = np.round(b, 2), np.round(a, 2)
    return Depths(b, a)  # quoted at the edges too: the replay must not


def engine(
    tape: Tape, policy: Depths, *, at_the_quote: bool, tick: float | None, lot: float
) -> Any:
    """One event after the other, in cents where there is a tick."""
    q, cash, rows = 1, 0.0, []
    trades, quotes = tape.trades, tape.quotes

    def mid_before(t: float) -> float:
        last = max(i for i in range(quotes.time.size) if quotes.time[i] < t)
        return (quotes.bid[last] + quotes.ask[last]) / 2

    start = mid_before(TIMES[0])
    for n in range(N):
        mid = mid_before(TIMES[n])
        bid = mid - policy.delta_b[n, q + Q] if q < Q else -np.inf
        ask = mid + policy.delta_a[n, q + Q] if q > -Q else np.inf
        if tick is not None:
            bid = np.floor(bid / tick + 1e-9) * tick
            ask = np.ceil(ask / tick - 1e-9) * tick
        bought = sold = False
        for t, price, sign in zip(trades.time, trades.price, trades.sign, strict=True):
            if TIMES[n] < t <= TIMES[n + 1]:
                slack = 1e-9 if at_the_quote else -1e-9
                bought |= bool(sign == -1 and price < bid + slack)
                sold |= bool(sign == 1 and price > ask - slack)
        cash += lot * ((ask if sold else 0) - (bid if bought else 0))
        q += int(bought) - int(sold)
        after = mid_before(TIMES[n + 1])
        rows.append((bought, sold, q, cash, cash + lot * (q * after - start)))
    return (np.array(x) for x in zip(*rows, strict=True))


@pytest.mark.parametrize(
    ("at_the_quote", "tick", "seed"),
    [(False, None, 0), (True, None, 1), (False, 0.01, 2), (True, 0.01, 3), (False, 0.05, 4)],
)
def test_the_books_are_those_of_an_event_engine(
    at_the_quote: bool, tick: float | None, seed: int
) -> None:
    tape, policy = a_tape(seed), a_policy(seed, tick is not None)
    options: Any = dict(at_the_quote=at_the_quote, tick=tick, lot=3.0)
    found = replay(policy, record(tape, TIMES), PARAMS, initial_inventory=1, **options)
    bought, sold, q, cash, profit = engine(tape, policy, **options)
    np.testing.assert_array_equal(found.bid_fill, bought)
    np.testing.assert_array_equal(found.ask_fill, sold)
    np.testing.assert_array_equal(found.inventory, [1, *q])
    np.testing.assert_allclose(found.cash[1:], cash, rtol=0, atol=1e4 * EPS * 50)
    np.testing.assert_allclose(found.profit[1:], profit, rtol=0, atol=1e3 * EPS * 50)
    assert bought.sum() > 5 and sold.sum() > 5 and np.abs(q).max() == Q
    assert bool(found.info.converged) and float(found.info.residual) < 1e2 * EPS
    # the forecast, at the depth that was quoted
    q = np.asarray(found.inventory[:-1])
    quoted = q < Q
    depth = np.asarray(found.bid_depth, float)
    assert (np.isinf(depth) == ~quoted).all()
    want = np.where(quoted, 1 - np.exp(-1.5 * np.exp(-8 * np.where(quoted, depth, 0))), 0)
    np.testing.assert_allclose(found.bid_chance, want, atol=1e2 * EPS)


def changed_after(tape: Tape, t: float) -> Tape:
    """Another future: prices, sides and quotes after t."""
    trades, quotes = tape.trades, tape.quotes
    late, later = trades.time > t, quotes.time >= t  # a quote at t is not yet known at t
    trades = trades._replace(
        price=np.where(late, trades.price * 1.1, trades.price),
        sign=np.where(late, -trades.sign, trades.sign).astype(np.int8),
    )
    return tape._replace(
        trades=trades,
        quotes=quotes._replace(
            bid=np.where(later, 40.0, quotes.bid), ask=np.where(later, 40.5, quotes.ask)
        ),
    )


def test_the_future_changes_nothing() -> None:
    """Whatever comes after t_n, all entries up to t_n are the same to the bit."""
    tape, policy = a_tape(5), a_policy(5, False)
    one = replay(policy, record(tape, TIMES), PARAMS)
    for n in (3, 20, 41):
        other = replay(policy, record(changed_after(tape, TIMES[n]), TIMES), PARAMS)
        for name in ("mid", "inventory", "profit", "cash"):
            helpers.assert_same_bits(
                getattr(one, name)[: n + 1], getattr(other, name)[: n + 1], name
            )
        for name in ("bid_depth", "ask_depth", "bid_fill", "ask_fill", "bid_chance", "ask_chance"):
            helpers.assert_same_bits(getattr(one, name)[:n], getattr(other, name)[:n], name)
        assert float(one.profit[-1]) != float(other.profit[-1])


def test_fills_are_as_forecast_where_the_model_is_right() -> None:
    """Poisson orders of exponential depth: fills less forecasts within four standard errors."""
    rng = np.random.default_rng(6)
    sides = []
    for _ in range(2):  # the deepest of a Poisson number of orders, one interval after the other
        orders = rng.poisson(1.5, (100, N))
        deepest = [[rng.exponential(1 / 8, n).max(initial=-np.inf) for n in row] for row in orders]
        sides.append(np.array(deepest))
    mid = 50 + 0.1 * np.cumsum(rng.standard_normal((100, N + 1)), axis=1)
    policy = a_policy(6, False)
    excess, variance = 0.0, 0.0
    for i in range(100):
        done = replay(policy, Record(TIMES, mid[i], sides[0][i], sides[1][i], 0), PARAMS)
        for fill, p in ((done.bid_fill, done.bid_chance), (done.ask_fill, done.ask_chance)):
            excess += float(np.sum(fill) - np.sum(p))
            variance += float(np.sum(p * (1 - p)))
    assert abs(excess) < 4 * np.sqrt(variance) < 0.04 * 2 * 100 * N


def test_bad_lanes_and_batches() -> None:
    """A NaN depth, or a traced k ≤ 0, is NaN in money; policies batch."""
    policies = [a_policy(seed, False) for seed in (7, 8)]
    policies.append(Depths(policies[0].delta_b, policies[0].delta_a.copy()))
    policies[2].delta_a[5, 1] = np.nan
    cut = record(a_tape(7), TIMES)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *policies)
    k = jnp.array([8.0, 8.0, 8.0])
    lane = lambda policy, k: replay(policy, cut, PARAMS._replace(k=k), tick=0.01)  # noqa: E731
    batch = jax.jit(jax.vmap(lane))
    many, bad = batch(stacked, k), batch(stacked, -k)
    assert np.array_equal(many.info.converged, [True, True, False])
    assert np.isfinite(many.profit[:2]).all() and np.isnan(many.profit[2]).all()
    assert np.isnan(bad.profit).all() and np.isnan(bad.cash).all() and not bad.info.converged.any()
    alone = replay(policies[1], cut, PARAMS, tick=0.01)
    np.testing.assert_allclose(many.profit[1], alone.profit, rtol=0, atol=1e3 * EPS * 50)


EMPTY = np.empty(0)
NO_TRADES = Trades(EMPTY, EMPTY, EMPTY, EMPTY.astype(np.int8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t, p: record(t._replace(trades=NO_TRADES), TIMES), "expected trades, got none"),
        (lambda t, p: record(t._replace(quotes=Quotes(*[EMPTY] * 5)), TIMES), "expected quotes"),
        (
            lambda t, p: record(t._replace(quotes=t.quotes._replace(bid=t.quotes.ask + 1)), TIMES),
            r"tape.quotes\[0\]: expected bid ≤ ask",
        ),
        (lambda t, p: record(t, TIMES[::-1]), "strictly increasing"),
        (lambda t, p: record(t, TIMES - 50), "a quote before every time"),
        (lambda t, p: record(t, TIMES[:1]), "times"),
        (lambda t, p: replay(p, record(t, TIMES[:9]), PARAMS), "policy.delta_b: expected shape"),
        (lambda t, p: replay(p, record(t, TIMES), PARAMS._replace(k=0.0)), "Params.k"),
        (lambda t, p: replay(p, record(t, TIMES), PARAMS, tick=0.0), "tick"),
        (lambda t, p: replay(p, record(t, TIMES), PARAMS, lot=-1.0), "lot"),
        (lambda t, p: replay(p, record(t, TIMES), PARAMS, initial_inventory=3), "initial_inv"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(a_tape(9), a_policy(9, False))


def test_a_day_of_ticks(market_data: Any) -> None:
    """IBM, every second: quick, and the market's own spread brackets what the rule fills."""
    stem = market_data / "equity/lean_ibm_20131008"
    tape = readers.tape(f"{stem}_trades.csv.gz", f"{stem}_quotes.csv.gz", bad_rows="drop")
    times = np.arange(34_203.0, 57_600.0, 1.0)
    params = Params(sigma=0.0098, A=0.17, k=60.0, gamma=0.5)
    flat = np.repeat(0.012 + 0.002 * np.arange(-5, 6.0)[None], times.size, axis=0)
    policy = Depths(flat, flat[:, ::-1])  # skewed by inventory
    for attempt in range(2):
        start = clock.perf_counter()
        cut = record(tape, times)
        through = jax.block_until_ready(replay(policy, cut, params, lot=100.0, tick=0.01))
        assert attempt == 0 or clock.perf_counter() - start < 2
    assert np.abs(through.inventory).max() == 5 and float(through.info.residual) < 1e2 * EPS
    assert 100 < int(through.bid_fill.sum()) < 2000
