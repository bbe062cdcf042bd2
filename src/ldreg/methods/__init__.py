"""Self-supervised methods: each maps views to a loss and to the representations for a regulariser."""

from ldreg.catalogue.methods import METHODS
from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import SelfSupervisedMethod


def build_method(spec: RunSpec, channels: int) -> SelfSupervisedMethod:
    """Build the method of a run for images of `channels` channels; training keeps its `encoder`."""
    # Imported here, because importing lightly and timm takes seconds and not all methods need them.
    return METHODS[spec.method].implementation.load()(spec, channels)
