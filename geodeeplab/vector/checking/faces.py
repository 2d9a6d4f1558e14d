"""The faces between lines: those that polygons enclose, and those that they leave free."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.vector.checking.edges import number_keys
from geodeeplab.vector.checking.windows import Box, holds


def enclosed(
    lines: NDArray[Any], *, are_noded: bool, window: Box | None = None, beyond: NDArray[np.float64] | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the faces that lines (n,) enclose, and the lines with which others may enclose more.

    Lines that hang together, by common ends, belong together: where others may go on from one of them, all of them are
    given back, and none of the faces between them.

    Args:
        lines: of shapely.
        are_noded: whether they meet at their ends only; else they are cut where they meet.
        window: beyond it there are other lines; None where these are all.
        beyond: points (m, 2) in the window that other lines go through.
    """
    import shapely
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not are_noded:
        lines = shapely.get_parts(shapely.union_all(lines))
    faces = shapely.get_parts(shapely.polygonize(lines))
    if window is None or not len(lines):
        return faces, lines[:0]
    ends = shapely.get_coordinates(shapely.get_point(lines, [[0], [-1]]))
    nodes, first, place = np.unique(number_keys(ends), return_index=True, return_inverse=True)
    one, other = place.reshape(2, -1)
    _, group = connected_components(coo_matrix((np.ones(len(one)), (one, other)), shape=(len(nodes),) * 2))
    goes_on = ~holds(window, ends[first])
    if beyond is not None:
        goes_on |= np.isin(nodes, number_keys(beyond))
    is_open = np.isin(group, group[goes_on])
    points, face = shapely.get_coordinates(shapely.get_exterior_ring(faces), return_index=True)
    is_left = np.ones(len(faces), dtype=np.bool_)
    is_left[face[np.isin(number_keys(points), nodes[is_open])]] = False
    return faces[is_left], lines[is_open[one]]


def points_beside(faces: NDArray[Any], *, step: float) -> NDArray[Any]:
    """Give a point of each face (n,) right beside the longest edge of its shell, where nothing else lies."""
    import shapely

    shells = shapely.get_exterior_ring(shapely.orient_polygons(faces))
    points, face = shapely.get_coordinates(shells, return_index=True)
    same = face[1:] == face[:-1]
    start, along, face = points[:-1][same], np.diff(points, axis=0)[same], face[:-1][same]
    length = np.hypot(*along.T)
    order = np.lexsort((-length, face))
    longest = order[np.diff(face[order], prepend=-1) != 0]
    left = np.column_stack([-along[longest, 1], along[longest, 0]]) * (step / length[longest])[:, None]
    return shapely.points(start[longest] + along[longest] / 2 + left)  # type: ignore[no-any-return]
