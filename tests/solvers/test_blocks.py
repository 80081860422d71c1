"""Batches in blocks: the numbers of plain vmap, whatever the sizes, nestings and transforms."""

from functools import partial

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers import blocks

LANES = 8


def fn(x: jax.Array, tree: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """A recursion with a scan, as the models have; pytrees in and out, one output an int."""
    scale, shift = tree["scale"], tree["shift"]

    def step(carry: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
        carry = carry / (1 + carry * carry) * s + shift
        return carry, carry

    last, path = jax.lax.scan(step, x, scale)
    return {"last": last, "path": path, "sign": jnp.sign(last).astype(jnp.int32)}


blocked = blocks.in_blocks(fn, lanes=LANES)


def batch(*sizes: int) -> tuple[jax.Array, dict[str, jax.Array]]:
    rng = np.random.default_rng(sum(sizes))
    x, shift = (jnp.asarray(rng.normal(size=sizes), float) for _ in range(2))
    scale = jnp.asarray(rng.uniform(1, 2, (*sizes, 3)), float)
    return x, {"scale": scale, "shift": shift}


def close(got, expected) -> None:  # noqa: ANN001
    eps = float(jnp.finfo(jnp.zeros(()).dtype).eps)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        helpers.assert_close_by_norm(a, b, 8 * eps)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 17, 23, 24, 25, 100])
def test_sizes_around_the_block_boundaries(size: int) -> None:
    """Below, at and above one, two and three blocks, with and without a remainder."""
    args = batch(size)
    close(jax.vmap(blocked)(*args), jax.vmap(fn)(*args))


def test_under_jit_and_without_vmap() -> None:
    """jit of vmap, and one lane by itself."""
    args = batch(25)
    close(jax.jit(jax.vmap(blocked))(*args), jax.vmap(fn)(*args))
    one = jax.tree.map(lambda a: a[0], args)
    close(blocked(*one), fn(*one))


@pytest.mark.parametrize(
    "axes",
    [(0, None), (None, 0), (0, {"scale": None, "shift": 0}), (0, {"scale": 0, "shift": None})],
)
def test_arguments_shared_by_all_lanes(axes) -> None:  # noqa: ANN001
    """Unbatched arguments, whole or leaf by leaf, are neither cut nor copied wrongly."""
    x, tree = batch(25)

    def pick(axis, leaf):  # noqa: ANN001, ANN202
        return leaf if axis == 0 else leaf[0]

    first = pick(axes[0], x)
    second = {
        name: pick(axes[1][name] if isinstance(axes[1], dict) else axes[1], leaf)
        for name, leaf in tree.items()
    }
    close(jax.vmap(blocked, in_axes=axes)(first, second), jax.vmap(fn, in_axes=axes)(first, second))


def test_other_batch_axes() -> None:
    """A batch that lies on the last axis comes back on the axis asked for."""
    x, tree = batch(20)
    moved = {"scale": jnp.moveaxis(tree["scale"], 0, -1), "shift": tree["shift"]}
    axes = (0, {"scale": 1, "shift": 0})
    nested = [jax.vmap(f, in_axes=axes, out_axes=-1)(x, moved) for f in (blocked, fn)]
    close(*nested)


@pytest.mark.parametrize("sizes", [(3, 25), (25, 3), (20, 20), (2, 2), (1, 40), (40, 1)])
def test_nested_batches_in_either_order(sizes: tuple[int, int]) -> None:
    """Two vmaps, inner and outer larger or smaller than a block, in either order."""
    args = batch(*sizes)
    close(jax.vmap(jax.vmap(blocked))(*args), jax.vmap(jax.vmap(fn))(*args))
    inner = partial(jax.vmap, in_axes=(1, {"scale": 1, "shift": 1}), out_axes=1)
    swapped = inner(jax.vmap(blocked))(*args)
    close(swapped, jax.vmap(jax.vmap(fn))(*args))


def test_a_product_grid_of_separate_arguments() -> None:
    """vmap over x outside, over the parameters inside: the way a grid is written."""
    x, _ = batch(20)
    _, tree = batch(9)

    def grid(f):  # noqa: ANN001, ANN202
        return jax.jit(jax.vmap(jax.vmap(f, (None, 0)), (0, None)))(x, tree)

    close(grid(blocked), grid(fn))


def test_three_nested_batches() -> None:
    """Lanes shrink to one a block without going wrong."""
    args = batch(3, 5, 4)
    triple = lambda f: jax.vmap(jax.vmap(jax.vmap(f)))  # noqa: E731
    close(triple(blocked)(*args), triple(fn)(*args))


def test_a_nan_lane_stays_in_its_lane() -> None:
    """The overlapping last block writes each lane from its own inputs."""
    x, tree = batch(25)
    good = jax.vmap(blocked)(x, tree)
    bad = jax.vmap(blocked)(x.at[jnp.asarray([3, 20])].set(jnp.nan), tree)
    keep = np.delete(np.arange(25), [3, 20])
    helpers.assert_same_bits(*(jax.tree.map(lambda a: a[keep], t) for t in (good, bad)))
    assert np.isnan(np.asarray(bad["last"])[[3, 20]]).all()


