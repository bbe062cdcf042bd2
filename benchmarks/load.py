"""Two hundred short runs through the workflow on one machine: are all there, and does memory stay flat?

    python benchmarks/load.py > benchmarks/load_cpu.json

Every run is one epoch of 64 digits. While they run, the memory of Snakemake and the size of MLflow's database
are taken every few seconds. The exit status is 1 if a run or its record is missing.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parent / "faults"))
from folder import SCALE, Folder
from kills import doubled

EVERY = 5.0  # seconds between two samples


def load_scale(runs: int) -> dict[str, object]:
    """The scale of the faults with this many seeds of the shortest run there is."""
    scale = yaml.safe_load(SCALE.read_text())
    scale["run"] |= {"epochs": 1, "warmup_epochs": 0, "train_images": 64, "batch_size": 64}
    scale["seeds"] = list(range(runs // 2))
    scale["exhibits"] = {"figure5": scale["exhibits"]["figure5"]}
    return {**scale, "core": ["figure5"], "detection": None}


def memory_mb(process: int) -> float:
    """Resident memory of a process, without its jobs."""
    fields = Path(f"/proc/{process}/status").read_text().split("VmRSS:")
    return int(fields[1].split()[0]) / 1024 if len(fields) > 1 else 0.0


def main() -> int:
    """Run them; prints JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200, help="number of runs (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ldreg-load-") as scratch:
        folder = Folder.fresh(Path(scratch).resolve() / "load")
        scale = {key: value for key, value in load_scale(arguments.runs).items() if value is not None}
        (folder.path / "scale.yaml").write_text(yaml.safe_dump(scale))
        arms = ("none", "ldreg_l1-beta0.1-k8")
        runs = [f"simclr-small_cnn/{arm}/seed{seed}" for arm in arms for seed in range(arguments.runs // 2)]
        targets = [f"results/faults/runs/{run}/encoder.safetensors" for run in runs]
        process = folder.start(*targets)
        samples = []
        while process.poll() is None:
            made = sum((folder.path / target).is_file() for target in targets)
            database = folder.path / "results/mlflow.db"
            size = database.stat().st_size / 2**20 if database.is_file() else 0.0
            seconds = time.monotonic() - process.began  # type: ignore[attr-defined]
            samples.append([round(seconds, 1), made, round(memory_mb(process.pid), 1), round(size, 2)])
            time.sleep(EVERY)
        outcome = folder.finish(process)
        tracked = folder.tracked()
        lost = [
            run for run, target in zip(runs, targets, strict=True) if not (folder.path / target).is_file()
        ]
        finished = [run["name"] for run in tracked if run["status"] == "FINISHED" and run["steps"] == [1]]
        missing = sorted({*runs} - {*finished})
        found = {
            "runs": len(runs),
            "code": outcome.code,
            "seconds": round(outcome.seconds, 1),
            "lost": lost,
            "missing_in_mlflow": missing,
            "tracking": doubled(folder),
            "samples": {"columns": ["seconds", "runs made", "Snakemake MB", "database MB"], "rows": samples},
        }
    print(json.dumps(found))
    return 1 if outcome.code or lost or missing or found["tracking"] else 0


sys.exit(main())
