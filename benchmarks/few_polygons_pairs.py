"""Labelled scenes of several kinds, a few polygons of each as an analyst would draw them, and the rest as truth.

None of the sets is part of the project. Around each of N random pixels of every class the pixels of that class within
18 px become polygons; their ground is 0 in the truth, so nothing that was drawn is scored.
"""

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize, shapes
from rasterio.warp import reproject
from scipy.ndimage import label, maximum_filter, minimum_filter
from shapely.geometry import shape

from xyz_mosaic import find_tiles, iter_blocks, tile_side, tile_transform

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import ohio
from aerial_data import CLASSES as DUBAI_CLASSES
from aerial_data import IGNORE, join_parts, read_dubai_parts
from dubai import CRS as ANY_CRS

CELL, REACH = 4, 4
"""A class is looked at every `CELL` px, and a polygon reaches `REACH` such cells in every direction: 36 px at most."""
CROP = 1600
"""Pixels along each axis of scenes that would be larger for nothing: the upper left ones."""
LEAST_SHARE, MOST_DRAWN = 0.01, 0.5
"""A class is left out that has less of the labelled ground, or more of whose own ground would be drawn."""
CLASS_FIELD = "class_name"
ZION_CLASSES = ("water", "developed", "barren", "forest", "shrubland", "herbaceous", "cultivated", "wetlands")
WORLDCOVER = {10: "trees", 20: "shrub", 30: "grass", 40: "crop", 50: "built", 60: "bare", 80: "water", 90: "wetland"}
HLS_BANDS = ("coastal", "blue", "green", "red", "nir", "swir1", "swir2")
HLS_CHIPS = 6
"""Chips along each axis of the mosaic."""
MOST_FLOODED, MOST_BRIGHT = 0.01, 0.005
"""Shares of a chip that is still taken: water (NDWI > 0) where the labels have none, and clouds (blue > 0.25)."""


@dataclass(frozen=True, kw_only=True)
class LabelledScene:
    """An image and the class of its pixels."""

    image: NDArray[np.integer]
    """(C, H, W)."""
    bands: tuple[str, ...]
    """C names."""
    ids: NDArray[np.uint8]
    """(H, W) from 1; 0 where nothing is labelled."""
    classes: tuple[str, ...]
    """Names of the ids from 1."""
    crs: str
    """Of the transform; any where the set has none."""
    transform: Affine
    """From pixel corners to `crs`."""
    nodata: float | None = None
    """Value of pixels without data."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Polygons as pixels, and what is left to score."""

    polygons: NDArray[np.uint8]
    """(H, W) ids of the classes drawn, 0 elsewhere."""
    truth: NDArray[np.uint8]
    """(H, W) ids, 0 where there is none and where polygons are."""
    ids: tuple[int, ...]
    """Of the classes that remain."""
    notes: tuple[str, ...]
    """Why others do not."""


# ---------------------------------------------------------------------------------------------------------------------
# Sets


def read_dubai(data: Path, tile: int) -> LabelledScene:
    """Read the upper left of a tile of the Dubai set: aerial photograph of about 1 m, five classes."""
    image, labels = (one[..., :CROP, :CROP] for one in join_parts(read_dubai_parts(data / "dubai", tile)))
    return LabelledScene(
        image=image,
        bands=("red", "green", "blue"),
        ids=np.where(labels == IGNORE, 0, labels + 1).astype(np.uint8),
        classes=tuple(DUBAI_CLASSES),
        crs=ANY_CRS,
        transform=Affine(1, 0, 500_000, 0, -1, 1_000_000 + 100_000 * tile),
    )


def read_zion(data: Path) -> LabelledScene:
    """Read a Landsat scene of four bands, with NLCD warped onto its grid by nearest neighbour."""
    paths = [data / "zion" / f"landsat_b{number}.tif" for number in (2, 3, 4, 5)]
    with rasterio.open(paths[0]) as src, rasterio.open(data / "zion" / "nlcd.tif") as nlcd:
        ids = np.zeros(src.shape, dtype=np.uint8)
        reproject(rasterio.band(nlcd, 1), ids, dst_transform=src.transform, dst_crs=src.crs, dst_nodata=0)
        crs, transform, nodata = src.crs.to_string(), src.transform, src.nodata
    return LabelledScene(
        image=np.stack([_read(path)[0] for path in paths]),
        bands=("blue", "green", "red", "nir"),
        ids=np.where(ids <= len(ZION_CLASSES), ids, 0).astype(np.uint8),
        classes=ZION_CLASSES,
        crs=crs,
        transform=transform,
        nodata=nodata,
    )


