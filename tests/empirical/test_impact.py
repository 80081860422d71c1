"""Intervals against loops, the regression against matrices, mpmath and worked numbers."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from diffeq.empirical import impact
from diffeq.empirical.readers import Quotes, Tape, Trades

X64 = jax.config.jax_enable_x64
TOLERANCE = 1e-12 if X64 else 2e-4


def sample(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mid changes and flow with serially correlated, heteroskedastic errors."""
    rng = np.random.default_rng(seed)
    flow = 100 * rng.normal(size=n) + 5
    noise = rng.normal(size=n + 2)
    error = (noise[2:] + 0.7 * noise[1:-1] + 0.3 * noise[:-2]) * (1 + np.abs(flow) / 100)
    return 0.02 * flow + error - 0.1, flow


def newey_west(y, x, lags: int, used=None) -> tuple[np.ndarray, np.ndarray]:
    """Textbook sandwich with a loop over pairs: (X'X)⁻¹ S (X'X)⁻¹ n/(n−2); Newey & West 1987."""
    used = np.ones(len(y), bool) if used is None else used
    design = np.column_stack([np.ones(len(x)), x]) * used[:, None]
    bread = np.linalg.inv(design.T @ design)
    coefficients = bread @ design.T @ y
    scores = design * (y - design @ coefficients)[:, None]
    meat = np.zeros((2, 2))
    for s in range(len(y)):
        for t in range(len(y)):
            if abs(s - t) <= lags:
                meat += (1 - abs(s - t) / (lags + 1)) * np.outer(scores[s], scores[t])
    n = int(used.sum())
    return coefficients, np.sqrt(np.diag(bread @ meat @ bread) * n / (n - 2))


@pytest.mark.parametrize(("n", "lags"), [(12, 0), (12, 3), (60, 4), (60, 59), (150, None)])
def test_regression_equals_the_sandwich(n, lags):
    y, x = sample(n, seed=n)
    fit = impact.regress(y, x, lags=lags)
    expected_lags = int(4 * (n / 100) ** (2 / 9)) if lags is None else lags
    (intercept, slope), (intercept_error, slope_error) = newey_west(y, x, expected_lags)
    found = [fit.lambda_, fit.intercept, fit.lambda_error, fit.intercept_error, fit.t]
    expected = [slope, intercept, slope_error, intercept_error, slope / slope_error]
    np.testing.assert_allclose(found, expected, rtol=100 * TOLERANCE)
    assert int(fit.lags) == expected_lags and int(fit.num_intervals) == n
    assert fit.lambda_.dtype == (jnp.float64 if X64 else jnp.float32)
    if lags == 3:  # float32 data keep their dtype, whatever the default
        narrow = impact.regress(y.astype(np.float32), x.astype(np.float32), lags=lags)
        assert all(narrow[i].dtype == jnp.float32 for i in range(6))
        np.testing.assert_allclose(narrow[:6], fit[:6], rtol=1e-4)
    correlation = np.corrcoef(x, y)[0, 1]
    np.testing.assert_allclose(fit.r_squared, correlation**2, rtol=100 * TOLERANCE)


def test_a_regression_done_by_hand():
    """x = 0, 1, 2, 3 and y = 1, 3, 2, 5: slope 1.1, intercept 1.1, SSE 2.7, R² = 1 − 2.7/8.75.

    Residuals −.1, .8, −1.3, .6; scores (x − 1.5) e / 5: .03, −.08, −.13, .18. White: Σ psi² =
    .0009 + .0064 + .0169 + .0324 = .0566; lag 1 adds 2·½·(−.0024 + .0104 − .0234) = −.0154. n/(n−2)
    = 2.
    """
    y, x = [1.0, 3.0, 2.0, 5.0], [0.0, 1.0, 2.0, 3.0]
    white = impact.regress(np.array(y), np.array(x), lags=0)
    found = [white.lambda_, white.intercept, white.r_squared, white.lambda_error]
    np.testing.assert_allclose(found, [1.1, 1.1, 1 - 2.7 / 8.75, np.sqrt(0.1132)], rtol=1e-5)
    bartlett = impact.regress(np.array(y), np.array(x), lags=1)
    np.testing.assert_allclose(bartlett.lambda_error, np.sqrt(2 * 0.0412), rtol=1e-5)


