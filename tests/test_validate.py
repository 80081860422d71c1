"""What a public function makes of its arguments before any of them is traced."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq import holden, kyle, validate


class Params(NamedTuple):
    width: Any = 2.0
    centre: Any = 0.0


def parameters(*values: Any) -> Params:
    return validate.parameters(Params(*values), Params, positive=("width",))


DEFAULT = jnp.zeros(()).dtype


# Parameters


@pytest.mark.parametrize(
    "value", [3, 3.0, np.float32(3), np.int8(3), np.array(3.0), np.uint16(3), 10**30, 1e-30]
)
def test_real_scalars_of_every_kind_pass(value: Any) -> None:
    """Python and numpy numbers, ints too, of any size."""
    out = parameters(value, -1)
    assert float(out.width) == pytest.approx(float(value))
    assert out.width.shape == out.centre.shape == ()
    assert out.width.dtype == out.centre.dtype


def test_one_dtype_the_widest_among_the_arrays() -> None:
    """Python numbers take the arrays' dtype; alone they take JAX's default."""
    single = jnp.asarray(1.0, jnp.float32)
    assert {x.dtype for x in parameters(single, 2.0)} == {np.dtype(np.float32)}
    assert {x.dtype for x in parameters(1.0, 2)} == {DEFAULT}
    assert {x.dtype for x in parameters(jnp.asarray(2), 1.0)} == {DEFAULT}
    if DEFAULT == np.float64:
        assert {x.dtype for x in parameters(single, np.array(2.0))} == {np.dtype(np.float64)}


def test_the_class_is_kept_and_jax_arrays_are_not_copied() -> None:
    """A leaf already right goes through as it is, so that nothing is computed."""
    leaf = jnp.asarray(np.asarray(1.5, DEFAULT))
    out = parameters(leaf, 0.0)
    assert type(out) is Params
    assert out.width is leaf


@pytest.mark.parametrize("value", [0.0, -1.0, -0.0, np.nan, np.inf, -np.inf, np.float32("nan")])
def test_values_out_of_domain_are_named(value: Any) -> None:
    """The message has the model's class, the field, what was expected and what came."""
    with pytest.raises(ValueError, match=r"Params\.width: expected a finite positive number, got"):
        parameters(value, 0.0)
    with pytest.raises(ValueError, match="width"):
        parameters(jnp.asarray(value), 0.0)


def test_fields_that_need_not_be_positive() -> None:
    """Zero and negative pass there; NaN and infinity do not."""
    assert float(parameters(1.0, -5.0).centre) == -5
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"Params\.centre: expected a finite number"):
            parameters(1.0, bad)


@pytest.mark.parametrize(
    "value", ["1", b"1", None, True, np.bool_(True), 1j, np.complex64(1), object(), {}, (), [1.0]]
)
def test_what_is_no_real_number_is_named(value: Any) -> None:
    """Strings, booleans, complex numbers and containers, in either field."""
    with pytest.raises(TypeError, match=r"Params\.width"):
        parameters(value, 0.0)
    with pytest.raises(TypeError, match=r"Params\.centre"):
        parameters(1.0, value)


def test_batches_point_to_vmap() -> None:
    """Any shape but () is refused, concrete or traced."""
    for shape in ((1,), (3,), (2, 2), (0,)):
        with pytest.raises(ValueError, match=r"Params\.width.*vmap"):
            parameters(np.ones(shape), 0.0)
        with pytest.raises(ValueError, match=r"Params\.width.*vmap"):
            jax.eval_shape(lambda x: parameters(x, 0.0), np.ones(shape))


def test_traced_values_pass_unread() -> None:
    """Inside jit, grad and vmap a value cannot be judged: the model flags it instead."""
    assert float(jax.jit(lambda x: parameters(x, 0.0).width)(-1.0)) == -1
    assert float(jax.grad(lambda x: parameters(x, 0.0).width * 3)(-1.0)) == 3
    assert jax.vmap(lambda x: parameters(x, 0.0).width)(-jnp.ones(3)).shape == (3,)


@pytest.mark.parametrize("value", [1j, True])
def test_traced_values_of_a_wrong_type_do_not_pass(value: Any) -> None:
    """A dtype is known at trace time: complex and boolean are refused there."""
    with pytest.raises(TypeError, match=r"Params\.width"):
        jax.eval_shape(lambda x: parameters(x, 0.0), jnp.asarray(value))


def test_concrete_values_are_judged_inside_a_users_jit() -> None:
    """A bad constant closed over raises when traced, as documented."""
    with pytest.raises(ValueError, match=r"Params\.width"):
        jax.jit(lambda x: parameters(-1.0, x))(0.0)


