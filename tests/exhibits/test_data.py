"""Reading specs and run folders: what is taken, and what a user is told when it is not there."""

import json

import pandas as pd
import pytest
import yaml

from ldreg.errors import LdregError
from ldreg.exhibits.data import Settings, by_seed, describe, load_runs, read_exhibit, settings_of
from ldreg.exhibits.groups import contexts
from ldreg.exhibits.reported import Reported, difference

ALL = ("linear_top1", "knn_top1", "effective_rank", "rankme", "mlid")


def load(path, metrics=ALL):
    exhibit = read_exhibit(path)
    return load_runs(exhibit, metrics, settings_of(exhibit, Settings))


def test_the_named_measurements_are_taken(runs) -> None:
    runs.add(0, top1=97.5, rank=11.0, mlid=6.5)
    row = load(runs.spec("main_table")).iloc[0]
    assert [row[metric] for metric in ALL] == [97.5, 96.5, 11.0, 311.0, 6.5]
    other = {"mlid": {"estimator": "mle", "k": 32, "batch_rows": 2048}, "effective_rank": "second_moment"}
    row = load(runs.spec("main_table", **other)).iloc[0]
    assert [row["mlid"], row["effective_rank"]] == [106.5, 211.0]


def test_a_missing_file_is_named_with_what_is_there(runs) -> None:
    folder = runs.add(0)
    (folder / "knn.json").unlink()
    with pytest.raises(
        LdregError, match=r"knn\.json: not measured yet.*dimensionality\.json, linear\.json, spec"
    ):
        load(runs.spec("main_table"))
    assert load(runs.spec("main_table"), ("linear_top1",))["linear_top1"].item() == 97.0


def test_a_missing_lid_measurement_is_named_with_what_is_there(runs) -> None:
    runs.add(0)
    path = runs.spec("main_table", mlid={"estimator": "mom", "k": 64, "batch_rows": None})
    with pytest.raises(
        LdregError, match=r"k 64, batch_rows null; there is .*k 16.*mle, k 32, batch_rows 2048"
    ):
        load(path)


def test_an_accuracy_that_was_not_measured_is_no_number(runs) -> None:
    runs.add(0)
    with pytest.raises(LdregError, match=r"linear\.json: top5: no finite number \(None\)"):
        load(runs.spec("main_table"), ("linear_top5",))


def test_not_a_number_is_refused(runs) -> None:
    folder = runs.add(0)
    (folder / "linear.json").write_text(json.dumps({"top1": float("nan")}))
    with pytest.raises(LdregError, match="no finite number"):
        load(runs.spec("main_table"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"efective_rank": "covariance"},
            r"settings: 'efective_rank' is unknown; did you mean 'effective_rank'",
        ),
        ({"effective_rank": "pearson"}, r"settings\.effective_rank: 'pearson' is not allowed.*'covariance'"),
        (
            {"mlid": {"estimator": "mom", "k": 16, "rows": 1}},
            r"settings\.mlid: 'rows' is unknown.*batch_rows",
        ),
    ],
)
def test_a_wrong_setting_is_named(runs, settings, message) -> None:
    runs.add(0)
    with pytest.raises(LdregError, match=message) as error:
        load(runs.spec("main_table", **settings))
    assert "exhibit.spec.yaml" in str(error.value) and "\n" not in str(error.value)


def test_a_spec_that_is_missing_or_misspelt(runs, tmp_path) -> None:
    with pytest.raises(LdregError, match="no such file"):
        read_exhibit(tmp_path / "none.spec.yaml")
    runs.add(0)
    path = runs.spec("main_table")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "colour": "red"}))
    with pytest.raises(LdregError, match="colour"):
        read_exhibit(path)


def test_no_runs_is_an_error(runs) -> None:
    with pytest.raises(LdregError, match="runs: none are named"):
        load(runs.spec("main_table"))


def test_a_seed_twice_in_one_setting_is_refused(runs) -> None:
    runs.add(3)
    runs.add(3)
    with pytest.raises(LdregError, match="seed 3 comes twice"):
        by_seed(load(runs.spec("main_table")), "mlid")


