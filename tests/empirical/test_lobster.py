"""LOBSTER files: events, the tape made of them, bad rows in either file."""

import numpy as np
import pytest

from diffeq.empirical import bad_rows, readers

MESSAGES = """34200.004241176,1,16113575,18,5853300,1
34200.025551909,4,16113584,18,5853300,-1
34200.201735123,5,0,5,5853200,1
34201.000000001,3,16113575,18,5853300,1
"""
BOOK = """5859400,200,5853300,18,5859800,200,5853000,150
5859400,182,5853300,18,5859800,200,5853000,150
5859400,182,5853300,18,5859800,200,-9999999999,0
5859400,182,-9999999999,0,9999999999,0,-9999999999,0
"""


def write(folder, text, name="file.csv"):
    path = folder / name
    path.write_text(text)
    return path


def lobster_files(folder, messages=MESSAGES, book=BOOK):
    return write(folder, messages, "message.csv"), write(folder, book, "orderbook.csv")


def test_lobster_events(tmp_path):
    events = readers.lobster.events(*lobster_files(tmp_path))
    assert events.time.tolist() == [34_200.004241176, 34_200.025551909, 34_200.201735123] + [
        34_201.000000001
    ]
    assert events.type.tolist() == [1, 4, 5, 3]
    assert events.order_id.tolist() == [16113575, 16113584, 0, 16113575]
    assert events.price.tolist() == [585.33, 585.33, 585.32, 585.33]
    assert events.direction.tolist() == [1, -1, 1, 1]
    assert events.ask.shape == events.bid_size.shape == (4, 2)
    assert events.ask[0].tolist() == [585.94, 585.98] and events.bid[0].tolist() == [585.33, 585.3]
    assert np.isnan(events.bid[3]).all() and np.isnan(events.ask[3, 1])
    assert events.bid_size[3].tolist() == [0, 0] and events.ask_size[1].tolist() == [182, 200]
    long = lobster_files(tmp_path, MESSAGES.replace("16113584", str(2**60 + 1)))  # no float
    assert readers.lobster.events(*long).order_id[1] == 2**60 + 1
    longer = lobster_files(tmp_path, MESSAGES.replace("16113584", str(2**64 - 1)))  # no int64
    with pytest.raises(ValueError, match=f"line 2 .*'order_id' = {2**64 - 1}: value not underst"):
        readers.lobster.events(*longer)
    assert len(readers.lobster.events(*longer, bad_rows="drop").order_id) == 3


def test_lobster_tape(tmp_path):
    tape = readers.lobster.tape(*lobster_files(tmp_path))
    # a sell limit order (−1) was executed: the aggressor bought
    assert tape.trades.sign.tolist() == [1, -1]
    assert tape.trades.price.tolist() == [585.33, 585.32]
    assert tape.trades.size.tolist() == [18, 5]
    assert tape.trades.time.tolist() == [34_200.025551909, 34_200.201735123]
    assert tape.quotes.bid.tolist() == [585.33] * 3 and tape.quotes.ask.tolist() == [585.94] * 3
    trades, quotes = tape.reports
    assert trades.filtered == {"not an execution": 2} and trades.kept == 2
    assert quotes.filtered == {"an empty side of the book": 1} and quotes.kept == 3


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("34200.1,7,0,0,-1,-1", bad_rows.HALT),
        ("34200.1,6,-1,500,5853300,-1", bad_rows.AUCTION),
        ("34200.1,8,1,5,5853300,1", bad_rows.NOT_UNDERSTOOD),
        ("34200.1,4,1,5,5853300,0", bad_rows.NOT_UNDERSTOOD),
        ("34200.1,4,1,0,5853300,1", bad_rows.SIZE),
        ("34200.1,4,1,5,0,1", bad_rows.PRICE),
        ("34200.01,4,1,5,5853300,1", bad_rows.BACKWARDS),
    ],
)
def test_lobster_bad_messages_take_the_books_row_along(tmp_path, event, kind):
    lines, book = MESSAGES.splitlines(), BOOK.splitlines()
    messages = "\n".join([*lines[:2], event, *lines[2:]])
    files = lobster_files(tmp_path, messages, "\n".join([*book[:2], book[0], *book[2:]]))
    with pytest.raises(ValueError) as caught:
        readers.lobster.events(*files)
    assert f"{files[0]}, line 3 (the file has no header)" in str(caught.value)
    assert kind in str(caught.value)
    events = readers.lobster.events(*files, bad_rows="drop")
    assert events.type.tolist() == [1, 4, 5, 3]
    assert events.ask_size[:, 0].tolist() == [200, 182, 182, 182]
    assert events.reports[0].bad == {kind: 1}
    assert list(events.reports[1].filtered.values()) == [1]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("5859400,182,5859500,18,5859800,200,5853000,150", bad_rows.CROSSED),
        ("5859400,0,5853300,18,5859800,200,5853000,150", bad_rows.SIZE),
        ("5859400,182,-5,18,5859800,200,5853000,150", bad_rows.PRICE),
        ("5859400,182,5853300,18,,200,5853000,150", bad_rows.NOT_A_NUMBER),
    ],
)
def test_lobster_bad_book_rows_take_the_message_along(tmp_path, row, kind):
    book = BOOK.splitlines()
    files = lobster_files(tmp_path, book="\n".join([book[0], row, *book[2:]]))
    with pytest.raises(ValueError) as caught:
        readers.lobster.tape(*files)
    assert f"{files[1]}, line 2 (the file has no header)" in str(caught.value)
    assert kind in str(caught.value)
    tape = readers.lobster.tape(*files, bad_rows="drop")
    assert tape.trades.sign.tolist() == [-1]
    assert tape.reports[1].bad == {kind: 1}


def test_lobster_files_must_match(tmp_path):
    with pytest.raises(ValueError, match="has 4 rows and .* has 3: they must match"):
        readers.lobster.tape(*lobster_files(tmp_path, book="\n".join(BOOK.splitlines()[:3])))
    with pytest.raises(ValueError, match="has 3 columns; an orderbook file has four a level"):
        readers.lobster.tape(*lobster_files(tmp_path, book="1,2,3\n"))
    with pytest.raises(ValueError, match="has 5 columns, expected 6"):
        readers.lobster.tape(*lobster_files(tmp_path, messages="1,2,3,4,5\n"))
    with pytest.raises(ValueError, match="one side of the book is empty in every row"):
        files = lobster_files(tmp_path, MESSAGES.splitlines()[3], BOOK.splitlines()[3])
        readers.lobster.tape(*files)
