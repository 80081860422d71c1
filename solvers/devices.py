"""A batch over all devices: several GPUs, or the cores of a CPU.

XLA runs the loops of a recursion on one core of a CPU. Told to take each core for a device,

    jax.config.update("jax_num_cpu_devices", 2)  # before anything is computed

it lets each compute its part of a batch: ``vmap(fn)(put(batch))``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

PARTS = PartitionSpec("batch")


def vmap(fn: Callable[..., Any], devices: Sequence[jax.Device] | None = None) -> Callable[..., Any]:
    """``jax.jit(jax.vmap(fn))``, each device computing an equal part of the batch.

    Args:
      fn: pure function of arrays (pytrees of them), as for ``jax.vmap``; a gradient, for example.
      devices: those to use; default all of the default backend.

    Returns:
      The function of batches: all arguments have the same leading axis, and so has every result,
      which stays where it was computed. A batch that does not divide evenly is filled up with its
      last element, and the result cut, which gathers it.

    Raises:
      ValueError: no device; an argument without a leading axis, leading axes that differ, or an
        empty batch.

    >>> vmap(jnp.sqrt)(jnp.asarray([1.0, 4.0])).tolist()
    [1.0, 2.0]
    """
    mesh = _mesh(devices)

    @jax.jit
    def over_devices(*args: Any) -> Any:
        size = _size(args)
        short = -size % mesh.size
        full = jax.tree.map(lambda x: _filled(x, short), args) if short else args
        # what varies over devices is what varies over the batch: nothing to check
        mapped = jax.shard_map(
            jax.vmap(fn), mesh=mesh, in_specs=PARTS, out_specs=PARTS, check_vma=False
        )
        out = mapped(*full)
        return jax.tree.map(lambda x: x[:size], out) if short else out

    return over_devices


def put(batch: Any, devices: Sequence[jax.Device] | None = None) -> Any:
    """The batch, an equal part on each device: ``vmap`` over the same devices then moves nothing.

    Args:
      batch: arrays (pytrees of them) with the same leading axis.
      devices: as for :func:`vmap`.

    Returns:
      The same numbers; those of a batch that does not divide evenly where they were.

    Raises:
      ValueError: as :func:`vmap`.

    >>> put(jnp.asarray([1.0, 4.0])).tolist()
    [1.0, 4.0]
    """
    mesh = _mesh(devices)
    if _size(batch) % mesh.size:
        return batch
    return jax.device_put(batch, NamedSharding(mesh, PARTS))


def _mesh(devices: Sequence[jax.Device] | None) -> Mesh:
    devices = jax.devices() if devices is None else devices
    if not devices:
        raise ValueError("devices: expected at least one, got none")
    return Mesh(np.array(devices), ("batch",))


def _filled(x: jax.Array, short: int) -> jax.Array:
    return jnp.concatenate([x, jnp.broadcast_to(x[-1:], (short, *x.shape[1:]))])


def _size(args: Any) -> int:
    """The length of the batch."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(args)]
    leading = {shape[:1] for shape in shapes}
    if len(leading) != 1 or leading & {(), (0,)}:
        raise ValueError(
            f"batch: expected arrays with one leading axis in common, got shapes {shapes}; "
            "close over what all lanes share"
        )
    return leading.pop()[0]
