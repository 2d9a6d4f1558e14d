"""PointRend (Kirillov et al. 2020, arXiv 1912.08193): segmentation as rendering.

The point head classifies only the points whose coarse logits are in doubt: at random while training (section 3.1),
by adaptive subdivision at inference (section 3.1, figure 4). It runs at the precision of the surrounding autocast;
what it reads (features and coarse logits at the points) and what it gives is float32.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodeeplab.models.heads.aspp import resize

PIXELS_PER_POINT = 256
"""N = H·W / 256: the number of stride-16 positions of the image, as in the paper's semantic models."""
TRAINING_PIXELS_PER_POINT = 8
"""At least: a head that is used at every pixel learns from an eighth of them a step, as neighbours teach the same."""
POINTS_AT_ONCE = 2048
"""On a CPU: 256 channels of so many points are 2 MB."""
IMAGE_LEVEL = -1
"""Among the fine levels: the image itself."""


class PointHead(nn.Module):
    """A small MLP, shared by all points, on fine features and coarse logits; the latter feed every layer."""

    def __init__(
        self,
        fine_channels: int,
        num_classes: int,
        *,
        hidden_channels: int = 256,
        layers: int = 3,
        pixels_per_point: int = PIXELS_PER_POINT,
        at_centres: bool = False,
    ) -> None:
        """Take the numbers.

        Args:
            fine_channels: of all fine levels together.
            num_classes: K.
            hidden_channels: width of the MLP.
            layers: of the MLP.
            pixels_per_point: H·W / N.
            at_centres: learn from points in the centres of pixels, as a head must that reads the image.
        """
        super().__init__()
        self.pixels_per_point, self.at_centres = pixels_per_point, at_centres
        widths = [fine_channels] + [hidden_channels] * layers
        hidden = [nn.Linear(width + num_classes, hidden_channels) for width in widths[:-1]]
        self.hidden = nn.ModuleList(hidden)
        self.predictor = nn.Linear(hidden_channels + num_classes, num_classes)
        for layer in hidden:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Give logits (N, P, K) of fine features (N, P, F) and coarse logits (N, P, K) at P points."""
        x = fine
        for layer in self.hidden:
            x = F.relu(_layer_of_both(layer, x, coarse), inplace=True)  # (N, P, hidden)
        logits = _layer_of_both(self.predictor, x, coarse)  # (N, P, K)
        return logits.float()


def _layer_of_both(layer: nn.Module, x: Tensor, coarse: Tensor) -> Tensor:
    """Apply a linear layer to features (N, P, C) and coarse logits (N, P, K) as one vector, which is never made."""
    assert isinstance(layer, nn.Linear), "a point head's"
    own, shared = layer.weight[:, : x.shape[-1]], layer.weight[:, x.shape[-1] :]
    part = F.linear(coarse, shared, layer.bias).flatten(0, 1)  # (N·P, D)
    both: Tensor = torch.addmm(part, x.flatten(0, 1), own.t())
    return both.view(*coarse.shape[:2], len(layer.weight))


def point_sample(features: Tensor, points: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Sample a map (N, C, h, w) at points (N, P, 2), (x, y) in [0, 1] from pixel edge to pixel edge; gives (N, P, C).

    Padded with the border, so that bilinear samples equal `F.interpolate` at every point, the outermost included.
    """
    grid = (2 * points - 1).unsqueeze(1)  # (N, 1, P, 2)
    sampled = F.grid_sample(features, grid, mode=mode, padding_mode="border", align_corners=False)  # (N, C, 1, P)
    return sampled.squeeze(2).transpose(1, 2)  # (N, P, C)


def certainty(logits: Tensor) -> Tensor:
    """Give the gap between the highest and the second-highest of logits (N, K, ...) as (N, ...): small is uncertain."""
    first = logits[:, 0]
    second = torch.full_like(first, -torch.inf)
    for channel in logits.unbind(1)[1:]:
        second = torch.maximum(second, torch.minimum(first, channel))
        first = torch.maximum(first, channel)
    return first - second


