"""An xarray Dataset as a source: its variables that share a grid are the bands."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geodeeplab.errors import SceneError
from geodeeplab.raster.sources.array import SPATIAL_DIMS, from_xarray
from geodeeplab.raster.sources.proj_attributes import PROJ_PREFIXES
from geodeeplab.raster.sources.source import Source
from geodeeplab.raster.sources.stacked import StackedSource, stacked_band

if TYPE_CHECKING:
    import xarray as xr


def is_dataset(scene: object) -> bool:
    """Tell whether something is an xarray Dataset, without importing xarray."""
    return hasattr(scene, "data_vars") and hasattr(scene, "coords")


def from_dataset(data: "xr.Dataset", *, path: str | None = None) -> Source:
    """Make a source of a Dataset; lazy variables are read by windows.

    Bands are the variables with the dimensions (y, x), in their order, each under its name, with its own nodata, scale
    and offset; a variable of several bands is taken where it is the only one. Attributes `proj:…` and `spatial:…` of
    the Dataset hold for all. For all else see `from_xarray`.

    Args:
        data: the Dataset.
        path: of the store that it was opened from.

    Raises:
        SceneError: no variable is a raster, some have further dimensions, or see `from_xarray` and `StackedSource`.
    """
    data = data.set_coords(_grid_mappings(data))
    shared = {key: value for key, value in data.attrs.items() if str(key).startswith(PROJ_PREFIXES)}
    rasters = [name for name in data.data_vars if any({*pair} <= {*data[name].dims} for pair in SPATIAL_DIMS)]
    if not rasters:
        raise SceneError(
            f"a Dataset has variables with the dimensions (y, x), got {_listed(data, list(data.data_vars))}: rename "
            "the dimensions, or pass one variable"
        )
    if len(rasters) == 1:
        return from_xarray(_with_attrs(data[rasters[0]], shared), path=path)
    deep = [name for name in rasters if data[name].ndim > 2]
    if deep:
        raise SceneError(
            f"the variables of a Dataset are bands with the dimensions (y, x), got {_listed(data, deep)}: choose one "
            "variable, or one step along the other dimensions with isel"
        )
    bands = []
    for name in rasters:
        source = from_xarray(_with_attrs(data[name], shared), path=path)
        bands.append(stacked_band(source, source.bands[0], name=str(name)))
    return StackedSource(bands, path=path or "dataset")


def _with_attrs(data: "xr.DataArray", attrs: dict[Any, Any]) -> "xr.DataArray":
    """Give an array with more attributes; its own win."""
    return data.assign_attrs({key: value for key, value in attrs.items() if key not in data.attrs})


def _grid_mappings(data: "xr.Dataset") -> list[Any]:
    """Give the variables that hold the grid mapping of others, as netCDF files have it."""
    named = [data[name].attrs.get("grid_mapping") for name in data.data_vars]
    return [name for name in data.data_vars if name in named or name == "spatial_ref"]


def _listed(data: "xr.Dataset", names: Sequence[Any]) -> str:
    return ", ".join(f"{name} ({', '.join(map(str, data[name].dims))})" for name in names[:5]) or "none"