def test_contexts_keep_apart_what_is_not_the_regulariser(runs) -> None:
    for batch in (256, 512):
        for seed in (1, 0):
            runs.add(seed, batch_size=batch, monitor_k=seed)
            runs.add(seed, batch_size=batch, regularizer="ldreg_l1", beta=0.1, k=16)
    found = contexts(load(runs.spec("main_table")))
    assert [context.label for context in found] == [
        "SimCLR, small CNN, batch size (images) 256",
        "SimCLR, small CNN, batch size (images) 512",
    ]
    assert [[arm.label for arm in context.arms] for context in found] == [["none", "LDReg β 0.1, k 16"]] * 2
    assert all(len(arm.runs) == 2 for context in found for arm in context.arms)


def test_arms_of_one_name_are_told_apart(runs) -> None:
    for start in (0.1, 0.5):
        runs.add(0, regularizer="ldreg_l1", beta=0.1, k=16, regularizer_start=start)
    (context,) = contexts(load(runs.spec("main_table")))
    assert [arm.extra for arm in context.treated] == ["regularizer start 0.1", "regularizer start 0.5"]
    assert context.control is None


def reported(runs, **settings) -> Reported:
    runs.add(0)
    exhibit = read_exhibit(runs.spec("main_table", **settings))
    return Reported(exhibit.paper, settings_of(exhibit, Settings))


def test_the_papers_number_for_a_stand_in(runs) -> None:
    paper = reported(runs)
    control = paper.control("simclr", "small_cnn")
    treated = paper.treated("simclr", "small_cnn", "ldreg_l1", 0.3, 8)
    assert (control.values["linear_top1"], treated.values["linear_top1"]) == (64.3, 64.8)
    assert difference(treated, control, "effective_rank") == pytest.approx(59.4)
    assert difference(treated, control, "rankme") is None
    assert treated.setting == "SimCLR, ResNet-50, LDReg β 0.01, k 64, 100 epochs, batch size 2048"


def test_at_the_papers_scale_only_its_own_setting_counts(runs) -> None:
    paper = reported(runs, scale_of_paper=True)
    assert paper.treated("simclr", "resnet50", "ldreg_l1", 0.3, 8) is None
    assert paper.treated("simclr", "resnet50", "ldreg_l1", 0.01, 64).values["mlid"] == 20.0
    assert paper.control("simclr", "small_cnn") is None  # nothing stands for ResNet-50 there


def test_a_printed_number_goes_before_one_read_off_a_figure(runs) -> None:
    paper = reported(runs)
    row = paper.treated("simclr", "small_cnn", "ldreg_l1", 0.01, 64)
    assert row.values["effective_rank"] == 529.6 and not row.approximate
    row = paper.treated("simclr", "small_cnn", "ldreg_l1", 0.1, 64)
    assert row.values["effective_rank"] == 320 and "effective_rank" in row.approximate


def test_a_missing_csv_of_the_paper(runs, tmp_path) -> None:
    with pytest.raises(LdregError, match="no such file"):
        Reported(tmp_path / "reported.csv", Settings())


def test_another_stand_in_can_be_named(runs) -> None:
    paper = reported(runs, stands_for={"small_cnn": "vit_b16"})
    assert paper.control("simclr", "small_cnn").values["linear_top1"] == 72.9


def test_runs_are_described_in_words(runs) -> None:
    runs.add(2, train_images=None, dataset="cifar10", backbone="resnet18_cifar")
    runs.add(0, train_images=None, dataset="cifar10", backbone="resnet18_cifar")
    assert describe(load(runs.spec("main_table"))) == (
        "CIFAR-10 (all training images, 16 pixels wide), ResNet-18 (CIFAR stem), 40 epochs, batch size 256, "
        "2 seeds (0, 2)"
    )


def test_beta_is_a_number_even_when_all_runs_lack_it(runs) -> None:
    runs.add(0)
    assert pd.api.types.is_float_dtype(load(runs.spec("main_table"))["beta"])
