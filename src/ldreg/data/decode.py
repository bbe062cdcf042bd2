"""Image files decoded; at one whose bytes make no image a job stops, or it skips and counts such images.

Skipping changes as little as it can. In a training batch the row shows another image in place of the corrupt
one (`ldreg.data.loader.load_views` says which), so the batch keeps its shape, LID its number of rows and
every other row its bits: runs stay paired, also those that began before the file broke. In evaluation the row
is left out together with its label: a stand-in would be measured as if it were data, and a blank one, shown
twice, would lie at distance 0 from itself, where LID is not defined.

Only what cannot be decoded is corrupt. A file that is missing or cannot be read from its disk ends the job
under both policies: it may be back in a minute, and chance would say which rows of which run it changes.
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
    """The bytes of a file do not make an image; the message says why, without the path."""


@dataclass
class CorruptImages:
    """A job's policy on corrupt images, and those it has met.

    Args:
        policy: What happens at one: `stop` ends the job, `skip` goes on without it.
        reasons: Why it cannot be decoded, by path, in the order in which they were met.
    """

    policy: Literal["stop", "skip"] = "stop"
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, reason: str) -> None:
        """Take note of the image at `path`, which is told on standard error the first time.

        Raises:
            LdregError: If the policy is to stop.
        """
        told = f"{path}: the image cannot be read ({reason})"
        if self.policy == "stop":
            # Not to remove it: preparing again refuses a set that lacks an image of its lists.
            raise LdregError(f"{told}; replace it, or leave such images out: execution.corrupt_images: skip")
        if path not in self.reasons:
            self.reasons[path] = reason
            print(f"warning: {told}; skipped", file=sys.stderr, flush=True)

    def readable(self, images: ImageFiles) -> Tensor:
        """bool (n,): which of `images` have not been found corrupt, e.g. to choose the labels of features."""
        if not self.reasons:
            return torch.ones(len(images), dtype=torch.bool)
        return torch.tensor([path not in self.reasons for path in images.paths], dtype=torch.bool)

    def gather(self) -> None:
        """Take over what the other ranks have met; every rank calls it, at the end of a job."""
        if world_size() > 1:
            found: list[dict[str, str]] = [{}] * world_size()
            dist.all_gather_object(found, self.reasons)
            for reasons in found:
                self.reasons |= reasons

    def warn_of_total(self) -> None:
        """The last word on them, on standard error; nothing where there were none."""
        if self.reasons:
            print(
                f"warning: {len(self.reasons)} corrupt image(s) skipped, named above",
                file=sys.stderr,
                flush=True,
            )


def read_image(path: str) -> Image.Image:
    """The image at `path`, wholly decoded, as RGB.

    Raises:
        CorruptImageError: If the file holds no image, or a damaged one.
        LdregError: If it cannot be read from its disk, or not be decoded for want of memory; names the path.
    """
    try:
        # Apart from decoding, whose errors are hard to tell from those of a disk.
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
    """The images, a black pixel in the place of a corrupt one; and why it is, by row."""
    images, corrupt = [], {}
    for row, path in enumerate(files.paths):
        try:
            images.append(read_image(path))
        except CorruptImageError as error:
            images.append(Image.new("RGB", (1, 1)))
            corrupt[row] = str(error)
    return images, corrupt
