"""Ctrl-C that is not lost: Python drops what a callback of its garbage collector raises, and JAX
has one, busy while programs are compiled."""

import signal
import threading
from types import FrameType

COLLECTORS = ("_xla_gc_callback",)
"""Functions in which an interruption would be dropped; it is tried again a little later."""


def keep() -> None:
    """Handle Ctrl-C so for the rest of the program, unless it is ignored (in the background)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    at = frame
    while at is not None:
        if at.f_code.co_name in COLLECTORS:
            threading.Timer(0.05, signal.raise_signal, (number,)).start()
            return
        at = at.f_back
    raise KeyboardInterrupt
