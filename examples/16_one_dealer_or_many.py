"""What does a market gain from a second dealer?

Two dealers undercut each other to zero profit, and more of them change nothing. One alone quotes
for profit: wider by far where demand is inelastic, hardly at all where the market nearly breaks
down, and he closes exactly where competition does.

    python examples/16_one_dealer_or_many.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import glosten_milgrom as gm
from diffeq.figures import sequential_quotes

jax.config.update("jax_enable_x64", True)

SCALES = np.array([2.0, 1.0, 0.5])
MARKET = gm.gaussian_elastic.Params(m=0.0, sd=1.0)


def dealers(alpha: np.ndarray, num_dealers: int) -> gm.dealers.Solution:
    """Quotes for every scale of the private values and every alpha, shape (3, n)."""
    s, a = (x.ravel() for x in np.meshgrid(SCALES, alpha, indexing="ij"))
    found = jax.vmap(
        lambda s, a: gm.dealers.solve(MARKET._replace(s=s, alpha=a), num_dealers=num_dealers)
    )(s, a)
    shaped: gm.dealers.Solution = jax.tree.map(lambda x: x.reshape(SCALES.size, -1), found)
    assert np.array_equal(shaped.info.converged, ~np.asarray(shaped.closed)), "closed, or solved"
    return shaped


def main(output: Path) -> None:
    """Compare the two, print some, draw all."""
    end = gm.gaussian_elastic.breakdown(MARKET._replace(s=SCALES[-1]))
    critical = float(diffeq.check(end).alpha)
    alpha = np.linspace(0.01, 0.6, 60)
    alpha = np.sort(np.append(alpha, critical * (1 - np.geomspace(1e-9, 0.1, 20))))
    many, one = dealers(alpha, 2), dealers(alpha, 1)
    assert np.array_equal(many.closed, one.closed), "he opens exactly where they do"

    print("V normal, standard deviation 1; uninformed private values of scale s; alpha = 0.2")
    print("    s   ask of two   ask of one   uninformed who buy   profit of one")
    at = int(np.argmin(np.abs(alpha - 0.2)))
    for k, s in enumerate(SCALES):
        takes = f"{float(many.acceptance[k, at]):>9.3f} → {float(one.acceptance[k, at]):.3f}"
        print(f"  {s:>3} {float(many.ask[k, at]):>12.4f} {float(one.ask[k, at]):>12.4f}", end="")
        print(f" {takes:>20} {float(one.profit[k, at]):>15.4f}")
    print(f"s = {SCALES[-1]}: neither has a market beyond alpha = {critical:.6f}; just before,")
    near = int(np.searchsorted(alpha, critical)) - 1
    print(f"asks {float(many.ask[-1, near]):.4f} and {float(one.ask[-1, near]):.4f}: the same.")

    figure = sequential_quotes.dealers(
        alpha,
        many.ask,
        one.ask,
        one.profit,
        labels=[f"$s$ = {s:g}" for s in SCALES],
        note="$V$ normal with mean 0 and standard deviation 1; normal private values of scale $s$",
    )
    figure.savefig(output / "16_dealers.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
