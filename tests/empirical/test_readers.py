"""Any table by a column map: containers, clocks to the nanosecond, and files that are no tables."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffeq.empirical import bad_rows, readers, signing

NOON = 1_723_118_400_000  # 2024-08-08 12:00 UTC in ms
FRAME = pd.DataFrame({"time": [60.5, 61.25], "price": [9.5, 9.75], "size": [100, 200]})


def write(folder, text, name="file.csv"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "frame"])
def test_every_container_gives_the_same(tmp_path, kind):
    source = FRAME
    if kind != "frame":
        source = tmp_path / f"tape.{kind}"
        save = FRAME.to_parquet if kind == "parquet" else FRAME.to_csv
        save(source, index=False)
    tape = readers.generic.tape(source, trade_layout=readers.TradeLayout(clock="midnight"))
    assert tape.trades.time.tolist() == [60.5, 61.25]
    assert tape.trades.price.tolist() == [9.5, 9.75]
    assert tape.trades.size.tolist() == [100, 200]
    assert tape.trades.sign.tolist() == [0, 0] and tape.trades.sign.dtype == np.int8
    assert tape.quotes.time.shape == (0,) and tape.origin is None
    assert all(field.dtype == np.float64 for field in (*tape.trades[:3], *tape.quotes))
    assert tape.reports[0].file == ("DataFrame" if kind == "frame" else str(source))


def test_a_column_map_is_used_and_stated(tmp_path):
    text = "when;px\n"  # semicolons are not commas: the header is one column
    hint = "'when;px'.*. Not commas but ';' separate them: pass pandas.read_csv"
    with pytest.raises(ValueError, match=f"has no column 'time', 'price', 'size'; .*{hint}"):
        readers.generic.tape(write(tmp_path, text + "1;2\n"))
    with pytest.raises(ValueError, match=f"no known layout .*{hint}"):
        readers.tape(write(tmp_path, text + "1;2\n"))
    path = write(tmp_path, f"when,px,lots,side\n{NOON},1050,3,Buy\n{NOON + 1},1051,4,S\n")
    layout = readers.TradeLayout(
        "when", "px", "lots", "side", time_unit="ms", price_scale=100, size_scale=0.01
    )
    tape = readers.generic.tape(path, trade_layout=layout)
    assert tape.origin == np.datetime64("2024-08-08")
    assert tape.trades.time.tolist() == [43_200.0, 43_200.001]
    assert tape.trades.price.tolist() == [10.5, 10.51]
    assert tape.trades.size.tolist() == [300, 400]
    assert tape.trades.sign.tolist() == [1, -1]
    assert tape.reports[0].columns == {
        "time": "when [ms since 1970 UTC]",
        "price": "px / 100",
        "size": "lots / 0.01",
        "sign": "side",
    }


def test_sign_words_and_numbers(tmp_path):
    words = ["1", "-1", "0", "1.0", "BUY", " sell", "unknown"]
    frame = pd.DataFrame({"time": range(7), "price": 1.0, "size": 1.0, "sign": words})
    layout = readers.TradeLayout(sign="sign", clock="midnight")
    tape = readers.generic.tape(frame.drop(index=3), trade_layout=layout)
    assert tape.trades.sign.tolist() == [1, -1, 0, 1, -1, 0]
    with pytest.raises(ValueError, match=r"row 4 .*'sign' = 1.0: value not understood"):
        readers.generic.tape(frame, trade_layout=layout)
    numbers = frame.assign(sign=[1.0, -1.0, 0.0, 1.0, 1.0, np.nan, 1.0])
    with pytest.raises(ValueError, match=r"row 6 .*'sign' = nan: value not understood"):
        readers.generic.tape(numbers, trade_layout=layout)
    own = layout._replace(sign_words={"1": -1})
    assert readers.generic.tape(frame[:1], trade_layout=own).trades.sign.tolist() == [-1]


def test_quotes_without_sizes(tmp_path):
    path = write(tmp_path, "time,bid,ask\n1,9,10\n2,9.5,10\n")
    layout = readers.QuoteLayout(bid_size=None, ask_size=None, clock="midnight")
    tape = readers.generic.tape(quotes=path, quote_layout=layout)
    assert tape.quotes.bid.tolist() == [9, 9.5]
    assert np.isnan(tape.quotes.bid_size).all() and np.isnan(tape.quotes.ask_size).all()
    assert tape.reports[0].columns["bid_size"] == "not recorded"


def test_the_default_map_takes_the_sign_column_if_there_is_one(tmp_path):
    path = write(tmp_path, "time,price,size,sign\n1700000000.5,9,1,buy\n")
    tape = readers.generic.tape(path)
    assert tape.trades.sign.tolist() == [1]
    assert tape.origin == np.datetime64("2023-11-14") and tape.trades.time[0] == 80_000.5


@pytest.mark.parametrize(
    ("unit", "texts"),
    [
        ("s", ["1723118400.000000001", "1723118400.000000002", "1723118400.5"]),
        ("ms", ["1723118400000.000001", "1723118400000.000002", "1723118400500"]),
        ("us", ["1723118400000000.001", "1723118400000000.002", "1723118400500000"]),
        ("ns", ["1723118400000000001", "1723118400000000002", "1723118400500000000"]),
        (
            "datetime",
            [
                "2024-08-08T12:00:00.000000001Z",
                "2024-08-08 12:00:00.000000002",
                "2024-08-08T14:00:00.5+02:00",
            ],
        ),
    ],
)
def test_every_unit_is_exact_to_the_nanosecond(tmp_path, unit, texts):
    lines = "".join(f"{text},1,1\n" for text in texts)
    path = write(tmp_path, "time,price,size\n" + lines)
    layout = readers.TradeLayout(time_unit=unit)
    tape = readers.generic.tape(path, trade_layout=layout)
    assert tape.origin == np.datetime64("2024-08-08")
    assert tape.trades.time.tolist() == [43_200.000000001, 43_200.000000002, 43_200.5]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_blank_cell_does_not_blur_its_column(tmp_path, unit):
    """One blank makes pandas read integers as floats, which would round 1.7e18 to 256s."""
    scale = {"ms": 1, "us": 10**3, "ns": 10**6}[unit]
    ticks = [NOON * scale + k for k in range(5)]
    lines = [f"{tick},1,1" for tick in ticks]
    lines[2] = ",1,1"
    path = write(tmp_path, "\n".join(["time,price,size", *lines]))
    layout = readers.TradeLayout(time_unit=unit)
    tape = readers.generic.tape(path, trade_layout=layout, bad_rows="drop")
    expected = [(43_200_000 * scale + k) / (1000 * scale) for k in (0, 1, 3, 4)]
    assert tape.trades.time.tolist() == expected
    assert tape.reports[0].bad == {bad_rows.NOT_A_NUMBER: 1}
    cells = pd.Series([*ticks[:2], None, *ticks[3:]], dtype=object)  # Python's own whole numbers
    frame = pd.DataFrame({0: cells, 1: 1.0, 2: 1.0})
    numbered = readers.TradeLayout("0", "1", "2", time_unit=unit)
    tape = readers.generic.tape(frame, trade_layout=numbered, bad_rows="drop")
    assert tape.trades.time.tolist() == expected


@given(
    ticks=st.lists(st.integers(0, 86_400_000), min_size=2, max_size=20),
    offset=st.sampled_from([0, 1, 999_999]),
)
def test_strictly_earlier_survives_any_mix_of_units(ticks, offset):
    """Trades in ms, quotes in ns: the match is that of the integers."""
    ticks = sorted(ticks)
    base = NOON - 43_200_000
    half = len(ticks) // 2
    trade_ms, quote_ms = sorted(ticks[::2]), sorted(ticks[1::2])
    assert half == len(quote_ms)
    quote_ns = [(base + q) * 10**6 + offset for q in quote_ms]
    trades = pd.DataFrame({"time": [base + t for t in trade_ms], "price": 1.0, "size": 1.0})
    quotes = pd.DataFrame({"time": quote_ns, "bid": 1.0, "ask": 2.0})
    tape = readers.generic.tape(
        trades,
        quotes,
        trade_layout=readers.TradeLayout(time_unit="ms"),
        quote_layout=readers.QuoteLayout(time_unit="ns", bid_size=None, ask_size=None),
    )
    matched = signing.match(tape.trades.time, tape.quotes.time)
    expected = [sum(quote < (base + trade) * 10**6 for quote in quote_ns) - 1 for trade in trade_ms]
    assert matched.tolist() == expected


def test_one_origin_serves_both_sides_of_midnight():
    before = pd.DataFrame({"time": ["2024-08-08 23:59:59.9"], "bid": 1.0, "ask": 2.0})
    after = pd.DataFrame({"time": ["2024-08-09 00:00:00.1"], "price": 1.0, "size": 1.0})
    tape = readers.generic.tape(
        after,
        before,
        trade_layout=readers.TradeLayout(time_unit="datetime"),
        quote_layout=readers.QuoteLayout(time_unit="datetime", bid_size=None, ask_size=None),
    )
    assert tape.origin == np.datetime64("2024-08-08")
    assert tape.quotes.time.tolist() == [86_399.9] and tape.trades.time.tolist() == [86_400.1]


@pytest.mark.parametrize(("cell", "dated"), [("34200", False), ("1723161255.5", True)])
def test_the_clock_is_told_by_the_size_of_the_times(cell, dated):
    frame = pd.DataFrame({"time": [float(cell)], "price": 1.0, "size": 1.0})
    tape = readers.generic.tape(frame)
    assert (tape.origin is not None) == dated
    assert tape.trades.time[0] == float(cell) % 86_400


def test_datetime_columns_of_a_frame():
    stamps = pd.date_range("2024-08-08 08:00", periods=2, freq="1ms", tz="America/New_York")
    frame = pd.DataFrame({"time": stamps, "price": 1.0, "size": 1.0})
    tape = readers.generic.tape(frame)
    assert tape.trades.time.tolist() == [43_200.0, 43_200.001]
    # 2608 in milliseconds would wrap round to 2024 in nanoseconds
    late = np.array(["2024-08-08T12:00", "2608-12-27T12:00"], "datetime64[ms]")
    tape = readers.generic.tape(frame.assign(time=late), bad_rows="drop")
    assert tape.reports[0].bad == {bad_rows.NOT_A_NUMBER: 1}


@pytest.mark.parametrize(
    ("cell", "layout", "message"),
    [
        (
            "34200",
            {"clock": "epoch"},
            "read as s from 1970, the times fall outside 1990–2100.*34200",
        ),
        (f"{NOON}", {}, f"read as s from 1970.*{NOON}. State the time unit"),
        (f"{NOON}", {"time_unit": "us"}, "read as us from 1970.*State the time unit"),
        (f"{NOON}", {"time_unit": "ms", "clock": "midnight"}, "outside a day"),
        ("34200", {"time_unit": "minutes"}, "time unit must be one of"),
        ("34200", {"clock": "noon"}, "clock must be one of"),
        ("34200", {"clock": "midnight", "price_scale": 0}, "scale of column 'price'"),
    ],
)
def test_a_wrong_unit_or_clock_is_noticed(tmp_path, cell, layout, message):
    path = write(tmp_path, f"time,price,size\n{cell},1,1\n")
    with pytest.raises(ValueError, match=message):
        readers.generic.tape(path, trade_layout=readers.TradeLayout(**layout))


def test_two_clocks_do_not_mix(tmp_path):
    trades = pd.DataFrame({"time": [1700000000.0], "price": 1.0, "size": 1.0})
    quotes = pd.DataFrame({"time": [34200.0], "bid": 1.0, "ask": 1.5})
    layout = readers.QuoteLayout(clock="midnight", bid_size=None, ask_size=None)
    with pytest.raises(ValueError, match="different clocks"):
        readers.generic.tape(trades, quotes, quote_layout=layout)


def test_files_that_cannot_be_read(tmp_path):
    read = readers.generic.tape
    with pytest.raises(FileNotFoundError, match="absent.csv: no such file"):
        read(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(ValueError, match="empty.csv is empty"):
        read(write(tmp_path, "", "empty.csv"))
    with pytest.raises(ValueError, match="header.csv has no rows"):
        read(write(tmp_path, "time,price,size\n", "header.csv"))
    for name, content in (
        ("notgz.csv.gz", b"time,price,size\n1,1,1\n"),
        ("cut.csv.gz", gzip.compress(b"time,price,size\n" + b"1,1,1\n" * 5000)[:-20]),
        ("bytes.csv", b"time,price,size\n\xff\xfe\x00\x81,1,1\n"),
        ("not.parquet", b"time,price,size\n1,1,1\n"),
        ("not.zip", b"time,price,size\n1,1,1\n"),
        ("wide.csv", b"time,price,size\n1,1,1\n2,2,2,2,2\n"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read as a table"):
            read(path)
    with pytest.raises(TypeError, match="a path or a pandas DataFrame, got list"):
        read([1, 2, 3])
    with pytest.raises(ValueError, match="nothing to read"):
        read()


def test_a_missing_column_is_named_with_those_there(tmp_path):
    path = write(tmp_path, "time,price,volume\n1,1,1\n")
    with pytest.raises(ValueError, match="no column 'size'; its columns are 'time', 'price', 'vol"):
        readers.generic.tape(path)
    parquet = tmp_path / "t.parquet"
    pd.DataFrame({"time": [1], "bid": [1]}).to_parquet(parquet)
    with pytest.raises(ValueError, match="t.parquet has no column 'ask'"):
        readers.generic.tape(quotes=parquet)


def test_a_column_twice_or_a_blank_header(tmp_path):
    with pytest.raises(ValueError, match="has column 'size' more than once"):
        readers.generic.tape(write(tmp_path, "time,price,size,size\n1,1,1,2\n"))
    with pytest.raises(ValueError, match=r"file.csv (is empty|has no column 'time')"):
        readers.generic.tape(write(tmp_path, "\ntime,price,size\n1,1,1\n"))


def test_dates_and_blanks_in_datetime_columns(tmp_path):
    layout = readers.TradeLayout(time_unit="datetime")
    path = write(tmp_path, "time,price,size\n20240808,1,1\n20240809,1,1\n")
    assert readers.generic.tape(path, trade_layout=layout).trades.time.tolist() == [0, 86_400]
    for read in (readers.generic.tape, readers.tape):
        with pytest.raises(ValueError, match="'time': no time is a number; .*20:24.*'datetime'"):
            read(write(tmp_path, "time,price,size\n,1,1\n2024-08-08T20:24,1,1\n"))
    path = write(tmp_path, "time,price,size\n2024-08-08,1,1\nnever,1,1\n")
    with pytest.raises(ValueError, match="line 3 .*'time' = never: missing or not a number"):
        readers.generic.tape(path, trade_layout=layout)


def test_one_field_too_many_on_every_line_does_not_shift_the_columns(tmp_path):
    path = write(tmp_path, "time,price,size\n1,2,3,4\n2,3,4,5\n")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        readers.generic.tape(path, trade_layout=readers.TradeLayout(clock="midnight"))


@pytest.mark.parametrize("header", ["Time,PRICE,Size ", " time, price,  SIZE,Sign"])
@pytest.mark.parametrize("read", [readers.generic.tape, readers.tape])
def test_capitals_and_spaces_in_a_header(tmp_path, read, header):
    """Columns are found all the same, and the report states how the file spells them."""
    sign = ",buy" if "Sign" in header else ""
    tape = read(write(tmp_path, f"{header}\n60.5, 9.5,100{sign}\n"))
    assert (tape.trades.price[0], tape.trades.size[0]) == (9.5, 100)
    assert tape.trades.sign.tolist() == [1 if sign else 0]
    assert tape.reports[0].columns["price"] == header.split(",")[1]


def test_capitals_and_spaces_of_quotes_and_options(tmp_path):
    tape = readers.generic.tape(quotes=write(tmp_path, "TIME,Bid ,Ask,Bid_Size\n1,9,10,5\n"))
    assert tape.quotes.bid_size.tolist() == [5] and np.isnan(tape.quotes.ask_size[0])
    text = "Expiry,Type,STRIKE, bid,ask,bid_size,ask_size\n20250117,C,100,1,2,3,4\n"
    chain = readers.options.chain(write(tmp_path, text))
    assert chain.strike.tolist() == [100] and chain.bid.tolist() == [1]


def test_an_exact_name_wins_and_two_near_ones_are_refused(tmp_path):
    exact = write(tmp_path, "time,Price,price,size\n1,7,9,1\n")
    assert readers.generic.tape(exact).trades.price.tolist() == [9]
    two = write(tmp_path, "time,Price,PRICE ,size\n1,7,9,1\n")
    with pytest.raises(ValueError, match="column 'price' could be 'Price' or 'PRICE '; state"):
        readers.generic.tape(two)
    stated = readers.TradeLayout(price="PRICE ")
    assert readers.generic.tape(two, trade_layout=stated).trades.price.tolist() == [9]


def test_a_column_serves_the_field_that_names_it(tmp_path):
    """p and P are two columns: where p is missing, P, the size, does not stand in for it."""
    layout = readers.TradeLayout(time="T", price="p", size="P")
    with pytest.raises(ValueError, match="has no column 'p'"):
        readers.generic.tape(write(tmp_path, "T,P\n1,2\n"), trade_layout=layout)


@pytest.mark.parametrize(
    ("clock", "wild"),
    [("midnight", -5.0), ("midnight", 900_000.0), ("epoch", 0), ("epoch", 1e300), ("epoch", 2**64)],
)
def test_a_wild_time_is_a_bad_row_wherever_it_stands(clock, wild):
    """First or last, where nothing goes backwards."""
    start = 60.0 if clock == "midnight" else 1_723_118_400.0
    good = [start, start + 1, start + 2]
    times = [wild, *good] if wild < start else [*good, wild]
    frame = pd.DataFrame({"time": times, "price": 9.5, "size": 100.0})
    layout = readers.TradeLayout(clock=clock)
    with pytest.raises(ValueError, match="outside"):
        readers.generic.tape(frame, trade_layout=layout)
    kept = readers.generic.tape(frame, trade_layout=layout, bad_rows="drop")
    assert kept.trades.time.size == 3
