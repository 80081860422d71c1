"""Test settings: float64 unless DIFFEQ_TEST_X64=0, strict rank promotion, the real data's place."""

import os
from pathlib import Path

import jax
import pytest
from hypothesis import settings

X64 = os.environ.get("DIFFEQ_TEST_X64", "1") != "0"

jax.config.update("jax_enable_x64", X64)
jax.config.update("jax_numpy_rank_promotion", "raise")
if cache := os.environ.get("DIFFEQ_TEST_CACHE"):
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

settings.register_profile("diffeq", deadline=None, max_examples=20)
settings.load_profile("diffeq")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "float64: needs double precision; left out of the float32 job"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if X64:
        return
    deselected = [item for item in items if item.get_closest_marker("float64")]
    config.hook.pytest_deselected(items=deselected)
    items[:] = [item for item in items if not item.get_closest_marker("float64")]


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real market data (DIFFEQ_DATA, default ../shared/data)."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("DIFFEQ_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real market data at {folder}; set DIFFEQ_DATA to try it")
    return folder
