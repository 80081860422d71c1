"""Scalar and vector roots: what is found, what is refused, and that lanes do not meet."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from solvers import implicit, root
from solvers.root import Status

float_ = jnp.zeros(()).dtype
EPS = float(jnp.finfo(float_).eps)
LARGE = float(jnp.round(1e-7 / EPS))  # one rounding error of it is 1e-7 or less
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


@pytest.mark.parametrize(
    ("fn", "low", "high", "expected"),
    [
        (lambda x, a: jnp.exp(x - LARGE) - 1.5 * a, LARGE - 1, LARGE + 1, LARGE + np.log(1.5)),
        (lambda x, a: x - LARGE - a / 3, LARGE - 1, LARGE + 1, LARGE + 1 / 3),  # falls between
        (lambda x, a: a / 3 + LARGE - x, LARGE - 1, LARGE + 1, LARGE + 1 / 3),
        (lambda x, a: jnp.cos(x), LARGE, LARGE + 3, None),
        (lambda x, a: jnp.tanh((x - 1.1) / EPS) - a / 3, 0.0, 3.0, 1.1),  # steep
        (lambda x, a: jnp.expm1((x - a) / (8 * EPS)) - 0.3, 0.9, 1 + 40 * EPS, 1.0),
        (lambda x, a: jnp.sign(x - 1.1) * jnp.sqrt(jnp.abs(x - 1.1 * a)), 0.0, 3.0, 1.1),
    ],
)
def test_a_root_between_neighbouring_floats_is_one(fn, low, high, expected) -> None:  # noqa: ANN001
    """One rounding error of x moves the residual by more than any tolerance: no failure."""
    x, info = bracketed(fn, low, high)
    assert Status(int(info.status)) == Status.CONVERGED
    if expected is None:
        expected = np.pi * (np.ceil(np.float64(LARGE) / np.pi - 0.5) + 0.5)
    assert abs(float(x) / expected - 1) <= 8 * EPS


@pytest.mark.parametrize(
    "fn",
    [
        lambda u: jnp.where(u < 0, -1.0, 1.0) + 1e14 * u**3,
        lambda u: jnp.where(u < 0, -1.0, 1.0) * (1 + jnp.expm1(30 * jnp.abs(u))),
        lambda u: jnp.where(u < 0, -1e-9, 1e-9) + 1e14 * u**5,
        lambda u: jnp.where(u < 0, -1e-2, 1.0) * jnp.exp(20 * jnp.abs(u)),
        lambda u: jnp.where(u < 0, -1.0, 1.0) + jnp.sinh(30 * u),
        lambda u: jnp.where(u < 0, -0.1, 0.2) + jnp.sinh(30 * u),
        lambda u: 1 / u + 1e14 * u**3,  # a pole
        lambda u: 1 / u**3 + jnp.sinh(40 * u),
    ],
)
def test_huge_values_at_the_ends_excuse_no_jump(fn) -> None:  # noqa: ANN001
    """A jump or pole, rising or falling, is judged by the values beside it."""

    def solve(at: jax.Array, sign: jax.Array) -> jax.Array:
        return bracketed(lambda x, a: sign * fn(x - a), 0.0, 2.5, at)[1].converged

    at = jnp.asarray([1.0, 1.1, 1 / 3] * 2, float)
    assert not jax.jit(jax.vmap(solve))(at, jnp.repeat(jnp.asarray([-1.0, 1.0]), 3)).any()


def extreme_roots() -> list[tuple[float, float, float]]:
    """(low, high, root) near both ends of the dtype's range."""
    tiny, huge = (float(x) for x in (np.finfo(float_).tiny, np.finfo(float_).max))
    scales = [(1.5 * tiny, 1e4 * tiny), (1e4 * tiny, 1e10 * tiny), (1e-10 * huge, 1e-3 * huge)]
    middle = (huge**0.5, 100 * huge**0.5)
    return [(a, b, r * a + (1 - r) * b) for a, b in (*scales, middle) for r in (0.1, 0.6, 0.99)]


