"""Every number and setting of the paper that is shown comes from a row with a source and a status.

Exhibits of whole scale files are rendered from fabricated runs, and what stands in their columns `paper` is
looked up in config/paper. Of the ledger, `test_one_reader` shows that its quotes are computed from there.
"""

import ast
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exhibits.figures.test_plane import content as plane_content

import ldreg
from ldreg.config.result_paths import run_folder
from ldreg.config.run_spec import write_spec
from ldreg.exhibits import RENDERERS
from ldreg.exhibits.figures.plane_data import figure1_table
from ldreg.exhibits.output.labels import name as named
from ldreg.exhibits.paper import REPORTED_FILE, SETTINGS_FILE
from ldreg.exhibits.paper.reported import COLLAPSE, HOURS, plane_numbers, read_reported
from ldreg.exhibits.paper.setting_words import shown
from ldreg.exhibits.paper.settings import STATUS
from ldreg.exhibits.runs.execution import percent
from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.files import read_yaml
from ldreg.workflow.inputs import exhibit_spec_file, write_inputs
from ldreg.workflow.scale import Scale

SOURCE = Path(ldreg.__file__).parent
CONFIG = Path(__file__).resolve().parents[3] / "config"
SCALES = {scale: Scale.read(CONFIG / f"{scale}.yaml") for scale in ("imagenet", "demo", "cifar10")}
REPORTED = read_reported(CONFIG / "paper" / REPORTED_FILE)
SETTINGS = pd.read_csv(CONFIG / "paper" / SETTINGS_FILE, dtype=str, keep_default_na=False)
OURS_ALONE = ("measures", "protocols")  # whose tables have no column of the paper
ELSEWHERE = ("figure1", "figure3", "ledger")  # in tests of their own


def imports(module: str) -> set[str]:
    """The modules of the exhibits that this one imports, by others too, while it is imported or later."""
    found, left = set(), {module}
    while left:
        name = left.pop()
        found.add(name)
        path = SOURCE / f"{name.removeprefix('ldreg.').replace('.', '/')}.py"
        if path.is_file():
            nodes = [
                node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
            ]
            left |= {
                each for node in nodes if (each := node.module or "").startswith("ldreg.exhibits.")
            } - found
    return found


# Renderers that can show no number of the paper, as they import nothing that reads one.
WITHOUT = {
    key
    for key, renderer in RENDERERS.items()
    if not any(name.startswith("ldreg.exhibits.paper.") for name in imports(renderer.module))
}
SHOWN = [
    (scale, exhibit)
    for scale, content in SCALES.items()
    for exhibit in content.exhibits
    if content.renderer_of(exhibit).key not in {*WITHOUT, *OURS_ALONE, *ELSEWHERE}
]
PAIR = ["model", "method", "dataset", "metric", "epochs", "batch_size"]


