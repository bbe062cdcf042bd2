"""Methods in float64 and without batch norms, on which exact equalities between ways of computing hold."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ldreg.config.run_spec import RunSpec
from ldreg.data.batches import Batch
from ldreg.methods import build_method
from ldreg.methods.base import SelfSupervisedMethod


def build_norm_free(spec: RunSpec, channels: int) -> SelfSupervisedMethod:
    """The method without batch norms: they would see a part of the batch where only a part passes at once."""
    method = build_method(spec, channels).double()
    for parent in list(method.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    # Of the live kNN accuracy, which gives it float32.
    method.encoder.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(), *inputs[1:]))
    return method


def float64_batches(batches: Callable[..., Iterator[Batch]]) -> Callable[..., Iterator[Batch]]:
    """`batches` with inputs in float64."""

    def made(*arguments: object) -> Iterator[Batch]:
        for batch in batches(*arguments):
            yield Batch(tuple(rows.double() for rows in batch.inputs), batch.labels)

    return made


_to_float32 = torch.Tensor.float


def float_keeping_float64(tensor: Tensor) -> Tensor:
    """For `Tensor.float`: rounding must not hide a difference between two ways of computing."""
    return tensor if tensor.dtype == torch.float64 else _to_float32(tensor)
