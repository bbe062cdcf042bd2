"""Optimisers and learning-rate schedule."""

import math
from typing import Any

import torch
from torch import nn

from ldreg.catalogue.optimizers import OPTIMIZERS
from ldreg.config.run_spec import RunSpec


def scaled_lr(spec: RunSpec) -> float:
    """The learning rate after the warm-up, from the base rate and the global batch (paper, tables 5-8)."""
    factor = {"sqrt": math.sqrt(spec.batch_size), "linear": spec.batch_size / 256, "none": 1.0}
    return spec.base_lr * factor[spec.lr_scaling]


def learning_rate(spec: RunSpec, progress: float) -> float:
    """The learning rate after `progress` epochs: linear from 0 over the warm-up, then half a cosine.

    The cosine ends at `final_lr_factor` of its beginning.
    """
    if progress < spec.warmup_epochs:
        return scaled_lr(spec) * progress / spec.warmup_epochs
    done = (progress - spec.warmup_epochs) / (spec.epochs - spec.warmup_epochs)
    left = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return scaled_lr(spec) * (left + spec.final_lr_factor * (1 - left))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group the learning rate `lr`, times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]


def parameter_groups(spec: RunSpec, module: nn.Module) -> list[dict[str, Any]]:
    """Every trainable parameter of `module` once, in groups for the optimiser, with the names of each.

    LARS and SGD leave biases and norms out of the weight decay, and LARS also out of its adaptation; AdamW
    decays all parameters alike, as the authors' code does.
    """
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if OPTIMIZERS[spec.optimizer].decays_biases:
        return [_group(trained, spec.weight_decay, 1.0)]
    weights = [(name, p) for name, p in trained if p.ndim > 1]
    rest = [(name, p) for name, p in trained if p.ndim <= 1]
    return [
        _group(weights, spec.weight_decay, 1.0),
        {**_group(rest, 0.0, spec.bias_lr_factor), "adapt": False},  # a setting of LARS, void for the others
    ]


def _group(parameters: list[tuple[str, nn.Parameter]], decay: float, lr_factor: float) -> dict[str, Any]:
    return {
        "names": [name for name, _ in parameters],
        "params": [parameter for _, parameter in parameters],
        "weight_decay": decay,
        "lr_factor": lr_factor,
    }


def build_optimizer(spec: RunSpec, module: nn.Module) -> torch.optim.Optimizer:
    """The run's optimiser over `parameter_groups`; rates are set by `set_learning_rate`."""
    groups, lr = parameter_groups(spec, module), scaled_lr(spec)
    block = OPTIMIZERS[spec.optimizer]
    constants: dict[str, Any] = dict(block.constants)
    if "beta1" in constants:
        constants["betas"] = (constants.pop("beta1"), spec.adam_beta2)
    return block.implementation.load()(groups, lr=lr, **constants)