def fabricate(scale: Scale, results: Path) -> None:
    """Files of all runs with numbers of their own, as far as the renderers above read them."""
    write_inputs(scale, results)
    lid = scale.content.report.mlid.model_dump()
    datasets = scale.content.transfer.datasets if scale.content.transfer else ()
    for place, run in enumerate(scale.runs):
        folder = run_folder(results, scale.name, run)
        write_spec(folder / "spec.yaml", scale.runs[run], run)
        spec = read_yaml(folder / "spec.yaml")
        ap = dict.fromkeys(("ap", "ap50", "ap75"), 20.0 + place)
        files: dict[str, Any] = {
            "linear": {"protocol": "cached", "top1": 10.0 + place / 10, "at_grid_edge": False},
            "linear_paper": {
                **{"protocol": "paper", "top1": 10.0 + place / 10},
                **{"epochs": 90, "batch_size": 4096, "base_lr": 0.1},
            },
            "dimensionality": {
                "lid": [{"estimator": "mle", "k": 32, "batch_rows": 2048, **lid, "mlid": 10.0 + place}],
                "effective_rank": {"correlation": 100.0 + place},
            },
            "summary": {
                **{"spec_hash": spec["spec_hash"], "device": "cpu", "world_size": 1, "threads": 2},
                **{"precision": "bf16", "wall_seconds": 1e5 + place, "images_per_second": 9.0},
                "peak_memory_bytes": None,
            },
            "step_cost": {
                **dict.fromkeys(("seconds_with", "seconds_without", "ratio", "ratio_low", "ratio_high"), 1.0),
                **{"level": 0.95, "pairs": 40, "steps_per_block": 5},
            },
            "detection": {
                **{
                    "split": "val",
                    "box": ap,
                    "mask": ap,
                    "train_images": 9,
                    "val_images": 9,
                    "categories": 9,
                },
                "settings": {"iterations": 9, "batch_size": 8, "learning_rate": 0.02},
            },
        }
        setting = {"lr": 0.01, "weight_decay": 5e-4, "top1": 50.0 + place, "holdout": 1.0}
        for dataset in datasets:
            files[f"transfer/{dataset}"] = {
                **{
                    "dataset": dataset,
                    "image_size": 16,
                    "protocol": "cached",
                    "metric": "top1",
                    "top1": 50.0 + place,
                },
                **{"reported": "paper", "paper": setting, "chosen": {**setting, "at_grid_edge": False}},
                **{"holdout": [{}], "rows": {"train": 9, "holdout": 9, "test": 9}},
                "settings": {"epochs": 9, "batch_size": 9, "optimizer": "SGD", "holdout": 0.2},
            }
        for name, content in files.items():
            path = folder / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for scale in SCALES.values():
        fabricate(scale, folder)
    return folder


def cells(results: Path, scale: str, exhibit: str) -> pd.DataFrame:
    """The CSV of an exhibit, all as text."""
    spec = read_exhibit(exhibit_spec_file(results, SCALES[scale], exhibit))
    made = RENDERERS[spec.renderer].function(spec)
    text = made["csv"] if isinstance(made, dict) else made.csv
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


@pytest.mark.parametrize(("scale", "exhibit"), SHOWN)
def test_every_number_in_a_column_of_the_paper_has_a_row(results: Path, scale: str, exhibit: str) -> None:
    table = cells(results, scale, exhibit)
    assert table["paper"].any()
    if "table" in table:  # of settings
        for _, line in table.iterrows():
            check_setting(line)
        return
    for _, line in table.iterrows():
        effect = line.get("kind", "level" if "paper_effect" in table else "effect") != "level"
        for column, kind in (("paper", effect), ("paper_effect", True)):
            if line.get(column):
                assert {*sources(float(line[column]), line, kind)}, dict(line)


def sources(value: float, line: pd.Series, effect: bool) -> Iterator[tuple[str, str]]:
    """Exhibit and status of each reported number, or pair of numbers, that this is."""
    rows = REPORTED[REPORTED["metric"] == line["metric"]].dropna(subset=["value"])
    if "method" in line:
        rows = rows[rows["method"] == line["method"]]
    if not effect:
        alike = rows[rows["value"] == value]
        yield from zip(alike["exhibit"], alike["status"], strict=True)
        return
    controls, treated = rows[rows["regularizer"] == "none"], rows[rows["regularizer"] != "none"]
    change = percent if line["metric"] == HOURS else lambda with_it, without: with_it - without
    for _, pair in treated.merge(controls, on=PAIR, suffixes=("", "_without")).iterrows():
        if change(pair["value"], pair["value_without"]) == pytest.approx(value, abs=1e-4):
            yield pair["exhibit"], pair["status"]


def check_setting(line: pd.Series) -> None:
    """A line of a table of settings has the values, the source and the status of rows for its key."""
    if line["paper"] == "not given":
        assert not line["source"] and not line["status"]
        return
    key = re.escape(line["key"])
    rows = SETTINGS[SETTINGS["key"].str.fullmatch(rf"(views\.(\d\.)?|evaluation\.)?{key}")]
    rows = rows[rows["source"].map(lambda source: source in line["source"])]
    values = {shown(value) for value in rows["value"]}
    assert line["paper"] in values or {*re.split(" / |, ", line["paper"])} <= values, dict(line)
    assert {*line["status"].split("; ")} <= {STATUS[status] for status in rows["status"]}


