"""The reader of the paper's settings: what it gives for a run, and that a mistake in its file is one line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ldreg.errors import LdregError
from ldreg.exhibits.paper import SETTINGS_FILE
from ldreg.exhibits.paper.run_settings import both_changed, compare
from ldreg.exhibits.paper.settings import PaperSettings

PATH = Path(__file__).resolve().parents[3] / "config/paper" / SETTINGS_FILE
PAPER = PaperSettings(PATH)
HEADER = "source,status,exhibit,method,backbone,regularizer,epochs,batch_size,key,value,here"
SIMCLR = {"method": "simclr", "backbone": "resnet50", "epochs": 100, "batch_size": 2048}
LDREG = {**SIMCLR, "regularizer": "ldreg_l1", "beta": 0.01, "k": 64}


def written(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / SETTINGS_FILE
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("line", "header", "message"),
    [
        ("", HEADER.replace("status", "staus"), r"column: 'staus' is unknown; did you mean 'status'\?"),
        ("", HEADER + ",note", "column: 'note' is unknown; allowed: source, status"),
        ("", HEADER.replace(",here", ""), r"settings\.csv: no column here$"),
        ("text,printd,,,,,,,k,64,", HEADER, r"line 2: status: 'printd' is unknown; did you mean 'printed'"),
        ("text,printed,,,,,,,tempratur,1,", HEADER, r"line 2: key: 'tempratur' is unknown; did you mean"),
        ("text,printed,,,,,,,views.0.blurr,1,", HEADER, r"key: 'views.0.blurr' is unknown; did you mean"),
        ("text,printed,,,,,,,k,,", HEADER, "line 2: value: empty"),
        ("text (1, 2),printed,,,,,,,k,64,", HEADER, "line 2: other than 11 cells"),
        ("text,printed,k,64", HEADER, "line 2: other than 11 cells"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path, line: str, header: str, message: str) -> None:
    with pytest.raises(LdregError, match=message) as error:
        PaperSettings(written(tmp_path, *([line] if line else []), header=header))
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(LdregError, match=r"settings\.csv: no such file \(the paper's settings\)"):
        PaperSettings(tmp_path / SETTINGS_FILE)


def test_captions_wait_for_no_heavy_library() -> None:
    """The workflow asks for them while it is parsed."""
    code = "import sys, ldreg.site.differences; print([m for m in sys.argv[1:] if m in sys.modules])"
    command = [sys.executable, "-c", code, "pandas", "numpy", "torch", "matplotlib", "scipy"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_quoted_commas_and_blocks_of_the_scale_are_read(tmp_path) -> None:
    lines = ('"text (sections 3, 4)",printed,,,,,,,evaluation.linear_epochs,90,"60, here"',)
    given = PaperSettings(written(tmp_path, *lines)).of_all("evaluation.")["linear_epochs"]
    assert (given.values, given.source, given.here) == (("90",), "text (sections 3, 4)", "60, here")


@pytest.mark.parametrize(
    ("key", "run", "exhibit", "values"),
    [
        ("beta", LDREG, "table1", ["0.01"]),
        ("beta", LDREG, "figure5", ["0.01", "0.05", "0.1"]),
        ("beta", LDREG, "my_sweep", ["0.01"]),
        ("beta", {**LDREG, "regularizer": "min_lid"}, "my_sweep", ["0.01", "0.1", "1.0", "10.0"]),
        ("beta", {**LDREG, "method": "vicreg"}, "my_sweep", ["0.025"]),
        ("beta", {**LDREG, "regularizer": "target_lid"}, "my_sweep", []),
        ("jitter", SIMCLR | {"regularizer": "none"}, "table1", ["1.0"]),
        ("regularizer_start", LDREG, "table1", ["0.1"]),
        ("regularizer_start", {**LDREG, "epochs": 1000}, "table2", ["0.01"]),
        # At another scale a run stands for one of the paper's own epochs and batch sizes.
        ("regularizer_start", {**LDREG, "epochs": 24}, "table1", ["0.1"]),
        ("regularizer_start", {**LDREG, "epochs": 24, "backbone": "vit_b16"}, "table1", ["0.05"]),
        ("regularizer_start", {**LDREG, "epochs": 24}, "table2", ["0.1", "0.01"]),
        ("batch_size", {**LDREG, "epochs": 24, "batch_size": 64}, "table2", ["2048", "4096"]),
        ("k", {**LDREG, "batch_size": 1024}, "table14", ["32"]),
        ("k", {**LDREG, "batch_size": 64}, "table14", ["16", "32", "64"]),
    ],
)
def test_what_the_paper_gives_for_a_run(key: str, run: dict[str, Any], exhibit: str, values: list) -> None:
    assert PAPER.of_run(key, run, exhibit) == values


def test_a_swept_setting_may_have_any_value_of_the_paper() -> None:
    assert {*PAPER.of_run("k", LDREG, "my_sweep", swept=True)} == {"64", "32", "128", "256"}
    assert {*PAPER.of_run("k", LDREG, "table12", swept=True)} == {"64", "128"}  # which has values of its own


@pytest.mark.parametrize("method", ["simclr", "simclr_tuned", "byol", "mae"])
def test_the_tables_and_the_captions_are_given_the_same(method: str) -> None:
    """What Tables 5 to 11 show of the main table is what captions compare a run of it with."""
    for backbone in PAPER.encoders(method):
        table = PAPER.of(method, backbone)
        run = {"method": method, "backbone": backbone, "regularizer": "ldreg_l1"}
        run |= {key: float(table[key].values[0]) for key in ("epochs", "batch_size")}
        for key in PAPER.keys:
            given = tuple(dict.fromkeys(PAPER.of_run(key, run, "table1")))
            assert given == (table[key].values if key in table else given[:1] * (key == "jitter"))


def test_a_setting_differs_if_one_run_has_a_value_that_none_like_it_has() -> None:
    runs = [{**LDREG, "projector": [2048, 128]}, {**LDREG, "beta": 0.05, "projector": (2048, 128)}]
    found = {each.key: each for each in compare("figure5", runs, PAPER, ())}
    assert not found["projector"].differs and not found["k"].differs and not found["beta"].differs
    runs[1]["projector"] = (128, 2048)
    assert {each.key for each in compare("figure5", runs, PAPER, ()) if each.differs} == {"projector"}
    assert not both_changed(runs, PAPER) and both_changed([{**LDREG, "beta": 0.1, "k": 32}], PAPER)
