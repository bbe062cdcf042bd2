"""Image operations on batches (n, channels, height, width) in [0, 1], with one parameter per image.

For a single image each operation computes the same as the torchvision function of the same name.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)  # of red, green and blue (ITU-R 601-2)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by `factor` (n,) and clamp to at most 1."""
    return (images * _per_image(factor)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the difference from the mean grey value of the image by `factor` (n,)."""
    mean = _gray(images).mean(dim=(1, 2, 3), keepdim=True)
    return _blend(images, mean, factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the difference from the grey value of each pixel by `factor` (n,); needs three channels."""
    return _blend(images, _gray(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Shift the hue by `shift` (n,) turns and keep HSV saturation and value; needs three channels."""
    value, least = images.amax(dim=1), images.amin(dim=1)
    chroma = value - least
    red, green, blue = images.unbind(dim=1)
    divisor = chroma.where(chroma > 0, 1)
    # The hue in sixths of a turn: 0 is red, 2 green, 4 blue. It is arbitrary for grey pixels.
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue += 6 * shift.view(-1, 1, 1)
    # A channel equals `least` within one sixth of a turn of the hue opposite to its own, and `value` beyond
    # two sixths; in between it is linear.
    channels = []
    for opposite in (3, 5, 1):
        distance = hue - opposite
        distance -= 6 * (distance / 6).round_()
        channels.append(value - chroma * (2 - distance.abs_()).clamp_(0, 1))
    return torch.stack(channels, dim=1)


def grayscale(images: Tensor) -> Tensor:
    """Set all channels to the grey value of each pixel."""
    return _gray(images).expand_as(images)


def gaussian_blur(images: Tensor, sigma: Tensor, width: int) -> Tensor:
    """Convolve with a Gaussian of `sigma` (n,) pixels and odd kernel `width`; edges are reflected."""
    n, channels, rows, columns = images.shape
    reach = width // 2
    position = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.softmax(-0.5 * (position / sigma[:, None]).square(), dim=1)
    kernel = kernel.repeat_interleave(channels, dim=0)  # (n * channels, width)
    # Each image has its own kernel, so every channel of every image is a separate group.
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
    """Grey values (n, 1, height, width) of images (n, channels, height, width)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (red * GRAY_WEIGHTS[0]).add_(green, alpha=GRAY_WEIGHTS[1]).add_(blue, alpha=GRAY_WEIGHTS[2])
