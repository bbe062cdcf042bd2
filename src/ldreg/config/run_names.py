"""Folder names of runs: how they are made from a spec, and how they are parsed."""

from decimal import Decimal
from typing import Any

from ldreg.catalogue.regularizers import REGULARIZER_SETTINGS, REGULARIZERS
from ldreg.config.run_spec import LIST_SETTINGS, RunSpec
from ldreg.errors import LdregError
from ldreg.files import shortened

# Settings without a token of their own: they are implied by other folders or settings, or they are always
# part of the name.
_UNNAMED = {
    *("scale", "views", "method", "backbone", "regularizer", "acts_on", "seed", "recipe"),
    *REGULARIZER_SETTINGS,
}
_REGULARIZER_KEYS = ("regularizer_start",)
_ACTS_ON = "representations"  # the value that names omit, whatever the scale's default is
_NAMED = tuple(key for key in RunSpec.model_fields if key not in _UNNAMED)


def format_run(spec: RunSpec, base: RunSpec) -> str:
    """Return the folder name of a run, which is unique within its scale.

    The name omits settings that equal `base`, the scale's default for the same method and backbone. A part
    that is too long for a file system (more than 255 bytes) ends with a hash of the whole part instead of its
    last settings. Such a name is unique as well, but cannot be parsed.

    Example: `simclr-resnet18_cifar-jitter0.4/ldreg_l1-beta0.01-k64/seed0`
    """
    differing = [key for key in _NAMED if getattr(spec, key) != getattr(base, key)]
    first = [spec.method, spec.backbone]
    first += [_token(key, getattr(spec, key)) for key in differing if key not in _REGULARIZER_KEYS]
    second = [spec.regularizer]
    second += [_token(key, getattr(spec, key)) for key in REGULARIZERS[spec.regularizer].settings]
    if spec.acts_on != _ACTS_ON:
        second.append(_token("acts_on", spec.acts_on))
    second += [_token(key, getattr(spec, key)) for key in differing if key in _REGULARIZER_KEYS]
    return "/".join([shortened("-".join(first)), shortened("-".join(second)), f"seed{spec.seed}"])


def parse_run(name: str) -> dict[str, Any]:
    """Return the settings in a folder name: the inverse of `format_run` for the same base.

    Raises:
        LdregError: if the name does not have the form of a run's name.
    """
    try:
        first, second, seed = name.split("/")
        method, backbone, *tokens = first.split("-")
        regularizer, *more = second.split("-")
        pairs = dict(_untoken(token) for token in tokens + more)
        return {
            "method": method,
            "backbone": backbone,
            "regularizer": regularizer,
            "seed": int(seed.removeprefix("seed")),
            "acts_on": _ACTS_ON,
            **pairs,
        }
    except ValueError as error:
        raise LdregError(
            f"run name {name!r}: expected METHOD-BACKBONE[-KEYVALUE...]/REGULARIZER[-KEYVALUE...]/seedN"
        ) from error


def _token(key: str, value: Any) -> str:
    if isinstance(value, str):
        return f"{key}_{value}"
    if isinstance(value, tuple):
        return key + "x".join(str(part) for part in value)
    if isinstance(value, float):
        # No exponents, because their minus sign would be parsed as a separator. Decimal keeps every digit.
        text = format(Decimal(repr(value)), "f")
        return key + (text.rstrip("0").rstrip(".") if "." in text else text)
    return key + ("all" if value is None else str(value))


def _untoken(token: str) -> tuple[str, Any]:
    keys = [key for key in (*_NAMED, *REGULARIZER_SETTINGS, "acts_on") if token.startswith(key)]
    if not keys:
        raise ValueError(token)
    key = max(keys, key=len)
    text = token.removeprefix(key)
    if text.startswith("_"):
        return key, text[1:]
    if text == "all":
        return key, None
    if key in LIST_SETTINGS:
        return key, tuple(int(part) for part in text.split("x"))
    return key, float(text) if "." in text else int(text)
