"""Embed a run's test representations in the plane by t-SNE (the paper's Figure 4)."""

import csv
from pathlib import Path

from ldreg.config.execution import Execution
from ldreg.data.datasets import Split
from ldreg.data.decode import CorruptImages
from ldreg.errors import LdregError
from ldreg.evaluation.features import represent
from ldreg.evaluation.tsne import CLASSES, embed, first_classes, perplexity
from ldreg.files import replacing
from ldreg.jobs.shared import images_of, on_device, open_run, record_of_run
from ldreg.models.load import load_encoder, trained_weights


def tsne_job(spec_path: Path, data: Path, execution: Execution) -> None:
    """Embed test representations of the run of `spec_path`; writes tsne.csv beside it.

    Its columns are x, y, label and perplexity, its rows the test images of `first_classes` in their order.

    Args:
        data: dataset.json of the run's data set.

    Raises:
        LdregError: the run is not trained, or its test split has fewer than 4 images of the first classes.
    """
    run, spec, spec_path = open_run(spec_path, trained=True)
    weights, images = trained_weights(spec_path), images_of(spec, data)
    rows = first_classes(images.test.labels)
    if len(rows) < 4:
        raise LdregError(f"{data}: t-SNE needs at least 4 test images of the first {CLASSES} classes")
    chosen = Split(images.test.images[rows], images.test.labels[rows])
    corrupt = CorruptImages(execution.corrupt_images)
    with record_of_run(spec_path, "tsne", run, spec, images) as record:
        with on_device(execution, threads=1) as device:  # see `embed`
            encoder = load_encoder(weights, spec, chosen.channels, device)
            features, labels = represent(encoder, chosen, spec.image_size, device, execution.workers, corrupt)
        corrupt.warn_of_total()
        points = embed(features)
        used = f"{perplexity(len(points)):g}"
        with replacing(spec_path.parent / "tsne.csv") as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("x", "y", "label", "perplexity"))
            writer.writerows(
                (f"{x:.6f}", f"{y:.6f}", label, used)
                for (x, y), label in zip(points.tolist(), labels.tolist(), strict=True)
            )
        record.files.append("tsne.csv")
        record.settings |= {"split": "test", "rows": len(points), "perplexity": used}
