"""Test settings: float64 unless DIFFEQ_TEST_X64=0, strict rank promotion, the real data's place.

Some thousands of programs, most of them run once, are compiled quickly rather than well, in a third
of the time; with XLA_FLAGS set, to nothing too, as it says.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

X64 = os.environ.get("DIFFEQ_TEST_X64", "1") != "0"

jax.config.update("jax_enable_x64", X64)
jax.config.update("jax_numpy_rank_promotion", "raise")
if cache := os.environ.get("DIFFEQ_TEST_CACHE"):
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

QUICK = "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"


def compile_quickly() -> None:
    """Before the first program, and before workers are started, which find it set."""
    flags = os.environ | {"XLA_FLAGS": QUICK}
    asked = [sys.executable, "-c", "import jax; jax.devices()"]  # of flags it lacks XLA dies
    known = subprocess.run(asked, env=flags, capture_output=True).returncode == 0
    os.environ["XLA_FLAGS"] = QUICK if known else ""


if "XLA_FLAGS" not in os.environ:
    compile_quickly()

settings.register_profile("diffeq", deadline=None, max_examples=20)
settings.load_profile("diffeq")

SLOW = ("test_contract", "test_examples", "test_gm_", "test_canonical", "test_calibrate", "figures")
"""Parts of the names of files that take long: first, so that no worker is left alone with one."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "every_order: of the contract; not for entries that give a reason (first_order)"
    )
    config.addinivalue_line(
        "markers", "float64: needs double precision; left out of the float32 job"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next((i for i, p in enumerate(SLOW) if p in item.nodeid), len(SLOW))
    )
    kept = [item for item in items if not _left_out(item)]
    config.hook.pytest_deselected(items=[item for item in items if _left_out(item)])
    items[:] = kept


def _left_out(item: pytest.Item) -> bool:
    if item.get_closest_marker("every_order"):
        if item.callspec.params["entry"].first_order:  # type: ignore[attr-defined]
            return True
    return not X64 and item.get_closest_marker("float64") is not None


class ByFile(LoadScopeScheduling):
    """A file's tests share compiled programs, so they go to one worker; the contract's by model."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        entry = test.partition("[")[2].rstrip("]") if "test_contract" in path else ""
        entry = entry.removesuffix("-float32").removesuffix("-float64")
        return path if "." in entry else f"{path}::{entry}"  # a dot: a module's or a file's name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    config.option.loadscopereorder = False  # as collected: SLOW first
    return ByFile(config, log)


@pytest.fixture(scope="module", autouse=True)
def programs_are_let_go() -> Iterator[None]:
    """Between files, before they are too many: a compiled program holds some ten memory maps.

    Linux gives a process 65 530 of them, and XLA crashes when it gets no more.
    """
    yield
    maps = Path("/proc/self/maps")  # elsewhere there is no such limit
    if maps.exists() and len(maps.read_bytes().splitlines()) > 15_000:
        jax.clear_caches()


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real market data (DIFFEQ_DATA, default ../shared/data)."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("DIFFEQ_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real market data at {folder}; set DIFFEQ_DATA to try it")
    return folder
