"""Sensitivities: finite differences of the public functions, and what theory says of them."""

from typing import Any, NamedTuple

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.check import Info
from diffeq.market_making import approximations, exponential
from diffeq.market_making.model import Params
from diffeq.market_making.moments import statistics
from diffeq.market_making.sensitivities import QUANTITIES, sensitivity

TIMES, Q, INVENTORY = np.linspace(0.0, 0.5, 17), 4, 1  # no chance of a fill is at its cap
PARAMS = Params(sigma=2.0, A=(20.0, 24.0), k=1.5, gamma=0.2, phi_T=0.05, drift=0.3, eps=0.02)
NAMES = ("sigma", "A bid", "A ask", "k", "gamma", "phi_T", "drift", "eps")


@pytest.mark.float64
def test_slopes_are_the_differences() -> None:
    """Every quantity by every parameter, quotes and profit computed apart at moved parameters."""
    found = sensitivity(PARAMS, max_inventory=Q, times=TIMES, inventory=INVENTORY)
    assert found.parameters == NAMES and found.quantities == QUANTITIES
    at = np.array([2.0, 20.0, 24.0, 1.5, 0.2, 0.05, 0.3, 0.02])
    np.testing.assert_array_equal(found.at, at)

    @jax.jit
    def direct(x: Any) -> Any:
        params = Params(x[0], x[1:3], x[3], x[4], 0.0, *x[5:])
        policy = exponential.solve(params, max_inventory=Q, times=TIMES)
        moments = statistics(policy, params, times=TIMES, initial_inventory=INVENTORY)
        b, a = policy.delta_b[0, Q + INVENTORY], policy.delta_a[0, Q + INVENTORY]
        return b, a, b + a, moments.mean_profit, moments.sd_profit

    value = np.array([float(x) for x in direct(at)])
    helpers.assert_close(found.value, value, 1e-12)
    slopes = helpers.differences(lambda x: np.array([float(y) for y in direct(x)]), at)
    helpers.assert_close_by_norm(found.slope, slopes, 1e-9)
    shares = slopes * at[None] / value[:, None]
    np.testing.assert_allclose(found.elasticity, shares, atol=1e-8)
    assert bool(found.info.converged)


class Rule(NamedTuple):
    """What a solver returns, as far as it is looked at."""

    delta_b: Any
    delta_a: Any
    info: Info


def rule(params: Params, *, max_inventory: int, times: Any, objective: str) -> Rule:
    """Depths 1/k + phi (1 ± 2q): a solver of one's own, whose slopes are plain to see."""
    assert objective == "penalty"
    depths = approximations.tabulate(
        lambda t, q: (
            1 / params.k + params.phi * (1 + 2 * q),
            1 / params.k + params.phi * (1 - 2 * q),
        ),
        max_inventory=max_inventory,
        times=times,
    )
    return Rule(*depths, Info(jnp.asarray(True), jnp.asarray(0.0)))


def test_own_rule_and_table() -> None:
    """Slopes by hand; risk and fills as they must be; the other objective's parameter is absent."""
    params = Params(sigma=0.5, A=20.0, k=1.5, phi=0.1, gamma=0.0)
    shape: Any = dict(max_inventory=Q, times=TIMES, inventory=1, objective="penalty")
    found = sensitivity(params, solve=rule, **shape)
    assert found.parameters == ("sigma", "A", "k", "phi", "phi_T", "drift", "eps")
    column = dict(zip(found.parameters, np.asarray(found.slope, np.float64).T, strict=True))
    quotes = found.value[:3]
    np.testing.assert_allclose(quotes, [1 / 1.5 + 0.3, 1 / 1.5 - 0.1, 2 / 1.5 + 0.2], rtol=1e-6)
    np.testing.assert_allclose(column["k"][:3], [-1 / 1.5**2, -1 / 1.5**2, -2 / 1.5**2], rtol=1e-6)
    np.testing.assert_allclose(column["phi"][:3], [3, -1, 2], rtol=1e-5)
    assert (column["sigma"][:4] == 0).all() and column["sigma"][4] > 0
    assert column["A"][3] > 0 and column["eps"][3] < 0
    assert (column["phi_T"] == 0).all() and column["drift"][3] > 0  # one unit is held
    share = np.asarray(found.elasticity, np.float64)
    want = np.asarray(found.slope * found.at[None] / found.value[:, None])
    np.testing.assert_allclose(share, want, rtol=1e-6)
    idle = sensitivity(params._replace(A=0.0), solve=rule, **shape)  # earns nothing, on average
    assert idle.value[3] == 0 and (idle.elasticity[3][idle.at == 0] == 0).all()
    rows = str(found).splitlines()
    assert len(rows) == 2 + len(found.parameters) and "mean_profit" in rows[0]
    assert rows[5].split()[:2] == ["phi", "0.1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(inventory=Q), "inventory"),
        (dict(times=[1.0]), "times: expected at least two"),
        (dict(params=Params(sigma=-1.0)), "Params.sigma"),
        (dict(objective="mean"), "objective"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    arguments: Any = dict(params=Params(), max_inventory=Q, times=TIMES) | change
    with pytest.raises(ValueError, match=message):
        sensitivity(arguments.pop("params"), **arguments)
