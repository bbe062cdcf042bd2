"""The summary as it is rendered: the words on the figure, and the lines of its CSV."""

from pathlib import Path

import pandas as pd
import pytest
from drawings import check_figure, check_files, drawn
from exhibits.conftest import Runs
from matplotlib.figure import Figure
from matplotlib.text import Text

from ldreg.errors import LdregError
from ldreg.exhibits import render

# By method: the effects of seeds 0, 1 and 2 on accuracy, effective rank and mLID.
EFFECTS = {
    "simclr": [(0.5, 1.0, -0.2), (0.6, 1.2, -0.3), (0.4, 1.1, -0.25)],
    "vicreg": [(-1.0, 0.3, 0.1), (1.0, 0.2, 0.1), (0.1, 0.25, 0.1)],
    "byol": [(0.7, 2.0, 0.5)],
}


@pytest.fixture
def methods(runs: Runs) -> Runs:
    """Pairs of three methods: told apart by three seeds, undecided, and of one seed."""
    for method, effects in EFFECTS.items():
        for seed, (top1, rank, mlid) in enumerate(effects):
            runs.add(seed, 97.0, 10.0, 6.0, method=method)
            ldreg = {"regularizer": "ldreg_l1", "beta": 0.1, "k": 16}
            runs.add(seed, 97.0 + top1, 10.0 + rank, 6.0 + mlid, method=method, **ldreg)
    return runs


def rendered(spec: Path) -> tuple[list[str], pd.DataFrame, Figure]:
    """The words on the figure, the lines of the CSV, and the figure."""
    figure, table = drawn(spec)
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible()], table, figure


def test_each_method_has_a_row_with_its_seeds_and_a_verdict_in_words(methods: Runs) -> None:
    text, table, figure = rendered(methods.spec("summary"))
    for words in ("SimCLR", "VICReg", "BYOL", "small CNN, 3 seeds", "small CNN, 1 seed"):
        assert words in text
    assert text.count("small CNN, 3 seeds") == 2
    signs = table.set_index(["method", "metric"])["sign"]
    # The paper's are +0.5, +59.4 and +1.2 of SimCLR; one seed decides nothing, nor an interval with zero
    # or one without width.
    assert signs["simclr"].tolist() == ["agrees", "agrees", "differs"]
    assert signs["vicreg"].tolist() == ["undecided", "agrees", "undecided"]
    assert signs["byol"].tolist() == ["undecided"] * 3
    assert [text.count(word) for word in ("agrees", "differs", "undecided")] == [3, 1 + 1, 5 + 1]  # legend
    assert "signs of 9 effects beside the paper's: agrees 3, differs 1, undecided 5" in text
    check_figure(figure)


def test_sizes_share_an_axis_at_the_papers_scale_alone(methods: Runs) -> None:
    text, table, _ = rendered(methods.spec("summary"))
    assert {"here", "paper", "the paper's (upper axis)"} <= set(text)
    assert table["difference"].isna().all()
    assert table[table["method"] == "simclr"]["paper"].tolist() == pytest.approx([0.5, 59.4, 1.2])
    text, _, _ = rendered(methods.spec("summary", "scale", scale_of_paper=True))
    assert "the paper's" in text and not {"here", "paper"} & set(text)


def test_what_was_not_run_is_shown_where_it_is_asked_for(methods: Runs) -> None:
    assert "ResNet-50, not run" not in rendered(methods.spec("summary"))[0]
    text, table, _ = rendered(
        methods.spec("summary", "more", not_run=True, stands_for={"small_cnn": "resnet50"})
    )
    # Of Table 1, SimCLR-Tuned on the ResNet-50, and SimCLR and MAE on a ViT-B/16.
    assert text.count("ResNet-50, not run") == 1 and text.count("ViT-B/16, not run") == 2
    assert (table["status"] == "not run").sum() == 9


def test_a_method_with_two_settings_names_them(runs: Runs) -> None:
    for seed in range(2):
        runs.add(seed)
        for beta in (0.01, 0.1):
            runs.add(seed, 97.5 + beta * seed, regularizer="ldreg_l1", beta=beta, k=16)
    text, _, _ = rendered(runs.spec("summary"))
    assert {"small CNN, β 0.01, 2 seeds", "small CNN, β 0.1, 2 seeds"} <= set(text)


def test_the_files_are_the_same_each_time(methods: Runs) -> None:
    check_files(methods.spec("summary", metrics=["mlid"]))


def test_at_most_three_metrics_stand_side_by_side(methods: Runs) -> None:
    four = ["linear_top1", "knn_top1", "effective_rank", "mlid"]
    with pytest.raises(LdregError, match=r"settings\.metrics"):
        render(methods.spec("summary", metrics=four))
