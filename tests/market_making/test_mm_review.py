"""What a review found: prices far through the market, bounds of the domain, names that hide."""

import importlib
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

from diffeq import market_making
from diffeq.market_making import assets, bellman, exponential, hjb, optimum, quadratic
from diffeq.market_making.intensities import Exponential, Logistic, PowerLaw, best_depth
from diffeq.market_making.model import Params
from diffeq.market_making.sides import on_both
from diffeq.market_making.stacks import intensity_of
from solvers import ode

X64 = jax.config.jax_enable_x64
EPS = float(jnp.finfo(jnp.result_type(float)).eps)
SHAPE: Any = dict(max_inventory=2, times=[0.0, 1.0])


def test_no_function_hides_a_module() -> None:
    """``market_making.x`` is the module x.py, or no such attribute: never something else."""
    folder = Path(market_making.__path__[0])
    for name in sorted(path.stem for path in folder.glob("[a-z]*.py")):
        importlib.import_module(f"diffeq.market_making.{name}")
        assert isinstance(getattr(market_making, name), types.ModuleType), name


def margin(p: float, gamma: float, hazard: Any) -> float:
    """x = log1p(gamma m(p + x))/gamma by bisection on log x, 40 digits."""
    with mp.workdps(40):
        low, high = mp.mpf(-30), mp.mpf(30)
        for _ in range(130):
            middle = (low + high) / 2
            x = mp.exp(middle)
            m = hazard(p + x)
            above = x > (mp.log1p(gamma * m) / gamma if gamma else m)
            low, high = (low, middle) if above else (middle, high)
        return float(mp.exp(low))


def test_quotes_far_through_the_market() -> None:
    """An inverse hazard whose square leaves the floating range: Newton's slope survives it."""
    reach = 1.0 if X64 else 0.1  # e^(k p) must be a number
    prices = np.array([-20.0, -120.0, -200.0, -340.0]) * reach
    steep = np.array([0.07, 0.08, 0.09])  # k = 20, gamma = 0: Newton's steps alone go in a circle
    p = np.concatenate([prices, steep])
    k, gamma = np.repeat([2.0, 20.0], [4, 3]), np.repeat([0.1, 0.0], [4, 3])
    find = jax.jit(jax.vmap(lambda p, k, g: best_depth(Logistic(100.0, k, 0.4), p, g)))
    found = find(*(jnp.asarray(x, float) for x in (p, k, gamma)))
    exact = [
        margin(x, g, lambda d, k=k: (1 + mp.exp(-k * (d - mp.mpf(0.4)))) / k)
        for x, k, g in zip(p, k, gamma, strict=True)
    ]
    np.testing.assert_allclose(found.margin, exact, rtol=1e3 * EPS)
    assert float(jnp.max(found.residual)) <= 1e3 * EPS


Q, TIMES = 50, np.linspace(0.0, 1.0, 201)


@jax.jit
def _on_the_grid(gamma: Any, k: Any, phi_T: Any) -> Any:
    """theta, its slope in k, bids, whether it converged."""

    def solved(k: Any) -> Any:
        params = Params(gamma=gamma, k=k, phi_T=phi_T)
        found = hjb.solve(params, max_inventory=Q, times=TIMES)
        return found.theta[0], (found.delta_b, found.info.converged)

    return jax.jvp(solved, (jnp.asarray(k),), (jnp.ones(()),), has_aux=True)


