"""Contingent-claims games whose equilibria are known, and an oracle that works in claims.

The oracle uses Theorem 4.1 and a plain tensor trapezoid: it shares no code and no coordinates with
the source. Equilibria are closed forms or scipy roots of its own marginal profit; games given by
values a_k are put into claims along random orthonormal directions.
"""

import itertools

import numpy as np
import scipy.optimize

from diffeq.contingent.game import Game, validated


def lattice(r, h=0.25, reach=7.5):
    axis = np.arange(-reach, reach + h / 2, h)
    nodes = np.stack(np.meshgrid(*[axis] * r, indexing="ij"), axis=-1).reshape(-1, r)
    nodes = nodes[np.sum(nodes**2, axis=1) <= reach**2]
    weights = np.exp(-np.sum(nodes**2, axis=1) / 2)
    return nodes, weights / weights.sum()


def profit(game, demand, k, order):
    """E order·(eta_k − P), by Theorem 4.1 in claims."""
    eta, sigma, prior = (np.asarray(x, float) for x in validated(game))
    scaled = demand / sigma
    basis = np.linalg.svd(scaled - scaled[0])[2]
    rank = np.linalg.matrix_rank(scaled - scaled[0], tol=1e-6) or 1
    nodes, weights = lattice(rank)
    omega = order / sigma + nodes @ basis[:rank]
    score = omega @ scaled.T - np.sum(scaled**2, axis=1) / 2 + np.log(prior)
    q = np.exp(score - score.max(axis=1, keepdims=True))
    q /= q.sum(axis=1, keepdims=True)
    return order @ (eta[k] - weights @ q @ eta)


def marginal(a, y, prior, rule, k):
    """Marginal profit of the insider who saw k, in unit-noise assets; shape (r,)."""
    nodes, weights = rule
    score = (nodes + y[k]) @ y.T - np.sum(y**2, axis=1) / 2 + np.log(prior)
    q = np.exp(score - score.max(axis=1, keepdims=True))
    q /= q.sum(axis=1, keepdims=True)
    mean, u = weights @ q, a @ y[k]
    return a[k] - mean @ a - (mean * u - (weights * (q @ u)) @ q) @ y


def first_order_point(a, prior, start):
    """A root of the first-order condition near ``start``."""
    rule = lattice(a.shape[1], h=0.3)

    def condition(z):
        y = z.reshape(a.shape)
        return np.concatenate([marginal(a, y, prior, rule, k) for k in range(len(a))])

    root = scipy.optimize.root(condition, start.ravel(), tol=1e-12)
    assert np.abs(root.fun).max() < 1e-9 * np.abs(a).max(), root.message
    return root.x.reshape(a.shape)


def in_claims(a, y, prior, *, num_states=11, seed=0, noise=True):
    """A game with those values and the demand y, in claims of unlike noise."""
    K, r = a.shape
    draws = np.random.default_rng(seed)
    sigma = draws.uniform(0.4, 2.5, num_states) if noise else np.ones(num_states)
    frame = np.column_stack([1 / sigma, draws.standard_normal((num_states, r))])
    V = np.linalg.qr(frame)[0][:, 1:]  # Σ_x V/sigma = 0: rows of eta sum to one
    E = (a - a.mean(axis=0)) @ V.T / sigma
    eta = 1 / num_states + 0.9 / num_states * E / np.abs(E).max()
    return Game(eta, sigma, prior), sigma * (y @ V.T)


def simplex(K):
    return np.linalg.svd(np.eye(K) - 1 / K)[0][:, : K - 1]


def scaled_root(a, prior, scale):
    """y = scale·a, the scale such that the first signal's marginal profit is zero."""
    rule = lattice(a.shape[1], h={3: 0.4, 4: 0.5}.get(a.shape[1], 0.3), reach=6.5)

    def along(x):
        return float(marginal(a, x * a, prior, rule, 0) @ a[0])

    return scipy.optimize.brentq(along, 0.8 * scale, 1.25 * scale, xtol=1e-9) * a


def uniform(K):
    return np.full(K, 1 / K)


# Equilibria


def two_signals(prior=0.5, x=1.0):
    draws = np.random.default_rng(2)
    eta, sigma = draws.dirichlet(np.ones(7), 2), draws.uniform(0.1, 3, 7)
    D = eta[0] - eta[1]
    u = sigma**2 * D / np.linalg.norm(sigma * D)
    return Game(eta, sigma, (prior, 1 - prior)), np.array([x * u, -u / x])


def canonical(K):
    a = simplex(K)
    y = 1.523225822124 * a if K == 3 else scaled_root(a, uniform(K), 1.6)
    return in_claims(a, y, uniform(K), num_states=60)


def product():
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=2)))
    return in_claims(signs * [1.0, 0.3], signs, uniform(4))


def polygon(n):
    angle = 2 * np.pi * np.arange(n) / n
    a = np.column_stack([np.cos(angle), np.sin(angle)])
    start = scaled_root(a, uniform(n), 1.35)
    return in_claims(a, start, uniform(n))


def isosceles(apex, height):
    """Apex on the second axis over a base of one; y = beta a + c, the height solved for."""
    prior, rule = np.array([apex, (1 - apex) / 2, (1 - apex) / 2]), lattice(2)

    def shape(height):
        return np.array([[0, height], [-0.5, 0], [0.5, 0]])

    def residual(z):
        beta, shift, height = z
        a = shape(height)
        y = beta * a + [0, shift]
        return [marginal(a, y, prior, rule, 0)[1], *marginal(a, y, prior, rule, 1)]

    root = scipy.optimize.root(residual, [2.0, -1.0, height], tol=1e-12)
    assert abs(root.x[2] - height) < 1e-6, root  # the height the brief publishes
    beta, shift, height = root.x
    a = shape(height)
    return in_claims(a, beta * a + [0, shift], prior)


def one_asset(num_signals):
    v = np.linspace(-2, 2, num_signals)
    prior = np.exp(-(v**2) / 2)
    prior /= prior.sum()
    a = v[:, None]
    return in_claims(a, first_order_point(a, prior, a), prior)


EQUILIBRIA = {
    "two signals": two_signals,
    "two signals, unlike priors": lambda: two_signals(0.3, 1.186477003155),
    "canonical 3": lambda: canonical(3),
    "canonical 4": lambda: canonical(4),
    "canonical 5": lambda: canonical(5),
    "product": product,
    "pentagon": lambda: polygon(5),
    "isosceles .5": lambda: isosceles(0.5, 0.808355),
    "isosceles .2": lambda: isosceles(0.2, 0.930321),
    "one asset": lambda: one_asset(3),
}
