"""A file lent at one of its overviews."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from geodeeplab.maps.web.frame import reduced_grid
from geodeeplab.maps.web.pictures import read_on_grid
from geodeeplab.raster import open_scene
from geodeeplab.raster.sources.file import FileSource

MakeRaster = Callable[..., Path]
SIDE = 512


@pytest.fixture
def ramp(make_raster: MakeRaster) -> Path:
    """A raster (1, 512, 512) that grows to the right, with overviews at 2, 4 and 8."""
    path = make_raster(np.tile(np.arange(SIDE, dtype=np.int16), (1, SIDE, 1)), "ramp.tif", tiled=True, nodata=-1)
    with rasterio.open(path, "r+") as dst:
        dst.build_overviews([2, 4, 8], Resampling.average)
    return path


@pytest.mark.parametrize(("factor", "shape"), [(1, SIDE), (2, SIDE // 2), (7, SIDE // 4), (100, SIDE // 8)])
def test_the_smallest_overview_that_is_fine_enough_is_lent(ramp: Path, factor: int, shape: int) -> None:
    with open_scene(ramp) as scene:
        assert isinstance(scene.source, FileSource)
        with scene.source.reduced(factor) as lent:
            assert lent.grid.shape == (shape, shape)
            assert lent.grid.bounds == scene.grid.bounds
            assert [band.nodata for band in lent.bands] == [-1]
        assert scene.read(rasterio.windows.Window(0, 0, 2, 2)).array.tolist() == [[[0, 1], [0, 1]]]  # still open


def test_pictures_are_the_same_through_overviews(ramp: Path, make_raster: MakeRaster) -> None:
    with rasterio.open(ramp) as src:
        plain = make_raster(src.read(), "plain.tif", nodata=-1)
    found = []
    for path in (ramp, plain):
        with open_scene(path) as scene:
            found.append(read_on_grid(scene, reduced_grid(scene.grid, 32), resampling="bilinear"))
    assert found[0].array.shape == (1, 32, 32)
    assert np.abs(found[0].array - found[1].array).max() <= 1
    assert found[0].valid.all()


def test_a_file_with_a_mask_is_lent_as_it_is(make_raster: MakeRaster) -> None:
    """Its mask need not have overviews, and what is masked out must not come back."""
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    mask[:, SIDE // 2 :] = True
    path = make_raster(np.full((3, SIDE, SIDE), 90, dtype=np.uint8), tiled=True, mask=mask)
    with rasterio.open(path, "r+") as dst:
        dst.build_overviews([2, 4], Resampling.average)
    with open_scene(path) as scene:
        assert isinstance(scene.source, FileSource)
        with scene.source.reduced(4) as lent:
            assert lent is scene.source
        valid = read_on_grid(scene, reduced_grid(scene.grid, 64), resampling="bilinear").valid
    assert valid[:, 33:].all()
    assert not valid[:, :31].any()
