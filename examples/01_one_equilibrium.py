"""What does the equilibrium of Kyle (1985) look like, and how does it move with its parameters?

One insider, ten auctions, the parameters of the figures: solve, check, differentiate.

    python examples/01_one_equilibrium.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import diffeq
from diffeq import holden, kyle
from diffeq.figures import insiders

jax.config.update("jax_enable_x64", True)

N = 10
FIELDS = ("lambda_", "beta", "Sigma")


def elasticities(num_auctions: int) -> jax.Array:
    """d log (lambda_1, beta_N, Sigma_N) / d log (sigma_v, sigma_u, M) at M = 1; shape (3, 3).

    Kyle's model is Holden & Subrahmanyam's at M = 1, where M may be moved as well.
    """

    def quantities(log_params: jax.Array) -> jax.Array:
        sigma_v, sigma_u, M = jnp.exp(log_params)
        solution = holden.solve(holden.Params(sigma_v, sigma_u, M), num_auctions=num_auctions)
        return jnp.stack([solution.log_lambda[0], solution.log_beta[-1], solution.log_Sigma[-1]])

    start = jnp.log(jnp.array([kyle.Params().sigma_v, kyle.Params().sigma_u, 1.0]))
    return jax.jit(jax.jacfwd(quantities))(start)


def main(output: Path) -> None:
    """Solve, print the answer, write the figures."""
    params = kyle.Params()
    solution = diffeq.check(kyle.solve(params, num_auctions=N), params)
    profit, loss = kyle.insider_profit(solution, params), kyle.noise_loss(solution, params)
    print(f"Kyle (1985): sigma_v = {params.sigma_v}, sigma_u = {params.sigma_u}, {N} auctions")
    print(f"  largest residual of the equilibrium conditions  {solution.info.residual:.1e}")
    print("  impact lambda_1, lambda_N   ", end="")
    print(f"{solution.lambda_[0]:.4f}, {solution.lambda_[-1]:.4f} price units per unit of flow")
    left = solution.Sigma[-1] / params.sigma_v**2
    print(f"  uncertainty left at the end  {left:.1%} of the prior variance")
    print(f"  the insider earns {profit:.6f}, noise traders lose {loss:.6f} (money)")

    table = elasticities(N)
    print("Elasticities, M = 1              sigma_v  sigma_u        M")
    for name, row in zip(("lambda_1", "beta_N", "Sigma_N"), np.asarray(table), strict=True):
        print(f"  {name:<28} " + "".join(f"{e:9.3f}" for e in row))

    time = np.arange(1, N + 1) / N
    continuous = kyle.limit(params, time[:-1])  # holds at t < 1
    pairs = [
        np.stack([getattr(solution, name), np.append(getattr(continuous, name), np.nan)])
        for name in FIELDS
    ]
    deviations = rf"$\sigma_v$ = {params.sigma_v:g}, $\sigma_u$ = {params.sigma_u:g}"
    note = f"Kyle (1985): {deviations}, one insider"
    figure = insiders.paths(
        time,
        *pairs,
        labels=[f"N = {N}", "N → ∞"],
        title="One insider: impact nearly constant, information released evenly",
        note=note,
    )
    figure.savefig(output / "01_paths.png", dpi=150)
    figure = insiders.sensitivities(table, note=f"{note}, {N} auctions")
    figure.savefig(output / "01_sensitivities.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
