"""The verbs ``sweep`` and ``calibrate`` as a user types them; ``figures`` has a file of its own."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import helpers
import jax
import numpy as np
import pytest
import xarray
import zarr

from diffeq import contingent, holden
from diffeq.__main__ import main
from diffeq.command_line import models
from diffeq.command_line import sweep as sweep_verb
from diffeq.command_line.endings import Usage

pytestmark = pytest.mark.float64  # the command line chooses its own precision


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(list(arguments))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "values"),
    [("2.5", [2.5]), ("1,2,5", [1, 2, 5]), ("1:2:3", [1, 1.5, 2]), ("3:1:2", [3, 1])],
)
def test_an_axis_is_what_it_says(text: str, values: list[float]) -> None:
    np.testing.assert_array_equal(sweep_verb.axis("sigma_v", text), values)


@pytest.mark.parametrize("text", ["1:inf:3", "nan,1", "-inf", "1:2", "1:2:0", "1,,2", ""])
def test_what_is_no_axis_is_refused(text: str) -> None:
    """Between one and infinity there are no three numbers, not even the first."""
    with pytest.raises(Usage, match="--sigma-v: expected a finite number, numbers 1,2,5 or"):
        sweep_verb.axis("sigma_v", text)


def test_a_sweep_of_which_nothing_holds_ends_with_1(tmp_path: Path, capsys: Any) -> None:
    """The store and its report are there all the same, again and again."""
    flags = ["--num-insiders", "1,2", "--num-auctions", "2", "--sigma-v", "-1"]
    command = ["sweep", "holden-last", *flags, "--json", "--store", str(tmp_path / 'a "store"')]
    for _ in range(2):
        with pytest.raises(SystemExit, match="error: holden-last: no point converged"):
            main(command)
        report = json.loads(capsys.readouterr().out)
        assert report["points"] == report["failed"] == 2


def test_a_sweep_is_stored_and_gone_on_with(tmp_path: Path, capsys: Any) -> None:
    """Every point is the model's own solution; a failing one is counted; JSON for programs."""
    store = str(tmp_path / "out.zarr")
    flags = ["--sigma-v", "-1,2.5", "--num-insiders", "1:2:2", "--num-auctions", "3"]
    command = ["sweep", "holden", *flags, "--store", store]
    assert said(capsys, *command).startswith("4 points, 2 did not converge: lambda_, beta")
    again = json.loads(said(capsys, *command, "--json"))
    assert again["points"] == 4 and again["failed"] == 2 and "lambda_" in again["fields"]
    data = xarray.open_zarr(store, consolidated=False, chunks=None)
    assert data.lambda_.dims == ("sigma_v", "num_insiders", "auction")
    alone = holden.solve(holden.Params(num_insiders=2.0), num_auctions=3)
    np.testing.assert_allclose(data.lambda_[1, 1], alone.lambda_, rtol=1e-14)
    assert np.isnan(data.lambda_[0]).all()


def test_last_auctions_by_the_grid_function(tmp_path: Path, capsys: Any) -> None:
    store = str(tmp_path / "last.zarr")
    flags = ["--num-insiders", "2", "--num-auctions", "1:3:3", "--sigma-u", "5,10"]
    assert "6 points, 0 did not" in said(capsys, "sweep", "holden-last", *flags, "--store", store)
    data = xarray.open_zarr(store, consolidated=False, chunks=None)
    alone = holden.solve(holden.Params(num_insiders=2.0), num_auctions=3)
    last = data.lambda_.sel(num_insiders=2, num_auctions=3, sigma_v=2.5, sigma_u=5)
    np.testing.assert_allclose(last, alone.lambda_[-1], rtol=1e-13)


def test_days_of_orders(tmp_path: Path, capsys: Any) -> None:
    """130 buys of 200 with mu_0 = 1/2: alpha is .3 in closed form."""
    days = tmp_path / "days.csv"
    days.write_text("buys,sells\n130,70\n")
    command = ["calibrate", "glosten-milgrom", "--days", str(days), "--mu-0", "0.5"]
    found = json.loads(said(capsys, *command, "--json"))
    assert found["converged"] and abs(found["estimates"]["alpha"] - 0.3) < 1e-6
    assert "1 days from" in said(capsys, *command)


