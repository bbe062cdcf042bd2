"""The settings that the paper gives (config/paper/settings.csv), and whether ours are the same."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ldreg.config.run_spec import RunSpec, ViewSettings
from ldreg.errors import LdregError, unknown
from ldreg.exhibits.output.labels import name, plain, same

# The tables of settings are about the runs of the main table.
RUNS = "table1"
# Keys of what a run's spec does not hold: they begin with a block's name.
NOT_OF_RUNS = ("optimizer.", "evaluation.", "execution.", "transfer.", "detection.")
_LIST = re.compile(r"\d[\d.]*(-\d[\d.]*)+")
_COLUMNS = ("source", "status", "exhibit", "method", "backbone", "regularizer", "epochs", "batch_size")
_COLUMNS += ("key", "value", "here")
VALUES = {
    "lars": "LARS",
    "sgd": "SGD",
    "adamw": "AdamW",
    "sqrt": "\u00d7 sqrt(batch)",
    "linear": "\u00d7 batch / 256",
}

LABELS = {
    "dataset": "data set",
    "train_images": "training images",
    "image_size": "image size (pixels)",
    "projector": "projector widths",
    "predictor": "predictor widths",
    "momentum": "momentum encoder: momentum at the start",
    "mask_ratio": "share of masked patches",
    "decoder_dim": "decoder width",
    "decoder_depth": "decoder blocks",
    "decoder_heads": "decoder heads",
    "beta": "β of LDReg",
    "k": "k of LDReg",
    "acts_on": "LDReg acts on",
    "regularizer_start": "share of the epochs before LDReg",
    "warmup_epochs": "warm-up epochs of the learning rate",
    "base_lr": "base learning rate",
    "lr_scaling": "scaling of the rate",
    "final_lr_factor": "final learning rate / highest",
    "bias_lr_factor": "rate of biases and norms / rate of weights",
    "optimizer.momentum": "optimizer: momentum",
    "optimizer.trust_coefficient": "optimizer: trust coefficient",
    "optimizer.decay_of_biases_and_norms": "optimizer: decay of biases and norms",
    "optimizer.beta1": "optimizer: beta 1",
    "adam_beta2": "optimizer: beta 2",
    "crop_scale": "crop: share of the area",
    "crop_ratio": "crop: width / height",
    "rotation": "rotation (degrees)",
    "flip": "flip: probability",
    "jitter": "colour jitter: probability",
    "grayscale": "grayscale: probability",
    "blur": "blur: probability",
    "blur_sigma": "blur: sigma (pixels)",
    "blur_kernel": "blur: kernel, of the width",
    "solarize": "solarisation: probability",
    "learning_rates": "learning rates tried",
    "norm": "norm before the classifier",
    "test_view": "what of a test image is seen",
    "holdout": "share of the training split held out",
}


@dataclass(frozen=True)
class PaperSetting:
    """One setting of the paper. `here` says what is done instead, where no setting of ours does.

    regularizers: those whose runs have the setting; empty means all.
    """

    values: tuple[str, ...]
    source: str
    here: str = ""
    regularizers: tuple[str, ...] = ()


class PaperSettings:
    """The table of the paper's settings, looked up by method and encoder."""

    def __init__(self, path: Path) -> None:
        """Read the CSV; LdregError when it is missing, lacks a column or has a key that no run can have."""
        if not path.is_file():
            raise LdregError(f"{path}: no such file (the paper's settings)")
        self._table = pd.read_csv(path, dtype=str, keep_default_na=False)
        lacking = [column for column in _COLUMNS if column not in self._table]
        if lacking:
            raise LdregError(f"{path}: no column {', '.join(lacking)}")
        allowed = [*RunSpec.model_fields, *(f"views.{key}" for key in ViewSettings.model_fields)]
        for key in self._table["key"].unique():
            # Of these there may be what is no setting of ours.
            known = key.startswith(NOT_OF_RUNS)
            if not known and re.sub(r"^views\.\d\.", "views.", key) not in allowed:
                raise unknown(f"{path}: key", key, allowed)

    def of(self, method: str, backbone: str) -> dict[str, PaperSetting]:
        """What the paper gives for a method of its main table on one of its encoders, by key."""
        where = {"exhibit": RUNS, "method": method, "backbone": backbone}
        rows = self._about(self._table, where)
        for key in ("epochs", "batch_size"):  # of which further settings depend
            values = set(rows[rows["key"] == key]["value"])
            rows = rows[[not cell or bool(values & set(cell.split())) for cell in rows[key]]]
        own = rows[[bool(cell) for cell in rows["method"]]]  # its own table, which is about this encoder
        encoder = PaperSetting((backbone,), next(iter(own["source"]), ""))
        return {"backbone": encoder} | {
            key: _paper_setting(found) for key, found in rows.groupby("key", sort=False)
        }

    def of_all(self, prefix: str) -> dict[str, PaperSetting]:
        """What it gives for all runs under keys that begin with `prefix`, which is left out."""
        rows = self._table[self._table["key"].str.startswith(prefix)]
        return {
            key.removeprefix(prefix): _paper_setting(found) for key, found in rows.groupby("key", sort=False)
        }

    @staticmethod
    def _about(rows: pd.DataFrame, where: dict[str, str]) -> pd.DataFrame:
        for column, value in where.items():
            rows = rows[[not cell or value in cell.split() for cell in rows[column]]]
        return rows


