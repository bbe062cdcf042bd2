import math

import pytest
import torch
from scipy.stats import binomtest, ks_2samp, kstest
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from ldreg.config.run_spec import ViewSettings
from ldreg.data.views import draw, eval_view, make_view, view_seed

EVERYTHING = ViewSettings(
    crop_scale=(0.08, 1),
    crop_ratio=(3 / 4, 4 / 3),
    interpolation="bicubic",
    rotation=15,
    flip=0.5,
    jitter=0.8,
    brightness=0.8,
    contrast=0.8,
    saturation=0.8,
    hue=0.2,
    grayscale=0.2,
    blur=0.5,
    solarize=0.2,
)


def noise(n: int, channels: int = 3, size: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=generator)


def ramp(n: int, size: int) -> Tensor:
    """Each pixel holds its own place: channel 0 across and 1 down, in (0, 1); channel 2 is zero."""
    place = (torch.arange(size) + 0.5) / size
    down, across = torch.meshgrid(place, place, indexing="ij")
    return torch.stack([across, down, torch.zeros(size, size)]).expand(n, 3, size, size)


def assert_rate(count: int, n: int, probability: float) -> None:
    assert binomtest(count, n, probability).pvalue > 1e-3, f"{count} of {n} at probability {probability}"


# Seeds and draws


def test_view_seeds_differ_and_fit_63_bits() -> None:
    seeds = {view_seed(s, e, t, v) for s in range(3) for e in range(4) for t in range(20) for v in range(2)}
    assert len(seeds) == 3 * 4 * 20 * 2
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert view_seed(1, 23, 4, 0) != view_seed(12, 3, 4, 0)


def test_seeds_and_draws_stay_what_they_were() -> None:
    """A recorded run can be repeated only while the same counters give the same views."""
    seed = 4502726278502258255
    assert view_seed(0, 1, 2, 1) == seed
    expected = [0.1862581613, 0.1147705860, 0.7493453026, 0.8700442884]
    assert draw(EVERYTHING, 2, seed).crop[1].tolist() == pytest.approx(expected, abs=1e-9)


def test_equal_seeds_give_equal_views_and_other_seeds_others() -> None:
    images = noise(16)
    kept = images.clone()
    first = make_view(images, 8, EVERYTHING, seed=5)
    assert torch.equal(first, make_view(images, 8, EVERYTHING, seed=5))
    assert torch.equal(images, kept)
    # The high bits count too.
    for other in (6, 5 + 2**40):
        changed = (first - make_view(images, 8, EVERYTHING, other)).abs().amax(dim=(1, 2, 3))
        assert changed.min() > 1e-3


def test_images_that_are_floats_already_are_left_as_they_were() -> None:
    images = noise(16) / 255
    kept = images.clone()
    make_view(images, 8, ViewSettings(solarize=0.5), seed=0)
    eval_view(images, 8).zero_()
    assert torch.equal(images, kept)


def test_view_depends_on_place_in_global_batch_and_not_on_ranks() -> None:
    images = noise(20)
    whole = make_view(images, 8, EVERYTHING, seed=5)
    ranks = [make_view(images[start : start + 5], 8, EVERYTHING, 5, first=start) for start in (0, 5, 10, 15)]
    torch.testing.assert_close(torch.cat(ranks), whole, atol=1e-6, rtol=0)


def test_switching_one_setting_on_leaves_the_other_draws() -> None:
    without = draw(EVERYTHING.model_copy(update={"blur": 0.0, "flip": 0.0}), 32, seed=5)
    with_all = draw(EVERYTHING, 32, seed=5)
    assert torch.equal(without.crop, with_all.crop)
    assert torch.equal(without.hue, with_all.hue)


def test_each_image_gets_its_own_parameters() -> None:
    drawn = draw(EVERYTHING, 200, seed=1)
    for name in ("angle", "brightness", "contrast", "saturation", "hue", "sigma"):
        assert len(getattr(drawn, name).unique()) == 200, name
    same = noise(1).expand(200, 3, 8, 8)
    views = make_view(same, 8, EVERYTHING, seed=1).flatten(1)
    assert torch.pdist(views).min() > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_views_are_float32_of_the_wanted_size_within_0_and_1(channels: int, dtype: torch.dtype) -> None:
    images = noise(64, channels) if dtype == torch.uint8 else noise(64, channels) / 255
    view = make_view(images, 20, EVERYTHING, seed=1)
    assert view.dtype == torch.float32 and view.shape == (64, channels, 20, 20)
    assert 0 <= view.min() < 0.05 and 0.95 < view.max() <= 1


def test_images_that_are_not_square_or_not_grey_or_colour_are_refused() -> None:
    for shape in ((4, 3, 8, 9), (4, 2, 8, 8), (3, 8, 8)):
        with pytest.raises(ValueError, match=r"images have shape"):
            make_view(torch.rand(shape), 8, EVERYTHING, seed=0)
        with pytest.raises(ValueError, match=r"images have shape"):
            eval_view(torch.rand(shape), 8)


