"""Precise batch-norm statistics for testing."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ldreg.runtime.distributed import sum_over_ranks


@torch.no_grad()
def recompute_batch_norms(model: nn.Module, batches: Iterable[Any]) -> None:
    """Set the running statistics of batch norms to those of their inputs in `batches`, with fixed weights.

    Mean and variance are those of all values on all ranks with equal weights, so the variance includes that
    between batches. detectron2's PRECISE_BN does the same with fvcore of 2021 and later, except that all
    images have equal weights there; earlier versions averaged the variances of batches. If `batches` is
    empty, the statistics do not change.
    """
    norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    # For each norm and channel: the number of values, their sum, and the sum of their squares.
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms}

    def look(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        values = inputs[0].float()
        count = values.numel() // values.shape[1]
        if count:
            variance, mean = torch.var_mean(values, dim=(0, *range(2, values.dim())), correction=0)
            means = torch.stack([torch.ones_like(mean), mean, variance + mean**2]).double()
            sums[norm] = sums[norm].to(means.device) + count * means

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    seen = False
    try:
        for images, targets in batches:
            model(images, targets)
            seen = True
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        return
    for norm in norms:
        count, total, squares = sum_over_ranks(sums[norm].to(norm.running_mean.device))
        norm.running_mean.copy_(total / count)
        norm.running_var.copy_((squares / count - (total / count) ** 2).clamp(min=0))
