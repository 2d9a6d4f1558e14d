"""Objects that touch, told apart and squared, have no faults; runs of a network do so in `test_instances`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
import shapely.affinity
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage

import geodeeplab as gdl

MakeRaster = Callable[..., Path]
Bytes = NDArray[np.uint8]


def draw_terraces(seed: int) -> tuple[Bytes, Bytes]:
    """Draw labels and boundaries (1, H, W) of four turned rows of touching houses, whose party walls are torn."""
    random = np.random.default_rng(seed)
    objects = np.zeros((340, 340), np.int32)
    for place in range(4):
        x, y, angle = 85.0 + 170 * (place % 2), 85.0 + 170 * (place // 2), random.uniform(0, 90)
        houses = [shapely.box(x - 60 + 20 * k, y - 15 - 3 * (k % 2), x - 40 + 20 * k, y + 15) for k in range(6)]
        turned = [shapely.affinity.rotate(house, angle, origin=(x, y)) for house in houses]
        rasterize([(house, 6 * place + k + 1) for k, house in enumerate(turned)], out=objects)
    is_edge = np.zeros(objects.shape, bool)
    down, across = np.diff(objects, axis=0) != 0, np.diff(objects, axis=1) != 0
    is_edge[1:] |= down
    is_edge[:-1] |= down
    is_edge[:, 1:] |= across
    is_edge[:, :-1] |= across
    noise = ndimage.gaussian_filter(random.standard_normal(objects.shape), 3)
    logit = 3 - 1.5 * ndimage.distance_transform_edt(~is_edge) + 2 * noise / noise.std()
    return (objects > 0)[None].astype(np.uint8), (255 / (1 + np.exp(-logit)))[None].astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_squared_terraces_have_no_faults(make_raster: MakeRaster, tmp_path: Path, seed: int) -> None:
    labels, boundary = draw_terraces(seed)
    rasters = make_raster(labels, "labels.tif"), make_raster(boundary, "boundary.tif")
    path = tmp_path / "a.gpkg"
    options = gdl.PolygonOptions(tolerance_px=1.5, instances=(1,), square=(1,))
    squared = gdl.vectorize(rasters[0], path, options, boundary=rasters[1]).polygons
    assert set(gdl.check(path, gap_width="all").to_dict()["kinds"]) <= {"no class"}  # the raster names none
    options = gdl.PolygonOptions(tolerance_px=1.5, instances=(1,))
    plain = gdl.vectorize(rasters[0], tmp_path / "b.gpkg", options, boundary=rasters[1]).polygons
    assert len(squared) == len(plain)
    changed = {one.wkb for one in squared.geometry} - {one.wkb for one in plain.geometry}
    assert len(changed) > len(plain) / 4
