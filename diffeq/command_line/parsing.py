"""From the words of a command line to a call: tyro makes the flags, its refusals become a line."""

import contextlib
import dataclasses
import functools
import inspect
import io
import os
import re
import textwrap
from collections.abc import Callable
from typing import Any, get_args

from diffeq.command_line.endings import Usage

Command = Callable[..., str]


def parsed(command: Command, program: str, words: list[str]) -> Callable[[], str]:
    """The call of ``command`` that the words ask for; or its help is printed.

    Args:
      command: its arguments are the flags, its docstring the help.
      program: what was typed so far.
      words: the rest.

    Raises:
      Usage: the words cannot be read. SystemExit: help was asked for, and printed.
    """
    import tyro

    @functools.wraps(command)
    def later(*args: Any, **options: Any) -> Callable[[], str]:
        return functools.partial(command, *args, **options)

    with _refusals_in_a_line(program, words):
        call: Callable[[], str] = tyro.cli(later, prog=program, args=words)
    return call


def flags(command: Command) -> set[str]:
    """The names of a command's arguments, as its functions know them."""
    names = set()
    for name, parameter in inspect.signature(command).parameters.items():
        made_of = (*get_args(command.__annotations__.get(name)), parameter.annotation)[0]
        is_group = dataclasses.is_dataclass(made_of)
        names |= {field.name for field in dataclasses.fields(made_of)} if is_group else {name}
    return names


def chosen(commands: dict[str, Command], what: str, program: str, words: list[str]) -> Command:
    """The command that the first word names; or the help that lists them all is printed.

    Raises:
      Usage: it names none. SystemExit: help was asked for.
    """
    import tyro

    name = words[0] if words else ""
    if name in commands:
        return commands[name]
    if name in ("-h", "--help"):
        tyro.extras.subcommand_cli_from_dict(
            commands, prog=program, args=[name], description=_readable(what)
        )
    got = f"got {name!r}" if words else "got none"
    kind = "verb" if "solve" in commands else "model"
    raise Usage(f"expected a {kind}, one of {', '.join(commands)}; {got}; see {program} --help")


def _readable(text: str | None) -> str:
    """A docstring without the marks of its markup, a line for each paragraph."""
    paragraphs = textwrap.dedent(text or "").replace("``", "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


@contextlib.contextmanager
def _refusals_in_a_line(program: str, words: list[str]) -> Any:
    """Turn what tyro prints in a frame before it exits with code 2 into a :class:`Usage`."""
    frame, columns = io.StringIO(), os.environ.get("COLUMNS")
    if not {"-h", "--help"} & set(words):
        os.environ["COLUMNS"] = "9999"  # or it breaks words to fit a terminal
    try:
        with contextlib.redirect_stderr(frame):
            yield
    except SystemExit as end:
        if end.code:
            raise Usage(f"{_line(frame.getvalue())}; see {program} --help") from None
        raise
    finally:
        os.environ.pop("COLUMNS", None)
        if columns is not None:
            os.environ["COLUMNS"] = columns


def _line(frame: str) -> str:
    """What a frame says under its title and above its first rule, and the flags it proposes.

    >>> _line("╭─ Oops ─╮\\n│ No --a. │\\n│ ────── │\\n│ Perhaps you meant:│\\n│  --b INT │\\n╰─╯")
    'No --a; perhaps --b'
    """
    rows = [re.sub(r"^[│|]|[│|]\s*$", "", row).rstrip() for row in frame.splitlines()[1:]]
    if rows and _is_rule(rows[0]):  # where the locale has no frames
        del rows[0]
    above = next((i for i, row in enumerate(rows) if _is_rule(row)), len(rows))
    said = " ".join(" ".join(rows[:above]).split()).partition(" Got errors:")[0].rstrip(".")
    meant = re.findall(r"^\s*(--\w[\w-]*)", "\n".join(rows[above:]), re.MULTILINE)
    return f"{said}; perhaps {' or '.join(dict.fromkeys(meant))}" if "meant" in frame else said


def _is_rule(row: str) -> bool:
    return bool(row.strip()) and set(row.strip()) <= set("─-╰╯")
