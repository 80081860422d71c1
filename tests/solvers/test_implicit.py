"""The implicit derivative on a finished root: trees, structured systems, every mode."""

from functools import partial

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import implicit

pytestmark = pytest.mark.float64


def chain_residual(x: jax.Array, theta: dict[str, jax.Array]) -> jax.Array:
    """Row n: x_n³ + x_n = a_n x_{n+1} + b, a backward recursion."""
    following = jnp.append(x[1:], 0.0)
    return x**3 + x - theta["a"] * following - theta["b"]


def chain_root(theta: dict[str, jax.Array]) -> jax.Array:
    """Row by row in closed form, from the last up; plain JAX, differentiable by itself."""

    def row(x_next: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
        rhs = a * x_next + theta["b"]
        x = 2 / 3**0.5 * jnp.sinh(jnp.arcsinh(1.5 * 3**0.5 * rhs) / 3)
        return x, x

    return jax.lax.scan(row, jnp.zeros(()), theta["a"], reverse=True)[1]


def attached(tangent_solve):  # noqa: ANN001, ANN202
    def root(theta: dict[str, jax.Array]) -> jax.Array:
        x = jax.lax.stop_gradient(chain_root(theta))
        return implicit.attach(chain_residual, x, theta, tangent_solve=tangent_solve)

    return root


slopes_of_the_recursion = jax.jit(jax.jacfwd(chain_root))


@pytest.mark.parametrize("size", [1, 4, 5])
@pytest.mark.parametrize("solve", [None, implicit.upper_bidiagonal], ids=["dense", "bidiagonal"])
def test_slope_of_a_chain_is_that_of_its_recursion(size: int, solve) -> None:  # noqa: ANN001
    """Odd and even lengths: the tangent system solved densely or by back substitution."""
    theta = {"a": jnp.linspace(0.4, 1.1, size), "b": jnp.asarray(0.8)}
    for derivative in (jax.jacfwd, jax.jacrev):
        got = jax.jit(derivative(attached(solve)))(theta)
        expected = slopes_of_the_recursion(theta)
        for name in theta:
            helpers.assert_close_by_norm(got[name], expected[name], 1e-13, name)


def test_hessian_of_a_chain_batched() -> None:
    """Second derivatives by the bidiagonal solve under jit and vmap."""
    size = 4
    batch = {"a": jnp.linspace(0.4, 1.1, 2 * size).reshape(2, size), "b": jnp.asarray([0.8, 1.5])}
    expected = jax.jit(jax.vmap(jax.hessian(chain_root)))(batch)
    got = jax.jit(jax.vmap(jax.hessian(attached(implicit.upper_bidiagonal))))(batch)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        helpers.assert_close_by_norm(a, b, 1e-12)


@pytest.mark.parametrize("size", [1, 2, 9])
def test_upper_bidiagonal_is_the_dense_solution(size: int) -> None:
    """Any two diagonals, against numpy; and linear in the right-hand side, so transposable."""
    rng = np.random.default_rng(size)
    matrix = np.diag(rng.uniform(1, 2, size)) + np.diag(rng.normal(size=size - 1), 1)
    b = rng.normal(size=size)
    apply = lambda x: jnp.asarray(matrix) @ x  # noqa: E731
    x = implicit.upper_bidiagonal(apply, jnp.asarray(b))
    helpers.assert_close_by_norm(x, np.linalg.solve(matrix, b), 1e-13)
    helpers.assert_close_by_norm(implicit.dense(apply, jnp.asarray(b)), x, 1e-13)
    back = jax.linear_transpose(lambda b: implicit.upper_bidiagonal(apply, b), jnp.asarray(b))
    helpers.assert_close_by_norm(back(jnp.asarray(b))[0], np.linalg.solve(matrix.T, b), 1e-13)


def test_upper_bidiagonal_systems_side_by_side() -> None:
    """Systems along a second axis, each with its own diagonals: each as by the dense solution."""
    rng = np.random.default_rng(0)
    on, above, b = rng.uniform(1, 2, (5, 3)), rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    apply = lambda x: on * x + jnp.pad(above * x[1:], ((0, 1), (0, 0)))  # noqa: E731
    x = implicit.upper_bidiagonal(apply, jnp.asarray(b))
    for i in range(3):
        matrix = np.diag(on[:, i]) + np.diag(above[:, i], 1)
        helpers.assert_close_by_norm(x[:, i], np.linalg.solve(matrix, b[:, i]), 1e-13)


def test_roots_and_parameters_may_be_trees() -> None:
    """A root of named parts and parameters of named parts, against the closed form."""

    def residual(x, p):  # noqa: ANN001, ANN202
        return {
            "u": x["u"] * p["s"] - p["t"],  # u = t/s, a vector
            "w": x["w"] ** 2 - x["u"].sum(),  # w = sqrt(sum u), a scalar
        }

    def closed(p):  # noqa: ANN001, ANN202
        u = p["t"] / p["s"]
        return {"u": u, "w": jnp.sqrt(u.sum())}

    def ours(p):  # noqa: ANN001, ANN202
        return implicit.attach(residual, closed(jax.lax.stop_gradient(p)), p)

    p = {"s": jnp.asarray([1.0, 2.0, 4.0]), "t": jnp.asarray([3.0, 1.0, 2.0])}
    for derivative in (jax.jacfwd, jax.jacrev):
        for a, b in zip(
            jax.tree.leaves(jax.jit(derivative(ours))(p)),
            jax.tree.leaves(jax.jit(jax.jacfwd(closed))(p)),
            strict=True,
        ):
            helpers.assert_close_by_norm(a, b, 1e-14)


def test_closed_over_values_have_a_derivative_too() -> None:
    """What the residual closes over counts as a parameter, as documented."""

    def root(a: jax.Array) -> jax.Array:
        return implicit.attach(lambda x, _: x * x - a, jax.lax.stop_gradient(jnp.sqrt(a)), ())

    assert abs(float(jax.grad(root)(9.0)) - 1 / 6) < 1e-15


def test_the_iteration_carries_no_derivative() -> None:
    """A root found by a loop that does depend on the parameter: only the implicit slope counts."""

    def root(a: jax.Array) -> jax.Array:
        return implicit.attach(lambda x, a: x * x - a, 3.0 + 100 * (a - 9.0), a)

    assert abs(float(jax.grad(root)(9.0)) - 1 / 6) < 1e-15


def test_a_singular_jacobian_gives_no_finite_slope() -> None:
    """A double root has no derivative: inf or NaN, never a number that looks right."""
    slope = jax.grad(lambda a: implicit.attach(lambda x, a: (x - a) ** 2, 1.0, a))(1.0)
    assert not np.isfinite(slope)


def test_tridiagonal_systems() -> None:
    """Solved from three probes; so is the transposed system, which reverse mode needs."""
    diagonal, above, below = (
        np.array([4.0, 5, 6, 7]),
        np.array([1.0, 2, -1]),
        np.array([0.5, -2, 1]),
    )
    matrix = np.diag(diagonal) + np.diag(above, 1) + np.diag(below, -1)
    b = np.array([1.0, -2, 3, 0.5])
    for M in (matrix, matrix.T):
        M = jnp.asarray(M)
        x = jax.jit(partial(implicit.tridiagonal, partial(jnp.matmul, M)))(jnp.asarray(b))
        np.testing.assert_allclose(
            x, np.linalg.solve(M, b), rtol=50 * float(jnp.finfo(x.dtype).eps)
        )


def decayed(step):  # noqa: ANN001, ANN202
    """y' = −k y by implicit Euler steps in a scan: each starts where the one before ended."""

    def end(k: jax.Array) -> jax.Array:
        def one(y: jax.Array, h: jax.Array) -> tuple[jax.Array, None]:
            return step(y, h, k), None

        return jax.lax.scan(one, jnp.ones(()), jnp.asarray([0.1, 0.3, 0.2]))[0]

    return end


def closed_over(y: jax.Array, h: jax.Array, k: jax.Array) -> jax.Array:
    found = jax.lax.stop_gradient(y / (1 + h * k))
    return implicit.attach(lambda x, y: x - y + h * k * x, found, y)


def handed_over(y: jax.Array, h: jax.Array, k: jax.Array) -> jax.Array:
    found = jax.lax.stop_gradient(y / (1 + h * k))
    return implicit.attach(lambda x, at: x - at[0] + at[1] * at[2] * x, found, (y, h, k))


@pytest.mark.parametrize("step", [closed_over, handed_over])
def test_higher_derivatives_in_a_scan(step) -> None:  # noqa: ANN001
    """Reverse passes through a scan, in any order with forward ones, against the closed form.

    A reverse pass of a scan drops the rules of custom derivatives in its body (jax 0.10): a
    reference with a rule of its own would be as wrong as what it is to check.
    """
    forward, reverse = jax.jacfwd, jax.jacrev
    closed = decayed(lambda y, h, k: y / (1 + h * k))
    k = jnp.asarray([0.4, 2.0])
    second, third = forward(forward(closed)), forward(forward(forward(closed)))
    for first in (forward, reverse):
        for then in (forward, reverse):
            twice = lambda f, first=first, then=then: then(first(f))  # noqa: E731
            got = jax.jit(jax.vmap(twice(decayed(step))))(k)
            helpers.assert_close(got, jax.vmap(second)(k), 1e-13, f"{first} {then}")
    for last in (forward, reverse):
        got = jax.jit(jax.vmap(last(reverse(reverse(decayed(step))))))(k)
        helpers.assert_close(got, jax.vmap(third)(k), 1e-13, f"third, {last}")


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_a_residual_in_any_unit_has_the_same_derivatives(unit: float) -> None:
    """The slope's square may leave the range of floats: curvature of x = sqrt(2a), all the same."""

    def x(a: jax.Array) -> jax.Array:
        found = jax.lax.stop_gradient(jnp.sqrt(2 * a))
        return implicit.attach(lambda x, a: unit * (x * x - 2 * a), found, a)

    a = jnp.asarray(0.7)
    helpers.assert_close(jax.grad(x)(a), (2 * 0.7) ** -0.5, 1e-14)
    helpers.assert_close(jax.hessian(x)(a), -((2 * 0.7) ** -1.5), 1e-14)
    helpers.assert_close(jax.jacrev(jax.jacrev(x))(a), -((2 * 0.7) ** -1.5), 1e-14)
