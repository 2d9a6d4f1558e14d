from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from aerial_data import CLASSES, IGNORE
from baseline_trees import (
    FEATURES,
    REACH,
    box_sums,
    draw_pixels,
    draw_sample,
    fit_trees,
    iter_features,
    pixel_features,
    predict,
    score_table,
)


def features_of(image: NDArray[np.uint8], band_rows: int = 256) -> NDArray[np.float32]:
    return np.concatenate([found for _, found in iter_features(image, band_rows)])


def column(name: str) -> int:
    return FEATURES.index(name)


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (3, 11, 13), dtype=np.uint8)


def test_box_sums_of_a_hand_sized_array() -> None:
    values = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]], dtype=np.int64)
    assert box_sums(values, 3).tolist() == [[54, 63]]
    assert box_sums(values, 1, edge=1).tolist() == [[6, 7]]


def test_box_mean_and_deviation_agree_with_numpy(image: NDArray[np.uint8]) -> None:
    found = features_of(image)
    box = image[:, 3:8, 4:9].astype(np.float64)  # 5 × 5 around (5, 6)
    assert found[5, 6, column("green 5")] == pytest.approx(box[1].mean())
    assert found[5, 6, column("deviation 5")] == pytest.approx(box.sum(axis=0).std())


def test_gradient_of_a_ramp_is_its_slope() -> None:
    padded = np.zeros((3, 2 * REACH + 2, 2 * REACH + 2), dtype=np.uint8)
    padded[0] = 3 * np.arange(padded.shape[2])  # red rises by 3 a column: 6 over the central difference
    found = pixel_features(padded)
    assert np.array_equal(found[..., [column("gradient 5"), column("gradient 65")]], np.full((2, 2, 2), 6.0))


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (10, 200, 30)])
def test_constant_image_has_its_colour_everywhere_and_no_texture(colour: tuple[int, int, int]) -> None:
    image = np.full((3, 4, 6), np.array(colour, dtype=np.uint8)[:, None, None])
    found = features_of(image)
    for index, name in enumerate(FEATURES):
        kind = name.split()[0]
        if kind in ("deviation", "gradient"):
            assert (found[..., index] == 0).all(), name
        elif kind in ("red", "green", "blue"):
            assert (found[..., index] == colour[("red", "green", "blue").index(kind)]).all(), name
    assert (found[..., column("excess green")] == 2 * colour[1] - colour[0] - colour[2]).all()
    assert np.allclose(found[..., column("saturation")], (max(colour) - min(colour)) / max(*colour, 1))


def test_features_do_not_depend_on_the_bands_they_are_computed_in(image: NDArray[np.uint8]) -> None:
    whole = features_of(image)
    assert whole.shape == (11, 13, len(FEATURES))
    assert whole.dtype == np.float32
    for band_rows in (1, 4, 11):
        assert np.array_equal(features_of(image, band_rows), whole)


def test_drawn_pixels_keep_the_rate_of_each_class() -> None:
    labels = np.repeat(np.array([0, 1, IGNORE], dtype=np.uint8), 20).reshape(6, 10)
    rates = np.array([0.25, 2.0, 1.0, 1.0, 1.0])
    drawn = draw_pixels(labels, rates, np.random.default_rng(0))
    assert [int(drawn[labels == value].sum()) for value in (0, 1, IGNORE)] == [5, 20, 0]
    assert np.array_equal(drawn, draw_pixels(labels, rates, np.random.default_rng(0)))


def test_score_table_states_ratios_on_the_same_pixels() -> None:
    trees, model = np.eye(5, dtype=np.int64) * 2 + 1, np.eye(5, dtype=np.int64) * 7  # IoU 3 / 11, and 1
    lines = score_table("Tile 2", trees, model).splitlines()
    assert lines[0] == "Tile 2: 35 labelled pixels"
    assert lines[4] == "| building | 0.273 | 1.000 | 3.67 × |"
    assert lines[9] == "| **mIoU** | 0.273 | 1.000 | 3.67 × |"
    assert lines[10] == "| accuracy | 0.429 | 1.000 | 2.33 × |"


@pytest.fixture
def mini_data(tmp_path: Path) -> Path:
    """Two tiles of nine parts, each a strip per class in a colour of its own, with a row of unlabelled pixels."""
    rng = np.random.default_rng(5)
    for tile in (1, 2):
        for folder in ("images", "masks"):
            (tmp_path / f"Tile {tile}" / folder).mkdir(parents=True)
        for part in range(1, 10):
            classes = np.repeat(np.arange(5), 3)[None, :].repeat(12, axis=0)
            image = (classes * 50 + rng.integers(0, 4, classes.shape)).astype(np.uint8)
            colours = np.array(list(CLASSES.values()), dtype=np.uint8)[classes]
            colours[0] = 155
            stem = f"image_part_{part:03d}"
            Image.fromarray(np.stack([image] * 3, axis=-1)).save(
                tmp_path / f"Tile {tile}" / "images" / f"{stem}.jpg", quality=100
            )
            Image.fromarray(colours).save(tmp_path / f"Tile {tile}" / "masks" / f"{stem}.png")
    return tmp_path


def test_sample_is_stratified_and_repeatable_and_trees_learn_it(mini_data: Path) -> None:
    features, labels = draw_sample(mini_data, (1, 2), 1000, seed=4)
    assert features.shape == (1000, len(FEATURES))
    assert np.bincount(labels).tolist() == [200] * 5
    again, labels_again = draw_sample(mini_data, (1, 2), 1000, seed=4)
    assert np.array_equal(features, again)
    assert np.array_equal(labels, labels_again)

    trees = fit_trees(features, labels, iterations=3, seed=0)
    stripes = np.broadcast_to(np.repeat(np.arange(5) * 50 + 2, 3).astype(np.uint8), (3, 12, 15))
    found = predict(trees, np.ascontiguousarray(stripes))
    assert found.dtype == np.uint8
    assert (found == np.repeat(np.arange(5), 3)).mean() > 0.9
