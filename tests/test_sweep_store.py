"""Sweeps on disk: the dataset of a sweep in memory to the last bit, whatever happened on the way.

What is killed runs in processes of its own: ``sweep_processes.py``.
"""

import functools
import hashlib
import io
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sweep_processes as processes
import xarray
import zarr
from sweep_processes import AXES, DIMS, plane, run

import diffeq
from diffeq import holden
from diffeq.sweep import sweep
from diffeq.sweep.lock import only_writer

POINTS = 6 * 5 * 6
FAILED = 6 * 6  # y = −1


@pytest.fixture(scope="module")
def in_memory():
    return run(None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished store, to be copied."""
    path = tmp_path_factory.mktemp("finished") / "a"
    run(path, block_points=60)  # blocks (2, 5, 6): three of them
    return path


def assert_same_bits(data, expected):
    assert set(data.variables) == set(expected.variables)
    for name, variable in expected.variables.items():
        assert data[name].dims == variable.dims, name
        assert data[name].dtype == variable.dtype, name
        assert data[name].values.tobytes() == variable.values.tobytes(), name


def opened(path):
    return xarray.open_zarr(
        path, consolidated=False, chunks=None, drop_variables=["done", "failed"]
    )


def bytes_of(data):
    """Bytes of each field at a point."""
    return {name: field.dtype.itemsize * field.sizes.get("n", 1) for name, field in data.items()}


def snapshot(folder):
    """Every file below, its content and its time."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        (str(p), p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files
    ]


class Inline(Executor):
    """Computes at once, and sends what it is given by pickle, as any cluster's executor would."""

    def __init__(self):
        self.sent = []

    def submit(self, fn, /, *args, **kwargs):
        message = pickle.dumps((fn, args, kwargs))
        self.sent.append(message)
        future = Future()
        fn, args, kwargs = pickle.loads(message)
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


# What is on the disk is what a sweep in memory gives


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_same_as_in_memory_and_read_lazily(tmp_path, in_memory, compression):
    data = run(tmp_path / "a", block_points=60, compression=compression)
    assert not any(data[name].variable._in_memory for name in data.data_vars)
    assert data.attrs == in_memory.attrs
    assert data.attrs == dict(function="sweep_processes.plane", points=POINTS, failed=FAILED)
    assert_same_bits(data, in_memory)
    assert_same_bits(opened(tmp_path / "a"), in_memory)
    assert list(data) == list(in_memory) and list(data.coords) == list(in_memory.coords)
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


def test_blocks_are_whole_chunks_and_each_has_its_flag(tmp_path, in_memory):
    axes = dict(AXES, x=AXES["x"][:1])
    how = dict(grid_function=True, dims=DIMS, block_points=4)
    sweep(plane, axes, store=tmp_path / "a", **how)  # blocks (1, 1, 4): the second is padded
    group = zarr.open_group(tmp_path / "a", mode="r")
    assert group["level"].chunks == (1, 1, 4) and group["path"].chunks == (1, 1, 4, 3)
    for name, point in bytes_of(in_memory).items():
        files = [path for path in (tmp_path / "a" / name / "c").rglob("*") if path.is_file()]
        assert [file.stat().st_size for file in files] == 10 * [4 * point], name
    done, failed = group["done"][:], group["failed"][:]
    assert done.shape == (5 * 2,) and (done == 4 * sum(bytes_of(in_memory).values()) + 8).all()
    assert list(failed) == [4, 2] + 8 * [0]


def test_points_that_fail_cost_the_others_nothing_and_are_counted(finished):
    data = run(finished, block_points=60)
    assert data.failed == FAILED == int((~data.converged).sum())
    bad = data.y < 0
    assert bool((data.converged == ~bad).all())
    assert bool(np.isnan(data.level.where(bad, drop=True)).all())
    assert bool(np.isfinite(data.level.where(~bad, drop=True)).all())
    with pytest.raises(diffeq.ConvergenceError, match=f"{FAILED} of {POINTS} lanes"):
        diffeq.check(data)


def test_dataset_follows_the_order_of_the_axes_not_the_functions(tmp_path, in_memory):
    turned = {name: AXES[name] for name in ("z", "x", "y")}
    how = dict(grid_function=True, dims=DIMS, block_points=50)
    data = sweep(plane, turned, store=tmp_path / "a", **how)
    assert data.path.dims == ("z", "x", "y", "n")
    assert_same_bits(data, in_memory.transpose("z", "x", "y", ...))


