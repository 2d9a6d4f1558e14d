from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geodeeplab.raster.grid import Grid
from geodeeplab.raster.spool.encoded import encode_block
from geodeeplab.raster.spool.vrt import VrtBand, write_block_vrt


def test_carries_all_that_a_label_raster_has(tmp_path: Path) -> None:
    (tmp_path / "b.tif").write_bytes(encode_block(0, 0, {"a": np.full((2, 2), 5, np.uint8)}).contents["a"])
    grid = Grid(shape=(4, 3), transform=Affine(1, 2, 500_000, 2, -1, 4_000_000), crs=CRS.from_epsg(32633))
    tags = {"model": 'a <b> & "c"', "größe": "é"}
    write_block_vrt(
        tmp_path / "a.vrt",
        grid,
        [((1, 3, 1, 3), tmp_path / "b.tif")],
        band=VrtBand(dtype="uint8", count=1, nodata=0),
        colors={0: (0, 0, 0), 2: (1, 2, 3)},
        names=["nodata"],
        tags=tags,
    )
    with rasterio.open(tmp_path / "a.vrt") as src:
        assert (src.crs, src.transform, src.nodata, src.tags()) == (grid.crs, grid.transform, 0, tags)
        assert src.colormap(1) == {0: (0, 0, 0, 0), 1: (0, 0, 0, 255), 2: (1, 2, 3, 255)}
        assert src.colorinterp == (rasterio.enums.ColorInterp.palette,)
        assert src.read(1).tolist() == [[0, 0, 0], [0, 5, 5], [0, 5, 5], [0, 0, 0]]


def test_bands_have_names(tmp_path: Path) -> None:
    pixels = np.array([[[1] * 3] * 2, [[2] * 3] * 2], np.uint8)
    (tmp_path / "b.tif").write_bytes(encode_block(0, 0, {"a": pixels}).contents["a"])
    write_block_vrt(
        tmp_path / "a.vrt",
        Grid(shape=(2, 3), transform=Affine.scale(2), crs=None),
        [((0, 2, 0, 3), tmp_path / "b.tif")],
        band=VrtBand(dtype="uint8", count=2, nodata=None, descriptions=("Wald & Wiese", "b")),
        colors={},
        names=[],
        tags={},
    )
    with rasterio.open(tmp_path / "a.vrt") as src:
        assert src.descriptions == ("Wald & Wiese", "b")
        np.testing.assert_array_equal(src.read(), pixels)
