"""`check` on a layer of a million polygons: planted faults, time, memory.

    python benchmarks/check_layers.py --side 2600 --out out

Labels are drawn at random, with large areas between small ones, and traced; `check` looks through the layer as it is,
where it must find nothing, and through a copy with planted faults, where it must find these.
"""

import argparse
import resource
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from geodeeplab import LayerCheck, PolygonOptions, check, vectorize

CLASSES = 5


def main() -> None:
    """Trace, plant, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2600, help="of the labels, in pixels; 2600 make a million polygons")
    parser.add_argument("--tolerance-px", type=float, help="of the lines; by default they are exact")
    parser.add_argument("--out", type=Path, default=Path("check-layers"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    labels, layer = options.out / "labels.tif", options.out / "layer.gpkg"
    draw(labels, options.side)
    vectorize(labels, layer, PolygonOptions(tolerance_px=options.tolerance_px), overwrite=True)
    print("| layer | polygons | MB | seconds | CPU s | peak MB | faults |\n|---|---|---|---|---|---|---|")
    clean = timed("as traced", layer, nullable=["class_name"])
    assert not clean.counts, clean.table()
    faulty = options.out / "faulty.gpkg"
    shutil.copyfile(layer, faulty)
    planted = plant(faulty)
    found = timed(
        "with planted faults", faulty, min_area=0.5, nullable=["class_name"], classes=[*map(str, range(1, CLASSES + 1))]
    )
    print(found.table())
    missing = {kind for kind in planted if kind not in found.counts}
    print(f"planted {len(planted)} kinds, missing: {sorted(missing) or 'none'}")


def timed(name: str, path: Path, **options: object) -> LayerCheck:
    """Check a layer, and print a row."""
    started, cpu = time.perf_counter(), time.process_time()
    found = check(path, class_field="class_id", gap_width=0.5, **options)  # type: ignore[arg-type]
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = path.stat().st_size / 1e6
    print(f"| {name} | {found.count:,} | {size:.0f} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {len(found.faults):,} |")
    return found


def draw(path: Path, side: int) -> None:
    """Draw labels: noise in 2 × 2 px, and a tenth of the ground in areas of 64 px and one class."""
    random = np.random.default_rng(0)
    labels = random.integers(1, CLASSES + 1, (side, side)).astype(np.uint8)
    coarse = random.random((-(-side // 64), -(-side // 64))) < 0.4
    large = np.kron(coarse, np.ones((64, 64), dtype=bool))[:side, :side]
    labels[large & (random.random((side, side)) < 0.9)] = 1
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 1, "dtype": "uint8", "nodata": 0}
    transform = from_origin(500_000, 5_000_000, 1, 1)
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, compress="deflate", **profile) as dst:
        dst.write(labels, 1)


def plant(path: Path) -> list[str]:
    """Change features of a GeoPackage, so that there is a fault of each kind; give the kinds."""
    frame = gpd.read_file(path, layer="landcover", fid_as_index=True, rows=40_000)
    squares = frame[(frame.area == 1) & (frame.geometry.count_coordinates() == 5)].index[200::150][:20].tolist()
    box = {fid: frame.geometry[fid].bounds for fid in squares}
    left, bottom, right, top = box[squares[3]]
    other = box[squares[4]]
    shapes: dict[int, object] = {
        squares[0]: shapely.Polygon(),
        squares[1]: shapely.Point(*box[squares[1]][:2]),
        squares[2]: _bow_tie(*box[squares[2]]),
        squares[3]: shapely.Polygon(
            [(left, bottom), (right, bottom), (right, top), (left + 0.5001, top), (left + 0.5, top + 9),
             (left + 0.4999, top), (left, top)]
        ),
        squares[4]: shapely.box(other[0], other[1], other[0] + 0.4, other[3]),
        squares[5]: frame.geometry[squares[6]],
        squares[7]: shapely.box(*np.array(box[squares[7]]) + np.array([0.3, 0, 0.3, 0])),
        squares[8]: shapely.segmentize(frame.geometry[squares[8]], 0.5),
        squares[9]: shapely.transform(frame.geometry[squares[9]], lambda points: np.where(points > 0, np.inf, points)),
    }  # fmt: skip
    with closing(sqlite3.connect(path)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')  # they would mend the index
        for fid, shape in shapes.items():
            database.execute("UPDATE landcover SET geom = ? WHERE fid = ?", (_blob(shape), fid))
        database.execute("UPDATE landcover SET geom = NULL WHERE fid = ?", (squares[10],))
        database.execute("UPDATE landcover SET class_id = NULL WHERE fid = ?", (squares[11],))
        database.execute("UPDATE landcover SET class_id = 77 WHERE fid = ?", (squares[12],))
        database.execute("UPDATE landcover SET area_m2 = NULL WHERE fid = ?", (squares[13],))
        database.execute("UPDATE gpkg_contents SET max_x = max_x + 1000 WHERE table_name = 'landcover'")
        database.execute("DELETE FROM rtree_landcover_geom WHERE id = ?", (squares[14],))
    return [
        "empty geometry", "no polygon", "invalid", "spike", "small area", "duplicate", "overlap", "edge mismatch",
        "not finite", "no geometry", "no class", "unknown class", "null attribute", "stale extent", "stale index",
        "gap",
    ]  # fmt: skip


def _bow_tie(left: float, bottom: float, right: float, top: float) -> shapely.Polygon:
    return shapely.Polygon([(left, bottom), (right, top), (right, bottom), (left, top)])


def _blob(shape: object) -> bytes:
    """Give a geometry as a GeoPackage holds it: version 1, little endian, no envelope, EPSG:32633."""
    flags = 0b0001_0001 if shapely.is_empty(shape) else 0b0000_0001
    return b"GP\0" + bytes([flags]) + (32633).to_bytes(4, "little") + bytes(shapely.to_wkb(shape))


if __name__ == "__main__":
    main()
