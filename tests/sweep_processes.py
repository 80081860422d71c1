"""Sweeps in processes of their own, to be killed: ``python sweep_processes.py FOLDER SEED``.

One interpreter is started and forked for every process (JAX's backend is never started in it), so
that a process costs milliseconds. It prints what happened as JSON; the test judges.
"""

import contextlib
import functools
import gc
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import xarray  # noqa: F401  once, not in every process
import zarr  # noqa: F401

from diffeq.sweep import sweep

AXES = dict(x=np.linspace(0.1, 2.0, 6), y=np.linspace(-1.0, 3.0, 5), z=np.linspace(1.0, 2.0, 6))
BLOCK_POINTS = 9  # blocks (1, 1, 6): 30 of them
DIMS = ("n",)


def plane(x, y, z, seconds=0.0):
    """A grid function: numbers of three types, a dimension of its own, NaN where y < 0."""
    time.sleep(seconds)
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    level = np.sin(x * y) * np.exp(-z)
    ok = y + 0 * level >= 0
    return dict(
        level=np.where(ok, level, np.nan),
        path=level[..., None] ** np.arange(1, 4),
        count=np.floor(100 * level).astype(np.int32),
        converged=ok,
        residual=np.zeros((x.size, 1, 1)),
    )


def line(x):
    """The same in small."""
    return dict(value=x**2)


def run_line(store):
    return sweep(line, dict(x=np.arange(4.0)), grid_function=True, block_points=2, store=store)


SLOW = functools.partial(plane, seconds=0.02)


def run(store, fn=plane, block_points=BLOCK_POINTS, **how):
    given = dict(grid_function=True, dims=DIMS, block_points=block_points, store=store)
    return sweep(fn, AXES, **given, **how)


def fork(work, *arguments):
    """A process that does ``work``, and ends with 0 or the number of its error."""
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    code = 0
    try:
        work(*arguments)
    except BlockingIOError:
        code = 3
    except KeyboardInterrupt:
        code = 4
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at_random(store, seed):
    """Kill a sweep ten times, starting it again each time: exit codes, and blocks done by then."""
    rng = random.Random(seed)
    codes, done = [], [0]
    for _ in range(10):
        child = fork(run, store, SLOW)
        until = time.monotonic() + 10
        more = rng.randrange(2)
        while len(list(store.glob("done/c/*[0-9]"))) < done[-1] + more and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02 if more else 0.1))
        os.kill(child, signal.SIGKILL)
        codes.append(ended(child))
        done.append(len(list(store.glob("done/c/*[0-9]"))))
    return codes, done


def killed_at_step(store, step):
    """Kill a sweep before its ``step``-th change of a name."""
    left = step

    def counted(operation):
        def at(*arguments, **how):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **how)

        return at

    for name in ("rename", "replace"):
        setattr(os, name, counted(getattr(os, name)))
    run_line(store)


def killed_at_every_step(folder):
    """Stores left by sweeps killed before every step, and each finished by another process."""
    for step in itertools.count():
        code = ended(fork(killed_at_step, folder / str(step), step))
        if code != -signal.SIGKILL:
            break

    def finish():
        for each in range(step):
            run_line(folder / str(each))

    return step, ended(fork(finish))


SLOWER = functools.partial(plane, seconds=0.1)


def undisturbed(store):
    gc.disable()  # an interrupt in one of its callbacks would be swallowed
    run(store, SLOWER)


def interrupted(child):
    """Its end after Ctrl-C; pressed again, as at a keyboard, where Python has swallowed it."""
    while True:
        os.kill(child, signal.SIGINT)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)


def with_processes(store):
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as executor:
        run(store, SLOW, executor=executor)


def main(folder, seed):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    happened = {}
    happened["killed"] = killed_at_random(folder / "killed", seed)
    happened["finished"] = ended(fork(run, folder / "killed", SLOW))
    happened["steps"] = killed_at_every_step(folder / "steps")

    both = [fork(run, folder / "shared") for _ in range(2)]
    happened["both"] = sorted(map(ended, both))

    child = fork(undisturbed, folder / "interrupted")
    while not list((folder / "interrupted").glob("done/c/*[0-9]")):
        time.sleep(0.001)
    happened["interrupted"] = interrupted(child), (folder / "interrupted.lock").exists()
    happened["interrupted, finished"] = ended(fork(run, folder / "interrupted", SLOWER))

    child = fork(with_processes, folder / "processes")
    while not list((folder / "processes").glob("done/c/*[0-9]")):
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)  # its workers live on, and may hold no lock
    happened["processes"] = ended(child)
    happened["processes, finished"] = ended(fork(with_processes, folder / "processes"))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    print(json.dumps(happened))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
