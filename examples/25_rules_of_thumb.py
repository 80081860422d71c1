"""Which rule of thumb finds the value from order flow?

A market maker starts ten price units off and moves the quotes by six rules; then by the linear one,
against 1 to 13 insiders. The linear rule is the one of Kyle (1985).

    python examples/25_rules_of_thumb.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import diffeq
from diffeq import holden, price_rules
from diffeq.figures import price_rules as draw
from diffeq.price_rules import RULES, Params

jax.config.update("jax_enable_x64", True)

PARAMS, ROUNDS, PATHS = Params(), 50, 2000
INSIDERS = np.array([1.0, 4.0, 7.0, 10.0, 13.0])
NOTE = rf"$\sigma_v$ = {PARAMS.sigma_v:g}, $\sigma_u$ = {PARAMS.sigma_u:g}"


def by_rule(output: Path) -> None:
    """Six rules, the same noise: how soon the mid is near, and how far off in the end."""
    lambda_ = price_rules.impact(PARAMS)
    market = holden.Params(PARAMS.sigma_v, PARAMS.sigma_u, PARAMS.num_insiders)
    assert jnp.isclose(lambda_, diffeq.check(holden.solve(market, num_auctions=1)).lambda_[0])
    key = jax.random.key(2)
    shape = dict(num_rounds=ROUNDS, num_paths=PATHS)
    paths = {name: price_rules.simulate(key, PARAMS, rule=name, **shape) for name in RULES}
    print(f"From {PARAMS.mid_0 - PARAMS.value:g} off, {PATHS} paths of {ROUNDS} rounds")
    print("  rule           rounds until within 2   off at the end (mean, standard deviation)")
    for name, path in paths.items():
        off = np.asarray(path.mid) - PARAMS.value
        near = np.flatnonzero(np.abs(off.mean(axis=0)) < 2)
        soon = str(near[0]) if near.size else "never"
        print(f"  {name:<14}{soon:>22}{off[:, -1].mean():>18.2f}{off[:, -1].std():>20.2f}")
    spoken = [name.replace("_", " ") for name in RULES]
    flow = np.linspace(-12, 12, 481)
    change = [rule(flow, lambda_) for rule in RULES.values()]
    note = rf"{NOTE}; $\lambda$ = {float(lambda_):g}; grey: the linear rule"
    figure = draw.rules(flow, change, names=spoken, reference=lambda_ * flow, note=note)
    figure.savefig(output / "25_rules.png", dpi=150)
    bid, ask = (np.stack([getattr(p, side)[0] for p in paths.values()]) for side in ("bid", "ask"))
    figure = draw.quotes(
        bid,
        ask,
        value=PARAMS.value,
        labels=spoken,
        title="The same noise, six rules: who moves more is there sooner and never at rest",
        note=f"{NOTE}, $M$ = 1",
    )
    figure.savefig(output / "25_quotes_by_rule.png", dpi=150)
    figure = draw.quotes(bid[:1], ask[:1], value=PARAMS.value, labels=["linear rule"], note=NOTE)
    figure.savefig(output / "25_quotes.png", dpi=150)


def by_insiders(output: Path) -> None:
    """The linear rule against M insiders: the error shrinks by 1/(M+1) a round."""

    def quoted(M: jax.Array) -> price_rules.Paths:
        params = PARAMS._replace(num_insiders=M)
        return price_rules.simulate(jax.random.key(2), params, num_rounds=ROUNDS)

    paths = jax.vmap(quoted)(INSIDERS)
    figure = draw.quotes(
        paths.bid[:, 0],
        paths.ask[:, 0],
        value=PARAMS.value,
        labels=[f"M = {M:g}" for M in INSIDERS],
        title="More insiders: the quotes are right at once, and stay near",
        note=f"{NOTE}, linear rule",
    )
    figure.savefig(output / "25_quotes_by_insiders.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    by_rule(folder)
    by_insiders(folder)
