"""Can a few more informed traders make an ask vanish?

Uninformed traders who mind the price leave as it rises. Then up to three asks make zero profit;
competition quotes the lowest, and beyond a critical alpha, a fold, it is gone. With a bounded value
the ask jumps; with a normal one the market breaks down.

    python examples/14_when_quotes_vanish.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import numpy as np

import diffeq
from diffeq import glosten_milgrom as gm
from diffeq.figures import sequential_quotes

jax.config.update("jax_enable_x64", True)

BINARY = gm.elastic.Params(V_L=90.0, V_H=110.0, mu_0=0.5, s=2.0)
NORMAL = gm.gaussian_elastic.Params(m=0.0, sd=1.0, alpha=0.3, s=0.5)


def zero_profit_curve(params: gm.elastic.Params) -> tuple[np.ndarray, np.ndarray]:
    """(alpha, A): the alpha at which an ask A between E[V] and V_H makes zero profit."""
    m = params.mu_0 * params.V_H + (1 - params.mu_0) * params.V_L
    share = np.append(np.linspace(0, 0.95, 400), 1 - np.geomspace(0.05, 1e-9, 400)[1:])
    ask = m + (params.V_H - m) * share
    gain = np.asarray(gm.private_values.survival((ask - m) / params.s)) * (ask - m)
    loss = params.mu_0 * (params.V_H - ask)
    return gain / (gain + loss), ask


def crossings(at: np.ndarray, ask: np.ndarray, alpha: float) -> list[float]:
    """The asks at which the curve passes an alpha, between its points by a straight line."""
    i = np.flatnonzero(np.diff(np.sign(at - alpha)))
    share = (alpha - at[i]) / (at[i + 1] - at[i])
    return list(ask[i] + share * (ask[i + 1] - ask[i]))


def binary(output: Path) -> None:
    """The three asks at alpha = .03, the fold, the ask before and after it."""
    curve = zero_profit_curve(BINARY)
    fold = diffeq.check(gm.fold(BINARY), BINARY)
    near = float(fold.alpha) + np.array([-1e-4, 1e-4])
    alpha = np.sort(np.append(np.linspace(0.0, 0.12, 241), near))
    market = jax.vmap(lambda a: gm.elastic.solve(BINARY._replace(alpha=a)))(alpha)
    diffeq.check(market)

    print(f"V is 90 or 110, s = {BINARY.s:g}. At alpha = .03 zero profit at the asks")
    print("  " + ", ".join(f"{ask:.3f}" for ask in crossings(*curve, 0.03)))
    few = int(np.argmin(np.abs(alpha - 0.03)))
    print(f"of which the lowest is quoted, {float(market.ask[few]):.4f}, ", end="")
    print(f"with {int(market.num_asks[few])} asks reported.")
    print(f"Fold at alpha = {float(fold.alpha):.10f}, ask {float(fold.quote):.4f}:")
    print("   alpha        ask   asks   uninformed who buy")
    for k in np.searchsorted(alpha, near):
        print(
            f"  {alpha[k]:.4f} {float(market.ask[k]):>10.4f} {int(market.num_asks[k]):>6}", end=""
        )
        print(f" {float(market.acceptance_ask[k]):>20.2e}")

    figure = sequential_quotes.elastic_ask(
        alpha,
        market.ask,
        market.acceptance_ask,
        curve,
        (float(fold.alpha), float(fold.quote), float(fold.acceptance)),
        value=BINARY.V_H,
        note=r"$V_L$ = 90, $V_H$ = 110, $\mu$ = 1/2, normal private values, $s$ = 2",
    )
    figure.savefig(output / "14_fold.png", dpi=150)


def normal() -> None:
    """Breakdown where the value is normal, and what moves it."""

    def critical(s: jax.Array) -> tuple[jax.Array, gm.gaussian_elastic.Breakdown]:
        found = gm.gaussian_elastic.breakdown(NORMAL._replace(s=s))
        return found.alpha, found

    slope, end = jax.grad(critical, has_aux=True)(NORMAL.s)
    diffeq.check(end)
    print(f"\nV normal, s = {NORMAL.s:g} sd: no market beyond alpha = {float(end.alpha):.10f};")
    print(f"a larger s, by .01 sd, lets alpha grow by {0.01 * float(slope):.4f}.")


def main(output: Path) -> None:
    """Both markets, printed and drawn."""
    binary(output)
    normal()


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
