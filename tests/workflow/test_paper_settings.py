"""config/imagenet.yaml against the project's copy of the paper's settings, config/paper/settings.csv.

A row names the runs it is about (an empty cell: all; several values: any of them), a key and a value. Rows
that name the same runs and the same key are the values that these runs have between them.
"""

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from ldreg.catalogue.methods import METHODS
from ldreg.config.detection import DetectionSettings
from ldreg.config.run_spec import RunSpec
from ldreg.config.scale_file import Evaluation, Transfer
from ldreg.detection.model import build_detector
from ldreg.evaluation.linear import LinearSettings
from ldreg.evaluation.transfer import paper_setting
from ldreg.exhibits.paper.settings import STATUS
from ldreg.jobs.transfer import classifier_settings
from ldreg.models.networks import build_backbone
from ldreg.training.optim import build_optimizer
from ldreg.workflow.scale import Scale

CONFIG = Path(__file__).resolve().parents[2] / "config"
SCALE = Scale.read(CONFIG / "imagenet.yaml")
ROWS = pd.read_csv(CONFIG / "paper/settings.csv", dtype=str, keep_default_na=False)
REPORTED = pd.read_csv(CONFIG / "paper/reported.csv", dtype={"epochs": float, "batch_size": float})
WHERE = ["exhibit", "method", "backbone", "regularizer", "epochs", "batch_size"]
GROUPS = {key: rows for key, rows in ROWS.groupby([*WHERE, "key"], sort=False)}
RUNS = [(exhibit, spec) for exhibit in SCALE.exhibits for spec in SCALE.runs_of(exhibit).values()]
OF_THE_SCALE = ("evaluation", "transfer", "detection", "execution")
# Of every run; the others a run has only where they are set at all, or by its optimiser or regulariser.
ALWAYS = {
    "dataset",
    "image_size",
    "batch_size",
    "epochs",
    "warmup_epochs",
    "optimizer",
    "base_lr",
    "lr_scaling",
}
ALWAYS |= {"final_lr_factor", "weight_decay", "acts_on"}
VIEW = ("crop_scale", "crop_ratio", "interpolation", "flip", "jitter", "brightness", "contrast", "saturation")
VIEW += ("hue", "grayscale", "blur", "blur_sigma", "solarize")


def about(where: tuple[str, ...], exhibit: str, spec: RunSpec) -> bool:
    """Whether the runs that a row names include this one."""
    run = {"exhibit": exhibit, **{key: str(getattr(spec, key)) for key in WHERE[1:]}}
    return all(not cell or run[key] in cell.split() for key, cell in zip(WHERE, where, strict=True))


def found(key: str, spec: RunSpec) -> Iterator[Any]:
    """The values that a run has of a row's key."""
    head, *rest = key.split(".")
    if head == "views":
        views = spec.views if len(rest) == 1 else [spec.views[int(rest[0])]]
        yield from (getattr(view, rest[-1]) for view in views)
    elif head == "optimizer" and rest:
        yield optimizer(spec)[rest[0]]
    elif head == "detection":
        built = detector() if rest[0] not in DetectionSettings.model_fields else {}
        yield built[rest[0]] if built else getattr(SCALE.content.detection.settings, rest[0])
    elif head == "transfer":
        yield transfer(spec)[".".join(rest)]
    elif head in ("evaluation", "execution"):
        yield getattr(getattr(SCALE.content, head), rest[0])
    else:
        yield getattr(spec, key)


def optimizer(spec: RunSpec) -> dict[str, Any]:
    """What is inside the run's optimiser: of the weights, and the decay of all else."""
    weights, *rest = build_optimizer(spec, torch.nn.Linear(2, 2)).param_groups
    inside = {**weights, "decay_of_biases_and_norms": rest[0]["weight_decay"] if rest else None}
    return inside | {"beta1": weights["betas"][0] if "betas" in weights else None}


@functools.cache
def detector() -> dict[str, Any]:
    """How the detector is built, beside its settings."""
    encoder, _ = build_backbone("resnet50", channels=3)
    built = build_detector(encoder, "resnet50", 80, SCALE.content.detection.settings)
    (res5, norm), resize = built.roi_heads.box_head.layers, built.transform
    sides = {
        layer.kernel_size[0]
        for stage in (built.backbone.layers, res5)
        for name, layer in stage.named_modules()
        # The shortcut's has a stride in either kind of block.
        if isinstance(layer, torch.nn.Conv2d) and layer.stride != (1, 1) and name.endswith(("conv1", "conv2"))
    }
    image = torch.full((3, 4, 4), 0.25)
    std = float(image.mean() / resize.normalize(image).mean())
    return {
        "norm_after_res5": int(isinstance(norm, torch.nn.BatchNorm2d)),
        "frozen_layers": sum(not parameter.requires_grad for parameter in built.parameters()),
        "image_mean": float(resize.normalize(torch.zeros(3, 4, 4)).mean()),
        "image_std": std,
        "stride_in_convolution": sides.pop() if len(sides) == 1 else sides,
    }


