"""Distributed training: helpers that work with the ranks of torchrun or SLURM and with a single process."""

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
    """Return the name of the GPU or processor, for the record of a job."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or "cpu"


@contextmanager
def process_group(gpus: int) -> Iterator[torch.device]:
    """Join the process group if torchrun or srun started several ranks; yields the device of this rank."""
    device = torch.device("cpu")
    if gpus:
        # With `srun --gpus-per-task=1` each rank sees its own GPU alone, which then is number 0.
        number = int(os.environ.get("LOCAL_RANK", 0))
        device = torch.device("cuda", number if torch.cuda.device_count() > 1 else 0)
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
    """Move `module` to `device`; average gradients over ranks, and on GPUs share batch-norm statistics."""
    module = module.to(device)
    if world_size() == 1:
        return module
    if device.type == "cuda":  # SyncBatchNorm does not run on a CPU
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return nn.parallel.DistributedDataParallel(module)


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate rows (n, ...) of all ranks; gradients are summed over ranks and go back to their rank."""
    if world_size() == 1:
        return rows
    from lightly.utils.dist import gather

    return torch.cat(gather(rows.contiguous()))


def gather_objects(value: Any) -> list[Any]:
    """Return the picklable values of all ranks in rank order, on every rank."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all ranks, on every rank; gradients are summed over ranks, too."""
    if world_size() == 1:
        return values
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(values)
