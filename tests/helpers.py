"""What the tests measure with: scale-free comparisons, derivatives, sampling errors, an oracle.

The oracle solves the published conditions of Holden & Subrahmanyam (1992) in their own symbols,
with mpmath: nothing of it is in the source, neither the transform nor the closed forms.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@contextlib.contextmanager
def hearing_interrupts() -> Iterator[None]:
    """Processes started meanwhile hear Ctrl-C, also where these tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# Scale-free comparisons


def apart(got: Any, expected: Any) -> float:
    """Largest |got − expected| over the larger of the two, entry by entry; 0/0 and ∞/∞ count as 0.

    NaN, and infinities of unlike sign or place, count as infinitely far.
    """
    a, b = (np.asarray(x, np.float64) for x in (got, expected))
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    scale = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b) / scale)
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0))


def apart_by_norm(got: Any, expected: Any) -> float:
    """Largest |got − expected| over the largest entry of ``expected``: for arrays with zeros."""
    a, b = (np.asarray(x, np.float64) for x in (got, expected))
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    gap = float(np.nan_to_num(np.abs(a - b), nan=np.inf).max(initial=0.0))
    size = float(np.abs(b).max(initial=0.0))
    return gap / size if size else gap


def assert_close(got: Any, expected: Any, tolerance: float, what: str = "") -> None:
    """Fail unless equal entry by entry to a relative ``tolerance``."""
    gap = apart(got, expected)
    assert gap <= tolerance, f"{what}: {gap:.3g} apart, allowed {tolerance:.3g}\n{got}\n{expected}"


def assert_close_by_norm(got: Any, expected: Any, tolerance: float, what: str = "") -> None:
    """Fail unless equal to ``tolerance`` times the largest entry."""
    gap = apart_by_norm(got, expected)
    assert gap <= tolerance, f"{what}: {gap:.3g} apart, allowed {tolerance:.3g}\n{got}\n{expected}"


def assert_same_bits(got: Any, expected: Any, what: str = "") -> None:
    """Fail unless two trees are equal leaf by leaf, to the last bit (NaN equal to NaN)."""
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype, f"{what}: {a.dtype} and {b.dtype}"
        np.testing.assert_array_equal(a, b, err_msg=what)


# Derivatives


def differences(fn: Callable[[Array], Any], x: Any, relative_step: float = 1e-3) -> Array:
    """Jacobian of ``fn`` at x by central differences of sixth order, shape (*out, x.size)."""
    x = np.asarray(x, np.float64)
    columns = []
    for i in range(x.size):
        h = relative_step * max(abs(float(x[i])), 1e-3)
        e = np.zeros_like(x)
        e[i] = h
        slopes = [
            w * (np.asarray(fn(x + k * e), np.float64) - np.asarray(fn(x - k * e), np.float64))
            for k, w in ((1, 45), (2, -9), (3, 1))
        ]
        columns.append(sum(slopes) / (60 * h))
    return np.stack(columns, axis=-1)


def jacobians(fn: Callable[[jax.Array], jax.Array]) -> Callable[..., tuple[jax.Array, ...]]:
    """x of shape (n,) → ``fn(x)`` and its Jacobian in forward and in reverse mode.

    One linearisation, pushed forward and transposed: the program of ``fn`` is compiled once, not
    three times. Jit it, and vmap it, where it is used.
    """

    def at(x: jax.Array) -> tuple[jax.Array, ...]:
        value, push = jax.linearize(fn, x)
        pull = jax.linear_transpose(push, x)
        forward = jax.vmap(push, out_axes=-1)(jnp.eye(x.size, dtype=x.dtype))
        units = jnp.eye(value.size, dtype=value.dtype).reshape(value.size, *value.shape)
        reverse = jax.vmap(lambda unit: pull(unit)[0])(units)
        return value, forward, reverse.reshape(*value.shape, x.size)

    return at


def forward_and_reverse(fn: Callable[[jax.Array], jax.Array], x: Any) -> tuple[Array, Array]:
    """The Jacobian of ``fn`` at x of shape (n,) in forward and in reverse mode."""
    _, forward, reverse = jax.jit(jacobians(fn))(jnp.asarray(x))
    return np.asarray(forward), np.asarray(reverse)


