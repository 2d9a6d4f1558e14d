"""The labels of an evaluation: a raster or a layer of polygons, their classes, and the grid they are compared on."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.evaluating.class_windows import (
    UNKNOWN,
    BurnedClasses,
    ClassWindows,
    RasterClasses,
)
from geodeeplab.raster import (
    NODATA_LABEL,
    Grid,
    LabelClass,
    PolygonLayer,
    RowReader,
    Scene,
    Source,
    check_lossless,
    is_vector,
    label_nodata,
    open_label_scene,
    open_scene,
    read_classes,
    read_polygon_layer,
)
from geodeeplab.raster.classes import some_color
from geodeeplab.raster.polygons.class_text import listed
from geodeeplab.raster.polygons.features import describe_layer, read_features
from geodeeplab.raster.sources.warped import on_grid

if TYPE_CHECKING:
    from geodeeplab.raster.polygons.features import LayerLike

LABELS_FIELD, ID_FIELD, SCORE_FIELD = "class_name", "class_id", "confidence"
SCANNED_ROWS = 512


@dataclass(frozen=True, kw_only=True)
class LabelInput:
    """Labels, opened."""

    path: str
    """How messages name them."""
    classes: tuple[LabelClass, ...]
    """Their classes; the position of one is its index."""
    grid: Grid | None
    """The pixels that are compared; None where only objects are."""
    crs: CRS | None
    """CRS that everything is brought into."""
    scene: Scene | None
    """The label raster, if it is one."""
    raster: RasterClasses | None
    """Its classes by windows."""
    layer: PolygonLayer | None
    """The polygons, if it is a vector layer."""
    nodata: int = NODATA_LABEL
    """Value of a label raster that is no class."""
    scores: NDArray[np.float64] | None = None
    """Confidence of each of the polygons, if their layer has it."""
    background: int = UNKNOWN
    """Index of the class of ground that no polygon covers."""

    def windows_on(self, grid: Grid) -> ClassWindows:
        """Give the class indices by windows of the grid."""
        if self.raster is not None:
            return self.raster
        assert self.layer is not None
        return BurnedClasses(self.layer, grid, background=self.background)

    def recoded_on(self, grid: Grid, index_of: Mapping[int, int]) -> RasterClasses:
        """Give the classes of a label raster on a grid, by its nearest pixels, by indices of somebody else's.

        Args:
            grid: the pixels.
            index_of: the index of each class id.
        """
        assert self.scene is not None, "a label raster"
        return _classes_of(self.scene, on_grid(self.scene.source, grid), index_of, nodata=self.nodata)

    def check_values(self) -> None:
        """Refuse labels that are no class, of all that was read.

        Raises:
            OptionError: there are some.
        """
        if self.raster is not None:
            self.raster.check(what="label raster", classes=self.classes, hint="correct its class names, or the raster")

    def areas_m2(self, pixels: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Give the area of so many pixels (K,) in square metres; None if nothing says what a metre is."""
        if self.grid is None or self.grid.gsd_m is None:
            return None
        (x_res, y_res), (x_m, y_m) = self.grid.res, self.grid.gsd_m
        areas: NDArray[np.float64] = pixels.astype(np.float64) * (self.grid.pixel_area * x_m * y_m / (x_res * y_res))
        return areas


def open_labels(
    stack: ExitStack,
    labels: "str | os.PathLike[str] | LayerLike",
    truth: Any,  # noqa: ANN401 - whatever the truth is
    *,
    field: str | None,
    encoding: str | None,
    band: int,
    like: str | os.PathLike[str] | None,
    background: str | int | None = None,
) -> LabelInput:
    """Open the labels; what must be closed goes onto the stack.

    The pixels that are compared are those of the label raster; where the labels are polygons, those of the truth
    raster, or of the raster `like`. Where no polygon of the labels has the class `background`, as in a layer of
    buildings alone, that class is where none of them lies.

    Raises:
        OptionError: options do not go together, or the labels' polygons have no such field.
        SceneError: a raster cannot be read.
    """
    if not is_vector(labels):
        if field is not None or like is not None:
            raise OptionError("a label raster has its own grid and no fields: leave out `labels_field=` and `like=`")
        return _open_raster(stack.enter_context(open_label_scene(labels, band=band)))
    fields, crs = describe_layer(labels, encoding=encoding)
    grid = None
    if like is not None and not is_vector(truth):
        raise OptionError("polygons are compared on the grid of the truth raster: leave out `like=`")
    if like is not None or not is_vector(truth):
        with open_scene(truth if like is None else like, allow_palette=True) as scene:
            grid = scene.grid
        crs = grid.crs
    if field is None and LABELS_FIELD not in fields:
        raise OptionError(
            f"the labels' polygons have no field '{LABELS_FIELD}': name the field with their class (`labels_field=`) "
            f"among {listed(fields)}"
        )
    layer = read_polygon_layer(labels, crs=crs, class_field=field or LABELS_FIELD, encoding=encoding)
    ids = _ids(labels, layer, crs) if field is None and ID_FIELD in fields else list(range(1, len(layer.values) + 1))
    names = list(layer.values)
    if isinstance(background, str) and background not in names:
        names.append(background)
        ids = [*ids, next(one for one in range(1, 256) if one not in ids)]
    return LabelInput(
        path=layer.name,
        classes=tuple(
            LabelClass(id=one, name=name, color=some_color(one)) for one, name in zip(ids, names, strict=True)
        ),
        scores=_scores(labels, layer) if SCORE_FIELD in fields else None,
        background=UNKNOWN if len(names) == len(layer.values) else len(layer.values),
        grid=grid,
        crs=crs,
        scene=None,
        raster=None,
        layer=layer,
    )


