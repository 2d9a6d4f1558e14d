from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.raster.spool.boxes import Box, Boxes, Frontier, contains, iter_bands, overlap_pixels


@st.composite
def tilings(draw: st.DrawFn, side: int = 12) -> list[Box]:
    """Boxes that tile a square: it is halved again and again."""
    todo, done = [(0, side, 0, side)], list[Box]()
    while todo:
        top, bottom, left, right = todo.pop()
        vertical = draw(st.booleans())
        low, high = (left, right) if vertical else (top, bottom)
        cut = draw(st.integers(low, high))
        if cut in (low, high):
            done.append((top, bottom, left, right))
        elif vertical:
            todo += [(top, bottom, left, cut), (top, bottom, cut, right)]
        else:
            todo += [(top, cut, left, right), (cut, bottom, left, right)]
    return done


@given(tilings(), st.randoms(use_true_random=False), st.data())
def test_boxes_agree_with_a_picture_of_them(tiling: list[Box], random: object, data: st.DataObject) -> None:
    kept = [box for box in tiling if data.draw(st.booleans())]
    boxes, picture = Boxes(), np.zeros((12, 12), dtype=bool)
    for box in kept:
        boxes.add(box)
        picture[box[0] : box[1], box[2] : box[3]] = True
    top, left = data.draw(st.integers(0, 11)), data.draw(st.integers(0, 11))
    asked = (top, data.draw(st.integers(top + 1, 12)), left, data.draw(st.integers(left + 1, 12)))
    part = picture[asked[0] : asked[1], asked[2] : asked[3]]
    missing = np.flatnonzero(~part.all(axis=1))
    assert boxes.first_missing_row(asked) == (asked[0] + missing[0] if missing.size else asked[1])
    touching = boxes.touching(asked)
    assert sorted(touching) == sorted(box for box in kept if _overlap(box, asked))
    assert [box[0] for box in touching] == sorted(box[0] for box in touching)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


@given(tiling=tilings(), random=st.randoms(use_true_random=False))
def test_the_frontier_is_the_first_missing_row(tiling: list[Box], random: Random) -> None:
    random.shuffle(tiling)
    height, width = max(box[1] for box in tiling), max(box[3] for box in tiling)
    boxes, frontier = Boxes(), Frontier(width)
    for box in tiling:
        boxes.add(box)
        frontier.add(box)
        assert frontier.row == boxes.first_missing_row((0, height, 0, width))
    assert frontier.row == height


def test_overlap_pixels() -> None:
    assert overlap_pixels((0, 4, 0, 4), (2, 9, 3, 9)) == 2
    assert overlap_pixels((0, 4, 0, 4), (4, 9, 0, 4)) == overlap_pixels((0, 4, 0, 4), (5, 9, 6, 9)) == 0


def test_a_thousand_boxes() -> None:
    boxes = Boxes()
    for row in range(1000):
        if row % 100 == 0:
            assert boxes.first_missing_row((0, 1000, 0, 5)) == row
        boxes.add((row, row + 1, 0, 5))
    assert boxes.first_missing_row((0, 1000, 0, 5)) == 1000
    assert boxes.first_missing_row((990, 1000, 2, 6)) == 990


def test_contains() -> None:
    assert contains((0, 4, 0, 4), (0, 4, 3, 4))
    assert not contains((0, 4, 0, 4), (0, 4, 3, 5))
    assert not contains((0, 4, 0, 4), (2, 2, 0, 4))


@given(st.sets(st.integers(1, 60), min_size=1), st.integers(1, 70))
def test_bands_partition_the_rows_and_end_at_stops(stops: set[int], height: int) -> None:
    bands = list(iter_bands(sorted(stops), height))
    assert [start for start, _ in bands] == [0, *(stop for _, stop in bands[:-1])]
    assert bands[-1][1] == max(stops)
    for start, stop in bands:
        assert 0 < stop - start <= height
        assert stop in stops or not any(start < one <= start + height for one in stops)
