"""Domains: bijections that are exact inside, open at the ends, and usable as static objects."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffeq.calibrate.coordinates import check_domains, entries, layout_of
from diffeq.calibrate.domains import Fixed, Interval, Positive, Real, Simplex, UnitInterval

EPSILON = float(np.finfo(np.zeros(()).dtype if jax.config.jax_enable_x64 else np.float32).eps)
SCALARS = [Real(), Real(3.0), Positive(), UnitInterval(), Interval(-1.0, 4.0)]


class Params(NamedTuple):
    sigma_v: float = 2.0
    alpha: float = 0.3
    weights: np.ndarray = np.array([0.2, 0.3, 0.5])  # noqa: RUF012
    p_0: float = 100.0


DOMAINS = {"sigma_v": Positive(), "alpha": UnitInterval(), "weights": Simplex(), "p_0": Fixed()}


@pytest.mark.parametrize("domain", SCALARS, ids=repr)
@given(u=st.floats(-5, 5))
def test_round_trip(domain, u):
    u = jnp.array([u])
    x = domain.constrain(u, u)
    assert domain.contains(np.asarray(x, np.float64))
    np.testing.assert_allclose(domain.unconstrain(x), u, rtol=1e3 * EPSILON, atol=1e3 * EPSILON)


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.float64)])
@pytest.mark.parametrize("domain", SCALARS, ids=repr)
def test_ends_stay_inside_and_invertible(domain, dtype):
    u = jnp.asarray([-1e4, -800, -100, -40, 40, 100, 800, 1e4], dtype)
    x = domain.constrain(u, u)
    assert x.dtype == dtype
    assert domain.contains(np.asarray(x, np.float64))
    assert np.isfinite(domain.unconstrain(x)).all()
    assert (np.diff(x) >= 0).all()
    gradient = jax.vmap(jax.grad(lambda v: domain.constrain(v, v)))(u)
    assert np.isfinite(gradient).all()


def test_interval_keeps_digits_near_both_ends():
    u = jnp.array([-8.0, 8.0])
    low, high = UnitInterval().constrain(u, u)
    tail = 1 / (1 + np.exp(8.0))
    np.testing.assert_allclose(low, tail, rtol=8 * EPSILON)
    np.testing.assert_allclose(1 - high, tail, atol=EPSILON)


def test_closed_form_derivatives():
    u = jnp.asarray(0.7)

    def slope(domain):
        return jax.grad(lambda v: domain.constrain(v[None], u))(u)

    sigmoid = 1 / (1 + np.exp(-0.7))
    np.testing.assert_allclose(slope(Positive()), np.exp(0.7), rtol=4 * EPSILON)
    np.testing.assert_allclose(slope(Real(3.0)), 3.0)
    np.testing.assert_allclose(slope(UnitInterval()), sigmoid * (1 - sigmoid), rtol=8 * EPSILON)
    expected = 5 * sigmoid * (1 - sigmoid)
    np.testing.assert_allclose(slope(Interval(-1.0, 4.0)), expected, rtol=8 * EPSILON)


def test_simplex():
    x = np.array([0.2, 0.3, 0.5])
    u = Simplex().unconstrain(x)
    np.testing.assert_allclose(u, np.log([0.2 / 0.5, 0.3 / 0.5]), rtol=8 * EPSILON)
    np.testing.assert_allclose(Simplex().constrain(u, jnp.asarray(x)), x, rtol=8 * EPSILON)
    far = Simplex().constrain(jnp.array([-1e3, 1e3]), jnp.asarray(x))
    assert (far > 0).all() and np.isfinite(Simplex().unconstrain(far)).all()
    for bad in ([0.5], [0.5, 0.6], [1.0, 0.0], [[0.5, 0.5]]):
        assert not Simplex().contains(np.array(bad))


def test_static_and_hashable():
    assert hash(Interval(0.0, 2.0)) == hash(Interval(0.0, 2.0))
    assert Interval(0.0, 2.0) == Interval(0.0, 2.0) != Interval(0.0, 3.0)
    assert {Positive(), Positive(), Real(), Real(2.0), UnitInterval()} == {
        Positive(),
        Real(),
        Real(2.0),
        UnitInterval(),
    }
    constrain = jax.jit(lambda domain, u: domain.constrain(u, u), static_argnums=0)
    np.testing.assert_allclose(constrain(Positive(), jnp.zeros(1)), 1.0)
    assert repr(UnitInterval()) == "UnitInterval()"


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_bad_bounds(bounds):
    with pytest.raises(ValueError, match="low < high"):
        Interval(*bounds)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_bad_scale(scale):
    with pytest.raises(ValueError, match="scale of Real"):
        Real(scale)


def test_layout_packs_and_unpacks():
    layout = layout_of(Params(), DOMAINS)
    u = layout.unconstrain(Params())
    assert u.shape == (4,)  # log sigma_v, logit alpha, two log-ratios; p_0 is held
    back = layout.constrain(u, Params())
    assert isinstance(back, Params)
    for value, expected in zip(back, Params(), strict=True):
        np.testing.assert_allclose(value, expected, rtol=8 * EPSILON)
    gradient = jax.grad(lambda p0: layout.constrain(u, p0).p_0)(Params(p_0=1.0))
    assert gradient.p_0 == 0
    labels = [c.label for c in layout.coordinates()]
    assert labels == [
        "sigma_v",
        "logit(alpha)",
        "(weights[0] / weights[2])",
        "(weights[1] / weights[2])",
    ]
    assert hash(layout) == hash(layout_of(Params(), DOMAINS))
    bounded = Interval(-1.0, 4.0).coordinates(("x",))[0].label
    assert bounded == "logit((x + 1) / 5)"
    assert Interval(1.0, 2.0).coordinates(("x",))[0].label == "logit((x - 1) / 1)"


def test_names_of_nested_entries():
    tree = {"left": {"rate": 1.0}, "rates": [2.0, np.array([[3.0, 4.0]])]}
    assert entries(tree) == {
        "left.rate": 1.0,
        "rates[0]": 2.0,
        "rates[1][0,0]": 3.0,
        "rates[1][0,1]": 4.0,
    }
    assert entries(1.5) == {"params": 1.5}


def test_dtype_follows_the_parameters():
    assert layout_of({"a": np.float32(1), "b": 2}, None).dtype == np.float32
    assert layout_of({"a": 1.0}, None).dtype == jnp.zeros(()).dtype


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma_v": -1.0}, r"sigma_v: expected a value inside Positive\(\), got -1"),
        ({"sigma_v": 0.0}, "sigma_v"),
        ({"sigma_v": np.nan}, "sigma_v.*nan"),
        ({"alpha": 1.0}, r"alpha: expected a value inside UnitInterval\(\), got 1"),
        ({"weights": np.array([0.2, 0.3, 0.6])}, "weights"),
        ({"p_0": np.nan}, "p_0"),
    ],
)
def test_out_of_domain_is_named(changes, message):
    params = Params()._replace(**changes)
    with pytest.raises(ValueError, match=message):
        check_domains(layout_of(params, DOMAINS), params)


def test_layout_refuses():
    with pytest.raises(ValueError, match="expected names among sigma_v.*got 'sigma'"):
        layout_of(Params(), {"sigma": Positive()})
    with pytest.raises(TypeError, match="domain of alpha: expected a domain.*got 2.0"):
        layout_of(Params(), {"alpha": 2.0})
    with pytest.raises(TypeError, match="domain of alpha"):
        layout_of(Params(), {"alpha": Positive})
    with pytest.raises(TypeError, match="domains: expected a mapping"):
        layout_of(Params(), [Positive()])
    with pytest.raises(TypeError, match="alpha: expected a float"):
        layout_of(Params(alpha="a lot"), DOMAINS)
    with pytest.raises(ValueError, match="all Fixed"):
        layout_of({"a": 1.0}, {"a": Fixed()})
    with pytest.raises(ValueError, match="params0"):
        layout_of({}, None)
