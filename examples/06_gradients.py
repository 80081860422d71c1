"""What would one more insider, or another timetable of auctions, change?

Gradients of an equilibrium answer both: the derivative of lambda_1 in the (real) number of
insiders, and the timetable of four auctions that costs noise traders least, found by descent.

    python examples/06_gradients.py [OUTPUT_FOLDER]
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import diffeq
from diffeq import holden
from diffeq.figures import insiders

jax.config.update("jax_enable_x64", True)

THREE = holden.Params(num_insiders=3.0)
N = 4


def one_more_insider() -> None:
    """The derivative of lambda_1 in M next to the exact effect of M → M + 1, ten auctions."""

    def first_impact(M: jax.Array) -> jax.Array:
        return holden.solve(holden.Params(num_insiders=M), num_auctions=10).lambda_[0]

    M = np.array([1.0, 2.0, 3.0, 5.0, 10.0])
    slope = jax.jit(jax.vmap(jax.grad(first_impact)))(M)
    level, more = jax.jit(jax.vmap(first_impact))(np.stack([M, M + 1]).ravel()).reshape(2, -1)
    print("Ten auctions, impact of the first (price units per unit of flow):")
    print("   M   lambda_1   d lambda_1/dM   one more insider")
    for row in zip(M, level, slope, more - level, strict=True):
        print("  {:>2.0f}   {:8.4f}   {:+13.4f}   {:+16.4f}".format(*map(float, row)))


def noise_loss(logits: jax.Array) -> jax.Array:
    """Expected loss of the noise traders when auction n takes the share softmax(logits)_n."""
    spacing = jax.nn.softmax(logits)  # positive, sums to one: the descent is unconstrained
    solution = holden.solve(THREE, num_auctions=N, spacing=spacing)
    return holden.noise_loss(solution, THREE, spacing=spacing)


def best_spacing() -> tuple[np.ndarray, float, float]:
    """The lengths of the four auctions of least loss, that loss, and its gradient there."""
    optimiser = optax.adam(0.05)

    @jax.jit
    def step(logits, state):  # type: ignore[no-untyped-def]
        loss, gradient = jax.value_and_grad(noise_loss)(logits)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(logits, updates), state, loss, gradient

    ends = []
    # a long last auction, a long first one, and equal lengths: the loss is not convex
    for start in ([0.0, 0, 0, 1], [1.0, 0, 0, 0], [0.0, 0, 0, 0]):
        logits = jnp.array(start)
        state = optimiser.init(logits)
        for _ in range(600):
            logits, state, loss, gradient = step(logits, state)
        ends.append((float(loss), np.asarray(jax.nn.softmax(logits)), float(abs(gradient).max())))
    loss, spacing, gradient = min(ends, key=lambda end: end[0])
    print(f"Loss where the descents ended: {', '.join(f'{end[0]:.4f}' for end in ends)} (money)")
    return spacing, loss, gradient


def main(output: Path) -> None:
    """Print both answers, write the figure of the second."""
    one_more_insider()
    spacing, loss, gradient = best_spacing()
    equal = np.full(N, 1 / N)
    cases = [
        diffeq.check(holden.solve(THREE, num_auctions=N, spacing=dt), THREE)
        for dt in (equal, spacing)
    ]
    single = diffeq.check(holden.solve(THREE, num_auctions=1), THREE)
    print("Three insiders, four auctions; expected loss of noise traders per day (money):")
    print(f"  one auction              {float(holden.noise_loss(single, THREE)):.4f}")
    print(f"  four of equal length     {float(holden.noise_loss(cases[0], THREE)):.4f}")
    shares = ", ".join(f"{share:.1%}" for share in spacing)
    print(f"  four of {shares} of the day: {loss:.4f} (gradient {gradient:.0e})")

    figure = insiders.paths(
        np.stack([np.cumsum(equal), np.cumsum(spacing)]),
        *(np.stack([getattr(c, name) for c in cases]) for name in ("lambda_", "beta", "Sigma")),
        labels=["equal lengths", "least loss"],
        title="Short auctions first: insiders spend their information before most noise arrives",
        note=f"three insiders, four auctions; noise traders lose {loss:.2f} instead of "
        f"{float(holden.noise_loss(cases[0], THREE)):.2f} a day",
    )
    figure.savefig(output / "06_best_spacing.png", dpi=150)


if __name__ == "__main__":
    default = Path(__file__).parent / "output"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
