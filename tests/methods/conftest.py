"""What the methods' tests share: the comparison of a loss with a plain one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

Loss = Callable[..., Tensor]


def _value_and_gradients(loss: Loss, tensors: list[Tensor], autocast: bool = False) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        value = loss(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


@pytest.fixture(scope="session")
def assert_equivalent() -> Callable[..., None]:
    """`assert_equivalent(loss, plain, tensors)`: equal values and gradients with respect to `tensors`.

    To the last digits in float64; in float32 as far as it reaches, and with the same bits in a region of
    mixed precision.
    """

    def check(loss: Loss, plain: Loss, tensors: list[Tensor]) -> None:
        doubles = [tensor.double() for tensor in tensors]
        expected = _value_and_gradients(plain, doubles)
        assert all(gradient.any() for gradient in expected[1:])
        found = _value_and_gradients(loss, doubles)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
        singles = [tensor.float() for tensor in tensors]
        found = _value_and_gradients(loss, singles)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-5 * float(other.abs().max()))
        for one, other in zip(_value_and_gradients(loss, singles, autocast=True), found, strict=True):
            assert torch.equal(one, other)

    return check
