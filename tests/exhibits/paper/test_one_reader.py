"""The paper's files have one reader each, and no number of the paper is written into the code."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import ldreg
from ldreg.errors import LdregError
from ldreg.exhibits import render
from ldreg.exhibits.claims.declared import LedgerSettings
from ldreg.exhibits.paper import REPORTED_FILE, SETTINGS_FILE
from ldreg.exhibits.paper.reported import HOURS, plane_numbers, read_reported
from ldreg.exhibits.paper.settings import PaperSettings
from ldreg.exhibits.runs.execution import percent
from ldreg.exhibits.tables.transfer_and_detection import _papers_detection, _papers_transfer
from ldreg.files import read_yaml
from ldreg.plane.experiments import CLOUD_MLIDS
from ldreg.site.build import build_site

SOURCE = Path(ldreg.__file__).parent
PAPER = Path(__file__).resolve().parents[3] / "config/paper"
REPORTED = read_reported(PAPER / REPORTED_FILE)
# Rooms that show numbers of the paper, or could.
ROOMS = [path for room in ("exhibits", "site", "workflow", "cli") for path in (SOURCE / room).rglob("*.py")]
TREES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in ROOMS}
READERS = {"exhibits/paper/settings.py", "exhibits/paper/reported.py"}
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def constants(tree: ast.AST) -> Iterator[ast.Constant]:
    """All values written into code, without docstrings."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in told)


def numbers(tree: ast.AST) -> Iterator[float]:
    """All numbers written into code, those inside its strings included."""
    for node in constants(tree):
        if isinstance(node.value, str):
            yield from map(float, NUMBER.findall(node.value))
        elif isinstance(node.value, (int, float)):
            yield float(node.value)


def calls(tree: ast.AST) -> set[str]:
    """The names of all functions and methods that are called."""
    found = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {getattr(each, "attr", getattr(each, "id", "")) for each in found}


def test_no_other_module_names_the_files() -> None:
    naming = {
        name
        for name, tree in TREES.items()
        for node in constants(tree)
        if isinstance(node.value, str) and any(file in node.value for file in (SETTINGS_FILE, REPORTED_FILE))
    }
    assert naming == {"exhibits/paper/__init__.py"}


def test_no_other_module_of_the_exhibits_reads_csv_itself() -> None:
    reading = {name for name, tree in TREES.items() if calls(tree) & {"read_csv", "DictReader", "reader"}}
    assert reading == READERS | {"exhibits/runs/csv_columns.py"}  # which reads the files of runs


OPENED: list[tuple[str, str]] = []
WATCHED: list[bool] = []  # an audit hook cannot be taken away again: it does nothing while this is empty


def _watch(event: str, arguments: tuple) -> None:
    if WATCHED and event == "open" and str(arguments[0]).endswith((SETTINGS_FILE, REPORTED_FILE)):
        frame = sys._getframe(1)
        while frame and not str(frame.f_globals.get("__name__")).startswith("ldreg."):
            frame = frame.f_back
        OPENED.append((Path(arguments[0]).name, frame.f_globals["__name__"] if frame else ""))


@pytest.fixture
def opened() -> Iterator[list[tuple[str, str]]]:
    """Which of the paper's files were opened, and by which module."""
    if not hasattr(sys, "_ldreg_watch"):
        sys.addaudithook(_watch)
        sys._ldreg_watch = True
    OPENED.clear()
    WATCHED.append(True)
    yield OPENED
    WATCHED.clear()


def test_the_readers_alone_open_the_files(demo, opened) -> None:
    base = {"beta": 0.1, "k": 16}
    render(demo.spec("main_table", "table", base=base))
    render(demo.spec("ledger", "claims", base=base))
    render(demo.spec("sweep", "curve", base=base, axes=["beta"], metrics=["mlid"]))
    build_site(demo.root)
    assert set(opened) == {
        (REPORTED_FILE, "ldreg.exhibits.paper.reported"),
        (SETTINGS_FILE, "ldreg.exhibits.paper.settings"),
    }


