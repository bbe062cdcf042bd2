"""LARS (You, Gitman and Ginsburg 2017, "Large batch training of convolutional networks").

Layer-wise adaptive rate scaling as the LDReg authors' public code computes it.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose step on each tensor is scaled by the tensor's own norm.

    For a parameter p with gradient g, and the settings of its group,

        d = g + weight_decay * p
        q = trust_coefficient * |p| / |d|     (1 where either norm is 0, or where the group does not adapt)
        m = momentum * m + q * d
        p = p - lr * m

    with Euclidean norms. The norm below the fraction is that of the whole update d. Some libraries divide by
    |g| + weight_decay * |p| instead, which is larger wherever gradient and weights do not point the same
    way, and adapt only where the weight decay is above 0.

    Args:
        params: parameters, or groups of them. A group may set `adapt` (True by default): False leaves q at
            1, as is usual for biases and for the parameters of norms.
        lr: learning rate, at least 0.
        momentum: in [0, 1).
        weight_decay: at least 0.
        trust_coefficient: eta of the LARS paper, above 0.

    Raises:
        ValueError: a setting outside these bounds.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
        >>> weight.grad = torch.tensor([[0.0, 2.0]])
        >>> LARS([weight], lr=1.0, trust_coefficient=0.1).step()  # |p| / |d| = 5 / 2
        >>> weight.data
        tensor([[3.0000, 3.5000]])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
    ) -> None:
        for name, value in (("lr", lr), ("weight_decay", weight_decay)):
            if value < 0:
                raise ValueError(f"{name} must be at least 0, got {value!r}")
        if trust_coefficient <= 0:
            raise ValueError(f"trust_coefficient must be above 0, got {trust_coefficient!r}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum!r}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step of every parameter that has a gradient; gradients are left as they are."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step(parameters, group)

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        # Lists of tensors go through torch's foreach functions: a few kernels instead of several a tensor.
        updates = torch._foreach_add([p.grad for p in parameters], parameters, alpha=group["weight_decay"])
        if group["adapt"]:
            torch._foreach_mul_(updates, self._trust_ratios(parameters, updates, group["trust_coefficient"]))
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, updates)
        torch._foreach_add_(parameters, buffers, alpha=-group["lr"])

    @staticmethod
    def _trust_ratios(parameters: list[Tensor], updates: list[Tensor], coefficient: float) -> list[Tensor]:
        """q of each tensor, a scalar on its device; no value is read by the host, which would wait for it."""
        norms, of_updates = (torch.stack(torch._foreach_norm(each)) for each in (parameters, updates))
        defined = (norms > 0) & (of_updates > 0)
        ratios = torch.where(defined, coefficient * norms / of_updates.where(defined, 1), 1)
        return list(ratios.unbind())
