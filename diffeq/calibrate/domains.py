"""Parameter domains: where a parameter may lie, and the smooth map to an unconstrained number.

An optimiser walks over the whole real line; a volatility may not be negative. Each domain is a
smooth bijection u ↔ x between unconstrained coordinates u and its open set of x, with positive
quantities in logs and probabilities in logits, so that distances in u are relative changes and
combinations such as sigma_v / sigma_u are straight lines:

    Real(scale)           x = scale · u
    Positive()            x = exp u
    UnitInterval()        x = 1 / (1 + exp −u)
    Interval(low, high)   x = low + (high − low) / (1 + exp −u)
    Simplex()             x_i ∝ exp u_i, the last u pinned at 0   (additive log-ratio)
    Fixed()               no u: the value is held

Domains are frozen dataclasses: hashable, comparable, usable as static arguments of `jax.jit`.

Reference: J. Aitchison (1982), The statistical analysis of compositional data, JRSS B 44 (the
log-ratio map); Stan Reference Manual, "Constraint Transforms" (the others).
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

__all__ = [
    "Coordinate",
    "Domain",
    "Fixed",
    "Interval",
    "Positive",
    "Real",
    "Simplex",
    "UnitInterval",
]

_Shape = tuple[int, ...]
_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Bools = np.ndarray[Any, np.dtype[np.bool_]]


class Coordinate(NamedTuple):
    """How one unconstrained coordinate reads in words."""

    label: str
    """The quantity: "sigma_v", "logit(alpha)", "weights[0] / weights[2]"."""
    is_log: bool
    """True where the coordinate is the logarithm of `label`, so that combinations are products."""
    unit: float = 1.0
    """Change of `label` for a unit change of the coordinate (where not a logarithm)."""


class Domain(Protocol):
    """What the calibration asks of a domain. Shapes: x is a leaf of the parameters, u flat."""

    def contains(self, x: _Floats) -> bool:
        """Whether every entry of the concrete array x lies in the domain."""
        ...

    def num_coordinates(self, shape: _Shape) -> int:
        """Number of unconstrained coordinates of a leaf of this shape."""
        ...

    def unconstrain(self, x: ArrayLike) -> jax.Array:
        """The coordinates u of x, of shape (num_coordinates(x.shape),)."""
        ...

    def constrain(self, u: jax.Array, x0: jax.Array) -> jax.Array:
        """The value at coordinates u, of the shape of x0 (whose value only `Fixed` reads)."""
        ...

    def coordinates(self, names: tuple[str, ...]) -> tuple[Coordinate, ...]:
        """The reading of each coordinate, given the names of the leaf's entries."""
        ...

    def asked(self, x: _Floats, tolerance: float) -> _Bools:
        """For which coordinates to ask the loss whether they run on (num_coordinates(x.shape),).

        Args:
            x: the estimate.
            tolerance: how near to a bound may be at the bound, as a share of the width.
        """
        ...

    def at_edge(self, x: _Floats, runs_on: _Bools, tolerance: float) -> _Bools:
        """Which entries of x have run to an end of the domain (boolean, shape of x).

        Args:
            x: the estimate.
            runs_on: for each coordinate, whether the loss goes no higher however far it runs on
                (:mod:`diffeq.calibrate.edges`); of no meaning for those not asked.
            tolerance: as in `asked`.
        """
        ...


class _Entrywise:
    """What domains that map entry by entry share: as many coordinates as entries."""

    def num_coordinates(self, shape: _Shape) -> int:
        """One coordinate per entry."""
        return math.prod(shape)

    def coordinates(self, names: tuple[str, ...]) -> tuple[Coordinate, ...]:
        """One reading per entry: the logarithm of the entry."""
        return tuple(Coordinate(name, is_log=True) for name in names)


