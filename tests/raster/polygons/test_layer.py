from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely import box

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster import Grid, burn, read_polygon_layer

UTM = CRS.from_epsg(32633)
SQUARES = [box(0, 0, 1, 1), box(2, 0, 3, 1), box(4, 0, 5, 1)]


def frame(values: list[object], geometry: list[shapely.Geometry] | None = None, crs: object = UTM) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"kind": values}, geometry=geometry or SQUARES[: len(values)], crs=crs)


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "parquet", "shp"])
def test_files_of_many_kinds(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"truth.{suffix}"
    lonlat = frame(["wood", "field", "wood"], [box(15 + i, 45, 15.5 + i, 45.5) for i in range(3)], "EPSG:4326")
    lonlat.to_parquet(path) if suffix == "parquet" else lonlat.to_file(path)
    layer = read_polygon_layer(path, crs=UTM, class_field="kind")
    assert layer.values == ("field", "wood")
    assert layer.class_index.tolist() == [1, 0, 1]
    assert len(layer) == 3
    assert layer.crs == UTM
    assert layer.polygons[0].bounds[0] == pytest.approx(500_000, abs=1)
    assert len(shapely.get_coordinates(layer.polygons[0])) > 5  # long edges follow their course


def test_values_compare_as_text_and_numbers_sort_as_numbers() -> None:
    layer = read_polygon_layer(frame([10.0, 9.0, 10.0]), crs=UTM, class_field="kind")
    assert (layer.values, layer.class_index.tolist()) == (("9", "10"), [1, 0, 1])
    mapped = read_polygon_layer(frame([10.0, 9.0, 8.0]), crs=UTM, class_field="kind", class_indices={"10": 1, 9: 0},
                                ignore=[8])  # fmt: skip
    assert (mapped.values, mapped.class_index.tolist()) == (("9", "10"), [1, 0, 255])


def test_several_values_may_be_one_class() -> None:
    layer = read_polygon_layer(
        frame(["oak", "pine", "road"]), crs=UTM, class_field="kind", class_indices={"oak": 0, "pine": 0, "road": 1}
    )
    assert (layer.values, layer.class_index.tolist()) == (("oak, pine", "road"), [0, 0, 1])


def test_without_a_field_all_are_one_class() -> None:
    assert read_polygon_layer(frame(["a", "b"]), crs=UTM, class_field=None).class_index.tolist() == [0, 0]


def test_parts_keep_their_class_and_feature() -> None:
    two = shapely.GeometryCollection([shapely.MultiPolygon(SQUARES[:2]), shapely.Point(1, 1)])
    layer = read_polygon_layer(frame(["a", "b"], [two, SQUARES[2]]), crs=UTM, class_field="kind")
    assert (layer.feature.tolist(), layer.class_index.tolist()) == ([0, 0, 1], [0, 0, 1])


def test_broken_polygons_are_mended_and_lines_left_out() -> None:
    bow = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    with pytest.warns(GeoDeepLabWarning) as caught:
        layer = read_polygon_layer(
            frame(["a", "b", "c"], [bow, SQUARES[0], shapely.LineString([(0, 0), (1, 1)])]), crs=UTM, class_field="kind"
        )
    assert "has 1 polygons that cross" in str(caught[0].message)
    assert "has 1 features without area" in str(caught[1].message)
    assert (layer.mended, layer.left_out, layer.values) == (1, 1, ("a", "b"))
    assert shapely.is_valid(layer.polygons).all()
    assert layer.polygons[layer.class_index == 0].size == 2


def test_coordinates_without_crs_are_the_scenes() -> None:
    layer = read_polygon_layer(frame(["a"], crs=None), crs=None, class_field="kind")
    grid = Grid(shape=(1, 2), transform=Affine.identity(), crs=None)
    assert burn(layer, Window(0, 0, 2, 1), grid).tolist() == [[0, 255]]


def test_an_empty_layer_is_refused(tmp_path: Path) -> None:
    frame(["a"]).iloc[:0].to_file(tmp_path / "empty.gpkg")
    with pytest.raises(OptionError, match="no polygon among its 0 features"):
        read_polygon_layer(tmp_path / "empty.gpkg", crs=UTM, class_field="kind")


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="has no field 'type': choose the class field among 'kind'"):
        read_polygon_layer(frame(["a"]), crs=UTM, class_field="type")
    frame(["a"]).to_file(tmp_path / "a.gpkg")
    with pytest.raises(OptionError, match="has no field 'type': choose the class field among 'kind'"):
        read_polygon_layer(tmp_path / "a.gpkg", crs=UTM, class_field="type")
    with pytest.raises(OptionError, match="polygon layer 'GeoDataFrame' has none; if you know it: ogr2ogr"):
        read_polygon_layer(frame(["a"], crs=None), crs=UTM, class_field="kind")
    with pytest.raises(OptionError, match="the scene has none; if you know it: gdal_edit"):
        read_polygon_layer(frame(["a"]), crs=None, class_field="kind")
    with pytest.raises(OptionError, match="no class: 'b'; the classes are 'a': map these values, or ignore them"):
        read_polygon_layer(frame(["a", "b"]), crs=UTM, class_field="kind", class_indices={"a": 0})
    with pytest.raises(OptionError, match=r"no class: \(no value\)"):
        read_polygon_layer(frame(["a", None]), crs=UTM, class_field="kind")
    with pytest.raises(OptionError, match="cannot be read"):
        read_polygon_layer(tmp_path / "missing.gpkg", crs=UTM, class_field="kind")
    with pytest.raises(OptionError, match="vector file or a GeoDataFrame, got int"):
        read_polygon_layer(3, crs=UTM, class_field="kind")
    frame(["a"]).to_file(tmp_path / "two.gpkg", layer="one")
    frame(["a"]).to_file(tmp_path / "two.gpkg", layer="two")
    with pytest.raises(OptionError, match=r"has 2 layers with geometries \(one, two\)"):
        read_polygon_layer(tmp_path / "two.gpkg", crs=UTM, class_field="kind")
    assert len(read_polygon_layer(tmp_path / "two.gpkg", crs=UTM, class_field="kind", layer="two")) == 1


def test_ignored_values_may_be_all() -> None:
    layer = read_polygon_layer(frame(["a", "b"]), crs=UTM, class_field="kind", ignore=["a", "b"])
    assert np.unique(layer.class_index).tolist() == [255]
