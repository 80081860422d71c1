"""Packages of the extra ``sweep``, imported where they are used."""

from typing import Any


def extra(module: str) -> Any:
    """Import a package, or say how to install it."""
    try:
        return __import__(module)
    except ImportError as error:
        raise ImportError(f"diffeq.sweep needs {module}: pip install 'diffeq[sweep]'") from error


def bar(total: int, already: int, progress: bool) -> Any:
    """A progress bar of points."""
    how = dict(unit="point", unit_scale=True, disable=not progress)
    return extra("tqdm").tqdm(total=total, initial=already, **how)
