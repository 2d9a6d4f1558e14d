"""Label rasters of any size, the same for a seed whatever their bands of rows, streamed to tiled GeoTIFFs.

    python benchmarks/label_rasters.py landcover 4096x4096 labels.tif

| kind | what |
|---|---|
| landcover | 7 classes and nodata: fractal blobs, islands within islands, rivers, buildings, single pixels |
| noise | each pixel any of 7 classes |
| spiral | two arms of 4 px wound around each other: lines as long as can be |
| holes | one polygon whose every fourth pixel is a hole of nodata |
| checker | two classes in turns |

Sizes are HEIGHTxWIDTH. Pixels are 1 m in UTM zone 33; 0 is nodata. `landcover` at 4096x4096 has about 70,000 polygons
with 3.1 million vertices.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geodeeplab.raster import LabelClass, classes_tag
from label_kernels import add_octave, classify, draw_between, draw_buildings, speckle, wind_spiral

Labels = NDArray[np.uint8]

CRS = "EPSG:32633"
TRANSFORM = Affine(1, 0, 500_000, 0, -1, 5_100_000)
BLOCK = 512
STRIP_ROWS = 64
"""Rows whose noise is held at a time."""
WATER = 3
CLASSES = (
    LabelClass(id=1, name="grass", color=(151, 193, 107)),
    LabelClass(id=2, name="forest", color=(38, 106, 46)),
    LabelClass(id=WATER, name="water", color=(65, 124, 188)),
    LabelClass(id=4, name="crop", color=(226, 197, 84)),
    LabelClass(id=5, name="bare", color=(178, 148, 116)),
    LabelClass(id=6, name="paved", color=(120, 120, 124)),
    LabelClass(id=7, name="building", color=(196, 60, 54)),
)
LARGEST_CELL = 128
"""Features of the class fields, in pixels; each octave halves them, down to the smallest."""
SMALLEST_CELL = 4
GAIN = 0.835
"""Strength of an octave against the one before."""
SPECKLE = 0.0003
SLOW_CELLS = (1024, 256, 64, 16)
"""Features of the field whose lowest places are nodata, and whose level lines are rivers."""
NODATA_BELOW = -1.75
RIVERS_BETWEEN = (0.20, 0.24)
BUILDING_CELL = 48
SPIRAL_PITCH = 8.0


def main() -> None:
    """Write one raster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("shape", type=parse_shape, metavar="HEIGHTxWIDTH")
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    write_label_raster(options.output, options.kind, options.shape, seed=options.seed)
    print(f"{options.output}: {options.kind}, {time.perf_counter() - started:.1f} s")


