"""Vector files are told from rasters by their names."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from geodeeplab.raster import is_vector


@pytest.mark.parametrize("name", ["a.gpkg", "a.GeoJSON", "a.shp", "https://host/b/a.fgb", "a.shp.zip", "a.gdb"])
def test_vector_files(name: str) -> None:
    assert is_vector(name)
    assert is_vector(Path(name))


@pytest.mark.parametrize("name", ["a.tif", "a.VRT", "a.png", "gpkg", "https://host/a.tif"])
def test_rasters(name: str) -> None:
    assert not is_vector(name)


def test_what_is_no_file() -> None:
    assert is_vector(gpd.GeoDataFrame(geometry=[]))
    assert not is_vector(np.zeros((2, 2)))
