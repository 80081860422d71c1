"""Continuation: reaches what Newton's method alone does not, per lane, and says when it fails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import continuation


def far(x: jax.Array, t: jax.Array) -> jax.Array:
    """Root 12 t; Newton on arctan diverges from farther than 1.39/3."""
    return jnp.arctan(3 * (x - 12 * t))


def test_follows_where_newton_strays() -> None:
    x, info = continuation.follow(far, jnp.zeros(1))
    assert bool(info.converged) and float(info.t) == 1
    assert float(x[0]) == pytest.approx(12, abs=1e-5)
    plain = jnp.zeros(1)
    for _ in range(5):  # from the same start, without a path
        plain = plain - far(plain, jnp.ones(())) / jax.jacfwd(far)(plain, jnp.ones(()))[0]
    assert not abs(float(plain[0]) - 12) < 100


def test_lanes_go_at_their_own_pace() -> None:
    """A lane that fails (no root beyond t = ½) stops, is flagged, and spoils no other."""

    def residual(x: jax.Array, t: jax.Array, a: jax.Array) -> jax.Array:
        return x**2 + (a * t - 0.5)  # a = 1: the roots meet and vanish at t = ½

    lanes = jnp.array([0.0, 0.4, 1.0, -3.0])
    follow = lambda a: continuation.follow(  # noqa: E731
        lambda x, t: residual(x, t, a), jnp.array([0.7])
    )
    x, info = jax.vmap(follow)(lanes)
    assert info.converged.tolist() == [True, True, False, True]
    assert 0.4 < float(info.t[2]) < 0.51
    good = np.array([0, 1, 3])
    expected = np.sqrt(0.5 - np.asarray(lanes)[good])
    np.testing.assert_allclose(x[good, 0], expected, rtol=1e-5)


def test_unacceptable_roots_are_not_taken() -> None:
    """The start converges to the negative root: refused at t = 0, nothing is followed."""
    follow = lambda start: continuation.follow(  # noqa: E731
        lambda x, t: x**2 - 1 - t, jnp.array([start]), acceptable=lambda x, t: x[0] > 0
    )
    assert bool(follow(0.9)[1].converged)
    assert not bool(follow(-0.9)[1].converged)


def test_a_residual_that_is_not_finite_is_flagged() -> None:
    _, info = continuation.follow(lambda x, t: x * jnp.nan, jnp.ones(2))
    assert not bool(info.converged)


@pytest.mark.float64
def test_many_unknowns_are_followed_to_rounding_of_the_newton_step() -> None:
    """A nonlinear eigen-like system with a known solution path."""
    rng = np.random.default_rng(0)
    A = jnp.asarray(rng.normal(size=(6, 6)) / 6 + np.eye(6))
    target = jnp.asarray(rng.normal(size=6))

    def residual(x: jax.Array, t: jax.Array) -> jax.Array:
        y = t * target
        return A @ (x - y) + t * ((x - y) ** 3 + jnp.tanh(x - y))

    x, info = continuation.follow(residual, jnp.zeros(6))
    assert bool(info.converged)
    np.testing.assert_allclose(x, target, atol=1e-12)
