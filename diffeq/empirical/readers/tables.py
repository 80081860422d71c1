"""Open a table (CSV, CSV.gz, Parquet, DataFrame) and take typed columns out of it."""

from __future__ import annotations

import lzma
import os
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np

from diffeq.empirical.bad_rows import NOT_A_NUMBER, NOT_UNDERSTOOD, OUTSIDE, Ledger, Mask
from diffeq.empirical.readers.records import DAY_NS, Floats, Nanoseconds, Signs

if TYPE_CHECKING:
    from pandas import DataFrame

TableSource: TypeAlias = "str | os.PathLike[str] | DataFrame"
TimeUnit = Literal["s", "ms", "us", "ns", "datetime"]
Clock = Literal["epoch", "midnight"]
ClockOrAuto = Literal["epoch", "midnight", "auto"]

_UNREADABLE = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}  # decimal places between the unit and a nanosecond
_EXACT = 2.0**52  # floats below this are exact to half a unit
_EARLIEST, _LATEST = 631_152_000 * 10**9, 4_102_444_800 * 10**9  # 1990 and 2100
_FAR = 2**62  # past 2100, and no sum or product of it is taken


class Table(NamedTuple):
    """A table opened for reading."""

    name: str
    "the file as it was named, or 'DataFrame'"
    frame: DataFrame
    "its rows"
    first_line: int
    "the number a person gives the first record: its line in a text file, 1 elsewhere"
    row_rule: str
    "how a person counts to it"
    path: Path | None
    "the text file, to read a column's exact text again; None for Parquet and DataFrames"

    @property
    def num_rows(self) -> int:
        """Number of records."""
        return len(self.frame)

    def where(self, row: int) -> str:
        """Where a person finds the record with 0-based position `row`."""
        return f"{self.row_rule.format(row + self.first_line)}"

    def value(self, column: str, row: int) -> object:
        """The value in the file."""
        return self.frame[column].iloc[row]


def pandas() -> ModuleType:
    """Import pandas; raises ImportError naming the extra that brings it."""
    try:
        import pandas
        import pyarrow  # noqa: F401  (pandas reads Parquet through it)
    except ImportError as error:
        raise ImportError(
            "reading market data needs pandas and pyarrow: pip install 'diffeq[data]'"
        ) from error
    return pandas


def load(
    source: TableSource,
    wanted: Sequence[str],
    *,
    optional: Sequence[str] = (),
    text: Sequence[str] = (),
    header: bool = True,
) -> Table:
    """Open a table and check that it has the columns wanted.

    Args:
        source: Path of a CSV (gzipped or not) or Parquet (``.parquet``, ``.pq``) file, or a pandas
            DataFrame.
        wanted: Names of the columns needed; without a header, the names to give the columns.
        optional: Columns to read if they are there.
        text: Columns to read as text, whatever they look like.
        header: Whether the first line of a CSV file names the columns.

    Raises:
        FileNotFoundError: No such file.
        TypeError: Neither a path nor a DataFrame.
        ValueError: The file is empty, cannot be read as a table, or lacks a column or
            has it twice.
    """
    present = columns(source)
    if not header and len(present) != len(wanted):
        raise ValueError(f"{name(source)} has {len(present)} columns, expected {len(wanted)}")
    missing = [column for column in wanted if column not in present] if header else []
    if missing:
        raise ValueError(
            f"{name(source)} has no column {', '.join(map(repr, missing))}; its columns are "
            + ", ".join(map(repr, present))
            + separator_hint(present)
        )
    twice = [column for column in wanted if present.count(column) > 1] if header else []
    if twice:
        raise ValueError(f"{name(source)} has column {', '.join(map(repr, twice))} more than once")
    if isinstance(source, str | os.PathLike):
        chosen = [*wanted, *(column for column in optional if column in present)]
        table = _open(Path(source), chosen, text, header)
    else:
        frame = source.set_axis(present, axis=1)  # names that are no text too
        table = Table("DataFrame", frame, 1, "row {} (the first is row 1)", None)
    if table.num_rows == 0:
        raise ValueError(f"{table.name} has no rows")
    return table


def name(source: TableSource) -> str:
    """The table's name in messages."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else "DataFrame"


def separator_hint(header: Sequence[str]) -> str:
    """What to do about a header that is one column for want of commas; "" where it is not."""
    found = [mark for mark in ";\t|" if len(header) == 1 and mark in header[0]]
    if not found:
        return ""
    mark = repr(found[0])
    return f". Not commas but {mark} separate them: pass pandas.read_csv(file, sep={mark})"


def account(table: Table) -> Ledger:
    """Open the account of a table's rows; blank lines at the end are filtered and counted."""
    ledger = Ledger(table)
    first = table.frame.columns[0]
    if table.path is not None and table.num_rows and table.frame[first].isna().iloc[-1]:
        blank = table.frame.isna().all(axis=1).to_numpy()
        ledger.filter("blank lines at the end", np.logical_and.accumulate(blank[::-1])[::-1])
    return ledger


