"""A model made from an area of a huge mosaic: the ground is that of the area, and costs what the area costs."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import geodeeplab as gdl
from geodeeplab.adaptation.cells import spread_tiles
from geodeeplab.tiling import Lattice, Shard
from tests.adaptation.drawn import SMALL, Drawn, pixel_box
from tests.pipeline.mosaics import write_mosaic


@pytest.mark.slow
def test_an_area_of_a_huge_mosaic(drawn: Drawn, tmp_path: Path) -> None:
    mosaic = write_mosaic(tmp_path / "mosaic.vrt", drawn.scene, shape=(1_000_000, 1_000_000), at=(600_000, 600_000))
    area = pixel_box(5, 5, 120, 170)
    adapted = gdl.adapt(mosaic, drawn.polygons, aoi=area, **SMALL)
    with pytest.warns(gdl.GeoDeepLabWarning, match="cropped to the area of interest, 170 × 120 px"):
        adapted.segment(label_raster=tmp_path / "a.tif", aoi=area)
    with rasterio.open(tmp_path / "a.tif") as src:
        assert (src.read(1) == drawn.truth[5:125, 5:175] + 1).mean() > 0.85
    assert len(adapted.ground) > 100, "tiles of the area stand for the ground, which are nearly all of the mosaic empty"
    with pytest.raises(gdl.OptionError, match="`aoi=`, too"):
        gdl.adapt(drawn.scene, drawn.polygons, crop=True, **SMALL)


def test_tiles_are_spread_over_a_block() -> None:
    lattice = Lattice(shape=(10_000, 20_000), tile_size=128, overlap=32)
    block = Shard(row_start=5000, row_stop=7000, col_start=9000, col_stop=9100)
    rows, cols = lattice.touching(block)
    found = spread_tiles(lattice, block, 5)
    assert 1 < len(found) < len(rows) * len(cols)
    assert all(tile.row in rows and tile.col in cols for tile in found)
    assert len(np.unique([tile.row for tile in found])) > 1
    few = Shard(row_start=300, row_stop=301, col_start=300, col_stop=301)
    assert len(spread_tiles(lattice, few, 9)) == len(lattice.touching(few)[0]) * len(lattice.touching(few)[1])
