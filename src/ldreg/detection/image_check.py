"""Checks before a long training that all images exist and can be decoded."""

from collections.abc import Sequence

from PIL import Image
from torch.utils.data import Dataset

from ldreg.data.decode import CorruptImageError, CorruptImages
from ldreg.data.workers import received
from ldreg.detection.coco import CocoSet, Task, check_size, read_pixels
from ldreg.detection.loader import worker_pool
from ldreg.errors import LdregError
from ldreg.runtime.distributed import gather_objects, rank, world_size

CHUNK = 64  # images per task of a worker
ORIENTATION = 0x0112  # EXIF tag; for values of 5 or more width and height are swapped
Findings = tuple[str, dict[str, str]]  # first error or ""; {path of a corrupt image: reason}


def check_images(
    data: CocoSet, image_ids: Sequence[int], whole: bool, workers: int, corrupt: CorruptImages
) -> None:
    """Check images of a split. The ranks share the work and have the same findings afterwards.

    Args:
        data: the split.
        image_ids: ids of the images to check.
        whole: whether to decode the images; otherwise only type and size are read from the headers.
        workers: number of processes that check images, on each rank.
        corrupt: policy for corrupt images, which also records them.

    Raises:
        LdregError: if a file is missing, the size of an image is not that in its split, an image is corrupt
            and not skipped, or all images are corrupt. The error is the same on every rank.
    """
    tasks = [data.bare_task(image_id) for image_id in image_ids[rank() :: world_size()]]
    chunks = [tasks[start : start + CHUNK] for start in range(0, len(tasks), CHUNK)]
    mistake, reasons = "", {}
    for mistake, found in received(worker_pool(_ImageChecker(whole), chunks, workers)):
        reasons |= found
        if mistake:
            break
    everyones: list[Findings] = gather_objects((mistake, reasons))
    for message, _ in everyones:
        if message:
            raise LdregError(message)
    reasons = {path: reason for _, found in everyones for path, reason in found.items()}
    for path, reason in sorted(reasons.items()):
        if rank() == 0 or corrupt.policy == "stop":
            corrupt.add(path, reason)
        else:  # rank 0 prints the warning
            corrupt.reasons.setdefault(path, reason)
    if len(reasons) == len(image_ids):
        raise LdregError(f"{data.images}: none of {len(image_ids)} images can be read")


class _ImageChecker(Dataset):
    """The data set of the workers: checks each image of a chunk until there is an error."""

    def __init__(self, whole: bool) -> None:
        self.look = read_pixels if whole else _read_header

    def __getitem__(self, tasks: Sequence[Task]) -> Findings:
        reasons = {}
        for task in tasks:
            try:
                self.look(task)
            except CorruptImageError as error:
                reasons[str(task.path)] = str(error)
            except LdregError as error:
                return str(error), reasons
        return "", reasons


def _read_header(task: Task) -> None:
    try:
        with task.path.open("rb") as file, Image.open(file) as image:
            turned = image.getexif().get(ORIENTATION, 1) >= 5
            size = image.size[::-1] if turned else image.size
    except Exception as error:  # PIL raises many kinds of errors for damaged files
        if isinstance(error, OSError) and error.errno is not None:  # an error of the disk
            raise LdregError(f"{task.path}: the image cannot be read ({error.strerror})") from error
        raise CorruptImageError("no image, or a damaged one") from error
    check_size(task, size)
