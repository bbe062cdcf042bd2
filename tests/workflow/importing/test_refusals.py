"""Files and runs that `ldreg import` refuses, in one line and with nothing written."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from workflow.importing.conftest import Project, State


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
    allowed = "allowed: a state dict itself, or under state_dict, model_state_dict, model"
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

    monkeypatch.setattr("ldreg.workflow.importing.save_file", full)
    assert tiny.load(tiny.state()) == 1
    assert {path.name for path in tiny.results.iterdir()} == {"spec.yaml"}
