"""Whatever state is packed comes back exactly: values, types, bits and memory layouts."""

import json
import math
import random
from collections import OrderedDict

import pytest
import torch

from ldreg.runtime.packing import pack, same_bits, unpack

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]


def through_files(state):
    packed, tensors = pack(state)
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    return unpack(json.loads(json.dumps(packed, allow_nan=False)), tensors)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and same_bits(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and same(list(one.items()), list(other.items()))
    if isinstance(one, (list, tuple)):
        alike = type(one) is type(other) and len(one) == len(other)
        return alike and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and repr(one) == repr(other)


def drawn(random_state, depth=4):
    """A nested state of everything that there can be."""
    kind = random_state.randrange(10 if depth else 7)
    if kind < 3:
        return random_state.choice([None, True, False, -(10**30), 0, "", "ä\n\ud800"[:2], "dict", "tensor"])
    if kind < 5:
        odd = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan]
        return random_state.choice(odd)
    if kind < 7:
        shape = [random_state.randrange(4) for _ in range(random_state.randrange(5))]
        tensor = torch.randint(0, 255, shape).to(random_state.choice(DTYPES))
        if tensor.ndim == 4 and random_state.random() < 0.5:
            tensor = tensor.to(memory_format=torch.channels_last)
        return tensor.transpose(0, -1) if tensor.ndim and random_state.random() < 0.3 else tensor
    parts = [drawn(random_state, depth - 1) for _ in range(random_state.randrange(4))]
    if kind == 7:
        return parts
    if kind == 8:
        return tuple(parts)
    keys = [("a", index) if index % 2 else index for index in range(len(parts))]
    return dict(zip(keys, parts, strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_any_state_comes_back_exactly(seed):
    state = drawn(random.Random(seed), depth=5)
    assert same(through_files(state), state)


@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (4, 3, 1, 1), (1, 1, 3, 3)])
def test_channels_last_stays(shape):
    weight = torch.randn(shape).to(memory_format=torch.channels_last)
    found = through_files([weight])[0]
    assert found.stride() == weight.stride()
    assert same_bits(found, weight)


def test_views_are_stored_without_what_they_leave_out():
    wide = torch.arange(12.0).reshape(3, 4)
    for view in (wide[:, ::2], wide[:, :1].expand(3, 5), wide[1:]):
        assert torch.equal(through_files(view), view)
        assert sum(tensor.numel() for tensor in pack(view)[1].values()) == view.numel()


def test_an_optimizer_s_state_comes_back(tiny_spec):
    model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    assert same(through_files(optimizer.state_dict()), optimizer.state_dict())
    assert same(through_files(OrderedDict(a=1)), {"a": 1})


@pytest.mark.parametrize("foreign", [{1, 2}, object(), b"bytes", 1j])
def test_what_cannot_be_stored_is_refused(foreign):
    with pytest.raises(TypeError, match=f"^a checkpoint cannot hold a {type(foreign).__name__}$"):
        pack({"state": [foreign]})


@pytest.mark.parametrize(
    "packed", [{"list": []}, {"tensor": {"name": "0", "shape": [9], "strides": [1]}}, {}]
)
def test_a_foreign_file_is_refused(packed):
    with pytest.raises((KeyError, TypeError, ValueError)):
        unpack(packed, {"0": torch.zeros(3)})
