"""Self-supervised methods: each maps two views to its loss and the representations that LDReg acts on."""

from torch import nn

from ldreg.methods.simclr import SimCLR
from ldreg.spec import RunSpec

_METHODS = {"simclr": SimCLR}


def build_method(spec: RunSpec, channels: int) -> nn.Module:
    """The method of a run, for images of `channels` channels; its `encoder` is what is kept in the end."""
    return _METHODS[spec.method](spec, channels)
