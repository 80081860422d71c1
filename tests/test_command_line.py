"""The tour as a user runs it: files written, bad options refused before anything is."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from diffeq import __main__ as command_line
from diffeq import solve_command
from diffeq.tour import TRUTH, tour


@pytest.fixture(autouse=True)
def same_precision_after():
    """The command line sets float64, as a program may; the tests after it keep theirs."""
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


ROOT = Path(__file__).resolve().parents[1]
FIGURES = {
    "elasticities.png",
    "fitted_against_observed.png",
    "flow_and_price.png",
    "lambda_surface.png",
    "paths_by_horizon.png",
    "paths_by_insiders.png",
    "terminal_values.png",
}


@pytest.mark.float64
def test_tour_writes_report_figures_and_numbers(tmp_path):
    report = tour(out=tmp_path / "tour")
    text = report.read_text()
    for name in FIGURES:
        assert (report.parent / name).stat().st_size > 10_000 and name in text
    results = json.loads((report.parent / "results.json").read_text())
    assert results["kyle"]["agreement"] < 1e-12 and results["kyle"]["residual"] < 1e-12
    found = results["calibration"]
    for name, value in TRUTH._asdict().items():
        assert abs(found["estimates"][name] - value) < 4 * found["standard_errors"][name]
    # lambda ∝ sigma_v/sigma_u, Sigma ∝ sigma_v²
    assert results["elasticities"]["lambda_1"]["sigma_u"] == pytest.approx(-1, abs=1e-12)
    assert results["elasticities"]["Sigma_N"]["sigma_v"] == pytest.approx(2, abs=1e-12)


def test_tour_reads_a_trades_file(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["time,price,size"]
    price = 100.0
    for t in range(2000):
        side = rng.choice([-1, 1])
        size = rng.integers(1, 10)
        price += 0.001 * side * size
        rows.append(f"{t},{price + 0.005 * side:.4f},{size}")
    file = tmp_path / "trades.csv"
    file.write_text("\n".join(rows))
    text = tour(trades=file, out=tmp_path / "tour", num_insiders=1.0).read_text()
    assert "2000 rows read, 2000 kept" in text and "the tick rule" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-auctions", "0"], "num_auctions: expected at least 1"),
        (["--num-insiders=-1"], "num_insiders: expected a finite positive"),
        (["--quotes", "somewhere.csv"], "add --trades FILE"),
        (["--trades", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, options, message):
    out = tmp_path / "tour"
    with pytest.raises(SystemExit, match=message):
        command_line.main(["tour", "--out", str(out), *options])
    assert not out.exists()


def test_a_bad_row_is_named_in_the_words_of_the_command_line(tmp_path):
    file = tmp_path / "trades.csv"
    file.write_text("time,price,size\n1,100,5\n2,-3,5\n")
    with pytest.raises(SystemExit, match="line 3.*'price'.*--bad-rows drop"):
        command_line.main(["tour", "--trades", str(file), "--out", str(tmp_path / "tour")])


def test_help_lists_the_verbs():
    run = subprocess.run(
        [sys.executable, "-m", "diffeq", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0 and "tour" in run.stdout


def test_solve_prints_json_that_is_the_librarys_solution(capsys):
    """The example of the spec, parsed as another program would; no quote at the edge is null."""
    options = "--A 10 --phi-T 0.01 --objective penalty --max-inventory 10 --json"
    command_line.main(["solve", "market-making", *options.split()])
    printed = json.loads(capsys.readouterr().out)
    assert printed["solution"]["delta_b"][0][10] == pytest.approx(0.674906952, abs=1e-9)
    assert printed["solution"]["delta_b"][0][20] is None
    assert printed["params"]["A"] == 10 and printed["converged"] is True


@pytest.mark.parametrize("model", solve_command.MODELS)
def test_solve_lists_every_parameter_with_its_meaning(model, capsys):
    with pytest.raises(SystemExit) as left:
        command_line.main(["solve", model, "--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    for field in solve_command.MODELS[model].params._fields:
        assert f"--{field.replace('_', '-').strip('-')}" in text, field
    assert "default" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["market-making", "--k", "0"], "--k: expected a finite positive number, got 0"),
        (["market-making", "--phi", "1"], "--phi: expected 0 for objective='cara'"),
        (["market-making", "--horizon", "-1"], "times: expected strictly increasing"),
        (["holden", "--num-auctions", "0"], "num_auctions: expected at least 1"),
        (["glosten-milgrom", "--V-L", "300"], "V_L"),
    ],
)
def test_solve_says_in_a_line_what_to_change(options, message):
    with pytest.raises(SystemExit, match=message) as left:
        command_line.main(["solve", *options])
    assert "\n" not in str(left.value)


def test_solve_takes_a_number_for_each_side(capsys):
    command_line.main(["solve", "market-making", "--A", "100", "180", "--max-inventory", "1"])
    table = capsys.readouterr().out
    assert table.startswith("theta") and "delta_a" in table