def impact(sigma_v, sigma_u):
    """Kyle's one auction: lambda = sigma_v/(2 sigma_u)."""
    params = holden.Params(sigma_v=sigma_v, sigma_u=sigma_u, num_insiders=1.0)
    return holden.solve(params, num_auctions=1).lambda_[0]


def test_any_model_function_and_its_gradient_over_traced_axes(tmp_path):
    axes = dict(sigma_v=np.array([1.0, -2.0, 4.0]), sigma_u=np.array([0.5, 5.0]))
    slope = jax.grad(impact, argnums=1)
    with ThreadPoolExecutor(2) as threads:
        data = sweep(slope, axes, store=tmp_path / "a", block_points=2, executor=threads)
    ratio = -axes["sigma_v"][:, None] / (2 * axes["sigma_u"] ** 2)
    good = [0, 2]
    rtol = 100 * np.finfo(data.value.dtype).eps
    np.testing.assert_allclose(data.value[good], ratio[good], rtol=rtol)
    assert np.isnan(data.value[1]).all()
    assert data.failed == 2  # no flag comes with a gradient: NaN is counted
    assert_same_bits(data, sweep(slope, axes, block_points=2))


# Resuming


class Calls:
    """Counts; what it has counted is not part of a function that closes over it: as it says."""

    number = 0

    def __reduce__(self):
        return Calls, ()


def test_only_what_is_not_done_is_computed(tmp_path, in_memory):
    calls = Calls()

    def counted(x, y, z):
        if calls.number == 20:
            raise RuntimeError("at block 20")
        calls.number += 1
        return plane(x, y, z)

    for _ in range(2):  # the second time it fails before its first block
        with pytest.raises(RuntimeError, match="at block 20"):
            run(tmp_path / "a", counted)
    # one call tells the fields
    assert len(list((tmp_path / "a" / "done" / "c").iterdir())) == calls.number - 1 == 19
    calls.number = 21
    assert_same_bits(run(tmp_path / "a", counted), in_memory)
    assert calls.number == 21 + 30 - 19
    assert_same_bits(run(tmp_path / "a", counted), in_memory)
    assert calls.number == 21 + 30 - 19


def test_blocks_are_the_stores_whatever_memory_and_executor_say(tmp_path, in_memory):
    how = dict(grid_function=True, dims=DIMS, store=tmp_path / "a")
    per_point = 2 * sum(bytes_of(in_memory).values())
    sweep(plane, AXES, memory=13 * per_point, **how)
    chunk = zarr.open_group(tmp_path / "a", mode="r")["level"].chunks
    assert chunk == (1, 2, 6)
    (tmp_path / "a" / "done" / "c" / "5").unlink()
    with pytest.raises(ValueError, match=f"memory: a block of .* takes {12 * per_point} bytes"):
        sweep(plane, AXES, memory=11 * per_point, **how)
    with ThreadPoolExecutor(2) as threads:
        data = sweep(plane, AXES, memory=12 * per_point, executor=threads, **how)
    assert_same_bits(data, in_memory)


