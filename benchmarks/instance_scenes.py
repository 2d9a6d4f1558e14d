"""Scenes of `instances.py`: a drawn town of any size, and true outlines with boundaries made of them."""

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.windows import Window

SIDE = 2048
"""Of the part of the town that is repeated."""
BAND_ROWS = 2048
HALF_EARTH_M = 20_037_508.342789244
SCENES = {"banepa": (19, 512, None), "kampala": (21, 256, (1_238_448, 1_046_528))}
"""Zoom of the map's tiles, pixels of their sides, and the least column and row of those that hang together."""


def draw_town(folder: Path, shape: tuple[int, int]) -> None:
    """Write `labels.tif` and `boundary.tif` of a town (H, W): rows of touching houses, roads, yards."""
    labels, boundary = _draw_quarter(np.random.default_rng(0))
    height, width = shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    profile |= {"transform": from_origin(500_000, 5_000_000, 0.5, 0.5), "compress": "deflate", "tiled": True}
    across = -(-width // SIDE)
    for name, quarter in (("labels", labels), ("boundary", boundary)):
        rows = np.ascontiguousarray(np.tile(quarter, (1, across))[:, :width])
        with rasterio.open(folder / f"{name}.tif", "w", zlevel=1, **profile) as dst:
            for top in range(0, height, BAND_ROWS):
                n = min(BAND_ROWS, height - top)
                dst.write(rows[:n], 1, window=Window(0, top, width, n))


def _draw_quarter(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw SIDE × SIDE px: terraces 16 to 40 px deep, of houses 10 to 40 px wide, a seventh of the plots empty."""
    labels, houses = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.int32)
    row, count = 0, 0
    while row < SIDE:
        depth, col = int(rng.integers(16, 41)), 0
        while col < SIDE:
            wide = int(rng.integers(10, 41))
            if rng.random() > 1 / 7:
                count += 1
                houses[row : row + depth, col : col + wide] = count
            col += wide
        row += depth
        if rng.random() < 0.5:
            labels[row : row + 8] = 2
            row += 8
    labels[houses > 0] = 1
    return labels, make_boundary(houses, width=2.0, noise=1.0, shift_px=0.0)


def open_outlines(data: Path, place: str) -> NDArray[np.int32]:
    """Burn the outlines of a place onto the pixels of its map tiles: (H, W), 0 where there is no building."""
    zoom, side, first = SCENES[place]
    names = [re.findall(rf"OAM-(\d+)-(\d+)-{zoom}\.png", path.name) for path in (data / place).glob("*.png")]
    tiles = np.array([[int(number) for number in found[0]] for found in names if found])
    if first is not None:
        tiles = tiles[(tiles >= first).all(1)]
    (left, top), (right, bottom) = tiles.min(0), tiles.max(0) + 1
    tile_m = 2 * HALF_EARTH_M / 2**zoom
    transform = from_origin(left * tile_m - HALF_EARTH_M, HALF_EARTH_M - top * tile_m, tile_m / side, tile_m / side)
    outlines = gpd.read_file(data / place / "labels.geojson").to_crs(3857).geometry
    shapes = zip(shapely.make_valid(outlines.values), range(1, len(outlines) + 1), strict=True)
    shape = int((bottom - top) * side), int((right - left) * side)
    burnt: NDArray[np.int32] = rasterize(shapes, out_shape=shape, transform=transform, dtype="int32")
    return burnt


def make_boundary(
    objects: NDArray[np.int32], *, width: float, noise: float, shift_px: float = 1.0
) -> NDArray[np.uint8]:
    """Give 255 × the probability (H, W) of a boundary, as a network may see it.

    Args:
        objects: (H, W).
        width: pixels from an edge at which the probability is a half.
        noise: standard deviation of smooth noise on the logit, which is 3 on the edges.
        shift_px: standard deviation of the edges' shift.
    """
    from scipy import ndimage

    rng = np.random.default_rng(1)
    is_edge = np.zeros(objects.shape, bool)
    down, across = np.diff(objects, axis=0) != 0, np.diff(objects, axis=1) != 0
    for part in (is_edge[1:], is_edge[:-1]):
        part |= down
    for part in (is_edge[:, 1:], is_edge[:, :-1]):
        part |= across
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~is_edge)

    def smooth(sigma: float, spread: float) -> NDArray[np.float64]:
        field: NDArray[np.float64] = ndimage.gaussian_filter(rng.standard_normal(objects.shape), sigma)
        scaled: NDArray[np.float64] = field * (spread / field.std())
        return scaled

    if shift_px > 0:
        at = np.mgrid[: objects.shape[0], : objects.shape[1]] + np.stack([smooth(8, shift_px), smooth(8, shift_px)])
        distance = ndimage.map_coordinates(distance, at, order=1, mode="nearest")
    logit = 3 * (1 - distance / width) + smooth(3, noise)
    return np.round(255 / (1 + np.exp(-logit))).astype(np.uint8)
