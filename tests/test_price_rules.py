"""The quoting experiment: its rules as printed, its known law, derivatives, refusals."""

import math
from typing import Any

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq import holden, price_rules
from diffeq.price_rules import RULES, Params

float64 = pytest.mark.float64
PATHS, ROUNDS = 4000, 12

# as the specification prints them, one number at a time
PRINTED: dict[str, Any] = {
    "linear": lambda y, k: k * y,
    "square_root": lambda y, k: k * math.copysign(1, y) * math.sqrt(1 + abs(y)),
    "squared": lambda y, k: k * math.copysign(1, y) * min(y**2, 10),
    "logarithmic": lambda y, k: k * math.copysign(1, y) * math.log1p(abs(y)),
    "exponential": lambda y, k: k * math.copysign(1, y) * min(math.expm1(abs(y)), 10),
    "power": lambda y, k: 0.5 * k * math.copysign(1, y) * abs(y) ** 0.6,
}


def test_rules_are_those_printed() -> None:
    """Each of the six, odd in y, and with no NaN where an order is huge."""
    assert list(RULES) == list(PRINTED)
    eps = float(jnp.finfo(jnp.zeros(()).dtype).eps)
    flows = np.array([-400.0, -3.0, -0.3, 1e-3, 0.5, 2.0, 3.5, 50.0])
    for name, rule in RULES.items():
        expected = [PRINTED[name](float(y), 0.25) for y in flows]
        np.testing.assert_allclose(rule(jnp.asarray(flows), 0.25), expected, rtol=1e2 * eps)
        np.testing.assert_array_equal(rule(-flows, 0.25), -np.asarray(rule(flows, 0.25)))
        assert float(rule(jnp.zeros(()), 0.25)) == 0
        slopes = jax.vmap(jax.grad(rule), (0, None))(jnp.asarray([-1e5, -1.0, 7.0, 1e5]), 0.25)
        assert np.isfinite(slopes).all(), name


def test_impact_and_intensity_are_those_of_one_auction() -> None:
    """Holden's lambda and beta with N = 1."""
    for M in (0.5, 1.0, 13.0):
        s = holden.solve(holden.Params(2.0, 7.0, M), num_auctions=1)
        params, eps = Params(2.0, 7.0, M), 10 * float(jnp.finfo(s.Sigma.dtype).eps)
        helpers.assert_close(price_rules.impact(params), s.lambda_[0], eps)
        helpers.assert_close(price_rules.intensity(params), s.beta[0], eps)


def test_rounds_are_those_written_by_hand() -> None:
    """A loop in Python over the same noise; bid and ask around the mid."""
    params = Params(num_insiders=3.0)
    lam, beta = 0.5 * 3**0.5 / 4, 2 / 3**0.5
    for name in ("exponential", "power"):  # two: each is compiled
        paths = price_rules.simulate(
            jax.random.key(1), params, rule=name, num_rounds=ROUNDS, num_paths=2
        )
        paths = jax.tree.map(np.asarray, paths)
        for path in range(2):
            mid = 110.0
            for t in range(ROUNDS):
                assert abs(paths.mid[path, t] - mid) < 1e-3 * abs(mid - 100) + 1e-3
                mid = float(paths.mid[path, t])
                x = beta * (100 - mid)
                y = 3 * x + paths.noise_orders[path, t]
                np.testing.assert_allclose(paths.insider_orders[path, t], x, rtol=1e-4, atol=1e-4)
                np.testing.assert_allclose(paths.flow[path, t], y, rtol=1e-4, atol=1e-4)
                mid += PRINTED[name](float(paths.flow[path, t]), lam)
        np.testing.assert_array_equal(paths.bid, paths.mid - 2)
        np.testing.assert_array_equal(paths.ask, paths.mid + 2)


