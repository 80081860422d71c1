"""Realised and two-scale variance: against loops over grids, and simulated bid–ask bounce."""

from typing import Any

import numpy as np
import pytest

from diffeq.empirical.volatility import best_lags, realised, two_scale


def bounced(seed: int, n: int, sigma: float, half_spread: float, num: int) -> np.ndarray:
    """Records of n returns over T = 4: a Brownian price, seen at bid or ask with equal chance."""
    rng = np.random.default_rng(seed)
    moves = sigma * np.sqrt(4.0 / n) * rng.standard_normal((num, n))
    price = 100 + np.concatenate([np.zeros((num, 1)), np.cumsum(moves, axis=1)], axis=1)
    return price + half_spread * rng.choice([-1.0, 1.0], price.shape)


@pytest.mark.parametrize("K", [2, 3, 7, 20])
def test_two_scales_are_the_average_over_grids(K: int) -> None:
    """RV on each of the K grids that start at 0, …, K−1, one by one, averaged; then corrected."""
    price = bounced(0, 41, 1.0, 0.1, 1)[0]
    on_grids = 0.0
    for start in range(K):
        grid = price[start::K]
        on_grids += sum((b - a) ** 2 for a, b in zip(grid[:-1], grid[1:], strict=True))
    n = 41
    everything = sum((price[i] - price[i - 1]) ** 2 for i in range(1, n + 1))
    bars = (n - K + 1) / K
    want = (on_grids / K - bars / n * everything) / (1 - bars / n)
    found = two_scale(price, 4.0, num_lags=K)
    np.testing.assert_allclose(found.variance, want, rtol=1e-12)
    np.testing.assert_allclose(found.sigma, np.sqrt(want / 4), rtol=1e-12)
    np.testing.assert_allclose(
        found.noise_variance, max(everything - want, 0) / 82, rtol=1e-9, atol=1e-15
    )
    plain = realised(price, 4.0)
    np.testing.assert_allclose(plain.variance, everything, rtol=1e-12)
    np.testing.assert_allclose(
        plain.se_variance, np.sqrt(2 / 3 * sum((price[i + 1] - price[i]) ** 4 for i in range(41)))
    )


def test_best_lags_minimise_the_variance_and_have_no_unit() -> None:
    """K* against every K in the published variance 8 n w⁴/K² + (4/3)(K/n) Q; rescaled prices."""
    n, w2, Q = 20_000, 0.03**2, 1.7
    K = np.arange(2, n // 2)
    variance = 8 * n * w2**2 / K**2 + 4 / 3 * K / n * Q
    assert abs(K[variance.argmin()] - best_lags(n, w2, Q)) <= 1
    price = bounced(1, 4000, 1.0, 0.05, 1)[0]
    one, cents = two_scale(price, 4.0), two_scale(100 * price, 4.0 / 60)
    assert one.num_lags == cents.num_lags > 4
    np.testing.assert_allclose(cents.sigma, 100 * 60**0.5 * one.sigma, rtol=1e-9)
    np.testing.assert_allclose(cents.se_sigma, 100 * 60**0.5 * one.se_sigma, rtol=1e-9)


@pytest.mark.parametrize(("n", "half_spread"), [(2000, 0.0), (3000, 0.1)])
def test_bounce_is_seen_through_and_errors_cover(n: int, half_spread: float) -> None:
    """sigma = 1: unbiased with and without bounce; RV is off by 2 n w²; two errors cover 95 %."""
    records = bounced(2, n, 1.0, half_spread, 500)
    found = [two_scale(price, 4.0) for price in records]
    variance, error, noise, noise_error = (
        np.array([getattr(x, name) for x in found])
        for name in ("variance", "se_variance", "noise_variance", "se_noise_variance")
    )
    allowed = 4 * variance.std() / np.sqrt(500)
    assert abs(variance.mean() - 4) <= allowed + 4 * max(x.num_lags for x in found) / n  # the ends
    assert abs(np.mean(np.abs(variance - 4) <= 1.96 * error) - 0.95) <= 4 * np.sqrt(0.0475 / 500)
    plain = np.array([realised(price, 4.0).variance for price in records])
    assert abs(plain.mean() - 4 - 2 * n * half_spread**2) <= 4 * plain.std() / np.sqrt(500)
    if half_spread:
        assert plain.mean() > 10 * variance.mean()
        assert abs(noise.mean() - half_spread**2) <= 4 * noise.std() / np.sqrt(500)
        assert 0.8 < noise_error.mean() / noise.std() < 1.25
    else:
        plain_error = np.array([realised(price, 4.0).se_variance for price in records])
        covered = np.mean(np.abs(plain - 4) <= 1.96 * plain_error)
        assert abs(covered - 0.95) <= 4 * np.sqrt(0.0475 / 500)


def test_negative_is_flagged() -> None:
    """A price that only bounces: TSRV < 0, no sigma."""
    found = two_scale(np.tile([10.0, 11.0], 20), 1.0)
    assert found.variance < 0 and np.isnan(found.sigma) and np.isnan(found.se_sigma)
    assert not found.info.converged and found.info.residual > 0
    still = two_scale(np.full(20, 10.0), 1.0)
    assert still.sigma == 0 and not still.info.converged


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: two_scale(np.ones(5), 1.0), "price: expected shape"),
        (lambda: realised([1.0], 1.0), "price: expected shape"),
        (lambda: realised([], 1.0), "price: expected shape"),
        (lambda: realised([1.0, np.nan], 1.0), r"price\[1\]"),
        (lambda: realised([1.0, 2.0], 0.0), "duration"),
        (lambda: two_scale(np.arange(20.0), 1.0, num_lags=11), "num_lags: expected at most"),
        (lambda: two_scale(np.arange(20.0), 1.0, num_lags=1), "num_lags"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_real_mids_and_trades(market_data: Any) -> None:
    """IBM: trades bounce, mids do not; seen through, both give the volatility of 5-minute mids."""
    from diffeq.empirical import readers
    from diffeq.empirical.market_orders import mids

    stem = market_data / "equity/lean_ibm_20131008"
    tape = readers.tape(f"{stem}_trades.csv.gz", f"{stem}_quotes.csv.gz", bad_rows="drop")
    time, price = tape.trades.time, tape.trades.price
    trades = two_scale(price, time[-1] - time[0])
    grid = np.arange(34_300.0, 57_600.0, 300.0)
    slow = realised(mids(tape, grid), grid[-1] - grid[0])
    assert realised(price, time[-1] - time[0]).sigma > 1.8 * trades.sigma
    assert abs(trades.sigma - slow.sigma) < 3 * np.hypot(trades.se_sigma, slow.se_sigma)
    assert 0.005 < trades.noise_variance**0.5 < 0.02  # half-spread: a cent and a half
