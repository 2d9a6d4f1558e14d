"""A layer's features sorted into windows of the plane, on disk: whatever meets a window is read with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW_FEATURES = 20_000
WINDOW_VERTICES = 1_000_000
"""Of the features whose box is centred in a window, about; those that reach in from outside come on top."""
MANY_RINGS = 64
"""Of geometries with more parts or holes, a window gets those that it meets."""

Box = tuple[float, float, float, float]


def plan_windows(boxes: NDArray[np.float64], vertices: NDArray[np.int64]) -> list[Box]:
    """Divide the plane into windows with about the same work each.

    Args:
        boxes: (n, 4) least x and y, greatest x and y, of the features.
        vertices: (n,) of the features.

    Returns:
        Windows (least x and y, greatest x and y) that cover the plane; the outer ones reach to infinity. A point on a
        side belongs to the window on the right of it, or above.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    windows: list[Box] = []
    waiting: list[tuple[NDArray[np.int64], Box]] = [
        (np.arange(len(boxes)), (-np.inf, -np.inf, np.inf, np.inf)),
    ]
    while waiting:
        members, box = waiting.pop()
        axis = int(np.argmax(np.ptp(centres[members], axis=0))) if len(members) else 0
        enough = len(members) <= WINDOW_FEATURES and vertices[members].sum() <= WINDOW_VERTICES
        cut = None if enough or len(members) < 2 else _middle(centres[members, axis])
        if cut is None:
            windows.append(box)
            continue
        below, above = list(box), list(box)
        below[axis + 2] = above[axis] = cut
        is_below = centres[members, axis] < cut
        waiting += [(members[~is_below], _box(above)), (members[is_below], _box(below))]
    return windows


def _middle(values: NDArray[np.float64]) -> float | None:
    """Give a value with some below and some not; None where all are one."""
    cut = float(np.median(values))
    if not (values < cut).any():
        above = values[values > cut]
        if not len(above):
            return None
        cut = float(above.min())
    return cut


def _box(sides: list[float]) -> Box:
    left, bottom, right, top = sides
    return left, bottom, right, top


class WindowFiles:
    """A file for each window, with the features that meet it."""

    def __init__(self, folder: Path, windows: list[Box]) -> None:
        import shapely

        self._folder = folder
        self.windows = windows
        finite = np.clip(np.array(windows).reshape(-1, 4), -1e300, 1e300)
        self._tree = shapely.STRtree(shapely.box(*finite.T))

    def add(self, geometries: NDArray[Any], fids: NDArray[np.int64]) -> None:
        """Add valid polygons and multipolygons (n,), with their features' numbers (n,)."""
        import shapely

        feature, window = self._tree.query(shapely.box(*shapely.bounds(geometries).T))
        order = np.lexsort((feature, window))
        feature, window = feature[order], window[order]
        shared = np.bincount(feature, minlength=len(geometries)) > 1
        is_large = shared & (
            (shapely.get_num_interior_rings(geometries) > MANY_RINGS)
            | (shapely.get_num_geometries(geometries) > MANY_RINGS)
        )
        for number in np.unique(window):
            members = feature[window == number]
            chosen = geometries[members]
            for place in np.flatnonzero(is_large[members]):
                chosen[place] = _met_rings(chosen[place], self.windows[number])
            self._append(int(number), chosen, fids[members])

    def take(self, number: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Give the polygons that meet a window, and their features' numbers, and forget them."""
        import shapely

        geometries, fids = [np.empty(0, dtype=object)], [np.empty(0, dtype=np.int64)]
        for of_chunk, wkb in self._iter_chunks(number):
            geometries.append(shapely.from_wkb(wkb))
            fids.append(of_chunk)
        (self._folder / str(number)).unlink(missing_ok=True)
        return np.concatenate(geometries), np.concatenate(fids)

    def _append(self, number: int, geometries: NDArray[Any], fids: NDArray[np.int64]) -> None:
        import shapely

        wkb = shapely.to_wkb(geometries)
        sizes = np.array([len(one) for one in wkb], dtype=np.int64)
        with open(self._folder / str(number), "ab") as file:
            file.write(np.int64(len(fids)).tobytes() + fids.tobytes() + sizes.tobytes())
            file.writelines(wkb)

    def _iter_chunks(self, number: int) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        path = self._folder / str(number)
        if not path.exists():
            return
        with open(path, "rb") as file:
            while head := file.read(8):
                count = int(np.frombuffer(head, np.int64)[0])
                fids = np.frombuffer(file.read(8 * count), np.int64)
                sizes = np.frombuffer(file.read(8 * count), np.int64)
                wkb = np.empty(count, dtype=object)
                wkb[:] = [file.read(int(size)) for size in sizes]
                yield fids, wkb


def _met_rings(geometry: Any, window: Box) -> Any:  # noqa: ANN401 - shapely geometries
    """Leave out the parts and the holes that do not meet a window; whatever lies in such a hole does not, either."""
    import shapely

    parts = shapely.get_parts(geometry)
    parts = [_met_holes(part, window) for part in parts[_meets(parts, window)]]
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


def _met_holes(polygon: Any, window: Box) -> Any:  # noqa: ANN401 - shapely geometries
    import shapely

    if shapely.get_num_interior_rings(polygon) <= MANY_RINGS:
        return polygon
    holes = shapely.get_rings(polygon)[1:]
    return shapely.polygons(shapely.get_exterior_ring(polygon), holes[_meets(holes, window)])


def _meets(geometries: NDArray[Any], window: Box) -> NDArray[np.bool_]:
    import shapely

    left, bottom, right, top = shapely.bounds(geometries).T
    meets: NDArray[np.bool_] = (left <= window[2]) & (right >= window[0]) & (bottom <= window[3]) & (top >= window[1])
    return meets


def holds(window: Box, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which points (n, 2) belong to a window."""
    left, bottom, right, top = window
    held: NDArray[np.bool_] = (
        (points[:, 0] >= left) & (points[:, 0] < right) & (points[:, 1] >= bottom) & (points[:, 1] < top)
    )
    return held
