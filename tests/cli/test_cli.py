"""What a user sees who makes a mistake: one line that names file, key, value and what is allowed."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ldreg.cli import main
from ldreg.config.run_spec import write_spec
from ldreg.config.scale_file import Evaluation
from ldreg.data.datasets import load
from ldreg.errors import LdregError
from ldreg.evaluation.measure import measure
from ldreg.workflow.inputs import write_inputs
from ldreg.workflow.scale import Scale

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = "config/demo.yaml"
Fail = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a copy of the configuration and nothing else."""
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fail(folder: Path, capfd: pytest.CaptureFixture[str]) -> Fail:
    """`fail(*arguments)`: the command's error; checks that it is all that the command says and does."""

    def run(*arguments: str) -> str:
        before = sorted(folder.rglob("*"))
        assert main(list(arguments)) == 2
        output, error = capfd.readouterr()
        assert output == ""
        assert error.startswith("error: ") and error.count("\n") == 1 and error.endswith("\n")
        assert sorted(folder.rglob("*")) == before
        return error.removeprefix("error: ").rstrip("\n")

    return run


@pytest.fixture
def run_folder(folder: Path) -> Path:
    """The folder of a run of the demo, with its spec and nothing else."""
    scale = Scale.read(Path(DEMO))
    write_inputs(scale, Path("results"))
    run, spec = next(iter(scale.runs.items()))
    write_spec(Path("results/demo/runs", run, "spec.yaml"), spec, run)
    return Path("results/demo/runs", run)


@pytest.mark.parametrize("place", [DEMO, "mine.yaml"])  # Snakemake too takes a scale file from anywhere
def test_demo_plan_is_told(folder: Path, capfd: pytest.CaptureFixture[str], place: str) -> None:
    if place != DEMO:
        shutil.move(DEMO, place)
    assert main(["plan", place]) == 0
    output, error = capfd.readouterr()
    assert "66 to pretrain" in output and error == ""


@pytest.mark.parametrize("name", ["demo", "methods", "augmentations", "exhibits"])
def test_broken_configuration_file(fail: Fail, name: str) -> None:
    path = Path(f"config/{name}.yaml")
    path.write_text("a:\n  - [1\nb: 2\n")
    assert fail("plan", DEMO).startswith(f"{path}: line 3: not valid YAML: ")
    path.write_text("")
    assert fail("plan", DEMO) == f"{path}: expected keys and values, found nothing"
    path.write_bytes(b"a: \xff\n")
    assert fail("plan", DEMO).startswith(f"{path}: cannot be read: ")
    path.write_text("a: \x00\n")
    assert fail("plan", DEMO).startswith(f"{path}: not valid YAML: ")
    path.unlink()
    assert fail("plan", DEMO) == f"{path}: no such file"


def test_configuration_that_is_a_folder(fail: Fail) -> None:
    assert fail("plan", "config").startswith("config: cannot be read: ")


def test_unknown_data_set(fail: Fail) -> None:
    assert (
        fail("data", "svhn")
        == "dataset: 'svhn' is not known; allowed: digits, mnist, fashion_mnist, cifar10, cifar100, imagenet,"
        " imagenet100, food101, birdsnap, cars, dtd"
    )


def test_data_in_another_place_than_jobs_look_for_it(fail: Fail) -> None:
    assert fail("data", "digits", "--output", "data/numbers/dataset.json").endswith(
        "it must end in digits/dataset.json"
    )


def test_data_goes_where_the_manual_says(folder: Path) -> None:
    assert main(["data", "digits"]) == 0
    assert Path("data/digits/dataset.json").is_file()


def test_imagenet_that_is_not_there(fail: Fail) -> None:
    error = fail("data", "imagenet", "--output", "nowhere/imagenet/dataset.json")
    assert error.startswith("nowhere/imagenet/train: no such folder; ") and "execution.data" in error