def transfer(spec: RunSpec) -> dict[str, Any]:
    """How encoders of this run's scale are tested on other data sets, as the job has it of transfer.yaml."""
    block = SCALE.content.transfer
    settings = classifier_settings(block)
    # Of each data set, and of all but the one that has a rate of its own.
    one_by_one = {name: paper_setting(name) for name in block.datasets}
    rates = {f"lr.{name}": setting.lr for name, setting in one_by_one.items()}
    (common,) = {setting.lr for name, setting in one_by_one.items() if name != "birdsnap"}
    (decay,) = {setting.weight_decay for setting in one_by_one.values()}
    assert settings.reported == "paper" and settings.train_images is None
    linear = settings.linear
    return rates | {
        "datasets": block.datasets,
        "epochs": linear.epochs,
        "batch_size": linear.batch_size,
        "lr": common,
        "weight_decay": decay,
        "decay_of_biases": decay if linear.decay_biases else 0.0,
        "momentum": linear.momentum,
        "nesterov": float(linear.nesterov),
        "schedule": settings.shared["schedule"],
        "image_size": spec.image_size,
    }


def parsed(text: str, like: Any) -> Any:
    if isinstance(like, tuple):
        return tuple(type(like[0])(part) for part in text.split("-"))
    return text if isinstance(like, str) else float(text)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: " ".join(filter(None, group)))
def test_the_runs_have_the_papers_settings(group: tuple[str, ...]) -> None:
    *where, key = group
    rows = GROUPS[group]
    specs = [spec for exhibit, spec in RUNS if about(tuple(where), exhibit, spec)]
    assert specs, "no run is named"
    head, _, name = key.partition(".")
    if rows["here"].any() and head in OF_THE_SCALE:  # another way here, as the row says
        blocks = {"evaluation": Evaluation, "transfer": Transfer}
        assert head not in blocks or name not in blocks[head].model_fields
        return
    ours = {value for spec in specs for value in found(key, spec)}
    if rows["here"].any():  # another value of a run here, with which the words begin
        (here,) = rows["here"]
        assert ours == {parsed(here.partition(":")[0], next(iter(ours)))}
        return
    assert ours == {parsed(text, next(iter(ours))) for text in rows["value"]}


BEYOND = ("accuracy_and_lid", "lid_in_batches", "equal_cost")  # exhibits that the paper does not have


@pytest.mark.parametrize(
    "run", dict.fromkeys(run for name in SCALE.exhibits if name not in BEYOND for run in SCALE.runs_of(name))
)
def test_every_setting_of_every_run_is_in_the_table(run: str) -> None:
    spec = SCALE.runs[run]
    exhibits = [exhibit for exhibit in SCALE.exhibits if run in SCALE.runs_of(exhibit)]
    keys = {group[-1] for group in GROUPS for exhibit in exhibits if about(group[:-1], exhibit, spec)}
    wanted = ALWAYS | set(METHODS[spec.method].settings)
    wanted |= {"adam_beta2", "optimizer.beta1"} if spec.optimizer == "adamw" else {"optimizer.momentum"}
    wanted |= {"bias_lr_factor"} if spec.bias_lr_factor != 1 else set()
    wanted |= {"jitter"} if spec.jitter != 1 else set()
    if spec.regularizer != "none":
        wanted |= {"beta", "regularizer_start"} | ({"k"} if spec.k else set())
    assert sorted(wanted - keys) == []
    plain = type(spec.views[0])()
    for number, view in enumerate(spec.views):
        differing = {key for key in VIEW if getattr(view, key) != getattr(plain, key)}
        covered = {key for key in VIEW if {f"views.{key}", f"views.{number}.{key}"} & keys}
        covered |= {"brightness", "contrast", "saturation", "hue"} if "jitter" in keys else set()
        assert sorted(differing - covered) == []


def test_every_setting_of_the_detector_is_the_papers() -> None:
    """imagenet.yaml has the defaults; each stands in the table, against which the rows' own test holds it."""
    assert SCALE.content.detection.settings == DetectionSettings()
    keys = {key.removeprefix("detection.") for key in ROWS["key"] if key.startswith("detection.")}
    assert sorted(DetectionSettings.model_fields.keys() - keys) == []


