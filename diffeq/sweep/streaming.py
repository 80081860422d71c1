"""Blocks computed by any executor, each written to the store by whoever computed it."""

import concurrent.futures
import contextlib
import itertools
import pickle
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffeq.sweep import fingerprint, product
from diffeq.sweep.product import Array, Block
from diffeq.sweep.store import Writer


class Written(NamedTuple):
    """What is reported of a block on the disk."""

    points: int
    """Its points."""
    failed: int
    """Those that did not converge."""


class Job:
    """Computes a block by its index and writes it; one object in a process, however often sent."""

    def __init__(
        self,
        path: Path,
        precision: str,
        fn: Callable[..., Any],
        axes: dict[str, Array],
        names: tuple[str, ...],
        chunk: tuple[int, ...],
        grid_function: bool,
    ) -> None:
        """Axes in the function's order; names, and the lengths of a block, in the dataset's."""
        self._token = uuid.uuid4().hex
        self._made_of = (path, precision, fn, axes, names, chunk, grid_function)
        self.precision = precision
        self.axes, self.names, self.chunk = axes, names, chunk
        self.on_block = product.over_blocks(fn, tuple(axes), grid_function)
        self.writer = Writer(path)

    def __call__(self, index: int) -> Written:
        """Compute and write a block; the last thing written is its flag."""
        here, there = fingerprint.precision(), self.precision
        if here != there:
            raise TypeError(
                f"executor: it computes in {here}, the store's sweep in {there}; set it by the "
                "executor's initializer, or JAX_ENABLE_X64"
            )
        return self.write(*self.compute(index))

    def compute(self, index: int) -> tuple[int, Block]:
        """A block, its dimensions in the dataset's order."""
        lengths = tuple(len(self.axes[name]) for name in self.names)
        where = product.place(lengths, self.chunk, index)
        # from the dataset's order of the axes to the function's, and back
        there = [self.names.index(name) for name in self.axes]
        back = [list(self.axes).index(name) for name in self.names]
        chunk = tuple(self.chunk[i] for i in there)
        block = product.evaluate(self.on_block, self.axes, chunk, tuple(where[i] for i in there))
        turned = {
            name: np.transpose(x, (*back, *range(len(where), x.ndim)))
            for name, x in block.fields.items()
        }
        return index, Block(where, turned)

    def write(self, index: int, block: Block) -> Written:
        """Write it, then its flag."""
        failed = product.count_failed(block.fields, len(block.where))
        self.writer.write(index, block.where, block.fields, failed)
        return Written(product.num_points(block.where), failed)

    def __reduce__(self) -> Any:
        # its parts by the executor's own pickler, which may know more than Python's (a lambda)
        return _job, (self._token, *self._made_of)


_JOBS: dict[str, Job] = {}
"""The last jobs of a worker process by token."""


def _job(token: str, *made_of: Any) -> Job:
    """The job in a worker process; one object, so that its program is compiled once."""
    if token not in _JOBS:
        job = Job(*made_of)
        job._token = token
        for old in list(_JOBS)[:-1]:
            _JOBS.pop(old, None)
        _JOBS[token] = job
    return _JOBS[token]


def stream(
    job: Job,
    indices: Iterable[int],
    executor: concurrent.futures.Executor | None,
    in_flight: int,
) -> Iterator[Written]:
    """Do the job for every index, at most ``in_flight`` at a time; reports come as they finish.

    Without an executor blocks are computed here, each while a thread writes the one before.

    Whatever ends it early, an error of a block, Ctrl-C, the consumer: blocks not begun are given
    up, and those being computed are waited for.
    """
    if executor is None:
        return _here(job, indices)
    return _by_executor(job, iter(indices), executor, in_flight)


@contextlib.contextmanager
def helpful_errors() -> Iterator[None]:
    """Where the executor failed, and not the function, say what to do."""
    try:
        yield
    except concurrent.futures.BrokenExecutor as error:
        error.add_note("finished blocks are kept: make the same call again, with a new executor")
        raise
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        if "pickle" not in str(error):
            raise
        raise TypeError(
            f"executor: the function cannot be sent to another process ({error}); define it by "
            "def, at the top of a module (in it one may call a lambda, or jax.grad)"
        ) from error


def _here(job: Job, indices: Iterable[int]) -> Iterator[Written]:
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        written: concurrent.futures.Future[Written] | None = None
        for index in indices:
            computed = job.compute(index)
            if written is not None:
                yield written.result()
            written = thread.submit(job.write, *computed)
            del computed  # or three blocks would be held: this, the one written, the next
        if written is not None:
            yield written.result()


def _by_executor(
    job: Job, indices: Iterator[int], executor: concurrent.futures.Executor, in_flight: int
) -> Iterator[Written]:
    waiting: set[concurrent.futures.Future[Written]] = set()
    try:
        while True:
            for index in itertools.islice(indices, in_flight - len(waiting)):
                with helpful_errors():
                    waiting.add(executor.submit(job, index))
            if not waiting:
                return
            finished, waiting = concurrent.futures.wait(
                waiting, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in finished:
                with helpful_errors():
                    written = future.result()
                yield written
    finally:
        for future in waiting:
            future.cancel()
        concurrent.futures.wait(waiting)
