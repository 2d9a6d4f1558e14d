import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from rasterio.crs import CRS

from geodeeplab.raster.cog import LabelClass
from geodeeplab.vector.layers import geoparquet, write_polygons
from geodeeplab.vector.layers.geoparquet import feature_boxes
from tests.vector.polygon_batches import batch_of_labels

UTM = CRS.from_epsg(32633)
TRANSFORM = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)
CLASSES = [LabelClass(id=7, name="roof", color=(200, 0, 10))]
LABELS = np.array([[7, 2, 0], [2, 2, 7]])


def geo_of(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    return dict(json.loads(pq.read_metadata(path).metadata[b"geo"]))


def test_geo_metadata_are_those_of_the_standard(tmp_path: Path) -> None:
    """GeoParquet 1.1.0, "File metadata" and "Column metadata"."""
    write_polygons([batch_of_labels(LABELS, transform=TRANSFORM)], tmp_path / "a.parquet", crs=UTM, classes=CLASSES)
    geo = geo_of(tmp_path / "a.parquet")
    assert (geo["version"], geo["primary_column"], list(geo["columns"])) == ("1.1.0", "geometry", ["geometry"])
    column = geo["columns"]["geometry"]
    assert pyproj.CRS.from_json_dict(column.pop("crs")) == pyproj.CRS(32633)
    assert column == {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "orientation": "counterclockwise",
        "edges": "planar",
        "bbox": [500_000.0, 3_999_999.0, 500_001.5, 4_000_000.0],
        "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
    }


def test_an_empty_file_states_no_bounds_and_an_unknown_crs_is_null(tmp_path: Path) -> None:
    write_polygons([], tmp_path / "a.parquet", crs=None, classes=CLASSES)
    column = geo_of(tmp_path / "a.parquet")["columns"]["geometry"]
    assert "bbox" not in column
    assert column["crs"] is None


def test_shells_run_anticlockwise_as_stated(tmp_path: Path) -> None:
    labels = np.array([[7, 7, 7], [7, 2, 7], [7, 7, 7]])
    write_polygons([batch_of_labels(labels)], tmp_path / "a.parquet", crs=UTM, classes=CLASSES)
    for polygon in geopandas.read_parquet(tmp_path / "a.parquet").geometry:
        assert polygon.exterior.is_ccw
        assert not any(ring.is_ccw for ring in polygon.interiors)


def test_metadata_are_key_value_pairs_of_the_file(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_polygons([], tmp_path / "a.parquet", crs=UTM, classes=CLASSES, metadata={"model": "x", "name": "Straße"})
    stored = pq.read_metadata(tmp_path / "a.parquet").metadata
    assert (stored[b"model"], stored[b"name"].decode()) == (b"x", "Straße")


def test_readers_filter_by_box(tmp_path: Path) -> None:
    labels = np.arange(1, 401).reshape(20, 20)
    write_polygons([batch_of_labels(labels)], tmp_path / "a.parquet", crs=UTM, classes=CLASSES)
    frame = geopandas.read_parquet(tmp_path / "a.parquet", bbox=(3.25, 5.25, 4.75, 5.75))
    assert sorted(frame["class_id"]) == sorted(labels[5, 3:5])


def test_row_groups_join_small_batches_and_carry_boxes(tmp_path: Path, monkeypatch: Any) -> None:  # noqa: ANN401
    import pyarrow.parquet as pq

    monkeypatch.setattr(geoparquet, "SLICE_FEATURES", 10)
    batches = [batch_of_labels(np.array([[1, 2, 3]]), transform=Affine.translation(0, row)) for row in range(7)]
    write_polygons(batches, tmp_path / "a.parquet", crs=UTM, classes=CLASSES)
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [12, 9]
    columns = {groups[1].column(i).path_in_schema: groups[1].column(i) for i in range(groups[1].num_columns)}
    assert (columns["bbox.ymin"].statistics.min, columns["bbox.ymax"].statistics.max) == (4.0, 7.0)


@given(
    labels=arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 3)).filter(
        np.any
    ),
    multi=st.booleans(),
)
def test_boxes_are_the_bounds_of_the_geometries(labels: Any, multi: bool) -> None:  # noqa: ANN401
    batch = batch_of_labels(labels, multi=multi)
    np.testing.assert_array_equal(feature_boxes(batch), shapely.bounds(batch.geometries()))
