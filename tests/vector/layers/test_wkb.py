from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from geodeeplab.vector.layers.slices import iter_slices, slice_batch
from geodeeplab.vector.layers.wkb import wkb_of, wkb_offsets
from geodeeplab.vector.trace.batch import PolygonBatch
from tests.vector.polygon_batches import batch_of, batch_of_labels

label_rasters = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)).filter(
    lambda labels: bool(labels.any())
)


def features_of(batch: PolygonBatch) -> list[bytes]:
    buffer, offsets = wkb_of(batch)
    return [buffer[start:stop].tobytes() for start, stop in pairwise(offsets)]


@given(labels=label_rasters, multi=st.booleans())
def test_bytes_are_those_of_shapely(labels: NDArray[np.uint8], multi: bool) -> None:
    batch = batch_of_labels(labels, multi=multi)
    assert features_of(batch) == shapely.to_wkb(batch.geometries(), byte_order=1).tolist()


def test_a_square_with_a_hole_by_hand() -> None:
    square = shapely.box(0, 0, 3, 3) - shapely.box(1, 1, 2, 2)
    (wkb,) = features_of(batch_of([square]))
    assert len(wkb) == 9 + 2 * 4 + 10 * 16
    assert wkb[:13] == bytes([1, 3, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0])


def test_an_empty_batch_has_no_bytes() -> None:
    batch = slice_batch(batch_of([shapely.box(0, 0, 1, 1)]), 0, 0)
    buffer, offsets = wkb_of(batch)
    assert (buffer.size, offsets.tolist()) == (0, [0])


def test_points_may_be_a_view_of_other_rows() -> None:
    batch = batch_of([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)])
    backwards = np.asfortranarray(batch.points)
    moved = PolygonBatch(**{**vars(batch), "points": backwards})
    assert features_of(moved) == features_of(batch)


@given(labels=label_rasters, multi=st.booleans(), max_bytes=st.integers(1, 2000), max_features=st.integers(1, 9))
def test_slices_are_the_batch_in_pieces_within_the_limits(
    labels: NDArray[np.uint8],
    multi: bool,
    max_bytes: int,
    max_features: int,
) -> None:
    batch = batch_of_labels(labels, multi=multi, confidence=True)
    slices = list(iter_slices([batch, batch], max_bytes=max_bytes, max_features=max_features))
    assert [wkb for piece in slices for wkb in features_of(piece)] == features_of(batch) * 2
    for piece in slices:
        assert 1 <= len(piece) <= max_features
        assert len(piece) == 1 or wkb_offsets(piece)[-1] <= max_bytes
        assert piece.geometries().size == len(piece)
    for name in ("class_ids", "area_m2", "perimeter_m", "confidence_mean", "confidence_min"):
        joined = np.concatenate([getattr(piece, name) for piece in slices])
        np.testing.assert_array_equal(joined, np.tile(getattr(batch, name), 2))


@pytest.mark.parametrize("multi", [False, True])
def test_slices_are_as_large_as_they_may_be(multi: bool) -> None:
    labels = np.arange(1, 101, dtype=np.int32).reshape(10, 10)
    batch = batch_of_labels(labels, multi=multi)
    each = int(wkb_offsets(batch)[1])
    assert [len(piece) for piece in iter_slices([batch], max_bytes=30 * each)] == [30, 30, 30, 10]
