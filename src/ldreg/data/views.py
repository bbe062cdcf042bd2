"""Augmented views, computed for a whole batch at once on the device, with random parameters per image.

The parameters are drawn on the CPU by a counter-based generator whose key is a hash of (seed, epoch, step,
view). A view therefore depends neither on earlier draws nor on the number of workers, ranks or jobs. It is
the same on a CPU and a GPU up to rounding. Each image uses one row of random numbers, whose layout does not
depend on the settings. Switching the blur on, for example, changes no crop, so runs that differ in one
setting can be compared image by image.

The order of the operations is fixed: crop, rotation and flip; brightness, contrast, saturation and hue;
grayscale; blur; solarisation. It is that of SimCLR and BYOL, except that they shuffle the four parts of the
colour jitter. Pixel values are float32 in [0, 1].
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ldreg.config.run_spec import ViewSettings
from ldreg.data import pixels

CROP_TRIES = 10  # attempts per crop, as in torchvision's RandomResizedCrop


def view_seed(seed: int, epoch: int, step: int, view: int) -> int:
    """Return the key of the random generator for one batch of views: 63 bits of a hash of the arguments.

    >>> view_seed(seed=0, epoch=1, step=0, view=0) == view_seed(seed=0, epoch=1, step=0, view=1)
    False
    """
    text = f"{seed},{epoch},{step},{view}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class ViewParameters:
    """Parameters of the views of n images: CPU tensors of shape (n,); `crop` is (n, 4)."""

    crop: Tensor  # left, top, width, height as fractions of the image's width or height
    angle: Tensor  # radians
    flip: Tensor  # bool, like `jitter`, `grayscale`, `blur` and `solarize`
    jitter: Tensor
    brightness: Tensor  # factor, used if `jitter` is true
    contrast: Tensor
    saturation: Tensor
    hue: Tensor  # turns
    grayscale: Tensor
    blur: Tensor
    sigma: Tensor  # pixels of the view, used if `blur` is true
    solarize: Tensor


def draw(
    settings: ViewSettings, n: int, seed: int, first: int = 0, aspect: Tensor | float = 1.0
) -> ViewParameters:
    """Draw the view parameters of n images.

    A row depends only on the seed and on its position in the global batch. A rank that holds rows 128 to 255
    passes `n=128, first=128` and gets what a single process would draw for these images.

    Args:
        settings: settings of the view.
        n: number of images.
        seed: key of the batch, from `view_seed`.
        first: position of the first image in the global batch.
        aspect: width / height of the images, (n,) or one number. It affects only the crops.
    """
    # Philox is used because torch.Generator keeps only 32 bits of the seed on a CPU.
    generator = np.random.Generator(np.random.Philox(key=seed))
    uniform = torch.from_numpy(generator.random((first + n, 2 * CROP_TRIES + 13)))[first:]
    areas, ratios, rest = uniform.split([CROP_TRIES, CROP_TRIES, 13], dim=1)
    left, top, angle, flip, jitter, *factors, grayscale, blur, sigma, solarize = rest.unbind(dim=1)
    brightness, contrast, saturation, hue = factors
    return ViewParameters(
        crop=_crop(settings, areas, ratios, left, top, torch.as_tensor(aspect, dtype=areas.dtype)),
        angle=math.radians(settings.rotation) * (2 * angle - 1),
        flip=flip < settings.flip,
        jitter=jitter < settings.jitter,
        brightness=_factor(brightness, settings.brightness),
        contrast=_factor(contrast, settings.contrast),
        saturation=_factor(saturation, settings.saturation),
        hue=settings.hue * (2 * hue - 1),
        grayscale=grayscale < settings.grayscale,
        blur=blur < settings.blur,
        sigma=_between(sigma, *settings.blur_sigma),
        solarize=solarize < settings.solarize,
    )


def make_view(images: Tensor, size: int, settings: ViewSettings, seed: int, first: int = 0) -> Tensor:
    """Make one augmented view of a batch.

    Args:
        images: uint8, or float in [0, 1], of shape (n, channels, height, height), on any device; channels is
            1 or 3. Saturation, hue and grayscale have no effect on one channel.
        size: height and width of the view in pixels. Crops are not antialiased, so images should be at most
            about twice as large as the view.
        settings: settings of the view.
        seed: key of the batch, from `view_seed`.
        first: position of the first image in the global batch, for ranks that hold a part of it.

    Returns:
        float32 of shape (n, channels, size, size), in [0, 1], on the device of `images`.

    Raises:
        ValueError: if the images are not square or do not have 1 or 3 channels.
    """
    _check(images)
    parameters = draw(settings, len(images), seed, first)
    return _finish(_resample(images, size, settings, parameters), settings, parameters)


def finish_view(crops: Tensor, settings: ViewSettings, seed: int, first: int = 0) -> Tensor:
    """Apply the operations of `make_view` that follow crop, rotation and flip to finished crops.

    Args:
        crops: uint8 of shape (n, channels, size, size), on any device; channels is 1 or 3.
        settings, seed, first: as in `make_view`, which draws the same parameters.

    Returns:
        float32 of the same shape, in [0, 1], on the device of `crops`.
    """
    _check(crops)
    return _finish(crops.float() / 255, settings, draw(settings, len(crops), seed, first))


def eval_view(images: Tensor, size: int) -> Tensor:
    """Return the view for evaluation: resized bilinearly, antialiased if it shrinks, without augmentation.

    Shapes, types and errors are those of `make_view`.
    """
    _check(images)
    return _resize(_as_float(images), size, "bilinear")


def _check(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (n, 1 or 3, height, height)")


def _as_float(images: Tensor) -> Tensor:
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def _finish(view: Tensor, settings: ViewSettings, parameters: ViewParameters) -> Tensor:
    """Apply jitter, grayscale, blur and solarisation, partly in place."""
    color, size = view.shape[1] == 3, view.shape[-1]
    if settings.jitter > 0:
        view = _where(parameters.jitter, view, _jitter(settings, parameters, color))
    if settings.grayscale > 0:
        view = _where(parameters.grayscale, view, lambda some, rows: pixels.grayscale(some))
    if settings.blur > 0:
        width = max(3, 2 * int(settings.blur_kernel * size / 2) + 1)
        view = _where(parameters.blur, view, _with(pixels.gaussian_blur, parameters.sigma, width))
    if settings.solarize > 0:
        view = _where(parameters.solarize, view, lambda some, rows: pixels.solarize(some))
    return view


def _factor(uniform: Tensor, strength: float) -> Tensor:
    """A factor uniform in [max(0, 1 - strength), 1 + strength], as torchvision's ColorJitter."""
    return _between(uniform, max(0.0, 1 - strength), 1 + strength)


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * uniform


