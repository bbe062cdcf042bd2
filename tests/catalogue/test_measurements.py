"""What measurements declare fits what there is: jobs, settings of a scale, costs."""

import subprocess
import sys
from importlib import import_module

import pytest

from ldreg.catalogue.measurements import MEASURED, MEASUREMENTS, PRETRAINED, measurement_of
from ldreg.cli.commands import COMMANDS
from ldreg.config.execution import Execution
from ldreg.config.scale_file import Cost, Evaluation, ScaleFile


@pytest.mark.parametrize("key", MEASUREMENTS)
def test_a_measurement_has_a_job_and_a_command(key):
    measurement = MEASUREMENTS[key]
    assert measurement.key == key and measurement.command in COMMANDS
    assert callable(getattr(import_module(f"ldreg.jobs.{key}"), f"{key}_job"))


@pytest.mark.parametrize("key", MEASUREMENTS)
def test_its_settings_and_its_cost_are_keys_of_a_scale_file(key):
    measurement = MEASUREMENTS[key]
    if measurement.settings:
        assert measurement.settings.removesuffix(".yaml") in {
            *ScaleFile.model_fields,
            *Evaluation.model_fields,
        }
    if measurement.cost:
        assert measurement.cost in Cost.model_fields


def test_each_file_is_written_by_one_measurement():
    names = [name.replace("*", "mnist") for each in MEASUREMENTS.values() for name in each.files]
    for name in names:
        assert [each.key for each in MEASUREMENTS.values() if each.writes(name)] == [measurement_of(name).key]
    assert [measurement_of(name) for name in (*PRETRAINED, "spec.yaml")] == [None] * 4
    assert {measurement_of(name).key for name in MEASURED} == {"measure"}


def test_a_measurement_runs_on_one_gpu_or_as_pretraining_does():
    execution = Execution(gpus=4, nodes=2, precision="bf16", micro_batch=8)
    assert execution.resources_of(MEASUREMENTS["tsne"]) == {"gpu": 1}
    assert execution.resources_of(MEASUREMENTS["detect"])["gpu"] == 8
    assert "--gpus 1 " in execution.options_of(MEASUREMENTS["lid_error"])
    assert execution.options_of(MEASUREMENTS["detect"]).startswith("--gpus 4 --nodes 2")
    assert "--micro-batch 8" in execution.options_of(MEASUREMENTS["step_cost"])
    assert "--micro-batch" not in execution.options_of(MEASUREMENTS["detect"])
    assert "--precision bf16" in execution.options_of(MEASUREMENTS["detect"])
    assert "--precision" not in execution.options_of(MEASUREMENTS["linear_paper"])
    assert "--nodes 2" in execution.options_of(MEASUREMENTS["linear_paper"])


def test_declarations_import_nothing_heavy():
    code = "import sys, ldreg.catalogue.measurements; print({'torch', 'pandas', 'pydantic'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
