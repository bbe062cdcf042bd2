"""Operations on images of shape (n, channels, height, width) with values in [0, 1], one parameter per image.

Each one computes what the torchvision function of the same name does for a single image.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)  # of red, green and blue (ITU-R 601-2)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by `factor` (n,), cut off at 1."""
    return (images * _per_image(factor)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Stretch the distance from the mean grey value of the image by `factor` (n,)."""
    mean = _gray(images).mean(dim=(1, 2, 3), keepdim=True)
    return _blend(images, mean, factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Stretch the distance from each pixel's own grey value by `factor` (n,); three channels."""
    return _blend(images, _gray(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by `shift` (n,), in turns, keeping HSV saturation and value; three channels."""
    value, least = images.amax(dim=1), images.amin(dim=1)
    chroma = value - least
    red, green, blue = images.unbind(dim=1)
    divisor = chroma.where(chroma > 0, 1)
    # The hue in sixths of a turn: 0 red, 2 green, 4 blue. Grey pixels have none, and any will do.
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue += 6 * shift.view(-1, 1, 1)
    # A channel falls from `value` to `least` around the hue opposite to its own: wholly within one sixth of
    # a turn, not at all beyond two, linearly in between.
    channels = []
    for opposite in (3, 5, 1):
        distance = hue - opposite
        distance -= 6 * (distance / 6).round_()
        channels.append(value - chroma * (2 - distance.abs_()).clamp_(0, 1))
    return torch.stack(channels, dim=1)


def grayscale(images: Tensor) -> Tensor:
    """Each pixel's grey value in all three channels."""
    return _gray(images).expand_as(images)


def gaussian_blur(images: Tensor, sigma: Tensor, width: int) -> Tensor:
    """Convolve with a Gaussian of `sigma` (n,) pixels, cut to `width` (odd) pixels, the edges reflected."""
    n, channels, rows, columns = images.shape
    reach = width // 2
    position = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.softmax(-0.5 * (position / sigma[:, None]).square(), dim=1)
    kernel = kernel.repeat_interleave(channels, dim=0)  # (n * channels, width)
    # Every channel of every image is a group of its own, because each image has its own kernel.
    padded = F.pad(images, [reach] * 4, mode="reflect").flatten(0, 1)[None]
    across = F.conv2d(padded, kernel[:, None, None, :], groups=n * channels)
    blurred = F.conv2d(across, kernel[:, None, :, None], groups=n * channels)
    return blurred.view(n, channels, rows, columns).clamp_(0, 1)  # the weights sum to 1 up to rounding


def solarize(images: Tensor) -> Tensor:
    """Invert the pixels at and above 0.5."""
    return torch.where(images >= 0.5, 1 - images, images)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(other, images, _per_image(factor)).clamp_(0, 1)


def _gray(images: Tensor) -> Tensor:
    """(n, channels, height, width) -> (n, 1, height, width); one channel is grey already."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (red * GRAY_WEIGHTS[0]).add_(green, alpha=GRAY_WEIGHTS[1]).add_(blue, alpha=GRAY_WEIGHTS[2])
