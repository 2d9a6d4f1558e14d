"""`change`: two maps of one place → polygons of what changed, and the transitions."""

import json as text
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.changing.result import Change
from geodeeplab.pipeline.changing.transitions import BAND_ROWS, Band, count_transitions, iter_bands
from geodeeplab.pipeline.evaluating.class_windows import UNKNOWN, ClassNames, ClassWindows, RasterClasses, classes_text
from geodeeplab.pipeline.evaluating.label_inputs import LabelInput, open_labels
from geodeeplab.pipeline.polygons import PolygonOptions, PolygonPlan, plan_polygons
from geodeeplab.pipeline.told import Progress, Told
from geodeeplab.raster import (
    Aoi,
    Grid,
    LabelClass,
    atomic_outputs,
    check_distinct,
    check_output,
    is_vector,
    local_files_only,
    open_scene,
    paths_in,
    to_aoi,
)
from geodeeplab.raster.sources.warped import on_grid
from geodeeplab.vector import POLYGON_SUFFIXES, LabelRows

if TYPE_CHECKING:
    from geodeeplab.raster import AoiLike

FilePath = str | os.PathLike[str]
MOST_KINDS = 253
"""Kinds of change that a map can have."""
NOTHING, UNCHANGED = 0, 254
FARTHEST_PX = 50.0


def change(
    before: FilePath,
    after: FilePath,
    polygons: FilePath,
    polygon_options: PolygonOptions | None = None,
    *,
    model: FilePath | None = None,
    shift_px: float = 0.0,
    classes: Mapping[str | int, str | int] | None = None,
    confidence: tuple[FilePath, FilePath] | None = None,
    aoi: "AoiLike | None" = None,
    json: FilePath | None = None,
    figure: FilePath | None = None,
    overwrite: bool = False,
    local_only: bool = False,
    progress: Progress | None = None,
) -> Change:
    """Tell what changed between two maps of one place: polygons from class to class, and the matrix of transitions.

    Only ground with a class in both maps counts. The later map is brought onto the grid of the earlier one by its
    nearest pixels. Neighbouring polygons share their lines, as those of `vectorize` do. A change is no better than the
    maps: where either is wrong, so is the change.

    Args:
        before: label raster, the earlier one; with `model` a scene.
        after: label raster, the later one, on any grid; with `model` a scene.
        polygons: the vector file, by suffix. `class_name` is "field → wood"; columns `from_class` and `to_class`.
        polygon_options: what the polygons look like; polygons below a minimum area merge into what is around them,
            most of it unchanged.
        model: model file, or name of a bundled one, that both scenes are segmented with first.
        shift_px: how far an edge may shift without a change, in pixels of the earlier map: a pixel that went from a
            to b is unchanged where within this distance b was before, and a is still afterwards. Strips along edges
            that shifted by no more than this vanish whole; what is wider than twice that stays whole.
        classes: class of the earlier map, by name or id, for values of the later one that are no name or id.
        confidence: confidence rasters of both, 0–100: each polygon gets the mean and the minimum of the lesser one.
        aoi: area of interest, see `segment`.
        json: .json to write the numbers to.
        figure: .png to draw the matrix into.
        overwrite: replace files that exist.
        local_only: see `open_scene`.
        progress: called with pixels read and pixels in all.

    Raises:
        OptionError: options do not go together, the maps have no class or no ground in common.
        SceneError: a raster cannot be read.
        OutputError: an output cannot be written.
    """
    started = time.perf_counter()
    if not 0 <= shift_px <= FARTHEST_PX:
        raise OptionError(f"`shift_px=` is a distance from 0 to {FARTHEST_PX:g} px, not {shift_px:g}")
    inputs = paths_in(before, after, model, aoi, *(confidence or ()))
    asked = (("polygons", polygons, POLYGON_SUFFIXES), ("json", json, (".json",)), ("figure", figure, (".png",)))
    outputs = {
        name: check_output(path, suffixes=suffixes, overwrite=overwrite, inputs=inputs)
        for name, path, suffixes in asked
        if path is not None
    }
    check_distinct(outputs.values())
    options = polygon_options or PolygonOptions()
    with ExitStack() as stack:
        stack.enter_context(local_files_only(local_only))
        maps: tuple[FilePath, FilePath] = before, after
        if model is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geodeeplab-")))
            maps, confidence = _segment_both(before, after, model, folder, aoi)
        earlier, later, names = _open_both(stack, *maps, classes or {})
        assert earlier.grid is not None
        grid, area = earlier.grid, None if aoi is None else to_aoi(aoi, crs=earlier.crs)
        passes = 2 if options.min_area_m2 is None and options.min_area_px is None else 3
        comparison = _Comparison(
            earlier.windows_on(grid),
            later,
            names,
            shift_px,
            area,
            Told(progress, passes * grid.height * grid.width),
        )
        counts, shifted = comparison.count()
        earlier.check_values()
        later.check(what="later map", classes=names, hint="say which class they are (`classes=`)")
        if not counts.any():
            raise OptionError(f"no pixel has a class in both '{before}' and '{after}': check that they show one place")
        kinds = _Kinds(counts, names)
        plan = plan_polygons(
            options,
            grid=grid,
            classes=[*kinds.classes, LabelClass(id=UNCHANGED, name="unchanged", color=(128, 128, 128))],
            nodata=NOTHING,
            dst_path=outputs["polygons"],
        )
        sure = None if confidence is None else _least_confidence(stack, confidence, grid)
        with atomic_outputs(outputs.values(), overwrite=overwrite) as temporary:
            count = _write(plan, kinds, comparison, sure, temporary[outputs["polygons"]])
            found = Change(
                before=str(before),
                after=str(after),
                classes=names,
                counts=counts,
                shifted=shifted,
                pixel_m2=_pixel_m2(grid),
                polygons=count,
                facts={
                    "shift_px": shift_px,
                    "options": options.facts(),
                    "seconds": time.perf_counter() - started,
                },
            )
            if "json" in outputs:
                temporary[outputs["json"]].write_text(found.to_json() + "\n", encoding="utf-8")
            if "figure" in outputs:
                found.save_figure(temporary[outputs["figure"]], overwrite=True)
    return found


