"""CIFAR-100 from the user's unpacked archive or from torchvision's download."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ldreg.data.cifar10 import read_python
from ldreg.data.fetch import first_source, torchvision_download


def cifar100(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Return CIFAR-100 and its source: 50,000 and 10,000 colour 32x32 images of 100 (fine) classes.

    The images are in the published order. The function looks for `cifar-100-python` in `folder` and in its
    parent folder, then uses torchvision's download. The files are pickles, which are read only after their
    published MD5s have been checked.

    Raises:
        LdregError: if a checksum is wrong (the error names the file), or if the download is not available.
        OSError: if the temporary folder beside `folder` cannot be created.
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
