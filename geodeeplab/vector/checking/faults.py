"""What may be wrong with a layer, and lists of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

FAULTS = {
    # of the layer
    "no CRS": "nothing says where on earth it lies",
    "other CRS": "it is in another CRS than it is to be",
    "outside the CRS": "it lies where its CRS is not meant for",
    "stale extent": "the extent that the file states is not that of its polygons",
    "stale index": "the spatial index of the file does not hold its polygons",
    # of one polygon
    "no geometry": "null",
    "empty geometry": "a geometry without a point",
    "no polygon": "a point, a line or a collection",
    "not finite": "coordinates that are NaN or infinite",
    "invalid": "not valid by OGC's Simple Features",
    "spike": "the outline runs out and back again",
    "small area": "below the minimum",
    "no class": "the class is null or blank",
    "unknown class": "not one of the classes that there are to be",
    "class mismatch": "one id with several names, or one name with several ids",
    "null attribute": "null in another column",
    # of neighbours
    "duplicate": "the same polygon twice",
    "overlap": "two polygons on the same ground",
    "edge mismatch": "neighbours whose common edge has not the same vertices",
    "gap": "ground between polygons that is nobody's",
}
"""Every kind of fault, and what it is."""
OF_LAYER = ("no CRS", "other CRS", "outside the CRS", "stale extent", "stale index")
NOBODY = -1
"""In place of a feature's number, where a fault is of none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Faults:
    """A list of n faults."""

    kind: NDArray[Any]
    """(n,) of `FAULTS`."""
    fid: NDArray[np.int64]
    """(n,) number of the feature in the file; `NOBODY` of gaps, and of the layer's own faults."""
    other: NDArray[np.int64]
    """(n,) number of the feature that it overlaps with, or is a duplicate of; `NOBODY` else."""
    point: NDArray[np.float64]
    """(n, 2) where, in the layer's CRS; NaN where there is no place."""
    size: NDArray[np.float64]
    """(n,) area of overlaps, gaps and small polygons, in square units of the CRS; angle of spikes, in degrees; else
    NaN."""
    note: NDArray[Any]
    """(n,) text: what GEOS says, the class, the column; "" for nothing."""
    shape: NDArray[Any]
    """(n,) polygon of an overlap or a gap; None else."""

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, chosen: NDArray[Any]) -> "Faults":
        """Give some of them, by a mask or by numbers."""
        return Faults(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})


def list_faults(
    kind: str,
    fid: NDArray[np.int64],
    *,
    other: NDArray[np.int64] | None = None,
    point: NDArray[np.float64] | None = None,
    size: NDArray[np.float64] | None = None,
    note: NDArray[Any] | str = "",
    shape: NDArray[Any] | None = None,
) -> Faults:
    """Give n faults of one kind, one for each of `fid` (n,)."""
    count = len(fid)
    return Faults(
        kind=_objects(kind, count),
        fid=np.asarray(fid, dtype=np.int64),
        other=np.full(count, NOBODY) if other is None else other,
        point=np.full((count, 2), np.nan) if point is None else point,
        size=np.full(count, np.nan) if size is None else size,
        note=_objects(note, count) if isinstance(note, str) else note,
        shape=_objects(None, count) if shape is None else shape,
    )


def join_faults(parts: Sequence[Faults]) -> Faults:
    """Join lists, by kind in the order of `FAULTS`, and by feature within."""
    parts = [*parts, list_faults("gap", np.empty(0, dtype=np.int64))]
    joined = Faults(**{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Faults)})
    rank = {kind: place for place, kind in enumerate(FAULTS)}
    ranks = np.array([rank[kind] for kind in joined.kind], dtype=np.int64)
    x, y = np.nan_to_num(joined.point).T
    return joined.take(np.lexsort((x, y, joined.other, joined.fid, ranks)))


def _objects(value: object, count: int) -> NDArray[Any]:
    found = np.empty(count, dtype=object)
    found[:] = value
    return found
