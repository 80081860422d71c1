"""Sweeps: every point equals its own solve, whatever the blocks; failures stay in their lane."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffeq
from diffeq import holden
from diffeq.sweep import blocks, sweep

AXES = dict(
    num_insiders=np.array([0.5, 1.0, 3.0]),
    sigma_v=np.array([1.0, 2.5]),
    sigma_u=np.array([1.0, 5.0, 7.0, 9.0]),
)


def at_point(num_insiders, sigma_v, sigma_u):
    params = holden.Params(sigma_v=sigma_v, sigma_u=sigma_u, num_insiders=num_insiders)
    return holden.solve(params, num_auctions=4)


def grid_axes(**changes):
    axes = dict(AXES) | changes
    return dict(
        num_insiders=axes["num_insiders"],
        num_auctions=np.array([1, 4, 2]),
        sigma_v=axes["sigma_v"],
        sigma_u=axes["sigma_u"],
    )


@pytest.mark.parametrize("block_points", [1, 5, 8, 10**6])
def test_points_are_solves_for_every_block_size(block_points):
    data = sweep(at_point, AXES, block_points=block_points)
    assert data.lambda_.dims == ("num_insiders", "sigma_v", "sigma_u", "auction")
    for M in AXES["num_insiders"]:
        own = holden.solve(holden.Params(2.5, 7.0, M), num_auctions=4)
        here = data.sel(num_insiders=M, sigma_v=2.5, sigma_u=7.0)
        np.testing.assert_allclose(here.lambda_, own.lambda_, rtol=1e-6)
        np.testing.assert_allclose(here.log_Sigma, own.log_Sigma, rtol=1e-5)
    assert bool(data.converged.all())
    assert diffeq.check(data) is data


def test_labels_follow_the_names_not_the_order_of_the_axes():
    axes = dict(
        sigma_u=[1.0, 2.0], num_auctions=[1, 2], num_insiders=[1.0, 2.0], sigma_v=[1.0, 3.0]
    )
    data = sweep(holden.grid, axes, grid_function=True)
    assert data.lambda_.dims == tuple(axes)
    point = data.lambda_.sel(sigma_v=3.0, sigma_u=2.0, num_insiders=1.0, num_auctions=1)
    np.testing.assert_allclose(point, 3.0 / (2 * 2.0), rtol=1e-6)


def test_a_grid_function_must_name_its_axes():
    with pytest.raises(ValueError, match="does not take y"):
        sweep(lambda x: x, dict(x=[1.0], y=[2.0]), grid_function=True)
    with pytest.raises(ValueError, match="expected leading dimensions"):
        sweep(lambda x, y: x, dict(x=[1.0, 2.0], y=[2.0, 3.0]), grid_function=True)


def test_grid_function_agrees_with_the_point_function():
    data = sweep(holden.grid, grid_axes(), grid_function=True, block_points=30)
    points = sweep(at_point, AXES)
    for name in ("lambda_", "beta", "Sigma"):
        np.testing.assert_allclose(
            data[name].sel(num_auctions=4), points[name].isel(auction=3), rtol=2e-5
        )
    assert data.attrs["function"] == "diffeq.holden.horizons.grid"


@pytest.mark.parametrize("name", ["num_insiders", "sigma_v", "sigma_u"])
def test_bad_points_are_nan_and_flagged_and_check_names_them(name):
    axes = grid_axes(**{name: np.array([1.0, -2.0, np.nan])})
    data = sweep(holden.grid, axes, grid_function=True)
    good = data.sel({name: 1.0})
    assert bool(good.converged.all()) and bool(np.isfinite(good.lambda_).all())
    bad = data.isel({name: [1, 2]})
    assert not bool(bad.converged.any())
    for field in ("lambda_", "beta", "Sigma"):
        assert bool(np.isnan(bad[field]).all())
    with pytest.raises(diffeq.ConvergenceError, match="did not converge; first at"):
        diffeq.check(data)


def test_grid_is_differentiable_and_a_bad_point_poisons_only_itself():
    def total(sigma_v):
        grid = holden.grid(
            num_insiders=jnp.array([1.0, 2.0]),
            num_auctions=[3],
            sigma_v=sigma_v,
            sigma_u=jnp.array([1.0]),
        )
        return grid.Sigma[:, 0, :, 0]

    slope = jax.jacobian(total)(jnp.array([1.5, -1.0]))  # (M, sigma_v, sigma_v)
    level = total(jnp.array([1.5, -1.0]))
    np.testing.assert_allclose(slope[:, 0, 0], 2 * level[:, 0] / 1.5, rtol=1e-5)
    assert np.isnan(slope[:, 1, 1]).all()


def test_blocks_cover_the_grid_once():
    seen = np.zeros((3, 2, 4), int)
    for block in blocks(at_point, AXES, block_points=5):
        assert block.fields["lambda_"].shape == seen[block.where].shape + (4,)
        seen[block.where] += 1
    assert (seen == 1).all()


def test_a_block_is_a_whole_number_of_points():
    for bad in (0, 1e6, True):
        with pytest.raises((ValueError, TypeError), match="block_points: expected"):
            sweep(at_point, AXES, block_points=bad)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (dict(AXES, sigma_v=2.0), "sigma_v: expected an axis"),
        (dict(AXES, sigma_v=np.array([])), "sigma_v: expected an axis"),
        (dict(AXES, sigma_v=np.array(["a"])), "sigma_v: expected an axis of numbers"),
    ],
)
def test_bad_axes_are_named(axes, message):
    with pytest.raises(ValueError, match=message):
        sweep(at_point, axes)


def test_an_axis_that_fixes_a_shape_says_so():
    with pytest.raises(TypeError, match="num_auctions: expected a Python int"):
        sweep(
            lambda num_auctions: holden.solve(holden.Params(), num_auctions=num_auctions),
            dict(num_auctions=np.array([1, 2])),
        )


@pytest.mark.parametrize(
    ("fn", "axes", "how", "error", "message"),
    [
        (3, dict(x=[1.0]), {}, TypeError, "fn: expected a function, got 3"),
        (abs, [1.0], {}, TypeError, "axes: expected a dict"),
        (abs, dict(x=[1.0]), dict(dims="auction"), ValueError, "dims: expected a tuple"),
        (abs, dict(x=[1.0]), dict(dims=("n", "n")), ValueError, "dims: expected a tuple"),
    ],
)
def test_bad_arguments_say_what_is_expected(fn, axes, how, error, message):
    with pytest.raises(error, match=message):
        sweep(fn, axes, **how)


def test_a_number_beyond_single_precision_is_refused():
    """JAX would wrap the integer, and make the other infinite."""
    for values, message in (([1, 2**40], "1099511627776 is beyond int32"), ([1e300], "1e.300 is")):
        with jax.enable_x64(False), pytest.raises(ValueError, match=f"x: {message}"):
            sweep(abs, dict(x=values))


def at_first_and_later(first, later):
    return lambda x: first(x) if x[0] < 2 else later(x)


@pytest.mark.parametrize(
    "later",
    [
        lambda x: dict(a=x.astype(int), b=x),
        lambda x: dict(a=x),
        lambda x: dict(a=x, b=x, c=x),
        lambda x: dict(a=x, b=x[:, None]),
    ],
)
def test_every_block_has_the_fields_of_the_first(later):
    """Else one would be cut to another's type, or hold what was in memory before."""
    fn = at_first_and_later(lambda x: dict(a=x, b=x), later)
    with pytest.raises(TypeError, match="expected .* at each point, as in the other blocks"):
        sweep(fn, dict(x=np.arange(4.0)), grid_function=True, block_points=2)


