"""Mistakes in a scale file are told before anything trains."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.catalogue.measurements import MEASUREMENTS
from ldreg.data.datasets import load
from ldreg.errors import LdregError
from ldreg.files import read_yaml
from ldreg.workflow.declared_exhibits import RULES
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("axes", "betta", r"exhibits.yaml: figure5.settings.axes: 'betta' is unknown; did you mean 'beta'\?"),
        (
            "metrics",
            "rank",
            r"exhibits.yaml: figure5.settings.metrics\[0\]: 'rank' is not allowed; .*effective_rank",
        ),
    ],
)
def test_what_a_figure_shows_is_checked_before_anything_trains(tmp_path, key, value, message):
    for path in CONFIG.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    shared = read_yaml(tmp_path / "exhibits.yaml")
    shared["figure5"]["settings"][key] = [value]
    (tmp_path / "exhibits.yaml").write_text(yaml.safe_dump(shared))
    with pytest.raises(LdregError, match=message):
        Scale.read(tmp_path / "demo.yaml")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            ("evaluation", "lid_ks"),
            [16, 449],
            "evaluation.lid_ks: 449 is not allowed; at most 448 with",
        ),
        (
            ("evaluation", "knn_k"),
            1348,
            "evaluation.knn_k: 1348 is not allowed; at most 1347 with",
        ),
        (
            ("report", "mlid"),
            {"estimator": "mom", "k": 16, "batch_rows": 2048},
            "report.mlid.batch_rows: 2048 is not allowed; at most 450 with the test images of digits",
        ),
        (("run", "regularizer_start"), 1.0, "run.regularizer_start: 1.0 is not allowed"),
    ],
)
def test_what_the_data_cannot_give_is_told_before_anything_trains(place, value, message):
    content = read_yaml(CONFIG / "demo.yaml")
    content[place[0]][place[1]] = value
    with pytest.raises(LdregError, match=f"demo.yaml: {message}"):
        Scale(content, "demo.yaml", CONFIG)


def test_the_known_sizes_are_the_data_sets(data_root):
    data = load("digits", data_root)
    assert (len(data.train.labels), len(data.test.labels)) == DATA_SETS["digits"].sizes


SWEEP = {"axes": ["beta"], "metrics": ["mlid"]}


@pytest.mark.parametrize(
    ("exhibit", "settings", "message"),
    [
        ("claims", {"acuracy_margin": 1}, ": 'acuracy_margin' is unknown; did you mean 'accuracy_margin'?"),
        (
            "claims",
            {"accuracy_margin": -1},
            ".accuracy_margin: -1 is not allowed; it should be greater than 0",
        ),
        (
            "claims",
            {"regularizer": "ldreg"},
            ".regularizer: 'ldreg' is not allowed; it should be 'ldreg_l1',",
        ),
        (
            "claims",
            {"mlid": {"k": 31, "batch_rows": None}},
            ".mlid.k: 31 is not measured; allowed: 8, 16, 32,",
        ),
        ("claims", {"mlid": {"batch_rows": 9}}, ".mlid.batch_rows: 9 is not measured; allowed: null, 2048"),
        ("claims", {"paper_base": {"bta": 1}}, ".paper_base: 'bta' is unknown; did you mean 'beta'?"),
        ("table1", {"axes": ["beta"]}, ": 'axes' is unknown; "),
        ("table1", {"metrics": "mlid"}, ".metrics: 'mlid' is not allowed; it should be a list"),
        ("figure5", {"axes": ["beta"]}, ".metrics: missing; it has no default"),
        ("figure5", {**SWEEP, "axes": "beta"}, ".axes: 'beta' is not allowed; it should be a list"),
        ("figure5", {**SWEEP, "base": {"kk": 16}}, ".base: 'kk' is unknown; did you mean 'k'?"),
        (
            "figure5",
            {**SWEEP, "paper_values": {"kk": {16: 64}}},
            ".paper_values: 'kk' is unknown; did you mean 'k'?",
        ),
        (
            "figure5",
            {**SWEEP, "paper_says": {"mild": {}}},
            ".paper_says: 'mild' is unknown; did you mean 'mlid'?",
        ),
    ],
)
def test_a_renderers_settings_are_checked_before_anything_trains(
    demo: Callable[..., Scale], exhibit: str, settings: dict[str, Any], message: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["exhibits"][exhibit] = {"settings": settings}

    with pytest.raises(
        LdregError, match="^" + re.escape(f"scale.yaml: exhibits.{exhibit}.settings{message}")
    ):
        demo(change)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"method": "simclr", "momentum": 0.9}, ".momentum: method simclr has none; its own are projector, "),
        ({"method": "byol", "momentum": 1.0}, ".momentum: 1.0 is not allowed; it should be less than 1"),
        ({"method": "simclr", "augmentation": "mae"}, ".augmentation: mae has 1, simclr needs 2"),
        ({"method": "mae", "augmentation": "digits"}, ".augmentation: digits has 2, mae needs 1"),
        (
            {"method": "mae", "backbone": "small_cnn"},
            ".backbone: small_cnn has no patches to mask; allowed: ",
        ),
        ({"method": "mae", "mask_ratio": 0.99}, ".mask_ratio: 0.99 of 16 patches leaves none or masks none"),
        (
            {"method": "mae", "decoder_heads": 5},
            ".decoder_dim: 64 must be a multiple of 4 and of decoder_heads",
        ),
        (
            {"method": "simclr", "regularizer": "target_lid"},
            ".target: missing; regularizer target_lid needs it",
        ),
        ({"method": "simclr", "regularizer": "ldreg"}, ".regularizer: 'ldreg' is not allowed; it should be "),
        ({"method": "simclr", "acts_on": "projector"}, ".acts_on: 'projector' is not allowed; it should be "),
        (
            {"method": "simclr", "backbone": "vit_mini", "image_size": 18},
            ".image_size: 18 is no multiple of ",
        ),
        ({"method": "simcrl"}, ".method: 'simcrl' is unknown; did you mean 'simclr'?"),
    ],
)
def test_what_a_method_or_regulariser_cannot_have(
    demo: Callable[..., Scale], grid: dict[str, Any], message: str
) -> None:
    def change(content: dict[str, Any]) -> None:
        runs = [{"regularizer": "cov", "beta": 0.1, **grid}]
        content["exhibits"] = {"table1": {"runs": runs}}
        content["core"] = []

    places = (r"scale.yaml: exhibits.table1.runs\[0\]", "scale.yaml: run", "scale.yaml: methods.mae")
    where = f"({'|'.join((*places, '.*methods.yaml: simclr'))})"
    with pytest.raises(LdregError, match=f"^{where}{re.escape(message)}"):
        demo(change)


def test_an_exhibits_seeds_are_checked(demo: Callable[..., Scale]) -> None:
    for seeds, message in (
        (7, r"seeds: 7 is not allowed; it should be a list"),
        ([-1], r"seeds\[0\]: -1 is not"),
    ):

        def change(content: dict[str, Any], seeds: Any = seeds) -> None:
            content["exhibits"]["table1"]["seeds"] = seeds

        with pytest.raises(LdregError, match=rf"^scale.yaml: exhibits.table1.{message}"):
            demo(change)


@pytest.mark.parametrize("name", RULES)
def test_an_exhibit_is_not_named_like_a_rule(demo: Callable[..., Scale], name: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["exhibits"][name] = read_yaml(CONFIG / "exhibits.yaml")["claims"]

    with pytest.raises(
        LdregError, match=rf"^scale.yaml: exhibits.{name}: '{name}' is not allowed; .*another name"
    ):
        demo(change)


def test_the_workflows_own_rules_are_known() -> None:
    files = [CONFIG.parent / "workflow/Snakefile", *(CONFIG.parent / "workflow/rules").glob("*.smk")]
    rules = [rule for file in files for rule in re.findall(r"^ *rule (\w+):", file.read_text(), re.MULTILINE)]
    shared = [key for key, measurement in MEASUREMENTS.items() if measurement.has_plain_rule]
    assert sorted([*rules, *shared]) == sorted(RULES)


def test_sums_over_micro_batches_are_refused_before_anything_runs(demo: Callable[..., Scale]) -> None:
    def plain(content: dict[str, Any]) -> None:
        content["execution"] |= {"micro_batch": 64, "accumulation": "plain"}

    with pytest.raises(
        LdregError, match=r"^scale.yaml: execution.accumulation: plain is not allowed with .*cached$"
    ):
        demo(plain)

    def byol_alone(content: dict[str, Any]) -> None:
        plain(content)
        content["core"] = ["table1"]
        content["exhibits"] = {"table1": {"runs": [{"method": "byol", "regularizer": "none"}]}}

    assert demo(byol_alone).content.execution.micro_batch == 64


def test_exhibits_ask_for_no_transfer_or_detection_that_the_scale_does_not_make(
    demo: Callable[..., Scale],
) -> None:
    def other_sets(content: dict[str, Any]) -> None:
        content["transfer"]["datasets"] = ["mnist"]

    message = (
        r"^scale.yaml: exhibits.table2.settings.datasets: fashion_mnist is not transferred to; .*: mnist$"
    )
    with pytest.raises(LdregError, match=message):
        demo(other_sets)

    def twice(content: dict[str, Any]) -> None:
        content["transfer"]["datasets"] = ["mnist", "fashion_mnist", "mnist"]

    with pytest.raises(LdregError, match=r"^scale.yaml: transfer.datasets: 'mnist' is named twice; allowed"):
        demo(twice)

    def column_twice(content: dict[str, Any]) -> None:
        content["exhibits"]["table2"]["settings"]["datasets"] = ["mnist", "mnist"]

    message = r"^scale.yaml: exhibits.table2.settings.datasets: 'mnist' is named twice; allowed: each once$"
    with pytest.raises(LdregError, match=message):
        demo(column_twice)
    with pytest.raises(
        LdregError, match=r"allowed \(transfer.datasets\): none, as the scale has no transfer$"
    ):
        demo(lambda content: content.pop("transfer"))
    with pytest.raises(
        LdregError, match=r"^scale.yaml: detection: missing; renderer detection_table needs it$"
    ):
        demo(lambda content: content.pop("detection"))


def test_a_ledger_on_points_in_the_plane_needs_their_figures(demo: Callable[..., Scale]) -> None:
    message = r"exhibits.claims_all.settings.plane: true is not allowed; exhibits figure1 and figure3 must be"
    with pytest.raises(LdregError, match=message):
        demo(lambda content: content["exhibits"].pop("figure1"))


def test_what_a_detector_cannot_start_from_or_share_is_refused_before_anything_trains(
    demo: Callable[..., Scale],
) -> None:
    def vit(content: dict[str, Any]) -> None:
        content["exhibits"]["table3"]["runs"] = [
            {"method": "mae", "backbone": "vit_mini", "regularizer": "none"}
        ]

    message = (
        r"^scale.yaml: exhibits.table3.runs: backbone vit_mini of mae\S+/none/seed0 is not allowed for"
        r" detection; allowed: small_cnn, resnet18_cifar, resnet18, resnet50$"
    )
    with pytest.raises(LdregError, match=message):
        demo(vit)

    def shared(content: dict[str, Any]) -> None:
        content["exhibits"]["table3"] = {"runs": [], "runs_of": ["settings_simclr_vit"]}

    with pytest.raises(LdregError, match=r"^scale.yaml: exhibits.table3.runs_of: backbone vit_mini of "):
        demo(shared)

    def eight(content: dict[str, Any]) -> None:
        content["execution"] |= {"gpus": 8}

    message = (
        r"^scale.yaml: detection.settings.batch_size: 4 is not allowed; .* a multiple of 8 \(execution.gpus"
    )
    with pytest.raises(LdregError, match=message):
        demo(eight)

    def without(content: dict[str, Any]) -> None:
        eight(content)
        del content["exhibits"]["table3"]
        content["exhibits"].pop("claims_all")

    assert demo(without).content.execution.gpus == 8
