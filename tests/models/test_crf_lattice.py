"""The permutohedral lattice: where points lie, how corners are joined, and the filter's laws."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodeeplab.models.crf.kernels import BilateralKernel, SpatialKernel
from geodeeplab.models.crf.lattice import PermutohedralLattice
from geodeeplab.models.crf.simplices import embed, find_simplices, pack_coordinates

POINTS = st.tuples(st.integers(1, 6), st.integers(1, 60), st.integers(0, 99), st.sampled_from([0.1, 1.0, 7.0]))


def scatter(dims: int, count: int, seed: int, spread: float) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, spread, (dims, count)).round(2)


@pytest.mark.parametrize("dims", range(1, 9))
def test_the_embedding_keeps_angles_and_sums_to_zero(dims: int) -> None:
    matrix = embed(dims)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(dims) * 2 / 3, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=0), 0, atol=1e-12)


@given(points=POINTS)
def test_points_are_the_weighted_means_of_their_corners(points: tuple[int, int, int, float]) -> None:
    features = scatter(*points)
    dims, count = features.shape
    matrix = embed(dims)
    lows, strides = pack_coordinates(features, matrix)
    keys, weights = np.empty((count, dims + 1), np.int64), np.empty((count, dims + 1), np.float32)
    find_simplices(features, matrix, lows, strides, keys, weights)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    mean = np.zeros((dims, count))
    for r in range(dims + 1):
        rest, coordinates = keys[:, r].copy(), np.empty((dims, count))
        for axis in reversed(range(dims)):
            coordinates[axis], rest = rest // strides[axis] + lows[axis], rest % strides[axis]
        mean += weights[:, r] * (coordinates + r / (dims + 1))
    np.testing.assert_allclose(mean, (matrix @ features)[:dims], atol=1e-5)


@given(points=POINTS)
def test_chains_join_corners_once_an_axis(points: tuple[int, int, int, float]) -> None:
    lattice = PermutohedralLattice(scatter(*points))
    assert set(lattice.corners.ravel()) == set(range(lattice.size))
    assert len(lattice._chains) == points[0] + 1
    for path, starts in lattice._chains:
        assert len(set(path)) == len(path)
        assert starts[0] == 0
        assert starts[-1] == len(path)
        assert all(stop - start >= 2 for start, stop in pairwise(starts))


@given(points=POINTS)
def test_the_adjoint_turns_the_axes_round(points: tuple[int, int, int, float]) -> None:
    features = scatter(*points)
    lattice = PermutohedralLattice(features)
    x, y = np.random.default_rng(1).normal(size=(2, features.shape[1], 3)).astype(np.float32)
    there, back = (lattice.filter(x) * y).sum(), (x * lattice.filter(y, is_adjoint=True)).sum()
    assert there == pytest.approx(back, rel=1e-3, abs=1e-3)


def test_values_of_all_points_in_one_place_are_added() -> None:
    lattice = PermutohedralLattice(np.full((5, 4), 0.3))
    assert lattice.size == 6
    filtered = lattice.filter(np.array([[1, 0], [2, 0], [3, 1], [4, 0]], np.float32))
    np.testing.assert_allclose(filtered, filtered[:1, 1:] * np.array([[10, 1]] * 4), rtol=1e-5)


def test_a_dense_line_is_filtered_by_the_gaussian() -> None:
    positions = np.arange(-60, 61) / 10
    impulse = np.zeros((121, 1), np.float32)
    impulse[60] = 1
    response = PermutohedralLattice(positions[None]).filter(impulse)[:, 0]
    variance = (response * positions**2).sum() / response.sum()
    assert np.sqrt(variance) == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(response / response.max(), np.exp(-(positions**2) / 2), atol=0.1)


def test_scaling_goes_before_and_after_the_filter() -> None:
    features = scatter(3, 40, 5, 1.0)
    lattice, scale = PermutohedralLattice(features), np.linspace(0, 2, 40, dtype=np.float32)
    x = np.random.default_rng(2).random((40, 2), dtype=np.float32)
    expected = scale[:, None] * lattice.filter(scale[:, None] * x)
    np.testing.assert_allclose(lattice.scaled(scale).filter(x), expected, rtol=1e-4)


class TestKernels:
    @pytest.mark.parametrize("holes", [False, True])
    def test_normalised_kernels_keep_what_they_should(self, holes: bool) -> None:
        """D^-½ K D^-½ keeps √D: a constant divided by √D and multiplied by it after comes back as it went in."""
        rng = np.random.default_rng(0)
        guide, valid = rng.integers(0, 255, (3, 12, 15)), np.ones((12, 15), bool)
        if holes:
            valid[3:7, 2:9] = False
        lattice = PermutohedralLattice(
            np.concatenate([np.indices((12, 15))[::-1] / 5, np.where(valid, guide, 0) / 30]).reshape(5, -1)
        )
        sums = lattice.filter(valid.reshape(-1, 1).astype(np.float32)).reshape(12, 15)
        kernel = BilateralKernel(guide, valid, weight=2.0, sxy=5, srgb=30)
        messages = np.zeros((12, 15, 1), np.float32)
        kernel.add_messages((np.sqrt(sums) * valid)[..., None], messages)
        np.testing.assert_allclose(messages[..., 0], 2 * np.sqrt(sums) * valid, rtol=1e-4)

    def test_a_constant_stays_a_constant_far_from_the_edges(self) -> None:
        kernel = SpatialKernel(np.ones((40, 40), bool), weight=3.0, sigma=2)
        messages = np.zeros((40, 40, 2), np.float32)
        kernel.add_messages(np.full((40, 40, 2), 0.25, np.float32), messages)
        np.testing.assert_allclose(messages[16:-16, 16:-16], 0.75, rtol=1e-5)

    @pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0, 1000.0])
    def test_the_spatial_gaussian(self, sigma: float) -> None:
        x = np.random.default_rng(3).random((9, 14, 2), dtype=np.float32)
        rows, cols = (np.exp(-0.5 * ((np.arange(n)[:, None] - np.arange(n)) / sigma) ** 2) for n in (9, 14))
        root = 1 / np.sqrt(np.outer(rows.sum(1), cols.sum(1)))[..., None]
        expected = root * np.einsum("ab,cd,bdk->ack", rows, cols, root * x)
        messages = np.zeros_like(x)
        SpatialKernel(np.ones((9, 14), bool), weight=1.0, sigma=sigma).add_messages(x, messages)
        np.testing.assert_allclose(messages, expected, atol=2e-4)
