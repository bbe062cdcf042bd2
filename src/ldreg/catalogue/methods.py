"""The self-supervised methods that a run's `method` may name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ldreg.catalogue.backbones import BACKBONES
from ldreg.catalogue.implementation import Implementation


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        key: its name in YAML files, folder names and tables.
        label: its name for readers.
        implementation: its class, a `ldreg.methods.base.SelfSupervisedMethod`. Its arguments are the run's
            spec and the number of channels of the images.
        settings: the settings that only this method needs, fields of `ldreg.config.run_spec.RunSpec`.
        views: number of views of an image, 1 or 2.
        couples_images: whether the loss of an image depends on the other images of the batch. If not, the
            loss of a batch is the mean of the losses of its images.
        masks_patches: whether it is a masked autoencoder. It then needs a backbone with patches, which is
            built for masking, and its inputs are the views and random numbers that select the masked patches.
        check: a function of the whole spec that refuses settings that do not fit together. It raises a
            ValueError whose message begins with the key and a colon.
    """

    key: str
    label: str
    implementation: Implementation
    settings: tuple[str, ...]
    views: int = field(kw_only=True, default=2)
    couples_images: bool = field(kw_only=True, default=True)
    masks_patches: bool = field(kw_only=True, default=False)
    check: Callable[[Any], None] | None = field(kw_only=True, default=None)


def _check_mae(spec: Any) -> None:
    """Refuse masks of no or of all patches, and decoder widths that heads or positions do not divide."""
    patches = (spec.image_size // BACKBONES[spec.backbone].patch) ** 2
    if not 0 < int(patches * (1 - spec.mask_ratio)) < patches:
        raise ValueError(f"mask_ratio: {spec.mask_ratio} of {patches} patches leaves none or masks none")
    width, heads = spec.decoder_dim, spec.decoder_heads
    if width % heads or width % 4:
        raise ValueError(f"decoder_dim: {width} must be a multiple of 4 and of decoder_heads ({heads})")


_SIMCLR = Implementation("ldreg.methods.simclr", "SimCLR")

_ALL = (
    Method("simclr", "SimCLR", _SIMCLR, ("projector", "temperature")),
    Method("simclr_tuned", "SimCLR-Tuned", _SIMCLR, ("projector", "temperature")),
    Method(
        "byol",
        "BYOL",
        Implementation("ldreg.methods.byol", "BYOL"),
        ("projector", "predictor", "momentum"),
        couples_images=False,
    ),
    Method(
        "moco",
        "MoCo",
        Implementation("ldreg.methods.moco", "MoCo"),
        ("projector", "predictor", "temperature", "momentum"),
    ),
    Method(
        "vicreg",
        "VICReg",
        Implementation("ldreg.methods.vicreg", "VICReg"),
        ("projector", "invariance_weight", "variance_weight", "covariance_weight"),
    ),
    Method(
        "barlow_twins",
        "Barlow Twins",
        Implementation("ldreg.methods.barlow_twins", "BarlowTwins"),
        ("projector", "redundancy_weight"),
    ),
    Method(
        "mae",
        "MAE",
        Implementation("ldreg.methods.mae", "MAE"),
        ("mask_ratio", "decoder_dim", "decoder_depth", "decoder_heads"),
        views=1,
        couples_images=False,
        masks_patches=True,
        check=_check_mae,
    ),
)
METHODS = {each.key: each for each in _ALL}
# Every setting that belongs to single methods.
METHOD_SETTINGS = tuple(dict.fromkeys(key for each in _ALL for key in each.settings))
