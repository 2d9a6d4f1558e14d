"""Label rows → a layer of polygons: the minimum mapping unit, tracing, generalising, measuring, writing."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.output_crs import check_output_crs, choose_output_crs, output_bounds, way_to_output
from geodeeplab.pipeline.polygon_options import MinimumArea, PolygonOptions
from geodeeplab.pipeline.square_rule import METRIC_CELL_PX, square_rule
from geodeeplab.raster import Grid, LabelClass
from geodeeplab.stages import Stage
from geodeeplab.vector import (
    BoundaryRows,
    Generalisation,
    InstanceCodes,
    InstanceRule,
    LabelRows,
    LineRule,
    Metric,
    NumberedRows,
    PolygonBatch,
    Ruler,
    StripRow,
    check_layer_crs,
    iter_strip_rows,
    metric_table,
    number_rows,
    row_areas,
    sieve_rows,
    trace_polygons,
)
from geodeeplab.vector import write_polygons as write_batches

ReadRows = Callable[[], Iterable[NDArray[Any]]]
"""Starts the rows of a raster anew, in bands (n, W) from the top."""


@dataclass(frozen=True, kw_only=True)
class PolygonPlan:
    """How the polygons of one label raster are made, when all that can be refused before any work was."""

    grid: Grid
    """Grid of the labels."""
    classes: Sequence[LabelClass]
    """Classes whose names and colours are written."""
    nodata: int
    """Label that gets no polygon."""
    options: PolygonOptions
    """What the polygons look like."""
    crs: CRS | None
    """Coordinate reference system of the output."""
    lines: LineRule | None
    """How lines are generalised."""
    minimum: Mapping[int, float] | float | None
    """The minimum mapping unit, by class id."""
    scene: tuple[str, str] | None = None
    """A column, and the name of the scene that stands in it."""
    areas: NDArray[np.float64] | None
    """Ground area of a pixel by row, where the minimum is in m²."""
    instances: InstanceRule | None = None
    """How objects that touch are told apart; the rows to trace are then those of `number`."""

    @property
    def codes(self) -> InstanceCodes | None:
        """What tells the class of a label that is an object's code; None where all labels are classes."""
        return None if self.instances is None else InstanceCodes(class_ids=self.instances.class_ids)

    @property
    def needs_all_rows(self) -> bool:
        """Whether no polygon can be traced before the last row of labels is known."""
        return self.minimum is not None or self.instances is not None

    def number(self, rows: Iterable[BoundaryRows], *, folder: Path) -> NumberedRows:
        """Tell objects apart in label rows, all of them from the top.

        Args:
            rows: labels and boundaries.
            folder: for what does not stay in memory.
        """
        assert self.instances is not None, "there are classes with objects"
        shape = (self.grid.height, self.grid.width)
        return number_rows(rows, shape=shape, rule=self.instances, folder=folder, threads=min(os.cpu_count() or 1, 8))

    def sieve(self, read: ReadRows) -> Iterator[NDArray[np.int32]]:
        """Yield label rows, or rows of codes, in which components below the minimum have merged.

        Args:
            read: starts the label rows anew, and is called twice; the bands are those of the second time.
        """
        assert self.minimum is not None, "there is a minimum"
        return sieve_rows(
            lambda: (rows.astype(np.int32, copy=False) for rows in read()),
            shape=(self.grid.height, self.grid.width),
            minimum=self.minimum,
            connectivity=self.options.connectivity,
            nodata=self.nodata,
            fill_holes=self.options.fill_holes,
            row_areas=self.areas,
            codes=self.codes,
        )

    def write(
        self,
        dst_path: Path,
        rows: Iterable[LabelRows],
        *,
        with_confidence: bool,
        metadata: Mapping[str, str],
        class_columns: Mapping[str, Mapping[int, str]] | None = None,
        overwrite: bool = False,
        threads: int | None = None,
    ) -> int:
        """Trace rows of labels or codes, all from the top and sieved if they shall be, and write polygons as `join`."""
        return self.join(
            dst_path,
            iter_strip_rows(rows, shape=(self.grid.height, self.grid.width), nodata=self.nodata),
            with_confidence=with_confidence,
            metadata=metadata,
            class_columns=class_columns,
            overwrite=overwrite,
            threads=threads,
        )

    def join(
        self,
        dst_path: Path,
        bands: Iterable[StripRow],
        *,
        with_confidence: bool,
        metadata: Mapping[str, str],
        class_columns: Mapping[str, Mapping[int, str]] | None = None,
        overwrite: bool = False,
        threads: int | None = None,
    ) -> int:
        """Trace bands, parts of which may be traced already, and write polygons; give how many there are.

        Args:
            dst_path: where; its folder also holds what does not stay in memory.
            bands: all labels from the top.
            with_confidence: whether they have a confidence.
            metadata: the layer's metadata.
            class_columns: see `write_polygons`.
            overwrite: replace the file if it exists.
            threads: threads that trace; by default as many as there are cores.
        """
        to_output = way_to_output(self.grid, self.crs)
        ruler = Ruler(self.crs, output_bounds(self.grid, to_output))
        batches = trace_polygons(
            bands,
            shape=(self.grid.height, self.grid.width),
            transform=self.grid.transform,
            ruler=ruler,
            connectivity=self.options.connectivity,
            nodata=self.nodata,
            lines=self.lines,
            to_output=to_output,
            with_confidence=with_confidence,
            folder=dst_path.parent,
            threads=threads,
        )
        options = {"GEODEEPLAB_POLYGONS": json.dumps(self.options.facts())}
        with Stage(self._with_classes(batches), name="prefetch") as prepared:
            return write_batches(
                prepared,
                dst_path,
                crs=self.crs,
                classes=self.classes,
                layer=self.options.layer_name,
                scene=self.scene,
                metadata={**metadata, **options},
                class_columns=class_columns,
                max_vertices=self.options.max_vertices,
                measure=ruler.measure_arcs,
                overwrite=overwrite,
            )

    def _with_classes(self, batches: Iterable[PolygonBatch]) -> Iterator[PolygonBatch]:
        """Yield batches with the classes of objects in place of their codes."""
        codes = self.codes
        for batch in batches:
            yield batch if codes is None else replace(batch, class_ids=codes.to_labels(batch.class_ids))


