import base64
import gzip
import json
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from geodeeplab.errors import OptionError
from geodeeplab.maps.web import packing
from geodeeplab.maps.web.features import open_layer
from geodeeplab.maps.web.frame import Frame, frame_of_grid
from geodeeplab.maps.web.packing import PackedPolygons, pack_polygons
from geodeeplab.raster import Grid

FRAME = frame_of_grid(Grid(shape=(64, 64), transform=Affine.identity(), crs=None), path="scene")


def pack(frame: gpd.GeoDataFrame, *, field: str | None = "class_name", **options: int | list[str]) -> PackedPolygons:
    settled: Any = {"picture_size": 2048, "max_bytes": 10**7} | options
    return pack_polygons(open_layer(frame), FRAME, class_field=field, **settled)


def unpack(packed: PackedPolygons) -> tuple[list[list[np.ndarray]], list[str], dict[str, list[Any]]]:
    """Do what polygons.js does."""
    content = gzip.decompress(base64.b64decode(packed.content))
    features, rings, points = packed.counts
    at = 0

    def take(dtype: str, count: int) -> np.ndarray:
        nonlocal at
        found = np.frombuffer(content, dtype, count, offset=at)
        at += found.nbytes
        return found

    counts, classes, lengths = take("<u4", features), take("<u2", features), take("<u4", rings)
    axes = [take("u1", 4 * points).reshape(4, -1).T.copy().view("<i4").ravel().cumsum() for _ in range(2)]
    all_points = np.stack(axes, axis=1) * packed.step + packed.origin
    parts = np.split(all_points, lengths.cumsum()[:-1])
    stops = counts.cumsum()
    by_feature = [parts[stop - count : stop] for stop, count in zip(stops, counts, strict=True)]
    return by_feature, [packed.class_names[one] for one in classes], json.loads(content[at:])


def squares(n: int) -> gpd.GeoDataFrame:
    boxes = [shapely.box(i % 8, i // 8, i % 8 + 1, i // 8 + 1) for i in range(n)]
    return gpd.GeoDataFrame({"class_name": [f"class {i % 3}" for i in range(n)], "n": range(n)}, geometry=boxes)


def test_all_comes_back() -> None:
    hole = shapely.Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(2, 2), (4, 2), (4, 4)]])
    two = shapely.MultiPolygon([shapely.box(20, 20, 30, 30), shapely.box(40.25, 40.5, 50, 50)])
    frame = gpd.GeoDataFrame(
        {"class_name": ["b", "a"], "x": [1.23456789, np.nan], "when": np.array(["2024-05-01", "NaT"], "M8[s]")},
        geometry=[hole, two],
    )
    packed = pack(frame)
    features, names, attributes = unpack(packed)
    assert packed.counts[0] == packed.polygon_count == 2
    assert names == ["b", "a"]
    assert attributes["x"] == [1.23457, None]
    assert attributes["class_name"] == ["b", "a"]
    for rings, polygon in zip(features, [hole, two], strict=True):
        wanted = shapely.get_coordinates(polygon) * [1, -1]  # rows count down, the plane's y up
        np.testing.assert_allclose(np.concatenate(rings), wanted, atol=1 / 32)
    assert packed.areas == pytest.approx((two.area, hole.area))


def test_points_lines_and_empty_ones_are_left_out() -> None:
    shapes = [
        shapely.Point(1, 1),
        shapely.LineString([(0, 0), (1, 1)]),
        shapely.Polygon(),
        None,
        shapely.box(0, 0, 2, 3),
    ]
    packed = pack(gpd.GeoDataFrame({"class_name": list("abcde")}, geometry=shapes))
    assert packed.class_names == ("e",)
    with pytest.raises(OptionError, match="has no polygons"):
        pack(gpd.GeoDataFrame({"class_name": list("a")}, geometry=[shapely.Point(1, 1)]))


def test_null_is_a_class_without_a_name() -> None:
    packed = pack(gpd.GeoDataFrame({"class_name": ["a", None]}, geometry=list(squares(2).geometry)))
    assert packed.class_names == ("(none)", "a")


def test_known_classes_come_first() -> None:
    assert pack(squares(9), class_order=["class 2", "other", "class 0"]).class_names == (
        "class 2",
        "class 0",
        "class 1",
    )


def test_many_polygons_are_simplified_and_share_their_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "EXACT_COUNT", 1)
    wave = [(x, 10 + (x % 2) * 0.05) for x in range(21)]
    below = shapely.Polygon([(0, 0), (20, 0), *reversed(wave)])
    above = shapely.Polygon([(0, 20), *wave, (20, 20)])
    packed = pack(gpd.GeoDataFrame({"class_name": ["a", "b"]}, geometry=[below, above]))
    features, _, _ = unpack(packed)
    assert packed.tolerance == 0.5
    assert packed.counts[2] < 20
    polygons = [shapely.Polygon(rings[0]) for rings in features]
    assert polygons[0].intersection(polygons[1]).area == 0
    assert packed.areas == pytest.approx((below.area, above.area))  # as they were


def test_the_largest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MOST_POLYGONS", 2)
    frame = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, side, side) for side in (1, 3, 2)])
    packed = pack(frame, field=None)
    assert (packed.counts[0], packed.polygon_count) == (2, 3)
    assert packed.areas == pytest.approx((14,))


def test_what_does_not_fit_gets_coarser_or_is_refused() -> None:
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    shaken = [
        shapely.Polygon(centre + circle * rng.uniform(1, 1.1, (400, 1))) for centre in rng.uniform(0, 60, (50, 2))
    ]
    frame = gpd.GeoDataFrame(geometry=shaken)
    free = len(pack(frame, field=None).content)
    tight = pack(frame, field=None, max_bytes=free // 4)
    assert len(tight.content) <= free // 4
    assert tight.tolerance > 0
    with pytest.raises(OptionError, match="takes more than"):
        pack(frame, field=None, max_bytes=10)


def test_wrong_fields_are_refused() -> None:
    with pytest.raises(OptionError, match="no field 'kind': choose one of class_name, n"):
        pack(squares(3), field="kind")
    with pytest.raises(OptionError, match="300 classes, more than 200"):
        pack(gpd.GeoDataFrame({"n": range(300)}, geometry=list(squares(300).geometry)), field="n")


def test_areas_are_geodesic() -> None:
    utm = gpd.GeoDataFrame(geometry=[shapely.box(500_000, 5_000_000, 500_100, 5_000_100)], crs="EPSG:32633")
    grid = Grid(shape=(100, 100), transform=Affine(1, 0, 500_000, 0, -1, 5_000_100), crs=open_layer(utm).crs)
    frame: Frame = frame_of_grid(grid, path="scene")
    packed = pack_polygons(open_layer(utm), frame, class_field=None, picture_size=100, max_bytes=10**6)
    assert packed.areas == pytest.approx((10_000 / 0.9996**2,), rel=1e-5)
