"""Images that are not there, or that cannot be decoded: told before training, or skipped and counted."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from ldreg.data.decode import CorruptImages
from ldreg.detection import fine_tuning
from ldreg.detection.coco import decode
from ldreg.detection.composed import read_composed
from ldreg.detection.fine_tuning import train_and_evaluate
from ldreg.detection.image_check import check_images
from ldreg.detection.loader import load_tasks, stand_ins
from ldreg.errors import LdregError

CPU = torch.device("cpu")


@pytest.fixture
def own(composed_folder, tmp_path):
    """A copy of the composed set, to break."""
    shutil.copytree(composed_folder, tmp_path / "set")
    return tmp_path / "set", *read_composed(tmp_path / "set")


def image(folder: Path, split: str, place: int) -> Path:
    return sorted((folder / split).glob("*.png"))[place]


def truncate(path: Path) -> None:
    """So that the header stands and the pixels do not."""
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("split", "breaks", "message"),
    [
        ("val", truncate, r"the image cannot be read \(.*corrupt_images: skip"),
        ("val", lambda path: path.write_bytes(b""), r"the image cannot be read \(an empty file\)"),
        ("train", lambda path: path.write_bytes(b"no image"), r"the image cannot be read \(no image"),
        ("train", lambda path: Image.new("RGB", (9, 8)).save(path), r"is 9 x 8 pixels, but .*says 48 x 48"),
        ("train", lambda path: path.unlink(), r"the image cannot be read \(No such file"),
    ],
)
def test_what_is_wrong_with_images_is_told_before_training(
    own, tiny, small_cnn, monkeypatch, split, breaks, message
):
    folder, *parts = own
    path = image(folder, split, 3)
    breaks(path)
    monkeypatch.setattr(fine_tuning, "build_detector", lambda *arguments: pytest.fail("training begins"))
    with pytest.raises(LdregError, match=f"^{path}: {message}") as error:
        train_and_evaluate(small_cnn, "small_cnn", tiny(), *parts, CPU)
    assert "\n" not in str(error.value)


def test_workers_find_the_same(own):
    folder, *parts = own
    for place in (1, 4):
        truncate(image(folder, "val", place))
    here, there = CorruptImages("skip"), CorruptImages("skip")
    check_images(parts[1], parts[1].image_ids, True, 0, here)
    check_images(parts[1], parts[1].image_ids, True, 1, there)
    assert here.reasons == there.reasons and len(here.reasons) == 2


def test_skipped_images_are_named_counted_and_left_out_of_testing(own, tiny, small_cnn, capsys):
    folder, *parts = own
    broken = [image(folder, "train", 0), image(folder, "val", 2)]
    for path in broken:
        truncate(path)
    settings = tiny(iterations=15, steps=(), precise_norm_batches=1)  # a pass
    corrupt = CorruptImages("skip")
    result = train_and_evaluate(small_cnn, "small_cnn", settings, *parts, CPU, corrupt=corrupt)
    assert set(corrupt.reasons) == set(map(str, broken))
    assert result["corrupt_images"] == 2 and result["left_out"] == [broken[1].name]
    assert (result["train_images"], result["val_images"]) == (60, 19)
    told = capsys.readouterr().err
    assert all(told.count(f"warning: {path}: the image cannot be read") == 1 for path in broken)


def test_the_next_readable_image_takes_the_place_of_a_corrupt_one(own):
    _, data, _ = own
    first, second, third = data.trainable()[:3]
    for number in (first, second):
        truncate(data.bare_task(number).path)
    corrupt = CorruptImages("skip")
    batches = [[data.task(third), data.task(first, flip=True)]]
    ((images, targets),) = load_tasks(batches, 0, CPU, corrupt, stand_ins(data, corrupt))
    expected, target = decode(data.task(third, flip=True))
    assert torch.equal(images[1], expected.float() / 255)
    assert torch.equal(targets[1]["boxes"], target["boxes"])
    assert set(corrupt.reasons) == {str(data.bare_task(number).path) for number in (first, second)}


def test_a_split_without_any_readable_image_is_refused(own):
    *_, val = own
    for task in map(val.bare_task, val.image_ids):
        task.path.write_bytes(b"")
    with pytest.raises(LdregError, match="val: none of 20 images can be read"):
        check_images(val, val.image_ids, True, 0, CorruptImages("skip"))
