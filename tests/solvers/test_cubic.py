"""The bracketed root of a cubic: chosen by its bracket, right near repeated roots."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import cubic
from solvers.root import Status

EPS = float(jnp.finfo(jnp.zeros(()).dtype).eps)


def from_roots(a, b, c, lead=1.0):  # noqa: ANN001, ANN202
    """Coefficients of lead (x − a)(x − b)(x − c)."""
    return lead, -lead * (a + b + c), lead * (a * b + b * c + c * a), -lead * a * b * c


@pytest.mark.parametrize(("low", "high", "expected"), [(-3, 0, -1), (0, 1.5, 0.5), (1.5, 9, 2)])
def test_the_bracket_chooses_the_root(low: float, high: float, expected: float) -> None:
    """Each of three real roots, by its own bracket."""
    x, info = cubic.root_between(from_roots(-1.0, 0.5, 2.0, 3.0), low, high)
    assert bool(info.converged)
    assert abs(float(x) - expected) < 20 * EPS


@pytest.mark.parametrize(
    ("coefficients", "low", "high", "expected"),
    [
        ((0.0, 1.0, 0.0, -2.0), 0.0, 2.0, 2**0.5),  # a quadratic
        ((0.0, 0.0, 2.0, -3.0), 0.0, 2.0, 1.5),  # a line
        ((1.0, 0.0, 1.0, -2.0), 0.0, 5.0, 1.0),  # one real root
        ((1e-8, -1.0, -1e-8, 0.5), 0.0, 1.0, None),  # Kyle's cubic, almost a quadratic
    ],
)
def test_degenerate_cubics(coefficients, low, high, expected) -> None:  # noqa: ANN001
    """Leading zeros and lone roots; against numpy's companion matrix where no closed form is."""
    x, info = cubic.root_between(coefficients, low, high)
    if expected is None:
        roots = np.roots(coefficients)
        expected = next(r.real for r in roots if low < r.real < high)
    assert bool(info.converged)
    assert abs(float(x) - expected) < 40 * EPS


@pytest.mark.float64
def test_slope_near_a_repeated_root_is_finite_and_right() -> None:
    """The trigonometric form has NaN slopes there; dx/dc₀ = −1/p'(x) must stand."""
    gap = 1e-3

    def root(c0: jax.Array) -> jax.Array:
        c3, c2, c1, c = from_roots(0.0, 1.0, 1.0 + gap)
        return cubic.root_between((c3, c2, c1, c0 + c), 0.5, 1.0 + gap / 2)[0]

    for derivative in (jax.grad, jax.jacfwd):
        assert abs(float(jax.jit(derivative(root))(0.0)) * (-gap) + 1) < 1e-9  # p'(1) = −gap
    # x'' = −p''/p'³ with p = x(x − 1)(x − 1 − gap), p''(1) = 2 − 2 gap
    expected = -(2 - 2 * gap) / (-gap) ** 3
    assert abs(float(jax.jit(jax.hessian(root))(0.0)) / expected - 1) < 1e-6


@pytest.mark.float64
def test_slopes_in_every_coefficient_batched() -> None:
    """dx/dc_k = −xᵏ/p'(x), for a batch that mixes one and three real roots; jit and vmap."""
    batch = jnp.asarray([from_roots(-1.0, 0.5, 2.0), (1.0, 0.2, 1.0, -0.7), (0.0, 1.0, 1.0, -1.0)])
    solve = lambda c: cubic.root_between(c, 0.0, 1.2)[0]  # noqa: E731
    x = np.asarray(jax.jit(jax.vmap(solve))(batch))
    slope = np.array([np.polyval(np.polyder(c), r) for c, r in zip(batch, x, strict=True)])
    expected = -np.stack([x**3, x**2, x, x**0], axis=1) / slope[:, None]
    for derivative in (jax.jacfwd, jax.jacrev):
        helpers.assert_close(jax.jit(jax.vmap(derivative(solve)))(batch), expected, 1e-12)


@pytest.mark.parametrize(
    ("roots", "low", "high", "status"),
    [
        ((0.0, 1.0, 1.0), 0.5, 2.0, Status.BAD_BRACKET),  # double: no sign change
        ((1.0, 1.0, 1.0), 0.0, 2.5, Status.SINGULAR),  # triple
        ((3.0, 4.0, 5.0), 0.0, 2.0, Status.BAD_BRACKET),  # none there
    ],
)
def test_repeated_and_absent_roots_are_flagged(roots, low, high, status) -> None:  # noqa: ANN001
    """A root without derivative, or no root, is never reported as converged."""
    _, info = cubic.root_between(from_roots(*roots), low, high)
    assert not bool(info.converged)
    assert Status(int(info.status)) == status
