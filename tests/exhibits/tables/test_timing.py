"""Table 4: wall-clock, speed and memory with and without LDReg, from fabricated summaries."""

import io
import json
import math
import re

import pandas as pd
import pytest

from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.exhibits.tables.declared import TIMING, TimingSettings
from ldreg.exhibits.tables.timing import timing

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
    assert "One seed gives no interval" in text


def timed(folder, ratio: float, memory: tuple[int | None, int | None] = (None, None)) -> None:
    """As `ldreg step-cost` of a run with a regulariser writes it."""
    content = {"seconds_with": 0.1 * ratio, "seconds_without": 0.1, "ratio": ratio, "pairs": 20}
    content |= {"ratio_low": ratio - 0.01, "ratio_high": ratio + 0.02, "level": 0.96, "steps_per_block": 2}
    content |= {"device": "cpu", "world_size": 1, "threads": 2, "precision": "float32"}
    content |= {f"peak_memory_bytes_{key}": n for key, n in zip(("with", "without"), memory, strict=True)}
    (folder / "step_cost.json").write_text(json.dumps(content))


def step_block(text: str) -> str:
    return text.split("### A training step")[1].split("### Times")[0]


def test_steps_timed_side_by_side_stand_beside_the_wall_clocks(pair) -> None:
    """LDReg's runs are the last three: a step of theirs takes 4, 5 and 6 per cent longer."""
    for seed, folder in enumerate(pair.folders[3:]):
        timed(type(pair.root)(folder), 1.04 + seed / 100)
    half = 4.302653 / math.sqrt(3)
    text = files(pair)["md"]
    (row,) = lines(step_block(text), "LDReg")
    assert row[2:] == ["105.0", "100.0", f"+5.00 [{5 - half:+.2f}, {5 + half:+.2f}]", "not measured", "3"]
    assert "timed by turns in one process" in text and "20 pairs of blocks of 2 steps" in text
    assert "95 % t-interval over seeds" in text
    table = cells(pair)
    change = table.loc[("step", "simclr", "ldreg_l1", "step_time")]
    assert float(change["mean"]) == pytest.approx(5) and change["n"] == 3
    assert float(change["high"]) == pytest.approx(5 + half, abs=1e-5)
    assert float(table.loc[("step", "simclr", "ldreg_l1", "step_ms_with"), "mean"]) == pytest.approx(105)
    # What whole runs took is told all the same.
    assert float(table.loc[("change", "simclr", "ldreg_l1", "pretrain_hours"), "mean"]) == pytest.approx(11)


def test_steps_of_one_seed_have_the_interval_of_their_blocks(runs) -> None:
    add(runs, 0, 100.0)
    add(runs, 0, 110.0, **LDREG)
    timed(type(runs.root)(runs.folders[1]), 1.05, (3 * 2**30, 2**30))
    text = files(runs)["md"]
    (row,) = lines(step_block(text), "LDReg")
    assert row[-3:] == ["+5.00 [+4.00, +7.00]", "3.00 / 1.00", "1"]
    assert "interval over blocks (at least 95 %)" in text


def test_steps_that_were_not_timed_say_so(pair) -> None:
    text = files(pair)["md"]
    (row,) = lines(step_block(text), "LDReg")
    assert row[2:] == [*["not measured"] * 4, "0"] and "by turns, in" not in text
    assert cells(pair).loc[("step", "simclr", "ldreg_l1", "step_time"), "status"] == "not measured"
    assert TIMING.run_files(TimingSettings()) == ("step_cost.json",)


def test_the_csv_says_where_the_papers_numbers_may_be_set_beside_ours(pair) -> None:
    for of_paper in (False, True):
        table = cells(pair, scale_of_paper=of_paper)
        known = table[table["paper"] != ""]
        assert {kind for kind, *_ in known.index} == {"change", "level"}
        assert all(
            comparable == (kind == "change" or of_paper)
            for (kind, *_), comparable in known["comparable"].items()
        )
        assert not table[table["paper"] == ""]["comparable"].any()


def test_the_machine_and_that_it_may_have_been_shared_are_told(pair) -> None:
    text = files(pair, notes=["One job at a time."])["md"]
    assert "executed on cpu, 1 process, 2 threads, float32." in text
    assert "share a machine" in text and text.rstrip().endswith("- One job at a time.")
    assert re.search(r"none, 100 epochs, batch size 2048: 27\.8 h", text)
