"""Arcs come back as they were put, from memory and from disk."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodeeplab.vector.trace import arc_store
from geodeeplab.vector.trace.arc_store import ArcStore

corners = st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
arcs = st.lists(st.lists(corners, min_size=2, max_size=6), min_size=1, max_size=5)
Flat = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8]]


def flat(lines: list[list[tuple[int, int]]]) -> Flat:
    points = np.array([point for line in lines for point in line], np.int64).astype(np.int32)
    offsets = np.cumsum([0, *map(len, lines)]).astype(np.int64)
    directions = np.array([[len(line) % 4, index % 4] for index, line in enumerate(lines)], np.uint8)
    return points, offsets, directions


@given(lines=arcs, order=st.randoms())
def test_any_arcs_in_any_order(lines: list[list[tuple[int, int]]], order: np.random.Generator) -> None:
    store = ArcStore()
    points, offsets, directions = flat(lines)
    places = store.put(points, offsets, directions)
    which = list(range(len(lines)))
    order.shuffle(which)
    found, found_offsets, found_directions = store.get(places[which])
    for index, arc in enumerate(which):
        a, b = found_offsets[index : index + 2]
        np.testing.assert_array_equal(found[a:b], points[offsets[arc] : offsets[arc + 1]])
    np.testing.assert_array_equal(found_directions, directions[which])


def test_what_does_not_fit_into_memory_goes_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arc_store, "SEGMENT_BYTES", 2000)
    store = ArcStore(tmp_path, memory_bytes=4000)
    rng = np.random.default_rng(5)
    batches = []
    for _ in range(40):
        points = rng.integers(0, 10_000, (60, 2)).cumsum(axis=0).astype(np.int32)
        offsets = np.array([0, 25, 60])
        batches.append((points, store.put(points, offsets, np.zeros((2, 2), np.uint8))))
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.iterdir())) > 2
    found, _, _ = store.get(np.concatenate([places for _, places in batches]))
    np.testing.assert_array_equal(found, np.concatenate([points for points, _ in batches]))
    for _, places in batches[:-1]:
        store.drop(places)
    assert len(list(folder.iterdir())) == 0
    np.testing.assert_array_equal(store.get(batches[-1][1])[0], batches[-1][0])
    store.close()
    assert not list(tmp_path.iterdir())
