"""The configuration's blocks, checked before anything runs: what a scale file may say."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from ldreg.errors import LdregError
from ldreg.spec import Count, Name, Positive


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Execution(_Block):
    """How runs are executed at this scale; no part of their identity."""

    gpus: Annotated[int, Field(ge=0)] = 0  # per run; 0 means the CPU
    threads: Count = 1  # per job
    workers: Annotated[int, Field(ge=0)] = 0  # decoding processes per rank
    precision: Literal["float32", "bf16"] = "float32"
    memory_mb: Count = 4000  # per job, for a cluster's scheduler
    hours: Positive = 24.0  # time limit per job, for a cluster's scheduler
    data: str = "data"  # folder of the datasets


class Evaluation(_Block):
    """How a trained encoder is measured; a change here measures again and trains nothing."""

    linear_epochs: Count = 100
    linear_batch_size: Count = 256
    linear_learning_rates: tuple[Positive, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.2  # of the training split, to choose the learning rate on
    knn_k: Count = 20
    knn_temperature: Positive = 0.1
    lid_ks: tuple[Annotated[int, Field(ge=2)], ...] = (16, 32, 64)
    lid_batch_rows: Annotated[int, Field(ge=4)] = 2048  # of the mini-batch estimate


class ReportedLid(_Block):
    """Which of the measured LIDs the exhibits show as mLID."""

    estimator: Literal["mom", "mle"]
    k: Annotated[int, Field(ge=2)]
    batch_rows: Annotated[int, Field(ge=4)] | None = None  # null: neighbours among the full split


class Report(_Block):
    mlid: ReportedLid
    effective_rank: Literal["correlation", "covariance", "second_moment"] = "correlation"
    scale_of_paper: bool = False  # only there are levels, not just effects, comparable with the paper's


class Cost(_Block):
    """What a run is expected to cost, for `ldreg plan`, until runs of one's own have been measured."""

    pretrain_hours: Positive  # wall time of one run
    measure_hours: Positive
    source: str
    dataset_gb: Positive  # on disk


class Exhibit(_Block):
    """A table, figure or ledger: the runs it needs and what renders them."""

    renderer: Name
    title: str
    caption: str
    category: str
    runs: tuple[dict[str, Any], ...]
    settings: dict[str, Any] = {}


class ScaleFile(_Block):
    """What `config/<scale>.yaml` may say."""

    scale: Name
    run: dict[str, Any]
    methods: dict[Name, dict[str, Any]] = {}
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    execution: Execution = Execution()
    evaluation: Evaluation = Evaluation()
    report: Report
    cost: Cost
    exhibits: dict[Name, dict[str, Any] | None]
    core: tuple[Name, ...]


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, or a one-line error that says where it is broken."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LdregError(f"{path}: no such file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise LdregError(f"{path}: {line}not valid YAML: {getattr(error, 'problem', error)}") from error
