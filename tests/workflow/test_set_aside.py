"""Runs of another recipe are made again, and what they were is kept."""

from pathlib import Path

import pytest
import yaml

from ldreg.config.result_paths import run_folder
from ldreg.config.run_names import format_run
from ldreg.config.run_spec import RECIPE, RunSpec, read_spec, write_spec
from ldreg.errors import LdregError
from ldreg.workflow import inputs
from ldreg.workflow.scale import Scale
from ldreg.workflow.set_aside import set_aside

CONFIG = Path(__file__).resolve().parents[2] / "config"
RUN = "simclr-small_cnn/none/seed0"


def old_run(results: Path, recipe: int | None) -> Path:
    """The folder of a finished run of the demo whose spec.yaml names this recipe, or none."""
    scale = Scale.read(CONFIG / "demo.yaml")
    folder = run_folder(results, "demo", RUN)
    spec = scale.runs[RUN].model_copy(update={"recipe": recipe or 1})
    write_spec(folder / "spec.yaml", spec, RUN)
    if recipe is None:
        content = yaml.safe_load((folder / "spec.yaml").read_text())
        del content["recipe"]
        (folder / "spec.yaml").write_text(yaml.safe_dump(content))
    (folder / "summary.json").write_text("{}")
    (folder / "encoder.safetensors").write_bytes(b"weights")
    (folder / "transfer").mkdir()
    (folder / "transfer/mnist.json").write_text("{}")
    return folder


@pytest.mark.parametrize(("recipe", "name"), [(None, "recipe1"), (RECIPE + 1, f"recipe{RECIPE + 1}")])
def test_a_run_of_another_recipe_is_kept_when_the_scale_is_read(
    tmp_path: Path, recipe: int | None, name: str
) -> None:
    folder = old_run(tmp_path, recipe)
    before = (folder / "spec.yaml").read_text()
    inputs.write_inputs(Scale.read(CONFIG / "demo.yaml"), tmp_path)
    kept = tmp_path / "demo/set_aside" / name / RUN
    assert (kept / "spec.yaml").read_text() == before == (folder / "spec.yaml").read_text()
    assert (kept / "encoder.safetensors").read_bytes() == b"weights" and (
        kept / "transfer/mnist.json"
    ).is_file()
    assert (folder / "encoder.safetensors").is_file(), "a dry run takes nothing away"
    for path in sorted(folder.rglob("*"), reverse=True):  # as Snakemake deletes outputs
        path.rmdir() if path.is_dir() else path.unlink()
    assert (kept / "encoder.safetensors").read_bytes() == b"weights"


def test_a_run_of_this_recipe_with_other_settings_is_not_kept(tmp_path: Path) -> None:
    folder = old_run(tmp_path, RECIPE)
    spec = Scale.read(CONFIG / "demo.yaml").runs[RUN].model_copy(update={"epochs": 99})
    assert set_aside(tmp_path / "demo", RUN, spec) is None
    assert not (tmp_path / "demo/set_aside").exists() and (folder / "summary.json").is_file()


def test_what_is_kept_is_kept_once(tmp_path: Path) -> None:
    old_run(tmp_path, None)
    spec = Scale.read(CONFIG / "demo.yaml").runs[RUN]
    kept = set_aside(tmp_path / "demo", RUN, spec)
    assert kept is not None and set_aside(tmp_path / "demo", RUN, spec) is None


def test_a_job_refuses_a_spec_of_another_recipe(tmp_path: Path) -> None:
    folder = old_run(tmp_path, None)
    with pytest.raises(LdregError, match=rf"spec.yaml: recipe: 1 is not this code's \({RECIPE}\)"):
        read_spec(folder / "spec.yaml")


def test_the_recipe_is_hashed_and_in_no_name(tiny_spec) -> None:
    spec: RunSpec = tiny_spec()
    other = spec.model_copy(update={"recipe": RECIPE + 1})
    assert spec.recipe == RECIPE and spec.hash != other.hash
    assert format_run(other, spec) == format_run(spec, spec)
