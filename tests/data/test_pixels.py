"""Each operation against torchvision's, image by image."""

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from ldreg.data import pixels


@pytest.fixture
def images() -> torch.Tensor:
    images = torch.rand(8, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    images[0] = 0.5  # grey: no hue
    images[1] = 0
    images[2, :, ::2] = 1
    images[3] = images[3].round()  # pure colours: ties between channels
    return images


FACTORS = torch.tensor([0.2, 1.7, 0.0, 0.9, 1.0, 1.3, 1.8, 0.6])
SHIFTS = torch.tensor([0.2, -0.5, 0.5, 0.1, -0.1, 0.33, -0.2, 0.0])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["adjust_brightness", "adjust_contrast", "adjust_saturation"])
def test_factors_as_torchvision(images: torch.Tensor, name: str, channels: int) -> None:
    images = images[:, :channels]
    got = getattr(pixels, name)(images, FACTORS)
    for image, factor, one in zip(images, FACTORS, got, strict=True):
        torch.testing.assert_close(one, getattr(reference, name)(image, float(factor)), atol=1e-6, rtol=0)


def test_hue_as_torchvision(images: torch.Tensor) -> None:
    got = pixels.adjust_hue(images, SHIFTS)
    for image, shift, one in zip(images, SHIFTS, got, strict=True):
        torch.testing.assert_close(one, reference.adjust_hue(image, float(shift)), atol=1e-5, rtol=0)


def test_hue_of_pure_red_turned_by_thirds() -> None:
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(3, 3, 1, 1)
    turned = pixels.adjust_hue(red, torch.tensor([0, 1 / 3, 2 / 3]))
    torch.testing.assert_close(turned.view(3, 3), torch.eye(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("width", [3, 5, 11])
def test_blur_as_torchvision(images: torch.Tensor, width: int) -> None:
    sigma = torch.linspace(0.1, 2.0, len(images))
    got = pixels.gaussian_blur(images, sigma, width)
    for image, own, one in zip(images, sigma, got, strict=True):
        expected = reference.gaussian_blur(image, [width, width], [float(own)] * 2)
        torch.testing.assert_close(one, expected, atol=1e-6, rtol=0)


def test_grayscale_and_solarize_as_torchvision(images: torch.Tensor) -> None:
    expected = reference.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(pixels.grayscale(images), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(pixels.solarize(images), reference.solarize(images, 0.5))
