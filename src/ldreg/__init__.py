"""LDReg: raise the local intrinsic dimensionality of self-supervised representations.

>>> import torch
>>> from ldreg import LDReg
>>> representations = torch.randn(256, 32, requires_grad=True)
>>> loss = LDReg(beta=0.01, k=64)(representations)  # add it to any self-supervised loss
>>> loss.backward()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ldreg import lid, neighbors, regularizers, spectrum
    from ldreg.regularizers import Covariance, CovarianceVariance, LDReg, MinLID, TargetLID

__all__ = [
    "Covariance",
    "CovarianceVariance",
    "LDReg",
    "MinLID",
    "TargetLID",
    "lid",
    "neighbors",
    "regularizers",
    "spectrum",
]
_MODULES = ("lid", "neighbors", "regularizers", "spectrum")


def __getattr__(name: str) -> Any:
    # Imported on first use, so that the command line need not import torch to read a YAML file.
    if name in _MODULES:
        return import_module(f"ldreg.{name}")
    if name in __all__:
        return getattr(import_module("ldreg.regularizers"), name)
    raise AttributeError(f"module 'ldreg' has no attribute {name!r}")
