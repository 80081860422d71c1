"""Which policy pays, and for how much risk?

Mean and standard deviation of a day's profit, exactly, of four policies over risk aversion, in the
steps of the tables of Avellaneda & Stoikov (2008); 10 000 simulated days of each must agree. (The
optimum is that of continuous time and exponential utility: in steps, by mean and variance, it need
not be the best to the last digit.)

    python examples/21_which_policy_pays.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import diffeq
from diffeq.figures import market_making_profit as draw
from diffeq.market_making import Params, approximations, moments, optimum, simulation
from diffeq.market_making.approximations import Depths

jax.config.update("jax_enable_x64", True)

Q, DAYS, TIMES = 50, 10_000, np.linspace(0.0, 1.0, 201)
GAMMA = np.geomspace(0.01, 1.0, 13)
AT = 6  # gamma = .1
POLICIES = ["optimum", "formula of 2008", "stationary", "symmetric"]
PUBLISHED = {"formula of 2008": (65.0, 6.6), "symmetric": (68.4, 12.7)}


def quoted(params: Params) -> tuple[Depths, optimum.Solution]:
    """The four policies' depths, stacked, and the solution that the first was taken from."""
    shape = dict(max_inventory=Q, times=TIMES)
    best = optimum.solve(params, **shape)
    rest = (approximations.avellaneda_stoikov, approximations.stationary, approximations.symmetric)
    tables = [Depths(best.delta_b, best.delta_a), *(policy(params, **shape) for policy in rest)]
    return jax.tree.map(lambda *x: jnp.stack(x), *tables), best


def table(exact: moments.Statistics) -> None:
    """Print what each policy earns, for how much risk."""
    print("Exact, T = 1 in 200 steps; worth = mean − gamma/2 variance")
    print("  gamma  policy             mean profit    s.d.   s.d. of q_T    spread     worth")
    for j in (0, AT, len(GAMMA) - 1):
        for i, name in enumerate(POLICIES):
            mean, sd = exact.mean_profit[j, i], exact.sd_profit[j, i]
            worth = mean - GAMMA[j] / 2 * sd**2
            rest = f"{exact.sd_inventory[j, i]:>13.2f} {exact.spread[j, i]:>9.3f} {worth:>9.2f}"
            print(f"  {GAMMA[j]:5.2f}  {name:<17} {mean:>12.2f} {sd:>7.2f} {rest}")


def days_of(policies: Depths) -> np.ndarray:
    """Profits of simulated days of each policy at one gamma, shape (policy, day)."""
    params = Params(gamma=float(GAMMA[AT]))

    def day(key: jax.Array, policy: Depths) -> jax.Array:
        paths = simulation.simulate(key, params, policy, times=TIMES, num_paths=DAYS)
        return paths.profit[:, -1]

    each = zip(*policies, strict=True)
    return np.stack([day(jax.random.key(i), Depths(*policy)) for i, policy in enumerate(each)])


def agree(profit: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, ...]:
    """Standard deviation and mean of the days, and their errors: within four of the exact ones."""
    away = profit - profit.mean(axis=1, keepdims=True)
    drawn_mean, drawn_sd = profit.mean(axis=1), profit.std(axis=1, ddof=1)
    error_mean = drawn_sd / np.sqrt(DAYS)
    error_sd = (away**2).std(axis=1) / (2 * drawn_sd * np.sqrt(DAYS))
    print(f"{DAYS} simulated days of each at gamma = 0.1 (s.e.); the paper's 1000 in []")
    for i, name in enumerate(POLICIES):
        drawn = (
            f"{drawn_mean[i]:.2f} ({error_mean[i]:.2f}), s.d. {drawn_sd[i]:.2f} ({error_sd[i]:.2f})"
        )
        paper = "[{}, {}]".format(*PUBLISHED[name]) if name in PUBLISHED else ""
        print(f"  {name:<17} {drawn}  {paper}")
    assert (abs(drawn_mean - mean) < 4 * error_mean).all()
    assert (abs(drawn_sd - sd) < 4 * error_sd).all()
    return drawn_sd, drawn_mean, error_sd, error_mean


def main(output: Path) -> None:
    """Exact moments for every gamma; the simulation at one; the figures."""

    def judged(gamma: jax.Array) -> tuple[moments.Statistics, optimum.Solution, Depths]:
        params = Params(gamma=gamma)
        policies, best = quoted(params)
        found = jax.vmap(lambda x: moments.statistics(x, params, times=TIMES))(policies)
        return found, best, policies

    exact, best, policies = jax.jit(jax.vmap(judged))(GAMMA)
    diffeq.check(best)
    diffeq.check(exact)
    table(exact)
    mean, sd = np.asarray(exact.mean_profit).T, np.asarray(exact.sd_profit).T
    profit = days_of(jax.tree.map(lambda x: x[AT], policies))
    drawn = agree(profit, mean[:, AT], sd[:, AT])

    setting = r"$\sigma$ = 2, $A$ = 140, $k$ = 1.5, $T$ = 1 in 200 steps, from $q$ = 0"
    draw.profit_against_risk(
        sd,
        mean,
        GAMMA,
        labels=POLICIES,
        named=(0, AT, len(GAMMA) - 1),
        simulated=drawn,
        title="The optimum earns more for its risk than the formula of 2008",
        note=rf"lines: exact, $\gamma$ from 0.01 to 1; crosses: $\gamma$ = 0.1; {setting}",
    ).savefig(output / "21_profit_against_risk.png", dpi=150)
    shown = [0, 1, 3]
    draw.profit_law(
        profit[shown],
        labels=[POLICIES[i] for i in shown],
        note=rf"{DAYS} simulated days of each, $\gamma$ = 0.1; {setting}",
    ).savefig(output / "21_profit.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
