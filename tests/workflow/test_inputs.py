from pathlib import Path

import pytest

from ldreg.config.result_paths import read_declared, run_folder
from ldreg.files import read_yaml
from ldreg.workflow.inputs import exhibit_inputs, exhibit_spec_file, write_inputs
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"


def settings_of_sweep(folder: Path, axes: list[str], *grids: dict, **settings: dict) -> dict:
    """What the spec of a sweep of the demo says of its base."""
    content = read_yaml(CONFIG / "demo.yaml")
    about = {"renderer": "sweep", "title": "t", "caption": "c", "category": "Figures", "runs": list(grids)}
    about["settings"] = {"axes": axes, "metrics": ["mlid"], **settings}
    content |= {"exhibits": {"mine": about}, "core": []}
    scale = Scale(content, "demo.yaml", CONFIG)
    write_inputs(scale, folder)
    found = read_yaml(exhibit_spec_file(folder, scale, "mine"))["settings"]
    return {key: value for key, value in found.items() if key.startswith("base")}


BOTH = ["none", "ldreg_l1"]


@pytest.mark.parametrize(
    ("axes", "grids", "base"),
    [
        (["k"], [{"k": [8, 16]}], {}),  # the only axis crosses nothing
        (["temperature"], [{"temperature": [0.1, 0.5]}], {}),
        (["beta", "k"], [{"beta": [0.1, 1.0]}, {"k": [8, 16]}], {"beta": 0.1, "k": 16}),
        # Of a whole grid nothing is left out.
        (["temperature", "jitter"], [{"temperature": [0.2, 0.5], "jitter": [0.5, 1.0]}], {}),
        (["beta", "k"], [{"beta": [0.1, 1.0], "k": [8, 16]}], {}),
        # What is no axis makes curves.
        (["beta"], [{"beta": [0.1, 1.0], "jitter": [0.5, 1.0]}], {}),
        (["batch_size", "beta"], [{"batch_size": [64, 128], "beta": [0.1, 1.0]}], {"beta": 0.1}),
    ],
)
def test_a_sweep_crosses_at_the_scales_own_values(tmp_path, axes, grids, base):
    grids = [{"method": "simclr", "regularizer": BOTH, **grid} for grid in grids]
    assert settings_of_sweep(tmp_path, axes, *grids) == {"base": base}


def test_each_method_crosses_at_its_own_values(tmp_path):
    all_of_them = {"method": ["simclr", "byol", "vicreg"], "regularizer": "ldreg_l1"}
    grids = [{**all_of_them, "beta": [0.01, 0.1, 1.0]}, {**all_of_them, "k": [8, 16]}]
    there = settings_of_sweep(tmp_path, ["beta", "k"], *grids)
    at = {"beta": 0.1, "k": 16}
    vicreg = {"beta": 1.0, "k": 16}
    assert there == {"base_of": {"simclr small_cnn": at, "byol small_cnn": at, "vicreg small_cnn": vicreg}}
    own = settings_of_sweep(tmp_path, ["beta", "k"], *grids, base={"beta": 0.1})
    assert own == {"base": {"beta": 0.1}}


def test_a_sweep_over_methods_has_no_base(tmp_path):
    runs = {"method": ["simclr", "byol", "mae"], "regularizer": BOTH}
    assert settings_of_sweep(tmp_path, ["method"], runs) == {"base": {}}


def test_an_exhibits_spec_leaves_its_seeds_to_its_runs(tmp_path):
    scale = Scale.read(CONFIG / "demo.yaml")
    write_inputs(scale, tmp_path)
    spec = read_yaml(exhibit_spec_file(tmp_path, scale, "table15"))
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
    settings = read_yaml(exhibit_spec_file(tmp_path, scale, "mine"))["settings"]
    expected = [str(run_folder(tmp_path, "demo", run)) for run in scale.runs_of("table4")]
    assert settings["timed"] == expected and len(expected) == 6
    inputs = exhibit_inputs(tmp_path, scale, "mine")
    assert {str(path.parent) for path in inputs if path.name == "step_cost.json"} == set(expected)
    for other in ("claims", "table1", "equal_cost"):
        assert "timed" not in read_yaml(exhibit_spec_file(tmp_path, scale, other))["settings"]


def test_the_declared_exhibits_are_written_in_the_order_of_the_scale_file(tmp_path):
    assert read_declared(tmp_path / "demo") is None
    content = read_yaml(CONFIG / "demo.yaml")
    write_inputs(Scale(content, "demo.yaml", CONFIG), tmp_path)
    assert list(read_declared(tmp_path / "demo").exhibits) == list(content["exhibits"])
    content["exhibits"] = {name: content["exhibits"][name] for name in ("figure3", "table1_simclr")}
    content["core"] = []
    write_inputs(Scale(content, "demo.yaml", CONFIG), tmp_path)
    assert list(read_declared(tmp_path / "demo").exhibits) == ["figure3", "table1_simclr"]
