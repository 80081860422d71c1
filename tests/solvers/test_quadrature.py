"""Quadrature rules against exact integrals, their orders, and what they refuse."""

import math

import numpy as np
import pytest

from solvers import quadrature


@pytest.mark.parametrize("num_nodes", [1, 2, 5, 20])
def test_gauss_legendre_is_exact_to_its_degree(num_nodes: int) -> None:
    """∫ xᵏ over [−1, 3] for every k ≤ 2n − 1, and not beyond."""
    low, high = -1.0, 3.0
    rule = quadrature.gauss_legendre(low, high, num_nodes)

    def error(k: int) -> float:
        exact = (high ** (k + 1) - low ** (k + 1)) / (k + 1)
        return abs(rule.weights @ rule.nodes**k - exact) / abs(exact)

    assert max(error(k) for k in range(2 * num_nodes)) < 1e-12
    if num_nodes < 5:
        assert error(2 * num_nodes) > 1e-3


@pytest.mark.parametrize("num_nodes", [1, 2, 10, 200])
def test_gauss_hermite_has_the_moments_of_a_normal(num_nodes: int) -> None:
    """E[Zᵏ] = (k − 1)!! for even k ≤ 2n − 1, 0 for odd; weights sum to one and are positive."""
    rule = quadrature.gauss_hermite(num_nodes)
    assert np.all(rule.weights >= 0)
    assert abs(rule.weights.sum() - 1) < 1e-14
    for k in range(min(2 * num_nodes, 16)):
        exact = 0 if k % 2 else math.prod(range(1, k, 2))
        size = rule.weights @ np.abs(rule.nodes) ** k
        assert abs(rule.weights @ rule.nodes**k - exact) <= 1e-12 * size


def test_gauss_hermite_integrates_an_exponential() -> None:
    """E[e^{sZ}] = e^{s²/2}, not a polynomial."""
    rule = quadrature.gauss_hermite(40)
    for s in (0.1, 1.0, 2.5):
        assert abs(rule.weights @ np.exp(s * rule.nodes) / math.exp(s * s / 2) - 1) < 1e-12


def test_trapezoid_is_of_second_order_and_exact_for_lines() -> None:
    """Halving the step quarters the error; a line is integrated exactly."""

    def error(num_nodes: int) -> float:
        rule = quadrature.trapezoid(0.0, 2.0, num_nodes)
        return abs(rule.weights @ np.exp(rule.nodes) - (math.e**2 - 1))

    assert 3.9 < error(21) / error(41) < 4.1
    rule = quadrature.trapezoid(-1.0, 4.0, 2)
    assert abs(rule.weights @ (3 * rule.nodes + 1) - 27.5) < 1e-13


def test_trapezoid_is_exponential_for_what_vanishes_at_its_ends() -> None:
    """A Gaussian on a wide interval, to the last digit with 40 nodes."""
    rule = quadrature.trapezoid(-9.0, 9.0, 40)
    assert abs(rule.weights @ np.exp(-(rule.nodes**2)) / math.sqrt(math.pi) - 1) < 1e-14


def test_rules_stay_on_the_host() -> None:
    """numpy float64 arrays, so that a rule at import time starts no device."""
    for rule in (
        quadrature.trapezoid(0, 1, 3),
        quadrature.gauss_legendre(0, 1, 3),
        quadrature.gauss_hermite(3),
    ):
        assert type(rule.nodes) is type(rule.weights) is np.ndarray
        assert rule.nodes.dtype == rule.weights.dtype == np.float64
        assert np.all(np.diff(rule.nodes) > 0)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda: quadrature.trapezoid(0, 1, 1), ValueError, "num_nodes"),
        (lambda: quadrature.trapezoid(1, 1, 5), ValueError, "low"),
        (lambda: quadrature.trapezoid(0, np.inf, 5), ValueError, "high"),
        (lambda: quadrature.gauss_legendre(np.nan, 1, 5), ValueError, "low"),
        (lambda: quadrature.gauss_legendre(0, 1, 0), ValueError, "num_nodes"),
        (lambda: quadrature.gauss_hermite(201), ValueError, "num_nodes"),
        (lambda: quadrature.gauss_hermite(2.0), TypeError, "num_nodes"),
        (lambda: quadrature.gauss_hermite(True), TypeError, "num_nodes"),
    ],
)
def test_misuse_is_named(call, error, name) -> None:  # noqa: ANN001
    """Empty intervals and impossible counts are errors with the argument's name."""
    with pytest.raises(error, match=name):
        call()


@pytest.mark.parametrize("dimension, spacing", [(1, 0.2), (2, 0.4), (3, 0.6), (4, 0.8)])
def test_normal_lattice_has_the_moments_of_a_normal(dimension: int, spacing: float) -> None:
    """Weights sum to one; second and fourth moments, mixed ones too."""
    nodes, weights = quadrature.normal_lattice(dimension, spacing)
    assert nodes.shape == (weights.size, dimension)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(np.einsum("n,ni,nj", weights, nodes, nodes), np.eye(dimension),
                               atol=1e-10)  # fmt: skip
    np.testing.assert_allclose(weights @ nodes**4, 3.0, rtol=1e-9)


def test_body_centred_lattice_resolves_as_much_with_fewer_nodes() -> None:
    """The expectation of a logistic function in a skew direction, to the same error."""
    direction = np.array([1.0, 1.0, 1.0]) * 1.5
    exact = quadrature.normal_lattice(1, 0.05)
    expected = exact.weights @ (1 / (1 + np.exp(1 - exact.nodes[:, 0] * 1.5 * np.sqrt(3))))
    nodes, weights = quadrature.normal_lattice(3, 0.5)
    assert weights @ (1 / (1 + np.exp(1 - nodes @ direction))) == pytest.approx(expected, abs=1e-6)
    cubic = (4 / 3) * np.pi * np.max(np.sum(nodes**2, axis=1)) ** 1.5 / 0.5**3
    assert weights.size < 0.75 * cubic


@pytest.mark.parametrize("arguments", [(0, 0.5), (1.5, 0.5), (2, 0.0), (2, np.nan), (2, 4.0)])
def test_normal_lattice_refuses_nonsense(arguments: tuple[float, float]) -> None:
    with pytest.raises((ValueError, TypeError), match="expected"):
        quadrature.normal_lattice(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("tail", [0.0, 1.0, 2.0, np.nan])
def test_normal_lattice_names_a_bad_tail(tail: float) -> None:
    with pytest.raises(ValueError, match="tail: expected a number between 0 and 1"):
        quadrature.normal_lattice(2, 0.5, tail=tail)
