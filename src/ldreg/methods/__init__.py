"""Self-supervised methods: each maps views to its loss and the representations that a regulariser acts on."""

from ldreg.catalogue.methods import METHODS
from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import SelfSupervisedMethod


def build_method(spec: RunSpec, channels: int) -> SelfSupervisedMethod:
    """The method of a run, for images of `channels` channels; its `encoder` is what is kept in the end."""
    # Imported only now: lightly and timm take seconds, which the methods without them need not wait for.
    return METHODS[spec.method].implementation.load()(spec, channels)
