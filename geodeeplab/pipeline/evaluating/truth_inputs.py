"""The truth of an evaluation: a raster of classes or a layer of polygons, in the classes of the labels."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.evaluating.class_windows import (
    UNKNOWN,
    BurnedClasses,
    ClassNames,
    ClassWindows,
    RasterClasses,
    classes_text,
)
from geodeeplab.pipeline.evaluating.label_inputs import LabelInput
from geodeeplab.raster import (
    Grid,
    Overlap,
    PolygonLayer,
    Scene,
    check_lossless,
    is_vector,
    open_label_scene,
    read_classes,
    read_polygon_layer,
)
from geodeeplab.raster.polygons.class_text import listed
from geodeeplab.raster.polygons.features import describe_layer
from geodeeplab.raster.sources.warped import on_grid

HINT = "say which class they are (`classes=`), or leave them out (`ignore=`)"


@dataclass(frozen=True, kw_only=True)
class TruthInput:
    """A truth, opened; its class indices are those of the labels."""

    path: str
    """How messages name it."""
    layer: PolygonLayer | None
    """The polygons, if it is a vector layer."""
    raster: RasterClasses | None
    """The raster's classes, on the grid of the labels, if it is one."""
    is_warped: bool
    """Whether the raster lay on another grid."""
    background: int
    """Class index of ground that no polygon covers."""
    all_touched: bool
    """Whether polygons cover all pixels that they touch."""
    on_overlap: Overlap
    """Which polygon is on top."""

    @property
    def is_points(self) -> bool:
        """Whether it is a layer of points, each of which is one pixel."""
        return self.layer is not None and self.layer.is_points

    def windows(self, grid: Grid) -> ClassWindows:
        """Give the class indices by windows of the grid."""
        if self.raster is not None:
            return self.raster
        assert self.layer is not None
        return BurnedClasses(
            self.layer, grid, background=self.background, all_touched=self.all_touched, on_overlap=self.on_overlap
        )

    def check_values(self, names: ClassNames) -> None:
        """Refuse values of a raster that are no class, of all that was read.

        Raises:
            OptionError: there are some.
        """
        if self.raster is not None:
            self.raster.check(what="truth", classes=names.classes, hint=HINT)

    def notes(self) -> list[str]:
        """Say what was done to it."""
        found = []
        if self.is_warped:
            found.append("the truth raster was brought onto the grid of the labels by its nearest pixels")
        if self.layer is not None and self.layer.mended:
            found.append(f"{self.layer.mended} geometries of the truth were repaired")
        return found


def open_truth(
    stack: ExitStack,
    truth: Any,  # noqa: ANN401 - a file or a GeoDataFrame
    names: ClassNames,
    labels: LabelInput,
    *,
    field: str | None,
    all_are: str | int | None,
    layer: str | None,
    encoding: str | None,
    band: int,
    ignore: Sequence[str | int],
    background: str | int | None,
    all_touched: bool,
    on_overlap: Overlap,
) -> TruthInput:
    """Open a truth; what must be closed goes onto the stack.

    Raises:
        OptionError: options do not go together, there is no such field, or polygons have values that are no class.
        SceneError: a raster cannot be read.
    """
    polygons = raster = None
    is_warped = False
    if is_vector(truth):
        polygons = _read_polygons(
            truth, names, labels, field=field, all_are=all_are, layer=layer, encoding=encoding, ignore=ignore
        )
        path = polygons.name
    else:
        if field is not None or all_are is not None or background is not None or layer is not None:
            raise OptionError(
                "a truth raster has no fields, no layers and no ground beside it: leave out `class_field=`, "
                "`truth_class=`, `truth_layer=` and `background=`"
            )
        scene = stack.enter_context(open_label_scene(truth, band=band))
        assert labels.grid is not None
        raster, is_warped = _raster(scene, names, labels.grid)
        path = scene.path
    is_points = polygons is not None and polygons.is_points
    return TruthInput(
        path=path,
        layer=polygons,
        raster=raster,
        is_warped=is_warped,
        background=UNKNOWN if background is None or is_points else names.index(background),
        all_touched=all_touched,
        on_overlap=on_overlap,
    )


def _raster(scene: Scene, names: ClassNames, grid: Grid) -> tuple[RasterClasses, bool]:
    """Give the classes of a truth raster on a grid, and whether it lay on another."""
    check_lossless(scene, known=[])
    called = {one.id: one.name for one in read_classes(scene, nodata=-1) if one.name != str(one.id)}
    source = on_grid(scene.source, grid)
    number = scene.bands[0].number
    return RasterClasses(
        source, number, lambda value: names.find(value, name=called.get(value))
    ), source is not scene.source


def _read_polygons(
    truth: Any,  # noqa: ANN401 - a file or a GeoDataFrame
    names: ClassNames,
    labels: LabelInput,
    *,
    field: str | None,
    all_are: str | int | None,
    layer: str | None,
    encoding: str | None,
    ignore: Sequence[str | int],
) -> PolygonLayer:
    """Read the polygons of a truth, each with the index of its class."""
    if (field is None) == (all_are is None):
        fields, _ = describe_layer(truth, layer=layer, encoding=encoding)
        raise OptionError(
            "polygons of a truth have their class in a field (`class_field=`), or are all of one "
            f"(`truth_class=`): give one of the two; the fields are {listed(fields)}"
        )
    polygons = read_polygon_layer(
        truth,
        crs=labels.crs,
        class_field=field,
        ignore=ignore,
        layer=layer,
        encoding=encoding,
        points_on=labels.grid,
    )
    if all_are is not None:
        return replace(polygons, class_index=np.full(len(polygons), names.index(all_are), dtype=np.uint8))
    found = [names.find(text) for text in polygons.values]
    unknown = [text for text, index in zip(polygons.values, found, strict=True) if index is None]
    if unknown:
        raise OptionError(
            f"truth '{polygons.name}' holds values in '{field}' that are no class, {listed(unknown)}; the classes are "
            f"{classes_text(names.classes)}: {HINT}"
        )
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    table[: len(found)] = [UNKNOWN if index is None else index for index in found]
    return replace(polygons, class_index=table[polygons.class_index])
