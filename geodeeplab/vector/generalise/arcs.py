"""Simplify and smooth arcs so that they stay a planar map, whatever the order they come in.

Every arc is worked on alone. What it may do depends on the arc itself and on where the *original* vertices of all arcs
are, one bit for each lattice corner; so the result is the same for every order, batch and number of threads. A step
replaces a–v–b by a–b (simplifying), or p–v–q by a curve inside the triangle p, v, q with p on a–v and q on v–b
(smoothing). It is taken only if the closed triangle holds no bit but those of the arc's own vertices from a to b.

Why no two lines ever cross or touch: let the lines be a planar map before the step. A line that is met by the new part
must enter the triangle through the side a–b, since nothing crosses a–v–b; it is straight and cannot leave through the
same side, so it ends inside or on the side, at one of its vertices. Vertices of simplified lines are original ones,
whose bits would have been found. (The arc's own vertices between a and b are gone, but for v.) One case is left:
another arc may become the very segment a–b if it joins the same two ends; the caller marks such arcs as twins, and they
keep a vertex between. Rings keep four. Douglas–Peucker takes many steps at once: all their triangles lie in the convex
hull of the vertices from a to b, which must hold no other bit.

For smoothing take two triangles that are cut off, of which neither holds a vertex of the other's line: their sides on
the lines do not cross, so neither line enters the other's triangle, so the triangles are disjoint, and so are the
curves. A step of one arc never changes the bits, so all arcs may take theirs at once.

Orientation and containment are decided in integers: exactly. All coordinates are multiples of 1/128 px: exact too.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.vector.trace.arcs import Arcs, CornerBits

Method = Literal["vw", "dp"]
Value = TypeVar("Value", bound=np.generic)

KEEP = 1
"""Flag of an arc that is left as it is."""
TWIN = 2
"""Flag of an arc that must not become the segment between its ends: another arc that might joins the same two."""
FREE = 4
"""Flag of a ring without a junction: smoothing cuts the corner at its start like the others."""
SLACK = 1.0 + 1e-9
"""Distances are compared with so many times the tolerance: one that equals it passes in spite of rounding."""


@dataclass(frozen=True, kw_only=True)
class Generalisation:
    """How arcs are simplified and smoothed."""

    method: Method = "vw"
    """Which vertices go first: "vw" (Visvalingam–Whyatt) those of the smallest triangles; "dp" (Douglas–Peucker) keeps
    the farthest ones."""
    tolerance: float
    """No original vertex is farther from the resulting line, in the unit of the metric; above 0."""
    smooth: bool = False
    """Whether corners are cut to curves afterwards, where that keeps to the tolerance."""

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            known = ", ".join(get_args(Method))
            raise OptionError(f"lines are simplified by one of {known}; {self.method!r} is none: choose one of these")
        if not (np.isfinite(self.tolerance) and self.tolerance > 0):
            raise OptionError(
                f"the tolerance is a finite distance above 0; {self.tolerance!r} is not: leave it out for exact lines"
            )


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What distance is, in cells of the lattice."""

    cell_px: int
    """Side of a cell in px; the last row and column of cells reach to the end of the scene, and beyond."""
    matrices: NDArray[np.float64]
    """(R, C, 2, 2): a cell's matrix times (columns, rows) is a vector in the unit of the tolerance."""

    def __post_init__(self) -> None:
        rows, cols, *square = self.matrices.shape
        assert rows > 0, "a metric has at least one cell"
        assert cols > 0, "a metric has at least one cell"
        assert square == [2, 2], square
        assert self.cell_px > 0, self.cell_px
        sizes = np.abs(np.linalg.det(self.matrices))
        assert np.isfinite(sizes).all(), "a matrix of the metric is not finite"
        assert (sizes > 0).all(), "a matrix of the metric is singular"

    @classmethod
    def pixels(cls) -> "Metric":
        """Give the metric whose unit is the pixel."""
        return cls(cell_px=1, matrices=np.eye(2)[None, None])

    def forms(self) -> NDArray[np.float64]:
        """Give (R, C, 4): g₁₁, g₁₂, g₂₂ of the quadratic form MᵀM, and its determinant."""
        grams = np.swapaxes(self.matrices, -1, -2) @ self.matrices
        sizes = np.linalg.det(self.matrices)
        return np.stack([grams[..., 0, 0], grams[..., 0, 1], grams[..., 1, 1], sizes * sizes], axis=-1)


def generalise_arcs(
    arcs: Arcs, bits: CornerBits, rule: Generalisation, metric: Metric, flags: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Simplify, and smooth if the rule says so; may run in several threads at once.

    End points stay, but for rings that are FREE; rings keep at least four corners. Every original vertex between two
    that stay is within the tolerance of the line between them, by the metric where it lies. An arc gives the same line
    whichever way round it comes.

    Args:
        arcs: in corners from the scene's origin. An arc's vertices but its ends belong to it alone.
        bits: of the original vertices of all arcs of the scene; must cover the bounding boxes of these arcs.
        rule: what to do.
        metric: what its tolerance is measured by.
        flags: (A,) any of KEEP, TWIN, FREE for each arc.

    Returns:
        Points (V', 2) as columns and rows, and (A + 1,) where arcs begin and end in them.
    """
    from geodeeplab.vector.generalise.kernels import gather_arcs, simplify_arcs, smooth_arcs
    from geodeeplab.vector.generalise.smooth import MOST_POINTS
    from geodeeplab.vector.generalise.vw import INDEX_BITS, MOST_SPAN

    points, offsets = _owned(arcs.points, np.int32), _owned(arcs.offsets, np.int64)
    words, marks, forms = _owned(bits.words, np.uint64), _owned(flags, np.uint8), _owned(metric.forms(), np.float64)
    assert len(marks) == len(offsets) - 1, (len(marks), len(offsets))
    _check_cover(points, bits)
    place = (words, bits.first_row, forms, metric.cell_px, (rule.tolerance * SLACK) ** 2)
    kept, sizes = np.empty(len(points), np.uint8), np.empty(len(marks), np.int64)
    if rule.method == "dp":
        spans, piece = np.empty((2, len(words)), np.int64), MOST_SPAN
    else:
        spans, piece = None, 1 << (INDEX_BITS - 1)
    simplify_arcs(points, offsets, marks, *place, spans, piece, kept, sizes)
    if rule.smooth:
        out = np.empty((MOST_POINTS * int(sizes.sum()), 2))
        smooth_arcs(points, offsets, marks, *place, kept, sizes, out)
        out = out[: int(sizes.sum())].copy()
    else:
        out = np.empty((int(sizes.sum()), 2))
        gather_arcs(points, kept, out)
    return out, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def _owned(array: NDArray[Any], dtype: type[Value]) -> NDArray[Value]:
    """Give an array that the kernels take as it is: they are compiled for writable, contiguous arrays only."""
    return np.require(array, dtype, ["C", "W"])


def _check_cover(points: NDArray[np.int32], bits: CornerBits) -> None:
    if len(points) == 0:
        return
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    rows, words = bits.words.shape
    assert left >= 0, left
    assert right < 64 * words, (right, words)
    assert top >= bits.first_row, (top, bits.first_row)
    assert bottom < bits.first_row + rows, (bottom, bits.first_row, rows)
