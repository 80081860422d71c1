"""How a table spells the columns wanted: "Price " and "PRICE" are price, if nothing else is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from diffeq.empirical.readers import tables

Layout = TypeVar("Layout", bound=tuple[Any, ...])


def plain(header: Iterable[str]) -> set[str]:
    """Column names without capitals and without spaces around them."""
    return {_plain(column) for column in header}


def as_spelled(source: tables.TableSource, layout: Layout, fields: Sequence[str]) -> Layout:
    """A layout (NamedTuple) whose `fields` name their columns as the table spells them.

    A name that the table has exactly is kept; else the one column that differs in capitals or in
    spaces around it only, and that no other field names exactly; else the name as it is, for
    `tables.load` to call missing.

    Raises:
        ValueError: Several columns would do; the message names them.
    """
    wanted = {field: getattr(layout, field) for field in fields}
    header = tables.columns(source)
    loose = [column for column in dict.fromkeys(header) if column not in wanted.values()]
    for field, name in wanted.items():
        if name is None or name in header:
            continue
        alike = [column for column in loose if _plain(column) == _plain(name)]
        if len(alike) > 1:
            raise ValueError(
                f"{tables.name(source)}: column {name!r} could be {' or '.join(map(repr, alike))}; "
                f"state which in the layout, {field}={alike[0]!r}"
            )
        wanted[field] = alike[0] if alike else name
    spelled: Layout = layout._replace(**wanted)  # type: ignore[attr-defined]
    return spelled


def _plain(column: str) -> str:
    return column.strip().casefold()
