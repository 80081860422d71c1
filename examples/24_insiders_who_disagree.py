"""Do insiders who know different things trade their information away, or sit on it?

Three insiders whose signals are correlated from −0.4 to 1 trade in 20 auctions (Foster &
Viswanathan 1996); and what becomes of it as trading gets continuous (Back, Cao & Willard 2000).

    python examples/24_insiders_who_disagree.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import foster_viswanathan as fv
from diffeq.figures import foster_viswanathan as draw

jax.config.update("jax_enable_x64", True)

PARAMS = fv.Params()
NOTE = rf"$M$ = {PARAMS.num_insiders:g}, $\sigma_v$ = {PARAMS.sigma_v:g}, "
NOTE += rf"$\sigma_u$ = {PARAMS.sigma_u:g}"
CORRELATIONS = np.array([-0.4, 0.0, 0.5, 0.9, 1.0])
AUCTIONS = np.array([5, 20, 320])


def by_correlation(output: Path) -> np.ndarray:
    """The day by correlation, and who earns what; impact with the correlation of PARAMS."""

    def lane(rho: jax.Array) -> tuple[fv.Solution, jax.Array, jax.Array]:
        params = PARAMS._replace(correlation=rho)
        found = fv.solve(params, num_auctions=20)
        return found, fv.insider_profit(found, params), fv.noise_loss(found, params)

    found, profit, loss = jax.jit(jax.vmap(lane))(CORRELATIONS)
    diffeq.check(found)
    assert np.allclose(PARAMS.num_insiders * profit, loss, rtol=1e-12), "a zero-sum game"
    revealed = 1 - np.asarray(found.Sigma) / PARAMS.sigma_v**2
    print("20 auctions: what the price has learnt of the variance, and what insiders earn")
    print("  correlation   after the 1st   after the 10th   after the last   profit of each")
    for rho, row, money in zip(CORRELATIONS, revealed, profit, strict=True):
        first, middle, last = (f"{row[n]:.1%}" for n in (0, 9, 19))
        print(f"  {rho:>11.1f}{first:>16}{middle:>17}{last:>17}{money:>17.3f}")
    # at rho = 1 all is out at once: beyond the scale of the others
    fields = (x[:-1] for x in (found.lambda_, found.Sigma, found.V, found.C))
    figure = draw.by_correlation(CORRELATIONS[:-1], *fields, note=f"{NOTE}, 20 auctions")
    figure.savefig(output / "24_by_correlation.png", dpi=150)
    return np.asarray(found.lambda_)[CORRELATIONS == PARAMS.correlation][0]


def towards_continuous_trading(output: Path, of_20: np.ndarray) -> None:
    """Independent signals in ever more auctions; those of 20 are known already."""
    table = np.full((AUCTIONS.size, AUCTIONS.max()), np.nan)
    for row, N in zip(table, AUCTIONS, strict=True):
        if N == of_20.size:
            row[:N] = of_20
        else:
            row[:N] = diffeq.check(fv.solve(PARAMS, num_auctions=int(N)), PARAMS).lambda_
    time = np.linspace(0, 0.999, 200)
    limit = diffeq.check(fv.continuous(PARAMS, time), PARAMS)
    print(f"Independent signals, lambda_1: {', '.join(f'{x:.4f}' for x in table[:, 0])}")
    print(f"  for N = {', '.join(map(str, AUCTIONS))}; continuous: {limit.lambda_[0]:.4f}")
    figure = draw.continuous_limit(
        AUCTIONS,
        table,
        time,
        limit.lambda_,
        title="In continuous trading the market freezes at the end: insiders wait for each other",
        note=rf"{NOTE}, $\rho$ = {PARAMS.correlation:g}",
    )
    figure.savefig(output / "24_continuous_limit.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    towards_continuous_trading(folder, by_correlation(folder))
