"""The verbs ``sweep`` and ``calibrate`` as a user types them; ``figures`` has a file of its own."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray

from diffeq import holden, sweep_command
from diffeq.__main__ import main

pytestmark = pytest.mark.float64  # the command line chooses its own precision


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(list(arguments))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "values"),
    [("2.5", [2.5]), ("1,2,5", [1, 2, 5]), ("1:2:3", [1, 1.5, 2]), ("3:1:2", [3, 1])],
)
def test_an_axis_is_what_it_says(text: str, values: list[float]) -> None:
    np.testing.assert_array_equal(sweep_command.axis("sigma_v", text), values)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sweep holden --store x --sigma-v 2", "expected an axis"),
        ("sweep holden --store x --sigma-v a:b:c", "--sigma-v: expected a number"),
        ("sweep holden --store x --sigma-v 1:2:0", "--sigma-v: expected a number"),
        ("sweep holden-last --store x --num-auctions 1,2.5", "--num-auctions: expected whole"),
        ("sweep holden --store x --sigma-v 1,2 --num-auctions 0", "num_auctions: expected"),
        ("calibrate glosten-milgrom --days missing.csv", "missing.csv"),
    ],
)
def test_errors_say_what_to_change(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f"error: .*{message}"):
        main(arguments.split())
    assert not list(tmp_path.iterdir())


@pytest.fixture(autouse=True)
def same_precision_after() -> Any:
    """The command line sets float64, as a program may; the tests after it keep theirs."""
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)