def traced(
    found: LabelInput,
    labels: Any,  # noqa: ANN401 - the raster's file
    confidence: str | os.PathLike[str] | None = None,
) -> tuple[PolygonLayer, NDArray[np.float64] | None]:
    """Trace the components of a label raster into a file of its own; give the polygons, and their confidence."""
    from geodeeplab.pipeline.vectorize import vectorize

    assert found.scene is not None
    with tempfile.TemporaryDirectory(prefix="geodeeplab-") as folder:
        path = Path(folder) / "objects.fgb"  # a format that keeps a missing CRS missing
        vectorize(labels, path, band=found.scene.bands[0].number, confidence=confidence)
        layer = read_polygon_layer(
            path,
            crs=found.crs,
            class_field=ID_FIELD,
            class_indices={one.id: index for index, one in enumerate(found.classes)},
        )
        return layer, None if confidence is None else _scores(path, layer)


def _open_raster(scene: Scene) -> LabelInput:
    stated = label_nodata(scene)
    nodata = NODATA_LABEL if stated is None else stated
    known = tuple(read_classes(scene, nodata=nodata))
    check_lossless(scene, known=[*(one.id for one in known), nodata] if known else [])
    classes = known or _numbered(scene, nodata)
    index_of = {one.id: index for index, one in enumerate(classes)}
    return LabelInput(
        path=scene.path,
        classes=classes,
        grid=scene.grid,
        crs=scene.crs,
        scene=scene,
        raster=_classes_of(scene, scene.source, index_of, nodata=nodata),
        layer=None,
        nodata=nodata,
    )


def _classes_of(scene: Scene, source: Source, index_of: Mapping[int, int], *, nodata: int) -> RasterClasses:
    return RasterClasses(source, scene.bands[0].number, ({**index_of, nodata: UNKNOWN}).get)


def _numbered(scene: Scene, nodata: int) -> tuple[LabelClass, ...]:
    """Give the values of a label raster that says nothing of its classes: they are called by their number.

    Raises:
        OptionError: there are none, or values that no label has.
    """
    reader, values, height = RowReader(scene), set[int](), scene.shape[0]
    for start in range(0, height, SCANNED_ROWS):
        pixels = reader.read(start, min(start + SCANNED_ROWS, height))
        values |= set(np.unique(pixels.array[0][pixels.valid]).tolist())
    values.discard(nodata)
    if not values or not all(0 <= value <= 255 for value in values):
        raise OptionError(
            f"a label raster has class ids from 0 to 255, and '{scene.path}' has "
            f"{'none' if not values else f'{min(values)} to {max(values)}'}: give a raster of classes"
        )
    return tuple(LabelClass(id=value, name=str(value), color=some_color(value)) for value in sorted(values))


def _scores(labels: Any, layer: PolygonLayer) -> NDArray[np.float64] | None:  # noqa: ANN401 - a layer
    """Give the confidence of each polygon of a layer that has it; None where it is no number."""
    found = read_features(labels, field=SCORE_FIELD, crs=layer.crs, layer=None, encoding=None, what=layer.name)
    try:
        return np.asarray(found.values, dtype=np.float64)[layer.feature]
    except (TypeError, ValueError):
        return None


def _ids(labels: Any, layer: PolygonLayer, crs: CRS | None) -> Sequence[int]:  # noqa: ANN401 - a layer
    """Give the id of each class of a layer with both names and ids."""
    by_id = read_polygon_layer(labels, crs=crs, class_field=ID_FIELD)
    pairs = {(int(i), by_id.values[j]) for i, j in zip(layer.class_index, by_id.class_index, strict=True)}
    ids = dict(pairs)
    if len(ids) != len(pairs) or not all(text.isdigit() and int(text) <= 255 for text in ids.values()):
        return list(range(1, len(layer.values) + 1))  # they say no more than the names do
    return [int(ids[i]) for i in range(len(layer.values))]
