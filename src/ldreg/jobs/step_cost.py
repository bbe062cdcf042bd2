"""Time the training steps of a run, with and without its regulariser."""

from pathlib import Path

import torch

from ldreg.config.execution import Execution
from ldreg.data.decode import CorruptImages
from ldreg.files import write_json
from ldreg.jobs.shared import images_of, on_device, open_run, record_of_run, trained_as
from ldreg.runtime.distributed import device_name, rank
from ldreg.runtime.provenance import git_tags
from ldreg.training.step_cost import step_cost


def step_cost_job(spec_path: Path, data: Path, execution: Execution) -> None:
    """Time the steps of the run of `spec_path`; rank 0 writes step_cost.json beside it.

    Args:
        data: dataset.json of the run's data set.
    """
    run, spec, spec_path = open_run(spec_path)
    images, corrupt = images_of(spec, data), CorruptImages(execution.corrupt_images)
    with on_device(execution) as device:
        if rank() != 0:
            step_cost(spec, images, execution, device, corrupt)
            corrupt.gather()
            return
        with record_of_run(spec_path, "step_cost", run, spec, images) as record:
            found = step_cost(spec, images, execution, device, corrupt)
            corrupt.gather()
            corrupt.warn_of_total()
            about = {
                "regularizer": spec.regularizer,
                "device": device_name(device),
                **trained_as(execution),
                "torch": torch.__version__,
            }
            skipped = {"corrupt_images": len(corrupt.reasons)}
            write_json(spec_path.parent / "step_cost.json", {**found, **about, **git_tags(), **skipped})
            record.files.append("step_cost.json")
            counts = ("pairs", "steps_per_block", "warm_up_steps", "level")
            record.settings |= about | skipped | {key: found[key] for key in counts}
            measured = ("seconds_with", "seconds_without", "ratio", "ratio_low", "ratio_high")
            peaks = ("peak_memory_bytes_with", "peak_memory_bytes_without")
            record.results |= {f"step_{key}": found[key] for key in (*measured, *peaks)}
