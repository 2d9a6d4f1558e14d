"""Boundary IoU (Cheng et al. 2021, arXiv 2103.16562): intersection over union of the bands along the contours.

The band of a class is its pixels within `distance` of its contour (section 3, equation 2, with the bands cut from
inside both masks). As in the authors' code, distance is that of a chess king, so the band is what an erosion by a
(2·distance + 1)² box takes away, and what lies outside the raster counts as another class.

Two things are ours. Pixels to ignore draw no contour, neither in the labels nor in the truth: their class is unknown,
and it would be the same contour on both sides. And the distance is given in pixels: that of the paper, 2 % of an
image's diagonal, is `diagonal_distance`, but a scene may be of any size, so its diagonal says nothing of its objects.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.evaluation.confusion import check_pair, class_indices, divide

OUTSIDE = 256
"""A label that no pixel has."""


def boundary_counts(
    labels: NDArray[np.integer],
    truth: NDArray[np.integer],
    *,
    class_ids: Sequence[int],
    distance: int,
    ignore: int | None = None,
    core: tuple[slice, slice] | None = None,
    edge: bool = True,
) -> NDArray[np.int64]:
    """Count the pixels in the intersection and in the union of the two bands of each class.

    Counts of several rasters may be summed; those of adjoining parts are not those of the whole, because the edge of a
    part is a contour. Laws: where the cores of several parts share out a raster, and each part has `distance` pixels
    around its core (as far as the raster goes), the counts of the parts add up to those of the whole. From a distance
    of half the raster's shorter side on, they are those of plain IoU.

    Args:
        labels: labels (H, W).
        truth: true labels (H, W).
        class_ids: the K values that occur, distinct, of 0 to 255.
        distance: width of the band in pixels, at least 1.
        ignore: pixels with this true label count nowhere, and draw no contour.
        core: rows and columns whose pixels are counted; by default all.
        edge: whether the raster's edge is a contour; if not, what lies outside is as pixels to ignore.

    Returns:
        Counts (2, K): intersections, then unions.

    Raises:
        OptionError: for shapes that differ, a value that is no class id, or a distance below 1.
    """
    seen = check_pair(labels, truth, ignore)
    in_labels, in_truth = (
        boundary_bands(values, distance=distance, seen=seen, edge=edge) for values in (labels, truth)
    )
    if core is not None:
        labels, truth, in_labels, in_truth = labels[core], truth[core], in_labels[core], in_truth[core]

    def count(values: NDArray[np.integer], where: NDArray[np.bool_], what: str) -> NDArray[np.int64]:
        return np.bincount(class_indices(values[where], class_ids, what=what), minlength=len(class_ids))

    both = count(truth, in_labels & in_truth & (labels == truth), "truth")
    either = count(labels, in_labels, "labels") + count(truth, in_truth, "truth") - both
    return np.stack([both, either])


def diagonal_distance(shape: tuple[int, int], *, share: float = 0.02) -> int:
    """Give the paper's distance for an image of a shape (height, width): a share of its diagonal, at least 1 pixel."""
    if not 0 < share < 1:
        raise OptionError(f"the distance of a boundary is a share of the diagonal between 0 and 1, not {share}")
    return max(1, round(share * math.hypot(*shape)))


def boundary_iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the boundary IoU (K,) of each class from counts (2, K); NaN where a class never occurs."""
    return divide(counts[0], counts[1])


def boundary_bands(
    labels: NDArray[np.integer], *, distance: int, seen: NDArray[np.bool_] | None = None, edge: bool = True
) -> NDArray[np.bool_]:
    """Mark the pixels (H, W) within `distance` of the contour of their own class: the bands of all classes at once.

    A pixel is in its band if the box of (2·distance + 1)² around it holds two labels. Pixels that are not `seen` (H, W)
    are in no band, and in no box; neither is what lies outside the raster, unless its edge is a contour.
    """
    if distance < 1:
        raise OptionError(f"the distance of a boundary is at least 1 pixel, not {distance}: give 1 or more")
    values = np.pad(labels.astype(np.int16), distance, constant_values=OUTSIDE)
    unseen = np.full(values.shape, not edge)
    unseen[distance:-distance, distance:-distance] = False if seen is None else ~seen
    highest = _over_boxes(np.where(unseen, np.int16(-1), values), np.maximum, 2 * distance + 1)
    lowest = _over_boxes(np.where(unseen, np.int16(OUTSIDE + 1), values), np.minimum, 2 * distance + 1)
    bands: NDArray[np.bool_] = highest != lowest
    return bands if seen is None else bands & seen


Extreme = Callable[[NDArray[np.int16], NDArray[np.int16]], NDArray[np.int16]]


def _over_boxes(values: NDArray[np.int16], extreme: Extreme, side: int) -> NDArray[np.int16]:
    """Give the extreme of every box of side × side pixels, side − 1 fewer along both axes, by doubling the boxes."""
    for _ in range(2):
        reached = 1
        while reached < side:
            step = min(reached, side - reached)
            values = extreme(values[:-step], values[step:])
            reached += step
        values = values.T
    return values