def _paper_setting(rows: pd.DataFrame) -> PaperSetting:
    sources = [
        row.source if row.status == "printed" else f"{row.source} ({row.status})" for row in rows.itertuples()
    ]
    regularizers = [word for cell in rows["regularizer"] for word in cell.split()]
    return PaperSetting(
        tuple(dict.fromkeys(rows["value"])),
        "; ".join(dict.fromkeys(sources)),
        "; ".join(dict.fromkeys(filter(None, rows["here"]))),
        tuple(dict.fromkeys(regularizers)) if rows["regularizer"].all() else (),
    )


def label(key: str) -> str:
    """What people call a setting.

    >>> label("base_lr"), label("linear_epochs"), label("temperature")
    ('base learning rate', 'epochs', 'temperature')
    """
    key = key.removeprefix("linear_")  # the table's title says it
    return LABELS.get(key) or plain(key)


def parsed(text: str) -> str | list[str]:
    """The parts of a list that is written with dashes; anything else as it is.

    >>> parsed("2048-128"), parsed("0.08-1"), parsed("1e-6"), parsed("no crops - at all")
    (['2048', '128'], ['0.08', '1'], '1e-6', 'no crops - at all')
    """
    return text.split("-") if _LIST.fullmatch(text) else text


def agree(theirs: Any, ours: Any) -> bool:
    """Whether two settings are the same, part by part where they are lists.

    >>> agree("2048-128", [2048, 128]), agree("0.08-1", (0.08, 1.0)), agree("1e-6", 1e-6)
    (True, True, True)
    >>> agree("2048-128", [128, 64]), agree("lars", "adamw"), agree("0.1", None), agree(None, None)
    (False, False, False, True)
    """
    theirs, ours = (parsed(value) if isinstance(value, str) else value for value in (theirs, ours))
    if _is_list(theirs) or _is_list(ours):
        alike = _is_list(theirs) and _is_list(ours) and len(theirs) == len(ours)
        return alike and all(map(same, theirs, ours))
    return same(theirs, ours)


def shown(value: Any) -> str:
    """A setting as a table shows it: widths with hyphens, ranges with a dash, candidates with commas.

    >>> shown([2048, 128]), shown([0.003, 0.01, 0.03]), shown("1e-6"), shown("lars")
    ('2048-128', '0.003, 0.01, 0.03', '1e-6', 'LARS')
    >>> shown("0.08-1") == "0.08\\u20131"
    True
    >>> shown(None), shown("1.0"), shown("no crops: stored representations")
    ('none', '1', 'no crops: stored representations')
    """
    value = parsed(value) if isinstance(value, str) else value
    if _is_list(value):
        parts = [shown(part) for part in value]
        whole = all(float(part).is_integer() for part in value)
        return "-".join(parts) if whole else ("\u2013" if len(parts) == 2 else ", ").join(parts)
    if value is None:
        return "none"
    try:
        return name(float(value))
    except ValueError:
        return VALUES.get(value, name(value))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