def test_two_fields_of_one_name_or_length_are_refused():
    bad = {
        "converged: expected one": lambda x: dict(converged=x > 0, info=dict(converged=x > 1)),
        "dims: a has 2 along 'auction' and b has 3": lambda x: dict(
            a=np.ones((x.size, 2)), b=np.ones((x.size, 3))
        ),
    }
    for message, fn in bad.items():
        with pytest.raises(ValueError, match=message):
            sweep(fn, dict(x=np.arange(4.0)), grid_function=True)


def test_a_sweep_is_not_traced():
    def traced(x):
        return sweep(lambda y: dict(value=x * y), dict(y=[1.0]), grid_function=True).value.values

    with pytest.raises(TypeError, match="call it outside jit"):
        jax.jit(traced)(2.0)
    with pytest.raises(TypeError, match="call it outside jit"):
        jax.jit(lambda x: sweep(np.sqrt, dict(x=x)))(jnp.arange(3.0))


def test_numbers_of_another_byte_order_are_numbers():
    data = sweep(lambda x: x, dict(x=np.arange(3.0).astype(">f8")), grid_function=True)
    assert data.value.values.tolist() == [0.0, 1.0, 2.0] and data.x.dtype.isnative


def test_results_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="expected leading dimensions"):
        sweep(lambda x: np.zeros(5), dict(x=np.arange(3.0)), grid_function=True)


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"diffeq\[sweep\]"):
        sweep(at_point, AXES)


def test_progress_bar_counts_the_points(capsys):
    sweep(at_point, AXES, progress=True)
    assert "24.0" in capsys.readouterr().err


def lambda_of(**renamed):
    return at_point(1.0, 2.0, next(iter(renamed.values())))


@pytest.mark.parametrize("name", ["lambda_", "converged", "residual", "auction", "log_Sigma"])
def test_an_axis_named_like_a_field_or_dimension_is_refused_first(name):
    """Nothing is computed: the only call is the abstract one that tells the fields."""
    concrete = []

    def fn(**axis):
        concrete.append(not isinstance(axis[name], jax.core.Tracer))
        return lambda_of(**axis)

    with pytest.raises(ValueError, match=f"axes: '{name}' is also the name of a"):
        sweep(fn, {name: [1.0, 2.0]})
    assert len(concrete) <= 1 and not any(concrete)


def test_a_grid_functions_axis_named_like_its_field_is_refused():
    with pytest.raises(ValueError, match="axes: 'x' is also the name of a field"):
        sweep(lambda x: dict(x=x), dict(x=np.arange(3.0)), grid_function=True)


def test_an_axis_may_bear_the_name_of_a_dimension_not_used():
    data = sweep(lambda auction: auction**2, dict(auction=[1.0, 2.0]), dims=())
    assert data.value.values.tolist() == [1.0, 4.0]
