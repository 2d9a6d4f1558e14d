"""What training ground looks like, and how far other ground lies from it."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodeeplab.errors import ModelError
from geodeeplab.models import Contract
from geodeeplab.models.appearance import (
    LEAST_WINDOWS,
    Appearance,
    Statistics,
    measure_window,
    scene_distance,
    statistic_names,
    summarise,
)

BANDS = ("red", "green", "blue")
NAMES = statistic_names(BANDS)
CONTRACT: dict[str, Any] = {
    "name": "seen",
    "classes": [{"id": 1, "name": "land", "color": [1, 2, 3]}],
    "bands": [{"name": name, "mean": 0, "std": 1} for name in BANDS],
}


def draw_image(seed: int, *, side: int = 48, grain: int = 4) -> np.ndarray:
    """Draw squares of a colour each (3, side, side), of one kind of ground in other light every time."""
    rng = np.random.default_rng(seed)
    count = -(-side // grain)
    grey = rng.normal(rng.normal(0, 0.3), 0.8 + 0.2 * rng.random(), (1, count, count))
    colour = rng.normal(0, 0.2, (3, count, count)) + np.array([0.3, 0, -0.2])[:, None, None]
    blocks = (grey + colour).repeat(grain, 1).repeat(grain, 2)[:, :side, :side]
    return np.asarray(blocks + rng.normal(0, 0.05, blocks.shape), dtype=np.float32)


def measure(image: np.ndarray, valid: np.ndarray | None = None) -> Statistics:
    found = measure_window(image, np.ones(image.shape[1:], bool) if valid is None else valid, required=range(3))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def seen() -> Appearance:
    found = summarise([measure(draw_image(seed)) for seed in range(80)], side=48)
    assert found is not None
    return found


def windows(change: Any = lambda image: image, *, grain: int = 4) -> list[Statistics]:  # noqa: ANN401 - a function
    return [measure(change(draw_image(1000 + seed, grain=grain))) for seed in range(20)]


def test_statistics_by_name() -> None:
    image = draw_image(1)
    found = dict(zip(NAMES, measure(image), strict=True))
    assert found["brightness of green"] == pytest.approx(image[1].mean(), abs=1e-4)
    assert found["contrast of blue"] == pytest.approx(np.log(image[2].std() + 0.02), abs=1e-4)
    assert found["brightness of red against green"] == pytest.approx((image[0] - image[1]).mean(), abs=1e-4)
    assert found["fine texture"] < found["coarse texture"]
    assert len(statistic_names(["pan"])) == 4


@given(st.integers(0, 1000))
def test_neither_flips_nor_pixels_without_data_matter(seed: int) -> None:
    image, valid = draw_image(seed), np.random.default_rng(seed).random((48, 48)) < 0.8
    found = measure(image, valid)
    odd = np.where(valid, image, np.float32(100))
    np.testing.assert_allclose(measure(odd, valid), found, atol=1e-4)
    np.testing.assert_allclose(measure(image[:, ::-1], valid[::-1]), found, atol=1e-4)
    np.testing.assert_allclose(measure(image.transpose(0, 2, 1), valid.T), found, atol=1e-4)


def test_a_window_that_is_mostly_without_data_says_nothing() -> None:
    assert measure_window(draw_image(0), np.zeros((48, 48), bool), required=range(3)) is None
    flat = measure(np.zeros((3, 48, 48), np.float32))
    assert np.isfinite(flat).all()


def test_the_same_kind_of_ground_is_near(seen: Appearance) -> None:
    found = scene_distance(seen, windows(), bands=BANDS, channels=range(3))
    assert found is not None
    assert found.verdict == "near"
    assert 0.7 < found.value < 1.4
    assert found.windows == 20


def brighter_red(image: np.ndarray) -> np.ndarray:
    brighter: np.ndarray = image + np.array([2, 0, 0], np.float32)[:, None, None]
    return brighter


@pytest.mark.parametrize(
    ("change", "grain", "names", "sign"),
    [
        (brighter_red, 4, ("brightness of red against green", "brightness of red"), 1),
        (lambda image: 0.2 * image, 4, ("contrast",), -1),
        (lambda image: image, 24, ("fine texture", "coarse texture"), -1),
    ],
)
def test_other_ground_is_far_and_what_departs_is_named(
    seen: Appearance,
    change: Any,  # noqa: ANN401 - a function
    grain: int,
    names: tuple[str, ...],
    sign: int,
) -> None:
    found = scene_distance(seen, windows(change, grain=grain), bands=BANDS, channels=range(3))
    assert found is not None
    assert found.verdict == "far"
    assert found.statistic.startswith(names)
    assert found.departure * sign > 0


def test_bands_that_a_scene_lacks_do_not_count(seen: Appearance) -> None:
    def without_blue(image: np.ndarray) -> np.ndarray:
        return np.stack([image[0], image[1], np.zeros_like(image[2])])

    trained = [measure_window(draw_image(seed), np.ones((48, 48), bool), required=(0, 1)) for seed in range(80)]
    ground = summarise([one for one in trained if one is not None], side=48)

    def distance(change: Any, channels: range) -> float:  # noqa: ANN401 - a function
        lacking = [
            measure_window(change(draw_image(2000 + i)), np.ones((48, 48), bool), required=(0, 1)) for i in range(20)
        ]
        windows = [one for one in lacking if one is not None]
        assert ground is not None
        found = scene_distance(ground, windows, bands=BANDS, channels=channels)
        assert found is not None
        return found.value

    assert distance(without_blue, range(2)) < 1.4 < 3 < distance(without_blue, range(3))
    assert distance(lambda image: without_blue(brighter_red(image)), range(2)) > 3


def test_too_few_windows_say_nothing(seen: Appearance) -> None:
    assert summarise(windows()[: 2 * LEAST_WINDOWS - 1], side=48) is None
    assert scene_distance(seen, windows()[: LEAST_WINDOWS - 1], bands=BANDS, channels=range(3)) is None


def test_it_comes_back_from_a_contract_and_is_small(seen: Appearance) -> None:
    contract = Contract.from_mapping(CONTRACT | {"appearance": dataclasses.asdict(seen)})
    assert contract.appearance == seen
    text = contract.to_json()
    assert Contract.from_json(text) == contract
    assert len(text) < 8000
    assert "appearance" not in Contract.from_mapping(CONTRACT).to_json()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"usual": 0}, "scales and usual above 0"),
        ({"usual": float("nan")}, "finite"),
        ({"scales": [1] * 11}, "12 statistics for 3 bands"),
        ({"samples": [[1, 2]]}, "12 statistics for 3 bands"),
        ({"samples": []}, "a list of 1 to 1024 values, not of 0"),
        ({"samples": 7}, "not readable"),
        ({"samples": [["a"] * 12]}, "not readable"),
        ({"side": 0}, "side of appearance is a whole number from 1"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_is_none_is_refused(seen: Appearance, changes: dict[str, Any], match: str) -> None:
    values = json.loads(json.dumps(dataclasses.asdict(seen)))
    with pytest.raises(ModelError, match=match):
        Contract.from_mapping(CONTRACT | {"appearance": values | changes})
    del values["side"]
    with pytest.raises(ModelError, match="side' is missing"):
        Contract.from_mapping(CONTRACT | {"appearance": values})