@pytest.mark.parametrize(
    ("field", "value", "other"),
    [
        ("width", 1e200, np.float32(0)),
        ("width", np.float64(1e200), jnp.asarray(0, jnp.float32)),
        ("width", 1e-200, np.float32(0)),
        ("centre", -1e200, np.float32(1)),
        ("centre", 10**100, np.float32(1)),
    ],
)
def test_a_value_beyond_the_common_dtype_is_named(field: str, value: Any, other: Any) -> None:
    """Cast to the other field's float32, 1e200 would be infinite and 1e-200 zero."""
    values = (value, other) if field == "width" else (other, value)
    if jnp.result_type(float, *values) == np.float64:  # numpy's float64 beside float32
        assert np.isfinite(float(getattr(parameters(*values), field)))
        return
    match = rf"Params\.{field}: expected a number within the range of float32, .* got -?1e"
    with pytest.raises(ValueError, match=match):
        parameters(*values)


def test_a_small_value_that_may_be_zero_is_rounded() -> None:
    """A mean of 1e-200 beside float32 arrays is zero: no less exact than any other rounding."""
    assert float(parameters(np.float32(1), 1e-200).centre) == 0


@pytest.mark.parametrize("params", [(1.0, 2.0), 1.0, None, {"width": 1.0}])
def test_another_class_is_refused(params: Any) -> None:
    """A plain tuple in the right order is still not the model's parameters."""
    with pytest.raises(TypeError, match="params: expected .*Params"):
        validate.parameters(params, Params, positive=())


def test_the_class_that_came_is_named_with_its_module() -> None:
    """Two classes called Params are told apart; built-in types need no module."""
    with pytest.raises(TypeError, match=r"expected holden\.Params, got kyle\.Params$"):
        holden.solve(kyle.Params(), num_auctions=2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expected holden\.Params, got tuple$"):
        holden.solve((1.0, 2.0), num_auctions=2)  # type: ignore[arg-type]
    last = holden.solve_up_to(holden.Params(), max_auctions=2)
    with pytest.raises(TypeError, match=r"Solution of solve\(\), got holden\.Terminal$"):
        holden.residual(last, holden.Params())  # type: ignore[arg-type]


# Spacing


def test_default_spacing_is_equal() -> None:
    """1/N each, in the dtype asked for, on the host."""
    out = validate.spacing(None, 4, np.float32)
    assert out.dtype == np.float32
    assert np.array_equal(out, np.full(4, 0.25))


@pytest.mark.parametrize(
    "values", [[0.25, 0.75], (0.25, 0.75), np.array([0.25, 0.75], np.float32), [1 / 3, 2 / 3]]
)
def test_good_spacings_pass(values: Any) -> None:
    """Lists, tuples, arrays; cast to the parameters' dtype."""
    out = validate.spacing(values, 2, np.float32)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, values, rtol=1e-7)


@pytest.mark.parametrize(
    ("values", "error", "match"),
    [
        ([0.5, 0.6], ValueError, r"sum to 1, got sum 1\.1"),
        ([0.5], ValueError, r"shape \(2,\)"),
        ([0.2, 0.3, 0.5], ValueError, r"shape \(2,\)"),
        ([[0.5, 0.5]], ValueError, r"shape \(2,\)"),
        ([1.5, -0.5], ValueError, r"spacing\[1\]: expected a finite positive number, got -0\.5"),
        ([0.0, 1.0], ValueError, r"spacing\[0\]"),
        ([0.5, np.nan], ValueError, r"spacing\[1\]"),
        ([np.inf, 0.5], ValueError, r"spacing\[0\]"),
        ([[0.5], [0.25, 0.25]], ValueError, "spacing"),
        (["a", "b"], TypeError, "spacing"),
        ([None, 1.0], TypeError, "spacing"),
        ([True, False], TypeError, "spacing"),
        ([0.5 + 0j, 0.5], TypeError, "spacing.*real"),
        ("equal", TypeError, "spacing"),
        (1.0, TypeError, "spacing"),
        ({0.5}, TypeError, "spacing"),
    ],
)
def test_bad_spacings_are_named(values: Any, error: type[Exception], match: str) -> None:
    """Wrong length, sum, sign and type; with the entry where one is at fault."""
    with pytest.raises(error, match=match):
        validate.spacing(values, 2, DEFAULT)


def test_sums_are_judged_by_the_dtype() -> None:
    """Rounding of ten thousand float32 lengths passes, an error of a part in a million does not."""
    thirds = np.full(10_000, np.float32(1e-4))
    validate.spacing(thirds, 10_000, np.float32)
    with pytest.raises(ValueError, match="sum"):
        validate.spacing([0.5, 0.501], 2, np.float32)
    if DEFAULT == np.float64:
        validate.spacing([0.5, 0.5 + 1e-12], 2, np.float64)
        with pytest.raises(ValueError, match="sum"):
            validate.spacing([0.5, 0.500001], 2, np.float64)


