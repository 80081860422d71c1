"""Why is the paper's demand formula no equilibrium in the paper's own first example?

Equation (33) gives (½, −.7071, ½) where the equilibrium is (.40825, −.81650, .40825). The
certificate says what is wrong and names an order that profits without bound; here that order is
placed, larger and larger, and its profit is computed without the certificate's help.

    python examples/09_failed_certificate.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import contingent
from diffeq.figures import GREY, VERMILION, canvas, name_panel

jax.config.update("jax_enable_x64", True)

GAME = contingent.Game()  # section 2: eta = (½, 0, ½), (0, 1, 0), unit noise, even prior
TIMES = np.array([0.0, 1.0, 3.0, 10.0, 30.0, 100.0])


def main(output: Path) -> None:
    """Certify both demands, follow the deviation, draw its profit."""
    right = diffeq.check(contingent.solve(GAME), GAME)
    published = contingent.published_demand(GAME)
    print(f"Equilibrium W_1 = {np.round(np.asarray(right.demand[0]), 5)}")
    print(contingent.certify(GAME, right))
    print(f"\nEquation (33): W_1 = {np.round(np.asarray(published[0]), 5)}")
    certificate = contingent.certify(GAME, published)
    print(certificate)

    ray = certificate.unbounded_deviation
    assert ray.signal is not None and ray.direction is not None
    print(f"\nAfter signal {ray.signal} the insider adds t times {np.round(ray.direction, 4)}:")
    profits = {}
    for name, belief in (("equation (33)", published), ("the equilibrium", right.demand)):
        orders = [belief[ray.signal] + t * ray.direction for t in TIMES]
        profits[name] = [
            float(contingent.expected_profit(GAME, belief, signal=ray.signal, order=order))
            for order in orders
        ]
    print("      t   profit, belief (33)   profit, belief of the equilibrium")
    for t, first, second in zip(TIMES, *profits.values(), strict=True):
        print(f"  {t:>5g} {first:>21.4f} {second:>35.4f}")
    print("Under (33) no belief notices that order (it is orthogonal to what the beliefs weigh),")
    print("yet it pays more than it costs. In equilibrium W is proportional to sigma² times the")
    print("difference of the payoffs, and then whatever pays is noticed.")

    figure, (panel,) = canvas(
        1,
        1,
        size=(7.2, 4.4),
        title="Against equation (33) a larger order always earns more",
        note="section 2 of the paper: three states, unit noise, even prior",
    )
    for (name, values), color, dash in zip(
        profits.items(), (VERMILION, GREY), ("-", "--"), strict=True
    ):
        panel.plot(TIMES, values, dash, marker="o", color=color, label=f"belief: {name}")
    panel.legend(frameon=False, fontsize=9)
    name_panel(panel, "", x="t, multiples of the deviation", y="expected profit (price units)")
    figure.savefig(output / "09_unbounded_profit.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
