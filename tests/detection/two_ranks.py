"""What `test_two_ranks.py` runs under torchrun: `two_ranks.py FOLDER`; writes `rank0.json` and `rank1.json`.

Two iterations on the composed set in the folder. SyncBatchNorm does not run on a CPU.
"""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import torch
from detection.conftest import TINY

from ldreg.detection import train
from ldreg.detection.composed import read_composed
from ldreg.detection.settings import DetectionSettings
from ldreg.distributed import process_group, rank
from ldreg.networks import build_backbone


def main(folder: Path) -> None:
    settings = DetectionSettings(
        **{**TINY, "iterations": 2, "steps": (), "precise_norm_batches": 1, "score_threshold": 0.0}
    )
    rows, seen = [], []
    predict, replicate = train.predict, train.replicate

    def watched(*arguments):
        seen.extend(predict(*arguments))
        return seen

    models = []

    def kept(*arguments):
        models.append(replicate(*arguments))
        return models[-1]

    train.predict, train.replicate = watched, kept
    with process_group(gpus=0) as device:
        torch.manual_seed(rank())  # the ranks' encoders differ, until they are replicated
        encoder, _ = build_backbone("small_cnn", channels=1)
        result = train.train_and_evaluate(
            encoder, "small_cnn", settings, *read_composed(folder), device, on_row=rows.append
        )
        weights = [parameter.sum().item() for parameter in models[0].parameters()]
        found = {"result": result, "rows": len(rows), "predictions": seen, "weights": weights}
        for prediction in found["predictions"]:
            prediction["segmentation"] = str(prediction["segmentation"])
        (folder / f"rank{rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
