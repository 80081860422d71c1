"""How many trades does a market need to learn the value?

The exact law of the first trade after which the belief in the truth is at 90 %, beside 100 000
simulated days; and what it is for more and fewer informed traders.

    python examples/13_how_fast_markets_learn.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import diffeq
from diffeq import glosten_milgrom as gm
from diffeq.figures import sequential

jax.config.update("jax_enable_x64", True)

T, DAYS, THRESHOLD = 100, 100_000, 0.9
ALPHA = np.array([0.1, 0.3, 0.6])


def main(output: Path) -> None:
    """Exact against simulated; then the three markets, printed and drawn."""
    params = gm.Params()

    def market(alpha: jax.Array) -> tuple[gm.FirstPassage, gm.Expected]:
        here = params._replace(alpha=alpha)
        passage = gm.first_passage(here, threshold=THRESHOLD, num_trades=T)
        return passage, gm.expected(here, num_trades=T)

    passage, path = jax.vmap(market)(jnp.asarray(ALPHA))
    diffeq.check(passage)
    diffeq.check(path)
    law = jax.tree.map(lambda x: x[1], passage)
    days = gm.simulate_summary(
        jax.random.key(1985),
        params._replace(alpha=ALPHA[1]),
        num_trades=T,
        num_paths=DAYS,
        value="V_H",
        thresholds=[THRESHOLD],
    )
    exact, share = np.asarray(law.probability), np.asarray(days.first_passage[0])
    needed = int(law.net_orders)
    print(f"alpha = {ALPHA[1]}, even prior: {needed} net orders for the truth reach 90 %.")
    print("First reached after trade   exact     simulated (s.e.)")
    for t in (4, 6, 8, 10, 20, 40):
        error = np.sqrt(exact[t] * (1 - exact[t]) / DAYS)
        print(f"  {t:>22} {exact[t]:>10.5f} {share[t]:>10.5f} ({error:.5f})")
    error = np.sqrt(float(law.not_reached) / DAYS)
    print(f"  {f'not within {T}':>22} {float(law.not_reached):>10.5f}", end=" ")
    print(f"{float(days.not_reached[0]):>10.5f} ({error:.5f})")
    print(f"Expected number of trades, no limit: {float(law.mean):.10f} = 40/3")
    print("\n  alpha   net orders   expected trades   E[spread] at trade 1, 10, 100")
    for k, alpha in enumerate(ALPHA):
        spreads = "  ".join(f"{float(path.spread[k, t - 1]):6.3f}" for t in (1, 10, 100))
        row = f"{int(passage.net_orders[k]):>10} {float(passage.mean[k]):>17.2f}"
        print(f"  {alpha:>5} {row}   {spreads}")

    figure = sequential.learning(
        ALPHA,
        path.spread,
        path.belief_if_high,
        np.cumsum(passage.probability, axis=1),
        threshold=THRESHOLD,
        note="$V_L$ = 90, $V_H$ = 110, even prior; exact, by dynamic programming over net buys",
    )
    figure.savefig(output / "13_learning.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
