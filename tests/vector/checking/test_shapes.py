"""Faults of polygons by themselves."""

import numpy as np
import pytest
import shapely
from shapely import LineString, MultiPolygon, Point, Polygon, box

from geodeeplab.vector.checking.faults import join_faults
from geodeeplab.vector.checking.shapes import iter_shape_faults


def wkt(text: str) -> shapely.Geometry:
    with np.errstate(invalid="ignore"):
        return shapely.from_wkt(text)


BOW_TIE = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
SPIKED = Polygon([(0, 0), (4, 0), (4, 4), (2.0001, 4), (2, 40), (1.9999, 4), (0, 4)])


@pytest.mark.parametrize(
    ("geometry", "kind", "note"),
    [
        (box(0, 0, 2, 2), None, ""),
        (box(0, 0, 9, 9) - box(1, 1, 2, 2), None, ""),
        (None, "no geometry", ""),
        (Polygon(), "empty geometry", ""),
        (Point(1, 1), "no polygon", "point"),
        (LineString([(0, 0), (1, 1)]), "no polygon", "linestring"),
        (BOW_TIE, "invalid", "self-intersection"),
        (Polygon(box(0, 0, 2, 2).exterior, [box(3, 3, 4, 4).exterior]), "invalid", "hole lies outside shell"),
        (MultiPolygon([box(0, 0, 2, 2), box(1, 1, 3, 3)]), "invalid", "self-intersection"),
        (wkt("POLYGON ((0 0, NaN 1, 1 0, 0 0))"), "not finite", ""),
        (wkt("POLYGON ((0 0, Infinity 1, 1 0, 0 0))"), "not finite", ""),
        (SPIKED, "spike", ""),
        (MultiPolygon([box(10, 0, 12, 2), SPIKED]), "spike", ""),
        (box(0, 0, 0.5, 0.5), "small area", ""),
    ],
)  # fmt: skip
def test_what_is_found(geometry: object, kind: str | None, note: str) -> None:
    geometries = np.array([box(50, 50, 60, 60), geometry], dtype=object)
    notes = np.full(2, "", dtype=object)
    found = join_faults([*iter_shape_faults(geometries, np.array([7, 8]), notes, spike_degrees=0.1, min_area=1.0)])
    assert found.kind.tolist() == ([] if kind is None else [kind])
    assert found.fid.tolist() == ([] if kind is None else [8])
    assert found.note.tolist() == ([] if kind is None else [note])


def test_what_cannot_be_read_is_invalid() -> None:
    geometries, notes = np.array([box(0, 0, 2, 2), None], dtype=object), np.array(["", "cannot be read"], dtype=object)
    found = join_faults([*iter_shape_faults(geometries, np.arange(2), notes, spike_degrees=0.1, min_area=0)])
    assert (found.kind.tolist(), found.note.tolist()) == (["invalid"], ["cannot be read"])


def test_places_and_sizes() -> None:
    geometries = np.array([BOW_TIE, SPIKED, box(0, 0, 1, 1)], dtype=object)
    notes = np.full(3, "", dtype=object)
    found = join_faults([*iter_shape_faults(geometries, np.arange(3), notes, spike_degrees=0.1, min_area=2.0)])
    assert found.kind.tolist() == ["invalid", "spike", "small area"]
    assert found.point[:2].tolist() == [[1, 1], [2, 40]]
    assert found.size[1] == pytest.approx(np.degrees(2 * np.arctan(0.0001 / 36)), rel=1e-6)
    assert found.size[2] == 1


def test_a_repeated_point_is_no_spike() -> None:
    repeated = shapely.from_wkt("POLYGON ((0 0, 0 0, 4 0, 4 4, 4 4, 4 4, 0 4, 0 0, 0 0))")
    geometries, notes = np.array([repeated], dtype=object), np.array([""], dtype=object)
    found = join_faults([*iter_shape_faults(geometries, np.arange(1), notes, spike_degrees=10, min_area=0)])
    assert found.kind.tolist() == []
