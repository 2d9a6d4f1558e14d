"""What a vector layer is given as, and how it is told from a raster."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from rasterio.crs import CRS
from shapely import box

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster import is_vector, read_polygon_layer, to_aoi
from geodeeplab.raster.polygons.features import describe_layer


@pytest.mark.parametrize("name", ["a.gpkg", "a.GeoJSON", "a.shp", "https://host/b/a.fgb", "a.shp.zip", "a.gdb"])
def test_vector_files(name: str) -> None:
    assert is_vector(name)
    assert is_vector(Path(name))


@pytest.mark.parametrize("name", ["a.tif", "a.VRT", "a.png", "gpkg", "https://host/a.tif"])
def test_rasters(name: str) -> None:
    assert not is_vector(name)


def test_what_is_no_file() -> None:
    assert is_vector(gpd.GeoDataFrame(geometry=[]))
    assert not is_vector(np.zeros((2, 2)))


SQUARE: dict[str, Any] = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4]]]}
FEATURE: dict[str, Any] = {"type": "Feature", "properties": {"kind": "wood"}, "geometry": SQUARE}


class Shape:
    """What other libraries' geometries are like."""

    __geo_interface__ = SQUARE


LAYERS = {
    "geometry": box(0, 0, 4, 4),
    "list": [box(0, 0, 4, 4), None],
    "tuple": (box(0, 0, 2, 4), box(2, 0, 4, 4)),
    "array": np.array([box(0, 0, 4, 4)]),
    "column": pd.Series([box(0, 0, 4, 4)]),
    "series": gpd.GeoSeries([box(0, 0, 4, 4)], crs=32633),
    "series of another CRS": gpd.GeoSeries([box(0, 0, 4, 4)], crs=32633).to_crs(3857),
    "geometries of a series": gpd.GeoSeries([box(0, 0, 4, 4)], crs=32633).array,
    "frame": gpd.GeoDataFrame(geometry=[box(0, 0, 4, 4)], crs=32633),
    "mapping": SQUARE,
    "feature": FEATURE,
    "features": [FEATURE],
    "collection": {"type": "FeatureCollection", "features": [FEATURE, FEATURE | {"geometry": None}]},
    "object": Shape(),
    "objects and geometries": [Shape(), box(0, 0, 1, 1)],
    "interface of a frame": gpd.GeoDataFrame(geometry=[box(0, 0, 4, 4)]).__geo_interface__,
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore::geodeeplab.errors.GeoDeepLabWarning")
def test_a_layer_may_be_given_as(name: str) -> None:
    layer: Any = LAYERS[name]
    assert is_vector(layer)
    crs = CRS.from_epsg(32633)
    area = to_aoi(layer, crs=crs).geometry
    assert shapely.union_all(area).area == pytest.approx(16, rel=1e-3)
    found = read_polygon_layer(layer, crs=crs, class_field=None)
    assert shapely.union_all(found.polygons).area == pytest.approx(16, rel=1e-3)


def test_features_have_fields() -> None:
    crs = CRS.from_epsg(32633)
    with pytest.warns(GeoDeepLabWarning, match="1 of 1 geometries repaired"):
        assert read_polygon_layer(FEATURE, crs=crs, class_field="kind").values == ("wood",)
    with pytest.raises(OptionError, match="has no field 'kind': choose the class field among none"):
        read_polygon_layer([box(0, 0, 4, 4)], crs=crs, class_field="kind")
    assert describe_layer([FEATURE]) == (["kind"], None)


def test_a_mapping_may_say_its_crs() -> None:
    member = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    layer = {"type": "FeatureCollection", "crs": member, "features": [FEATURE]}
    assert describe_layer(layer) == (["kind"], CRS.from_epsg(32632))


@pytest.mark.parametrize(
    "layer",
    [
        pd.DataFrame({"kind": ["wood"]}),
        gpd.GeoDataFrame({"kind": ["wood"]}),
        7,
        b"POLYGON",
        [box(0, 0, 1, 1), 7],
        {"type": "Polygon", "coordinates": "nonsense"},
        {"features": 7},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[["a", "b"]]]}},
        [None],
        np.array([1, None], dtype=object),
    ],
)
def test_what_is_no_layer_ends_in_one_line(layer: Any) -> None:  # noqa: ANN401 - whatever people pass
    for read in (
        lambda: to_aoi(layer, crs=CRS.from_epsg(32633)),
        lambda: read_polygon_layer(layer, crs=CRS.from_epsg(32633), class_field=None),
    ):
        with pytest.raises(OptionError) as caught:
            read()
        assert "\n" not in str(caught.value)


def test_a_table_is_told_how_to_become_a_layer() -> None:
    with pytest.raises(OptionError, match=r"is a table without geometry: make it one with.*GeoDataFrame"):
        to_aoi(pd.DataFrame({"kind": ["wood"]}), crs=CRS.from_epsg(32633))


def test_an_item_of_stac_is_a_raster() -> None:
    assert not is_vector({"type": "Feature", "geometry": SQUARE, "assets": {}})
    assert not is_vector(["a.tif", "b.tif"])
    assert not is_vector([])
