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

from diffeq import names

Params = TypeVar("Params", bound=tuple[Any, ...])


def parameters(
    params: Params,
    expected: type[Params],
    *,
    positive: tuple[str, ...] = (),
    probability: tuple[str, ...] = (),
) -> Params:
    """Check a NamedTuple of scalar parameters and cast its fields to one floating dtype.

    Args:
      params: the tuple a user passed; each field a number or scalar array, concrete or traced.
      expected: its class; the error message speaks of it.
      positive: fields that must be > 0; every field must be finite.
      probability: fields that must lie in [0, 1], ends included.

    Returns:
      The same tuple with array leaves of shape () and one dtype: the widest among its arrays, or
      JAX's default float where all are Python numbers.

    Raises:
      TypeError: not that class, or a field that is no real number.
      ValueError: a field that is batched, not finite, not positive, no probability, or beyond the
        range of that dtype (1e200 beside a float32 array).
    """
    model = names.public(expected)
    if not isinstance(params, expected):
        raise TypeError(f"params: expected {model}, got {names.public(type(params))}")
    fields: tuple[str, ...] = params._fields  # type: ignore[attr-defined]
    numbers = [
        _scalar(f"{model}.{name}", value, positive=name in positive)
        for name, value in zip(fields, params, strict=True)
    ]
    for name, number in zip(fields, numbers, strict=True):
        if name in probability and number is not None and not 0 <= number <= 1:
            raise ValueError(f"{model}.{name}: expected a probability in [0, 1], got {number:.12g}")
    dtype = jnp.result_type(float, *params)
    for name, number in zip(fields, numbers, strict=True):
        _in_range(f"{model}.{name}", number, dtype, positive=name in positive)
    return expected(*(_cast(value, dtype) for value in params))


def increasing(params: Any, low: str, high: str) -> None:
    """Raise if two concrete fields of a NamedTuple are not ``low < high``."""
    a, b = (getattr(params, name) for name in (low, high))
    if not any(isinstance(x, jax.core.Tracer) for x in (a, b)) and not float(a) < float(b):
        model = names.public(type(params))
        raise ValueError(
            f"{model}.{low}, {model}.{high}: expected {low} < {high}, "
            f"got {float(a):.12g} and {float(b):.12g}"
        )


