"""Suggested windows as a layer that QGIS opens: squares without a filling, each with its rank and the reason."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geodeeplab.adaptation.suggestions import SuggestedWindow
from geodeeplab.errors import OptionError
from geodeeplab.quiet import ignore_warnings
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.outputs.checks import atomic_outputs, check_output, output_errors
from geodeeplab.vector.layers import OUTPUT_CRS, POLYGON_SUFFIXES
from geodeeplab.vector.layers.qgis_style import add_qml, outline_qml

if TYPE_CHECKING:
    import geopandas as gpd
    from shapely import Polygon

LAYER = "suggestions"
DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON"}


def check_suggestions(
    dst_path: str | os.PathLike[str],
    *,
    grids: Sequence[Grid],
    overwrite: bool = False,
    inputs: Sequence[str | os.PathLike[str]] = (),
) -> Path:
    """Check before any work that suggestions on these grids can be written.

    Raises:
        OptionError: the suffix is unknown, the path is that of an input, or a CRS that is needed is missing.
        OutputError: the folder cannot be written, or the path is taken.
    """
    path = check_output(dst_path, suffixes=POLYGON_SUFFIXES, overwrite=overwrite, inputs=inputs)
    known = [grid.crs is not None for grid in grids]
    if any(known) and not all(known):
        raise OptionError("one layer is in one CRS, and some scenes have none: pass `grid_crs=`, or suggest for each")
    if not all(known) and path.suffix.lower() in OUTPUT_CRS:
        raise OptionError(f"GeoJSON holds longitudes and latitudes, and the scene has no CRS: write .gpkg, not {path}")
    return path


def write_suggestions(
    windows: Sequence[SuggestedWindow],
    dst_path: str | os.PathLike[str],
    *,
    grids: Sequence[Grid],
    scenes: Sequence[str],
    classes: Sequence[str],
    overwrite: bool = False,
    inputs: Sequence[str | os.PathLike[str]] = (),
) -> Path:
    """Write windows into a layer: GeoPackage, GeoParquet, FlatGeobuf or GeoJSON, by the suffix.

    Columns: `rank`, `reason`, `class_1`, `probability_1`, `class_2`, `probability_2`, `scene`. The layer is in the CRS
    of the first scene (GeoJSON in longitudes and latitudes); windows of scenes in another one become quadrangles.

    Args:
        windows: what `choose_windows` gave.
        dst_path: where.
        grids: of each scene, those that the windows' rows and columns count on.
        scenes: name of each scene.
        classes: K names.
        overwrite: whether a file that exists is replaced.
        inputs: files that must not be written over.

    Raises:
        OptionError, OutputError: see `check_suggestions`; the file cannot be written.
    """
    import geopandas as gpd
    import pandas as pd

    path = check_suggestions(dst_path, grids=grids, overwrite=overwrite, inputs=inputs)
    suffix = path.suffix.lower()
    crs = OUTPUT_CRS.get(suffix, grids[0].crs)
    parts = []
    for number, grid in enumerate(grids):
        part = _frame([one for one in windows if one.scene == number], grid, scenes[number], classes)
        parts.append(part if crs is None else part.to_crs(crs))
    frame = gpd.GeoDataFrame(pd.concat(parts).sort_values("rank"), crs=crs)
    no_crs = ignore_warnings(UserWarning, "'crs' was not provided")
    with atomic_outputs([path], overwrite=overwrite) as temporary, output_errors(path, RuntimeError), no_crs:
        if suffix == ".parquet":
            frame.to_parquet(temporary[path], index=False)
        else:
            frame.to_file(os.fspath(temporary[path]), layer=LAYER, driver=DRIVERS[suffix], geometry_type="Polygon")
        if suffix == ".gpkg":
            add_qml(temporary[path], LAYER, outline_qml("rank"), name="suggestions", description="where to draw next")
    return path


def _frame(windows: Sequence[SuggestedWindow], grid: Grid, scene: str, classes: Sequence[str]) -> "gpd.GeoDataFrame":
    """Give the windows of one scene as a table in its CRS."""
    import geopandas as gpd

    columns = {
        "rank": np.array([one.rank for one in windows], dtype=np.int32),
        "reason": np.array([one.reason(classes) for one in windows], dtype=object),
        "class_1": np.array([classes[one.class_1] for one in windows], dtype=object),
        "probability_1": np.array([one.probability_1 for one in windows]),
        "class_2": np.array([classes[one.class_2] for one in windows], dtype=object),
        "probability_2": np.array([one.probability_2 for one in windows]),
        "scene": np.array([scene] * len(windows), dtype=object),
    }
    return gpd.GeoDataFrame(columns, geometry=[_outline(one, grid) for one in windows], crs=grid.crs)


def _outline(window: SuggestedWindow, grid: Grid) -> "Polygon":
    """Give the four corners of a window on the ground."""
    import shapely

    (height, width), top, left = window.shape, window.row, window.col
    corners = [(left, top), (left, top + height), (left + width, top + height), (left + width, top)]
    return shapely.Polygon([grid.transform @ corner for corner in corners]).normalize()
