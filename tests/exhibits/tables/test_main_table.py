"""Table 1 in its three formats and on the screen."""

import io
import json
import math
import re
import shutil
import subprocess

import pandas as pd
import pytest
from rich.console import Console

from ldreg.exhibits import render
from ldreg.exhibits.output.markup import Block, Cell, latex_text, markdown
from ldreg.exhibits.runs.run_table import read_exhibit
from ldreg.exhibits.tables.terminal import print_table

LDREG = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}
HALF = 4.302653 / math.sqrt(3)  # half width for differences that are 1 apart


@pytest.fixture
def pair(runs):
    """Effects 2, 3, 4 on accuracy by seed, listed out of order; ranks fall by 1; mLID rises by 0.5."""
    for seed in (2, 0, 1):
        runs.add(seed, top1=90 + 10 * seed, rank=10, mlid=6)
    for seed in (0, 1, 2):
        runs.add(seed, top1=92 + 11 * seed, rank=9, mlid=6.5, **LDREG)
    return runs


def written(path) -> dict[str, str]:
    return {file.suffix: file.read_text() for file in render(path)}


def line(text: str, start: str) -> list[str]:
    (found,) = [row for row in text.splitlines() if row.startswith("|") and start in row]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_effects_are_paired_and_stand_beside_the_papers(pair) -> None:
    files = written(pair.spec("main_table"))
    effects, _ = files[".md"].split("### Levels")
    row = line(effects.split("SimCLR-Tuned")[0], "linear accuracy")
    interval = f"+3.00 [{3 - HALF:+.2f}, {3 + HALF:+.2f}]"
    assert row == [
        "SimCLR, small CNN",
        "LDReg β 0.1, k 16",
        "linear accuracy (points)",
        "+0.5",
        interval,
        "agrees",
        "3",
    ]
    assert "+0.50 [+0.50, +0.50]" in effects and "-1.00 [-1.00, -1.00]" in effects
    cells = pd.read_csv(io.StringIO(files[".csv"])).set_index(["kind", "method", "backbone", "metric"])
    ours = cells.loc[("effect", "simclr", "small_cnn", "linear_top1")]
    assert ours["mean"] == pytest.approx(3) and ours["high"] == pytest.approx(3 + HALF, abs=1e-5)
    assert (ours["paper"], ours["sign"], ours["n"], ours["status"]) == (0.5, "agrees", 3, "run")
    assert cells["difference"].isna().all()  # of two tasks
    levels = cells.loc["level"]
    assert levels["sign"].isna().all() and levels["paper"].notna().any()  # of another task


def test_levels_are_never_beside_the_papers_at_another_scale(pair) -> None:
    files = written(pair.spec("main_table"))
    for text in (files[".md"], files[".tex"]):
        assert not re.search(r"\b(64\.3|64\.8|470\.2|529\.6|18\.8)\b", text)
        assert "not to be compared" in text
    cells = pd.read_csv(io.StringIO(files[".csv"]))
    assert not cells[cells["kind"] == "level"]["comparable"].any()
    assert 64.3 in set(cells["paper"])


