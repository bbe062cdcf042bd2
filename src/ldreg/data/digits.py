"""scikit-learn's embedded digits, which need no download."""

from pathlib import Path

import torch
from torch import Tensor

from ldreg.catalogue.data_sets import DATA_SETS

SPLIT_SEED = 0  # a constant of the data set, no run's seed


def digits(_folder: Path) -> tuple[dict[str, Tensor], str]:
    """scikit-learn's embedded digits: 1,797 grey 8x8 images, values 0 to 16 stretched to 0 to 255.

    One stratified split, 1,347 for training and 450 for testing, the same for every run.
    """
    # Both imports take a second, which only preparing the data should pay.
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
