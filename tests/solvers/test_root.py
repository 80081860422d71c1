"""Scalar and vector roots: what is found, what is refused, and that lanes do not meet."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from solvers import implicit, root
from solvers.root import Status

EPS = float(jnp.finfo(jnp.zeros(()).dtype).eps)
Case = tuple[object, float, float, float]


def bracketed(fn, low, high, a=1.0, **options):  # noqa: ANN001
    return root.bracketed(fn, low, high, jnp.asarray(a, float), **options)


# A bracketed root


@pytest.mark.parametrize(
    ("fn", "low", "high", "expected"),
    [
        (lambda x, a: x * x - 2 * a, 0.0, 2.0, 2**0.5),
        (lambda x, a: 2 * a - x * x, 0.0, 2.0, 2**0.5),  # falling
        (lambda x, a: jnp.cos(x) - a * x, 0.0, 1.0, 0.7390851332151607),  # Dottie's number
        (lambda x, a: x - a, 1.0, 3.0, 1.0),  # at the lower end
        (lambda x, a: x - a, 0.0, 1.0, 1.0),  # at the upper end
        (lambda x, a: jnp.sin(x), -1.0, 2.0, 0.0),  # at zero, where "relative" says nothing
        (lambda x, a: jnp.tanh(1e3 * (x - a)), 0.0, 10.0, 1.0),  # flat but for the root
        (lambda x, a: 1 / x - a, 1e-3, 10.0, 1.0),  # a large end value
        (lambda x, a: jnp.exp(x) - 2 * a, -1.0, 10.0, np.log(2)),
        (lambda x, a: x**3 - x - a, 1.0, 2.0, 1.324717957244746),  # the plastic number
    ],
)
def test_known_roots_are_found(fn, low, high, expected) -> None:  # noqa: ANN001
    """Simple roots, at the ends too, to the last digits."""
    x, info = bracketed(fn, low, high)
    assert info.status == Status.CONVERGED
    assert bool(info.converged)
    assert abs(float(x) - expected) <= 8 * EPS * max(1.0, expected)


@pytest.mark.parametrize(
    ("fn", "low", "high", "status"),
    [
        (lambda x, a: x - a, 2.0, 3.0, Status.BAD_BRACKET),  # no sign change
        (lambda x, a: (x - a) ** 2, 0.0, 2.5, Status.BAD_BRACKET),  # touches zero inside
        (lambda x, a: x - a, 3.0, 0.0, Status.BAD_BRACKET),  # reversed
        (lambda x, a: x - a, 0.0, jnp.inf, Status.NOT_FINITE),
        (lambda x, a: jnp.sqrt(x) - a, -1.0, 2.0, Status.NOT_FINITE),  # NaN at an end
        (lambda x, a: jnp.where(abs(x - a) < 0.3, jnp.nan, x - a), 0.0, 2.5, Status.NOT_FINITE),
        (lambda x, a: 1 / (x - a), 0.0, 2.5, Status.NOT_CONVERGED),  # pole
        (lambda x, a: jnp.where(x < a, -1.0, 1.0), 0.0, 2.5, Status.NOT_CONVERGED),  # jump
        (lambda x, a: (x - a) ** 2, 1.0, 2.5, Status.SINGULAR),  # double, at the end
        (lambda x, a: (x - a) ** 3, 0.0, 2.5, Status.SINGULAR),  # triple
        (lambda x, a: x**3 - 3 * x**2 + 3 * x - a, 0.0, 2.5, Status.SINGULAR),
    ],
)
def test_what_is_no_simple_root_is_flagged(fn, low, high, status) -> None:  # noqa: ANN001
    """Every failure has its reason, and none passes for a root."""
    _, info = bracketed(fn, low, high)
    assert not bool(info.converged)
    assert Status(int(info.status)) == status


@pytest.mark.parametrize(
    ("fn", "low", "high", "expected"),
    [
        (lambda x, a: jnp.exp(x) - 2 * a, -1.0, 50.0, np.log(2)),
        (lambda x, a: x**9 - 1e-9 * a, 0.0, 10.0, 0.1),
    ],
)
@pytest.mark.float64
def test_a_simple_root_far_below_the_ends_is_no_multiple_one(fn, low, high, expected) -> None:  # noqa: ANN001
    """A wide bracket with a huge end value must not turn a good root into a failure."""
    x, info = bracketed(fn, low, high)
    assert abs(float(x) - expected) < 1e-12
    assert Status(int(info.status)) == Status.CONVERGED


def test_too_few_steps_are_admitted() -> None:
    """A lane that runs out of steps says so."""
    _, info = bracketed(lambda x, a: jnp.exp(x) - 2 * a, -1.0, 10.0, num_steps=3)
    assert Status(int(info.status)) == Status.NOT_CONVERGED


def test_batched_ends_point_to_vmap() -> None:
    """Ends are scalars; an array is a mistake to be named."""
    with pytest.raises(ValueError, match="vmap"):
        bracketed(lambda x, a: x - a, jnp.zeros(2), jnp.ones(2))


def residual(x: jax.Array, theta: jax.Array) -> jax.Array:
    """Monotone in x, entangled in two parameters; no closed form."""
    return x**3 + theta[0] * x - jnp.exp(theta[1])


def by_bracket(theta: jax.Array) -> jax.Array:
    return root.bracketed(residual, 0.0, 4.0, theta)[0]


@jax.custom_jvp
def by_hand(theta: jax.Array) -> jax.Array:
    """The same root with the implicit derivative written out as a custom_jvp rule."""
    return root.bracketed(residual, 0.0, 4.0, jax.lax.stop_gradient(theta))[0]


@by_hand.defjvp
def _(primals, tangents):  # noqa: ANN001, ANN202
    (theta,), (dot,) = primals, tangents
    x = by_hand(theta)
    slope = 3 * x**2 + theta[0]
    return x, -(x * dot[0] - jnp.exp(theta[1]) * dot[1]) / slope


def in_scan(fn):  # noqa: ANN001, ANN202
    def scanned(theta: jax.Array) -> jax.Array:
        def step(carry: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            x = fn(jnp.stack([theta[0] + carry, theta[1]]))
            return x, x

        return jax.lax.scan(step, jnp.zeros((), theta.dtype), None, length=3)[1].sum()

    return scanned


MODES = {
    "value": lambda f: f,
    "forward": jax.jacfwd,
    "reverse": jax.jacrev,
    "hessian": jax.hessian,
    "reverse twice": lambda f: jax.jacrev(jax.jacrev(f)),
    "reverse of forward": lambda f: jax.jacrev(jax.jacfwd(f)),
}


@pytest.mark.float64
@pytest.mark.parametrize(
    ("mode", "wrap"),
    [*((m, lambda f: f) for m in MODES), *((m, in_scan) for m in ("value", "reverse", "hessian"))],
)
def test_derivative_is_the_implicit_one_in_every_mode(mode, wrap) -> None:  # noqa: ANN001
    """custom_root and an independent custom_jvp agree: value, slope, Hessian × jit, vmap, scan."""
    thetas = jnp.asarray([[1.0, 0.3], [2.0, 1.1], [0.1, 2.0]])
    ours, hand = (MODES[mode](wrap(fn)) for fn in (by_bracket, by_hand))
    batch = jax.jit(jax.vmap(ours))(thetas)
    helpers.assert_close(batch, jax.jit(jax.vmap(hand))(thetas), 1e-13, "by hand")
    if mode in ("value", "reverse"):
        helpers.assert_close(jax.jit(ours)(thetas[0]), batch[0], 1e-14, "jit")
        helpers.assert_close(ours(thetas[0]), batch[0], 1e-14, "eager")


@pytest.mark.float64
def test_slope_and_hessian_against_an_outside_root() -> None:
    """Against finite differences of scipy's root, which shares no line with ours."""

    def outside(theta: np.ndarray) -> np.ndarray:
        fn = lambda x: x**3 + theta[0] * x - np.exp(theta[1])  # noqa: E731
        return np.asarray(optimize.brentq(fn, 0, 4, xtol=1e-15, rtol=1e-15))

    theta = np.array([1.3, 0.7])
    slope = jax.jit(jax.grad(by_bracket))
    helpers.assert_close(by_bracket(jnp.asarray(theta)), outside(theta), 1e-14)
    helpers.assert_close(slope(jnp.asarray(theta)), helpers.differences(outside, theta), 1e-9)
    curved = helpers.differences(lambda t: slope(jnp.asarray(t)), theta)
    helpers.assert_close(jax.jit(jax.hessian(by_bracket))(jnp.asarray(theta)), curved, 1e-9)