@pytest.mark.float64
def test_an_awkward_scale_in_many_digits():
    """Flow of 1e9 ± 1 against mpmath: the deviations carry the information."""
    rng = np.random.default_rng(3)
    x = 1e9 + rng.integers(-3, 4, 40).astype(float)
    y = 1e-7 * rng.normal(size=40)
    with mpmath.workdps(60):
        xs, ys = [mpmath.mpf(float(v)) for v in x], [mpmath.mpf(float(v)) for v in y]
        x_mean, y_mean = mpmath.fsum(xs) / 40, mpmath.fsum(ys) / 40
        squares = mpmath.fsum((v - x_mean) ** 2 for v in xs)
        slope = mpmath.fsum((v - x_mean) * w for v, w in zip(xs, ys, strict=True)) / squares
        pairs = zip(xs, ys, strict=True)
        scores = [(v - x_mean) * (w - y_mean - slope * (v - x_mean)) / squares for v, w in pairs]
        total = mpmath.fsum(
            (1 - mpmath.mpf(abs(s - t)) / 3) * scores[s] * scores[t]
            for s in range(40)
            for t in range(max(0, s - 2), min(40, s + 3))
        )
        error = mpmath.sqrt(total * 40 / 38)
    fit = impact.regress(y, x, lags=2)
    np.testing.assert_allclose(float(fit.lambda_), float(slope), rtol=1e-12)
    np.testing.assert_allclose(float(fit.lambda_error), float(error), rtol=1e-12)


def test_a_perfect_line_has_no_error():
    x = np.arange(8.0)
    fit = impact.regress(2 * x + 1, x)
    np.testing.assert_allclose([fit.lambda_, fit.intercept, fit.r_squared], [2, 1, 1], rtol=1e-6)
    assert float(fit.lambda_error) < 1e-6


def test_units():
    """Lambda is price per unit: prices × a and flow × b turn it, and its error, by a/b."""
    y, x = sample(80)
    plain, scaled = impact.regress(y, x), impact.regress(8 * y, x / 4)
    np.testing.assert_allclose(scaled.lambda_, 32 * plain.lambda_, rtol=TOLERANCE)
    np.testing.assert_allclose(scaled.lambda_error, 32 * plain.lambda_error, rtol=TOLERANCE)
    np.testing.assert_allclose(scaled.intercept_error, 8 * plain.intercept_error, rtol=TOLERANCE)
    np.testing.assert_allclose(scaled.t, plain.t, rtol=TOLERANCE)
    far = 2.0 ** (80 if X64 is False else 600)  # its square is out of range
    for a, b in ((far, 1.0), (1 / far, 1.0), (1.0, far), (1.0, 1 / far), (far, far)):
        scaled = impact.regress(a * y, b * x)
        found = [scaled.lambda_ * (b / a), scaled.lambda_error * (b / a), scaled.t]
        expected = [plain.lambda_, plain.lambda_error, plain.t]
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE)
        np.testing.assert_allclose(scaled.intercept_error / a, plain.intercept_error, rtol=1e-5)
        np.testing.assert_allclose(scaled.r_squared, plain.r_squared, rtol=1e-5)


@pytest.mark.float64
def test_errors_cover_the_truth():
    """Over 2 000 samples with MA(2) errors, |lambda − truth| < 1.96 errors about 95 times in 100.

    Serial correlation here is in the errors and the flow both, so that White's errors fail.
    """
    rng = np.random.default_rng(5)
    noise, shock = rng.normal(size=(2, 2000, 406))
    window = np.ones(6)
    smooth = jax.vmap(lambda row: jnp.convolve(row, window, mode="valid"))
    x, error = smooth(noise), smooth(shock)
    y = 0.5 * x + error
    covered = {}
    for lags in (0, 12):
        fit = jax.vmap(lambda a, b, lags=lags: impact.regress(a, b, lags=lags))(y, x)
        covered[lags] = float(jnp.mean(jnp.abs(fit.lambda_ - 0.5) < 1.96 * fit.lambda_error))
    # Bartlett weights bias the variance down a little: the bound below 95 % allows for it
    assert 0.90 < covered[12] < 0.965
    assert covered[0] < 0.75