def by_bisection(gamma: float, sigma: float, A: float, k: float) -> np.ndarray:
    """Bids of the discrete-time problem, (200, 2Q): its recursion, written out in numpy."""
    q, dt, bids = np.arange(-Q, Q + 1), TIMES[1], []
    theta = np.zeros(q.size)

    def one_side(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.full(p.size, 1e-6), np.full(p.size, 500.0)
        for _ in range(60):
            x = (low + high) / 2
            u = A * dt * np.exp(-k * (p + x))
            m = np.expm1(u) / u / k  # inf where u > 709: too low
            low, high = (
                np.where(gamma * x < np.log1p(gamma * m), a, b) for a, b in ((x, low), (high, x))
            )
        kept = np.logaddexp(-u, np.log(-np.expm1(-u)) - gamma * x)  # log(1 − gamma H)
        return p + x, -kept / gamma

    with np.errstate(over="ignore"):
        for _ in range(TIMES.size - 1):
            u = np.diff(theta)
            (up, gain_b), (_, gain_a) = one_side(-u), one_side(u)
            theta = theta - gamma * sigma**2 / 2 * q**2 * dt
            theta[:-1] += gain_b
            theta[1:] += gain_a
            bids.insert(0, up)
    return np.array(bids)


@pytest.mark.float64
def test_a_risk_averse_maker_with_large_limits() -> None:
    """gamma = 1, Q = 50, 201 times: every path has it; a fill saves up to 200 in price.

    Grid against exact solution; steps against their own recursion.
    """
    shape: Any = dict(max_inventory=Q, times=TIMES)
    exact = exponential.solve(Params(gamma=1.0), **shape)
    steps = bellman.solve(Params(gamma=1.0), **shape)
    _, _, (bids, ok) = _on_the_grid(1.0, 1.5, 0.0)
    assert bool(exact.info.converged) and bool(steps.info.converged) and bool(ok)
    np.testing.assert_allclose(bids[:, :-1], exact.delta_b[:, :-1], atol=1e-8)
    expected = by_bisection(1.0, 2.0, 140.0, 1.5)
    np.testing.assert_allclose(steps.delta_b[:-1, :-1], expected, atol=1e-8)


def test_a_steep_intensity_is_right_or_flagged() -> None:
    """k = 1e3: a terminal layer of e^350 is flagged, value and slope NaN; else both are right.

    Risk neutral, without penalties, theta(k) = theta(1)/k: the slope is −theta/k, in closed form.
    """
    theta, slope, (_, ok) = _on_the_grid(0.0, 1e3, 0.0)
    assert bool(ok)
    unit, _, _ = _on_the_grid(0.0, 1.0, 0.0)
    np.testing.assert_allclose(theta * 1e3, unit, rtol=1e-9 if X64 else 1e-2)
    np.testing.assert_allclose(-slope * 1e3, theta, rtol=1e-8 if X64 else 1e-2)
    theta, slope, (bids, ok) = _on_the_grid(0.0, 1e3, 0.35 / 101)
    assert not bool(ok)
    assert np.isnan(theta).all() and np.isnan(slope).all() and np.isnan(bids[:, :-1]).all()


def test_lanes_stop_when_all_are_done() -> None:
    """A batch takes as many steps as its slowest lane; one that cannot start takes none."""

    def run(y_0: jax.Array, end: jax.Array) -> Any:
        rate = lambda y, p, _: (-y * y, ())  # noqa: E731
        h = jnp.where(y_0 > 0, 0.01, jnp.nan)
        return ode.stiff(rate, y_0[None], end[None], (), first_step=h, scale=1.0)

    y_0, end = jnp.asarray([1.0, 2.0, np.nan]), jnp.asarray([1.0, 0.1, 1.0])
    found = jax.jit(jax.vmap(run))(y_0, end)
    assert found.reached.tolist() == [True, True, False]
    long, short, none = found.steps.tolist()
    assert none == 0 < short < long < 60
    exact = (y_0 / (1 + y_0 * end))[:2]
    np.testing.assert_allclose(found.y[:2, 0, 0], exact, rtol=1e-9 if X64 else 1e-3)


def test_both_sides_at_once_are_each_alone() -> None:
    """Sides of one kind are a batch of two, others two calls: the same numbers."""

    def best(side: Any, p: jax.Array) -> jax.Array:
        return best_depth(side, p, jnp.asarray(0.1)).margin

    p = jnp.asarray(0.3), jnp.asarray(-0.2)
    one, two, other = Exponential(9.0, 1.5), Exponential(5.0, 2.0), PowerLaw(9.0, 0.8, 2.5)

    @jax.jit
    def together_and_apart() -> Any:
        pairs = [on_both(best, (one, p[0]), (side, p[1])) for side in (two, other)]
        return pairs, [(best(one, p[0]), best(side, p[1])) for side in (two, other)]

    together, apart = together_and_apart()
    np.testing.assert_allclose(together, apart, rtol=10 * EPS)


def test_fields_of_an_intensity_by_asset() -> None:
    """Tuples, lists and arrays alike: the entry of each asset; what has no axis is shared."""
    for rates in ((60.0, 50.0), [60.0, 50.0], np.array([60.0, 50.0])):
        assert intensity_of(PowerLaw(rates, 0.8, (2.5, 3.0)), 1, 2) == (50.0, 0.8, 3.0)
    bid, ask = intensity_of((PowerLaw((60.0, 50.0), 0.8, 2.5), Logistic(9.0, 2.0, 0.4)), 0, 2)
    assert bid == PowerLaw(60.0, 0.8, 2.5) and ask == Logistic(9.0, 2.0, 0.4)
    with pytest.raises(ValueError, match="length 2, got length 3"):
        intensity_of(PowerLaw((1.0, 2.0, 3.0), 0.8, 2.5), 0, 2)


FLAT = PowerLaw(60.0, 0.8, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimum.solve(Params(gamma=0.0), intensity=FLAT, **SHAPE), "PowerLaw.a: .*> 1"),
        (
            lambda: hjb.solve(Params(), intensity=FLAT, objective="penalty", **SHAPE),
            "PowerLaw.a: .*> 1",
        ),
        (lambda: bellman.solve(Params(gamma=0.0), intensity=FLAT, **SHAPE), "PowerLaw.a: .*> 1"),
        (
            lambda: quadratic.solve(assets.Params(gamma=0.0), intensity=FLAT, times=[0.0, 1.0]),
            "PowerLaw.a: .*> 1",
        ),
        (lambda: bellman.solve(Params(), intensity=lambda d: 1 + d, **SHAPE), "decreasing"),
        (lambda: optimum.solve(Params(), intensity=PowerLaw(6.0, 0.0, 2.5), **SHAPE), "Law.d_0"),
        (lambda: optimum.solve(Params(), intensity=Logistic(-6.0, 1.0, 0.4), **SHAPE), "stic.A"),
        (lambda: optimum.solve(Params(), intensity=Exponential(6.0, -1.0), **SHAPE), "tial.k"),
        (
            lambda: optimum.solve(Params(), intensity=PowerLaw(np.ones(2), 0.8, 2.5), **SHAPE),
            "PowerLaw.A: expected a scalar",
        ),
    ],
)
def test_intensities_without_a_best_depth_are_named(call: Any, message: str) -> None:
    """Concrete parameters for which no depth is best raise with the name of the culprit."""
    with pytest.raises(ValueError, match=message):
        call()