# Lanes


def hard_or_easy(x: jax.Array, hard: jax.Array) -> jax.Array:
    """Easy: x² − 2. Hard: x⁹ near flat with the root at the far end; NaN for hard = 2."""
    harder = jnp.where(hard == 1, (x / 1.9) ** 31 - 1, jnp.nan)
    return jnp.where(hard == 0, x * x - 2, harder)


def test_one_hard_lane_changes_no_other() -> None:
    """Among 10 000 easy lanes a hard and a NaN lane change no bit of the others."""
    lanes = jnp.zeros(10_000)
    solve = jax.jit(jax.vmap(lambda hard: root.bracketed(hard_or_easy, 0.0, 2.0, hard)))
    easy = solve(lanes)
    assert bool(easy[1].converged.all())
    mixed = solve(lanes.at[5000].set(1.0).at[77].set(2.0))
    others = np.delete(np.arange(10_000), [77, 5000])
    helpers.assert_same_bits(*(jax.tree.map(lambda a: a[others], x) for x in (easy, mixed)))
    assert bool(mixed[1].converged[5000])
    assert abs(float(mixed[0][5000]) - 1.9) < 1e3 * EPS
    assert int(mixed[1].status[77]) == Status.NOT_FINITE


@pytest.mark.parametrize("solver", ["bracketed", "newton"])
def test_work_is_the_same_for_every_lane(solver: str) -> None:
    """The number of residual evaluations depends on no value, so no lane can slow a batch."""

    def solve(hard: jax.Array) -> jax.Array:
        if solver == "newton":
            return root.newton(hard_or_easy, jnp.asarray(1.5), hard)[0]
        return root.bracketed(hard_or_easy, 0.0, 2.0, hard)[0]

    loops = []

    def visit(jaxpr) -> None:  # noqa: ANN001
        for equation in jaxpr.eqns:
            loops.append(equation.primitive.name)
            for inner in jax.tree.leaves(
                list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
            ):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    visit(inner)

    visit(jax.make_jaxpr(jax.vmap(solve))(jnp.zeros(3)).jaxpr)
    assert "scan" in loops  # a fori_loop of fixed length
    assert "while" not in loops  # a loop whose length depends on values


