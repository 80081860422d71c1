"""Command line: ``python -m diffeq tour``; ``--help`` lists the verbs and their options."""

import sys

import jax


def main(args: list[str] | None = None) -> None:
    """Run one verb. In float64: a program may set what the library never touches."""
    try:
        import tyro
    except ImportError:
        sys.exit("the command line needs tyro: pip install 'diffeq[all]'")
    jax.config.update("jax_enable_x64", True)
    from diffeq.tour import tour

    try:
        report = tyro.extras.subcommand_cli_from_dict(
            {"tour": tour}, prog="python -m diffeq", args=args, description=__doc__
        )
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {_as_options(str(error))}")
    print(f"wrote {report}")


def _as_options(message: str) -> str:
    """A function's advice in the words of the command line."""
    return message.replace("bad_rows='drop'", "--bad-rows drop")


if __name__ == "__main__":
    main()
