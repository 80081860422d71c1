"""Fill rates from a table: scipy's natural spline, its derivatives, and the optimum with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from diffeq.market_making import assets, optimum, quadratic, stacks
from diffeq.market_making.model import Params
from diffeq.market_making.rate_table import tabulated

EPS = float(jnp.finfo(jnp.result_type(float)).eps)
DEPTH = np.array([0.0, 0.2, 0.5, 0.9, 1.5, 2.5])
RATE = 100.0 / (1 + np.exp(2.0 * (DEPTH - 0.4)))


def test_it_is_the_natural_spline() -> None:
    """Values, slopes inside, and the tangents beyond the ends; exact at the depths."""
    table = tabulated(DEPTH, RATE)
    spline = CubicSpline(DEPTH, np.log(RATE), bc_type="natural")
    inside = np.linspace(0, 2.5, 31)
    rate, m = jax.jit(jax.vmap(lambda d: (table(d), table.inverse_hazard(d))))(inside)
    np.testing.assert_allclose(rate, np.exp(spline(inside)), rtol=100 * EPS)
    np.testing.assert_allclose(m, -1 / spline(inside, 1), rtol=1e3 * EPS)
    np.testing.assert_allclose(jax.vmap(table)(jnp.asarray(DEPTH)), RATE, rtol=50 * EPS)
    for end in (0.0, 2.5):
        beyond = end + np.sign(end - 1) * 3.0
        wanted = np.exp(spline(end) + spline(end, 1) * (beyond - end))
        np.testing.assert_allclose(table(jnp.asarray(beyond)), wanted, rtol=100 * EPS)


@pytest.mark.float64
def test_the_optimum_with_a_table() -> None:
    """An exponential table is the exponential; derivatives in the rates are those of it."""
    shape = dict(max_inventory=2, times=[0.0, 1.0])
    depth = np.array([0.0, 0.7, 2.0])

    def best(A: jax.Array) -> jax.Array:
        table = tabulated(depth, A * jnp.exp(-1.5 * depth))
        return optimum.solve(Params(), intensity=table, **shape).delta_b[0, :-1]

    def exact(A: jax.Array) -> jax.Array:
        return optimum.solve(Params(A=A), **shape).delta_b[0, :-1]

    got, slope = jax.jit(lambda A: jax.jvp(best, (A,), (jnp.ones(()),)))(jnp.asarray(140.0))
    np.testing.assert_allclose(got, exact(140.0), atol=1e-9)
    np.testing.assert_allclose(slope, jax.jacfwd(exact)(140.0), atol=1e-10)


@pytest.mark.parametrize("each", [False, True])
def test_a_table_of_several_assets_or_regimes(each: bool) -> None:
    """One table is the same for all, whatever its length; with a first axis there is one each."""
    A, k = np.array([140.0, 60.0, 30.0]), np.array([1.5, 2.0, 1.0])
    tables = [tabulated(DEPTH[:3], a * np.exp(-b * DEPTH[:3])) for a, b in zip(A, k, strict=True)]
    given = jax.tree.map(lambda *x: jnp.stack(x), *tables) if each else tables[0]
    for i, table in enumerate(tables):
        found = stacks.intensity_of((given, given), i, 3)
        for side in found:
            np.testing.assert_array_equal(side(0.3), (table if each else tables[0])(0.3))
    A, k = (x if each else x[:1].repeat(3) for x in (A, k))
    params = assets.Params(sigma=(1.0, 2.0, 3.0), rho=0.6)
    wanted = quadratic.solve(params._replace(A=A, k=k), times=[0.0, 0.5])
    got = quadratic.solve(params, times=[0.0, 0.5], intensity=given)
    np.testing.assert_allclose(got.A, wanted.A, rtol=1e6 * EPS)


@pytest.mark.parametrize(
    ("depth", "rate"),
    [
        ([0.0, 1.0, 0.5, 2.0], [140.0, 66.0, 31.0, 7.0]),
        ([0.0, 0.5, 1.0, 2.0], [140.0, 31.0, 66.0, 7.0]),
        ([0.0, 1.0, 1.2, 9.0], [9.0, 8.9, 1.0, 0.9]),
    ],
)
def test_a_traced_table_that_is_no_fill_rate_is_nan(depth: list, rate: list) -> None:
    """In value and in every derivative, at depths where the curve itself would do too."""
    value, slopes = jax.jit(jax.value_and_grad(lambda x, y: tabulated(x, y)(0.1), (0, 1)))(
        jnp.asarray(depth), jnp.asarray(rate)
    )
    assert np.isnan(value) and all(np.isnan(slope).all() for slope in slopes)
    good = jnp.asarray([0.0, 0.5, 1.0]), jnp.asarray([3.0, 2.0, 1.0])
    same = jax.jit(lambda x, y: tabulated(x, y)(0.1))(*good)
    np.testing.assert_allclose(same, tabulated(*good)(0.1), rtol=10 * EPS)


@pytest.mark.parametrize(
    ("depth", "rate", "message"),
    [
        ([0.0, 1.0], [2.0, 1.0], "n ≥ 3"),
        ([0.0, 1.0, 1.0], [3.0, 2.0, 1.0], "increasing"),
        ([0.0, 1.0, 2.0], [3.0, 2.0, -1.0], "rate"),
        ([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], "rises"),
        ([0.0, 1.0, 1.01, 2.0], [8.0, 2.0, 1.99, 1.0], "depth"),
        ([0.0, 1.0, 1.2, 9.0], [9.0, 8.9, 1.0, 0.9], "smooth"),
        ([0.0, 2.0, 3.0, 3.25], np.exp([0.0, -6.0, -11.0, -15.0]), "near depth 1.9"),
    ],
)
def test_what_is_no_fill_rate_is_refused(depth: list, rate: list, message: str) -> None:
    """Too few, out of order, not positive, rising; or with more than one best depth."""
    with pytest.raises(ValueError, match=message):
        tabulated(depth, rate)
