"""What a public function does with its arguments before the jitted core sees them.

Concrete values are checked and a bad one raises, naming the parameter and the fix; traced values
pass, and the model flags them instead (:mod:`diffeq.check`). A concrete bad value that a user's
jitted function closes over therefore raises at trace time.
"""

import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Params = TypeVar("Params", bound=tuple[Any, ...])


def parameters(params: Params, expected: type[Params], *, positive: tuple[str, ...]) -> Params:
    """Check a NamedTuple of scalar parameters and cast its fields to one floating dtype.

    Args:
      params: the tuple a user passed; each field a number or scalar array, concrete or traced.
      expected: its class; the error message speaks of it.
      positive: fields that must be > 0; every field must be finite.

    Returns:
      The same tuple with array leaves of shape () and one dtype: the widest among its arrays, or
      JAX's default float where all are Python numbers.

    Raises:
      TypeError: not that class, or a field that is no real number.
      ValueError: a field that is batched, not finite, or not positive.
    """
    model = f"{expected.__module__.removeprefix('diffeq.')}.{expected.__name__}"
    if not isinstance(params, expected):
        raise TypeError(f"params: expected {model}, got {type(params).__name__}")
    fields: tuple[str, ...] = params._fields  # type: ignore[attr-defined]
    for name, value in zip(fields, params, strict=True):
        _scalar(f"{model}.{name}", value, positive=name in positive)
    dtype = jnp.result_type(float, *params)
    return expected(*(_cast(value, dtype) for value in params))


def spacing(values: Any, num_auctions: int, dtype: Any) -> jax.Array | np.ndarray[Any, Any]:
    """Check the lengths dt_n of the auctions: None (equal), or (num_auctions,) summing to one.

    Raises:
      TypeError, ValueError: wrong type, shape, sign or sum of concrete values.
    """
    if values is None:
        return np.full(num_auctions, 1 / num_auctions, dtype)
    if isinstance(values, list | tuple):
        values = _stacked("spacing", values)
    if not hasattr(values, "dtype") or not jnp.issubdtype(values.dtype, np.number):
        raise TypeError(
            f"spacing: expected an array of {num_auctions} positive numbers, got {values!r}"
        )
    if jnp.issubdtype(values.dtype, np.complexfloating):
        raise TypeError("spacing: expected real numbers, got complex ones")
    if values.shape != (num_auctions,):
        raise ValueError(
            f"spacing: expected shape ({num_auctions},), one length per auction, "
            f"got {values.shape}; batch with jax.vmap"
        )
    if not isinstance(values, jax.core.Tracer):
        concrete = np.asarray(values, float)
        if not (np.isfinite(concrete).all() and (concrete > 0).all()):
            bad = int(np.argmax(~(np.isfinite(concrete) & (concrete > 0))))
            raise ValueError(
                f"spacing[{bad}]: expected a finite positive number, got {concrete[bad]}"
            )
        if abs(concrete.sum() - 1) > sum_tolerance(dtype):
            raise ValueError(
                f"spacing: expected lengths that sum to 1, got sum {concrete.sum():.12g}; "
                "divide them by their sum"
            )
    return _cast(values, dtype)


def axes(**values: Any) -> dict[str, Any]:
    """Check the axes of a product grid: each of shape (n,), n ≥ 1, real numbers; one dtype.

    Points outside a domain are not refused here: the grid flags them one by one.
    """
    dtype = jnp.result_type(float, *(v for v in values.values() if hasattr(v, "dtype")))
    for name, value in values.items():
        if isinstance(value, list | tuple):
            values[name] = value = _stacked(name, value)
        own = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        if not jnp.issubdtype(own, np.floating) and not jnp.issubdtype(own, np.integer):
            raise TypeError(f"{name}: expected real numbers, got {value!r}")
        if np.ndim(value) != 1 or np.size(value) == 0:
            raise ValueError(f"{name}: expected shape (n,) with n ≥ 1, got {np.shape(value)}")
    return {name: _cast(value, dtype) for name, value in values.items()}


