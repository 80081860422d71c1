"""What makes two sweeps the same: a fingerprint, kept in the root attributes of a store.

It holds what decides the values to the last bit, as far as that can be told: the axes by value, the
function by name and by what it is made of, the precision, and the versions of the code it calls.
The function's digest covers its bytecode, its defaults, what it closes over or fixes by
``functools.partial`` (the parameters that are not swept), and the functions and constants of its
own module that it names. Comments and the place in the file do not count.
"""

import functools
import hashlib
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

FORMAT = 1
"""Version of the layout on disk."""


def of(
    fn: Callable[..., Any],
    axes: Mapping[str, np.ndarray[Any, Any]],
    dims: tuple[str, ...],
    grid_function: bool,
    compression: str | None,
) -> dict[str, Any]:
    """The fingerprint, flat: numbers, strings and lists of strings, as JSON and netCDF hold them.

    Two calls differ in one of its entries if and only if they may differ in a value or in the
    layout of the store; the shape of the blocks is added by the store.
    """
    from diffeq import __version__

    return {
        "diffeq_sweep": FORMAT,
        "function": name(fn),
        "function_digest": digest(fn),
        "kind": "grid function" if grid_function else "point function",
        "axes": [f"{name}: {_axis(values)}" for name, values in axes.items()],
        "dims": list(dims),
        "precision": precision(),
        "compression": compression or "none",
        "diffeq": __version__,
        "jax": jax.__version__,
    }


def precision() -> str:
    """JAX's default float here."""
    return str(jnp.result_type(float))


def name(fn: Callable[..., Any]) -> str:
    """ "diffeq.holden.grid"."""
    if isinstance(fn, functools.partial):
        return name(fn.func)
    return f"{getattr(fn, '__module__', '')}.{getattr(fn, '__qualname__', repr(fn))}".lstrip(".")


def digest(fn: Callable[..., Any]) -> str:
    """What a function is made of, as sixteen hex digits; the same in every process."""
    sink = hashlib.sha256()
    _Digest(sink.update, _home(fn)).add(fn)
    return sink.hexdigest()[:16]


def _axis(values: np.ndarray[Any, Any]) -> str:
    hashed = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]
    return f"{values.size} {values.dtype}, {hashed}"


def _home(fn: Any) -> str | None:
    """The module of the function inside its wrappers (partial, jit, grad)."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return getattr(inspect.unwrap(fn), "__module__", None)


class _Digest:
    """Walks over what a function is made of; cycles and shared parts are entered once."""

    def __init__(self, update: Callable[[bytes], Any], home: str | None) -> None:
        self.update = update
        self.home = home
        self.seen: dict[int, Any] = {}  # holds what it saw, so that no id is used twice

    def add(self, x: Any) -> None:
        """Digest one object, by its kind."""
        self.update(f"<{type(x).__module__}.{type(x).__qualname__}>".encode())
        if x is None or isinstance(x, bool | int | float | complex | str | bytes):
            self.update(repr(x).encode())
        elif isinstance(x, np.ndarray | np.generic | jax.Array):
            self._array(x)
        elif isinstance(x, frozenset | set):
            self.update(repr(sorted(map(repr, x))).encode())  # their order changes by process
        elif id(x) not in self.seen:
            self.seen[id(x)] = x
            self._parts(x)

    def _parts(self, x: Any) -> None:
        if isinstance(x, tuple | list):
            self._all(x)
        elif isinstance(x, Mapping):
            self._all(x.items())
        elif isinstance(x, functools.partial):
            self._all((x.func, x.args, x.keywords))
        elif isinstance(x, types.FunctionType):
            self._function(x)
        elif isinstance(x, types.CodeType):
            self.update(x.co_code)
            self._all((*x.co_consts, *x.co_names))
        elif isinstance(x, types.MethodType):
            self._all((x.__self__, x.__func__))
        elif isinstance(x, type):
            self.update(f"{x.__module__}.{x.__qualname__}".encode())
        elif hasattr(x, "__wrapped__"):
            self.add(x.__wrapped__)
        elif hasattr(x, "__dataclass_fields__"):
            self._all(getattr(x, field, None) for field in x.__dataclass_fields__)
        # of anything else its type is enough: its state may differ from process to process

    def _all(self, parts: Any) -> None:
        for part in parts:
            self.add(part)

    def _array(self, x: Any) -> None:
        if isinstance(x, jax.core.Tracer) or jnp.issubdtype(x.dtype, jax.dtypes.extended):
            return
        values = np.asarray(x)
        self.update(f"{values.dtype} {values.shape}".encode())
        if values.dtype != object:
            self.update(values.tobytes())

    def _function(self, fn: types.FunctionType) -> None:
        self.update(f"{fn.__module__}.{fn.__qualname__}".encode())
        self._all((fn.__code__, fn.__defaults__, fn.__kwdefaults__))
        for cell in fn.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not filled yet
                self.update(b"<empty>")
        if fn.__module__ == self.home:
            for name in _names(fn.__code__):
                if name in fn.__globals__ and self._settled(fn.__globals__[name]):
                    self.update(name.encode())
                    self.add(fn.__globals__[name])

    def _settled(self, x: Any) -> bool:
        """A function of the same module, or a constant: not what changes as a program runs."""
        if isinstance(inspect.unwrap(x) if callable(x) else x, types.FunctionType):
            return _home(x) == self.home
        return isinstance(x, bool | int | float | complex | str | bytes | tuple | np.ndarray)


def _names(code: types.CodeType) -> list[str]:
    """Names a function's code and that of the functions inside it look up, in order."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return [*code.co_names, *(name for c in inner for name in _names(c))]
