from pathlib import Path

import pytest

from ldreg.files import read_yaml
from ldreg.inputs import exhibit_inputs, exhibit_spec, run_folder, write_inputs
from ldreg.scale import Scale

CONFIG = Path(__file__).resolve().parents[1] / "config"


@pytest.mark.parametrize(
    ("axes", "grid", "base"),
    [
        (["k"], {"k": [8, 16]}, {"k": 16}),  # neighbours are also what the unregularised run has none of
        (["temperature"], {"temperature": [0.1, 0.5]}, {}),
        (
            ["temperature", "jitter"],
            {"temperature": [0.2, 0.5], "jitter": [0.5, 1.0]},
            {"temperature": 0.2, "jitter": 1.0},
        ),
        (["beta"], {"beta": [0.1, 1.0], "jitter": [0.5, 1.0]}, {"beta": 0.1, "jitter": 1.0}),
        (["batch_size", "beta"], {"batch_size": [64, 128], "beta": [0.1, 1.0]}, {"beta": 0.1}),
    ],
)
def test_a_sweep_crosses_at_the_scales_own_values(tmp_path, axes, grid, base):
    content = read_yaml(CONFIG / "demo.yaml")
    content["exhibits"]["mine"] = {
        "renderer": "sweep",
        "title": "t",
        "caption": "c",
        "category": "Figures",
        "settings": {"axes": axes, "metrics": ["mlid"]},
        "runs": [{"method": "simclr", "regularizer": ["none", "ldreg_l1"], **grid}],
    }
    write_inputs(Scale(content, "demo.yaml", CONFIG), tmp_path)
    assert read_yaml(exhibit_spec(tmp_path, "demo", "mine"))["settings"]["base"] == base


def test_what_differs_from_method_to_method_is_no_axis(tmp_path):
    """Nor is a sweep over methods cut down to the first one's settings."""
    content = read_yaml(CONFIG / "demo.yaml")
    content["exhibits"] = {
        "mine": {
            "renderer": "sweep",
            "title": "t",
            "caption": "c",
            "category": "Figures",
            "settings": {"axes": ["method"], "metrics": ["mlid"]},
            "runs": [{"method": ["simclr", "byol", "mae"], "regularizer": ["none", "ldreg_l1"]}],
        }
    }
    content["core"] = []
    write_inputs(Scale(content, "demo.yaml", CONFIG), tmp_path)
    assert read_yaml(exhibit_spec(tmp_path, "demo", "mine"))["settings"]["base"] == {}


def test_an_exhibits_spec_leaves_its_seeds_to_its_runs(tmp_path):
    scale = Scale.read(CONFIG / "demo.yaml")
    write_inputs(scale, tmp_path)
    spec = read_yaml(exhibit_spec(tmp_path, "demo", "table15"))
    assert "seeds" not in spec
    assert [run.rsplit("/", 1)[1] for run in spec["runs"]] == ["seed0"] * 6


def test_a_ledger_is_told_whose_steps_were_timed_for_the_exhibits_whose_runs_it_takes(tmp_path):
    """Table 4 has SimCLR timed, `equal_cost` has BYOL; the ledger takes the runs of Table 4 alone."""
    content = read_yaml(CONFIG / "demo.yaml")
    content["exhibits"]["mine"] = {
        "renderer": "ledger",
        "title": "t",
        "caption": "c",
        "category": "Claims",
        "runs_of": ["table1", "table4"],
    }
    scale = Scale(content, "demo.yaml", CONFIG)
    write_inputs(scale, tmp_path)
    settings = read_yaml(exhibit_spec(tmp_path, "demo", "mine"))["settings"]
    expected = [str(run_folder(tmp_path, "demo", run)) for run in scale.runs_of("table4")]
    assert settings["timed"] == expected and len(expected) == 6
    inputs = exhibit_inputs(tmp_path, scale, "mine")
    assert {str(path.parent) for path in inputs if path.name == "step_cost.json"} == set(expected)
    for other in ("claims", "table1", "equal_cost"):
        assert "timed" not in read_yaml(exhibit_spec(tmp_path, "demo", other))["settings"]