# Geometry


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [8, 13])
def test_identity_settings_only_resize(mode: str, size: int) -> None:
    images = noise(4)
    expected = F.interpolate(images / 255, [size, size], mode=mode).clamp(0, 1)
    view = make_view(images, size, ViewSettings(interpolation=mode), seed=0)
    assert torch.equal(view, expected)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_smallest_crop_change_only_resizes(mode: str) -> None:
    """The interpolation that crops agrees with the one that only resizes."""
    images = noise(4)
    almost = ViewSettings(crop_scale=(1 - 1e-9, 1), interpolation=mode)
    expected = F.interpolate(images / 255, [16, 16], mode=mode).clamp(0, 1)
    torch.testing.assert_close(make_view(images, 16, almost, seed=0), expected, atol=1e-5, rtol=0)


def test_evaluation_resizes_without_aliasing() -> None:
    images = noise(4, size=16)
    assert torch.equal(eval_view(images, 16), images / 255)
    torch.testing.assert_close(eval_view(images, 8), reference.resize(images / 255, [8, 8], antialias=True))
    expected = F.interpolate(images / 255, [24, 24], mode="bilinear")
    torch.testing.assert_close(eval_view(images, 24), expected)


@pytest.mark.parametrize(("across", "down"), [(2000, 2000), (2500, 1500), (1200, 2400)])
def test_crops_are_distributed_as_torchvisions(across: int, down: int) -> None:
    scale, ratio = (0.08, 1.0), (3 / 4, 4 / 3)
    settings = ViewSettings(crop_scale=scale, crop_ratio=ratio)
    left, top, width, height = draw(settings, 4000, seed=3, aspect=across / down).crop.unbind(1)
    assert min(left.min(), top.min()) >= 0
    assert max((left + width).max(), (top + height).max()) <= 1 + 1e-12
    assert left.max() > 0.5 and top.max() > 0.5

    torch.manual_seed(0)
    blank = torch.empty(1, down, across)
    boxes = torch.tensor([RandomResizedCrop.get_params(blank, scale, ratio) for _ in range(4000)])
    boxes = boxes / torch.tensor([down, across, down, across])
    theirs = {
        "area": boxes[:, 2] * boxes[:, 3],
        "ratio": boxes[:, 3] / boxes[:, 2],
        "left": boxes[:, 1],
        "top": boxes[:, 0],
    }
    for name, ours in {"area": width * height, "ratio": width / height, "left": left, "top": top}.items():
        assert ks_2samp(ours, theirs[name]).pvalue > 1e-3, name


def test_crops_that_always_fit_have_uniform_area_and_log_uniform_ratio() -> None:
    settings = ViewSettings(crop_scale=(0.2, 0.6), crop_ratio=(3 / 4, 4 / 3))
    *_, width, height = draw(settings, 4000, seed=3).crop.unbind(1)
    assert kstest(width * height, "uniform", (0.2, 0.4)).pvalue > 1e-3
    log_ratio = (width / height).log()
    assert kstest(log_ratio, "uniform", (math.log(3 / 4), math.log(16 / 9))).pvalue > 1e-3


def test_ratio_that_never_fits_takes_the_greatest_central_crop() -> None:
    crop = draw(ViewSettings(crop_ratio=(2, 4)), 5, seed=0).crop
    torch.testing.assert_close(crop, torch.tensor([0, 0.25, 1, 0.5]).double().expand(5, 4))


def test_view_shows_the_drawn_crop() -> None:
    n, size = 64, 32
    settings = ViewSettings(crop_scale=(0.1, 0.5), crop_ratio=(3 / 4, 4 / 3), flip=0.5)
    drawn = draw(settings, n, seed=2)
    view = make_view(ramp(n, size), size, settings, seed=2)
    left, top, width, height = drawn.crop.float().unbind(1)
    place = (torch.arange(size) + 0.5) / size
    across = left[:, None] + width[:, None] * place
    across = across.flip(1).where(drawn.flip[:, None], across)
    down = top[:, None] + height[:, None] * place
    edge = 0.5 / size  # beyond the middle of the last pixel there is nothing to interpolate
    expected = across.clamp(edge, 1 - edge)[:, None, :].expand(n, size, size)
    torch.testing.assert_close(view[:, 0], expected, atol=1e-5, rtol=0)
    expected = down.clamp(edge, 1 - edge)[:, :, None].expand(n, size, size)
    torch.testing.assert_close(view[:, 1], expected, atol=1e-5, rtol=0)


