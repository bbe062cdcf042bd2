"""Weights trained elsewhere become a finished run, or one line says why not and nothing is written."""

import csv
import json
import os
import pickle
import re
import shutil
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
from torch import Tensor, nn

from ldreg.cli import main
from ldreg.config import Execution
from ldreg.importing import HISTORY
from ldreg.inputs import MEASURED, PRETRAINED
from ldreg.networks import build_backbone
from ldreg.pretrain import pretrain
from ldreg.spec import read_spec
from ldreg.tracking import record

REPOSITORY = Path(__file__).resolve().parents[1]
COPIED = ("Snakefile", "workflow", "config", "profiles", "environment.yml")
EVALUATION = {"linear_epochs": 2, "linear_learning_rates": [0.1], "lid_ks": [8], "lid_batch_rows": 64}
SCALE = {
    "scale": "tiny",
    "run": {
        "dataset": "digits",
        "train_images": 128,
        "image_size": 8,
        "backbone": "small_cnn",
        "augmentation": "digits",
        "batch_size": 64,
        "epochs": 2,
        "warmup_epochs": 1,
        "monitor_k": 8,
        "knn_every": 1,
    },
    "methods": {"simclr": {"optimizer": "adamw", "base_lr": 0.003, "lr_scaling": "none", "k": 8}},
    "seeds": [0],
    "evaluation": EVALUATION,
    "report": {"mlid": {"estimator": "mom", "k": 8}},
    "cost": {"pretrain_hours": 1, "measure_hours": 1, "source": "a guess", "dataset_gb": 1},
    "core": ["table1"],
    "exhibits": {"table1": {"runs": [{"method": "simclr", "regularizer": ["none", "ldreg_l1"]}]}},
}

State = dict[str, Any]


class Project:
    """A copy of the workflow with the digits prepared, and a scale file `tiny.yaml` of this backbone."""

    def __init__(self, folder: Path, backbone: str = "small_cnn") -> None:
        self.folder, self.backbone = folder, backbone
        self.run = f"simclr-{backbone}/none/seed0"
        content = SCALE | {"run": SCALE["run"] | {"backbone": backbone}}
        (folder / "tiny.yaml").write_text(yaml.safe_dump(content))

    @property
    def results(self) -> Path:
        """The folder that the run is imported to."""
        return Path("results/tiny/runs", self.run)

    def state(self) -> State:
        """Random weights of the backbone."""
        torch.manual_seed(1)
        return build_backbone(self.backbone, 1, 8)[0].state_dict()

    def load(self, content: Any, *arguments: str, name: str = "weights.pth") -> int:
        """Save `content` and import it; the command's exit status."""
        torch.save(content, name)
        return self.read(name, *arguments)

    def read(self, name: str, *arguments: str) -> int:
        """Import the file `name`; the command's exit status."""
        given = [] if "--run" in arguments else ["--run", self.run]
        return main(["import", name, "--scale", "tiny.yaml", *given, *arguments])

    def encoder(self) -> nn.Module:
        """The network that measuring would make of the run's folder."""
        encoder, _ = build_backbone(self.backbone, 1, 8)
        encoder.load_state_dict(load_file(self.results / "encoder.safetensors"))
        return encoder.eval()


@pytest.fixture
def project(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Project]:
    """`project(backbone)`: a project, which is the working directory."""
    for name in COPIED:
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / name)
    shutil.copytree(data_root, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return lambda backbone="small_cnn": Project(tmp_path, backbone)


@pytest.fixture
def tiny(project: Callable[..., Project]) -> Project:
    """The project with the smallest network."""
    return project()


@pytest.fixture
def fail(tiny: Project, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`fail(name, *arguments)`: the one line of error, after which all files are as they were."""

    def run(name: str, *arguments: str) -> str:
        before = {path: path.stat().st_mtime_ns for path in tiny.folder.rglob("*")}
        assert tiny.read(name, *arguments) == 2
        output, error = capfd.readouterr()
        assert output == "" and error.startswith("error: ") and error.count("\n") == 1
        assert {path: path.stat().st_mtime_ns for path in tiny.folder.rglob("*")} == before
        return error.removeprefix("error: ").rstrip("\n")

    return run


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
    assert record.history(tiny.results, 0) == []
    assert record.job_tags(tiny.results, "pretrain").keys() == {"git_commit", "git_dirty", "imported"}


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
    monkeypatch.setattr("ldreg.jobs.Tracker", lambda *_: nullcontext())
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
    assert record.notes(tiny.results).keys() == {"measure"}


def _rename(state: State, old: str, new: str) -> None:
    state[new] = state.pop(old)


def _spoil(state: State) -> None:
    state["0.weight"][0, 0, 0, :2] = torch.tensor([float("nan"), float("inf")])


HEADS = "projector.*, predictor.*, online_cls.*, linear.*, fc.*, head.*"
NOT_OURS = "weights.pth: these are not small_cnn's weights: "
STATES: dict[str, tuple[Callable[[State], Any], str]] = {
    "missing": (lambda s: s.pop("0.weight"), f"{NOT_OURS}missing 0.weight"),
    "unknown": (
        lambda s: s.update({f"stem.{i}": torch.ones(1) for i in range(5)}),
        f"{NOT_OURS}unknown stem.0, stem.1, stem.2, 2 more; allowed besides: {HEADS}",
    ),
    "renamed": (
        lambda s: _rename(s, "0.weight", "module.first.weight"),
        f"{NOT_OURS}missing 0.weight; unknown module.first.weight; allowed besides: {HEADS}",
    ),
    "no tensor": (
        lambda s: s.update({"1.bias": "none"}),
        "weights.pth: 1.bias: str is not allowed; small_cnn has torch.float32",
    ),
    "whole numbers": (
        lambda s: s.update({"1.bias": torch.ones(32, dtype=torch.int8)}),
        "weights.pth: 1.bias: torch.int8 is not allowed; small_cnn has torch.float32",
    ),
    "another shape": (
        lambda s: s.update({"0.weight": torch.ones(32, 3, 3, 3)}),
        "weights.pth: 0.weight: shape (32, 3, 3, 3), but small_cnn has (32, 1, 3, 3)",
    ),
    "not finite": (_spoil, "weights.pth: 0.weight: 2 of 288 values are not finite torch.float32 numbers"),
    "too large": (
        lambda s: s.update({"1.bias": torch.full((32,), 1e300, dtype=torch.float64)}),
        "weights.pth: 1.bias: 32 of 32 values are not finite torch.float32 numbers",
    ),
    "twice": (
        lambda s: s.update({"module.1.bias": torch.ones(32)}),
        "weights.pth: 1.bias and module.1.bias are both 1.bias of small_cnn",
    ),
}


@pytest.mark.parametrize("what", STATES)
def test_weights_that_do_not_fit(tiny: Project, fail: Any, what: str) -> None:
    change, expected = STATES[what]
    state = tiny.state()
    change(state)
    torch.save(state, "weights.pth")
    assert fail("weights.pth") == expected


class Harmful:
    """Executed by a careless reader, this makes a folder."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.makedirs, ("harm",)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.tar", "weights.safetensors"])
