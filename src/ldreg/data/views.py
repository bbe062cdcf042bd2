"""Augmented views, made for a whole batch at once on the device, with random parameters per image.

The parameters are drawn on the CPU by a counter-based generator whose key is a hash of (seed, epoch, step,
view): a view depends on nothing that was drawn before, on no number of workers, ranks or jobs, and it is the
same on a CPU and a GPU up to rounding. Each image takes one row of the stream, and the row has the same
layout whatever the settings are: switching the blur on leaves every crop as it was, so runs that differ in
one setting stay paired.

The order of the operations is fixed, as in SimCLR and BYOL except for the jitter, whose four parts they
shuffle: crop, rotation and flip; brightness, contrast, saturation, hue; grayscale; blur; solarisation.
Pixel values are float32 in [0, 1].
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

CROP_TRIES = 10  # torchvision's RandomResizedCrop tries as often


def view_seed(seed: int, epoch: int, step: int, view: int) -> int:
    """The key of one batch of views: 63 bits of a hash of the four counters.

    >>> view_seed(seed=0, epoch=1, step=0, view=0) == view_seed(seed=0, epoch=1, step=0, view=1)
    False
    """
    text = f"{seed},{epoch},{step},{view}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class ViewParameters:
    """What happens to each of n images: CPU tensors of shape (n,), `crop` (n, 4)."""

    crop: Tensor  # left, top, width, height as fractions of the image's width or height
    angle: Tensor  # radians
    flip: Tensor  # bool, as all the choices below
    jitter: Tensor
    brightness: Tensor  # factors, used where `jitter` holds
    contrast: Tensor
    saturation: Tensor
    hue: Tensor  # turns
    grayscale: Tensor
    blur: Tensor
    sigma: Tensor  # pixels of the view, used where `blur` holds
    solarize: Tensor


def draw(
    settings: ViewSettings, n: int, seed: int, first: int = 0, aspect: Tensor | float = 1.0
) -> ViewParameters:
    """Draw the parameters of images `first` to `first + n` of the batch that `seed` (`view_seed`) names.

    A row depends on the seed and its own place in the global batch alone: a rank that holds rows 128 to 255
    asks for `n=128, first=128` and gets what one process would have drawn for these images.

    `aspect`, width / height of the images, (n,) where they differ, changes their crops and nothing else.
    """
    # Philox and not torch.Generator, whose CPU engine keeps only 32 bits of the seed.
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
            1 or 3. Saturation, hue and grayscale mean nothing on one channel and are left out there.
        size: Height and width of the view in pixels. Crops are not antialiased, so images should be no
            larger than about twice the view.
        settings: What may happen to an image.
        seed: The batch's key, from `view_seed`.
        first: Place of the first image in the global batch, for ranks that hold a part of it.

    Returns:
        float32 of shape (n, channels, size, size), in [0, 1], on the device of `images`.

    Raises:
        ValueError: If the images are not square or have neither 1 nor 3 channels.
    """
    _check(images)
    parameters = draw(settings, len(images), seed, first)
    return _finish(_resample(images, size, settings, parameters), settings, parameters)


def finish_view(crops: Tensor, settings: ViewSettings, seed: int, first: int = 0) -> Tensor:
    """What `make_view` does after crop, rotation and flip, for images on which these have been done already.

    Args:
        crops: uint8 of shape (n, channels, size, size), on any device; channels is 1 or 3.
        settings, seed, first: As in `make_view`; the draws are the same.

    Returns:
        float32 of the same shape, in [0, 1], on the device of `crops`.
    """
    _check(crops)
    return _finish(crops.float() / 255, settings, draw(settings, len(crops), seed, first))


def eval_view(images: Tensor, size: int) -> Tensor:
    """The view for evaluation: resized (bilinear, antialiased when shrinking), nothing random.

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
    """Jitter, grayscale, blur and solarisation, partly in place."""
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
    """Crops distributed as RandomResizedCrop's, without its rounding to whole pixels; (n, 4).

    Area uniform, ratio (in pixels) log-uniform; of the tries, the columns of `areas` and `ratios`, the first
    one that fits inside the image counts. Where none fits, the greatest central crop whose ratio is allowed.
    """
    aspect = aspect.expand(len(areas))
    low, high = settings.crop_ratio
    area = _between(areas, *settings.crop_scale)
    ratio = torch.exp(_between(ratios, math.log(low), math.log(high)))
    width, height = (area * ratio / aspect[:, None]).sqrt(), (area / ratio * aspect[:, None]).sqrt()
    fits = (width <= 1) & (height <= 1)
    placed, chosen = fits.any(dim=1), fits.int().argmax(dim=1, keepdim=True)
    nearest = aspect.clamp(low, high)  # the allowed ratio nearest to the image's own
    width = width.gather(1, chosen).squeeze(1).where(placed, (nearest / aspect).clamp(max=1))
    height = height.gather(1, chosen).squeeze(1).where(placed, (aspect / nearest).clamp(max=1))
    left = left.where(placed, 0.5) * (1 - width)
    top = top.where(placed, 0.5) * (1 - height)
    return torch.stack([left, top, width, height], dim=1)


def _resample(images: Tensor, size: int, settings: ViewSettings, parameters: ViewParameters) -> Tensor:
    """Crop, rotate, flip and resize in one interpolation: (n, c, h, h) -> float32 (n, c, size, size).

    A crop that is rotated shows the image around it at its corners; beyond the image, its border pixels.
    """
    whole = settings.crop_scale == (1.0, 1.0) and settings.crop_ratio == (1.0, 1.0)
    if whole and settings.rotation == 0:
        # Only flips are left: resizing is exact and faster. A new tensor, never the caller's.
        view = _resize(_as_float(images), size, settings.interpolation)
        flip = parameters.flip.to(images.device).view(-1, 1, 1, 1)
        return view.flip(-1).where(flip, view) if settings.flip > 0 else view
    theta = _affine(parameters).to(images.device, torch.float32)
    grid = F.affine_grid(theta, [len(images), 1, size, size], align_corners=False)
    mode = settings.interpolation
    view = F.grid_sample(_as_float(images), grid, mode=mode, padding_mode="border", align_corners=False)
    return view.clamp_(0, 1)  # bicubic interpolation overshoots


def _affine(parameters: ViewParameters) -> Tensor:
    """The maps from view to image coordinates, both in [-1, 1]: crop after rotation after flip; (n, 2, 3).

    The rotation is one of the square view, so it comes before the crop's two scales.
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
    """Brightness, contrast, saturation and hue, in this order, as far as the settings ask for them."""
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
    """`operation` with the rows' own values of a parameter."""
    return lambda some, rows: operation(some, values[rows].to(some.device, some.dtype), *constants)


def _where(chosen: Tensor, view: Tensor, operation: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Change the chosen images in place, computing only these.

    The rows are found on the CPU, where the choice was drawn, so that a GPU need not be waited for.
    """
    rows = chosen.nonzero().squeeze(1)
    if len(rows) == len(view):
        return operation(view, rows)
    if len(rows) > 0:
        at = rows.to(view.device)
        view[at] = operation(view[at], rows)
    return view
