"""The verb ``figures``: every figure of the course under its name, and nothing left by an error."""

from pathlib import Path

import pytest

from diffeq.__main__ import main
from diffeq.figures_command import FIGURES

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
    ("arguments", "message"),
    [
        (["compet"], r"names: expected some of quotes, .*; got 'compet'"),
        (["quotes", "--sigma-v", "-1"], "error: --sigma-v: expected a finite positive number"),
    ],
)
def test_errors_say_what_to_change(arguments: list[str], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "none"
    with pytest.raises(SystemExit, match=message):
        main(["figures", *arguments, "--output", str(folder)])
    assert not folder.exists()
