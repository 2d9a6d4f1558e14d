"""Polygons that are asked by points."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geodeeplab.vector.checking.tree import PolygonTree
from tests.examples import examples


@settings(max_examples=examples(15), deadline=None)
@given(seed=st.integers(0, 10_000))
def test_points_lie_where_each_polygon_says_it_does(seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = random.integers(0, 6, (7, 2))
    polygons = shapely.box(*corners.T, *(corners + random.integers(1, 3, (7, 2))).T)
    points = shapely.points(random.integers(0, 13, (40, 2)) / 2)  # many lie on edges
    tree = PolygonTree(polygons)
    each = np.array([[polygon.covers(point) for polygon in polygons] for point in points])
    assert tree.covers(points).tolist() == each.any(axis=1).tolist()
    near = set(zip(*(one.tolist() for one in tree.near(points)), strict=True))
    assert {(i, j) for i, j in np.argwhere(each).tolist()} <= near


def test_nothing_lies_in_nothing() -> None:
    tree = PolygonTree(np.empty(0, dtype=object))
    assert tree.covers(shapely.points([[0.0, 0.0]])).tolist() == [False]
