"""Polygons for a page: on an integer lattice, delta-coded, gzip-packed, simplified only where they must be.

What is packed, in this order: for each feature its number of rings (uint32) and its class (uint16); for each ring its
number of points (uint32); x, then y, of all points as differences from the point before (int32), whose four bytes lie
in planes of their own, which gzip packs well; and the attributes, as JSON in UTF-8. All little-endian.
"""

import base64
import gzip
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geodeeplab.errors import OptionError
from geodeeplab.maps.web.features import VectorLayer
from geodeeplab.maps.web.frame import Frame
from geodeeplab.maps.web.placing import Placed, join, place

EXACT_COUNT = 20_000
"""More polygons than this are simplified to half a pixel of the pictures."""
EXACT_POINTS = 1_000_000
"""So are polygons with more points than this in all."""
MOST_POLYGONS = 200_000
"""Of more than these, the largest are shown."""
MOST_CLASSES = 200
LATTICE = 16
"""Steps of the lattice in a full pixel."""
ROUNDS = 8
"""How often polygons are made coarser until they fit, each time to twice the tolerance before."""
DIGITS = 6
"""Of numbers among the attributes."""


class NothingToDraw(OptionError):
    """A layer has no polygons."""


class DoesNotFit(OptionError):
    """A layer takes more bytes than it may."""


@dataclass(frozen=True, kw_only=True)
class PackedPolygons:
    """A layer as a page takes it."""

    content: str
    """Base64 of what is packed."""
    counts: tuple[int, int, int]
    """Features, rings and points that are packed."""
    origin: tuple[float, float]
    """(x, y) of the lattice's origin in the plane of the frame."""
    step: float
    """Side of the lattice's cells."""
    class_names: tuple[str, ...]
    """Names of the classes, in the order of their numbers."""
    areas: tuple[float, ...]
    """Area of each class in square metres, or square pixels; of all polygons, as they are in the layer."""
    polygon_count: int
    """Polygons of the layer: more than are packed where the small ones are left out."""
    tolerance: float
    """What they were simplified to, in units of the plane; 0: not at all."""


def pack_polygons(
    layer: VectorLayer,
    frame: Frame,
    *,
    class_field: str | None,
    class_order: Sequence[str] = (),
    picture_size: int,
    max_bytes: int,
) -> PackedPolygons:
    """Read, place, simplify and pack a layer.

    Args:
        layer: the layer.
        frame: where the map lies.
        class_field: the field with the class; None: all are of one class, named after the layer.
        class_order: names of classes that come first.
        picture_size: pixels of the longer side of the map's pictures; what is smaller than one of these may go.
        max_bytes: of the packed layer.

    Raises:
        OptionError: it has no polygon, no such field or too many classes.
        DoesNotFit: it takes more than `max_bytes`, however coarse.
        SceneError: it has a CRS and the scene has none, or the other way round.
    """
    pixel = frame.pixel * max(1.0, max(frame.grid.shape) / picture_size)
    areas: dict[str, float] = {}
    parts: list[Placed] = []
    count = points = 0
    tolerance = 0.0
    for chunk in layer.iter_chunks():
        part = place(chunk, layer, frame, class_field=class_field)
        for name, area in zip(part.names.tolist(), part.areas.tolist(), strict=True):
            areas[name] = areas.get(name, 0.0) + area
        count, points = count + len(part), points + int(shapely.get_num_coordinates(part.polygons).sum())
        if tolerance == 0.0 and (count > EXACT_COUNT or points > EXACT_POINTS):
            tolerance = pixel / 2
            parts = [one.coarser(tolerance) for one in parts]
        parts.append(part.coarser(tolerance) if tolerance else part)
        if sum(map(len, parts)) > MOST_POLYGONS:
            parts = [_largest(join(parts), MOST_POLYGONS)]
    if not count:
        raise NothingToDraw(f"polygon layer '{layer.name}' has no polygons: there is nothing to draw")
    names = _ordered(areas, class_order, what=layer.name)
    placed, step = join(parts), frame.pixel / LATTICE
    for _ in range(ROUNDS):
        content = _pack(placed, names, _origin(frame), step)
        if len(content) * 4 / 3 <= max_bytes:
            return PackedPolygons(
                content=base64.b64encode(content).decode(),
                counts=_counts(placed),
                origin=_origin(frame),
                step=step,
                class_names=tuple(names),
                areas=tuple(areas[name] for name in names),
                polygon_count=count,
                tolerance=tolerance,
            )
        tolerance = max(2 * tolerance, pixel / 2)
        placed = placed.coarser(tolerance)
        placed = placed.take(shapely.area(placed.polygons) >= min(tolerance**2, _median_area(placed)))
        step = max(step, tolerance / LATTICE)
    raise DoesNotFit(
        f"polygon layer '{layer.name}' takes more than {max_bytes / 1e6:.0f} MB on a page: show a part of it"
    )


def _median_area(placed: Placed) -> float:
    """Give the area that half of the polygons exceed, so that no round leaves out more than that half."""
    return float(np.median(shapely.area(placed.polygons)))


def _largest(placed: Placed, count: int) -> Placed:
    """Give the largest polygons, in the order of the layer."""
    return placed.take(np.sort(np.argsort(-placed.areas, kind="stable")[:count]))


def _ordered(found: Iterable[str], first: Sequence[str], *, what: str) -> list[str]:
    names = [name for name in dict.fromkeys(first) if name in set(found)]
    names += sorted(set(found) - set(names))
    if len(names) > MOST_CLASSES:
        raise OptionError(
            f"polygon layer '{what}' has {len(names)} classes, more than {MOST_CLASSES}: choose another class field"
        )
    return names


def _origin(frame: Frame) -> tuple[float, float]:
    return frame.bounds[0], frame.bounds[3]


def _counts(placed: Placed) -> tuple[int, int, int]:
    rings, points = _rings_of(placed.polygons)[0], int(shapely.get_num_coordinates(placed.polygons).sum())
    return len(placed), int(rings.sum()), points


def _rings_of(polygons: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Give the number of rings of each feature, and all rings in their order."""
    parts, feature = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    return np.bincount(feature[part], minlength=len(polygons)), rings


def _pack(placed: Placed, names: Sequence[str], origin: tuple[float, float], step: float) -> bytes:
    counts, rings = _rings_of(placed.polygons)
    number = {name: index for index, name in enumerate(names)}
    lattice = np.rint((shapely.get_coordinates(rings) - origin) / step)
    limit = 2.0**30
    deltas = np.diff(np.clip(lattice, -limit, limit).astype(np.int32), axis=0, prepend=np.zeros((1, 2), np.int32))
    planes = [np.ascontiguousarray(one.astype("<i4")).view(np.uint8).reshape(-1, 4).T.tobytes() for one in deltas.T]
    classes = np.array([number[name] for name in placed.names.tolist()], dtype="<u2")
    attributes = {name: _plain(values) for name, values in placed.columns.items()}
    parts = [
        counts.astype("<u4").tobytes(),
        classes.tobytes(),
        shapely.get_num_coordinates(rings).astype("<u4").tobytes(),
        *planes,
        json.dumps(attributes, ensure_ascii=False, separators=(",", ":")).encode(),
    ]
    return gzip.compress(b"".join(parts), compresslevel=6, mtime=0)


def _plain(values: npt.NDArray[Any]) -> list[Any]:
    """Give values as JSON knows them."""
    return [_plain_value(one) for one in values.tolist()]


def _plain_value(value: Any) -> Any:  # noqa: ANN401 - what vector files hold
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
