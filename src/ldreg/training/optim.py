"""The optimiser of a run and its learning-rate schedule."""

import math
from typing import Any

import torch
from torch import nn

from ldreg.catalogue.optimizers import OPTIMIZERS
from ldreg.config.run_spec import RunSpec


def scaled_lr(spec: RunSpec) -> float:
    """Return the learning rate after the warm-up, scaled by the global batch size (LDReg, Tables 5-8)."""
    factor = {"sqrt": math.sqrt(spec.batch_size), "linear": spec.batch_size / 256, "none": 1.0}
    return spec.base_lr * factor[spec.lr_scaling]


def learning_rate(spec: RunSpec, progress: float) -> float:
    """Return the learning rate after `progress` epochs.

    It rises linearly from 0 during the warm-up, and then falls along half a cosine to `final_lr_factor` times
    its highest value.
    """
    if progress < spec.warmup_epochs:
        return scaled_lr(spec) * progress / spec.warmup_epochs
    done = (progress - spec.warmup_epochs) / (spec.epochs - spec.warmup_epochs)
    left = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return scaled_lr(spec) * (left + spec.final_lr_factor * (1 - left))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group to `lr` times the factor of the group."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]


def parameter_groups(spec: RunSpec, module: nn.Module) -> list[dict[str, Any]]:
    """Return the parameter groups for the optimiser: every trainable parameter of `module`, with its name.

    LARS and SGD apply no weight decay to biases and norms, and LARS does not adapt their rate either. As in
    the authors' code, AdamW applies weight decay to all parameters.
    """
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if OPTIMIZERS[spec.optimizer].decays_biases:
        return [_group(trained, spec.weight_decay, 1.0)]
    weights = [(name, p) for name, p in trained if p.ndim > 1]
    rest = [(name, p) for name, p in trained if p.ndim <= 1]
    return [
        _group(weights, spec.weight_decay, 1.0),
        {**_group(rest, 0.0, spec.bias_lr_factor), "adapt": False},  # only LARS reads `adapt`
    ]


def _group(parameters: list[tuple[str, nn.Parameter]], decay: float, lr_factor: float) -> dict[str, Any]:
    return {
        "names": [name for name, _ in parameters],
        "params": [parameter for _, parameter in parameters],
        "weight_decay": decay,
        "lr_factor": lr_factor,
    }


def build_optimizer(spec: RunSpec, module: nn.Module) -> torch.optim.Optimizer:
    """Build the optimiser of a run over `parameter_groups`; `set_learning_rate` sets its rate per step."""
    groups, lr = parameter_groups(spec, module), scaled_lr(spec)
    block = OPTIMIZERS[spec.optimizer]
    constants: dict[str, Any] = dict(block.constants)
    if "beta1" in constants:
        constants["betas"] = (constants.pop("beta1"), spec.adam_beta2)
    return block.implementation.load()(groups, lr=lr, **constants)