def assert_derivatives(
    compiled: Callable[..., tuple[jax.Array, ...]],
    x: Any,
    *,
    modes: float,
    steps: float,
    relative_step: float = 1e-3,
) -> tuple[Array, Array]:
    """Forward is reverse to ``modes``, and the differences to ``steps``: (value, slopes) at x.

    ``compiled``: jitted :func:`jacobians`. The differences are of the value that comes with them.
    """
    x = jnp.asarray(x, float)
    value, forward, reverse = (np.asarray(a) for a in compiled(x))
    assert_close_by_norm(forward, reverse, modes, "forward and reverse")
    stepped = differences(lambda x: compiled(x)[0], x, relative_step)
    assert_close_by_norm(forward, stepped, steps, "differences")
    return value, forward


# Samples


def standard_errors(sample: Any, expected: Any) -> Array:
    """How many standard errors the sample mean (over axis 0) lies from ``expected``."""
    sample = np.asarray(sample, np.float64)
    error = sample.std(axis=0, ddof=1) / np.sqrt(sample.shape[0])
    return np.abs(sample.mean(axis=0) - np.asarray(expected, np.float64)) / error


def assert_mean(sample: Any, expected: Any, what: str, errors: float = 4.0) -> None:
    """Fail unless the sample mean lies within ``errors`` standard errors of ``expected``."""
    worst = standard_errors(sample, expected).max()
    assert worst <= errors, f"{what}: {worst:.2f} standard errors from its mean"


# The oracle


class Equilibrium(NamedTuple):
    """Holden–Subrahmanyam in mpmath numbers, entry n−1 for auction n."""

    lambda_: list[Any]
    beta: list[Any]
    alpha: list[Any]
    delta: list[Any]
    Sigma: list[Any]

    def log(self, name: str) -> Array:
        """Logs of a field, rounded to float64; −inf at zeros."""
        return np.array([float(mp.log(x)) if x else -np.inf for x in getattr(self, name)])

    def level(self, name: str) -> Array:
        """A field rounded to float64."""
        return np.array([float(x) for x in getattr(self, name)])


def oracle(
    sigma_v: Any, sigma_u: Any, num_insiders: Any, dt: Sequence[Any], digits: int = 60
) -> Equilibrium:
    """Solve the published conditions backwards from a trial Sigma_N, in ``digits`` digits.

    In each auction the pricing and the first-order condition together are one equation in lambda_n,
    given alpha_n and Sigma_n, with one root that satisfies the second-order condition. The
    conditions are homogeneous, so the trial is corrected to Sigma_0 = sigma_v² exactly.
    """
    with mp.workdps(digits):
        sv, su, M = mp.mpf(sigma_v), mp.mpf(sigma_u), mp.mpf(num_insiders)
        Sigma, alpha = mp.mpf(1), mp.mpf(0)
        rows: list[tuple[Any, ...]] = []
        guess = mp.mpf(0.5)  # lambda_n in units of sqrt(Sigma_n / dt_n) / sigma_u
        for length in [mp.mpf(d) for d in dt][::-1]:
            unit = mp.sqrt(Sigma / length) / su
            lambda_ = _impact(M, alpha, Sigma, su, length, guess * unit)
            guess = lambda_ / unit
            beta = lambda_ * su**2 / (M * Sigma)
            rows.append((lambda_, beta, alpha, Sigma, length))
            Sigma = Sigma / (1 - M * beta * lambda_ * length)
            slope = M * (1 - 2 * alpha * lambda_) + 1
            alpha = (1 - alpha * lambda_) / (lambda_ * slope**2)
        scale = sv / mp.sqrt(Sigma)
        lambdas, betas, alphas, Sigmas, dts = (list(x) for x in zip(*rows[::-1], strict=True))
        lambdas = [x * scale for x in lambdas]
        betas = [x / scale for x in betas]
        alphas = [x / scale for x in alphas]
        Sigmas = [x * scale**2 for x in Sigmas]
        deltas = [mp.mpf(0)]
        for n in range(len(dts) - 1, 0, -1):
            deltas.insert(0, deltas[0] + alphas[n] * lambdas[n] ** 2 * su**2 * dts[n])
        return Equilibrium(lambdas, betas, alphas, deltas, Sigmas)


