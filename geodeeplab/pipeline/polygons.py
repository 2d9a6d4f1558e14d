"""Label rows → a layer of polygons: the minimum mapping unit, tracing, generalising, measuring, writing."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.errors import OptionError
from geodeeplab.pipeline.output_crs import check_output_crs, choose_output_crs, output_bounds, way_to_output
from geodeeplab.raster import Grid, LabelClass
from geodeeplab.stages import Stage
from geodeeplab.vector import (
    LAYER_NAME,
    Generalisation,
    LabelRows,
    LineRule,
    Metric,
    Ruler,
    StripRow,
    check_layer_crs,
    iter_strip_rows,
    metric_table,
    row_areas,
    sieve_rows,
    trace_polygons,
)
from geodeeplab.vector import write_polygons as write_batches

METRIC_CELL_PX = 256
RESERVED = ("gpkg_", "rtree_", "sqlite_", "layer_styles")
"""Beginnings of names that tables of a GeoPackage have."""

MinimumArea = float | Mapping[str | int, float]
"""One area for all classes, or areas by class name or id; 0 for classes that are not there."""


@dataclass(frozen=True, kw_only=True)
class PolygonOptions:
    """What polygons look like: exactly the pixels' outlines, unless a tolerance or a minimum area is given."""

    tolerance_m: float | None = None
    """Simplify: no vertex that goes is farther from the new line than this, in metres on the ground."""
    tolerance_px: float | None = None
    """The same in pixels; about 1 makes straight lines of staircases."""
    simplify: Literal["vw", "dp"] = "vw"
    """Which vertices go first: those of the smallest triangles (Visvalingam–Whyatt), or the nearest to the line between
    the farthest (Douglas–Peucker)."""
    smooth: bool = False
    """Round corners off, within the tolerance."""
    keep_outline: bool = False
    """Leave the lines to nodata as they are."""
    min_area_m2: MinimumArea | None = None
    """Merge polygons below this area, in m², into the neighbour with the longest common border; or areas by class."""
    min_area_px: MinimumArea | None = None
    """The same in pixels."""
    fill_holes: bool = False
    """Let holes of nodata below the minimum area fill up."""
    connectivity: Literal[4, 8] = 4
    """Whether pixels that touch at corners only (8) are one polygon, then a multipolygon."""
    max_vertices: int | None = None
    """Cut polygons with more vertices than this into parts; None leaves them whole."""
    out_crs: str | None = None
    """Coordinate reference system to write; by default the raster's (GeoJSON: longitude and latitude)."""
    layer_name: str = LAYER_NAME
    """Name of the layer, in formats that name layers."""

    def __post_init__(self) -> None:
        """Check what can be checked without a raster.

        Raises:
            OptionError: for what cannot be, or not together.
        """
        for one, other in (("tolerance_m", "tolerance_px"), ("min_area_m2", "min_area_px")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise OptionError(f"`{one}=` and `{other}=` say the same in two units: give one of them")
        for name in ("tolerance_m", "tolerance_px"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"`{name}=` is a distance above 0, not {value}: leave it out for the exact outlines")
        for name in ("min_area_m2", "min_area_px"):
            areas = getattr(self, name)
            for area in areas.values() if isinstance(areas, Mapping) else [] if areas is None else [areas]:
                if not 0 <= area < float("inf"):
                    raise OptionError(f"`{name}=` is an area of 0 or more, not {area}")
        if not re.fullmatch(r"[^\W\d][\w -]{0,60}", self.layer_name) or self.layer_name.lower().startswith(RESERVED):
            raise OptionError(
                f"a layer is named by a letter, then up to 60 letters, digits, blanks, - and _, and not after "
                f"{' or '.join(RESERVED)}, got {self.layer_name!r}: choose another `layer_name=`"
            )
        if self.simplify not in ("vw", "dp"):
            raise OptionError(f"lines are simplified by vw or dp, not {self.simplify!r}")
        if self.connectivity not in (4, 8):
            raise OptionError(f"pixels have 4 or 8 neighbours, not {self.connectivity}")
        if not self.is_simplified and (self.smooth or self.keep_outline):
            what = "`smooth=` rounds" if self.smooth else "`keep_outline=` leaves out some of"
            raise OptionError(f"{what} the lines that are simplified: give a tolerance too, say `tolerance_px=1`")
        if self.fill_holes and not self.is_sieved:
            raise OptionError(
                "holes fill up below a minimum area: give `min_area_px=` or `min_area_m2=` with `fill_holes=`"
            )

    @property
    def is_simplified(self) -> bool:
        """Whether lines are generalised."""
        return self.tolerance_m is not None or self.tolerance_px is not None

    @property
    def is_sieved(self) -> bool:
        """Whether small polygons merge into their neighbours."""
        return self.min_area_m2 is not None or self.min_area_px is not None

    def facts(self) -> dict[str, Any]:
        """Give the options that are not the default, for the metadata of the layer."""
        default = asdict(PolygonOptions())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


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

    def sieve(self, read: ReadRows) -> Iterator[NDArray[np.int32]]:
        """Yield label rows in which components below the minimum have merged.

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
        """Trace label rows, all of them from the top and sieved if they are to be, and write polygons; see `join`."""
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
        with Stage(batches, name="prefetch") as prepared:
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
    lines = None
    if options.tolerance_m is not None or options.tolerance_px is not None:
        if options.tolerance_m is not None:
            metric = Metric(cell_px=METRIC_CELL_PX, matrices=metric_table(grid, METRIC_CELL_PX))
        else:
            metric = Metric.pixels()
        tolerance = options.tolerance_m or options.tolerance_px or 0.0
        rule = Generalisation(method=options.simplify, tolerance=tolerance, smooth=options.smooth)
        lines = LineRule(generalisation=rule, metric=metric, keep_outline=options.keep_outline)
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
    )


def _by_id(area: MinimumArea, classes: Sequence[LabelClass], filled: int | None) -> Mapping[int, float] | float:
    """Give minimum areas by class id; holes of nodata, where they fill up, have the largest of them.

    Raises:
        OptionError: if no class has a name.
    """
    if not isinstance(area, Mapping):
        return float(area)
    ids = {item.name: item.id for item in classes}
    found = {}
    for name, value in area.items():
        if isinstance(name, str) and name not in ids and not name.lstrip("-").isdecimal():
            known = ", ".join(ids) or "none with a name"
            raise OptionError(f"no class is called {name!r}, there are {known}: give a name or a class id")
        found[ids[name] if name in ids else int(name)] = float(value)
    return found if filled is None else {**found, filled: max(found.values(), default=0.0)}