@pytest.mark.parametrize(
    "fn",
    [
        lambda ratio: ratio - 1,
        jnp.log,
        lambda ratio: 1 - ratio**-0.5,
        lambda ratio: jnp.tanh(ratio) - jnp.tanh(jnp.ones_like(ratio)),
    ],
)
def test_ends_of_any_size(fn) -> None:  # noqa: ANN001
    """Value, slope and curvature of x(s) = a exp(s) at both ends of the range of floats."""
    low, high, a = (jnp.asarray(column, float) for column in zip(*extreme_roots(), strict=True))

    # by the inverse: JAX's rule for a quotient squares the divisor, which here leaves the range
    def solve(s: jax.Array, low: jax.Array, high: jax.Array, inverse: jax.Array):  # noqa: ANN202
        return root.bracketed(lambda x, s: fn(x * inverse * jnp.exp(-s)), low, high, s)

    def with_slopes(*args: jax.Array) -> tuple[jax.Array, ...]:
        value = lambda s: solve(s, *args[1:])[0]  # noqa: E731
        return value(args[0]), jax.grad(value)(args[0]), jax.hessian(value)(args[0])

    args = (jnp.zeros_like(a), low, high, 1 / a)
    info = jax.jit(jax.vmap(solve))(*args)[1]
    assert bool(info.converged.all()), info
    for got in jax.jit(jax.vmap(with_slopes))(*args):
        np.testing.assert_allclose(np.asarray(got) / np.asarray(a), 1, rtol=200 * EPS)


def test_a_bracket_as_wide_as_the_floats() -> None:
    """Its width is no float; a lower end that dividing by the upper would lose stays itself."""
    limits = np.finfo(float_)
    x, info = bracketed(lambda x, a: x / (limits.max / 4) - a, -limits.max, limits.max)
    assert bool(info.converged)
    assert abs(float(x) / (limits.max / 4) - 1) < 8 * EPS
    x, info = bracketed(lambda x, a: jnp.log(x) - a, limits.tiny, 1e3)
    assert bool(info.converged)
    assert abs(float(x) - np.e) < 8 * EPS


def test_too_few_steps_are_admitted() -> None:
    """A lane that runs out of steps says so."""
    _, info = bracketed(lambda x, a: jnp.exp(x) - 2 * a, -1.0, 10.0, num_steps=3)
    assert Status(int(info.status)) == Status.NOT_CONVERGED


@pytest.mark.parametrize(
    ("name", "count", "error"),
    [
        ("num_steps", 0, ValueError),
        ("num_steps", -1, ValueError),
        ("num_steps", 2.0, TypeError),
        ("num_steps", True, TypeError),
        ("num_halvings", 0, ValueError),
    ],
)
def test_impossible_counts_are_named(name: str, count, error) -> None:  # noqa: ANN001
    """No steps, or a number of them that is no whole one, is misuse."""
    with pytest.raises(error, match=name):
        root.newton(lambda x, a: x - a, 2.0, 1.0, **{name: count})
    if name == "num_steps":
        with pytest.raises(error, match=name):
            bracketed(lambda x, a: x - a, 0.0, 3.0, num_steps=count)


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


def one_by_one(fn):  # noqa: ANN001, ANN202
    """What ``in_scan`` sums, without a scan: a custom_jvp loses its rule to a scan's reverse."""

    def summed(theta: jax.Array) -> jax.Array:
        x = total = jnp.zeros((), theta.dtype)
        for _ in range(3):
            x = fn(jnp.stack([theta[0] + x, theta[1]]))
            total = total + x
        return total

    return summed


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
    ("mode", "wrap", "wrap_hand"),
    [
        *((m, lambda f: f, lambda f: f) for m in MODES),
        *((m, in_scan, one_by_one) for m in ("value", "reverse", "hessian", "reverse twice")),
    ],
)
def test_derivative_is_the_implicit_one_in_every_mode(mode, wrap, wrap_hand) -> None:  # noqa: ANN001
    """custom_root and an independent custom_jvp agree: value, slope, Hessian × jit, vmap, scan."""
    thetas = jnp.asarray([[1.0, 0.3], [2.0, 1.1], [0.1, 2.0]])
    ours, hand = MODES[mode](wrap(by_bracket)), MODES[mode](wrap_hand(by_hand))
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
    x, info = jax.jit(lambda x, a: root.newton(fn, x, a))(jnp.asarray(guess, float), 1.0)
    assert x.shape == np.shape(guess)
    assert info.status == Status.CONVERGED
    assert bool(info.converged)
    np.testing.assert_allclose(x, expected, atol=20 * EPS, rtol=20 * EPS)


@pytest.mark.float64
def test_newton_on_a_badly_scaled_system() -> None:
    """Powell's function, whose solution mixes 1e-5 with 9."""
    solve = jax.jit(lambda a: root.newton(powell, jnp.asarray([0.0, 1.0]), a, num_steps=200))
    x, info = solve(1.0)
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
    _, info = jax.jit(lambda x, a: root.newton(fn, x, a))(jnp.asarray(guess, float), 1.0)
    assert not bool(info.converged)
    assert Status(int(info.status)) in statuses