def tape(folder: Path) -> list[str]:
    """A mid that moves by ±.01, and orders that reach exponential depths: k = 2 a side."""
    rng = np.random.default_rng(0)
    time = np.arange(1.0, 4001.0)
    mid = 100 + np.cumsum(rng.choice([-0.01, 0.01], time.size))
    side = rng.choice([-1, 1], time.size)
    price = mid + side * (0.05 + rng.exponential(0.5, time.size))
    quotes = ["time,bid,bid_size,ask,ask_size"]
    quotes += [
        f"{t - 0.5},{m - 0.05:.4f},1,{m + 0.05:.4f},1" for t, m in zip(time, mid, strict=True)
    ]
    trades = ["time,price,size,sign"]
    trades += [f"{t},{p:.6f},1,{s}" for t, p, s in zip(time, price, side, strict=True)]
    flags = []
    for name, rows in (("trades", trades), ("quotes", quotes)):
        path = folder / f"{name}.csv"
        path.write_text("\n".join(rows) + "\n")
        flags += [f"--{name}", str(path)]
    return flags


def test_fill_rates_of_a_tape(tmp_path: Path, capsys: Any) -> None:
    """A, k and sigma within four standard errors of what made the tape; in words, the units."""
    flags = tape(tmp_path)
    found = json.loads(said(capsys, "calibrate", "market-making", *flags, "--json"))
    truth = dict(sigma=0.01, A_bid=np.exp(0.1) / 2, A_ask=np.exp(0.1) / 2, k_bid=2.0, k_ask=2.0)
    assert found["converged"] and set(found["estimates"]) == set(truth)
    for name, value in truth.items():
        gap = abs(found["estimates"][name] - value)
        assert gap < 4 * found["standard_errors"][name], name
    text = said(capsys, "calibrate", "market-making", *flags)
    assert "price units per √second" in text and "p = " in text


def test_a_day_of_insiders(tmp_path: Path, capsys: Any) -> None:
    """M given: the tape's parameters come with errors, and the file is named."""
    command = ["calibrate", "holden", *tape(tmp_path), "--num-insiders", "1", "--num-auctions", "4"]
    found = json.loads(said(capsys, *command, "--json"))
    assert found["estimates"]["num_insiders"] == 1 and "trades.csv" in found["source"]


EXAMPLE = np.array([1.0, -2.0, 1.0]) / np.sqrt(6)
"""What the insider of Keller & Tseng's section 2 buys of each claim after the first signal."""


def test_a_game_from_a_file_and_its_certificate(tmp_path: Path, capsys: Any) -> None:
    """Twice the noise, twice the trade; the certificate in words, and as JSON."""
    eta = tmp_path / "eta.csv"
    eta.write_text("0.5, 0, 0.5\n0, 1, 0\n")
    command = ["solve", "contingent", "--eta", str(eta), "--sigma", "2"]
    found = json.loads(said(capsys, *command, "--json"))
    np.testing.assert_allclose(found["solution"]["demand"], [2 * EXAMPLE, -2 * EXAMPLE], atol=1e-12)
    assert found["params"] == dict(eta=[[0.5, 0, 0.5], [0, 1, 0]], sigma=2.0, prior=None)
    assert found["certificate"]["is_equilibrium"] is True
    assert found["certificate"]["unbounded_deviation"]["passed"] is True
    text = said(capsys, "solve", "contingent")
    assert "an equilibrium\n  passed  first-order condition" in text


def test_no_equilibrium_is_printed_and_ends_with_1(capsys: Any, monkeypatch: Any) -> None:
    """The demand of the paper's equation (33), against which profit is unbounded."""

    def as_published(game: contingent.Game) -> contingent.Solution:
        verdict = contingent.certify(game, contingent.published_demand(game))
        return contingent.solve(game, certificate=False)._replace(certificate=verdict)

    known = models.MODELS["contingent"]._replace(solve=as_published)
    monkeypatch.setitem(models.MODELS, "contingent", known)
    with pytest.raises(SystemExit, match="error: contingent: no equilibrium: . of 6 criteria fail"):
        main(["solve", "contingent", "--json"])
    verdict = json.loads(capsys.readouterr().out)["certificate"]
    assert (
        verdict["is_equilibrium"] is False and len(verdict["unbounded_deviation"]["direction"]) == 3
    )


def test_the_canonical_game_solved_and_swept(tmp_path: Path, capsys: Any) -> None:
    """alpha*(2) = √2; a store of K = 2, 3 holds what solve says."""
    store = str(tmp_path / "canonical.zarr")
    assert "2 points, 0 did" in said(
        capsys, "sweep", "canonical", "--num-signals", "2,3", "--store", store
    )
    data = xarray.open_zarr(store, consolidated=False, chunks=None)
    assert abs(float(data.alpha[0]) - np.sqrt(2)) < 1e-12
    found = json.loads(said(capsys, "solve", "canonical", "--num-signals", "3", "--json"))
    assert abs(found["solution"]["alpha"] - float(data.alpha[1])) < 1e-12


