"""What the CRF takes for colours."""

import numpy as np
import pytest

from geodeeplab.models.crf import Guide

BYTES = (0.0, 255.0)


def test_bytes_are_their_own_guide() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    guide = Guide.of_bands([BYTES] * 3)(pixels)
    assert guide.dtype == np.float32
    np.testing.assert_array_equal(guide, pixels)


def test_limits_become_black_and_white_and_end_there() -> None:
    pixels = np.array([[[100.0, 600, 1100, -5, np.inf, np.nan]], [[0, 1, 2, 3, 4, 5]]])
    guide = Guide.of_bands([(100, 1100), (0, 5)])(pixels)
    np.testing.assert_allclose(guide[0, 0], [0, 127.5, 255, 0, 255, 0])
    np.testing.assert_allclose(guide[1, 0], [0, 51, 102, 153, 204, 255])


def test_chosen_bands_come_in_the_order_wanted() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(4, 1, 3)
    np.testing.assert_array_equal(Guide.of_bands([BYTES] * 4, [3, 0])(pixels), pixels[[3, 0]])


class TestComponents:
    def samples(self, bands: int = 6) -> np.ndarray:
        rng = np.random.default_rng(1)
        hidden = rng.normal(size=(3, 500)) * np.array([[90.0], [40], [20]])
        mixing = np.linalg.qr(rng.normal(size=(bands, 3)))[0]
        samples: np.ndarray = np.clip(mixing @ hidden + 500, 0, 1000)
        return samples

    def test_distances_are_those_of_the_bands_up_to_one_factor(self) -> None:
        samples = self.samples()
        guide = Guide.of_components([(0, 1000)] * 6, samples)(samples[:, None])[:, 0]
        assert guide.shape == (3, 500)
        far = np.linalg.norm(samples[:, 1:] - samples[:, :1], axis=0)
        ratio = np.linalg.norm(guide[:, 1:] - guide[:, :1], axis=0) / far
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)

    def test_the_first_spans_black_to_white(self) -> None:
        samples = self.samples()
        guide = Guide.of_components([(0, 1000)] * 6, samples)(samples[:, None])[:, 0]
        low, high = np.percentile(guide[0], [2, 98])
        assert high - low == pytest.approx(255, rel=1e-3)
        assert guide.std(axis=1).argmax() == 0

    def test_a_pixels_guide_depends_on_no_other_pixel(self) -> None:
        samples = self.samples()
        guide = Guide.of_components([(0, 1000)] * 6, samples)
        pixels = samples[:, :400].reshape(6, 20, 20)
        np.testing.assert_array_equal(guide(pixels)[:, 5:9, 3:8], guide(pixels[:, 5:9, 3:8]))

    def test_samples_of_one_colour(self) -> None:
        guide = Guide.of_components([BYTES] * 4, np.full((4, 9), 7.0))
        assert np.isfinite(guide(np.full((4, 2, 2), 9.0))).all()
