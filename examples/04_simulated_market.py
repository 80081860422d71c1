"""Does a simulated market behave as the theory says?

20 000 days of two insiders and ten auctions: price errors, order flow and profits against their
expectations, each difference in standard errors of the sample.

    python examples/04_simulated_market.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import holden
from diffeq.figures import calibration

jax.config.update("jax_enable_x64", True)

N, DAYS = 10, 20_000


def mean_and_error(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the days and its standard error."""
    return sample.mean(axis=0), sample.std(axis=0, ddof=1) / np.sqrt(len(sample))


def main(output: Path) -> None:
    """Simulate, print the comparison, write the figure."""
    params = holden.Params()
    solution = diffeq.check(holden.solve(params, num_auctions=N), params)
    days = holden.simulate(jax.random.key(1985), params, solution, num_paths=DAYS)
    prices, errors = np.asarray(days.prices), np.asarray(days.errors)
    changes = np.diff(prices, axis=1, prepend=params.p_0)
    earned, lost = np.asarray(days.insider_profit), np.asarray(days.noise_profit)
    variance, variance_error = mean_and_error(errors**2)

    worst: dict[str, float] = {}
    mean, error = mean_and_error(changes)
    worst["E[p_n − p_(n−1)] = 0"] = float(np.abs(mean / error).max())
    worst["Var(v − p_n) = Sigma_n"] = float(
        np.abs((variance - np.asarray(solution.Sigma)) / variance_error).max()
    )
    mean, error = mean_and_error(changes[:, 1:] * changes[:, :-1])
    worst["successive price changes uncorrelated"] = float(np.abs(mean / error).max())
    print(f"{DAYS:,} days, M = {params.num_insiders:g}, N = {N}. Largest deviation over auctions:")
    for statement, deviation in worst.items():
        print(f"  {statement:<40} {deviation:4.1f} standard errors")

    expected = float(holden.insider_profit(solution, params))
    maker = -(params.num_insiders * earned + lost)
    print("Profit per day (money):                        sample   (s.e.)   theory")
    for who, sample, theory in (
        ("one insider", earned, expected),
        ("noise traders", lost, -float(holden.noise_loss(solution, params))),
        ("market maker", maker, 0.0),
    ):
        mean, error = mean_and_error(sample)
        print(f"  {who:<40} {mean:10.4f} ({error:.4f}) {theory:8.4f}")

    figure = calibration.fit(
        variance,
        solution.Sigma,
        standard_errors=variance_error,
        quantity=r"error variance $\Sigma_n = \mathrm{Var}(v - p_n)$",
        unit="price units squared",
        names=("simulated", "equilibrium"),
        title="A simulated market learns at the speed of the theory",
        note=f"{DAYS:,} simulated days, two insiders, {N} auctions",
    )
    figure.savefig(output / "04_simulated_market.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
