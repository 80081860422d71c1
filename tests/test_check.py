"""The failure policy's own functions: the poison, and the error on the host."""

from typing import Any, NamedTuple

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq import ConvergenceError, check, holden
from diffeq.check import Info, poison


class Params(NamedTuple):
    a: Any
    b: Any


class Solution(NamedTuple):
    x: Any
    info: Info


def fields(theta: jax.Array, ok: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One field that depends on its parameters, one linear in the first, free of the second."""
    params = Params(*theta)
    return poison((jnp.sin(params.a) * params.b, 3 * params.a), ok, params)


# The poison


def test_poison_changes_no_bit_of_a_good_lane() -> None:
    """Value and derivatives of every order are those without it; infinities stay infinities."""
    theta = jnp.asarray([0.3, 2.0])
    good = jnp.asarray(True)
    for mode in (lambda f: f, jax.jacfwd, jax.jacrev, jax.hessian):
        got = jax.jit(mode(lambda t: fields(t, good)))(theta)
        expected = jax.jit(mode(lambda t: (jnp.sin(t[0]) * t[1], 3 * t[0])))(theta)
        helpers.assert_same_bits(got, expected)
    extremes = jnp.asarray([jnp.inf, -jnp.inf, 0.0, -0.0, 1e-30, 1e30])
    kept = poison(extremes, good, Params(1.0, 2.0))
    helpers.assert_same_bits(kept, extremes)
    slope = jax.jacrev(lambda a: poison(jnp.stack([jnp.inf, a]), good, Params(a, 2.0)))(1.0)
    assert np.array_equal(slope, [0.0, 1.0])


def test_poison_is_nan_in_every_derivative_of_a_bad_lane() -> None:
    """Value, slope, Hessian and third order, in every parameter, also where a field is linear."""
    theta = jnp.asarray([0.3, 2.0])
    fn = lambda t: fields(t, jnp.asarray(False))  # noqa: E731
    for mode in (
        lambda f: f,
        jax.jacfwd,
        jax.jacrev,
        jax.hessian,
        lambda f: jax.jacfwd(jax.hessian(f)),
    ):
        for leaf in jax.tree.leaves(jax.jit(mode(fn))(theta)):
            assert np.isnan(leaf).all()


def test_poison_stays_in_its_lane() -> None:
    """Under vmap a bad lane spoils no other."""
    thetas = jnp.asarray([[0.3, 2.0], [0.4, 1.0], [0.5, 3.0]])
    ok = jnp.asarray([True, False, True])
    for mode in (lambda f: f, jax.jacrev, jax.hessian):
        batch = jax.jit(jax.vmap(mode(fields)))(thetas, ok)
        for leaf in batch:
            bad = np.isnan(np.asarray(leaf)).reshape(3, -1)
            assert bad[1].all()
            assert not bad[[0, 2]].any()


def test_poison_keeps_dtypes() -> None:
    """A float32 field stays float32, whatever the parameters are."""
    out = poison(jnp.ones(2, jnp.float32), jnp.asarray(True), Params(1.0, jnp.ones(3)))
    assert out.dtype == jnp.float32


# The error


def solution(converged: Any, residual: Any) -> Solution:
    converged, residual = np.asarray(converged), np.asarray(residual)
    return Solution(np.zeros(converged.shape), Info(converged, residual))


def test_a_converged_solution_passes_through() -> None:
    """The very object comes back, one lane or many, or none."""
    for flags in (True, [True, True], np.ones((2, 3), bool), np.ones(0, bool)):
        good = solution(flags, np.zeros(np.shape(flags)))
        assert check(good) is good


def test_the_error_says_how_many_which_and_how_bad() -> None:
    """Failed lanes counted over any batch shape, the first few named, the worst residual."""
    flags = np.ones((3, 4), bool)
    flags[1, 2] = flags[2, 0] = False
    residual = np.full((3, 4), 1e-16)
    residual[1, 2], residual[2, 0], residual[0, 0] = 0.25, np.nan, 7.0
    with pytest.raises(ConvergenceError) as error:
        check(solution(flags, residual))
    message = str(error.value)
    assert "2 of 12 lanes" in message
    assert "(1, 2), (2, 0)" in message
    assert "0.25" in message
    assert "7" not in message.split(";")[2]
    assert "float64" in message  # what to change


def test_the_error_gives_the_values_of_the_first_bad_lane() -> None:
    """Batched leaves at the lane, unbatched ones as they are."""
    bad = solution([True, False], [0.0, np.inf])
    with pytest.raises(ConvergenceError, match=r"a=-2\.5, b=7") as error:
        check(bad, Params(np.array([1.0, -2.5]), 7))
    assert "not finite" in str(error.value)


def test_a_leaf_of_another_batch_is_shown_whole() -> None:
    """Nested vmaps leave leaves of other axes than the solution's; none hides the error."""
    bad = solution([True, False], [0.0, np.inf])
    with pytest.raises(ConvergenceError, match=r"a=\[1\.\], b=7"):
        check(bad, Params(np.array([1.0]), 7))


def test_one_unbatched_failure() -> None:
    """No batch, no lane indices."""
    with pytest.raises(ConvergenceError, match="1 of 1 lanes did not converge") as error:
        check(solution(False, 0.5), Params(1.0, 2.0))
    assert "()" not in str(error.value)


def test_many_failures_are_not_all_listed() -> None:
    """A message for a million lanes is still a message."""
    with pytest.raises(ConvergenceError) as error:
        check(solution(np.zeros(100_000, bool), np.ones(100_000)))
    assert len(str(error.value)) < 500


def test_the_model_is_named() -> None:
    """By its own name, with and without its parameters given."""
    bad = jax.vmap(lambda s: holden.solve(holden.Params(s), num_auctions=2))(
        jnp.asarray([1.0, -1.0])
    )
    for params in (None, holden.Params(np.array([1.0, -1.0]))):
        with pytest.raises(ConvergenceError, match="^holden"):
            check(bad, params)


def test_a_grid_may_be_checked() -> None:
    """A grid's residual has fewer points than its flags: still an error that names the point."""
    axes = dict(num_insiders=[1.0, 2.0], num_auctions=[2, 3], sigma_v=[1.0, 2.0])
    good = holden.grid(**axes, sigma_u=[1.0, 2.0, 3.0])
    assert check(good) is good
    with pytest.raises(ConvergenceError, match=r"8 of 24 lanes.*\(0, 0, 0, 1\)"):
        check(holden.grid(**axes, sigma_u=[1.0, 0.0, 3.0]))


@pytest.mark.parametrize("thing", [1.0, None, (1, 2), Params(1.0, 2.0)])
def test_what_is_no_solution_is_refused(thing: Any) -> None:
    """Checking parameters by mistake must not pass."""
    with pytest.raises(TypeError, match="info"):
        check(thing)


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap], ids=["jit", "vmap"])
def test_check_belongs_on_the_host(transform: Any) -> None:
    """Inside a transformation it says so, in words, and not in a tracer's."""
    with pytest.raises(TypeError, match="host"):
        transform(lambda s: check(holden.solve(holden.Params(s), num_auctions=2)))(
            jnp.ones(2)[:2] if transform is jax.vmap else 1.0
        )


def test_the_error_is_catchable_as_runtime_error() -> None:
    """User code that knows only the standard errors can catch it."""
    assert issubclass(ConvergenceError, RuntimeError)
