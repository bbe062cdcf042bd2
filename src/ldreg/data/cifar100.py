"""CIFAR-100 as torchvision downloads it, or as the user has unpacked it."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ldreg.data.cifar10 import read_python
from ldreg.data.fetch import first_source, torchvision_download


def cifar100(folder: Path) -> tuple[dict[str, Tensor], str]:
    """CIFAR-100: 50,000 and 10,000 colour 32x32 images of 100 (fine) classes, in the published order.

    Looks for `cifar-100-python` in `folder` and beside it, then downloads as torchvision does. Its files are
    pickles, read only after their published MD5s have been checked.

    Raises:
        LdregError: If a checksum is wrong, naming the file; or if the download cannot be had.
        OSError: If there is no place for the temporary folder beside `folder`.
    """
    from torchvision.datasets import CIFAR100

    own = CIFAR100.base_folder
    for root in (folder, folder.parent):
        if (root / own).is_dir():
            return _arrays(root), own

    def download(temporary: Path) -> dict[str, Tensor]:
        with torchvision_download(CIFAR100.filename):
            CIFAR100(temporary, download=True)
        return _arrays(temporary)

    by_hand = f"unpack {CIFAR100.filename} by hand, so that {folder} holds {own}"
    return first_source("cifar100", folder, [("torchvision's download", download)], by_hand)


def _arrays(root: Path) -> dict[str, Tensor]:
    from torchvision.datasets import CIFAR100

    arrays = {}
    for part, split in zip(("train", "test"), read_python(CIFAR100, root), strict=True):
        images = np.ascontiguousarray(split.data.transpose(0, 3, 1, 2))
        arrays[f"{part}_images"] = torch.from_numpy(images)
        arrays[f"{part}_labels"] = torch.tensor(split.targets)
    return arrays
