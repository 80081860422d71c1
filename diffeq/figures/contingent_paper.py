"""Figures 1 to 8 of Keller & Tseng (2024), computed and drawn.

``figure_1()`` … ``figure_8()`` need no arguments. Where the paper's figure has a slip, its note
says so; where its setting is not stated the docstring says what is shown instead. They use JAX's
current precision.

Reference: Keller & Tseng (2024), "Arrow-Debreu Meets Kyle: Price Discovery for Derivatives".
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.check import check
from diffeq.contingent import canonical, options, smiles, toy
from diffeq.contingent.equilibrium import Solution, solve
from diffeq.contingent.game import Game
from diffeq.figures import Floats, contingent, contingent_smiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATES = np.linspace(60.0, 140.0, 17)
"""Terminal prices of figures 3 to 5; the reference is 100."""


def figure_1() -> "Figure":
    """Section 2: profit of a butterfly of size alpha.

    The paper's figure 1b moves the belief along with alpha; that curve peaks at .4723, which is no
    equilibrium. The equilibrium 1/√3 maximises profit at a fixed belief: both are drawn.
    """
    alpha = np.linspace(0.0, 1.4, 281)
    found = check(toy.equilibrium())
    fixed = toy.profit(alpha, found.alpha)
    moving = toy.profit_belief_moving(alpha)
    at = _peak(0.3, 0.7)
    return contingent.profit(
        alpha,
        fixed,
        moving,
        equilibrium=(float(found.alpha), float(found.profit)),
        peak=(at, float(toy.profit_belief_moving(at))),
        note="three states, the insider restricted to a butterfly; the paper's figure 1b is the "
        "dashed curve",
    )


def figure_2() -> "Figure":
    """The equilibrium condition Phi(alpha) of the canonical game, K = 2, 3, 10, 100, and its roots.

    It shows where alpha* comes from; the paper's own figure 2 may be laid out otherwise.
    """
    K = np.array([2.0, 3, 10, 100])
    alpha = np.linspace(0.8, 4.0, 97)
    each = jax.vmap(jax.vmap(canonical.residual, (0, None)), (None, 0))(alpha, K)
    roots = check(jax.vmap(canonical.solve)(K)).alpha
    return contingent.conditions(
        alpha,
        each,
        roots,
        labels=[f"$K$ = {k:g}" for k in K],
        title="One equilibrium for each K; infinity is no root",
        note=r"$\Phi(\alpha) = E_1[(1-p_1)(1-\alpha^2 p_1)]$ (the appendix's $+\alpha p_1^2$ is a "
        "misprint)",
    )


def figure_3() -> "Figure":
    """Signals about the mean (Example 7.1): the insider buys a bull spread."""
    eta = _normalised(-(((STATES - [[104.0], [96.0]]) / 12) ** 2) / 2)
    return _demand(
        eta,
        ("the mean is 104", "the mean is 96"),
        "A secret about the mean is traded as a bull spread",
        "standard deviation 12",
    )


def figure_4() -> "Figure":
    """Signals about the variance (Example 7.2): the insider buys a straddle with wings sold."""
    eta = _normalised(-(((STATES - 100) / [[16.0], [10.0]]) ** 2) / 2)
    return _demand(
        eta,
        ("the deviation is 16", "the deviation is 10"),
        "A secret about the variance is traded as a straddle",
        "mean 100; the published demand (33) is no equilibrium for these signals",
    )


def figure_5() -> "Figure":
    """Signals about skewness, two mirrored skew-normals: the insider buys a Christmas-tree spread.

    Shape ±4, mean 100 and standard deviation 12 under both.
    """
    shape = np.array([[4.0], [-4.0]])
    delta = shape / np.sqrt(1 + shape**2)
    scale = 12 / np.sqrt(1 - 2 * delta**2 / np.pi)
    z = (STATES - 100) / scale + delta * np.sqrt(2 / np.pi)
    eta = _normalised(-(z**2) / 2 + np.asarray(jax.scipy.special.log_ndtr(shape * z)))
    return _demand(
        eta,
        ("skewed to the right", "skewed to the left"),
        "A secret about skewness is traded as a Christmas tree",
        "skew-normal of shape ±4, mean 100, standard deviation 12",
    )


def figure_6() -> "Figure":
    """alpha*(K), the strength of trade: increasing and concave, between √2 and √K."""
    K, found = _many_signals()
    return contingent.against_signals(
        K,
        found.alpha,
        quantity=r"Strength of trade $\alpha^*(K)$",
        unit="noise standard deviations",
        bound=(np.sqrt(K), r"upper bound $\sqrt{K}$"),
        title="More signals: each is rarer, and its insider trades harder, but ever less so",
        note=r"canonical game; $\alpha^*(2) = \sqrt{2}$ exactly",
    )


def figure_7() -> "Figure":
    """Information efficiency E[q_k]: decreasing and convex in K.

    In the canonical game it depends on K alone (Corollary 7.10), not in every game.
    """
    K, found = _many_signals()
    return contingent.against_signals(
        K,
        found.efficiency,
        quantity=r"Information efficiency $E[q_k]$",
        unit="expected posterior of the true signal",
        bound=(1 / K, "prior $1/K$"),
        title="More signals: prices reveal less of each, yet far more than the prior",
        note="canonical game; independent of payoffs and noise there, not in product games",
    )


def figure_8() -> "Figure":
    """The smile after an insider who saw the higher of two volatilities; equal-mean lognormals.

    Implied volatility lies between sigma_2 and sigma_1 here. The paper's range of .2 to .8 needs
    truncated normal payoffs, whose smile is mostly a left skew present without any information.
    """
    strikes = np.linspace(0.6, 1.4, 41)
    states = np.exp(np.linspace(-1.8, 1.8, 601))
    found = []
    volatilities = (0.25, 0.30, 0.35)
    for sigma_1 in volatilities:
        eta = smiles.lognormal_signals(states, jnp.array([sigma_1, 0.1]), 1.0)
        half = jnp.full(2, 0.5)
        smile = smiles.average_smile(eta, half, 1.0, states, strikes, signal=1)
        found.append(check(smile))
    return contingent_smiles.smiles(
        strikes,
        np.stack([s.average for s in found]),
        np.stack([s.at_average_price for s in found]),
        labels=[rf"$\sigma_1$ = {s:.2f}" for s in volatilities],
        title="A secret about volatility shows as a smile",
        note=r"equal-mean lognormals, $\sigma_2$ = 0.10, prior ½, signal 1 seen; always within "
        "$[\\sigma_2, \\sigma_1]$:\nthe paper's 0.2 to 0.8 needs truncated normals, mostly a left "
        "skew without information",
    )


FIGURES = (figure_1, figure_2, figure_3, figure_4, figure_5, figure_6, figure_7, figure_8)
"""In the paper's order."""


def _normalised(log_density: Any) -> Floats:
    density = np.exp(log_density)
    return np.asarray(density / density.sum(axis=1, keepdims=True), np.float64)


def _demand(eta: Floats, names: tuple[str, str], title: str, note: str) -> "Figure":
    game = Game(eta)
    found: Solution = check(solve(game), game)
    claim = options.replicate(found.demand[0], STATES, reference=len(STATES) // 2)
    return contingent.demand(
        STATES,
        eta,
        found.demand,
        claim.puts,
        claim.calls,
        names=names,
        title=title,
        note=f"{note};\neven prior, unit noise; expected profit {float(found.profit[0]):.4f}",
    )


def _peak(low: float, high: float) -> float:
    """Where figure 1b's curve is highest: the root of its slope, by halving."""
    slope = jax.jit(jax.grad(lambda a: toy.profit_belief_moving(a)))
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return low


def _many_signals() -> tuple[Floats, canonical.Solution]:
    K = np.geomspace(2.0, 1e9, 200)
    return K, check(jax.vmap(canonical.solve)(K))