class _Kinds:
    """The kinds of change that occur, numbered as the classes of a label raster."""

    def __init__(self, counts: NDArray[np.int64], names: tuple[LabelClass, ...]) -> None:
        pairs = [(i, j) for i, j in np.argwhere(counts).tolist() if i != j]
        if len(pairs) > MOST_KINDS:
            raise OptionError(
                f"there are {len(pairs)} kinds of change, up to {MOST_KINDS} fit: merge classes (`classes=`)"
            )
        self.table = np.full((UNKNOWN + 1, UNKNOWN + 1), NOTHING, dtype=np.int32)
        for i in range(len(names)):
            self.table[i, i] = UNCHANGED
        for number, (i, j) in enumerate(pairs, start=1):
            self.table[i, j] = number
        self.classes = [
            LabelClass(id=number, name=f"{names[i].name} → {names[j].name}", color=names[j].color)
            for number, (i, j) in enumerate(pairs, start=1)
        ]
        ends = {number: (names[i].name, names[j].name) for number, (i, j) in enumerate(pairs, start=1)}
        self.columns = {
            "from_class": {number: one for number, (one, _) in ends.items()},
            "to_class": {number: other for number, (_, other) in ends.items()},
        }

    def of(self, band: Band) -> NDArray[np.int32]:
        """Give the kind of change of each pixel (n, W)."""
        after = np.where(band.is_shifted, band.before, band.after)
        kinds: NDArray[np.int32] = self.table[band.before, after]
        return kinds


