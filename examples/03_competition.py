"""What does competition among insiders do to price impact and to the speed of information?

Every market of M = 1..15 insiders and N = 1..10 auctions, and the day inside some of them
(Holden & Subrahmanyam 1992).

    python examples/03_competition.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import holden
from diffeq.figures import insiders

jax.config.update("jax_enable_x64", True)

PARAMS = holden.Params()
NOTE = rf"$\sigma_v$ = {PARAMS.sigma_v:g}, $\sigma_u$ = {PARAMS.sigma_u:g}"
INSIDERS = np.arange(1.0, 16.0)
AUCTIONS = np.arange(1, 11)


def last_auctions(output: Path) -> None:
    """lambda_N, beta_N, Sigma_N for every M and N, by one backward pass per M."""
    axes = {"sigma_v": np.array([PARAMS.sigma_v]), "sigma_u": np.array([PARAMS.sigma_u])}
    grid = diffeq.check(holden.grid(num_insiders=INSIDERS, num_auctions=AUCTIONS, **axes))
    lambda_, beta, Sigma = (np.asarray(f)[:, :, 0, 0] for f in grid[:3])
    print("After the last of 10 auctions:")
    print("   M   uncertainty left (% of prior variance)   impact lambda_N (price units/flow)")
    for M in (1, 2, 3, 5, 15):
        left = 100 * Sigma[M - 1, -1] / PARAMS.sigma_v**2
        print(f"  {M:>2}   {left:>20.3g}   {lambda_[M - 1, -1]:>38.3g}")
    figure = insiders.terminal_values(
        INSIDERS,
        AUCTIONS,
        lambda_,
        beta,
        Sigma,
        title="With two insiders or more, each further auction divides what is left to learn",
        note=NOTE,
    )
    figure.savefig(output / "03_terminal_values.png", dpi=150)


def by_horizon(output: Path) -> None:
    """The day for N = 1..10, alone and with one rival."""
    for M, finding in (
        (1.0, "A lone insider lets the price learn evenly, in however many auctions"),
        (2.0, "With one rival, more auctions let the price learn sooner and more"),
    ):
        params = PARAMS._replace(num_insiders=M)
        table = holden.solve_up_to(params, max_auctions=10, tables=True)
        diffeq.check(table, params)
        figure = insiders.paths_by_horizon(
            table.lambda_,
            table.beta,
            table.Sigma,
            title=finding,
            note=f"{NOTE}, M = {M:g}",
        )
        figure.savefig(output / f"03_by_horizon_{M:g}.png", dpi=150)


def by_insiders(output: Path) -> None:
    """The day of ten auctions for some M, and each of three auctions against M."""

    def solved(M: np.ndarray, N: int) -> holden.Solution:
        lanes = jax.vmap(lambda M: holden.solve(PARAMS._replace(num_insiders=M), num_auctions=N))(M)
        return diffeq.check(lanes)

    M = np.array([1.0, 2.0, 3.0, 5.0, 10.0, 15.0])
    ten = solved(M, 10)
    gone = 1 - np.asarray(ten.Sigma)[:, 0] / PARAMS.sigma_v**2
    print("Share of the information revealed in the first of 10 auctions:")
    print("  " + ", ".join(f"M = {m:g}: {share:.0%}" for m, share in zip(M, gone, strict=True)))
    figure = insiders.paths_by_insiders(
        M,
        ten.lambda_,
        ten.beta,
        ten.Sigma,
        title="Rivals trade early: impact and uncertainty collapse during the day",
        note=f"{NOTE}, 10 auctions",
    )
    figure.savefig(output / "03_by_insiders.png", dpi=150)

    three = solved(INSIDERS, 3)
    figure = insiders.against(
        INSIDERS,
        three.lambda_,
        three.beta,
        three.Sigma,
        name="number of insiders $M$",
        title="Impact of the first auction peaks near two insiders, of later ones it only falls",
        note=f"{NOTE}, 3 auctions",
    )
    figure.savefig(output / "03_against_insiders.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    last_auctions(folder)
    by_horizon(folder)
    by_insiders(folder)
