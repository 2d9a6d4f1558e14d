"""An array as a source: NumPy, dask, or an xarray DataArray with its coordinates."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.windows import Window

from geodeeplab.errors import SceneError
from geodeeplab.raster.bands import Band
from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources.proj_attributes import stated_crs, stated_transform
from geodeeplab.raster.sources.source import Pixels
from geodeeplab.raster.validity import nodata_range, valid_pixels

if TYPE_CHECKING:
    import xarray as xr

# Pixels by which a coordinate may be off the even spacing, or off where the stated transform puts it.
COORDINATE_TOLERANCE = 0.01

LEAST_ROWS = 256

MOST_CHANNELS, LEAST_SIDE = 4, 32
"""An array whose last axis is no longer than the one, and whose others are no shorter than the other, is (H, W, C)."""

SPATIAL_DIMS = (("y", "x"), ("latitude", "longitude"), ("lat", "lon"), ("northing", "easting"))
BAND_DIMS = ("band", "bands", "channel", "variable", "wavelength")


class ArraySource:
    """An array in memory, or one that is read when it is sliced (dask, zarr, h5py, xarray); see `Source`.

    The array is not copied and must not change. A pixel is invalid where all the bands read are nodata, where any is
    not finite, or where `valid` says so. Numbers of 16 bits with a floating point are read as float32.

    Args:
        array: (C, H, W), or (H, W) for one band; integers or floating-point numbers.
        transform: from pixel corner (col, row) to CRS coordinates; default pixels.
        crs: anything that rasterio takes for a CRS; default none, it is never guessed.
        bands: names, one for each band; default their numbers.
        nodata: value of pixels without data.
        valid: (H, W), True where a pixel is valid.
        scale: physical value = pixel x scale + offset.
        offset: see scale.
        path: how messages name it.
        files: what it is read from.

    Raises:
        SceneError: the array has another shape or type, is masked, or something does not fit it.
    """

    driver = "array"
    least_rows = LEAST_ROWS

    def __init__(
        self,
        array: Any,  # noqa: ANN401 - whatever has a shape, a dtype and slices
        *,
        transform: Affine | None = None,
        crs: CRS | str | int | None = None,
        bands: Sequence[str] | None = None,
        nodata: float | None = None,
        valid: npt.NDArray[np.bool_] | None = None,
        scale: float = 1.0,
        offset: float = 0.0,
        path: str = "array",
        files: tuple[str, ...] = (),
    ) -> None:
        _check_array(array, path)
        self._array = array
        self._valid = valid
        self.path = path
        self.files = files
        self.tags: dict[str, str] = {}
        height, width = (int(length) for length in array.shape[-2:])
        count = int(array.shape[0]) if len(array.shape) == 3 else 1
        self.grid = Grid(shape=(height, width), transform=transform or Affine.identity(), crs=_crs_of(crs, path))
        if bands is not None and (isinstance(bands, str) or len(bands) != count):
            raise SceneError(f"{path} has {count} bands, got the names {bands!r}: give one for each")
        if valid is not None and (valid.shape != (height, width) or valid.dtype != np.bool_):
            raise SceneError(
                f"valid of {path} is a boolean array of {height} x {width}, got {valid.dtype} {valid.shape}: "
                "True where a pixel is valid"
            )
        dtype = np.dtype(array.dtype).newbyteorder("=")
        if dtype == np.float16:  # neither rasterio nor the kernels know it; a nodata value is rounded as pixels are
            dtype = np.dtype(np.float32)
            with np.errstate(over="ignore"):
                nodata = None if nodata is None else float(np.float16(nodata))
        self.bands = tuple(
            Band(
                number=number,
                name=str(number) if bands is None else str(bands[number - 1]),
                dtype=dtype,
                scale=scale,
                offset=offset,
                nodata=nodata,
                colorinterp="undefined",
            )
            for number in range(1, count + 1)
        )

    def block_shape(self, numbers: Sequence[int]) -> tuple[int, int]:
        """Give (height, width) of the chunks, or of a row where there are none; see `Source.block_shape`."""
        chunks = getattr(self._array, "chunks", None) or _stored_chunks(self._array)
        if not chunks:
            return 1, self.grid.width
        height, width = (int(max(chunk)) if isinstance(chunk, tuple) else int(chunk) for chunk in chunks[-2:])
        return height, width

    def read(self, window: Window, numbers: Sequence[int]) -> Pixels:
        """Read bands of a window, as a copy; see `Source.read`."""
        rows, cols = window.toslices()
        if len(self._array.shape) == 2:
            array = np.repeat(np.asarray(self._array[rows, cols])[None], len(numbers), axis=0)
        else:
            unique = sorted(set(numbers))  # whatever is sliced, it takes an ascending list
            planes = np.asarray(self._array[[number - 1 for number in unique], rows, cols])
            array = planes[[unique.index(number) for number in numbers]]
        array = array.astype(self.bands[0].dtype, copy=False)
        valid = valid_pixels(array, [self._nodata_range()] * len(numbers))
        if self._valid is not None:
            valid &= self._valid[rows, cols]
        return Pixels(array=array, valid=valid)

    def is_all_valid(self, numbers: Sequence[int]) -> bool:
        """Tell whether every pixel is sure to be valid, see `Source.is_all_valid`."""
        return self._valid is None and self.bands[0].dtype.kind != "f" and self._nodata_range() is None

    def close(self) -> None:
        """Do nothing: the array is the caller's."""

    def _nodata_range(self) -> tuple[Any, Any] | None:
        return nodata_range(self.bands[0].nodata, self.bands[0].dtype)


