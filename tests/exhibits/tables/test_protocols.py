"""Levels and effects by both protocols of linear evaluation, from fabricated measurements."""

import io
import json

import pandas as pd
import pytest
from ledgers import LDREG

from ldreg.exhibits.runs.run_table import load_runs, read_exhibit
from ldreg.exhibits.settings import Settings
from ldreg.exhibits.tables.protocols import protocols

ABOUT = {"protocol": "paper", "epochs": 20, "batch_size": 256, "base_lr": 3.0, "top5": None}


@pytest.fixture
def both(runs):
    """Protocol paper is 2, 3 and 4 points lower without LDReg, and one point less so with it."""
    for seed in range(3):
        for treated, spec in enumerate(({}, LDREG)):
            cached = 97.0 + seed + 0.5 * treated
            folder = runs.add(seed, top1=cached, **spec)
            top1 = cached - 2 - seed + treated
            best = {"epoch": 3, "top1": top1 + 0.25, "top5": None}
            (folder / "linear_paper.json").write_text(
                json.dumps({**ABOUT, "top1": top1, "best_test_epoch": best})
            )
    return runs


def test_levels_and_effects_by_protocol_and_their_paired_difference(both) -> None:
    files = protocols(read_exhibit(both.spec("protocols")))
    cells = pd.read_csv(io.StringIO(files["csv"])).set_index(["kind", "regularizer", "protocol"])["mean"]
    assert cells["level", "none", "cached"] == pytest.approx(98)
    assert cells["level", "none", "paper"] == pytest.approx(95)
    assert cells["level", "none", "paper_minus_cached"] == pytest.approx(-3)
    assert cells["level", "none", "best_test_epoch"] == pytest.approx(95.25)
    effects = [cells["effect", "ldreg_l1", each] for each in ("cached", "paper", "paper_minus_cached")]
    assert effects == pytest.approx([0.5, 1.5, 1.0])
    assert "protocol cached" in files["md"] and "20 epochs in batches of 256 at base rate 3" in files["md"]
    assert "top-1" in files["md"] and "top-5 |" not in files["md"]


def test_an_exhibit_shows_the_protocol_that_it_asks_for(both) -> None:
    exhibit = read_exhibit(both.spec("main_table"))
    shown = [load_runs(exhibit, ("linear_top1",), Settings(linear=each)) for each in ("cached", "paper")]
    assert [frame["linear_top1"].iloc[0] for frame in shown] == [97, 95]
