"""The bad-row policy: what is bad, where the message points, and that the counts add up."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffeq.empirical import bad_rows, readers
from diffeq.empirical.bad_rows import Ledger

MIDNIGHT_TRADES = readers.TradeLayout(clock="midnight")
MIDNIGHT_QUOTES = readers.QuoteLayout(clock="midnight")
TRADES = ["time,price,size", "1.0,10.0,5", "2.0,10.5,6", "3.0,10.25,7", "4.0,10.0,8"]
QUOTES = ["time,bid,ask,bid_size,ask_size", *(f"{t}.0,10.0,10.5,3,4" for t in range(1, 5))]


def write(folder, lines, name="tape.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def trades_from(path, policy="error"):
    return readers.generic.tape(path, trade_layout=MIDNIGHT_TRADES, bad_rows=policy)


def quotes_from(path, policy="error"):
    return readers.generic.tape(quotes=path, quote_layout=MIDNIGHT_QUOTES, bad_rows=policy)


BAD_TRADES = [
    ("3.0,-10.25,7", "price", "-10.25", bad_rows.PRICE),
    ("3.0,0,7", "price", "0.0", bad_rows.PRICE),
    ("3.0,10.25,0", "size", "0", bad_rows.SIZE),
    ("3.0,10.25,-7", "size", "-7", bad_rows.SIZE),
    ("3.0,,7", "price", "nan", bad_rows.NOT_A_NUMBER),
    ("3.0,NaN,7", "price", "nan", bad_rows.NOT_A_NUMBER),
    ("3.0,inf,7", "price", "inf", bad_rows.NOT_A_NUMBER),
    ("3.0,ten,7", "price", "ten", bad_rows.NOT_A_NUMBER),
    ("3.0,10.25", "size", "nan", bad_rows.NOT_A_NUMBER),
    (",10.25,7", "time", "nan", bad_rows.NOT_A_NUMBER),
    ("noon,10.25,7", "time", "noon", bad_rows.NOT_A_NUMBER),
    ("1.5,10.25,7", "time", "1.5", bad_rows.BACKWARDS),
    (",,", "time", "nan", bad_rows.NOT_A_NUMBER),
    ("", "time", "nan", bad_rows.NOT_A_NUMBER),
]
BAD_QUOTES = [
    ("3.0,10.6,10.5,3,4", "bid' = 10.6, 'ask", "10.5", bad_rows.CROSSED),
    ("3.0,0,10.5,3,4", "bid", "0.0", bad_rows.PRICE),
    ("3.0,10.0,-1,3,4", "ask", "-1.0", bad_rows.PRICE),
    ("3.0,10.0,10.5,0,4", "bid_size", "0", bad_rows.SIZE),
    ("3.0,10.0,10.5,3,", "ask_size", "nan", bad_rows.NOT_A_NUMBER),
    ("0.5,10.0,10.5,3,4", "time", "0.5", bad_rows.BACKWARDS),
]


@pytest.mark.parametrize(("line", "column", "value", "kind"), BAD_TRADES)
def test_a_bad_trade_is_named(tmp_path, line, column, value, kind):
    path = write(tmp_path, [*TRADES[:3], line, TRADES[4]])
    with pytest.raises(ValueError) as caught:
        trades_from(path)
    start = f"{path}, line 4 (the header is line 1), column '{column}' = {value}: {kind}. "
    assert str(caught.value).startswith(start)
    assert "bad_rows='drop'" in str(caught.value)


@pytest.mark.parametrize(("line", "column", "value", "kind"), BAD_QUOTES)
def test_a_bad_quote_is_named(tmp_path, line, column, value, kind):
    path = write(tmp_path, [*QUOTES[:3], line, QUOTES[4]])
    with pytest.raises(ValueError) as caught:
        quotes_from(path)
    assert f"{path}, line 4 (the header is line 1), column" in str(caught.value)
    assert f" '{column}' = {value}: {kind}. " in str(caught.value)


@pytest.mark.parametrize(
    ("good", "line", "read", "kind"),
    [(TRADES, line, trades_from, kind) for line, _, _, kind in BAD_TRADES]
    + [(QUOTES, line, quotes_from, kind) for line, _, _, kind in BAD_QUOTES],
)
def test_drop_leaves_the_row_out_and_counts_it(tmp_path, good, line, read, kind):
    tape = read(write(tmp_path, [*good[:3], line, good[4]]), "drop")
    expected = read(write(tmp_path, [*good[:3], good[4]], "clean.csv"))
    wanted_fields = (*expected.trades, *expected.quotes)
    for found, wanted in zip((*tape.trades, *tape.quotes), wanted_fields, strict=True):
        np.testing.assert_array_equal(found, wanted)
    (report,) = tape.reports
    assert report.bad == {kind: 1}
    assert (report.rows_read, report.kept) == (4, 3)
    assert "line 4" in report.first_bad and kind in str(report)
    assert expected.reports[0].bad == {} and expected.reports[0].first_bad == ""


def test_the_first_bad_row_of_the_file_is_named_whatever_its_kind(tmp_path):
    lines = [TRADES[0], "1,10,-1", "2,-10,1", "3,10,1", "2.5,-10,-1", "2.75,10,1"]
    with pytest.raises(
        ValueError, match=r"line 2 .*'size' = -1.*Bad rows in this file: 4"
    ) as caught:
        trades_from(write(tmp_path, lines))
    # a row counts once: line 5 goes backwards and is not charged for its price and size
    for count in (f"{bad_rows.SIZE}: 1", f"{bad_rows.PRICE}: 1", f"{bad_rows.BACKWARDS}: 2"):
        assert count in str(caught.value)


def test_a_row_without_time_does_not_move_the_clock(tmp_path):
    tape = trades_from(write(tmp_path, [*TRADES[:2], ",9,9", *TRADES[2:]]), "drop")
    assert tape.trades.time.tolist() == [1, 2, 3, 4]


def test_equal_times_are_legal(tmp_path):
    tape = trades_from(write(tmp_path, [TRADES[0], "1,10,1", "1,11,1", "1,12,1"]))
    assert tape.trades.price.tolist() == [10, 11, 12]


def test_locked_quotes_are_legal_and_counted(tmp_path):
    tape = quotes_from(write(tmp_path, [*QUOTES, "9.0,10.5,10.5,3,4"]))
    (report,) = tape.reports
    assert report.counted == {"locked quotes (bid equals ask)": 1} and report.kept == 5
    assert tape.quotes.bid[-1] == tape.quotes.ask[-1]


def test_blank_lines_at_the_end_are_no_records(tmp_path):
    (report,) = trades_from(write(tmp_path, [*TRADES, "", ""])).reports
    assert report.filtered == {"blank lines at the end": 2} and report.kept == 4


def test_a_data_frame_counts_rows_from_one():
    frame = pd.DataFrame({"time": [1.0, 2.0], "price": [1.0, -1.0], "size": [1, 1]})
    message = r"DataFrame, row 2 \(the first is row 1\), column 'price' = -1.0"
    with pytest.raises(ValueError, match=message):
        trades_from(frame)


def test_nothing_left_is_an_error(tmp_path):
    path = write(tmp_path, [TRADES[0], "1,-1,1"])
    with pytest.raises(ValueError, match=r"(?s)no row is left.*1 price zero or negative"):
        trades_from(path, "drop")


@pytest.mark.parametrize("policy", ["ignore", "", None])
def test_a_wrong_policy_is_refused_before_reading(policy):
    for module in (readers.generic, readers.binance, readers.lean, readers.options):
        read = getattr(module, "tape", None) or module.chain
        with pytest.raises(ValueError, match="bad_rows must be 'error' or 'drop', got"):
            read("no such file.csv", bad_rows=policy)
    with pytest.raises(ValueError, match="bad_rows must be"):
        readers.tape("no such file", bad_rows=policy)
    with pytest.raises(ValueError, match="bad_rows must be"):
        readers.lobster.tape("no such file", "nor this", bad_rows=policy)


@given(
    cells=st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan]),
            st.sampled_from([1.0, 2.0, 0.0, -1.0, np.nan]),
            st.sampled_from([1.0, 2.0, 0.0, np.inf]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_kept_rows_are_those_a_loop_keeps(cells):
    """Row by row: a number each, time not before the last row kept with one, price and size > 0."""
    frame = pd.DataFrame(cells, columns=["time", "price", "size"])
    kept, latest = [], -np.inf
    for time, price, size in cells:
        if np.isnan(time) or time < latest:
            continue
        latest = time
        if price > 0 and 0 < size < np.inf:
            kept.append((time, price, size))
    if not kept:
        with pytest.raises(ValueError, match="no row is left"):
            trades_from(frame, "drop")
        return
    tape = trades_from(frame, "drop")
    assert list(zip(*tape.trades[:3], strict=True)) == kept
    (report,) = tape.reports
    assert report.kept == len(kept)
    assert report.rows_read == report.kept + sum(report.bad.values())
    if len(kept) < len(cells):
        with pytest.raises(ValueError, match="Bad rows in this file"):
            trades_from(frame)
    else:
        assert trades_from(frame).reports[0].bad == {}


class Rows:
    """The least a ledger needs to know of a table."""

    name = "rows"
    num_rows = 4

    def where(self, row: int) -> str:
        return f"row {row}"

    def value(self, column: str, row: int) -> object:
        return f"{column}{row}"


def test_a_ledger_charges_a_row_to_its_first_entry():
    ledger = Ledger(Rows())
    mask = np.array([True, True, False, False])
    ledger.filter("asked for", mask)
    ledger.bad("broken", np.array([False, True, True, False]), ["a"])
    ledger.note("odd", np.array([True, True, True, True]))
    report = ledger.close("drop", {})
    assert report.filtered == {"asked for": 2}
    assert report.bad == {"broken": 1}
    assert report.counted == {"odd": 1}
    assert report.first_bad == "rows, row 2, column 'a' = a2: broken"
    assert ledger.standing.tolist() == [False, False, False, True]


def test_only_standing_rows_set_the_clock():
    ledger = Ledger(Rows())
    ledger.filter("asked for", np.array([True, False, False, False]))
    ledger.bad_time(np.array([9, 1, 3, 2]), "t")
    assert ledger.standing.tolist() == [False, True, True, False]


def test_without_pandas_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from diffeq.empirical import readers\n"
        "try: readers.generic.tape('x.csv')\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'diffeq[data]'" in done.stdout


def test_importing_the_readers_imports_no_pandas():
    code = "import sys, diffeq.empirical; print({'pandas', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
