"""Several processes on one batch: torchrun's or SLURM's ranks, or one process without any of it."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist


def rank() -> int:
    """This process's rank; 0 outside a distributed run."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes that share the batch."""
    return dist.get_world_size() if dist.is_initialized() else 1


def device_name(device: torch.device) -> str:
    """The GPU's or processor's name, for a record of what something was computed on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or "cpu"


@contextmanager
def process_group(gpus: int) -> Iterator[torch.device]:
    """Join the ranks that torchrun or srun started (`ldreg.runtime.launch`), if any; yields its device."""
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield device
        return
    dist.init_process_group("nccl" if gpus else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def replicate(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` on `device`, with gradients averaged over the ranks and batch statistics shared by them."""
    module = module.to(device)
    if world_size() == 1:
        return module
    if device.type == "cuda":  # SyncBatchNorm does not run on a CPU
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return nn.parallel.DistributedDataParallel(module)


def gather_rows(rows: Tensor) -> Tensor:
    """(n, ...) of this rank to (n x ranks, ...) of all; gradients are summed back to their own rank."""
    if world_size() == 1:
        return rows
    from lightly.utils.dist import gather

    return torch.cat(gather(rows.contiguous()))


def gather_objects(value: Any) -> list[Any]:
    """A picklable value of each rank, in their order, on all of them."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of a tensor over all ranks, on each of them; gradients are summed likewise."""
    if world_size() == 1:
        return values
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(values)
