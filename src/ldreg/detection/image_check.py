"""Images looked at before a training of days: are all there, and can they be read?"""

from collections.abc import Sequence

from PIL import Image
from torch.utils.data import Dataset

from ldreg.data.decode import CorruptImageError, CorruptImages
from ldreg.detection.coco import CocoSet, Task, check_size, read_pixels
from ldreg.detection.loader import worker_pool
from ldreg.errors import LdregError
from ldreg.runtime.distributed import gather_objects, rank, world_size

CHUNK = 64  # images of a worker's task
ORIENTATION = 0x0112  # EXIF's tag; from 5 on, width and height are swapped
Findings = tuple[str, dict[str, str]]  # the first mistake, or nothing; why an image is corrupt, by path


def check_images(
    data: CocoSet, image_ids: Sequence[int], whole: bool, workers: int, corrupt: CorruptImages
) -> None:
    """Look at images of a split; ranks share the work and know the same afterwards.

    Args:
        whole: decode them; else the file's header is read alone, which tells type and size.
        workers: processes that look, on each rank.
        corrupt: what happens at images that cannot be decoded; they are noted in it.

    Raises:
        LdregError: on every rank the same, in one line, if a file is not there or its image is of another
            size than its split says; at an image that is corrupt and not skipped; if none is readable.
    """
    tasks = [data.bare_task(image_id) for image_id in image_ids[rank() :: world_size()]]
    chunks = [tasks[start : start + CHUNK] for start in range(0, len(tasks), CHUNK)]
    mistake, reasons = "", {}
    for mistake, found in worker_pool(_ImageChecker(whole), chunks, workers):
        reasons |= found
        if mistake:
            break
    everyones: list[Findings] = gather_objects((mistake, reasons))
    for told, _ in everyones:
        if told:
            raise LdregError(told)
    reasons = {path: reason for _, found in everyones for path, reason in found.items()}
    for path, reason in sorted(reasons.items()):
        if rank() == 0 or corrupt.policy == "stop":
            corrupt.add(path, reason)
        else:  # which rank 0 tells
            corrupt.reasons.setdefault(path, reason)
    if len(reasons) == len(image_ids):
        raise LdregError(f"{data.images}: none of {len(image_ids)} images can be read")


class _ImageChecker(Dataset):
    """What workers run: a look at each image of a chunk, until there is a mistake."""

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
    except Exception as error:  # decoders of damaged files raise nearly anything
        if isinstance(error, OSError) and error.errno is not None:  # of the disk
            raise LdregError(f"{task.path}: the image cannot be read ({error.strerror})") from error
        raise CorruptImageError("no image, or a damaged one") from error
    check_size(task, size)
