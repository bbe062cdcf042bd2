"""Tables 5 to 11 and SimCLR on a ViT-B/16: the paper's settings beside those of runs.

The runs are made from config/imagenet.yaml, or changed.
"""

import io
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from ldreg.config.run_spec import RunSpec, write_spec
from ldreg.errors import LdregError
from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.exhibits.tables.declared import SETTINGS_TABLE, SettingsTableSettings
from ldreg.exhibits.tables.settings_table import settings_table
from ldreg.files import write_json
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[3] / "config"
SPECS = Scale.read(CONFIG / "imagenet.yaml").runs_of("table1")
SIMCLR, TUNED, BYOL = "SimCLR, ResNet-50", "SimCLR-Tuned, ResNet-50", "BYOL, ResNet-50"
VIT = "SimCLR, ViT-B/16"
PRECISION = "execution.precision"


class Made:
    """Writes run folders of these specs and the specs of exhibits over them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paper = CONFIG / "paper/reported.csv"
        self.runs: list[str] = []
        evaluation = {"linear_epochs": 90, "linear_batch_size": 4096, "linear_learning_rates": [0.1, 0.3]}
        self.evaluation = {**evaluation, "holdout": 0.2, "knn_k": 20}

    def add(self, spec: RunSpec, summary: dict[str, Any] | None = None, **changes: Any) -> Path:
        spec = RunSpec.model_validate(spec.model_dump() | changes)
        folder = self.root / f"runs/{len(self.runs)}"
        write_spec(folder / "spec.yaml", spec, f"run{len(self.runs)}")
        write_json(folder / "summary.json", {"spec_hash": spec.hash, "precision": "bf16"} | (summary or {}))
        write_json(folder / "linear.json", {"protocol": "cached", "at_grid_edge": False})
        self.runs.append(str(folder))
        return folder

    def paper_gives(self, key: str, value: str) -> None:
        """One more row of Table 5 for SimCLR in a copy of the paper's settings."""
        folder = self.root / "paper"
        shutil.copytree(CONFIG / "paper", folder)
        with (folder / "settings.csv").open("a") as file:
            file.write(f"Table 5,printed,,simclr,resnet50,,,,{key},{value},\n")
        self.paper = folder / "reported.csv"

    def table(self, which: int | str, **settings: Any) -> dict[str, str]:
        """The files of one of the paper's tables, by its number, or of another."""
        name = f"table{which}" if isinstance(which, int) else which
        content = {"exhibit": name, "scale": "imagenet", "renderer": "settings_table"}
        content |= {"title": name, "caption": "The settings.", "runs": self.runs}
        content |= {
            "paper": str(self.paper),
            "measured_by": {"evaluation.yaml": str(self.root / "evaluation.yaml")},
        }
        content["settings"] = {"table": name, "scale_of_paper": True, **settings}
        path = self.root / f"exhibits/{name}.spec.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))
        (self.root / "evaluation.yaml").write_text(yaml.safe_dump(self.evaluation))
        return settings_table(read_exhibit(path))

    def cells(self, which: int | str, **settings: Any) -> pd.DataFrame:
        text = self.table(which, **settings)["csv"]
        return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False).set_index(["of", "key"])


def of(method: str, backbone: str = "resnet50", regularizer: str = "") -> list[RunSpec]:
    return [
        spec
        for spec in SPECS.values()
        if (spec.method, spec.backbone) == (method, backbone) and regularizer in ("", spec.regularizer)
    ]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


@pytest.fixture
def papers(made: Made) -> Made:
    """All runs of the paper's main table, with its own settings."""
    for spec in SPECS.values():
        made.add(spec)
    return made


@pytest.mark.parametrize("which", [5, 6, 7, 8, 10, 11, "settings_simclr_vit"])
def test_the_papers_own_scale_differs_in_precision_alone(papers: Made, which: int | str) -> None:
    cells = papers.cells(which).reset_index("of")
    differing = {PRECISION} if PRECISION in cells.index else set()
    assert {*cells[cells["compared"] != "="].index} == differing and len(cells) > 10
    assert bool(differing) == (which not in (10, 11))
    assert papers.table(which)["md"].count("**") == 4 * len(differing)
    assert cells["status"].ne("").all() and cells["source"].ne("").all()


