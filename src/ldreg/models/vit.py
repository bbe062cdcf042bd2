"""Vision transformers from timm's blocks, with fixed sine-cosine position embeddings (MoCo v3, MAE)."""

import math
from functools import partial

import timm.models.vision_transformer as timm_vit
import torch
from timm.layers import build_sincos2d_pos_embed
from torch import Tensor, nn

# Means and standard deviations of red, green and blue on ImageNet. As in LDReg's code, only MAE normalises
# its inputs. Grey images use the averages over the three colours.
PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Epsilon of layer norms in ViT and MoCo v3 and, if masked, in encoder and decoder of LDReg's MAE. The MAE of
# He et al. has 1e-6; torch's default is 1e-5.
NORM_EPS = {False: 1e-6, True: 1e-5}
TOKEN_STD = {False: 1e-6, True: 0.02}  # std of the initial class token in MoCo v3 and, if masked, in MAE


class VisionTransformer(timm_vit.VisionTransformer):
    """timm's vision transformer, with the same weight names; the class token is the representation.

    Position embeddings are fixed sines and cosines. Contrastive methods keep the patch projection at its
    random initial values (MoCo v3, LDReg's SimCLR with ViT-B). A masked autoencoder trains it and normalises
    the pixels.
    """

    def __init__(
        self, image_size: int, patch: int, channels: int, width: int, depth: int, heads: int, masked: bool
    ) -> None:
        """Args:
        image_size: height and width of the images, in pixels.
        patch: height and width of the patches, in pixels.
        channels: number of channels of the images.
        width: dimension of the tokens.
        depth: number of transformer blocks.
        heads: attention heads per block.
        masked: whether a masked autoencoder trains the network.
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
            norm_layer=partial(nn.LayerNorm, eps=NORM_EPS[masked]),
        )
        initialize(self, split_qkv=not masked)
        projection = self.patch_embed.proj
        # Xavier-uniform for the projection as a linear layer of pixels, unlike the default of a convolution.
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
        """Map images (batch, channels, size, size) in [0, 1] to float32 class tokens (batch, width).

        If `keep`, int64 (batch, kept), is given, only these patches are encoded, and all tokens are returned:
        (batch, 1 + kept, width), with the class token first.
        """
        tokens = self.patch_embed((images - self.pixel_mean) / self.pixel_std) + self.pos_embed[:, 1:]
        if keep is not None:
            tokens = tokens.gather(1, keep[:, :, None].expand(-1, -1, tokens.shape[2]))
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        tokens = self.blocks(torch.cat([first, tokens], dim=1))
        tokens = tokens if keep is not None else tokens[:, 0]
        # Without autocast, so that representations are not rounded to half precision.
        with torch.autocast(images.device.type, enabled=False):
            return self.norm(tokens.to(self.norm.weight.dtype))


def vision_transformer(
    channels: int, *, image_size: int, patch: int, masked: bool, width: int, depth: int, heads: int
) -> tuple[VisionTransformer, int]:
    """Build a vision transformer; returns it and the dimension of its representations.

    The arguments are those of `VisionTransformer`.
    """
    return VisionTransformer(image_size, patch, channels, width, depth, heads, masked), width


def positions(side: int, width: int) -> nn.Parameter:
    """Fixed positions (1, 1 + side^2, width): zero for the class token, then side x side patches."""
    table = build_sincos2d_pos_embed([side, side], width)
    return nn.Parameter(torch.cat([torch.zeros(1, width), table])[None], requires_grad=False)


def initialize(module: nn.Module, split_qkv: bool) -> None:
    """Set Xavier-uniform weights and zero biases in all linear layers, in place.

    Args:
        module: a module that contains timm's transformer blocks.
        split_qkv: whether query, key and value of a block are initialised as three matrices (MoCo v3) or as
            one (MAE).
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear):
            gain = math.sqrt(2) if split_qkv and name.endswith("qkv") else 1.0
            nn.init.xavier_uniform_(part.weight, gain)
            nn.init.zeros_(part.bias)
