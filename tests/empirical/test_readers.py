"""Every layout, from small files written here."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffeq.empirical import bad_rows, readers, signing

NOON = 1_723_118_400_000  # 2024-08-08 12:00 UTC in ms

BINANCE_TRADES = f"""local_ts,E,T,t,p,q,X,m
{NOON}000123,{NOON + 2},{NOON + 1},7,61800.30,0.006,MARKET,False
{NOON}000323,{NOON + 3},{NOON + 3},8,61800.20,0.199,MARKET,True
"""
BINANCE_QUOTES = f"""local_ts,E,T,u,b,B,a,A
{NOON}000100,{NOON},{NOON},1,61800.20,2.507,61800.30,2.510
{NOON}000200,{NOON + 1},{NOON + 1},2,61800.10,1.000,61800.20,2.000
"""
SPOT_QUOTES = f"""local_ts,u,b,B,a,A
{NOON}000122,1,61800.20,2.507,61800.30,2.510
{NOON}000323,2,61800.10,1.000,61800.20,2.000
"""
LEAN_TRADES = """time_ms,price_dc,volume,exchange,sale_condition_hex,suspicious
34100000,1800000,100,P,2000,0
34200000,1800100,200,N,40,0
34200500,1800200,300,D,20000200,0
34200600,1800300,400,D,1,0
34200700,1800400,500,D,20000020,1
34200800,1800500,600,D,20000020,0
57600000,1800600,700,N,80,0
"""
LEAN_QUOTES = """time_ms,bid_price_dc,bid_size,ask_price_dc,ask_size,x,c,suspicious
34100000,1799900,100,0,0,P,1,0
34100001,0,0,1800100,200,P,1,0
34199999,1800000,300,0,0,P,1,0
34200500,1800200,100,0,0,P,1,0
34200500,0,0,1800300,500,P,1,0
34200600,0,0,1800200,600,P,1,0
57600000,1800400,100,0,0,P,1,0
"""
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
CHAIN = """expiry,type,strike,bid,bid_size,ask,ask_size
20240920,call,100,5.0,10,5.5,12
20240920,put,100,4.0,10,4.5,0
20240920,call,120,,0,0.5,12
2024-12-20,C,100,8.0,10,8.0,12
"""


def write(folder, text, name="file.csv"):
    path = folder / name
    path.write_text(text)
    return path


# --- any table -----------------------------------------------------------------------------------

FRAME = pd.DataFrame({"time": [60.5, 61.25], "price": [9.5, 9.75], "size": [100, 200]})


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
    with pytest.raises(ValueError, match="has no column 'time', 'price', 'size'; .*'when;px'"):
        readers.generic.tape(write(tmp_path, text + "1;2\n"))
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


# --- time ----------------------------------------------------------------------------------------


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


def test_datetime_columns_of_a_frame():
    stamps = pd.date_range("2024-08-08 08:00", periods=2, freq="1ms", tz="America/New_York")
    frame = pd.DataFrame({"time": stamps, "price": 1.0, "size": 1.0})
    tape = readers.generic.tape(frame)
    assert tape.trades.time.tolist() == [43_200.0, 43_200.001]


@pytest.mark.parametrize(
    ("cell", "layout", "message"),
    [
        ("34200", {}, "read as s from 1970, the times fall outside 1990–2100.*34200"),
        (f"{NOON}", {}, "too large to be in s; state the right time unit"),
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


# --- files that are no tables --------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="t.parquet has no column 'ask', 'bid_size', 'ask_size'"):
        readers.generic.tape(quotes=parquet)


def test_one_field_too_many_on_every_line_does_not_shift_the_columns(tmp_path):
    path = write(tmp_path, "time,price,size\n1,2,3,4\n2,3,4,5\n")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        readers.generic.tape(path, trade_layout=readers.TradeLayout(clock="midnight"))


# --- Binance -------------------------------------------------------------------------------------


def test_binance_futures_join_on_exchange_time(tmp_path):
    trades = write(tmp_path, BINANCE_TRADES, "trades.csv")
    quotes = write(tmp_path, BINANCE_QUOTES, "quotes.csv")
    tape = readers.binance.tape(trades, quotes)
    assert tape.origin == np.datetime64("2024-08-08")
    assert tape.trades.time.tolist() == [43_200.001, 43_200.003]
    assert tape.trades.sign.tolist() == [1, -1]  # the buyer is the maker: a sell
    assert tape.trades.size.tolist() == [0.006, 0.199]
    assert tape.quotes.ask.tolist() == [61800.3, 61800.2]
    assert tape.quotes.bid_size.tolist() == [2.507, 1.0]
    assert signing.match(tape.trades.time, tape.quotes.time).tolist() == [0, 1]
    assert tape.reports[0].columns["time"] == "T [ms since 1970 UTC]"
    event = readers.binance.tape(trades, quotes, time="event")
    assert event.trades.time.tolist() == [43_200.002, 43_200.003]
    local = readers.binance.tape(trades, quotes, time="local")
    assert local.trades.time.tolist() == [43_200.000000123, 43_200.000000323]
    assert local.reports[1].columns["time"] == "local_ts [ns since 1970 UTC]"


def test_binance_spot_falls_back_to_the_collectors_clock_for_both(tmp_path):
    trades = write(tmp_path, BINANCE_TRADES, "trades.csv")
    quotes = write(tmp_path, SPOT_QUOTES, "spot.csv")
    tape = readers.binance.tape(trades, quotes)
    assert [r.columns["time"] for r in tape.reports] == ["local_ts [ns since 1970 UTC]"] * 2
    # 123 ns is after 122; 323 is not strictly after 323
    assert signing.match(tape.trades.time, tape.quotes.time).tolist() == [0, 0]
    alone = readers.binance.tape(trades)
    assert alone.reports[0].columns["time"] == "T [ms since 1970 UTC]"
    with pytest.raises(ValueError, match="spot.csv has no exchange time .*time='local'"):
        readers.binance.tape(trades, quotes, time="exchange")
    with pytest.raises(ValueError, match="time must be one of"):
        readers.binance.tape(trades, quotes, time="T")
    with pytest.raises(ValueError, match="no time column common"):
        readers.binance.tape(trades, write(tmp_path, "b,B,a,A\n1,1,2,1\n", "bare.csv"))


def test_binance_data_dump_names(tmp_path):
    trades = write(
        tmp_path,
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
        f"1,61800.3,0.5,1,2,{NOON + 5},true\n2,61800.4,0.5,3,3,{NOON + 6},false\n",
        "agg.csv",
    )
    quotes = write(
        tmp_path,
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
        f"1,61800.3,1,61800.4,2,{NOON},{NOON}\n",
        "book.csv",
    )
    tape = readers.tape(trades, quotes)
    assert tape.trades.sign.tolist() == [-1, 1]
    assert tape.trades.time.tolist() == [43_200.005, 43_200.006]
    assert tape.quotes.ask_size.tolist() == [2]
    us = write(tmp_path, f"price,qty,time,is_buyer_maker\n1,1,{NOON}001,true\n", "us.csv")
    tape = readers.binance.tape(us, time_unit="us")
    assert tape.trades.time.tolist() == [43_200.000001]


def test_binance_names_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"line 3 .*'m' = perhaps: value not understood"):
        readers.binance.tape(write(tmp_path, BINANCE_TRADES.replace("True", "perhaps")))
    with pytest.raises(ValueError, match="no column 'm'"):
        readers.binance.tape(write(tmp_path, BINANCE_TRADES.replace(",m\n", ",maker\n")))


# --- Lean ----------------------------------------------------------------------------------------


def test_lean_trades_by_hours_and_condition(tmp_path):
    path = write(tmp_path, LEAN_TRADES)
    tape = readers.lean.tape(path)
    assert tape.origin is None
    assert tape.trades.time.tolist() == [34_200.6, 34_200.8]
    assert tape.trades.price.tolist() == [180.03, 180.05]
    assert tape.trades.size.tolist() == [400, 600]
    (report,) = tape.reports
    assert report.filtered == {
        "outside hours": 2, "auction": 1, "derivatively priced": 1, "suspicious": 1,
    }  # fmt: skip
    assert report.bad == {} and report.rows_read == 7
    everything = readers.lean.tape(path, hours="all", leave_out=())
    assert everything.trades.time.size == 7
    assert everything.reports[0].counted == {
        "auction": 2, "extended hours": 1, "derivatively priced": 1, "suspicious": 1,
    }  # fmt: skip
    part = readers.lean.tape(path, hours=(34_200.5, 34_200.7), leave_out=())
    assert part.trades.time.tolist() == [34_200.5, 34_200.6]


def test_lean_quotes_carry_each_side_forward(tmp_path):
    path = write(tmp_path, LEAN_QUOTES)
    tape = readers.lean.tape(quotes=path)
    # the last quote before 9:30 prevails at the open; the two rows of 34200.5 are one quote: the
    # first alone would look crossed
    assert tape.quotes.time.tolist() == [34_199.999, 34_200.5, 34_200.6]
    assert tape.quotes.bid.tolist() == [180.0, 180.02, 180.02]
    assert tape.quotes.ask.tolist() == [180.01, 180.03, 180.02]
    assert tape.quotes.bid_size.tolist() == [300, 100, 100]
    assert tape.quotes.ask_size.tolist() == [200, 500, 600]
    (report,) = tape.reports
    assert report.filtered == {
        "merged into a later row of the same millisecond": 1,
        "before both sides were quoted": 1,
        "outside hours": 2,
    }
    assert report.counted == {"locked quotes (bid equals ask)": 1}
    assert report.rows_read == report.kept + sum(report.filtered.values()) == 7


def test_lean_quotes_crossed_after_the_merge(tmp_path):
    path = write(tmp_path, LEAN_QUOTES.replace("34200600,0,0,1800200", "34200600,0,0,1800100"))
    message = r"line 7 .*'bid_price_dc' = 180.02, 'ask_price_dc' = 180.01: crossed"
    with pytest.raises(ValueError, match=message):
        readers.lean.tape(quotes=path)
    tape = readers.lean.tape(quotes=path, bad_rows="drop")
    assert tape.quotes.time.tolist() == [34_199.999, 34_200.5]
    assert tape.reports[0].bad == {bad_rows.CROSSED: 1}


def test_lean_bad_rows_do_not_enter_the_merge(tmp_path):
    path = write(tmp_path, LEAN_QUOTES.replace("34200500,1800200,100", "34200500,-1800200,100"))
    with pytest.raises(ValueError, match=r"line 5 .*'bid_price_dc' = -1800200: negative"):
        readers.lean.tape(quotes=path)
    tape = readers.lean.tape(quotes=path, bad_rows="drop")
    assert tape.quotes.bid.tolist() == [180.0, 180.0, 180.0]
    for line, problem in (
        ("34200500,1800200,0,0,0", r"'bid_size' = 0: size zero"),
        ("34200500,0,0,0,0", r"'bid_price_dc' = 0, 'ask_price_dc' = 0: price zero"),
    ):
        broken = LEAN_QUOTES.replace("34200500,1800200,100,0,0", line)
        with pytest.raises(ValueError, match=problem):
            readers.lean.tape(quotes=write(tmp_path, broken))


def test_lean_quotes_against_a_loop(tmp_path):
    rng = np.random.default_rng(4)
    n = 200
    is_bid = rng.random(n) < 0.5
    price = np.where(is_bid, rng.integers(990, 1000, n), rng.integers(1000, 1010, n)) * 100
    time = 34_200_000 + np.sort(rng.integers(0, 80, n))
    rows = pd.DataFrame(
        {
            "time_ms": time,
            "bid_price_dc": price * is_bid,
            "bid_size": 100 * is_bid,
            "ask_price_dc": price * ~is_bid,
            "ask_size": 100 * ~is_bid,
        }
    )
    expected, bid, ask = {}, None, None
    for t, b, a in zip(time, rows.bid_price_dc, rows.ask_price_dc, strict=True):
        bid, ask = b or bid, a or ask
        if bid and ask:
            expected[t / 1000] = (bid / 10_000, ask / 10_000)
    tape = readers.lean.tape(quotes=rows)
    assert tape.quotes.time.tolist() == list(expected)
    assert list(zip(tape.quotes.bid, tape.quotes.ask, strict=True)) == list(expected.values())


def test_lean_refuses(tmp_path):
    path = write(tmp_path, LEAN_TRADES)
    with pytest.raises(ValueError, match="hours must be 'regular', 'all' or"):
        readers.lean.tape(path, hours="lunch")
    with pytest.raises(ValueError, match="hours must be"):
        readers.lean.tape(path, hours=(2.0, 1.0))
    with pytest.raises(ValueError, match="leave_out names must be among .* got 'auctions'"):
        readers.lean.tape(path, leave_out=["auctions"])
    with pytest.raises(ValueError, match=r"line 5 .*'sale_condition_hex' = 1x: value not"):
        readers.lean.tape(write(tmp_path, LEAN_TRADES.replace("D,1,0", "D,1x,0")))


# --- LOBSTER -------------------------------------------------------------------------------------


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


# --- options -------------------------------------------------------------------------------------


def test_option_chain(tmp_path):
    chain = readers.options.chain(write(tmp_path, CHAIN))
    dates = ["2024-09-20", "2024-09-20", "2024-12-20"]
    assert chain.expiry.astype(str).tolist() == dates
    assert chain.is_call.tolist() == [True, False, True]
    assert chain.strike.tolist() == [100, 100, 100]
    assert chain.bid.tolist() == [5, 4, 8] and chain.ask.tolist() == [5.5, 4.5, 8]
    assert chain.ask_size.tolist() == [12, 0, 12]
    assert np.isnan(chain.time).all() and chain.origin is None
    assert chain.report.filtered == {"a side without a price": 1}
    assert chain.report.counted == {
        "locked quotes (bid equals ask)": 1, "a side of size 0 (price carried over)": 1,
    }  # fmt: skip
    kept = readers.options.chain(write(tmp_path, CHAIN), keep_one_sided=True)
    assert np.isnan(kept.bid[2]) and kept.ask[2] == 0.5 and kept.report.filtered == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("20241320,call,100,5,1,6,1", "'expiry' = 20241320: value not understood"),
        ("20240920,cap,100,5,1,6,1", "'type' = cap: value not understood"),
        ("20240920,call,0,5,1,6,1", "'strike' = 0: price zero or negative"),
        ("20240920,call,90,7,1,6,1", "'bid' = 7.0, 'ask' = 6.0: crossed"),
        ("20240920,call,90,-5,1,6,1", "'bid' = -5.0: negative"),
        ("20240920,call,90,x,1,6,1", "'bid' = x: missing or not a number"),
        ("20240920,call,90,5,-1,6,1", "'bid_size' = -1: negative"),
        ("20240920,c,100,5,1,6,1", "'strike' = 100: same contract"),
    ],
)
def test_option_chain_bad_rows(tmp_path, line, message):
    path = write(tmp_path, CHAIN + line + "\n")
    with pytest.raises(ValueError, match=f"line 6 .*{message}"):
        readers.options.chain(path)
    assert readers.options.chain(path, bad_rows="drop").report.kept == 3


def test_option_chain_in_time(tmp_path):
    header = "expiry,type,strike_dc,time_ms,bid_close_pts,bid_size,ask_close_pts,ask_size\n"
    rows = "20200320,call,30000000,900000,250.75,15,254,15\n20200320,call,30000000,0,250,1,255,1\n"
    chain = readers.options.chain(write(tmp_path, header + rows))
    assert chain.strike.tolist() == [3000, 3000] and chain.time.tolist() == [900, 0]
    assert chain.report.columns["time"] == "time_ms [ms since midnight]"
    layout = readers.options.LEAN_FUTURE._replace(bid_size=None, ask_size=None)
    assert np.isnan(readers.options.chain(tmp_path / "file.csv", layout).bid_size).all()


# --- telling the layout --------------------------------------------------------------------------


def test_layouts_are_told_apart(tmp_path):
    for text, expected in (
        (BINANCE_TRADES, "binance"),
        (SPOT_QUOTES, "binance"),
        (LEAN_TRADES, "lean"),
        (LEAN_QUOTES, "lean"),
        (MESSAGES, "lobster"),
        ("time,price,size\n1,1,1\n", "generic"),
        ("time,bid,ask,bid_size,ask_size\n", "generic"),
    ):
        assert readers.layout(write(tmp_path, text)) == expected
    assert readers.layout(FRAME) == "generic"
    with pytest.raises(ValueError, match="no known layout has the columns 'a', 'b'"):
        readers.layout(write(tmp_path, "a,b\n1,2\n"))


def test_tape_reads_any_layout(tmp_path):
    lean = write(tmp_path, LEAN_TRADES, "lean.csv")
    assert readers.tape(lean, hours="all", leave_out=()).trades.time.size == 7
    files = lobster_files(tmp_path)
    assert readers.tape(*files).trades.sign.tolist() == [1, -1]
    layout = readers.TradeLayout(clock="midnight")
    assert readers.tape(FRAME, trade_layout=layout).trades.size.tolist() == [100, 200]
    quotes = write(tmp_path, SPOT_QUOTES, "spot.csv")
    assert readers.tape(quotes=quotes).quotes.time.size == 2
    assert readers.tape(quotes=quotes, layout="binance").quotes.time.size == 2
    with pytest.raises(ValueError, match="layout must be 'auto' or one of"):
        readers.tape(lean, layout="taq")
    with pytest.raises(ValueError, match="LOBSTER needs two files"):
        readers.tape(files[0])
    with pytest.raises(ValueError, match="nothing to read"):
        readers.tape()
