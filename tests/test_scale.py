import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldreg.config import ScaleFile
from ldreg.data.datasets import load
from ldreg.errors import LdregError
from ldreg.exhibits import RENDERERS
from ldreg.files import read_yaml
from ldreg.inputs import exhibit_outputs, write_inputs
from ldreg.scale import RULES, SETTINGS, Scale
from ldreg.spec import SIZES, read_spec

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


Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def demo(tmp_path: Path) -> Callable[..., Scale]:
    """`demo(change, **files)`: the demo after `change(content)`, shared files replaced by `files`."""

    def make(change: Change = lambda content: None, **files: dict[str, Any]) -> Scale:
        content = read_yaml(CONFIG / "demo.yaml")
        change(content)
        for name in ("methods", "augmentations", "exhibits"):
            value = files.get(name) or read_yaml(CONFIG / f"{name}.yaml")
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(value))
        return Scale(content, "scale.yaml", tmp_path)

    return make


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
    assert (len(data.train.labels), len(data.test.labels)) == SIZES["digits"]


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


@pytest.mark.parametrize("name", RULES)
def test_an_exhibit_is_not_named_like_a_rule(demo: Callable[..., Scale], name: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["exhibits"][name] = read_yaml(CONFIG / "exhibits.yaml")["claims"]

    with pytest.raises(
        LdregError, match=rf"^scale.yaml: exhibits.{name}: '{name}' is not allowed; .*another name"
    ):
        demo(change)


def test_the_workflows_own_rules_are_known() -> None:
    files = [CONFIG.parent / "Snakefile", *(CONFIG.parent / "workflow/rules").glob("*.smk")]
    rules = [rule for file in files for rule in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)]
    assert sorted(rules) == sorted(RULES)
