"""A pytree of parameters read as one vector of unconstrained coordinates, and back.

`Layout` is the static half (structure, shapes, dtype, names, domains): hashable, so that programs
compiled for one layout serve every later fit with it. The values travel apart, as arrays.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffeq.calibrate.domains import Coordinate, Domain, Fixed, Real

__all__ = ["Layout", "check_domains", "entries", "layout_of"]

Params = Any
"""A pytree (usually a NamedTuple) whose leaves are floats or arrays of floats."""


class Layout(NamedTuple):
    """The static description of a parameter pytree. Leaves are in the pytree's order."""

    treedef: Any
    """Structure of the pytree."""
    names: tuple[str, ...]
    """Path of each leaf: "sigma_v", "left.rate", "rates[0]" for the first item of a list."""
    domains: tuple[Domain, ...]
    """Domain of each leaf."""
    shapes: tuple[tuple[int, ...], ...]
    """Shape of each leaf."""
    dtype: np.dtype[Any]
    """The one dtype of all leaves."""

    def free(self) -> tuple[bool, ...]:
        """Which leaves are estimated (not `Fixed`)."""
        return tuple(not isinstance(domain, Fixed) for domain in self.domains)

    def sizes(self) -> tuple[int, ...]:
        """Number of coordinates of each leaf."""
        pairs = zip(self.domains, self.shapes, strict=True)
        return tuple(domain.num_coordinates(shape) for domain, shape in pairs)

    def entry_names(self) -> tuple[tuple[str, ...], ...]:
        """Name of each entry of each leaf: ("weights[0]", "weights[1]"), row-major."""
        return tuple(map(_entry_names, self.names, self.shapes))

    def coordinates(self) -> tuple[Coordinate, ...]:
        """The reading of every coordinate."""
        pairs = zip(self.domains, self.entry_names(), strict=True)
        return tuple(c for domain, names in pairs for c in domain.coordinates(names))

    def unconstrain(self, params: Params) -> jax.Array:
        """Coordinates u, shape (d,), of params."""
        leaves = jax.tree.leaves(params)
        parts = [
            domain.unconstrain(jnp.asarray(leaf, self.dtype))
            for domain, leaf in zip(self.domains, leaves, strict=True)
        ]
        return jnp.concatenate(parts)

    def constrain(self, u: jax.Array, params0: Params) -> Params:
        """The parameters at coordinates u; `Fixed` leaves keep their value in params0."""
        leaves, start = [], 0
        for domain, size, leaf in zip(
            self.domains, self.sizes(), jax.tree.leaves(params0), strict=True
        ):
            x0 = jnp.asarray(leaf, self.dtype)
            leaves.append(domain.constrain(u[start : start + size], x0))
            start += size
        return jax.tree.unflatten(self.treedef, leaves)

    def free_entries(self, params: Params) -> jax.Array:
        """All entries of the estimated leaves as one vector (a simplex has n, not n − 1)."""
        leaves = zip(self.free(), jax.tree.leaves(params), strict=True)
        return jnp.concatenate([jnp.ravel(leaf) for free, leaf in leaves if free])


def layout_of(params0: Params, domains: Mapping[str, Domain] | None) -> Layout:
    """The layout of params0 under domains given by leaf name; unnamed leaves are `Real()`.

    Raises:
        TypeError: a leaf that is not a real number or array, a domain that is none.
        ValueError: no leaves, a domain for a name that params0 lacks, nothing left to estimate.
    """
    paths, treedef = jax.tree_util.tree_flatten_with_path(params0)
    if not paths:
        raise ValueError(f"params0: expected a pytree with parameters, got {params0!r}")
    names = tuple(_leaf_name(path) for path, _ in paths)
    for name, (_, leaf) in zip(names, paths, strict=True):
        if not _is_real(leaf):
            raise TypeError(f"{name}: expected a float or an array of floats, got {leaf!r}")
    domains = {} if domains is None else domains
    if not isinstance(domains, Mapping):
        raise TypeError(f"domains: expected a mapping from names to domains, got {domains!r}")
    for name, domain in domains.items():
        if name not in names:
            raise ValueError(f"domains: expected names among {', '.join(names)}, got {name!r}")
        if isinstance(domain, type) or not hasattr(domain, "unconstrain"):
            raise TypeError(f"domain of {name}: expected a domain, e.g. Positive(), got {domain!r}")
    leaves = [leaf for _, leaf in paths]
    floats = [x for x in leaves if np.issubdtype(jnp.result_type(x), np.floating)]
    layout = Layout(
        treedef=treedef,
        names=names,
        domains=tuple(domains.get(name, Real()) for name in names),
        shapes=tuple(np.shape(leaf) for leaf in leaves),
        dtype=np.dtype(jnp.result_type(*floats) if floats else jnp.result_type(float)),
    )
    if not any(layout.free()):
        raise ValueError("domains: expected at least one parameter to estimate, got all Fixed()")
    return layout


def entries(params: Params) -> dict[str, float]:
    """Every entry of a pytree of concrete numbers, by name."""
    named: dict[str, float] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = _entry_names(_leaf_name(path), np.shape(leaf))
        named.update(zip(names, map(float, np.ravel(leaf)), strict=True))
    return named


def check_domains(layout: Layout, params0: Params) -> None:
    """Raise ValueError naming the first leaf whose value lies outside its domain (or is NaN)."""
    leaves = jax.tree.leaves(params0)
    for name, domain, leaf in zip(layout.names, layout.domains, leaves, strict=True):
        value = np.asarray(leaf, np.float64)
        if not domain.contains(value):
            shown = f"{value:g}" if value.shape == () else f"{value}"
            raise ValueError(f"{name}: expected a value inside {domain}, got {shown}")


def _entry_names(name: str, shape: tuple[int, ...]) -> tuple[str, ...]:
    """("sigma_v",) for a scalar, ("weights[0]", …) for an array."""
    if shape == ():
        return (name,)
    return tuple(f"{name}[{','.join(map(str, at))}]" for at in np.ndindex(*shape))


def _leaf_name(path: tuple[Any, ...]) -> str:
    """ "left.rate" for attributes and keys, "rates[0]" for positions, "params" for a bare leaf."""
    name = ""
    for key in path:
        if isinstance(key, jax.tree_util.SequenceKey):
            name += f"[{key.idx}]"
        else:
            part = getattr(key, "name", getattr(key, "key", key))
            name += f".{part}" if name else str(part)
    return name or "params"


def _is_real(leaf: Any) -> bool:
    """Whether a leaf is a real number or an array of them."""
    numeric = isinstance(leaf, float | int | np.generic | np.ndarray | jax.Array)
    return numeric and np.result_type(leaf).kind in "fiu"
