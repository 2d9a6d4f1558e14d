"""The minimum mapping unit: label rows in, label rows out, in which small components have merged into their neighbours.

Components are pixels of one label that touch, along edges (connectivity 4) or at corners too (8). In rounds:

1. Each component below the minimum of its class points to the neighbour with the longest common border; of several to
   the largest; of those as large to the one whose first pixel comes first in raster order. Borders are counted in pixel
   edges, for either connectivity; nodata and the edge of the raster are none. A component without neighbours stays.
2. A way along the pointers ends at a component that does not point, or at two that point at each other. All whose ways
   end there unite and take the label of that component, or of the larger of the two (of those as large: the first).
3. Components of one label that now touch unite. Areas and borders add up.

It ends when no component points. Then a component that is still below its minimum has no neighbour but nodata: sieving
again changes nothing. As a round at least halves the number of components that can move, there are few.

Nothing merges into nodata. With `fill_holes`, nodata components that do not touch the edge of the raster and are below
the minimum of nodata point to a neighbour like others. All sums are integers, so nothing depends on how rows come.

The rows are read twice, in time linear in pixels and borders. Memory, at most: 25 bytes per component and 20 per border
between two components of which one is below its minimum, as they are before the first round; and some rows.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.vector.instances.codes import InstanceCodes
from geodeeplab.vector.sieve.merge import Minimum
from geodeeplab.vector.sieve.scan import Numbering, iter_bands, paint_bands, scan_bands

MAX_BYTES = 4 << 30
SLACK = 2.0**-29  # of a minimum: more than rounding to quanta costs an area


def sieve_rows(
    read: Callable[[], Iterable[NDArray[np.int32]]],
    *,
    shape: tuple[int, int],
    minimum: Mapping[int, float] | float,
    connectivity: int = 4,
    nodata: int = 0,
    fill_holes: bool = False,
    row_areas: NDArray[np.float64] | None = None,
    codes: InstanceCodes | None = None,
    max_bytes: int = MAX_BYTES,
) -> Iterator[NDArray[np.int32]]:
    """Merge components below a minimum area into their neighbours; see above for the rule.

    Laws: the result does not depend on the heights of the bands; sieving it again changes nothing; a component of it
    that is below its minimum has no neighbour but nodata.

    Args:
        read: starts the label rows anew: bands (n, W) of int32 from the top, of any heights. Called twice, not before
            the first rows are asked for; once where there is nothing to merge.
        shape: height and width of the raster.
        minimum: least area of a component, for all or by class id (0 for those that are not there): in pixels, or in
            the unit of `row_areas`.
        connectivity: 4 or 8.
        nodata: label that nothing merges into.
        fill_holes: merge holes of nodata too that are below the minimum: `minimum[nodata]`, where it is given by class.
        row_areas: (H,) area of a pixel in each row, where areas are not counted in pixels. A component that lacks less
            than 1e-9 of its minimum is then not below it.
        codes: tells the class of labels that are codes of objects, of which each has the minimum of its class.
        max_bytes: memory for components and borders.

    Returns:
        The rows in the bands of the second reading, as arrays of their own.

    Raises:
        OptionError: an option is out of its range. At once.
        SceneError: the rows do not fill the shape, differ between the readings, or hold more components than
            `max_bytes` has room for. While the rows are asked for.
    """
    if connectivity not in (4, 8):
        raise OptionError(f"connectivity is 4 or 8, not {connectivity}: choose one of them")
    pixels, quantum = _pixel_areas(shape, row_areas)
    rule = _whole_minimum(minimum, quantum, slack=0.0 if row_areas is None else SLACK, codes=codes)
    if fill_holes and isinstance(minimum, Mapping) and nodata not in minimum:
        raise OptionError(f"filling holes needs the minimum of nodata, {nodata}: add it to the minima by class")
    numbering = Numbering(shape=shape, nodata=nodata, fills=fill_holes, reach=int(connectivity == 8))
    if rule.greatest <= pixels.min():
        return (band.copy() for _, band in iter_bands(read(), shape))
    return _iter_sieved(read, numbering, pixels, rule, max_bytes)


def _iter_sieved(
    read: Callable[[], Iterable[NDArray[np.int32]]], numbering: Numbering, pixels: NDArray[np.int64], rule: Minimum,
    max_bytes: int
) -> Iterator[NDArray[np.int32]]:  # fmt: skip
    mapping, components, check = scan_bands(read(), numbering, pixels, rule, max_bytes=max_bytes)
    painted = components.merge_small()[mapping]
    del mapping, components
    yield from paint_bands(read(), numbering, painted, check)


def _pixel_areas(shape: tuple[int, int], row_areas: NDArray[np.float64] | None) -> tuple[NDArray[np.int64], float]:
    """Give the area of a pixel in each row as whole multiples of a quantum, and the quantum.

    The quantum is a power of two, so small that the area of the raster has 61 bits: a pixel has 29 of them where there
    are 50,000 × 50,000.
    """
    if row_areas is None:
        return np.ones(shape[0], np.int64), 1.0
    if row_areas.shape != (shape[0],):
        raise OptionError(f"there is one area per row, {shape[0]}, not {row_areas.shape}: give the grid of the labels")
    if not (np.isfinite(row_areas).all() and (row_areas >= 0).all() and row_areas.max() > 0):
        raise OptionError("the areas of pixels are finite and not below 0: give the minimum in pixels instead")
    quantum = 2.0 ** (math.frexp(float(row_areas.max()) * shape[0] * shape[1])[1] - 61)
    return np.rint(row_areas / quantum).astype(np.int64), quantum


def _whole_minimum(
    minimum: Mapping[int, float] | float, quantum: float, *, slack: float, codes: InstanceCodes | None
) -> Minimum:
    """Give the minimum areas as whole multiples of a quantum, rounded up."""

    def whole(area: float) -> int:
        if not (math.isfinite(area) and area >= 0):
            raise OptionError(f"a minimum area is 0 or more, not {area}: give a finite one, or none")
        return math.ceil(min(area / quantum * (1 - slack), 2.0**62))

    if not isinstance(minimum, Mapping):
        return Minimum(classes=np.empty(0, np.int32), least=np.empty(0, np.int64), otherwise=whole(minimum))
    ids, limits = sorted(minimum), np.iinfo(np.int32)
    if ids and not limits.min <= ids[0] <= ids[-1] <= limits.max:
        raise OptionError(f"class ids are 32-bit integers, not {ids[0]} to {ids[-1]}: give those of the labels")
    least = np.array([whole(minimum[one]) for one in ids], np.int64)
    return Minimum(classes=np.array(ids, np.int32), least=least, otherwise=0, codes=codes)