def test_what_is_quoted_of_the_paper_is_computed() -> None:
    """What makes a claim's quote holds no numbers but digits to round to."""
    quotes = [
        (name, node)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Quote"
    ]
    assert len(quotes) > 3
    for name, call in quotes:
        values = [node.value for node in constants(call)]
        typed = [each for each in values if isinstance(each, float) or NUMBER.search(str(each))]
        assert all(type(each) is int and each <= 4 for each in typed), (name, typed)


def test_no_number_that_only_the_paper_has_is_written_into_code() -> None:
    """Printed numbers of three digits or more; shorter ones are also sizes in a drawing and margins."""
    printed = REPORTED[REPORTED["status"].str.startswith("printed")]["value"].dropna()
    theirs = {value for value in printed if len(f"{value:g}".replace(".", "").strip("0")) > 2}
    assert {64.3, 470.2, 27.8} < theirs
    assert {name: found for name, tree in TREES.items() if (found := theirs & {*numbers(tree)})} == {}


def test_the_clouds_of_figure_1_are_made_for_the_papers_mlids() -> None:
    theirs = {metric.rpartition("_")[2] for metric in plane_numbers(PAPER / REPORTED_FILE)}
    assert {f"{mlid:.1f}" for mlid in CLOUD_MLIDS} == theirs


def test_what_notes_say_of_the_papers_transfers_and_detectors_is_what_its_settings_say() -> None:
    paper = PaperSettings(PAPER / SETTINGS_FILE)
    given = {key: setting.values for key, setting in paper.of_all("transfer.").items()}
    text = _papers_transfer(paper)
    for words in (
        f"{given['epochs'][0]} epochs",
        f"batch size {given['batch_size'][0]}",
        "random crops and flips",
    ):
        assert words in text
    assert given["train_view"][0].startswith("random crops and flips")
    view = "central 87.5 % of width and height"
    assert view in text and given["test_view"][0].startswith(view) and "bicubic" in given["test_view"][0]
    assert given["epoch_reported"] == ("best on the test split",)
    assert "the epoch that is best on the test split" in text
    assert "180,000 iterations, at batch size 16 (8 in" in _papers_detection(paper)


def test_the_hours_of_the_papers_scale_are_those_of_its_slower_run() -> None:
    hours = REPORTED[REPORTED["metric"] == HOURS]["value"]
    cost = read_yaml(PAPER.parent / "imagenet.yaml")["cost"]
    assert cost["pretrain_hours"] == hours.max() and f"{hours.max():g} h" in cost["source"]


def test_the_margins_of_the_claims_are_of_the_size_that_they_are_said_to_be() -> None:
    margins = LedgerSettings()
    accuracy = REPORTED[REPORTED["metric"] == "linear_top1"]
    keys = ["model", "method"]
    of_table1 = accuracy[accuracy["exhibit"] == "table1"].set_index(keys)
    treated = of_table1["regularizer"] != "none"
    gains = of_table1[treated]["value"] - of_table1[~treated]["value"]
    assert gains.min() < margins.accuracy_margin < gains.max()
    moved = accuracy[accuracy["exhibit"] == "figure5"]["value"]
    assert margins.stability_margin > moved.max() - moved.min()
    without, with_it = REPORTED[REPORTED["metric"] == HOURS]["value"]
    assert margins.time_margin == pytest.approx(2 * abs(percent(with_it, without)), abs=0.1)


@pytest.mark.parametrize("change", [{"note": ["x"]}, {"vlaue": ["1"]}])
def test_an_unknown_column_of_reported_numbers_is_refused(tmp_path, change: dict) -> None:
    path = tmp_path / REPORTED_FILE
    pd.concat([REPORTED.head(1), pd.DataFrame(change)], axis=1).to_csv(path, index=False)
    with pytest.raises(LdregError, match=f"column: '{next(iter(change))}' is unknown"):
        read_reported(path)
    REPORTED.drop(columns="value").to_csv(path, index=False)
    with pytest.raises(LdregError, match=r"reported\.csv: no column value$"):
        read_reported(path)
