"""What lies between neighbours, beside what GEOS says of the same polygons."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely import Polygon, box

from geodeeplab.vector.checking import windows
from geodeeplab.vector.checking.coverage import CoverageCheck
from geodeeplab.vector.checking.faults import Faults, join_faults
from geodeeplab.vector.checking.windows import WindowFiles, plan_windows
from tests.examples import examples
from tests.vector.polygon_batches import batch_of_labels


def look(*polygons: Any, gap_width: float = np.inf) -> Faults:  # noqa: ANN401 - shapely geometries
    geometries = np.array(polygons, dtype=object)
    coverage = CoverageCheck(tolerance=1e-6, gap_width=gap_width)
    everywhere = (-np.inf, -np.inf, np.inf, np.inf)
    found = [
        *coverage.iter_faults(geometries, np.arange(len(geometries)), everywhere),
        coverage.last_faults(lambda: [geometries]),
    ]
    return join_faults(found)


def kinds(faults: Faults) -> list[tuple[str, int, int]]:
    return list(zip(faults.kind.tolist(), faults.fid.tolist(), faults.other.tolist(), strict=True))


def labels(seed: int, side: int = 24) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 4, (side, side)).astype(np.uint8)


def traced(values: NDArray[np.uint8], *, multi: bool = False) -> NDArray[Any]:
    """Polygons of labels, with a vertex at every corner of a pixel that they pass."""
    return shapely.segmentize(  # type: ignore[no-any-return]
        batch_of_labels(values, multi=multi).geometries(), 1.0
    )


@pytest.mark.parametrize("multi", [False, True])
def test_traced_labels_are_a_coverage(multi: bool) -> None:
    polygons = traced(labels(1), multi=multi)
    assert shapely.coverage_is_valid(polygons)
    assert kinds(look(*polygons, gap_width=0)) == []


@pytest.mark.parametrize(
    ("polygons", "expected"),
    [
        ([box(0, 0, 1, 1), box(1, 0, 2, 1)], []),
        ([box(0, 0, 1, 1), box(1, 1, 2, 2)], []),  # corner to corner
        ([box(0, 0, 9, 9) - box(2, 2, 3, 3), box(2, 2, 3, 3)], []),
        ([box(0, 0, 1, 1), box(0.9, 0, 2, 1)], [("overlap", 0, 1)]),
        ([box(0, 4, 9, 6), box(4, 0, 6, 9)], [("overlap", 0, 1)]),  # no vertex of one in the other
        ([box(0, 0, 9, 9), box(2, 2, 3, 3)], [("overlap", 0, 1)]),  # no edge meets another
        ([box(0, 0, 9, 9) - box(3, 3, 6, 6), box(2, 2, 7, 7)], [("overlap", 0, 1)]),  # over a hole
        ([box(0, 0, 9, 9), box(2, 2, 4, 4), box(4, 2, 6, 4)], [("overlap", 0, 1), ("overlap", 0, 2)]),
        ([box(0, 0, 1, 1), box(0, 0, 1, 1)], [("duplicate", 0, 1)]),
        ([box(0, 0, 1, 1), Polygon([(1, 0), (2, 0), (2, 1), (1, 1), (1, 0.5)])], [("edge mismatch", 0, 1)]),
        ([box(0, 0, 1, 1), Polygon([(1, 0.5), (2, 0), (2, 1)])], [("edge mismatch", 0, 1)]),
        ([box(0, 0, 1, 1), box(1, 0.5, 2, 1.5)], [("edge mismatch", 0, 1)]),
        ([box(0, 0, 9, 9) - box(2, 2, 3, 3)], [("gap", -1, -1)]),
        ([box(0, 0, 9, 9) - box(2, 2, 5, 5), box(3, 3, 4, 4)], [("gap", -1, -1)]),  # with an island
        ([shapely.MultiPolygon([box(0, 0, 1, 1), box(2, 0, 3, 1)]), box(0.5, 0, 2.5, 1)], [("overlap", 0, 1)] * 2),
    ],
)  # fmt: skip
def test_what_is_found(polygons: list[Any], expected: list[tuple[str, int, int]]) -> None:
    found = look(*polygons)
    assert kinds(found) == expected
    assert shapely.coverage_is_valid(polygons) == all(kind == "gap" for kind, *_ in expected)
    assert np.isfinite(found.point).all()


def test_sizes_and_shapes() -> None:
    found = look(box(0, 0, 9, 9) - box(2, 2, 5, 5), box(3, 3, 4, 4), box(8, 0, 12, 9))
    assert found.kind.tolist() == ["overlap", "gap"]
    assert found.size.tolist() == [9, 8]
    assert shapely.equals(found.shape, [box(8, 0, 9, 9), box(2, 2, 5, 5) - box(3, 3, 4, 4)]).all()


def test_only_narrow_holes_are_gaps() -> None:
    ring = box(0, 0, 9, 9) - box(2, 2, 8, 2.1) - box(4, 4, 6, 6)
    assert look(ring, gap_width=0.5).size.tolist() == pytest.approx([0.6])
    assert look(ring).size.tolist() == pytest.approx([0.6, 4])
    assert len(look(ring, gap_width=0)) == 0


@settings(max_examples=examples(15))
@given(seed=st.integers(0, 1000), moved=st.integers(0, 200), by=st.sampled_from([0.25, 1.0, 3.5]))
def test_agrees_with_geos_on_what_is_a_coverage(seed: int, moved: int, by: float) -> None:
    polygons = traced(labels(seed, 12))
    polygons[moved % len(polygons)] = shapely.transform(polygons[moved % len(polygons)], lambda points: points + by)
    assert (len(look(*polygons, gap_width=0)) == 0) == shapely.coverage_is_valid(polygons)


@pytest.mark.parametrize("with_overlaps", [False, True])
@pytest.mark.parametrize("seed", range(3, 7))
@pytest.mark.parametrize("multi", [False, True])
def test_windows_do_not_show(
    multi: bool, seed: int, with_overlaps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "MANY_RINGS", 3)
    monkeypatch.setattr(windows, "WINDOW_FEATURES", 7)
    values = labels(seed)
    values[5:20, 3:18] = 1  # a large polygon, with holes
    values[::4, 10:14] = 2
    polygons = traced(values, multi=multi)
    gap_width = np.inf
    if with_overlaps:  # which cut gaps into pieces, in one window and not in another
        polygons = np.array([*polygons, box(3.3, 3.3, 9.7, 15.2), box(20.5, -1, 21.5, 30)], dtype=object)
        gap_width = 0
    whole = look(*polygons, gap_width=gap_width)
    planned = plan_windows(shapely.bounds(polygons), shapely.get_num_coordinates(polygons).astype(np.int64))
    assert multi or len(planned) > 20
    files = WindowFiles(tmp_path, planned)
    for start in range(0, len(polygons), 50):
        files.add(polygons[start : start + 50], np.arange(start, min(start + 50, len(polygons))))
    coverage = CoverageCheck(tolerance=1e-6, gap_width=gap_width)
    found = [one for i, window in enumerate(planned) for one in coverage.iter_faults(*files.take(i), window)]
    parts = join_faults([*found, coverage.last_faults(lambda: [polygons[:30], polygons[30:]])])
    assert set(whole.kind) == {"overlap" if with_overlaps else "gap"}
    assert kinds(parts) == kinds(whole)
    np.testing.assert_allclose(np.sort(parts.size), np.sort(whole.size))


def test_windows_share_out_the_plane() -> None:
    random = np.random.default_rng(1)
    corners = random.random((60_000, 2)) * 100
    boxes = np.column_stack([corners, corners + random.random((60_000, 2))])
    planned = plan_windows(boxes, np.full(60_000, 5))
    points = random.random((1000, 2)) * 120 - 10
    assert len(planned) == 4
    assert (np.sum([windows.holds(one, points) for one in planned], axis=0) == 1).all()


def test_features_in_one_place_are_one_window() -> None:
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (30_000, 1))
    assert len(plan_windows(boxes, np.full(30_000, 5))) == 1
    assert len(plan_windows(np.empty((0, 4)), np.empty(0, np.int64))) == 1