@pytest.mark.parametrize(
    ("fn", "guess"),
    [
        (lambda x, a: x**2, 1.0),
        (lambda x, a: x**2, 0.0),
        (lambda x, a: x**3, 1.0),
        (lambda x, a: a - jnp.cos(x), 0.3),
        (lambda x, a: (x - a) ** 2, 3.0),
        (lambda x, a: x * x - 2 * a * x + a, 3.0),  # reaches F = 0 off the root, by rounding
        (lambda x, a: 1e9 * (x * x - 2 * a * x + a), 3.0),
        (lambda x, a: 1e-8 * (1e16 * x * x - 2e8 * a * x + a), 3e-8),  # other units of x
        (lambda x, a: jnp.stack([(x[0] - a) ** 2 - (x[1] - 2), x[1] - 2]), [3.0, 1.0]),
        (lambda x, a: jnp.stack([x @ x - 2 * a, x[0] + x[1] - 2]), [2.0, 1.0]),  # tangent
        (lambda x, a: jnp.stack([x @ x - 3 * a, x.sum() - 3, x[0] - x[1]]), [2.0, 1.0, 0.5]),
        (lambda x, a: jnp.outer(jnp.asarray([1.0, 3.0]), x - a) @ jnp.ones(2), [1.5, 0.5]),
        (lambda x, a: jnp.asarray([[0.1, 0.3], [0.3, 0.9]]) @ (x - a), [1.3, 0.9]),  # a line
    ],
)
def test_newton_flags_a_multiple_root(fn, guess) -> None:  # noqa: ANN001
    """The derivative does not exist where the Jacobian is singular, however small F is."""
    solve = jax.jit(lambda guess: root.newton(fn, guess, jnp.asarray(1.0))[1].status)
    assert Status(int(solve(jnp.asarray(guess, float)))) == Status.SINGULAR


@pytest.mark.parametrize(
    ("fn", "guess", "expected"),
    [
        (lambda x, a: (x - a) * (x - a - 30 * EPS**0.4), 2.0, 1 + 30 * EPS**0.4),  # near double
        (lambda x, a: jnp.sinh(20 * (x - a)), 1.2, 1.0),  # steep on both sides
        (lambda x, a: jnp.stack([1e-9 * (x[0] - a), 1e9 * (x[1] - a)]), [3.0, 3.0], 1.0),
        (lambda x, a: jnp.stack([1e12 * x[0] + x[1] - 2 * a, 1e12 * x[0] - x[1]]), [0, 0], None),
        (lambda x, a: x**2 - a, 1e6, 1.0),  # from afar
        (lambda x, a: jnp.stack([x[0] - 1e-3 * a, x[1] * jnp.cosh(x[0]) - a]), [9.0, 9.0], None),
        (lambda x, a: x**2 - a, jnp.linspace(0.5, 2.0, 40), 1.0),  # a large determinant's change
    ],
)
def test_newton_takes_no_simple_root_for_a_multiple_one(fn, guess, expected) -> None:  # noqa: ANN001
    """Bad units, strong curvature, many unknowns and a neighbouring root are no singularity."""
    x, info = jax.jit(lambda x, a: root.newton(fn, x, a))(jnp.asarray(guess, float), 1.0)
    assert Status(int(info.status)) == Status.CONVERGED
    if expected is None:
        return
    np.testing.assert_allclose(x, expected, rtol=1e3 * EPS**0.6)


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
        helpers.assert_close(got, jax.jit(jax.vmap(derivative(closed)))(batch), 1e-12)


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
    with pytest.raises(ValueError, match="guess: expected shape"):
        root.newton(rosenbrock, jnp.ones(0), 1.0)


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.float64)])
def test_dtype_of_the_root_is_the_callers(dtype: type) -> None:
    """float32 ends, guess and parameters give a float32 root also under x64."""
    a = jnp.asarray(2.0, dtype)
    x, info = jax.jit(lambda a: root.bracketed(lambda x, a: x * x - a, a * 0, a, a))(a)
    y, newton_info = jax.jit(lambda a: root.newton(lambda x, a: x * x - a, a, a))(a)
    assert x.dtype == y.dtype == info.residual.dtype == newton_info.step.dtype == dtype
    assert bool(info.converged)
    assert bool(newton_info.converged)


def test_attached_value_is_the_root_itself() -> None:
    """Attaching a derivative moves no bit of the value."""
    x = jnp.asarray(1.25)
    assert implicit.attach(lambda x, a: x - a, x, jnp.asarray(9.0)) == x
