"""What does a market look like in which some traders know the value?

One day of 200 trades, drawn; then who earns what, on that day and on average over 20 000 days.

    python examples/12_one_market.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import glosten_milgrom as gm
from diffeq.figures import sequential

jax.config.update("jax_enable_x64", True)

T, DAYS = 200, 20_000
RECORD = ("belief_before", "bid", "ask", "price", "order", "informed", "profit")
DAY = 26  # one on which the market is first misled


def main(output: Path) -> None:
    """Draw one day, print profits beside their averages, write the figure."""
    params = gm.Params(V_L=90.0, V_H=110.0, mu_0=0.5, alpha=0.3)
    opening = diffeq.check(gm.solve(params), params)
    print(f"Opening quotes {float(opening.bid):g} and {float(opening.ask):g}, value 90 or 110,")
    print(f"{params.alpha:.0%} of the traders informed.")

    day = gm.simulate(jax.random.key(DAY), params, num_trades=T)
    record = {name: np.asarray(getattr(day, name)[0]) for name in RECORD}
    profit, informed = record["profit"], record["informed"]
    average = gm.simulate_summary(jax.random.key(1985), params, num_trades=T, num_paths=DAYS)
    print(f"\nProfit in money, {T} trades:   this day   mean of {DAYS:,} days (s.e.)")
    for who, here, (mean, error) in (
        ("informed", profit[informed].sum(), average.informed_profit),
        ("uninformed", profit[~informed].sum(), average.uninformed_profit),
        ("market maker", -profit.sum(), average.dealer_profit),
    ):
        print(f"  {who:<24} {here:>10.2f} {float(mean):>14.3f} ({float(error):.3f})")
    paid, error = average.half_spread
    print(f"The uninformed pay half the spread: {float(paid):.3f} ({float(error):.3f}) a day.")
    print("The market maker breaks even on average, not on a day.")

    figure = sequential.one_path(
        *record.values(),
        value=float(day.value[0]),
        reference_spread=params.alpha * (params.V_H - params.V_L),
        note=rf"$V_L$ = 90, $V_H$ = 110, $\mu_0$ = 1/2, $\alpha$ = {params.alpha}; {T} trades",
    )
    figure.savefig(output / "12_one_market.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
