"""Optimisers and learning-rate schedule."""

import math

import torch
from torch import nn

from ldreg.spec import RunSpec


def scaled_lr(spec: RunSpec) -> float:
    """The learning rate after the warm-up, from the base rate and the global batch (paper, tables 5-8)."""
    factor = {"sqrt": math.sqrt(spec.batch_size), "linear": spec.batch_size / 256, "none": 1.0}
    return spec.base_lr * factor[spec.lr_scaling]


def learning_rate(spec: RunSpec, progress: float) -> float:
    """The learning rate after `progress` epochs: linear from 0 over the warm-up, then half a cosine to 0."""
    if progress < spec.warmup_epochs:
        return scaled_lr(spec) * progress / spec.warmup_epochs
    done = (progress - spec.warmup_epochs) / (spec.epochs - spec.warmup_epochs)
    return scaled_lr(spec) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def build_optimizer(spec: RunSpec, module: nn.Module) -> torch.optim.Optimizer:
    """The run's optimiser over all trainable parameters of `module`.

    LARS and SGD leave biases and norms out of the weight decay, and LARS also out of its adaptation; AdamW
    decays all parameters alike, as the authors' code does.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    lr = scaled_lr(spec)
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(trained, lr=lr, betas=(0.9, 0.999), weight_decay=spec.weight_decay)
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": spec.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if spec.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9)
    from lightly.utils.lars import LARS

    # lightly's LARS adapts exactly the groups that decay: the exclusion that the paper's Table 5 asks for.
    return LARS(groups, lr=lr, momentum=0.9, trust_coefficient=0.001)