def _crop(
    settings: ViewSettings, areas: Tensor, ratios: Tensor, left: Tensor, top: Tensor, aspect: Tensor
) -> Tensor:
    """Crops (n, 4) with the distribution of RandomResizedCrop, but not rounded to whole pixels.

    The area is uniform and the ratio (in pixels) log-uniform. The columns of `areas` and `ratios` are
    attempts; the first one that fits inside the image is used. If none fits, the largest central crop with an
    allowed ratio is used.
    """
    aspect = aspect.expand(len(areas))
    low, high = settings.crop_ratio
    area = _between(areas, *settings.crop_scale)
    ratio = torch.exp(_between(ratios, math.log(low), math.log(high)))
    width, height = (area * ratio / aspect[:, None]).sqrt(), (area / ratio * aspect[:, None]).sqrt()
    fits = (width <= 1) & (height <= 1)
    found, chosen = fits.any(dim=1), fits.int().argmax(dim=1, keepdim=True)
    nearest = aspect.clamp(low, high)  # the allowed ratio nearest to the image's own
    width = width.gather(1, chosen).squeeze(1).where(found, (nearest / aspect).clamp(max=1))
    height = height.gather(1, chosen).squeeze(1).where(found, (aspect / nearest).clamp(max=1))
    left = left.where(found, 0.5) * (1 - width)
    top = top.where(found, 0.5) * (1 - height)
    return torch.stack([left, top, width, height], dim=1)


