"""What does an insider trade who knows only how far the price will move, not where to?

Two signals of one mean, one with twice the variance: the equilibrium demand, written as options,
is a straddle with its wings sold. And what her order does to prices.

    python examples/07_volatility_secret.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import contingent
from diffeq.contingent import options
from diffeq.figures import contingent as figures

jax.config.update("jax_enable_x64", True)

STATES = np.linspace(70.0, 130.0, 13)
MIDDLE = 6
DEVIATIONS = (14.0, 10.0)


def secret() -> np.ndarray:
    """Normal distributions of mean 100 on the states, shape (2, 13)."""
    density = np.exp(-(((STATES - 100) / np.array(DEVIATIONS)[:, None]) ** 2) / 2)
    return density / density.sum(axis=1, keepdims=True)


def impact_by_prior(eta: np.ndarray) -> None:
    """Impact of a straddle on itself under each signal, by the prior of the wilder one."""
    straddle = np.abs(STATES - 100)
    print("Impact of one straddle on its own price (price units per straddle ordered):")
    print("  prior of the wilder signal   if it is wild   if it is calm   ratio")
    for prior in (0.1, 0.3, 0.5, 0.7):
        game = contingent.Game(eta, 1.0, (prior, 1 - prior))
        found = diffeq.check(contingent.solve(game), game)
        wild, calm = (
            float(options.cross_impact(straddle, impact, straddle))
            for impact in (contingent.price_impact(game, found, signal=k) for k in (0, 1))
        )
        print(f"  {prior:>26.1f} {wild:>15.3f} {calm:>15.3f} {wild / calm:>7.4f}")


def main(output: Path) -> None:
    """Solve, print the trade in options, draw it and its impact."""
    game = contingent.Game(secret())
    found = diffeq.check(contingent.solve(game), game)
    assert found.certificate is not None
    print(f"Certificate: {str(found.certificate).splitlines()[0]}")
    print(f"Expected profit {float(found.profit[0]):.4f}, noise of one contract in every claim")
    claim = options.replicate(found.demand[0], STATES, reference=MIDDLE)
    print("After the wilder signal she is")
    for line in options.describe(claim, smallest=0.05).splitlines():
        print(f"  {line}")
    print(f"of which the straddle at 100: {float(claim.puts[MIDDLE]):+.4f} of each leg")
    impact_by_prior(secret())

    figure = figures.demand(
        STATES,
        secret(),
        found.demand,
        claim.puts,
        claim.calls,
        names=tuple(f"deviation {s:g}" for s in DEVIATIONS),
        title="A secret about volatility is traded as a straddle, wings sold",
        note="mean 100 under both signals, even prior, unit noise",
    )
    figure.savefig(output / "07_straddle.png", dpi=150)
    figure = figures.price_impact(
        STATES,
        contingent.price_impact(game, found),
        title="Buying the wings makes the middle cheaper",
        note="average over both signals; solid: raises, dashed: lowers",
    )
    figure.savefig(output / "07_price_impact.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