def test_each_table_shows_its_own_settings(papers: Made) -> None:
    cells = {number: papers.cells(number)["here"] for number in range(5, 12)}
    assert cells[5][SIMCLR, "projector"] == "2048-128" and cells[6][TUNED, "temperature"] == "0.15"
    assert cells[5][SIMCLR, "base_lr"] == "0.075" and cells[5][SIMCLR, "weight_decay"] == "1e-6"
    assert cells[5][SIMCLR, "optimizer.trust_coefficient"] == "0.001"
    assert cells[7][BYOL, "momentum"] == "0.99"
    assert cells[8]["MAE, ViT-B/16", "beta"] == "5e-6"
    assert cells[10][SIMCLR, "brightness"] == "0.8"
    assert cells[11][BYOL, "blur"] == "1 / 0.1"
    of = {number: set(papers.cells(number).index.get_level_values("of")) for number in (5, 6, 7, 8, 11)}
    assert of == {5: {SIMCLR}, 6: {TUNED}, 7: {BYOL}, 8: {"MAE, ViT-B/16"}, 11: {BYOL, TUNED}}


def test_settings_and_views_of_simclr_on_a_vit_stand_in_one_table(papers: Made) -> None:
    cells = papers.cells("settings_simclr_vit")
    assert {*cells.index.get_level_values("of")} == {f"{VIT}: pretraining", f"{VIT}: views"}
    assert cells["here"][f"{VIT}: pretraining", "regularizer_start"] == "0.05"
    assert cells["here"][f"{VIT}: views", "solarize"] == "0 / 0.2"
    printed = {key for (_, key), status in cells["status"].items() if "printed" in status}
    assert printed == {"dataset", "backbone", "epochs", "batch_size", "acts_on", "beta", "k"}
    labels = [
        line.split("|")[1].strip()
        for line in papers.table("settings_simclr_vit")["md"].splitlines()[8:]
        if "|" in line
    ]
    assert {"base learning rate", "solarisation: probability"} < {*labels}


def test_each_setting_says_whether_the_paper_prints_it(papers: Made) -> None:
    def told(which: int, key: str, of: str) -> tuple[str, ...]:
        return tuple(papers.cells(which).loc[(of, key), ["status", "source"]])

    assert told(5, "projector", SIMCLR) == ("printed", "Table 5")
    assert told(6, "warmup_epochs", TUNED) == ("authors' code", "released configurations")
    assert told(10, "crop_scale", SIMCLR) == ("authors' code", "released code")
    assert told(11, "blur", BYOL) == ("printed", "Table 11")
    assert told(8, "mask_ratio", "MAE, ViT-B/16")[0] == "authors' code"
    assert "The paper's value is printed in" in papers.table(5)["md"]


def test_the_precision_is_that_of_the_runs(made: Made) -> None:
    for place, spec in enumerate(of("simclr")):
        made.add(spec, {"precision": ("bf16", "float32")[place]})
    line = made.cells(5).loc[SIMCLR, PRECISION]
    assert tuple(line[["paper", "here", "compared", "status"]]) == (
        *("fp16", "bf16, float32", "differs", "authors' code"),
    )


def test_what_differs_is_marked_and_counted(made: Made) -> None:
    for spec in of("simclr"):
        made.add(spec, {"precision": "fp16"}, temperature=0.2, projector=(2048, 2048, 128), train_images=1000)
    files, cells = made.table(5), made.cells(5).loc[SIMCLR]
    differing = cells[cells["compared"] != "="]["compared"].to_dict()
    assert differing == {"projector": "differs", "temperature": "differs", "train_images": "only here"}
    (line,) = [row for row in files["md"].splitlines() if row.startswith("| temperature") and "0.1 " in row]
    assert re.split(r"\s*\|\s*", line.strip("| ")) == [
        *("temperature", "0.1", "**0.2**", "**differs**", "printed", "Table 5")
    ]
    assert r"\textbf{0.2} & \textbf{differs}" in files["tex"]
    assert re.search(r"SimCLR, ResNet-50: 2 of \d+ settings differ", files["md"])


def test_several_values_of_one_setting_are_all_named(made: Made) -> None:
    for spec in of("simclr"):
        made.add(spec)
    made.add(of("simclr", regularizer="ldreg_l1")[0], beta=0.1)
    line = made.cells(5).loc[SIMCLR, "beta"]
    assert (line["paper"], line["here"], line["compared"]) == ("0.01", "0.01, 0.1", "differs")


def test_a_value_of_the_paper_that_no_run_has_differs(papers: Made) -> None:
    papers.paper_gives("temperature", "0.5")
    line = papers.cells(5).loc[SIMCLR, "temperature"]
    assert (line["paper"], line["here"], line["compared"]) == ("0.1, 0.5", "0.1", "differs")


def test_a_method_that_was_not_run_says_so_and_looks_like_nothing_else(made: Made) -> None:
    for spec in of("simclr"):
        made.add(spec)
    cells = made.cells(6).loc[TUNED]
    assert set(cells["here"]) == set(cells["compared"]) == {"not run"}
    assert cells.loc["projector", "paper"] == "8192-8192-512"
    assert not re.search(r"SimCLR-Tuned.*settings differ", made.table(6)["md"])
    assert set(made.cells(11)["here"]) == {"not run"}