# Newton


def rosenbrock(x: jax.Array, a: jax.Array) -> jax.Array:
    return jnp.stack([10 * (x[1] - x[0] ** 2), a - x[0]])


def powell(x: jax.Array, a: jax.Array) -> jax.Array:
    """Powell's badly scaled function; More, Garbow & Hillstrom (1981), problem 3."""
    return jnp.stack([1e4 * x[0] * x[1] - a, jnp.exp(-x[0]) + jnp.exp(-x[1]) - 1.0001])


def helical(x: jax.Array, a: jax.Array) -> jax.Array:
    """Helical valley, same source, problem 7."""
    angle = jnp.arctan2(x[1], x[0]) / (2 * jnp.pi)
    return jnp.stack([10 * (x[2] - 10 * angle), 10 * (jnp.hypot(x[0], x[1]) - a), x[2]])


@pytest.mark.parametrize(
    ("fn", "guess", "expected"),
    [
        (rosenbrock, [-1.2, 1.0], [1.0, 1.0]),
        (rosenbrock, [50.0, -30.0], [1.0, 1.0]),
        (helical, [-1.0, 0.1, 0.2], [1.0, 0.0, 0.0]),
        (lambda x, a: jnp.log(x) - 3 * a, 100.0, np.exp(3)),  # full step leaves the domain
        (lambda x, a: jnp.sqrt(x) - a / 10, 9.0, 0.01),  # so does this one
        (lambda x, a: jnp.arctan(x - a), 6.0, 1.0),  # undamped Newton diverges
        (lambda x, a: jnp.exp(x) - a, 1.0, 0.0),  # a root at zero
        (lambda x, a: jnp.log(x + 0.3 * a) - jnp.log(0.3 * a), 1.0, 0.0),
    ],
)
def test_damped_newton_finds_known_roots(fn, guess, expected) -> None:  # noqa: ANN001
    """Standard hard systems, steps out of the domain, and roots at zero."""
    x, info = root.newton(fn, jnp.asarray(guess, float), jnp.asarray(1.0))
    assert x.shape == np.shape(guess)
    assert info.status == Status.CONVERGED
    assert bool(info.converged)
    np.testing.assert_allclose(x, expected, atol=20 * EPS, rtol=20 * EPS)


