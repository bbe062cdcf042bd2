import pytest
import torch
import yaml
from safetensors.torch import save_file

from ldreg.config.execution import Execution
from ldreg.config.run_spec import write_spec
from ldreg.jobs.compose import compose_job
from ldreg.jobs.pretrain import pretrain_job
from ldreg.models.networks import build_encoder

RUN = "simclr-small_cnn/none/seed0"
TINY_DETECTION = {
    "iterations": 4,
    "steps": [3],
    "batch_size": 2,
    "warmup_iterations": 1,
    "precise_norm_batches": 1,
    "min_sizes": [64],
    "max_size": 64,
    "anchor_sizes": [28, 40],
    "anchors_per_image": 16,
    "pre_nms_train": 20,
    "pre_nms_test": 20,
    "proposals_train": 8,
    "proposals_test": 4,
    "regions_per_image": 8,
    "region_size": 7,
    "mask_channels": 8,
}


class NoTracker:
    def __init__(self, folder, kind, results, tags, resumed=False):
        self.kind = kind
        NoTracker.kinds.append(kind)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def log(self, metrics, step):
        pass


@pytest.fixture
def untrained(tmp_path, tiny_spec):
    """The folder of a run with an untrained encoder, where one is all that a job needs."""
    spec = tiny_spec()
    write_spec(tmp_path / "run/spec.yaml", spec, "simclr-small_cnn/none/seed0")
    torch.manual_seed(0)
    encoder, _ = build_encoder(spec, 1)
    save_file(encoder.state_dict(), tmp_path / "run/encoder.safetensors")
    return tmp_path / "run"


@pytest.fixture
def trained(tmp_path, tiny_spec, data_root, monkeypatch):
    """A trained run's spec.yaml, the manifest of its data set, and the kinds of jobs that were tracked."""
    NoTracker.kinds = []
    for job in ("pretrain", "transfer", "detect"):
        monkeypatch.setattr(f"ldreg.jobs.{job}.Tracker", NoTracker)
    spec = tmp_path / "results/tiny/runs" / RUN / "spec.yaml"
    write_spec(spec, tiny_spec(), RUN)
    manifest = data_root / "digits/dataset.json"
    with (tmp_path / "terminal.txt").open("w") as terminal:
        pretrain_job(spec, manifest, Execution(), tmp_path / "results", terminal)
    return spec, manifest, NoTracker.kinds


@pytest.fixture
def composed(trained, tmp_path):
    """The settings of a tiny detection, and a composed set for it."""
    settings, composed = tmp_path / "detection.yaml", tmp_path / "composed/composed.json"
    content = {"dataset": "composed_digits", "composed": {"train_images": 8, "val_images": 4}}
    settings.write_text(yaml.safe_dump({**content, "settings": TINY_DETECTION}))
    compose_job(settings, trained[1], composed)
    return settings, composed
