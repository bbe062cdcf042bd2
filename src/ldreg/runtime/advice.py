"""Settings of `execution` that cannot pay on the device at hand, told before training; none is changed."""

import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ldreg.runtime.container import available_cpus

_CPUINFO = Path("/proc/cpuinfo")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Processors compute in these types natively if they list one of these flags.
_NATIVE = {
    "bf16": {"avx512_bf16", "amx_bf16", "bf16", "svebf16"},
    "fp16": {"avx512_fp16", "amx_fp16", "asimdhp", "fphp"},
}


def advice(
    device: torch.device,
    precision: str,
    threads: int,
    workers: int,
    micro_batch: int | None = None,
    share: int | None = None,
    files: bool = True,
) -> list[str]:
    """Return one line for each setting that costs time on this device and brings nothing.

    Args:
        device: device of this rank.
        precision: float32, bf16 or fp16.
        threads: threads of the job on this node.
        workers: processes that decode images.
        micro_batch: images of a forward pass; None takes all at once.
        share: images of a batch on this rank.
        files: whether images are files, which workers decode.
    """
    lines = []
    if precision != "float32":
        lines += _precision(device, precision)
    cpus = available_cpus()
    for name, number in (("threads", threads), ("workers", workers)):
        if number > cpus:
            lines.append(
                f"execution.{name}: {number} are more than the {cpus} processors that this job may use"
            )
    if workers and not files:
        lines.append(f"execution.workers: {workers} have nothing to do, since the images are no files")
    if micro_batch and share and micro_batch >= share:
        lines.append(
            f"execution.micro_batch: {micro_batch} cuts nothing, since a batch has {share} images here"
        )
    return lines


def _precision(device: torch.device, precision: str) -> list[str]:
    """A line if the device computes in this precision only by way of float32."""
    where = f"execution.precision: {precision}"
    if device.type == "cuda":
        if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            name = torch.cuda.get_device_name(device)
            return [f"{where} is emulated by {name}, at a loss of time; fp16 or float32 is faster there"]
        return []
    if device.type != "cpu" or computes_natively(precision):
        return []
    if (factor := slowdown(precision)) <= 1:
        return []
    return [
        f"{where} is emulated by this processor ({platform.machine()}): {factor:.1f} times the time of"
        " float32 in a trial; float32 is the better choice here"
    ]


def computes_natively(precision: str) -> bool:
    """Whether the processor has instructions for products in this precision; True if it does not say."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return True
    flags = {
        flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.split()
    }
    return not flags or bool(flags & _NATIVE[precision])


def slowdown(precision: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """How many times as long as in float32 a small convolution takes with its gradients, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(16, 32, 16, 16, generator=generator)
    weights = torch.randn(32, 32, 3, 3, generator=generator, requires_grad=True)

    def trial(enabled: bool) -> float:
        best = float("inf")
        for _ in range(3):
            began = clock()
            with torch.autocast("cpu", _DTYPES[precision], enabled=enabled):
                product = torch.nn.functional.conv2d(images, weights)
            torch.autograd.grad(product.float().sum(), weights)
            best = min(best, clock() - began)
        return best

    plain = trial(enabled=False)
    return trial(enabled=True) / max(plain, 1e-9)
