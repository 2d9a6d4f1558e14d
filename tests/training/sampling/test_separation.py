"""Boundaries of objects as a target: by hand, against brute force, and turned and mirrored with their chips."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.windows import Window
from shapely.geometry import box

from geodeeplab.errors import OptionError
from geodeeplab.models import ModelClass
from geodeeplab.training import IGNORE_INDEX, TrainingData, prepare_data
from geodeeplab.training.sampling.crop import CellMask, Crop, read_crop, read_square
from geodeeplab.training.sampling.separation import Separation, boundary_target, separation_of
from geodeeplab.training.scenes.held import Gain, HeldScene
from geodeeplab.training.scenes.labelled import LabelledScene

HOUSES = [box(4, 4, 12, 12), box(12, 4, 20, 12), box(4, 14, 12, 22)]
"""In pixels from the scene's corner: two that touch, and one two pixels below the first."""


def drawn(text: str) -> npt.NDArray[np.int32]:
    """Read a map of objects: letters, and dots where there is none."""
    return np.array([[-1 if one == "." else ord(one) for one in row] for row in text.split()], dtype=np.int32)


def marked(target: npt.NDArray[np.uint8]) -> str:
    return " ".join("".join({0: ".", 1: "#", IGNORE_INDEX: "?"}[one] for one in row) for row in target.tolist())


def test_squares_that_touch_have_a_line_of_twice_the_width_between_them() -> None:
    objects = drawn("......... ......... .aaabbb.. .aaabbb.. .aaabbb.. ......... .........")
    found = marked(boundary_target(objects, np.ones(objects.shape, dtype=np.bool_), 1)).split()
    assert found[3] == "?#.##.#.?"
    assert found[2] == found[4] == "?######.?"
    assert found[1] == found[5] == "?..##...?"  # near both


def test_a_gap_is_filled_where_two_objects_are_near_and_an_inlet_of_one_is_not() -> None:
    known = np.ones((7, 9), dtype=np.bool_)
    apart = drawn("......... ......... .aaa.bbb. .aaa.bbb. .aaa.bbb. ......... .........")
    assert marked(boundary_target(apart, known, 1)).split()[3] == "?#.###.#?"
    inlet = np.where(apart == ord("b"), np.int32(ord("a")), apart)
    assert marked(boundary_target(inlet, known, 1)).split()[3] == "?#.#.#.#?"


def test_what_nobody_knows_is_ignored() -> None:
    objects = drawn("aaaaa aaaaa aaaaa aaaaa aaaaa")
    known = np.ones((5, 5), dtype=np.bool_)
    known[:, 4] = False
    assert marked(boundary_target(objects, known, 1)) == "????? ?..?? ?..?? ?..?? ?????"


maps = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 2))


def brute_force(objects: npt.NDArray[np.int32], known: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.uint8]:
    target = np.zeros(objects.shape, dtype=np.uint8)
    height, columns = objects.shape
    for row, col in np.ndindex(objects.shape):
        near = [(i, j) for i in range(row - width, row + width + 1) for j in range(col - width, col + width + 1)]
        there = [(i, j) for i, j in near if 0 <= i < height and 0 <= j < columns and known[i, j]]
        around = {int(objects[one]) for one in there}
        own = int(objects[row, col])
        is_on = known[row, col] and (bool(around - {own}) if own >= 0 else len(around - {-1}) > 1)
        target[row, col] = 1 if is_on else (0 if len(there) == len(near) else IGNORE_INDEX)
    return target


@given(maps, st.integers(1, 3), st.data())
def test_it_is_what_brute_force_gives(objects: npt.NDArray[np.int32], width: int, data: st.DataObject) -> None:
    known = data.draw(hnp.arrays(np.bool_, objects.shape))
    np.testing.assert_array_equal(boundary_target(objects, known, width), brute_force(objects, known, width))