class _Comparison:
    """Both maps, read again and again."""

    def __init__(
        self,
        before: ClassWindows,
        after: ClassWindows,
        names: tuple[LabelClass, ...],
        shift_px: float,
        aoi: Aoi | None,
        told: Told,
    ) -> None:
        self._before, self._after, self._count = before, after, len(names)
        self.shift_px, self._aoi, self._told = shift_px, aoi, told

    def bands(self) -> Iterator[Band]:
        """Yield all rows from the top."""
        for band in iter_bands(self._before, self._after, shift_px=self.shift_px, aoi=self._aoi):
            yield band
            self._told.count(band.before.size)

    def count(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count all pixels, see `count_transitions`."""
        counts = np.zeros((self._count, self._count), dtype=np.int64)
        shifted = np.zeros_like(counts)
        for band in self.bands():
            one, other = count_transitions(band, self._count)
            counts += one
            shifted += other
        return counts, shifted


def _write(
    plan: PolygonPlan, kinds: _Kinds, comparison: _Comparison, sure: Iterator[NDArray[np.uint8]] | None, path: Path
) -> int:
    """Trace what changed, and write it; small changes merge into what is around them, then all else goes."""

    def read() -> Iterator[NDArray[np.int32]]:
        return (kinds.of(band) for band in comparison.bands())

    bands = read() if plan.minimum is None else plan.sieve(read)
    return plan.write(
        path,
        (
            LabelRows(labels=np.where(one == UNCHANGED, np.int32(NOTHING), one), confidence=other)
            for one, other in zip(bands, repeat(None) if sure is None else sure, strict=False)
        ),
        with_confidence=sure is not None,
        class_columns=kinds.columns,
        metadata={"GEODEEPLAB_CHANGE": text.dumps({"shift_px": comparison.shift_px})},
        overwrite=True,
    )


def _open_both(
    stack: ExitStack, before: FilePath, after: FilePath, said: Mapping[str | int, str | int]
) -> tuple[LabelInput, RasterClasses, tuple[LabelClass, ...]]:
    """Open both maps; give the later one on the grid of the earlier, in the classes of either."""
    for path in (before, after):
        if is_vector(path):
            raise OptionError(
                f"maps are label rasters, and '{path}' is a layer: give the raster that it was traced from, or burn it"
            )
    earlier = open_labels(stack, before, None, field=None, encoding=None, band=1, like=None)
    later = open_labels(stack, after, None, field=None, encoding=None, band=1, like=None)
    assert earlier.grid is not None
    assert later.scene is not None
    found = ClassNames(earlier.classes, said=said, ignore=())
    index_of = {one.id: found.find(one.name) for one in later.classes}
    common = [index for index in index_of.values() if index is not None]
    if not common:
        raise OptionError(
            f"'{before}' and '{after}' have no class in common ({classes_text(earlier.classes)}; "
            f"{classes_text(later.classes)}): say which mean the same (`classes=`)"
        )
    names, used = list(earlier.classes), {one.id for one in earlier.classes}
    for one in later.classes:
        if index_of[one.id] is None:
            number = one.id if one.id not in used else next(i for i in range(1, 256) if i not in used)
            used.add(number)
            index_of[one.id] = len(names)
            names.append(LabelClass(id=number, name=one.name, color=one.color))
    nodata = later.scene.bands[0].nodata
    index_of[0 if nodata is None else int(nodata)] = UNKNOWN
    source = on_grid(later.scene.source, earlier.grid)
    return earlier, RasterClasses(source, later.scene.bands[0].number, index_of.get), tuple(names)


def _least_confidence(
    stack: ExitStack, confidence: tuple[FilePath, FilePath], grid: Grid
) -> Iterator[NDArray[np.uint8]]:
    """Yield bands of the lesser of two confidences, 255 where either is missing."""
    sources = []
    for path in confidence:
        scene = stack.enter_context(open_scene(path, bands=[1]))
        if scene.dtype != np.uint8:
            raise OptionError(f"confidence is uint8 from 0 to 100, '{path}' holds {scene.dtype.name}: convert it")
        sources.append((on_grid(scene.source, grid), scene.bands[0].number))

    def bands() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, grid.height, BAND_ROWS):
            window = Window(0, start, grid.width, min(BAND_ROWS, grid.height - start))
            least = np.full((int(window.height), grid.width), 100, dtype=np.uint8)
            missing = np.zeros(least.shape, dtype=np.bool_)
            for source, number in sources:
                pixels = source.read(window, [number])
                missing |= ~pixels.valid | (pixels.array[0] > 100)
                least = np.minimum(least, pixels.array[0])
            yield np.where(missing, np.uint8(255), least)

    return bands()


def _segment_both(
    before: FilePath, after: FilePath, model: FilePath, folder: Path, aoi: "AoiLike | None"
) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    """Segment both scenes into a folder; give their labels and confidences."""
    from geodeeplab.pipeline.segment import segment

    labels, sure = [], []
    for name, scene in (("before", before), ("after", after)):
        labels.append(folder / f"{name}.tif")
        sure.append(folder / f"{name}-confidence.tif")
        segment(scene, label_raster=labels[-1], confidence=sure[-1], model=model, aoi=aoi)
    return (labels[0], labels[1]), (sure[0], sure[1])


def _pixel_m2(grid: Grid) -> float | None:
    """Give the area of a pixel in the middle of a grid; None where nothing says what a metre is."""
    if grid.gsd_m is None:
        return None
    (x_res, y_res), (x_m, y_m) = grid.res, grid.gsd_m
    area = grid.pixel_area * x_m * y_m / (x_res * y_res)
    return area if math.isfinite(area) else None
