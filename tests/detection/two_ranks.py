"""What `test_two_ranks.py` runs under torchrun: `two_ranks.py FOLDER`; writes `rank0.json` and `rank1.json`.

Two iterations on the composed set in the folder, as a whole, and interrupted after the first. SyncBatchNorm
does not run on a CPU.
"""

import contextlib
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import torch
from detection.conftest import TINY

from ldreg.config.detection import DetectionSettings
from ldreg.detection import fine_tuning, loop
from ldreg.detection.composed import read_composed
from ldreg.models.networks import build_backbone
from ldreg.runtime.checkpoint import Checkpoint
from ldreg.runtime.distributed import process_group, rank
from ldreg.runtime.resumption import Resumption


def main(folder: Path) -> None:
    settings = DetectionSettings(
        **{**TINY, "iterations": 2, "steps": (), "precise_norm_batches": 1, "score_threshold": 0.0}
    )
    rows, seen = [], []
    predict, replicate = fine_tuning.predict, fine_tuning.replicate

    def watched(*arguments):
        seen.extend(predict(*arguments))
        return seen

    models = []

    def kept(*arguments):
        models.append(replicate(*arguments))
        return models[-1]

    fine_tuning.predict, fine_tuning.replicate = watched, kept
    with process_group(gpus=0) as device:
        torch.manual_seed(rank())  # the ranks' encoders differ, until they are replicated
        encoder, _ = build_backbone("small_cnn", channels=1)
        result = fine_tuning.train_and_evaluate(
            encoder, "small_cnn", settings, *read_composed(folder), device, on_row=rows.append
        )
        weights = [parameter.sum().item() for parameter in models[0].parameters()]
        found = {"result": result, "rows": len(rows), "predictions": list(seen), "weights": weights}
        found["resumed"] = resumed(encoder, settings, folder, device)
        for prediction in found["predictions"]:
            prediction["segmentation"] = str(prediction["segmentation"])
        (folder / f"rank{rank()}.json").write_text(json.dumps(found))


def resumed(encoder, settings, folder, device):
    """The result of a training that was interrupted after its first iteration, on every rank."""
    step = loop.DetectorTraining._step

    def stopping(self, *batch):
        if self.iteration == 1:
            raise InterruptedError
        step(self, *batch)

    def run():
        checkpoint = Checkpoint(folder / "resumed", "detect", {})
        checkpoint.load()
        return fine_tuning.train_and_evaluate(
            encoder,
            "small_cnn",
            settings,
            *read_composed(folder),
            device,
            resumption=Resumption(checkpoint, device, minutes=1e-9),
        )

    loop.DetectorTraining._step = stopping
    with contextlib.suppress(InterruptedError):
        run()
    loop.DetectorTraining._step = step
    return run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
