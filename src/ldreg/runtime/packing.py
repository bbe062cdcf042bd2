"""Nested state as JSON and tensors, and back again, exactly.

Checkpoints hold dictionaries, lists, tuples, numbers and tensors nested in each other. Tensors are put into a
flat dictionary for safetensors. Everything else becomes JSON, so reading a checkpoint executes nothing.
"""

import math
from typing import Any

import torch
from torch import Tensor

Packed = Any  # what `json.dumps` takes
_ODD_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def pack(state: Any) -> tuple[Packed, dict[str, Tensor]]:
    """Split nested state into JSON and tensors.

    Args:
        state: None, booleans, whole numbers, floats, text, tensors; lists, tuples and dictionaries of these.
            Keys of dictionaries may be anything that can be a value and be hashed.

    Returns:
        The state with a reference in place of each tensor, and the tensors by name: contiguous, on the CPU.

    Raises:
        TypeError: if the state holds anything else.

    >>> pack({0: (1.5, None)})
    ({'dict': [[0, {'tuple': [1.5, None]}]]}, {})
    """
    tensors: dict[str, Tensor] = {}
    return _pack(state, tensors), tensors


def unpack(packed: Packed, tensors: dict[str, Tensor]) -> Any:
    """Return the state that `pack` split; its tensors are on the CPU.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError: if `packed` was not made by `pack`, or if a tensor is
            missing or has another shape.
    """
    if packed is None or isinstance(packed, (bool, int, float, str)):
        return packed
    if isinstance(packed, list):
        return [unpack(each, tensors) for each in packed]
    ((kind, content),) = packed.items()
    if kind == "dict":
        return {unpack(key, tensors): unpack(value, tensors) for key, value in content}
    if kind == "tuple":
        return tuple(unpack(each, tensors) for each in content)
    if kind == "float":
        return _ODD_FLOATS[content]
    if kind == "tensor":
        return _placed(tensors[content["name"]], content["shape"], content["strides"])
    raise ValueError(f"unknown kind of value: {kind!r}")


def _pack(state: Any, tensors: dict[str, Tensor]) -> Packed:
    if state is None or isinstance(state, (bool, int, str)):
        return state
    if isinstance(state, float):  # JSON text gives every finite float back exactly
        return state if math.isfinite(state) else {"float": str(state)}
    if isinstance(state, list):
        return [_pack(each, tensors) for each in state]
    if isinstance(state, tuple):
        return {"tuple": [_pack(each, tensors) for each in state]}
    if isinstance(state, dict):
        return {"dict": [[_pack(key, tensors), _pack(value, tensors)] for key, value in state.items()]}
    if isinstance(state, Tensor):
        return {"tensor": _put(state.detach().cpu(), tensors)}
    raise TypeError(f"a checkpoint cannot hold a {type(state).__name__}")


def _put(tensor: Tensor, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Store a tensor in the order of its memory, and return how to find it again.

    The memory layout (channels last, for example) is part of the state, because kernels for different layouts
    may round differently.
    """
    order = _order(tensor.stride())
    stored = tensor.permute(order)
    if not stored.is_contiguous():  # its elements overlap or have gaps, so there is no layout to preserve
        stored = tensor = tensor.contiguous()
    name = str(len(tensors))
    tensors[name] = stored
    return {"name": name, "shape": list(tensor.shape), "strides": list(tensor.stride())}


def _placed(stored: Tensor, shape: list[int], strides: list[int]) -> Tensor:
    """Return the tensor whose memory `stored` lists in order."""
    if stored.numel() != math.prod(shape):
        raise ValueError(f"a tensor has {stored.numel()} elements, not {shape}")
    # The copy begins at an aligned address, as a tensor that was never stored does.
    return stored.reshape(-1).as_strided(shape, strides).clone()


def _order(strides: tuple[int, ...]) -> list[int]:
    """The dimensions of a tensor from the one with the longest stride to the one with the shortest."""
    return sorted(range(len(strides)), key=lambda dim: strides[dim], reverse=True)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape, type, memory layout and bits; NaN equals NaN."""
    if (one.shape, one.dtype, one.stride()) != (other.shape, other.dtype, other.stride()):
        return False
    flat = [tensor.permute(_order(tensor.stride())).contiguous().reshape(-1) for tensor in (one, other)]
    return torch.equal(*(tensor.view(torch.uint8) for tensor in flat))