def test_what_linear_evaluation_does_instead_is_what_its_code_does() -> None:
    """Its settings are no keys of a scale file: the table says them in words."""
    here = {key: here for key, here in zip(ROWS["key"], ROWS["here"], strict=True) if here}
    ours = LinearSettings(epochs=1, batch_size=1, learning_rates=(0.1,))
    said = here["evaluation.linear_optimizer"]
    assert said == f"SGD with momentum {ours.momentum} on stored representations" and not ours.nesterov
    assert float(here["evaluation.linear_weight_decay"]) == ours.weight_decay


def test_sources_and_status_are_named() -> None:
    assert {*ROWS["status"]} == {*STATUS}
    assert ROWS["source"].all() and ROWS["value"].all()
    assert not ROWS.duplicated([*WHERE, "key", "value"]).any()


HEAD = {"projector", "temperature"}
CURVE = {"optimizer", "base_lr", "lr_scaling", "weight_decay"}
COLOURS = {"views.brightness", "views.contrast", "views.saturation", "views.hue"}
ALIKE = {"views.flip", "views.jitter", "views.grayscale"} | COLOURS
EVALUATION = {f"evaluation.linear_{key}" for key in ("epochs", "final_lr_factor", *CURVE)}
# What the paper's tables of settings print, and of which methods; copied from its appendix F.
TABLES = {
    "5": ({"simclr"}, HEAD | CURVE),
    "6": ({"simclr_tuned"}, HEAD | CURVE),
    "7": ({"byol"}, CURVE | {"projector", "predictor", "momentum"}),
    "8": ({"mae"}, CURVE | {"optimizer.beta1", "adam_beta2"}),
    "9": ({""}, EVALUATION),
    "10": ({"simclr"}, ALIKE | {"views.blur"}),
    "11": (
        {"simclr_tuned byol"},
        ALIKE | {f"views.{n}.{key}" for n in (0, 1) for key in ("blur", "solarize")},
    ),
}


@pytest.mark.parametrize("number", TABLES)
def test_a_table_is_named_for_what_it_prints_and_for_nothing_else(number: str) -> None:
    methods, keys = TABLES[number]
    rows = ROWS[ROWS["source"].str.match(rf"Table {number}\b")]
    assert ({*rows["method"]}, {*rows["key"]}) == (methods, keys)
    assert {*rows["status"]} == {"printed"}


def test_what_is_printed_nowhere_does_not_say_so() -> None:
    """Printed is what stands in the text, a table or a figure; nothing of another status does."""
    printed = ROWS["status"] == "printed"
    assert ROWS[printed]["source"].str.match(r"(text|Tables?|Figure)\b").all()
    # But for batches of methods whose own papers have others: the default is theirs by assumption.
    others = ROWS[~printed & (ROWS["key"] != "batch_size")]["source"]
    assert not others.str.match(r"(text|Tables?|Figure)\b").any()
    of = {status: {*ROWS[ROWS["status"] == status]["source"].str.split().str[0]} for status in STATUS}
    assert of["code"] == {"released"}
    assert of["own paper"] | of["own code"] == {"MoCo", "VICReg", "VICReg;", "Barlow", "detectron2"}


# What the paper reports is what its exhibits run, but for the second beta of MoCo.
@pytest.mark.parametrize(
    ("exhibit", "reported"),
    [
        ("table1", "table1"),
        ("table2_encoders", "table2"),
        ("table3_encoders", "table3"),
        ("figure5", "figure5"),
        *((f"table{number}", f"table{number}") for number in range(12, 17)),
    ],
)
def test_the_exhibits_run_what_the_paper_reports(exhibit: str, reported: str) -> None:
    rows = REPORTED[REPORTED["exhibit"] == reported]
    keys = ["method", "model", "regularizer", "beta", "k", "epochs", "batch_size"]
    theirs = {tuple(map(_plain, row)) for row in rows[keys].itertuples(index=False)}
    ours = {
        tuple(map(_plain, (s.method, s.backbone, s.regularizer, s.beta, s.k, s.epochs, s.batch_size)))
        for s in SCALE.runs_of(exhibit).values()
    }
    if exhibit == "table15":  # whose batch size is not given
        theirs = {(*row[:-1], 2048.0) for row in theirs}
        ours -= {("moco", "resnet50", "ldreg_l1", 0.005, 128.0, 100.0, 2048.0)}
    controls = {row for row in ours if row[2] == "none"}  # Table 12 and Figure 5 leave out what Table 1 has
    assert theirs in (ours, ours - controls)


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, str) else float(value)