@pytest.mark.float64
def test_derivatives():
    y, x = sample(30)

    def error_of(y):
        return impact.regress(y, x, lags=2).lambda_error

    slope_gradient = jax.grad(lambda y: impact.regress(y, x).lambda_)(jnp.asarray(y))
    deviation = x - x.mean()
    np.testing.assert_allclose(slope_gradient, deviation / (deviation @ deviation), rtol=1e-11)
    direction = np.random.default_rng(1).normal(size=30)
    _, forward = jax.jvp(error_of, (jnp.asarray(y),), (jnp.asarray(direction),))
    reverse = jax.grad(error_of)(jnp.asarray(y)) @ direction
    step = 1e-5
    difference = (error_of(y + step * direction) - error_of(y - step * direction)) / (2 * step)
    np.testing.assert_allclose(reverse, forward, rtol=1e-12)
    np.testing.assert_allclose(difference, forward, rtol=1e-6)


def test_under_a_transformation_bad_data_is_nan():
    y, x = sample(10)
    flows = jnp.stack([jnp.asarray(x), jnp.full(10, 3.0)])
    fit = jax.vmap(lambda flow: impact.regress(y, flow))(flows)
    assert np.isfinite(fit.lambda_[0]) and np.isnan(fit.lambda_[1])
    assert np.isnan(fit.lambda_error[1])
    np.testing.assert_allclose(fit.lambda_[0], impact.regress(y, x).lambda_, rtol=TOLERANCE)


@pytest.mark.parametrize(
    ("y", "x", "lags", "message"),
    [
        ([1, 2, 3], [1, 1, 1], None, "signed_flow is 1.0 in all 3 intervals"),
        ([2, 2, 2], [1, 2, 3], None, "mid_change is 2.0 in all 3 intervals"),
        ([1, 2], [1, 2], None, "at least 3 intervals, got 2"),
        ([1, 2, 3], [1, 2], None, "one shape"),
        ([[1, 2, 3]], [[1, 2, 3]], None, "jax.vmap"),
        ([1, np.nan, 3], [1, 2, 3], None, "mid_change has NaN"),
        ([1, 2, 3], [1, np.inf, 3], None, "signed_flow has NaN or infinite"),
        ([1, 2, 4], [1, 2, 3], 3, "lags: expected between 0 and n − 1 = 2, got 3"),
        ([1, 2, 4], [1, 2, 3], -1, "lags: expected"),
    ],
)
def test_regress_refuses(y, x, lags, message):
    with pytest.raises(ValueError, match=message):
        impact.regress(np.array(y, float), np.array(x, float), lags=lags)


@pytest.mark.parametrize("lags", [2.0, True, "2"])
def test_lags_are_a_count(lags):
    with pytest.raises(TypeError, match="lags: expected a Python int"):
        impact.regress(*sample(12), lags=lags)


def random_tape(seed: int, num_trades: int = 200, last: int = 400) -> Tape:
    """Quarter-second stamps, so that trades and quotes fall on edges."""
    rng = np.random.default_rng(seed)
    quote_time = np.sort(rng.integers(5, last, 150)) / 4
    bid = 10 + rng.integers(-50, 50, 150) / 100
    trade_time = np.sort(rng.integers(0, last + 20, num_trades)) / 4
    size = rng.integers(1, 100, num_trades).astype(float)
    sign = rng.integers(-1, 2, num_trades).astype(np.int8)
    trades = Trades(trade_time, np.full(num_trades, 10.0), size, sign)
    quotes = Quotes(quote_time, bid, np.ones(150), bid + 0.02, np.ones(150))
    return Tape(trades, quotes, None, ())


