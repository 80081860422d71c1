"""Readers: market records in, typed numpy arrays and an account of every row out.

>>> from diffeq.empirical import readers
>>> import pandas as pd
>>> trades = pd.DataFrame({"time": [1.0, 2.0], "price": [9.0, 9.5], "size": [100, 200]})
>>> layout = readers.TradeLayout(clock="midnight")
>>> tape = readers.generic.tape(trades, trade_layout=layout)
>>> tape.trades.price
array([9. , 9.5])
>>> print(tape.reports[0])
DataFrame: 2 rows read, 2 kept
  columns: time = time [s since midnight], price = price, size = size, sign = not recorded

One module a layout, each with a `tape`: `binance`, `lean`, `lobster` (also `events`), `generic`
(any table, by a column map); `options.chain` for option quotes; `tape` here tells the layout from
the file. pandas is imported when a table is first read (extra ``data``).
"""

from diffeq.empirical.readers import binance, generic, lean, lobster, options
from diffeq.empirical.readers.generic import QuoteLayout, TradeLayout
from diffeq.empirical.readers.options import ChainLayout
from diffeq.empirical.readers.recognise import layout, tape
from diffeq.empirical.readers.records import BookEvents, OptionChain, Quotes, Tape, Trades

__all__ = [
    "BookEvents",
    "ChainLayout",
    "OptionChain",
    "QuoteLayout",
    "Quotes",
    "Tape",
    "TradeLayout",
    "Trades",
    "binance",
    "generic",
    "layout",
    "lean",
    "lobster",
    "options",
    "tape",
]
