"""Show XYZ map tiles (`NAME-x-y-z.png`, Web Mercator) as georeferenced mosaics, without copying a pixel.

    python benchmarks/xyz_mosaic.py ../shared/data/buildings/zanzibar --zoom 21 --out out

Each block of tiles that touch becomes one VRT, named after the folder. The georeference comes from the tile names: the
world is a square of 2^z × 2^z tiles, x to the east, y to the south
(https://wiki.openstreetmap.org/wiki/Slippy_map_tilenames).
"""

import argparse
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import rasterio
from affine import Affine
from PIL import Image

TILE_NAME = re.compile(r"-(\d+)-(\d+)-(\d+)\.(?:png|jpg|jpeg)$")
TILE_PIXELS = 256
HALF_WORLD_M = math.pi * 6_378_137.0
BANDS = ("Red", "Green", "Blue")

Tiles = Mapping[tuple[int, int], Path]
"""The file at each (x, y) of one zoom level."""


def find_tiles(folder: Path, zoom: int) -> dict[tuple[int, int], Path]:
    """Find the tiles of a zoom level in a folder."""
    found = {}
    for path in sorted(folder.iterdir()):
        match = TILE_NAME.search(path.name)
        if match and int(match[3]) == zoom:
            found[int(match[1]), int(match[2])] = path.resolve()
    return found


def iter_blocks(tiles: Tiles) -> Iterator[dict[tuple[int, int], Path]]:
    """Yield the groups of tiles that touch at an edge, the largest first."""
    left, blocks = dict(tiles), []
    while left:
        todo, block = [next(iter(left))], {}
        while todo:
            x, y = place = todo.pop()
            if place in left:
                block[place] = left.pop(place)
                todo += [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]
        blocks.append(block)
    yield from sorted(blocks, key=len, reverse=True)


def tile_transform(x: int, y: int, zoom: int, side: int = TILE_PIXELS) -> Affine:
    """Give the transform from the pixel corners of a tile of `side` × `side` pixels to EPSG:3857."""
    res = 2 * HALF_WORLD_M / (side * 2**zoom)
    return Affine(res, 0, x * side * res - HALF_WORLD_M, 0, -res, HALF_WORLD_M - y * side * res)


def tile_side(tiles: Tiles) -> int:
    """Give the height and width in pixels of tiles, which are all alike."""
    with Image.open(next(iter(tiles.values()))) as example:
        return example.width


def write_vrt(tiles: Tiles, zoom: int, dst_path: Path) -> Path:
    """Write the VRT of a block of tiles; where a tile is missing it is nodata (0), otherwise nothing is."""
    xs, ys = zip(*tiles, strict=True)
    first_x, first_y = min(xs), min(ys)
    width, height = max(xs) - first_x + 1, max(ys) - first_y + 1
    side = tile_side(tiles)
    size = {"rasterXSize": str(width * side), "rasterYSize": str(height * side)}
    root = ElementTree.Element("VRTDataset", size)
    ElementTree.SubElement(root, "SRS").text = "EPSG:3857"
    geotransform = tile_transform(first_x, first_y, zoom, side).to_gdal()
    ElementTree.SubElement(root, "GeoTransform").text = ", ".join(map(repr, geotransform))
    for number, color in enumerate(BANDS, start=1):
        band = ElementTree.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(number))
        if len(tiles) < width * height:
            ElementTree.SubElement(band, "NoDataValue").text = "0"
        ElementTree.SubElement(band, "ColorInterp").text = color
        for (x, y), path in tiles.items():
            _add_source(band, path, number, x=(x - first_x) * side, y=(y - first_y) * side, side=side)
    ElementTree.ElementTree(root).write(dst_path, encoding="utf-8")
    return dst_path


def write_mosaics(folder: Path, zoom: int, out: Path) -> list[Path]:
    """Write one VRT for each block of tiles in a folder, the largest first.

    Raises:
        FileNotFoundError: if the folder holds no tile of that zoom level.
    """
    blocks = list(iter_blocks(find_tiles(folder, zoom)))
    if not blocks:
        raise FileNotFoundError(f"{folder} holds no tiles named NAME-x-y-{zoom}.png")
    out.mkdir(parents=True, exist_ok=True)
    return [
        write_vrt(block, zoom, out / f"{folder.name}-{zoom}-{number}.vrt")
        for number, block in enumerate(blocks, start=1)
    ]


def _add_source(band: ElementTree.Element, path: Path, number: int, *, x: int, y: int, side: int) -> None:
    """Show one band of a tile, its upper left pixel at (x, y)."""
    source = ElementTree.SubElement(band, "SimpleSource")
    ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(path)
    ElementTree.SubElement(source, "SourceBand").text = str(number)
    sides = {"RasterXSize": str(side), "RasterYSize": str(side), "DataType": "Byte"}
    ElementTree.SubElement(source, "SourceProperties", sides)  # saves opening every tile on opening the mosaic
    for name, left, top in (("SrcRect", 0, 0), ("DstRect", x, y)):
        size = {"xSize": str(side), "ySize": str(side)}
        ElementTree.SubElement(source, name, {"xOff": str(left), "yOff": str(top), **size})


def main() -> None:
    """Write the mosaics of a folder and say what they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--zoom", type=int, default=21)
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args()
    for path in write_mosaics(options.folder, options.zoom, options.out):
        with rasterio.open(path) as src:
            print(f"{path}: {src.width} × {src.height} px, {src.res[0]:.3f} m, {src.crs}")


if __name__ == "__main__":
    main()