def from_xarray(data: "xr.DataArray", *, path: str | None = None) -> ArraySource:
    """Make a source of a DataArray; one that is lazy (dask, or an open file) is read by windows.

    Dimensions are (y, x) or a band dimension and these, in any order. The CRS is that of the grid mapping
    (`spatial_ref`, as rioxarray writes it), of the attribute `crs`, or of `proj:code` and the like (`stated_crs`). The
    transform is that of the grid mapping if the coordinates, which are pixel centres, lie on its pixels (a part cut out
    is found by its coordinates), or of `transform` or `proj:transform`; else it is made of evenly spaced coordinates.
    Names of bands are those of the band coordinate, or `long_name`; nodata is `_FillValue` or `missing_value`, scale
    and offset are `scale_factor` and `add_offset`, all from the attributes: what xarray has decoded already it keeps
    elsewhere.

    Args:
        data: the DataArray.
        path: of the store that it is read from.

    Raises:
        SceneError: it is no DataArray, has other dimensions, coordinates that are not evenly spaced or contradict its
            transform, or a CRS that cannot be understood.
    """
    y_dim, x_dim, band_dim = _dims_of(data)
    files = () if path is None else (path,)
    path = path or (f"array '{data.name}'" if data.name is not None else "array")
    data = data.transpose(*filter(None, (band_dim, y_dim, x_dim)))
    mapping = _grid_mapping(data)
    crs = mapping.get("crs_wkt") or mapping.get("spatial_ref") or data.attrs.get("crs") or stated_crs(data.attrs)
    nodata = data.attrs.get("_FillValue", data.attrs.get("missing_value", data.attrs.get("nodata")))
    return ArraySource(
        data.variable,
        transform=_transform_of(data, y_dim, x_dim, _stated_transform(data, mapping, path), path),
        crs=crs,
        bands=_band_names(data, band_dim),
        nodata=None if nodata is None else float(nodata),
        scale=float(data.attrs.get("scale_factor", 1.0)),
        offset=float(data.attrs.get("add_offset", 0.0)),
        path=path,
        files=files,
    )


def _stored_chunks(array: Any) -> tuple[int, ...] | None:  # noqa: ANN401 - whatever has slices
    """Give the chunks that xarray knows of a variable that it reads from a store."""
    preferred = getattr(array, "encoding", {}).get("preferred_chunks") or {}
    dims = getattr(array, "dims", ())
    chunks = tuple(int(preferred[dim]) for dim in dims if isinstance(preferred.get(dim), int))
    return chunks if chunks and len(chunks) == len(dims) else None


def _check_array(array: Any, path: str) -> None:  # noqa: ANN401 - checked here
    if isinstance(array, np.ma.MaskedArray):
        raise SceneError(f"{path} is masked: pass its data, with nodata or with valid (H, W), True where valid")
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if shape is None or dtype is None or len(shape) not in (2, 3) or min(shape) < 1:
        raise SceneError(f"{path} is an array (C, H, W) or (H, W), got {type(array).__name__} of shape {shape}")
    dtype = np.dtype(dtype)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise SceneError(f"{path} has integers or floating-point numbers up to 64 bits, got {dtype}: convert it")


def refuse_channels_last(array: Any) -> None:  # noqa: ANN401 - checked by `ArraySource`
    """Refuse an array whose shape says that it is (H, W, C): many "bands" of a raster that is hardly a strip.

    Raises:
        SceneError: it does.
    """
    shape = tuple(getattr(array, "shape", ()))
    if len(shape) == 3 and shape[2] <= MOST_CHANNELS and min(shape[:2]) >= LEAST_SIDE:
        raise SceneError(
            f"a scene is an array (C, H, W), and of shape {shape} it looks like (H, W, C): pass "
            "array.transpose(2, 0, 1)"
        )


def _crs_of(crs: CRS | str | int | None, path: str) -> CRS | None:
    if crs is None:
        return None
    try:
        return CRS.from_user_input(crs)
    except CRSError as error:
        raise SceneError(f"the CRS of {path} cannot be understood ({error}): give e.g. EPSG:32633") from error


