"""Objects that touch: speed and memory on a drawn town, and quality beside scikit-image's watershed on true outlines.

    python benchmarks/instances.py --width 20000 --heights 5000,20000 --out out
    python benchmarks/instances.py --data ../shared/data/buildings --out out

The town is one of touching rectangles, with boundaries that are noisy. Each run is a process, of which processor time
and peak are said; so other work on the machine changes little. Quality is the panoptic quality of objects found with
true labels and boundaries made of true outlines, which were moved, blurred and torn by noise: what is wrong is the
watershed's doing, or the noise's. The other side of that needs scikit-image, which is no dependency of the project.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from geodeeplab import PolygonOptions, vectorize
from geodeeplab.vector import BoundaryRows, InstanceRule, number_rows
from instance_scenes import SCENES, draw_town, make_boundary, open_outlines

BAND_ROWS = 512
THRESHOLD, MIN_MARKER = 102, 16


def main() -> None:
    """Measure what was asked for, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=20_000, help="of the town, in pixels")
    parser.add_argument("--heights", default="5000,20000", help="of the town; one run each")
    parser.add_argument("--data", type=Path, help="folder with the places kampala and banepa, for quality instead")
    parser.add_argument("--out", type=Path, default=Path("instances"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.one is not None:
        print(json.dumps(run_one(options.one, options.out)))
    elif options.data is not None:
        compare(options.data)
    else:
        measure(options.out, options.width, [int(height) for height in options.heights.split(",")])


def measure(out: Path, width: int, heights: list[int]) -> None:
    """Number the objects of towns, and vectorize them, in processes of their own."""
    print("| rows | what | objects | CPU s | Mpx per CPU s | wall s | peak MB |\n|--:|---|--:|--:|--:|--:|--:|")
    for height in heights:
        draw_town(out, (height, width))
        for what in ("objects", "polygons", "polygons of classes"):
            command = [sys.executable, __file__, "--out", str(out), "--one", what]
            done = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            print(
                f"| {height:,} | {what} | {done['count']:,} | {done['cpu']:.1f} | "
                f"{height * width / 1e6 / done['cpu']:.1f} | {done['wall']:.1f} | {done['peak'] / 1e6:.0f} |",
                flush=True,
            )


def run_one(what: str, out: Path) -> dict[str, float]:
    """Do one thing with the town that was drawn last; give its seconds and the peak of the process."""
    wall, cpu = time.perf_counter(), time.process_time()
    options = PolygonOptions(instances=1, tolerance_px=1) if what == "polygons" else PolygonOptions(tolerance_px=1)
    if what == "objects":
        count = count_objects(out / "labels.tif", out / "boundary.tif")
    else:
        boundary = out / "boundary.tif" if what == "polygons" else None
        path = out / "town.gpkg"
        count = vectorize(out / "labels.tif", path, options, boundary=boundary, overwrite=True).facts["polygons"]
    return {
        "count": count,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def count_objects(labels: Path, boundary: Path) -> int:
    """Tell objects apart, and paint them, without any polygon."""
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(labels) as src, rasterio.open(boundary) as edges:
        height, width = src.shape
        rows = (
            BoundaryRows(labels=src.read(1, window=window), boundary=edges.read(1, window=window))
            for top in range(0, height, BAND_ROWS)
            for window in [Window(0, top, width, min(BAND_ROWS, height - top))]
        )
        rule = InstanceRule(class_ids=(1,), threshold=THRESHOLD, min_marker=MIN_MARKER)
        with number_rows(rows, shape=(height, width), rule=rule) as numbered:
            for _ in numbered.read():
                pass
            return numbered.count


def compare(data: Path) -> None:
    """Print panoptic qualities, and the processor time, of both sides."""
    print("| place | boundaries | objects | components alone | ours | scikit-image | CPU s | CPU s |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for place in SCENES:
        truth = open_outlines(data, place)
        labels = (truth > 0).astype(np.uint8)
        alone = panoptic_quality(truth, by_peer(labels, np.zeros_like(labels)))
        for name, width, noise in (("clear", 2.0, 1.0), ("torn", 2.0, 2.0), ("wide, torn", 3.0, 3.0)):
            boundary = make_boundary(truth, width=width, noise=noise)
            by_us(labels[:64], boundary[:64])  # kernels are loaded
            started = time.process_time()
            ours = by_us(labels, boundary)
            between = time.process_time()
            theirs = by_peer(labels, boundary)
            ended = time.process_time()
            print(
                f"| {place} | {name} | {truth.max():,} | {alone:.3f} | {panoptic_quality(truth, ours):.3f} | "
                f"{panoptic_quality(truth, theirs):.3f} | {between - started:.2f} | {ended - between:.2f} |",
                flush=True,
            )


def by_us(labels: NDArray[np.uint8], boundary: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Give objects (H, W), numbered from 1; 0 where there is none."""
    rule = InstanceRule(class_ids=(1,), threshold=THRESHOLD, min_marker=MIN_MARKER)
    with number_rows([BoundaryRows(labels=labels, boundary=boundary)], shape=labels.shape, rule=rule) as numbered:
        codes = np.concatenate(list(numbered.read()))
    return np.where(codes > labels, codes - 65_535, np.int32(0))


def by_peer(labels: NDArray[np.uint8], boundary: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Give the same by scipy's components and scikit-image's watershed, which take the whole raster at once."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    markers, count = ndimage.label((labels > 0) & (boundary < THRESHOLD))
    sizes = np.bincount(markers.ravel(), minlength=count + 1)
    markers[sizes[markers] < MIN_MARKER] = 0
    found = watershed(boundary, markers, mask=labels > 0)
    left, _ = ndimage.label((labels > 0) & (found == 0))
    objects: NDArray[np.int32] = np.where(left > 0, left + count, found).astype(np.int32)
    return objects


def panoptic_quality(truth: NDArray[np.int32], found: NDArray[np.int32]) -> float:
    """Give the panoptic quality (Kirillov et al. 2019, equation 1) of objects (H, W), 0 where there is none."""
    sizes, found_sizes = np.bincount(truth.ravel()), np.bincount(found.ravel())
    pairs, shared = np.unique(truth.astype(np.int64) * len(found_sizes) + found, return_counts=True)
    one, other = pairs // len(found_sizes), pairs % len(found_sizes)
    is_pair = (one > 0) & (other > 0)
    one, other, shared = one[is_pair], other[is_pair], shared[is_pair]
    iou = shared / (sizes[one] + found_sizes[other] - shared)
    objects = np.count_nonzero(sizes[1:]) + np.count_nonzero(found_sizes[1:])
    return float(2 * iou[iou > 0.5].sum() / objects)


if __name__ == "__main__":
    main()
