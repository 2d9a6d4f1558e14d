"""Simplified, squared, and regularised polygon by polygon: right angles, true outlines, coverage and time.

    python benchmarks/square.py --data ../shared/data [--labels LABELS.tif --place kampala]

Drawn terraces and OpenStreetMap's outlines (ODbL) are burnt and traced; `--labels` adds a label raster (buildings are
1) that a model made of a place. Where the package buildingregulariser is installed, it takes the simplified polygons,
with its defaults but for the tolerance; it is not among our dependencies. Lengths are in pixels. Corners count where
both edges are 3 px and longer; they are right within 1°. Polygons are matched to outlines by an IoU above 0.8, those of
a model above 0.5. Times are medians of `--rounds`, side by side.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
import shapely.affinity
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from geodeeplab.vector import (
    Generalisation,
    LabelRows,
    LineRule,
    Metric,
    Ruler,
    SquareRule,
    iter_strip_rows,
    trace_polygons,
)

TOLERANCE_PX = 1.5
RESOLUTION_M = {"banepa": 0.3, "kampala": 0.15, "zanzibar": 0.15, "catanduanes": 0.15}
Geometries = NDArray[np.object_]


def trace(labels: NDArray[Any], square: Sequence[int]) -> Geometries:
    """Give the polygons of labels, simplified, and squared for some classes."""
    lines = LineRule(
        generalisation=Generalisation(tolerance=TOLERANCE_PX),
        metric=Metric.pixels(),
        square=SquareRule(class_ids=square, tolerance_px=1.5, metric=Metric.pixels()) if square else None,
    )
    shape = (labels.shape[0], labels.shape[1])
    batches = trace_polygons(
        iter_strip_rows([LabelRows(labels=labels)], shape=shape),
        shape=shape,
        transform=Affine.identity(),
        ruler=Ruler(None, (0, 0, 1, 1)),
        lines=lines,
    )
    return np.concatenate([batch.geometries() for batch in batches])


def regularise(polygons: Geometries) -> Geometries:
    """Give polygons as buildingregulariser makes them, each by itself."""
    from buildingregulariser import regularize_geodataframe  # type: ignore[import-not-found]

    frame = gpd.GeoDataFrame(geometry=list(polygons), crs="EPSG:3857")
    done = regularize_geodataframe(frame, simplify_tolerance=TOLERANCE_PX, num_cores=1)
    return np.array(done.geometry, object)


def draw_terraces(rows: int, cols: int, seed: int) -> tuple[NDArray[np.uint8], Geometries]:
    """Draw rows of touching houses, turned, of two classes in turn, each with an L-shape at its end and a silo."""
    random = np.random.default_rng(seed)
    truth, classes = [], []
    for row in range(rows):
        for col in range(cols):
            angle, x, y = random.uniform(0, 90), 170.0 * col + 85, 170.0 * row + 85
            houses = [shapely.box(x - 60 + 20 * k, y - 15, x - 40 + 20 * k, y + 15) for k in range(6)]
            houses[5] = houses[5].union(shapely.box(x + 40, y + 15, x + 70, y + 33))
            silo = shapely.Point(x - 20, y + 45).buffer(10)
            for k, shape in enumerate([*houses, silo]):
                truth.append(shapely.affinity.rotate(shape, angle, origin=(x, y)))
                classes.append(1 + k % 2)
    labels = np.zeros((170 * rows, 170 * cols), np.uint8)
    rasterize(zip(truth, classes, strict=True), out=labels)
    return labels, np.array(truth, object)


def burn_outlines(data: Path, place: str) -> tuple[NDArray[np.uint8], Geometries]:
    """Burn the outlines of a place, and give them in pixels."""
    res = RESOLUTION_M[place]
    shapes = gpd.read_file(data / "buildings" / place / "labels.geojson").to_crs(3857).geometry.make_valid()
    left, bottom, right, top = shapes.total_bounds
    truth = np.array(shapes.affine_transform([1 / res, 0, 0, -1 / res, 10 - left / res, 10 + top / res]), object)
    labels = np.zeros((int((top - bottom) / res) + 20, int((right - left) / res) + 20), np.uint8)
    rasterize(truth, out=labels)
    return labels, truth


def read_labels(path: Path, data: Path, place: str) -> tuple[NDArray[np.uint8], Geometries]:
    """Read a model's labels of a place, and the outlines in their pixels."""
    with rasterio.open(path) as src:
        labels, inverse, crs = src.read(1), ~src.transform, src.crs
    shapes = gpd.read_file(data / "buildings" / place / "labels.geojson").to_crs(crs).geometry.make_valid()
    to_px = [inverse.a, inverse.b, inverse.d, inverse.e, inverse.c, inverse.f]
    return np.where(labels == 1, 1, 0).astype(np.uint8), np.array(shapes.affine_transform(to_px), object)