@dataclass(frozen=True)
class Real(_Entrywise):
    """Any finite number.

    Args:
        scale: a typical size of the parameter, in its own units (> 0, finite). Starts are spread
            and steps are judged in x / scale, so that a price near 100 or a drift near 1e-6
            deserves its scale. ValueError if it is not positive and finite.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (self.scale > 0 and math.isfinite(self.scale)):
            raise ValueError(f"scale of Real: expected a positive number, got {self.scale!r}")

    def contains(self, x: _Floats) -> bool:
        """Finite."""
        return bool(np.isfinite(x).all())

    def unconstrain(self, x: ArrayLike) -> jax.Array:
        """The entries over scale."""
        return jnp.ravel(jnp.asarray(x)) / self.scale

    def constrain(self, u: jax.Array, x0: jax.Array) -> jax.Array:
        """The coordinates times scale."""
        return jnp.reshape(u * self.scale, x0.shape)

    def coordinates(self, names: tuple[str, ...]) -> tuple[Coordinate, ...]:
        """The entries themselves, in units of scale."""
        return tuple(Coordinate(name, is_log=False, unit=self.scale) for name in names)

    def asked(self, x: _Floats, tolerance: float) -> _Bools:
        """None: the line has no end."""
        return np.zeros(x.size, bool)

    def at_edge(self, x: _Floats, runs_on: _Bools, tolerance: float) -> _Bools:
        """Never: the line has no end."""
        return np.zeros(x.shape, bool)


@dataclass(frozen=True)
class Positive(_Entrywise):
    """A positive, finite number; the coordinate is its logarithm."""

    def contains(self, x: _Floats) -> bool:
        """Positive and finite."""
        return bool((np.isfinite(x) & (x > 0)).all())

    def unconstrain(self, x: ArrayLike) -> jax.Array:
        """The log of x."""
        return jnp.ravel(jnp.log(jnp.asarray(x)))

    def constrain(self, u: jax.Array, x0: jax.Array) -> jax.Array:
        """The exponential of u, kept in the range of normal floating-point numbers."""
        range_ = np.finfo(u.dtype)
        # Without the clip a wild trial step returns 0 or inf, which are not in the domain.
        x = jnp.exp(jnp.clip(u, math.log(range_.tiny) + 1, math.log(range_.max) - 1))
        return jnp.reshape(x, x0.shape)

    def asked(self, x: _Floats, tolerance: float) -> _Bools:
        """All: 0 and infinity are no numbers to be near to."""
        return np.ones(x.size, bool)

    def at_edge(self, x: _Floats, runs_on: _Bools, tolerance: float) -> _Bools:
        """Where the loss does not end the run: 0 and infinity are no numbers to be near to."""
        return np.reshape(runs_on, x.shape)


@dataclass(frozen=True)
class Interval(_Entrywise):
    """A number strictly between two bounds; the coordinate is logit((x − low) / (high − low)).

    Args:
        low: the lower bound, in the parameter's units.
        high: the upper bound. ValueError unless both are finite and low < high.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"bounds of Interval: expected finite low < high, got ({self.low}, {self.high})"
            )

    def contains(self, x: _Floats) -> bool:
        """Strictly between the bounds."""
        return bool(((x > self.low) & (x < self.high)).all())

    def unconstrain(self, x: ArrayLike) -> jax.Array:
        """The logit, as a difference of logs of the two distances (accurate at both ends)."""
        x = jnp.asarray(x)
        return jnp.ravel(jnp.log(x - self.low) - jnp.log(self.high - x))

    def constrain(self, u: jax.Array, x0: jax.Array) -> jax.Array:
        """The logistic function, measured from the nearer end and kept off both ends."""
        width = self.high - self.low
        # From the nearer end, so that 1 − 1e-12 keeps its digits as well as 1e-12 does.
        from_low = self.low + width * jax.nn.sigmoid(u)
        from_high = self.high - width * jax.nn.sigmoid(-u)
        x = jnp.where(u < 0, from_low, from_high)
        dtype = np.dtype(u.dtype).type
        # Subnormal neighbours of 0 are flushed to 0 by XLA, hence `tiny`.
        gap = dtype(np.finfo(u.dtype).tiny)
        inner_low = max(np.nextafter(dtype(self.low), dtype(math.inf)), dtype(self.low) + gap)
        inner_high = min(np.nextafter(dtype(self.high), dtype(-math.inf)), dtype(self.high) - gap)
        return jnp.reshape(jnp.clip(x, inner_low, inner_high), x0.shape)

    def coordinates(self, names: tuple[str, ...]) -> tuple[Coordinate, ...]:
        """The logit of each entry's place between the bounds."""
        if (self.low, self.high) == (0.0, 1.0):
            return tuple(Coordinate(f"logit({name})", is_log=False) for name in names)
        shift = f" {'-' if self.low > 0 else '+'} {abs(self.low):g}" if self.low else ""
        width = f" / {self.high - self.low:g}"
        place = f"({{}}{shift}){width}" if shift else f"{{}}{width}"
        return tuple(Coordinate(f"logit({place.format(name)})", is_log=False) for name in names)

    def asked(self, x: _Floats, tolerance: float) -> _Bools:
        """Those nearer to a bound than the fraction `tolerance` of the width."""
        distance = np.minimum(x - self.low, self.high - x)
        return np.ravel(distance < tolerance * (self.high - self.low))

    def at_edge(self, x: _Floats, runs_on: _Bools, tolerance: float) -> _Bools:
        """Near to a bound, and running on to it: a small probability may be well known."""
        return np.reshape(self.asked(x, tolerance) & runs_on, x.shape)


