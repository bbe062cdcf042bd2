"""What Snakemake says before anything runs: the plan of every scale, mistakes, profiles."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from workflow.conftest import job_counts

Workflow = Any  # tests/workflow/conftest.py
Planned = Callable[[str | None], tuple[str, Workflow]]


@pytest.fixture
def workflow(fresh_workflow: Callable[[Path], Workflow], tmp_path: Path) -> Workflow:
    return fresh_workflow(tmp_path)


@pytest.fixture(scope="module")
def planned(fresh_workflow: Callable[[Path], Workflow], tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """`planned(scale)`: what a dry run of a whole scale says, made once, and the folder in which it was."""

    @cache
    def plan(scale: str | None) -> tuple[str, Workflow]:
        workflow = fresh_workflow(tmp_path_factory.mktemp("planned"))
        return workflow.dry_run(scale=scale), workflow

    return plan


# Runs, counted by hand in tests/test_scale_files.py. ImageNet is nobody's here: a plan needs no data.
CORE = ("table1_simclr", "summary_simclr", "figure3", "figure5", "claims")
TABLES = [f"table{number}" for number in (1, 2, *range(4, 17))]
FIGURES = ["figure1", "figure2a", "figure2b", "figure2cd", "figure4"]
BEYOND = ("lid_in_batches", "measures", "accuracy_and_lid", "equal_cost", "protocols")
SMALL = (*CORE, *TABLES, *FIGURES, "settings_simclr_vit", "summary", "claims_all", "significance", *BEYOND)


@pytest.mark.parametrize(
    ("scale", "runs", "exhibits", "measurements"),
    [
        # 3 seeds in the core, 1 elsewhere; two data sets to transfer to.
        (
            None,
            21 + 31 + 14,
            (*SMALL, "surface", "table3"),
            {"offer": 2, "transfer": 2, "compose": 1, "detect": 2, "lid_error": 6, "step_cost": 6 + 8}
            | {"linear_paper": 6},
        ),
        (
            "config/cifar10.yaml",
            3 * 38 + 6 + 14,
            (*SMALL, "surface"),
            {"offer": 3, "transfer": 6, "lid_error": 6, "step_cost": 6 + 3 * 8, "linear_paper": 6},
        ),
        ("config/cifar10_cpu.yaml", 2, ("table1_simclr", "summary_simclr", "claims", "protocols"), None),
        (
            "config/imagenet.yaml",
            44,
            (*SMALL, "table2_encoders", "table3_encoders", "table3"),
            {"offer": 6, "transfer": 4, "coco": 1, "detect": 6, "lid_error": 2, "step_cost": 2 + 8}
            | {"linear_paper": 44},  # the paper's protocol is what this scale reports
        ),
    ],
)
def test_jobs_of_a_scale(
    planned: Planned,
    scale: str | None,
    runs: int,
    exhibits: tuple[str, ...],
    measurements: dict[str, int] | None,
) -> None:
    told, workflow = planned(scale)
    expected = {
        "data": 1,
        "pretrain": runs,
        "measure": runs,
        **dict.fromkeys(exhibits, 1),
        "site": 1,
        "track": 1,
        "all": 1,
    }
    if measurements:
        expected |= {"synthetic": 2, "tsne": 4, **measurements}
    else:
        expected |= {"linear_paper": runs}
    assert job_counts(told) == expected
    name = Path(scale).stem if scale else "demo"
    assert [path.name for path in workflow.path("results").iterdir()] == [name]


@pytest.mark.parametrize(
    ("scale", "runs"), [(None, 21), ("config/cifar10.yaml", 21), ("config/imagenet.yaml", 7)]
)
def test_jobs_of_the_core(workflow: Workflow, scale: str | None, runs: int) -> None:
    expected = {"data": 1, "pretrain": runs, "measure": runs, "synthetic": 1, **dict.fromkeys(CORE, 1)}
    if scale == "config/imagenet.yaml":  # which reports the linear accuracy of the paper's protocol
        expected |= {"linear_paper": runs}
    assert workflow.jobs("core", scale=scale) == {**expected, "track": 1, "core": 1}


@pytest.mark.parametrize(
    ("scale", "baseline", "seeds"),
    [
        (None, "simclr-small_cnn/none", 3),
        ("config/cifar10.yaml", "simclr-resnet18_cifar/none", 3),
        ("config/imagenet.yaml", "simclr-resnet50/none", 1),
        ("config/imagenet.yaml", "byol-resnet50/none", 1),
    ],
)
def test_a_shared_baseline_is_trained_once(
    planned: Planned, scale: str | None, baseline: str, seeds: int
) -> None:
    """Though Tables 1, 12, 13 and 14 show SimCLR's, and Tables 1 and 16 BYOL's."""
    told, _ = planned(scale)
    trained = re.findall(rf"Pretrain {baseline}/seed(\d+)$", told, re.MULTILINE)
    assert sorted(trained) == [str(seed) for seed in range(seeds)]


def test_one_exhibit_by_its_name(workflow: Workflow) -> None:
    assert workflow.jobs("table1_simclr") == {"data": 1, "pretrain": 4, "measure": 4, "table1_simclr": 1}


def test_core_is_what_the_scale_says(workflow: Workflow) -> None:
    workflow.edit(lambda content: content.update(core=["claims"]))
    assert workflow.jobs("core") == {
        "data": 1,
        "pretrain": 4,
        "measure": 4,
        "claims": 1,
        "track": 1,
        "core": 1,
    }


def test_the_launch_follows_from_the_resources(workflow: Workflow) -> None:
    done = workflow.run(
        "--dry-run", "--printshellcmds", "table1_simclr", "--config", "execution={gpus: 4, precision: bf16}"
    )
    commands = re.findall(r"ldreg (?:pretrain|measure) .*", done.stdout + done.stderr)
    assert len(commands) == 8
    for command in commands:
        pretraining = command.startswith("ldreg pretrain")
        assert (
            ("--gpus 4 " in command and "--precision bf16" in command)
            if pretraining
            else "--gpus 1 " in command
        )


def test_a_step_is_timed_as_it_is_trained_and_before_anything_is(workflow: Workflow) -> None:
    """With the ranks and the precision of pretraining, of the spec and the data alone."""
    workflow.edit(lambda content: content["exhibits"].update(table4=None))
    file = f"results/tiny/runs/{workflow.runs[2]}/step_cost.json"
    given = ["--config", "execution={gpus: 4, precision: bf16, micro_batch: 8, monitors: false}"]
    done = workflow.run("--dry-run", "--printshellcmds", file, *given)
    (command,) = re.findall(r"ldreg step-cost .*", done.stdout + done.stderr)
    assert "--gpus 4 --nodes 1 " in command and "--precision bf16" in command
    assert "--micro-batch 8" in command and "monitors" not in command
    assert workflow.jobs(file) == {"data": 1, "step_cost": 1}
    assert workflow.jobs("table4")["step_cost"] == 4


def test_more_epochs_get_more_time(workflow: Workflow) -> None:
    rules = workflow.path("workflow/rules/runs.smk")
    # Of a rule that has a message, a dry run tells this alone.
    rules.write_text(re.sub(r"    message:\n.*\n", "", rules.read_text()))
    done = workflow.run("--dry-run", scale="config/imagenet.yaml")
    told = re.findall(
        r"^rule (pretrain|measure):$.*?wildcards: run=(\S+)$.*?runtime=(\d+)",
        done.stdout + done.stderr,
        re.MULTILINE | re.DOTALL,
    )
    hours = {(rule, run): int(minutes) / 60 for rule, run, minutes in told}
    longest = "simclr-resnet50-batch_size4096-epochs1000/none/seed0"
    assert hours["pretrain", "simclr-resnet50/none/seed0"] == 50
    assert hours["pretrain", "mae-vit_b16/none/seed0"] == 100
    assert (hours["pretrain", longest], hours["measure", longest]) == (500, 50)


def _spoil(workflow: Workflow, mistake: str) -> None:
    if mistake == "no name":
        workflow.edit(lambda content: content.pop("scale"))
    elif mistake == "negative beta":
        workflow.edit(lambda content: content["exhibits"]["figure5"]["runs"][1].update(beta=[0.1, -1]))
    elif mistake == "broken YAML":
        workflow.path("config/demo.yaml").write_text("scale: demo\nrun: [1\n")
    elif mistake == "twice":
        workflow.path("tiny.yaml").open("a").write("seeds: [0]\n")


@pytest.mark.parametrize(
    ("mistake", "scale", "arguments", "error"),
    [
        # Nothing of the demo must fill the gap.
        ("no name", "tiny.yaml", (), "tiny.yaml: scale: missing; it has no default"),
        (
            "negative beta",
            "tiny.yaml",
            (),
            "tiny.yaml: exhibits.figure5.runs[1].beta: -1 is not allowed; ",
        ),
        ("twice", "tiny.yaml", (), "tiny.yaml: line 68: seeds: given twice, first in line 65;"),
        ("broken YAML", None, (), "config/demo.yaml: line 3: not valid YAML: "),
        (
            "misspelt on the command line",
            None,
            ("--config", "execution={gpuz: 0}"),
            "config/demo.yaml with --config: execution: 'gpuz' is unknown; did you mean 'gpus'?",
        ),
    ],
)
def test_mistake(
    workflow: Workflow, mistake: str, scale: str | None, arguments: tuple[str, ...], error: str
) -> None:
    _spoil(workflow, mistake)
    done = workflow.run("--dry-run", *arguments, scale=scale)
    told = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in told
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {error}")
    assert not workflow.path("results").exists()


def test_data_that_is_not_there(workflow: Workflow) -> None:
    arguments = ["--config", "execution={data: nowhere}", "--cores", "1", "nowhere/imagenet/dataset.json"]
    done = workflow.run(*arguments, scale="config/imagenet.yaml")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert re.search(
        r"^error: nowhere/imagenet/train: no such folder; .*execution\.data", done.stderr, re.MULTILINE
    )
    assert not workflow.path("nowhere/imagenet/dataset.json").exists()
