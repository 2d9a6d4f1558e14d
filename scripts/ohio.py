"""NAIP imagery of southern Ohio with hand-drawn labels as training data: its chips as mosaics, split by area.

Imagery USDA NAIP, public domain; labels by yinx111 (2025), which ask to be named and state no licence. The set is not
part of the project. Chips of 256 px lie on a lattice, in areas kilometres apart; neighbours touch, so chips at random
would leak.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import label
from shapely.geometry import shape

from aerial_data import CLASSES as MODEL_CLASSES

SIDE, GSD_M = 256, 0.6
"""Of a chip in pixels, and of a pixel in metres."""
BANDS = ("red", "green", "blue", "nir")
CLASSES = ("other", "building", "road", "bare", "trees", "water")
"""Names of the values 0, 1, ... of the label files; `other` is grass."""
AS_LANDCOVER = {
    "other": "vegetation",
    "building": "building",
    "road": "road",
    "bare": "land",
    "trees": "vegetation",
    "water": "water",
}
"""What the classes are among those of `landcover-aerial`."""
SELECT_AREAS, REPORT_AREAS = ("36087", "39813"), ("38296",)
"""Areas, by the smallest number of their chips, that choose the epoch and that are reported; both have all classes."""
SOURCE = "imagery: USDA NAIP, public domain; labels: yinx111 (2025), to be named, without a licence"

Place = tuple[int, int]
"""Row, from north to south, and column of a chip on the lattice."""


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """Chips side by side."""

    image: NDArray[np.uint8]
    """(4, H, W), 0 between chips."""
    ids: NDArray[np.uint8]
    """(H, W): 1 + the value of the label files, 0 between chips."""
    crs: str
    """Of the transform."""
    transform: Affine
    """From pixel corners to `crs`."""


def find_chips(data: Path) -> dict[Place, Path]:
    """Find the chips by their places.

    Raises:
        FileNotFoundError: if the folder has none.
    """
    places: dict[Place, Path] = {}
    for path in sorted((data / "images").glob("*.tif")):
        with rasterio.open(path) as src:
            north, west = src.transform.f, src.transform.c
        places[round(-north / SIDE / GSD_M), round(west / SIDE / GSD_M)] = path
    if not places:
        raise FileNotFoundError(f"{data} has no chips in images/*.tif")
    return places


def find_areas(places: dict[Place, Path], *, corners: bool = True) -> list[list[Place]]:
    """Group the chips that touch, at corners too or at edges alone; the largest group first."""
    origin = np.min(list(places), axis=0)
    taken = np.zeros(np.max(list(places), axis=0) - origin + 1, dtype=np.bool_)
    for place in places:
        taken[tuple(place - origin)] = True
    groups, _ = label(taken, structure=np.ones((3, 3)) if corners else None)
    areas: dict[int, list[Place]] = {}
    for place in places:
        areas.setdefault(int(groups[tuple(place - origin)]), []).append(place)
    return sorted(areas.values(), key=len, reverse=True)


def name_area(places: dict[Place, Path], area: Sequence[Place]) -> str:
    """Give the smallest number of an area's chips."""
    return min(places[place].stem.split("_")[-1] for place in area)


def read_mosaic(places: dict[Place, Path], area: Sequence[Place]) -> Mosaic:
    """Read the chips of an area side by side."""
    first, last = np.min(area, axis=0), np.max(area, axis=0)
    height, width = SIDE * (last - first + 1)
    image, ids = np.zeros((len(BANDS), height, width), np.uint8), np.zeros((height, width), np.uint8)
    for place in area:
        top, left = SIDE * (np.array(place) - first)
        window = slice(top, top + SIDE), slice(left, left + SIDE)
        path = places[place]
        with rasterio.open(path) as src, rasterio.open(path.parents[1] / "labels" / path.name) as labels:
            image[:, *window], ids[window] = src.read(), labels.read(1) + 1
            row, col = np.array(place) - first
            transform = src.transform @ Affine.translation(-SIDE * col, -SIDE * row)
            crs = src.crs.to_string()
    return Mosaic(image=image, ids=ids, crs=crs, transform=transform)


def write_areas(data: Path, folder: Path) -> dict[str, tuple[Path, Path]]:
    """Write each area's red, green and blue and its labels (ids of `landcover-aerial`) as GeoTIFFs, unless there."""
    places = find_chips(data)
    number = {name: index for index, name in enumerate(MODEL_CLASSES, start=1)}
    ids = np.array([0, *(number[AS_LANDCOVER[name]] for name in CLASSES)], dtype=np.uint8)
    pairs = {}
    for area in find_areas(places):
        name = name_area(places, area)
        scene_path, labels_path = folder / f"ohio{name}.tif", folder / f"ohio{name}-labels.tif"
        if not labels_path.exists():
            found = read_mosaic(places, area)
            layout = {"driver": "GTiff", "dtype": "uint8", "tiled": True, "compress": "deflate", "nodata": 0}
            layout |= {"crs": found.crs, "transform": found.transform}
            layout |= dict(zip(("height", "width"), found.ids.shape, strict=True))
            folder.mkdir(parents=True, exist_ok=True)
            with rasterio.open(scene_path, "w", count=3, photometric="rgb", **layout) as dst:
                dst.write(np.where(found.ids > 0, np.maximum(found.image[:3], 1), 0).astype(np.uint8))
            with rasterio.open(labels_path, "w", count=1, **layout) as dst:
                dst.write(ids[found.ids], 1)
        pairs[name] = scene_path, labels_path
    return pairs


def write_buildings(labels: Iterable[Path], dst_path: Path) -> Path:
    """Write the buildings of label rasters of `write_areas` as one layer of polygons, unless it is there."""
    if not dst_path.exists():
        building, found = list(MODEL_CLASSES).index("building") + 1, []
        for path in labels:
            with rasterio.open(path) as src:
                ids, crs = src.read(1), src.crs
                found += [shape(one) for one, _ in shapes(ids, mask=ids == building, transform=src.transform)]
        gpd.GeoDataFrame(geometry=found, crs=crs).to_file(dst_path)
    return dst_path