def read_ohio(data: Path) -> LabelledScene:
    """Read the largest block of chips that touch at edges: NAIP, 0.6 m, four bands; nodata where no chip is."""
    chips = ohio.find_chips(data / "ohio")
    found = ohio.read_mosaic(chips, ohio.find_areas(chips, corners=False)[0])
    return LabelledScene(
        image=found.image,
        bands=ohio.BANDS,
        ids=found.ids,
        classes=ohio.CLASSES,
        crs=found.crs,
        transform=found.transform,
        nodata=0,
    )


def read_hls30(data: Path) -> LabelledScene:
    """Read a mosaic of chips, one of each site, neither flooded nor cloudy: Landsat and Sentinel-2, seven bands.

    Chips of different places touch here: more varied ground than a scene has.
    """
    folder, side = data / "hls30", 128
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for site in json.loads((folder / "sites.json").read_text()):
        for chip in site:
            path = folder / "images" / f"{chip}.tif"
            if not path.exists() or len(images) == HLS_CHIPS**2:
                continue
            image = _read(path)[:7]
            cover = np.asarray(Image.open(folder / "worldcover" / f"{chip}.png"))
            green, nir = image[2].astype(np.float64), image[4].astype(np.float64)
            flooded, bright = (green > nir) & (cover != 80), image[1] > 2500
            if flooded.mean() < MOST_FLOODED and bright.mean() < MOST_BRIGHT:
                images.append(image)
                labels.append(cover)
                break
    rows = range(0, HLS_CHIPS**2, HLS_CHIPS)
    mosaic = np.concatenate([np.concatenate(images[row : row + HLS_CHIPS], axis=2) for row in rows], axis=1)
    cover = np.concatenate([np.concatenate(labels[row : row + HLS_CHIPS], axis=1) for row in rows])
    ids = np.zeros(cover.shape, dtype=np.uint8)
    for number, value in enumerate(WORLDCOVER, start=1):
        ids[cover == value] = number
    assert list(ids.shape) == [HLS_CHIPS * side] * 2, "chips are squares of one size"
    return LabelledScene(
        image=mosaic,
        bands=HLS_BANDS,
        ids=ids,
        classes=tuple(WORLDCOVER.values()),
        crs=ANY_CRS,
        transform=Affine(30, 0, 500_000, 0, -30, 1_000_000),
    )


def read_buildings(data: Path, place: str, zoom: int) -> LabelledScene:
    """Read the upper left of a place's largest block of XYZ tiles, with outlines burnt: buildings and the rest."""
    tiles = next(iter_blocks(find_tiles(data / "buildings" / place, zoom)))
    xs, ys = ([place[axis] for place in tiles] for axis in (0, 1))
    side = tile_side(tiles)
    image = np.zeros((3, side * (max(ys) - min(ys) + 1), side * (max(xs) - min(xs) + 1)), dtype=np.uint8)
    there = np.zeros(image.shape[1:], dtype=np.bool_)
    for (x, y), path in tiles.items():
        top, left = side * (y - min(ys)), side * (x - min(xs))
        image[:, top : top + side, left : left + side] = _read(path)[:3]
        there[top : top + side, left : left + side] = True
    transform = tile_transform(min(xs), min(ys), zoom, side)
    outlines = gpd.read_file(data / "buildings" / place / "labels.geojson").to_crs(3857).geometry
    burnt = rasterize(outlines.make_valid(), out_shape=there.shape, transform=transform, dtype=np.uint8)
    ids = np.where(there, np.where(burnt > 0, 1, 2), 0).astype(np.uint8)
    return LabelledScene(
        image=image[:, :CROP, :CROP],
        bands=("red", "green", "blue"),
        ids=ids[:CROP, :CROP],
        classes=("building", "other"),
        crs="EPSG:3857",
        transform=transform,
        nodata=None if there[:CROP, :CROP].all() else 0,
    )


def _read(path: Path) -> NDArray[np.integer]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as src:
            found: NDArray[np.integer] = src.read()
    return found


SETS: dict[str, Callable[[Path], LabelledScene]] = {
    **{f"dubai{tile}": lambda data, tile=tile: read_dubai(data, tile) for tile in (2, 4, 5, 6, 7, 8)},  # type: ignore[misc]
    "zion": read_zion,
    "hls30": read_hls30,
    "ohio": read_ohio,
    "banepa": lambda data: read_buildings(data, "banepa", 19),
    "kampala": lambda data: read_buildings(data, "kampala", 21),
}
"""What reads each set, given the folder of all."""


