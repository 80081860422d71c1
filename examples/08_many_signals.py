"""How hard does an insider trade, and how much do prices tell, from 2 to a billion signals?

The canonical game: K signals, each paying on its own claim. Its equilibrium is one number,
alpha*(K), by quadrature at a cost that does not depend on K; K may be any real number.

    python examples/08_many_signals.py [OUTPUT_FOLDER]
"""

import sys
import time
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq.contingent import canonical
from diffeq.figures import contingent_paper

jax.config.update("jax_enable_x64", True)

K = np.array([2.0, 3.0, 10.0, 100.0, 1e4, 1e6, 1e9])


def main(output: Path) -> None:
    """Print the table, the slope in K, the time for a thousand; draw the paper's two curves."""
    found = diffeq.check(jax.vmap(canonical.solve)(K))
    slope = jax.vmap(jax.grad(lambda k: canonical.solve(k).alpha))(K)
    print("            K      alpha*   d alpha*/d log K   efficiency   against the prior   error")
    columns = (K, found.alpha, slope * K, found.efficiency, found.efficiency * K, found.error)
    for row in zip(*columns, strict=True):
        print("{:13,.0f} {:11.8f} {:18.5f} {:12.6f} {:18.4g}x {:7.0e}".format(*map(float, row)))
    print(f"alpha*(2)² − 2 = {float(found.alpha[0]) ** 2 - 2:.1e}")

    many = np.geomspace(2, 1e9, 1000)
    solve_all = jax.jit(jax.vmap(canonical.solve))
    jax.block_until_ready(solve_all(many))
    start = time.perf_counter()
    jax.block_until_ready(solve_all(many))
    print(f"a thousand values of K take {1e3 * (time.perf_counter() - start):.0f} ms")

    contingent_paper.figure_6().savefig(output / "08_strength_of_trade.png", dpi=150)
    contingent_paper.figure_7().savefig(output / "08_efficiency.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
