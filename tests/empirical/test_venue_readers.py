"""Binance and Lean files, and telling layouts apart."""

import numpy as np
import pandas as pd
import pytest

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
LOBSTER_MESSAGES = "34200.025551909,4,16113584,18,5853300,-1\n"
LOBSTER_BOOK = "5859400,182,5853300,18\n"
GENERIC = pd.DataFrame({"time": [60.5, 61.25], "price": [9.5, 9.75], "size": [100, 200]})


def write(folder, text, name="file.csv"):
    path = folder / name
    path.write_text(text)
    return path


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
    with pytest.raises(ValueError, match=r"line 5 .*'sale_condition_hex' = nan: value not"):
        readers.lean.tape(write(tmp_path, LEAN_TRADES.replace("D,1,0", "D,,0")))


def test_layouts_are_told_apart(tmp_path):
    for text, expected in (
        (BINANCE_TRADES, "binance"),
        (SPOT_QUOTES, "binance"),
        (LEAN_TRADES, "lean"),
        (LEAN_QUOTES, "lean"),
        (LOBSTER_MESSAGES, "lobster"),
        ("time,price,size\n1,1,1\n", "generic"),
        ("time,bid,ask,bid_size,ask_size\n", "generic"),
    ):
        assert readers.layout(write(tmp_path, text)) == expected
    assert readers.layout(GENERIC) == "generic"
    with pytest.raises(ValueError, match="no known layout has the columns 'a', 'b'"):
        readers.layout(write(tmp_path, "a,b\n1,2\n"))


def test_tape_reads_any_layout(tmp_path):
    lean = write(tmp_path, LEAN_TRADES, "lean.csv")
    assert readers.tape(lean, hours="all", leave_out=()).trades.time.size == 7
    messages = write(tmp_path, LOBSTER_MESSAGES, "message.csv")
    book = write(tmp_path, LOBSTER_BOOK, "orderbook.csv")
    assert readers.tape(messages, book).trades.sign.tolist() == [1]
    layout = readers.TradeLayout(clock="midnight")
    assert readers.tape(GENERIC, trade_layout=layout).trades.size.tolist() == [100, 200]
    quotes = write(tmp_path, SPOT_QUOTES, "spot.csv")
    assert readers.tape(quotes=quotes).quotes.time.size == 2
    assert readers.tape(quotes=quotes, layout="binance").quotes.time.size == 2
    with pytest.raises(ValueError, match="layout must be 'auto' or one of"):
        readers.tape(lean, layout="taq")
    with pytest.raises(ValueError, match="LOBSTER needs two files"):
        readers.tape(messages)
    with pytest.raises(ValueError, match="nothing to read"):
        readers.tape()
