"""What a function is made of, in sixteen hex digits: the same in every process that runs its code.

Whatever may change a value is followed, by value: a function's bytecode, its argument names and
defaults; what it closes over or fixes by ``functools.partial``; the attributes of an object; and
the globals that it names, with the user's own functions, classes and modules among them. Installed
libraries, whose version tells, are known by name. Comments, docstrings, annotations and the place
in the file do not count. Of what cannot be read, such as a lock or an open file, the type is taken.

In doubt a digest differs: a sweep that is refused loses nothing, one wrongly gone on with is wrong.
"""

import copyreg
import functools
import hashlib
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_LIBRARIES = tuple({sysconfig.get_path(key) for key in ("stdlib", "platlib", "purelib")})
_NAMED = types.FunctionType | types.BuiltinFunctionType | type
"""What a library's is known by its name."""


def digest(fn: Callable[..., Any]) -> str:
    """What a function is made of."""
    return _Digest(_module(fn)).of(fn).hex()[:16]


def _module(fn: Any) -> str | None:
    """Where a function is defined, inside its wrappers (partial, jit, grad)."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = inspect.unwrap(fn)
    return getattr(fn if isinstance(fn, _NAMED) else type(fn), "__module__", None)


class _Digest:
    """Digests of objects, each of its type and its parts' digests; cycles are entered once."""

    def __init__(self, home: str | None) -> None:
        self.home, self.depth = home, 0
        # holds what it saw, so that no id is used twice
        self.known: dict[int, tuple[Any, bytes]] = {}

    def of(self, x: Any) -> bytes:
        """Digest one object, by its kind: equal objects alike, the same one or not."""
        if id(x) in self.known:
            return self.known[id(x)][1]
        # within a cycle, how far out it closes
        self.known[id(x)] = x, f"depth {self.depth}".encode()
        self.depth += 1
        sink = hashlib.sha256(f"{type(x).__module__}.{type(x).__qualname__}".encode())
        atom = _atom(x)
        if atom is not None:
            sink.update(atom)
        elif isinstance(x, frozenset | set):
            sink.update(b"".join(sorted(map(self.of, x))))  # their order changes by process
        else:
            sink.update(b"".join(map(self.of, self._parts(x))))
        self.depth -= 1
        self.known[id(x)] = x, sink.digest()
        return sink.digest()

    def _parts(self, x: Any) -> Iterator[Any]:
        if isinstance(x, tuple | list):
            yield from x
        elif isinstance(x, Mapping):
            yield from (part for item in x.items() for part in item)
        elif isinstance(x, types.FunctionType):
            yield from self._function(x)
        elif isinstance(x, types.CodeType):
            yield from _code(x)
        elif isinstance(x, types.ModuleType):
            yield x.__name__
        elif isinstance(x, type):
            yield from self._class(x)
        elif isinstance(x, property):
            yield x.fget
        elif hasattr(x, "__wrapped__"):
            yield x.__wrapped__
            # beside it a rule of derivation, say; what is private may tell the place in the file
            yield from _attributes(getattr(x, "__dict__", {}), private=False)
        else:
            yield from _state(x)

    def _function(self, fn: types.FunctionType) -> Iterator[Any]:
        yield from (fn.__module__, fn.__qualname__, fn.__code__, fn.__defaults__, fn.__kwdefaults__)
        for cell in fn.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not filled yet
                yield "<empty>"
        if self._own(fn.__module__):
            names = _names(fn.__code__)
            for name in names:
                if name in fn.__globals__:
                    yield name
                    yield from self._named(fn.__globals__[name], names)

    def _named(self, x: Any, names: list[str]) -> Iterator[Any]:
        """A global; of a module of the user's, what may be meant by the other names."""
        if isinstance(x, types.ModuleType):
            yield x.__name__
            if self._own(x.__name__):
                for name in names:
                    if name in vars(x) and not isinstance(vars(x)[name], types.ModuleType):
                        yield from (name, *self._named(vars(x)[name], names))
        elif isinstance(x, _NAMED) or isinstance(inspect.unwrap(x), _NAMED):
            own = self._own(_module(x))
            yield x if own else f"{_module(x)}.{getattr(x, '__qualname__', '')}"
        else:
            yield x

    def _class(self, x: type) -> Iterator[Any]:
        yield f"{x.__module__}.{x.__qualname__}"
        if self._own(x.__module__):
            yield x.__bases__
            yield from _attributes({k: v for k, v in vars(x).items() if k != "_abc_impl"})
            yield from (f for f in vars(x).values() if isinstance(f, types.FunctionType))

    def _own(self, module: str | None) -> bool:
        """Whether a module is the swept function's, or another that no library installed."""
        if module is None or module == self.home:
            return module is not None
        if module == "__main__" or module.partition(".")[0] in ("diffeq", "solvers"):
            return module == "__main__"
        file = getattr(sys.modules.get(module), "__file__", None) or ""
        installed = file.startswith(_LIBRARIES) or "site-packages" in file
        return bool(file) and not installed and "dist-packages" not in file


def _atom(x: Any) -> bytes | None:
    """What has no parts."""
    if x is None or x is ... or isinstance(x, bool | int | float | complex | str | bytes):
        return repr(x).encode()
    if isinstance(x, jax.core.Tracer):
        return b""
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return str(x.dtype).encode() + np.asarray(jax.random.key_data(x)).tobytes()
    if isinstance(x, np.ndarray | np.generic | jax.Array) and x.dtype != object:
        return f"{x.dtype} {x.shape}".encode() + np.asarray(x).tobytes()
    return None


def _code(code: types.CodeType) -> Iterator[Any]:
    constants = list(code.co_consts)
    if constants and isinstance(constants[0], str) and not code.co_name.startswith("<"):
        constants[0] = None  # the docstring
    yield from (code.co_code, constants, code.co_names, getattr(code, "co_exceptiontable", b""))
    # axes come by keyword
    yield code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _names(code: types.CodeType) -> list[str]:
    """Names a function's code and that of the functions inside it look up, in order."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return [*code.co_names, *(name for c in inner for name in _names(c))]


def _attributes(attributes: Mapping[str, Any], private: bool = True) -> Iterator[Any]:
    """Attributes by name, all but Python's own."""
    for name in sorted(attributes):
        if not name.startswith("__" if private else "_"):
            yield from (name, attributes[name])


def _state(x: Any) -> Iterator[Any]:
    """What pickle would keep of an object; of JAX's own, which hold caches, nothing."""
    if type(x).__module__.partition(".")[0] in ("jax", "jaxlib"):
        return
    try:
        registered = copyreg.dispatch_table.get(type(x))
        kept = registered(x) if registered else x.__reduce_ex__(2)
    except Exception:  # whatever an object says: it cannot be read
        return
    for part in kept if isinstance(kept, tuple) else (kept,):
        yield list(part) if isinstance(part, Iterator) else part
