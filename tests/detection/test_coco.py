import re

import numpy as np
import pytest
import torch
from PIL import Image

from ldreg.detection.coco import decode, read_coco
from ldreg.detection.loader import load_tasks, training_batches
from ldreg.errors import LdregError


def test_objects_become_boxes_labels_and_masks(write_set):
    image, target = decode(write_set().task(5))
    assert image.shape == (3, 30, 40) and image.dtype == torch.uint8
    assert image[:, 0, 1].tolist() == [3, 4, 5]
    assert target["boxes"].tolist() == [[2, 4, 22, 14], [25, 10, 35, 30]]
    assert target["labels"].tolist() == [2, 1]  # categories 3 and 7 become 1 and 2
    expected = torch.zeros(2, 30, 40, dtype=torch.uint8)
    expected[0, 4:14, 2:22] = 1
    expected[1, 10:30, 25:35] = 1
    assert torch.equal(target["masks"], expected)


def test_a_mirrored_image_takes_its_objects_along(write_set):
    data = write_set()
    image, target = decode(data.task(5))
    mirrored, flipped = decode(data.task(5, flip=True))
    assert torch.equal(mirrored, image.flip(-1))
    assert flipped["boxes"].tolist() == [[18, 4, 38, 14], [5, 10, 15, 30]]
    assert torch.equal(flipped["masks"], target["masks"].flip(-1))


def run_length(mask):
    """COCO's uncompressed code: runs of 0 and 1 in turn, column by column."""
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [2]])))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], edges])).tolist()}


def test_run_length_codes_are_read_too(write_set):
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[3:9, 1:30:2] = 1

    def change(content):
        content["annotations"][0]["segmentation"] = run_length(mask)

    _, target = decode(write_set(change).task(5))
    assert torch.equal(target["masks"][0], torch.from_numpy(mask))


def test_crowds_and_empty_objects_are_left_out_of_training(write_set):
    def change(content):
        content["annotations"][0]["iscrowd"] = 1
        content["annotations"].append({**content["annotations"][1], "id": 3, "bbox": [5, 5, 0, 3]})

    data = write_set(change)
    _, target = decode(data.task(5))
    assert target["boxes"].tolist() == [[25, 10, 35, 30]]
    assert data.trainable() == [5] and data.image_ids == [5, 9]


def test_an_image_of_crowds_alone_is_not_trained_on(write_set):
    def change(content):
        for found in content["annotations"]:
            found["iscrowd"] = 1

    assert write_set(change).trainable() == []


def test_an_image_lies_as_its_exif_says(write_set, tmp_path):
    data = write_set()
    upright = Image.open(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    image, _ = decode(data.task(5))
    assert torch.equal(image.permute(1, 2, 0), torch.from_numpy(np.array(upright)))


def broken(key, value):
    def change(content):
        content["annotations"][1][key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("categories"), "set.json: categories: missing"),
        (lambda content: content.update(annotations=[]), "set.json: annotations: there are none"),
        (lambda content: content["images"][0].update(id=9), "set.json: images: id 9 comes twice"),
        (lambda content: content["images"][0].pop("height"), "set.json: images: id 5: height: missing"),
        (
            lambda content: content["images"][0].update(file_name="c.png"),
            "c.png: no such file, but .*set.json",
        ),
        (broken("image_id", 6), "set.json: annotations: id 2: image_id: 6 is unknown"),
        (broken("category_id", 4), "set.json: annotations: id 2: category_id: 4 is unknown"),
        (broken("bbox", [1, 2, 3]), r"set.json: annotations: id 2: bbox: \[1, 2, 3\] is not allowed"),
        (broken("area", None), "set.json: annotations: id 2: area: None is not allowed"),
        (broken("segmentation", []), "set.json: annotations: id 2: segmentation: missing"),
    ],
)
def test_a_mistake_in_the_file_is_told_in_one_line(write_set, change, message):
    with pytest.raises(LdregError, match=message) as error:
        write_set(change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), ("{", "not valid JSON"), ("[]", "found a list")]
)
def test_a_file_that_is_no_set_is_told(write_set, tmp_path, content, message):
    path = tmp_path / "other.json"
    if content:
        path.write_text(content)
    with pytest.raises(LdregError, match=f"other.json: .*{message}"):
        read_coco(tmp_path, path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([[1, 2]], "id 2: segmentation: damaged"),
        ({"size": [30, 40], "counts": [[1]]}, "id 2: segmentation: damaged"),
        ({"size": [3, 4], "counts": [12]}, "id 2: segmentation: of 4 x 3 pixels, but the image has 40 x 30"),
    ],
)
def test_a_damaged_mask_is_told(write_set, shape, message):
    data = write_set(broken("segmentation", shape))
    with pytest.raises(LdregError, match=f"set.json: annotations: {message}"):
        decode(data.task(5))


def test_damaged_images_are_told_with_their_path(write_set, tmp_path):
    data = write_set()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(LdregError, match=r"a.png: is 8 x 8 pixels, but .*set.json says 40 x 30"):
        decode(data.task(5))
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(LdregError, match=r"b.png: the image cannot be read"):
        list(load_tasks([[data.bare_task(9)]], 0, torch.device("cpu")))


def test_a_worker_tells_the_same_and_makes_the_same(write_set, tmp_path):
    data = write_set()
    batches = [[data.task(5), data.task(5, flip=True)], [data.task(9)]]
    here, there = (list(load_tasks(batches, workers, torch.device("cpu"))) for workers in (0, 1))
    for (images, targets), (others, other_targets) in zip(here, there, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(images, others, strict=True))
        assert str(targets) == str(other_targets)
    assert here[0][0][0].dtype == torch.float32 and here[0][0][0].max() <= 1
    (tmp_path / "a.png").unlink()
    with pytest.raises(LdregError, match=re.escape(str(tmp_path / "a.png"))):
        list(load_tasks(batches, 1, torch.device("cpu")))


def test_each_pass_shows_every_image_once_and_depends_on_the_seed(composed):
    train, _ = composed
    passes = len(train.trainable()) // 4

    def tasks(seed, flip=0.5):
        batches = training_batches(train, 4, flip, seed)
        return [(task.image_id, task.flip) for _ in range(passes) for task in next(batches)]

    assert sorted(image_id for image_id, _ in tasks(0)) == train.trainable()
    assert tasks(0) == tasks(0) != tasks(1)
    assert 0 < sum(flip for _, flip in tasks(0)) < 60
    assert not any(flip for _, flip in tasks(0, flip=0.0))


def test_wide_and_tall_images_do_not_share_a_batch(write_set):
    def change(content):
        for found in content["images"][1:]:
            found.update(height=40, width=30)
        content["annotations"].append({**content["annotations"][0], "id": 3, "image_id": 9})

    batches = training_batches(write_set(change), 2, 0.0, seed=0)
    assert all(len({task.image_id for task in next(batches)}) == 1 for _ in range(6))
