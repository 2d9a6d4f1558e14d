"""The seam metric on arrays that fit in the head, and what a study keeps."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

import seams
from seam_metric import (
    SeamCounts,
    StepCounts,
    change_cells,
    compare,
    count_changes,
    count_steps,
    middles,
    near_lines,
    shift_lines,
    write_crop,
)
from seams import Case, append_line, iter_cases, read_done


def test_lines_lie_in_the_middle_of_the_overlaps() -> None:
    assert middles([0, 384, 768], 512) == [448, 832]
    assert middles([0, 512], 512) == [512]
    assert middles([0, 8, 12], 10) == [9, 15]  # the last tile moved inwards
    assert middles([0], 512) == []


def test_lines_of_a_case_follow_its_lattice() -> None:
    case = Case(tile_size=10, overlap=2, blend="hann")
    assert case.half_stride == 4
    assert case.lines((26, 18)) == ([9, 17], [9])
    assert shift_lines(case.lines((26, 18)), 4, -1) == ([13, 21], [8])


def test_near_is_eight_pixels_on_either_side() -> None:
    near = near_lines((40, 60), ([10], [30]), ([], [57]))
    assert np.flatnonzero(near[39]).tolist() == [*range(22, 38), *range(49, 60)]
    assert np.flatnonzero(near[:, 0]).tolist() == list(range(2, 18))
    assert near[5].all()
    assert not near_lines((5, 5), ([], [])).any()
    assert np.flatnonzero(near_lines((1, 40), ([], [-4, -20]))[0]).tolist() == [0, 1, 2, 3]


def test_changes_are_counted_near_and_elsewhere() -> None:
    first = np.array([[1, 1, 2, 2, 0], [1, 1, 2, 2, 1]], dtype=np.uint8)
    second = np.array([[1, 2, 2, 1, 1], [0, 2, 2, 2, 1]], dtype=np.uint8)
    near = np.zeros((2, 5), dtype=np.bool_)
    near[:, 1:3] = True
    counts = count_changes(first, second, near)
    assert counts == SeamCounts(changed_near=2, near=4, changed_elsewhere=1, elsewhere=4)
    assert counts.ratio == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("numbers", "ratio"), [((1, 4, 0, 4), math.inf), ((0, 4, 0, 4), math.nan), ((0, 0, 1, 4), math.nan)]
)
def test_a_ratio_without_changes_elsewhere(numbers: tuple[int, int, int, int], ratio: float) -> None:
    changed_near, near, changed_elsewhere, elsewhere = numbers
    counts = SeamCounts(changed_near=changed_near, near=near, changed_elsewhere=changed_elsewhere, elsewhere=elsewhere)
    assert counts.ratio == pytest.approx(ratio, nan_ok=True)


def test_steps_are_counted_at_the_lines_of_the_lattice_that_made_them() -> None:
    ground = np.ones((4, 60), dtype=np.uint8)
    ground[:1] = 2  # one row of another class, across the horizontal line at 1 only
    first, second = ground.copy(), ground.copy()
    first[2:, 20:] = 3  # two rows step at the first lattice's vertical line
    second[1:2, 40:] = 3  # one row at the second's
    counts = count_steps(first, second, ([1], [20]), ([], [40]))
    assert counts == StepCounts(at_lines=60 + 2 + 1, without_lines=60, pairs=60 + 4 + 4)
    assert counts.ratio == pytest.approx(63 / 60)
    second[2, 20] = 0  # nodata: its pairs do not count
    assert count_steps(first, second, ([1], [20]), ([], [40])).pairs == 60 + 3 + 4
    assert math.isnan(count_steps(ground, ground, ([], [20]), ([], [])).ratio)
    assert count_steps(first, ground, ([], [20]), ([], [])).ratio == math.inf


def test_both_ratios_of_a_hard_line() -> None:
    first, second = np.ones((64, 64), dtype=np.uint8), np.ones((64, 64), dtype=np.uint8)
    first[::2, 26:32] = 2  # changes left of the line at 32, and nowhere else
    first[:, 0] = 2
    found = compare(first, second, ([], [32]), ([], []))
    assert (found["changed_near"], found["near"]) == (32 * 6, 64 * 16)
    assert (found["changed_elsewhere"], found["elsewhere"]) == (64, 64 * 48)
    assert found["ratio"] == pytest.approx((192 / 1024) / (64 / 3072))
    assert (found["at_lines"], found["without_lines"], found["step_ratio"]) == (32, 0, math.inf)
    assert "(192 of 1,024)" in change_cells(found)


def test_without_overlap_there_is_nothing_to_blend() -> None:
    cases = list(iter_cases(seams.TILES, seams.OVERLAPS, seams.BLENDS))
    assert len(cases) == 3 * (1 + 3 * 3)
    assert sum(case.overlap == 0 for case in cases) == 3


def test_no_case_reaches_a_pixel_that_is_compared() -> None:
    for case in iter_cases(seams.TILES, seams.OVERLAPS, seams.BLENDS):
        assert case.half_stride + case.overlap <= seams.LEAD
        assert case.overlap <= seams.TRAIL


def test_a_crop_keeps_pixels_places_and_nodata(make_raster: Callable[..., Path], tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 40, 50), dtype=np.uint8)
    path = make_raster(image, names=("r", "g", "b"), nodata=7)
    write_crop(path, tmp_path / "crop.tif", top=4, left=6, bottom=1, right=2)
    with rasterio.open(path) as src, rasterio.open(tmp_path / "crop.tif") as dst:
        np.testing.assert_array_equal(dst.read(), image[:, 4:39, 6:48])
        assert dst.transform @ (0, 0) == src.transform @ (6, 4)
        assert (dst.crs, dst.nodata, dst.descriptions) == (src.crs, src.nodata, src.descriptions)


def test_finished_cases_are_read_and_torn_lines_are_not(tmp_path: Path) -> None:
    path = tmp_path / "new" / "seams.jsonl"
    row = {"scene": "a", "shape": [3, 4], "tile_size": 512, "overlap": 0, "blend": "none", "ratio": 1.5}
    row |= {"device": "auto", "precision": "auto"}
    append_line(path, row)
    with open(path, "a") as file:
        file.write('{"scene": "b", "sha')
    append_line(path, row | {"overlap": 64})
    done = read_done(path)
    assert [json.loads(key)["overlap"] for key in done] == [0, 64]
    assert next(iter(done.values())) == row
    assert read_done(tmp_path / "none.jsonl") == {}
