from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from ldreg.config.detection import ComposedSettings
from ldreg.data.datasets import Split
from ldreg.detection.coco import decode
from ldreg.detection.composed import GROUND, INK, compose, read_composed
from ldreg.errors import LdregError

FEW = ComposedSettings(train_images=6, val_images=4, canvas=48)


def test_masks_are_the_digits_pixels_and_boxes_fit_them(composed):
    train, _ = composed
    for image_id in train.image_ids[:10]:
        image, target = decode(train.task(image_id))
        ink = target["masks"].sum(dim=0)
        assert ink.max() == 1  # none over another
        assert torch.equal(ink.bool(), image.amin(dim=0) >= INK) and GROUND <= INK
        for mask, box in zip(target["masks"], target["boxes"].tolist(), strict=True):
            rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_images_are_coloured_and_have_as_many_digits_as_asked_for(composed):
    train, val = composed
    assert (len(train.image_ids), len(val.image_ids)) == (60, 20)
    assert train.categories == val.categories == tuple(range(1, 11))
    counts = {len(train.objects(image_id)) for image_id in train.image_ids}
    assert counts == {1, 2}
    pixels = np.asarray(Image.open(train.images / "000001.png"))
    assert pixels.shape == (48, 48, 3) and not np.array_equal(pixels[..., 0], pixels[..., 1])


def test_each_split_shows_its_own_digits_alone(tmp_path, digits):
    """Were a digit of the other split shown, so would be its label."""
    low, high = digits.train.labels < 5, digits.test.labels >= 5
    parted = replace(
        digits,
        train=Split(digits.train.images[low], digits.train.labels[low]),
        test=Split(digits.test.images[high], digits.test.labels[high]),
    )
    compose(tmp_path, parted, replace_settings(train_images=30, val_images=30))
    for data, labels in zip(read_composed(tmp_path), ({1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}), strict=True):
        shown = {each["category_id"] for image in data.image_ids for each in data.objects(image)}
        assert shown == labels


def replace_settings(**changes):
    return FEW.model_copy(update=changes)


def test_the_same_settings_give_the_same_files(tmp_path, digits):
    first = compose(tmp_path / "a", digits, FEW)
    assert compose(tmp_path / "b", digits, FEW) == first
    assert compose(tmp_path / "c", digits, replace_settings(seed=1))["digest"] != first["digest"]
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(names) == 6 + 4 + 2 + 1
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"digits": (3, 2)}, "must not exceed"), ({"canvas": 20}, "26 is more than the canvas")],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        ComposedSettings(**changes)


def test_a_folder_that_cannot_be_written_is_told(tmp_path, digits):
    (tmp_path / "file").write_text("")
    with pytest.raises(LdregError, match="file: the data cannot be stored here"):
        compose(tmp_path / "file", digits, FEW)
