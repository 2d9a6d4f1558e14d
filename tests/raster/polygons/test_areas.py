"""What is left of geometries as people draw them."""

import warnings

import numpy as np
import pytest
import shapely
from shapely import box

from geodeeplab.errors import GeoDeepLabWarning, OptionError
from geodeeplab.raster.polygons.areas import Areas, to_areas

with np.errstate(invalid="ignore"):
    NOT_A_NUMBER = shapely.Polygon([(0, 0), (np.nan, 1), (1, 1)])
BOW = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])


def areas_of(*geometries: shapely.Geometry | None, notes: tuple[str, ...] = ()) -> Areas:
    array = np.empty(len(geometries), dtype=object)
    array[:] = geometries
    said = np.array([*notes, *[""] * (len(geometries) - len(notes))], dtype=object)
    return to_areas(array, said, what="layer 'x'")


def test_what_is_whole_stays_as_it_is() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = areas_of(box(0, 0, 1, 1), box(1, 0, 2, 1, ccw=False), shapely.MultiPolygon([box(3, 3, 4, 4)]))
    assert found.feature.tolist() == [0, 1, 2]
    assert (found.mended, found.left_out) == (0, 0)


@pytest.mark.parametrize(
    ("broken", "area", "why"),
    [
        (BOW, 8, "self-intersection"),
        (shapely.Polygon(box(0, 0, 4, 4).exterior, [box(9, 9, 10, 10).exterior.coords]), 17, "hole lies outside shell"),
        (shapely.MultiPolygon([BOW, box(9, 9, 10, 10)]), 9, "self-intersection"),
        (shapely.Polygon([(0, 0), (4, 0), (4, 4), (4, 9), (4, 4), (0, 4)]), 16, "self-intersection"),
        (shapely.MultiPolygon([box(0, 0, 1, 1), shapely.Polygon([(0, 0), (np.inf, 1), (1, 1)])]), 1,
         "coordinates not finite"),
    ],
)  # fmt: skip
def test_broken_ones_are_repaired_and_counted(broken: shapely.Geometry, area: float, why: str) -> None:
    with pytest.warns(GeoDeepLabWarning) as caught:
        found = areas_of(box(0, 0, 1, 1), broken)
    assert [str(one.message) for one in caught] == [f"layer 'x': 1 of 2 geometries repaired (1 {why})"]
    assert shapely.area(found.polygons[found.feature == 1]).sum() == pytest.approx(area)
    assert shapely.is_valid(found.polygons).all()
    assert found.mended == 1


@pytest.mark.parametrize(
    ("geometry", "why"),
    [
        (None, "no geometry"),
        (shapely.Polygon(), "no area"),
        (shapely.GeometryCollection(), "no area"),
        (shapely.Polygon([(0, 0), (5, 5), (0, 0), (2, 2)]), "no area"),
        (shapely.Polygon([(0, 0), (0, 0), (0, 0)]), "no area"),
        (shapely.Point(1, 1), "points or lines"),
        (shapely.MultiLineString([[(0, 0), (1, 1)]]), "points or lines"),
        (NOT_A_NUMBER, "coordinates not finite"),
    ],
)
def test_what_covers_no_ground_is_left_out_and_counted(geometry: shapely.Geometry | None, why: str) -> None:
    with pytest.warns(GeoDeepLabWarning) as caught:
        found = areas_of(box(0, 0, 1, 1), geometry)
    assert [str(one.message) for one in caught] == [f"layer 'x': 1 of 2 left out (1 {why})"]
    assert (len(found.polygons), found.left_out) == (1, 1)
    with pytest.raises(OptionError, match=rf"layer 'x' has no polygon among its 1 features \(1 {why}\): give polygons"):
        areas_of(geometry)


def test_reasons_are_counted_in_one_line() -> None:
    with pytest.warns(GeoDeepLabWarning) as caught:
        areas_of(box(0, 0, 1, 1), None, BOW, BOW, shapely.Point(0, 0), None, notes=("ring not closed",))
    assert [str(one.message) for one in caught] == [
        "layer 'x': 3 of 6 geometries repaired (2 self-intersection, 1 ring not closed), 3 of 6 left out "
        "(2 no geometry, 1 points or lines)"
    ]


def test_collections_of_any_depth_and_dimension() -> None:
    deep = shapely.GeometryCollection([shapely.MultiPolygon([box(0, 0, 1, 1)]), box(2, 2, 3, 3)])
    for _ in range(3):
        deep = shapely.GeometryCollection([deep])
    found = areas_of(shapely.force_3d(deep, 7.0), box(5, 5, 6, 6))
    assert found.feature.tolist() == [0, 0, 1]
    assert not shapely.has_z(found.polygons).any()


def test_coordinates_too_large_to_be_reckoned_with() -> None:
    with pytest.warns(GeoDeepLabWarning, match="left out"):
        areas_of(box(0, 0, 1, 1), shapely.Polygon([(0, 0), (1e308, 1e308), (1e308, -1e308), (-1e308, 1e308)]))
