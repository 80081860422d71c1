"""A batch over several devices: the numbers of one, wherever they are computed."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import devices

TWO_DEVICES = textwrap.dedent(
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_num_cpu_devices", 2)
    jax.config.update("jax_enable_x64", True)
    from diffeq import holden
    from solvers import blocks, devices

    size = 4 * blocks.LANES + 6  # in blocks, on each device too
    M = np.linspace(0.5, 15, size)
    M[[3, size - 2]] = np.nan, -1

    def solve(M):
        return holden.solve(holden.Params(num_insiders=M), num_auctions=3)

    def both(M):
        solution = solve(M)
        return solution[:5], solution.info.converged, jax.grad(lambda M: solve(M).beta[0])(M)

    expected = jax.jit(jax.vmap(both))(M)
    over_both = devices.vmap(both)
    even = over_both(M)
    assert len(jax.devices()) == 2
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(even)} == {2}
    shards = [leaf.addressable_shards[0].data for leaf in jax.tree.leaves(even)]
    assert {len(shard) for shard in shards} == {size // 2}
    assert np.flatnonzero(~np.asarray(even[1])).tolist() == [3, size - 2]
    uneven, one = over_both(M[:-1]), devices.vmap(both, jax.devices()[1:])(M)
    halves = devices.put({"M": M})["M"]
    assert [len(shard.data) for shard in halves.addressable_shards] == [size // 2] * 2
    assert devices.put(M[:-1]).shape == (size - 1,)
    placed = over_both(halves)
    for got, lanes in (even, size), (uneven, size - 1), (one, size), (placed, size):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b[:lanes], rtol=1e-13, atol=0)
    assert all(leaf.devices() == {jax.devices()[1]} for leaf in jax.tree.leaves(one))
    """
)


@pytest.mark.float64
def test_two_devices_give_the_numbers_of_one() -> None:
    """To rounding, good lanes and bad; half of an even batch lies on each."""
    found = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_one_device_is_plain_vmap() -> None:
    """Pytrees in and out."""
    x, tree = jnp.arange(3.0), {"y": jnp.ones((3, 2))}

    def fn(x: jax.Array, tree: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {"sum": x + tree["y"], "x": x}

    got, expected = devices.vmap(fn)(x, tree), jax.vmap(fn)(x, tree)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize(
    "args", [(1.0,), (np.ones(2), 1.0), (np.ones(2), np.ones(3)), (np.ones((0, 2)),), ()]
)
def test_batches_without_a_common_length_are_refused(args: tuple[object, ...]) -> None:
    """The shapes are told."""
    with pytest.raises(ValueError, match="one leading axis in common"):
        devices.vmap(lambda *args: args)(*args)
    with pytest.raises(ValueError, match="one leading axis in common"):
        devices.put(args)


def test_no_devices_are_refused() -> None:
    """Not a division by zero."""
    with pytest.raises(ValueError, match="devices: expected at least one"):
        devices.vmap(jnp.sqrt, [])
    with pytest.raises(ValueError, match="devices: expected at least one"):
        devices.put(np.ones(2), [])
