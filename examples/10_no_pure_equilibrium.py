"""Can a market with an insider have no equilibrium at all? Three signals are enough.

The first-order condition is solved to the last digit, and yet some insider gains without bound by
trading more: generic games with K = r + 1 ≥ 3 signals have no equilibrium in pure strategies. The
exceptions are symmetric; here a triangle of payoffs is bent from one of them to a generic one.

    python examples/10_no_pure_equilibrium.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import contingent
from diffeq.figures import BLUE, VERMILION, canvas, name_panel

jax.config.update("jax_enable_x64", True)

BENT = np.array([0.0, 0.01, 0.03, 0.1, 0.3])


def game(bend: float) -> contingent.Game:
    """Three signals in three states; equilateral at 0, then the third corner moves aside."""
    corners = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]])
    corners[2] += 0.4 * bend * np.array([0.5, -0.5, 0.0])
    return contingent.Game(corners)


def main(output: Path) -> None:
    """Solve and certify each triangle; draw what the insider gains beyond the first-order point."""
    print("   bend   residual   distance to cone   verdict")
    last = None
    for bend in BENT:
        here = game(bend)
        found = diffeq.check(contingent.solve(here), here)
        certificate = found.certificate
        assert certificate is not None
        verdict = str(certificate).splitlines()[0]
        distance = certificate.unbounded_deviation.value
        print(f"  {bend:>5g} {float(found.info.residual):>10.0e} {distance:>18.2e}   {verdict}")
        if not certificate.is_equilibrium:
            last = here, found, certificate
    assert last is not None
    here, found, certificate = last
    print(f"\nThe last one:\n{certificate}")

    ray = certificate.unbounded_deviation
    assert ray.signal is not None and ray.direction is not None
    k, own = ray.signal, found.demand[ray.signal]
    times = np.geomspace(0.1, 1e4, 26)
    profit = [
        float(contingent.expected_profit(here, found, signal=k, order=own + t * ray.direction))
        for t in times
    ]
    honest = float(found.profit[k])
    passed = times[np.argmax(np.array(profit) > honest)]
    print(f"\nProfit at the first-order point {honest:.5f}; along the ray it falls first,")
    print(f"passes that at t = {passed:.3g} and reaches {profit[-1]:.3g} at t = {times[-1]:g}.")
    print("A local search sees a maximum; only the exact criterion (a cone) sees the way out.")

    figure, (panel,) = canvas(
        1,
        1,
        size=(7.2, 4.4),
        title="A maximum nearby, and no bound farther out",
        note=f"three signals, bent by {BENT[-1]:g}; deviation of the insider who saw signal {k}",
    )
    panel.plot(times, profit, color=VERMILION, linewidth=1.8, label="order + t · direction")
    panel.axhline(honest, color=BLUE, linestyle="--", linewidth=1.4, label="first-order point")
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.legend(frameon=False, fontsize=9)
    name_panel(panel, "", x="t", y="expected profit (price units)")
    figure.savefig(output / "10_no_equilibrium.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
