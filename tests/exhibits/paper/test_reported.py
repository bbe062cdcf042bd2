"""The paper's row for a setting of ours: at its own scale the same setting, elsewhere what stands for it."""

from functools import partial

import pytest

from ldreg.errors import LdregError
from ldreg.exhibits.paper.reported import Reported, difference
from ldreg.exhibits.runs.arms import Setting
from ldreg.exhibits.runs.run_table import Settings, read_exhibit, settings_of

DEMO = partial(Setting, "simclr", "small_cnn", 24, 256)
PAPER = partial(Setting, "simclr", "resnet50", 100, 2048)
OWN_SCALE = {"scale_of_paper": True}


def reported(runs, **settings) -> Reported:
    runs.add(0)
    exhibit = read_exhibit(runs.spec("main_table", **settings))
    return Reported(exhibit.paper, settings_of(exhibit, Settings))


def test_the_papers_number_for_a_stand_in(runs) -> None:
    paper = reported(runs)
    control, treated = paper.row(DEMO()), paper.row(DEMO("ldreg_l1", 0.3, 8))
    assert (control.values["linear_top1"], treated.values["linear_top1"]) == (64.3, 64.8)
    assert difference(treated, control, "effective_rank") == pytest.approx(59.4)
    assert difference(treated, control, "rankme") is None
    assert treated.setting == "SimCLR, ResNet-50, LDReg \u03b2 0.01, k 64, 100 epochs, batch size 2048"


def test_at_the_papers_scale_only_its_own_setting_counts(runs) -> None:
    paper = reported(runs, **OWN_SCALE)
    assert paper.row(PAPER("ldreg_l1", 0.3, 8)) is None
    assert paper.row(PAPER("ldreg_l1", 0.01, 64)).values["mlid"] == 20.0
    assert paper.row(PAPER("ldreg_l1", 0.01, 64, "embeddings")) is None
    assert paper.row(Setting("simclr", "small_cnn", 100, 2048)) is None  # nothing stands for ResNet-50 there
    assert paper.row(Setting("simclr", "resnet50", 50, 2048)) is None
    assert paper.row(Setting("simclr", "resnet50", 100, 1024)) is None


def test_a_small_transformer_stands_for_the_papers(runs) -> None:
    paper = reported(runs)
    ours = Setting("mae", "vit_mini", 24, 256, "ldreg_l1", 0.01, 16)
    assert paper.row(ours).values == {"linear_top1": 57.6, "effective_rank": 154.1, "mlid": 29.8}
    assert paper.row(Setting("byol", "vit_mini", 24, 256)) is None


def test_another_stand_in_can_be_named(runs) -> None:
    paper = reported(runs, stands_for={"small_cnn": "vit_b16"})
    assert paper.row(DEMO()).values["linear_top1"] == 72.9


def test_a_printed_number_goes_before_one_read_off_a_figure(runs) -> None:
    paper = reported(runs)
    row = paper.row(DEMO("ldreg_l1", 0.01, 64))
    assert row.values["effective_rank"] == 529.6 and not row.approximate
    row = paper.row(DEMO("ldreg_l1", 0.1, 64))
    assert row.values["effective_rank"] == 320 and "effective_rank" in row.approximate


@pytest.mark.parametrize(
    ("batch_size", "k", "none", "ldreg"), [(512, 16, 63.6, 64.1), (1024, 32, 64.2, 64.7)]
)
def test_batch_sizes_are_not_mixed(runs, batch_size, k, none, ldreg) -> None:
    paper = reported(runs, paper_exhibits=["table14", "table1"], **OWN_SCALE)
    ours = partial(Setting, "simclr", "resnet50", 100, batch_size)
    assert paper.row(ours()).values == {"linear_top1": none}
    assert paper.row(ours("ldreg_l1", 0.01, k)).values == {"linear_top1": ldreg}
    assert paper.row(PAPER("ldreg_l1", 0.01, 64)).values["mlid"] == 20.0  # Table 1's, at 2048


def test_long_and_short_pretraining_are_not_mixed(runs) -> None:
    paper = reported(runs, paper_exhibits=["table1", "table2"], **OWN_SCALE)
    long = partial(Setting, "simclr", "resnet50", 1000, 4096)
    assert paper.row(long()).values == {"linear_top1": 69.0}
    assert paper.row(long("ldreg_l1", 0.01, 64)).values == {"linear_top1": 69.8}
    assert paper.row(PAPER()).values == {"linear_top1": 64.3, "effective_rank": 470.2, "mlid": 18.8}


def test_a_batch_size_that_the_paper_leaves_open_agrees_with_any(runs) -> None:
    paper = reported(runs, paper_exhibits=["table15"], **OWN_SCALE)
    moco = partial(Setting, "moco", "resnet50", 100, 2048)
    assert paper.row(moco()).values["mlid"] == 17.1
    assert paper.row(moco("ldreg_l1", 0.05, 128)).values["mlid"] == 22.3
    assert paper.row(moco("ldreg_l1", 0.005, 128)) is None
    assert "batch size" not in paper.row(moco()).setting


def test_what_an_exhibit_varies_must_agree_at_another_scale(runs) -> None:
    paper = reported(runs, paper_exhibits=["table13"])
    assert paper.row(DEMO("ldreg_l1", 0.1, 16)).values["mlid"] == 20.0  # its only row stands
    assert paper.row(DEMO("min_lid", 1.0, 16)).values["linear_top1"] == 46.4
    assert paper.row(DEMO("min_lid", 5.0, 16)) is None
    collapsed = paper.row(DEMO("min_lid", 10.0, 16))  # no number is printed
    assert collapsed.values == {} and collapsed.collapsed == {"linear_top1"}
    paper = reported(runs, paper_exhibits=["table14"])
    assert paper.row(DEMO()) is None
    assert paper.row(Setting("simclr", "small_cnn", 24, 512)).values["linear_top1"] == 63.6


def test_our_values_stand_for_the_papers_if_named(runs) -> None:
    values = {"batch_size": {64: 512, 256: 2048}, "k": {4: 16, 16: 64}}
    paper = reported(runs, paper_exhibits=["table14", "table1"], paper_values=values)
    small = partial(Setting, "simclr", "small_cnn", 24, 64)
    assert paper.row(small()).values["linear_top1"] == 63.6
    assert paper.row(small("ldreg_l1", 0.1, 4)).values["linear_top1"] == 64.1
    assert paper.row(DEMO("ldreg_l1", 0.1, 16)).values["linear_top1"] == 64.8
    assert paper.row(DEMO("ldreg_l1", 0.1, 8)) is None
    assert paper.row(Setting("simclr", "small_cnn", 24, 128)) is None


@pytest.mark.parametrize(
    ("kind", "beta", "accuracy"), [("cov", 0.1, 67.5), ("cov_var", 0.01, 67.8), ("cov_var", 0.1, 67.7)]
)
def test_regularisers_without_neighbours(runs, kind, beta, accuracy) -> None:
    for settings, backbone, budget in ((OWN_SCALE, "resnet50", (100, 2048)), ({}, "small_cnn", (24, 256))):
        paper = reported(runs, paper_exhibits=["table16"], **settings)
        row = paper.row(Setting("byol", backbone, *budget, kind, beta))
        assert row.values["linear_top1"] == accuracy


def test_a_missing_csv_of_the_paper(runs, tmp_path) -> None:
    with pytest.raises(LdregError, match="no such file"):
        Reported(tmp_path / "reported.csv", Settings())