@pytest.mark.float64
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_a_float32_spacing_serves_a_float64_model(kind: Any) -> None:
    """Its sum is off by float32's rounding; cast up and divided by it, the model accepts it."""
    rough = kind(np.full(7, 1 / 7, np.float32))
    assert abs(np.asarray(rough, float).sum() - 1) > validate.sum_tolerance(np.float64)
    spacing = validate.spacing(rough, 7, np.float64)
    assert abs(spacing.sum() - 1) < 1e-15
    solution = holden.solve(holden.Params(), num_auctions=7, spacing=rough)
    assert bool(solution.info.converged) and solution.lambda_.dtype == np.float64
    worst = holden.residual(solution, holden.Params(), spacing=rough)
    assert max(float(x.max()) for x in worst) < 1e-12
    with pytest.raises(ValueError, match="sum"):
        validate.spacing(kind(np.array([0.5, 0.51], np.float32)), 2, np.float64)


@pytest.mark.float64
def test_a_traced_float32_spacing_is_not_changed() -> None:
    """Its sum cannot be judged when traced: the model flags it."""
    rough = jnp.full(7, 1 / 7, jnp.float32)
    solve = jax.jit(lambda dt: holden.solve(holden.Params(), num_auctions=7, spacing=dt))
    assert not bool(solve(rough).info.converged)
    fine = rough.astype(float)
    assert bool(solve(fine / fine.sum()).info.converged)


def test_traced_spacing_is_judged_by_shape_and_type_alone() -> None:
    """Values cannot be read; shape and dtype can. A list with one traced entry is traced."""
    shape = jax.eval_shape(lambda x: validate.spacing(x, 2, np.float32), np.array([5.0, -1.0]))
    assert shape.shape == (2,)
    assert shape.dtype == np.float32
    mixed = jax.jit(lambda a: validate.spacing([a, 1 - a], 2, np.float32))(0.25)
    np.testing.assert_allclose(mixed, [0.25, 0.75])
    with pytest.raises(ValueError, match="spacing"):
        jax.eval_shape(lambda x: validate.spacing(x, 3, np.float32), np.ones(2))
    with pytest.raises(TypeError, match="spacing"):
        jax.eval_shape(lambda x: validate.spacing(x, 2, np.float32), np.ones(2) * 1j)


# Solutions


@pytest.mark.parametrize("field", ["lambda_", "beta", "Sigma", "log_alpha"])
@pytest.mark.parametrize("length", [1, 3])
def test_fields_of_a_solution_have_one_length(field: str, length: int) -> None:
    """A field of length 1 beside N auctions would be broadcast and judged as if it were there."""
    solution = holden.solve(holden.Params(), num_auctions=4)
    cut = solution._replace(**{field: getattr(solution, field)[:length]})
    wrong = "beta" if field == "lambda_" else field
    with pytest.raises(ValueError, match=rf"one shape \(num_auctions,\), got lambda_.*{wrong} \("):
        holden.residual(cut, holden.Params())


# Axes, counts, options


def test_axes_share_one_dtype() -> None:
    """Arrays decide; lists of numbers follow."""
    out = validate.axes(a=[1, 2], b=np.array([1.0], np.float32))
    assert {x.dtype for x in out.values()} == {np.dtype(np.float32)}
    assert out["a"].shape == (2,)
    assert validate.axes(a=[1, 2])["a"].dtype == DEFAULT


@pytest.mark.parametrize(
    "value", [[], 1.0, [[1.0]], "ab", None, [True], [1j], ["x"], [[1], [1, 2]]]
)
def test_bad_axes_are_named(value: Any) -> None:
    """An axis is a non-empty line of real numbers."""
    with pytest.raises((TypeError, ValueError), match="width"):
        validate.axes(good=[1.0], width=value)


def test_points_out_of_domain_pass_an_axis() -> None:
    """They are flagged point by point by the grid, not refused here."""
    assert np.isnan(validate.axes(a=[np.nan, -1.0])["a"][0])


@pytest.mark.parametrize("value", [1, 7, np.int64(3)])
def test_counts_pass(value: Any) -> None:
    """Python and numpy ints, as a Python int."""
    assert type(validate.count("n", value)) is int


@pytest.mark.parametrize("value", [2.0, "2", None, True, np.array([2]), [2], np.float64(2)])
def test_counts_of_another_type_are_named(value: Any) -> None:
    """A count fixes a shape; a float that happens to be whole does not."""
    with pytest.raises(TypeError, match="num_things"):
        validate.count("num_things", value)


def test_counts_too_small_or_traced_are_named() -> None:
    """Zero where one is the least; a tracer is told that it fixes a shape."""
    with pytest.raises(ValueError, match="num_things: expected at least 1, got 0"):
        validate.count("num_things", 0)
    assert validate.count("num_things", 0, minimum=0) == 0
    with pytest.raises(TypeError, match="num_things.*traced"):
        jax.jit(lambda n: validate.count("num_things", n))(3)


def test_options() -> None:
    """One of the listed names, or an error that lists them."""
    assert validate.option("way", "up", ("up", "down")) == "up"
    for value in ("Up", None, 1, ["up"], ""):
        with pytest.raises(ValueError, match="way: expected one of 'up', 'down'"):
            validate.option("way", value, ("up", "down"))
