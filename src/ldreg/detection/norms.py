"""Precise statistics of batch norms, for testing."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ldreg.runtime.distributed import sum_over_ranks


@torch.no_grad()
def recompute_batch_norms(model: nn.Module, batches: Iterable[Any]) -> None:
    """Set batch norms' running statistics to those of all that they see in `batches`, weights at rest.

    Mean and variance are the population's: every value counts once, on whatever rank, so that the variance
    holds that between batches too. So does detectron2's PRECISE_BN with fvcore of 2021 and later (there an
    image counts once, whatever its size); before, it averaged the batches' variances. Without any batches
    they stay as they are.
    """
    norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    # Of each norm: number of values, their sum, and that of their squares, by channel.
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
