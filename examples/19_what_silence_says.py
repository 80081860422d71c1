"""What does a market learn from a trader who places no order?

With a value that can be anything, an informed trader stays away if it lies between the quotes; the
others always trade here. So silence is news too, and the only news that narrows the first belief:
an order moves the mean of a normal belief and leaves its variance exactly where it was.

    python examples/19_what_silence_says.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import diffeq
from diffeq import glosten_milgrom as gm
from diffeq.figures import sequential_beliefs

jax.config.update("jax_enable_x64", True)

NORMAL = gm.gaussian_value.Params(m=100.0, sd=10.0, alpha=0.3)
ORDERS = np.array([1, 1, -1, 1, 1, 1, 0])
ATOMS = 1601
WORDS = {1: "a purchase", -1: "a sale", 0: "no order"}


def main(output: Path) -> None:
    """Follow a few orders on a fine grid, print the moments, draw the beliefs."""
    opening = diffeq.check(gm.gaussian_value.solve(NORMAL), NORMAL)
    print(f"V normal, mean 100, standard deviation 10: quotes {float(opening.bid):.4f} and")
    print(f"{float(opening.ask):.4f}; no order with probability ", end="")
    print(f"{float(opening.no_trade_probability):.4f}. A purchase leaves the", end=" ")
    print(f"variance at {float(opening.variance_after_buy):.10f}.")

    market = gm.gaussian_value.on_grid(NORMAL, num_atoms=ATOMS)

    def follow(at: jax.Array, order: jax.Array) -> tuple[jax.Array, tuple[jax.Array, Any]]:
        now = at, gm.continuous_value.quotes(at, market)
        return gm.continuous_value.update(at, order, market), now

    # one more order than there are, for the quotes after the last
    orders = jnp.append(ORDERS, 0)
    _, (beliefs, quotes) = jax.lax.scan(follow, jnp.log(market.probabilities), orders)
    p, v = np.exp(beliefs), np.asarray(market.values)
    mean = p @ v
    deviation = np.sqrt(p @ v**2 - mean**2)
    print(f"\nOn {ATOMS} atoms, order by order:")
    print("                 mean   standard deviation      bid       ask   P(no order next)")
    for t in range(ORDERS.size + 1):
        name = "before" if t == 0 else WORDS[int(ORDERS[t - 1])]
        row = f"{mean[t]:>9.3f} {deviation[t]:>14.3f} {float(quotes.bid[t]):>15.3f}"
        silent = float(quotes.no_trade_probability[t])
        print(f"  {name:<10} {row} {float(quotes.ask[t]):>9.3f} {silent:>12.4f}")

    figure = sequential_beliefs.continuous_value(
        v,
        p,
        ORDERS,
        quotes.bid,
        quotes.ask,
        quotes.no_trade_probability,
        shown=(0, 1, 6, 7),
        note=rf"$V$ normal, mean 100, standard deviation 10; $\alpha$ = 0.3; {ATOMS} atoms",
    )
    figure.savefig(output / "19_silence.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
