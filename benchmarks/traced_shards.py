"""What it saves the client that Dask workers trace their shards: its processor time and the bytes that travel.

    python benchmarks/traced_shards.py [--kind landcover] [--size 4096] [--shard 2048] [--tolerance-px 1] [--rounds 5]

A label raster of `label_rasters.py`, with a confidence of smooth noise, is cut into shards and put into a spool as
workers' blocks come. Then polygons are written twice in turn: from the rows, and from what workers have traced. Seconds
are processor time of all threads of this process, medians; the work of the workers is stated beside.
"""

import argparse
import tempfile
import threading
import time
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from geodeeplab.pipeline.polygon_options import PolygonOptions
from geodeeplab.pipeline.polygon_writer import TracedParts, follow_bands
from geodeeplab.pipeline.polygons import plan_polygons
from geodeeplab.raster import BlockSpool, Grid, SpoolLayer, encode_block
from geodeeplab.tiling import Shard
from geodeeplab.vector import LabelRows, PackedBlock, Part, trace_part
from label_rasters import CLASSES, KINDS, iter_label_rows

BLOCK_ROWS = 640
"""Rows that a worker finishes at a time: the stride of the bundled model's tiles."""


def main() -> None:
    """Measure, and print one table."""
    options = parse_arguments()
    size, side = options.size, options.shard
    labels = np.concatenate(list(iter_label_rows(options.kind, (size, size))))
    confidence = smooth_confidence(labels)
    starts = list(product(range(0, size, side), repeat=2))
    shards = [
        Shard(row_start=row, row_stop=min(row + side, size), col_start=col, col_stop=min(col + side, size))
        for row, col in starts
    ]
    with tempfile.TemporaryDirectory(prefix="geodeeplab-traced-") as name:
        folder = Path(name)
        spool, rows_bytes, encode_s = fill_spool(folder, labels, confidence, shards)
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(options.rounds + 1):
            for is_traced in seconds:
                packed, trace_s = trace(labels, confidence, shards) if is_traced else ([], 0.0)
                taken, count = write(folder, spool, shards, packed, options)
                if turn:  # the first warms up
                    seconds[is_traced].append(taken)
                if is_traced:
                    traced_bytes, traced_s = sum(len(one.data) for one in packed), trace_s
    mpx = size * size / 1e6
    print(
        f"{options.kind} {size}², shards of {side} px, {count} polygons; a worker encodes its rows in "
        f"{1e3 * encode_s / mpx:.1f} ms/Mpx and traces them in {1e3 * traced_s / mpx:.1f} ms/Mpx\n"
    )
    print("| | client, ms/Mpx | bytes that travel, a pixel |\n|---|--:|--:|")
    rows, both = median(seconds[False]), median(seconds[True])
    print(f"| rows | {1e3 * rows / mpx:.1f} | {rows_bytes / size**2:.3f} |")
    print(f"| rows and traced parts | {1e3 * both / mpx:.1f} | {(rows_bytes + traced_bytes) / size**2:.3f} |")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, default="landcover")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--shard", type=int, default=2048)
    parser.add_argument("--tolerance-px", type=float)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def smooth_confidence(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give a confidence (H, W) that changes slowly, as that of networks does; 255 where there is no label."""
    coarse = np.random.default_rng(0).integers(40, 101, (-(-labels.shape[0] // 8), -(-labels.shape[1] // 8)), np.uint8)
    fine = coarse.repeat(8, axis=0).repeat(8, axis=1)[: labels.shape[0], : labels.shape[1]]
    return np.where(labels == 0, np.uint8(255), fine)


def fill_spool(
    folder: Path, labels: NDArray[np.uint8], confidence: NDArray[np.uint8], shards: list[Shard]
) -> tuple[BlockSpool, int, float]:
    """Put the blocks of all shards into a spool; give it, their bytes, and the seconds that encoding them took."""
    (folder / "spool").mkdir()
    layers = [SpoolLayer(name="labels", dtype="uint8"), SpoolLayer(name="confidence", dtype="uint8")]
    spool, seconds = BlockSpool(folder / "spool", (labels.shape[0], labels.shape[1]), layers), 0.0
    for shard in shards:
        for row in range(shard.row_start, shard.row_stop, BLOCK_ROWS):
            inside = np.s_[row : min(row + BLOCK_ROWS, shard.row_stop), shard.col_start : shard.col_stop]
            start = time.process_time()
            block = encode_block(
                row, shard.col_start, {"labels": labels[inside], "confidence": confidence[inside]}, count="labels"
            )
            seconds += time.process_time() - start
            spool.append(block)
    return spool, spool.byte_count, seconds


def trace(
    labels: NDArray[np.uint8], confidence: NDArray[np.uint8], shards: list[Shard]
) -> tuple[list[PackedBlock], float]:
    """Trace all shards as workers do; give what they send, and the seconds."""
    start, shape = time.process_time(), (labels.shape[0], labels.shape[1])
    packed: list[PackedBlock] = []
    for shard in shards:
        part = Part(rows=(shard.row_start, shard.row_stop), cols=(shard.col_start, shard.col_stop))
        inside = np.s_[slice(*part.rows), slice(*part.cols)]
        rows = [LabelRows(labels=labels[inside], confidence=confidence[inside])]
        packed += trace_part(rows, shape=shape, part=part, connectivity=4)
    return packed, time.process_time() - start


def write(
    folder: Path, spool: BlockSpool, shards: list[Shard], packed: list[PackedBlock], options: argparse.Namespace
) -> tuple[float, int]:
    """Write the polygons; give the seconds of all threads, and how many polygons there are."""
    grid = Grid(shape=spool.shape, transform=Affine(1, 0, 500_000, 0, -1, 5_100_000), crs=CRS.from_epsg(32633))
    output, start = folder / "polygons.gpkg", time.process_time()
    plan = plan_polygons(
        PolygonOptions(tolerance_px=options.tolerance_px), grid=grid, classes=CLASSES, nodata=0, dst_path=output
    )
    parts = TracedParts(folder / "traced")
    for one in packed:
        parts.put(one)
    bands = follow_bands(spool, shards, parts, abandoned=threading.Event())
    count = plan.join(output, bands, with_confidence=True, metadata={}, overwrite=True, threads=1)
    return time.process_time() - start, count


if __name__ == "__main__":
    main()
