"""Masked autoencoder (He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners")."""

from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from ldreg.catalogue.backbones import BACKBONES
from ldreg.config.run_spec import RunSpec
from ldreg.methods.base import Outputs, SelfSupervisedMethod, Targets
from ldreg.models.networks import build_encoder
from ldreg.models.vit import NORM_EPS, TOKEN_STD, initialize, positions

PIXEL_EPS = 1e-6  # added to the variance of a patch, as in the authors' code


class MAE(SelfSupervisedMethod):
    """MAE: the encoder sees some patches of an image, the decoder reconstructs the pixels of the others.

    The regulariser acts on the encoder's class tokens of the masked images, batch rows, as in LDReg's code.
    If it acts on embeddings, these are the class tokens after the decoder's linear input layer.
    """

    def __init__(self, spec: RunSpec, channels: int) -> None:
        super().__init__()
        self.encoder, dim = build_encoder(spec, channels)
        self.patch, width = BACKBONES[spec.backbone].patch, spec.decoder_dim
        side = spec.image_size // self.patch
        self.kept = int(side**2 * (1 - spec.mask_ratio))
        norm = partial(nn.LayerNorm, eps=NORM_EPS[True])
        self.embed = nn.Linear(dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = positions(side, width)
        blocks = [
            Block(width, spec.decoder_heads, qkv_bias=True, norm_layer=norm)
            for _ in range(spec.decoder_depth)
        ]
        self.decoder = nn.Sequential(*blocks, norm(width), nn.Linear(width, self.patch**2 * channels))
        nn.init.normal_(self.mask_token, std=TOKEN_STD[True])
        for part in (self.embed, self.decoder):
            initialize(part, split_qkv=False)

    def forward(self, images: Tensor, noise: Tensor) -> Outputs:
        """Encode the patches with the smallest values in `noise` (n, patches), and reconstruct the others."""
        order = noise.argsort(dim=1, stable=True)
        tokens = self.encoder(images, keep=order[:, : self.kept])
        embedded = self.embed(tokens)
        reconstructed = self._reconstruct(embedded, order)
        losses = self._losses(images, reconstructed.float(), hidden=order[:, self.kept :])
        return Outputs([tokens[:, 0]], [embedded[:, 0].float()], losses=[losses])

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        return outputs.losses[0].mean()

    def _reconstruct(self, embedded: Tensor, order: Tensor) -> Tensor:
        """Predict the pixels of all patches (n, patches, patch pixels) from the visible tokens."""
        seen, hidden = embedded[:, 1:], self.mask_token.to(embedded.dtype)
        hidden = hidden.expand(len(order), order.shape[1] - self.kept, -1)
        place = order.argsort(dim=1)[:, :, None].expand(-1, -1, embedded.shape[2])
        tokens = torch.cat([embedded[:, :1], torch.cat([seen, hidden], dim=1).gather(1, place)], dim=1)
        return self.decoder(tokens + self.positions)[:, 1:]

    def _losses(self, images: Tensor, reconstructed: Tensor, hidden: Tensor) -> Tensor:
        """Mean squared error (n,) over the pixels of the hidden patches, each patch standardised."""
        pixels = patches((images - self.encoder.pixel_mean) / self.encoder.pixel_std, self.patch)
        variance, mean = torch.var_mean(pixels, dim=2, keepdim=True)
        errors = (reconstructed - (pixels - mean) / (variance + PIXEL_EPS).sqrt()).square().mean(dim=2)
        return errors.gather(1, hidden).mean(dim=1)


def patches(images: Tensor, size: int) -> Tensor:
    """Cut images (n, channels, height, width) into patches (n, patches, size x size x channels), row by row.

    >>> patches(torch.arange(8.0).view(1, 1, 2, 4), 2)[0]
    tensor([[0., 1., 4., 5.],
            [2., 3., 6., 7.]])
    """
    cut = images.unfold(2, size, size).unfold(3, size, size)  # (n, channels, rows, columns, size, size)
    return cut.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
