"""Names of settings, the form in which values are shown, and when two values are the same.

The tables of settings, the captions and the page ask these functions alone, so that they never disagree. A
key is written as in config/paper/settings.csv: `temperature`, `views.0.blur`, `evaluation.linear_epochs`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ldreg.exhibits.output.labels import name, plain, same

_NUMBER = r"\d+(?:\.\d*)?(?:e[+-]?\d+)?"
_LIST_OF_NUMBERS = re.compile(f"{_NUMBER}(?:-{_NUMBER})+")
VALUES = {
    "lars": "LARS",
    "sgd": "SGD",
    "adamw": "AdamW",
    "sqrt": "\u00d7 sqrt(batch)",
    "linear": "\u00d7 batch / 256",
}

# `{}` stands for the regulariser. A key without a label is called by its name without underscores.
LABELS = {
    "dataset": "data set",
    "train_images": "training images",
    "image_size": "image size (pixels)",
    "views": "augmentations",
    "projector": "projector widths",
    "predictor": "predictor widths",
    "momentum": "momentum encoder: momentum at the start",
    "mask_ratio": "share of masked patches",
    "decoder_dim": "decoder width",
    "decoder_depth": "decoder blocks",
    "decoder_heads": "decoder heads",
    "beta": "β of {}",
    "k": "k of {}",
    "acts_on": "what {} acts on",
    "regularizer_start": "share of the epochs before {}",
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
    "execution.precision": "precision of mixed-precision training",
    "crop_scale": "crop: share of the area",
    "crop_ratio": "crop: width / height",
    "rotation": "rotation (degrees)",
    "flip": "flip: probability",
    "views.jitter": "colour jitter: probability",  # the key `jitter` alone is the strength of a run's jitter
    "grayscale": "grayscale: probability",
    "blur": "blur: probability",
    "blur_sigma": "blur: sigma (pixels)",
    "blur_kernel": "blur: kernel, of the width",
    "solarize": "solarisation: probability",
    "learning_rates": "learning rates tried",
    "norm": "norm before the classifier",
    "test_view": "part of a test image that is used",
    "holdout": "share of the training split held out",
}


def label(key: str, regularizer: str = "the regulariser") -> str:
    """The usual name of a setting; `regularizer` is the name of the regulariser that has it.

    >>> label("base_lr"), label("evaluation.linear_epochs"), label("temperature")
    ('base learning rate', 'epochs', 'temperature')
    >>> label("views.1.blur"), label("views.jitter"), label("jitter")
    ('blur: probability', 'colour jitter: probability', 'colour jitter strength s')
    >>> label("beta", "LDReg"), label("acts_on")
    ('β of LDReg', 'what the regulariser acts on')
    """
    key = re.sub(r"^views\.\d\.", "views.", key)
    last = key.rpartition(".")[2].removeprefix("linear_")  # the words around it say of which evaluation
    return (LABELS.get(key) or LABELS.get(last) or plain(last)).format(regularizer)


def parsed(text: str) -> str | list[str]:
    """The parts of a list of numbers that is written with dashes; anything else as it is.

    >>> parsed("2048-128"), parsed("0.08-1"), parsed("1e-6"), parsed("1e-3-0.1")
    (['2048', '128'], ['0.08', '1'], '1e-6', ['1e-3', '0.1'])
    >>> parsed("no crops - at all"), parsed("food101-dtd")
    ('no crops - at all', 'food101-dtd')
    """
    return re.findall(_NUMBER, text) if _LIST_OF_NUMBERS.fullmatch(text) else text


def agree(theirs: Any, ours: Any) -> bool:
    """Whether two settings are the same, part by part where they are lists; each may be text or a value.

    >>> agree("2048-128", [2048, 128]), agree("0.08-1", (0.08, 1.0)), agree("1e-6", 1e-6)
    (True, True, True)
    >>> agree("2048-128", [128, 64]), agree("lars", "adamw"), agree("0.1", None), agree(None, None)
    (False, False, False, True)

    A list of one value equals that value. Words are read as a list where the other side is a list. A missing
    value equals "none".

    >>> agree("128", [128]), agree("food101-dtd", ["food101", "dtd"]), agree("none", None)
    (True, True, True)
    """
    theirs, ours = _parts(theirs, like=ours), _parts(ours, like=theirs)
    return len(theirs) == len(ours) and all(map(same, theirs, ours))


def shown(value: Any) -> str:
    """A setting as tables and sentences show it: widths with hyphens, ranges with a dash, lists with commas.

    >>> shown([2048, 128]), shown([0.003, 0.01, 0.03]), shown("1e-6"), shown("lars")
    ('2048-128', '0.003, 0.01, 0.03', '1e-6', 'LARS')
    >>> shown("0.08-1") == "0.08\\u20131"
    True
    >>> shown(None), shown("1.0"), shown("no crops: stored representations")
    ('none', '1', 'no crops: stored representations')
    """
    value = parsed(value) if isinstance(value, str) else value
    if _is_list(value):
        parts, numbers = [shown(part) for part in value], [_number(part) for part in value]
        if None in numbers:
            return ", ".join(parts)
        if all(number.is_integer() for number in numbers):
            return "-".join(parts)
        return ("\u2013" if len(parts) == 2 else ", ").join(parts)
    if value is None:
        return "none"
    number = _number(value)
    return VALUES.get(value) or name(value) if number is None else name(number)


def listed(values: Iterable[Any]) -> str:
    """The different values, numbers by size, words in order of appearance.

    >>> listed(["0.05", 0.01, "5e-2"]), listed(["small_cnn", "vit_mini", "small_cnn"])
    ('0.01, 0.05', 'small CNN, small ViT')
    """
    found = list(values)
    if all(_number(value) is not None for value in found):
        found.sort(key=float)
    return ", ".join(dict.fromkeys(map(shown, found)))


def _parts(value: Any, like: Any) -> list[Any]:
    if _is_list(value):
        return list(value)
    if isinstance(value, str):
        found = parsed(value)
        if _is_list(like) and found == value and _number(value) is None:
            return value.split("-")
        return found if _is_list(found) else [found]
    return ["none" if value is None else value]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
