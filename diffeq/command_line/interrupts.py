"""Ctrl-C that is not lost: Python drops what is raised where nobody could catch it, in a callback
of its garbage collector (JAX has one, busy while programs are compiled), of a weak reference (every
import has), in a ``__del__``."""

import signal
import sys
import threading
from typing import Any


def keep() -> None:
    """For the rest of the program have a dropped Ctrl-C heard again, a little later (POSIX)."""
    if hasattr(signal, "pthread_kill"):
        sys.unraisablehook = _heard_again


def _heard_again(dropped: Any) -> None:
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        # to the main thread itself: a signal to another would not wake it
        pressed = (threading.main_thread().ident, signal.SIGINT)
        threading.Timer(0.05, signal.pthread_kill, pressed).start()
    else:
        sys.__unraisablehook__(dropped)