def _impact(M: Any, alpha: Any, Sigma: Any, sigma_u: Any, dt: Any, guess: Any) -> Any:
    """lambda² sigma_u² dt [M(1 − 2 alpha lambda) + 1] = M Sigma (1 − 2 alpha lambda).

    By Newton's method from ``guess``, kept inside the bracket of the root with positive beta.
    """
    a = sigma_u**2 * dt / (M * Sigma)

    def f(x: Any) -> Any:
        left = 1 - 2 * alpha * x
        return a * x**2 * (M * left + 1) - left

    low, high = mp.mpf(0), 1 / mp.sqrt(a)
    if alpha:
        high = min(high, 1 / (2 * alpha))
    x = guess if low < guess < high else high / 2  # f(0) < 0 < f(high)
    tiny = mp.mpf(10) ** (-mp.mp.dps // 2 - 3)  # quadratic: the step after has all digits
    for _ in range(1000):
        value = f(x)
        low, high = (x, high) if value < 0 else (low, x)
        slope = 2 * a * x * (M * (1 - 2 * alpha * x) + 1) - 2 * a * M * alpha * x**2 + 2 * alpha
        new = x - value / slope if slope else low
        if not low <= new <= high:
            new = (low + high) / 2
        if abs(new - x) <= tiny * x:
            return new
        x = new
    raise ArithmeticError("the oracle's own Newton iteration did not settle")


class Conditions(NamedTuple):
    """Largest |lhs − rhs| over the largest term, over the auctions, of each published condition."""

    pricing: float
    filtering: float
    first_order: float
    value: float
    value_constant: float
    second_order: float
    zero_sum: float


def conditions(
    logs: dict[str, Any], sigma_v: float, sigma_u: float, num_insiders: float, dt: Any
) -> Conditions:
    """Evaluate the published conditions, one by one, in 60 digits on exp of the given logs.

    ``logs``: lambda_, beta, Sigma, alpha, delta, of shape (N,) each; −inf is zero.
    """
    with mp.workdps(60):
        # exponentials beyond 1e±300 are mpmath's to hold
        f = {
            name: [mp.exp(mp.mpf(float(x))) if np.isfinite(x) else mp.mpf(0) for x in log]
            for name, log in logs.items()
        }
        lam, beta, Sigma, alpha, delta = (
            f[name] for name in ("lambda_", "beta", "Sigma", "alpha", "delta")
        )
        sv, su, M = mp.mpf(sigma_v), mp.mpf(sigma_u), mp.mpf(num_insiders)
        lengths = [mp.mpf(float(d)) for d in dt]
        worst = dict.fromkeys(Conditions._fields, mp.mpf(0))

        def note(name: str, lhs: Any, rhs: Any, *terms: Any) -> None:
            scale = max(abs(lhs), abs(rhs), *map(abs, terms)) if terms else max(abs(lhs), abs(rhs))
            if scale:
                worst[name] = max(worst[name], abs(lhs - rhs) / scale)

        before = [sv**2, *Sigma[:-1]]
        for n, d in enumerate(lengths):
            q = alpha[n] * lam[n]
            slope = M * (1 - 2 * q) + 1
            note("pricing", lam[n], M * beta[n] * Sigma[n] / su**2)
            note("filtering", Sigma[n], before[n] * (1 - M * beta[n] * lam[n] * d), before[n])
            note("first_order", beta[n] * d * lam[n] * slope, 1 - 2 * q, 1, 2 * q)
            worst["second_order"] = max(worst["second_order"], -lam[n] * (1 - q))
            if n:
                note("value", alpha[n - 1] * lam[n] * slope**2, 1 - q)
                note("value_constant", delta[n - 1], delta[n] + q * lam[n] * su**2 * d)
        note("value", alpha[-1], 0)
        note("value_constant", delta[-1], 0)
        q = alpha[0] * lam[0]
        alpha_0 = (1 - q) / (lam[0] * (M * (1 - 2 * q) + 1) ** 2)
        delta_0 = delta[0] + q * lam[0] * su**2 * lengths[0]
        loss = sum(x * su**2 * d for x, d in zip(lam, lengths, strict=True))
        note("zero_sum", M * (alpha_0 * sv**2 + delta_0), loss)
        return Conditions(**{name: float(x) for name, x in worst.items()})


def solution_logs(solution: Any) -> dict[str, Any]:
    """The log fields of a solution, by the name of the level."""
    return {
        name: np.asarray(getattr(solution, f"log_{name.strip('_')}"), np.float64)
        for name in ("lambda_", "beta", "Sigma", "alpha", "delta")
    }


def spacings(num_auctions: int) -> dict[str, Array]:
    """Named lengths of the auctions: equal, rising and falling by 1e6, and alternating by 1e6."""
    N = num_auctions
    shapes = {"equal": np.ones(N)}
    if N > 1:
        rising = np.logspace(0, 6, N)
        shapes |= {
            "rising": rising,
            "falling": rising[::-1],
            "alternating": np.where(np.arange(N) % 2 == 0, 1.0, 1e6),
        }
    return {name: shape / shape.sum() for name, shape in shapes.items()}
