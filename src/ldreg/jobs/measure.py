"""Measure a run's encoder: its dimensionality, kNN and linear accuracy."""

from pathlib import Path

from ldreg.config.execution import Execution
from ldreg.config.scale_file import Evaluation
from ldreg.data.decode import CorruptImages
from ldreg.evaluation.measure import measure
from ldreg.files import write_json
from ldreg.jobs.shared import data_tags, images_of, on_device, open_run, read_settings
from ldreg.models.load import load_encoder, trained_weights
from ldreg.tracking import Tracker


def measure_job(spec_path: Path, evaluation: Path, data: Path, execution: Execution, results: Path) -> None:
    """Measure the run of `spec_path`; writes dimensionality.json, knn.json and linear.json beside it.

    linear.json is written where `evaluation.linear` has the protocol `cached`.

    Args:
        evaluation: the scale's `evaluation.yaml`.
        data: dataset.json of the run's data set.
        results: the folder that all scales share.

    Raises:
        LdregError: a file is missing or broken; then nothing is measured.
    """
    _, spec, spec_path = open_run(spec_path, trained=True)
    settings, weights = read_settings(evaluation, Evaluation), trained_weights(spec_path)
    images, corrupt = images_of(spec, data), CorruptImages(execution.corrupt_images)
    tags, folder = data_tags(images), spec_path.parent
    with on_device(execution) as device, Tracker(folder, "measure", results, tags):
        encoder = load_encoder(weights, spec, images.test.channels, device)
        measured = measure(encoder, images, spec.image_size, settings, device, execution.workers, corrupt)
        corrupt.warn_of_total()
        measured["dimensionality"] |= {key: tags[key] for key in ("git_commit", "git_dirty")}
        measured["dimensionality"]["corrupt_images"] = len(corrupt.reasons)
        for name, content in measured.items():
            write_json(folder / f"{name}.json", content)
