"""`evaluate`: labels against a truth → metrics."""

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.evaluation import AreaEstimate, adjusted_areas, reliability_of_percents
from geodeeplab.pipeline.evaluating.class_windows import ClassNames
from geodeeplab.pipeline.evaluating.comparison import WINDOW, Comparison, Progress, compare, without_boundaries
from geodeeplab.pipeline.evaluating.files import FilePath, check_files, write_files
from geodeeplab.pipeline.evaluating.label_inputs import LabelInput, open_labels, traced
from geodeeplab.pipeline.evaluating.objects import ObjectComparison, compare_objects, evaluated_ground
from geodeeplab.pipeline.evaluating.options import ERROR_MAX_PX, BoundaryReach, boundary_reach, check_numbers
from geodeeplab.pipeline.evaluating.result import Evaluation
from geodeeplab.pipeline.evaluating.truth_inputs import TruthInput, open_truth
from geodeeplab.pipeline.vectorize import open_confidence
from geodeeplab.raster import Aoi, Grid, Overlap, Scene, local_files_only, paths_in, to_aoi

if TYPE_CHECKING:
    from geodeeplab.raster import AoiLike
    from geodeeplab.raster.polygons.features import LayerLike


def evaluate(
    labels: "FilePath | LayerLike",
    truth: "FilePath | LayerLike",
    *,
    class_field: str | None = None,
    truth_class: str | int | None = None,
    truth_layer: str | None = None,
    truth_encoding: str | None = None,
    truth_band: int = 1,
    classes: Mapping[str | int, str | int] | None = None,
    ignore: Iterable[str | int] = (),
    background: str | int | None = None,
    all_touched: bool = False,
    on_overlap: Overlap = "last",
    labels_field: str | None = None,
    labels_encoding: str | None = None,
    labels_band: int = 1,
    like: FilePath | None = None,
    aoi: "AoiLike | None" = None,
    confidence: FilePath | None = None,
    distance_px: int | None = None,
    distance_m: float | None = None,
    error_max_px: int = ERROR_MAX_PX,
    objects: bool = False,
    object_iou: float = 0.5,
    missed_is_wrong: bool = False,
    is_sample: bool = False,
    report: FilePath | None = None,
    json: FilePath | None = None,
    statuses: FilePath | None = None,
    overwrite: bool = False,
    local_only: bool = False,
    window: int = WINDOW,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure labels against a truth: pixels, boundaries, and if wanted objects, calibration and areas.

    Ground without truth counts nowhere: outside of the truth's polygons, unless `background` says what is there;
    nodata of a truth raster; outside of `aoi`. Everything is streamed: memory does not grow with the rasters.

    Args:
        labels: label raster as `segment` writes it, or any raster of integers; or a layer of polygons.
        truth: a raster of classes on any grid, brought onto the labels' by the nearest pixel; or a vector layer in any
            CRS, whose polygons are burned; or points, each of which is the pixel that it lies in.
        class_field: field of the truth's polygons with the class's name or id; it is never guessed.
        truth_class: class of all of the truth's polygons, in place of a field.
        truth_layer: layer of the truth's file, where there are several.
        truth_encoding: of the text in the truth's file, where that does not say it, or says it wrongly, such as cp1252.
        truth_band: 1-based band of a truth raster.
        classes: class of the labels, by name or id, for values of the truth, by name or number, that are not the
            name or id of one.
        ignore: values of the truth, by name or number, whose ground counts nowhere.
        background: class of ground that no polygon of the truth covers; and none of the labels, where they are polygons
            of which none has this class. Points of a truth say nothing of the ground between them.
        all_touched: pixels count as covered that a polygon touches; by default their centre has to lie in it.
        on_overlap: which of the truth's polygons is on top, see `raster.burn`.
        labels_field: field of the labels' polygons with the class; by default `class_name`, as `segment` writes it.
        labels_encoding: of the text in the labels' file, see `truth_encoding`.
        labels_band: 1-based band of a label raster.
        like: raster on whose grid pixels are compared, where labels and truth are both polygons, and whose ground alone
            is judged; without it only objects are.
        aoi: area of interest, see `segment`.
        confidence: confidence raster of the labels, uint8 0–100: its calibration is measured.
        distance_px: width of the bands of the boundary IoU in pixels; by default 3.
        distance_m: the same in metres, rounded to whole pixels.
        error_max_px: how far boundaries are looked for, in pixels.
        objects: compare polygons too: those of the labels (of a raster its components, traced) with the truth's; F1,
            PQ, SQ and RQ, and average precision by their confidence (`confidence`, or their field `confidence`).
        object_iou: objects match where their IoU is greater.
        missed_is_wrong: true pixels without a label count as wrong; by default they count nowhere, but are told.
        is_sample: the truth's pixels are a random sample of each label's pixels: estimate the classes' true areas.
        report: .png to draw one page into.
        json: .json to write all numbers to.
        statuses: .gpkg to write all objects to, matched, missed or false.
        overwrite: replace files that exist.
        local_only: see `open_scene`.
        window: pixels of a window along each axis; no number depends on it.
        progress: called with pixels compared and pixels in all; it may raise to cancel.

    Raises:
        OptionError: options do not go together, values of the truth are no class, or labels and truth do not overlap.
        SceneError: a raster cannot be read.
        OutputError: an output cannot be written.
    """
    started, ignore = time.perf_counter(), list(ignore)
    check_numbers(window=window, error_max_px=error_max_px, distance_px=distance_px, object_iou=object_iou)
    outputs = check_files(
        report=report,
        json=json,
        statuses=statuses,
        overwrite=overwrite,
        inputs=paths_in(labels, truth, confidence, like, aoi),
    )
    with ExitStack() as stack:
        stack.enter_context(local_files_only(local_only))
        found = open_labels(
            stack,
            labels,
            truth,
            field=labels_field,
            encoding=labels_encoding,
            band=labels_band,
            like=like,
            background=background,
        )
        names = ClassNames(found.classes, said=classes or {}, ignore=ignore)
        true = open_truth(
            stack, truth, names, found,
            field=class_field, all_are=truth_class, layer=truth_layer, encoding=truth_encoding, band=truth_band,
            ignore=ignore, background=background, all_touched=all_touched, on_overlap=on_overlap,
        )  # fmt: skip
        objects = objects or statuses is not None or found.grid is None
        _check_objects(objects, true)
        area = None if aoi is None else to_aoi(aoi, crs=found.crs)
        reach = boundary_reach(found.grid, distance_px=distance_px, distance_m=distance_m, error_max_px=error_max_px)
        comparison = matched = None
        if found.grid is not None:
            percents = None if confidence is None else stack.enter_context(_open_confidence(confidence, found))
            comparison = _compare_pixels(
                found, true, names, found.grid, reach, confidence=percents, aoi=area, window=window, progress=progress
            )
        if objects:
            matched = _compare_objects(
                found, true, labels, area, confidence=confidence, background=background, threshold=object_iou
            )
        options = {
            "class_field": class_field,
            "truth_class": truth_class,
            "classes": {str(value): one for value, one in (classes or {}).items()},
            "ignore": ignore,
            "background": background,
            "all_touched": all_touched,
            "on_overlap": on_overlap,
            "aoi": None if area is None else area.fingerprint,
            "object_iou": object_iou,
            "is_sample": is_sample,
        }
        notes = [*true.notes(), *_notes(comparison, true, background)]
        facts = {"options": options, "notes": notes, "seconds": time.perf_counter() - started}
        evaluation = _evaluation(
            found, true, comparison, matched, reach, facts,
            missed_is_wrong=missed_is_wrong, is_sample=is_sample, object_iou=object_iou,
        )  # fmt: skip
        write_files(evaluation, matched, outputs, crs=found.crs, overwrite=overwrite)
    return evaluation


def _check_objects(wanted: bool, true: TruthInput) -> None:
    if wanted and true.is_points:
        raise OptionError(f"objects are compared with polygons, and '{true.path}' has points: leave objects out")
    if wanted and true.layer is None:
        raise OptionError(
            f"objects are compared with polygons, and '{true.path}' is a raster: trace it first with "
            "geodeeplab vectorize, or leave objects out"
        )


def _open_confidence(path: FilePath, found: LabelInput) -> Scene:
    if found.scene is None:
        raise OptionError("a confidence raster goes with a label raster, and these labels are polygons: leave it out")
    return open_confidence(path, found.scene)


def _compare_pixels(
    found: LabelInput,
    true: TruthInput,
    names: ClassNames,
    grid: Grid,
    reach: BoundaryReach,
    *,
    confidence: Scene | None,
    aoi: Aoi | None,
    window: int,
    progress: Progress | None,
) -> Comparison:
    """Compare the pixels of a grid.

    Raises:
        OptionError: values are no class, or no pixel has a truth.
    """
    comparison = compare(
        found.windows_on(grid),
        true.windows(grid),
        class_count=len(found.classes),
        distance=reach.band_px,
        maximum=reach.maximum,
        res=reach.res,
        confidence=confidence,
        aoi=aoi,
        window=window,
        progress=progress,
    )
    found.check_values()
    true.check_values(names)
    if not comparison.counts.any() and not comparison.missed.any():
        raise OptionError(
            f"no pixel of '{found.path}' has a truth in '{true.path}': check that they show the same place, and the "
            "area of interest"
        )
    return without_boundaries(comparison) if true.is_points else comparison


def _compare_objects(
    found: LabelInput,
    true: TruthInput,
    labels: "FilePath | LayerLike",
    area: Aoi | None,
    *,
    confidence: FilePath | None,
    background: str | int | None,
    threshold: float,
) -> ObjectComparison:
    assert true.layer is not None
    layer, scores = traced(found, labels, confidence) if found.layer is None else (found.layer, found.scores)
    ground = evaluated_ground(found.grid, area)
    return compare_objects(
        layer,
        true.layer,
        class_count=len(found.classes),
        ground=ground,
        is_all_judged=background is not None,
        threshold=threshold,
        scores=scores,
    )


def _notes(comparison: Comparison | None, true: TruthInput, background: str | int | None) -> list[str]:
    """Say what makes numbers mean less than they seem to."""
    if comparison is None:
        return []
    classes = int((comparison.counts.sum(axis=1) + comparison.missed > 0).sum())
    if classes == 1:
        remedy = (
            "" if true.layer is None or background is not None else "; say what lies outside of them (`background=`)"
        )
        return [f"all of the truth is one class, so nothing here shows how often that class is claimed wrongly{remedy}"]
    return []


def _evaluation(
    found: LabelInput,
    true: TruthInput,
    comparison: Comparison | None,
    matched: ObjectComparison | None,
    reach: BoundaryReach,
    facts: dict[str, Any],
    *,
    missed_is_wrong: bool,
    is_sample: bool,
    object_iou: float,
) -> Evaluation:
    nothing = np.zeros(len(found.classes), dtype=np.int64)
    areas = None if comparison is None else found.areas_m2(comparison.label_pixels)
    return Evaluation(
        labels=found.path,
        truth=true.path,
        classes=found.classes,
        counts=None if comparison is None else comparison.counts,
        missed=nothing if comparison is None else comparison.missed,
        missed_is_wrong=missed_is_wrong,
        bands=None if comparison is None else comparison.bands,
        distance_px=reach.band_px,
        distances=() if comparison is None else comparison.distances,
        unit=reach.unit,
        gsd_m=None if found.grid is None else found.grid.gsd_m,
        areas_m2=areas,
        area_estimate=_estimate(found, comparison, areas) if is_sample else None,
        objects=None if matched is None else matched.counts,
        object_iou=object_iou,
        calibration=None
        if comparison is None or comparison.percents is None
        else reliability_of_percents(comparison.percents),
        overview=None if comparison is None else comparison.overview,
        facts=facts,
    )


def _estimate(found: LabelInput, comparison: Comparison | None, areas: NDArray[np.float64] | None) -> AreaEstimate:
    """Estimate the true areas from a random sample.

    Raises:
        OptionError: nothing says how large a pixel is, or a label has no sampled pixel.
    """
    if comparison is None or areas is None:
        raise OptionError("areas are estimated from pixels of a known size: give labels as a raster with a CRS")
    without = (comparison.counts.sum(axis=0) == 0) & (areas > 0)
    if without.any():
        names = ", ".join(one.name for one, there in zip(found.classes, without, strict=True) if there)
        raise OptionError(f"a sample holds pixels of every label, and this one none of {names}: draw some there")
    return adjusted_areas(comparison.counts, areas, units=comparison.label_pixels)
