"""The labels of scenes: what they are given as, which classes they have, and a reader for each scene."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from rasterio.crs import CRS

from geodeeplab.errors import GeoDeepLabWarning, OptionError, SceneError
from geodeeplab.models import ModelClass
from geodeeplab.raster import AoiLike, Grid, SceneLike
from geodeeplab.raster.polygons.burn import Overlap
from geodeeplab.raster.polygons.class_text import listed
from geodeeplab.raster.polygons.features import LayerLike
from geodeeplab.raster.polygons.layer import PolygonLayer, read_polygon_layer
from geodeeplab.training.chip import IGNORE_INDEX
from geodeeplab.training.scenes.class_table import (
    ClassesLike,
    ClassMapping,
    ClassTable,
    FoundValue,
    list_counts,
    make_class_table,
    unknown_values,
)
from geodeeplab.training.scenes.label_raster import LabelRaster, RasterLabels
from geodeeplab.training.scenes.labelled_raster import LabelReader, PolygonLabels


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """What labels mean."""

    class_field: str | None = None
    """Field of polygons that names their class; None: they are all of one class."""
    classes: ClassesLike | None = None
    """See `make_class_table`."""
    class_mapping: ClassMapping | None = None
    """See `make_class_table`."""
    ignore_unknown: bool = False
    """Whether values that no class has are ignored; else they are refused."""
    background: str | None = None
    """Class of ground without a label; None: it is ignored."""
    labelled: AoiLike | None = None
    """What was labelled; outside of it everything is ignored. None: all ground."""
    on_overlap: Overlap = "last"
    """Where polygons overlap, see `burn`."""
    all_touched: bool = False
    """Polygons cover all pixels that they touch, see `burn`."""
    layer: str | None = None
    """Name of the layer in files of several."""
    encoding: str | None = None
    """Of the text in a vector file that does not say it, or says it wrongly."""

    def facts(self) -> dict[str, Any]:
        """Give what the caller said, as JSON can hold it; the classes are facts of their own."""
        mapping = None if self.class_mapping is None else {str(key): name for key, name in self.class_mapping.items()}
        said = {
            "class_field": self.class_field,
            "class_mapping": mapping,
            "ignore_unknown": self.ignore_unknown,
            "background": self.background,
            "on_overlap": self.on_overlap,
            "all_touched": self.all_touched,
            "layer": self.layer,
            "labels_encoding": self.encoding,
        }
        return {key: value for key, value in said.items() if value}


LabelsLike: TypeAlias = SceneLike | LayerLike
"""A vector layer (see `LayerLike`); or a label raster: whatever `open_scene` takes."""


class PolygonSets:
    """Polygon layers, each read once for every CRS that it is needed in."""

    def __init__(self, labels: Sequence[Any], crss: Sequence[CRS | None], rule: LabelRule) -> None:
        """Read the layers.

        Args:
            labels: the layer of each scene, perhaps the same one.
            crss: the CRS of each scene.
            rule: what labels mean.
        """
        self._rule = rule
        read: dict[tuple[Any, str], PolygonLayer] = {}
        self._layers: list[PolygonLayer] = []
        for source, crs in zip(labels, crss, strict=True):
            key = _name(source), "" if crs is None else crs.to_wkt()
            if key not in read:
                read[key] = read_polygon_layer(
                    source,
                    crs=crs,
                    class_field=rule.class_field,
                    ignore=[None],
                    layer=rule.layer,
                    encoding=rule.encoding,
                )
            self._layers.append(read[key])
        self._sources = {_name(source): layer for source, layer in zip(labels, self._layers, strict=True)}
        self._files = [(fspath(one),) if isinstance(one, str | PathLike) else () for one in labels]

    def table(self) -> ClassTable:
        """Give the classes of all layers.

        Raises:
            OptionError: see `make_class_table`.
            SceneError: polygons have a value that no class has.
        """
        rule = self._rule
        if rule.class_field is None:
            found, mapping = [self._single_class()], None
        else:
            found, mapping = self._find_values(), rule.class_mapping
        table = make_class_table(found, classes=rule.classes, class_mapping=mapping, background=rule.background)
        if table.unknown and not rule.ignore_unknown:
            counts = list_counts({f"'{one.name}'": one.count for one in table.unknown}, unit="polygons")
            raise unknown_values(counts, table.classes, first_in=table.unknown[0].where)
        return table

    def readers(self, table: ClassTable, grids: Sequence[Grid]) -> list[LabelReader]:
        """Give the labels of each scene on its grid."""
        remapped = {id(layer): _remapped(layer, table) for layer in self._layers}
        return [
            PolygonLabels(
                remapped[id(layer)],
                grid,
                background=table.background,
                on_overlap=self._rule.on_overlap,
                all_touched=self._rule.all_touched,
                files=files,
            )
            for layer, grid, files in zip(self._layers, grids, self._files, strict=True)
        ]

    def _find_values(self) -> list[FoundValue]:
        """Count the polygons of each value of the class field."""
        found: dict[str, FoundValue] = {}
        for layer in self._sources.values():
            counts = np.bincount(layer.class_index, minlength=256).tolist()
            for value, count in zip(layer.values, counts, strict=False):
                _add(found, FoundValue(value=value, name=value, count=count, where=layer.name))
        return [one for one in found.values() if one.value]

    def _single_class(self) -> FoundValue:
        """Give the value of polygons that are all of one class, named by the caller or after their file."""
        rule = self._rule
        stated = [] if rule.classes is None else _names(rule.classes)
        others = [name for name in stated if name != rule.background]
        if len(others) > 1:
            raise OptionError(
                f"polygons of {len(others)} classes ({listed(others)}) need the field that names their class: give "
                "`class_field=`"
            )
        first = self._layers[0]
        return FoundValue(
            value=first.values[0],
            name=others[0] if others else Path(first.name).stem,
            count=sum(len(layer) for layer in self._sources.values()),
            where=first.name,
        )


class RasterSets:
    """Label rasters."""

    def __init__(self, labels: Sequence[Any], rule: LabelRule) -> None:
        """Take the raster of each scene, perhaps the same one."""
        self._rule = rule
        self._is_colored = any(isinstance(key, tuple | list) for key in rule.class_mapping or ())
        self._rasters = [LabelRaster(raster=one, is_colored=self._is_colored) for one in labels]

    def table(self) -> ClassTable:
        """Look at all pixels of all rasters, and give the classes.

        Raises:
            OptionError: see `make_class_table`.
            SceneError: pixels have a value that no class has.
        """
        rule = self._rule
        found: dict[str, FoundValue] = {}
        rasters = {_name(raster.raster): raster for raster in self._rasters}  # one for all scenes is looked at once
        for raster in rasters.values():
            for one in raster.find_values():
                _add(found, one)
        values = sorted(found.values(), key=lambda one: [int(part) for part in one.value.split(",")])
        if not any(str(key) == "0" for key in rule.class_mapping or ()):  # ground without a label
            values = [one for one in values if (one.value, one.name) != ("0", "0")]
        table = make_class_table(
            values,
            classes=rule.classes,
            class_mapping=rule.class_mapping,
            background=rule.background,
            counts_from_one=True,
        )
        if table.unknown and not rule.ignore_unknown:
            what: Literal["values", "colours"] = "colours" if self._is_colored else "values"
            counts = {f"({one.value})" if self._is_colored else one.value: one.count for one in table.unknown}
            where, losses = table.unknown[0].where, [raster.loss() for raster in rasters.values()]
            raise unknown_values(
                list_counts(counts), table.classes, first_in=where, what=what, loss=next(filter(None, losses), None)
            )
        self._tell_loss(rasters.values(), values)
        return table

    def _tell_loss(self, rasters: Iterable[LabelRaster], values: Sequence[FoundValue]) -> None:
        """Warn of compression that changes values, where a table says which of them are classes.

        Raises:
            SceneError: nothing says it, so each value would be a class.
        """
        counts = list_counts({one.value: one.count for one in values})
        for raster in rasters:
            loss = raster.loss()
            if loss is None:
                continue
            what = f"label raster '{raster.name}' is compressed with loss ({loss}), which changes class numbers"
            is_stated = self._rule.class_mapping is not None or self._rule.classes is not None
            if not is_stated and any(one.name == one.value for one in values):
                raise SceneError(
                    f"{what}, and nothing says which are classes of {counts}: make it again without loss from the "
                    "original (gdal_translate -co COMPRESS=DEFLATE), or name the classes in `class_mapping=` or "
                    "`classes=`"
                )
            warnings.warn(f"{what}: it holds {counts}", GeoDeepLabWarning, stacklevel=2)

    def readers(self, table: ClassTable, grids: Sequence[Grid], own_grids: Sequence[Grid]) -> list[LabelReader]:
        """Give the labels of each scene on its grid."""
        return [
            RasterLabels(raster, grid, index_of=table.index_of, own_grid=own, background=table.background)
            for raster, grid, own in zip(self._rasters, grids, own_grids, strict=True)
        ]


def _add(found: dict[str, FoundValue], one: FoundValue) -> None:
    """Add what one layer or raster says of a value; the first name that is more than the value counts."""
    before = found.get(one.value, one)
    named = one if before.name == before.value else before
    count = one.count if before is one else before.count + one.count
    found[one.value] = replace(named, count=count, where=before.where)


def _remapped(layer: PolygonLayer, table: ClassTable) -> PolygonLayer:
    """Give a layer with the class indices of a table."""
    indices = np.full(256, IGNORE_INDEX, dtype=np.uint8)
    for index, value in enumerate(layer.values):
        indices[index] = table.index_of.get(value, IGNORE_INDEX)
    return replace(layer, class_index=indices[layer.class_index])


def _names(classes: ClassesLike) -> list[str]:
    return [one.name if isinstance(one, ModelClass) else str(one) for one in classes]


def _name(labels: Any) -> Any:  # noqa: ANN401 - whatever labels are given as
    return fspath(labels) if isinstance(labels, str | PathLike) else id(labels)
