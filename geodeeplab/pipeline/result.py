"""What `segment` gives back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from geodeeplab.errors import GeoDeepLabError, OptionError
from geodeeplab.raster import Scene, SceneLike
from geodeeplab.vector import LAYER_NAME

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr

    from geodeeplab.maps.web import Map


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """The outputs of a run and the facts about it."""

    polygons_path: Path | None
    """The vector file, if one was asked for."""
    label_raster_path: Path | None
    """The label raster, if one was asked for."""
    confidence_path: Path | None
    """The confidence raster, if one was asked for."""
    probabilities_path: Path | None = None
    """The raster of all classes' probabilities, if one was asked for."""
    boundary_path: Path | None = None
    """The raster of objects' boundaries, if one was asked for."""
    facts: dict[str, Any]
    """What the run did: grid, pins, tiles, pixels per class, seconds by stage."""
    scene: SceneLike | None = field(default=None, repr=False, compare=False)
    """What was segmented."""
    appended_as: tuple[str, str] | None = None
    """Column and name of the scene, where the polygons were appended to a layer of many scenes."""

    @property
    def polygons(self) -> "gpd.GeoDataFrame":
        """The polygons, read from their file; of a layer of many scenes those of this one.

        Raises:
            OptionError: if no vector output was asked for.
        """
        if self.polygons_path is None:
            raise OptionError("this run wrote no polygons: give segment an output such as landcover.gpkg")
        name = self.facts.get("polygon_options", {}).get("layer_name", LAYER_NAME)
        polygons = read_polygons(self.polygons_path, layer=name)
        if self.appended_as is None:
            return polygons
        column, scene = self.appended_as
        return polygons[polygons[column] == scene].reset_index(drop=True)

    def class_areas_m2(self) -> dict[str, float]:
        """Sum the geodesic areas of the polygons by class, in square metres; NaN where the scene has no CRS.

        Raises:
            OptionError: if no vector output was asked for.
        """
        table = self.polygons.groupby("class_name")["area_m2"].sum(min_count=1)
        return {str(name): float(area) for name, area in table.items()}

    def explore(self) -> "Map":
        """Give a map of scene, labels, confidence and polygons for the browser; a notebook shows it, `save` writes it.

        Raises:
            OptionError: the run wrote nothing that a map shows.
        """
        from geodeeplab.maps.web import Map

        if self.polygons_path is None and self.label_raster_path is None:
            raise OptionError("a map shows labels or polygons: give segment an output such as landcover.gpkg")
        return Map(
            None if isinstance(self.scene, Scene) else self.scene,  # an open one may be closed by now
            labels=self.label_raster_path,
            confidence=self.confidence_path,
            polygons=self.polygons_path,
        )

    def _repr_html_(self) -> str | None:
        """Show the map in a notebook; None, so that the plain text is shown, where there is none."""
        try:
            return self.explore()._repr_html_()
        except GeoDeepLabError:
            return None

    def to_xarray(self) -> "xr.DataArray":
        """Read the label raster as a DataArray (y, x) with its CRS and transform; needs the `notebook` extra.

        Raises:
            OptionError: if no label raster was asked for, or rioxarray is not installed.
        """
        if self.label_raster_path is None:
            raise OptionError("this run wrote no label raster: pass `label_raster='labels.tif'` to segment")
        try:
            import rioxarray
        except ImportError as error:
            raise OptionError("to_xarray needs rioxarray: pip install 'geodeeplab[notebook]'") from error
        raster = rioxarray.open_rasterio(self.label_raster_path)
        return cast("xr.DataArray", raster).squeeze("band", drop=True)


@dataclass(frozen=True, kw_only=True)
class Vectorization:
    """The output of `vectorize` and the facts about it."""

    polygons_path: Path
    """The vector file."""
    facts: dict[str, Any]
    """What was done: shape, polygons, options, seconds."""

    @property
    def polygons(self) -> "gpd.GeoDataFrame":
        """The polygons, read from their file."""
        name = self.facts.get("options", {}).get("layer_name", LAYER_NAME)
        return read_polygons(self.polygons_path, layer=name)


def read_polygons(path: Path, *, layer: str = LAYER_NAME) -> "gpd.GeoDataFrame":
    """Read a vector file that GeoDeepLab wrote."""
    import geopandas as gpd

    if path.suffix.lower() == ".parquet":
        return gpd.read_parquet(path)
    return gpd.read_file(path, layer=layer)
