"""When do informed traders hide in small orders?

Large orders earn more and betray more. Against the ratio of the two sizes: the four quotes, and how
many of the informed trade large. The size of trade alone moves the price by then.

    python examples/17_large_orders.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import glosten_milgrom as gm
from diffeq.figures import sequential_quotes

jax.config.update("jax_enable_x64", True)

MARKET = gm.trade_size.Params(mu_0=0.6, alpha=0.3, b=0.2)
RATIO = np.linspace(1.05, 5.0, 396)


def separating_from(mu: float) -> float:
    """The ratio of sizes from which the informed of a side, who come with chance mu, trade large.

    Easley & O'Hara (1987): 1 + 2 alpha mu/((1−alpha) b).
    """
    return 1 + 2 * MARKET.alpha * mu / ((1 - MARKET.alpha) * MARKET.b)


def main(output: Path) -> None:
    """Solve for every ratio, print a few, draw all."""
    edges = separating_from(1 - MARKET.mu_0), separating_from(MARKET.mu_0)
    found = diffeq.check(jax.vmap(lambda S_2: gm.trade_size.solve(MARKET._replace(S_2=S_2)))(RATIO))
    assert np.array_equal(found.separating_bid, RATIO >= edges[0])
    assert np.array_equal(found.separating_ask, RATIO >= edges[1])
    print(f"V is 90 or 110, mu = {MARKET.mu_0}, alpha = {MARKET.alpha}; {MARKET.b:.0%} of the")
    print("uninformed orders are large. S_1 = 1.")
    print("   S_2   bids: large   small   asks: small   large   informed purchases that are large")
    for S_2 in (1.05, 2.0, 3.0, 4.0, 5.0):
        k = int(np.argmin(np.abs(RATIO - S_2)))
        bids = f"{float(found.bid_2[k]):>11.3f} {float(found.bid_1[k]):>8.3f}"
        asks = f"{float(found.ask_1[k]):>12.3f} {float(found.ask_2[k]):>8.3f}"
        print(f"  {RATIO[k]:4.2f} {bids} {asks} {float(found.psi_ask[k]):>14.1%}")
    print(
        f"From S_2/S_1 = {edges[0]:.3f} (sales) and {edges[1]:.3f} (purchases) on all the informed"
    )
    print("trade large: a small order then says nothing, and both small quotes are E[V].")

    figure = sequential_quotes.trade_size(
        RATIO,
        np.stack([found.bid_1, found.bid_2]),
        np.stack([found.ask_1, found.ask_2]),
        np.stack([found.psi_bid, found.psi_ask]),
        separating_from=edges,
        value=MARKET.mu_0 * MARKET.V_H + (1 - MARKET.mu_0) * MARKET.V_L,
        note=r"$V_L$ = 90, $V_H$ = 110, $\mu$ = 0.6, $\alpha$ = 0.3, "
        "20% of uninformed orders large",
    )
    figure.savefig(output / "17_large_orders.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
