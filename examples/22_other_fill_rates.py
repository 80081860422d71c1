"""What if fill rates do not fall exponentially, and what if one thinks they do?

A power law and a logistic with the rate and the slope of the exponential at the usual depth: the
best bids against each; then every dealer in every market, beside dealers whose slope is wrong.

    python examples/22_other_fill_rates.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import diffeq
from diffeq.figures import market_making as draw
from diffeq.figures import market_making_profit as draw_profit
from diffeq.market_making import Params, moments, optimum
from diffeq.market_making.approximations import Depths
from diffeq.market_making.intensities import Exponential, Logistic, PowerLaw

jax.config.update("jax_enable_x64", True)

Q, TIMES = 10, np.linspace(0.0, 1.0, 201)
USUAL = 0.67  # depth of both quotes at no inventory, long before the end: example 20
MARKETS = ["exponential", "power law", "logistic"]
SLOPES = (0.9, 1.1)
BELIEFS = [*MARKETS, *(f"slope × {factor:g}" for factor in SLOPES)]


class OneOf(NamedTuple):
    """One of several fill rates: the grid solver is compiled once for all of them."""

    which: Any
    rates: tuple[Any, ...]

    def __call__(self, delta: Any) -> Any:
        """The rate at a depth."""
        return jnp.stack([rate(delta) for rate in self.rates])[jnp.asarray(self.which, int)]

    def inverse_hazard(self, delta: Any) -> Any:
        """−Lambda/Lambda'."""
        each = jnp.stack([rate.inverse_hazard(delta) for rate in self.rates])
        return each[jnp.asarray(self.which, int)]


def alike(params: Params, usual: float) -> tuple[Exponential, PowerLaw, Logistic]:
    """Three fill rates with one value and one slope at the usual depth."""
    k = params.k
    rate = params.A * np.exp(-k * usual)
    power, steep = 3.0, 1.5 * k
    d_0 = power / k - usual  # (d_0 + usual)/power = 1/k
    middle = usual + np.log(steep / k - 1) / steep  # (1 + e^(−steep (usual − middle)))/steep = 1/k
    return (
        Exponential(params.A, k),
        PowerLaw(rate * (1 + usual / d_0) ** power, d_0, power),
        Logistic(rate / (1 - k / steep), steep, middle),
    )


def best_against(beliefs: list[Any], params: Params) -> list[optimum.Solution]:
    """The optimum of a dealer with each belief."""
    return [
        diffeq.check(optimum.solve(params, intensity=belief, max_inventory=Q, times=TIMES), params)
        for belief in beliefs
    ]


def crossed(best: list[optimum.Solution], markets: tuple[Any, ...], params: Params) -> np.ndarray:
    """mean − gamma/2 variance of profit, shape (market, dealer, inventory at the start)."""

    def earned(dealer: Depths, which: jax.Array) -> moments.Statistics:
        market = OneOf(which, markets)
        return moments.statistics(dealer, params, times=TIMES, intensity=market)

    dealers = Depths(*(jnp.stack([getattr(x, side) for x in best]) for side in Depths._fields))
    every = jax.vmap(jax.vmap(earned, in_axes=(0, None)), in_axes=(None, 0))
    found = diffeq.check(jax.jit(every)(dealers, np.arange(3.0)))
    return np.asarray(found.mean_from - params.gamma / 2 * found.sd_from**2)


def table(bid: np.ndarray, cost: np.ndarray, known: np.ndarray) -> None:
    """Print the bids, shape (market, q), what a wrong belief loses, and what a right one has."""
    print(f"Best bid at t = 0; the rates meet at depth {USUAL}")
    print("    q " + "".join(f"{name:>14}" for name in MARKETS))
    for q in (-9, -5, 0, 5, 9):
        print(f"   {q:>2} " + "".join(f"{depth:>14.4f}" for depth in bid[:, q + Q]))
    for q in (0, 8):
        print(f"Lost, in mean − gamma/2 variance of profit, by a dealer who starts with {q} lots")
        print("  the market is " + "".join(f"{name:>13}" for name in BELIEFS))
        for name, row in zip(MARKETS, cost[:, :, q + Q], strict=True):
            print(f"  {name:<14}" + "".join(f"{lost:>13.4f}" for lost in row))
    print("Who knows the market has", ", ".join(f"{x:.2f}" for x in known), "from no lots:")
    print("a wrong shape costs a fraction of one per cent where its rate and slope are right.")


def main(output: Path) -> None:
    """Solve for each fill rate; cross dealers and markets; print and draw."""
    params = Params()
    markets = alike(params, USUAL)
    # two more dealers know the rate at the usual depth, and have its slope wrong
    steep = params.k * np.array(SLOPES)
    others = [Exponential(params.A * np.exp((k - params.k) * USUAL), k) for k in steep]
    beliefs = [OneOf(i, markets) for i in range(3)]
    beliefs += [OneOf(0, (other, *markets[1:])) for other in others]
    best = best_against(beliefs, params)
    bid = np.stack([found.delta_b[0] for found in best[:3]])
    worth = crossed(best, markets, params)
    cost = worth.max(axis=1, keepdims=True) - worth  # (market, dealer, q)
    known = worth[:, :3, Q].max(axis=1)
    table(bid, cost, known)
    assert (worth.argmax(axis=1) == np.arange(3)[:, None]).all(), "who knows the market does best"
    assert (cost[:, :3, Q] < 0.01 * known[:, None]).all()

    depth = np.linspace(-0.2, 3.0, 161)
    setting = r"$\sigma$ = 2, $\gamma$ = 0.1, $T$ = 1, $|q| \leq$ 10"
    draw.fill_rates(
        depth,
        [market(depth) for market in markets],
        np.arange(-Q, Q + 1),
        bid,
        usual=(USUAL, float(markets[0](USUAL))),
        labels=MARKETS,
        note=f"{setting}; one rate and one slope at the usual depth; bids at $t$ = 0",
    ).savefig(output / "22_fill_rates.png", dpi=150)
    draw_profit.wrong_belief(
        cost[:, :, Q],
        markets=MARKETS,
        beliefs=BELIEFS,
        unit=r"money (mean $-\ \gamma/2$ variance of profit)",
        title="A wrong shape costs about as little as a slope wrong by a tenth",
        note=f"of {known.min():.1f} to {known.max():.1f}, from $q$ = 0, steps of 0.005; "
        f"{setting}; the rate at the usual depth is known",
    ).savefig(output / "22_wrong_belief.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
