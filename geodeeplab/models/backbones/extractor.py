"""What a backbone is: images in, maps of four strides out."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

NATIVE_STRIDES = (4, 8, 16, 32)


class FeatureExtractor(nn.ModuleDict):
    """Run named layers in order and keep the outputs of four of them, the *levels*.

    A level is the last map of a native stride 4, 8, 16 or 32; where strides were traded for dilation, it is finer.

    Attributes:
        channels: channels of each level.
        strides: image pixels per cell of each level.
        origins: the image pixel at which each level's first cell begins; 0 unless the image is padded.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        *,
        levels: Sequence[str],
        channels: Sequence[int],
        strides: Sequence[int],
        origins: Sequence[int] = (0, 0, 0, 0),
    ) -> None:
        """Take the layers in their order, and the names of the levels; one may be named twice."""
        super().__init__(layers)
        self.levels = tuple(levels)
        self.channels, self.strides, self.origins = tuple(channels), tuple(strides), tuple(origins)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the levels, shallow to deep, (N, channels[i], ⌈H/strides[i]⌉, ⌈W/strides[i]⌉) of images (N, C, H, W)."""
        maps = {}
        for name, layer in self.items():
            x = layer(x)
            if name in self.levels:
                maps[name] = x
        return [maps[name] for name in self.levels]


def capped_strides(output_stride: int) -> tuple[int, ...]:
    """Give the strides of the levels when every stride beyond `output_stride` was traded for dilation."""
    return tuple(min(stride, output_stride) for stride in NATIVE_STRIDES)
