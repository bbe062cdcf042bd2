import pytest
import torch
from torch import nn

from ldreg.detection.coco import decode
from ldreg.detection.heads import mask_targets, region_losses
from ldreg.detection.model import build_detector, paste_masks, split_encoder
from ldreg.errors import LdregError
from ldreg.models.networks import build_backbone


@pytest.mark.parametrize(
    ("backbone", "widths", "stride"),
    [
        ("resnet50", (1024, 2048), 16),
        ("resnet18", (256, 512), 16),
        ("resnet18_cifar", (256, 512), 4),
        ("small_cnn", (128, 128), 8),
    ],
)
def test_the_two_parts_are_the_encoder(backbone, widths, stride):
    torch.manual_seed(0)
    encoder, _ = build_backbone(backbone, channels=3)
    for norm in (module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)  # as after training: residual branches begin as zero
    parts = split_encoder(encoder, backbone)
    assert (parts.lower_width, parts.upper_width) == widths
    assert (parts.stride, parts.channels) == (stride, 3)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        parted = parts.upper.eval()(parts.lower.eval()(images)).mean(dim=(2, 3))
        assert torch.equal(parted, encoder.eval()(images))


def test_a_vision_transformer_is_refused():
    encoder, _ = build_backbone("vit_mini", channels=1, image_size=16)
    with pytest.raises(LdregError, match="backbone: vit_mini is not allowed for detection"):
        split_encoder(encoder, "vit_mini")


@pytest.fixture(scope="module")
def resnet50_detector(tiny):
    """As the paper's, with smaller images and fewer regions."""
    torch.manual_seed(0)
    encoder, _ = build_backbone("resnet50", channels=3)
    settings = tiny(anchor_sizes=(32, 64, 128, 256, 512), region_size=14, mask_channels=256)
    return build_detector(encoder.requires_grad_(False), "resnet50", 80, settings)


def test_a_resnet50_c4_detector_is_put_together_as_detectron2s(resnet50_detector):
    detector = resnet50_detector
    assert detector.rpn.head.cls_logits.out_channels == 15  # 5 sizes by 3 ratios
    assert detector.rpn.head.conv[0][0].in_channels == 1024
    res5, norm = detector.roi_heads.box_head.layers
    assert isinstance(norm, nn.BatchNorm2d) and norm.num_features == 2048  # the extra norm
    assert res5[0][0].conv1.stride == (1, 1) and res5[0][0].conv2.stride == (2, 2)
    assert detector.roi_heads.box_predictor.cls_score.weight.shape == (81, 2048)
    assert detector.roi_heads.mask_predictor.conv5_mask.weight.shape == (2048, 256, 2, 2)
    pool = detector.roi_heads.box_roi_pool
    assert (pool.output_size, pool.spatial_scale, pool.aligned) == (14, 1 / 16, True)
    assert all(parameter.requires_grad for parameter in detector.parameters())  # nothing is frozen


def test_losses_reach_every_weight(resnet50_detector):
    target = {
        "boxes": torch.tensor([[20.0, 20.0, 60.0, 70.0]]),
        "labels": torch.tensor([3]),
        "masks": torch.ones(1, 96, 96, dtype=torch.uint8),
    }
    losses = resnet50_detector.train()([torch.rand(3, 96, 96)], [target])
    assert len(losses) == 5 and all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    idle = [name for name, each in resnet50_detector.named_parameters() if each.grad is None]
    assert not idle


def test_grey_and_coloured_images_of_any_size_are_taken(tiny, small_cnn):
    detector = build_detector(small_cnn, "small_cnn", 10, tiny(score_threshold=0.0)).eval()
    with torch.no_grad():
        found = detector([torch.rand(3, 40, 64), torch.rand(3, 50, 30)])
    assert [each["masks"].shape[1:] for each in found] == [(40, 64), (50, 30)]
    for each, (height, width) in zip(found, [(40, 64), (50, 30)], strict=True):
        assert len(each["boxes"]) == len(each["scores"]) == len(each["labels"]) == len(each["masks"]) > 0
        assert each["boxes"].min() >= 0 and each["masks"].dtype == torch.bool
        assert (each["boxes"].amax(dim=0)[2:] <= torch.tensor([width, height]) + 1e-4).all()
        assert each["labels"].min() >= 1 and each["labels"].max() <= 10


