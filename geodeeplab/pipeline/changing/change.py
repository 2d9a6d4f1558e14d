"""`change`: two maps of one place → polygons of what changed, and the transitions."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.maps.figures import require_matplotlib
from geodeeplab.pipeline.changing.inputs import least_confidence, segment_both
from geodeeplab.pipeline.changing.kinds import number_kinds
from geodeeplab.pipeline.changing.map_pair import open_map_pair
from geodeeplab.pipeline.changing.result import Change
from geodeeplab.pipeline.changing.writing import ChangeWriter, change_tags, plan_changes, readings_to_write
from geodeeplab.pipeline.polygon_options import PolygonOptions
from geodeeplab.pipeline.told import Progress
from geodeeplab.raster import (
    RASTER_SUFFIXES,
    Grid,
    atomic_outputs,
    check_outputs,
    local_files_only,
    paths_in,
)
from geodeeplab.vector import POLYGON_SUFFIXES

if TYPE_CHECKING:
    from geodeeplab.raster import AoiLike

FilePath = str | os.PathLike[str]
FARTHEST_PX = 50.0
HTML_SUFFIXES = (".html", ".htm")


def change(
    before: FilePath,
    after: FilePath,
    polygons: FilePath,
    polygon_options: PolygonOptions | None = None,
    *,
    label_raster: FilePath | None = None,
    sieve_labels: bool = False,
    model: FilePath | None = None,
    bands: Sequence[str | int] | None = None,
    shift_px: float = 0.0,
    classes: Mapping[str | int, str | int] | None = None,
    confidence: tuple[FilePath, FilePath] | None = None,
    aoi: "AoiLike | None" = None,
    json: FilePath | None = None,
    figure: FilePath | None = None,
    html: FilePath | None = None,
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
        label_raster: label raster to write (.tif): a class for each kind of change, and for the unchanged ground of
            each class; `sample` and `evaluate` make areas of change with their uncertainty of it.
        sieve_labels: apply the minimum area to that raster, too.
        model: model file, or name of a bundled one, that both scenes are segmented with first.
        bands: with `model`, the scenes' bands for the model's, by name or 1-based number; see `segment`.
        shift_px: how far an edge may shift without a change, in pixels of the earlier map: a pixel that went from a
            to b is unchanged where within this distance b was before, and a is still afterwards. Strips along edges
            that shifted by no more than this vanish whole; what is wider than twice that stays whole.
        classes: class of the earlier map, by name or id, for values of the later one that are no name or id.
        confidence: confidence rasters of both, 0–100: each polygon gets the mean and the minimum of the lesser one.
        aoi: area of interest, see `segment`.
        json: .json to write the numbers to.
        figure: .png to draw the matrix into.
        html: .html to write a map for the browser to: polygons over both dates, with a line to drag between them.
        overwrite: replace files that exist.
        local_only: see `open_scene`.
        progress: called with pixels read and pixels in all.

    Raises:
        OptionError: options do not go together, the maps have no class or no ground in common.
        SceneError: a raster cannot be read.
        OutputError: an output cannot be written.
    """
    started = time.perf_counter()
    options = polygon_options or PolygonOptions()
    if options.instance_classes:
        raise OptionError("changes are of areas, not of objects: leave out `instances=`")
    _check_options(options, shift_px=shift_px, sieve_labels=sieve_labels, model=model, bands=bands)
    outputs = check_outputs(
        {
            "polygons": (polygons, POLYGON_SUFFIXES),
            "label_raster": (label_raster, RASTER_SUFFIXES),
            "json": (json, (".json",)),
            "figure": (figure, (".png",)),
            "html": (html, HTML_SUFFIXES),
        },
        inputs=paths_in(before, after, model, aoi, *(confidence or ())),
        overwrite=overwrite,
    )
    page = outputs.pop("html", None)
    if figure is not None:
        require_matplotlib()
    with ExitStack() as stack:
        stack.enter_context(local_files_only(local_only))
        maps: tuple[FilePath, FilePath] = before, after
        if model is not None:
            maps, confidence = segment_both(stack, before, after, model=model, bands=bands, aoi=aoi)
        pair = open_map_pair(
            stack,
            *maps,
            said=classes or {},
            shift_px=shift_px,
            aoi=aoi,
            readings=1 + readings_to_write(options, with_raster=label_raster is not None),
            progress=progress,
        )
        counts, shifted = pair.count()
        kinds = number_kinds(counts, pair.classes)
        plan = plan_changes(options, grid=pair.grid, kinds=kinds, dst_path=outputs["polygons"])
        writer = ChangeWriter(pair=pair, kinds=kinds, plan=plan, sieve_labels=sieve_labels)
        sure = None if confidence is None else least_confidence(stack, confidence, pair.grid)
        found = Change(
            before=str(before),
            after=str(after),
            classes=pair.classes,
            counts=counts,
            shifted=shifted,
            pixel_m2=_pixel_m2(pair.grid),
            polygons=0,
            polygons_path=outputs["polygons"],
            label_raster_path=outputs.get("label_raster"),
            facts={
                "model": None if model is None else str(model),
                "shift_px": shift_px,
                "options": options.facts(),
                "sieve_labels": sieve_labels,
            },
        )
        found = _write(found, writer, sure, outputs, started=started, overwrite=overwrite)
        if page is not None:  # what was found is safe by now
            found.explore().save(page, overwrite=overwrite)
    return found


def _check_options(
    options: PolygonOptions,
    *,
    shift_px: float,
    sieve_labels: bool,
    model: FilePath | None,
    bands: Sequence[str | int] | None,
) -> None:
    """Refuse options that make no sense, or not together.

    Raises:
        OptionError: they do not.
    """
    if not 0 <= shift_px <= FARTHEST_PX:
        raise OptionError(f"`shift_px=` is a distance from 0 to {FARTHEST_PX:g} px, not {shift_px:g}")
    if sieve_labels and not options.is_sieved:
        raise OptionError(
            "`sieve_labels=` applies the minimum area to the labels: give `min_area_px=` or `min_area_m2=`"
        )
    if bands is not None and model is None:
        raise OptionError("`bands=` are those of scenes that a model reads: give a model, `model=`, or leave them out")


def _write(
    found: Change,
    writer: ChangeWriter,
    sure: Iterator[NDArray[np.uint8]] | None,
    outputs: Mapping[str, Path],
    *,
    started: float,
    overwrite: bool,
) -> Change:
    """Write all outputs, or none; give what was found, with the number of polygons."""
    with atomic_outputs(outputs.values(), overwrite=overwrite) as temporary:
        places = {name: temporary[path] for name, path in outputs.items()}
        tags = change_tags({"shift_px": found.facts["shift_px"]})
        count = writer.write(places["polygons"], places.get("label_raster"), sure, tags)
        facts = {**found.facts, "seconds": time.perf_counter() - started}
        found = replace(found, polygons=count, facts=facts)
        if "json" in places:
            places["json"].write_text(found.to_json() + "\n", encoding="utf-8")
        if "figure" in places:
            found.save_figure(places["figure"], overwrite=True)
    return found


def _pixel_m2(grid: Grid) -> float | None:
    """Give the area of a pixel in the middle of a grid; None where nothing says what a metre is."""
    if grid.gsd_m is None:
        return None
    (x_res, y_res), (x_m, y_m) = grid.res, grid.gsd_m
    area = grid.pixel_area * x_m * y_m / (x_res * y_res)
    return area if math.isfinite(area) else None