def test_killed_at_any_moment_it_ends_in_the_same_dataset(tmp_path, in_memory):
    """SIGKILL at ten random moments, and before each step of a small sweep; two at a time; Ctrl-C;
    workers that outlive the process that gave them their work."""
    script = [sys.executable, processes.__file__, str(tmp_path), "0"]
    env = os.environ | {"JAX_ENABLE_X64": str(int(jax.config.jax_enable_x64))}
    done = subprocess.run(script, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    happened = json.loads(done.stdout)

    codes, progress = happened["killed"]
    assert codes == [-9] * 10 and progress == sorted(progress) and 0 < progress[-1] < 30, progress
    assert happened["finished"] == 0
    assert_same_bits(opened(tmp_path / "killed"), in_memory)

    steps, finished = happened["steps"]
    assert steps >= 1 + 4 + 1 + 1 + 2 * 3 and finished == 0, happened
    whole = opened(tmp_path / "steps" / str(steps))
    for step in range(steps):
        assert_same_bits(opened(tmp_path / "steps" / str(step)), whole)

    assert happened["both"] in ([0, 3], [0, 0]), "one writes, the other says so"
    assert_same_bits(opened(tmp_path / "shared"), in_memory)

    assert happened["interrupted"] == [4, False] and happened["interrupted, finished"] == 0
    assert_same_bits(opened(tmp_path / "interrupted"), in_memory)

    assert happened["processes"] == -9 and happened["processes, finished"] == 0
    assert_same_bits(opened(tmp_path / "processes"), in_memory)
    assert not list(tmp_path.rglob("*.partial")) and not list(tmp_path.rglob("*.tmp"))


# Executors


def test_blocks_in_flight_are_bounded(tmp_path, in_memory):
    now, most, guard = [0], [0], threading.Lock()

    class Counting(ThreadPoolExecutor):
        def submit(self, *args, **kwargs):
            with guard:
                now[0] += 1
                most[0] = max(most[0], now[0])
            future = super().submit(*args, **kwargs)
            future.add_done_callback(lambda _: now.__setitem__(0, now[0] - 1))
            return future

    with Counting(4) as threads:
        data = run(tmp_path / "a", executor=threads, in_flight=3, block_points=30)
    assert_same_bits(data, in_memory)
    assert most[0] == 3


def test_workers_get_the_job_once(tmp_path, in_memory):
    """By pickle a partial is made anew in a worker: once, so that it compiles once."""
    inline = Inline()
    fn = functools.partial(plane, seconds=0.0)
    assert_same_bits(run(tmp_path / "a", fn, executor=inline), in_memory)
    fields, first, *rest = inline.sent
    assert len(rest) == 30 - 1
    assert pickle.loads(first)[0] is pickle.loads(rest[-1])[0]


@pytest.mark.float64
def test_a_worker_in_another_precision_is_refused(tmp_path):
    class Single(Inline):
        def submit(self, fn, /, *args, **kwargs):
            with jax.enable_x64(False):
                return super().submit(fn, *args, **kwargs)

    with pytest.raises(TypeError, match="executor: it computes in float32, this process in"):
        run(tmp_path / "a", executor=Single())
    assert not list(tmp_path.iterdir())
    run(tmp_path / "a", block_points=60)
    (tmp_path / "a" / "done" / "c" / "2").unlink()  # plane's own types are the same in both
    with pytest.raises(TypeError, match="executor: it computes in float32, the store's sweep in"):
        run(tmp_path / "a", block_points=60, executor=Single())


class ByValue(Inline):
    """With a pickler that knows more than Python's, as Dask's does."""

    def submit(self, fn, /, *args, **kwargs):
        known = {}

        class Pickler(pickle.Pickler):
            def persistent_id(self, x):
                name = getattr(x, "__name__", "")
                return known.setdefault(name, x) and name if name == "<lambda>" else None

        class Unpickler(pickle.Unpickler):
            persistent_load = staticmethod(lambda name: known[name])

        message = io.BytesIO()
        Pickler(message).dump((fn, args, kwargs))
        future = Future()
        fn, args, kwargs = Unpickler(io.BytesIO(message.getvalue())).load()
        future.set_result(fn(*args, **kwargs))
        return future


def test_what_an_executor_can_send_it_may_and_what_not_is_said(tmp_path):
    how = dict(grid_function=True, store=tmp_path / "a")
    square, axes = lambda x: x**2, dict(x=np.arange(9.0))
    with pytest.raises(TypeError, match="executor: the function cannot be sent.*define it by def"):
        sweep(square, axes, executor=Inline(), **how)
    assert not list(tmp_path.iterdir())
    data = sweep(square, axes, executor=ByValue(), **how)
    assert data.value.values.tolist() == [x**2 for x in axes["x"]]


def test_a_broken_executor_says_what_to_do(tmp_path):
    class Broken(Inline):
        def submit(self, fn, /, *args, **kwargs):
            future = super().submit(fn, *args, **kwargs)
            if len(self.sent) < 3:
                return future
            broken = Future()
            broken.set_exception(BrokenExecutor("a process was killed"))
            return broken

    with pytest.raises(BrokenExecutor) as error:
        run(tmp_path / "a", executor=Broken())
    assert "make the same call again, with a new executor" in error.value.__notes__[0]


def test_a_worker_that_outlives_its_sweep_does_not_write_into_the_next(tmp_path):
    """The folder was removed and another sweep's is there, before its last block is written."""
    calls, axes = Calls(), dict(x=np.arange(4.0))
    how = dict(grid_function=True, block_points=2)

    def slow(x):
        calls.number += 1
        if calls.number == 3:  # the first tells the fields
            while not list(tmp_path.glob("a/done/c/0")):  # being written, by a thread
                time.sleep(0.001)
            (tmp_path / "a").rename(tmp_path / "removed")
            sweep(lambda x: np.sqrt(x), axes, store=tmp_path / "b", **how)
            (tmp_path / "b").rename(tmp_path / "a")
            before.extend(snapshot(tmp_path / "a"))
        return dict(value=x)

    before = []
    with pytest.raises(RuntimeError, match="has become another sweep's"):
        sweep(slow, axes, store=tmp_path / "a", **how)
    assert snapshot(tmp_path / "a") == before


# Refusals: nothing of what is there is changed


def another_call(how):
    return lambda path: how


def edited(name, change):
    def edit(path):
        file = path / name
        file.write_bytes(change(file.read_bytes()))
        return {}

    return edit


def removed(name):
    def remove(path):
        (path / name).unlink()
        return {}

    return remove


REFUSALS = {
    "axes": (another_call(dict(axes=AXES | dict(y=AXES["y"] + 1e-9))), "another sweep.*axes: y"),
    "order": (another_call(dict(axes=dict(reversed(AXES.items())))), "another sweep.*axes"),
    "function": (
        another_call(dict(fn=functools.partial(plane, seconds=0.001))),
        "a value that it fixes",
    ),
    "block": (another_call(dict(block_points=5)), "block: 2, 5, 6 there, 1, 1, 5 now"),
    "compression": (another_call(dict(compression="gzip")), "compression: none there, gzip now"),
    "kind": (another_call(dict(grid_function=False)), "grid function there, point function now"),
    "older code": (edited("zarr.json", lambda x: x.replace(b'"0.1', b'"0.0')), "diffeq: 0.0"),
    "older layout": (
        edited("zarr.json", lambda x: x.replace(b'"diffeq_sweep": 1', b'"diffeq_sweep": 0')),
        "layout: version 0 there, 1 now",
    ),
    "foreign group": (
        edited("zarr.json", lambda x: x.replace(b"diffeq_sweep", b"something")),
        "is there already, and is no sweep",
    ),
    "no metadata": (removed("zarr.json"), "is there already, and is no sweep"),
    "cut metadata": (edited("zarr.json", lambda x: x[:100]), "is not whole"),
    "cut block": (edited("path/c/1/0/0/0", lambda x: x[:-1]), "is not whole: block 1 is cut"),
    "lost block": (removed("level/c/2/0/0"), "is not whole"),
    "lost field": (removed("count/zarr.json"), "is not whole"),
    "cut field": (edited("count/zarr.json", lambda x: x[:30]), "is not whole"),
    "other axis": (edited("x/c/0", lambda x: x[::-1]), "is not whole: the axis x"),
    "lost axis": (removed("x/c/0"), "is not whole: the axis x"),
    "cut flags": (
        edited("done/zarr.json", lambda x: x.replace(b"3", b"2", 1)),
        "flags done are not",
    ),
    "lost flags": (removed("done/zarr.json"), "is not whole"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_another_sweep_or_not_whole_is_refused_untouched(finished, tmp_path, case):
    shutil.copytree(finished, tmp_path / "a")
    change, message = REFUSALS[case]
    how = dict(fn=plane, axes=AXES, grid_function=True, dims=DIMS, block_points=60)
    how |= change(tmp_path / "a")
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=message) as refused:
        sweep(how.pop("fn"), how.pop("axes"), store=tmp_path / "a", **how)
    assert str(tmp_path / "a") in str(refused.value)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["a", "a.tmp", "a.lock"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_sweep_is_refused_untouched(tmp_path, name, kind):
    if (name, kind) == ("a.lock", "folder"):
        (tmp_path / name).mkdir()
        with pytest.raises(IsADirectoryError, match="a.lock"):
            run(tmp_path / "a")
        return
    file = tmp_path / name / "thesis.txt" if kind == "folder" else tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("three years")
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="no sweep|not the lock of a sweep|not what a killed"):
        run(tmp_path / "a")
    assert snapshot(tmp_path) == before
    file.unlink()


def test_a_finished_sweep_named_tmp_is_not_what_a_kill_left(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "a.tmp")
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="not what a killed sweep leaves there"):
        run(tmp_path / "a", block_points=60)
    assert snapshot(tmp_path) == before


def test_what_a_store_cannot_hold_is_refused_before_it_is_made(tmp_path):
    own = jnp.ones((1, 3))
    bad = [
        (lambda x: dict(block=x), {}, "'block': expected another name"),
        (lambda x: {"zarr.json": x}, {}, "'zarr.json': expected another name"),
        (lambda x: {"a/b": x}, {}, "'a/b': expected another name"),
        (lambda x: own * x[:, None], dict(dims=("block",)), "'block': expected another name"),
        (lambda x: x.astype(jnp.bfloat16), {}, "value: expected numbers .* got bfloat16"),
        (lambda x: dict(a=own * x[:, None], b=own[:, 1:] * x[:, None]), {}, "dims: a has 3 along"),
        (lambda x: None, {}, "fn: expected a result with an array"),
    ]
    for fn, how, message in bad:
        with pytest.raises(ValueError, match=message):
            axes = dict(x=np.arange(3.0))
            sweep(fn, axes, grid_function=True, store=tmp_path / "a", **how)
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_behind_is_cleared(finished, tmp_path, in_memory):
    """A half-made store beside it, half-written files in it, a flag that a power cut emptied."""
    (tmp_path / "b.tmp").mkdir()
    (tmp_path / "b.tmp" / f"zarr.{'0' * 32}.partial").touch()
    run(tmp_path / "b", block_points=60)
    shutil.copytree(finished, tmp_path / "a")
    (tmp_path / "a" / "done" / "c" / "2").write_bytes(b"")
    (tmp_path / "a" / "level" / "c" / f"0.{'0' * 32}.partial").touch()
    assert_same_bits(run(tmp_path / "a", block_points=60), in_memory)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert not list(tmp_path.rglob("*.partial"))


def test_ctrl_c_waits_until_a_store_is_made(tmp_path, monkeypatch, in_memory):
    """Zarr, interrupted, leaves tasks behind that fail and print later; here it is not."""
    made = []

    def pressed(*args, **settings):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.1)  # long enough to be heard
        made.append(create_group(*args, **settings))
        return made[0]

    create_group = zarr.create_group
    monkeypatch.setattr(zarr, "create_group", pressed)
    store = tmp_path / "store"
    with helpers.hearing_interrupts(), pytest.raises(KeyboardInterrupt):
        run(store)
    assert made
    assert (store / "zarr.json").is_file()
    xarray.testing.assert_identical(run(store).load(), in_memory)