def test_every_number_of_figure_1_has_a_row() -> None:
    table = figure1_table(plane_content("figure1"), plane_numbers(CONFIG / "paper" / REPORTED_FILE))
    table = table.dropna(subset=["paper"])
    rows = REPORTED[REPORTED["exhibit"] == "figure1c"]
    for _, line in table[table["series"] != "mlid"].iterrows():
        assert line["paper"] in set(rows[rows["metric"].str.startswith(line["series"])]["value"])
    clouds = {metric.rpartition("_")[2] for metric in rows["metric"]}
    assert {f"{mlid}" for mlid in table[table["series"] == "mlid"]["paper"]} <= clouds and len(table) > 3


def test_each_reported_number_stands_once_with_its_status() -> None:
    columns = [
        "exhibit",
        "model",
        "epochs",
        "batch_size",
        "method",
        "regularizer",
        "beta",
        "k",
        "dataset",
        "metric",
    ]
    assert not REPORTED.duplicated(columns).any()
    kinds = REPORTED["status"].str.partition(";")[0]
    assert {*kinds} == {"printed", "approximate", COLLAPSE}
    assert {*REPORTED[kinds == "approximate"]["exhibit"]} == {"figure5"}  # all else is printed in tables
    assert REPORTED["value"].notna().equals(kinds != COLLAPSE)


NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
PAPER, BRACKET = re.compile(r"\b[Pp]aper\b"), re.compile(r"\([^()]*\)")
OURS = re.compile(
    r"95 %|hence [\d.]+ h"
)  # intervals, which the paper has none of, and what follows from its numbers
# Where something stands.
PLACE = re.compile(r"(Tables?|Figures?|sections?|appendix|eq\.) [A-Z\d.]+(,? (and|to|or)? ?\d+)*")


def quoted() -> Iterator[tuple[str, str]]:
    """Exhibit, and a sentence of its caption or notes that says something of the paper, or a bracket in one.

    The source of a scale's `cost` counts as a text of Table 4.
    """
    for file in ("exhibits", *SCALES):
        content = read_yaml(CONFIG / f"{file}.yaml")
        blocks = dict(content.get("exhibits", content))
        blocks["table4"] = {
            **(blocks.get("table4") or {}),
            "source": content.get("cost", {}).get("source", ""),
        }
        for exhibit, block in blocks.items():
            notes = ((block or {}).get("settings") or {}).get("notes", ())
            texts = ((block or {}).get("caption", ""), (block or {}).get("source", ""), *notes)
            for text in texts:
                for sentence in re.split(r"(?<=[.;]) (?![^()]*\))", text):
                    outside = re.sub(r"\([^()]*\)", "", sentence)
                    if PAPER.search(outside):
                        yield exhibit, sentence
                    else:
                        yield from (
                            (exhibit, each) for each in BRACKET.findall(sentence) if PAPER.search(each)
                        )


def given(exhibit: str) -> set[float]:
    """The numbers of the rows about an exhibit, its encoders and all runs."""
    columns = ["value", "epochs", "batch_size", "beta", "k"]
    reported = REPORTED[REPORTED["exhibit"].str.startswith(exhibit)][columns].stack().dropna()
    own = SETTINGS["exhibit"].map(lambda cell: not cell or {exhibit, f"{exhibit}_encoders"} & {*cell.split()})
    parts = SETTINGS[own.astype(bool)]["value"].str.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?").explode().dropna()
    return {*map(float, reported), *map(float, parts)}


def test_the_numbers_that_captions_say_are_the_papers_have_rows() -> None:
    found = [
        (exhibit, number, text)
        for exhibit, text in quoted()
        for number in NUMBER.findall(OURS.sub("", PLACE.sub("", text)))
    ]
    assert {"27.8", "27.1", "40", "0.005", "1000"} <= {number for _, number, _ in found}
    assert [each for each in found if float(each[1].replace(",", "")) not in given(each[0])] == []


def test_methods_are_named_as_in_the_papers_rows() -> None:
    """The walk above asks for a line's method: one under another name would ask for nothing."""
    assert {*REPORTED["method"].dropna()} <= {*SETTINGS["method"].str.split().explode().dropna()}
    assert named("simclr") == "SimCLR"
