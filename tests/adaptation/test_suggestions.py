"""Windows are in doubt, apart, unlike each other, inside their scenes, and not where polygons are."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodeeplab.adaptation.samples import Cells
from geodeeplab.adaptation.suggestions import SuggestedWindow, choose_windows
from geodeeplab.errors import OptionError

PX = 64


def ground(height: int, width: int, *, step: int = 16, scene: int = 0) -> Cells:
    """Give cells on a grid, whose features are noise."""
    row, col = (one.reshape(-1) for one in np.mgrid[0:height:step, 0:width:step])
    features = np.random.default_rng(scene).normal(size=(len(row), 3)).astype(np.float32)
    return Cells(features=features, scene=np.full(len(row), scene), row=row, col=col)


def members(cells: Cells, split: NDArray[np.bool_], *, strength: float = 0.4) -> NDArray[np.float32]:
    """Give probabilities (2, n, 3) of two members that differ where `split`, about classes 0 and 2."""
    first = np.tile(np.array([0.5, 0.0, 0.5], np.float32), (2, len(cells), 1))
    first[0, split] += [strength, 0, -strength]
    first[1, split] -= [strength, 0, -strength]
    return first


def overlap(a: SuggestedWindow, b: SuggestedWindow) -> bool:
    along = zip((a.row, a.col), (b.row, b.col), a.shape, b.shape, strict=True)
    return a.scene == b.scene and all(i < j + n and j < i + m for i, j, m, n in along)


def test_doubt_is_where_members_disagree_not_where_all_are_unsure() -> None:
    cells = ground(512, 512)
    split = (cells.row // PX == 3) & (cells.col // PX == 5)
    (one,) = choose_windows(cells, members(cells, split), shapes=[(512, 512)], count=1)
    assert (one.rank, one.scene, one.row, one.col, one.shape) == (1, 0, 3 * PX, 5 * PX, (PX, PX))
    assert {one.class_1, one.class_2} == {0, 2}
    assert one.probability_1 == pytest.approx(0.5)
    assert one.disagreement == 1
    assert one.reason(["road", "land", "roof"]) in (
        "road (50%) or roof (50%)? the ensemble disagrees on 100% of it",
        "roof (50%) or road (50%)? the ensemble disagrees on 100% of it",
    )


def test_the_doubt_is_mutual_information() -> None:
    cells = ground(64, 64)
    (one,) = choose_windows(cells, members(cells, np.ones(len(cells), bool), strength=0.5), shapes=[(64, 64)], count=1)
    assert one.doubt == pytest.approx(np.log(2))


def test_the_more_doubt_the_likelier() -> None:
    cells = ground(640, 640, step=8)
    here = cells.col < 320
    both = members(cells, here)
    both[:, ~here] = members(cells, ~here, strength=0.2)[:, ~here]
    found = [choose_windows(cells, both, shapes=[(640, 640)], count=4, seed=seed) for seed in range(60)]
    doubts = {bool(one.col < 320): one.doubt for some in found for one in some}
    share = np.mean([one.col < 320 for some in found for one in some])
    assert share == pytest.approx(doubts[True] / sum(doubts.values()), abs=0.07)
    assert all(list(some) == sorted(some, key=lambda one: -one.doubt) for some in found)


def test_windows_are_spread_over_ground_that_is_all_in_doubt() -> None:
    cells = ground(1024, 1024)
    found = choose_windows(cells, members(cells, np.ones(len(cells), bool)), shapes=[(1024, 1024)], count=12)
    assert len({(one.row // 512, one.col // 512) for one in found}) == 4


@given(
    shape=st.tuples(st.integers(20, 300), st.integers(20, 300)),
    count=st.integers(1, 12),
    px=st.sampled_from([30, 64]),
    seed=st.integers(0, 3),
    drawn=st.integers(0, 5),
)
def test_windows_are_inside_apart_and_not_where_it_was_drawn(
    shape: tuple[int, int], count: int, px: int, seed: int, drawn: int
) -> None:
    cells, random = ground(*shape, step=10), np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(3), (2, len(cells)))
    polygons = cells.take(random.integers(len(cells), size=drawn))
    options = {"shapes": [shape], "count": count, "drawn": polygons, "window_px": px, "seed": seed}
    found = choose_windows(cells, probabilities, **options)  # type: ignore[arg-type]
    assert found == choose_windows(cells, probabilities, **options)  # type: ignore[arg-type]
    assert [one.rank for one in found] == list(range(1, len(found) + 1))
    assert len(found) <= count
    for one in found:
        (height, width), row, col = one.shape, one.row, one.col
        assert (height, width) == (min(px, shape[0]), min(px, shape[1]))
        assert 0 <= row <= shape[0] - height
        assert 0 <= col <= shape[1] - width
        inside = (polygons.row >= row) & (polygons.row < row + height)
        assert not (inside & (polygons.col >= col) & (polygons.col < col + width)).any()
    assert not any(overlap(a, b) for a, b in combinations(found, 2))


def test_scenes_share_the_windows_and_a_small_one_gives_fewer() -> None:
    parts = [ground(100, 200), ground(50, 50, scene=1)]
    cells = Cells(**{name: np.concatenate([vars(one)[name] for one in parts]) for name in vars(parts[0])})
    found = choose_windows(cells, members(cells, np.ones(len(cells), bool)), shapes=[(100, 200), (50, 50)], count=20)
    assert {one.scene for one in found} == {0, 1}
    assert 3 <= len(found) <= 5
    assert next(one.shape for one in found if one.scene == 1) == (50, 50)


def test_an_ensemble_that_agrees_still_spreads() -> None:
    cells = ground(512, 512)
    found = choose_windows(cells, members(cells, np.zeros(len(cells), bool)), shapes=[(512, 512)], count=4)
    assert len(found) == 4
    assert all(one.disagreement == 0 == one.doubt for one in found)


def test_all_drawn_gives_none() -> None:
    cells = ground(64, 64)
    assert choose_windows(cells, members(cells, cells.row > 0), shapes=[(64, 64)], count=3, drawn=cells) == []


@pytest.mark.parametrize(("count", "px", "classes"), [(0, 64, 3), (1, 0, 3), (1, 64, 1)])
def test_what_is_no_question_is_refused(count: int, px: int, classes: int) -> None:
    cells = ground(64, 64)
    with pytest.raises(OptionError, match="at least"):
        choose_windows(cells, np.ones((2, len(cells), classes)), shapes=[(64, 64)], count=count, window_px=px)
