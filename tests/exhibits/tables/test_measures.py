"""The effect by every form of effective rank and mLID, from fabricated measurements."""

import io
import json

import pandas as pd
import pytest
from ledgers import HALF, LDREG

from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.exhibits.tables.measures import measures


def made(runs, **settings) -> tuple[str, pd.DataFrame]:
    files = measures(read_exhibit(runs.spec("measures", **settings)))
    return files["md"], pd.read_csv(io.StringIO(files["csv"])).set_index("measured_by")


@pytest.fixture
def pair(runs):
    """LDReg adds 1, 2, 3 to all ranks and nothing to all mLIDs, at levels that differ by seed."""
    for seed in range(3):
        runs.add(seed, rank=10.0 + 5 * seed, mlid=6.0)
        runs.add(seed, rank=11.0 + 6 * seed, mlid=6.0, **LDREG)
    return runs


def test_every_form_is_told_with_its_paired_interval(pair) -> None:
    text, cells = made(pair)
    assert list(cells.index) == [
        "effective rank, Pearson correlation matrix",
        "effective rank, centred covariance matrix",
        "effective rank, uncentred second-moment matrix",
        "RankMe, of the singular values",
        "mLID, method of moments, k = 16, neighbours from the full split",
        "mLID, maximum likelihood, k = 32, neighbours from batches of 2,048 rows",
    ]
    ranks = cells.iloc[:4]
    assert ranks["mean"].tolist() == pytest.approx([2] * 4) and (ranks["n"] == 3).all()
    assert ranks["high"].tolist() == pytest.approx([2 + HALF] * 4, abs=1e-5)
    assert ranks["unregularised"].tolist() == pytest.approx([15, 115, 215, 315])
    assert (cells.iloc[4:]["mean"] == 0).all()
    assert "with k = 16 and neighbours from the full split. The paper computes its effective rank" in text


def test_an_interval_without_zero_is_bold_and_none_else(runs) -> None:
    for seed in range(3):
        runs.add(seed, rank=10.0, mlid=6.0)
        runs.add(seed, rank=15.0 + 0.1 * seed, mlid=6.0 + seed - 1, **LDREG)
    text, _ = made(runs)
    assert text.count("**+5.10 [") == 4 and "| +0.00 [" in text.replace("  ", "").replace("|+", "| +")


def test_what_one_run_lacks_is_left_out_and_one_seed_has_no_interval(runs) -> None:
    runs.add(0)
    folder = runs.add(0, rank=12.0, **LDREG)
    content = json.loads((folder / "dimensionality.json").read_text())
    content["lid"] = content["lid"][:1]
    (folder / "dimensionality.json").write_text(json.dumps(content))
    text, cells = made(runs)
    assert len(cells) == 5 and cells["low"].isna().all()
    assert "One seed gives no interval" in text and "**" not in text.replace("## ", "")
