"""Features of colour and of what lies around a pixel, of any number of bands, in windows of a stated reach."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CELL = 2
"""Pixels of a cell along each axis."""
SCALES = 3
"""Windows of 6, 12 and 24 pixels. Larger ones tell polygons from each other and not classes: see `docs/adapting.md`."""
STEP = 2**SCALES
"""Pixels of a cell of the coarsest map along each axis."""
REACH = 24
"""Pixels beyond a cell that its features may depend on, at most: half a window, a coarse cell, a pixel's neighbours."""
DARK = 0.004
"""What is added where a value divides: one step of an 8-bit band."""
TEXTURE_STEP, EDGE_SLOPE = 0.06, 0.4
"""A neighbour is brighter beyond the first, an edge steeper than the second, in deviations of the brightness."""


class ColourFeatures(nn.Module):
    """Bands, their shares, indices and textures, averaged over windows; float32 whatever the precision.

    Attributes:
        gain, shift: from the network's input to values of 0 to about 1 that share a scale, by band.
        spread: standard deviation of the brightness in such values, (1,).
    """

    def __init__(self, bands: int, pairs: Sequence[tuple[int, int]] = ()) -> None:
        """Take the number of bands, and the pairs (a, b) whose normalised difference is a feature."""
        super().__init__()
        self.bands, self.pairs = bands, tuple(pairs) if bands > 1 else ()
        self.gain, self.shift = nn.Buffer(torch.ones(bands)), nn.Buffer(torch.zeros(bands))
        self.spread = nn.Buffer(torch.ones(1))

    @property
    def channels(self) -> int:
        """Number of features."""
        many, pairs = int(self.bands > 1), len(self.pairs)
        of_cell = self.bands + 1 + many * (2 * self.bands + 3) + pairs
        of_window, of_wide_window = self.bands + 3, 4 + pairs + min(pairs, 1)
        return of_cell + SCALES * of_window + (SCALES - 1) * of_wide_window

    def forward(self, images: Tensor) -> Tensor:
        """Give (N, `channels`, ⌈H/2⌉, ⌈W/2⌉) of images (N, C, H, W).

        Law: beyond `REACH` pixels from the edges of the image, where it is even in place and size to `STEP`, features
        do not depend on the image's extent.
        """
        height, width = images.shape[-2:]
        cells = -(-height // CELL), -(-width // CELL)
        with torch.autocast(images.device.type, enabled=False):
            x = images.float()
            if height % STEP or width % STEP:
                x = F.pad(x, (0, -width % STEP, 0, -height % STEP), mode="replicate")
            values = x * self.gain.view(1, -1, 1, 1) + self.shift.view(1, -1, 1, 1)  # (N, C, H', W')
            means = F.avg_pool2d(values, CELL)  # (N, C, H'/2, W'/2)
            ratios = [_ratio(means[:, [a]] - means[:, [b]], means[:, [a]] + means[:, [b]]) for a, b in self.pairs]
            found = [*self._of_cells(means), *ratios, *self._of_windows(values, means, ratios)]
            return torch.cat(found, dim=1)[..., : cells[0], : cells[1]]

    def _of_cells(self, values: Tensor) -> list[Tensor]:
        """Give what the means (N, C, h, w) of cells say, (N, F, h, w)."""
        total = values.sum(1, keepdim=True)
        found = [values, torch.log(total.abs() + DARK)]
        if self.bands > 1:
            high, low = values.amax(1, keepdim=True), values.amin(1, keepdim=True)
            found += [_ratio(values, total), values - total / self.bands, high, low, _ratio(high - low, high)]
        return found

    def _of_windows(self, values: Tensor, cells: Tensor, ratios: list[Tensor]) -> list[Tensor]:
        """Give what the windows around a cell say, (N, F, h, w) each, of pixels (N, C, H', W') and means of cells."""
        grey = values.mean(1, keepdim=True) / self.spread
        slope, gy, gx = _slopes(grey)
        texture = [grey * grey, slope, gy * gy - gx * gx, gy * gx, *_patterns(grey)]
        texture.append((slope > EDGE_SLOPE**2).float())
        squares = [ratios[0] * ratios[0]] if ratios else []
        averaged = torch.cat([cells, F.avg_pool2d(torch.cat(texture, dim=1), CELL), *ratios, *squares], dim=1)
        brightness, found = cells.mean(1, keepdim=True) / self.spread, []
        for scale in range(SCALES):
            averaged = F.avg_pool2d(averaged, 2) if scale else averaged
            window = F.avg_pool2d(F.pad(averaged, (1, 1, 1, 1), mode="replicate"), 3, stride=1)  # (N, F, h, w)
            here = self._of_window(window, is_wide=scale > 0)
            if scale:
                here = F.interpolate(here, size=brightness.shape[-2:], mode="bilinear", align_corners=False)
            mean = here[:, : self.bands].mean(1, keepdim=True) / self.spread
            found.append(torch.cat([here, brightness - mean], dim=1))
        return found

    def _of_window(self, window: Tensor, *, is_wide: bool) -> Tensor:
        """Give features of averages (N, F, h, w) over windows, in the order that `_of_windows` made them in."""
        bands, pairs = self.bands, len(self.pairs)
        means = window[:, :bands]
        square, slope, across, along, pattern, grain, edges = window[:, bands : bands + 7].split(1, dim=1)
        ratios, ratio_square = window[:, bands + 7 : bands + 7 + pairs], window[:, bands + 7 + pairs :]
        mean = means.mean(1, keepdim=True) / self.spread
        found = [means, _root(square - mean * mean), _root(slope)]
        if is_wide:
            coherence = _root(across * across + 4 * along * along) / (slope + 1e-3)
            found += [pattern, _root(grain), coherence, edges, ratios]
            found += [_root(ratio_square - ratios[:, :1] ** 2)] if pairs else []
        return torch.cat(found, dim=1)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide by what may be 0, or below it in images of other units."""
    return part / (whole.abs() + DARK)


def _root(x: Tensor) -> Tensor:
    return x.clamp_min(0).sqrt()


def _slopes(grey: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give the squared gradient, and the gradient along rows and along columns, of (N, 1, H, W)."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    gy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    gx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return gy * gy + gx * gx, gy, gx


def _patterns(grey: Tensor, distance: int = 3) -> tuple[Tensor, Tensor]:
    """Give how many of four neighbours are brighter, and the squared difference to the mean of 3 × 3, (N, 1, H, W)."""
    padded = F.pad(grey, (distance,) * 4, mode="replicate")
    height, width = grey.shape[-2:]
    brighter = torch.zeros_like(grey)
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        top, left = distance * (1 + dy), distance * (1 + dx)
        brighter = brighter + (padded[..., top : top + height, left : left + width] > grey + TEXTURE_STEP).float()
    around = F.avg_pool2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return brighter, (grey - around) ** 2