def _stacked(name: str, values: Any) -> Any:
    """A list of numbers, traced or not, as one array."""
    traced = any(isinstance(value, jax.core.Tracer) for value in values)
    try:
        return jnp.stack([jnp.asarray(v) for v in values]) if traced else np.asarray(values)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected a flat list of numbers, got {values!r}") from None


def sum_tolerance(dtype: Any) -> float:
    """How far from one the spacing may sum: 1e-9 in float64, 1e-4 in float32 (N roundings)."""
    return 1e-9 if jnp.finfo(dtype).eps < 1e-10 else 1e-4


def count(name: str, value: Any, *, minimum: int = 1) -> int:
    """Check a static count (number of auctions, of paths): an int ≥ ``minimum``.

    Raises:
      TypeError: not an int (a count fixes a shape, so it can be neither traced nor a float).
      ValueError: too small.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        kind = "a traced value" if isinstance(value, jax.core.Tracer) else repr(value)
        raise TypeError(f"{name}: expected a Python int (it fixes a shape), got {kind}")
    if value < minimum:
        raise ValueError(f"{name}: expected at least {minimum}, got {value}")
    return int(value)


def num_auctions(solution: Any) -> int:
    """The N of one solution: its arrays must have shape (N,).

    Raises:
      TypeError: another object, such as the last auctions of many horizons.
      ValueError: a batched solution (its lanes would be taken for auctions).
    """
    if not (hasattr(solution, "alpha") and hasattr(solution, "log_delta")):
        raise TypeError(
            f"solution: expected the Solution of solve(), got {type(solution).__name__}"
        )
    shape = jnp.shape(solution.lambda_)
    if len(shape) != 1:
        raise ValueError(
            f"solution: expected arrays of shape (num_auctions,), got {shape}; "
            "use jax.vmap for a batch of solutions"
        )
    return int(shape[0])


def times(values: Any, dtype: Any) -> jax.Array:
    """Check times of the trading day: real numbers in [0, 1), any shape.

    Raises:
      TypeError, ValueError: not numbers, or concrete and outside [0, 1).
    """
    try:
        array = jnp.asarray(values, dtype)
    except (TypeError, ValueError):
        raise TypeError(f"times: expected numbers in [0, 1), got {values!r}") from None
    if not isinstance(array, jax.core.Tracer):
        concrete = np.asarray(array)
        if not ((concrete >= 0) & (concrete < 1)).all():
            raise ValueError(f"times: expected numbers in [0, 1), got {values!r}")
    return array


def option(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Check an option given by name."""
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")
    return str(value)


def _scalar(name: str, value: Any, *, positive: bool) -> None:
    kind = "a finite positive number" if positive else "a finite number"
    if isinstance(value, str) or not hasattr(value, "__array__") and not np.isscalar(value):
        if not isinstance(value, jax.core.Tracer):
            raise TypeError(f"{name}: expected {kind}, got {value!r}")
    if np.shape(value) != ():
        raise ValueError(
            f"{name}: expected a scalar, got shape {np.shape(value)}; "
            "use jax.vmap to solve a batch of parameters"
        )
    dtype = value.dtype if hasattr(value, "dtype") else np.dtype(type(value))
    if not (jnp.issubdtype(dtype, np.floating) or jnp.issubdtype(dtype, np.integer)):
        if not isinstance(value, int) or isinstance(value, bool):  # a large int has dtype object
            raise TypeError(f"{name}: expected {kind}, got {value!r}")
    if isinstance(value, jax.core.Tracer):
        return
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or (positive and number <= 0):
        raise ValueError(f"{name}: expected {kind}, got {number}")


def _cast(value: Any, dtype: Any) -> jax.Array | np.ndarray[Any, Any]:
    """To ``dtype`` without starting a computation for Python numbers (they stay on the host)."""
    if isinstance(value, jax.Array):
        return value if value.dtype == dtype and not value.weak_type else value.astype(dtype)
    return np.asarray(value, dtype)
