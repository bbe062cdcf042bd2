"""What checkpoints cost at the size of the paper's ResNet-50, as a share of training time.

    python benchmarks/checkpoints.py > benchmarks/checkpoints_cpu.json

The training waits while a checkpoint is made: its state is gathered, checksummed, written, synchronised with
the disk and read back. The share is that of one checkpoint in the default interval. Networks, optimiser and
monitors have the sizes of the `imagenet` scale; the images are few and small, because they are no part of the
state.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec
from ldreg.data.decode import CorruptImages
from ldreg.models.networks import build_encoder
from ldreg.runtime.checkpoint import Checkpoint
from ldreg.runtime.resumption import MINUTES
from ldreg.training.course import Course
from ldreg.training.monitors import Monitors
from ldreg.training.pretrain import Trainer
from ldreg.workflow.scale import Scale

CPU = torch.device("cpu")
ROUNDS = 7
IMAGES, PIXELS = 4, 64  # of the one step that fills the optimiser's state
CLASSES = 1000


def cost(spec: RunSpec, folder: Path) -> dict[str, Any]:
    """Medians over `ROUNDS` checkpoints of the state of `spec` after a step."""
    trainer = Trainer(spec, 3, Execution(), CPU)
    monitors = Monitors(spec, CLASSES, build_encoder(spec, 3)[1], 1, CPU)
    # The queue of latest representations is full in training.
    rows = torch.rand(monitors.queue.maxlen or 1, 2 * spec.batch_size, build_encoder(spec, 3)[1])
    monitors.queue.extend(rows)
    views = tuple(torch.rand(IMAGES, 3, PIXELS, PIXELS) for _ in spec.views)
    trainer.step(views, 0.0, regularized=False)
    course = Course(trainer, monitors, CorruptImages(), CPU)
    checkpoint = Checkpoint(folder, "pretrain", {"spec": spec.hash})
    saving, loading, written = [], [], 0
    for step in range(1, ROUNDS + 1):
        began = time.perf_counter()
        assert checkpoint.save(step, *course.state())
        saving.append(time.perf_counter() - began)
        began = time.perf_counter()
        assert checkpoint.load()
        loading.append(time.perf_counter() - began)
        written = sum(path.stat().st_size for path in checkpoint.folder.iterdir())
    seconds = statistics.median(saving)
    return {
        "bytes": written,
        "seconds": round(seconds, 3),
        "longest": round(max(saving), 3),
        "share": round(seconds / (60 * MINUTES + seconds), 6),
        "loading_seconds": round(statistics.median(loading), 3),
    }


def main() -> None:
    """Print the costs of SimCLR's and BYOL's run with a ResNet-50 as JSON."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    scale = Scale.read(Path("config/imagenet.yaml"))
    found = {}
    for method in ("simclr", "byol"):
        spec = next(each for each in scale.runs.values() if each.method == method)
        with tempfile.TemporaryDirectory(dir=".") as folder:
            found[f"{method}, {spec.backbone}"] = cost(spec, Path(folder))
    about = {"minutes": MINUTES, "rounds": ROUNDS, "torch": torch.__version__, "machine": platform.machine()}
    print(json.dumps({**about, "costs": found}, indent=2))


if __name__ == "__main__":
    main()
