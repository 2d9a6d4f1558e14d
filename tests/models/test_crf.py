"""The dense CRF against brute force over all pairs of pixels, against pydensecrf, and its laws."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodeeplab.errors import OptionError
from geodeeplab.models.crf import DenseCRF
from tests.examples import few

V2 = DenseCRF()
V1 = DenseCRF(w1=5, sxy=50, srgb=10, w2=3, sg=3)
WIDE = DenseCRF(w1=10, sxy=80, srgb=13, w2=3, sg=3)


def brute_force(
    crf: DenseCRF, logits: NDArray[np.float32], guide: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Log-probabilities (K, H, W) by mean field over the whole (HW, HW) matrix of each kernel."""
    positions = np.indices(logits.shape[1:]).reshape(2, -1).astype(np.float64)
    colors = guide.reshape(len(guide), -1).astype(np.float64)
    sends = np.ones(positions.shape[1]) if valid is None else valid.ravel().astype(np.float64)

    def squares(points: NDArray[np.float64]) -> NDArray[np.float64]:
        lengths = (points**2).sum(axis=0)
        distances: NDArray[np.float64] = lengths[:, None] + lengths - 2 * (points.T @ points)
        return distances

    def normalised(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
        kernel = kernel * np.outer(sends, sends)
        root: NDArray[np.float64] = np.where(sends > 0, 1 / np.sqrt(np.maximum(kernel.sum(axis=1), 1e-30)), 0)
        return root[:, None] * kernel * root

    space = squares(positions)
    kernel = crf.w1 * normalised(np.exp(-space / (2 * crf.sxy**2) - squares(colors) / (2 * crf.srgb**2)))
    kernel += crf.w2 * normalised(np.exp(-space / (2 * crf.sg**2)))
    unary = logits.reshape(len(logits), -1).astype(np.float64)
    scores = unary
    for _ in range(crf.iterations):
        scores = unary + np.exp(log_softmax(scores)) @ kernel
    return log_softmax(scores).reshape(logits.shape)


def log_softmax(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    normalised: NDArray[np.float64] = scores - np.logaddexp.reduce(scores.astype(np.float64), axis=0)
    return normalised


def blocks_in_doubt(
    shape: tuple[int, int] = (48, 48), *, seed: int = 0, classes: int = 4
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Noisy logits that know the classes two pixels beside the truth, and an image of one noisy colour a class."""
    rng = np.random.default_rng(seed)
    height, width = shape
    truth = rng.integers(0, classes, (-(-height // 8), -(-width // 8))).repeat(8, axis=0).repeat(8, axis=1)
    truth = truth[:height, :width]
    colors = rng.integers(20, 235, (classes, 3))
    image = np.clip(colors[truth] + rng.normal(0, 3, (height, width, 3)), 0, 255).astype(np.uint8)
    logits = rng.normal(0, 1.2, (classes, height, width))
    logits += 2 * (np.arange(classes)[:, None, None] == np.roll(truth, 2, axis=(0, 1)))
    return logits.astype(np.float32), np.ascontiguousarray(image.transpose(2, 0, 1))


class TestOracles:
    @pytest.mark.parametrize("crf", [V2, V1, WIDE])
    @pytest.mark.parametrize("seed", few([0, 1], 1))
    def test_brute_force(self, crf: DenseCRF, seed: int) -> None:
        logits, image = blocks_in_doubt(seed=seed)
        exact, refined = brute_force(crf, logits, image), crf.refine(logits, image)
        assert (exact.argmax(0) != logits.argmax(0)).mean() > 0.3, "the CRF has little to do"
        assert (refined.argmax(0) == exact.argmax(0)).mean() >= 0.99
        assert np.abs(np.exp(refined) - np.exp(exact)).mean() < 2e-3

    def test_brute_force_with_pixels_without_data(self) -> None:
        logits, image = blocks_in_doubt(seed=2)
        valid = np.ones((48, 48), bool)
        valid[10:30, 5:25] = valid[40] = False
        exact, refined = brute_force(WIDE, logits, image, valid), WIDE.refine(logits, image, valid)
        assert (refined.argmax(0) == exact.argmax(0)).mean() >= 0.99
        assert np.abs(np.exp(refined) - np.exp(exact)).mean() < 2e-3

    @pytest.mark.parametrize("channels", few([5, 1, 2], 1))
    def test_brute_force_with_other_numbers_of_channels(self, channels: int) -> None:
        logits, image = blocks_in_doubt(seed=3)
        guide = np.concatenate([image, image[::-1]])[:channels]
        exact, refined = brute_force(WIDE, logits, guide), WIDE.refine(logits, guide)
        assert (refined.argmax(0) == exact.argmax(0)).mean() >= 0.99
        assert np.abs(np.exp(refined) - np.exp(exact)).mean() < 2e-3

    def test_the_smoothness_kernel_alone_is_exact(self) -> None:
        crf = DenseCRF(w1=0, w2=3, sg=2)
        logits, image = blocks_in_doubt((19, 31))
        np.testing.assert_allclose(crf.refine(logits, image), brute_force(crf, logits, image), atol=2e-3)

    # Made by `python scripts/crf_golden.py tests/models/data/crf_golden.npz`. For the bilateral kernel both walk the
    # same lattice; for smoothness pydensecrf has a lattice, too, where ours is the Gaussian itself.
    @pytest.mark.parametrize(
        ("name", "atol", "mean"), [("bilateral_v2", 1e-4, 1e-5), ("v2", 0.05, 2e-3), ("v1", 0.05, 2e-3)]
    )
    def test_pydensecrf(self, name: str, atol: float, mean: float) -> None:
        with np.load(Path(__file__).parent / "data" / "crf_golden.npz") as golden:
            w1, sxy, srgb, w2, sg = map(float, golden[f"{name}_parameters"])
            logits, expected = golden["logits"], golden[name]
            probs = np.exp(DenseCRF(w1=w1, sxy=sxy, srgb=srgb, w2=w2, sg=sg).refine(logits, golden["image"]))
        assert (expected.argmax(0) != logits.argmax(0)).mean() > 0.1
        assert (probs.argmax(0) == expected.argmax(0)).all()
        np.testing.assert_allclose(probs, expected, atol=atol)
        assert np.abs(probs - expected).mean() < mean


class TestLaws:
    @pytest.mark.parametrize("crf", [replace(V2, w1=0, w2=0), replace(V2, iterations=0)])
    def test_without_kernels_or_steps_the_logits_softmax_stays(self, crf: DenseCRF) -> None:
        logits, image = blocks_in_doubt((20, 30))
        expected = log_softmax(logits)
        np.testing.assert_allclose(crf.refine(logits, image), expected, atol=1e-6)

    @pytest.mark.parametrize("crf", [V2, WIDE])
    def test_it_sees_neither_mirrors_nor_turns(self, crf: DenseCRF) -> None:
        logits, image = blocks_in_doubt((40, 32), seed=4)
        expected = np.exp(crf.refine(logits, image))
        for axes, step in (((0, 1, 2), -1), ((0, 2, 1), 1), ((0, 2, 1), -1)):
            turned = np.exp(crf.refine(logits.transpose(axes)[:, ::step], image.transpose(axes)[:, ::step]))
            difference = turned - expected.transpose(axes)[:, ::step]
            assert np.abs(difference).mean() < 2e-3  # the lattice's axes are not those of the image

    def test_classes_may_come_in_any_order(self) -> None:
        logits, image = blocks_in_doubt((20, 30), classes=5)
        order = [3, 0, 4, 1, 2]
        np.testing.assert_allclose(V2.refine(logits[order], image), V2.refine(logits, image)[order], atol=1e-4)

    def test_a_constant_added_to_all_logits_changes_nothing(self) -> None:
        logits, image = blocks_in_doubt((20, 30))
        np.testing.assert_allclose(V2.refine(logits + 3, image), V2.refine(logits, image), atol=1e-4)

    def test_pixels_without_data_neither_send_nor_receive(self) -> None:
        logits, image = blocks_in_doubt((30, 40))
        valid = np.ones((30, 40), bool)
        valid[5:15, 10:30] = False
        refined = V2.refine(logits, image, valid)
        others, guide = logits.copy(), image.astype(np.float32)
        others[:, ~valid], guide[:, ~valid] = 7.0, np.nan
        np.testing.assert_array_equal(V2.refine(others, guide, valid)[:, valid], refined[:, valid])
        expected = log_softmax(logits)
        np.testing.assert_allclose(refined[:, ~valid], expected[:, ~valid], atol=1e-6)
        assert np.abs(np.exp(refined) - np.exp(V2.refine(logits, image)))[:, valid].max() > 0.01

    @given(
        shape=st.sampled_from([(1, 1), (1, 17), (23, 1), (2, 3), (5, 40)]),
        classes=st.integers(1, 12),
        crf=st.sampled_from([V2, V1, WIDE]),
    )
    def test_any_shape_and_number_of_classes_gives_log_probabilities(
        self, shape: tuple[int, int], classes: int, crf: DenseCRF
    ) -> None:
        logits, image = blocks_in_doubt(shape, classes=classes)
        refined = crf.refine(logits, image)
        assert refined.shape == logits.shape
        assert refined.dtype == np.float32
        np.testing.assert_allclose(np.exp(refined).sum(axis=0), 1, atol=1e-5)

    def test_edges_of_the_image_become_edges_of_the_labels(self) -> None:
        image = np.full((3, 40, 40), 60, np.uint8)
        image[:, :, 20:] = 160
        rng = np.random.default_rng(0)
        logits = rng.normal(0, 0.3, (2, 40, 40)).astype(np.float32)
        logits[0, :, :24] += 1.0  # four columns too far
        logits[1, :, 24:] += 1.0
        labels = V2.refine(logits, image).argmax(0)
        assert (labels[:, :20] == 0).all()
        assert (labels[:, 20:] == 1).all()

    def test_the_same_input_gives_the_same_bits(self) -> None:
        logits, image = blocks_in_doubt()
        np.testing.assert_array_equal(V2.refine(logits, image), V2.refine(logits.copy(order="F"), image))


class TestRefusals:
    @pytest.mark.parametrize(
        ("parameters", "match"),
        [
            ({"w1": -1.0}, "w1 of the CRF lies within 0 and 1000, not -1: choose e.g. 4"),
            ({"w2": float("nan")}, "w2 of the CRF lies within"),
            ({"sxy": 0.0}, "sxy of the CRF lies within 0.01 and .*, not 0: choose e.g. 67"),
            ({"srgb": float("inf")}, "srgb of the CRF lies within"),
            ({"sg": -3.0}, "sg of the CRF lies within"),
            ({"iterations": -1}, "iterations of the CRF lies within"),
            ({"iterations": 2.5}, "a whole number of iterations, not 2.5"),
        ],
    )
    def test_numbers_out_of_range(self, parameters: dict[str, float], match: str) -> None:
        with pytest.raises(OptionError, match=match):
            DenseCRF(**parameters)  # type: ignore[arg-type]

    def test_shapes_that_differ(self) -> None:
        logits, image = blocks_in_doubt((20, 30))
        with pytest.raises(OptionError, match=r"share height and width, not \(4, 20, 30\), \(3, 20, 29\)"):
            V2.refine(logits, image[:, :, 1:])

    def test_a_guide_that_is_not_finite(self) -> None:
        logits, image = blocks_in_doubt((20, 30))
        guide = image.astype(np.float32)
        guide[0, 3, 4] = np.inf
        with pytest.raises(OptionError, match="finite"):
            V2.refine(logits, guide)

    def test_more_channels_than_can_be_numbered(self) -> None:
        logits, image = blocks_in_doubt((20, 30))
        with pytest.raises(OptionError, match=r"guide has 15 channels.*choose fewer bands"):
            V2.refine(logits, np.concatenate([image] * 5))
