"""Vision transformers, from timm's parts, with fixed sin-cos positions (MoCo v3 and MAE)."""

import math
from functools import partial

import timm.models.vision_transformer as timm_vit
import torch
from timm.layers import build_sincos2d_pos_embed
from torch import Tensor, nn

# ImageNet's, of red, green and blue. Only MAE's inputs are normalised (LDReg's code), grey ones by the means.
PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORM_EPS = 1e-6  # of the layer norms (ViT, MoCo v3, MAE); torch's own default is 1e-5
TOKEN_STD = {False: 1e-6, True: 0.02}  # of the class token at the start: MoCo v3's, MAE's


class VisionTransformer(timm_vit.VisionTransformer):
    """timm's vision transformer, names of weights included, with the class token for representation.

    Positions are fixed sines and cosines. Contrastive methods freeze the patch projection as it was drawn
    (MoCo v3, LDReg's SimCLR ViT-B); a masked autoencoder trains it and normalises its pixels.
    """

    def __init__(
        self, image_size: int, patch: int, channels: int, width: int, depth: int, heads: int, masked: bool
    ) -> None:
        """Args:
        image_size, channels: of the images.
        patch: height and width of the patches, in pixels.
        width, depth, heads: of the tokens, number of blocks, attention heads per block.
        masked: whether for a masked autoencoder.
        """
        super().__init__(
            image_size,
            patch,
            channels,
            num_classes=0,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            weight_init="skip",
            norm_layer=partial(nn.LayerNorm, eps=NORM_EPS),
        )
        initialize(self, split_qkv=not masked)
        projection = self.patch_embed.proj
        # As a linear layer of its pixels, which a convolution's default is not.
        bound = math.sqrt(6 / (projection.weight[0].numel() + width))
        nn.init.uniform_(projection.weight, -bound, bound)
        nn.init.zeros_(projection.bias)
        projection.requires_grad_(masked)
        nn.init.normal_(self.cls_token, std=TOKEN_STD[masked])
        self.pos_embed = positions(image_size // patch, width)
        mean, std = torch.tensor([PIXEL_MEAN, PIXEL_STD]).view(2, 3, 1, 1)
        if channels == 1:
            mean, std = mean.mean(dim=0, keepdim=True), std.mean(dim=0, keepdim=True)
        self.register_buffer("pixel_mean", mean if masked else torch.zeros(1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", std if masked else torch.ones(1, 1, 1), persistent=False)

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """Images (batch, channels, size, size) in [0, 1] to float32 class tokens (batch, width).

        With `keep`, int64 (batch, kept), only these patches are seen, and all tokens are returned,
        (batch, 1 + kept, width), the class token first.
        """
        tokens = self.patch_embed((images - self.pixel_mean) / self.pixel_std) + self.pos_embed[:, 1:]
        if keep is not None:
            tokens = tokens.gather(1, keep[:, :, None].expand(-1, -1, tokens.shape[2]))
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        tokens = self.blocks(torch.cat([first, tokens], dim=1))
        tokens = tokens if keep is not None else tokens[:, 0]
        # In float32, also under autocast, so that no representation is rounded to half precision.
        with torch.autocast(images.device.type, enabled=False):
            return self.norm(tokens.to(self.norm.weight.dtype))


def vision_transformer(
    channels: int, *, image_size: int, patch: int, masked: bool, width: int, depth: int, heads: int
) -> tuple[VisionTransformer, int]:
    """A vision transformer, whose representation is the class token, and its width.

    The arguments are those of `VisionTransformer`.
    """
    return VisionTransformer(image_size, patch, channels, width, depth, heads, masked), width


def positions(side: int, width: int) -> nn.Parameter:
    """Fixed sin-cos positions of side x side patches after a class token's, zero: (1, 1 + side^2, width)."""
    table = build_sincos2d_pos_embed([side, side], width)
    return nn.Parameter(torch.cat([torch.zeros(1, width), table])[None], requires_grad=False)


def initialize(module: nn.Module, split_qkv: bool) -> None:
    """Xavier-uniform weights and zero biases in all linear layers, in place.

    Args:
        module: holding timm's blocks.
        split_qkv: take query, key and value of a block for three matrices (MoCo v3) or for one (MAE).
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear):
            gain = math.sqrt(2) if split_qkv and name.endswith("qkv") else 1.0
            nn.init.xavier_uniform_(part.weight, gain)
            nn.init.zeros_(part.bias)