def test_linear_rule_has_the_known_law() -> None:
    """Mean error (1/(M+1))^t e_0, variance lambda² sigma_u² (1 + a² + … ), a = 1/(M+1)."""
    for M in (1.0, 4.0):
        params = Params(num_insiders=M)
        paths = price_rules.simulate(jax.random.key(4), params, num_rounds=ROUNDS, num_paths=PATHS)
        error = np.asarray(paths.mid, np.float64) - 100
        t, a = np.arange(ROUNDS + 1), 1 / (M + 1)
        mean = 10 * a**t
        step = (0.5 * M**0.5 / (M + 1) * 5) ** 2
        variance = step * (1 - a ** (2 * t)) / (1 - a**2)
        helpers.assert_mean(error[:, 1:], mean[1:], "mean")
        helpers.assert_mean((error - mean)[:, 1:] ** 2, variance[1:], "variance")
        helpers.assert_mean(paths.noise_orders, 0.0, "noise")
        helpers.assert_mean(np.asarray(paths.noise_orders) ** 2, 25.0, "variance of noise")


def test_users_rules_are_taken() -> None:
    """A function of scalars, a control flow among them; one that gives no number is refused."""

    def stubborn(y: jax.Array, lambda_: jax.Array) -> jax.Array:
        return jax.lax.cond(jnp.abs(y) > 3, lambda: lambda_ * y, lambda: jnp.zeros_like(y))

    paths = price_rules.simulate(jax.random.key(1), Params(), rule=stubborn, num_paths=3)
    moved = np.diff(np.asarray(paths.mid), axis=1)
    small = np.abs(np.asarray(paths.flow)) <= 3
    assert small.any() and (moved[small] == 0).all() and (moved[~small] != 0).all()
    nothing: tuple[Any, ...] = (lambda y, k: (y, k), lambda y, k: jnp.stack([y, y]))
    for rule in (*nothing, lambda y, k: None, lambda y, k: y > 0, lambda y, k: 1j * y):
        with pytest.raises(ValueError, match="rule: expected a number for a number"):
            price_rules.simulate(jax.random.key(1), Params(), rule=rule)
    for rule in (
        lambda y, k: k if y > 0 else -k,
        lambda y, k: np.sign(y),
        lambda y, k: math.exp(y),
    ):
        with pytest.raises(TypeError, match="made of JAX operations.*jnp.where for if"):
            price_rules.simulate(jax.random.key(1), Params(), rule=rule)
    with pytest.raises(ValueError, match="rule: expected one of 'linear', 'square_root'"):
        price_rules.simulate(jax.random.key(1), Params(), rule="cubic")


@float64
def test_derivatives() -> None:
    """Of the last mid in every parameter: forward, reverse, differences, and in closed form."""

    def last(x: jax.Array, rule: str = "logarithmic") -> jax.Array:
        paths = price_rules.simulate(jax.random.key(2), Params(*x), rule=rule, num_rounds=5)
        return jnp.stack([paths.mid[0, -1], paths.bid[0, -1]])

    x = [2.5, 5.0, 3.0, 100.0, 110.0, 2.0]
    helpers.assert_derivatives(
        jax.jit(helpers.jacobians(last)), x, modes=1e-12, steps=1e-6, relative_step=1e-4
    )
    slopes = jax.jit(jax.jacfwd(lambda x: last(x, "linear")))(jnp.asarray(x))
    np.testing.assert_allclose(slopes[0, 3:5], [1 - 0.25**5, 0.25**5], rtol=1e-12)


def test_bad_values_are_refused_or_flagged() -> None:
    """Concrete ones by name, traced ones by NaN, in their lane alone."""
    key = jax.random.key(0)
    for name, value in (("sigma_v", 0.0), ("num_insiders", -1.0), ("value", np.nan)):
        with pytest.raises(ValueError, match=f"price_rules.Params.{name}"):
            price_rules.simulate(key, Params(**{name: value}))
    with pytest.raises(ValueError, match="half_spread"):
        price_rules.simulate(key, Params(half_spread=-1.0))
    for name in ("num_rounds", "num_paths"):
        with pytest.raises(ValueError, match=name):
            price_rules.simulate(key, Params(), **{name: 0})

    def lane(x: jax.Array) -> price_rules.Paths:
        params = Params(sigma_u=x[0], half_spread=x[1])
        return price_rules.simulate(key, params, num_rounds=3)

    paths = jax.vmap(lane)(jnp.asarray([[5.0, 2.0], [-1.0, 2.0], [5.0, -1.0], [np.inf, 2.0]]))
    for name, field in paths._asdict().items():
        assert np.isfinite(field[0]).all(), name
        assert np.isnan(field[1:]).all(), name
