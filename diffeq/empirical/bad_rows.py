"""The bad-row policy: every row of a file is kept, filtered by request, or bad; all are counted.

A reader opens one `Ledger` per file, enters what it finds in a fixed order, and closes it. A row
is charged to the first entry that takes it out, so the counts of the `Report` add up to the rows
read. With ``bad_rows="error"`` (the default) closing raises on the first bad row of the file;
with ``"drop"`` bad rows are left out and counted. Nothing is ever left out uncounted.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt

Policy = Literal["error", "drop"]
Mask = npt.NDArray[np.bool_]

NOT_A_NUMBER = "missing or not a number"
NOT_UNDERSTOOD = "value not understood"
PRICE = "price zero or negative"
SIZE = "size zero or negative"
NEGATIVE = "negative price or size"
CROSSED = "crossed quote (bid above ask)"
BACKWARDS = "time earlier than the row before"
OUTSIDE = "time outside 1990–2100, or outside the day"
AUCTION = "auction print"
HALT = "trading halt"
DUPLICATE = "same contract and time twice"


class Report(NamedTuple):
    """What became of the rows of one file; ``rows_read = kept + Σ filtered + Σ bad``.

    ``print(report)`` gives the account in words.
    """

    file: str
    "the file as it was named, or 'DataFrame'"
    columns: dict[str, str]
    "the column map used: our name → theirs, with units where they matter"
    rows_read: int
    "records in the file, header not counted"
    kept: int
    "records returned"
    filtered: dict[str, int]
    "records left out on request or by the layout's rules, by reason"
    bad: dict[str, int]
    "bad records left out (bad_rows='drop'), by kind; a record counts once, under its first kind"
    counted: dict[str, int]
    "records kept that are legal but worth knowing of, such as locked quotes"
    first_bad: str
    "where the first bad record is and what is wrong with it; '' when there is none"

    def __str__(self) -> str:
        lines = [f"{self.file}: {self.rows_read} rows read, {self.kept} kept"]
        lines += [f"  filtered: {count} {reason}" for reason, count in self.filtered.items()]
        lines += [f"  bad, dropped: {count} {kind}" for kind, count in self.bad.items()]
        lines += [f"  noted: {count} {what}" for what, count in self.counted.items()]
        if self.first_bad:
            lines.append(f"  first bad row: {self.first_bad}")
        named = ", ".join(f"{ours} = {theirs}" for ours, theirs in self.columns.items())
        return "\n".join([*lines, f"  columns: {named}"])


class Source(Protocol):
    """The table whose rows are judged: knows its name and how a person finds a row in it."""

    @property
    def name(self) -> str:
        """The file's name."""

    @property
    def num_rows(self) -> int:
        """Number of records."""

    def where(self, row: int) -> str:
        """Where a person finds the record with 0-based position `row`."""

    def value(self, column: str, row: int) -> object:
        """The value in the file."""


def require_policy(bad_rows: str) -> None:
    """Raise ValueError unless `bad_rows` is "error" or "drop"."""
    if bad_rows not in get_args(Policy):
        raise ValueError(f"bad_rows must be 'error' or 'drop', got {bad_rows!r}")


class Ledger:
    """The account of one file's rows: enter findings in order of precedence, then `close`.

    `standing` is the boolean array, shape (num_rows,), of rows not yet taken out; an entry only
    touches rows still standing.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.standing: Mask = np.ones(source.num_rows, dtype=bool)
        self._filtered: dict[str, int] = {}
        self._bad: dict[str, int] = {}
        self._counted: dict[str, int] = {}
        self._first: tuple[int, Callable[[], str]] | None = None

    def filter(self, reason: str, mask: Mask) -> None:
        """Take the rows of `mask` out, on request or by the layout's rules: not bad rows."""
        self._take(self._filtered, reason, mask)

    def bad(
        self,
        kind: str,
        mask: Mask,
        columns: Sequence[str],
        values: Sequence[npt.NDArray[Any]] | None = None,
    ) -> None:
        """Take the rows of `mask` out as bad; `columns` (and `values`, if not the file's) name why.

        Args:
            kind: One of this module's kinds.
            mask: Shape (num_rows,).
            columns: The file's columns that show the defect.
            values: One array of shape (num_rows,) per column, where the values judged are not
                those written in the row (a forward-filled quote, say).
        """
        hits = np.flatnonzero(mask & self.standing)
        if hits.size and (self._first is None or hits[0] < self._first[0]):
            row = int(hits[0])
            self._first = (row, lambda: self._describe(row, kind, columns, values))
        self._take(self._bad, kind, mask)

    def bad_time(self, time_ns: npt.NDArray[np.int64], column: str) -> None:
        """Take out rows earlier than a row before them that is still standing (ties are legal).

        So a time wrongly far ahead takes the rows after it along: the count shows it.
        """
        seen = np.where(self.standing, time_ns, np.iinfo(np.int64).min)
        latest = np.maximum.accumulate(seen) if seen.size else seen
        self.bad(BACKWARDS, time_ns < latest, [column])

    def note(self, what: str, mask: Mask) -> None:
        """Count rows that stand but are worth knowing of."""
        count = int(np.count_nonzero(mask & self.standing))
        if count:
            self._counted[what] = self._counted.get(what, 0) + count

    def close(self, bad_rows: Policy, columns: dict[str, str]) -> Report:
        """The report.

        Raises:
            ValueError: There are bad rows and `bad_rows` is "error" (the message names the first
                one's file, row, column and value); or no row is left; or a wrong `bad_rows`.
        """
        require_policy(bad_rows)
        first = self._first[1]() if self._first is not None else ""
        if first and bad_rows == "error":
            counts = ", ".join(f"{kind}: {count}" for kind, count in self._bad.items())
            raise ValueError(
                f"{first}. Bad rows in this file: {sum(self._bad.values())} ({counts}). Correct "
                "the file, or pass bad_rows='drop' to leave such rows out and have them counted."
            )
        report = Report(
            file=self.source.name,
            columns=columns,
            rows_read=self.source.num_rows,
            kept=int(np.count_nonzero(self.standing)),
            filtered=self._filtered,
            bad=self._bad,
            counted=self._counted,
            first_bad=first,
        )
        if report.kept == 0:
            raise ValueError(f"no row is left to work with. {report}")
        return report

    def _take(self, account: dict[str, int], reason: str, mask: Mask) -> None:
        count = int(np.count_nonzero(mask & self.standing))
        if count:
            account[reason] = account.get(reason, 0) + count
            self.standing &= ~mask

    def _describe(
        self,
        row: int,
        kind: str,
        columns: Sequence[str],
        values: Sequence[npt.NDArray[Any]] | None,
    ) -> str:
        if values is None:
            shown = [self.source.value(column, row) for column in columns]
        else:
            shown = [value[row] for value in values]
        cells = ", ".join(
            f"{column!r} = {value}" for column, value in zip(columns, shown, strict=True)
        )
        word = "column" if len(columns) == 1 else "columns"
        return f"{self.source.name}, {self.source.where(row)}, {word} {cells}: {kind}"