def _resample(images: Tensor, size: int, settings: ViewSettings, parameters: ViewParameters) -> Tensor:
    """Crop, rotate, flip and resize in one interpolation: (n, c, h, h) -> float32 (n, c, size, size).

    The corners of a rotated crop show the image around the crop, and repeat the border pixels beyond the
    image.
    """
    whole = settings.crop_scale == (1.0, 1.0) and settings.crop_ratio == (1.0, 1.0)
    if whole and settings.rotation == 0:
        # Only flips remain, so plain resizing is exact and faster. It returns a new tensor.
        view = _resize(_as_float(images), size, settings.interpolation)
        flip = parameters.flip.to(images.device).view(-1, 1, 1, 1)
        return view.flip(-1).where(flip, view) if settings.flip > 0 else view
    theta = _affine(parameters).to(images.device, torch.float32)
    grid = F.affine_grid(theta, [len(images), 1, size, size], align_corners=False)
    mode = settings.interpolation
    view = F.grid_sample(_as_float(images), grid, mode=mode, padding_mode="border", align_corners=False)
    return view.clamp_(0, 1)  # bicubic interpolation overshoots


def _affine(parameters: ViewParameters) -> Tensor:
    """Affine maps (n, 2, 3) from view to image coordinates, both in [-1, 1]: flip, then rotation, then crop.

    The square view is rotated, so the rotation comes before the two scales of the crop.
    """
    left, top, width, height = parameters.crop.unbind(dim=1)
    sign = 1.0 - 2.0 * parameters.flip
    cos, sin = parameters.angle.cos(), parameters.angle.sin()
    across = torch.stack([width * cos * sign, -width * sin, 2 * left + width - 1], dim=1)
    down = torch.stack([height * sin * sign, height * cos, 2 * top + height - 1], dim=1)
    return torch.stack([across, down], dim=1)


def _resize(images: Tensor, size: int, mode: str) -> Tensor:
    if images.shape[-1] == size:
        return images.clone()
    shrink = size < images.shape[-1]
    return F.interpolate(images, [size, size], mode=mode, align_corners=False, antialias=shrink).clamp_(0, 1)


def _jitter(
    settings: ViewSettings, parameters: ViewParameters, color: bool
) -> Callable[[Tensor, Tensor], Tensor]:
    """Brightness, contrast, saturation and hue, in this order; those with strength 0 are left out."""
    parts = [
        _with(pixels.adjust_brightness, parameters.brightness) if settings.brightness else None,
        _with(pixels.adjust_contrast, parameters.contrast) if settings.contrast else None,
        _with(pixels.adjust_saturation, parameters.saturation) if settings.saturation and color else None,
        _with(pixels.adjust_hue, parameters.hue) if settings.hue and color else None,
    ]

    def apply(some: Tensor, rows: Tensor) -> Tensor:
        for part in parts:
            some = some if part is None else part(some, rows)
        return some

    return apply


def _with(
    operation: Callable[..., Tensor], values: Tensor, *constants: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return `operation` with the parameter values of the selected rows."""
    return lambda some, rows: operation(some, values[rows].to(some.device, some.dtype), *constants)


def _where(chosen: Tensor, view: Tensor, operation: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Apply `operation` to the chosen images only, in place.

    Their rows are found on the CPU, where `chosen` was drawn, to avoid waiting for the GPU.
    """
    rows = chosen.nonzero().squeeze(1)
    if len(rows) == len(view):
        return operation(view, rows)
    if len(rows) > 0:
        at = rows.to(view.device)
        view[at] = operation(view[at], rows)
    return view
