"""`check`: a layer of polygons → what is wrong with it."""

import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.checking.first_reading import FirstReading, Progress, fit_polygons
from geodeeplab.pipeline.checking.result import LayerCheck
from geodeeplab.raster import atomic_outputs, check_outputs, local_files_only, paths_in
from geodeeplab.raster.crs import to_crs
from geodeeplab.vector.checking.attributes import ID_FIELD, NAME_FIELD, AttributeCheck
from geodeeplab.vector.checking.coverage import CoverageCheck
from geodeeplab.vector.checking.faults import Faults, join_faults
from geodeeplab.vector.checking.file_facts import iter_layer_faults
from geodeeplab.vector.checking.reading import FeatureSource, open_features
from geodeeplab.vector.checking.windows import WindowFiles, plan_windows

if TYPE_CHECKING:
    from geodeeplab.vector.checking.reading import LayerSource

SPIKE_DEGREES = 0.1
NARROW = 0.1
"""Of the median edge: holes narrower than this are gaps, unless a width is given."""
NOTHING = 1e-6
"""Of the median edge: what is narrower is no overlap and no gap, but a vertex that is somewhere else."""


def check(
    polygons: "LayerSource",
    *,
    layer: str | None = None,
    classes: Sequence[str | int] | None = None,
    class_field: str | None = None,
    nullable: Sequence[str] = (),
    crs: Any = None,  # noqa: ANN401 - whatever a user writes
    min_area: float = 0.0,
    spike_degrees: float = SPIKE_DEGREES,
    gap_width: float | Literal["all"] | None = None,
    faults: str | os.PathLike[str] | None = None,
    json: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    local_only: bool = False,
    progress: Progress | None = None,
) -> LayerCheck:
    """Look for faults in a layer of polygons: geometries, neighbours, classes, attributes, CRS, the file's own facts.

    Neighbours must be a valid coverage, as `segment` and `vectorize` write them: no overlaps, and the same vertices on
    both sides of a common edge. What is found does not depend on the order of the features. The layer is read twice,
    and in memory are a few thousand features and 40 bytes for each; the polygons pass through a temporary folder.

    Args:
        polygons: a vector file, or a GeoDataFrame.
        layer: its layer, where there are several.
        classes: names or ids that the class may have; by default any.
        class_field: field with the class; by default `class_name`, and `class_id` beside it.
        nullable: other fields that may be null.
        crs: CRS that the layer is to have; by default any.
        min_area: polygons of less are a fault, in square units of the layer's CRS.
        spike_degrees: a vertex whose edges enclose a smaller angle is a spike.
        gap_width: holes in the coverage whose mean width (twice the area by the perimeter) is less are gaps, in units
            of the CRS; "all" for all holes, 0 for none. By default a tenth of the layer's median edge: slivers,
            but no ground that was left out on purpose.
        faults: .gpkg to write all faults to, as points and polygons.
        json: .json to write the numbers to.
        overwrite: replace files that exist.
        local_only: see `open_scene`.
        progress: called with features looked at, each three times, and three times all.

    Returns:
        The faults; it is true where there are none.

    Raises:
        OptionError: the layer cannot be read, or an option makes no sense.
        OutputError: an output cannot be written.
    """
    started = time.perf_counter()
    wanted_width = math.inf if gap_width == "all" else gap_width
    _check_numbers(min_area=min_area, spike_degrees=spike_degrees, gap_width=wanted_width or 0.0)
    wanted = None if crs is None else to_crs(crs)
    outputs = check_outputs(
        {"faults": (faults, (".gpkg",)), "json": (json, (".json",))}, overwrite=overwrite, inputs=paths_in(polygons)
    )
    with local_files_only(local_only):
        source = open_features(polygons, layer=layer)
        attributes = AttributeCheck(
            class_field=class_field,
            classes=None if classes is None else [str(one) for one in classes],
            nullable=nullable,
        )
        seen = FirstReading(spike_degrees=spike_degrees, min_area=min_area)
        found = [*seen.iter_faults(source, attributes, progress)]
        seen.check_field(class_field, source)
        width = NARROW * seen.median_edge if wanted_width is None else float(wanted_width)
        coverage = CoverageCheck(tolerance=NOTHING * seen.median_edge, gap_width=width)
        found += _iter_between(source, coverage, seen, progress)
        found += iter_layer_faults(
            crs=source.crs, wanted=wanted, bounds=seen.bounds, path=source.path, layer=source.layer
        )
    result = LayerCheck(
        layer=source.name,
        count=seen.count,
        crs=source.crs,
        faults=join_faults(found),
        unchecked=_unchecked(seen, classes, class_field, min_area=min_area, gap_width=width),
        facts={
            "spike_degrees": spike_degrees,
            "min_area": min_area,
            "gap_width": width if math.isfinite(width) else "all",
            "seconds": time.perf_counter() - started,
        },
    )
    _write(result, outputs, overwrite=overwrite)
    return result


def _write(result: LayerCheck, outputs: Mapping[str, Path], *, overwrite: bool) -> None:
    if not outputs:
        return
    with atomic_outputs(outputs.values(), overwrite=overwrite) as temporary:
        if "faults" in outputs:
            result.save(temporary[outputs["faults"]], overwrite=True)
        if "json" in outputs:
            temporary[outputs["json"]].write_text(result.to_json() + "\n", encoding="utf-8")


def _iter_between(
    source: FeatureSource, coverage: CoverageCheck, seen: FirstReading, progress: Progress | None
) -> Iterator[Faults]:
    """Read the layer again, sort it into windows, and look at the neighbours in each."""
    windows, done = plan_windows(seen.boxes, seen.vertices), seen.count
    with tempfile.TemporaryDirectory(prefix="geodeeplab-") as folder:
        files = WindowFiles(Path(folder), windows)
        for batch in source.batches():
            files.add(*fit_polygons(batch))
            done += len(batch.fids)
            if progress is not None:
                progress(done, 3 * seen.count)
        for number, window in enumerate(windows):
            geometries, fids = files.take(number)
            yield from coverage.iter_faults(geometries, fids, window)
            if progress is not None:
                progress(2 * seen.count + (number + 1) * seen.count // len(windows), 3 * seen.count)
    yield coverage.last_faults(lambda: (fit_polygons(batch)[0] for batch in source.batches()))


def _unchecked(
    seen: FirstReading,
    classes: Sequence[str | int] | None,
    class_field: str | None,
    *,
    min_area: float,
    gap_width: float,
) -> tuple[str, ...]:
    """Say what was not looked at, and why."""
    found = []
    if class_field is None and not {NAME_FIELD, ID_FIELD} & set(seen.fields):
        found.append(f"classes: there is no field {NAME_FIELD} or {ID_FIELD}, and `class_field=` names none")
    elif classes is None:
        found.append("which classes there may be: `classes=` names them")
    if not min_area:
        found.append("the minimum area: `min_area=` states it")
    if math.isfinite(gap_width):
        found.append(f"holes wider than {gap_width:.3g}: `gap_width='all'` makes gaps of all")
    return tuple(found)


def _check_numbers(**numbers: float) -> None:
    for name, value in numbers.items():
        if not value >= 0 or (math.isinf(value) and name != "gap_width"):
            raise OptionError(f"`{name}=` is 0 or more, not {value:g}")
    if numbers["spike_degrees"] >= 90:
        raise OptionError(f"`spike_degrees=` is less than 90, not {numbers['spike_degrees']:g}")
