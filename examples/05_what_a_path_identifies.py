"""What does a path of price impacts tell about the market behind it?

Its shape gives the number of insiders, its level the ratio sigma_v/sigma_u; neither sigma by
itself, and with a single auction not even the two. The calibration says so in words.
"""

import sys
from pathlib import Path

import jax
import numpy as np

from diffeq import check, holden
from diffeq.empirical import insiders
from diffeq.figures import calibration as figures

jax.config.update("jax_enable_x64", True)


def main(out: Path) -> None:
    """Fit an observed path with errors, then one auction alone, and draw the fit."""
    truth = holden.Params(sigma_v=2.5, sigma_u=5.0, num_insiders=2.7)
    path = np.asarray(check(holden.solve(truth, num_auctions=10), truth).lambda_)
    errors = 0.03 * path
    observed = path + errors * np.random.default_rng(5).normal(size=path.size)

    fit = insiders.calibrate_impact_path(observed, standard_errors=errors)
    print(f"Ten auctions, each lambda_n known to 3 % (truth: M = 2.7, ratio 0.5):\n{fit}")
    print(f"sigma_v / sigma_u = {fit.params.sigma_v / fit.params.sigma_u:.4f}\n")

    one = insiders.calibrate_impact_path(observed[:1], standard_errors=errors[:1])
    print(f"One auction alone:\n{one}\n")

    # Kyle's path is proportional to sigma_v/sigma_u: the best one is a weighted regression
    kyle = np.asarray(check(holden.solve(holden.Params(1.0, 1.0, 1.0), num_auctions=10)).lambda_)
    ratio = np.sum(observed * kyle / errors**2) / np.sum((kyle / errors) ** 2)
    loss = np.sum(((observed - ratio * kyle) / errors) ** 2) / 2
    print(f"Kyle's single insider instead: {fit.loss:.1f} → {loss:.1f} in minus log-likelihood")

    model = holden.Params(fit.params.sigma_v, fit.params.sigma_u, fit.params.num_insiders)
    fitted = check(holden.solve(model, num_auctions=10), model).lambda_
    out.mkdir(parents=True, exist_ok=True)
    figure = figures.fit(observed, fitted, standard_errors=errors)
    figure.savefig(out / "05_impact_path.png", dpi=150)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "output"
    main(folder)
