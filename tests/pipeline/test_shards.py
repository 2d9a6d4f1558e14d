"""The label raster in pieces under a VRT."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

import geodeeplab as gdl
from geodeeplab.models import Model
from geodeeplab.pipeline.executor import InThisProcess
from geodeeplab.raster import open_scene, read_classes

MakeRaster = Callable[..., Path]
Blocks = Callable[..., NDArray[np.uint8]]


def test_pieces_make_up_the_label_raster(
    make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geodeeplab.pipeline.running.PIECE_SIZE", 100)
    scene, whole, folder = make_raster(blocks(150, 230), photometric="rgb"), tmp_path / "a.tif", tmp_path / "pieces"
    done = gdl.segment(scene, label_raster=whole, shards=folder, model=tiny, tile_size=64)
    tiles = sorted(path.name for path in folder.glob("*.tif"))
    assert len(tiles) == 2 * 3
    assert tiles[-1] == "labels_0000100_0000200.tif"
    moved = folder.rename(tmp_path / "elsewhere")
    with (
        rasterio.open(whole) as one,
        rasterio.open(moved / "labels.vrt") as vrt,
        open_scene(moved / "labels.vrt", allow_palette=True) as labels,
    ):
        assert np.array_equal(vrt.read(1), one.read(1))
        assert (vrt.transform, vrt.crs, vrt.nodata) == (one.transform, one.crs, one.nodata)
        assert vrt.colormap(1)[1] == one.colormap(1)[1]
        assert read_classes(labels)
        with rasterio.open(moved / tiles[-1]) as piece:
            assert np.array_equal(piece.read(1), one.read(1)[100:, 200:])
            assert piece.transform == one.transform @ rasterio.Affine.translation(200, 100)
    assert done.label_raster_path == whole


def test_columns_are_pieces(make_raster: MakeRaster, blocks: Blocks, tiny: Model, tmp_path: Path) -> None:
    scene = make_raster(blocks(80, 230), photometric="rgb")
    done = gdl.segment(scene, shards=tmp_path / "a", model=tiny, tile_size=64, executor=InThisProcess(memory_limit=1))
    assert done.facts["shards"] == len(list((tmp_path / "a").glob("*.tif"))) > 2
    with pytest.raises(gdl.OutputError, match=r"labels\.vrt exists: pass `overwrite=True`"):
        gdl.segment(scene, shards=tmp_path / "a", model=tiny)
