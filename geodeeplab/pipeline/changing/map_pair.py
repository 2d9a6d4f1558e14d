"""Both maps, opened in the classes of either and on one grid, and read again and again."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.changing.transitions import Band, count_transitions, iter_bands
from geodeeplab.pipeline.evaluating.class_windows import ClassNames, RasterClasses, classes_text
from geodeeplab.pipeline.evaluating.label_inputs import LabelInput, open_labels
from geodeeplab.pipeline.told import Progress, Told
from geodeeplab.raster import Aoi, Grid, LabelClass, is_vector, to_aoi

if TYPE_CHECKING:
    from geodeeplab.raster import AoiLike

FilePath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class MapPair:
    """Two maps of one place, for K classes."""

    paths: tuple[str, str]
    """How messages name them."""
    earlier: LabelInput
    """The earlier map, whose grid both are on."""
    later: RasterClasses
    """The later map on that grid."""
    grid: Grid
    """The grid."""
    classes: tuple[LabelClass, ...]
    """K classes of either."""
    shift_px: float
    """How far an edge may shift without a change, in pixels."""
    aoi: Aoi | None
    """Ground outside of it has no class."""
    told: Told = field(repr=False)
    """Who is told how much was read."""

    def bands(self) -> Iterator[Band]:
        """Yield all rows from the top."""
        for band in iter_bands(self.earlier.windows_on(self.grid), self.later, shift_px=self.shift_px, aoi=self.aoi):
            yield band
            self.told.count(band.before.size)

    def count(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count all pixels, see `count_transitions`.

        Raises:
            OptionError: a value is no class, or no pixel has one in both maps.
        """
        counts = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        shifted = np.zeros_like(counts)
        for band in self.bands():
            one, other = count_transitions(band, len(self.classes))
            counts += one
            shifted += other
        self.earlier.check_values()
        self.later.check(what="later map", classes=self.classes, hint="say which class they are (`classes=`)")
        if not counts.any():
            before, after = self.paths
            raise OptionError(f"no pixel has a class in both '{before}' and '{after}': check that they show one place")
        return counts, shifted


def open_map_pair(
    stack: ExitStack,
    before: FilePath,
    after: FilePath,
    *,
    said: Mapping[str | int, str | int],
    shift_px: float,
    aoi: "AoiLike | None",
    readings: int,
    progress: Progress | None,
) -> MapPair:
    """Open both maps; the later one lies on the grid of the earlier by its nearest pixels.

    Args:
        stack: what must be closed goes onto it.
        before: label raster, the earlier one.
        after: label raster, the later one.
        said: see `classes` of `change`.
        shift_px: see `change`.
        aoi: area of interest.
        readings: how often all rows will be read.
        progress: called with pixels read and pixels in all.

    Raises:
        OptionError: a map is a layer, or they have no class in common.
        SceneError: a raster cannot be read.
    """
    for path in (before, after):
        if is_vector(path):
            raise OptionError(
                f"maps are label rasters, and '{path}' is a layer: give the raster that it was traced from, or burn it"
            )
    earlier = open_labels(stack, before, None, field=None, encoding=None, band=1, like=None)
    later = open_labels(stack, after, None, field=None, encoding=None, band=1, like=None)
    assert earlier.grid is not None
    names, index_of = _common_classes(earlier, later, said)
    return MapPair(
        paths=(earlier.path, later.path),
        earlier=earlier,
        later=later.recoded_on(earlier.grid, index_of),
        grid=earlier.grid,
        classes=names,
        shift_px=shift_px,
        aoi=None if aoi is None else to_aoi(aoi, crs=earlier.crs),
        told=Told(progress, readings * earlier.grid.height * earlier.grid.width),
    )


def _common_classes(
    earlier: LabelInput, later: LabelInput, said: Mapping[str | int, str | int]
) -> tuple[tuple[LabelClass, ...], dict[int, int]]:
    """Give the classes of either map, and the index among them of each class of the later one, by id.

    Raises:
        OptionError: they have none in common.
    """
    found = ClassNames(earlier.classes, said=said, ignore=())
    index_of = {one.id: index for one in later.classes if (index := found.find(one.name)) is not None}
    if not index_of:
        raise OptionError(
            f"'{earlier.path}' and '{later.path}' have no class in common ({classes_text(earlier.classes)}; "
            f"{classes_text(later.classes)}): say which mean the same (`classes=`)"
        )
    names, used = list(earlier.classes), {one.id for one in earlier.classes}
    for one in later.classes:
        if one.id not in index_of:
            number = one.id if one.id not in used else next(i for i in range(1, 256) if i not in used)
            used.add(number)
            index_of[one.id] = len(names)
            names.append(LabelClass(id=number, name=one.name, color=one.color))
    return tuple(names), index_of
