"""Weights trained elsewhere become a finished run."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
import yaml
from safetensors.torch import load_file, save_file
from timm.models import VisionTransformer
from torch import nn
from workflow.importing.conftest import EVALUATION, Project, State

from ldreg.catalogue.measurements import MEASURED, PRETRAINED
from ldreg.cli import main
from ldreg.config.execution import Execution
from ldreg.config.run_spec import read_spec
from ldreg.models.networks import build_backbone
from ldreg.tracking import run_files
from ldreg.training.pretrain import pretrain
from ldreg.workflow.importing import HISTORY


@torch.no_grad()
def _same(first: nn.Module, second: nn.Module, *shape: int) -> bool:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return torch.equal(first.eval()(images), second.eval()(images))


def _as_released(state: State, dim: int) -> State:
    """The layout of the authors' files: the encoder's keys, the projector's and the online classifier's."""
    more = {
        "projector.0.weight": torch.rand(dim, dim),
        "projector.1.num_batches_tracked": torch.tensor(3),
        "online_cls.0.running_mean": torch.rand(dim),
        "online_cls.1.weight": torch.rand(10, dim),
    }
    return state | more


def test_the_authors_resnet50_becomes_a_run_of_the_paper(
    tiny: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(Path("config/imagenet.yaml").read_text())
    content["execution"]["data"] = "data"
    Path("config/imagenet.yaml").write_text(yaml.safe_dump(content))
    Path("data/imagenet").mkdir()
    Path("data/imagenet/dataset.json").write_text('{"name": "imagenet", "classes": 1000, "digest": "d"}')
    network = torchvision.models.resnet50()
    network.fc = nn.Identity()
    state = _as_released(network.state_dict(), 2048)
    torch.save({f"module.{key}": value for key, value in state.items()}, "weights.pt")
    run = "simclr-resnet50/ldreg_l1-beta0.01-k64/seed0"
    assert main(["import", "weights.pt", "--scale", "config/imagenet.yaml", "--run", run]) == 0
    folder = f"results/imagenet/runs/{run}"
    assert capfd.readouterr().out.splitlines() == [
        f"{folder}: resnet50 of weights.pt, 318 tensors; left out: 2 of projector, 2 of online_cls",
        f"next: snakemake {folder}/linear.json --configfile config/imagenet.yaml",
    ]
    encoder, _ = build_backbone("resnet50", 3)
    encoder.load_state_dict(load_file(f"{folder}/encoder.safetensors"))
    assert _same(encoder, network, 2, 3, 64, 64)


@pytest.mark.parametrize(
    ("where", "prefix"),
    [
        ("plain", ""),
        ("state_dict", "module."),
        ("model_state_dict", "module.encoder."),
        ("model", "encoder.module."),
    ],
)
def test_layouts_of_a_resnet(
    project: Callable[..., Project], capfd: pytest.CaptureFixture[str], where: str, prefix: str
) -> None:
    resnet = project("resnet18")
    state = resnet.state()
    network, _ = build_backbone("resnet18", 1)
    network.load_state_dict(state)
    heads = {"fc.weight": torch.rand(10, 512), "layer1.0.total_ops": torch.tensor(7.0)}
    content = {prefix + key: value for key, value in (state | heads).items()}
    assert resnet.load(content if where == "plain" else {where: content, "epoch": 3}) == 0
    assert _same(resnet.encoder(), network, 4, 1, 8, 8)
    made, _, note = capfd.readouterr().out.splitlines()
    assert made.endswith("left out: 1 of fc, 1 of total_ops") and "values in [0, 1]" in note


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth.tar", "weights.bin"])
def test_timms_transformer_with_its_learned_positions(project: Callable[..., Project], name: str) -> None:
    vit = project("vit_mini")
    network = VisionTransformer(8, 4, 1, num_classes=10, embed_dim=128, depth=4, num_heads=4).eval()
    (save_file if name.endswith(".safetensors") else torch.save)(network.state_dict(), name)
    assert vit.read(name) == 0
    images = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(vit.encoder()(images), network.forward_features(images)[:, 0])
    summary = json.loads((vit.results / "summary.json").read_text())
    assert summary["imported"]["left_out"] == {"head": 2}


def test_a_masked_autoencoders_decoder_is_left_out(tiny: Project) -> None:
    decoder = dict.fromkeys(
        ("mask_token", "decoder_blocks.0.norm1.weight", "decoder_pred.bias"), torch.ones(2)
    )
    assert tiny.load(tiny.state() | decoder) == 0
    assert load_file(tiny.results / "encoder.safetensors").keys() == tiny.state().keys()


def test_half_precision_and_missing_counters_of_batches(tiny: Project) -> None:
    state = {key: value for key, value in tiny.state().items() if "num_batches" not in key}
    assert tiny.load({key: value.half() for key, value in state.items()}) == 0
    found = load_file(tiny.results / "encoder.safetensors")
    assert found.keys() == tiny.state().keys()
    for key, value in found.items():
        assert value.dtype == tiny.state()[key].dtype
        assert torch.equal(value, state[key].half().float() if key in state else torch.tensor(0))


def test_the_folder_says_what_is_known_and_no_more(tiny: Project) -> None:
    assert tiny.load(tiny.state()) == 0
    assert {path.name for path in tiny.results.iterdir()} == {"spec.yaml", *PRETRAINED}
    run, spec = read_spec(tiny.results / "spec.yaml")
    summary = json.loads((tiny.results / "summary.json").read_text())
    assert summary.keys() == {
        *("scale", "run", "spec_hash", "dataset", "imported", "git_commit", "git_dirty", "versions")
    }
    assert (summary["run"], summary["spec_hash"]) == (run, spec.hash) == (tiny.run, spec.hash)
    digest = sha256(Path("weights.pth").read_bytes()).hexdigest()
    assert summary["imported"] == {"file": "weights.pth", "sha256": digest, "left_out": {}}
    assert run_files.history(tiny.results, 0) == []
    assert run_files.job_tags(tiny.results, "pretrain").keys() == {"git_commit", "git_dirty", "imported"}


def test_the_history_has_a_trained_runs_columns(tiny: Project, tiny_spec: Any, few_digits: Any) -> None:
    assert tiny.load(tiny.state()) == 0
    spec = tiny_spec(epochs=1, knn_every=1)
    _, trained = pretrain(spec, few_digits, Execution(), torch.device("cpu"), lambda row: None)
    with (tiny.results / "history.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(trained[0]) == list(HISTORY)
    assert rows == []


@pytest.mark.parametrize("backbone", ["small_cnn", "resnet18", "vit_mini"])
def test_an_imported_run_is_measured(
    project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    made = project(backbone)
    assert made.load(made.state()) == 0
    monkeypatch.setattr("ldreg.jobs.measure.Tracker", lambda *_: nullcontext())
    Path("evaluation.yaml").write_text(yaml.safe_dump(EVALUATION))
    spec, data = str(made.results / "spec.yaml"), "data/digits/dataset.json"
    assert main(["measure", spec, "--evaluation", "evaluation.yaml", "--data", data]) == 0
    assert {path.name for path in made.results.iterdir()} == {"spec.yaml", *PRETRAINED, *MEASURED}
    assert json.loads((made.results / "linear.json").read_text())["top1"] > 20


def test_snakemake_goes_on_with_measuring(tiny: Project) -> None:
    assert tiny.load(tiny.state()) == 0
    both = {"measure": 2, "pretrain": 1, "table1": 1, "total": 4}  # the other run is not imported
    assert _jobs("table1") == both
    assert _jobs(str(tiny.results / "linear.json")) == {"measure": 1, "total": 1}


def _jobs(target: str) -> dict[str, int]:
    """How many jobs of each rule Snakemake would run."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["snakemake", "--dry-run", target, "--configfile", "tiny.yaml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = (done.stdout + done.stderr).rpartition("Job stats:")[2]
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}


def test_a_finished_run_is_replaced_only_when_that_is_asked_for(
    tiny: Project, fail: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tiny.load(tiny.state()) == 0
    for name in MEASURED:
        (tiny.results / name).write_text("{}")
    entry = {"pretrain": {"run_id": "a"}, "measure": {"run_id": "b"}}
    (tiny.results / "mlflow.json").write_text(json.dumps(entry))
    before = (tiny.results / "encoder.safetensors").read_bytes()
    capfd.readouterr()
    torch.save({key: value + 1 for key, value in tiny.state().items()}, "other.pth")
    assert fail("other.pth") == (
        f"{tiny.results}: holds {', '.join(PRETRAINED)} already; --force replaces the run"
    )
    torch.save({}, "broken.pth")
    fail("broken.pth", "--force")
    assert tiny.read("other.pth", "--force") == 0
    assert {path.name for path in tiny.results.iterdir()} == {"spec.yaml", "mlflow.json", *PRETRAINED}
    assert (tiny.results / "encoder.safetensors").read_bytes() != before
    assert json.loads((tiny.results / "summary.json").read_text())["imported"]["file"] == "other.pth"
    assert run_files.notes(tiny.results).keys() == {"measure"}