def test_an_empty_batch() -> None:
    """No lanes in, no lanes out."""
    out = jax.vmap(blocked)(jnp.zeros(0), {"scale": jnp.ones((0, 3)), "shift": jnp.zeros(0)})
    assert out["path"].shape == (0, 3)


def test_inside_a_scan() -> None:
    """A batch solved in blocks at each step of a loop."""
    x, tree = batch(25)

    def loop(f):  # noqa: ANN001, ANN202
        def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return jax.vmap(f)(x, tree)["last"], None

        return jax.lax.scan(step, x, None, length=3)[0]

    close(loop(blocked), loop(fn))


@pytest.mark.parametrize("lanes", [0, -8])
def test_blocks_of_no_lanes_are_refused(lanes: int) -> None:
    """A block holds at least one lane."""
    with pytest.raises(ValueError, match="lanes"):
        blocks.in_blocks(fn, lanes=lanes)


@pytest.mark.parametrize("outer", [1, 3])
def test_lanes_alike_in_work_go_together(outer: int) -> None:
    """Every lane's own result in its own place, and blocks of neighbours in work."""
    n = jnp.asarray(np.random.default_rng(1).permutation(50)[: 50 - 50 % outer].reshape(outer, -1))
    seen = []

    def spread(block: jax.Array) -> jax.Array:
        seen.append(int(np.ptp(block)))
        return block

    def watched(n: jax.Array) -> jax.Array:
        shape = jax.ShapeDtypeStruct(n.shape, n.dtype)
        n = jax.pure_callback(spread, shape, n, vmap_method="broadcast_all")
        return jax.lax.while_loop(lambda i: i < n, lambda i: i + 1, 0 * n)

    steps = jax.vmap(jax.vmap(blocks.in_blocks(watched, lanes=LANES, work=lambda n: n)))(n)
    np.testing.assert_array_equal(steps, n)
    if outer == 1:
        assert max(seen) < 2 * LANES, "a block of lanes in any order would span some 40"


# Derivatives


def path(x: jax.Array, scale: jax.Array) -> dict[str, jax.Array]:
    """Smooth, of different shapes."""
    return {"path": fn(x, {"scale": scale, "shift": x**2})["path"], "power": x**3}


@jax.custom_jvp
def pushed(x: jax.Array, scale: jax.Array) -> dict[str, jax.Array]:
    return blocks.in_blocks(path)(x, scale)


@pushed.defjvp
def _pushed_jvp(primals, tangents):  # noqa: ANN001, ANN202
    return pushed(*primals), blocks.pushforward(path, primals, tangents)


def total(f, x: jax.Array, scale: jax.Array) -> jax.Array:  # noqa: ANN001
    found = f(x, scale)
    return jnp.sum(found["path"] * np.array([1.0, -2, 3])) + found["power"]


@pytest.mark.parametrize("argnums", [0, 1, (0, 1)])
@pytest.mark.parametrize("size", [5, 2 * blocks.LANES + 7])
def test_pushforward_is_the_derivative(size: int, argnums) -> None:  # noqa: ANN001
    """Forwards and in reverse, in one argument or all, of small batches and large."""
    x, tree = batch(size)
    for derivative in (jax.jacfwd, jax.grad):
        got, expected = (
            jax.jit(jax.vmap(derivative(partial(total, f), argnums)))(x, tree["scale"])
            for f in (pushed, path)
        )
        close(got, expected)


@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("inner", [jax.jacfwd, jax.jacrev])
def test_pushforward_has_second_derivatives(outer, inner) -> None:  # noqa: ANN001
    """In every pair of modes, by lane and of a sum over lanes."""
    x, tree = batch(3)
    args = x, tree["scale"]

    def curvature(f):  # noqa: ANN001, ANN202
        return outer(inner(partial(total, f), (0, 1)), (0, 1))

    close(*(jax.jit(jax.vmap(curvature(f)))(*args) for f in (pushed, path)))

    def sums(f):  # noqa: ANN001, ANN202
        return outer(inner(lambda *args: jnp.sum(jax.vmap(partial(total, f))(*args)), 1), 1)

    close(*(jax.jit(sums(f))(*args) for f in (pushed, path)))


def test_a_lane_without_a_derivative_stays_in_its_lane() -> None:
    x, tree = batch(2 * blocks.LANES + 7)
    x = x.at[11].set(jnp.nan)
    got, expected = (
        jax.jit(jax.vmap(jax.grad(partial(total, f), (0, 1))))(x, tree["scale"])
        for f in (pushed, path)
    )
    others = np.arange(len(x)) != 11
    close(*(jax.tree.map(lambda leaf: leaf[others], lanes) for lanes in (got, expected)))
    assert np.isnan(got[0][11]) and np.isnan(got[1][11]).all()