def test_one_writer_at_a_time(tmp_path):
    with only_writer(tmp_path / "a"):
        with pytest.raises(BlockingIOError, match="another thread of this process") as busy:
            run(tmp_path / "a")
        assert str(tmp_path / "a") in str(busy.value)
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.lock").write_text("held by a diffeq sweep, process 1 on a host now dead")
    run(tmp_path / "a", block_points=60)
    with only_writer(tmp_path / "a"):
        run(tmp_path / "a", block_points=60)  # a finished one is only read


def test_full_disk_names_the_store_and_it_goes_on_afterwards(tmp_path, in_memory):
    """The limit on a file's size stands for the disk's: the write itself fails, half done."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    calls = Calls()

    def filling(x, y, z):
        calls.number += 1
        if calls.number == 10:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        return plane(x, y, z)

    try:
        with pytest.raises(OSError, match="too large") as full:
            run(tmp_path / "a", filling)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.value.filename == str(tmp_path / "a")
    assert "finished blocks are kept" in full.value.__notes__[0]
    # one call tells the fields; a block may be on its way while the next is computed
    assert len(list((tmp_path / "a" / "done" / "c").glob("*[0-9]"))) in (10 - 3, 10 - 2)
    assert_same_bits(run(tmp_path / "a", filling), in_memory)


def test_bad_arguments_are_named(tmp_path):
    store = dict(store=tmp_path / "a")
    bad = [
        (dict(executor=Inline()), ValueError, "store: expected a path"),
        (dict(compression="zstd"), ValueError, "store: expected a path"),
        (dict(memory=10), ValueError, "store: expected a path"),
        (store | dict(compression="best"), ValueError, "compression: expected one of"),
        (store | dict(memory=0), ValueError, "memory: expected"),
        (store | dict(memory=1e9), ValueError, "memory: expected a whole number"),
        (store | dict(in_flight=2), ValueError, "in_flight: expected an executor"),
        (store | dict(executor=Inline), TypeError, "executor: expected a concurrent"),
        (dict(store="s3://bucket/a"), ValueError, "store: expected the path of a folder"),
        (dict(store=Path("s3://bucket/a")), ValueError, "store: expected the path of a folder"),
        (dict(store=""), ValueError, "store: expected the path of a folder"),
        (store | dict(memory=7), ValueError, "memory: a block of"),
    ]
    for how, error, message in bad:
        with pytest.raises(error, match=message):
            sweep(lambda x: dict(value=x), dict(x=np.arange(9.0)), **how)
    assert not list(tmp_path.iterdir())