def columns(source: TableSource) -> list[str]:
    """Names of the columns of a table: a CSV file's first line, read as text."""
    pd = pandas()
    if not isinstance(source, str | os.PathLike):
        if not isinstance(source, pd.DataFrame):
            raise TypeError(f"expected a path or a pandas DataFrame, got {type(source).__name__}")
        return [str(name) for name in source.columns]
    path = _existing(Path(source))
    if _is_parquet(path):
        import pyarrow.parquet

        return list(_parse(path, pyarrow.parquet.read_schema, {}).names)
    settings = {"header": None, "nrows": 1, "dtype": str, "keep_default_na": False}
    settings |= {"skip_blank_lines": False}
    return [str(name) for name in _parse(path, pd.read_csv, settings).iloc[0]]


def numbers(table: Table, ledger: Ledger, column: str, *, blank_is_bad: bool = True) -> Floats:
    """A column as float64, shape (n,); what is not a finite number is entered as bad.

    With `blank_is_bad` False an empty cell is legal and comes back as NaN.
    """
    pd = pandas()
    series = table.frame[column]
    values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values)
    if not blank_is_bad:
        wrong &= ~series.isna().to_numpy()
    ledger.bad(NOT_A_NUMBER, wrong, [column])
    return cast(Floats, values)


def categories(table: Table, ledger: Ledger, column: str, meaning: Mapping[str, int]) -> Signs:
    """A column of a few distinct words as small integers, shape (n,), by `meaning`.

    Words are compared in lower case, whole numbers as integers ("1.0" is "1"). A word without a
    meaning is entered as bad (and comes back as 0).
    """
    codes, words = pandas().factorize(table.frame[column])
    meanings = [meaning.get(_word(word)) for word in words]
    known = np.array([m is not None for m in meanings] + [False])
    value = np.array([m or 0 for m in meanings] + [0], dtype=np.int8)
    ledger.bad(NOT_UNDERSTOOD, ~known[codes], [column])  # code −1, a blank, is the last entry
    return np.asarray(value[codes], np.int8)


def integers(table: Table, column: str) -> Nanoseconds:
    """Whole numbers below 2⁶³ as int64, shape (n,), every digit kept; 0 where it is no number."""
    return _ticks(table, column, "ns")[0]


def clock_of(table: Table, column: str, unit: TimeUnit, clock: ClockOrAuto) -> Clock:
    """The clock of a time column: as stated, or by its size: within a day it counts from midnight.

    Raises:
        ValueError: A clock that is none of the three.
    """
    if clock not in get_args(ClockOrAuto):
        raise ValueError(f"clock must be one of {get_args(ClockOrAuto)}, got {clock!r}")
    if clock != "auto":
        return clock
    ticks, known = _ticks(table, column, unit)
    within_a_day = known.any() and 0 <= int(np.median(ticks[known])) <= DAY_NS
    return "midnight" if within_a_day else "epoch"


def nanoseconds(
    table: Table,
    ledger: Ledger,
    column: str,
    unit: TimeUnit,
    clock: Clock,
    *,
    ordered: bool = True,
) -> Nanoseconds:
    """A time column as int64 nanoseconds, shape (n,), exact to the digits in the file.

    Rows without a time are entered as bad, and so are rows outside 1990–2100 (or outside the day)
    and rows earlier than a row before them.

    Args:
        table: The table.
        ledger: Its account.
        column: The column's name.
        unit: What one unit of the column is; "datetime" for ISO 8601 text (UTC unless it says
            otherwise) and for datetime columns.
        clock: Whether times count from 1970 ("epoch") or from midnight.
        ordered: Whether time may not go backwards.

    Raises:
        ValueError: A wrong option, or times that cannot be right in this unit.
    """
    if clock not in get_args(Clock):
        raise ValueError(f"clock must be one of {get_args(Clock)}, got {clock!r}")
    time_ns, known = _ticks(table, column, unit)
    written = table.frame[column].notna().to_numpy()
    if written.any() and not known.any():
        asked = "ISO 8601, such as 2024-08-08T12:00" if unit == "datetime" else "a number"
        raise ValueError(
            f"{table.name}, column {column!r}: no time is {asked}; for example "
            f"{table.value(column, int(written.argmax()))}. State the time unit of this column: "
            "'s', 'ms', 'us' or 'ns' for numbers, 'datetime' for ISO 8601"
        )
    ledger.bad(NOT_A_NUMBER, ~known, [column])
    valid = time_ns[known]
    lowest, highest = (_EARLIEST, _LATEST) if clock == "epoch" else (0, DAY_NS)
    # the median: a few wild rows are bad rows, but a wrong unit moves all of them
    middle = int(np.median(valid)) if valid.size else lowest
    if not lowest <= middle <= highest:
        raise ValueError(
            f"{table.name}, column {column!r}: read as {unit} from "
            f"{'1970' if clock == 'epoch' else 'midnight'}, the times fall "
            f"{'outside 1990–2100' if clock == 'epoch' else 'outside a day'}; for example "
            f"{table.value(column, int(np.flatnonzero(known)[0]))}. State the time unit and clock "
            "of this column"
        )
    ledger.bad(OUTSIDE, known & ((time_ns < lowest) | (time_ns > highest)), [column])
    if ordered:
        ledger.bad_time(time_ns, column)
    return time_ns


