"""One writer at a time: a lock beside the store that dies with the process that holds it.

The lock is the operating system's, on the file ``PATH.lock``; the process and the host written in
it are for the reader of an error. So there is no stale lock to detect, and no process number that
came to mean another process: after a SIGKILL the file may stay, but nothing holds it. It is a POSIX
record lock because worker processes that outlive a killed sweep would inherit any other kind.

Even without it nothing would be corrupted: a writer replaces whole files, by what any other writer
of the same sweep would put there, and raises a block's flag last. It saves doing the work twice.
"""

import contextlib
import errno
import io
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

_MARK = "held by a diffeq sweep, "
_GUARD = threading.Lock()
_HELD: set[tuple[int, Path]] = set()
"""By process (a fork inherits the set): record locks do not keep a process' threads apart."""


@contextlib.contextmanager
def only_writer(store: Path) -> Iterator[None]:
    """Hold the lock of a store.

    Raises:
      BlockingIOError: another process, or thread, is writing the store.
      ValueError: there is a file of another kind in the lock's place.
    """
    path = store.with_name(f"{store.name}.lock")
    mine = (os.getpid(), path)
    with _GUARD:
        if mine in _HELD:
            raise _busy(store, "another thread of this process")
        _HELD.add(mine)
    try:
        with _locked(path, store):
            yield
    finally:
        with _GUARD:
            _HELD.discard(mine)


@contextlib.contextmanager
def _locked(path: Path, store: Path) -> Iterator[None]:
    import fcntl  # here, so that a sweep in memory needs no POSIX system

    while True:
        with path.open("ab+", buffering=0) as file:
            holder = _holder(file, path)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise _busy(store, holder) from None
                raise OSError(error.errno, f"no lock here: {error.strerror}", str(path)) from error
            if not _still_there(path, file):
                continue  # its holder finished, and removed it, between our open and our lock
            with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
                file.truncate(0)
                file.write(f"{_MARK}process {os.getpid()} on {socket.gethostname()}\n".encode())
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _still_there(path: Path, file: io.FileIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _holder(file: io.FileIO, path: Path) -> str:
    """Who wrote the lock last; refuse a file that is no lock, before a byte of it is changed."""
    file.seek(0)
    text = file.read(200).decode(errors="replace")
    if text and not text.startswith(_MARK[: len(text)]):
        raise ValueError(
            f"store: {path} is in the way, and is not the lock of a sweep; move it, or give "
            "another path"
        )
    return text.removeprefix(_MARK).strip() or "another process"


def _busy(store: Path, holder: str) -> BlockingIOError:
    text = f"{holder} is writing this store; wait for it, or give another path"
    return BlockingIOError(errno.EAGAIN, text, str(store))
