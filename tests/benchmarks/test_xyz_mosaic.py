"""Mosaics of XYZ tiles lie where the tile names say."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning

from geodeeplab.raster import open_scene
from xyz_mosaic import HALF_WORLD_M, find_tiles, iter_blocks, tile_transform, write_mosaics


def write_tile(folder: Path, x: int, y: int, zoom: int) -> np.ndarray:
    image = np.random.default_rng(x * 1000 + y).integers(1, 255, (3, 256, 256), dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        path = folder / f"OAM-{x}-{y}-{zoom}.png"
        with rasterio.open(path, "w", driver="PNG", width=256, height=256, count=3, dtype="uint8") as dst:
            dst.write(image)
    return image


def test_tile_zero_is_the_world() -> None:
    transform = tile_transform(0, 0, 0)
    assert transform @ (0, 0) == pytest.approx((-HALF_WORLD_M, HALF_WORLD_M))
    assert transform @ (256, 256) == pytest.approx((HALF_WORLD_M, -HALF_WORLD_M))


def test_a_tile_lies_where_its_longitude_says() -> None:
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    lon, lat = to_degrees.transform(*tile_transform(3, 2, 2) @ (0, 0))
    assert (lon, lat) == pytest.approx((90, 0), abs=1e-9)


def test_blocks_become_mosaics_without_gaps_or_shifts(tmp_path: Path) -> None:
    tiles = {place: write_tile(tmp_path, *place, 12) for place in [(7, 4), (8, 4), (7, 5), (8, 5), (40, 40)]}
    write_tile(tmp_path, 7, 6, 13)  # another zoom level
    assert [len(block) for block in iter_blocks(find_tiles(tmp_path, 12))] == [4, 1]
    first, second = write_mosaics(tmp_path, 12, tmp_path / "out")
    with open_scene(first) as scene:
        assert (scene.shape, scene.crs.to_epsg()) == ((512, 512), 3857)  # type: ignore[union-attr]
        assert scene.transform.almost_equals(tile_transform(7, 4, 12))
        assert [band.name for band in scene.bands] == ["red", "green", "blue"]
        pixels = scene.read(rasterio.windows.Window(0, 0, 512, 512))
    rows = [np.concatenate([tiles[x, y] for x in (7, 8)], axis=2) for y in (4, 5)]
    np.testing.assert_array_equal(pixels.array, np.concatenate(rows, axis=1))
    assert pixels.valid.all()
    with open_scene(second) as scene:
        assert scene.shape == (256, 256)


def test_tiles_of_twice_the_pixels(tmp_path: Path) -> None:
    Image.fromarray(np.full((512, 512, 3), 9, np.uint8)).save(tmp_path / "a-7-4-12.png")
    with open_scene(write_mosaics(tmp_path, 12, tmp_path / "out")[0]) as scene:
        assert scene.shape == (512, 512)
        assert scene.transform.almost_equals(tile_transform(7, 4, 12) @ Affine.scale(0.5))
        assert (scene.read(rasterio.windows.Window(0, 0, 512, 512)).array == 9).all()


def test_a_missing_tile_is_nodata(tmp_path: Path) -> None:
    for place in [(0, 0), (1, 0), (1, 1)]:
        write_tile(tmp_path, *place, 5)
    (mosaic,) = write_mosaics(tmp_path, 5, tmp_path / "out")
    with open_scene(mosaic) as scene:
        valid = scene.read(rasterio.windows.Window(0, 0, 512, 512)).valid
    assert not valid[256:, :256].any()
    assert valid.sum() == 3 * 256 * 256


def test_no_tiles(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no tiles named"):
        write_mosaics(tmp_path, 5, tmp_path / "out")
