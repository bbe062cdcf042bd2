"""What every method returns for a batch."""

from typing import NamedTuple

from torch import Tensor


class Step(NamedTuple):
    """One forward pass of a method on this rank's share of the batch."""

    loss: Tensor  # scalar: the method's own loss
    representations: Tensor  # (rows, dim): the encoder's outputs, which the regulariser acts on
