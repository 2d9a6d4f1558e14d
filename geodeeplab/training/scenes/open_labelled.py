"""Scenes opened with their labels: a reader for each, their classes, and the pixel size that all are read at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from os import PathLike
from typing import Any

import numpy as np

from geodeeplab.errors import OptionError
from geodeeplab.models import ModelClass
from geodeeplab.raster import Grid, Scene, is_vector, to_aoi
from geodeeplab.raster.bands import describe_bands
from geodeeplab.raster.sources.opacity import warn_of_measured
from geodeeplab.training.scenes.class_table import ClassTable
from geodeeplab.training.scenes.labelled import LabelledScene
from geodeeplab.training.scenes.labelled_raster import LabelledRaster, LabelReader
from geodeeplab.training.scenes.labels import LabelRule, LabelsLike, PolygonSets, RasterSets
from geodeeplab.training.scenes.pixel_size import choose_pixel_size
from geodeeplab.training.scenes.scene_pixels import ScenePixels, TrainingSceneLike


@dataclass(frozen=True, kw_only=True)
class OpenedScenes:
    """Labelled scenes, ready to be read, and what they have in common."""

    scenes: list[LabelledScene]
    """The scenes, at one pixel size."""
    classes: tuple[ModelClass, ...]
    """Their classes, in the order of the label indices."""
    gsd_m: float | None
    """Ground sample distance that they are read at, in metres; None where it is unknown."""
    left_out: tuple[str, ...] = ()
    """Bands that are alpha, and so are no input: `4 (alpha)`."""


def open_labelled_scenes(
    scenes: TrainingSceneLike | Sequence[TrainingSceneLike] | None,
    labels: LabelsLike | Sequence[LabelsLike] | None,
    rule: LabelRule,
    *,
    bands: Sequence[str | int] | None = None,
    gsd_m: float | None = None,
    zoom: Fraction | None = None,
    groups: Sequence[str] | None = None,
) -> OpenedScenes:
    """Open scenes and their labels: see `prepare_data`, whose arguments these are; `zoom` is new pixels per old one."""
    scenes = list_scenes(scenes)
    label_list = labels_of_scenes(labels, len(scenes))
    if groups is not None and len(groups) != len(scenes):
        raise OptionError(f"groups has a name for each scene, not {len(groups)} for {len(scenes)}: give one for each")
    pixels = [ScenePixels(scene=one, bands=None if bands is None else tuple(bands)) for one in scenes]
    pixels, left_out = _settle_alpha(pixels)
    own = [_grid_of(one) for one in pixels]
    size = choose_pixel_size(own, [one.name for one in pixels], gsd_m=gsd_m, zoom=zoom)
    pixels = [
        ScenePixels(scene=one.scene, bands=one.bands, factor=factor)
        for one, factor in zip(pixels, size.factors, strict=True)
    ]
    grids = [
        grid if factor is None else _grid_of(one) for one, grid, factor in zip(pixels, own, size.factors, strict=True)
    ]
    table, readers = open_labels(label_list, rule, grids, own)
    found: list[LabelledScene] = [
        LabelledRaster(
            one,
            reader,
            labelled=None if rule.labelled is None else to_aoi(rule.labelled, crs=grid.crs),
            group=None if groups is None else str(groups[number]),
        )
        for number, (one, reader, grid) in enumerate(zip(pixels, readers, grids, strict=True))
    ]
    return OpenedScenes(scenes=found, classes=table.classes, gsd_m=size.gsd_m, left_out=left_out)


def list_scenes(scenes: Any) -> list[Any]:  # noqa: ANN401 - checked where they are opened
    """Give a list of scenes; a string, an array, a Dataset, a mapping or an open scene is one."""
    if scenes is None:
        raise OptionError("training data come from scenes with labels, or from a folder of chips: give one of the two")
    is_one = isinstance(scenes, str | PathLike | Mapping | np.ndarray | Scene) or not isinstance(scenes, Sequence)
    listed = [scenes] if is_one else list(scenes)
    if not listed:
        raise OptionError("scenes is empty: give at least one")
    return listed


def labels_of_scenes(labels: Any, count: int) -> list[Any]:  # noqa: ANN401 - checked where they are opened
    """Give the labels of each scene."""
    if labels is None:
        raise OptionError("scenes need labels: give a vector file with polygons, or a label raster")
    if isinstance(labels, list | tuple) and not is_vector(labels):  # geometries are one layer
        if len(labels) != count:
            raise OptionError(
                f"labels are one layer for all scenes or one for each, not {len(labels)} for {count} scenes"
            )
        return list(labels)
    return [labels] * count


def _grid_of(pixels: ScenePixels) -> Grid:
    return _look(pixels).grid


def _look(pixels: ScenePixels) -> Scene:
    """Open a scene and close it again; what its headers say stays known."""
    scene = pixels.open()
    if pixels.scene is not scene:
        scene.close()
    return scene


def _settle_alpha(pixels: Sequence[ScenePixels]) -> tuple[list[ScenePixels], tuple[str, ...]]:
    """Take a band that is flagged alpha, and is data in one scene, for data in all; give what is left out, too.

    Warns:
        GeoDeepLabWarning: there is such a band.
    """
    scenes = [_look(one) for one in pixels]
    data = {
        band.number
        for one, scene in zip(pixels, scenes, strict=True)
        if one.bands is None
        for band in scene.all_bands
        if band.was_alpha
    }
    settled, left_out = [], dict[str, None]()
    for one, scene in zip(pixels, scenes, strict=True):
        read = {band.number for band in scene.bands}
        if one.bands is None and any(band.is_alpha and band.number in data for band in scene.all_bands):
            read |= data
            one = replace(one, bands=tuple(band.number for band in scene.all_bands if band.number in read))
        left_out |= dict.fromkeys(
            describe_bands([band]) for band in scene.all_bands if band.is_alpha and band.number not in read
        )
        settled.append(one)
    if data:
        marked = next(scene for scene in scenes if any(band.was_alpha for band in scene.all_bands))
        warn_of_measured(marked.all_bands, marked.path, stacklevel=4)
    return settled, tuple(left_out)


def open_labels(
    labels: Sequence[Any], rule: LabelRule, grids: Sequence[Grid], own_grids: Sequence[Grid]
) -> tuple[ClassTable, list[LabelReader]]:
    """Give the classes of the labels of all scenes, and a reader for each scene's, on its grid as it is read."""
    kinds = {is_vector(one) for one in labels}
    if len(kinds) > 1:
        raise OptionError("labels are all polygons or all rasters, not some of each: burn the polygons first")
    if kinds == {True}:
        polygons = PolygonSets(labels, [grid.crs for grid in grids], rule)
        table = polygons.table()
        return table, polygons.readers(table, grids)
    if rule.class_field is not None:
        raise OptionError(f"`class_field={rule.class_field}` is a field of polygons: leave it out for label rasters")
    rasters = RasterSets(labels, rule)
    table = rasters.table()
    return table, rasters.readers(table, grids, own_grids)
