"""Policies of one's own and the fixed spread, as tables."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffeq.market_making import approximations
from diffeq.market_making.controls import Controls, controlled
from diffeq.market_making.model import Params

TIMES = np.array([0.0, 0.3, 1.0])
RTOL = 100 * float(jnp.finfo(jnp.result_type(float)).eps)


def test_a_function_becomes_its_table() -> None:
    """The formula of 2008 written out by hand is the library's; no quote beyond the edge."""

    def quote(t: Any, q: Any) -> Any:
        risk = 0.1 * 4.0 * (1.0 - t)
        half = risk / 2 + jnp.log(1 + 0.1 / 1.5) / 0.1
        return half + q * risk, half - q * risk

    found = approximations.tabulate(quote, max_inventory=4, times=TIMES)
    want = approximations.avellaneda_stoikov(Params(), max_inventory=4, times=TIMES)
    np.testing.assert_allclose(found.delta_b, want.delta_b, rtol=RTOL)
    np.testing.assert_allclose(found.delta_a, want.delta_a, rtol=RTOL)
    assert np.isposinf(found.delta_b[:, -1]).all() and np.isposinf(found.delta_a[:, 0]).all()


def test_tables_are_differentiable_and_may_withhold_a_quote() -> None:
    """In what the function closes over; +inf where it does not quote."""

    def skewed(x: Any) -> Any:
        quote = lambda t, q: (1 + x * q, jnp.where(q > 0, jnp.inf, 1 - x * q))  # noqa: E731
        return approximations.tabulate(quote, max_inventory=1, times=TIMES)

    slope = jax.jacfwd(lambda x: skewed(x).delta_b[0, :2])(0.1)
    np.testing.assert_array_equal(slope, [-1, 0])
    assert np.isposinf(skewed(0.1).delta_a[:, 2]).all()


def test_fixed_spread() -> None:
    """Half on each side; a traced negative one is NaN, with its gradient."""
    found = approximations.fixed(1.5, max_inventory=2, times=TIMES)
    assert (np.asarray(found.delta_b)[:, :-1] == 0.75).all()
    assert (np.asarray(found.delta_a)[:, 1:] == 0.75).all()
    at = lambda x: approximations.fixed(x, max_inventory=2, times=TIMES).delta_a[0, 1]  # noqa: E731
    assert jax.grad(at)(1.5) == 0.5
    assert np.isnan(jax.value_and_grad(at)(-1.0)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: approximations.fixed(-1.0, max_inventory=1, times=TIMES), "spread: expected a"),
        (lambda: approximations.fixed([1.0], max_inventory=1, times=TIMES), "spread: expected a"),
        (
            lambda: approximations.tabulate(lambda t, q: t, max_inventory=1, times=TIMES),
            "quote: expected",
        ),
        (
            lambda: approximations.tabulate(lambda t, q: (t, t), max_inventory=0, times=TIMES),
            "max_inventory",
        ),
        (
            lambda: controlled(
                approximations.fixed(1.0, max_inventory=1, times=TIMES), Controls(limit=-1)
            ),
            "Controls.limit",
        ),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
