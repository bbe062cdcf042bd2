"""The digits that scikit-learn contains, so that no download is needed."""

from pathlib import Path

import torch
from torch import Tensor

from ldreg.catalogue.data_sets import DATA_SETS

SPLIT_SEED = 0  # a constant of the data set, independent of the seeds of runs


def digits(_folder: Path) -> tuple[dict[str, Tensor], str]:
    """Return scikit-learn's digits: 1,797 grey 8x8 images, whose values 0 to 16 are scaled to 0 to 255.

    All runs share one stratified split of 1,347 training and 450 test images.
    """
    # These imports take a second, and only preparing the data needs them.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    images = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)[:, None]
    labels = torch.from_numpy(found.target).long()
    train, test = train_test_split(
        torch.arange(len(labels)),
        test_size=DATA_SETS["digits"].sizes[1],
        stratify=labels,
        random_state=SPLIT_SEED,
    )
    arrays = {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
    }
    return arrays, "scikit-learn's digits"
