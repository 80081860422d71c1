"""How does price impact depend on uncertainty about the value and on noise trading?

The whole plane of (sigma_v, sigma_u) by the model's grid function, for one insider and for two.

    python examples/02_impact_surface.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import holden
from diffeq.figures import insiders

jax.config.update("jax_enable_x64", True)

SIGMA_V = np.linspace(0.5, 5, 91)
SIGMA_U = np.linspace(2, 10, 81)


def main(output: Path) -> None:
    """Solve the plane, print the answer, write the figure."""
    grid = diffeq.check(
        holden.grid(
            num_insiders=np.array([1.0, 2.0]),
            num_auctions=np.array([1, 10]),
            sigma_v=SIGMA_V,
            sigma_u=SIGMA_U,
        )
    )
    ratio = SIGMA_V[:, None] / SIGMA_U[None, :]
    print(f"{grid.lambda_.size:,} equilibria: sigma_v in [0.5, 5], sigma_u in [2, 10]")
    print("lambda_N / (sigma_v/sigma_u), least and largest over the plane:")
    for m, M in enumerate((1, 2)):
        for n, N in enumerate((1, 10)):
            level = np.asarray(grid.lambda_[m, n]) / ratio
            print(f"  M = {M}, N = {N:<2}  {level.min():.12f}  {level.max():.12f}")
    print("So only the ratio matters; one auction, one insider: one half of it, as Kyle found.")

    example = holden.Params()
    figure = insiders.lambda_surface(
        SIGMA_V,
        SIGMA_U,
        grid.lambda_[0, 0],
        mark=(example.sigma_v, example.sigma_u, rf"$\lambda$ = {0.25:g}"),
        title="Price impact depends on the ratio of uncertainty to noise",
        note=r"one auction, one insider: $\lambda = \sigma_v / (2\sigma_u)$ (Kyle 1985)",
    )
    figure.savefig(output / "02_impact_surface.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
