"""What the day teaches: against scipy's optimiser, in simulation, and never ahead of its time."""

from typing import Any

import helpers
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from diffeq.empirical import readers
from diffeq.market_making import exponential
from diffeq.market_making.beliefs import beliefs
from diffeq.market_making.model import Params
from diffeq.market_making.recalibration import quotes, recalibrate
from diffeq.market_making.replay import Record, record, replay

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
TRUTH = Params(A=(0.6, 0.3), k=8.0, sigma=0.05, gamma=0.5)
DT = 2.0


def a_record(seed: int, N: int, truth: Params = TRUTH) -> Record:
    """Deepest of a Poisson number of orders on either side of a Brownian mid, every DT seconds."""
    rng = np.random.default_rng(seed)
    sides = []
    for A in truth.A:
        orders = rng.poisson(A * DT, N)
        reach = [rng.exponential(1 / truth.k, n).max(initial=-np.inf) for n in orders]
        sides.append(np.array(reach))
    mid = 50 + truth.sigma * np.sqrt(DT) * np.cumsum(rng.standard_normal(N + 1))
    return Record(100 + DT * np.arange(N + 1), mid, *sides, 0)


def loss(x: Any, tape: Record, weight: np.ndarray, least: float, prior: Any) -> float:
    """Minus the log posterior of (log A_b, log A_a, log k), from P(R ≤ d) = exp(−A dt e^(−k d))."""
    A, k = np.exp(x[:2]), np.exp(x[2])
    total = 0.0
    for rate, reach in zip(A, (tape.reach_b, tape.reach_a), strict=True):
        mean = rate * DT * np.exp(-k * np.maximum(reach, least))
        density = np.where(reach > least, np.log(rate * DT * k) - k * reach, 0.0)
        total += weight @ (density - mean)
    if prior is not None:
        (A0, k0), s = prior
        total += np.sum(A0 * s * np.log(A) - s * A)  # Gammas of log A and of log k
        total += A0.sum() * s * (np.log(k) - k / k0)
    return -total


@pytest.mark.parametrize("least", [0.0, 0.06])
def test_rolling_beliefs_maximise_the_likelihood(least: float) -> None:
    """Every window by Nelder–Mead; errors by the numerical Hessian; sigma by its definition."""
    tape = a_record(0, 240)
    found = beliefs(tape, every=60, window=2, least_depth=least)
    assert found.k.shape == (2,) and found.info.converged.all()
    for w in range(2):
        block = slice(60 * w, 60 * w + 120)
        part = tape._replace(reach_b=tape.reach_b[block], reach_a=tape.reach_a[block])
        fn = lambda x, part=part: loss(x, part, np.ones(120), least, None)  # noqa: E731
        best = _minimum(fn)
        got = np.log([*found.A[w], found.k[w]])
        np.testing.assert_allclose(got, best, atol=1e-5)
        se = np.sqrt(np.diag(np.linalg.inv(_hessian(fn, best))))
        np.testing.assert_allclose(found.se_A[w] / found.A[w], se[:2], rtol=1e-3)
        np.testing.assert_allclose(found.se_k[w] / found.k[w], se[2], rtol=1e-3)
        move = np.diff(tape.mid)[block]
        np.testing.assert_allclose(found.sigma[w], np.sqrt(np.sum(move**2) / 240), rtol=1e-12)
        assert found.start[w] == tape.times[60 * (w + 2)]


def test_discounted_beliefs_maximise_the_posterior() -> None:
    """Weights halve with each half-life; block 0 believes the prior; the prior fades alike."""
    tape = a_record(1, 240)
    prior = Params(A=(1.0, 0.2), k=5.0, sigma=0.1)
    found = beliefs(tape, every=60, half_life=1.5, prior=prior, prior_seconds=50.0)
    np.testing.assert_allclose(found.A[0], [1.0, 0.2], rtol=1e2 * EPS)
    np.testing.assert_allclose([found.k[0], found.sigma[0]], [5.0, 0.1], rtol=1e2 * EPS)
    np.testing.assert_allclose(
        found.se_A[0] / found.A[0], 50**-0.5 * np.sqrt([1, 5]), rtol=1e2 * EPS
    )
    age = 2 - np.repeat(np.arange(4), 60)  # of block 3's past: blocks 2, 1, 0 are 0, 1, 2 old
    weight = np.where(age >= 0, 0.5 ** (np.maximum(age, 0) / 1.5), 0)
    faded = ((np.array([1.0, 0.2]), 5.0), 50 * 0.5 ** (3 / 1.5))
    best = _minimum(lambda x: loss(x, tape, weight, 0.0, faded))
    np.testing.assert_allclose(np.log([*found.A[3], found.k[3]]), best, atol=1e-5)
    V = weight @ np.diff(tape.mid) ** 2 + 0.1**2 * faded[1]
    want = np.sqrt(V / (DT * weight.sum() + faded[1]))
    np.testing.assert_allclose(found.sigma[3], want, rtol=1e2 * EPS)


def test_no_order_overflows() -> None:
    """A prior that counts for nothing, of steep rates: as without, from any least depth."""
    tape = a_record(1, 240)
    for least in (-0.1, 0.4):
        one, two = (
            beliefs(
                tape, every=120, half_life=1.0, least_depth=least,
                prior=Params(A=(1.0, 0.2), k=k, sigma=0.1), prior_seconds=1e-9,
            )
            for k in (8.0, 8e4)
        )  # fmt: skip
        np.testing.assert_allclose([*two.A[1], two.k[1]], [*one.A[1], one.k[1]], rtol=1e-6)


