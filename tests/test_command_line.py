"""The tour as a user runs it: files written, bad options refused before anything is."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from diffeq import __main__ as command_line
from diffeq.command_line import models
from diffeq.command_line.typed_numbers import table
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
        (["--num-auctions", "0"], "--num-auctions: expected at least 1"),
        (["--num-insiders=-1"], "--num-insiders: expected a finite positive"),
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


@pytest.mark.parametrize("model", models.MODELS)
def test_solve_lists_every_parameter_with_its_meaning(model, capsys):
    with pytest.raises(SystemExit) as left:
        command_line.main(["solve", model, "--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    for field in models.MODELS[model].params._fields:
        assert f"--{field.replace('_', '-').strip('-')}" in text, field
    assert "default" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["market-making", "--k", "0"], "--k: expected a finite positive number, got 0"),
        (["market-making", "--phi", "1"], "--phi: expected 0 for objective='cara'"),
        (["market-making", "--horizon", "-1"], "--horizon: expected a finite positive"),
        (["market-making", "--num-times", "1"], "--num-times: expected at least 2"),
        (["holden", "--num-auctions", "0"], "--num-auctions: expected at least 1"),
        (["holden", "--num-insiders", "1e300"], r"holden: did not converge.*see --help"),
        (["kyle", "--num-auctions", "10000000000000"], "not enough memory"),
        (["glosten-milgrom", "--mu-0", "2"], "error: --mu-0: expected a probability"),
        (["glosten-milgrom", "--V-L", "300"], "V_L"),
        (["canonical", "--num-signals", "1"], "--num-signals: expected a finite number ≥ 2"),
        (["contingent", "--sigma", "1 2"], r"--sigma: expected shape \(3,\), got \(2,\)$"),
        (["contingent", "--eta", "1 0; .5 .6"], r"--eta\[1\]: expected probabilities that sum"),
        (["single-asset", "--values", "1 1"], "--values: expected distinct"),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a verb, one of tour, solve, sweep, calibrate, figures; got none"),
        (["slove"], "got 'slove'; see python -m diffeq --help"),
        (["solve", "kile"], "expected a model, one of kyle, holden,"),
        (["sweep"], "expected a model, one of kyle,"),
        (["solve", "kyle", "--sigma-w", "3"], "--sigma-w, 3; perhaps --sigma-u or --sigma-v; see"),
        (["solve", "kyle", "--sigma-v", "abc"], "--sigma-v: could not convert string to float"),
        (["solve", "kyle", "--sigma-v"], "Missing value for argument '--sigma-v'"),
        (["solve", "kyle", "--method", "x" * 200], "two_pass"),
        (["calibrate", "market-making"], "--trades PATH"),
        (["calibrate", "smiles", "--chain", "x", "--expiry", "soon"], "--expiry: expected a date"),
        (["solve", "contingent", "--eta", "1 0; 1"], "--eta: expected numbers, rows as in"),
        (["solve", "contingent", "--eta", "none.csv"], "there is no such file"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(arguments, message, capsys):
    """On standard error, with exit code 2; what can be read and is wrong ends with 1 (above)."""
    with pytest.raises(SystemExit) as left:
        command_line.main(arguments)
    said = capsys.readouterr()
    assert left.value.code == 2 and not said.out
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and message in said.err


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("2", 2.0),
        ("1, 2 3", [1.0, 2.0, 3.0]),
        ("1/2 0 .5; 0 1 0", [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]),
        ("[[1, 0], [0.5, 0.5]]", [[1.0, 0.0], [0.5, 0.5]]),
        ("[1, 2]", [1.0, 2.0]),
    ],
)
def test_a_table_is_read_as_typed_or_from_a_file(text, values, tmp_path):
    file = tmp_path / "table é.csv"
    file.write_text("\ufeff" + text.replace("; ", "\n"), encoding="utf-8")
    for given in (text, str(file)):
        np.testing.assert_array_equal(table("--eta", given), values)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "1 2\n3\n", "[[1], 2]", "1/0", "\0"])
def test_a_file_that_is_no_table_is_named(text, tmp_path):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"--eta: .*bad\.csv cannot be read as a table"):
        table("--eta", str(file))


@pytest.mark.parametrize(
    ("verb", "without", "extra"),
    [
        ("solve kyle", "tyro", "cli"),
        ("figures quotes", "matplotlib", "plot"),
        ("tour", "xarray", "all"),
    ],
)
def test_a_missing_extra_is_named_and_nothing_written(verb, without, extra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [name for name in sys.modules if name.split(".")[0] == without]
    for name in {without, *names}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit, match=rf"error: .*pip install 'diffeq\[{extra}\]'$"):
        command_line.main(verb.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("solve --help | head -1", 0, ""),
        ("solve glosten-milgrom >/dev/full", 1, "error: standard output: No space left on device"),
    ],
)
def test_a_closed_pipe_is_no_error_and_a_full_disk_is(words, code, message):
    shell = f'set -o pipefail; "{sys.executable}" -m diffeq {words}'
    run = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == code and run.stderr.strip() == message