@pytest.mark.float64
def test_newton_on_a_badly_scaled_system() -> None:
    """Powell's function, whose solution mixes 1e-5 with 9."""
    x, info = root.newton(powell, jnp.asarray([0.0, 1.0]), 1.0, num_steps=200)
    assert bool(info.converged)
    np.testing.assert_allclose(x, [1.098159e-5, 9.106146], rtol=1e-6)


@pytest.mark.parametrize(
    ("fn", "guess", "statuses"),
    [
        (lambda x, a: jnp.stack([x[0] + x[1] - a] * 2), [-1.2, 1.0], {Status.NOT_CONVERGED}),
        (lambda x, a: jnp.stack([x[0] + x[1] - a] * 2), [0.5, 0.5], {Status.SINGULAR}),
        (lambda x, a: x * x + a, 1.0, {Status.NOT_CONVERGED}),  # no root at all
        (lambda x, a: jnp.log(x) - a, -1.0, {Status.NOT_FINITE}),  # starts in NaN
        (lambda x, a: (x - a) ** 2, 3.0, {Status.NOT_CONVERGED, Status.SINGULAR}),  # double
    ],
)
def test_newton_flags_what_it_cannot_solve(fn, guess, statuses) -> None:  # noqa: ANN001
    """Singular Jacobians, no root, NaN: flagged, with x the guess or better, never raised."""
    _, info = root.newton(fn, jnp.asarray(guess, float), jnp.asarray(1.0))
    assert not bool(info.converged)
    assert Status(int(info.status)) in statuses


@pytest.mark.float64
def test_newton_slope_and_hessian() -> None:
    """Derivatives of a vector root against its closed form, under jit and vmap."""

    def fn(x: jax.Array, p: jax.Array) -> jax.Array:  # x0 + x1 = p0, x0 x1 = p1
        return jnp.stack([x[0] + x[1] - p[0], x[0] * x[1] - p[1]])

    def solve(p: jax.Array) -> jax.Array:
        return root.newton(fn, jnp.asarray([3.0, 0.1]), p)[0]

    def closed(p: jax.Array) -> jax.Array:
        half = p[0] / 2
        return half + jnp.sqrt(half**2 - p[1]) * jnp.asarray([1.0, -1.0])

    batch = jnp.asarray([[3.0, 1.0], [4.0, 0.5]])
    for derivative in (lambda f: f, jax.jacfwd, jax.jacrev, jax.hessian):
        got = jax.jit(jax.vmap(derivative(solve)))(batch)
        helpers.assert_close(got, jax.vmap(derivative(closed))(batch), 1e-12)


def test_newton_lanes_do_not_meet() -> None:
    """A hard and a NaN lane change no bit of the others."""
    solve = jax.jit(jax.vmap(lambda hard: root.newton(hard_or_easy, jnp.asarray(1.5), hard)))
    easy, mixed = solve(jnp.zeros(6)), solve(jnp.asarray([0.0, 1.0, 0.0, 2.0, 0.0, 0.0]))
    others = np.array([0, 2, 4, 5])
    helpers.assert_same_bits(*(jax.tree.map(lambda a: a[others], x) for x in (easy, mixed)))
    assert int(mixed[1].status[3]) == Status.NOT_FINITE


def test_newton_refuses_a_matrix_guess() -> None:
    """A batch of guesses is vmap's business."""
    with pytest.raises(ValueError, match="vmap"):
        root.newton(rosenbrock, jnp.ones((2, 2)), 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_of_the_root_is_the_callers(dtype: type) -> None:
    """float32 ends, guess and parameters give a float32 root also under x64."""
    if dtype == np.float64 and not jax.config.jax_enable_x64:
        pytest.skip("float64 is off")
    a = jnp.asarray(2.0, dtype)
    x, info = root.bracketed(lambda x, a: x * x - a, a * 0, a, a)
    y, newton_info = root.newton(lambda x, a: x * x - a, a, a)
    assert x.dtype == y.dtype == info.residual.dtype == newton_info.step.dtype == dtype
    assert bool(info.converged)
    assert bool(newton_info.converged)


def test_attached_value_is_the_root_itself() -> None:
    """Attaching a derivative moves no bit of the value."""
    x = jnp.asarray(1.25)
    assert implicit.attach(lambda x, a: x - a, x, jnp.asarray(9.0)) == x
