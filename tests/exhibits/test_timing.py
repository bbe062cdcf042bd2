"""Table 4: wall-clock, speed and memory with and without LDReg, from fabricated summaries."""

import io
import json
import math
import re

import pandas as pd
import pytest

from ldreg.exhibits.data import read_exhibit
from ldreg.exhibits.timing import timing

LDREG = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}
PAPERS = {"backbone": "resnet50", "dataset": "imagenet", "epochs": 100, "batch_size": 2048}
GPU = {"device": "NVIDIA A100", "world_size": 4, "precision": "bf16"}


def add(runs, seed: int, seconds: float | None, memory: int | None = None, how=None, **spec) -> None:
    """One run that took so long, at 1000 images a second for 100 seconds."""
    folder = runs.add(seed, **spec)
    summary = {"spec_hash": "hash", "device": "cpu", "world_size": 1, "threads": 2, "precision": "float32"}
    if seconds is not None:
        summary |= {"wall_seconds": seconds, "images_per_second": 1e5 / seconds}
    summary |= {"peak_memory_bytes": memory, **(how or {})}
    (folder / "summary.json").write_text(json.dumps(summary))


def files(runs, **settings) -> dict[str, str]:
    return timing(read_exhibit(runs.spec("timing", **settings)))


def cells(runs, **settings) -> pd.DataFrame:
    table = pd.read_csv(io.StringIO(files(runs, **settings)["csv"]), keep_default_na=False)
    return table.set_index(["kind", "method", "regularizer", "metric"])


def lines(text: str, start: str) -> list[list[str]]:
    rows = [row for row in text.splitlines() if row.startswith("|") and start in row]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.fixture
def pair(runs):
    """Three seeds of very different length, out of order; LDReg costs 10, 11 and 12 per cent of each."""
    for seed in (2, 0, 1):
        add(runs, seed, 1000.0 * 10**seed)
    for seed in (0, 1, 2):
        add(runs, seed, 1000.0 * 10**seed * (1.10 + seed / 100), **LDREG)
    return runs


def test_changes_are_paired_by_seed_and_in_per_cent(pair) -> None:
    half = 4.302653 / math.sqrt(3)
    change = cells(pair).loc[("change", "simclr", "ldreg_l1", "pretrain_hours")]
    assert float(change["mean"]) == pytest.approx(11) and change["n"] == 3
    assert float(change["low"]) == pytest.approx(11 - half, abs=1e-5)
    assert float(change["paper"]) == pytest.approx(100 * (27.1 / 27.8 - 1))
    (row, *_) = lines(files(pair)["md"], "wall-clock (%)")
    assert row[-3:] == ["-2.5", f"+11.00 [{11 - half:+.2f}, {11 + half:+.2f}]", "3"]
    (speed, *_) = lines(files(pair)["md"], "speed (%)")
    assert speed[-3] == "not given" and speed[-2].startswith("-9.9")


def test_the_papers_hours_stand_beside_ours_at_its_own_scale_alone(runs) -> None:
    for seed in (0, 1):
        add(runs, seed, 3600 * 20.0, 2**34, GPU, **PAPERS)
        add(runs, seed, 3600 * 21.0, 2**34, GPU, **PAPERS, regularizer="ldreg_l1", beta=0.01, k=64)
    text = files(runs, scale_of_paper=True)["md"]
    none, ldreg = lines(text.split("### Times")[1], "16.00")
    assert none[1:4] == ["none", "20.00 ± 0.00", "27.8"] and ldreg[2:4] == ["21.00 ± 0.00", "27.1"]
    assert none[-2] == "16.00 ± 0.00"
    assert "NVIDIA A100, 4 processes, 2 threads, bf16" in text
    elsewhere = files(runs, scale_of_paper=False)["md"].split("### Times")[1].split("\n- ")[0]
    assert "27." not in elsewhere and "another machine" in elsewhere


def test_memory_is_not_measured_on_a_cpu(pair) -> None:
    text = files(pair)["md"]
    assert [row[-2:] for row in lines(text, "peak memory (%)")] == [["not measured", "0"]]
    assert [row[-2] for row in lines(text.split("### Times")[1], "small CNN")] == ["not measured"]
    level = cells(pair).loc[("level", "simclr", "none", "peak_memory")]
    assert (level["status"], level["mean"]) == ("not measured", "")
    assert "nan" not in text.lower()


def test_times_are_in_a_unit_that_suits_them(runs) -> None:
    add(runs, 0, 30.0)
    assert "wall-clock (s)" in files(runs)["md"]
    add(runs, 1, 1e4)
    text = files(runs)["md"]
    (row,) = lines(text.split("### Times")[1], "none")
    assert "wall-clock (h)" in text and row[2].startswith(f"{(30 + 1e4) / 7200:.2f} ±")


def test_runs_that_were_executed_differently_are_no_pair(runs) -> None:
    for seed in (0, 1, 2):
        add(runs, seed, 100.0)
        add(runs, seed, 200.0 if seed == 2 else 110.0, how=GPU if seed == 2 else None, **LDREG)
    change = cells(runs).loc[("change", "simclr", "ldreg_l1", "pretrain_hours")]
    assert float(change["mean"]) == pytest.approx(10) and change["n"] == 2
    text = files(runs)["md"]
    assert "1 of 3 pairs are left out of the changes" in text and "device, world size" in text


def test_imported_runs_have_no_time(runs) -> None:
    add(runs, 0, None)
    add(runs, 0, 110.0, **LDREG)
    table = cells(runs)
    assert table.loc[("level", "simclr", "none", "pretrain_hours"), "status"] == "not measured"
    assert table.loc[("change", "simclr", "ldreg_l1", "pretrain_hours"), "status"] == "not measured"


def test_the_papers_pair_is_named_where_it_was_not_run(runs) -> None:
    add(runs, 0, 100.0, method="byol")
    add(runs, 0, 101.0, method="byol", **LDREG)
    text = files(runs)["md"]
    byol, simclr = lines(text.split("### Times")[0], "wall-clock (%)")
    assert byol[-3:] == ["not given", "+1.00 (1 seed, no interval)", "1"]
    assert simclr[0] == "SimCLR, ResNet-50" and simclr[-3:] == ["-2.5", "not run", "0"]
    assert "SimCLR, ResNet-50 |" not in text.split("### Times")[1]
    assert "ResNet-50 |" not in files(runs, not_run=False)["md"]
    assert "1 seed: no interval" in text


def test_the_machine_and_that_it_may_have_been_shared_are_told(pair) -> None:
    text = files(pair, notes=["One job at a time."])["md"]
    assert "Executed on cpu, 1 process, 2 threads, float32." in text
    assert "shared the machine" in text and text.rstrip().endswith("- One job at a time.")
    assert re.search(r"none, 100 epochs, batch size 2048: 27\.8 h", text)