@pytest.mark.parametrize("command", ["pretrain", "measure"])
def test_job_without_its_files(fail: Fail, run_folder: Path, data_root: Path, command: str) -> None:
    spec, data, evaluation = (
        run_folder / "spec.yaml",
        "data/digits/dataset.json",
        "results/demo/evaluation.yaml",
    )
    more = [] if command == "pretrain" else ["--evaluation", evaluation]
    if command == "measure":
        assert (
            fail(command, str(spec), "--data", data, "--evaluation", "none.yaml") == "none.yaml: no such file"
        )
        assert fail(command, str(spec), "--data", data, *more) == (
            f"{run_folder}/encoder.safetensors: no such file; train it first: ldreg pretrain {spec}"
        )
        Path(run_folder, "encoder.safetensors").touch()
    error = fail(command, str(spec), "--data", data, *more)
    assert error == f"{data}: not found; prepare it first: ldreg data digits"
    assert fail(command, "no/spec.yaml", "--data", data, *more) == "no/spec.yaml: no such file"
    _set(spec, "jitter", -1)
    assert fail(command, str(spec), "--data", data, *more).startswith(f"{spec}: jitter: -1 is not allowed")


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (None, "no such file; it is what `ldreg data DATASET --offer FILE` writes"),
        ("{", "line 1: not valid JSON: "),
        ('{"name": "digits", "digest": "9a03d039538f94c5"}', "expected dataset, and manifest or unavailable"),
    ],
)
def test_transfer_to_what_nobody_offered(
    fail: Fail, run_folder: Path, content: str | None, wrong: str
) -> None:
    Path(run_folder, "encoder.safetensors").touch()
    if content is not None:
        Path("missing.json").write_text(content)
    settings = ["--settings", "results/demo/transfer.yaml", "--pretrained-on", "data/digits/dataset.json"]
    error = fail("transfer", str(run_folder / "spec.yaml"), *settings, "--data", "missing.json")
    assert error.startswith(f"missing.json: {wrong}")


def test_tampered_evaluation(fail: Fail, run_folder: Path) -> None:
    path = Path("results/demo/evaluation.yaml")
    _set(path, "linear_epoch", 3)
    error = fail(
        "measure", str(run_folder / "spec.yaml"), "--data", "d/digits/d.json", "--evaluation", str(path)
    )
    assert error.startswith(f"{path}: 'linear_epoch' is unknown; did you mean 'linear_epochs'?")


def test_neighbourhood_larger_than_the_test_split(data_root: Path) -> None:
    with pytest.raises(LdregError, match=r"evaluation\.lid_ks: 449 is not allowed; digits.* 448 at most"):
        measure(
            torch.nn.Identity(), load("digits", data_root), 8, Evaluation(lid_ks=(449,)), torch.device("cpu")
        )


def test_gpus_that_the_machine_does_not_have(fail: Fail, run_folder: Path) -> None:
    spec = str(run_folder / "spec.yaml")
    error = fail("pretrain", spec, "--data", "data/digits/dataset.json", "--gpus", "99")
    assert error.startswith("execution.gpus: 99, but this machine shows") and "gpus: 0" in error


def test_exhibit_that_no_spec_describes(fail: Fail) -> None:
    assert fail("exhibit", "no.spec.yaml").startswith("no.spec.yaml: no such file")


def test_exhibit_whose_runs_are_not_measured(fail: Fail, run_folder: Path) -> None:
    error = fail("exhibit", "results/demo/exhibits/table1.spec.yaml")
    assert error.startswith("results/demo/runs/") and "not measured yet" in error


def test_log_that_cannot_be_written(fail: Fail) -> None:
    Path("logs").touch()
    error = fail("data", "digits", "--log", "logs/data.log")
    assert error.startswith("logs/data.log: the log cannot be written")


def test_error_stands_in_the_log_too(folder: Path) -> None:
    done = _process("data", "svhn", "--log", "logs/data.log")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == Path("logs/data.log").read_text() and done.stderr.count("\n") == 1


def test_failure_of_ours_keeps_its_traceback_in_the_log(folder: Path) -> None:
    code = "from ldreg import cli; from ldreg.data import datasets; datasets.prepare = None; exit(cli.main())"
    done = _process("data", "digits", "--log", "data.log", program=("-c", code))
    assert done.returncode == 1
    assert done.stderr == "error: TypeError: 'NoneType' object is not callable (see data.log)\n"
    assert "Traceback" in Path("data.log").read_text()


def _process(
    *arguments: str, program: tuple[str, ...] = ("-m", "ldreg.cli")
) -> subprocess.CompletedProcess[str]:
    """A process of its own: a log takes the descriptors, which pytest has replaced here."""
    return subprocess.run([sys.executable, *program, *arguments], capture_output=True, text=True)


def _set(path: Path, place: str, value: Any) -> None:
    """Set `value` in a YAML file, at e.g. `exhibits.figure5.runs.1.beta`."""
    content = yaml.safe_load(path.read_text())
    *blocks, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    block = content
    for key in blocks:
        block = block.setdefault(key, {}) if isinstance(block, dict) else block[key]
    block[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))
