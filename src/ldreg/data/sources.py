"""Where the image sets come from; each is verified by checksum before it is used.

A source takes the folder of its data set, in which a user may have put files, and returns the arrays
(`train_images`, `train_labels`, `test_images`, `test_labels`) and, in words, where they come from. Adding a
data set is one more function in `SOURCES`.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ldreg.data.cifar10 import cifar10
from ldreg.data.cifar100 import cifar100
from ldreg.data.mnist import fashion_mnist, mnist

DIGITS_TEST_IMAGES = 450
DIGITS_SPLIT = 0  # a constant of the data set, no run's seed


def digits(folder: Path) -> tuple[dict[str, Tensor], str]:
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
        torch.arange(len(labels)), test_size=DIGITS_TEST_IMAGES, stratify=labels, random_state=DIGITS_SPLIT
    )
    arrays = {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
    }
    return arrays, "scikit-learn's digits"


SOURCES: dict[str, Callable[[Path], tuple[dict[str, Tensor], str]]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
}
