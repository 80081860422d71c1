"""Differentiable equilibria of market microstructure, from the shell.

Each verb's own --help says more; exit codes: 0 done, 1 it could not be done or the result does not
hold, 2 what was typed cannot be read, 130 interrupted.
"""

import contextlib
import functools
import importlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NoReturn

import jax

from diffeq.command_line import interrupts
from diffeq.command_line.endings import Doubtful, Usage
from diffeq.command_line.parsing import Command, chosen, flags, parsed

PROGRAM = "python -m diffeq"
NESTED = {
    "solve": "One equilibrium of a model",
    "sweep": "A model over a grid of its parameters, into a store",
    "calibrate": "Parameters of a model from a file",
}
"""Verbs that take a model first."""
POSITIONAL = {"names"}
"""Arguments that are no flags."""
PARAMS = "Params|Game|Point"
"""Classes of parameters, in messages."""


def main(args: list[str] | None = None) -> None:
    """Run one verb. In float64: a program may set what the library never touches."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # it is None where the shell closed it
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # √ where the locale has none
    words = sys.argv[1:] if args is None else args
    jax.config.update("jax_enable_x64", True)
    from diffeq.check import ConvergenceError

    names: set[str] = set()
    try:
        try:
            call, names = _call(words)
            _say(call())
        except Doubtful as doubt:
            _say(doubt.report)
            _end(1, str(doubt))
    except Usage as error:
        _end(2, str(error))
    except OSError as error:
        _end(1, _of_the_system(error))
    except (ValueError, TypeError, ImportError, ConvergenceError) as error:
        _end(1, _as_options(str(error), names))
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _end(1, f"not enough memory for so many numbers: {error}")
    except KeyboardInterrupt:
        goes_on = "; the same command goes on where it was" if words[:1] == ["sweep"] else ""
        print(f"interrupted{goes_on}", file=sys.stderr)
        sys.exit(interrupts.INTERRUPTED)


def _call(words: list[str]) -> tuple[Callable[[], str], set[str]]:
    """What the words ask for, and the names of the flags it could have."""
    try:
        import tyro  # noqa: F401
    except ImportError as error:
        raise ImportError("the command line needs tyro: pip install 'diffeq[cli]'") from error
    with _heard():  # help is printed here
        command = chosen(_verbs(), __doc__ or "", PROGRAM, words)
        program, rest = f"{PROGRAM} {words[0]}", words[1:]
        if words[0] in NESTED:
            verb = importlib.import_module(f"diffeq.command_line.{words[0]}")
            command = chosen(verb.commands(), verb.__doc__ or "", program, rest)
            program, rest = f"{program} {rest[0]}", rest[1:]
        return parsed(command, program, rest), flags(command)


def _verbs() -> dict[str, Command]:
    nested = {name: _described(about) for name, about in NESTED.items()}
    return {"tour": _tour(), **nested, "figures": _figures()}


def _described(about: str) -> Command:
    """What stands for a verb that takes a model first, in the list of verbs."""

    def verb() -> str:
        raise NotImplementedError

    verb.__doc__ = about
    return verb


def _tour() -> Command:
    from diffeq.tour import tour

    @functools.wraps(tour)
    def wrote(**options: Any) -> str:
        return f"wrote {tour(**options)}"

    return wrote


def _figures() -> Command:
    import tyro

    from diffeq.command_line.figures import figures

    figures.__annotations__["names"] = Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")
    ]
    return figures


def _end(code: int, message: str) -> NoReturn:
    """Leave, with the error in a line."""
    message = re.sub(r"\s*\n\s*", "; ", message.strip())
    if code == 1:
        sys.exit(f"error: {message}")
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _say(text: str) -> None:
    with _heard():
        print(text, flush=True)


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """Print, to the end; a reader that has had enough (head, say) is no error, a full disk is."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise OSError(error.errno, error.strerror, "standard output") from error
        sys.exit()


def _of_the_system(error: OSError) -> str:
    """The file first, then what is wrong with it, and what becomes of a store."""
    named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return "; ".join([named, *getattr(error, "__notes__", [])])


def _as_options(message: str, names: set[str]) -> str:
    """A function's advice in the words of the command line; ``names`` are its arguments."""
    message = re.sub(rf"(?:\w+\.)*(?:{PARAMS})\.(\w+)", lambda m: _flag(m[1]), message)
    name = re.match(r"\w+(?=[:\[])", message)
    if name and name[0] in names - POSITIONAL:
        message = _flag(name[0]) + message[name.end() :]
    message = message.replace("1 of 1 lanes did", "did").replace(
        "bad_rows='drop'", "--bad-rows drop"
    )
    message = re.sub(r"[;,] (?:use|batch with) jax\.vmap.*", "", message)
    return re.sub(r"\. Check that every parameter.*", "; see --help for what each may be", message)


def _flag(name: str) -> str:
    return "--" + name.strip("_").replace("_", "-")


if __name__ == "__main__":
    interrupts.keep()
    with interrupts.at_once():
        main()