def test_levels_stand_beside_the_papers_at_its_own_scale(runs) -> None:
    paper = {"backbone": "resnet50", "dataset": "imagenet", "epochs": 100, "batch_size": 2048}
    for seed in range(2):
        runs.add(seed, top1=64.2, **paper)
        runs.add(seed, top1=64.9, **paper, regularizer="ldreg_l1", beta=0.01, k=64)
    files = written(runs.spec("main_table", scale_of_paper=True, stands_for={}))
    rows = [row for row in files[".md"].split("### Levels")[1].splitlines() if row.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert cells[2][2:4] == ["64.20 ± 0.00", "64.3"]
    assert cells[3][2:4] == ["**64.90 ± 0.00**", "**64.8**"]
    table = pd.read_csv(io.StringIO(files[".csv"])).set_index(["kind", "regularizer", "metric"])
    assert table.loc[("level", "ldreg_l1", "linear_top1"), "difference"].max() == pytest.approx(0.1)
    assert table.loc[("effect", "ldreg_l1", "linear_top1"), "difference"].max() == pytest.approx(0.2)
    assert "| difference |" in files[".md"] and "The difference is the effect here minus" in files[".md"]
    assert ["MAE, ViT-B/16", "none", "not run", "57.0"] in [row[:4] for row in cells]


def test_the_best_of_a_method_is_bold(pair) -> None:
    files = written(pair.spec("main_table"))
    none, ldreg = [
        row for row in files[".md"].split("### Levels")[1].splitlines() if "±" in row and "|" in row
    ]
    assert [cell.startswith("**") for cell in (c.strip() for c in none.strip("|").split("|"))] == [
        *(False, False, False, True, False, False)
    ]
    assert [cell.startswith("**") for cell in (c.strip() for c in ldreg.strip("|").split("|"))] == [
        *(False, False, True, False, True, False)
    ]
    assert r"\textbf{10.00 $\pm$ 0.00}" in files[".tex"]


def test_a_tie_is_bold_twice_and_a_single_row_never(runs) -> None:
    runs.add(0, top1=97.001)
    runs.add(0, top1=97.002, **LDREG)
    runs.add(0, top1=99, method="byol")
    levels = written(runs.spec("main_table"))[".md"].split("### Levels")[1]
    assert levels.count("**97.00**") == 2
    assert "**99.00**" not in levels and "99.00" in levels


def test_a_seed_missing_in_one_arm(runs) -> None:
    for seed in (0, 1, 2):
        runs.add(seed, top1=90)
    for seed in (2, 1):
        runs.add(seed, top1=91 + seed, **LDREG)
    files = written(runs.spec("main_table"))
    effect = line(files[".md"].split("SimCLR-Tuned")[0], "linear accuracy (points)")
    assert effect[-1] == "2" and effect[-3].startswith("+2.50 [")
    levels = files[".md"].split("### Levels")[1]
    assert line(levels, "none")[-1] == "3" and line(levels, "LDReg")[-1] == "2"


def test_one_seed_says_that_there_is_no_interval(runs) -> None:
    runs.add(0, top1=97)
    runs.add(0, top1=97.5, **LDREG)
    text = written(runs.spec("main_table"))[".md"]
    assert "+0.50 (1 seed, no interval)" in text and "One seed gives no interval" in text
    assert "±" not in text


def test_what_was_not_run_says_so(pair, runs) -> None:
    files = written(pair.spec("main_table"))
    for text in (files[".md"], files[".tex"]):
        assert text.count("not run") == 4 * 3
    cells = pd.read_csv(io.StringIO(files[".csv"]))
    absent = cells[cells["method"] == "byol"]
    assert set(absent["status"]) == {"not run"} and absent["mean"].isna().all()


def test_without_the_unregularised_runs_there_is_no_effect(runs) -> None:
    runs.add(0, **LDREG)
    effect = line(written(runs.spec("main_table"))[".md"].split("SimCLR-Tuned")[0], "LDReg")
    assert effect[-3:] == ["not run", "", "0"]


def test_what_collapsed_in_the_paper_says_so(runs) -> None:
    paper = {"backbone": "resnet50", "dataset": "imagenet", "epochs": 100, "batch_size": 2048}
    runs.add(0, **paper)
    for beta in (1.0, 10.0):
        runs.add(0, **paper, regularizer="min_lid", beta=beta, k=64)
    settings = {"paper_exhibits": ["table13"], "not_run": False, "scale_of_paper": True}
    effects, levels = written(runs.spec("main_table", **settings))[".md"].split("### Levels")
    assert line(levels, "Min LID β 10,")[3] == "collapsed" and line(levels, "Min LID β 1,")[3] == "46.4"
    assert line(effects, "Min LID β 10,")[3] == "collapsed"


def test_jitter_tells_runs_apart_by_its_strength_alone(runs) -> None:
    for strength, views in ((0.5, [{"hue": 0.1}]), (1.0, [{"hue": 0.2}])):
        runs.add(0, jitter=strength, views=views)
    text = written(runs.spec("main_table"))[".md"]
    assert "SimCLR, small CNN, colour jitter strength s 0.5 " in text and "hue" not in text


def test_all_listed_betas_are_shown(runs) -> None:
    runs.add(0)
    for beta in (0.01, 0.1, 1.0):
        runs.add(0, **{**LDREG, "beta": beta})
    effects = written(runs.spec("main_table"))[".md"].split("### Levels")[0].split("SimCLR-Tuned")[0]
    for label in ("β 0.01, k 16", "β 0.1, k 16", "β 1, k 16"):
        assert label in effects


def test_notes_say_how_it_was_measured(pair) -> None:
    text = written(pair.spec("main_table", effective_rank="covariance", notes=["Grey images."]))[".md"]
    for word in (
        "digits (1347 training images",
        "3 seeds (0, 1, 2)",
        "the method of moments, with k = 16 and neighbours from the full split",
        "centred covariance matrix",
        "95 % t-intervals",
        "ResNet-50, LDReg β 0.01, k 64, 100 epochs, batch size 2048",
        "- Grey images.",
    ):
        assert word in text


@pytest.mark.parametrize("scale_of_paper", [False, True])
def test_notes_name_the_linear_protocol_and_stand_once(pair, runs, scale_of_paper) -> None:
    path = pair.spec("main_table", scale_of_paper=scale_of_paper)

    def notes() -> list[str]:
        return [row for row in written(path)[".md"].splitlines() if row.startswith("- ")]

    first = notes()
    assert len(set(first)) == len(first) and sum(note.startswith("- Bold") for note in first) == 1
    (linear,) = [note for note in first if note.startswith("- Linear accuracy")]
    assert "protocol cached" in linear and "LARS" in linear and "lowest or highest" not in linear
    probe = runs.root / "runs/run0/seed2/linear.json"
    probe.write_text(json.dumps({**json.loads(probe.read_text()), "at_grid_edge": True}))
    (linear,) = [note for note in notes() if note.startswith("- Linear accuracy")]
    assert linear.endswith("In 1 of 6 runs the rate is the lowest or highest that was tried.")


def test_markdown_is_aligned_and_fits_a_terminal(pair) -> None:
    rows = [row for row in written(pair.spec("main_table"))[".md"].splitlines() if row.startswith("|")]
    assert max(map(len, rows)) < 130
    effects = rows[: next(i for i, row in enumerate(rows) if "linear accuracy (%)" in row)]
    assert len({tuple(m.start() for m in re.finditer(r"\|", row)) for row in effects}) == 1


def test_the_screen_shows_the_papers_effect_alone(pair) -> None:
    output = io.StringIO()
    print_table(read_exhibit(pair.spec("main_table")), Console(file=output, width=80))
    lines = output.getvalue().splitlines()
    (accuracy,) = [row for row in lines if row.startswith("linear accuracy")]
    assert re.split(r"\s{2,}", accuracy) == [
        "linear accuracy",
        "100.0 ± 24.8",
        "103.0 ± 27.3",
        f"+3.00 [{3 - HALF:+.2f}, {3 + HALF:+.2f}]",
        "+0.5",
    ]
    assert max(map(len, lines)) <= 80
    assert "64.3" not in output.getvalue() and "Not run at this scale: SimCLR-Tuned" in output.getvalue()


def test_latex_has_balanced_braces_and_escapes(pair) -> None:
    text = written(pair.spec("main_table", notes=["50 % of a_b & c # $x {y} ~ ^"]))[".tex"]
    assert r"50 \% of a\_b \& c \# \$x \{y\} \textasciitilde{} \textasciicircum{}" in text
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    body = re.findall(r"^(?!\\|%).*&.*$", text.split("minipage")[0], re.MULTILINE)
    assert all(row.endswith(r" \\") for row in body) and len(body) > 5


def test_latex_compiles(pair, tmp_path) -> None:
    engine = shutil.which("tectonic") or shutil.which("pdflatex")
    if engine is None:
        pytest.skip("no LaTeX engine is installed")
    render(
        pair.spec("main_table", name="table1", notes=["50 % of a_b & c # $x {y} ~ ^ \\ < \u00d7 \u2013 →"])
    )
    document = tmp_path / "document.tex"
    document.write_text(
        r"\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{booktabs,graphicx}"
        r"\begin{document}\input{exhibits/table1.tex}\end{document}"
    )
    flags = [] if engine.endswith("tectonic") else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([engine, *flags, document.name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_latex_text_keeps_words_with_hyphens() -> None:
    assert latex_text("non-zero -1 [-2, 3-4]") == "non-zero $-$1 [$-$2, 3-4]"


def test_markdown_of_a_block() -> None:
    block = Block(
        "Title", ("a", "b"), [[[Cell("x"), Cell("1.0", best=True)]], [[Cell(), Cell("2")]]], words=1
    )
    assert (
        markdown(block) == "### Title\n\n| a |       b |\n| - | ------: |\n| x | **1.0** |\n|   |       2 |"
    )
