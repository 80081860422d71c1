"""Command line: ``python -m diffeq tour``; ``--help`` lists the verbs and their options."""

import functools
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any

import jax


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
        if args[:1] == ["solve"]:
            from diffeq import solve_command

            about = solve_command.__doc__
            text = tyro.extras.subcommand_cli_from_dict(
                solve_command.commands(), prog=f"{prog} solve", args=args[1:], description=about
            )
        else:
            verbs = {"tour": _tour(), "solve": solve, "figures": _figures()}
            text = tyro.extras.subcommand_cli_from_dict(
                verbs, prog=prog, args=args, description=__doc__
            )
    except (ValueError, TypeError, OSError, ImportError, ConvergenceError) as error:
        sys.exit(f"error: {_as_options(str(error))}")
    print(text)


def solve() -> str:
    """One equilibrium of a model: solve MODEL --help."""
    raise ValueError("solve: expected a model, as in: python -m diffeq solve market-making --help")


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
