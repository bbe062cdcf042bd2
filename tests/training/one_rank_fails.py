"""What `test_guard.py` runs under torchrun: `one_rank_fails.py DATA_ROOT`. The probe of rank 1 fails."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from conftest import OWN, TINY

import ldreg.training.monitors
from ldreg.config.execution import Execution
from ldreg.config.run_spec import RunSpec
from ldreg.data.datasets import load
from ldreg.runtime.distributed import process_group, rank
from ldreg.training.pretrain import pretrain


def fail(*arguments: object) -> None:
    raise RuntimeError("of rank 1")


if __name__ == "__main__":
    with process_group(gpus=0) as device:
        if rank() == 1:
            ldreg.training.monitors._Probe.gradients = fail
        spec = RunSpec(**{**TINY, **OWN["simclr"], "knn_every": 1})
        digits = load("digits", Path(sys.argv[1]), TINY["train_images"])
        _, history = pretrain(spec, digits, Execution(), device, lambda row: None)
        if rank() == 0:
            print("probe_top1", [row["probe_top1"] for row in history])
            for name in ("knn_top1", "mlid"):
                print(name, [row[name] is not None for row in history])
