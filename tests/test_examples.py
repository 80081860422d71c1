"""Every numbered example runs as a reader would run it: a process of its own, in any folder."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))
# a hung example, not a slow machine: an example takes a few seconds
LIMIT_SECONDS = 120

# the scripts choose their own precision, so the float32 job would only repeat them
pytestmark = pytest.mark.float64


def test_there_are_examples() -> None:
    assert EXAMPLES, f"no numbered scripts in {ROOT / 'examples'}"


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_writes_its_figures(script: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "folder"
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    start = time.perf_counter()
    run = subprocess.run(
        [sys.executable, str(script), str(output)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT_SECONDS,
    )
    print(f"{script.name}: {time.perf_counter() - start:.1f} s")
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert run.stdout.strip(), "an example prints its answer"
    assert "Warning" not in run.stderr, run.stderr
    figures = list(output.glob(f"{script.stem[:2]}_*.png"))
    assert figures, "an example writes its figures into the folder it is given"
    for figure in figures:
        assert figure.read_bytes().startswith(b"\x89PNG"), figure
    assert {entry.name for entry in tmp_path.iterdir()} == {"new"}, "and nowhere else"


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_checks_its_solutions(script: Path) -> None:
    assert "check(" in script.read_text(encoding="utf-8")
