"""Reading specs and run folders: what is taken, and what a user is told when it is not there."""

import json

import pandas as pd
import pytest
import yaml

from ldreg.config.run_spec import RunSpec
from ldreg.errors import LdregError
from ldreg.exhibits.runs.arms import contexts
from ldreg.exhibits.runs.run_table import (
    SETTING_KEYS,
    Settings,
    add_columns,
    by_seed,
    describe,
    load_runs,
    read_exhibit,
    setting_keys,
    settings_of,
)

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
        "SimCLR, small CNN, batch size 256",
        "SimCLR, small CNN, batch size 512",
    ]
    assert [[arm.label for arm in context.arms] for context in found] == [["none", "LDReg β 0.1, k 16"]] * 2
    assert all(len(arm.runs) == 2 for context in found for arm in context.arms)


def test_arms_of_one_name_are_told_apart(runs) -> None:
    for start in (0.1, 0.5):
        runs.add(0, regularizer="ldreg_l1", beta=0.1, k=16, regularizer_start=start)
    (context,) = contexts(load(runs.spec("main_table")))
    assert [arm.extra for arm in context.treated] == ["regularizer start 0.1", "regularizer start 0.5"]
    assert context.control is None


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


def test_an_arm_says_its_target_and_other_features_than_usual(runs) -> None:
    runs.add(0)
    for target in (4.0, 8.0):
        runs.add(0, regularizer="target_lid", beta=1.0, k=16, target=target)
    for features in ("representations", "embeddings"):
        runs.add(0, regularizer="cov", beta=0.1, acts_on=features)
    (context,) = contexts(load(runs.spec("main_table")))
    assert [arm.label for arm in context.arms] == [
        "none",
        "Target LID \u03b2 1, k 16, target 4",
        "Target LID \u03b2 1, k 16, target 8",
        "Cov \u03b2 0.1",
        "Cov \u03b2 0.1, on embeddings",
    ]
    assert [context.setting(arm).acts_on for arm in context.arms][-1] == "embeddings"


def test_encoders_that_were_imported_are_said_to_be(runs) -> None:
    runs.add(0)
    assert "imported" not in describe(load(runs.spec("main_table")))
    folder = runs.add(0, regularizer="ldreg_l1", beta=0.1, k=16)
    (folder / "summary.json").write_text(json.dumps({"imported": {"file": "theirs.pt"}}))
    told = describe(load(runs.spec("main_table")))
    assert told.endswith("; 1 of 2 encoders imported (theirs.pt), not trained here")


def test_the_settings_of_a_run_are_those_of_its_spec() -> None:
    others = {"scale", "seed", "views", "monitor_k", "knn_every", "recipe"}
    assert set(SETTING_KEYS) == set(RunSpec.model_fields) - others


def test_what_is_measured_is_no_setting_and_stays_with_its_run(runs) -> None:
    """Whatever is joined to the runs, the seeds of a setting stay one arm, in the order of the runs."""
    folders = [runs.add(seed, mlid=6.0 + seed) for seed in (2, 0, 1)]
    frame = add_columns(
        load(runs.spec("main_table")), lambda folder: {"seconds": 10.0 * folders.index(folder), "of": (1, 2)}
    )
    assert set(setting_keys(frame)) <= set(SETTING_KEYS)
    ((arm,),) = (context.arms for context in contexts(frame))
    assert by_seed(arm.runs, "seconds").to_dict() == {0: 10.0, 1: 20.0, 2: 0.0}
    assert by_seed(arm.runs, "mlid").to_dict() == {0: 6.0, 1: 7.0, 2: 8.0}


def test_a_column_is_empty_where_a_run_lacks_it(runs) -> None:
    first, _ = runs.add(0), runs.add(1)
    frame = load(runs.spec("main_table"))
    seconds = add_columns(frame, lambda folder: {"seconds": 5.0} if folder == first else {})["seconds"]
    assert seconds.iloc[0] == 5.0 and seconds.isna().to_list() == [False, True]
