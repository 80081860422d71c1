"""What if the value changes while the market learns it?

Before each trade V is redrawn with probability nu, and only the informed see it. The spread then
stops falling: its expectation trade by trade, the bound that it never goes below, and one market.

    python examples/18_news_that_keeps_arriving.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import diffeq
from diffeq import glosten_milgrom as gm
from diffeq.figures import sequential_beliefs

jax.config.update("jax_enable_x64", True)

T, DAYS = 150, 20_000
NU = np.array([0.01, 0.05, 0.3])
DAY = 0  # which of the simulated markets is drawn


def main(output: Path) -> None:
    """Expected spreads, exact and simulated; one market; two figures."""
    params = gm.news.Params(alpha=0.3)

    def of(nu: jax.Array) -> tuple[gm.news.Solution, gm.news_paths.ExpectedSpread]:
        here = params._replace(nu=nu)
        return gm.news.solve(here), gm.news_paths.expected_spread(here, num_trades=T, num_nodes=64)

    market, expected = jax.vmap(of)(jnp.asarray(NU))
    diffeq.check(market)
    diffeq.check(expected)
    days = gm.news_paths.simulate(jax.random.key(1989), params, num_trades=T, num_paths=DAYS)
    print("Expected spread, V 90 or 110, alpha = .3; it starts at 6.")
    print("    nu   trade 10   trade 50   trade 150   never below")
    for k, nu in enumerate(NU):
        row = "  ".join(f"{float(expected.spread[k, t - 1]):>9.4f}" for t in (10, 50, 150))
        print(f"  {nu:>4} {row} {float(market.least_spread[k]):>13.4f}")
    last = np.asarray(days.ask - days.bid)[:, -1]
    error = last.std(ddof=1) / np.sqrt(DAYS)
    print(
        f"Simulated, nu = {params.nu}, {DAYS:,} days: {last.mean():.4f} ± {error:.4f} at trade 150"
    )
    profit, knows = np.asarray(days.profit), np.asarray(days.informed)
    per_trade = np.where(knows, profit, 0).mean(axis=0)
    print(
        f"The informed earn {per_trade[0]:.3f} per trade at first, {per_trade[-50:].mean():.3f} in"
    )
    print("the last fifty: news keeps them, and the spread, alive.")

    figure = sequential_beliefs.news_spread(
        NU,
        expected.spread,
        market.least_spread,
        note=r"$V_L$ = 90, $V_H$ = 110, $\mu_0$ = 1/2, $\alpha$ = 0.3",
    )
    figure.savefig(output / "18_spread.png", dpi=150)
    path = jax.tree.map(lambda x: x[DAY], days)
    figure = sequential_beliefs.news_path(
        path.value,
        gm.belief(path.log_odds_after),
        path.bid,
        path.ask,
        path.order,
        path.informed,
        low_and_high=(params.V_L, params.V_H),
        note=rf"$V_L$ = 90, $V_H$ = 110, $\alpha$ = 0.3, $\nu$ = {params.nu}",
    )
    figure.savefig(output / "18_market.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
