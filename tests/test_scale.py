from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldreg.config import ScaleFile
from ldreg.errors import LdregError
from ldreg.exhibits import RENDERERS
from ldreg.files import read_yaml
from ldreg.inputs import exhibit_outputs, write_inputs
from ldreg.scale import SETTINGS, Scale
from ldreg.spec import read_spec

CONFIG = Path(__file__).resolve().parents[1] / "config"
# Counted by hand, without seeds: none and ldreg_l1; none, 3 betas and 4 ks, whose axes cross in one run.
RUNS = {
    "demo": {"seeds": 3, "table1": 2, "figure5": 7, "claims": 7},
    "cifar10": {"seeds": 3, "table1": 2, "figure5": 7, "claims": 7},
    "cifar10_cpu": {"seeds": 1, "table1": 2, "claims": 2},
    "imagenet": {"seeds": 1, "table1": 2, "figure5": 7, "claims": 7},
}


@pytest.fixture(scope="module", params=RUNS)
def scale(request: pytest.FixtureRequest) -> Scale:
    return Scale.read(CONFIG / f"{request.param}.yaml")


def test_every_scale_file_is_tested() -> None:
    shared = {"methods", "augmentations", "exhibits"}
    assert {path.stem for path in CONFIG.glob("*.yaml")} - shared == set(RUNS)


def test_number_of_runs(scale: Scale) -> None:
    expected = dict(RUNS[scale.name])
    seeds = expected.pop("seeds")
    assert {name: len(scale.runs_of(name)) for name in scale.exhibits} == {
        name: count * seeds for name, count in expected.items()
    }
    assert len(scale.runs) == seeds * max(expected.values())  # the largest exhibit holds the others' runs


def test_shared_runs_appear_once(scale: Scale) -> None:
    specs = list(scale.runs.values())
    assert len({spec.hash for spec in specs}) == len(specs)
    plain = [spec for spec in specs if spec.regularizer == "none"]
    assert [spec.seed for spec in plain] == list(scale.content.seeds)
    assert {(spec.beta, spec.k) for spec in plain} == {(None, None)}


def test_names_read_back(scale: Scale) -> None:
    for name, spec in scale.runs.items():
        assert scale.name_of(spec) == name
        assert scale.spec_of(name) == spec


def test_names_say_what_differs_from_the_default_and_no_more(demo: Callable[..., Scale]) -> None:
    assert set(demo().runs_of("table1")) == {
        f"simclr-small_cnn/{rest}/seed{seed}"
        for rest in ("none", "ldreg_l1-beta0.1-k16")
        for seed in (0, 1, 2)
    }
    grid = {
        "method": "simclr",
        "regularizer": "none",
        "jitter": [1.0, 0.5],
        "epochs": [24, 12],
        "projector": [[8]],
    }

    def change(content: dict[str, Any]) -> None:
        content["seeds"] = [4]
        content["exhibits"]["table1"] = {"runs": [grid]}

    assert set(demo(change).runs_of("table1")) == {
        "simclr-small_cnn-projector8/none/seed4",
        "simclr-small_cnn-projector8-epochs12/none/seed4",
        "simclr-small_cnn-jitter0.5-projector8/none/seed4",
        "simclr-small_cnn-jitter0.5-projector8-epochs12/none/seed4",
    }


