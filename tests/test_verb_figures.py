"""The verb ``figures``: every figure of the course under its name, and nothing left by an error."""

from pathlib import Path
from typing import Any

import pytest

from diffeq.__main__ import main
from diffeq.command_line.figures import FIGURES

pytestmark = pytest.mark.float64  # the command line chooses its own precision


def test_all_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture for each name, and the surface as a page that needs no network."""
    main(["figures", "--output", str(tmp_path / "new"), "--sigma-v", "1"])
    pictures = {path.stem: path for path in (tmp_path / "new").glob("*.png")}
    assert set(pictures) == set(FIGURES)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures.values())
    page = (tmp_path / "new" / "impact-surface.html").read_text(encoding="utf-8")
    assert "Plotly.newPlot" in page and "<script src=" not in page
    assert len(capsys.readouterr().out.splitlines()) == len(FIGURES) + 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compet"], 2, "names: expected some of quotes, "),
        (["quotes", "--sigma-v", "-1"], 1, "--sigma-v: expected a finite positive number"),
    ],
)
def test_errors_say_what_to_change(
    arguments: list[str], code: int, message: str, tmp_path: Path, capsys: Any
) -> None:
    folder = tmp_path / "none"
    with pytest.raises(SystemExit) as left:
        main(["figures", *arguments, "--output", str(folder)])
    said = capsys.readouterr().err or str(left.value)
    assert said.startswith(f"error: {message}") and (left.value.code == 2) == (code == 2)
    assert not folder.exists()