# ---------------------------------------------------------------------------------------------------------------------
# Polygons


def draw_polygons(scene: LabelledScene, count: int, *, seed: int, inset: int = 0) -> Drawn:
    """Draw `count` little polygons of every class, those that come to lie on each other's ground being one.

    Laws: polygons lie on ground of their class, more than `inset` pixels (along rows and columns) from any other; where
    they are, truth is 0; the same seed gives the same ones. A class is left out, of polygons and truth, that has fewer
    places than `count`, less than `LEAST_SHARE` of the labelled ground, or more than `MOST_DRAWN` of itself drawn.
    """
    ids = scene.ids
    inner = _inner(ids, inset)
    coarse = inner[::CELL, ::CELL]
    cells, random = np.zeros_like(coarse), np.random.default_rng(seed)
    for number in range(1, len(scene.classes) + 1):
        rows, cols = np.nonzero(coarse == number)
        for i in random.choice(len(rows), min(count, len(rows)), replace=False):
            near = tuple(slice(max(0, at - REACH), at + REACH + 1) for at in (rows[i], cols[i]))
            cells[near] = np.where(coarse[near] == number, number, cells[near])
    touched = cells.repeat(CELL, axis=0).repeat(CELL, axis=1)[: ids.shape[0], : ids.shape[1]]
    polygons, truth = np.where(touched == inner, touched, 0), np.where(touched > 0, 0, ids)
    sizes = [np.bincount(one.ravel(), minlength=len(scene.classes) + 1)[1:] for one in (ids, polygons, coarse)]
    kept, notes = [], []
    for number, (name, ground, drawn, places) in enumerate(zip(scene.classes, *sizes, strict=True), start=1):
        if not ground:
            continue
        share = ground / max(1, np.count_nonzero(ids))
        if places >= count and share >= LEAST_SHARE and drawn <= MOST_DRAWN * ground:
            kept.append(number)
        else:
            notes.append(f"{name} is left out ({share:.2%} of the ground, {drawn / ground:.0%} of it would be drawn)")
    polygons, truth = (np.where(np.isin(one, kept), one, 0).astype(np.uint8) for one in (polygons, truth))
    return Drawn(polygons=polygons, truth=truth, ids=tuple(kept), notes=tuple(notes))


def _inner(ids: NDArray[np.uint8], inset: int) -> NDArray[np.uint8]:
    """Give ids (H, W), 0 where another lies within `inset` pixels along rows and columns."""
    side = 2 * inset + 1
    alike = minimum_filter(ids, size=side, mode="nearest") == maximum_filter(ids, size=side, mode="nearest")
    return np.where(alike, ids, np.uint8(0))


# ---------------------------------------------------------------------------------------------------------------------
# Files


def write_scene(scene: LabelledScene, dst_path: Path) -> Path:
    """Write the image as a GeoTIFF with named bands."""
    dst_path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = scene.image.shape
    layout = {"driver": "GTiff", "dtype": scene.image.dtype.name, "tiled": True, "compress": "deflate"}
    layout |= {"crs": scene.crs, "transform": scene.transform, "nodata": scene.nodata}
    rgb = {"photometric": "rgb"} if scene.bands[:3] == ("red", "green", "blue") else {}
    with rasterio.open(dst_path, "w", count=count, height=height, width=width, **layout, **rgb) as dst:
        dst.write(scene.image)
        dst.descriptions = scene.bands
    return dst_path


def write_polygons(scene: LabelledScene, polygons: NDArray[np.uint8], dst_path: Path) -> Path:
    """Write polygons, ids (H, W), as a GeoPackage with `CLASS_FIELD`."""
    dst_path.parent.mkdir(parents=True, exist_ok=True)
    found = list(shapes(polygons, mask=polygons > 0, transform=scene.transform))
    names = [scene.classes[int(value) - 1] for _, value in found]
    geometry = [shape(one) for one, _ in found]
    gpd.GeoDataFrame({CLASS_FIELD: names}, geometry=geometry, crs=scene.crs).to_file(dst_path, layer="few")
    return dst_path


def number_polygons(polygons: NDArray[np.uint8], ids: Sequence[int]) -> NDArray[np.int32]:
    """Number the polygons of a map of ids (H, W) from 1, as `write_polygons` parts them; 0 elsewhere."""
    numbers = np.zeros(polygons.shape, dtype=np.int32)
    for one in ids:
        found, _ = label(polygons == one)
        numbers[found > 0] = found[found > 0] + numbers.max()
    return numbers
