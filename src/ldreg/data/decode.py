"""Decoding image files. A job stops at a corrupt image, or it skips corrupt images and counts them.

Skipping changes a run as little as possible. In training, another image replaces the corrupt one
(`ldreg.data.loader.load_views` says which). The batch keeps its shape, LID keeps its number of rows, and all
other rows are unchanged, so runs with the same seed stay comparable. In evaluation, the image and its label
are left out. A replacement would count as data there, and two blank images would have distance 0, for which
LID is not defined.

An image is corrupt if it cannot be decoded. A file that is missing or cannot be read from disk ends the job
under both policies, because the error may be temporary and would change arbitrary rows of a run.
"""

import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch import distributed as dist

from ldreg.data.folder import ImageFiles
from ldreg.errors import LdregError
from ldreg.runtime.distributed import world_size


class CorruptImageError(LdregError):
    """The bytes of a file are not a valid image. The message gives the reason but not the path."""


@dataclass
class CorruptImages:
    """A job's policy for corrupt images, and the corrupt images that it has found.

    Args:
        policy: `stop` ends the job at the first corrupt image; `skip` continues without it.
        reasons: path of each corrupt image and why it cannot be decoded, in the order of discovery.
    """

    policy: Literal["stop", "skip"] = "stop"
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, reason: str) -> None:
        """Record a corrupt image; a warning on standard error names it once.

        Raises:
            LdregError: if the policy is to stop.
        """
        message = f"{path}: the image cannot be read ({reason})"
        if self.policy == "stop":
            # Do not advise removing it: preparing a data set fails if a listed image is missing.
            raise LdregError(
                f"{message}; replace it, or leave such images out: execution.corrupt_images: skip"
            )
        if path not in self.reasons:
            self.reasons[path] = reason
            print(f"warning: {message}; skipped", file=sys.stderr, flush=True)

    def readable(self, images: ImageFiles) -> Tensor:
        """Return bool (n,): whether each of `images` is not known to be corrupt."""
        if not self.reasons:
            return torch.ones(len(images), dtype=torch.bool)
        return torch.tensor([path not in self.reasons for path in images.paths], dtype=torch.bool)

    def gather(self) -> None:
        """Merge the corrupt images of all ranks. Every rank must call this at the end of a job."""
        if world_size() > 1:
            found: list[dict[str, str]] = [{}] * world_size()
            dist.all_gather_object(found, self.reasons)
            for reasons in found:
                self.reasons |= reasons

    def warn_of_total(self) -> None:
        """Print the number of skipped images to standard error, if there were any."""
        if self.reasons:
            print(
                f"warning: {len(self.reasons)} corrupt image(s) skipped, named above",
                file=sys.stderr,
                flush=True,
            )


def read_image(path: str) -> Image.Image:
    """Return the image at `path`, fully decoded, as RGB.

    Raises:
        CorruptImageError: if the file is not an image or is damaged.
        LdregError: if the file cannot be read from disk, or if memory runs out; the error names the path.
    """
    try:
        # Read before decoding, because decoders raise the same errors for damaged files as disks do.
        content = Path(path).read_bytes()
    except OSError as error:
        raise LdregError(
            f"{path}: the image cannot be read ({error.strerror}); put it back, or, where no list names it,"
            " prepare again"
        ) from error
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.convert("RGB")
    except MemoryError as error:
        raise LdregError(f"{path}: the image cannot be read (out of memory); take fewer workers") from error
    except UnidentifiedImageError as error:
        raise CorruptImageError("no image" if content else "an empty file") from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise CorruptImageError(" ".join(str(error).split()) or type(error).__name__) from error


def read_images(files: ImageFiles) -> tuple[list[Image.Image], dict[int, str]]:
    """Return the images, and by row why an image is corrupt. A black pixel replaces a corrupt image."""
    images, corrupt = [], {}
    for row, path in enumerate(files.paths):
        try:
            images.append(read_image(path))
        except CorruptImageError as error:
            images.append(Image.new("RGB", (1, 1)))
            corrupt[row] = str(error)
    return images, corrupt
