"""The geometry of chips: against turned arrays, affine fields, and holes that must not bleed."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from geodeeplab.raster import Band, Grid, open_array
from geodeeplab.training import IGNORE_INDEX, Augmentation, LabelledPixels
from geodeeplab.training.sampling.crop import CellMask, Crop, draw_geometry, read_crop, read_square
from geodeeplab.training.scenes.held import Gain, HeldScene

SHAPE = (60, 80)


class _InMemory:
    """A labelled scene of arrays."""

    name, group, files = "memory", None, ()

    def __init__(self, array: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_] | None = None) -> None:
        scene = open_array(array)
        self.grid: Grid = scene.grid
        self.bands: tuple[Band, ...] = scene.bands
        self.array = array
        self.valid = np.ones(array.shape[1:], dtype=np.bool_) if valid is None else valid
        rows, cols = np.indices(array.shape[1:])
        self.labels: npt.NDArray[Any] = np.asarray(((rows // 7 + cols // 5) % 9).astype(np.uint8))

    def read(self, window: Window) -> LabelledPixels:
        rows, cols = window.toslices()
        return LabelledPixels(
            array=self.array[:, rows, cols], valid=self.valid[rows, cols], labels=self.labels[rows, cols]
        )

    def read_objects(self, window: Window) -> None:
        pass

    def close(self) -> None:
        pass


def _held(scene: _InMemory) -> HeldScene:
    bands = len(scene.bands)
    return HeldScene(scene, gain=Gain(gain=(1.0,) * bands, bias=(0.0,) * bands))


def _everything() -> CellMask:
    return CellMask(np.ones((15, 20), dtype=np.bool_), 4)


def _noise() -> _InMemory:
    return _InMemory(np.random.default_rng(0).random((2, *SHAPE)).astype(np.float32))


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_symmetries_of_the_square_are_exact(quarters: int, mirrored: bool) -> None:
    scene = _noise()
    crop = Crop(row=30.0, col=40.0, angle=quarters * math.pi / 2, is_mirrored=mirrored)
    chip = read_crop(_held(scene), crop, chip_size=20, readable=_everything())
    for got, whole in ((chip.pixels.numpy(), scene.array), (chip.labels.numpy(), scene.labels)):
        window = whole[..., 20:40, 30:50]
        expected = np.rot90(window, quarters, axes=(-2, -1))
        # the columns of a chip run along its first axis, mirrored or not; the turn comes after
        expected = expected[..., ::-1] if mirrored else expected
        np.testing.assert_allclose(got, expected, atol=1e-6)
    assert chip.valid.all()


@given(
    row=st.floats(10, 50),
    col=st.floats(10, 70),
    zoom=st.floats(0.5, 3),
    angle=st.floats(-4, 4),
    mirrored=st.booleans(),
)
def test_bilinear_chips_of_a_plane_are_exact(row: float, col: float, zoom: float, angle: float, mirrored: bool) -> None:
    rows, cols = np.indices(SHAPE) + 0.5
    plane = (3 * cols - 2 * rows + 100).astype(np.float32)
    scene = _held(_InMemory(plane[None]))
    crop = Crop(row=row, col=col, zoom=zoom, angle=angle, is_mirrored=mirrored)
    chip = read_crop(scene, crop, chip_size=16, readable=_everything())
    (ax, ay), (bx, by) = crop.axes()
    i, j = np.indices((16, 16)) + 0.5 - 8
    x, y = col + ax * j + bx * i, row + ay * j + by * i
    inner = (x > 1) & (x < 79) & (y > 1) & (y < 59)
    np.testing.assert_allclose(chip.pixels[0].numpy()[inner], (3 * x - 2 * y + 100)[inner], atol=1e-3)
    outside = (x < 0) | (x > 80) | (y < 0) | (y > 60)
    assert not chip.valid.numpy()[outside].any()
    assert (chip.labels.numpy()[outside] == IGNORE_INDEX).all()
    assert chip.valid.numpy()[inner].all()
    own = _InMemory(plane[None]).labels[np.floor(y[inner]).astype(int), np.floor(x[inner]).astype(int)]
    assert (chip.labels.numpy()[inner] == own).mean() > 0.99  # places on an edge may go either way


@given(angle=st.floats(-4, 4), zoom=st.floats(0.6, 2), seed=st.integers(0, 100))
def test_invalid_and_unreadable_pixels_do_not_bleed(angle: float, zoom: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = np.ones((1, *SHAPE), dtype=np.float32)
    valid = rng.random(SHAPE) > 0.3
    cells = rng.random((15, 20)) > 0.3
    readable = cells.repeat(4, axis=0).repeat(4, axis=1)
    array[:, ~(valid & readable)] = 1e9
    crop = Crop(row=30.0, col=40.0, zoom=zoom, angle=angle)
    chip = read_crop(_held(_InMemory(array, valid)), crop, chip_size=24, readable=CellMask(cells, 4))
    np.testing.assert_allclose(chip.pixels[0][chip.valid].numpy(), 1.0, rtol=1e-6)
    assert not chip.pixels[0][~chip.valid].any()
    assert (chip.labels[~chip.valid] == IGNORE_INDEX).all()


def test_a_square_may_reach_beyond_the_scene() -> None:
    scene = _noise()
    chip = read_square(_held(scene), -5, 70, chip_size=20, readable=_everything())
    assert chip.valid.sum() == 15 * 10
    np.testing.assert_array_equal(chip.pixels[:, 5:, :10].numpy(), scene.array[:, :15, 70:])
    np.testing.assert_array_equal(chip.labels[5:, :10].numpy(), scene.labels[:15, 70:])
    away = read_square(_held(scene), 100, 0, chip_size=20, readable=_everything())
    assert not away.valid.any()


def test_drawn_geometry_stays_within_the_augmentation() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_geometry(Augmentation(scale=(0.5, 2.0), rotation_share=0.5), rng) for _ in range(500)]
    zooms, angles = np.array([one[0] for one in drawn]), np.array([one[1] for one in drawn])
    assert 0.5 <= zooms.min() < 0.6
    assert 1.8 < zooms.max() <= 2.0
    is_quarter = np.isclose(angles % (math.pi / 2), 0) | np.isclose(angles % (math.pi / 2), math.pi / 2)
    assert 0.4 < is_quarter.mean() < 0.6
    assert {one[2] for one in drawn} == {False, True}
    plain = Augmentation(flips=False, scale=(1.0, 1.0), rotation_share=0.0)
    assert {draw_geometry(plain, rng) for _ in range(20)} == {(1.0, 0.0, False)}