def test_later_layers_win(demo: Callable[..., Scale]) -> None:
    """One key is set last by each layer, and by every layer before it."""
    keys = ["temperature", "base_lr", "weight_decay", "jitter", "regularizer_start", "beta"]
    layers = [dict.fromkeys(keys[number:], (number + 1) / 10) for number in range(len(keys))]
    other = {"backbones": {"resnet50": dict.fromkeys(keys, 0.9)}}  # of a backbone that no run has
    methods = read_yaml(CONFIG / "methods.yaml")
    methods["simclr"] |= layers[0] | {"backbones": other["backbones"] | {"small_cnn": layers[1]}}

    def change(content: dict[str, Any]) -> None:
        for key in keys:
            content["methods"]["simclr"].pop(key, None)
        content["run"] |= layers[2]
        content["methods"]["simclr"] |= layers[3] | {
            "backbones": other["backbones"] | {"small_cnn": layers[4]}
        }
        content["exhibits"]["table1"] = {
            "runs": [{"method": "simclr", "regularizer": "ldreg_l1"} | layers[5]]
        }

    (spec, *_) = demo(change, methods=methods).runs_of("table1").values()
    assert [getattr(spec, key) for key in keys] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_backbone_of_a_grid_chooses_the_backbones_block(demo: Callable[..., Scale]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["seeds"] = [0]
        content["methods"]["simclr"]["backbones"] = {"resnet18": {"temperature": 0.7}}
        grid = {"method": "simclr", "regularizer": "none", "backbone": ["small_cnn", "resnet18"]}
        content["exhibits"]["table1"] = {"runs": [grid]}

    runs = demo(change).runs_of("table1")
    # What a block says for a backbone is the default there: no part of the name.
    assert {name: spec.temperature for name, spec in runs.items()} == {
        "simclr-small_cnn/none/seed0": 0.2,
        "simclr-resnet18/none/seed0": 0.7,
    }


@pytest.mark.parametrize("strength", [0.5, "5e-1"])  # YAML reads 5e-1 as text
def test_jitter_scales_the_colour_jitter_of_the_views(demo: Callable[..., Scale], strength: Any) -> None:
    def change(content: dict[str, Any]) -> None:
        content["run"] |= {"augmentation": "simclr", "jitter": strength}

    views = [
        next(iter(made.runs.values())).views
        for made in (demo(lambda c: c["run"].update(augmentation="simclr")), demo(change))
    ]
    for whole, half in zip(*views, strict=True):
        assert [getattr(half, key) for key in ("brightness", "contrast", "saturation", "hue")] == [
            0.4,
            0.4,
            0.4,
            0.1,
        ]
        assert (
            whole.model_copy(update={"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1})
            == half
        )
        assert half.jitter == 0.8  # a probability


def test_an_exhibit_of_a_scale_replaces_keys_of_the_shared_block(demo: Callable[..., Scale]) -> None:
    own = {"renderer": "ledger", "title": "t", "caption": "c", "category": "Claims"}
    grid = {"method": "simclr", "regularizer": "none"}

    def change(content: dict[str, Any]) -> None:
        content["exhibits"] |= {"figure5": {"caption": "another"}, "mine": {**own, "runs": [grid]}}

    changed, original = demo(change), demo()
    assert changed.exhibits["figure5"].caption == "another"
    assert changed.exhibits["figure5"].settings == original.exhibits["figure5"].settings
    assert changed.exhibits["mine"].title == "t" and len(changed.runs_of("mine")) == 3


def test_inputs_are_written_once_and_only_what_changes(demo: Callable[..., Scale], tmp_path: Path) -> None:
    results = tmp_path / "results"

    def written() -> dict[str, tuple[int, str]]:
        files = [path for path in results.rglob("*") if path.is_file()]
        return {str(path.relative_to(results)): (path.stat().st_mtime_ns, path.read_text()) for path in files}

    scale = demo()
    write_inputs(scale, results)
    first = written()
    assert len(first) == 21 + 1 + 3  # runs, evaluation, exhibits
    for name, spec in scale.runs.items():
        assert read_spec(results / "demo/runs" / name / "spec.yaml") == (name, spec)
    write_inputs(demo(), results)
    assert written() == first

    def change(content: dict[str, Any]) -> None:
        content["evaluation"]["linear_epochs"] = 7

    write_inputs(demo(change), results)
    changed = {name for name, found in written().items() if found != first[name]}
    assert changed == {"demo/evaluation.yaml"}


def test_a_mistake_that_shows_late_writes_nothing(demo: Callable[..., Scale], tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        del content["methods"]["simclr"]["k"]  # leaves the paper's 64, too many for this batch
        content["run"]["batch_size"] = 16
        content["exhibits"] = {"table1": {"runs": [{"method": "simclr", "regularizer": "ldreg_l1", "k": 8}]}}
        content["core"] = ["table1"]

    with pytest.raises(LdregError, match=r"methods.yaml: simclr.k: 64 is more than"):
        write_inputs(demo(change), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_outputs_of_an_exhibit(demo: Callable[..., Scale]) -> None:
    folder = Path("results/demo/exhibits")
    assert exhibit_outputs(Path("results"), demo(), "figure5") == [
        folder / f"figure5.{s}" for s in ("png", "pdf", "csv")
    ]


def test_every_key_that_a_user_may_set_is_documented() -> None:
    text = (CONFIG / "README.md").read_text()
    keys = [*ScaleFile.model_fields, *SETTINGS]
    keys += [
        key
        for block in ("execution", "evaluation", "report", "cost")
        for key in ScaleFile.model_fields[block].annotation.model_fields
    ]
    keys += [key for renderer in RENDERERS.values() for key in renderer.settings.model_fields]
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_the_unregularised_run_is_one_at_every_point_of_a_sweep_over_the_regulariser(tmp_path):
    """Also over its start, which it has from the scale."""
    content = read_yaml(CONFIG / "demo.yaml")
    content["run"]["regularizer_start"] = 0.2
    content["exhibits"] = {
        "starts": {
            "renderer": "sweep",
            "title": "t",
            "caption": "c",
            "category": "Figures",
            "settings": {"axes": ["regularizer_start"], "metrics": ["mlid"]},
            "runs": [
                {
                    "method": "simclr",
                    "regularizer": ["none", "ldreg_l1"],
                    "regularizer_start": [0.0, 0.2, 0.5],
                }
            ],
        }
    }
    content["core"] = ["starts"]
    content["seeds"] = [0]
    runs = Scale(content, "starts.yaml", CONFIG).runs
    assert [run.split("/")[1] for run in runs] == [
        "none",
        "ldreg_l1-beta0.1-k16-regularizer_start0",
        "ldreg_l1-beta0.1-k16",
        "ldreg_l1-beta0.1-k16-regularizer_start0.5",
    ]