@dataclass(frozen=True)
class UnitInterval(Interval):
    """A number strictly between 0 and 1, such as a probability; the coordinate is its logit."""

    low: float = field(default=0.0, init=False, repr=False)
    high: float = field(default=1.0, init=False, repr=False)


@dataclass(frozen=True)
class Simplex:
    """A vector (n ≥ 2) of positive numbers that sum to one; the n − 1 coordinates are log(x_i/x_n).

    A value is accepted when its sum is within 1e-5 of one; what is calibrated sums to one.
    """

    def contains(self, x: _Floats) -> bool:
        """A vector of at least two positive entries that sum to one."""
        return x.ndim == 1 and x.size > 1 and bool((x > 0).all()) and abs(x.sum() - 1) < 1e-5

    def num_coordinates(self, shape: _Shape) -> int:
        """One fewer than the entries."""
        return math.prod(shape) - 1

    def unconstrain(self, x: ArrayLike) -> jax.Array:
        """The log of each entry over the last."""
        logs = jnp.log(jnp.asarray(x))
        return logs[:-1] - logs[-1]

    def constrain(self, u: jax.Array, x0: jax.Array) -> jax.Array:
        """The softmax of (u, 0), entries kept above the smallest normal number."""
        weights = jax.nn.softmax(jnp.append(u, jnp.zeros_like(u, shape=(1,))))
        return jnp.maximum(weights, np.finfo(u.dtype).tiny)

    def coordinates(self, names: tuple[str, ...]) -> tuple[Coordinate, ...]:
        """Each entry over the last, in logs."""
        return tuple(Coordinate(f"({name} / {names[-1]})", is_log=True) for name in names[:-1])

    def asked(self, x: _Floats, tolerance: float) -> _Bools:
        """Those of entries below `tolerance`; all where the last is, as then all run together."""
        near = x < tolerance
        return np.asarray(near[:-1] | near[-1])

    def at_edge(self, x: _Floats, runs_on: _Bools, tolerance: float) -> _Bools:
        """Entries below `tolerance` that run on to 0; the last when the large ones run on."""
        near = x < tolerance
        return np.asarray(near & np.append(runs_on, (runs_on & ~near[:-1]).any()))


@dataclass(frozen=True)
class Fixed:
    """Held at its starting value: no coordinate, no gradient, no standard error."""

    def contains(self, x: _Floats) -> bool:
        """Anything but NaN."""
        return not bool(np.isnan(x).any())

    def num_coordinates(self, shape: _Shape) -> int:
        """None."""
        return 0

    def unconstrain(self, x: ArrayLike) -> jax.Array:
        """An empty vector."""
        return jnp.ravel(jnp.asarray(x))[:0]

    def constrain(self, u: jax.Array, x0: jax.Array) -> jax.Array:
        """The starting value, cut off from derivatives."""
        return jax.lax.stop_gradient(x0)

    def coordinates(self, names: tuple[str, ...]) -> tuple[Coordinate, ...]:
        """None."""
        return ()

    def asked(self, x: _Floats, tolerance: float) -> _Bools:
        """None."""
        return np.zeros(0, bool)

    def at_edge(self, x: _Floats, runs_on: _Bools, tolerance: float) -> _Bools:
        """Never."""
        return np.zeros(x.shape, bool)
