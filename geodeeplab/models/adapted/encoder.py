"""Features of a frozen network: principal components of its maps, on the grid of cells."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodeeplab.models.adapted.architecture import EncoderNumbers
from geodeeplab.models.adapted.colour import CELL
from geodeeplab.models.assembly import build_network
from geodeeplab.models.backbones import Backbone, build_backbone
from geodeeplab.models.backbones.efficientnet import EfficientNet
from geodeeplab.models.heads.aspp import resize
from geodeeplab.models.network import SegmentationNetwork, align

LEAST_LOG = -8.0
"""Logarithms of probabilities are cut off here: what is rarer is as good as never."""


class EncoderFeatures(nn.Module):
    """A backbone, or a network with its classes, whose maps become few features.

    Attributes:
        gain, shift: from the image's bands to the encoder's input, by channel.
        projections: principal components of each map, as 1 × 1 convolutions.
    """

    def __init__(self, numbers: EncoderNumbers) -> None:
        """Build it untrained, as the numbers say.

        Raises:
            ModelError: there is no such network, or it reads another number of bands.
        """
        super().__init__()
        self.numbers = numbers
        bands = len(numbers.channels)
        self.encoder: SegmentationNetwork | Backbone
        if numbers.network is not None:
            self.encoder = build_network(numbers.network)
            self.encoder.point_head = None  # features are of the coarse logits
        else:
            assert numbers.backbone is not None
            self.encoder = build_backbone(numbers.backbone, in_channels=bands, output_stride=32)
        self.gain, self.shift = nn.Buffer(torch.ones(bands)), nn.Buffer(torch.zeros(bands))
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, min(channels, numbers.components), 1) for channels in self.map_channels
        )

    @property
    def backbone(self) -> Backbone:
        """The backbone."""
        return self.encoder.backbone if isinstance(self.encoder, SegmentationNetwork) else self.encoder

    @property
    def map_channels(self) -> tuple[int, ...]:
        """Channels of each map."""
        backbone = self.backbone
        fine = (backbone.fine_channels,) if isinstance(backbone, EfficientNet) else ()
        return (*fine, *backbone.channels)

    @property
    def classes(self) -> int:
        """Number of classes of a whole network, 0 of a backbone alone."""
        return 0 if self.numbers.network is None else self.numbers.network.num_classes

    @property
    def channels(self) -> int:
        """Number of features."""
        return sum(min(width, self.numbers.components) for width in self.map_channels) + self.classes

    def forward(self, images: Tensor) -> Tensor:
        """Give (N, `channels`, ⌈H/2⌉, ⌈W/2⌉) float32 of images (N, C, H, W)."""
        shape = images.shape[-2], images.shape[-1]
        maps, logits = self.maps(images)
        with torch.autocast(images.device.type, enabled=False):
            found = [
                self._on_cells(project(one.float()), number, shape)
                for number, (one, project) in enumerate(zip(maps, self.projections, strict=True))
            ]
            if logits is not None:
                likely = torch.log_softmax(logits.float(), dim=1).clamp_min(LEAST_LOG)
                found.append(resize(likely, [-(-side // CELL) for side in shape]))
            return torch.cat(found, dim=1)

    def maps(self, images: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Give the maps (N, C_i, h_i, w_i) of images (N, C, H, W), and the coarse logits of a whole network."""
        x = images[:, list(self.numbers.channels)] * self.gain.view(1, -1, 1, 1) + self.shift.view(1, -1, 1, 1)
        x = x.contiguous(memory_format=torch.channels_last)
        backbone = self.backbone
        levels = backbone.forward_fine(x) if isinstance(backbone, EfficientNet) else backbone(x)
        if not isinstance(self.encoder, SegmentationNetwork):
            return levels, None
        return levels, self.encoder.classifier(levels[-len(backbone.strides) :], (x.shape[-2], x.shape[-1]))

    def _on_cells(self, components: Tensor, number: int, shape: tuple[int, int]) -> Tensor:
        """Interpolate a map's components (N, P, h, w) at the middle of every cell of an image of `shape` (H, W)."""
        backbone = self.backbone
        cells = [-(-side // CELL) for side in shape]
        fine = len(self.map_channels) - len(backbone.strides)
        if not isinstance(backbone, EfficientNet):
            stride, origin = backbone.strides[number - fine], backbone.origins[number - fine]
            return resize(align(components, stride=stride, origin=origin, shape=shape), cells)
        stride = CELL if number < fine else backbone.strides[number - fine]
        firsts = [backbone.first_centre(side, stride) for side in shape]
        return interpolate_cells(components, stride, shape, firsts)


def interpolate_cells(components: Tensor, stride: int, shape: Sequence[int], firsts: Sequence[int]) -> Tensor:
    """Interpolate a map (N, P, h, w) at the middle of every cell of an image of `shape` (H, W).

    `firsts` are the pixels (row, col) in the centre of the map's first cell. The first and last cells of the map stand
    for what lies beyond their centres.
    """
    if stride == CELL:
        return components
    axes = []
    for side, size, first in zip(shape, components.shape[-2:], firsts, strict=True):
        middle = torch.arange(-(-side // CELL), device=components.device) * CELL + (CELL - 1) / 2
        index = (middle - first) / stride
        axes.append(index * (2 / max(size - 1, 1)) - 1)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)  # (h, w, 2) of x, y
    grid = grid.expand(len(components), -1, -1, -1).to(components.dtype)
    return F.grid_sample(components, grid, mode="bilinear", padding_mode="border", align_corners=True)
