"""Colour features: their number, the windows that they depend on, and images of every kind."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geodeeplab.models.adapted.colour import CELL, REACH, STEP, ColourFeatures
from tests.examples import examples

PAIRS = {1: (), 2: ((0, 1),), 3: ((0, 1), (0, 2), (1, 2)), 4: ((3, 0), (1, 3)), 10: ((7, 3), (2, 7), (8, 7))}


def draw(height: int, width: int, *, bands: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, bands, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bands", sorted(PAIRS))
@pytest.mark.parametrize("is_paired", [False, True])
def test_channels_are_those_of_the_forward_pass(bands: int, is_paired: bool) -> None:
    features = ColourFeatures(bands, PAIRS[bands] if is_paired else ())
    found = features(draw(33, 20, bands=bands))
    assert found.shape == (1, features.channels, 17, 10)
    assert torch.isfinite(found).all()
    assert len({one.numpy().tobytes() for one in found[0]}) == features.channels, "none twice"


@settings(max_examples=examples(40))
@given(st.data())
def test_they_do_not_depend_on_the_window(data: st.DataObject) -> None:
    bands = data.draw(st.sampled_from(sorted(PAIRS)))
    features, image = ColourFeatures(bands, PAIRS[bands]), draw(17 * STEP, 15 * STEP, bands=bands)
    spans = []
    for side in image.shape[-2:]:
        start = data.draw(st.integers(0, side // STEP - 7))
        stop = data.draw(st.integers(start + 7, side // STEP))
        spans.append((start * STEP, stop * STEP))
    (top, bottom), (left, right) = spans
    part = features(image[..., top:bottom, left:right].contiguous())
    whole = features(image)[..., top // CELL : bottom // CELL, left // CELL : right // CELL]
    inner = slice(REACH // CELL, -REACH // CELL)
    assert torch.equal(part[..., inner, inner], whole[..., inner, inner])
    assert not torch.equal(part, whole) or spans == [(0, 17 * STEP), (0, 15 * STEP)]


def test_images_of_a_batch_do_not_see_each_other() -> None:
    features = ColourFeatures(3, PAIRS[3])
    first, second = draw(30, 41), draw(30, 41, seed=1)
    assert torch.equal(features(torch.cat([first, second]))[:1], features(torch.cat([first, first]))[1:])


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(1, 1, 20, 30),
        torch.full((1, 1, 9, 9), -25.0),
        torch.full((1, 1, 8, 8), 1e6),
        -30 * draw(25, 24)[:, :1],
    ],
    ids=["zeros", "constant and negative", "large", "decibels"],
)
def test_whatever_the_values_they_are_finite(bands: int, image: torch.Tensor) -> None:
    features = ColourFeatures(bands, PAIRS[bands])
    assert torch.isfinite(features(image.expand(-1, bands, -1, -1))).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 1), (3, 5), (7, 8), (9, 17)])
def test_images_of_any_size(shape: tuple[int, int]) -> None:
    found = ColourFeatures(3, PAIRS[3])(draw(*shape))
    assert found.shape[-2:] == (-(-shape[0] // 2), -(-shape[1] // 2))
    assert torch.isfinite(found).all()


def test_a_constant_image_has_constant_features() -> None:
    found = ColourFeatures(3, PAIRS[3])(torch.tensor([0.2, 0.5, 0.1]).view(1, 3, 1, 1).expand(-1, -1, 21, 34))
    assert torch.allclose(found, found[..., :1, :1], atol=1e-6)


def test_they_are_float32_under_autocast() -> None:
    features, image = ColourFeatures(3, PAIRS[3]), draw(16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found = features(image)
    assert found.dtype == torch.float32
    assert torch.equal(found, features(image))
