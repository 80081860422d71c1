"""Where should a market maker quote?

The exact optimum in the example of Avellaneda & Stoikov (2008), beside their formula, which is good
shortly before the end, and the stationary quotes, which are good long before it. Then one day.

    python examples/20_quotes_of_a_market_maker.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq.figures import market_making as draw
from diffeq.market_making import Params, approximations, optimum, simulation

jax.config.update("jax_enable_x64", True)

Q, TIMES = 10, np.linspace(0.0, 1.0, 201)
LOTS = np.arange(-Q, Q + 1)
SETTING = r"$\sigma$ = 2, $A$ = 140, $k$ = 1.5, $\gamma$ = 0.1, $T$ = 1, $|q| \leq$ 10"


def main(output: Path) -> None:
    """The quotes of three policies, printed and drawn; then a path of the optimum."""
    params, shape = Params(), dict(max_inventory=Q, times=TIMES)
    best = diffeq.check(optimum.solve(params, **shape), params)
    formula = approximations.avellaneda_stoikov(params, **shape)
    stationary = approximations.stationary(params, **shape)
    policies = {"optimum": best, "formula of 2008": formula, "stationary": stationary}
    depth = {name: np.asarray(policy.delta_b) for name, policy in policies.items()}

    print("Depth of the bid at t = 0 (of the ask: the same at −q)")
    print("    q " + "".join(f"{name:>17}" for name in depth))
    for q in (-5, -2, 0, 2, 5):
        print(f"   {q:>2} " + "".join(f"{bid[0, q + Q]:>17.4f}" for bid in depth.values()))
    print("Depth at q = 0, and how far the two approximations are from the optimum")
    print("  T − t      optimum  formula of 2008       stationary")
    for to_go in (1.0, 0.5, 0.2, 0.05, 0.01, 0.0):
        n = int(np.argmin(np.abs(1 - to_go - TIMES)))
        exact, *rest = (bid[n, Q] for bid in depth.values())
        print(f"   {to_go:4.2f} {exact:>12.5f}" + "".join(f"{x - exact:>+17.5f}" for x in rest))

    paths = simulation.simulate(jax.random.key(2008), params, best, times=TIMES, num_paths=1)
    day = jax.tree.map(lambda x: x[0], paths._replace(times=paths.times[None]))
    bought, sold = int(day.bid_fill.sum()), int(day.ask_fill.sum())
    held = int(abs(day.inventory).max())
    print(f"One day: {bought} lots bought, {sold} sold, never more than {held} held,")
    print(f"profit {float(day.profit[-1]):.2f}.")

    # exponential fills, alike on both sides: the reservation price is the middle of the quotes
    draw.one_path(
        day.times,
        day.mid,
        day.bid,
        day.ask,
        (day.bid + day.ask) / 2,
        day.bid_fill,
        day.ask_fill,
        day.inventory,
        day.profit,
        note=f"the optimum, simulated in steps of 0.005; {SETTING}",
    ).savefig(output / "20_path.png", dpi=150)
    draw.against_inventory(
        LOTS,
        [(policy.delta_a - policy.delta_b)[0] / 2 for policy in policies.values()],
        [(policy.delta_a + policy.delta_b)[0] for policy in policies.values()],
        labels=list(policies),
        visited=(day.inventory[:-1], (day.delta_a - day.delta_b) / 2, day.delta_a + day.delta_b),
        note=f"lines: at $t$ = 0; dots: the path's, at all times; {SETTING}",
    ).savefig(output / "20_against_inventory.png", dpi=150)
    draw.depths(
        TIMES, LOTS, best.delta_b, best.delta_a, note=f"the exact optimum; {SETTING}"
    ).savefig(output / "20_depths.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
