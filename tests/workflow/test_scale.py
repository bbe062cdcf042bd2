from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldreg.catalogue.methods import METHODS
from ldreg.catalogue.regularizers import REGULARIZERS
from ldreg.config.detection import ComposedSettings, DetectionSettings
from ldreg.config.grids import SETTINGS
from ldreg.config.run_spec import read_spec
from ldreg.config.scale_file import Detection, Exhibit, ScaleFile
from ldreg.errors import LdregError
from ldreg.exhibits import RENDERERS
from ldreg.exhibits.settings import Settings
from ldreg.files import read_yaml
from ldreg.workflow.inputs import exhibit_outputs, run_spec_file, write_inputs
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"


def test_names_say_what_differs_from_the_default_and_no_more(demo: Callable[..., Scale]) -> None:
    assert set(demo().runs_of("table1_simclr")) == {
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
        content["exhibits"]["table1"] = {"runs": [grid], "seeds": [4]}

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
            content["run"].pop(key, None)
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
        content["methods"]["simclr"] |= {"augmentation": "simclr", "jitter": strength}

    whole = demo(lambda content: content["methods"]["simclr"].update(augmentation="simclr"))
    views = [next(iter(made.runs.values())).views for made in (whole, demo(change))]
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
    # How to measure (two files), transfer and detect, each for jobs and for hands; what is declared, and when
    # to look again for each of the two sets to transfer to.
    assert len(first) == len(scale.runs) + 2 * 4 + 1 + 2 + len(scale.exhibits)
    for name, spec in scale.runs.items():
        assert read_spec(run_spec_file(results, scale, name)) == (name, spec)
    write_inputs(demo(), results)
    assert written() == first

    def change(content: dict[str, Any]) -> None:
        content["evaluation"]["linear_epochs"] = 7

    write_inputs(demo(change), results)
    later = written()
    assert {name for name in first if later[name] != first[name]} == {
        "demo/evaluation.yaml",
        "demo/exhibits.yaml",
    }
    assert {name.split("-")[0] for name in later.keys() - first.keys()} == {
        "demo/specs/evaluation",
        "demo/specs/table9",
    }

    def change_paper(content: dict[str, Any]) -> None:
        change(content)
        content["evaluation"]["linear_paper"]["epochs"] = 7

    write_inputs(demo(change_paper), results)
    last = written()
    assert {name.split("-")[0] for name in last.keys() - later.keys()} == {
        "demo/specs/linear_paper",
        "demo/specs/table9",
    }
    assert all(last[name] == found for name, found in later.items() if name.startswith("demo/specs/"))


def test_a_mistake_that_shows_late_writes_nothing(demo: Callable[..., Scale], tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        del content["run"]["k"]  # leaves the paper's 64, too many for this batch
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
    keys += [*Detection.model_fields, *DetectionSettings.model_fields, *ComposedSettings.model_fields]
    keys += Exhibit.model_fields
    keys += [key for renderer in RENDERERS.values() for key in renderer.settings.model_fields]
    keys.remove("base_of")  # the workflow's own
    assert [key for key in keys if f"`{key}`" not in text] == []


def test_every_renderer_is_documented_with_its_settings() -> None:
    rows = [
        line.split("|") for line in (CONFIG / "README.md").read_text().splitlines() if line.count("|") == 4
    ]
    told = {name.strip(" `"): row[3] for row in rows for name in row[1].split(",")}
    for name, renderer in RENDERERS.items():
        own = set(renderer.settings.model_fields) - set(Settings.model_fields) - {"base_of"}
        for key in own:
            assert f"`{key}`" in told[name] or (key.endswith("_margin") and "the margins" in told[name]), name
        assert own or told[name].strip() == "none"


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


def test_an_exhibit_may_have_seeds_of_its_own(demo: Callable[..., Scale]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["seeds"] = [3, 4]
        content["exhibits"] = {"table1_simclr": {"seeds": [4, 5]}, "claims": None}
        content["core"] = []

    scale = demo(change)
    assert (scale.seeds_of("table1_simclr"), scale.seeds_of("claims")) == ((4, 5), (3, 4))
    seeds = {name: sorted({spec.seed for spec in scale.runs_of(name).values()}) for name in scale.exhibits}
    assert seeds == {"table1_simclr": [4, 5], "claims": [3, 4]}
    assert len(scale.runs) == 2 * 2 + 8 * 2 - 2  # both have seed 4 of the same two


@pytest.mark.parametrize("method", METHODS)
def test_every_regulariser_on_either_features_can_be_chosen_for_every_method(
    demo: Callable[..., Scale], tmp_path: Path, method: str
) -> None:
    grid = {"method": method, "regularizer": list(REGULARIZERS), "beta": 0.5, "k": 8, "target": 6.0}
    grid["acts_on"] = ["representations", "embeddings"]

    def change(content: dict[str, Any]) -> None:
        content["exhibits"] = {"table1": {"runs": [grid], "seeds": [1]}}
        content["core"] = []

    scale = demo(change)
    found = {
        (spec.regularizer, spec.acts_on): (spec.beta, spec.k, spec.target) for spec in scale.runs.values()
    }
    expected = {
        (kind, features): (
            0.5,
            8 if "k" in each.settings else None,
            6.0 if "target" in each.settings else None,
        )
        for kind, each in REGULARIZERS.items()
        for features in ("representations", "embeddings")
        if kind != "none"
    }
    assert found == {**expected, ("none", "representations"): (None, None, None)}
    write_inputs(scale, tmp_path / "results")
    for name, spec in scale.runs.items():
        assert scale.spec_of(name) == spec
        assert read_spec(run_spec_file(tmp_path / "results", scale, name)) == (name, spec)


def test_what_a_regulariser_acts_on_is_in_the_name_whatever_the_default(demo: Callable[..., Scale]) -> None:
    grid = {"method": "simclr", "regularizer": ["none", "cov"], "acts_on": ["representations", "embeddings"]}

    def change(content: dict[str, Any]) -> None:
        content["methods"]["simclr"]["acts_on"] = "embeddings"
        content["exhibits"] = {"table1": {"runs": [grid], "seeds": [0]}}
        content["core"] = []

    scale = demo(change)
    arms = ("none", "cov-beta0.1", "cov-beta0.1-acts_on_embeddings")
    assert list(scale.runs) == [f"simclr-small_cnn/{arm}/seed0" for arm in arms]
    assert all(scale.spec_of(name) == spec for name, spec in scale.runs.items())
