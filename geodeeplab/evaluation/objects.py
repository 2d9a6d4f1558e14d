"""Object metrics: which polygons of the labels are polygons of the truth, by their intersection over union.

IoU is a quotient of areas in one place, so it is the same in any projection whose scale hardly changes over an object;
no equal-area one is needed, and degrees will do.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError

Objects = NDArray[Any]
"""(n,) shapely polygons and multipolygons."""


@dataclass(frozen=True, kw_only=True)
class ObjectCounts:
    """How many objects of one class were found."""

    matched: int
    """Pairs of an object in the labels and one in the truth."""
    missed: int
    """Objects of the truth without a partner."""
    false: int
    """Objects of the labels without a partner."""
    unjudged: int = 0
    """Objects of the labels that lie mostly where there is no truth; they count nowhere."""
    iou_sum: float = 0.0
    """IoU of the pairs, added up."""
    average_precisions: tuple[float, ...] = ()
    """Average precision at the IoUs of `IOU_THRESHOLDS`; empty where nobody asked."""
    is_scored: bool = False
    """Whether objects had a confidence, by which average precision orders them."""

    @property
    def precision(self) -> float:
        """Share of the labels' objects that are right; NaN without any."""
        return _share(self.matched, self.matched + self.false)

    @property
    def recall(self) -> float:
        """Share of the truth's objects that are found; NaN without any."""
        return _share(self.matched, self.matched + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, "recognition quality" (RQ); NaN without objects."""
        return _share(2 * self.matched, 2 * self.matched + self.missed + self.false)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the pairs, "segmentation quality" (SQ); NaN without any."""
        return self.iou_sum / self.matched if self.matched else float("nan")

    @property
    def pq(self) -> float:
        """Panoptic quality (Kirillov et al. 2019, arXiv 1801.00868, equation 1); NaN without objects.

        Law: where there is a pair, it is SQ · RQ.
        """
        count = 2 * self.matched + self.missed + self.false
        return 2 * self.iou_sum / count if count else float("nan")

    @property
    def ap(self) -> float:
        """Mean of the average precisions from an IoU of 0.5 to 0.95; NaN without an object in the truth."""
        return float(np.mean(self.average_precisions)) if self.average_precisions else float("nan")

    @property
    def ap50(self) -> float:
        """Average precision at an IoU of 0.5; likewise."""
        return self.average_precisions[0] if self.average_precisions else float("nan")


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Pairs of objects."""

    found: NDArray[np.int64]
    """(p,) position in the labels' objects."""
    truth: NDArray[np.int64]
    """(p,) position in the truth's objects."""
    iou: NDArray[np.float64]
    """(p,) their intersection over union."""


def match_objects(found: Objects, truth: Objects, *, threshold: float = 0.5) -> Matches:
    """Pair objects whose IoU is greater than a threshold, each with at most one partner.

    Law: where the objects of a layer do not overlap each other, and the threshold is at least 0.5, no object has two
    possible partners (Kirillov et al. 2019, "Panoptic segmentation", section 4.1), so there is nothing to choose.
    Otherwise the pairs are taken by falling IoU, and in the objects' order where it is equal.

    Args:
        found: objects of one class in the labels.
        truth: objects of that class in the truth, in the same CRS.
        threshold: from 0 up to, but without, 1.

    Raises:
        OptionError: for another threshold.
    """
    if not 0 <= threshold < 1:
        raise OptionError(f"the IoU of a match is greater than a threshold from 0 to less than 1, not {threshold}")
    i, j, scores = overlapping(found, truth)
    matches = scores > threshold
    i, j, scores = i[matches], j[matches], scores[matches]
    order = np.lexsort((j, i, -scores))
    free_found, free_truth, kept = np.ones(len(found), dtype=bool), np.ones(len(truth), dtype=bool), []
    for position in order.tolist():
        if free_found[i[position]] and free_truth[j[position]]:
            free_found[i[position]] = free_truth[j[position]] = False
            kept.append(position)
    pairs = np.array(sorted(kept), dtype=np.int64)
    return Matches(found=i[pairs].astype(np.int64), truth=j[pairs].astype(np.int64), iou=scores[pairs])


def overlapping(found: Objects, truth: Objects) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Give the pairs of objects that meet: positions (p,) in both, and the intersection over union (p,)."""
    import shapely

    found, truth = (_mended(one) for one in (found, truth))
    i, j = shapely.STRtree(truth).query(found, predicate="intersects") if len(found) and len(truth) else _nothing()
    shared = shapely.area(shapely.intersection(found[i], truth[j]))
    either = shapely.area(found)[i] + shapely.area(truth)[j] - shared
    return i, j, np.divide(shared, either, out=np.zeros(len(i)), where=either > 0)


def covered_shares(objects: Objects, ground: Objects) -> NDArray[np.float64]:
    """Give the share (n,) of each object's area that lies on the polygons of the ground, which may overlap."""
    import shapely

    objects, ground = _mended(objects), _mended(ground)
    i, j = shapely.STRtree(ground).query(objects, predicate="intersects") if len(objects) else _nothing()
    parts = shapely.intersection(objects[i], ground[j])
    shares = np.zeros(len(objects))
    for one in np.unique(i).tolist():
        pieces = parts[np.searchsorted(i, one) : np.searchsorted(i, one + 1)]
        shares[one] = shapely.area(shapely.union_all(pieces) if len(pieces) > 1 else pieces[0])
    areas = shapely.area(objects)
    return np.divide(shares, areas, out=np.zeros(len(objects)), where=areas > 0)  # type: ignore[no-any-return]


def _mended(objects: Objects) -> Objects:
    """Repair what crosses itself, as a change of CRS may bring about."""
    import shapely

    broken = ~shapely.is_valid(objects)
    if not broken.any():
        return objects
    mended = objects.copy()
    mended[broken] = shapely.make_valid(objects[broken], method="structure", keep_collapsed=False)
    return mended


def _nothing() -> NDArray[np.int64]:
    return np.zeros((2, 0), dtype=np.int64)


def _share(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")
