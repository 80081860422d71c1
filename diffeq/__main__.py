"""Command line: ``python -m diffeq tour``; ``--help`` lists the verbs and their options."""

import functools
import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any

import jax

NESTED = {
    "solve": "One equilibrium of a model",
    "sweep": "A model over a grid of its parameters, into a store",
    "calibrate": "Parameters of a model from a file",
}
"""Verbs that take a model first."""


def main(args: list[str] | None = None) -> None:
    """Run one verb. In float64: a program may set what the library never touches."""
    try:
        import tyro
    except ImportError:
        sys.exit("the command line needs tyro: pip install 'diffeq[all]'")
    jax.config.update("jax_enable_x64", True)
    from diffeq.check import ConvergenceError

    args = sys.argv[1:] if args is None else args
    prog = "python -m diffeq"
    try:
        if args[:1] and args[0] in NESTED:
            verb = importlib.import_module(f"diffeq.{args[0]}_command")
            text = tyro.extras.subcommand_cli_from_dict(
                verb.commands(), prog=f"{prog} {args[0]}", args=args[1:], description=verb.__doc__
            )
        else:
            verbs = {
                "tour": _tour(),
                **{name: _models(name, about) for name, about in NESTED.items()},
                "figures": _figures(),
            }
            text = tyro.extras.subcommand_cli_from_dict(
                verbs, prog=prog, args=args, description=__doc__
            )
    except (ValueError, TypeError, OSError, ImportError, ConvergenceError) as error:
        sys.exit(f"error: {_as_options(str(error))}")
    except KeyboardInterrupt:
        print("interrupted; a sweep goes on where it was by the same command", file=sys.stderr)
        sys.exit(130)
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader (head, say) has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _models(verb: str, about: str) -> Callable[[], str]:
    """What stands for a verb that takes a model first, in the list of verbs."""

    def missing() -> str:
        raise ValueError(f"{verb}: expected a model, as in: python -m diffeq {verb} holden --help")

    missing.__doc__ = f"{about}: {verb} MODEL --help."
    return missing


def _tour() -> Callable[..., str]:
    from diffeq.tour import tour

    @functools.wraps(tour)
    def wrote(**options: Any) -> str:
        return f"wrote {tour(**options)}"

    return wrote


def _figures() -> Callable[..., str]:
    import tyro

    from diffeq.figures_command import figures

    figures.__annotations__["names"] = Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")
    ]
    return figures


def _as_options(message: str) -> str:
    """A function's advice in the words of the command line."""
    message = re.sub(r"(?:\w+\.)?Params\.(\w+)", lambda m: "--" + m[1].replace("_", "-"), message)
    return message.replace("bad_rows='drop'", "--bad-rows drop")


if __name__ == "__main__":
    main()
