"""The data sets on which encoders can be pretrained, or to which they can be transferred."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ldreg.catalogue.implementation import Implementation


class Download(NamedTuple):
    """The first address from which torchvision downloads a data set, and the total size of the download."""

    address: str
    size: str


class Layout(NamedTuple):
    """The published file layout of a data set whose splits are lists of files instead of folders.

    Attributes:
        read: a function that takes the unpacked folder and returns the training and the test split. Each is
            {class: [file, ...]} in the order of the labels, with paths relative to that folder.
        test_list: the file in that folder that lists the test images.
        images: where the images are in that folder, as a text for error messages.
        torchvision: name of the torchvision class that downloads the set; None if there is no such class.
    """

    read: Implementation
    test_list: str
    images: str
    torchvision: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One data set.

    If `arrays` is set, the images are loaded as tensors. Otherwise they stay image files of any size in a
    folder of the user: `train/CLASS/*` and `val/CLASS/*`, or as `layout` says.

    Attributes:
        key: its name in YAML files and tables, and the name of its folder in the data folder.
        label: its name for readers.
        classes: the number of classes; None if a folder may have any number of them.
        class_list: SHA-256 (`ldreg.data.classes.class_digest`) of `config/classes/KEY.txt`, which lists its
            classes; None if there is no such list.
        arrays: a function that takes the folder of the set, in which a user may have put files. It returns
            the tensors `train_images`, `train_labels`, `test_images` and `test_labels`, and a text that says
            where they come from.
        sizes: numbers of training and test images, if they are fixed.
        digest: digest of the tensors (`ldreg.data.datasets.digest`), which must be the same for every source;
            None if it was never computed, because the set was not available to us.
        layout: the published layout, if its splits are lists of files.
        unpacked: folders that its archives create. They are searched in its folder and in the data folder.
        installed: the folder in which a package of the operating system installs it.
        part_of: a larger set of which it is a selection of classes. The images may be in that set's folder.
        download: what torchvision downloads; None if it does not download this set.
    """

    key: str
    label: str
    classes: int | None = None
    class_list: str | None = None
    arrays: Implementation | None = None
    sizes: tuple[int, int] | None = None
    digest: str | None = None
    layout: Layout | None = None
    unpacked: tuple[str, ...] = ()
    installed: Path | None = None
    part_of: str | None = None
    download: Download | None = None


DIGITS = DataSet(
    key="digits",
    label="digits",
    classes=10,
    arrays=Implementation("ldreg.data.digits", "digits"),
    sizes=(1347, 450),
    digest="9a03d039538f94c5",
)
MNIST = DataSet(
    key="mnist",
    label="MNIST",
    classes=10,
    arrays=Implementation("ldreg.data.mnist", "mnist"),
    sizes=(60_000, 10_000),
    digest="b3adb8248ceacbda",
    download=Download("https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz", "12 MB"),
)
FASHION_MNIST = DataSet(
    key="fashion_mnist",
    label="Fashion-MNIST",
    classes=10,
    arrays=Implementation("ldreg.data.mnist", "fashion_mnist"),
    sizes=(60_000, 10_000),
    digest="af9b5f87a4311b6f",
    installed=Path("/usr/share/datasets/fashion-mnist"),  # by Debian's package dataset-fashion-mnist
    download=Download(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz", "31 MB"
    ),
)
CIFAR10 = DataSet(
    key="cifar10",
    label="CIFAR-10",
    classes=10,
    arrays=Implementation("ldreg.data.cifar10", "cifar10"),
    sizes=(50_000, 10_000),
    digest="7000d0d6e9962154",
    unpacked=("cifar-10-batches-bin", "cifar-10-batches-py"),
    download=Download("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", "170 MB"),
)
# No digest: the set was not available when digests were computed. Only the published MD5s are checked.
CIFAR100 = DataSet(
    key="cifar100",
    label="CIFAR-100",
    classes=100,
    arrays=Implementation("ldreg.data.cifar100", "cifar100"),
    sizes=(50_000, 10_000),
    unpacked=("cifar-100-python",),
    download=Download("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", "169 MB"),
)
IMAGENET = DataSet(
    key="imagenet",
    label="ImageNet",
    classes=1000,
    class_list="385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd",
)
IMAGENET100 = DataSet(
    key="imagenet100",
    label="ImageNet-100",
    classes=100,
    class_list="d61d354b64beb3ce2c2c9cf04a874298362dc9fcd589e15ee34c5e4592145746",
    part_of="imagenet",
)
FOOD101 = DataSet(
    key="food101",
    label="Food-101",
    classes=101,
    layout=Layout(
        Implementation("ldreg.data.layouts", "read_food101"), "meta/test.json", "images/CLASS", "Food101"
    ),
    unpacked=("food-101",),
    download=Download("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "5.0 GB"),
)
BIRDSNAP = DataSet(
    key="birdsnap",
    label="Birdsnap",
    classes=500,
    layout=Layout(
        Implementation("ldreg.data.layouts", "read_birdsnap"),
        "test_images.txt",
        "download/images/CLASS (or images/CLASS, or CLASS)",
    ),
    unpacked=("birdsnap",),
)
CARS = DataSet(
    key="cars",
    label="Stanford Cars",
    classes=196,
    layout=Layout(
        Implementation("ldreg.data.layouts", "read_cars"),
        "cars_test_annos_withlabels.mat",
        "cars_train, cars_test and devkit",
    ),
    unpacked=("stanford_cars",),
)
DTD = DataSet(
    key="dtd",
    label="DTD",
    classes=47,
    layout=Layout(
        Implementation("ldreg.data.layouts", "read_dtd"), "labels/test1.txt", "images/CLASS", "DTD"
    ),
    unpacked=("dtd",),
    download=Download("https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz", "0.6 GB"),
)

_ALL = (
    *(DIGITS, MNIST, FASHION_MNIST, CIFAR10, CIFAR100),
    *(IMAGENET, IMAGENET100, FOOD101, BIRDSNAP, CARS, DTD),
)
DATA_SETS = {each.key: each for each in _ALL}
