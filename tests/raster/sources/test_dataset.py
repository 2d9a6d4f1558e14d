"""xarray Datasets as scenes."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from rasterio.windows import Window

import geodeeplab as gdl
from geodeeplab.errors import SceneError

ROWS, COLS = 6, 8


def variable(seed: int, **attrs: Any) -> tuple[tuple[str, str], np.ndarray, dict[str, Any]]:  # noqa: ANN401
    return ("y", "x"), np.random.default_rng(seed).integers(1, 99, (ROWS, COLS)).astype(np.int16), attrs


def dataset(**variables: Any) -> xr.Dataset:  # noqa: ANN401
    return xr.Dataset(
        variables,
        coords={"y": 100.0 - np.arange(ROWS), "x": 10.0 + np.arange(COLS)},
    )


def test_variables_are_bands_with_their_own_numbers() -> None:
    data = dataset(
        vv=variable(0, _FillValue=-1, grid_mapping="crs"),
        vh=variable(1, scale_factor=0.5, grid_mapping="crs"),
        crs=((), 0, {"spatial_ref": "EPSG:32633"}),
    )
    with gdl.open_scene(data) as scene:
        assert [(band.name, band.nodata, band.scale) for band in scene.bands] == [("vv", -1, 1), ("vh", None, 0.5)]
        assert scene.crs is not None
        assert scene.crs.to_epsg() == 32633
        assert (scene.transform.c, scene.transform.f) == (9.5, 100.5)
        pixels = scene.select(["vh", "vv"]).read(Window(1, 2, 3, 4))
        assert np.array_equal(pixels.array, np.stack([data[n].values[2:6, 1:4] for n in ("vh", "vv")]))


@pytest.mark.filterwarnings("ignore:.*has no CRS")
def test_one_variable_may_have_bands() -> None:
    data = xr.Dataset({"image": (("band", "y", "x"), np.ones((3, ROWS, COLS), np.uint8))})
    with gdl.open_scene(data) as scene:
        assert len(scene.bands) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (xr.Dataset({"a": (("time", "station"), np.ones((2, 3)))}), r"dimensions \(y, x\), got a \(time, station\)"),
        (
            dataset(a=variable(0), b=(("time", "y", "x"), np.ones((2, ROWS, COLS)))),
            r"got b \(time, y, x\): choose one variable",
        ),
    ],
)
def test_what_is_no_raster_is_refused(data: xr.Dataset, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        gdl.open_scene(data)
