"""Test a run's encoder on other data sets, by linear classifiers on its representations."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ldreg.config.execution import Execution
from ldreg.config.scale_file import Transfer
from ldreg.data.availability import read_availability
from ldreg.data.datasets import load
from ldreg.data.decode import CorruptImages
from ldreg.evaluation.transfer import Rows, TransferSettings, transfer
from ldreg.files import digest, write_json
from ldreg.jobs.shared import on_device, open_run, read_settings, resumable
from ldreg.models.load import channels_of, load_encoder, trained_weights
from ldreg.runtime.checkpoint import State
from ldreg.runtime.distributed import device_name
from ldreg.runtime.provenance import git_tags, versions
from ldreg.runtime.resumption import Resumption
from ldreg.runtime.slices import WHOLE, Slot
from ldreg.tracking import Tracker


def transfer_job(
    spec_path: Path,
    settings_path: Path,
    pretrained_on: Path,
    data: Sequence[Path],
    execution: Execution,
    results: Path,
    slot: Slot = WHOLE,
) -> None:
    """Linear classifiers on other data sets; writes transfer/<data set>.json for each of `data`.

    For a set that is not available, this file gives the reason. If the job was interrupted, it goes on after
    the last split whose representations it has stored, or after the last data set that it has finished.

    Args:
        settings_path: the scale's `transfer.yaml`.
        pretrained_on: dataset.json of the run's own data set, which says how many channels its encoder takes.
        data: for each data set the file that `ldreg data --offer` wrote.
        results: the folder that all scales share.
        slot: the time that the job has.

    Raises:
        LdregError: a file is missing, broken or belongs to another run; then nothing is written.
        SliceEnded: if the job ended itself with a checkpoint.
    """
    _, spec, spec_path = open_run(spec_path, trained=True)
    available = [read_availability(path) for path in data]
    settings = classifier_settings(read_settings(settings_path, Transfer))
    weights, channels, folder = trained_weights(spec_path), channels_of(pretrained_on), spec_path.parent
    sets = [found for found in available if "unavailable" not in found]
    identity = {
        "spec": spec.hash,
        "encoder": digest(weights),
        "settings": asdict(settings),
        "data": {found["dataset"]: digest(Path(found["manifest"])) for found in sets},
    }
    with (
        on_device(execution) as device,
        resumable(results / spec.scale, "transfer", identity, execution, device, slot) as resumption,
        Tracker(folder, "transfer", results, git_tags(), resumption.resumed),
    ):
        encoder = load_encoder(weights, spec, channels, device)
        course = _Course(resumption, 3 * len(sets))
        with resumption.running():
            for found in sets:
                name = found["dataset"]
                if name in course.finished:
                    continue
                corrupt = CorruptImages(execution.corrupt_images, course.corrupt)
                images = load(name, Path(found["manifest"]).parent.parent)
                about = (encoder, channels, images, spec.image_size, settings, device, execution.workers)
                measured = transfer(*about, corrupt, course.extracted, course.step)
                corrupt.warn_of_total()
                measured |= {"corrupt_images": len(corrupt.reasons)}
                course.finish(name, measured | {"device": device_name(device), "versions": versions()})
        for found in available:
            name = found["dataset"]
            write_json(folder / "transfer" / f"{name}.json", course.finished.get(name, found))


class _Course:
    """What the job has done so far: results of data sets, and representations of the one that it is at."""

    def __init__(self, resumption: Resumption, steps: int) -> None:
        self.resumption, self.steps, self.done = resumption, steps, 0
        self.finished: dict[str, dict[str, Any]] = {}
        self.extracted: dict[str, Rows] = {}
        self.corrupt: dict[str, str] = {}
        if found := resumption.checkpoint.found:
            self.done = found.step
            self.finished, self.extracted = found.shared["finished"], found.shared["extracted"]
            self.corrupt = found.shared["corrupt"]

    def step(self) -> None:
        """Count a split or a data set that is done, and save it if it is time."""
        self.done += 1
        self.resumption.after_step(self.done, self.steps, self._state)

    def finish(self, name: str, result: dict[str, Any]) -> None:
        """Keep the result of a data set."""
        self.finished[name] = result
        self.extracted, self.corrupt = {}, {}
        self.step()

    def _state(self) -> tuple[State, State]:
        shared = {"finished": self.finished, "extracted": self.extracted, "corrupt": self.corrupt}
        return shared, {}


def classifier_settings(block: Transfer) -> TransferSettings:
    """The settings of the classifiers, from a scale's `transfer`."""
    return TransferSettings(**{field.name: getattr(block, field.name) for field in fields(TransferSettings)})
