"""What do buys and sales, without prices or values, tell about the informed traders?

From many days alpha and mu_0; from one day alpha alone, as one day is one draw of the value. And
whether the standard errors are honest: a hundred samples.

    python examples/15_informed_traders_from_orders.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import diffeq
from diffeq import glosten_milgrom as gm
from diffeq.figures import BLUE, GREY, VERMILION, canvas, name_panel

jax.config.update("jax_enable_x64", True)

TRUTH = gm.Params(mu_0=0.6, alpha=0.2)
T, DAYS, SAMPLES = 150, 250, 100


def main(output: Path) -> None:
    """Estimate from many days, from one day, from a hundred samples of days."""
    diffeq.check(gm.solve(TRUTH), TRUTH)
    days = gm.simulate(jax.random.key(1996), TRUTH, num_trades=T, num_paths=SAMPLES * DAYS)
    samples = [x.reshape(SAMPLES, DAYS) for x in gm.count_orders(days.order)]
    buys, sells = (x[0] for x in samples)
    many = gm.calibrate(buys, sells)
    print(f"{DAYS} days of {T} trades; truth: mu_0 = {TRUTH.mu_0}, alpha = {TRUTH.alpha}\n{many}\n")

    one = gm.calibrate(buys[0], sells[0], mu_0=0.5)
    print(f"The first day alone, {int(buys[0])} buys and {int(sells[0])} sales:")
    print(f"  alpha = {one.params.alpha:.4f} ± {one.standard_errors.alpha:.4f}")
    print("  for mu_0: one draw of the value; it is given, here as one half.")

    estimates, errors = estimate(*samples)
    off = np.abs(estimates - np.array([TRUTH.mu_0, TRUTH.alpha])) / errors
    for name, within in zip(("mu_0", "alpha"), (off <= 2).sum(axis=0), strict=True):
        print(f"{SAMPLES} samples of {DAYS} days: {name} within two standard errors in {within}")
    draw(estimates, errors, output)


@jax.jit
@jax.vmap
def estimate(buys: jax.Array, sells: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(mu_0, alpha) and standard errors of one sample: Newton's method on the log-likelihood."""

    def loss(at: jax.Array) -> jax.Array:
        params = TRUTH._replace(mu_0=at[0], alpha=at[1])
        return -jnp.sum(gm.log_likelihood(params, buys, sells))

    start = jnp.stack([jnp.mean(buys > sells), jnp.sum(jnp.abs(buys - sells)) / (T * DAYS)])

    def newton(_: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        at, _covariance = state
        covariance = jnp.linalg.inv(jax.hessian(loss)(at))
        return at - covariance @ jax.grad(loss)(at), covariance

    at, covariance = jax.lax.fori_loop(0, 8, newton, (start, jnp.eye(2)))
    return at, jnp.sqrt(jnp.diag(covariance))


def draw(estimates: np.ndarray, errors: np.ndarray, output: Path) -> None:
    """Every sample's estimate of alpha with two standard errors, in order."""
    alpha, error = np.asarray(estimates)[:, 1], np.asarray(errors)[:, 1]
    order = np.argsort(alpha)
    far = np.abs(alpha - TRUTH.alpha)[order] > 2 * error[order]
    figure, (panel,) = canvas(
        1,
        1,
        size=(7.2, 4.2),
        title="The share of informed traders, from buys and sales alone",
        note=f"{SAMPLES} samples: {DAYS} days, {T} trades; bars: 2 standard errors; dashed: truth",
    )
    rank = np.arange(1, SAMPLES + 1)
    for here, color, marker in ((~far, BLUE, "o"), (far, VERMILION, "s")):
        panel.errorbar(
            rank[here],
            alpha[order][here],
            2 * error[order][here],
            fmt=marker,
            color=color,
            markersize=3,
            elinewidth=0.8,
        )
    panel.axhline(TRUTH.alpha, color=GREY, linewidth=1.2, linestyle="--")
    name_panel(panel, "", x="sample, in order of its estimate", y=r"estimate of $\alpha$")
    figure.savefig(output / "15_informed_traders.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
