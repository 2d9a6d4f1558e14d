from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
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
    with pytest.warns(GeoDeepLabWarning, match="1 points or lines beside polygons left out"):
        layer = read_polygon_layer(frame(["a", "b"], [two, SQUARES[2]]), crs=UTM, class_field="kind")
    assert (layer.feature.tolist(), layer.class_index.tolist()) == ([0, 0, 1], [0, 0, 1])


def test_broken_polygons_are_mended_and_lines_left_out() -> None:
    bow = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    with pytest.warns(GeoDeepLabWarning) as caught:
        layer = read_polygon_layer(
            frame(["a", "b", "c"], [bow, SQUARES[0], shapely.LineString([(0, 0), (1, 1)])]), crs=UTM, class_field="kind"
        )
    said = "1 of 3 geometries repaired (1 self-intersection), 1 of 3 left out (1 points or lines)"
    assert [str(one.message) for one in caught] == [f"polygon layer 'GeoDataFrame': {said}"]
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
    with pytest.raises(OptionError, match="is an int: give a vector file, a GeoDataFrame"):
        read_polygon_layer(3, crs=UTM, class_field="kind")
    frame(["a"]).to_file(tmp_path / "two.gpkg", layer="one")
    frame(["a"]).to_file(tmp_path / "two.gpkg", layer="two")
    with pytest.raises(OptionError, match=r"has 2 layers with geometries \(one, two\)"):
        read_polygon_layer(tmp_path / "two.gpkg", crs=UTM, class_field="kind")
    assert len(read_polygon_layer(tmp_path / "two.gpkg", crs=UTM, class_field="kind", layer="two")) == 1


def test_ignored_values_may_be_all() -> None:
    layer = read_polygon_layer(frame(["a", "b"]), crs=UTM, class_field="kind", ignore=["a", "b"])
    assert np.unique(layer.class_index).tolist() == [255]


@pytest.mark.parametrize(
    "values",
    [
        pd.array(["a", None, "b"], dtype="string"),
        pd.array(["a", None, "b"], dtype="string[pyarrow]"),
        pd.Categorical(["a", None, "b"]),
        pd.Categorical(pd.array(["a", None, "b"], dtype="string")),
        ["a", np.nan, "b"],
        ["a", pd.NaT, "b"],
        ["a", pd.NA, "b"],
    ],
)
def test_null_of_any_type_is_no_class(values: object) -> None:
    table = frame([0, 1, 2]).assign(kind=values)
    layer = read_polygon_layer(table, crs=UTM, class_field="kind", ignore=[None])
    assert (layer.values, layer.class_index.tolist()) == (("a", "b"), [0, 255, 1])


@pytest.mark.parametrize("blank", ["", " \t", "\x00"])
def test_blank_text_is_no_class_either(blank: str) -> None:
    with pytest.warns(GeoDeepLabWarning, match="1 of 3 features have blank text in 'kind', which is no class, like"):
        layer = read_polygon_layer(frame(["a", blank, "b"]), crs=UTM, class_field="kind", ignore=[None])
    assert (layer.values, layer.class_index.tolist()) == (("a", "b"), [0, 255, 1])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pd.array([2, None, 1], dtype="Int64"), ("1", "2")),
        (pd.array([2, None, 1], dtype="int64[pyarrow]"), ("1", "2")),
        (np.array([2, np.nan, 1], dtype=np.float32), ("1", "2")),
        (pd.array([True, None, False], dtype="boolean"), ("false", "true")),
        (pd.Series(["2021-05-06", None, "2020-01-01"]).astype("datetime64[ns]"), ("2020-01-01", "2021-05-06")),
    ],
)
@pytest.mark.filterwarnings("ignore::geodeeplab.errors.GeoDeepLabWarning")
@pytest.mark.parametrize("suffix", [None, "gpkg", "geojson", "fgb", "parquet"])
def test_numbers_dates_and_nulls_are_the_same_in_every_format(
    tmp_path: Path, suffix: str | None, values: object, names: tuple[str, str]
) -> None:
    table = frame([0, 1, 2]).assign(kind=values)
    path = tmp_path / f"labels.{suffix}"
    if suffix is not None:
        table.to_parquet(path) if suffix == "parquet" else table.to_file(path)
    layer = read_polygon_layer(table if suffix is None else path, crs=UTM, class_field="kind", ignore=[None])
    assert layer.values == names
    assert sorted(layer.class_index.tolist()) == [0, 1, 255]
    by_x = layer.class_index[np.argsort(shapely.bounds(layer.polygons)[:, 0])]
    assert by_x.tolist() == [1, 255, 0]
