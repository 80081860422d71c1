"""Ctrl-C that is not lost: Python drops what is raised where nobody could catch it, in a callback
of its garbage collector (JAX has one, busy while programs are compiled), of a weak reference (every
import has), in a ``__del__``. And that ends the program: interrupted, JAX compiles on in a thread,
and fails on what Python's own end takes from under it."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

INTERRUPTED = 130
"""The exit code that shells give a program ended by Ctrl-C."""


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


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """A program that ends as interrupted ends here: no thread sees its Python taken down."""
    try:
        yield
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # closed, or nobody reads it
                stream.flush()
        os._exit(INTERRUPTED)