def _minimum(fn: Any) -> np.ndarray:
    options = dict(xatol=1e-9, fatol=1e-12, maxiter=4000)
    best: np.ndarray = optimize.minimize(
        fn, [-0.7, -0.9, 2.0], method="Nelder-Mead", options=options
    ).x
    return best


def _hessian(fn: Any, x: np.ndarray, h: float = 1e-3) -> np.ndarray:
    e = h * np.eye(3)
    return np.array(
        [
            [
                (fn(x + a + b) - fn(x + a - b) - fn(x - a + b) + fn(x - a - b)) / (4 * h * h)
                for a in e
            ]
            for b in e
        ]
    )


def test_errors_cover() -> None:
    """300 windows of 200 intervals: two errors cover 95 % of A, k and sigma."""
    found = beliefs(a_record(2, 200 * 301), every=200, window=1)
    allowed = 4 * np.sqrt(0.0475 / 300)
    for got, error, truth in (
        (found.A[:, 0], found.se_A[:, 0], 0.6),
        (found.A[:, 1], found.se_A[:, 1], 0.3),
        (found.k, found.se_k, 8.0),
        (found.sigma, found.se_sigma, 0.05),
    ):
        assert abs(np.mean(np.abs(got - truth) <= 1.96 * error) - 0.95) <= allowed


def test_quotes_of_a_block_are_the_optimum_by_its_beliefs_and_see_no_future() -> None:
    """Block by block against the exact solution; another future leaves the past as it was."""
    tape = a_record(3, 40)
    options: Any = dict(every=10, max_inventory=2, window=1)
    found = recalibrate(tape, TRUTH, **options)
    assert found.policy.delta_b.shape == (31, 5) and found.record.times[0] == tape.times[10]
    for w in range(3):
        times = tape.times[10 * (w + 1) :] - tape.times[10 * (w + 1)]
        own = TRUTH._replace(
            A=found.beliefs.A[w], k=found.beliefs.k[w], sigma=found.beliefs.sigma[w]
        )
        if w == 2:  # the last block's table ends where the record does
            want = exponential.solve(own, max_inventory=2, times=times)
            np.testing.assert_allclose(found.policy.delta_b[20:], want.delta_b, rtol=1e4 * EPS)
        else:
            want = exponential.solve(own, max_inventory=2, times=np.append(times[:10], times[-1]))
            np.testing.assert_allclose(
                found.policy.delta_a[10 * w : 10 * w + 10], want.delta_a[:10], rtol=1e4 * EPS
            )
    again = replay(found.policy, found.record, TRUTH)
    np.testing.assert_array_equal(again.inventory, found.replay.inventory)
    np.testing.assert_array_equal(again.profit, found.replay.profit)
    later = tape._replace(
        mid=np.where(tape.times > tape.times[27], 60.0, tape.mid),
        reach_b=np.where(np.arange(40) >= 27, 9.0, tape.reach_b),
    )
    other = recalibrate(later, TRUTH, **options)
    for name in ("mid", "inventory", "profit", "cash"):
        one, two = getattr(found.replay, name), getattr(other.replay, name)
        helpers.assert_same_bits(one[:18], two[:18], name)
    assert float(found.replay.profit[-1]) != float(other.replay.profit[-1])


def test_blocks_without_an_estimate_are_not_quoted() -> None:
    """No sale in block 1: block 2 is flagged and silent, the others quote."""
    tape = a_record(4, 40)
    quiet = tape._replace(reach_b=np.where(np.arange(40) // 10 == 1, -np.inf, tape.reach_b))
    found = recalibrate(quiet, TRUTH, every=10, max_inventory=2, window=1)
    np.testing.assert_array_equal(found.beliefs.info.converged, [True, False, True])
    silent = np.isinf(np.asarray(found.policy.delta_a)).all(axis=1)
    np.testing.assert_array_equal(silent, np.arange(31) // 10 == 1)
    assert np.isfinite(found.replay.profit).all() and bool(found.replay.info.converged)
    assert not found.replay.bid_chance[10:20].any() and found.replay.bid_chance[:10].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(every=7), "every: expected a divisor"),
        (dict(window=None), "window, half_life"),
        (dict(half_life=1.0), "window, half_life"),
        (dict(window=4), "window: expected fewer"),
        (dict(window=None, half_life=1.0), "prior, prior_seconds"),
        (dict(window=None, half_life=-1.0, prior_seconds=1.0), "half_life"),
        (dict(window=None, half_life=1.0, prior_seconds=0.0), "prior_seconds"),
        (dict(least_depth=np.nan), "least_depth"),
        (dict(max_inventory=0), "max_inventory"),
        (dict(lot=0.0), "lot"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recalibrate(a_record(5, 40), TRUTH, **(dict(every=10, max_inventory=2, window=1) | change))


def test_times_of_other_blocks_are_named() -> None:
    seen = beliefs(a_record(5, 40), every=10, window=1)
    with pytest.raises(ValueError, match="times: expected .* multiple of the 3 blocks"):
        quotes(seen, np.arange(30.0), TRUTH, max_inventory=2)


def test_real_tapes(market_data: Any) -> None:
    """IBM, re-estimated each half hour: beliefs drift by much, forecasts by little."""
    stem = market_data / "equity/lean_ibm_20131008"
    tape = readers.tape(f"{stem}_trades.csv.gz", f"{stem}_quotes.csv.gz", bad_rows="drop")
    cut = record(tape, 34_203.0 + 1.0 * np.arange(23_101))
    found = beliefs(cut, every=2100, window=1)
    assert found.info.converged.all()
    assert (found.se_k < 0.1 * found.k).all() and found.k.max() > 1.3 * found.k.min()
    assert 0.005 < found.sigma.min() < found.sigma.max() < 0.02