def test_ctrl_c_in_a_sweep_then_the_same_command(tmp_path: Path, capsys: Any) -> None:
    """Exit code 130 and how to go on; what was begun and gone on with is what one go gives."""
    axes = "--sigma-v 0.5:5:100 --sigma-u 1:9:100 --p-0 1:9:100 --num-auctions 5".split()
    command = ["sweep", "holden", *axes, "--store"]
    begun, whole = tmp_path / "begun.zarr", tmp_path / "whole.zarr"
    words = [sys.executable, "-m", "diffeq", *command, str(begun)]
    with helpers.hearing_interrupts():
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while not begun.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert error == "interrupted; the same command goes on where it was\n"
    assert not (np.asarray(zarr.open_array(begun / "done")) > 0).all()
    for store in (begun, whole):
        assert "1,000,000 points, 0 did not" in said(capsys, *command, str(store))
    files = [path.relative_to(whole) for path in whole.rglob("c/*") if path.is_file()]
    assert all((begun / file).read_bytes() == (whole / file).read_bytes() for file in files)


@pytest.mark.parametrize("where", ["garbage", "reference", "end"])
def test_ctrl_c_where_python_drops_it_is_heard(where: str) -> None:
    """In callbacks and in ``__del__``; any other error there is told as ever."""
    program = f"""
import gc, signal, time, weakref
from diffeq.command_line import interrupts

class Dropped:
    def __del__(self):
        if {where!r} == "end":
            signal.raise_signal(signal.SIGINT)
        1 / 0

def pressed(*_):
    if {where!r} != "end":
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
interrupts.keep()
try:
    dropped = Dropped()
    if {where!r} == "garbage":
        gc.callbacks.append(lambda *_: (gc.callbacks.clear(), pressed()))
        gc.collect(0)  # at once: the rest comes before it is heard again
    reference = weakref.ref(dropped, pressed) if {where!r} == "reference" else None
    del dropped
    time.sleep(5)
except KeyboardInterrupt:
    print("heard")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "heard\n"
    assert ("ZeroDivisionError" in ended.stderr) == (where != "end")
    assert "KeyboardInterrupt" not in ended.stderr


@pytest.mark.parametrize("code", [130, 1])
def test_an_interrupted_program_ends_at_once(code: int) -> None:
    """And with 130, though Python ends by the signal what was interrupted inside ``exec``.

    At its own end Python would take down what a program still being compiled by JAX stands on.
    """
    program = f"""
import atexit, sys
from diffeq.command_line import interrupts

atexit.register(print, "at the end")
print("said")
try:
    exec("raise KeyboardInterrupt")
except KeyboardInterrupt:
    with interrupts.at_once():
        sys.exit({code})
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout == ("said\n" if code == 130 else "said\nat the end\n")
    assert ended.stderr == "" and (ended.returncode == 130) == (code == 130)


def test_bad_rows_of_days_are_named_or_dropped(tmp_path: Path, capsys: Any) -> None:
    days = tmp_path / "days.csv"
    days.write_text("buys,sells\n130,70\n1.5,2\n")
    command = ["calibrate", "glosten-milgrom", "--days", str(days), "--mu-0", "0.5"]
    with pytest.raises(SystemExit, match=r"line 3.*no number of orders.*--bad-rows drop"):
        main(command)
    assert "1 days from" in said(capsys, *command, "--bad-rows", "drop")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("sweep holden --store x --sigma-v 2", 2, "sweep: expected an axis"),
        ("sweep holden --store x --sigma-v a:b:c", 2, "--sigma-v: expected a finite number"),
        ("sweep holden --store x --sigma-v 1:2:0", 2, "--sigma-v: expected a finite number"),
        ("sweep holden-last --store x --num-auctions 1,2.5", 2, "--num-auctions: expected whole"),
        ("sweep holden-last --store x --num-auctions 0,1", 2, "--num-auctions: expected whole"),
        ("sweep holden --store x --sigma-v 1,2 --num-auctions 0", 1, "--num-auctions: expected"),
        ("calibrate glosten-milgrom --days missing.csv", 1, "missing.csv: no such file"),
        ("calibrate glosten-milgrom --days .", 1, ". is a folder"),
        ("calibrate smiles --chain missing.csv", 1, "missing.csv: no such file"),
        ("calibrate holden --trades x --num-auctions 0", 1, "--num-auctions: expected at least 1"),
    ],
)
def test_errors_say_what_to_change(
    arguments: str, code: int, message: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(arguments.split())
    text = capsys.readouterr().err or str(left.value)
    assert text.startswith(f"error: {message}") and (left.value.code == 2) == (code == 2)
    assert not list(tmp_path.iterdir())


@pytest.fixture(autouse=True)
def same_precision_after() -> Any:
    """The command line sets float64, as a program may; the tests after it keep theirs."""
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)