def _ticks(table: Table, column: str, unit: TimeUnit) -> tuple[Nanoseconds, Mask]:
    """Integer nanoseconds and which rows have them."""
    if unit not in get_args(TimeUnit):
        raise ValueError(f"time unit must be one of {get_args(TimeUnit)}, got {unit!r}")
    pd = pandas()
    series = table.frame[column]
    if series.dtype.kind == "M" or unit == "datetime":
        text = series.astype(str) if series.dtype.kind in "iu" else series  # 20240808
        stamps = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
        stamps = stamps.where(stamps.dt.year.between(1700, 2250))  # beyond, nanoseconds wrap round
        instants = stamps.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
        known = ~np.isnat(instants)
        return np.where(known, instants.astype(np.int64), 0), known
    per_unit = 10 ** _DIGITS[unit]
    values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.isfinite(values)
    values = np.where(known, values, 0.0)
    wild = np.abs(values) >= 2.0**63 / per_unit  # beyond int64: no reason to refuse the other rows
    far = np.where(values > 0, _FAR, -_FAR)
    if series.dtype.kind in "iu":
        whole_ns = series.mask(wild, 0).to_numpy(dtype=np.int64, na_value=0) * per_unit
        return np.where(wild, far, whole_ns), known
    values = np.where(wild, 0.0, values)
    whole = np.floor(values)
    fraction = np.rint((values - whole) * per_unit).astype(np.int64)
    time_ns = np.where(wild, far, whole.astype(np.int64) * per_unit + fraction)
    exact = table.path is not None or series.dtype.kind == "O"
    if exact and float(np.abs(values).max(initial=0.0)) * per_unit >= _EXACT:
        _sharpen(time_ns, known & ~wild, _text(table, column), _DIGITS[unit])
    return time_ns, known


def _text(table: Table, column: str) -> Any:
    """A column as it is written in its text file, or as its Python objects print."""
    if table.path is None:
        return table.frame[column].astype(str)
    names = None if table.first_line == 2 else list(table.frame.columns)
    return pandas().read_csv(table.path, **_csv_settings([column], names))[column]


def _sharpen(time_ns: Nanoseconds, known: Mask, text: Any, digits: int) -> None:
    """Replace times too fine for a float by the digits written (a blank made the column float)."""
    parts = text.str.extract(r"^\s*\+?(\d+)(?:\.(\d*))?\s*$")
    plain = parts[0].notna().to_numpy() & known
    fraction = parts[1].fillna("").str.slice(0, digits).str.ljust(digits, "0")
    written = (parts[0] + fraction)[plain]
    time_ns[plain] = [int(digits_written) for digits_written in written]


def _word(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip().lower()


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file")
    return path


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in {".parquet", ".pq"}


def _csv_settings(text: Sequence[str], names: Sequence[str] | None) -> dict[str, Any]:
    """Settings of pandas.read_csv; `names` for a file without a header.

    All columns are read: with a choice of them pandas lets lines with surplus fields pass.
    """
    settings: dict[str, Any] = {
        "dtype": dict.fromkeys(text, str),
        "index_col": False,  # else a surplus field on each line would shift the columns by one
        "skip_blank_lines": False,  # else line numbers in messages would be wrong
        "low_memory": False,
    }
    if tuple(map(int, pandas().__version__.split(".")[:2])) < (3, 1):  # later ones always do
        settings["float_precision"] = "round_trip"  # prices are compared: 0.1 is the nearest float
    return settings if names is None else settings | {"header": None, "names": list(names)}


def _open(path: Path, wanted: Sequence[str], text: Sequence[str], header: bool) -> Table:
    pd = pandas()
    path = _existing(path)
    if _is_parquet(path):
        frame = _parse(path, pd.read_parquet, {"columns": list(wanted)})
        return Table(str(path), frame, 1, "row {} (the first is row 1)", None)
    frame = _parse(path, pd.read_csv, _csv_settings(text, None if header else wanted))
    rule = "line {} (the header is line 1)" if header else "line {} (the file has no header)"
    return Table(str(path), frame, 2 if header else 1, rule, path)


def _parse(path: Path, reader: Any, settings: dict[str, Any]) -> Any:
    """Run a reader; what it raises or warns becomes a ValueError naming the file."""
    pd = pandas()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return reader(path, **settings)
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path} is empty, or its first line is blank") from error
    except (*_UNREADABLE, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