def plan_polygons(
    options: PolygonOptions,
    *,
    grid: Grid,
    classes: Sequence[LabelClass],
    nodata: int,
    dst_path: Path,
    scene: tuple[str, str] | None = None,
) -> PolygonPlan:
    """Plan the polygons of a label raster.

    Raises:
        OptionError: for metres without a CRS that leads to the ground, an unknown class or CRS, a CRS that the format
            cannot hold, and one that nothing leads to or that is not defined all over the raster.
    """
    lines, instances = None, _instance_rule(options, classes, nodata) if options.instance_classes else None
    if options.tolerance_m is not None or options.tolerance_px is not None:
        if options.tolerance_m is not None:
            metric = Metric(cell_px=METRIC_CELL_PX, matrices=metric_table(grid, METRIC_CELL_PX))
        else:
            metric = Metric.pixels()
        tolerance = options.tolerance_m or options.tolerance_px or 0.0
        rule = Generalisation(method=options.simplify, tolerance=tolerance, smooth=options.smooth)
        lines = LineRule(
            generalisation=rule,
            metric=metric,
            keep_outline=options.keep_outline,
            square=square_rule(options, grid, classes, instances) if options.square_classes else None,
        )
    area = options.min_area_px if options.min_area_m2 is None else options.min_area_m2
    crs = choose_output_crs(options.out_crs, grid.crs, dst_path)
    check_layer_crs(dst_path, crs)
    check_output_crs(grid, crs)
    return PolygonPlan(
        grid=grid,
        classes=classes,
        nodata=nodata,
        options=options,
        crs=crs,
        lines=lines,
        minimum=None if area is None else _by_id(area, classes, nodata if options.fill_holes else None),
        scene=scene,
        areas=None if options.min_area_m2 is None else row_areas(grid),
        instances=instances,
    )


def _by_id(area: MinimumArea, classes: Sequence[LabelClass], filled: int | None) -> Mapping[int, float] | float:
    """Give minimum areas by class id; holes of nodata, where they fill up, have the largest of them.

    Raises:
        OptionError: if no class has a name.
    """
    if not isinstance(area, Mapping):
        return float(area)
    found = {class_id_of(name, classes): float(value) for name, value in area.items()}
    return found if filled is None else {**found, filled: max(found.values(), default=0.0)}


def class_id_of(name: str | int, classes: Sequence[LabelClass]) -> int:
    """Give the id of a class by its name, or by the id itself.

    Raises:
        OptionError: no class has the name.
    """
    ids = {item.name: item.id for item in classes}
    if isinstance(name, str) and name not in ids and not name.lstrip("-").isdecimal():
        known = ", ".join(ids) or "none with a name"
        raise OptionError(f"no class is called {name!r}, there are {known}: give a name or a class id")
    return ids[name] if isinstance(name, str) and name in ids else int(name)


def _instance_rule(options: PolygonOptions, classes: Sequence[LabelClass], nodata: int) -> InstanceRule:
    """Give the rule by which objects are told apart.

    Raises:
        OptionError: a class is unknown or nodata, or a number is out of its range.
    """
    ids = tuple(dict.fromkeys(class_id_of(name, classes) for name in options.instance_classes))
    if nodata in ids:
        raise OptionError(f"label {nodata} is nodata and has no objects: name others as `instances=`")
    threshold = max(1, min(255, round(255 * options.boundary_threshold)))
    return InstanceRule(class_ids=ids, threshold=threshold, min_marker=options.min_marker_px)
