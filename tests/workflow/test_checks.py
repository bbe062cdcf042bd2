"""What of a scale is refused once its runs are known, before anything runs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldreg.errors import LdregError
from ldreg.files import read_yaml
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"


def sweep(runs: list[dict[str, Any]], **settings: Any) -> Callable[[dict[str, Any]], None]:
    about = {"renderer": "sweep", "title": "t", "caption": "c", "category": "Figures", "runs": runs}
    about["settings"] = {"axes": ["k"], "metrics": ["mlid"], **settings}
    return lambda content: content["exhibits"].update(mine=about)


LDREG = {"method": "simclr", "regularizer": "ldreg_l1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: content.update(seeds=[0, 0]),
            "seeds: [0, 0] is not allowed; 0 should be there once",
        ),
        (
            lambda content: content["exhibits"].update(table16={"seeds": [1, 2, 1]}),
            "exhibits.table16.seeds: [1, 2, 1] is not allowed; 1 should be there once",
        ),
        (
            lambda content: content["run"].update(train_images=5000),
            "train_images: 5000 is not allowed; at most 1347 with the training images of digits",
        ),
        (
            lambda content: content["execution"].update(gpus=3),
            "batch_size: 256 of simclr-small_cnn/none/seed0 is not allowed; it should be a multiple of 3,",
        ),
        (lambda content: content["execution"].update(gpus=8, nodes=3), "batch_size: 256 of simclr-small_cnn"),
        # YAML's yes.
        (
            lambda content: content["run"].update(epochs=True),
            "run.epochs: true is not allowed; it should not be a truth value",
        ),
        (
            lambda content: content["run"].update(jitter=False),
            "run.jitter: false is not allowed; it should not be a truth value",
        ),
        (lambda content: content["execution"].update(gpus=True), "execution.gpus: true is not allowed"),
        (lambda content: content["report"]["mlid"].update(k=True), "report.mlid.k: true is not allowed"),
        (lambda content: content["seeds"].append(True), "seeds[3]: true is not allowed"),
        (
            lambda content: content["detection"]["settings"].update(iterations=True),
            "detection.settings.iterations: true is not allowed",
        ),
        (
            lambda content: content["exhibits"].update(lid_in_batches={"settings": {"ks": [8, True]}}),
            "exhibits.lid_in_batches.settings.ks[1]: true is not allowed",
        ),
        (sweep([{**LDREG, "k": [8, True]}]), "exhibits.mine.runs[0].k: true is not allowed"),
        # The exhibit that asks for it is to blame.
        (
            lambda content: content["exhibits"].update(
                table16={"runs": [{"method": "byol", "regularizer": ["none", "target_lid"]}]}
            ),
            "exhibits.table16.runs[0].target: missing; regularizer target_lid needs it",
        ),
        (
            sweep([{**LDREG, "monitor_k": [8, 16]}]),
            "exhibits.mine.runs: simclr-small_cnn-monitor_k8/ldreg_l1-beta0.1-k16/seed0 and ",
        ),
        (
            lambda content: content["exhibits"].update(figure2b={"settings": {"over": "jiter"}}),
            "exhibits.figure2b.settings.over: 'jiter' is unknown; did you mean 'jitter'?",
        ),
        (
            sweep([LDREG], axes=["knn_every"]),
            "exhibits.mine.settings.axes: 'knn_every' is not allowed; it should be a setting",
        ),
        (
            sweep([{**LDREG, "k": [8, 16], "beta": [0.1, 1.0]}], base={"beta": 0.1}),
            "exhibits.mine.settings.base: {'beta': 0.1} is not allowed; no panel over k would show ",
        ),
    ],
)
def test_what_could_not_be_trained_or_shown(
    demo: Callable[..., Scale], change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    with pytest.raises(LdregError, match="^" + re.escape(f"scale.yaml: {message}")):
        demo(change)


def test_yes_in_an_augmentation_is_no_strength(demo: Callable[..., Scale]) -> None:
    views = read_yaml(CONFIG / "augmentations.yaml")
    views["digits"][1]["brightness"] = True
    with pytest.raises(LdregError, match=r"augmentations.yaml: digits\[0\].brightness: true is not allowed"):
        demo(augmentations=views)


def test_a_truth_value_is_allowed_where_one_is_meant(demo: Callable[..., Scale]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["execution"]["monitors"] = False
        content["exhibits"]["claims_all"]["settings"]["detection"] = False

    assert not demo(change).content.execution.monitors


def test_a_sweep_may_stay_at_a_base_that_shows_all(demo: Callable[..., Scale]) -> None:
    demo(
        sweep(
            [{**LDREG, "regularizer": ["none", "ldreg_l1"], "k": [8, 16], "beta": 0.1}], base={"beta": "1e-1"}
        )
    )
