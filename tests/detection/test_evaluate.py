import pytest
import torch
from detection.conftest import box_object

from ldreg.detection.evaluate import as_results, average_precision


def detections(boxes, labels, scores, size=(30, 40)):
    """What a detector would return for objects that fill their boxes."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels),
        "scores": torch.tensor(scores),
        "masks": masks,
    }


def shifted(data, shift):
    """AP of the set's own boxes, `shift` pixels to the right."""
    boxes = [[2 + shift, 4, 22 + shift, 14], [25, 10, 35, 30]]
    found = as_results(5, detections(boxes, [2, 1], [0.9, 0.8]), data.categories)
    return average_precision(data, found)


def test_perfect_detections_have_ap_100(write_set):
    perfect = {"ap": 100.0, "ap50": 100.0, "ap75": 100.0}
    assert shifted(write_set(), 0) == {"box": pytest.approx(perfect), "mask": pytest.approx(perfect)}


@pytest.mark.parametrize(
    ("shift", "ap", "ap50", "ap75"),
    [
        (2, 70, 100, 100),  # an overlap of 18 / 22 = 0.82 counts at 0.5, 0.55, ..., 0.8: 7 of 10
        (4, 40, 100, 0),  # 16 / 24 = 0.67: at 0.5, 0.55, 0.6, 0.65
        (8, 0, 0, 0),  # 12 / 28 = 0.43
    ],
)
def test_shifted_detections_have_the_ap_that_their_overlap_gives(write_set, shift, ap, ap50, ap75):
    # Category 7's is the only shifted box, category 3's is perfect: their mean.
    expected = {"ap": (ap + 100) / 2, "ap50": (ap50 + 100) / 2, "ap75": (ap75 + 100) / 2}
    found = shifted(write_set(), shift)
    assert found["box"] == pytest.approx(expected)
    assert found["mask"] == pytest.approx(expected)


def test_a_good_box_with_a_bad_mask_counts_for_boxes_alone(write_set):
    data = write_set()
    found = detections([[2, 4, 22, 14], [25, 10, 35, 30]], [2, 1], [0.9, 0.8])
    found["masks"][:, :, ::2] = False  # half of each
    scores = average_precision(data, as_results(5, found, data.categories))
    assert scores["box"]["ap"] == pytest.approx(100)
    assert scores["mask"] == pytest.approx({"ap": 10, "ap50": 100, "ap75": 0})  # 0.5 counts at 0.5 alone


def test_nothing_found_is_an_ap_of_0(write_set):
    zero = {"ap": 0.0, "ap50": 0.0, "ap75": 0.0}
    assert average_precision(write_set(), []) == {"box": zero, "mask": zero}
    assert as_results(5, detections([], [], []), (3, 7)) == []


@pytest.mark.parametrize(("crowd", "ap"), [(1, 100), (0, 50)])
def test_a_detection_within_a_crowd_is_neither_right_nor_wrong(write_set, crowd, ap):
    def change(content):
        content["annotations"] = [box_object(1, 7, (2, 4, 20, 10))]
        if crowd:
            content["annotations"].append(box_object(2, 7, (20, 16, 20, 14)) | {"iscrowd": 1})

    data = write_set(change)
    found = detections([[2, 4, 22, 14], [24, 18, 34, 28]], [2, 2], [0.5, 0.9])
    scores = average_precision(data, as_results(5, found, data.categories))
    # Without the crowd, the surer detection is wrong: half of what is found is right.
    assert scores["box"]["ap"] == scores["mask"]["ap"] == pytest.approx(ap, abs=0.1)


def test_results_are_in_cocos_format(write_set):
    (found,) = as_results(5, detections([[2, 4, 22, 14]], [2], [0.5]), write_set().categories)
    assert found["image_id"] == 5 and found["category_id"] == 7 and found["score"] == 0.5
    assert found["bbox"] == [2, 4, 20, 10]
    assert found["segmentation"]["size"] == [30, 40]
