"""A source on a grid with the same axes is the one that a warp by nearest gives."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from geodeeplab.raster.grid import Grid
from geodeeplab.raster.sources import repeated
from geodeeplab.raster.sources.array import ArraySource
from geodeeplab.raster.sources.repeated import RepeatedSource, has_same_axes
from geodeeplab.raster.sources.source import Pixels
from geodeeplab.raster.sources.warped import WarpedSource

UTM = CRS.from_epsg(32633)
STEPS = st.sampled_from([10.0, -10.0, 20.0, 5.0, 30.0, 10 / 3, 7.3, -13.7])
OFFSETS = st.sampled_from([0.0, 5.0, -30.0, 12.345, 250.0])


@given(STEPS, STEPS, OFFSETS, OFFSETS, st.integers(0, 20), st.integers(0, 20))
def test_it_is_the_warp(x_step: float, y_step: float, x: float, y: float, row: int, col: int) -> None:
    array = np.random.default_rng(0).integers(0, 99, (2, 30, 25), dtype=np.uint8)
    src = ArraySource(array, transform=Affine(20, 0, 500_000, 0, -20, 5_000_000), crs=UTM, nodata=7)
    grid = Grid(shape=(30, 40), transform=Affine(x_step, 0, 500_000 + x, 0, y_step, 5_000_000 - y), crs=UTM)
    assert has_same_axes(src.grid, grid)
    window = Window(col, row, 20, 10)
    sources = RepeatedSource(src, grid), WarpedSource(src, grid, resampling="nearest")
    mine, other = (one.read(window, [2, 1]) for one in sources)
    assert np.array_equal(mine.valid, other.valid)
    assert np.array_equal(mine.array[:, mine.valid], other.array[:, mine.valid])


def test_a_fine_source_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask of much smaller pixels does not take the memory of all of them."""
    array = np.random.default_rng(0).integers(0, 99, (1, 300, 250), dtype=np.uint8)
    src = ArraySource(array, transform=Affine(1, 0, 500_000, 0, -1, 5_000_000), crs=UTM)
    grid = Grid(shape=(35, 25), transform=Affine(10, 0, 500_000, 0, -10, 5_000_000), crs=UTM)
    whole = RepeatedSource(src, grid).read(Window(0, 0, 25, 35), [1])
    largest, read = 0, src.read

    def noted(window: Window, numbers: list[int]) -> Pixels:
        nonlocal largest
        largest = max(largest, window.width * window.height)
        return read(window, numbers)

    monkeypatch.setattr(src, "read", noted)
    for limit, most in ((5000, 5000), (1000, 1000), (1, 1)):
        monkeypatch.setattr(repeated, "LARGEST_READ", limit)
        largest = 0
        again = RepeatedSource(src, grid).read(Window(0, 0, 25, 35), [1])
        assert np.array_equal(again.array, whole.array)
        assert np.array_equal(again.valid, whole.valid)
        assert 0 < largest <= most
    assert whole.valid.sum() == 30 * 25


@pytest.mark.parametrize(
    ("transform", "crs"), [(Affine(20, 1, 0, 0, -20, 0), UTM), (Affine(20, 0, 0, 0, -20, 0), CRS.from_epsg(32634))]
)
def test_other_axes(transform: Affine, crs: CRS) -> None:
    one = Grid(shape=(3, 3), transform=Affine(10, 0, 0, 0, -10, 0), crs=UTM)
    assert not has_same_axes(one, Grid(shape=(3, 3), transform=transform, crs=crs))
    degrees = Grid(shape=(3, 3), transform=Affine(1, 0, 0, 0, -1, 0), crs=CRS.from_epsg(4326))
    assert not has_same_axes(degrees, degrees)