@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_file_is_not_executed(fail: Any, name: str, writer: str) -> None:
    with Path(name).open("wb") as file:
        (torch.save if writer == "torch" else pickle.dump)({"state_dict": Harmful()}, file)
    error = fail(name)
    assert error.startswith(f"{name}: holds ")
    if writer == "torch" and not name.endswith(".safetensors"):
        assert error.startswith(f"{name}: holds os.makedirs, which could run code and is not loaded; ")
    assert not Path("harm").exists()


UNREADABLE: dict[str, Any] = {
    "text": b"not found\n",
    "nothing": b"",
    "a broken archive": b"PK\x03\x04 and no more",
}


@pytest.mark.parametrize("what", UNREADABLE)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_that_holds_no_weights(fail: Any, name: str, what: str) -> None:
    Path(name).write_bytes(UNREADABLE[what])
    assert fail(name) == (
        f"{name}: holds no weights; it should be a state dict saved by torch.save or safetensors"
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"epoch": 3, "model": {"a": 1}}, "the keys epoch, model"),
        ({}, "the keys none"),
        (torch.ones(3), "Tensor"),
        ([torch.ones(3)], "list"),
    ],
)
def test_a_file_without_a_state_dict(fail: Any, content: Any, what: str) -> None:
    torch.save(content, "weights.pth")
    allowed = "allowed: one as it is, or under state_dict, model_state_dict, model"
    assert fail("weights.pth") == f"weights.pth: holds {what} and no state dict; {allowed}"


def test_a_cut_off_download(tiny: Project, fail: Any) -> None:
    torch.save(tiny.state(), "weights.pth")
    os.truncate("weights.pth", 1000)
    assert fail("weights.pth").startswith("weights.pth: holds no weights; ")


def test_files_that_cannot_be(fail: Any) -> None:
    assert fail("weights.pth") == "weights.pth: no such file"
    Path("weights.onnx").touch()
    assert fail("weights.onnx") == (
        "weights.onnx: '.onnx' is not allowed; it should end in .pth, .pt, .tar, .bin, .safetensors"
    )


def test_a_run_that_the_scale_does_not_have(fail: Any) -> None:
    error = fail("weights.pth", "--run", "simclr-small_cnn/ldreg_l1-beta0.1-k16/seed0")
    names = ["simclr-small_cnn/none/seed0", "simclr-small_cnn/ldreg_l1-beta0.01-k8/seed0"]
    assert error == (
        "tiny.yaml: --run: 'simclr-small_cnn/ldreg_l1-beta0.1-k16/seed0' is unknown;"
        f" did you mean {names[1]!r}? allowed: {', '.join(names)}"
    )


def test_data_that_would_be_newer_than_the_run(tiny: Project, fail: Any) -> None:
    torch.save(tiny.state(), "weights.pth")
    shutil.rmtree("data")
    data = "data/digits/dataset.json"
    assert (
        fail("weights.pth")
        == f"{data}: not found or damaged; prepare it first: ldreg data digits --output {data}"
    )


def test_writing_that_fails_leaves_nothing_half_written(
    tiny: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: dict[str, Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("ldreg.importing.save_file", full)
    assert tiny.load(tiny.state()) == 1
    assert {path.name for path in tiny.results.iterdir()} == {"spec.yaml"}
