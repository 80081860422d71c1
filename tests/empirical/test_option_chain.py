"""Option chains from small files written here."""

import numpy as np
import pytest

from diffeq.empirical import readers

CHAIN = """expiry,type,strike,bid,bid_size,ask,ask_size
20240920,call,100,5.0,10,5.5,12
20240920,put,100,4.0,10,4.5,0
20240920,call,120,,0,0.5,12
20240920,call,130,0,0,0.25,12
2024-12-20,C,100,8.0,10,8.0,12
"""


def write(folder, text, name="file.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_option_chain(tmp_path):
    chain = readers.options.chain(write(tmp_path, CHAIN))
    dates = ["2024-09-20", "2024-09-20", "2024-12-20"]
    assert chain.expiry.astype(str).tolist() == dates
    assert chain.is_call.tolist() == [True, False, True]
    assert chain.strike.tolist() == [100, 100, 100]
    assert chain.bid.tolist() == [5, 4, 8] and chain.ask.tolist() == [5.5, 4.5, 8]
    assert chain.ask_size.tolist() == [12, 0, 12]
    assert np.isnan(chain.time).all() and chain.origin is None
    assert chain.report.filtered == {"a side without a price": 2}
    assert chain.report.counted == {
        "locked quotes (bid equals ask)": 1, "a side of size 0 (price carried over)": 1,
    }  # fmt: skip
    kept = readers.options.chain(write(tmp_path, CHAIN), keep_one_sided=True)
    assert np.isnan(kept.bid[2:4]).all() and kept.ask[2] == 0.5 and kept.report.filtered == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("20241320,call,100,5,1,6,1", "'expiry' = 20241320: value not understood"),
        ("2024-09,call,100,5,1,6,1", "'expiry' = 2024-09: value not understood"),  # names no day
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
    with pytest.raises(ValueError, match=f"line 7 .*{message}"):
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
