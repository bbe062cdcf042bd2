"""Compare the LID of mini-batches with the whole training split's, on a run's representations."""

from pathlib import Path

from ldreg.config.execution import Execution
from ldreg.data.decode import CorruptImages
from ldreg.errors import LdregError
from ldreg.evaluation.features import represent
from ldreg.evaluation.lid_error import BATCH_ROWS, BATCH_SEED, BATCHES, lid_errors, tf32_errors
from ldreg.files import write_json
from ldreg.jobs.shared import images_of, on_device, open_run, record_of_run
from ldreg.models.load import load_encoder, trained_weights
from ldreg.runtime.provenance import git_tags


def lid_error_job(spec_path: Path, data: Path, execution: Execution) -> None:
    """Errors of the mini-batch LID on the training split of the run of `spec_path`; writes lid_error.json.

    Args:
        data: dataset.json of the run's data set.

    Raises:
        LdregError: the run is not trained, or its training split is too small.
    """
    run, spec, spec_path = open_run(spec_path, trained=True)
    weights, images = trained_weights(spec_path), images_of(spec, data)
    corrupt = CorruptImages(execution.corrupt_images)
    with (
        record_of_run(spec_path, "lid_error", run, spec, images) as record,
        on_device(execution) as device,
    ):
        encoder = load_encoder(weights, spec, images.train.channels, device)
        features, _ = represent(encoder, images.train, spec.image_size, device, execution.workers, corrupt)
        corrupt.warn_of_total()
        if len(features) <= min(BATCH_ROWS):
            raise LdregError(
                f"{data}: {len(features)} training images; the smallest mini-batch here has {min(BATCH_ROWS)}"
            )
        entries, tf32 = lid_errors(features.to(device)), tf32_errors(features.to(device))
        about = {
            "split": "train",
            "rows": len(features),
            "dim": features.shape[1],
            "batches": BATCHES,
            "batch_seed": BATCH_SEED,
        }
        skipped = {"corrupt_images": len(corrupt.reasons)}
        content = {**about, "entries": entries, **({"tf32": tf32} if tf32 else {}), **git_tags(), **skipped}
        write_json(spec_path.parent / "lid_error.json", content)
        record.files.append("lid_error.json")
        record.settings |= about | skipped
        record.results |= {f"lid_tf32_k{entry['k']}_rms": entry["rms"] for entry in tf32}
        for entry in entries:
            name = f"lid_{entry['estimator']}_k{entry['k']}_rows{entry['batch_rows']}"
            record.results |= {f"{name}_{key}": entry[key] for key in ("bias", "rms")}