def mid_at(tape: Tape, time: float) -> float:
    mid = np.nan
    for quote_time, bid, ask in zip(
        tape.quotes.time, tape.quotes.bid, tape.quotes.ask, strict=True
    ):
        if quote_time <= time:
            mid = (bid + ask) / 2
    return mid


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("choice", [{"interval_s": 2.5}, {"num_intervals": 16}])
def test_intervals_equal_the_definitions(seed, choice):
    tape = random_tape(seed)
    cut = impact.intervals(tape, tape.trades.sign, **choice)
    used = 0
    for k in range(cut.start.size):
        start = cut.start[k]
        end = cut.start[k + 1] if k + 1 < cut.start.size else start + cut.width
        inside = [t for t in range(200) if start < tape.trades.time[t] <= end]
        used += len(inside)
        flow = sum(float(tape.trades.sign[t]) * tape.trades.size[t] for t in inside)
        assert cut.signed_flow[k] == flow
        assert cut.volume[k] == sum(tape.trades.size[t] for t in inside)
        assert cut.num_trades[k] == len(inside)
        change = mid_at(tape, end) - mid_at(tape, start)
        np.testing.assert_allclose(cut.mid_change[k], change, atol=1e-14)
    assert cut.trades_outside == 200 - used > 0
    if "interval_s" in choice:
        assert (cut.start % 2.5 == 0).all() and cut.width == 2.5
    else:
        assert cut.start.size == 16 and cut.start[0] == tape.quotes.time[0]


def test_interval_changes_add_up():
    tape = random_tape(7)
    cut = impact.intervals(tape, tape.trades.sign, num_intervals=5)
    mids = (tape.quotes.bid + tape.quotes.ask) / 2
    last_of_first_time = np.flatnonzero(tape.quotes.time == tape.quotes.time[0])[-1]
    np.testing.assert_allclose(cut.mid_change.sum(), mids[-1] - mids[last_of_first_time])


def test_a_quote_at_the_trades_time_moves_the_mid_in_the_trades_interval():
    trades = Trades(np.array([2.0]), np.array([10.0]), np.array([7.0]), np.array([1], np.int8))
    bid = np.array([9.0, 10.0, 10.0])
    quotes = Quotes(np.array([0.0, 2.0, 4.0]), bid, np.ones(3), bid + 1, np.ones(3))
    cut = impact.intervals(Tape(trades, quotes, None, ()), trades.sign, interval_s=2.0)
    assert cut.signed_flow.tolist() == [7, 0]
    assert cut.mid_change.tolist() == [1, 0]


@pytest.mark.parametrize("width", [0.1, 0.3, 0.7])
def test_no_mid_is_taken_before_the_first_quote(width):
    """3 · 0.3 < 0.9: the edge is the first quote's own time, not one where no quote stands."""
    for k in range(1, 60):
        time = np.array([round(k * width, 1), (k + 5) * width])
        bid = np.array([10.0, 50.0])
        quotes = Quotes(time, bid, np.ones(2), bid, np.ones(2))
        trades = Trades(time[1:], bid[1:], np.ones(1), np.ones(1, np.int8))
        cut = impact.intervals(Tape(trades, quotes, None, ()), trades.sign, interval_s=width)
        assert (cut.mid_change >= 0).all() and cut.start[0] >= time[0], k


@pytest.mark.parametrize("width", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("by", ["interval_s", "num_intervals"])
def test_a_trade_at_an_edge_belongs_before_it(width, by):
    """Edges lie on the records' decimal times, though 3 · 0.3 < 0.9."""
    time = np.arange(61) * round(1e9 * width) / 1e9
    one = np.ones(61)
    quotes = Quotes(time, 10 + np.arange(61.0), one, 12 + np.arange(61.0), one)
    trades = Trades(time[1:], one[1:], one[1:], np.ones(60, np.int8))
    choice = {"interval_s": width, "num_intervals": 60}
    cut = impact.intervals(Tape(trades, quotes, None, ()), trades.sign, **{by: choice[by]})
    assert cut.num_trades.tolist() == cut.mid_change.tolist() == [1] * 60
    odd = np.linspace(1 / 3, 20 / 3, 61)  # between nanoseconds: no trade falls off the end
    tape = Tape(trades._replace(time=odd[1:]), quotes._replace(time=odd), None, ())
    cut = impact.intervals(tape, trades.sign, num_intervals=60)
    assert cut.trades_outside == 0 and cut.mid_change.sum() == 60


def test_start_and_end():
    tape = random_tape(1)
    cut = impact.intervals(tape, tape.trades.sign, interval_s=10.0, start=20.0, end=150.0)
    assert cut.start.tolist() == list(np.arange(20.0, 150.0, 10.0))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, "one of interval_s and num_intervals"),
        ({"interval_s": 1.0, "num_intervals": 2}, "one of interval_s and num_intervals"),
        ({"interval_s": 0.0}, "interval_s must be positive"),
        ({"interval_s": np.nan}, "interval_s must be positive"),
        ({"num_intervals": 0}, "at least 1"),
        ({"interval_s": 1e6}, "no whole interval"),
        ({"interval_s": 1.0, "start": 0.0}, "first quote"),
        ({"interval_s": 1.0, "start": 50.0, "end": 50.0}, "start < end"),
    ],
)
def test_intervals_refuse(choice, message):
    tape = random_tape(2)
    with pytest.raises(ValueError, match=message):
        impact.intervals(tape, tape.trades.sign, **choice)


