"""Polygons of the labels against polygons of the truth: which objects were found, class by class."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import ObjectCounts, average_precisions, covered_shares, match_objects
from geodeeplab.pipeline.evaluating.class_windows import UNKNOWN
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster import Aoi, Grid, LabelClass, PolygonLayer, atomic_outputs
from geodeeplab.raster.crs import same_crs

Status = Literal["matched", "missed", "false", "unjudged"]
STATUS_SUFFIXES = (".gpkg",)
MOSTLY = 0.5
"""An object is judged where more than this share of it has a truth."""


@dataclass(frozen=True, kw_only=True)
class ObjectComparison:
    """What became of every object."""

    counts: tuple[ObjectCounts, ...]
    """K, by class index."""
    found: NDArray[Any]
    """(n,) polygons of the labels, cut at the edge of the ground that is evaluated."""
    found_class: NDArray[np.uint8]
    """(n,) class index of each."""
    found_status: NDArray[Any]
    """(n,) "matched", "false" or "unjudged"."""
    found_iou: NDArray[np.float64]
    """(n,) with the partner; NaN without one."""
    truth: NDArray[Any]
    """(m,) polygons of the truth, cut likewise."""
    truth_class: NDArray[np.uint8]
    """(m,) class index of each."""
    truth_status: NDArray[Any]
    """(m,) "matched" or "missed"."""


def evaluated_ground(grid: Grid | None, aoi: Aoi | None) -> Any:  # noqa: ANN401 - a shapely geometry
    """Give the ground that objects are cut to: a grid's outline and an area of interest; None where nothing bounds it.

    What the labels' edge cuts through would otherwise be compared with whole objects.
    """
    import shapely

    outline = None
    if grid is not None:
        corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
        outline = shapely.Polygon([grid.transform @ corner for corner in corners])
    if aoi is None:
        return outline
    area = shapely.union_all(shapely.get_parts(aoi.geometry))
    return area if outline is None else shapely.intersection(area, outline)


def compare_objects(
    found: PolygonLayer,
    truth: PolygonLayer,
    *,
    class_count: int,
    ground: Any,  # noqa: ANN401 - a shapely geometry
    is_all_judged: bool,
    threshold: float = 0.5,
    scores: NDArray[np.float64] | None = None,
) -> ObjectComparison:
    """Pair the objects of each class; each polygon is one, and each part of a multipolygon.

    An object of the labels without a partner is false, unless half of it or more lies where there is no truth: then
    nobody knows. Where `is_all_judged`, all ground has a truth but that of ignored polygons. Of the labels' polygons
    `scores` are the confidence, if it is known, by which average precision orders them.

    Raises:
        OptionError: the layers are in different CRSs.
    """
    if not same_crs(found.crs, truth.crs):
        raise OptionError(f"objects in {found.crs} and {truth.crs} cannot be compared: read them for one CRS")
    labels, label_class, kept = _within(found, ground)
    true, true_class, _ = _within(truth, ground)
    scores = None if scores is None else scores[kept]
    known = true_class != UNKNOWN
    if is_all_judged:
        judged = 1 - covered_shares(labels, true[~known])
    else:
        judged = covered_shares(labels, true[known])
    true, true_class = true[known], true_class[known]
    label_status, true_status = _statuses(len(labels), "false"), _statuses(len(true), "missed")
    label_status[judged <= MOSTLY] = "unjudged"
    label_iou, counts = np.full(len(labels), np.nan), []
    for index in range(class_count):
        ours, theirs = np.flatnonzero(label_class == index), np.flatnonzero(true_class == index)
        pairs = match_objects(labels[ours], true[theirs], threshold=threshold)
        label_status[ours[pairs.found]], true_status[theirs[pairs.truth]] = "matched", "matched"
        label_iou[ours[pairs.found]] = pairs.iou
        precisions = average_precisions(
            labels[ours],
            true[theirs],
            scores=None if scores is None else scores[ours],
            unjudged=judged[ours] <= MOSTLY,
        )
        one = _counts(label_status[ours], true_status[theirs], float(pairs.iou.sum()))
        counts.append(replace(one, average_precisions=precisions, is_scored=scores is not None))
    return ObjectComparison(
        counts=tuple(counts),
        found=labels,
        found_class=label_class,
        found_status=label_status,
        found_iou=label_iou,
        truth=true,
        truth_class=true_class,
        truth_status=true_status,
    )


def write_statuses(
    path: Path,
    objects: ObjectComparison,
    *,
    classes: Sequence[LabelClass],
    crs: Any,  # noqa: ANN401 - any CRS
    overwrite: bool,
) -> None:
    """Write every object with what became of it: layers `labels` and `truth` of a GeoPackage.

    Columns are `class_name`, `status` and, for the labels, `iou` with the partner.
    """
    import geopandas as gpd

    names = np.array([one.name for one in classes], dtype=object)
    columns = {
        "labels": (objects.found, objects.found_class, {"status": objects.found_status, "iou": objects.found_iou}),
        "truth": (objects.truth, objects.truth_class, {"status": objects.truth_status}),
    }
    no_crs = ignore_warnings(UserWarning, "'crs' was not provided")
    with atomic_outputs([path], overwrite=overwrite) as temporary, no_crs:
        for layer, (geometry, index, data) in columns.items():
            frame = gpd.GeoDataFrame({"class_name": names[index], **data}, geometry=list(geometry), crs=crs)
            frame.to_file(os.fspath(temporary[path]), layer=layer, driver="GPKG", geometry_type="Unknown")


def _within(
    layer: PolygonLayer,
    ground: Any,  # noqa: ANN401 - a shapely geometry
) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.bool_]]:
    """Cut polygons to the ground; those that keep no area are left out, and told."""
    import shapely

    if ground is None:
        return layer.polygons, layer.class_index, np.ones(len(layer), dtype=np.bool_)
    shapely.prepare(ground)
    polygons = layer.polygons.copy()
    cut = ~shapely.covers(ground, polygons)
    polygons[cut] = shapely.intersection(polygons[cut], ground)
    kept = shapely.area(polygons) > 0
    return polygons[kept], layer.class_index[kept], kept


def _statuses(count: int, status: Status) -> NDArray[Any]:
    statuses = np.empty(count, dtype=object)
    statuses[:] = status
    return statuses


def _counts(of_labels: NDArray[Any], of_truth: NDArray[Any], iou_sum: float) -> ObjectCounts:
    return ObjectCounts(
        matched=int((of_truth == "matched").sum()),
        missed=int((of_truth == "missed").sum()),
        false=int((of_labels == "false").sum()),
        unjudged=int((of_labels == "unjudged").sum()),
        iou_sum=iou_sum,
    )
