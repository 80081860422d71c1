"""Tables of numbers as one types them: ``0.5 0 0.5; 0 1 0``, or the name of a file that holds them.

In a file rows are lines; entries stand apart by blanks or commas, here as there, and may be
fractions, ``1/3``. JSON, ``[[0.5, 0, 0.5], [0, 1, 0]]``, is read too.
"""

import json
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from diffeq.command_line.endings import Usage

HOW = 'Numbers apart by blanks or commas, rows by ";"; or a file of them (CSV, JSON).'
"""For a flag's help."""


def table(flag: str, text: str) -> np.ndarray[Any, Any]:
    """The numbers; one row or one column has shape (n,), a number alone shape ().

    Args:
      flag: for messages.
      text: numbers, or the path of a file.

    Raises:
      Usage: neither numbers nor a file. ValueError, OSError: a file that holds no table.

    >>> table("--eta", "1/2 0 1/2; 0 1 0").tolist()
    [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]
    """
    try:
        return _array(_rows(text))
    except ValueError as error:
        if not os.path.exists(text):
            raise Usage(
                f'{flag}: expected numbers, rows as in "1/2 0 1/2; 0 1 0", or a file of them; '
                f"got {text!r}: {error}, and there is no such file"
            ) from None
    try:
        return _array(_rows(Path(text).read_text(encoding="utf-8-sig")))
    except ValueError as error:
        raise ValueError(f"{flag}: {text} cannot be read as a table: {error}") from None


def _rows(text: str) -> list[list[float]]:
    if text.lstrip().startswith("["):
        found = json.loads(text)
        rows = found if all(isinstance(row, list) for row in found) else [found]
        return [[_number(str(x)) for x in row] for row in rows]
    lines = [line.strip() for line in re.split(r"[;\n]", text)]
    return [[_number(x) for x in re.split(r"\s*,\s*|\s+", line)] for line in lines if line]


def _number(text: str) -> float:
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{text[:40]!r} is no number") from None


def _array(rows: list[list[float]]) -> np.ndarray[Any, Any]:
    lengths = {len(row) for row in rows}
    if len(lengths) != 1:
        if not rows:
            raise ValueError("it is empty")
        first, other = sorted(lengths)[:2]
        raise ValueError(f"rows of {first} and of {other} numbers")
    return np.array(rows).squeeze()