def parse_shape(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH."""
    height, width = text.lower().split("x")
    return int(height), int(width)


def write_label_raster(path: Path, kind: str, shape: tuple[int, int], *, seed: int = 0) -> Path:
    """Write a label raster (H, W) as a tiled GeoTIFF with a colour table; memory is a few rows of blocks."""
    height, width = shape
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": height, "width": width, "nodata": 0}
    layout = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate", "zlevel": 1}
    with rasterio.open(
        path, "w", crs=CRS, transform=TRANSFORM, bigtiff="if_safer", num_threads="all_cpus", **profile, **layout
    ) as dst:
        dst.write_colormap(1, {0: (0, 0, 0, 0)} | {one.id: (*one.color, 255) for one in CLASSES})
        dst.update_tags(**classes_tag(CLASSES))
        row = 0
        for rows in iter_label_rows(kind, shape, seed=seed, band_rows=BLOCK):
            dst.write(rows, 1, window=rasterio.windows.Window(0, row, width, len(rows)))
            row += len(rows)
    return path


def iter_label_rows(
    kind: str, shape: tuple[int, int], *, seed: int = 0, band_rows: int = BLOCK, threads: int = 2
) -> Iterator[Labels]:
    """Yield the rows of a label raster (H, W) from the top in bands (n, W), drawn ahead in threads.

    Law: what is yielded does not depend on `band_rows` or `threads`.
    """
    height, width = shape
    draw = partial(KINDS[kind], shape=shape, seed=seed)
    edges = [*range(0, height, band_rows), height]
    with ThreadPoolExecutor(threads) as pool:
        ahead = []
        for first, stop in pairwise(edges):
            out = np.empty((stop - first, width), np.uint8)
            ahead.append(pool.submit(draw, out, first))
            if len(ahead) > threads:
                yield ahead.pop(0).result()
        for future in ahead:
            yield future.result()


# ---------------------------------------------------------------------------------------------------------------------
# Kinds: each fills rows (n, W) of a raster from `first_row` on, and gives them


def draw_landcover(out: Labels, first_row: int, *, shape: tuple[int, int], seed: int) -> Labels:
    """Draw land cover: classes are regions in the plane of two fractal fields, so that three meet at a point."""
    base = 1000 * (seed + 1)
    cells = [LARGEST_CELL >> octave for octave in range((LARGEST_CELL // SMALLEST_CELL).bit_length())]
    weights = GAIN ** np.arange(len(cells))
    weights /= np.linalg.norm(weights)
    for start in range(0, len(out), STRIP_ROWS):
        strip, row = out[start : start + STRIP_ROWS], first_row + start
        fields = np.zeros((3, *strip.shape), np.float32)
        for octave, cell in enumerate(cells):
            for number in (0, 1):
                add_octave(fields[number], row, cell, float(weights[octave]), base + 100 * number + octave)
        for octave, cell in enumerate(SLOW_CELLS):
            add_octave(fields[2], row, cell, 0.86 * 0.5**octave, base + 200 + octave)
        classify(fields[0], fields[1], _class_seeds(), strip)
        draw_between(strip, fields[2], *RIVERS_BETWEEN, WATER)
        draw_buildings(strip, row, BUILDING_CELL, len(CLASSES), base + 300)
        speckle(strip, row, SPECKLE, len(CLASSES), base + 400)
        draw_between(strip, fields[2], -np.inf, NODATA_BELOW, 0)
    return out


def _class_seeds() -> NDArray[np.float32]:
    """Give where the classes lie in the plane of the two fields, (6, 2): one in the middle, the others around it."""
    angles = np.linspace(0, 2 * np.pi, len(CLASSES) - 2, endpoint=False)
    around = 1.2 * np.column_stack((np.cos(angles), np.sin(angles)))
    return np.vstack(((0, 0), around)).astype(np.float32)


def draw_noise(out: Labels, first_row: int, *, shape: tuple[int, int], seed: int) -> Labels:
    """Draw each pixel as any class."""
    speckle(out, first_row, 1.0, len(CLASSES), 1000 * (seed + 1))
    return out


def draw_spiral(out: Labels, first_row: int, *, shape: tuple[int, int], seed: int) -> Labels:
    """Wind the arms around the middle."""
    wind_spiral(out, first_row, shape[0] / 2, shape[1] / 2, SPIRAL_PITCH)
    return out


def draw_holes(out: Labels, first_row: int, *, shape: tuple[int, int], seed: int) -> Labels:
    """Punch holes at odd rows and odd columns that are not at the edge."""
    out[:] = 1
    rows = np.arange(first_row, first_row + len(out))
    out[np.ix_((rows % 2 == 1) & (rows < shape[0] - 1), np.arange(1, shape[1] - 1, 2))] = 0
    return out


def draw_checker(out: Labels, first_row: int, *, shape: tuple[int, int], seed: int) -> Labels:
    """Draw a chess board."""
    rows = np.arange(first_row, first_row + len(out))[:, None]
    out[:] = 1 + (rows + np.arange(shape[1])) % 2
    return out


KINDS: dict[str, Callable[..., Labels]] = {
    "landcover": draw_landcover,
    "noise": draw_noise,
    "spiral": draw_spiral,
    "holes": draw_holes,
    "checker": draw_checker,
}


if __name__ == "__main__":
    main()