def test_intervals_refuse_signs_and_empty_sides():
    tape = random_tape(2)
    with pytest.raises(ValueError, match="expected the trades' shape"):
        impact.intervals(tape, tape.trades.sign[:5], interval_s=1.0)
    with pytest.raises(ValueError, match="−1, 0 and 1 only"):
        impact.intervals(tape, 2 * np.ones_like(tape.trades.sign), interval_s=1.0)
    no_quotes = tape._replace(quotes=Quotes(*(np.empty(0),) * 5))
    with pytest.raises(ValueError, match="both trades and quotes"):
        impact.intervals(no_quotes, tape.trades.sign, interval_s=1.0)


def day_of_intervals(n: int, width: float, start: float) -> impact.Intervals:
    y, x = sample(n, seed=9)
    times = start + width * np.arange(n)
    return impact.Intervals(times, width, y, x, np.abs(x), np.ones(n, np.int64), 0)


@pytest.mark.parametrize("lags", [None, 2])
def test_time_of_day_equals_each_buckets_own_regression(lags):
    """Two days of 40 minutes each; a bucket pools the days and pairs neighbours on the tape."""
    one = day_of_intervals(80, 60.0, 34_200.0)
    start = np.concatenate([one.start[:40], one.start[:40] + 86_400])
    cut = one._replace(start=start)
    found = impact.by_time_of_day(cut, bucket_s=600.0, lags=lags)
    assert found.start.tolist() == [34_200, 34_800, 35_400, 36_000]
    for k, opening in enumerate(found.start):
        used = (start % 86_400 >= opening) & (start % 86_400 < opening + 600)
        each = impact.default_lags(20) if lags is None else lags
        (intercept, slope), errors = newey_west(cut.mid_change, cut.signed_flow, each, used)
        fit = jax.tree.map(lambda leaf, k=k: leaf[k], found.regression)
        values = [fit.intercept, fit.lambda_, fit.intercept_error, fit.lambda_error]
        np.testing.assert_allclose(values, [intercept, slope, *errors], rtol=100 * TOLERANCE)
        assert int(fit.num_intervals) == 20


def test_one_bucket_is_the_whole_regression():
    cut = day_of_intervals(50, 60.0, 36_000.0)
    pooled = impact.by_time_of_day(cut, bucket_s=86_400.0).regression
    whole = impact.regress(cut.mid_change, cut.signed_flow)
    np.testing.assert_allclose(pooled.lambda_error[0], whole.lambda_error, rtol=TOLERANCE)
    np.testing.assert_allclose(pooled.r_squared[0], whole.r_squared, rtol=TOLERANCE)


def test_a_bucket_too_thin_is_nan():
    cut = day_of_intervals(12, 60.0, 34_200.0)
    found = impact.by_time_of_day(cut, bucket_s=600.0)
    assert found.regression.num_intervals.tolist() == [10, 2]
    assert np.isfinite(found.regression.lambda_[0]) and np.isnan(found.regression.lambda_[1])


def test_time_of_day_refuses():
    cut = day_of_intervals(12, 60.0, 34_200.0)
    with pytest.raises(ValueError, match="bucket_s"):
        impact.by_time_of_day(cut, bucket_s=30.0)
    with pytest.raises(ValueError, match="lags"):
        impact.by_time_of_day(cut, lags=12)
