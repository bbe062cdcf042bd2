"""Self-supervised methods: each maps views to its loss and the representations that a regulariser acts on."""

from importlib import import_module

from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import Method

_METHODS = {
    "simclr": ("simclr", "SimCLR"),
    "simclr_tuned": ("simclr", "SimCLR"),
    "byol": ("byol", "BYOL"),
    "moco": ("moco", "MoCo"),
    "vicreg": ("vicreg", "VICReg"),
    "barlow_twins": ("barlow_twins", "BarlowTwins"),
    "mae": ("mae", "MAE"),
}


def build_method(spec: RunSpec, channels: int) -> Method:
    """The method of a run, for images of `channels` channels; its `encoder` is what is kept in the end."""
    # Imported now: lightly and timm take seconds, which the methods without them need not wait for.
    module, name = _METHODS[spec.method]
    return getattr(import_module(f"ldreg.methods.{module}"), name)(spec, channels)