def test_rotation_and_flip_as_torchvision_within_the_drawn_angles() -> None:
    images = eval_view(noise(16, size=4), 32)
    settings = ViewSettings(rotation=20, flip=0.5)
    drawn = draw(settings, 16, seed=2)
    degrees = drawn.angle.rad2deg()
    assert -20 <= degrees.min() < -10 and 10 < degrees.max() <= 20
    view = make_view(images, 32, settings, seed=2)
    for image, angle, flip, one in zip(images, degrees, drawn.flip, view, strict=True):
        expected = reference.rotate(image, float(angle), reference.InterpolationMode.BILINEAR)
        expected = expected.flip(-1) if flip else expected
        # Away from the corners, which torchvision fills with zeros.
        torch.testing.assert_close(one[:, 6:-6, 6:-6], expected[:, 6:-6, 6:-6], atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.9)])
def test_flip_rate(scale: tuple[float, float]) -> None:
    settings = ViewSettings(crop_scale=scale, flip=0.3)
    view = make_view(ramp(2000, 8), 8, settings, seed=4)
    flipped = view[:, 0, :, 0] > view[:, 0, :, -1]
    assert torch.equal(flipped.any(1), flipped.all(1))
    assert_rate(int(flipped.all(1).sum()), 2000, 0.3)


# Colour, blur, solarisation


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_as_torchvision_with_the_drawn_factors(channels: int) -> None:
    images = noise(32, channels)
    settings = ViewSettings(jitter=0.8, brightness=0.8, contrast=0.6, saturation=0.4, hue=0.2)
    drawn = draw(settings, 32, seed=6)
    view = make_view(images, 8, settings, seed=6)
    for i, image in enumerate(images / 255):
        if drawn.jitter[i]:
            image = reference.adjust_brightness(image, float(drawn.brightness[i]))
            image = reference.adjust_contrast(image, float(drawn.contrast[i]))
            if channels == 3:
                image = reference.adjust_saturation(image, float(drawn.saturation[i]))
                image = reference.adjust_hue(image, float(drawn.hue[i]))
        torch.testing.assert_close(view[i], image, atol=1e-4, rtol=0)


def test_drawn_factors_fill_their_ranges() -> None:
    settings = ViewSettings(jitter=1, brightness=0.8, contrast=0.4, saturation=1.5, hue=0.2, blur=1)
    drawn = draw(settings, 4000, seed=6)
    ranges = {"brightness": (0.2, 1.8), "contrast": (0.6, 1.4), "saturation": (0, 2.5), "hue": (-0.2, 0.2)}
    for name, (low, high) in {**ranges, "sigma": (0.1, 2.0)}.items():
        assert kstest(getattr(drawn, name), "uniform", (low, high - low)).pvalue > 1e-3, name


@pytest.mark.parametrize(
    "settings",
    [
        ViewSettings(jitter=0.8, brightness=0.8),
        ViewSettings(jitter=0.8, contrast=0.8),
        ViewSettings(jitter=0.8, saturation=0.8),
        ViewSettings(jitter=0.8, hue=0.2),
        ViewSettings(grayscale=0.2),
        ViewSettings(blur=0.5),
        ViewSettings(solarize=0.2),
    ],
    ids=lambda settings: "-".join(sorted(settings.model_fields_set)),
)
def test_share_of_images_that_an_operation_changes(settings: ViewSettings) -> None:
    images = noise(2000)
    change = (make_view(images, 8, settings, seed=7) - images / 255).abs().amax(dim=(1, 2, 3))
    probability = settings.jitter or settings.grayscale or settings.blur or settings.solarize
    # Exactly nothing happens to the others.
    assert_rate(int((change > 0).sum()), 2000, probability)


def test_gates_are_independent_of_each_other() -> None:
    settings = ViewSettings(flip=0.5, jitter=0.5, grayscale=0.5, blur=0.5, solarize=0.5)
    drawn = draw(settings, 4000, seed=8)
    gates = torch.stack([drawn.flip, drawn.jitter, drawn.grayscale, drawn.blur, drawn.solarize]).double()
    correlation = torch.corrcoef(gates) - torch.eye(5)
    assert correlation.abs().max() < 4.5 / math.sqrt(4000)


def test_grayscale_views_have_equal_channels_and_grey_images_ignore_colour() -> None:
    view = make_view(noise(8), 8, ViewSettings(grayscale=1), seed=0)
    assert torch.equal(view[:, 0], view[:, 1]) and torch.equal(view[:, 0], view[:, 2])
    grey = noise(8, channels=1)
    color = ViewSettings(grayscale=1, jitter=1, saturation=0.8, hue=0.2)
    assert torch.equal(make_view(grey, 8, color, seed=0), grey / 255)


@pytest.mark.parametrize(
    ("size", "share", "width"), [(224, 0.1, 23), (32, 0.1, 3), (16, 0.1, 3), (32, 0.3, 9)]
)
def test_blur_kernel_is_odd_and_follows_the_size_of_the_view(size: int, share: float, width: int) -> None:
    point = torch.zeros(1, 1, size, size)
    point[0, 0, size // 2, size // 2] = 1
    settings = ViewSettings(blur=1, blur_sigma=(50, 60), blur_kernel=share)
    touched = make_view(point, size, settings, seed=0)[0, 0] > 0
    assert touched.any(dim=0).sum() == touched.any(dim=1).sum() == width