@given(maps, st.integers(1, 3), st.integers(0, 3), st.booleans())
def test_turned_and_mirrored_maps_have_turned_and_mirrored_targets(
    objects: npt.NDArray[np.int32], width: int, quarters: int, mirrored: bool
) -> None:
    def change(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        turned = np.rot90(values, quarters)
        return turned[:, ::-1] if mirrored else turned

    known = objects != 2
    changed = boundary_target(change(objects), change(known), width)
    np.testing.assert_array_equal(changed, change(boundary_target(objects, known, width)))


@given(hnp.arrays(np.uint8, (7, 8), elements=st.sampled_from([0, 1, 2, IGNORE_INDEX])))
def test_components_of_one_class_are_objects_where_nobody_says(labels: npt.NDArray[np.uint8]) -> None:
    import rasterio.features

    values = np.where(labels == IGNORE_INDEX, 0, labels + 1).astype(np.uint8)
    wanted = np.isin(labels, [1, 2])
    objects = np.full(labels.shape, -1, dtype=np.int32)
    for number, (shape, _) in enumerate(rasterio.features.shapes(values, mask=wanted, connectivity=4)):
        objects[rasterio.features.rasterize([(shape, 1)], out_shape=labels.shape) == 1] = number
    expected = boundary_target(objects, labels != IGNORE_INDEX, 1)
    np.testing.assert_array_equal(Separation(classes=(1, 2), boundary_px=1).target(labels, None), expected)


# ---------------------------------------------------------------------------------------------------------------------
# Chips of a scene


@pytest.fixture
def houses(make_raster: Callable[..., Path], blocks: Callable[..., npt.NDArray[np.uint8]]) -> TrainingData:
    scene = make_raster(blocks(96, 96))
    shapes = [box(500_000 + a, 5_000_000 - d, 500_000 + c, 5_000_000 - b) for a, b, c, d in (h.bounds for h in HOUSES)]
    shapes += [box(500_000 + x, 4_999_920, 500_000 + x + 8, 4_999_940) for x in range(8, 80, 8)]  # a terrace
    layer = gpd.GeoDataFrame(geometry=shapes, crs="EPSG:32633")
    return prepare_data(
        scenes=scene,
        labels=layer,
        classes=["house", "ground"],
        background="ground",
        chip_size=32,
        batch_size=2,
        block_size=16,
        buffer=0,
        epoch_chips=4,
    )


def scene_of(data: TrainingData) -> HeldScene:
    return data.train._scenes[0]  # type: ignore[attr-defined, no-any-return]


def read(data: TrainingData, crop: Crop) -> npt.NDArray[np.uint8]:
    chip = read_crop(
        scene_of(data),
        crop,
        chip_size=24,
        readable=CellMask(np.ones((100, 100), np.bool_), 1),
        separation=Separation(classes=(0,), boundary_px=1),
    )
    assert chip.boundary is not None
    return chip.boundary.numpy()


def test_houses_that_touch_keep_their_own_boundaries(houses: TrainingData) -> None:
    target = read(houses, Crop(row=13.0, col=13.0))  # the chip begins at pixel (1, 1)
    assert target[4, 10] == target[4, 11] == 1  # on both sides of the common edge
    assert target[6, 6] == target[6, 15] == 0  # within
    assert (target[3:12, [3, 10, 11, 18]] == 1)[1:-1].all()
    wide = Separation(classes=(0,), boundary_px=2).target
    square = read_square(
        scene_of(houses), 0, 0, chip_size=24, readable=CellMask(np.ones((100, 100), np.bool_), 1)
    ).labels.numpy()
    assert wide(square, scene_of(houses).read_objects(_window(24)))[13, 6:10].tolist() == [1] * 4  # the gap


def _window(side: int) -> Window:
    return Window(0, 0, side, side)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_target_of_a_turned_chip_is_the_turned_target(houses: TrainingData, quarters: int, mirrored: bool) -> None:
    whole = read(houses, Crop(row=13.0, col=13.0))
    crop = Crop(row=13.0, col=13.0, angle=quarters * math.pi / 2, is_mirrored=mirrored)
    expected = np.rot90(whole, quarters)
    np.testing.assert_array_equal(read(houses, crop), expected[:, ::-1] if mirrored else expected)


def test_boundaries_are_drawn_at_the_chip_s_pixels_not_scaled_with_them(houses: TrainingData) -> None:
    zoomed = read(houses, Crop(row=8.0, col=12.0, zoom=2.0))  # the common edge lies in its middle
    assert (zoomed[12] == 1).nonzero()[0].tolist() == [11, 12]


def test_chips_have_the_boundaries_beside_the_labels_that_they_had(houses: TrainingData) -> None:
    separated = houses.separating(["house"])
    assert (separated.instances, houses.instances) == (("house",), ())
    assert "objects  of house, told apart by boundaries of 2 px" in str(separated.describe())
    for before, after in ((houses.train, separated.train), (houses.val, separated.val)):
        for index in range(len(before)):
            one, other = before.draw(index), after.draw(index)
            assert one.boundary is None
            assert other.boundary is not None
            np.testing.assert_array_equal(one.pixels, other.pixels)
            np.testing.assert_array_equal(one.labels, other.labels)
            assert (other.boundary.numpy()[one.labels.numpy() == IGNORE_INDEX] == IGNORE_INDEX).all()
    assert separated.separating([]).train.draw(0).boundary is None


def test_classes_and_widths_that_cannot_be_are_refused(houses: TrainingData) -> None:
    with pytest.raises(OptionError, match=r"no class is called 'roof'.*of house, ground"):
        houses.separating(["roof"])
    with pytest.raises(OptionError, match="names a class twice"):
        houses.separating(["house", "house"])
    with pytest.raises(OptionError, match="a boundary is 1 to 16 pixels wide, not 0"):
        houses.separating(["house"], boundary_px=0)
    found = separation_of([ModelClass(id=4, name="a", color=(0, 0, 0))], ["a"], boundary_px=1)
    assert found == Separation(classes=(0,), boundary_px=1)


def test_scaled_scenes_have_their_objects(make_raster: Callable[..., Path], houses: TrainingData) -> None:
    from fractions import Fraction

    from geodeeplab.training.scenes.zoomed import ZoomedScene

    scene: LabelledScene = scene_of(houses).scene
    zoomed = HeldScene(ZoomedScene(scene, (Fraction(2), Fraction(2))), gain=Gain(gain=(1.0,) * 3, bias=(0.0,) * 3))
    whole = scene.read_objects(_window(96))
    double = zoomed.read_objects(_window(192))
    assert whole is not None
    assert double is not None
    np.testing.assert_array_equal(double, whole.repeat(2, 0).repeat(2, 1))
