"""A vector layer of classes: the polygons in a scene's CRS, and the class of each."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.polygons.areas import to_areas
from geodeeplab.raster.polygons.class_text import by_number, check_encoding, class_text, class_texts, listed
from geodeeplab.raster.polygons.features import LayerLike, layer_name, read_features
from geodeeplab.raster.polygons.projecting import project_polygons
from geodeeplab.raster.polygons.sample_points import are_points, as_pixels

IGNORED = 255
"""Class index of ground that has no class."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PolygonLayer:
    """Polygons with a class each, in the order of the layer. It can be pickled, and equals only itself."""

    polygons: npt.NDArray[Any]
    """(n,) valid shapely polygons in `crs`; a feature of several parts has an entry for each of them."""
    class_index: npt.NDArray[np.uint8]
    """(n,) class index of each, from 0; 255 where its ground is to be ignored."""
    feature: npt.NDArray[np.int64]
    """(n,) which feature of the layer each is of, from 0; never decreases."""
    values: tuple[str, ...]
    """What the class field says, as text, for each class index; several values of one class are joined by ", "."""
    crs: CRS | None
    """CRS of the coordinates: that of the scene."""
    name: str
    """How messages name the layer."""
    mended: int
    """Features whose geometry was broken, and was repaired."""
    left_out: int
    """Features that cover no ground: points, lines, empty ones, those that cannot be repaired."""
    is_points: bool = False
    """Whether the layer had points, and the polygons are the pixels they lie in."""

    def __len__(self) -> int:
        return len(self.polygons)


def read_polygon_layer(
    src: LayerLike,
    *,
    crs: CRS | None,
    class_field: str | None,
    class_indices: Mapping[Any, int] | None = None,
    ignore: Sequence[Any] = (),
    layer: str | None = None,
    encoding: str | None = None,
    points_on: Grid | None = None,
) -> PolygonLayer:
    """Read the polygons of a vector layer in any CRS, with the class of each.

    Values of the class field are compared as text, so that 3, 3.0 and "3" are one.

    Args:
        src: any vector file that GDAL opens, or a URL of one; GeoParquet; a GeoDataFrame or GeoSeries; or geometries in
            the CRS of the scene, see `LayerLike`.
        crs: CRS of the scene; without one the layer must have none either, and the coordinates are the scene's.
        class_field: the field with the class's name or number; None: all polygons are of class index 0.
        class_indices: class index of each value of the field; by default the values that occur, sorted, count up from
            0.
        ignore: values of the field whose ground is to be ignored: its class index is 255.
        layer: name of the layer; needed where there are several with geometries.
        encoding: of the text in a shapefile or text file that does not say it, or says it wrongly, such as cp1252.
        points_on: take the points of a layer that has nothing else for the pixels of this grid that they lie in.

    Warns:
        GeoDeepLabWarning: geometries were repaired or left out, points have no class yet or lie elsewhere, classes
            are blank text, or text has been read in a wrong encoding.

    Raises:
        OptionError: the file cannot be read, has no CRS (or has one where the scene has none), no polygon, several
            layers, no such field, or values without a class.
    """
    name = layer_name(src)
    what = f"polygon layer '{name}'"
    found = read_features(src, field=class_field, crs=crs, layer=layer, encoding=encoding, what=what)
    is_points = points_on is not None and are_points(found.geometries)
    if points_on is not None and is_points:
        count = len(found.geometries)
        found, left = as_pixels(found, points_on, what=what)
        if left:
            warnings.warn(
                f"{what}: {left} of {count} points left out, which have no class or lie beyond the labels",
                GeoDeepLabWarning,
                stacklevel=2,
            )
    areas = to_areas(found.geometries, found.notes, what=what)
    if (crs is None) != (found.crs is None):
        without = "the scene" if crs is None else what
        raise OptionError(
            f"{what} and the scene need a CRS, or both none, and {without} has none; if you know it: "
            f"{'gdal_edit.py' if crs is None else 'ogr2ogr'} -a_srs EPSG:CODE"
        )
    texts = class_texts(found.values)
    if class_field is not None:
        check_encoding(
            found.values.tolist(),
            what=what,
            field=class_field,
            is_stated=found.has_stated_encoding,
            may_state=found.may_state_encoding,
        )
        _tell_blanks(found.values, what=what, field=class_field)
    present = np.unique(areas.feature)
    index, values = _indices(texts, class_indices, ignore, present=present, field=class_field, what=what)
    return PolygonLayer(
        polygons=areas.polygons if crs is None else project_polygons(areas.polygons, found.crs, crs, what=what),
        class_index=index[areas.feature],
        feature=areas.feature,
        values=values,
        crs=crs,
        name=name,
        mended=areas.mended,
        left_out=areas.left_out,
        is_points=is_points,
    )


def _tell_blanks(values: npt.NDArray[Any], *, what: str, field: str) -> None:
    """Warn of text of nothing but blanks, which counts as null although nobody said that it is."""
    blanks = sum(isinstance(one, str) and not class_text(one) for one in values.tolist())
    if blanks:
        warnings.warn(
            f"{what}: {blanks} of {len(values)} features have blank text in '{field}', which is no class, like null",
            GeoDeepLabWarning,
            stacklevel=3,
        )


def _indices(
    texts: npt.NDArray[Any],
    class_indices: Mapping[Any, int] | None,
    ignore: Sequence[Any],
    *,
    present: npt.NDArray[np.int64],
    field: str | None,
    what: str,
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Give the class index of every feature, and the values of the field by class index."""
    if field is None:
        return np.zeros(len(texts), dtype=np.uint8), ("all",)
    ignored = {class_text(one) for one in ignore}
    found = sorted(set(texts[present]) - ignored, key=by_number)
    table = {text: i for i, text in enumerate(found)} if class_indices is None else {
        class_text(value): index for value, index in class_indices.items()
    }  # fmt: skip
    unknown = [text for text in found if text not in table]
    if unknown or (class_indices is None and "" in found):
        raise OptionError(
            f"{what} has values in '{field}' that are no class: {listed(unknown or [''])}; the classes are "
            f"{listed(sorted((text for text in table if text), key=by_number))}: map these values, or ignore them"
        )
    count = max(table.values(), default=-1) + 1
    if count > IGNORED or min(table.values(), default=0) < 0:
        raise OptionError(f"{what} has classes of index 0 to {IGNORED - 1}, not {count} of them: choose another field")
    table |= dict.fromkeys(ignored, IGNORED)
    index = np.full(len(texts), IGNORED, dtype=np.uint8)
    index[present] = [table[text] for text in texts[present]]
    values = tuple(", ".join(text for text, i in table.items() if i == index) for index in range(count))
    return index, values
