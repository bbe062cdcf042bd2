"""The exhibits of config/imagenet.yaml, rendered from fabricated measurements, beside the paper's numbers."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from ldreg.config.run_spec import write_spec
from ldreg.exhibits import render
from ldreg.workflow.inputs import exhibit_spec_file, run_folder, write_inputs
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[3] / "config"
REPORTED = pd.read_csv(CONFIG / "paper/reported.csv")

# The scale shows the paper's protocol; no number of the other may appear.
PROTOCOL = {"protocol": "paper", "epochs": 90, "batch_size": 4096, "base_lr": 0.1}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every run of the scale has numbers of its own: the n-th accuracy n, rank 100 + n and mLID 10 + n."""
    folder = tmp_path_factory.mktemp("results")
    scale = Scale.read(CONFIG / "imagenet.yaml")
    write_inputs(scale, folder)
    for place, run in enumerate(scale.runs):
        measured = {
            "linear": {"protocol": "cached", "top1": -1.0, "at_grid_edge": False},
            "linear_paper": PROTOCOL | {"top1": float(place)},
            "dimensionality": {
                "lid": [{"estimator": "mle", "k": 32, "batch_rows": 2048, "mlid": 10.0 + place}],
                "effective_rank": {"correlation": 100.0 + place},
            },
        }
        where = run_folder(folder, scale.name, run)
        write_spec(where / "spec.yaml", scale.runs[run], run)
        for name, content in measured.items():
            (where / f"{name}.json").write_text(json.dumps(content))
        (where / "history.csv").write_text(f"epoch,mlid_mle_32\n1,{5 + place}\n100,{10 + place}\n")
    return folder


def rendered(results: Path, name: str) -> dict[str, str]:
    files = render(exhibit_spec_file(results, Scale.read(CONFIG / "imagenet.yaml"), name))
    return {path.suffix: path.read_text() for path in files if path.suffix in (".csv", ".md", ".json")}


# Counted by hand: accuracy, rank and mLID of Table 1's arms; of others the accuracy alone is printed.
LEVELS = {
    "table1_simclr": 2 * 3,
    "table1": 10 * 3,
    "table2_encoders": 2 * 3 + 2,
    "table3_encoders": 4 * 3 + 2,
    "table12": 2 * 3 + 3,
    "table13": 5 * 3,  # Min LID at beta 10 collapsed
    "table14": 2 * 3 + 4,
    "table15": 6 * 3,  # MoCo at beta 0.005 is not reported
    "table16": 6 * 3,
}


@pytest.mark.parametrize("name", LEVELS)
def test_every_number_of_the_paper_stands_beside_its_own_setting(results: Path, name: str) -> None:
    cells = pd.read_csv(io.StringIO(rendered(results, name)[".csv"]))
    levels = cells[(cells["kind"] == "level") & cells["paper"].notna()]
    assert len(levels) == LEVELS[name] and levels["comparable"].all() and set(levels["status"]) == {"run"}
    for _, line in levels.iterrows():
        same = (REPORTED["method"] == line["method"]) & (REPORTED["model"] == line["backbone"])
        same &= (REPORTED["regularizer"] == line["regularizer"]) & (REPORTED["metric"] == line["metric"])
        for key in ("beta", "k"):
            same &= REPORTED[key].eq(line[key]) | (REPORTED[key].isna() & pd.isna(line[key]))
        printed = REPORTED[same & (REPORTED["value"] == line["paper"]) & (REPORTED["dataset"] == "imagenet")]
        assert not printed.empty, line
        budget = str(line["paper_setting"]).partition(" epochs")[0].rsplit(" ", 1)[-1]
        assert int(budget) in set(printed["epochs"])


def test_batch_sizes_and_epochs_are_told_apart(results: Path) -> None:
    effects, _ = rendered(results, "table14")[".md"].split("### Levels")
    for size, change in ((512, "+0.5"), (1024, "+0.5"), (2048, "+0.5")):
        (line,) = [row for row in effects.splitlines() if f"batch size {size} " in row]
        assert f"| {change} |" in " ".join(line.split())
    text = rendered(results, "table2_encoders")[".md"]
    assert "epochs 1000" in text and "exhibit table2 shows the transfer itself" in text


def test_all_arms_of_a_table_are_labelled(results: Path) -> None:
    text = rendered(results, "table16")[".md"]
    for label in (
        "none",
        "Cov β 0.01",
        "Cov β 0.1",
        "Cov + Var β 0.01",
        "Cov + Var β 0.1",
        "LDReg β 0.005, k 64",
    ):
        assert f"| {label} " in text
    text = rendered(results, "table13")[".md"]
    assert "Min LID β 10, k 64" in text and "not run" not in text
    assert "MAE, ViT-B/16" in rendered(results, "table1")[".md"]


def test_tables_of_the_core_do_not_name_what_others_show(results: Path) -> None:
    assert "BYOL" not in rendered(results, "table1_simclr")[".md"]


def test_the_claims_and_the_sweeps_render(results: Path) -> None:
    claims = {each["id"]: each for each in json.loads(rendered(results, "claims")[".json"])["claims"]}
    assert claims["mlid_rises"]["paper"] == pytest.approx(1.2)
    cells = pd.read_csv(io.StringIO(rendered(results, "figure2b")[".csv"]))
    assert cells["setting"].nunique() == 5
    cells = pd.read_csv(io.StringIO(rendered(results, "figure5")[".csv"]))
    assert cells["paper"].notna().all()