def right_share(polygons: Geometries) -> float:
    """Give the share of corners that are right."""
    right = total = 0
    for ring in shapely.get_rings(shapely.get_parts(polygons)):
        edges = np.diff(shapely.get_coordinates(ring), axis=0)
        before, sizes = np.roll(edges, 1, axis=0), np.hypot(edges[:, 0], edges[:, 1])
        long = (sizes >= 3) & (np.roll(sizes, 1) >= 3)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = (edges * before).sum(axis=1) / sizes / np.roll(sizes, 1)
        right += int((long & (np.abs(cosine) < np.sin(np.radians(1)))).sum())
        total += int((long & (cosine < np.cos(np.radians(10)))).sum())  # a vertex in a straight wall is no corner
    return right / max(total, 1)


def describe(polygons: Geometries, truth: Geometries, least_iou: float) -> str:
    """Give a row of the table."""
    tree, far, ious, edges = shapely.STRtree(truth), [], [], []
    for polygon in polygons[shapely.is_valid(polygons)]:
        for other in truth[tree.query(polygon, predicate="intersects")]:
            common = polygon.intersection(other).area
            iou = common / (polygon.area + other.area - common)
            if iou > least_iou:
                far.append(shapely.hausdorff_distance(polygon, other, densify=0.2))
                ious.append(iou)
                one, two = polygon.boundary.buffer(1), other.boundary.buffer(1)
                edges.append(one.intersection(two).area / one.union(two).area)
    valid = bool(shapely.is_valid(polygons).all()) and bool(shapely.coverage_is_valid(shapely.get_parts(polygons)))
    overlap = float(shapely.area(polygons).sum() - shapely.union_all(shapely.make_valid(polygons)).area)
    return (
        f"{len(polygons)} | {'yes' if valid else 'no'} | {abs(overlap):.1f} | {100 * right_share(polygons):.0f} % | "
        f"{median(far):.2f} | {np.mean(far):.2f} | {np.mean(ious):.4f} | {np.mean(edges):.4f}"
    )


def compare(name: str, labels: NDArray[Any], truth: Geometries, *, rounds: int, least_iou: float) -> None:
    """Print the rows of one subject."""
    classes = [1, 2]
    sides: dict[str, Callable[[], Geometries]] = {
        "simplified": lambda: trace(labels, ()),
        "squared": lambda: trace(labels, classes),
    }
    made: dict[str, Geometries] = {side: run() for side, run in sides.items()}  # compiles, too
    try:
        made["buildingregulariser"] = regularise(made["simplified"])
        sides["buildingregulariser"] = lambda: regularise(made["simplified"])
    except ImportError:
        pass
    seconds: Mapping[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, run in sides.items():
            started = time.perf_counter()
            run()
            seconds[side].append(time.perf_counter() - started)
    for side, polygons in made.items():
        print(f"| {name} | {side} | {describe(polygons, truth, least_iou)} | {median(seconds[side]):.2f} |", flush=True)


def main() -> None:
    """Print the table, or the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with buildings")
    parser.add_argument("--labels", type=Path, help="a model's labels of --place, buildings 1")
    parser.add_argument("--place", default="kampala")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=0, metavar="N", help="time about N houses in terraces")
    args = parser.parse_args()
    print("| subject | side | polygons | valid coverage | overlap px² | right | Hausdorff median | mean | IoU "
          "| boundary IoU | s |\n|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    if args.many:
        side = max(round((args.many / 7) ** 0.5), 1)
        labels, _ = draw_terraces(side, side, seed=2)
        for rule in ((), (1, 2)):
            trace(labels[:400, :400], rule)
        for _ in range(args.rounds):
            for name, rule in (("simplified", ()), ("squared", (1, 2))):
                started = time.perf_counter()
                count = len(trace(labels, rule))
                print(f"{count} polygons, {name}: {time.perf_counter() - started:.2f} s", flush=True)
        return
    compare("terraces", *draw_terraces(4, 4, seed=1), rounds=args.rounds, least_iou=0.8)
    if args.data and args.labels:
        subject = read_labels(args.labels, args.data, args.place)
        compare(f"model, {args.place}", *subject, rounds=args.rounds, least_iou=0.5)
    elif args.data:
        for place in RESOLUTION_M:
            compare(place, *burn_outlines(args.data, place), rounds=args.rounds, least_iou=0.8)


if __name__ == "__main__":
    main()