def test_settings_of_ldreg_are_those_of_the_runs_with_it(made: Made) -> None:
    made.add(of("simclr", regularizer="none")[0])
    cells = made.cells(5).loc[SIMCLR]
    assert cells.loc["beta", "here"] == cells.loc["k", "here"] == "not run"
    assert cells.loc["temperature", "here"] == "0.1"


def test_a_smaller_encoder_stands_for_the_papers_at_another_scale_alone(made: Made) -> None:
    for spec in of("simclr"):
        made.add(spec, backbone="resnet18")
    line = made.cells(5, scale_of_paper=False).loc[SIMCLR, "backbone"]
    assert (line["paper"], line["here"], line["compared"]) == ("ResNet-50", "ResNet-18", "differs")
    assert made.cells(5).loc[SIMCLR, "backbone"]["here"] == "not run"


def test_views_are_compared_one_by_one(papers: Made) -> None:
    assert papers.table(11)["md"].count("### ") == 1  # all alike
    (spec,) = of("byol", regularizer="none")
    views = [view.model_dump() for view in spec.views]
    views[1] |= {"solarize": 0.1, "rotation": 5.0}
    papers.runs = papers.runs[:1]
    papers.add(spec, views=views)
    papers.add(of("simclr_tuned")[0])
    cells = papers.cells(11)
    assert tuple(cells.loc[BYOL, "solarize"][["paper", "here", "compared"]]) == (
        *("0 / 0.2", "0 / 0.1", "differs"),
    )
    assert cells.loc[BYOL, "rotation"]["compared"] == "only here"
    assert set(cells.loc[TUNED]["compared"]) == {"="}
    assert papers.table(11)["md"].count("### ") == 2


def test_linear_evaluation_is_that_of_the_scale(papers: Made) -> None:
    cells = papers.cells(9).loc["Linear evaluation"]
    assert cells.loc["linear_epochs", "compared"] == "=" and cells.loc["linear_optimizer", "here"] != "LARS"
    assert cells.loc["linear_optimizer", "compared"] == "differs"
    assert cells.loc["linear_learning_rates", "compared"] == "only here" and "knn_k" not in cells.index
    papers.evaluation["linear_epochs"] = 60
    line = papers.cells(9).loc["Linear evaluation", "linear_epochs"]
    assert tuple(line[["paper", "here", "compared"]]) == ("90", "60", "differs")
    assert "protocol cached" in papers.table(9)["md"]


def test_the_evaluation_is_read_for_its_own_table_alone() -> None:
    assert SETTINGS_TABLE.scale_files(SettingsTableSettings(table="table9")) == ("evaluation.yaml",)
    assert SETTINGS_TABLE.scale_files(SettingsTableSettings(table="table5")) == ()


def test_imported_weights_have_no_known_settings(made: Made) -> None:
    made.add(of("simclr")[0], {"imported": {"file": "weights.pt"}})
    assert set(made.cells(5).loc[SIMCLR]["here"]) == {"not known"}
    assert "1 of 1 encoders imported (weights.pt)" in made.table(5)["md"]
    made.add(of("simclr", regularizer="ldreg_l1")[0])
    assert made.cells(5).loc[SIMCLR, "temperature"]["here"] == "0.1"


def test_only_what_was_trained_is_shown(made: Made) -> None:
    folder = made.add(of("simclr")[0], {"spec_hash": "0123456789ab"})
    with pytest.raises(LdregError, match=r"spec_hash: '0123456789ab' is not that of spec.yaml"):
        made.table(5)
    (folder / "summary.json").write_text("{")
    with pytest.raises(LdregError, match=r"summary\.json: line 1: not valid JSON"):
        made.table(5)
    (folder / "summary.json").unlink()
    with pytest.raises(LdregError, match="has not been trained"):
        made.table(5)


@pytest.mark.parametrize(("number", "key"), [(5, "temprature"), (10, "views.blurr")])
def test_a_setting_that_no_run_can_have_is_refused(papers: Made, number: int, key: str) -> None:
    papers.paper_gives(key, "0.1")
    with pytest.raises(LdregError, match=f"'{key}' is unknown; did you mean"):
        papers.table(number)
    papers.paper.with_name("settings.csv").unlink()
    with pytest.raises(LdregError, match="no such file"):
        papers.table(number)


def test_notes_of_the_exhibit_stand_last(papers: Made) -> None:
    assert papers.table(6, notes=["A note of its own."])["md"].endswith("\n- A note of its own.\n")