def test_under_bf16_boxes_and_losses_stay_float32(tiny, small_cnn):
    detector = build_detector(small_cnn, "small_cnn", 10, tiny(score_threshold=0.0), "bf16")
    target = {
        "boxes": torch.tensor([[5.0, 5.0, 25.0, 25.0]]),
        "labels": torch.tensor([3]),
        "masks": torch.ones(1, 48, 48, dtype=torch.uint8),
    }
    image = torch.rand(3, 48, 48)
    seen = []
    detector.rpn.head.conv.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    losses = detector([image], [target])
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    (found,) = detector.eval()([image])
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    assert seen == [torch.bfloat16] * 2


def test_losses_are_those_computed_by_hand():
    classes = torch.zeros(2, 3)  # two regions, the second is background
    shifts = torch.zeros(2, 12)
    shifts[0, 8:] = torch.tensor([1.0, -2.0, 0.0, 0.0])  # of class 2
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 2] = 100.0  # certain of everything
    losses = region_losses(
        classes,
        shifts,
        logits,
        labels=torch.tensor([2, 0]),
        deltas=torch.tensor([[0.0, 0.0, 0.0, 0.5], [9.0] * 4]),
        masks=torch.tensor([[[1.0, 1.0], [1.0, 0.0]]]),
    )
    assert losses["loss_classifier"] == pytest.approx(torch.tensor(3.0).log().item())
    assert losses["loss_box_reg"].item() == pytest.approx((1 + 2 + 0.5) / 2)  # absolute errors, both regions
    assert losses["loss_mask"].item() == pytest.approx(100 / 4)


def test_without_objects_box_and_mask_losses_are_0_with_gradients():
    shifts, logits = torch.zeros(2, 12, requires_grad=True), torch.zeros(0, 3, 2, 2, requires_grad=True)
    losses = region_losses(
        torch.zeros(2, 3), shifts, logits, torch.zeros(2).long(), torch.zeros(2, 4), torch.zeros(0, 2, 2)
    )
    sum(losses.values()).backward()
    assert losses["loss_box_reg"] == losses["loss_mask"] == 0
    assert shifts.grad.abs().sum() == 0 and logits.grad is not None


def test_mask_targets_are_what_lies_in_the_box():
    mask = torch.zeros(2, 16, 16, dtype=torch.uint8)
    mask[1, 4:8, 4:12] = 1
    boxes, matched = torch.tensor([[4.0, 4.0, 12.0, 12.0], [0.0, 0.0, 8.0, 8.0]]), torch.tensor([1, 1])
    found = mask_targets([mask], [boxes], [matched], size=4)
    assert found[0].tolist() == [[1] * 4, [1] * 4, [0] * 4, [0] * 4]
    assert found[1].tolist() == [[0] * 4, [0] * 4, [0, 0, 1, 1], [0, 0, 1, 1]]


def test_pasted_masks_fill_their_boxes_to_the_pixel():
    masks = torch.ones(2, 4, 4)
    masks[1, :, 2:] = 0
    pasted = paste_masks(masks, torch.tensor([[3.0, 2.0, 9.0, 10.0], [4.0, 0.0, 12.0, 4.0]]), (12, 16))
    expected = torch.zeros(2, 12, 16, dtype=torch.bool)
    expected[0, 2:10, 3:9] = True
    expected[1, 0:4, 4:8] = True
    assert torch.equal(pasted, expected)


def test_pasting_inverts_the_cut(composed):
    """What is cut out of an object's own box and pasted back is the object, but for its finest detail."""
    _, target = decode(composed[0].task(composed[0].image_ids[0]))
    count = len(target["boxes"])
    cut = mask_targets([target["masks"]], [target["boxes"]], [torch.arange(count)], size=28)
    pasted = paste_masks(cut, target["boxes"], (48, 48))
    masks = target["masks"].bool()
    assert (pasted & masks).sum() / (pasted | masks).sum() > 0.9
