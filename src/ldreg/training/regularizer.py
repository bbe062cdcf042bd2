"""The regulariser of a run, built from its block in the catalogue."""

from torch import nn

from ldreg.catalogue.regularizers import REGULARIZERS
from ldreg.config.run_spec import RunSpec


def build_regularizer(spec: RunSpec) -> nn.Module | None:
    """Build the regulariser of a run with the settings of its spec; None if the run has none."""
    block = REGULARIZERS[spec.regularizer]
    if block.implementation is None:
        return None
    settings = {key: getattr(spec, key) for key in block.settings}
    return block.implementation.load()(**settings, **block.arguments)
