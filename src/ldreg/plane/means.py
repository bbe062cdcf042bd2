"""What the arithmetic mean of LIDs does as an objective, beside the geometric mean (appendix D).

The paper argues, without an experiment, that the arithmetic mean weighs samples of high LID most, so that it
can be raised by making the LID of few samples very high. Here free points ascend either mean.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ldreg.lid import geometric_mean
from ldreg.plane.layers import lid_with_all_gradients

OBJECTIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "arithmetic": lambda lid: lid.mean(),
    "geometric": lambda lid: lid.log().mean(),  # its logarithm, as in LDReg
}


def ascend(points: Tensor, objective: str, k: int, steps: int, rate: float) -> dict[str, float]:
    """How the rise of LID is shared among points (n, 2) that move freely so that a mean of their LIDs rises.

    Args:
        objective: "arithmetic" or "geometric".
        k: neighbourhood size of the LIDs.
        steps: of Adam.
        rate: its learning rate, in the unit of the points.

    Returns:
        `risen`: the share of the points whose LID is higher in the end. `half_of_rise`: the smallest share of
        the points that holds half of the rise of all points whose LID rises. `mean`, `mlid`, `highest`: of
        the LIDs in the end.
    """
    free = points.clone().requires_grad_()
    optimizer = torch.optim.Adam([free], lr=rate)
    for _ in range(steps):
        loss = -OBJECTIVES[objective](lid_with_all_gradients(free, k))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    before, after = lid_with_all_gradients(points, k), lid_with_all_gradients(free.detach(), k)
    return {
        "risen": float((after > before).float().mean()),
        "half_of_rise": share_of_half((after - before).clamp(min=0)),
        "mean": float(after.mean()),
        "mlid": float(geometric_mean(after)),
        "highest": float(after.max()),
    }


def share_of_half(values: Tensor) -> float:
    """The smallest share of the values (n,), none negative, whose sum is at least half of all.

    >>> share_of_half(torch.ones(4)), share_of_half(torch.tensor([9.0, 1.0, 1.0, 1.0]))
    (0.5, 0.25)
    """
    sums = values.double().sort(descending=True).values.cumsum(0)
    return (int((sums < sums[-1] / 2).sum()) + 1) / len(values)