def spacing(values: Any, num_auctions: int, dtype: Any) -> jax.Array | np.ndarray[Any, Any]:
    """Check the lengths dt_n of the auctions: None (equal), or (num_auctions,) summing to one.

    The sum is judged by the spacing's own precision. A concrete float32 spacing for a float64 model
    sums to one up to float32's rounding only: it is cast up and divided by its sum. A traced one
    cannot be judged and is never changed: the model flags it, so cast and divide it yourself.

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
        total, tolerance = concrete.sum(), sum_tolerance(dtype)
        own = sum_tolerance(values.dtype) if jnp.issubdtype(values.dtype, np.floating) else 0.0
        if abs(total - 1) > max(own, tolerance):
            raise ValueError(
                f"spacing: expected lengths that sum to 1, got sum {total:.12g}; "
                "divide them by their sum"
            )
        if own > tolerance:
            values = concrete / total
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
    """The N of one solution: its arrays must all have shape (N,).

    Raises:
      TypeError: another object, such as the last auctions of many horizons.
      ValueError: a batched solution (its lanes would be taken for auctions), or arrays of different
        lengths (one of length 1 would be spread over all auctions).
    """
    if not (hasattr(solution, "alpha") and hasattr(solution, "log_delta")):
        raise TypeError(
            f"solution: expected the Solution of solve(), got {names.public(type(solution))}"
        )
    shapes = {name: np.shape(x) for name, x in solution._asdict().items() if name != "info"}
    shape = shapes["lambda_"]
    if len(shape) != 1:
        raise ValueError(
            f"solution: expected arrays of shape (num_auctions,), got {shape}; "
            "use jax.vmap for a batch of solutions"
        )
    for name, other in shapes.items():
        if other != shape:
            raise ValueError(
                "solution: expected arrays of one shape (num_auctions,), "
                f"got lambda_ {shape} and {name} {other}"
            )
    return int(shape[0])


def times(values: Any, dtype: Any) -> jax.Array:
    """Check times of the trading day: real numbers in [0, 1), any shape.

    Raises:
      TypeError, ValueError: not numbers, or concrete and outside [0, 1).
    """
    try:
        array = jnp.asarray(values, dtype)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"times: expected numbers in [0, 1), got {values!r}") from None
    if not isinstance(array, jax.core.Tracer):
        concrete = np.asarray(array)
        if not ((concrete >= 0) & (concrete < 1)).all():
            raise ValueError(f"times: expected numbers in [0, 1), got {values!r}")
    return array


def array(name: str, value: Any) -> Any:
    """A real array (numpy, jax or traced), or None for None; lists are stacked.

    Raises:
      TypeError: entries that are no real numbers.
    """
    if value is None:
        return None
    if not hasattr(value, "dtype"):
        leaves = jax.tree.leaves(value)
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
        try:
            value = jnp.asarray(value) if traced else np.asarray(value)
        except (TypeError, ValueError):
            raise TypeError(f"{name}: expected an array of numbers, got {value!r}") from None
    if not (jnp.issubdtype(value.dtype, np.floating) or jnp.issubdtype(value.dtype, np.integer)):
        raise TypeError(f"{name}: expected real numbers, got dtype {value.dtype}")
    return value


def finite(name: str, x: Any) -> None:
    """Raise if a concrete array has an entry that is not finite, naming the first."""
    _refuse(name, x, lambda x: ~np.isfinite(x), "a finite number")


def positive(name: str, x: Any) -> None:
    """Raise if a concrete array has an entry that is not finite and > 0, naming the first."""
    _refuse(name, x, lambda x: ~(np.isfinite(x) & (x > 0)), "a finite positive number")


def not_negative(name: str, x: Any) -> None:
    """Raise if a concrete array has an entry that is not finite and ≥ 0, naming the first."""
    _refuse(name, x, lambda x: ~(np.isfinite(x) & (x >= 0)), "a finite number ≥ 0")


def unit_interval(name: str, x: Any) -> None:
    """Raise if a concrete array has an entry outside [0, 1], naming the first."""
    _refuse(name, x, lambda x: ~((x >= 0) & (x <= 1)), "a probability in [0, 1]")


def codes(name: str, x: Any, allowed: tuple[int, ...]) -> Any:
    """The array; raise if concrete and an entry is none of the ``allowed`` codes."""
    x = array(name, x)
    listed = ", ".join(f"{code:+d}" if code else "0" for code in allowed)
    _refuse(name, x, lambda x: ~np.isin(x, allowed), f"one of the codes {listed}")
    return x


def counts(name: str, x: Any) -> Any:
    """The array; raise if concrete and an entry is not a whole number ≥ 0."""
    x = array(name, x)
    whole = "a whole number ≥ 0"
    _refuse(name, x, lambda x: ~((x >= 0) & (x == np.floor(x)) & np.isfinite(x)), whole)
    return x


def probabilities(name: str, x: Any, dtype: Any = None) -> Any:
    """The array, its last axis probabilities; raise if concrete and not ≥ 0 or not summing to one.

    The sum is judged by the array's own precision. Concrete float32 ones for a model of ``dtype``
    float64 sum to one up to float32's rounding only: they are cast up and divided by their sum.
    """
    _refuse(name, x, lambda x: ~(np.isfinite(x) & (x >= 0)), "a probability ≥ 0")
    if not isinstance(x, jax.core.Tracer):
        own = x.dtype if jnp.issubdtype(x.dtype, np.floating) else np.float64
        sums = np.asarray(x, float).sum(axis=-1)
        _refuse(
            name, sums, lambda s: np.abs(s - 1) > sum_tolerance(own), "probabilities that sum to 1"
        )
        if dtype is not None and sum_tolerance(own) > sum_tolerance(dtype):
            return np.asarray(x, float) / sums[..., None]
    return x


def _refuse(name: str, x: Any, bad: Any, expected: str) -> None:
    if isinstance(x, jax.core.Tracer):
        return
    concrete = np.asarray(x, float)
    wrong = bad(concrete)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"[{', '.join(map(str, at))}]" if at else ""
        raise ValueError(f"{name}{where}: expected {expected}, got {concrete[at]:.12g}")


def solved_for(residual: jax.Array) -> None:
    """Check that a solution satisfies its filter at the parameters it is given with.

    Args:
      residual: the largest of its pricing and filtering conditions, scalar. A traced one passes,
        and NaN: a failed lane stays NaN.
    """
    if isinstance(residual, jax.core.Tracer):
        return
    if residual > jnp.sqrt(jnp.finfo(residual.dtype).eps):
        raise ValueError(
            "solution: it was not solved for these params and this spacing "
            f"(residual {float(residual):.2g}); pass simulate what solve was given"
        )


def option(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Check an option given by name."""
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")
    return str(value)


def _scalar(name: str, value: Any, *, positive: bool) -> float | None:
    """The value as a number, None where it is traced; an error names what it should be."""
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
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or (positive and number <= 0):
        raise ValueError(f"{name}: expected {kind}, got {number}")
    return number


def _in_range(name: str, number: float | None, dtype: Any, *, positive: bool) -> None:
    """Refuse a number that the cast to the common dtype would make infinite, or no longer > 0."""
    if number is None:
        return
    range_ = jnp.finfo(dtype)
    if abs(number) > float(range_.max) or (positive and number < float(range_.tiny)):
        raise ValueError(
            f"{name}: expected a number within the range of {np.dtype(dtype).name}, "
            f"the parameters' common dtype, got {number}; give them all in a wider one"
        )


def _cast(value: Any, dtype: Any) -> jax.Array | np.ndarray[Any, Any]:
    """To ``dtype`` without starting a computation for Python numbers (they stay on the host)."""
    if isinstance(value, jax.Array):
        return value if value.dtype == dtype and not value.weak_type else value.astype(dtype)
    return np.asarray(value, dtype)