def _dims_of(data: "xr.DataArray") -> tuple[str, str, str | None]:
    """Give the dimensions along y, x and, where there is one, the bands."""
    if not hasattr(data, "dims") or not hasattr(data, "variable"):
        raise SceneError(
            f"a scene can be a path, several, an array (C, H, W), an xarray.DataArray or a Dataset, got "
            f"{type(data).__name__}: give one of these"
        )
    dims = [str(dim) for dim in data.dims]
    for y_dim, x_dim in SPATIAL_DIMS:
        others = [dim for dim in dims if dim not in (y_dim, x_dim)]
        if y_dim in dims and x_dim in dims and (not others or (len(others) == 1 and others[0] in BAND_DIMS)):
            return y_dim, x_dim, others[0] if others else None
    raise SceneError(
        f"a scene has the dimensions (band, y, x) or (y, x), got ({', '.join(dims)}): choose along others with isel, "
        "or rename them"
    )


def _grid_mapping(data: "xr.DataArray") -> dict[str, Any]:
    name = data.encoding.get("grid_mapping", data.attrs.get("grid_mapping", "spatial_ref"))
    return dict(data.coords[name].attrs) if name in data.coords else {}


def _stated_transform(data: "xr.DataArray", mapping: dict[str, Any], path: str) -> Affine | None:
    """Give the transform that the attributes state: GDAL's order in the grid mapping, rasterio's in the array's own."""
    if "GeoTransform" in mapping:
        return Affine.from_gdal(*(float(number) for number in str(mapping["GeoTransform"]).split()))
    own = data.attrs.get("transform")
    if own is None:
        return stated_transform(data.attrs, path)
    return Affine(*(float(number) for number in tuple(own)[:6]))


def _transform_of(data: "xr.DataArray", y_dim: str, x_dim: str, stated: Affine | None, path: str) -> Affine | None:
    """Give the transform, None if nothing says where the pixels are."""
    if x_dim not in data.coords or y_dim not in data.coords:
        corner = _corner_of_2d(data)
        return stated if stated is None or corner is None else _moved(stated, *corner, path=path)
    xs, ys = (np.asarray(data.coords[dim].values, dtype=np.float64) for dim in (x_dim, y_dim))
    x_step, y_step = _step(xs, x_dim, path), _step(ys, y_dim, path)
    if stated is None:
        if x_step is None or y_step is None:
            raise SceneError(
                f"{path} has one row or column and no transform, so its pixels have no size: "
                "use ArraySource with a transform"
            )
        return Affine(x_step, 0, xs[0] - x_step / 2, 0, y_step, ys[0] - y_step / 2)
    sizes = ((x_step, stated.a, len(xs)), (y_step, stated.e, len(ys)))
    is_same_size = all(
        step is None or abs(step / size - 1) * length <= COORDINATE_TOLERANCE for step, size, length in sizes if size
    )
    if stated.b or stated.d or not is_same_size:
        raise SceneError(
            f"{path} has coordinates that step by {x_step}, {y_step}, but a transform with pixels of {stated.a:.9g}, "
            f"{stated.e:.9g}: write it again with rio.write_transform(), or drop it"
        )
    return _moved(stated, float(xs[0]), float(ys[0]), path=path)


def _corner_of_2d(data: "xr.DataArray") -> tuple[float, float] | None:
    """Give the first of the two-dimensional coordinates that rioxarray gives rotated rasters."""
    if "xc" in data.coords and "yc" in data.coords:
        return float(data.coords["xc"].values[0, 0]), float(data.coords["yc"].values[0, 0])
    return None


def _moved(stated: Affine, x: float, y: float, *, path: str) -> Affine:
    """Move a transform by whole pixels so that its first pixel has its centre here."""
    col, row = ~stated @ (x, y)
    cols, rows = round(col - 0.5), round(row - 0.5)
    if math.dist((col - 0.5, row - 0.5), (cols, rows)) > COORDINATE_TOLERANCE:
        raise SceneError(
            f"{path} has coordinates {col - 0.5 - cols:+.3g}, {row - 0.5 - rows:+.3g} pixels off the centres that its "
            "transform gives: coordinates are pixel centres; correct them, or drop the transform"
        )
    return stated @ Affine.translation(cols, rows)


def _step(coords: npt.NDArray[np.float64], dim: str, path: str) -> float | None:
    """Give the distance of evenly spaced coordinates; None for a single one."""
    if len(coords) == 1:
        return None
    step = float((coords[-1] - coords[0]) / (len(coords) - 1))
    even = coords[0] + step * np.arange(len(coords))
    if not step or not np.isfinite(coords).all() or np.abs(coords - even).max() > COORDINATE_TOLERANCE * abs(step):
        raise SceneError(
            f"coordinates '{dim}' of {path} are not evenly spaced: resample it to a regular grid, or use ArraySource "
            "with a transform if they are only rounded"
        )
    return step


def _band_names(data: "xr.DataArray", band_dim: str | None) -> list[str] | None:
    """Give the names of the bands: their coordinate if it has words or numbers out of order, else `long_name`."""
    count = 1 if band_dim is None else data.sizes[band_dim]
    long_name = data.attrs.get("long_name")
    long_names = [long_name] if isinstance(long_name, str) else list(long_name or [])
    if band_dim is not None and band_dim in data.coords:
        names = [str(value) for value in data.coords[band_dim].values]
        if names != [str(number) for number in range(1, count + 1)]:
            return names
    return [str(name) for name in long_names] if len(long_names) == count else None
