"""Areas of change that two maps with errors give, and that a sample of them gives, beside the true ones: a table.

    python benchmarks/change_areas.py before.tif after.tif --errors 0.05 --points 1000 --samples 200

Both scenes are classified by k-means, which is taken for the truth; the maps are the same with a share of their pixels
in a class by lot. Each sample is interpreted by the truth. Of the largest kinds of change: by how much the map is off;
by how much the adjusted area is, on the average (its bias) and in the median; and the share of samples whose interval
of 95 % holds the true area.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray

import geodeeplab as gdl

Labels = NDArray[np.uint8]
CLASSES, STEPS, PIXELS = 4, 30, 20_000
ROWS = 5


def main() -> None:
    """Make maps, draw samples, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, help="on the same grid")
    parser.add_argument("--errors", type=float, default=0.05, help="share of each map's pixels in a class by lot")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=60)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        dates, profile = classify([options.before, options.after], random)
        truth = kinds_of(dates, Path(folder), "truth", profile)
        mapped = kinds_of([mistaken(one, options.errors, random) for one in dates], Path(folder), "map", profile)
        report(truth, mapped, points=options.points, samples=options.samples)


def classify(paths: list[Path], random: np.random.Generator) -> tuple[list[Labels], dict[str, Any]]:
    """Give the labels of each scene by one k-means of all, by the first band's brightness; 0 where a band has 0."""
    images = []
    for path in paths:
        with rasterio.open(path) as src:
            images.append(src.read().astype(np.float64))
            profile = {"crs": src.crs, "transform": src.transform, "height": src.height, "width": src.width}
    pixels = np.concatenate([one.reshape(len(one), -1) for one in images], axis=1).T
    valid = (pixels > 0).all(axis=1)
    some = pixels[valid][random.choice(valid.sum(), PIXELS, replace=False)]
    centres = some[:CLASSES]
    for _ in range(STEPS):
        nearest = ((some[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.array([some[nearest == number].mean(axis=0) for number in range(CLASSES)])
    centres = centres[np.argsort(centres[:, 0])]
    labels = np.where(valid, ((pixels[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1) + 1, 0).astype(np.uint8)
    return list(labels.reshape(len(images), *images[0].shape[1:])), profile


def mistaken(labels: Labels, errors: float, random: np.random.Generator) -> Labels:
    """Give labels of which a share has a class drawn by lot."""
    chosen = (random.random(labels.shape) < errors) & (labels > 0)
    return np.where(chosen, random.integers(1, CLASSES + 1, labels.shape), labels).astype(np.uint8)


def kinds_of(dates: list[Labels], folder: Path, name: str, profile: dict[str, Any]) -> Path:
    """Write two maps and their changes; give the label raster of these."""
    paths = [folder / f"{name}-{number}.tif" for number in range(2)]
    for path, labels in zip(paths, dates, strict=True):
        with rasterio.open(path, "w", driver="GTiff", count=1, dtype="uint8", nodata=0, **profile) as dst:
            dst.write(labels.astype(np.uint8), 1)
    gdl.change(paths[0], paths[1], folder / f"{name}.gpkg", label_raster=folder / f"{name}-changes.tif")
    return folder / f"{name}-changes.tif"


def report(truth: Path, mapped: Path, *, points: int, samples: int) -> None:
    """Draw the samples, and print a row for each of the largest kinds of change."""
    with rasterio.open(truth) as one, rasterio.open(mapped) as other:
        true, labels, transform = one.read(1), other.read(1), one.transform
    estimates = []
    for seed in range(samples):
        path = mapped.with_suffix(".gpkg")
        gdl.sample(mapped, path, total=points, least=30, seed=seed, overwrite=True)
        sample = gpd.read_file(path, layer="sample")
        col, row = ~transform * (sample.geometry.x.to_numpy(), sample.geometry.y.to_numpy())
        sample["truth"] = true[row.astype(int), col.astype(int)]  # ids are the same in both
        found = gdl.evaluate(mapped, sample, class_field="truth", is_sample=True)
        assert found.area_estimate is not None
        estimates.append(found.area_estimate)
    names, ids = [one.name for one in found.classes], [one.id for one in found.classes]
    in_map, adjusted = estimates[0].mapped, np.array([one.adjusted for one in estimates])
    margins = np.array([one.margin for one in estimates])
    pixel = in_map.sum() / (labels > 0).sum()
    areas = np.array([max(1, ((true == number) & (labels > 0)).sum()) for number in ids]) * pixel
    off = adjusted / areas - 1
    held = np.abs(adjusted - areas) <= margins
    print("| change | true, ha | map | adjusted: bias | median | intervals that hold |\n|---|--:|--:|--:|--:|--:|")
    is_change = np.array(["→" in name for name in names])
    for k in np.argsort(-areas * is_change)[:ROWS]:
        print(
            f"| {names[k]} | {areas[k] / 1e4:,.0f} | {in_map[k] / areas[k] - 1:+.1%} | {off[:, k].mean():+.1%} | "
            f"{np.median(np.abs(off[:, k])):.1%} | {held[:, k].mean():.0%} |"
        )


if __name__ == "__main__":
    main()
