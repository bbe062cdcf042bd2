"""Images with another number of channels than those an encoder was trained on."""

from torch import Tensor, nn

from ldreg.data.pixels import grayscale


def match_channels(images: Tensor, channels: int) -> Tensor:
    """Convert images (n, 1 or 3, height, width) to `channels` channels, the number that an encoder expects.

    Grey images are repeated three times. Colour images become grey with the ITU-R 601-2 weights of the
    colours.
    """
    if images.shape[1] == channels:
        return images
    return images.expand(-1, 3, -1, -1) if channels == 3 else grayscale(images)[:, :1]


class ChannelMatched(nn.Module):
    """An encoder that converts grey or colour images to the channels on which it was trained."""

    def __init__(self, encoder: nn.Module, channels: int) -> None:
        super().__init__()
        self.encoder, self.channels = encoder, channels

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder(match_channels(images, self.channels))