def subdivide(
    head: PointHead,
    coarse: Tensor,
    fine: Sequence[Tensor],
    *,
    shape: Sequence[int],
    points_per_step: int | None = None,
    valid: Tensor | None = None,
) -> Tensor:
    """Refine coarse logits to full resolution by adaptive subdivision.

    Each step doubles the grid bilinearly and replaces the logits of the N least certain points by the head's; the last
    grid is the image's. (Where the image's size is no power of two times the coarse one, the first step does less than
    double.) Laws: with N of at least the number of points, a step equals the head evaluated everywhere; with N of 0,
    all steps together are repeated bilinear doubling. Shapes depend on sizes only, so the steps compile and export.

    Args:
        head: the point head.
        coarse: coarse logits (N, K, h, w), at most of the size of the image; of its very size, they get one step.
        fine: fine feature maps (N, F_i, h_i, w_i), of any sizes.
        shape: (H, W) of the logits to give.
        points_per_step: N, for each image of the batch; by default as the head was built.
        valid: (N, H, W), True where there is data; points elsewhere are taken last, and their logits stay bilinear.

    Returns:
        Logits (N, K, H, W), float32.
    """
    height, width = int(shape[0]), int(shape[1])
    budget = points_per_step if points_per_step is not None else max(1, height * width // head.pixels_per_point)
    coarse = coarse.float().contiguous()
    fine = [
        level.float().contiguous(memory_format=torch.channels_last) for level in fine
    ]  # a point's features together
    logits = coarse
    for scale in _scales(coarse.shape[-2:], (height, width)):
        rows, cols = -(-height // scale), -(-width // scale)
        logits = resize(logits, (rows, cols))  # (N, K, rows, cols)
        valid_here = None if valid is None else _shrink(valid, (rows, cols))
        logits = _refine(head, logits, coarse, fine, count=min(budget, rows * cols), valid=valid_here)
    return logits


def _scales(coarse_shape: Sequence[int], shape: tuple[int, int]) -> list[int]:
    """List the strides of the subdivision's grids, each half of the one before, the last 1."""
    stride = max(shape[0] / coarse_shape[0], shape[1] / coarse_shape[1])
    steps = max(1, math.ceil(math.log2(max(stride, 1.0))))
    return [2**step for step in reversed(range(steps))]


def _refine(
    head: PointHead, logits: Tensor, coarse: Tensor, fine: Sequence[Tensor], *, count: int, valid: Tensor | None
) -> Tensor:
    """Replace the logits (N, K, h, w) of the `count` least certain points by the head's."""
    n, k, rows, cols = logits.shape
    gap = certainty(logits.detach())  # (N, h, w)
    if valid is not None:
        gap = gap.masked_fill(~valid, torch.inf)
    index = gap.flatten(1).topk(count, dim=1, largest=False, sorted=False).indices  # (N, P)
    x, y = index % cols, index.div(cols, rounding_mode="floor")
    points = torch.stack([(x + 0.5) / cols, (y + 0.5) / rows], dim=-1)  # (N, P, 2)
    refined = _logits_at(head, coarse, fine, points).transpose(1, 2)  # (N, K, P)
    flat = logits.flatten(2)  # (N, K, h·w)
    where = index.unsqueeze(1).expand(-1, k, -1)  # (N, K, P)
    if valid is not None:
        keep = valid.flatten(1).gather(1, index).unsqueeze(1)  # (N, 1, P)
        refined = torch.where(keep, refined, flat.gather(2, where))
    return flat.scatter_(2, where, refined).view(n, k, rows, cols)


def _logits_at(head: PointHead, coarse: Tensor, fine: Sequence[Tensor], points: Tensor) -> Tensor:
    """Give the head's logits (N, P, K) at points (N, P, 2).

    On a CPU few points at a time, of one image, so that what a layer gives is still in the cache when the next one
    reads it; and so that the logits of an image do not depend on its place in the batch.
    """
    if points.device.type != "cpu" or torch.compiler.is_compiling():
        logits: Tensor = head(sample_levels(fine, points), point_sample(coarse, points))
        return logits
    images = []
    for one in range(len(points)):
        own, levels = coarse[one : one + 1], [level[one : one + 1] for level in fine]
        parts = points[one : one + 1].split(POINTS_AT_ONCE, dim=1)
        images.append(torch.cat([head(sample_levels(levels, part), point_sample(own, part)) for part in parts], dim=1))
    return torch.cat(images)


def sample_levels(fine: Sequence[Tensor], points: Tensor) -> Tensor:
    """Sample every fine level (N, F_i, h_i, w_i) at points (N, P, 2); gives (N, P, ΣF_i), float32."""
    return torch.cat([point_sample(level.float(), points) for level in fine], dim=-1)


def _shrink(valid: Tensor, shape: tuple[int, int]) -> Tensor:
    """Give `valid` (N, H, W) on a coarser grid: True where any pixel of the cell is valid."""
    if valid.device.type == "mps" and any(size % cells for size, cells in zip(valid.shape[1:], shape, strict=True)):
        return any_in_cells(any_in_cells(valid, shape[0], dim=1), shape[1], dim=2)
    share = F.interpolate(valid.unsqueeze(1).float(), size=shape, mode="area")  # (N, 1, h, w)
    return share.squeeze(1) > 0


def any_in_cells(valid: Tensor, cells: int, *, dim: int) -> Tensor:
    """Give along one dimension whether any value in a cell is True, in cells as `mode="area"` lays them.

    Metal lays those only where all are equal. Cell i of n goes from ⌊i·H / n⌋ to ⌈(i + 1)·H / n⌉.
    """
    size = valid.shape[dim]
    index = torch.arange(cells, device=valid.device)
    start, last = index * size // cells, -(-(index + 1) * size // cells) - 1
    found = valid.index_select(dim, start)
    for step in range(1, -(-size // cells) + 1):  # a cell has so many values at most, and one more where it straddles
        found = found | valid.index_select(dim, torch.minimum(start + step, last))
    return found


def sample_training_points(
    coarse: Tensor,
    labelled: Tensor,
    count: int,
    *,
    oversample: int = 3,
    share_uncertain: float = 0.75,
    at_centres: bool = False,
) -> tuple[Tensor, Tensor]:
    """Choose points for the point loss (section 3.1): uncertain ones of k·N candidates, the rest uniform.

    Uncertainty is computed on *sampled* coarse logits, never sampled itself. Candidates lie in labelled pixels, each as
    likely as the others: where little is labelled, points elsewhere would teach nothing. In an image without a label
    they lie in its first pixel.

    Args:
        coarse: coarse logits (N, K, h, w).
        labelled: (N, H, W) bool.
        count: P, points of each image.
        oversample: k.
        share_uncertain: of the points.
        at_centres: put points into the centres of their pixels, where inference has them.

    Returns:
        Points (N, P, 2), and the positions (N, P) of their pixels among the H·W.
    """
    with torch.no_grad():
        ranks = labelled.flatten(1).cumsum(1)  # (N, H·W): labelled pixels up to each one
        index, points = _draw_points(ranks, oversample * count, labelled.shape[-2:], at_centres=at_centres)
        gap = certainty(point_sample(coarse.float(), points).transpose(1, 2))  # (N, k·P)
        uncertain = int(share_uncertain * count)
        chosen = gap.topk(uncertain, dim=1, largest=False, sorted=False).indices  # (N, P')
        more_index, more_points = _draw_points(ranks, count - uncertain, labelled.shape[-2:], at_centres=at_centres)
        index = torch.cat([index.gather(1, chosen), more_index], dim=1)
        return torch.cat([points.gather(1, chosen.unsqueeze(-1).expand(-1, -1, 2)), more_points], dim=1), index


def _draw_points(ranks: Tensor, count: int, shape: Sequence[int], *, at_centres: bool) -> tuple[Tensor, Tensor]:
    """Draw pixels (N, P) by their ranks (N, H·W) among the labelled ones, and a point (N, P, 2) within each."""
    height, width = int(shape[0]), int(shape[1])
    lots = torch.rand(len(ranks), count, 3, device=ranks.device)
    wanted = torch.minimum((lots[..., 0] * ranks[:, -1:]).long() + 1, ranks[:, -1:])  # from 1 to the labelled pixels
    index = torch.searchsorted(ranks, wanted)
    x, y = index % width, index.div(width, rounding_mode="floor")
    right, down = (0.5, 0.5) if at_centres else (lots[..., 1], lots[..., 2])
    points = torch.stack([(x + right) / width, (y + down) / height], dim=-1)
    return index, points


def point_logits(head: PointHead, coarse: Tensor, fine: Sequence[Tensor], labelled: Tensor) -> tuple[Tensor, Tensor]:
    """Give the head's logits (N, K, P) at training points, and the positions (N, P) of their pixels.

    `labelled` (N, H, W) says where points may lie; P is the head's N, or that of `TRAINING_PIXELS_PER_POINT` where that
    is less. Gradients flow into the coarse logits too.
    """
    height, width = labelled.shape[-2:]
    count = max(1, height * width // max(head.pixels_per_point, TRAINING_PIXELS_PER_POINT))
    points, index = sample_training_points(coarse, labelled, count, at_centres=head.at_centres)
    logits = head(sample_levels(fine, points), point_sample(coarse.float(), points))
    return logits.transpose(1, 2), index


def labels_at(labels: Tensor, index: Tensor) -> Tensor:
    """Give the labels (N, P) of pixels by their positions (N, P) in maps of class indices (N, H, W)."""
    return labels.flatten(1).gather(1, index).long()


def point_loss(
    head: PointHead, coarse: Tensor, fine: Sequence[Tensor], labels: Tensor, *, ignore_index: int = 255
) -> Tensor:
    """Give the point loss (section 3.1): mean cross-entropy of the head at training points, all with a label.

    The paper adds it, with weight 1, to the cross-entropy of the coarse logits. Where nothing is labelled it is 0, with
    gradients of 0, not NaN.

    Args:
        head: the point head.
        coarse: coarse logits (N, K, h, w).
        fine: fine feature maps (N, F_i, h_i, w_i).
        labels: class indices (N, H, W) at full resolution.
        ignore_index: the label that does not count.
    """
    logits, index = point_logits(head, coarse, fine, labels != ignore_index)  # (N, K, P), (N, P)
    picked = labels_at(labels, index)
    total = F.cross_entropy(logits, picked, ignore_index=ignore_index, reduction="sum")
    return total / (picked != ignore_index).sum().clamp(min=1)
